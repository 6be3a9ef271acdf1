//! Parses the output of `cargo test`, shows its progress, and prints a line for each test program.
//!
//! It prints the whole output of a program with a failed test.

use std::time::Instant;

use hidbpf_lab::screen::{self, Step, row, seconds};
use hidbpf_lab::transcript::Tally;

/// The progress of the tests on this machine.
#[derive(Debug)]
pub struct Tests<'a> {
    step: &'a Step,
    /// The number of test programs, besides those for the examples in the documentation.
    programs: usize,
    begun: usize,
    /// The running program.
    name: String,
    since: Instant,
    /// Its output.
    said: Vec<String>,
    tally: Tally,
}

impl<'a> Tests<'a> {
    /// Begins with this many programs.
    pub fn new(step: &'a Step, programs: usize) -> Self {
        let since = Instant::now();
        Self { step, programs, begun: 0, name: String::new(), since, said: Vec::new(), tally: Tally::default() }
    }

    /// Takes the next line.
    pub fn hear(&mut self, line: &str) {
        if let Some(name) = parse_beginning(line) {
            self.flush();
            self.begun += 1;
            self.name = name;
            self.since = Instant::now();
            self.step.at(self.begun.min(self.programs), self.programs, &self.name);
            return;
        }
        self.said.push(line.to_owned());
        if let Some(counted) = parse_result(line) {
            self.tally += counted;
            let what = format!("{}: {counted} ({})", self.name, seconds(self.since.elapsed()));
            if counted.failed > 0 {
                let failed: Vec<&str> = self.said.iter().filter_map(|line| parse_failure(line)).collect();
                let what = format!("{what}: {}", failed.join(", "));
                self.flush();
                screen::failure("host", &what);
            } else {
                self.said.clear();
                if counted.total() > 0 {
                    screen::line(&row("host", "ok", &what));
                }
            }
        }
    }

    /// Returns the sum, once all output was parsed and `cargo test` has ended, successfully or not.
    pub fn end(mut self, passed: bool) -> Tally {
        if !passed && self.tally.failed == 0 {
            // A test program that died has counted nothing.
            self.flush();
            screen::failure("host", "`cargo test` did not come to its end");
            self.tally.failed = 1;
        }
        self.tally
    }

    /// Prints the output, except for the tests that passed.
    fn flush(&mut self) {
        for line in self.said.drain(..).filter(|line| !line.is_empty() && !line.ends_with(" ... ok")) {
            screen::line(&line);
        }
    }
}

/// Parses the first line of a test program: `Running tests/cli.rs (target/debug/deps/cli-0123456789abcdef)`, or `Doc-tests hidbpf`.
fn parse_beginning(line: &str) -> Option<String> {
    let line = line.trim();
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("examples of {package}"));
    }
    let (sources, program) = line.strip_prefix("Running ")?.strip_suffix(')')?.split_once(" (")?;
    let name = program.rsplit('/').next().unwrap_or(program);
    let name = name.rsplit_once('-').map_or(name, |(name, _)| name);
    Some(format!("{name}, {}", sources.trim_start_matches("unittests ")))
}

/// Parses the line of a failed test: `test module::name ... FAILED`, or `test name - should panic ... FAILED`.
fn parse_failure(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// Parses the last line of a test program: `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; ...`.
fn parse_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| -> Option<usize> {
        let found = counts.split(';').find_map(|count| count.trim().strip_suffix(what));
        found?.trim().parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_test_programs_are_read() {
        let line = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(parse_result(line), Some(Tally { passed: 3, failed: 0, skipped: 1 }));
        let line = "test result: FAILED. 2 passed; 12 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(parse_result(line), Some(Tally { passed: 2, failed: 12, skipped: 0 }));
        for line in ["", "test a ... ok", "test result: ok", "test result: ok. 3 passed; x failed; 0 ignored"] {
            assert_eq!(parse_result(line), None, "{line}");
        }
    }

    #[test]
    fn the_names_of_failed_tests_are_read() {
        assert_eq!(parse_failure("test a::b ... FAILED"), Some("a::b"));
        for line in ["test a::b ... ok", "test result: FAILED. 2 passed", "a::b ... FAILED"] {
            assert_eq!(parse_failure(line), None, "{line}");
        }
    }

    #[test]
    fn the_names_of_test_programs_are_read() {
        for (line, name) in [
            ("     Running tests/cli.rs (target/debug/deps/cli-0f)", Some("cli, tests/cli.rs")),
            ("     Running unittests src/lib.rs (/x/debug/deps/hidbpf_core-1a)", Some("hidbpf_core, src/lib.rs")),
            ("   Doc-tests hidbpf", Some("examples of hidbpf")),
            ("running 3 tests", None),
            ("test a ... ok", None),
        ] {
            assert_eq!(parse_beginning(line).as_deref(), name, "{line}");
        }
    }

    #[test]
    fn a_run_that_died_without_a_count_has_failed() {
        let step = screen::step("host", "testing");
        let mut tests = Tests::new(&step, 2);
        for line in ["     Running tests/a.rs (x/a-1)", "running 1 test", "test a ... ok", "", RESULT] {
            tests.hear(line);
        }
        tests.hear("     Running tests/b.rs (x/b-1)");
        assert_eq!(tests.end(false), Tally { passed: 1, failed: 1, skipped: 0 });
    }

    const RESULT: &str =
        "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
}
