//! Actions of a host on a tablet with three interfaces: resets, configurations, kernel drivers, authorization.
//!
//! The tablet is fixed again each time, and nothing is left of the removed HID devices.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::tablet::{self, DRIVER, Tablet};
use crate::guest::bench::{Bench, write};
use crate::guest::cases::{Case, WITH_HID_BPF, case};
use crate::guest::usb::reset;
use crate::usb::{Answer, Behaviour, Request, Spec};

pub const CASES: &[Case] = &[
    case("usb-tablet-is-fixed-when-plugged-in", WITH_HID_BPF, plugged_in),
    case("usb-tablet-is-reset", WITH_HID_BPF, is_reset),
    case("usb-tablet-has-another-descriptor-after-a-reset", WITH_HID_BPF, other_descriptor).each_generation(),
    case("usb-tablet-has-another-firmware-after-a-reset", WITH_HID_BPF, other_firmware).each_generation(),
    case("usb-tablet-refuses-its-descriptors-after-a-reset", WITH_HID_BPF, silent_after_reset).each_generation(),
    case("usb-tablet-is-configured-again", WITH_HID_BPF, configured_again).each_generation(),
    case("usb-interface-is-bound-again", WITH_HID_BPF, bound_again),
    case("usb-tablet-is-authorized-again", WITH_HID_BPF, authorized_again).each_generation(),
];

/// usbhid's directory, and the name of an interface there.
const USBHID: &str = "/sys/bus/usb/drivers/usbhid";

/// hidbpf's output about the interfaces matches the bus.
fn plugged_in(bench: &mut Bench) -> Result<()> {
    let mut tablet = Tablet::plug(bench)?;
    tablet.expect_fixed(bench)?;
    let run = bench.hidbpf(&["--json", "devices"])?.expect(0)?;
    let answer: Value = serde_json::from_str(&run.stdout).with_context(|| format!("no JSON\n{run}"))?;
    // QEMU's mouse is among them if the kernel has the drivers for it.
    for interface in &tablet.plugged.interfaces {
        let mut listed = answer["devices"].as_array().into_iter().flatten();
        let device = listed.find(|device| device["device"] == interface.name());
        let device = device.with_context(|| format!("`{}` is not listed\n{run}", interface.name()))?;
        ensure!(
            device["interface"] == interface.device.number() && device["hid-name"] == "HUION Huion Tablet_H641P",
            "{device}"
        );
    }
    let pad = tablet.plugged.interface(PAD)?.name();
    let run = bench.hidbpf(&["inspect", &pad])?.expect(0)?;
    run.answers("physical path: usb-vhci_hcd.0-1/input2\n")?.answers("serial number: bench-")?;
    bench.hidbpf(&["doctor", &pad])?.expect(0)?;
    bench.unplug_usb(tablet.plugged)
}

fn is_reset(bench: &mut Bench) -> Result<()> {
    let mut tablet = Tablet::plug(bench)?;
    let before = tablet.names();
    for _ in 0..2 {
        reset(tablet.plugged.path())?;
        bench.settle()?;
        tablet.expect_fixed(bench)?;
    }
    ensure!(tablet.names() == before, "{before:?} are now {:?}", tablet.names());
    bench.unplug_usb(tablet.plugged)
}

/// The interfaces of pen and pad.
const PEN: u8 = 1;
const PAD: u8 = 2;

/// Returns the tablet with another descriptor for its pad.
fn other_tablet(descriptor: impl FnOnce(&mut Vec<u8>)) -> Result<Spec> {
    let mut spec = tablet::spec()?;
    let pad = spec.interfaces.iter_mut().find(|interface| interface.number == PAD);
    descriptor(&mut pad.context("the tablet has no pad")?.descriptor);
    Ok(spec)
}

/// Behaves like a tablet that turns into another one when `turned` is set.
fn turning(turned: &Arc<AtomicBool>, other: Spec) -> Box<Behaviour> {
    let turned = Arc::clone(turned);
    Box::new(move |request| {
        let is_other = turned.load(Ordering::Relaxed) && request.is_for_interfaces();
        request.descriptor_of(&other).filter(|_| is_other).map_or(Answer::Usual, Answer::Data)
    })
}

/// A descriptor of the same size: the kernel makes a new HID device of only this interface, which the driver matches as well.
fn other_descriptor(bench: &mut Bench) -> Result<()> {
    const DIGITIZER: u8 = 0x0d;
    let turned = Arc::default();
    let other = other_tablet(|descriptor| descriptor[1] = DIGITIZER)?;
    let mut tablet = Tablet::plug_with(bench, &tablet::spec()?, turning(&turned, other))?;
    tablet.expect_fixed(bench)?;
    let before = tablet.names();
    turned.store(true, Ordering::Relaxed);
    reset(tablet.plugged.path())?;
    bench.settle()?;
    tablet.expect_fixed(bench)?;
    let after = tablet.names();
    let stayed: Vec<bool> = before.iter().zip(&after).map(|(before, after)| before == after).collect();
    ensure!(stayed == [true, true, false], "{before:?} are now {after:?}");
    bench.unplug_usb(tablet.plugged)
}

/// A descriptor of another size: the kernel treats the tablet as another device.
fn other_firmware(bench: &mut Bench) -> Result<()> {
    let turned = Arc::default();
    let other = other_tablet(|descriptor| descriptor.extend([0x05, 0x01]))?;
    let own = other.interface(PAD).context("the tablet has no pad")?.descriptor.clone();
    let mut tablet = Tablet::plug_with(bench, &tablet::spec()?, turning(&turned, other))?;
    tablet.expect_fixed(bench)?;
    let before = tablet.names();
    turned.store(true, Ordering::Relaxed);
    bench.udev.forget();
    let path = tablet.plugged.path().to_owned();
    ensure!(reset(&path).is_err(), "the kernel did not see that the tablet is another one");
    bench.udev.wait_for("tablet with another firmware", |event| event.action == "bind" && event.syspath == path)?;
    bench.settle()?;
    tablet.plugged.look()?;
    let after = tablet.names();
    ensure!(after.len() == 3 && after.iter().all(|name| !before.contains(name)), "{before:?} are now {after:?}");
    let pad = tablet.plugged.interface(PAD)?;
    ensure!(pad.pinned_drivers()?.is_empty() && pad.descriptor()? == own, "the pad has {:?}", pad.pinned_drivers()?);
    bench.hidbpf(&["devices", &pad.name()])?.expect(0)?.answers(DRIVER)?.answers("65")?;
    bench.unplug_usb(tablet.plugged)
}

/// The kernel can't find out then whether it is the same tablet.
fn silent_after_reset(bench: &mut Bench) -> Result<()> {
    let silent = Arc::new(AtomicBool::default());
    let behaviour = {
        let silent = Arc::clone(&silent);
        move |request: &Request| match request.is_for_report_descriptor() && silent.load(Ordering::Relaxed) {
            true => Answer::Stall,
            false => Answer::Usual,
        }
    };
    let mut tablet = Tablet::plug_with(bench, &tablet::spec()?, Box::new(behaviour))?;
    tablet.expect_fixed(bench)?;
    silent.store(true, Ordering::Relaxed);
    reset(tablet.plugged.path())?;
    bench.settle()?;
    tablet.expect_fixed_but(&tablet::INTERFACES, bench)?;
    silent.store(false, Ordering::Relaxed);
    tablet.plugged.set("bConfigurationValue", "0")?;
    tablet.plugged.set("bConfigurationValue", "1")?;
    bench.settle()?;
    tablet.expect_fixed(bench)?;
    bench.unplug_usb(tablet.plugged)
}

/// Removes all interfaces with an attribute of the device, and brings them back.
fn off_and_on(attribute: &str, tablet: &mut Tablet, bench: &mut Bench) -> Result<()> {
    tablet.plugged.set(attribute, "0")?;
    bench.settle()?;
    tablet.expect_fixed_but(&tablet::INTERFACES, bench)?;
    tablet.plugged.set(attribute, "1")?;
    bench.settle()?;
    tablet.expect_fixed(bench)
}

fn configured_again(bench: &mut Bench) -> Result<()> {
    let mut tablet = Tablet::plug(bench)?;
    off_and_on("bConfigurationValue", &mut tablet, bench)?;
    bench.unplug_usb(tablet.plugged)
}

fn bound_again(bench: &mut Bench) -> Result<()> {
    let mut tablet = Tablet::plug(bench)?;
    let interface = tablet.plugged.device.interface_path(PEN);
    let name = interface.file_name().unwrap_or_default().as_encoded_bytes();
    write(&Path::new(USBHID).join("unbind"), name)?;
    bench.settle()?;
    tablet.expect_fixed_but(&[PEN], bench)?;
    write(&Path::new(USBHID).join("bind"), name)?;
    bench.settle()?;
    tablet.expect_fixed(bench)?;
    bench.unplug_usb(tablet.plugged)
}

fn authorized_again(bench: &mut Bench) -> Result<()> {
    let mut tablet = Tablet::plug(bench)?;
    off_and_on("authorized", &mut tablet, bench)?;
    // One interface, which the kernel binds only on request.
    let interface = tablet.plugged.device.interface_path(PEN);
    write(&interface.join("authorized"), b"0")?;
    bench.settle()?;
    tablet.expect_fixed_but(&[PEN], bench)?;
    write(&interface.join("authorized"), b"1")?;
    write(Path::new("/sys/bus/usb/drivers_probe"), interface.file_name().unwrap_or_default().as_encoded_bytes())?;
    bench.settle()?;
    tablet.expect_fixed(bench)?;
    bench.unplug_usb(tablet.plugged)
}
