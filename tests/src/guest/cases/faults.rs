//! Cases that disturb the attach sequence at each of its steps.
//!
//! The helper is killed, the device is unplugged, the kernel has no memory, bpffs or /run is full. Afterwards the device works, hidbpf's
//! output is correct, the next event repairs the state, and nothing is left.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hidbpf::system::System;
use nix::errno::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;

use super::attach::{expect_hat_works, expect_untouched};
use super::drivers::{RAPTOR, touchpad};
use super::fixtures::RIVAL;
use super::helper::forget_numbers;
use super::many::Kept;
use super::trouble::plug_raptor_unseen;
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, HIDBPF, Plugged, entries, helper, helper_through_libbpf, write};
use crate::guest::{machine, shim};
use crate::monitor::PATIENCE;
use crate::process::Run;
use crate::trace::{Call, Traced};
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("device-vanishes-at-each-bpf-call", WITH_HID_BPF, device_vanishes).each_generation(),
    case("helper-killed-at-each-bpf-call", WITH_HID_BPF, helper_killed).each_generation(),
    case("attach-through-libbpf-killed-at-each-bpf-call", WITH_HID_BPF, killed_through_libbpf).each_generation(),
    case("no-memory-at-each-bpf-call", WITH_HID_BPF, no_memory).each_generation(),
    case("load-without-memory-at-each-bpf-call", WITH_HID_BPF, load_without_memory).each_generation(),
    case("full-bpffs", WITH_HID_BPF, full_bpffs).each_generation(),
    case("full-run", WITH_HID_BPF, full_run).each_generation(),
    case("tmpfs-in-place-of-bpffs", WITH_HID_BPF, tmpfs_for_bpffs).each_generation(),
    case("skipped-reprobe-is-tried-again", STRUCT_OPS, skipped_reprobe),
    case("skipped-reprobe-for-too-long", STRUCT_OPS, skipped_for_long).each_generation(),
];

/// `BPF_OBJ_PIN` of `enum bpf_cmd`.
const OBJ_PIN: u64 = 6;

/// Starts the helper for the joystick, traced by this process.
pub fn add_traced<D>(device: &Plugged<D>) -> Result<Traced> {
    Traced::new(&mut helper(&[shim::TRACED], "add", RAPTOR.0, &device.path()))
}

/// Starts the command that the helper becomes if it can't use the fast loader.
fn add_traced_through_libbpf(device: &Plugged) -> Result<Traced> {
    Traced::new(&mut helper_through_libbpf(&[shim::TRACED], "add", RAPTOR.0, &device.path()))
}

fn load_traced(device: &Plugged) -> Result<Traced> {
    Traced::new(shim::start(&[shim::TRACED], HIDBPF).args(["load", RAPTOR.0, &device.name()]))
}

/// The start of a traced `hidbpf` that attaches the joystick's driver.
type Start = fn(&Plugged) -> Result<Traced>;

/// A disturbance at a call. Returns the device, if it still exists.
type Disturb<'a> = &'a dyn Fn(&mut Bench, Plugged, Traced) -> Result<Option<Plugged>>;

fn device_vanishes(bench: &mut Bench) -> Result<()> {
    at_each_call(bench, add_traced, &|_, joystick, traced| {
        joystick.device.unplug()?;
        // The removal of a device is not a failure.
        traced.finish()?.0.expect(0)?;
        Ok(None)
    })
}

fn helper_killed(bench: &mut Bench) -> Result<()> {
    at_each_call(bench, add_traced, &expect_killed)
}

fn killed_through_libbpf(bench: &mut Bench) -> Result<()> {
    at_each_call(bench, add_traced_through_libbpf, &expect_killed)
}

/// Kills the process at a call, and checks that the later output is correct.
fn expect_killed(bench: &mut Bench, joystick: Plugged, traced: Traced) -> Result<Option<Plugged>> {
    traced.kill()?;
    expect_truth(bench, &joystick)?;
    Ok(Some(joystick))
}

fn no_memory(bench: &mut Bench) -> Result<()> {
    at_each_call(bench, add_traced, &expect_survived)
}

fn load_without_memory(bench: &mut Bench) -> Result<()> {
    at_each_call(bench, load_traced, &expect_survived)
}

/// Makes one call fail for lack of memory. Then either everything works nevertheless, or nothing is left and the failure is reported.
fn expect_survived(bench: &mut Bench, joystick: Plugged, traced: Traced) -> Result<Option<Plugged>> {
    traced.refuse(Errno::ENOMEM)?;
    expect_whole_or_nothing(bench, &joystick, traced)?;
    Ok(Some(joystick))
}

fn expect_whole_or_nothing(bench: &mut Bench, joystick: &Plugged, traced: Traced) -> Result<()> {
    let (run, _) = traced.finish()?;
    ensure!(!run.stderr.contains("panicked"), "{run}");
    let pinned = joystick.pinned_drivers()?;
    if run.status.success() {
        ensure!(pinned == [RAPTOR.0], "it ended well, with {pinned:?} attached\n{run}");
        expect_hat_works(joystick)?;
    } else {
        ensure!(run.status.code() == Some(1) || run.status.code() == Some(4), "{run}");
        ensure!(pinned.is_empty(), "it failed, with {pinned:?} attached\n{run}");
        ensure!(
            run.stderr.contains(RAPTOR.0) && run.stderr.contains(&joystick.name()),
            "it doesn't say of what\n{run}"
        );
    }
    expect_truth(bench, joystick)
}

/// Checks that `hidbpf status` reports the joystick's actual pins and current descriptor.
fn expect_truth(bench: &mut Bench, joystick: &Plugged) -> Result<()> {
    let run = bench.hidbpf(&["--json", "status"])?.expect(0)?;
    let answer: Value = serde_json::from_str(&run.stdout).context("`status --json` is not JSON")?;
    let name = joystick.name();
    let devices = answer["status"].as_array().map(Vec::as_slice).unwrap_or_default();
    let drivers = devices.iter().filter(|device| device["device"] == name.as_str()).flat_map(|device| {
        let drivers = device["drivers"].as_array().map(Vec::as_slice).unwrap_or_default();
        drivers.iter().filter(|driver| driver["driver"] == RAPTOR.0)
    });
    let said: Vec<&str> = drivers.filter_map(|driver| driver["condition"].as_str()).collect();
    let is_pinned = joystick.pinned_drivers()?.contains(&RAPTOR.0.to_owned());
    ensure!(said.contains(&"attached") == is_pinned, "pinned: {is_pinned}, said: {said:?}\n{run}");
    Ok(())
}

/// Checks that no failure is reported any more, except for the reason to avoid the fast loader.
fn expect_no_failures(bench: &Bench) -> Result<()> {
    let run = bench.hidbpf(&["--json", "status"])?.expect(0)?;
    let answer: Value = serde_json::from_str(&run.stdout).context("`status --json` is not JSON")?;
    let devices = answer["status"].as_array().context("the answer has no devices")?;
    let resolved = devices.iter().all(|device| device["failures"].as_array().is_some_and(Vec::is_empty));
    ensure!(resolved, "what was resolved is still told\n{run}");
    Ok(())
}

/// Disturbs one attach sequence before its first call, another before its second, and so on up to the last.
///
/// The next attempt, by udev, must succeed in every case.
fn at_each_call(bench: &mut Bench, start: Start, disturb: Disturb<'_>) -> Result<()> {
    let calls = calls_of_one_attach(bench, start)?;
    let before = Kept::now();
    for number in 0..calls.len() {
        let at = || format!("disturbed at call {number} of {calls:?}");
        disturb_at(bench, start, disturb, number).with_context(at)?;
    }
    before.expect_no_more()
}

fn calls_of_one_attach(bench: &mut Bench, start: Start) -> Result<Vec<Call>> {
    let (joystick, _) = plug_raptor_unseen(bench)?;
    forget_numbers()?;
    let mut traced = start(&joystick)?;
    let mut calls = Vec::new();
    while let Some(call) = traced.next_call()? {
        calls.push(call);
    }
    traced.finish()?.0.expect(0)?;
    ensure!(calls.iter().any(|call| call.is_bpf(&[OBJ_PIN])), "nothing was pinned by {calls:?}");
    bench.release()?;
    bench.unplug(joystick)?;
    Ok(calls)
}

fn disturb_at(bench: &mut Bench, start: Start, disturb: Disturb<'_>, number: usize) -> Result<()> {
    let (joystick, _) = plug_raptor_unseen(bench)?;
    let (pins, state) = (joystick.pins(), joystick.state());
    // The attach sequence whose calls were counted began without them too.
    forget_numbers()?;
    let mut traced = start(&joystick)?;
    for _ in 0..=number {
        traced.next_call()?.context("there were fewer calls this time")?;
    }
    let left = disturb(bench, joystick, traced)?;
    bench.release()?;
    if let Some(joystick) = left {
        expect_hat_works(&joystick)?;
        ensure!(entries(&pins)?.len() == 1, "beside the driver's there are {:?}", entries(&pins)?);
        expect_no_failures(bench)?;
        bench.unplug(joystick)?;
    }
    ensure!(!pins.exists(), "`{}` is still there", pins.display());
    ensure!(!state.exists(), "`{}` is still there", state.display());
    Ok(())
}

/// bpffs has no limit of its own and can only run out of memory. So the calls that create entries there fail as on a full disk.
fn full_bpffs(bench: &mut Bench) -> Result<()> {
    let start: Start = |device| Traced::new(&mut helper(&[shim::TRACED_WITH_FILES], "add", RAPTOR.0, &device.path()));
    let calls = calls_of_one_attach(bench, start)?;
    let is_file = |call: &Call| call.is_bpf(&[OBJ_PIN]) || !format!("{call:?}").starts_with("bpf");
    let mut tried = 0;
    for number in (0..calls.len()).filter(|number| is_file(&calls[*number])) {
        let full: Disturb<'_> = &|bench, joystick, traced| {
            traced.refuse(Errno::ENOSPC)?;
            expect_whole_or_nothing(bench, &joystick, traced)?;
            Ok(Some(joystick))
        };
        disturb_at(bench, start, full, number).with_context(|| format!("full at call {number} of {calls:?}"))?;
        tried += 1;
    }
    ensure!(tried > 2, "only {tried} calls of {calls:?} have to do with files");
    Ok(())
}

/// If hidbpf can't write its state, it attaches nothing, because it could not clean up afterwards.
///
/// A full disk lets hidbpf create files and not write them. A disk without free inodes does not even let hidbpf create them.
fn full_run(bench: &mut Bench) -> Result<()> {
    let system = System::default();
    let run = &system.run;
    fs::create_dir_all(run).with_context(|| format!("failed to make `{}`", run.display()))?;
    let before = Kept::now();
    for (options, may_make_files) in [(c"size=64k,mode=755", true), (c"nr_inodes=2,mode=755", false)] {
        let (joystick, spec) = plug_raptor_unseen(bench)?;
        mount("tmpfs", run, "tmpfs", MountFlags::NOSUID, options).context("failed to mount a small tmpfs")?;
        let result = expect_nothing_noted(bench, &system, may_make_files, &joystick, &spec);
        unmount(run, UnmountFlags::empty()).context("failed to unmount a small tmpfs")?;
        result.with_context(|| format!("with {options:?}"))?;
        expect_healed(bench, joystick)?;
    }
    before.expect_no_more()
}

fn expect_nothing_noted(
    bench: &mut Bench,
    system: &System,
    may_make_files: bool,
    joystick: &Plugged,
    spec: &Spec,
) -> Result<()> {
    let shown = system.run.display().to_string();
    if may_make_files {
        // Everything that is created before the first write exists, so that the write fails.
        for folder in [system.states(), system.set_up_marks()] {
            fs::create_dir(&folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
        }
        File::create(system.lock()).context("failed to make the file of locks")?;
    }
    let mut filler = File::create(system.run.join("filler")).context("failed to make a file")?;
    if may_make_files {
        while filler.write_all(&[0; 4096]).is_ok() {}
    }
    drop(filler);
    bench.hidbpf(&["load", RAPTOR.0])?.expect(1)?.says(&shown)?.says("no space left")?;
    expect_untouched(joystick, spec)?;
    if may_make_files {
        let place = system.state(&joystick.name().parse()?).display().to_string();
        let (state, _) = place.rsplit_once('.').context("the state file has no suffix")?;
        bench.hidbpf(&["load", RAPTOR.0])?.expect(1)?.says(state)?;
    }
    bench.hidbpf(&["doctor"])?.expect(1)?.answers(&shown)?.answers("is full")?;
    bench.hidbpf(&["status"])?.expect(0)?;
    bench.release()?;
    expect_untouched(joystick, spec)
}

/// systemd may not have mounted bpffs, and another file system may be there.
fn tmpfs_for_bpffs(bench: &mut Bench) -> Result<()> {
    let (joystick, spec) = plug_raptor_unseen(bench)?;
    unmount(machine::BPFFS, UnmountFlags::empty()).context("failed to unmount bpffs")?;
    mount("tmpfs", machine::BPFFS, "tmpfs", MountFlags::NOSUID, c"mode=700").context("failed to mount a tmpfs")?;
    let result = expect_no_bpffs(bench, &joystick, &spec);
    unmount(machine::BPFFS, UnmountFlags::empty()).context("failed to unmount a tmpfs")?;
    machine::mount_bpffs()?;
    result?;
    expect_healed(bench, joystick)
}

fn expect_no_bpffs(bench: &mut Bench, joystick: &Plugged, spec: &Spec) -> Result<()> {
    bench.hidbpf(&["load", RAPTOR.0])?.expect(1)?.says("bpffs is not mounted")?.says("mount -t bpf")?;
    bench.hidbpf(&["doctor"])?.expect(1)?.answers("bpffs is not mounted")?;
    bench.release()?;
    expect_untouched(joystick, spec)?;
    // udev's attempt has failed too, and that is reported until the cause is gone.
    bench.hidbpf(&["status"])?.expect(0)?.answers("failed")?.answers("bpffs is not mounted")?;
    ensure!(entries(Path::new(machine::BPFFS))?.is_empty(), "something was written to what is not bpffs");
    Ok(())
}

fn expect_healed(bench: &mut Bench, joystick: Plugged) -> Result<()> {
    bench.trigger("add", &joystick)?;
    expect_hat_works(&joystick)?;
    let status = bench.hidbpf(&["status"])?.expect(0)?;
    ensure!(!status.stdout.contains("failed"), "what was resolved is still told\n{status}");
    bench.unplug(joystick)
}

/// The message about a probe that the kernel has skipped.
const SKIPPED: &str = "the kernel did not run its descriptor hook";

/// The kernel skips the reprobe that a descriptor fix needs if another one is due, and reports success.
///
/// On 6.6 the other one, which this case forces, runs the hook, so there is nothing to notice.
fn skipped_reprobe(bench: &mut Bench) -> Result<()> {
    load_before_reprobe(bench, Duration::from_secs(1), |touchpad, run| {
        run.expect(0)?.says(SKIPPED)?.answers("attached")?;
        expect_only(touchpad, RAPTOR.0)
    })
}

/// The other reprobe is due for longer than the time limit. Nothing stays attached whose effect is unknown, and that is reported.
fn skipped_for_long(bench: &mut Bench) -> Result<()> {
    load_before_reprobe(bench, Duration::from_millis(4500), |touchpad, run| {
        run.expect(1)?.says(SKIPPED)?;
        ensure!(touchpad.pinned_drivers()?.is_empty(), "pinned: {:?}", touchpad.pinned_drivers()?);
        Ok(())
    })
}

fn expect_only(device: &Plugged, driver: &str) -> Result<()> {
    let pinned = device.pinned_drivers()?;
    ensure!(pinned == [driver], "expected `{driver}` alone, found {pinned:?}");
    Ok(())
}

/// Waits for a condition without an event.
///
/// # Errors
/// It does not become true.
pub fn wait_until(reached: impl Fn() -> bool) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while !reached() {
        ensure!(Instant::now() < end, "nothing came within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Attaches a driver to the touchpad just before the kernel probes it again for another reason.
///
/// A descriptor hook was removed, and its reprobe waits for a running probe, in which the touchpad delays its answer by `slowness`.
fn load_before_reprobe(
    bench: &mut Bench,
    slowness: Duration,
    check: impl FnOnce(&Plugged, Run) -> Result<()>,
) -> Result<()> {
    const LINK_CREATE: u64 = 28;
    const PROG_RUN: u64 = 10;
    let slow = Arc::new(AtomicBool::new(false));
    let answer = {
        let slow = Arc::clone(&slow);
        move |_, _| {
            if slow.swap(false, Ordering::Relaxed) {
                std::thread::sleep(slowness);
            }
            None
        }
    };
    let touchpad = bench.plug_unseen_with(&touchpad()?, Box::new(answer))?;
    bench.release()?;
    bench.unload(&[&touchpad.name()], &[])?;
    bench.hidbpf(&["load", "--force", &RIVAL.file()?, &touchpad.name()])?.expect(0)?;
    bench.settle()?;
    // As if a user had removed its pins by hand: hidbpf considers the driver gone, and the kernel will remove it.
    let rival = touchpad.pins().join(RIVAL.name);
    let aside = Path::new(machine::BPFFS).join("aside");
    fs::rename(&rival, &aside).context("failed to move the pins of a driver")?;
    let mut load = Traced::new(shim::start(&[shim::TRACED], HIDBPF).args([
        "--verbose",
        "load",
        "--force",
        RAPTOR.0,
        &touchpad.name(),
    ]))?;
    while !load.next_call()?.context("it attached nothing")?.is_bpf(&[LINK_CREATE, PROG_RUN]) {}
    let result = std::thread::scope(|scope| {
        const DRIVER: &str = "/sys/bus/hid/drivers/hid-multitouch";
        write(format!("{DRIVER}/unbind").as_ref(), touchpad.name().as_bytes())?;
        slow.store(true, Ordering::Relaxed);
        let probe = scope.spawn(|| write(format!("{DRIVER}/bind").as_ref(), touchpad.name().as_bytes()));
        wait_until(|| !slow.load(Ordering::Relaxed)).context("the touchpad was asked nothing")?;
        let links = Kept::now().links;
        fs::remove_dir_all(&aside).context("failed to remove the pins of a driver")?;
        // The removal runs on a work queue. The link has lost its id when its reprobe begins to wait.
        wait_until(|| Kept::now().links < links).context("the driver's link is still there")?;
        std::thread::sleep(Duration::from_millis(50));
        let (run, _) = load.finish()?;
        let checked = check(&touchpad, run);
        probe.join().map_err(|_| anyhow::anyhow!("the probe panicked"))??;
        checked
    });
    result?;
    bench.settle()?;
    // After any result, the next attempt must succeed.
    if !touchpad.pinned_drivers()?.is_empty() {
        bench.unload(&[&touchpad.name()], &[&touchpad])?;
    }
    bench.hidbpf(&["load", "--force", RAPTOR.0, &touchpad.name()])?.expect(0)?;
    expect_only(&touchpad, RAPTOR.0)?;
    let status = bench.hidbpf(&["status"])?.expect(0)?;
    ensure!(!status.stdout.contains("failed"), "what was resolved is still told\n{status}");
    bench.settle()?;
    bench.unplug(touchpad)
}
