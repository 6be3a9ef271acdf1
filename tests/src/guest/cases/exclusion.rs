//! Cases in which hidbpf must leave a device alone although a driver matches it, and the output of `hidbpf doctor` for a device.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::{UnmountFlags, mount_bind, unmount};

use super::attach::expect_hat_works;
use super::drivers::RAPTOR;
use super::{Case, STRUCT_OPS, WITH_HID_BPF, beside_udev_hid_bpf, case, recordings};
use crate::guest::bench::{Bench, Plugged, helper, plain_mouse, write};
use crate::guest::udev_hid_bpf::UdevHidBpf;
use crate::process::{Run, Started};
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("ignored-by-property", WITH_HID_BPF, ignored_by_property).newest_only(),
    case("ignored-by-property-of-the-kernels-tests", WITH_HID_BPF, ignored_by_tests).newest_only(),
    case("off-by-command-line", WITH_HID_BPF, off_by_command_line).newest_only(),
    case("left-to-udev-hid-bpf", WITH_HID_BPF, left_to_udev_hid_bpf).each_generation(),
    beside_udev_hid_bpf("fixed-by-udev-hid-bpf", STRUCT_OPS, fixed_by_udev_hid_bpf),
    beside_udev_hid_bpf("udev-hid-bpf-at-the-same-time", WITH_HID_BPF, at_the_same_time),
    case("doctor-explains-a-device", WITH_HID_BPF, doctor_explains).newest_only(),
    case("doctor-shows-programs-of-others", STRUCT_OPS, doctor_shows_others),
];

fn expect_left_alone(bench: &Bench, joystick: &Plugged, why: &str) -> Result<()> {
    ensure!(joystick.pinned_drivers()?.is_empty(), "pinned: {:?}", joystick.pinned_drivers()?);
    let own = recordings::device(RAPTOR.0, RAPTOR.1)?.descriptor;
    ensure!(joystick.descriptor()? == own, "the descriptor is not the joystick's own");
    bench.hidbpf(&["doctor", &joystick.name()])?.expect(0)?.answers(why)?.answers(RAPTOR.0)?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(&format!("{}: left off: {why}", RAPTOR.0))?;
    Ok(())
}

fn ignored_by_property(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug_with(&spec, &[("HIDBPF_IGNORE", "1")], Default::default())?;
    expect_left_alone(bench, &joystick, "its udev property HIDBPF_IGNORE is 1")?;
    // A command by hand overrides it.
    bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(0)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)?;
    let other = bench.plug_with(&spec, &[("HIDBPF_IGNORE", "0")], Default::default())?;
    expect_hat_works(&other)?;
    bench.unplug(other)
}

/// The kernel's HID selftests write this rule, which comes after hidbpf's. They load their drivers by hand.
fn ignored_by_tests(bench: &mut Bench) -> Result<()> {
    const RULES: &str = "/run/udev/rules.d/91-uhid-test-device.rules";
    const MARK: &str = "KERNELS==\"*hid*\", ENV{HID_NAME}==\"*uhid test *\", ENV{HID_BPF_IGNORE_DEVICE}=\"1\"\n";
    write(Path::new(RULES), MARK.as_bytes())?;
    bench.reload()?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let tested = Spec { name: format!("uhid test {}", spec.name), ..spec.clone() };
    let result = bench.plug(&tested).and_then(|joystick| {
        for action in ["add", "bind", "change"] {
            bench.trigger(action, &joystick)?;
            expect_left_alone(bench, &joystick, "its udev property HID_BPF_IGNORE_DEVICE is 1")?;
        }
        bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(0)?;
        expect_hat_works(&joystick)?;
        bench.settle()?;
        bench.hidbpf(&["unload", &joystick.name()])?.expect(0)?;
        bench.settle()?;
        expect_left_alone(bench, &joystick, "its udev property HID_BPF_IGNORE_DEVICE is 1")?;
        bench.unplug(joystick)
    });
    fs::remove_file(RULES).with_context(|| format!("failed to remove `{RULES}`"))?;
    bench.reload()?;
    result?;
    let joystick = bench.plug(&tested)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn off_by_command_line(bench: &mut Bench) -> Result<()> {
    const COMMAND_LINE: &str = "/proc/cmdline";
    const CHANGED: &str = "/tmp/cmdline";
    let line = fs::read_to_string(COMMAND_LINE).with_context(|| format!("failed to read `{COMMAND_LINE}`"))?;
    write(Path::new(CHANGED), format!("{} hidbpf=off\n", line.trim()).as_bytes())?;
    mount_bind(CHANGED, COMMAND_LINE).with_context(|| format!("failed to mount over `{COMMAND_LINE}`"))?;
    let plugged = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?).and_then(|joystick| {
        expect_left_alone(bench, &joystick, "the kernel's command line says `hidbpf=off`")?;
        Ok(joystick)
    });
    unmount(COMMAND_LINE, UnmountFlags::empty()).with_context(|| format!("failed to unmount `{COMMAND_LINE}`"))?;
    let joystick = plugged?;
    bench.trigger("add", &joystick)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn left_to_udev_hid_bpf(bench: &mut Bench) -> Result<()> {
    let joystick = bench.plug_unseen(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    let directory = Path::new("/sys/fs/bpf/hid").join(joystick.name().replace([':', '.'], "_"));
    let pins = directory.join("FR-TEC__Raptor-Mach-2");
    fs::create_dir_all(&pins).with_context(|| format!("failed to make `{}`", pins.display()))?;
    bench.release()?;
    expect_left_alone(bench, &joystick, "udev-hid-bpf has put FR-TEC__Raptor-Mach-2 on it")?;
    let load = ["load", RAPTOR.0, &joystick.name()];
    bench.hidbpf(&load)?.expect(1)?.says("udev-hid-bpf has put FR-TEC__Raptor-Mach-2 on it")?.says("--force")?;
    bench.hidbpf(&[&load[..], &["--force"]].concat())?.expect(0)?;
    expect_hat_works(&joystick)?;
    fs::remove_dir_all("/sys/fs/bpf/hid").context("failed to remove the pins of udev-hid-bpf")?;
    bench.unplug(joystick)
}

/// Debian's package is installed, with its rule.
fn with_udev_hid_bpf(bench: &mut Bench, check: impl FnOnce(&mut Bench, &UdevHidBpf) -> Result<()>) -> Result<()> {
    let installed = UdevHidBpf::install(bench)?;
    let result = check(bench, &installed);
    let uninstalled = installed.uninstall(bench);
    result.and(uninstalled)
}

/// udev-hid-bpf's rule comes first.
///
/// A device that it has fixed is left to it until it detaches its program. Its current version fixes nothing on Linux 6.6: the program is
/// pinned, and the descriptor stays the original one.
fn fixed_by_udev_hid_bpf(bench: &mut Bench) -> Result<()> {
    with_udev_hid_bpf(bench, |bench, other| {
        const PROGRAM: &str = "FR-TEC__Raptor-Mach-2";
        let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
        let theirs = other.pinned(&joystick)?;
        ensure!(theirs.len() == 1 && theirs[0].contains(PROGRAM), "udev-hid-bpf has pinned {theirs:?}");
        ensure!(joystick.pinned_drivers()?.is_empty(), "pinned: {:?}", joystick.pinned_drivers()?);
        expect_hat_works(&joystick)?;
        let why = format!("udev-hid-bpf has put {} on it", theirs[0]);
        bench.hidbpf(&["doctor", &joystick.name()])?.expect(0)?.answers(&why)?.answers(RAPTOR.0)?;
        bench.hidbpf(&["doctor"])?.answers("`/usr/bin/udev-hid-bpf` is installed too")?;
        bench.hidbpf(&["status"])?.expect(0)?.answers(&why)?;
        bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(1)?.says(&why)?.says("--force")?;
        expect_hat_works(&joystick)?;
        Run::of(&mut other.program(&[], &["remove", &joystick.path()]))?.expect(0)?;
        bench.settle()?;
        // The event of the following binding may have attached it already. With another "add" event from udev, udev-hid-bpf would attach
        // its program again.
        bench.hidbpf(&["udev", "add", &joystick.path()])?.expect(0)?;
        bench.settle()?;
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
        expect_hat_works(&joystick)?;
        bench.unplug(joystick)
    })
}

/// Neither knows of the other when both start. In either order the joystick works, and hidbpf reports the state correctly.
fn at_the_same_time(bench: &mut Bench) -> Result<()> {
    const TIMES: u32 = 6;
    with_udev_hid_bpf(bench, |bench, other| {
        for time in 0..TIMES {
            let joystick = bench.plug_unseen(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
            // udev-hid-bpf starts faster.
            let mut own = helper(&[], "add", RAPTOR.0, &joystick.path());
            let own = Started::new(&mut own)?;
            std::thread::sleep(Duration::from_millis(20) * time);
            let theirs = Started::new(&mut other.program(&[], &["add", &joystick.path()]))?;
            let (own, theirs) = (own.finish()?, theirs.finish()?);
            let at = || format!("{time}\n{own}\n{theirs}");
            bench.release()?;
            expect_hat_works(&joystick).with_context(at)?;
            let (ours, others) = (joystick.pinned_drivers()?, other.pinned(&joystick)?);
            ensure!(!(ours.is_empty() && others.is_empty()), "it works, and nobody is on it: {}", at());
            let doctor = bench.hidbpf(&["doctor", &joystick.name()])?;
            ensure!(doctor.stdout.contains("is attached") != ours.is_empty(), "{}\n{doctor}", at());
            let (pins, state) = (joystick.pins(), joystick.state());
            bench.unplug(joystick)?;
            ensure!(!pins.exists() && !state.exists(), "`{}` or `{}` is left", pins.display(), state.display());
        }
        Ok(())
    })
}

fn doctor_explains(bench: &mut Bench) -> Result<()> {
    let doctor = |bench: &Bench, device: &Plugged| bench.hidbpf(&["doctor", &device.name()])?.expect(0);
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug(&spec)?;
    doctor(bench, &joystick)?.answers("is attached: it has fixed the descriptor")?;
    bench.unload(&[RAPTOR.0], &[&joystick])?;
    doctor(bench, &joystick)?.answers("it was unloaded by hand")?.answers(&format!("hidbpf load {}", RAPTOR.0))?;
    // The vendor has repaired the firmware, and the driver's rule no longer matches.
    let mut mended = spec.clone();
    mended.descriptor[177] = 7;
    let mended = bench.plug(&mended)?;
    let near = format!("`{}`: it is not for the device, by rule 1", RAPTOR.0);
    doctor(bench, &mended)?.answers(&near)?.answers("byte 177 of its descriptor is 07")?;
    let mouse = bench.plug(&plain_mouse())?;
    doctor(bench, &mouse)?.answers("no installed driver is for it")?;
    for device in [joystick, mended, mouse] {
        bench.unplug(device)?;
    }
    Ok(())
}

/// A driver whose pins are outside hidbpf's folder is not hidbpf's.
fn doctor_shows_others(bench: &mut Bench) -> Result<()> {
    const ASIDE: &str = "/sys/fs/bpf/aside";
    const OTHER: &str = "which hidbpf has not attached, is on it too";
    let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    let other = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    fs::rename(other.pins().join(RAPTOR.0), ASIDE).with_context(|| format!("failed to make `{ASIDE}`"))?;
    bench.hidbpf(&["doctor", &other.name()])?.expect(0)?.answers(OTHER)?.answers("struct_ops map")?;
    let own = bench.hidbpf(&["doctor", &joystick.name()])?.expect(0)?;
    ensure!(!own.stdout.contains(OTHER), "its own is taken for another's\n{own}");
    fs::remove_dir_all(ASIDE).with_context(|| format!("failed to remove `{ASIDE}`"))?;
    bench.settle()?;
    bench.unplug(joystick)?;
    bench.unplug(other)
}
