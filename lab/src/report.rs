//! The results of a run: a line for each case as it ends, a table at the end, and the sum as the last line.

use std::time::Duration;

use crate::protocol::{Message, Outcome};
use crate::screen::{self, Step, row, seconds};
use crate::transcript::Tally;

/// Shows the progress of a guest.
#[derive(Debug)]
pub struct Progress {
    step: Step,
    cases: usize,
    done: usize,
}

impl Progress {
    /// Returns the progress of the machine `name`, whose first activity is `what`.
    pub fn new(name: &str, what: &str) -> Self {
        Self { step: screen::step(name, what), cases: 0, done: 0 }
    }

    /// Follows a guest that starts again from the beginning.
    pub fn restart(&mut self) {
        self.done = 0;
        self.step.say("booting once more");
    }

    /// Follows a message of a guest.
    pub fn hear(&mut self, message: &Message) {
        match message {
            Message::Ready { cases, .. } => self.cases = *cases,
            Message::Begin { case } => self.step.at(self.done + 1, self.cases, case),
            Message::Outcome { .. } => self.done += 1,
            Message::Say { .. } | Message::Figure { .. } | Message::Verdict { .. } => {}
        }
    }
}

/// Prints how a case has ended.
pub fn show_case(kernel: &str, case: &str, outcome: &Outcome, millis: u64) {
    let took = seconds(Duration::from_millis(millis));
    match outcome {
        Outcome::Passed => screen::line(&row(kernel, "ok", &format!("{case} ({took})"))),
        Outcome::Failed { why } => screen::failure(kernel, &format!("{case} ({took}){}", indented(why))),
        Outcome::Skipped { why } | Outcome::NotHere { why } => {
            screen::line(&row(kernel, "skip", &format!("{case}: {why}")))
        }
    }
}

/// Prints the cases that are skipped for one reason, and counts them.
pub fn skip<'n>(kernel: &str, cases: impl Iterator<Item = &'n str>, why: &str) -> Tally {
    let names: Vec<&str> = cases.collect();
    if !names.is_empty() {
        screen::line(&row(kernel, "skip", &format!("{} cases: {why}: {}", names.len(), names.join(", "))));
    }
    Tally { skipped: names.len(), ..Tally::default() }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("\n        {line}")).collect()
}

/// A part of the tests: one kernel, or one kind of check on the host.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Additional facts: the kernel's release, the time to boot.
    pub note: String,
    /// How its cases ended.
    pub tally: Tally,
    /// How long it took.
    pub took: Duration,
    /// The number of cases left for a run with --all.
    pub left: usize,
    /// The error, if the machinery failed rather than the tested code.
    pub broken: Option<String>,
}

impl Part {
    /// Returns a part without results.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            note: String::new(),
            tally: Tally::default(),
            took: Duration::ZERO,
            left: 0,
            broken: None,
        }
    }

    /// Returns a part that failed in the machinery.
    pub fn broken(name: &str, error: &anyhow::Error) -> Self {
        Self { broken: Some(format!("{error:#}")), ..Self::new(name) }
    }
}

/// All parts of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of display.
    pub parts: Vec<Part>,
    /// More lines that users must not miss. They fail nothing.
    pub notices: Vec<String>,
    /// The failures as they were printed, because a log may be kept only in part.
    pub failures: Vec<String>,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sum {
    /// Everything that ran has passed.
    Passed,
    /// Something failed.
    Failed,
    /// Nothing failed, but not everything could run.
    Broken,
}

impl Report {
    /// Returns the sum over all parts.
    pub fn tally(&self) -> Tally {
        let mut sum = Tally::default();
        self.parts.iter().for_each(|part| sum += part.tally);
        sum
    }

    /// Returns the result of the run. A failure is certain, so it outweighs a part that could not run.
    pub fn result(&self) -> Sum {
        if self.tally().failed > 0 {
            Sum::Failed
        } else if self.parts.iter().any(|part| part.broken.is_some()) {
            Sum::Broken
        } else {
            Sum::Passed
        }
    }

    /// Returns the table, the notices, the parts that could not run, the failures, and the sum alone on the last line.
    pub fn text(&self) -> String {
        /// The number of lines of one failure that are repeated.
        const MOST: usize = 12;
        let mut text = format!("\n{:<14}{:>8}{:>8}{:>9}{:>14}\n", "", "passed", "failed", "skipped", "time");
        for part in &self.parts {
            let Tally { passed, failed, skipped } = part.tally;
            let row =
                format!("{:<14}{passed:>8}{failed:>8}{skipped:>9}{:>14}  {}", part.name, seconds(part.took), part.note);
            text += row.trim_end();
            text.push('\n');
        }
        if !self.notices.is_empty() {
            text += &format!("\n{}\n", self.notices.join("\n"));
        }
        let left: usize = self.parts.iter().map(|part| part.left).sum();
        if left > 0 {
            text += &format!("\n{left} cases were left for --all\n");
        }
        for part in &self.parts {
            if let Some(why) = &part.broken {
                text += &format!("\ninfrastructure failed: {}: {why}\n", part.name);
            }
        }
        for failure in &self.failures {
            let lines: Vec<&str> = failure.lines().collect();
            text += &format!("\n{}", lines[..lines.len().min(MOST)].join("\n"));
            if lines.len() > MOST {
                text += &format!("\n        … {} more lines above", lines.len() - MOST);
            }
            text.push('\n');
        }
        text + &format!("\n{}", self.tally())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(failed: usize, broken: Option<&str>) -> Part {
        Part {
            name: "newest".into(),
            note: "7.3.4".into(),
            tally: Tally { passed: 2, failed, skipped: 1 },
            took: Duration::from_millis(61_500),
            left: 3,
            broken: broken.map(str::to_owned),
        }
    }

    #[test]
    fn three_ways_to_end() {
        let result = |parts: Vec<Part>| Report { parts, ..Report::default() }.result();
        assert_eq!(result(vec![part(0, None)]), Sum::Passed);
        assert_eq!(result(vec![part(0, Some("no network")), part(1, None)]), Sum::Failed);
        assert_eq!(result(vec![part(0, Some("no network")), part(0, None)]), Sum::Broken);
    }

    #[test]
    fn the_sum_is_alone_on_the_last_line() {
        let parts = vec![part(0, None), part(1, Some("the guest has said nothing"))];
        let long: String = (0..20).map(|number| format!("\n        line {number}")).collect();
        let failures = vec!["newest       FAIL  one".to_owned(), format!("host         FAIL  two{long}")];
        let report = Report { parts, notices: vec!["COSTS: mouse".to_owned()], failures };
        let text = report.text();
        assert_eq!(text.lines().last(), Some("4 passed, 1 failed, 2 skipped"));
        assert!(text.contains("infrastructure failed: newest: the guest has said nothing"), "{text}");
        assert!(text.contains("1 min 02 s  7.3.4"), "{text}");
        assert!(text.contains("\nCOSTS: mouse\n"), "{text}");
        assert!(text.contains("\nnewest       FAIL  one\n"), "{text}");
        assert!(text.contains("line 10\n        … 9 more lines above\n"), "{text}");
        assert!(text.contains("\n6 cases were left for --all\n"), "{text}");
    }
}
