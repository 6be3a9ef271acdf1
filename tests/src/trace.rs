//! Runs a program from one of its system calls to the next, so that a test can inspect it, kill it, or make the call fail.
//!
//! Only the program's first thread is followed, because hidbpf does all its work there.

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
    /// Returns true if this is bpf(), with one of these commands of `enum bpf_cmd`.
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

/// The registers of the call that a program is about to make.
#[cfg(target_arch = "x86_64")]
fn call_in(registers: &libc::user_regs_struct) -> Call {
    Call { number: registers.orig_rax.cast_signed(), argument: registers.rdi }
}
#[cfg(target_arch = "aarch64")]
fn call_in(registers: &libc::user_regs_struct) -> Call {
    Call { number: registers.regs[8].cast_signed(), argument: registers.regs[0] }
}

/// Changes registers so that the call fails with this errno and is not made.
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

/// A program that stops at some of its system calls, before the kernel handles them.
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
    /// It can't be started, or does not stop when it becomes the program.
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

    /// Runs the program to the next call that it stops at. Returns `None` if the program has ended.
    ///
    /// # Errors
    /// The kernel does not continue the trace.
    pub fn next_call(&mut self) -> Result<Option<Call>> {
        while self.ended.is_none() {
            if self.step()? {
                return Ok(Some(call_in(&self.registers()?)));
            }
        }
        Ok(None)
    }

    /// Makes the call that the program is about to make fail with this errno. The kernel does not see the call.
    ///
    /// # Errors
    /// The kernel does not set the registers.
    pub fn refuse(&self, errno: Errno) -> Result<()> {
        let mut registers = self.registers()?;
        refuse_in(&mut registers, errno)?;
        ptrace::setregs(self.pid, registers).context("failed to set the registers of a traced program")
    }

    fn registers(&self) -> Result<libc::user_regs_struct> {
        ptrace::getregs(self.pid).context("failed to read the registers of a traced program")
    }

    /// Runs the program to its end. Returns its result, and its peak memory in KiB.
    ///
    /// # Errors
    /// The kernel does not continue the trace.
    pub fn finish(mut self) -> Result<(Run, u64)> {
        while self.next_call()?.is_some() {}
        let status = self.ended.context("a traced program ended without a status")?;
        Ok((self.started.ended(status)?, self.peak_kib))
    }

    /// Runs the call that the program has stopped at, and returns its processor time.
    ///
    /// # Errors
    /// The kernel does not continue the trace.
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

    /// Runs the program to its end. Returns its result, and the number of its system calls.
    ///
    /// # Errors
    /// The kernel does not continue the trace.
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
        // A call stops at its begin and at its end; the last one only begins.
        Ok((self.started.ended(status)?, stops.div_ceil(2)))
    }

    /// Runs the program to its next stop. Returns true if that is a system call.
    fn step(&mut self) -> Result<bool> {
        ptrace::cont(self.pid, self.signal.take()).context("failed to let a traced program go on")?;
        match wait(self.pid)? {
            WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_SECCOMP as i32 => Ok(true),
            other => self.note(other).map(|()| false),
        }
    }

    /// Records a stop that is not a system call.
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

    /// Kills the program at its current stop.
    ///
    /// # Errors
    /// The kernel does not continue the trace.
    pub fn kill(mut self) -> Result<()> {
        self.started.child.kill().context("failed to kill a traced program")?;
        while !matches!(wait(self.pid)?, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
            // This is its last stop. The kernel may continue it by itself.
            let _ = ptrace::cont(self.pid, None);
        }
        Ok(())
    }

    /// Returns a line of the program's `/proc/<pid>/status`, without its name: `CapEff`, `NoNewPrivs`.
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

/// Kills the program if the sender lives longer than the usual limit, because waiting for a traced program has no deadline.
fn watch(pid: Pid) -> Result<Sender<()>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("watchdog".to_owned())
        .spawn(move || {
            if receiver.recv_timeout(PATIENCE) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // It may have just ended by itself, which is not a failure.
                let _ = nix::sys::signal::kill(pid, Signal::SIGKILL);
            }
        })
        .context("failed to start a thread")?;
    Ok(sender)
}
