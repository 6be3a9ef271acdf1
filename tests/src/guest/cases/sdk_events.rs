//! Cases about what hooks can do besides changing a report: send further reports, work later, come before other drivers, name a device,
//! and answer requests.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use hidbpf::text::Hex;

use super::fixtures::{Fixture, fixture};
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, Plugged, plain_mouse};
use crate::transport::Transport;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("reports-are-injected-by-a-hook", STRUCT_OPS, injected),
    case("reports-are-sent-later", STRUCT_OPS, sent_later),
    case("drivers-run-in-their-order", WITH_HID_BPF, order).each_generation(),
    case("a-device-gets-a-name", STRUCT_OPS, named),
];

const DOUBLE_CLICK: Fixture = fixture!("example-double-click");
const DELAYED_CLICKS: Fixture = fixture!("example-delayed-clicks");
const FIRST: Fixture = fixture!("example-first");
const DOUBLER: Fixture = fixture!("bench-doubler");
const IDENTITY: Fixture = fixture!("example-identity");

/// Each injected report comes before the device's own, whose bytes are as they were.
fn injected(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug(&plain_mouse())?;
    bench.hidbpf(&["load", &DOUBLE_CLICK.file()?, &mouse.name()])?.expect(0)?;
    bench.settle()?;
    expect_fast(bench)?;
    let clicks = ["01 00 00", "00 00 00", "01 00 00", "00 00 00", "00 05 fe"];
    expect_reports(&mouse, &[4, 5, 0xfe], &clicks, Duration::ZERO)?;
    expect_reports(&mouse, &[4, 1, 0], &["00 01 00"], Duration::ZERO)?;
    expect_reports(&mouse, &[1, 0, 0], &["01 00 00"], Duration::ZERO)?;
    bench.unplug(mouse)
}

/// Four pieces of work wait at once, each with its own report and delay.
fn sent_later(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug(&plain_mouse())?;
    bench.hidbpf(&["load", &DELAYED_CLICKS.file()?, &mouse.name()])?.expect(0)?;
    bench.settle()?;
    expect_fast(bench)?;
    let clicks = ["00 05 fe", "01 00 00", "00 00 00", "01 00 00", "00 00 00"];
    for _ in 0..3 {
        expect_reports(&mouse, &[4, 5, 0xfe], &clicks, Duration::from_secs(5))?;
        expect_reports(&mouse, &[0, 1, 0], &["00 01 00"], Duration::ZERO)?;
    }
    bench.unplug(mouse)
}

/// Whichever is attached first, and whichever loader attaches them.
fn order(bench: &mut Bench) -> Result<()> {
    for (libbpf, drivers) in [(false, [&DOUBLER, &FIRST]), (false, [&FIRST, &DOUBLER]), (true, [&DOUBLER, &FIRST])] {
        let mouse = bench.plug(&plain_mouse())?;
        for driver in drivers {
            bench.load(&driver.file()?, &mouse.name(), libbpf)?;
        }
        bench.settle()?;
        // The drift is corrected before X is doubled.
        expect_reports(&mouse, &[0, 5, 0], &["00 0c 00"], Duration::ZERO)?;
        bench.unplug(mouse)?;
    }
    Ok(())
}

fn named(bench: &mut Bench) -> Result<()> {
    let descriptor = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03,
        0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x03, 0x81, 0x02, 0x75, 0x05, 0x95, 0x01, 0x81, 0x03, 0x05, 0x01,
        0x09, 0x30, 0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0, 0x06, 0x00, 0xff,
        0x85, 0x05, 0x09, 0x01, 0x15, 0x00, 0x25, 0x7f, 0x95, 0x02, 0xb1, 0x02, 0xc0,
    ];
    let spec = Spec { vendor: 0x1209, product: 0x0002, descriptor: descriptor.to_vec(), ..plain_mouse() };
    let mouse = bench.plug(&spec)?;
    bench.hidbpf(&["load", &IDENTITY.file()?, &mouse.name()])?.expect(0)?;
    bench.settle()?;
    let node = mouse.nodes()?;
    ensure!(node.iter().any(|node| node.name == "Example Named Mouse"), "the nodes are {node:?}");
    let uevent = fs::read_to_string(mouse.syspath.join("uevent")).context("failed to read `uevent`")?;
    for line in ["HID_NAME=Example Named Mouse\n", "HID_PHYS=example/input0\n", "HID_UNIQ=0001\n"] {
        ensure!(uevent.contains(line), "`{}` is missing in\n{uevent}", line.trim_end());
    }
    // The device itself would not answer.
    bench.hidbpf(&["request", &mouse.name(), "get", "feature", "5"])?.expect(0)?.answers("05 2a 01")?;
    bench.unplug(mouse)
}

/// The fast loader takes drivers with work and injected reports.
pub(super) fn expect_fast(bench: &Bench) -> Result<()> {
    bench.hidbpf(&["--json", "status"])?.expect(0)?.answers("\"way\": \"fast\"").map(drop)
}

/// Sends a report, and compares what hidraw has then. Waits for reports that come later.
pub(super) fn expect_reports(
    device: &Plugged<impl Transport>,
    report: &[u8],
    expected: &[&str],
    patience: Duration,
) -> Result<()> {
    let mut hidraw = device.hidraw()?;
    device.device.send(report).context("failed to send a report")?;
    let (mut seen, started) = (Vec::new(), Instant::now());
    loop {
        seen.extend(hidraw.reports()?.iter().map(|bytes| Hex(bytes).to_string()));
        if seen.len() >= expected.len() || started.elapsed() > patience {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    ensure!(seen == expected, "sent {}, expected {expected:?}, got {seen:?}", Hex(report));
    Ok(())
}
