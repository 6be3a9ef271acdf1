//! Running a program from one of its system calls to the next, with time to do something in between: to look, to kill it, or to
//! have the call fail.
//!
//! Only the program's first thread is followed: hidbpf does all its work there.

use std::fmt;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::monitor::PATIENCE;
use crate::process::{Run, Started};

/// A system call that a program is about to make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: i64,
    /// Its first argument.
    pub argument: u64,
}

impl Call {
    /// Whether this is bpf(), with one of these commands of `enum bpf_cmd`.
    pub fn is_bpf(&self, commands: &[u64]) -> bool {
        self.number == libc::SYS_bpf && commands.contains(&self.argument)
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            libc::SYS_bpf => write!(f, "bpf({})", self.argument),
            number if FOLDERS.contains(&number) => f.write_str("mkdir"),
            number if RENAMES.contains(&number) => f.write_str("rename"),
            other => write!(f, "system call {other}"),
        }
    }
}

/// The calls that make directories.
#[cfg(target_arch = "x86_64")]
pub const FOLDERS: &[i64] = &[libc::SYS_mkdir, libc::SYS_mkdirat];
/// The calls that make directories.
#[cfg(target_arch = "aarch64")]
pub const FOLDERS: &[i64] = &[libc::SYS_mkdirat];

/// The calls that give files their names.
#[cfg(target_arch = "x86_64")]
pub const RENAMES: &[i64] = &[libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2];
/// The calls that give files their names.
#[cfg(target_arch = "aarch64")]
pub const RENAMES: &[i64] = &[libc::SYS_renameat, libc::SYS_renameat2];

/// Where registers have the call that a program is about to make.
#[cfg(target_arch = "x86_64")]
fn call_in(registers: &libc::user_regs_struct) -> Call {
    Call { number: registers.orig_rax.cast_signed(), argument: registers.rdi }
}
#[cfg(target_arch = "aarch64")]
fn call_in(registers: &libc::user_regs_struct) -> Call {
    Call { number: registers.regs[8].cast_signed(), argument: registers.regs[0] }
}

/// Changes registers so that the call is not made and has failed with this errno.
#[cfg(target_arch = "x86_64")]
fn refuse_in(registers: &mut libc::user_regs_struct, errno: Errno) -> Result<()> {
    const NO_CALL: u64 = u64::MAX;
    registers.orig_rax = NO_CALL;
    registers.rax = i64::from(-(errno as i32)).cast_unsigned();
    Ok(())
}
#[cfg(target_arch = "aarch64")]
fn refuse_in(_: &mut libc::user_regs_struct, _: Errno) -> Result<()> {
    bail!("a call can't be refused here: on arm64 its number is in no register that a tracer sets")
}

/// A program that stops at some of its system calls, before the kernel has seen them.
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
    /// Starts a command that asks to be traced, and to be stopped at system calls, before it becomes the program.
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
            Options::PTRACE_O_TRACESECCOMP
                | Options::PTRACE_O_TRACEEXIT
                | Options::PTRACE_O_TRACEEXEC
                | Options::PTRACE_O_TRACESYSGOOD
                | Options::PTRACE_O_EXITKILL,
        )
        .context("failed to set up tracing")?;
        Ok(Traced { started, pid, signal: None, ended: None, peak_kib: 0, _watchdog: watchdog })
    }

    /// Lets the program run to the next call that it stops at; `None` when the program has ended.
    ///
    /// # Errors
    /// The kernel doesn't let it be traced on.
    pub fn next_call(&mut self) -> Result<Option<Call>> {
        while self.ended.is_none() {
            if self.step()? {
                return Ok(Some(call_in(&self.registers()?)));
            }
        }
        Ok(None)
    }

    /// Has the call that the program is about to make fail with this errno, without the kernel's seeing it.
    ///
    /// # Errors
    /// The kernel doesn't let the registers be set.
    pub fn refuse(&self, errno: Errno) -> Result<()> {
        let mut registers = self.registers()?;
        refuse_in(&mut registers, errno)?;
        ptrace::setregs(self.pid, registers).context("failed to set the registers of a traced program")
    }

    fn registers(&self) -> Result<libc::user_regs_struct> {
        ptrace::getregs(self.pid).context("failed to read the registers of a traced program")
    }

    /// Lets the program run to its end, and returns how it ended, and the most memory that it had at once, in KiB.
    ///
    /// # Errors
    /// The kernel doesn't let it be traced on.
    pub fn finish(mut self) -> Result<(Run, u64)> {
        while self.next_call()?.is_some() {}
        let status = self.ended.context("a traced program ended without a status")?;
        Ok((self.started.ended(status)?, self.peak_kib))
    }

    /// Lets the call that the program has stopped at be done, and returns the processor time that it took.
    ///
    /// # Errors
    /// The kernel doesn't let it be traced on.
    pub fn spent_in_call(&mut self) -> Result<Duration> {
        let before = self.on_processor()?;
        ptrace::syscall(self.pid, self.signal.take()).context("failed to let a traced program go on")?;
        match wait(self.pid)? {
            WaitStatus::PtraceSyscall(_) => Ok(self.on_processor()?.saturating_sub(before)),
            other => bail!("expected the end of a system call, got {other:?}"),
        }
    }

    fn on_processor(&self) -> Result<Duration> {
        let clock = ClockId::pid_cpu_clock_id(self.pid).context("a traced program has no clock")?;
        Ok(clock.now().context("failed to read the clock of a traced program")?.into())
    }

    /// Lets the program run to its end, and returns how it ended, and how many system calls it has made.
    ///
    /// # Errors
    /// The kernel doesn't let it be traced on.
    pub fn count_calls(mut self) -> Result<(Run, u64)> {
        let mut stops: u64 = 0;
        while self.ended.is_none() {
            ptrace::syscall(self.pid, self.signal.take()).context("failed to let a traced program go on")?;
            match wait(self.pid)? {
                WaitStatus::PtraceSyscall(_) => stops += 1,
                other => self.note(other)?,
            }
        }
        let status = self.ended.context("a traced program ended without a status")?;
        // A call begins and ends; the last one only begins.
        Ok((self.started.ended(status)?, stops.div_ceil(2)))
    }

    /// Lets the program run to its next stop; true where that is a system call.
    fn step(&mut self) -> Result<bool> {
        ptrace::cont(self.pid, self.signal.take()).context("failed to let a traced program go on")?;
        match wait(self.pid)? {
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_SECCOMP as i32 => Ok(true),
            other => self.note(other).map(|()| false),
        }
    }

    /// Remembers what a stop says that is no system call.
    fn note(&mut self, stop: WaitStatus) -> Result<()> {
        match stop {
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_SECCOMP as i32 => {}
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_EXIT as i32 => {
                self.peak_kib = self.read_peak()?;
            }
            // It has become another program, which is followed too.
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => {}
            WaitStatus::Stopped(_, other) => self.signal = Some(other),
            WaitStatus::Exited(_, code) => self.ended = Some(ExitStatus::from_raw(code << 8)),
            WaitStatus::Signaled(_, signal, _) => self.ended = Some(ExitStatus::from_raw(signal as i32)),
            other => bail!("unexpected stop of a traced program: {other:?}"),
        }
        Ok(())
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
            Err(Errno::EINTR) => {}
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
