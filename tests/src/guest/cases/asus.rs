//! Cases about ASUS keyboards that recordings can't cover: the driver's requests to the device.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, case, recordings};
use crate::guest::bench::{Bench, Plugged};
use crate::nodes::unhex;
use crate::protocol::Generation;
use crate::uhid::Event;

pub const CASES: &[Case] = &[
    case("asus-vivobook-s15-is-told-what-keys-say", &[Generation::StructOps], is_told_what_keys_say),
    case("asus-vivobook-s15-refused", &[Generation::FmodRet], refused),
];

const DRIVER: &str = "asus-vivobook-s15";

/// The size of the recorded keyboard's descriptor.
const DESCRIPTOR_SIZE: usize = 105;

/// The time for the kernel to run a timer and a work item and to send a report to the device.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns the feature reports that were set, up to the last byte that is not 0.
fn told(events: &[Event]) -> Vec<Vec<u8>> {
    let features = events.iter().filter_map(|event| match event {
        Event::SetReport { rtype: 0, rnum: 0x5a, data } if data.len() == 64 => Some(data),
        _ => None,
    });
    features.map(|data| data[..data.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)].to_vec()).collect()
}

/// Sends a key's report and waits for the driver's request to the keyboard.
fn expect_told(keyboard: &Plugged, key: &str, expected: &str) -> Result<()> {
    let before = told(&keyboard.device.events()).len();
    keyboard.device.send(&unhex(key)?)?;
    keyboard
        .device
        .wait_for(PATIENCE, |events| told(events).len() > before)
        .with_context(|| format!("the keyboard was told nothing for {key}"))?;
    let seen = told(&keyboard.device.events());
    ensure!(seen[before..] == [unhex(expected)?], "expected {expected} for {key}, got {:02x?}", &seen[before..]);
    Ok(())
}

/// The driver sends the greeting once, four levels of light, and the lock on and off.
///
/// It sends nothing more for other keys or after detaching.
fn is_told_what_keys_say(bench: &mut Bench) -> Result<()> {
    const FN_LOCK: &str = "5a 4e 00 00 00 00";
    const LIGHT: &str = "5a c7 00 00 00 00";
    let keyboard = bench.plug(&recordings::device(DRIVER, DESCRIPTOR_SIZE)?)?;
    ensure!(keyboard.pinned_drivers()? == [DRIVER], "udev attached {:?}", keyboard.pinned_drivers()?);
    keyboard
        .device
        .wait_for(PATIENCE, |events| told(events).len() >= 2)
        .context("the keyboard was not told that somebody listens")?;
    let greeting = told(&keyboard.device.events());
    ensure!(
        greeting == [unhex("5a 05 20 31 00 08")?, unhex("5a d0 8f 01")?],
        "expected the greeting, once, got {greeting:02x?}"
    );
    // The fourth level is dark: byte 4 of the report is 0.
    for told in ["5a ba c5 c4 01", "5a ba c5 c4 02", "5a ba c5 c4 03", "5a ba c5 c4", "5a ba c5 c4 01"] {
        expect_told(&keyboard, LIGHT, told)?;
    }
    for told in ["5a d0 4e 01", "5a d0 4e", "5a d0 4e 01"] {
        expect_told(&keyboard, FN_LOCK, told)?;
    }
    let count = told(&keyboard.device.events()).len();
    for key in ["5a 00 00 00 00 00", "5a 10 00 00 00 00", "5a 00 00 00 00 00"] {
        keyboard.device.send(&unhex(key)?)?;
    }
    bench.hidbpf(&["unload", DRIVER])?.expect(0)?;
    bench.settle()?;
    keyboard.device.send(&unhex(LIGHT)?)?;
    std::thread::sleep(Duration::from_millis(300));
    let seen = told(&keyboard.device.events());
    ensure!(seen.len() == count, "told too much: {:02x?}", &seen[count..]);
    bench.unplug(keyboard)
}

/// Before Linux 6.11 hidbpf refuses the driver with the reason.
fn refused(bench: &mut Bench) -> Result<()> {
    let keyboard = bench.plug(&recordings::device(DRIVER, DESCRIPTOR_SIZE)?)?;
    ensure!(keyboard.pinned_drivers()?.is_empty(), "attached: {:?}", keyboard.pinned_drivers()?);
    bench.hidbpf(&["load", DRIVER, &keyboard.name()])?.expect(4)?;
    bench.unplug(keyboard)
}
