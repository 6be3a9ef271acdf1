//! Cases about reports that are shorter than declared.

use anyhow::{Result, ensure};

use super::configuration::Files;
use super::fixtures::SHORT;
use super::{Case, WITH_HID_BPF, case};
use crate::expectation::Version;
use crate::guest::bench::{Bench, plain_mouse};
use crate::nodes::expect_events;
use crate::protocol::Generation;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("short-reports-that-the-kernel-drops", &[Generation::StructOps], dropped).newest_only(),
    case("driver-for-any-device", WITH_HID_BPF, any_device).newest_only(),
];

/// The first kernel of the tests that drops them (`hid_report_raw_event()`, drivers/hid/hid-core.c).
const DROPPED_SINCE: &str = "7.0";

const PADDING: &str = "pad-short-reports";

/// `doctor` finds the reports that the kernel dropped, and its hint is sufficient.
fn dropped(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    let mouse = bench.plug(&plain_mouse())?;
    let (name, short) = (mouse.name(), SHORT.file()?);
    let quiet = bench.hidbpf(&["doctor", &name])?.expect(0)?;
    ensure!(!quiet.stdout.contains("shorter than declared"), "nothing was sent yet\n{quiet}");
    let mut node = mouse.only_node()?;
    bench.hidbpf(&["load", &short, &name])?.expect(0)?;
    if Version::running()? < DROPPED_SINCE.parse()? {
        expect_events("short report, which the kernel pads", "BTN_LEFT 1", &node.events()?)?;
        return bench.unplug(mouse);
    }
    expect_events("short report", "", &node.events()?)?;
    let hint = format!("hidbpf enable {PADDING} {name}");
    let doctor = bench.hidbpf(&["doctor", &name])?.expect(0)?;
    doctor.answers("drops reports that are shorter than declared: report 0 with 1 of 3 bytes")?.answers(&hint)?;

    bench.hidbpf(&["enable", PADDING, &name])?.expect(0)?.answers("attached to")?;
    bench.hidbpf(&["reload", &short, &name])?.expect(0)?;
    expect_events("the same report", "BTN_LEFT 1", &node.events()?)?;
    let doctor = bench.hidbpf(&["doctor", &name])?.expect(0)?;
    doctor.answers(&format!("with the event hook of `{PADDING}`, it pads them"))?;
    bench.hidbpf(&["disable", PADDING, &name])?.expect(0)?.answers("detached")?;
    bench.reload()?;
    bench.unplug(mouse)
}

/// It costs nothing on devices for which it is not enabled.
fn any_device(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    let spec = plain_mouse();
    let mouse = bench.plug(&spec)?;
    let name = mouse.name();
    let listed = bench.hidbpf(&["devices", &name])?.expect(0)?;
    ensure!(!listed.stdout.contains(PADDING), "it is listed for each device\n{listed}");
    bench.hidbpf(&["load", PADDING])?.expect(3)?.says("expected the device")?.says("hidbpf devices")?;
    bench.hidbpf(&["load", PADDING, &name])?.expect(0)?.answers("attached to")?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(PADDING)?.answers("any device")?;
    bench.hidbpf(&["unload", PADDING, &name])?.expect(0)?;
    bench.hidbpf(&["enable", PADDING, &name, "--port"])?.expect(0)?;
    bench.reload()?;
    bench.unplug(mouse)?;

    let mouse = bench.plug(&spec)?;
    ensure!(mouse.pinned_drivers()? == [PADDING], "pinned: {:?}", mouse.pinned_drivers()?);
    let other = bench.plug(&Spec { product: 0x0105, ..spec })?;
    ensure!(other.pinned_drivers()?.is_empty(), "pinned: {:?}", other.pinned_drivers()?);
    ensure!(!other.state().exists(), "`{}` is there", other.state().display());
    bench.unplug(other)?;
    bench.hidbpf(&["disable", PADDING, &mouse.name(), "--port"])?.expect(0)?.answers("detached from")?;
    bench.reload()?;
    bench.unplug(mouse)
}
