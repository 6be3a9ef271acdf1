//! Runs the kernel's own HID tests, which are written for pytest, in a separate root beside the running udevd.
//!
//! A plugin of pytest reports over a socket in lines of JSON. After each test it waits until the guest has checked that the test left
//! nothing behind.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::mount::mount_bind_recursive;
use serde::Deserialize;

use super::bench::Bench;
use super::port::Port;
use super::shim;
use crate::process::poll_readable;
use crate::protocol::{Message, Outcome, SELFTESTS_ROOT, SELFTESTS_TOOLS};

/// The directories that the tests share with the machine.
const SHARED: [&str; 5] = ["dev", "proc", "run", "sys", "usr/lib/modules"];

/// The socket for the plugin, and the file with the names of the tests.
const SOCKET: &str = "/run/selftests.socket";
const TESTS: &str = "/run/selftests.json";

/// The output of pytest.
const LOG: &str = "/run/selftests.log";

/// The number of its last lines that an error repeats.
const LOG_LINES: usize = 30;

/// The time limit for the start of pytest.
const STARTING: Duration = Duration::from_secs(150);

/// The exit codes of pytest when all tests passed, and when some failed.
const ENDS: [i32; 2] = [0, 1];

/// A line from the plugin.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    /// The tests that pytest has found.
    Collected(BTreeSet<String>),
    /// A test begins.
    Begin(String),
    /// A phase of a test has not passed.
    Phase { outcome: String, why: String },
    /// A test has ended.
    End(String),
}

/// Runs `tests` and sends the outcome of each.
///
/// # Errors
/// pytest can't be started, or ends before all have run.
pub fn run(tests: &[String], bench: &mut Bench, port: &mut Port) -> Result<()> {
    share()?;
    let names = serde_json::to_string(tests).context("failed to encode the names of the tests")?;
    fs::write(TESTS, names).with_context(|| format!("failed to write `{TESTS}`"))?;
    let listener = UnixListener::bind(SOCKET).with_context(|| format!("failed to make `{SOCKET}`"))?;
    let mut pytest = start(tests)?;
    ensure!(poll_readable(&listener, STARTING)?, "pytest has not come up{}", log());
    let (plugin, _) = listener.accept().with_context(|| format!("failed to use `{SOCKET}`"))?;
    let mut relay = Relay { tests, bench, port, tally: Tally::default() };
    let result = relay.run(&plugin);
    let status = pytest.wait().context("failed to wait for pytest")?;
    result?;
    ensure!(status.code().is_some_and(|code| ENDS.contains(&code)), "pytest ended with {status}{}", log());
    relay.close()
}

/// Mounts the shared directories in the root of the tests.
fn share() -> Result<()> {
    for folder in SHARED {
        let (from, to) = (Path::new("/").join(folder), Path::new(SELFTESTS_ROOT).join(folder));
        // A kernel may have no modules.
        if from.is_dir() {
            fs::create_dir_all(&to).with_context(|| format!("failed to make `{}`", to.display()))?;
            mount_bind_recursive(&from, &to)
                .with_context(|| format!("failed to mount `{}` on `{}`", from.display(), to.display()))?;
        }
    }
    Ok(())
}

fn start(tests: &[String]) -> Result<Child> {
    let log = File::create(LOG).with_context(|| format!("failed to make `{LOG}`"))?;
    shim::start(&[shim::AMONG_SELFTESTS], "/usr/bin/python3")
        .args(["-m", "pytest", "-p", "hidbpf_report", "-p", "no:cacheprovider", "--tb=short"])
        .args(files(tests))
        .env("PATH", format!("{SELFTESTS_TOOLS}:/usr/sbin:/usr/bin"))
        .env("PYTHONPATH", SELFTESTS_TOOLS)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HIDBPF_REPORT", SOCKET)
        .env("HIDBPF_TESTS", TESTS)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("failed to copy a file descriptor")?)
        .stderr(log)
        .spawn()
        .context("failed to start pytest")
}

/// Returns the files that contain the tests, each once: pytest takes long over a file with many tests.
fn files(tests: &[String]) -> BTreeSet<&str> {
    tests.iter().map(|test| test.split_once("::").map_or(test.as_str(), |(file, _)| file)).collect()
}

/// Returns the end of pytest's output.
fn log() -> String {
    let text = fs::read_to_string(LOG).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].iter().map(|line| format!("\n  {line}")).collect()
}

/// The number of tests by outcome.
#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// Turns the plugin's lines into messages to the host.
struct Relay<'a> {
    tests: &'a [String],
    bench: &'a mut Bench,
    port: &'a mut Port,
    tally: Tally,
}

impl Relay<'_> {
    /// Reads until the plugin closes the socket.
    fn run(&mut self, mut plugin: &UnixStream) -> Result<()> {
        let mut outcome = Outcome::Passed;
        let mut begun = Instant::now();
        for line in BufReader::new(plugin).lines() {
            let line = line.context("failed to read from pytest's plugin")?;
            match serde_json::from_str(&line).with_context(|| format!("failed to read `{line}`"))? {
                Line::Collected(found) => self.collected(&found)?,
                Line::Begin(test) => {
                    begun = Instant::now();
                    outcome = Outcome::Passed;
                    self.bench.take_log();
                    self.port.send(&Message::Begin { case: test })?;
                }
                Line::Phase { outcome: word, why } => {
                    add(
                        &mut outcome,
                        if word == "skipped" { Outcome::Skipped { why } } else { Outcome::Failed { why } },
                    );
                }
                Line::End(test) => {
                    if let Err(error) = self.bench.check_clean() {
                        add(&mut outcome, Outcome::Failed { why: format!("afterwards: {error:#}") });
                    }
                    self.end(test, outcome.clone(), begun.elapsed())?;
                    plugin.write_all(b"\n").context("failed to answer pytest")?;
                }
            }
        }
        Ok(())
    }

    /// Announces the number of outcomes, and reports the tests that pytest has not found.
    fn collected(&mut self, found: &BTreeSet<String>) -> Result<()> {
        let release =
            fs::read_to_string("/proc/sys/kernel/osrelease").context("failed to read the kernel's release")?;
        self.port.send(&Message::Ready { release: release.trim().to_owned(), cases: self.tests.len() })?;
        for test in self.tests.iter().filter(|test| !found.contains(*test)) {
            self.port.send(&Message::Begin { case: test.clone() })?;
            let why = "pytest has not found it on this kernel".to_owned();
            self.end(test.clone(), Outcome::Failed { why }, Duration::ZERO)?;
        }
        Ok(())
    }

    fn end(&mut self, test: String, mut outcome: Outcome, took: Duration) -> Result<()> {
        match &mut outcome {
            Outcome::Passed => self.tally.passed += 1,
            Outcome::Skipped { .. } | Outcome::NotHere { .. } => self.tally.skipped += 1,
            Outcome::Failed { why } => {
                self.tally.failed += 1;
                let log = self.bench.take_log();
                if !log.is_empty() {
                    *why += &format!("\nudevd's log:\n{log}");
                }
            }
        }
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.port.send(&Message::Outcome { case: test, outcome, millis })
    }

    /// Sends the verdict, if all tests have run.
    fn close(&mut self) -> Result<()> {
        let Tally { passed, failed, skipped } = self.tally;
        let (run, all) = (passed + failed + skipped, self.tests.len());
        if run != all {
            bail!("pytest has ended after {run} of {all} tests{}", log());
        }
        self.port.send(&Message::Verdict { passed, failed, skipped })
    }
}

/// Adds the outcome of a phase to that of the whole test. A failure outweighs everything.
fn add(whole: &mut Outcome, phase: Outcome) {
    match (&mut *whole, phase) {
        (Outcome::Failed { why }, Outcome::Failed { why: more }) => *why = format!("{why}\n{more}"),
        (Outcome::Failed { .. }, _) => {}
        (_, phase) => *whole = phase,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_outweighs_what_other_phases_say() {
        let failed = |why: &str| Outcome::Failed { why: why.to_owned() };
        let skipped = Outcome::Skipped { why: "no tilt".to_owned() };
        let mut outcome = Outcome::Passed;
        add(&mut outcome, skipped.clone());
        assert_eq!(outcome, skipped);
        add(&mut outcome, failed("teardown"));
        add(&mut outcome, skipped);
        add(&mut outcome, failed("once more"));
        assert_eq!(outcome, failed("teardown\nonce more"));
    }

    #[test]
    fn lines_of_the_plugin_are_read() {
        let line = |text: &str| serde_json::from_str::<Line>(text);
        assert!(matches!(line(r#"{"collected": ["a", "b"]}"#), Ok(Line::Collected(names)) if names.len() == 2));
        assert!(matches!(line(r#"{"begin": "a"}"#), Ok(Line::Begin(_))));
        assert!(matches!(line(r#"{"phase": {"outcome": "failed", "why": "x"}}"#), Ok(Line::Phase { .. })));
        assert!(line(r#"{"phase": {"outcome": "failed"}}"#).is_err());
    }

    #[test]
    fn each_file_is_named_once() {
        let tests = ["tests/b.py::T::a[x::y]", "tests/a.py::T::b", "tests/b.py::T::c"].map(str::to_owned);
        assert_eq!(files(&tests).into_iter().collect::<Vec<_>>(), ["tests/a.py", "tests/b.py"]);
    }
}
