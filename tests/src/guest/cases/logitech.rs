//! Cases about Logitech devices that recordings can't cover: an option's effect on the driver's requests to the device, and their time.

use anyhow::{Result, ensure};

use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged};
use crate::uhid::Mood;

pub const CASES: &[Case] =
    &[case("logitech-mx-master-3b-is-told-what-its-button-is", WITH_HID_BPF, button_is_told).each_generation()];

/// The driver, and the size of the descriptor of the receiver's interface for requests.
const BUTTON: (&str, usize) = ("logitech-mx-master-3b-middle-button", 54);

/// Checks that the mouse in a slot of the receiver got the assignment of its button, as the last of this many requests.
fn expect_told(receiver: &Plugged, times: usize, slot: u8, control: u8) -> Result<()> {
    let told: Vec<String> = receiver.device.asked().iter().map(ToString::to_string).collect();
    let expected = format!("set output 11 {slot:02x} 09 32 00 c4 00 00 {control:02x}{}", " 00".repeat(11));
    ensure!(
        told.len() == times && told.last() == Some(&expected),
        "expected `{expected}` as number {times} of {told:?}"
    );
    Ok(())
}

/// The request is sent when the driver is attached by hand, when an option is set, and when the machine wakes up.
///
/// If the receiver refuses, the driver is not attached.
fn button_is_told(bench: &mut Bench) -> Result<()> {
    let receiver = bench.plug(&recordings::device(BUTTON.0, BUTTON.1)?)?;
    ensure!(receiver.pinned_drivers()?.is_empty(), "attached unasked: {:?}", receiver.pinned_drivers()?);
    receiver.device.set_mood(Mood::Refusing);
    let refused = bench.hidbpf(&["load", BUTTON.0])?.expect(1)?;
    refused.says(BUTTON.0)?.says("SET_REPORT of the output report 17 failed")?;
    ensure!(receiver.pinned_drivers()?.is_empty(), "attached: {:?}", receiver.pinned_drivers()?);
    receiver.device.set_mood(Mood::Willing);
    let before = receiver.device.asked().len();
    bench.hidbpf(&["load", BUTTON.0])?.expect(0)?.answers("device set up")?;
    expect_told(&receiver, before + 1, 1, 0x52)?;
    bench.hidbpf(&["set", BUTTON.0, "receiver-slot=3"])?.expect(0)?.answers("reattached")?;
    expect_told(&receiver, before + 2, 3, 0x52)?;
    bench.hidbpf(&["set", BUTTON.0, "acts-as=wheel-mode"])?.expect(0)?.answers("reattached")?;
    expect_told(&receiver, before + 3, 3, 0xc4)?;
    bench.hidbpf(&["udev", "resume"])?.expect(0)?;
    expect_told(&receiver, before + 4, 3, 0xc4)?;
    bench.hidbpf(&["unload", BUTTON.0])?.expect(0)?;
    expect_told(&receiver, before + 4, 3, 0xc4)?;
    bench.unplug(receiver)
}
