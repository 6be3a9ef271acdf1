//! Machines with a stand-in for QEMU: a script that behaves under KVM like QEMU on hosts whose KVM runs no kernel.

use std::os::unix::fs::PermissionsExt;

use hidbpf_lab::accelerator::Rule;
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::protocol::Generation;

use super::*;

/// The script runs a guest with one passing case under emulation. `@BEHAVIOUR@` is its behaviour under KVM.
const STAND_IN: &str = r#"#!/bin/sh
folder=${0%/*}
while [ $# -gt 0 ]; do
    case $1 in
        -accel) accelerator=$2 ;;
        -serial) console=${console:-${2#file:}} protocol=${2#file:} ;;
    esac
    shift
done
echo $accelerator >>$folder/starts
cat $folder/disk >>$folder/seen
echo $accelerator >>$folder/disk
say() { printf '%s\n' "$1" >>$protocol; }
begin() { say '{"ready":{"release":"7.3","cases":1}}'; say '{"begin":{"case":"a"}}'; }
finish() {
    say '{"outcome":{"case":"a","outcome":"passed","millis":3}}'
    say '{"verdict":{"passed":1,"failed":0,"skipped":0}}'
    exit 0
}
hang() { exec sleep 60; }
if [ $accelerator = kvm ]; then
@BEHAVIOUR@
fi
begin
finish
"#;

/// QEMU can't start the machine, for example because it can't set a register.
const EXITS: &str = "echo 'qemu: error: failed to set MSR 0x10a to 0x69' >&2; kill -ABRT $$";
/// QEMU stops the machine and stays. Only its monitor shows that.
const PAUSES: &str = r#"
while read -r request; do
    case $request in
        *query-status*) echo '{"return": {"running": false, "singlestep": false, "status": "internal-error"}}' ;;
        *) echo '{"return": {}}' ;;
    esac
done"#;
/// QEMU reports the error and stays, and its monitor is silent.
const HANGS: &str = "echo 'KVM internal error. Suberror: 1' >&2; echo 'emulation failure' >&2; hang";
const SILENT: &str = "echo 'qemu: warning: odd' >&2; hang";
/// The kernel boots, and KVM fails later.
const LATER: &str = "begin; sleep 0.1; echo 'KVM internal error. Suberror: 1' >&2; hang";
const WORKS: &str = "begin; finish";

struct Stand {
    folder: tempfile::TempDir,
    kernel: Kernel,
    machine: Machine,
}

impl Stand {
    fn new(behaviour: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("qemu"), STAND_IN.replace("@BEHAVIOUR@", behaviour)).unwrap();
        fs::set_permissions(path("qemu"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path("image"), "a kernel").unwrap();
        fs::write(path("disk"), "own\n").unwrap();
        let kernel = Kernel {
            name: "newest".into(),
            release: "7.3".into(),
            image: path("image"),
            modules: None,
            generation: Generation::StructOps,
            everything: false,
            may_skip: true,
            architecture: Architecture::Amd64,
        };
        let machine = Machine {
            qemu: path("qemu"),
            image: path("image"),
            initramfs: path("initramfs"),
            architecture: Architecture::Amd64,
            disk: Some(path("disk")),
            is_checked: false,
            limits: Limits { quiet: Duration::from_secs(1), ..Limits::default() },
            logs: Logs::create(folder.path(), "newest").unwrap(),
        };
        Self { folder, kernel, machine }
    }

    fn accelerators(&self, rule: Rule) -> Accelerators {
        Accelerators::with(rule, &self.known())
    }

    fn known(&self) -> PathBuf {
        self.folder.path().join("kvm.json")
    }

    /// Boots, and returns the result and the messages for users about a switch.
    fn boot(&self, rule: Rule) -> (Result<Run>, Vec<Option<String>>) {
        let mut switches = Vec::new();
        let run = boot(&self.kernel, &self.machine, &self.accelerators(rule), &mut |news| {
            if let News::Restart(line) = news {
                switches.push(line.map(str::to_owned));
            }
        });
        (run, switches)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default().replace('\n', " ")
    }
}

const PASSED: Tally = Tally { passed: 1, failed: 0, skipped: 0 };

#[test]
fn emulation_takes_over_from_a_kvm_that_does_not_run_the_kernel() {
    for (behaviour, why) in [
        (EXITS, "QEMU ended, signal: 6 (SIGABRT): qemu: error: failed to set MSR 0x10a to 0x69"),
        (PAUSES, "QEMU stopped the machine (internal-error)"),
        (HANGS, "QEMU reported an error: KVM internal error. Suberror: 1"),
        (SILENT, "its console was silent for 1 s: qemu: warning: odd"),
        (LATER, "QEMU reported an error: KVM internal error. Suberror: 1"),
    ] {
        let stand = Stand::new(behaviour);
        let (run, switches) = stand.boot(Rule::Try);
        let run = run.unwrap();
        assert_eq!((run.end, run.accelerator), (End::Verdict(PASSED), Accelerator::Tcg), "{behaviour}");
        let line = format!("KVM does not run Linux 7.3 here, so it is emulated: {why}");
        assert_eq!(switches, [Some(line)], "{behaviour}");
        assert_eq!(stand.read("starts"), "kvm tcg ", "{behaviour}");
        assert_eq!(stand.read("seen"), "own own ", "the disk is as it was: {behaviour}");
        assert_eq!(stand.read("disk"), "own tcg ", "{behaviour}");

        // The next run uses the result.
        let (run, switches) = stand.boot(Rule::Try);
        assert_eq!((run.unwrap().end, switches), (End::Verdict(PASSED), Vec::new()), "{behaviour}");
        assert_eq!(stand.read("starts"), "kvm tcg tcg ", "{behaviour}");
    }
}

#[test]
fn a_kvm_that_works_is_used() {
    let stand = Stand::new(WORKS);
    for _ in 0..2 {
        let (run, switches) = stand.boot(Rule::Try);
        let run = run.unwrap();
        assert_eq!((run.end, run.accelerator), (End::Verdict(PASSED), Accelerator::Kvm));
        assert!(switches.is_empty(), "{switches:?}");
    }
    assert_eq!(stand.read("starts"), "kvm kvm ");
}

#[test]
fn kvm_is_tried_again_after_a_day_or_a_boot_and_for_another_kernel() {
    let stand = Stand::new(EXITS);
    let forget = |change: &dyn Fn()| {
        stand.boot(Rule::Try).0.unwrap();
        fs::write(stand.folder.path().join("starts"), "").unwrap();
        change();
        stand.boot(Rule::Try).0.unwrap();
        stand.read("starts")
    };
    let edit = |from: &str, to: &str| {
        let text = fs::read_to_string(stand.known()).unwrap();
        let line = text.lines().find(|line| line.contains(from)).unwrap();
        fs::write(stand.known(), text.replace(line, to)).unwrap();
    };
    let day_old = hidbpf_lab::accelerator::now() - 24 * 60 * 60;
    assert_eq!(forget(&|| edit("\"at\":", &format!("\"at\": {day_old}"))), "kvm tcg ");
    assert_eq!(forget(&|| edit("\"at\":", &format!("\"at\": {}", day_old + 60))), "tcg ");
    assert_eq!(forget(&|| edit("\"boot\":", "\"boot\": \"another\",")), "kvm tcg ");
    assert_eq!(forget(&|| fs::write(stand.known(), "{").unwrap()), "kvm tcg ");
    assert_eq!(forget(&|| fs::write(&stand.machine.image, "another kernel").unwrap()), "kvm tcg ");
}

#[test]
fn one_of_several_machines_tells_of_the_switch() {
    let stand = Stand::new(HANGS);
    let accelerators = stand.accelerators(Rule::Try);
    assert!(accelerators.fails(&stand.kernel.image, "seen by another machine").unwrap());
    assert!(!accelerators.fails(&stand.kernel.image, "seen here").unwrap());
}

#[test]
fn kvm_by_force_fails_with_what_qemu_said() {
    let stand = Stand::new(HANGS);
    let (run, switches) = stand.boot(Rule::Kvm);
    let error = run.unwrap_err().to_string();
    let expected = "failed to boot Linux 7.3 under KVM, as HIDBPF_ACCEL asks: QEMU reported an error: KVM internal error. \
                    Suberror: 1\nhint: HIDBPF_ACCEL=tcg emulates machines";
    assert_eq!(error, expected);
    assert!(switches.is_empty(), "{switches:?}");
    assert_eq!(stand.read("starts"), "kvm ");
}

#[test]
fn emulation_by_force_leaves_kvm_alone() {
    let stand = Stand::new(WORKS);
    let (run, _) = stand.boot(Rule::Emulate(Accelerator::Tcg));
    assert_eq!(run.unwrap().accelerator, Accelerator::Tcg);
    assert_eq!(stand.read("starts"), "tcg ");
}

#[test]
fn a_missing_qemu_is_named() {
    let mut stand = Stand::new(WORKS);
    stand.machine.qemu = "/no/such/qemu".into();
    match stand.boot(Rule::Emulate(Accelerator::Tcg)).0.unwrap().end {
        End::Broken { console, .. } => assert!(console.contains("/no/such/qemu"), "{console}"),
        other => panic!("expected a broken run, found {other:?}"),
    }
}

#[test]
fn a_skip_fails_where_nothing_may_be_skipped() {
    let skipped = Outcome::Skipped { why: "no uhid".into() };
    assert_eq!(held_to(true, skipped.clone()), skipped);
    let failed = Outcome::Failed { why: "skipped where nothing may be: no uhid".into() };
    assert_eq!(held_to(false, skipped), failed);
    assert_eq!(held_to(false, Outcome::Passed), Outcome::Passed);
    let not_here = Outcome::NotHere { why: "the host has no sources".into() };
    assert_eq!(held_to(false, not_here.clone()), not_here);
}
