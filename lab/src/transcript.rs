//! Checks that the guest follows the protocol.
//!
//! Ready precedes everything except text for users, and each outcome follows its Begin. One verdict agrees with the outcomes, and nothing
//! follows it. Any violation makes the run invalid.

use std::fmt;

use crate::protocol::{Message, Outcome};

/// The number of cases by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases with the expected result.
    pub passed: usize,
    /// Cases with another result.
    pub failed: usize,
    /// Cases that did not run.
    pub skipped: usize,
}

impl Tally {
    /// Counts one more.
    pub fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed { .. } => self.failed += 1,
            Outcome::Skipped { .. } | Outcome::NotHere { .. } => self.skipped += 1,
        }
    }

    /// Returns the total.
    pub fn total(&self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// A violation of the protocol: a wrong or a missing message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach(String);

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Breach {}

/// The guest's messages so far.
#[derive(Debug, Default)]
pub struct Transcript {
    /// The number of outcomes that the guest announced.
    promised: Option<usize>,
    running: Option<String>,
    tally: Tally,
    verdict: Option<Tally>,
}

impl Transcript {
    /// Takes the next line.
    ///
    /// # Errors
    /// The guest must not send this, or not now.
    pub fn take(&mut self, line: &str) -> Result<Message, Breach> {
        let message = serde_json::from_str(line).map_err(|error| Breach(format!("said `{line}`: {error}")))?;
        if self.verdict.is_some() {
            let what = if matches!(message, Message::Verdict { .. }) { "a second verdict" } else { "more" };
            return Err(Breach(format!("said {what} after the verdict: `{line}`")));
        }
        match (&message, self.promised) {
            (Message::Ready { cases, .. }, None) => self.promised = Some(*cases),
            (Message::Ready { .. }, Some(_)) => return Err(Breach("said twice that it is ready".to_owned())),
            (Message::Say { .. }, None) => {}
            (_, None) => return Err(Breach(format!("said `{line}` before it was ready"))),
            _ => {}
        }
        match &message {
            Message::Begin { case } => {
                if let Some(running) = self.running.replace(case.clone()) {
                    return Err(Breach(format!("began `{case}` before it had ended `{running}`")));
                }
            }
            Message::Outcome { case, outcome, .. } => match self.running.take() {
                Some(running) if running == *case => self.tally.count(outcome),
                _ => return Err(Breach(format!("ended `{case}` without having begun it"))),
            },
            Message::Verdict { passed, failed, skipped } => {
                let verdict = Tally { passed: *passed, failed: *failed, skipped: *skipped };
                self.verdict = Some(verdict);
                self.check(verdict)?;
            }
            Message::Ready { .. } | Message::Say { .. } | Message::Figure { .. } => {}
        }
        Ok(message)
    }

    fn check(&self, verdict: Tally) -> Result<(), Breach> {
        if let Some(running) = &self.running {
            return Err(Breach(format!("gave its verdict before it had ended `{running}`")));
        }
        if verdict != self.tally {
            return Err(Breach(format!("gave the verdict {verdict}, but its outcomes were {}", self.tally)));
        }
        match self.promised {
            Some(promised) if promised != verdict.total() => {
                Err(Breach(format!("promised {promised} cases and ran {}", verdict.total())))
            }
            _ => Ok(()),
        }
    }

    /// Returns true if the guest is ready.
    pub fn is_ready(&self) -> bool {
        self.promised.is_some()
    }

    /// Returns the running case.
    pub fn running(&self) -> Option<&str> {
        self.running.as_deref()
    }

    /// Returns the verdict, if the guest has sent it.
    pub fn verdict(&self) -> Option<Tally> {
        self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READY: &str = r#"{"ready":{"release":"6.12","cases":1}}"#;
    const BEGIN: &str = r#"{"begin":{"case":"a"}}"#;
    const PASSED: &str = r#"{"outcome":{"case":"a","outcome":"passed","millis":3}}"#;
    const VERDICT: &str = r#"{"verdict":{"passed":1,"failed":0,"skipped":0}}"#;

    fn take_all(lines: &[&str]) -> Result<Transcript, Breach> {
        let mut transcript = Transcript::default();
        for line in lines {
            transcript.take(line)?;
        }
        Ok(transcript)
    }

    fn breach(lines: &[&str]) -> String {
        take_all(lines).unwrap_err().to_string()
    }

    #[test]
    fn a_whole_run_is_believed() {
        let transcript = take_all(&[READY, BEGIN, PASSED, VERDICT]).unwrap();
        assert_eq!(transcript.verdict(), Some(Tally { passed: 1, failed: 0, skipped: 0 }));
        assert_eq!(transcript.running(), None);
    }

    #[test]
    fn without_a_verdict_there_is_none() {
        let transcript = take_all(&[READY, BEGIN]).unwrap();
        assert_eq!(transcript.verdict(), None);
        assert_eq!(transcript.running(), Some("a"));
    }

    #[test]
    fn two_verdicts_are_none() {
        assert!(breach(&[READY, BEGIN, PASSED, VERDICT, VERDICT]).starts_with("said a second verdict"));
        assert!(breach(&[READY, BEGIN, PASSED, VERDICT, BEGIN]).starts_with("said more after the verdict"));
    }

    #[test]
    fn a_verdict_has_to_agree_with_what_was_seen() {
        let wrong = r#"{"verdict":{"passed":2,"failed":0,"skipped":0}}"#;
        assert!(breach(&[READY, BEGIN, PASSED, wrong]).contains("2 passed, 0 failed, 0 skipped, but its outcomes"));
        let none = r#"{"verdict":{"passed":0,"failed":0,"skipped":0}}"#;
        assert_eq!(breach(&[READY, none]), "promised 1 cases and ran 0");
        assert_eq!(breach(&[READY, BEGIN, none]), "gave its verdict before it had ended `a`");
    }

    #[test]
    fn what_is_out_of_order_is_refused() {
        assert!(breach(&[BEGIN]).ends_with("before it was ready"));
        assert!(take_all(&[r#"{"say":{"text":"no uhid"}}"#, READY]).is_ok());
        assert_eq!(breach(&[READY, READY]), "said twice that it is ready");
        assert_eq!(breach(&[READY, PASSED]), "ended `a` without having begun it");
        assert_eq!(breach(&[READY, BEGIN, BEGIN]), "began `a` before it had ended `a`");
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for line in ["", "{}", "ok", r#"{"ready":{"release":"6.12","cases":1,"more":1}}"#, &READY[..12]] {
            assert!(breach(&[line]).starts_with("said `"), "{line}");
        }
    }
}
