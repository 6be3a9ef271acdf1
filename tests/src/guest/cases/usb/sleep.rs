//! A USB device that sleeps to save power while nobody uses it.
//!
//! It is fixed when it is used again. hidbpf inspects it without waking it, and wakes it to send requests. A device can't wake the kernel's
//! virtual bus.

use anyhow::{Context, Result, ensure};

use super::tablet::{self, Tablet};
use crate::guest::bench::Bench;
use crate::guest::cases::drivers::expect_answers;
use crate::guest::cases::fixtures::SETUP;
use crate::guest::cases::{Case, WITH_HID_BPF, case, setup};
use crate::guest::usb::{UsbPlugged, spec_of};
use crate::usb::{self, Event, InterfaceSpec, Spec};

pub const CASES: &[Case] = &[
    case("usb-tablet-sleeps-while-closed", WITH_HID_BPF, while_closed),
    case("usb-tablet-sleeps-while-open", WITH_HID_BPF, while_open).each_generation(),
    case("usb-device-is-woken-to-talk-to-it", WITH_HID_BPF, woken_to_talk).each_generation(),
];

/// Lets the device sleep once nobody uses it, and waits until it does.
///
/// The kernel checks whether a device can sleep when a user releases it, but not when an event node of it is closed. This function then
/// triggers the check.
fn fall_asleep(bench: &mut Bench, device: &UsbPlugged) -> Result<()> {
    device.set("power/autosuspend_delay_ms", "0")?;
    bench.settle()?;
    device.set("power/control", "on")?;
    device.set("power/control", "auto")?;
    bench.wait_for_sleep(device, "suspended")
}

fn while_closed(bench: &mut Bench) -> Result<()> {
    let mut tablet = Tablet::plug(bench)?;
    fall_asleep(bench, &tablet.plugged)?;
    let pad = tablet.names().pop().unwrap_or_default();
    for look in [&["status"][..], &["devices"], &["inspect", &pad], &["doctor", &pad]] {
        bench.hidbpf(look)?.expect(0)?;
        let state = tablet.plugged.get("power/runtime_status")?;
        ensure!(state == "suspended", "the tablet is {state} after `{}`", look.join(" "));
    }
    // Opening its nodes wakes it.
    tablet.expect_fixed(bench)?;
    fall_asleep(bench, &tablet.plugged)?;
    // So does attaching a driver, because the kernel probes the device again.
    bench.hidbpf(&["reload"])?.expect(0)?;
    bench.settle()?;
    tablet.expect_fixed(bench)?;
    fall_asleep(bench, &tablet.plugged)?;
    bench.unplug_usb(tablet.plugged)
}

/// A device that can wake the machine up sleeps even while it is in use.
fn while_open(bench: &mut Bench) -> Result<()> {
    let spec = Spec { wakes: true, ..tablet::spec()? };
    let mut tablet = Tablet::plug_with(bench, &spec, usb::usual())?;
    let wakeups = |tablet: &Tablet, is_set: bool| {
        let events = tablet.plugged.device.events();
        let is_wakeup = |event: &&Event| matches!(event, Event::Request(request) if request.wakeup() == Some(is_set));
        events.iter().filter(is_wakeup).count()
    };
    let nodes = tablet.plugged.interface(2)?.nodes()?;
    ensure!(!nodes.is_empty(), "the pad has no node");
    fall_asleep(bench, &tablet.plugged)?;
    ensure!(wakeups(&tablet, true) == 1, "the kernel has not asked to be woken: {:?}", tablet.plugged.device.events());
    tablet.plugged.set("power/control", "on")?;
    bench.wait_for_sleep(&tablet.plugged, "active")?;
    drop(nodes);
    tablet.expect_fixed(bench)?;
    bench.unplug_usb(tablet.plugged)
}

/// Returns the mouse whose driver has a setup, without an endpoint for output.
pub fn mouse() -> Spec {
    let mut spec = spec_of(&setup::mouse());
    for interface in &mut spec.interfaces {
        *interface = InterfaceSpec { features: [(5, vec![5, 0x20, 0x30])].into(), ..interface.clone() };
    }
    spec
}

fn woken_to_talk(bench: &mut Bench) -> Result<()> {
    const REPORT: &str = "01 00 05 00";
    SETUP.installed(bench, |bench| {
        let mouse = bench.plug_usb(&mouse())?;
        let (interface, name) = (mouse.only()?, mouse.only()?.name());
        let told = || interface.device.asked().iter().map(ToString::to_string).collect::<Vec<_>>();
        let once = ["get feature 05", "set feature 05 21 30", "set output 06 aa bb"];
        ensure!(told() == once, "at the attach: {:?}", told());
        expect_answers(interface, &mut interface.only_node()?, &[(REPORT, "REL_X -5, REL_Y 1")])?;
        fall_asleep(bench, &mouse).context("after the attach")?;
        bench.hidbpf(&["request", &name, "get", "feature", "5"])?.expect(0)?.answers("05 20 30")?;
        fall_asleep(bench, &mouse).context("after a request")?;
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        ensure!(told().ends_with(&once.map(str::to_owned)), "at a resume: {:?}", told());
        fall_asleep(bench, &mouse).context("after a resume")?;
        bench.hidbpf(&["unload", SETUP.name])?.expect(0)?;
        fall_asleep(bench, &mouse).context("after an unload")?;
        bench.hidbpf(&["load", SETUP.name, &name])?.expect(0)?;
        bench.settle()?;
        // The device can fall asleep in the middle of the setup, which then starts again.
        let told = told();
        ensure!(told.len() > 3 * once.len() && told.ends_with(&once.map(str::to_owned)), "at a load: {told:?}");
        expect_answers(interface, &mut interface.only_node()?, &[(REPORT, "REL_X -5, REL_Y 1")])?;
        bench.unplug_usb(mouse)
    })
}
