//! Runs a program to its end, within a deadline, and collects its output.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::monitor::PATIENCE;

/// Returns a command with the environment of a system's services. The first process inherits none from the kernel.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin").env("LANG", "C.UTF-8");
    command
}

/// A program that has ended.
#[derive(Clone, Debug)]
pub struct Run {
    /// The command line.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Run {
    /// Runs `command` to its end.
    ///
    /// # Errors
    /// It can't be started, or it does not end within [`PATIENCE`] and is killed.
    pub fn of(command: &mut Command) -> Result<Run> {
        Run::within(PATIENCE, command)
    }

    /// The same for a command that may take `time`.
    ///
    /// # Errors
    /// It can't be started, or it does not end within `time` and is killed.
    pub fn within(time: Duration, command: &mut Command) -> Result<Run> {
        Started::new(command)?.finish_within(time)
    }

    /// Requires this exit code.
    ///
    /// # Errors
    /// It ended otherwise; the message has all of its output.
    pub fn expect(self, code: i32) -> Result<Run> {
        ensure!(self.status.code() == Some(code), "expected exit code {code}\n{self}");
        Ok(self)
    }

    /// Requires `words` in the standard error, in any case.
    ///
    /// # Errors
    /// They are missing; the message has all of its output.
    pub fn says(self, words: &str) -> Result<Run> {
        let talk = self.stderr.to_lowercase();
        ensure!(talk.contains(&words.to_lowercase()), "expected `{words}` on stderr\n{self}");
        Ok(self)
    }

    /// Requires `words` in the standard output.
    ///
    /// # Errors
    /// They are missing; the message has all of its output.
    pub fn answers(self, words: &str) -> Result<Run> {
        ensure!(self.stdout.contains(words), "expected `{words}` on stdout\n{self}");
        Ok(self)
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "`{}` ended with {}", self.command, self.status)?;
        for (label, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            for line in text.lines() {
                writeln!(f, "  {label}: {line}")?;
            }
        }
        Ok(())
    }
}

/// A running program whose output is kept in memory.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    command: String,
    stdout: File,
    stderr: File,
}

impl Started {
    /// Starts `command`, with an empty standard input.
    ///
    /// # Errors
    /// It can't be started.
    pub fn new(command: &mut Command) -> Result<Started> {
        let words: Vec<_> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(|w| w.to_string_lossy()).collect();
        let words = words.join(" ");
        let (stdout, stderr) = (buffer("stdout")?, buffer("stderr")?);
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().context("failed to copy a file descriptor")?)
            .stderr(stderr.try_clone().context("failed to copy a file descriptor")?)
            .spawn()
            .with_context(|| format!("failed to start `{words}`"))?;
        Ok(Started { child, command: words, stdout, stderr })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end within [`PATIENCE`] and is killed.
    pub fn finish(self) -> Result<Run> {
        self.finish_within(PATIENCE)
    }

    fn finish_within(mut self, time: Duration) -> Result<Run> {
        let ended = poll_readable(&pidfd(&self.child)?, time)?;
        if !ended {
            self.child.kill().with_context(|| format!("failed to kill `{}`", self.command))?;
        }
        let status = self.child.wait().with_context(|| format!("failed to wait for `{}`", self.command))?;
        let run = self.ended(status)?;
        if !ended {
            bail!("`{}` was killed, for it ran for {} s\n{run}", run.command, time.as_secs());
        }
        Ok(run)
    }

    /// Collects its output after other code has waited for it.
    ///
    /// # Errors
    /// Its output can't be read back.
    pub fn ended(mut self, status: ExitStatus) -> Result<Run> {
        Ok(Run { status, stdout: text(&mut self.stdout)?, stderr: text(&mut self.stderr)?, command: self.command })
    }
}

fn pidfd(child: &Child) -> Result<OwnedFd> {
    pidfd_open(Pid::from_child(child), PidfdFlags::empty()).context("failed to open a process")
}

/// Waits until a descriptor is readable, or a process has ended. Returns false at the deadline.
///
/// # Errors
/// The kernel can't wait for it.
pub fn poll_readable(fd: &impl AsFd, deadline: Duration) -> Result<bool> {
    loop {
        match poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timespec(deadline))) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("failed to wait for a file descriptor"),
        }
    }
}

/// Converts a duration for the kernel.
fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}

fn buffer(name: &str) -> Result<File> {
    Ok(memfd_create(name, MemfdFlags::CLOEXEC).context("failed to make a file in memory")?.into())
}

fn text(file: &mut File) -> Result<String> {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).context("failed to read a program's output")?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
