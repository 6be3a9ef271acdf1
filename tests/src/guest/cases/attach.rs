//! Cases about attaching and detaching, by udev and by hand, with any driver.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags, add_watch, init};
use serde_json::Value;

use super::drivers::{MOUSE, RAPTOR, plug_fixed, raptor_report, touchpad};
use super::helper::relinked;
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HELPER, HIDBPF, Plugged, entries, plain_mouse, write};
use crate::nodes::expect_events;
use crate::process::{Run, Started, command};
use crate::transport::Transport;
use crate::uhid::{Mood, Spec};

pub const CASES: &[Case] = &[
    case("udev-attaches-at-plug", WITH_HID_BPF, udev_attaches_at_plug),
    case("udev-attaches-at-coldplug", WITH_HID_BPF, udev_attaches_at_coldplug),
    case("unplug-leaves-nothing", WITH_HID_BPF, unplug_leaves_nothing),
    case("load-status-unload-by-hand", WITH_HID_BPF, load_status_unload),
    case("unload-of-a-device-that-is-late", WITH_HID_BPF, unload_of_late_device).each_generation(),
    case("unloaded-by-hand-stays-off", WITH_HID_BPF, unloaded_stays_off).newest_only(),
    case("add-twice", WITH_HID_BPF, add_twice),
    case("helpers-at-once", WITH_HID_BPF, helpers_at_once).each_generation(),
    case("answers-in-json", WITH_HID_BPF, answers_in_json).newest_only(),
    case("two-devices-one-driver", WITH_HID_BPF, two_devices_one_driver),
    case("two-drivers-one-device", WITH_HID_BPF, two_drivers_one_device).each_generation(),
    case("devices-are-found-by-any-name", WITH_HID_BPF, devices_by_any_name).newest_only(),
    case("unmatched-device-costs-no-process", WITH_HID_BPF, unmatched_costs_no_process).newest_only(),
    case("other-interface-is-left-alone", WITH_HID_BPF, other_interface_left_alone).newest_only(),
    case("event-storm-while-attaching", WITH_HID_BPF, event_storm).each_generation(),
    case("doctor-finds-nothing-wrong", WITH_HID_BPF, doctor_finds_nothing),
];

/// Checks that the joystick works: its hat sends directions.
pub fn expect_hat_works(joystick: &Plugged<impl Transport>) -> Result<()> {
    let mut node = joystick.only_node()?;
    joystick.device.send(&raptor_report(0, 0))?;
    joystick.device.send(&raptor_report(210, 0))?;
    let expected = "ABS_HAT0Y -1 | ABS_HAT0X -1";
    expect_events("hat north, then north-west", expected, &node.events()?)?;
    joystick.device.send(&raptor_report(240, 0))?;
    expect_events("hat centred", "ABS_HAT0X 0, ABS_HAT0Y 0", &node.events()?)
}

/// Checks that a device has no pins and its original descriptor.
pub fn expect_untouched<D>(device: &Plugged<D>, spec: &Spec) -> Result<()> {
    ensure!(device.pinned_drivers()?.is_empty(), "attached: {:?}", device.pinned_drivers()?);
    ensure!(device.descriptor()? == spec.descriptor, "the descriptor was changed");
    ensure!(!device.nodes()?.is_empty(), "the device has lost its nodes");
    Ok(())
}

fn udev_attaches_at_plug(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    ensure!(joystick.state().is_file(), "no state file `{}`", joystick.state().display());
    let links = entries(&joystick.pins().join(RAPTOR.0))?;
    ensure!(!links.is_empty(), "no link is pinned");
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// At boot, the kernel finds the device before udevd runs.
fn udev_attaches_at_coldplug(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug_unseen(&spec)?;
    expect_untouched(&joystick, &spec)?;
    bench.release()?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn unplug_leaves_nothing(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    let (pins, state, name) = (joystick.pins(), joystick.state(), joystick.name());
    bench.unplug(joystick)?;
    ensure!(!pins.exists(), "`{}` is still there", pins.display());
    ensure!(!state.exists(), "`{}` is still there", state.display());
    let status = bench.hidbpf(&["status"])?.expect(0)?;
    ensure!(!status.stdout.contains(&name), "status still knows the device\n{status}");
    // A device that the hwdb does not know has no driver either.
    let plain = bench.plug(&plain_mouse())?;
    bench.hidbpf(&["load", "--force", MOUSE.0, &plain.name()])?.expect(0)?;
    let (pins, state) = (plain.pins(), plain.state());
    ensure!(pins.exists() && state.exists(), "`{}` or `{}` is missing", pins.display(), state.display());
    bench.unplug(plain)?;
    ensure!(!pins.exists(), "`{}` is still there", pins.display());
    ensure!(!state.exists(), "`{}` is still there", state.display());
    Ok(())
}

/// udev's event and a user's command may coincide.
fn helpers_at_once(bench: &mut Bench) -> Result<()> {
    let joystick = bench.plug_unseen(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    let started: Vec<Started> =
        (0..3).map(|_| Started::new(command(HELPER).args(["add", &joystick.path()]))).collect::<Result<_>>()?;
    for helper in started {
        helper.finish()?.expect(0)?;
    }
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    bench.release()?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// Every answer has a version and describes the device or the driver.
fn answers_in_json(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    let name = joystick.name();
    for (arguments, word) in [
        (&["status"][..], name.as_str()),
        (&["devices"], &name),
        (&["drivers"], RAPTOR.0),
        (&["inspect", RAPTOR.0], RAPTOR.0),
        (&["inspect", &name], &name),
        (&["doctor"], "bpffs"),
        (&["unload", RAPTOR.0], &name),
        (&["load", RAPTOR.0], &name),
    ] {
        let run = bench.hidbpf(&[&["--json"], arguments].concat())?.expect(0)?.answers(word)?;
        let answer: Value = serde_json::from_str(&run.stdout).with_context(|| format!("no JSON\n{run}"))?;
        ensure!(answer["version"].is_u64(), "no version\n{run}");
    }
    bench.settle()?;
    bench.unplug(joystick)
}

fn load_status_unload(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(MOUSE.0, MOUSE.1)?;
    let mouse = bench.plug(&spec)?;
    expect_untouched(&mouse, &spec)?;
    let name = mouse.name();
    bench.hidbpf(&["load", MOUSE.0, &name])?.expect(0)?.answers(&name)?.answers(MOUSE.0)?;
    ensure!(mouse.pinned_drivers()? == [MOUSE.0], "pinned: {:?}", mouse.pinned_drivers()?);
    bench.hidbpf(&["status"])?.expect(0)?.answers(&name)?.answers(MOUSE.0)?;
    let answer = bench.hidbpf(&["status", "--json"])?.expect(0)?.answers(&name)?.answers(MOUSE.0)?;
    serde_json::from_str::<serde_json::Value>(&answer.stdout).context("status --json is not JSON")?;
    loads_once(bench, &mouse)?;
    bench.hidbpf(&["unload", MOUSE.0, &name])?.expect(0)?.answers(&name)?;
    expect_untouched(&mouse, &spec)?;
    bench.hidbpf(&["unload", MOUSE.0, &name])?.expect(1)?.says("not attached")?;
    // A driver without a device, and one that does not exist.
    bench.hidbpf(&["load", RAPTOR.0])?.expect(3)?.says(RAPTOR.0)?;
    bench.hidbpf(&["load", "no-such-driver"])?.expect(1)?.says("no-such-driver")?;
    // A driver for another device, by name and by force.
    bench.hidbpf(&["load", RAPTOR.0, &name])?.expect(3)?.says("not for")?;
    expect_untouched(&mouse, &spec)?;
    bench.hidbpf(&["load", "--force", RAPTOR.0, &name])?.expect(0)?;
    bench.hidbpf(&["status"])?.expect(0)?.answers("forced")?;
    bench.unload(&["--all"], &[&mouse])?;
    expect_untouched(&mouse, &spec)?;
    bench.unplug(mouse)
}

/// As with modprobe, loading a loaded driver is a success: by its name, by a copy of its object, and without naming a device.
///
/// Another version counts as a different driver.
fn loads_once(bench: &Bench, mouse: &Plugged) -> Result<()> {
    const COPY: &str = "/tmp/copy.bpf.o";
    const OTHER: &str = "/tmp/other-version.bpf.o";
    let name = mouse.name();
    let installed = format!("/usr/lib/hidbpf/drivers/{}.bpf.o", MOUSE.0);
    fs::copy(&installed, COPY).with_context(|| format!("failed to copy `{installed}`"))?;
    write(Path::new(OTHER), &relinked(MOUSE.0, |_| None)?)?;
    let (pins, state) = (entries(&mouse.pins().join(MOUSE.0))?, fs::read(mouse.state())?);
    for arguments in [&["load", MOUSE.0, &name][..], &["load", MOUSE.0], &["load", COPY, &name]] {
        bench.hidbpf(arguments)?.expect(0)?.answers(&format!("{} is attached to {name} already", MOUSE.0))?;
    }
    bench.hidbpf(&["--json", "load", MOUSE.0])?.expect(0)?.answers("\"already\": true")?;
    for arguments in [&["load", OTHER][..], &["load", OTHER, &name], &["load", "--force", OTHER, &name]] {
        let refused =
            bench.hidbpf(arguments)?.expect(1)?.says("another version of it is attached")?.says(&installed)?;
        refused.says(&format!("`hidbpf reload {OTHER} {name}`"))?;
    }
    ensure!(mouse.pinned_drivers()? == [MOUSE.0], "pinned: {:?}", mouse.pinned_drivers()?);
    ensure!(entries(&mouse.pins().join(MOUSE.0))? == pins, "the pins have changed");
    ensure!(fs::read(mouse.state())? == state, "the state has changed");
    bench.hidbpf(&["reload", OTHER, &name])?.expect(0)?;
    bench.hidbpf(&["load", OTHER, &name])?.expect(0)?.answers("already")?;
    bench.hidbpf(&["load", MOUSE.0])?.expect(1)?.says(OTHER)?.says("hidbpf reload")?;
    bench.hidbpf(&["reload", MOUSE.0])?.expect(0)?;
    Ok(())
}

/// A touchpad that the kernel driver queries when it is bound, and that answers after the time limit. The driver is detached nevertheless.
fn unload_of_late_device(bench: &mut Bench) -> Result<()> {
    const LATE: &str = "which is not back: the kernel did not bind it again within 5 s";
    let spec = touchpad()?;
    for options in [&[][..], &["--no-wait"]] {
        let touchpad = bench.plug(&spec)?;
        let name = touchpad.name();
        bench.hidbpf(&["load", "--force", RAPTOR.0, &name])?.expect(0)?;
        bench.settle()?;
        touchpad.device.set_mood(Mood::Silent);
        bench.udev.forget();
        let run = bench.hidbpf(&[&["unload", &name], options].concat())?.expect(0)?;
        ensure!(run.stderr.contains(LATE) == options.is_empty(), "{run}");
        let run = run.answers(&format!("{} detached from {name}", RAPTOR.0))?;
        ensure!(touchpad.pinned_drivers()?.is_empty(), "pinned: {:?}\n{run}", touchpad.pinned_drivers()?);
        touchpad.device.set_mood(Mood::Willing);
        bench.udev.wait_for("late binding", |event| event.is_hid("bind", &touchpad.syspath))?;
        bench.settle()?;
        expect_untouched(&touchpad, &spec)?;
        bench.unplug(touchpad)?;
    }
    Ok(())
}

fn unloaded_stays_off(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.unload(&[&joystick.name()], &[&joystick])?;
    expect_untouched(&joystick, &spec)?;
    for action in ["add", "bind", "change"] {
        bench.trigger(action, &joystick)?;
        expect_untouched(&joystick, &spec).with_context(|| format!("after `{action}`"))?;
    }
    bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(0)?;
    bench.settle()?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)?;
    // A user's choice lasts until the device is unplugged.
    let again = plug_fixed(RAPTOR, bench)?;
    bench.unplug(again)
}

fn add_twice(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    let pins = entries(&joystick.pins().join(RAPTOR.0))?;
    let state = fs::read(joystick.state()).context("failed to read the state")?;
    bench.hidbpf(&["udev", "add", &joystick.path()])?.expect(0)?;
    Run::of(command(HELPER).args(["add", &joystick.path()]))?.expect(0)?;
    bench.trigger("add", &joystick)?;
    bench.trigger("bind", &joystick)?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    ensure!(entries(&joystick.pins().join(RAPTOR.0))? == pins, "the pins have changed");
    ensure!(fs::read(joystick.state()).context("failed to read the state")? == state, "the state has changed");
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn two_devices_one_driver(bench: &mut Bench) -> Result<()> {
    let first = plug_fixed(RAPTOR, bench)?;
    let second = plug_fixed(RAPTOR, bench)?;
    expect_hat_works(&first)?;
    expect_hat_works(&second)?;
    bench.unplug(first)?;
    expect_hat_works(&second)?;
    // Without a device name, a command detaches a driver from all devices, or attaches it to all matching ones.
    let third = plug_fixed(RAPTOR, bench)?;
    let answer = bench.unload(&[RAPTOR.0], &[&second, &third])?;
    answer.answers(&second.name())?.answers(&third.name())?;
    let answer = bench.hidbpf(&["load", RAPTOR.0])?.expect(0)?;
    answer.answers(&second.name())?.answers(&third.name())?;
    bench.settle()?;
    expect_hat_works(&second)?;
    expect_hat_works(&third)?;
    bench.unplug(second)?;
    bench.unplug(third)
}

/// A driver without a descriptor hook works beside one that has one.
fn two_drivers_one_device(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.hidbpf(&["load", "--force", MOUSE.0, &joystick.name()])?.expect(0)?;
    let both = joystick.pinned_drivers()?;
    ensure!(both == [RAPTOR.0, MOUSE.0], "pinned: {both:?}");
    bench.hidbpf(&["unload", MOUSE.0, &joystick.name()])?.expect(0)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn devices_by_any_name(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug(&recordings::device(MOUSE.0, MOUSE.1)?)?;
    let hidraw = mouse.hidraw()?.path().display().to_string();
    let event = mouse.nodes()?.first().context("the mouse has no node")?.path.display().to_string();
    let link = format!("/sys/bus/hid/devices/{}", mouse.name());
    for device in [mouse.name(), mouse.path(), link, hidraw, event] {
        bench.hidbpf(&["load", MOUSE.0, &device])?.expect(0)?.answers(&mouse.name())?;
        bench.hidbpf(&["unload", MOUSE.0, &device])?.expect(0)?;
    }
    for nonsense in ["/dev/null", "/sys/class", "/dev/hidraw99", "0003:FFFF:FFFF.FFFF", "../..", "\u{fffd}"] {
        // The message names the existing device.
        bench.hidbpf(&["load", MOUSE.0, nonsense])?.expect(1)?.says(&mouse.name())?;
    }
    bench.unplug(mouse)
}

fn unmatched_costs_no_process(bench: &mut Bench) -> Result<()> {
    let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).context("failed to make an inotify")?;
    for program in [HELPER, HIDBPF] {
        add_watch(&inotify, program, WatchFlags::OPEN).with_context(|| format!("failed to watch `{program}`"))?;
    }
    let opened = || {
        let mut buffer = [const { std::mem::MaybeUninit::uninit() }; 4096];
        let mut reader = Reader::new(&inotify, &mut buffer);
        let mut count = 0;
        while let Ok(event) = reader.next() {
            count += usize::from(event.events().contains(ReadFlags::OPEN));
        }
        count
    };
    let plain = bench.plug(&plain_mouse())?;
    bench.unplug(plain)?;
    ensure!(opened() == 0, "hidbpf was started for a device that no driver is for");
    // The watch works: it sees a device with a driver being plugged in and unplugged.
    let joystick = plug_fixed(RAPTOR, bench)?;
    ensure!(opened() > 0, "the watch does not see the helper start");
    bench.unplug(joystick)?;
    ensure!(opened() > 0, "hidbpf was not started to clean up");
    Ok(())
}

/// The ids match and the manifest's rules do not.
fn other_interface_left_alone(bench: &mut Bench) -> Result<()> {
    let spec = Spec { descriptor: plain_mouse().descriptor, ..recordings::device(RAPTOR.0, RAPTOR.1)? };
    let other = bench.plug(&spec)?;
    expect_untouched(&other, &spec)?;
    // The output says why.
    bench.hidbpf(&["devices", &other.name()])?.expect(0)?.answers(RAPTOR.0)?.answers("232")?;
    bench.hidbpf(&["load", RAPTOR.0])?.expect(3)?.says("232")?;
    bench.unplug(other)
}

/// Reports arrive all the time, as from a device in use while its driver is attached.
fn event_storm(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug_unseen(&spec)?;
    std::thread::scope(|scope| {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let device = &joystick.device;
        let storm = scope.spawn(move || -> Result<u64> {
            let mut sent = 0;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                // During a rebind nothing takes the report, which is not a failure.
                device.send(&raptor_report(u8::try_from(sent % 241).unwrap_or(0), 0))?;
                sent += 1;
            }
            Ok(sent)
        });
        let released = bench.release();
        drop(stop);
        let sent = storm.join().map_err(|_| anyhow::anyhow!("the storm panicked"))??;
        ensure!(sent > 0, "no report was sent");
        released
    })?;
    joystick.device.send(&raptor_report(240, 0))?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn doctor_finds_nothing(bench: &mut Bench) -> Result<()> {
    bench.hidbpf(&["doctor"])?.expect(0)?;
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.hidbpf(&["doctor"])?.expect(0)?;
    ensure!(Path::new(HIDBPF).is_file(), "`{HIDBPF}` is not there");
    bench.unplug(joystick)
}
