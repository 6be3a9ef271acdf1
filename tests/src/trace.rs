//! Running a program from one of its bpf() calls to the next, with time to do something in between.
//!
//! Only the program's first thread is followed: hidbpf does all its work there.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result, bail};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::monitor::PATIENCE;
use crate::process::{Run, Started};

/// A program that stops at each of its bpf() calls, before the kernel has seen it.
#[derive(Debug)]
pub struct Traced {
    started: Started,
    pid: Pid,
    signal: Option<Signal>,
    ended: Option<ExitStatus>,
    peak_kib: u64,
    _watchdog: Sender<()>,
}

impl Traced {
    /// Starts a command that asks to be traced, and to be stopped at bpf() calls, before it becomes the program.
    ///
    /// # Errors
    /// It can't be started, or doesn't stop when it becomes the program.
    pub fn new(command: &mut Command) -> Result<Traced> {
        let started = Started::new(command)?;
        let pid = Pid::from_raw(started.child.id().cast_signed());
        let watchdog = watch(pid)?;
        match wait(pid)? {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            other => bail!("expected the stop of an exec, got {other:?}"),
        }
        ptrace::setoptions(
            pid,
            Options::PTRACE_O_TRACESECCOMP | Options::PTRACE_O_TRACEEXIT | Options::PTRACE_O_EXITKILL,
        )
        .context("failed to set up tracing")?;
        Ok(Traced { started, pid, signal: None, ended: None, peak_kib: 0, _watchdog: watchdog })
    }

    /// Lets the program run to its next bpf() call and returns the call's command, `BPF_*` of `enum bpf_cmd`; `None` when the
    /// program has ended.
    ///
    /// # Errors
    /// The kernel doesn't let it be traced on.
    pub fn next_bpf(&mut self) -> Result<Option<u64>> {
        while self.ended.is_none() {
            if self.step()? {
                return self.bpf_command().map(Some);
            }
        }
        Ok(None)
    }

    /// Lets the program run to its end, and returns how it ended, and the most memory that it had at once, in KiB.
    ///
    /// # Errors
    /// The kernel doesn't let it be traced on.
    pub fn finish(mut self) -> Result<(Run, u64)> {
        while self.next_bpf()?.is_some() {}
        let status = self.ended.context("a traced program ended without a status")?;
        Ok((self.started.ended(status)?, self.peak_kib))
    }

    /// Lets the program run to its next stop; true where that is a bpf() call.
    fn step(&mut self) -> Result<bool> {
        ptrace::cont(self.pid, self.signal.take()).context("failed to let a traced program go on")?;
        match wait(self.pid)? {
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_SECCOMP as i32 => return Ok(true),
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_EXIT as i32 => {
                self.peak_kib = self.read_peak()?;
            }
            WaitStatus::Stopped(_, other) => self.signal = Some(other),
            WaitStatus::Exited(_, code) => self.ended = Some(ExitStatus::from_raw(code << 8)),
            WaitStatus::Signaled(_, signal, _) => self.ended = Some(ExitStatus::from_raw(signal as i32)),
            other => bail!("unexpected stop of a traced program: {other:?}"),
        }
        Ok(false)
    }

    /// Kills the program where it stands.
    ///
    /// # Errors
    /// The kernel doesn't let it be traced on.
    pub fn kill(mut self) -> Result<()> {
        self.started.child.kill().context("failed to kill a traced program")?;
        while !matches!(wait(self.pid)?, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
            // Its last stop, of which the kernel may let it go by itself.
            let _ = ptrace::cont(self.pid, None);
        }
        Ok(())
    }

    /// The first argument of the call that the program has stopped at.
    fn bpf_command(&self) -> Result<u64> {
        let text = self.read("syscall")?;
        let argument = text.split_whitespace().nth(1).context("a system call without arguments")?;
        let number = u64::from_str_radix(argument.trim_start_matches("0x"), 16);
        number.with_context(|| format!("`{argument}` is no argument of a system call"))
    }

    /// A line of the program's `/proc/<pid>/status`, without its name: `CapEff`, `NoNewPrivs`.
    ///
    /// # Errors
    /// The kernel has no such line.
    pub fn status(&self, name: &str) -> Result<String> {
        let text = self.read("status")?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("the kernel has no `{name}` in its status"))?.trim().to_owned())
    }

    fn read_peak(&self) -> Result<u64> {
        self.status("VmHWM")?.trim_end_matches(" kB").parse().context("failed to read the peak memory")
    }

    fn read(&self, file: &str) -> Result<String> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).with_context(|| format!("failed to read `{path}`"))
    }
}

fn wait(pid: Pid) -> Result<WaitStatus> {
    loop {
        match waitpid(pid, Some(WaitPidFlag::__WALL)) {
            Err(nix::errno::Errno::EINTR) => {}
            result => return result.context("failed to wait for a traced program"),
        }
    }
}

/// Kills the program where the sender lives for longer than the usual patience: a wait for a traced program has no deadline.
fn watch(pid: Pid) -> Result<Sender<()>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // That it has just ended by itself is no failure.
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
            }
        })
        .context("failed to start a thread")?;
    Ok(sender)
}
