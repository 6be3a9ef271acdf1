//! Many USB devices at once, and one that is unplugged at any step of the attach sequence.

use anyhow::{Context, Result, ensure};

use super::faulty::{expect_nothing_known, expect_works, joystick};
use crate::guest::bench::Bench;
use crate::guest::cases::faults::add_traced;
use crate::guest::cases::helper::forget_numbers;
use crate::guest::cases::many::Kept;
use crate::guest::cases::{Case, WITH_HID_BPF, case};
use crate::guest::usb::UsbPlugged;
use crate::usb::{self, Device, Spec, Speed};

pub const CASES: &[Case] = &[
    case("usb-devices-at-once", WITH_HID_BPF, at_once).each_generation(),
    case("usb-device-vanishes-at-each-bpf-call", WITH_HID_BPF, vanishes_at_each_call).each_generation(),
];

/// The number of ports for each speed on any kernel (`VHCI_HC_PORTS`, drivers/usb/usbip/vhci.h).
pub const PORTS: usize = 8;

/// One device for each port that any kernel has, of both speeds. udevd sees the first ones while the kernel still examines others.
fn at_once(bench: &mut Bench) -> Result<()> {
    let one = bench.plug_usb(&joystick()?)?;
    expect_works(&one)?;
    bench.unplug_usb(one)?;
    let before = Kept::now();
    bench.udev.forget();
    let mut devices = Vec::new();
    for speed in [Speed::High, Speed::Super].repeat(PORTS) {
        let spec = Spec { speed, ..joystick()? };
        devices.push(bench.plug_usb_unwatched(&spec, &[], usb::usual())?);
    }
    let devices: Vec<UsbPlugged> = devices.into_iter().map(|device| bench.finish_usb(device)).collect::<Result<_>>()?;
    for (number, joystick) in devices.iter().enumerate() {
        expect_works(joystick).with_context(|| format!("device {number}"))?;
    }
    let mut wires: Vec<Device> = devices.into_iter().map(|joystick| joystick.device).collect();
    wires.iter_mut().try_for_each(Device::detach)?;
    wires.into_iter().try_for_each(Device::unplug)?;
    bench.settle()?;
    expect_nothing_known(bench)?;
    before.expect_no_more()
}

/// udevd handles the removal only afterwards.
fn vanishes_at_each_call(bench: &mut Bench) -> Result<()> {
    let calls = {
        let devices = plug_unseen(bench, 1)?;
        let device = devices.first().context("no device")?;
        forget_numbers()?;
        let mut traced = add_traced(device.only()?)?;
        let mut calls = Vec::new();
        while let Some(call) = traced.next_call()? {
            calls.push(call);
        }
        traced.finish()?.0.expect(0)?;
        unplug_unseen(bench, devices)?;
        calls
    };
    let before = Kept::now();
    for some in (0..calls.len()).collect::<Vec<_>>().chunks(PORTS) {
        let devices = plug_unseen(bench, some.len())?;
        for (number, joystick) in some.iter().zip(devices) {
            forget_numbers()?;
            let at = || format!("unplugged at call {number} of {calls:?}");
            let mut traced = add_traced(joystick.only()?)?;
            for _ in 0..=*number {
                traced.next_call()?.context("there were fewer calls this time").with_context(at)?;
            }
            joystick.device.unplug().with_context(at)?;
            // The removal of a device is not a failure.
            traced.finish()?.0.expect(0).with_context(at)?;
        }
        bench.release()?;
        expect_nothing_known(bench)?;
    }
    ensure!(calls.len() > PORTS, "an attach makes only these calls: {calls:?}");
    before.expect_no_more()
}

/// Plugs in joysticks that udevd does not see before [`Bench::release`].
fn plug_unseen(bench: &mut Bench, count: usize) -> Result<Vec<UsbPlugged>> {
    bench.usb_bus()?;
    bench.hold()?;
    bench.kernel.forget();
    let devices: Vec<Device> =
        (0..count).map(|_| bench.plug_usb_unwatched(&joystick()?, &[], usb::usual())).collect::<Result<_>>()?;
    devices.into_iter().map(|device| bench.finish_usb_unseen(device)).collect()
}

fn unplug_unseen(bench: &mut Bench, devices: Vec<UsbPlugged>) -> Result<()> {
    devices.into_iter().try_for_each(|device| device.device.unplug())?;
    bench.release()
}
