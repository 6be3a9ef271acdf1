//! Cases about XP-Pen devices that recordings can't cover: the driver's requests to the device.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, STRUCT_OPS, case, drivers};
use crate::guest::bench::{Bench, Plugged};
use crate::nodes::unhex;
use crate::uhid::Event;

pub const CASES: &[Case] = &[case("xppen-ack05-is-told-to-speak", STRUCT_OPS, ack05_is_told_to_speak)];

/// The driver, and the size of the descriptor of the interface that sends everything.
const REMOTE: (&str, usize) = ("xppen-ack05", 36);

/// The time for the kernel to run a timer and a work item and to send a report to the device.
const PATIENCE: Duration = Duration::from_secs(5);

/// Returns true for the request that starts the remote's reports, 32 bytes. The kernel's side of the recorded device has room for as many.
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
    // One request is enough, and more would show a timer that never stops.
    std::thread::sleep(Duration::from_millis(300));
    let events = device.device.events();
    ensure!(requests(&events) == count, "expected {count} requests {when}, got {events:?}");
    Ok(())
}

/// The driver sends its request at the start, and when the dongle reports that the remote came back.
///
/// By then the process that attached the driver has long ended. After detaching it sends no more.
fn ack05_is_told_to_speak(bench: &mut Bench) -> Result<()> {
    let remote = drivers::plug_fixed(REMOTE, bench)?;
    expect_requests(&remote, 1, "at the start")?;
    const BACK: &str = "02 f8 02 01 00 00 00 00 00 00 00 00";
    for count in [2, 3] {
        remote.device.send(&unhex(BACK)?)?;
        expect_requests(&remote, count, "when it came back")?;
    }
    // The remote left, and another event of the dongle.
    remote.device.send(&unhex("02 f8 02 00 00 00 00 00 00 00 00 00")?)?;
    remote.device.send(&unhex("02 f8 01 01 00 00 00 00 00 00 00 00")?)?;
    expect_requests(&remote, 3, "when it went")?;
    bench.hidbpf(&["unload", REMOTE.0])?.expect(0)?;
    bench.settle()?;
    remote.device.send(&unhex(BACK)?)?;
    expect_requests(&remote, 3, "after the driver was taken off")?;
    bench.unplug(remote)
}
