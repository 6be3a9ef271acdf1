//! Runs one virtual machine, watches it, and says how it ended.
//!
//! The first serial port is the kernel's console, the second the guest's messages. QEMU writes both to files under
//! `target/vm/logs`, which are read as they grow and stay there for whoever wants to look. The machine ends at once when its
//! console shows trouble, when the guest breaks the protocol, or when it has been silent for too long.

use std::fmt;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::console::Console;
use crate::kernels::Architecture;
use crate::process;
use crate::protocol::Message;
use crate::transcript::{Tally, Transcript};

/// The emulator for this machine's own kind of processors.
const QEMU: &str = "qemu-system-x86_64";

/// The emulator for arm64. Its machine has a console of another kind, and the other port on PCI.
const QEMU_ARM64: &str = "qemu-system-aarch64";

/// How often the machine is looked at.
const TICK: Duration = Duration::from_millis(20);

/// How long a kernel in trouble may go on, so that the trace of its trouble gets to the console.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long a machine may take to end after its verdict.
const SHUTDOWN: Duration = Duration::from_secs(60);

/// What the kernel is told.
///
/// A panic ends the machine at once (`panic=-1` reboots and QEMU is told not to), and every oops and warning is a panic.
/// The guest's time goes on while its processor waits for one of the host's, so a stall has to be long to be one.
/// The SpaceNavigator has a kernel driver of its own, which refuses virtual devices: the quirk, HID_QUIRK_IGNORE_SPECIAL_DRIVER,
/// gives it to hid-generic.
const COMMAND_LINE: &str = "loglevel=5 panic=-1 oops=panic panic_on_warn=1 \
                            rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=30 \
                            usbhid.quirks=0x046d:0xc626:0x400000";

/// What it is told too where it is tested. It checks its slab caches at each allocation and each end of one, with zones around the objects that
/// nobody may write, and counts the objects exactly: Documentation/mm/slub.rst, in newer kernels Documentation/admin-guide/mm/slab.rst.
const CHECKS: &str = "slub_debug=FZ";

/// How the guest's processor is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// By the host's.
    Kvm,
    /// By emulation.
    Tcg,
    /// By emulation in which each instruction takes one nanosecond of the guest's time.
    CountedTcg,
}

impl Accelerator {
    /// KVM where a machine can really be started with it, and otherwise emulation.
    ///
    /// The device is often there on machines that are virtual themselves, and does not work.
    pub fn probe() -> Self {
        let works = || -> Option<bool> {
            File::options().read(true).write(true).open("/dev/kvm").ok()?;
            let mut command = process::command(QEMU);
            command.args([
                "-nodefaults",
                "-display",
                "none",
                "-accel",
                "kvm",
                "-cpu",
                "host",
                "-S",
                "-monitor",
                "stdio",
            ]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
            child.stdin.take()?.write_all(b"quit\n").ok()?;
            Some(child.wait().ok()?.success())
        };
        if works() == Some(true) { Self::Kvm } else { Self::Tcg }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            // One CPU: with two, newer kernels crash under emulation while they patch their own code.
            Self::Tcg => &["-accel", "tcg"],
            Self::CountedTcg => &["-accel", "tcg", "-icount", "shift=0,sleep=off"],
        }
    }
}

/// How long a machine may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From one message to the next.
    pub silence: Duration,
    /// In all.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { silence: Duration::from_secs(10 * 60), whole: Duration::from_secs(45 * 60) }
    }
}

/// A machine to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The kernel's image.
    pub image: PathBuf,
    /// The first root.
    pub initramfs: PathBuf,
    /// What its kernel is for.
    pub architecture: Architecture,
    /// A disk with the root that comes after it, which is written to.
    pub disk: Option<PathBuf>,
    /// How it runs.
    pub accelerator: Accelerator,
    /// Whether the kernel checks its memory at each step, which takes time.
    pub is_checked: bool,
    /// How long it may run.
    pub limits: Limits,
    /// Where its logs go.
    pub logs: Logs,
}

/// The files that a machine writes.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The kernel's console.
    pub console: PathBuf,
    /// The guest's messages.
    pub protocol: PathBuf,
    /// What QEMU itself says.
    pub qemu: PathBuf,
}

impl Logs {
    /// The logs of the machine called `name`, empty.
    ///
    /// # Errors
    /// They can't be written.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        let log = |kind: &str| -> Result<PathBuf> {
            let path = folder.join(format!("{name}.{kind}.log"));
            File::create(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
            Ok(path)
        };
        Ok(Self { console: log("console")?, protocol: log("protocol")?, qemu: log("qemu")? })
    }
}

impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logs: {} and {}", self.console.display(), self.protocol.display())
    }
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest gave a verdict that can be believed.
    Verdict(Tally),
    /// The kernel broke under the guest.
    Crashed {
        /// What was seen.
        why: String,
        /// During which case.
        case: Option<String>,
        /// The end of the console.
        console: String,
    },
    /// Nothing can be said about what was tested.
    Broken {
        /// What was seen.
        why: String,
        /// The end of the console, or QEMU's own words.
        console: String,
    },
}

/// Kills QEMU when it goes out of scope, however that happens.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already, and then nothing is left to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    /// Runs the machine to its end and calls `heard` with each message.
    ///
    /// # Errors
    /// QEMU can't be started or its logs can't be read.
    pub fn run(&self, heard: &mut dyn FnMut(&Message)) -> Result<End> {
        let mut running = Running(self.command()?.spawn().context("failed to start QEMU")?);
        let mut watch = Watch::open(self)?;
        loop {
            // Asked before the logs are read: what it wrote before it ended is then all there.
            let status = running.0.try_wait().with_context(|| format!("failed to wait for `{QEMU}`"))?;
            if let Some(end) = watch.look(status.map(|status| status.success()), heard)? {
                return Ok(end);
            }
            sleep(TICK);
        }
    }

    fn command(&self) -> Result<Command> {
        let (qemu, console) = match self.architecture {
            Architecture::Amd64 => (QEMU, "ttyS0"),
            Architecture::Arm64 => (QEMU_ARM64, "ttyAMA0"),
        };
        let (first, second) = (self.logs.console.display(), self.logs.protocol.display());
        // Linux kills it if this program dies first, by whatever means.
        let mut command = process::command("setpriv");
        command.args(["--pdeathsig", "KILL", "--", qemu, "-no-user-config", "-nodefaults", "-display", "none"]);
        command.arg("-serial").arg(format!("file:{first}"));
        match self.architecture {
            Architecture::Amd64 => command.args(["-M", "q35"]).arg("-serial").arg(format!("file:{second}")),
            Architecture::Arm64 => command
                .args(["-M", "virt", "-cpu", "cortex-a72", "-device", "pci-serial,chardev=second"])
                .arg("-chardev")
                .arg(format!("file,id=second,path={second}")),
        };
        command.args(["-m", "1024", "-smp", "1", "-no-reboot"]).args(self.accelerator.arguments());
        // A mouse on USB, for the case that loads the module of the host controller.
        command.args(["-device", "qemu-xhci", "-device", "usb-mouse"]);
        command.arg("-kernel").arg(&self.image).arg("-initrd").arg(&self.initramfs);
        let mut line = format!("console={console} {COMMAND_LINE}");
        if self.is_checked {
            line = format!("{line} {CHECKS}");
        }
        if let Some(disk) = &self.disk {
            // Commas separate options, two of them are one.
            let disk = disk.to_string_lossy().replace(',', ",,");
            command.arg("-drive").arg(format!("file={disk},format=raw,if=virtio,cache=unsafe"));
            line.push_str(" root=/dev/vda rw");
        }
        command.args(["-append", &line]);
        let path = &self.logs.qemu;
        let log =
            || File::options().append(true).open(path).with_context(|| format!("failed to open `{}`", path.display()));
        command.stdout(log()?).stderr(log()?);
        Ok(command)
    }
}

/// What is known of a machine that runs.
#[derive(Debug)]
struct Watch<'a> {
    machine: &'a Machine,
    console_log: Tail,
    protocol_log: Tail,
    console: Console,
    transcript: Transcript,
    started: Instant,
    heard: Instant,
    trouble: Option<Instant>,
    /// Its last words for people.
    said: Option<String>,
}

impl<'a> Watch<'a> {
    fn open(machine: &'a Machine) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            machine,
            console_log: Tail::open(&machine.logs.console)?,
            protocol_log: Tail::open(&machine.logs.protocol)?,
            console: Console::default(),
            transcript: Transcript::default(),
            started: now,
            heard: now,
            trouble: None,
            said: None,
        })
    }

    /// Reads what is new and decides whether this is the end. `exited` is whether QEMU succeeded, once it has ended.
    fn look(&mut self, exited: Option<bool>, heard: &mut dyn FnMut(&Message)) -> Result<Option<End>> {
        for line in self.console_log.lines(exited.is_some())? {
            self.console.take(&line);
        }
        for line in self.protocol_log.lines(exited.is_some())? {
            self.heard = Instant::now();
            match self.transcript.take(&line) {
                Ok(message) => {
                    if let Message::Say { text } = &message {
                        self.said = Some(text.clone());
                    }
                    heard(&message);
                }
                Err(breach) => return Ok(Some(self.broken(format!("the guest {breach}")))),
            }
        }
        Ok(self.end(exited))
    }

    fn end(&mut self, exited: Option<bool>) -> Option<End> {
        let limits = self.machine.limits;
        if let Some(trouble) = self.console.trouble() {
            let since = *self.trouble.get_or_insert_with(Instant::now);
            if exited.is_none() && since.elapsed() < LAST_WORDS {
                return None;
            }
            // Before the guest is up nothing of what is tested has run.
            if !self.transcript.is_ready() {
                return Some(self.broken(format!("{trouble} before the guest was ready")));
            }
            let case = self.transcript.running().map(str::to_owned);
            return Some(End::Crashed { why: trouble.to_owned(), case, console: self.console.last_lines() });
        }
        match (exited, self.transcript.verdict()) {
            (Some(true), Some(verdict)) => Some(End::Verdict(verdict)),
            (Some(true), None) => {
                let said = self.said.as_ref().map(|said| format!("; it said: {said}")).unwrap_or_default();
                Some(self.broken(format!("the machine ended without a verdict{said}")))
            }
            (Some(false), _) => Some(self.broken("QEMU failed".to_owned())),
            (None, Some(_)) if self.heard.elapsed() > SHUTDOWN => {
                Some(self.broken(format!("the machine did not end within {} s of its verdict", SHUTDOWN.as_secs())))
            }
            (None, None) if self.heard.elapsed() > limits.silence => {
                Some(self.broken(format!("the guest has said nothing for {} s", limits.silence.as_secs())))
            }
            (None, _) if self.started.elapsed() > limits.whole => {
                Some(self.broken(format!("the machine has run for {} s, which is too long", limits.whole.as_secs())))
            }
            (None, _) => None,
        }
    }

    fn broken(&self, why: String) -> End {
        let why = match self.transcript.running() {
            Some(case) => format!("{why}, during `{case}`"),
            None => why,
        };
        // QEMU's words are few, and where there are any they are the cause.
        let said = fs::read_to_string(&self.machine.logs.qemu).unwrap_or_default();
        End::Broken { why, console: self.console.last_lines() + &process::last_lines(&said, 10) }
    }
}

/// Reads a file that grows, line by line.
#[derive(Debug)]
struct Tail {
    path: PathBuf,
    file: File,
    rest: Vec<u8>,
}

impl Tail {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), file, rest: Vec::new() })
    }

    /// The lines that are new, without their ends. Of a line that is not whole yet nothing, unless it is the last.
    fn lines(&mut self, is_last: bool) -> Result<Vec<String>> {
        let path = &self.path;
        self.file.read_to_end(&mut self.rest).with_context(|| format!("failed to read `{}`", path.display()))?;
        let end = if is_last {
            self.rest.len()
        } else {
            self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        let text = String::from_utf8_lossy(&whole);
        Ok(text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake {
        _folder: tempfile::TempDir,
        machine: Machine,
    }

    impl Fake {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let machine = Machine {
                architecture: Architecture::Amd64,
                disk: None,
                image: "image".into(),
                initramfs: "initramfs".into(),
                accelerator: Accelerator::Tcg,
                is_checked: false,
                limits: Limits { silence: Duration::from_secs(60), whole: Duration::from_secs(60) },
                logs: Logs::create(folder.path(), "fake").unwrap(),
            };
            Self { _folder: folder, machine }
        }

        fn end(&self, console: &str, protocol: &str, exited: Option<bool>) -> Option<End> {
            fs::write(&self.machine.logs.console, console).unwrap();
            fs::write(&self.machine.logs.protocol, protocol).unwrap();
            Watch::open(&self.machine).unwrap().look(exited, &mut |_| {}).unwrap()
        }
    }

    const UP: &str = "{\"ready\":{\"release\":\"6.12\",\"cases\":1}}\r\n{\"begin\":{\"case\":\"a\"}}\r\n";
    const DONE: &str = "{\"outcome\":{\"case\":\"a\",\"outcome\":\"passed\",\"millis\":3}}\r\n\
                        {\"verdict\":{\"passed\":1,\"failed\":0,\"skipped\":0}}\r\n";

    fn broken(end: Option<End>) -> String {
        match end {
            Some(End::Broken { why, .. }) => why,
            other => panic!("expected a broken run, found {other:?}"),
        }
    }

    #[test]
    fn a_verdict_counts_once_the_machine_has_ended() {
        let fake = Fake::new();
        let all = format!("{UP}{DONE}");
        assert_eq!(fake.end("", &all, None), None);
        assert_eq!(fake.end("", &all, Some(true)), Some(End::Verdict(Tally { passed: 1, failed: 0, skipped: 0 })));
        assert_eq!(broken(fake.end("", &all, Some(false))), "QEMU failed");
    }

    #[test]
    fn an_end_without_a_verdict_is_broken() {
        let fake = Fake::new();
        assert_eq!(broken(fake.end("", UP, Some(true))), "the machine ended without a verdict, during `a`");
        assert_eq!(broken(fake.end("", "", Some(true))), "the machine ended without a verdict");
        let why = broken(fake.end("", "{\"say\":{\"text\":\"no uhid\"}}\n", Some(true)));
        assert_eq!(why, "the machine ended without a verdict; it said: no uhid");
    }

    #[test]
    fn words_after_the_verdict_are_broken() {
        let fake = Fake::new();
        let why = broken(fake.end("", &format!("{UP}{DONE}{UP}"), Some(true)));
        assert!(why.starts_with("the guest said more after the verdict"), "{why}");
        let why = broken(fake.end("", &format!("{UP}{DONE}half a li"), Some(true)));
        assert!(why.starts_with("the guest said `half a li`"), "{why}");
    }

    #[test]
    fn a_panic_is_a_failure_of_the_case_that_ran() {
        let fake = Fake::new();
        let panic = "[ 1.0] fine\n[ 2.0] Kernel panic - not syncing: Oops\n";
        match fake.end(panic, UP, Some(true)) {
            Some(End::Crashed { why, case, console }) => {
                assert_eq!(why, "the kernel panicked");
                assert_eq!(case.as_deref(), Some("a"));
                assert!(console.contains("[ 1.0] fine"));
            }
            other => panic!("expected a crash, found {other:?}"),
        }
        assert_eq!(fake.end(panic, UP, None), None, "the trace still has to come");
        assert_eq!(broken(fake.end(panic, "", Some(true))), "the kernel panicked before the guest was ready");
    }

    #[test]
    fn silence_ends_a_machine() {
        let mut fake = Fake::new();
        fake.machine.limits.silence = Duration::ZERO;
        let why = broken(fake.end("", UP, None));
        assert_eq!(why, "the guest has said nothing for 0 s, during `a`");
    }

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "one\r\ntw").unwrap();
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(tail.lines(false).unwrap(), ["one"]);
        fs::write(&path, "one\r\ntwo\nthr").unwrap();
        assert_eq!(tail.lines(false).unwrap(), ["two"]);
        assert_eq!(tail.lines(true).unwrap(), ["thr"]);
        assert!(tail.lines(true).unwrap().is_empty());
    }
}
