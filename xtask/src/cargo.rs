//! Runs cargo, and shows its progress.
//!
//! Cargo draws its progress on terminals only, unless it is told to. It is told to, and what it draws is read: it alone knows
//! how much there is to do.

use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};
use cargo_metadata::Message;

use crate::process;
use crate::screen::{self, Step};

/// What cargo tells of its work by, one word at the start of a line.
const STATUS: [&str; 22] = [
    "Adding",
    "Blocking",
    "Building",
    "Checking",
    "Compiling",
    "Documenting",
    "Doc-tests",
    "Downloaded",
    "Downloading",
    "Executable",
    "Fetch",
    "Finished",
    "Fresh",
    "Generated",
    "Installing",
    "Locking",
    "Removing",
    "Running",
    "Scraping",
    "Updating",
    "Upgrading",
    "Waiting",
];

/// Those of them that say why it takes long.
const SLOW: [&str; 4] = ["Blocking", "Downloading", "Fetch", "Updating"];

/// Cargo, as the one that runs this program, in the folder `root`.
pub fn command(root: &Path, arguments: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = process::command(program);
    // These describe the package that is run, not those that are built.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command.current_dir(root).args(arguments);
    command
}

/// Runs a command of cargo's that builds, and calls `heard` with each of its messages. What compilers have to say is printed.
/// Arguments after `--` are `last`.
///
/// # Errors
/// It can't be started, or what it says can't be read. Whether it succeeded is the result.
pub fn run(mut command: Command, last: &[&str], step: &Step, heard: &mut dyn FnMut(Message)) -> Result<bool> {
    let format = if screen::is_live() { "json-diagnostic-rendered-ansi" } else { "json" };
    command.arg("--message-format").arg(format).args(last);
    command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", "200");
    command.env("CARGO_TERM_COLOR", "never");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("failed to start `cargo`")?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = stdout.zip(stderr).context("failed to read what `cargo` says")?;
    let read = thread::scope(|scope| {
        scope.spawn(|| follow(stderr, step));
        for message in Message::parse_stream(BufReader::new(stdout)) {
            let message = message.context("failed to read what `cargo` says")?;
            if let Message::CompilerMessage(said) = &message
                && let Some(text) = &said.message.rendered
            {
                screen::line(text.trim_end());
            }
            heard(message);
        }
        Ok(())
    });
    let status = child.wait().context("failed to wait for `cargo`")?;
    read.map(|()| status.success())
}

/// Reads what cargo writes for people, to its end.
fn follow(stderr: impl Read, step: &Step) {
    let mut rest = Vec::new();
    for byte in BufReader::new(stderr).bytes().map_while(Result::ok) {
        if !matches!(byte, b'\n' | b'\r') {
            rest.push(byte);
            continue;
        }
        let line = String::from_utf8_lossy(&rest).into_owned();
        rest.clear();
        match Said::parse(&line) {
            Said::Progress { done, total, what } => step.at(done, total, what),
            Said::Slow(what) => step.say(what),
            Said::Status => {}
            Said::Other(line) => screen::line(line),
        }
    }
}

/// A line of cargo's.
#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    /// How far it is: `Building [===>   ] 44/81: syn, object`.
    Progress { done: usize, total: usize, what: &'a str },
    /// What takes long beside that.
    Slow(&'a str),
    /// What it does or has done, or nothing.
    Status,
    /// An error or a warning.
    Other(&'a str),
}

impl<'a> Said<'a> {
    fn parse(line: &'a str) -> Self {
        let text = line.trim_start_matches("\u{1b}[K").trim();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        if word.is_empty() || !STATUS.contains(&word) {
            return if text.is_empty() { Self::Status } else { Self::Other(line) };
        }
        if rest.starts_with('[')
            && let Some((_, counts)) = rest.split_once("] ")
        {
            let (counts, what) = counts.split_once(": ").unwrap_or((counts, ""));
            let counts =
                counts.split_once('/').and_then(|(done, total)| Some((done.parse().ok()?, total.parse().ok()?)));
            return counts.map_or(Self::Status, |(done, total)| Self::Progress { done, total, what });
        }
        if SLOW.contains(&word) { Self::Slow(text) } else { Self::Status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_is_told_apart() {
        for (line, said) in [
            (
                "    Building [=======>     ] 44/81: object, syn(build)   ",
                Said::Progress { done: 44, total: 81, what: "object, syn(build)" },
            ),
            ("    Building [>     ] 0/81", Said::Progress { done: 0, total: 81, what: "" }),
            ("   Compiling syn v2.0.119", Said::Status),
            ("    Finished `dev` profile [unoptimized + debuginfo] target(s) in 1m 07s", Said::Status),
            ("", Said::Status),
            ("    Updating crates.io index", Said::Slow("Updating crates.io index")),
            (
                "    Blocking waiting for file lock on build directory",
                Said::Slow("Blocking waiting for file lock on build directory"),
            ),
            ("error: no such command: `fly`", Said::Other("error: no such command: `fly`")),
            ("  --> src/main.rs:1:1", Said::Other("  --> src/main.rs:1:1")),
        ] {
            assert_eq!(Said::parse(line), said, "{line}");
        }
    }
}
