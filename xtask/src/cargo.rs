//! Runs cargo, and shows its progress.
//!
//! Cargo draws its progress only on terminals, unless an option requests it. This module requests it and parses it, because only cargo
//! knows how much there is to do.

use std::ffi::OsStr;
use std::io::{BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result};
use cargo_metadata::Message;
use hidbpf_lab::process;
use hidbpf_lab::screen::{self, Step};

/// Cargo's status words, each at the start of a line.
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

/// The status words that explain a long wait.
const SLOW: [&str; 4] = ["Blocking", "Downloading", "Fetch", "Updating"];

/// Returns a command for the cargo that runs this program, in the folder `root`.
pub fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = by(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), root);
    command.args(arguments);
    command
}

/// Returns a command for a program that is cargo or starts one, in the folder `root`.
pub fn by(program: impl AsRef<OsStr>, root: &Path) -> Command {
    let mut command = process::command(program);
    // These describe the running package, not the packages to build.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&*name);
        }
    }
    command.current_dir(root);
    command
}

/// Runs a building command of cargo, and calls `heard` with each of its messages.
///
/// Prints the compilers' output. `last` are the arguments after `--`. Returns true if cargo succeeded.
///
/// # Errors
/// It can't be started, or its output can't be read.
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

/// Reads cargo's output for users, to its end.
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

/// A line of cargo's output.
#[derive(Debug, PartialEq, Eq)]
enum Said<'a> {
    /// Its progress: `Building [===>   ] 44/81: syn, object`.
    Progress { done: usize, total: usize, what: &'a str },
    /// Other work that takes long.
    Slow(&'a str),
    /// A status, or an empty line.
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
