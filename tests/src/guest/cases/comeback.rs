//! Cases in which a device, or the machine, goes away and comes back. The driver is attached again, and hidbpf's output is correct.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use libbpf_rs::query::ProgInfoIter;

use super::attach::expect_hat_works;
use super::drivers::{RAPTOR, TOUCHPAD, plug_fixed, touchpad};
use super::faults::wait_until;
use super::fixtures::USB;
use super::many::Kept;
use super::trouble::raptor_object;
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, write};
use crate::guest::usb::reset;
use crate::monitor::Uevent;
use crate::nodes::{self, Node};
use crate::process::{Run, command};

pub const CASES: &[Case] = &[
    case("suspend-keeps-a-fix", STRUCT_OPS, suspend),
    case("plugged-in-again-at-once", WITH_HID_BPF, again_at_once),
    case("unbound-by-hand-is-told", WITH_HID_BPF, unbound),
    case("moved-between-kernel-drivers", STRUCT_OPS, moved_between_drivers),
    case("usb-mouse-is-reset-and-suspended", STRUCT_OPS, usb_mouse),
    case("reloaded-again-and-again", WITH_HID_BPF, reloaded).each_generation(),
    case("newer-object-waits-for-reload", WITH_HID_BPF, newer_object).each_generation(),
];

/// All devices are suspended and resumed, as for a sleep. The processor stays awake (Documentation/power/basic-pm-debugging.rst).
fn suspend(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    let fixed = joystick.descriptor()?;
    // The time of the machine in that state, in seconds.
    write(Path::new("/sys/module/suspend/parameters/pm_test_delay"), b"1")?;
    write(Path::new("/sys/power/pm_test"), b"devices")?;
    write(Path::new("/sys/power/state"), b"freeze").context("the kernel did not suspend its devices")?;
    write(Path::new("/sys/power/pm_test"), b"none")?;
    bench.settle()?;
    ensure!(joystick.descriptor()? == fixed, "the descriptor is not the fixed one");
    expect_hat_works(&joystick)?;
    // The command that systemd then starts.
    bench.hidbpf(&["udev", "resume"])?.expect(0)?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// With a loose plug, udev has not yet handled the removal when the device is back.
fn again_at_once(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let mut joystick = bench.plug(&spec)?;
    for _ in 0..3 {
        let (pins, state) = (joystick.pins(), joystick.state());
        joystick.device.unplug().context("failed to unplug a virtual device")?;
        joystick = bench.plug(&spec)?;
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
        expect_hat_works(&joystick)?;
        ensure!(!pins.exists() && !state.exists(), "`{}` or `{}` is still there", pins.display(), state.display());
    }
    bench.unplug(joystick)
}

fn unbound(bench: &mut Bench) -> Result<()> {
    const BUS: &str = "/sys/bus/hid/drivers/hid-generic";
    let joystick = plug_fixed(RAPTOR, bench)?;
    write(format!("{BUS}/unbind").as_ref(), joystick.name().as_bytes())?;
    bench.settle()?;
    bench
        .hidbpf(&["doctor", &joystick.name()])?
        .expect(1)?
        .answers("no kernel driver is bound to it")?
        .answers(RAPTOR.0)?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(&joystick.name())?.answers(RAPTOR.0)?;
    write(format!("{BUS}/bind").as_ref(), joystick.name().as_bytes())?;
    bench.settle()?;
    bench.hidbpf(&["doctor", &joystick.name()])?.expect(0)?.answers("it has fixed the descriptor")?;
    expect_hat_works(&joystick)?;
    let pins = fs::read_dir(joystick.pins()).context("failed to list the pins")?.count();
    ensure!(pins == 1, "{pins} drivers are pinned");
    bench.unplug(joystick)
}

/// hid-multitouch is removed, hid-generic takes the touchpad, and returns it when hid-multitouch is back.
///
/// A module that is loaded late does the same.
fn moved_between_drivers(bench: &mut Bench) -> Result<()> {
    const MULTITOUCH: &str = "hid-multitouch";
    let touchpad = bench.plug(&touchpad()?)?;
    expect_attached(bench, &touchpad, TOUCHPAD.0)?;
    let bound = |touchpad: &Plugged| -> Result<String> {
        let link = touchpad.syspath.join("driver");
        let driver = fs::read_link(&link).with_context(|| format!("failed to read `{}`", link.display()))?;
        Ok(driver.file_name().unwrap_or_default().to_string_lossy().into_owned())
    };
    let nodes = nodes::describe_all(&touchpad.nodes()?)?;
    let used = use_touchpad(&touchpad)?;
    ensure!(bound(&touchpad)? == MULTITOUCH && !used.is_empty(), "`{}` is bound, and says {used:?}", bound(&touchpad)?);
    for _ in 0..2 {
        Run::of(command("modprobe").args(["--remove", MULTITOUCH]))?.expect(0)?;
        bench.settle()?;
        ensure!(bound(&touchpad)? == "hid-generic", "`{}` is bound", bound(&touchpad)?);
        expect_attached(bench, &touchpad, TOUCHPAD.0)?;
        Run::of(command("modprobe").arg(MULTITOUCH))?.expect(0)?;
        bench.settle()?;
        ensure!(bound(&touchpad)? == MULTITOUCH, "`{}` is bound", bound(&touchpad)?);
        expect_attached(bench, &touchpad, TOUCHPAD.0)?;
        touchpad.expect_nodes(&nodes)?;
        let again = use_touchpad(&touchpad)?;
        ensure!(again == used, "expected {used:?}, found {again:?}");
    }
    bench.unplug(touchpad)
}

/// Returns the events of the touchpad's nodes for the reports of its recording.
fn use_touchpad(touchpad: &Plugged) -> Result<String> {
    let mut nodes = touchpad.nodes()?;
    recordings::play(TOUCHPAD.0, touchpad)?;
    let said: Vec<String> = nodes.iter_mut().map(Node::events).collect::<Result<_>>()?;
    Ok(said.concat())
}

fn expect_attached(bench: &mut Bench, device: &Plugged, driver: &str) -> Result<()> {
    let pinned = device.pinned_drivers()?;
    ensure!(pinned == [driver], "pinned: {pinned:?}");
    let status = bench.hidbpf(&["status"])?.expect(0)?.answers(&device.name())?.answers(driver)?;
    ensure!(!status.stdout.contains("failed"), "something failed\n{status}");
    Ok(())
}

/// The actions of a bus on a device: it resets it, suspends it, and removes it and adds it again.
///
/// QEMU's mouse is on a real bus, with the kernel's usbhid.
fn usb_mouse(bench: &mut Bench) -> Result<()> {
    const HOST: &str = "xhci-pci";
    USB.installed(bench, |bench| {
        bench.udev.forget();
        Run::of(command("modprobe").arg(HOST))?.expect(0)?;
        let mouse = wait_for_usb_mouse(bench)?;
        let usb = mouse.parent().and_then(Path::parent).context("the mouse is on no bus")?.to_owned();
        expect_fixed_usb_mouse(bench, &mouse)?;

        reset(&usb)?;
        bench.settle()?;
        expect_fixed_usb_mouse(bench, &mouse).context("after a reset")?;

        let power = |attribute: &str, word: &str| write(&usb.join("power").join(attribute), word.as_bytes());
        power("autosuspend_delay_ms", "0")?;
        power("control", "auto")?;
        let asleep = || fs::read_to_string(usb.join("power/runtime_status")).is_ok_and(|is| is.trim() == "suspended");
        wait_until(asleep).context("the mouse does not go to sleep")?;
        power("control", "on")?;
        bench.settle()?;
        expect_fixed_usb_mouse(bench, &mouse).context("after a sleep")?;

        bench.udev.forget();
        write(&usb.join("authorized"), b"0")?;
        bench.udev.wait_for("the mouse to go", |event| event.is_hid("remove", &mouse))?;
        write(&usb.join("authorized"), b"1")?;
        let mouse = wait_for_usb_mouse(bench)?;
        expect_fixed_usb_mouse(bench, &mouse).context("after it was taken away")?;

        bench.udev.forget();
        Run::of(command("modprobe").args(["--remove", HOST]))?.expect(0)?;
        bench.udev.wait_for("the mouse to go", |event| event.is_hid("remove", &mouse))?;
        bench.settle()
    })
}

/// Returns the directory of the mouse, once its kernel driver is bound and udevd has handled it.
fn wait_for_usb_mouse(bench: &mut Bench) -> Result<PathBuf> {
    let is_mouse = |event: &Uevent| event.subsystem == "hid" && event.sysname().starts_with("0003:0627:0001.");
    let added = bench.udev.wait_for("the mouse on USB", |event| event.action == "add" && is_mouse(event))?;
    bench.udev.wait_for("the mouse's kernel driver", |event| event.is_hid("bind", &added.syspath))?;
    bench.settle()?;
    Ok(added.syspath)
}

fn expect_fixed_usb_mouse(bench: &Bench, mouse: &Path) -> Result<()> {
    let descriptor = fs::read(mouse.join("report_descriptor")).context("failed to read the mouse's descriptor")?;
    ensure!(descriptor.get(14..16) == Some(&[0x29, 3]), "the descriptor is {descriptor:02x?}");
    let name = mouse.file_name().unwrap_or_default().to_string_lossy();
    let status =
        bench.hidbpf(&["status"])?.expect(0)?.answers(&name)?.answers(USB.name)?.answers("descriptor fixed")?;
    ensure!(!status.stdout.contains("failed"), "something failed\n{status}");
    let nodes = Node::all_of(mouse)?;
    ensure!(nodes.len() == 1, "the mouse has {} nodes", nodes.len());
    Ok(())
}

/// Returns the highest id of the kernel's programs. The kernel reuses an id only after it has used all.
fn newest_program() -> u32 {
    ProgInfoIter::default().map(|program| program.id).max().unwrap_or(0)
}

/// Each of many reloads works: its programs are new, there is one set of them, and the joystick works.
fn reloaded(bench: &mut Bench) -> Result<()> {
    const TIMES: usize = 25;
    let joystick = plug_fixed(RAPTOR, bench)?;
    let fixed = joystick.descriptor()?;
    let before = Kept::now();
    for time in 0..TIMES {
        let newest = newest_program();
        bench.hidbpf(&["reload", RAPTOR.0])?.expect(0)?.answers(RAPTOR.0)?;
        ensure!(newest_program() > newest, "reload {time} has loaded nothing");
        ensure!(joystick.descriptor()? == fixed, "after reload {time} the descriptor is not the fixed one");
        expect_attached(bench, &joystick, RAPTOR.0)?;
        expect_hat_works(&joystick).with_context(|| format!("after reload {time}"))?;
    }
    bench.settle()?;
    before.expect_no_more()?;
    bench.unplug(joystick)
}

/// An upgrade: attached programs stay until `hidbpf reload`.
///
/// Then the kernel probes the device once without the old driver and once with the new one, each time at once.
fn newer_object(bench: &mut Bench) -> Result<()> {
    let newer = format!("/etc/hidbpf/drivers/{}.bpf.o", RAPTOR.0);
    let joystick = plug_fixed(RAPTOR, bench)?;
    let program = newest_program();
    write(Path::new(&newer), &raptor_object()?)?;
    let result = (|| {
        for action in ["add", "bind", "change"] {
            bench.trigger(action, &joystick)?;
        }
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        ensure!(newest_program() == program, "something was attached anew");
        let object = format!("\"object\": \"{newer}\"");
        let status = bench.hidbpf(&["--json", "status"])?.expect(0)?;
        ensure!(!status.stdout.contains(&object), "the newer one is attached already\n{status}");
        bench.kernel.forget();
        bench.hidbpf(&["reload"])?.expect(0)?;
        bench.hidbpf(&["--json", "status"])?.expect(0)?.answers(&object)?;
        expect_hat_works(&joystick)?;
        bench.settle()?;
        let of_joystick = bench.kernel.seen().iter().filter(|event| event.syspath == joystick.syspath);
        let actions: Vec<String> = of_joystick.map(|event| event.action.clone()).collect();
        ensure!(actions == ["unbind", "bind", "unbind", "bind"], "the device's events were {actions:?}");
        Ok(())
    })();
    fs::remove_file(&newer).with_context(|| format!("failed to remove `{newer}`"))?;
    result?;
    bench.unplug(joystick)
}
