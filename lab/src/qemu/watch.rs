//! Decides when and how a machine has ended: its console shows trouble, the guest breaks the protocol, it is silent for too long, or its
//! accelerator does not run it.

use std::fs;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::tail::Tail;
use super::{End, Ended, KvmFailure, Machine};
use crate::accelerator::Accelerator;
use crate::console::Console;
use crate::process;
use crate::protocol::Message;
use crate::transcript::Transcript;

/// How long a kernel in trouble may continue, so that its trace reaches the console.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How long a machine may take to end after its verdict.
const SHUTDOWN: Duration = Duration::from_secs(3 * 60);

/// How many of QEMU's last lines an error repeats.
const QEMU_LINES: usize = 10;

/// QEMU's messages about a failure of KVM: accel/kvm/kvm-all.c and target/i386/kvm in its sources. QEMU may continue after each of them.
const KVM_ERRORS: [&str; 6] = [
    "KVM internal error",
    "emulation failure",
    "failed to initialize kvm",
    "kvm run failed",
    "KVM: entry failed",
    "error: ",
];

/// The state of QEMU.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Its exit status, once it has ended.
    pub exited: Option<ExitStatus>,
    /// The state in which it has stopped the machine, if it has.
    pub stopped: Option<String>,
}

/// The observations of a running machine.
#[derive(Debug)]
pub struct Watch<'a> {
    machine: &'a Machine,
    accelerator: Accelerator,
    console_log: Tail,
    protocol_log: Tail,
    console: Console,
    transcript: Transcript,
    started: Instant,
    /// The time of the last message, if there was one.
    heard: Option<Instant>,
    /// The time of the last line on the console.
    written: Instant,
    trouble: Option<Instant>,
    /// The guest's last text for users.
    said: Option<String>,
}

impl<'a> Watch<'a> {
    /// Watches a machine that starts now.
    ///
    /// # Errors
    /// Its logs can't be read.
    pub fn open(machine: &'a Machine, accelerator: Accelerator) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            machine,
            accelerator,
            console_log: Tail::open(&machine.logs.console)?,
            protocol_log: Tail::open(&machine.logs.protocol)?,
            console: Console::default(),
            transcript: Transcript::default(),
            started: now,
            heard: None,
            written: now,
            trouble: None,
            said: None,
        })
    }

    /// Reads the new lines and decides whether the machine has ended.
    ///
    /// # Errors
    /// A log can't be read.
    pub fn look(&mut self, health: &Health, heard: &mut dyn FnMut(&Message)) -> Result<Option<Ended>> {
        let is_last = health.exited.is_some();
        for line in self.console_log.lines(is_last)? {
            self.written = Instant::now();
            self.console.take(&line);
        }
        for line in self.protocol_log.lines(is_last)? {
            self.heard = Some(Instant::now());
            match self.transcript.take(&line) {
                Ok(message) => {
                    if let Message::Say { text } = &message {
                        self.said = Some(text.clone());
                    }
                    heard(&message);
                }
                Err(breach) => return Ok(Some(Ok(self.broken(format!("the guest {breach}"))))),
            }
        }
        Ok(self.end(health))
    }

    fn end(&mut self, health: &Health) -> Option<Ended> {
        if let Some(trouble) = self.console.trouble() {
            let since = *self.trouble.get_or_insert_with(Instant::now);
            if health.exited.is_none() && since.elapsed() < LAST_WORDS {
                return None;
            }
            return Some(self.end_by_trouble(trouble));
        }
        self.kvm_failure(health).map(Err).or_else(|| self.other_end(health).map(Ok))
    }

    fn end_by_trouble(&self, trouble: &str) -> Ended {
        if self.transcript.is_ready() {
            let case = self.transcript.running().map(str::to_owned);
            return Ok(End::Crashed { why: trouble.to_owned(), case, console: self.console.last_lines() });
        }
        // Before the guest is ready, none of the tested code has run.
        let why = format!("{trouble} before the guest was ready");
        if self.is_unproven() { Err(self.blame_kvm(&why)) } else { Ok(self.broken(why)) }
    }

    /// Returns true if KVM has not shown yet that it runs this machine.
    fn is_unproven(&self) -> bool {
        self.accelerator == Accelerator::Kvm && self.heard.is_none()
    }

    fn kvm_failure(&self, health: &Health) -> Option<KvmFailure> {
        if self.accelerator != Accelerator::Kvm {
            return None;
        }
        let limits = self.machine.limits;
        let why = if let Some(state) = &health.stopped {
            format!("QEMU stopped the machine ({state})")
        } else if let Some(status) = health.exited.filter(|status| self.heard.is_none() || !status.success()) {
            format!("QEMU ended, {status}")
        } else if self.qemu_said().lines().any(is_error) {
            "QEMU reported an error".to_owned()
        } else if self.is_unproven() && self.written.elapsed() > limits.quiet {
            format!("its console was silent for {} s", limits.quiet.as_secs())
        } else if self.is_unproven() && self.started.elapsed() > limits.boot {
            format!("the guest was not up after {} s", limits.boot.as_secs())
        } else {
            return None;
        };
        Some(self.blame_kvm(&why))
    }

    /// Adds QEMU's first line with an error to `why`, or else its first line.
    fn blame_kvm(&self, why: &str) -> KvmFailure {
        let said = self.qemu_said();
        let line =
            said.lines().find(|line| is_error(line)).or_else(|| said.lines().find(|line| !line.trim().is_empty()));
        KvmFailure(line.map_or_else(|| why.to_owned(), |line| format!("{why}: {}", line.trim())))
    }

    fn other_end(&self, health: &Health) -> Option<End> {
        let limits = self.machine.limits;
        if let Some(state) = &health.stopped {
            return Some(self.broken(format!("QEMU stopped the machine ({state})")));
        }
        let exited = health.exited.map(|status| status.success());
        let silence = self.heard.map(|heard| heard.elapsed());
        match (exited, self.transcript.verdict(), silence) {
            (Some(true), Some(verdict), _) => Some(End::Verdict(verdict)),
            (Some(true), None, _) => {
                let said = self.said.as_ref().map(|said| format!("; it said: {said}")).unwrap_or_default();
                Some(self.broken(format!("the machine ended without a verdict{said}")))
            }
            (Some(false), ..) => Some(self.broken("QEMU failed".to_owned())),
            (None, Some(_), Some(silence)) if silence > SHUTDOWN => {
                Some(self.broken(format!("the machine did not end within {} s of its verdict", SHUTDOWN.as_secs())))
            }
            (None, None, Some(silence)) if silence > limits.silence => {
                Some(self.broken(format!("the guest has said nothing for {} s", limits.silence.as_secs())))
            }
            (None, _, None) if self.started.elapsed() > limits.boot => {
                Some(self.broken(format!("the guest was not up after {} s", limits.boot.as_secs())))
            }
            (None, ..) if self.started.elapsed() > limits.whole => {
                Some(self.broken(format!("the machine has run for {} s, which is too long", limits.whole.as_secs())))
            }
            (None, ..) => None,
        }
    }

    fn broken(&self, why: String) -> End {
        let why = match self.transcript.running() {
            Some(case) => format!("{why}, during `{case}`"),
            None => why,
        };
        // QEMU writes little, and any output is the cause.
        End::Broken { why, console: self.console.last_lines() + &process::last_lines(&self.qemu_said(), QEMU_LINES) }
    }

    /// Returns QEMU's output. If its log can't be read, the output is empty.
    fn qemu_said(&self) -> String {
        fs::read_to_string(&self.machine.logs.qemu).unwrap_or_default()
    }
}

fn is_error(line: &str) -> bool {
    KVM_ERRORS.iter().any(|error| line.contains(error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::architecture::Architecture;
    use crate::qemu::{Limits, Logs};
    use crate::transcript::Tally;

    struct Fake {
        _folder: tempfile::TempDir,
        machine: Machine,
    }

    impl Fake {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let limit = Duration::from_secs(60);
            let machine = Machine {
                qemu: "qemu".into(),
                architecture: Architecture::Amd64,
                disk: None,
                image: "image".into(),
                initramfs: "initramfs".into(),
                is_checked: false,
                limits: Limits { quiet: limit, boot: limit, silence: limit, whole: limit },
                logs: Logs::create(folder.path(), "fake").unwrap(),
            };
            Self { _folder: folder, machine }
        }

        fn end(&self, console: &str, protocol: &str, exited: Option<bool>) -> Option<End> {
            let exited = exited.map(|success| ExitStatus::from_raw(if success { 0 } else { 0x100 }));
            let health = Health { exited, stopped: None };
            self.look(Accelerator::Tcg, console, protocol, &health).map(Result::unwrap)
        }

        fn look(&self, accelerator: Accelerator, console: &str, protocol: &str, health: &Health) -> Option<Ended> {
            fs::write(&self.machine.logs.console, console).unwrap();
            fs::write(&self.machine.logs.protocol, protocol).unwrap();
            Watch::open(&self.machine, accelerator).unwrap().look(health, &mut |_| {}).unwrap()
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
    fn a_guest_that_never_speaks_ends_a_machine_by_a_limit_of_its_own() {
        let mut fake = Fake::new();
        fake.machine.limits.boot = Duration::ZERO;
        fs::write(&fake.machine.logs.qemu, "qemu: warning: odd\n").unwrap();
        match fake.end("[ 1.0] fine\n", "", None) {
            Some(End::Broken { why, console }) => {
                assert_eq!(why, "the guest was not up after 0 s");
                assert!(console.contains("[ 1.0] fine") && console.contains("qemu: warning: odd"), "{console}");
            }
            other => panic!("expected a broken run, found {other:?}"),
        }
        assert_eq!(fake.end("", UP, None), None, "it has spoken");
    }

    #[test]
    fn a_stopped_machine_has_ended() {
        let fake = Fake::new();
        let health = Health { stopped: Some("internal-error".to_owned()), ..Health::default() };
        let why = broken(fake.look(Accelerator::Tcg, "", UP, &health).map(Result::unwrap));
        assert_eq!(why, "QEMU stopped the machine (internal-error), during `a`");
        fs::write(&fake.machine.logs.qemu, "KVM internal error. Suberror: 1\nemulation failure\n").unwrap();
        let why = "QEMU stopped the machine (internal-error): KVM internal error. Suberror: 1";
        let failure = Some(Err(KvmFailure(why.to_owned())));
        for protocol in ["", UP] {
            assert_eq!(fake.look(Accelerator::Kvm, "", protocol, &health), failure, "{protocol}");
        }
    }

    #[test]
    fn kvm_is_blamed_until_the_guest_has_spoken() {
        let mut fake = Fake::new();
        let look = |fake: &Fake, console: &str, protocol: &str, exited: Option<i32>| {
            let health = Health { exited: exited.map(ExitStatus::from_raw), stopped: None };
            fake.look(Accelerator::Kvm, console, protocol, &health)
        };
        let blamed = |why: &str| Some(Err(KvmFailure(why.to_owned())));
        assert_eq!(look(&fake, "", "", None), None);
        assert_eq!(look(&fake, "", "", Some(0)), blamed("QEMU ended, exit status: 0"));
        let panic = "[ 2.0] Kernel panic - not syncing: Oops\n";
        assert_eq!(look(&fake, panic, "", Some(0)), blamed("the kernel panicked before the guest was ready"));
        assert!(matches!(look(&fake, panic, UP, Some(0)), Some(Ok(End::Crashed { .. }))));
        assert_eq!(look(&fake, "", &format!("{UP}{DONE}"), Some(6)), blamed("QEMU ended, signal: 6 (SIGABRT)"));

        fake.machine.limits.quiet = Duration::ZERO;
        assert_eq!(look(&fake, "", "", None), blamed("its console was silent for 0 s"));
        assert_eq!(look(&fake, "", UP, None), None, "it has spoken");
        fake.machine.limits = Limits { quiet: Duration::from_secs(60), boot: Duration::ZERO, ..fake.machine.limits };
        assert_eq!(look(&fake, "", "", None), blamed("the guest was not up after 0 s"));

        fs::write(&fake.machine.logs.qemu, "qemu: warning: odd\n").unwrap();
        assert_eq!(look(&fake, "", UP, None), None, "a warning is not an error");
        fs::write(&fake.machine.logs.qemu, "qemu: warning: odd\nerror: kvm run failed Bad address\n").unwrap();
        assert_eq!(look(&fake, "", UP, None), blamed("QEMU reported an error: error: kvm run failed Bad address"));
    }
}
