//! Cases about XP-Pen devices that recordings can't tell: what the driver sends to the device.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, STRUCT_OPS, case, drivers};
use crate::guest::bench::{Bench, Plugged};
use crate::nodes::unhex;
use crate::uhid::Event;

pub const CASES: &[Case] = &[case("xppen-ack05-is-told-to-speak", STRUCT_OPS, ack05_is_told_to_speak)];

/// The driver, and the size of the descriptor of the interface from which everything comes.
const REMOTE: (&str, usize) = ("xppen-ack05", 36);

/// How long the kernel may take for a timer, a work item and a report to the device.
const PATIENCE: Duration = Duration::from_secs(5);

/// What makes the remote speak, 32 bytes; the kernel's own end of the recorded device has room for as many.
fn is_request(event: &Event) -> bool {
    matches!(event, Event::Output(report) if report.len() == 32
        && report.starts_with(&[0x02, 0xb0, 0x04]) && report.iter().skip(3).all(|byte| *byte == 0))
}

fn requests(events: &[Event]) -> usize {
    events.iter().filter(|event| is_request(event)).count()
}

fn expect_requests(device: &Plugged, count: usize, when: &str) -> Result<()> {
    device
        .device
        .wait_for(PATIENCE, |events| requests(events) >= count)
        .with_context(|| format!("the remote was not told to speak {when}"))?;
    // One is enough, and more would show a timer that never rests.
    std::thread::sleep(Duration::from_millis(300));
    let events = device.device.events();
    ensure!(requests(&events) == count, "expected {count} requests {when}, got {events:?}");
    Ok(())
}

/// At the start; when the dongle says that the remote came back, long after the process that attached the driver is gone; and no more
/// once the driver is taken off.
fn ack05_is_told_to_speak(bench: &mut Bench) -> Result<()> {
    let remote = drivers::plug_fixed(REMOTE, bench)?;
    expect_requests(&remote, 1, "at the start")?;
    const BACK: &str = "02 f8 02 01 00 00 00 00 00 00 00 00";
    for count in [2, 3] {
        remote.device.send(&unhex(BACK)?)?;
        expect_requests(&remote, count, "when it came back")?;
    }
    // It went, and something else of the dongle's.
    remote.device.send(&unhex("02 f8 02 00 00 00 00 00 00 00 00 00")?)?;
    remote.device.send(&unhex("02 f8 01 01 00 00 00 00 00 00 00 00")?)?;
    expect_requests(&remote, 3, "when it went")?;
    bench.hidbpf(&["unload", REMOTE.0])?.expect(0)?;
    bench.settle()?;
    remote.device.send(&unhex(BACK)?)?;
    expect_requests(&remote, 3, "after the driver was taken off")?;
    bench.unplug(remote)
}
