//! Cases about the decision for a device and its time: all programs decide the same, they decide again when another kernel driver is bound,
//! and never in a loop.

use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use serde_json::Value;

use super::attach::{expect_hat_works, expect_untouched};
use super::configuration::Files;
use super::drivers::{MOUSE, RAPTOR, TOUCHPAD, expect_answers, touchpad};
use super::fixtures::{BREAKS, PROBE, RIVAL, SIBLING};
use super::helper::relinked;
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HELPER, HIDBPF, Plugged, plain_mouse, write};
use crate::process::{Run, command};

pub const CASES: &[Case] = &[
    case("rivals-are-refused-by-all-commands", WITH_HID_BPF, rivals).newest_only(),
    case("one-failure-keeps-no-other-driver-off", WITH_HID_BPF, one_failure).newest_only(),
    case("hints-do-what-they-say", WITH_HID_BPF, hints).newest_only(),
    case("settled-device-costs-one-process", WITH_HID_BPF, settled).each_generation(),
    case("second-driver-comes-with-the-binding", WITH_HID_BPF, second_driver).each_generation(),
    case("left-by-the-helper-and-attached-at-the-binding", WITH_HID_BPF, left_by_helper).each_generation(),
    case("another-kernel-driver-is-looked-at", STRUCT_OPS, other_kernel_driver),
    case("driver-that-breaks-a-device-is-tried-once", WITH_HID_BPF, breaks).each_generation(),
];

const GENERIC: &str = "/sys/bus/hid/drivers/hid-generic";

fn unbind(device: &Plugged) -> Result<()> {
    write(format!("{GENERIC}/unbind").as_ref(), device.name().as_bytes())
}

fn bind(device: &Plugged) -> Result<()> {
    write(format!("{GENERIC}/bind").as_ref(), device.name().as_bytes())
}

/// Counts how often udev has started the helper.
struct Starts {
    inotify: OwnedFd,
    /// How often one start opens the file.
    each: usize,
}

impl Starts {
    fn watch() -> Result<Starts> {
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).context("failed to make an inotify")?;
        add_watch(&inotify, HELPER, WatchFlags::OPEN).with_context(|| format!("failed to watch `{HELPER}`"))?;
        let mut starts = Starts { inotify, each: 1 };
        Run::of(&mut command(HELPER))?.expect(2)?;
        starts.each = starts.count();
        ensure!(starts.each > 0, "the watch does not see the helper start");
        Ok(starts)
    }

    fn count(&self) -> usize {
        let mut buffer = [const { MaybeUninit::uninit() }; 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut opened = 0;
        while let Ok(event) = reader.next() {
            opened += usize::from(event.events().contains(ReadFlags::OPEN));
        }
        opened / self.each
    }

    /// Checks the number of starts since the last call.
    fn expect(&self, expected: usize, when: &str) -> Result<()> {
        let found = self.count();
        ensure!(found == expected, "{when}: the helper was started {found} times, expected {expected}");
        Ok(())
    }
}

/// Returns the reason and the hint of `hidbpf status` for a driver that is left off.
fn left_off(bench: &Bench, device: &Plugged, driver: &str) -> Result<(String, String)> {
    let answer = bench.hidbpf(&["--json", "status"])?.expect(0)?.stdout;
    let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    let devices = answer["status"].as_array().context("the answer has no devices")?;
    let ours = devices.iter().find(|found| found["device"] == device.name().as_str());
    let drivers = ours.and_then(|found| found["left-off"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let left =
        drivers.iter().find(|left| left["driver"] == driver).with_context(|| format!("not left off: {answer}"))?;
    let text = |key: &str| left[key].as_str().map(str::to_owned).with_context(|| format!("no `{key}` in {left}"));
    Ok((text("reason")?, text("hint")?))
}

fn rivals(bench: &mut Bench) -> Result<()> {
    const SAYS: &str = "all fix the descriptor";
    RIVAL.installed(bench, |bench| {
        let files = Files::new()?;
        let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
        let joystick = bench.plug(&spec)?;
        for arguments in [
            &["config", "--apply"][..],
            &["enable", RAPTOR.0],
            &["enable", RIVAL.name],
            &["enable", RIVAL.name, &joystick.name()],
        ] {
            bench.hidbpf(arguments)?.expect(1)?.says(SAYS)?.says(RAPTOR.0)?.says(RIVAL.name)?;
            bench.settle()?;
            expect_untouched(&joystick, &spec).with_context(|| format!("{arguments:?}"))?;
        }
        for driver in [RAPTOR.0, RIVAL.name] {
            let (reason, hint) = left_off(bench, &joystick, driver)?;
            ensure!(reason.contains(SAYS), "{reason}");
            bench.hidbpf(&["doctor", &joystick.name()])?.expect(0)?.answers(&reason)?.answers(&hint)?;
        }
        // If one of them is disabled, there is nothing to choose.
        bench.hidbpf(&["disable", RIVAL.name])?.expect(0)?;
        bench.hidbpf(&["config", "--apply"])?.expect(0)?;
        bench.settle()?;
        expect_hat_works(&joystick)?;
        // The attached driver keeps the descriptor.
        bench.hidbpf(&["enable", RIVAL.name])?.expect(1)?.says("the attached driver")?.says(RAPTOR.0)?;
        expect_hat_works(&joystick)?;
        drop(files);
        bench.unplug(joystick)
    })
}

/// The first of two drivers, by name, does not match its recorded state. The second one is attached nevertheless.
fn one_failure(bench: &mut Bench) -> Result<()> {
    const LATER: &str = "rapoo-m50-plus-silent";
    let files = Files::new()?;
    let spec = recordings::device(MOUSE.0, MOUSE.1)?;
    let mouse = bench.plug(&spec)?;
    bench.hidbpf(&["load", MOUSE.0, &mouse.name()])?.expect(0)?;
    let options = mouse.pins().join(MOUSE.0).join("_data_options");
    fs::remove_file(&options).with_context(|| format!("failed to remove `{}`", options.display()))?;
    files.write(
        "hidbpf.toml",
        &format!("[driver.{}]\nenabled = true\n[[device]]\nvendor = 0x04d9\ndriver.{LATER}.bind = true\n", MOUSE.0),
    )?;
    bench.hidbpf(&["config", "--apply"])?.expect(1)?.says(MOUSE.0)?.says("hidbpf reload")?.answers(LATER)?;
    bench.settle()?;
    let pinned = mouse.pinned_drivers()?;
    ensure!(pinned == [MOUSE.0, LATER], "pinned: {pinned:?}");
    drop(files);
    bench.hidbpf(&["config", "--apply"])?;
    bench.reload()?;
    bench.unplug(mouse)
}

/// Runs the commands of a hint, one after the other, until the driver is attached.
fn follow(bench: &mut Bench, device: &Plugged, driver: &str, hint: &str) -> Result<()> {
    let commands = hint.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.strip_prefix("hidbpf "));
    for words in commands {
        let arguments: Vec<&str> = words.split(' ').collect();
        bench.hidbpf(&arguments)?.expect(0)?;
        bench.settle()?;
        if device.pinned_drivers()?.contains(&driver.to_owned()) {
            return Ok(());
        }
    }
    anyhow::bail!("`{driver}` is not attached by `{hint}`")
}

/// For each reason, `status` and `doctor` report the same, and the command that they name attaches the driver.
fn hints(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let disable = |bench: &mut Bench, arguments: &[&str]| bench.hidbpf(arguments)?.expect(0).map(drop);
    /// The words of the reason, the device's udev properties, and the action on the device.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a dyn Fn(&mut Bench, &Plugged) -> Result<()>);
    let rows: [Row<'_>; 6] = [
        ("it is disabled by", &[], &|bench, _| disable(bench, &["disable", RAPTOR.0])),
        ("it is disabled by", &[], &|bench, device| disable(bench, &["disable", RAPTOR.0, &device.name()])),
        ("it is disabled by", &[], &|bench, device| disable(bench, &["disable", RAPTOR.0, &device.name(), "--port"])),
        ("it was unloaded by hand", &[], &|bench, device| disable(bench, &["unload", &device.name()])),
        ("its udev property HIDBPF_IGNORE is 1", &[("HIDBPF_IGNORE", "1")], &|_, _| Ok(())),
        ("the attached driver", &[], &|bench, device| {
            disable(bench, &["unload", &device.name()])?;
            disable(bench, &["load", "--force", &RIVAL.file()?, &device.name()])?;
            bench.settle()?;
            // Without the mark of detaching by hand, only the rival is in its way.
            let state = fs::read_to_string(device.state()).context("failed to read a state")?;
            let off = format!("\"taken-off\":[\"{}\"]", RAPTOR.0);
            ensure!(state.contains(&off), "{state}");
            write(&device.state(), state.replace(&off, "\"taken-off\":[]").as_bytes())
        }),
    ];
    for (expected, properties, prepare) in rows {
        let files = Files::new()?;
        let joystick = bench.plug_with(&spec, properties, Default::default())?;
        prepare(bench, &joystick)?;
        bench.settle()?;
        let (reason, hint) = left_off(bench, &joystick, RAPTOR.0)?;
        ensure!(reason.starts_with(expected), "expected `{expected}`, found `{reason}`");
        bench.hidbpf(&["doctor", &joystick.name()])?.expect(0)?.answers(&reason)?.answers(&hint)?;
        follow(bench, &joystick, RAPTOR.0, &hint).with_context(|| reason.clone())?;
        expect_hat_works(&joystick)?;
        drop(files);
        bench.unplug(joystick)?;
    }
    // A driver that is attached on request.
    let mouse = bench.plug(&recordings::device(MOUSE.0, MOUSE.1)?)?;
    let doctor = bench.hidbpf(&["doctor", &mouse.name()])?.expect(0)?.answers("it is attached only on request")?;
    let hint = doctor.stdout.lines().skip_while(|line| !line.contains("only on request")).nth(1);
    follow(bench, &mouse, MOUSE.0, hint.context("there is no hint")?)?;
    bench.unplug(mouse)
}

/// The helper decides once. The binding that its driver causes starts nothing. Neither does any other binding of the same kernel driver.
fn settled(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug_unseen(&spec)?;
    let starts = Starts::watch()?;
    bench.release()?;
    starts.expect(1, "plugged in")?;
    ensure!(joystick.settled().exists(), "`{}` leads nowhere", joystick.settled().display());
    expect_hat_works(&joystick)?;
    bench.trigger("bind", &joystick)?;
    unbind(&joystick)?;
    bind(&joystick)?;
    bench.settle()?;
    starts.expect(0, "bound again")?;
    expect_hat_works(&joystick)?;
    bench.hidbpf(&["unload", &joystick.name()])?.expect(0)?;
    bench.hidbpf(&["load", RAPTOR.0])?.expect(0)?;
    bench.settle()?;
    starts.expect(0, "loaded by hand")?;
    bench.unplug(joystick)?;
    starts.expect(1, "unplugged")
}

/// The mouse is not bound yet.
///
/// A driver for its descriptor needs no kernel driver. A driver for its reports needs one, and is attached when it is bound.
fn second_driver(bench: &mut Bench) -> Result<()> {
    SIBLING.installed(bench, |bench| {
        PROBE.installed(bench, |bench| {
            let spec = plain_mouse();
            let mouse = bench.plug_unseen(&spec)?;
            unbind(&mouse)?;
            bench.release()?;
            if mouse.pinned_drivers()? != [PROBE.name, SIBLING.name] {
                bind(&mouse)?;
                bench.settle()?;
            }
            let pinned = mouse.pinned_drivers()?;
            ensure!(pinned == [PROBE.name, SIBLING.name], "pinned: {pinned:?}");
            ensure!(mouse.descriptor()?[39] == 0x80, "the descriptor is not the fixed one");
            expect_answers(&mouse, &mut mouse.node("Plain Mouse")?, &[("00 05 03", "REL_X -5, REL_Y 3")])?;
            ensure!(mouse.settled().exists(), "`{}` leads nowhere", mouse.settled().display());
            let status = bench.hidbpf(&["status"])?.expect(0)?;
            ensure!(!status.stdout.contains("failed") && !status.stdout.contains("left off"), "{status}");
            bench.unplug(mouse)
        })
    })
}

/// Neither the helper nor the command that it becomes could attach the driver, and both have left a state file.
///
/// The next binding attaches it.
fn left_by_helper(bench: &mut Bench) -> Result<()> {
    let installed = format!("/etc/hidbpf/drivers/{}.bpf.o", RAPTOR.0);
    let aside = format!("{HIDBPF}.aside");
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug_unseen(&spec)?;
    write(Path::new(&installed), &relinked(RAPTOR.0, |_| None)?)?;
    fs::rename(HIDBPF, &aside).with_context(|| format!("failed to move `{HIDBPF}`"))?;
    let released = bench.release();
    fs::rename(&aside, HIDBPF).with_context(|| format!("failed to move `{HIDBPF}` back"))?;
    fs::remove_file(&installed).with_context(|| format!("failed to remove `{installed}`"))?;
    released?;
    expect_untouched(&joystick, &spec)?;
    ensure!(joystick.state().exists(), "`{}` is not there", joystick.state().display());
    ensure!(!joystick.settled().exists(), "`{}` leads somewhere", joystick.settled().display());
    unbind(&joystick)?;
    bind(&joystick)?;
    bench.settle()?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// Another kernel driver is bound to the device: the helper decides again, once.
fn other_kernel_driver(bench: &mut Bench) -> Result<()> {
    const MULTITOUCH: &str = "hid-multitouch";
    let touchpad = bench.plug(&touchpad()?)?;
    let starts = Starts::watch()?;
    for (arguments, bound) in [(&["--remove", MULTITOUCH][..], "hid-generic"), (&[MULTITOUCH], MULTITOUCH)] {
        let when = format!("{bound} has taken the touchpad");
        Run::of(command("modprobe").args(arguments))?.expect(0)?;
        bench.settle()?;
        let driver = fs::read_link(touchpad.syspath.join("driver")).context("no kernel driver has the touchpad")?;
        ensure!(driver.ends_with(bound), "`{}` has the touchpad, expected {bound}", driver.display());
        starts.expect(1, &when)?;
        ensure!(touchpad.settled().exists(), "{when}: `{}` leads nowhere", touchpad.settled().display());
        bench.trigger("bind", &touchpad)?;
        starts.expect(0, &when)?;
        ensure!(touchpad.pinned_drivers()? == [TOUCHPAD.0], "pinned: {:?}", touchpad.pinned_drivers()?);
    }
    bench.unplug(touchpad)
}

/// The driver is detached when the kernel has refused its descriptor, which binds the mouse once more. Nothing else happens.
fn breaks(bench: &mut Bench) -> Result<()> {
    BREAKS.installed(bench, |bench| {
        let spec = plain_mouse();
        let mouse = bench.plug_unseen(&spec)?;
        let starts = Starts::watch()?;
        bench.release()?;
        let count = starts.count();
        ensure!((1..=3).contains(&count), "the helper was started {count} times");
        expect_untouched(&mouse, &spec)?;
        expect_answers(&mouse, &mut mouse.node("Plain Mouse")?, &[("00 05 03", "REL_X 5, REL_Y 3")])?;
        bench.hidbpf(&["status"])?.expect(0)?.answers(BREAKS.name)?.answers("failed")?;
        let before = fs::read(mouse.state()).context("failed to read a state")?;
        bench.trigger("bind", &mouse)?;
        ensure!(fs::read(mouse.state())? == before, "it was tried again");
        bench.unplug(mouse)
    })
}
