//! Cases on a USB bus, with the kernel's usbhid: what a host does to a device of several interfaces, and the fix is there again.

use anyhow::{Result, ensure};

use super::attach::expect_hat_works;
use super::drivers::RAPTOR;
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::Bench;
use crate::guest::usb::spec_of;

pub const CASES: &[Case] = &[case("usb-device-is-fixed", WITH_HID_BPF, is_fixed)];

fn is_fixed(bench: &mut Bench) -> Result<()> {
    let joystick = bench.plug_usb(&spec_of(&recordings::device(RAPTOR.0, RAPTOR.1)?))?;
    let interface = joystick.only()?;
    ensure!(interface.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", interface.pinned_drivers()?);
    expect_hat_works(interface)?;
    bench.unplug_usb(joystick)
}
