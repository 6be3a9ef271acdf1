//! Cases about options of drivers: set while the driver is attached, kept, reset, and set by a udev property.

use std::path::Path;

use anyhow::{Result, ensure};

use super::configuration::{Files, OWN};
use super::drivers::{MOUSE, expect_answers};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, entries, write};

pub const CASES: &[Case] = &[
    case("options-are-set-at-once", WITH_HID_BPF, at_once),
    case("options-are-kept", WITH_HID_BPF, kept).newest_only(),
    case("options-for-which-a-driver-is-attached-anew", WITH_HID_BPF, anew).each_generation(),
    case("options-that-can-not-be", WITH_HID_BPF, wrong).newest_only(),
];

const PEN: (&str, usize) = ("xppen-artist-24", 107);

const UP: &str = "00 02 00 05 00 00 00";
const Y: &str = "REL_X 2, REL_Y -5";
const X: &str = "REL_X -2, REL_Y 5";
const BOTH: &str = "REL_X -2, REL_Y -5";

fn expect(mouse: &Plugged, answer: &str) -> Result<()> {
    expect_answers(mouse, &mut mouse.only_node()?, &[(UP, answer)])
}

/// Returns the links of a driver, as status lists them.
fn links(bench: &Bench, device: &Plugged, driver: &str) -> Result<Vec<String>> {
    let status: serde_json::Value = serde_json::from_str(&bench.hidbpf(&["--json", "status"])?.expect(0)?.stdout)?;
    let devices = status["status"].as_array().into_iter().flatten();
    let drivers =
        devices.filter(|found| found["device"] == device.name()).flat_map(|found| found["drivers"].as_array());
    let links = drivers.flatten().filter(|found| found["driver"] == driver).flat_map(|found| found["links"].as_array());
    Ok(links.flatten().filter_map(|link| link.as_str().map(str::to_owned)).collect())
}

fn at_once(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug(&recordings::device(MOUSE.0, MOUSE.1)?)?;
    bench.hidbpf(&["load", MOUSE.0])?.expect(0)?;
    let mut node = mouse.only_node()?;
    expect_answers(&mouse, &mut node, &[(UP, Y)])?;
    for (value, answer) in [("both", BOTH), ("x", X), ("y", Y), ("both", BOTH)] {
        let line = format!("{} on {}: set\n", MOUSE.0, mouse.name());
        bench.hidbpf(&["set", MOUSE.0, &format!("axis={value}")])?.expect(0)?.answers(&line)?;
        // The node is the same: the driver stayed attached.
        expect_answers(&mouse, &mut node, &[(UP, answer)])?;
        let get = bench.hidbpf(&["get", MOUSE.0, &mouse.name()])?.expect(0)?;
        get.answers(&format!("axis = {value}  (set by hand)"))?;
    }
    bench.hidbpf(&["set", MOUSE.0, "axis=both"])?.expect(0)?.answers("as it was")?;
    // The pin of the options is not listed as a link.
    let (listed, pins) = (links(bench, &mouse, MOUSE.0)?, entries(&mouse.pins().join(MOUSE.0))?);
    ensure!(!listed.is_empty() && listed.iter().all(|link| !link.contains("options")), "links: {listed:?}");
    ensure!(pins.len() == listed.len() + 1, "pins: {pins:?}, links: {listed:?}");
    // Set by hand, it survives a reload, and lasts until the device is plugged in again.
    bench.hidbpf(&["reload", MOUSE.0])?.expect(0)?;
    expect(&mouse, BOTH)?;
    bench.hidbpf(&["set", MOUSE.0, &mouse.name(), "axis="])?.expect(0)?;
    expect(&mouse, Y)?;
    bench.hidbpf(&["set", MOUSE.0, "axis=x"])?.expect(0)?;
    bench.unplug(mouse)?;
    let mouse = bench.plug(&recordings::device(MOUSE.0, MOUSE.1)?)?;
    bench.hidbpf(&["load", MOUSE.0])?.expect(0)?;
    expect(&mouse, Y)?;
    bench.unplug(mouse)
}

fn kept(bench: &mut Bench) -> Result<()> {
    let files = Files::new()?;
    let spec = recordings::device(MOUSE.0, MOUSE.1)?;
    let (left, right) = (bench.plug(&spec)?, bench.plug(&spec)?);
    bench.hidbpf(&["load", MOUSE.0])?.expect(0)?;
    bench.hidbpf(&["set", MOUSE.0, "axis=x", "--save"])?.expect(0)?.answers(OWN)?;
    bench.hidbpf(&["set", MOUSE.0, &left.name(), "axis=both", "--save"])?.expect(0)?;
    expect(&left, BOTH)?;
    expect(&right, X)?;
    bench.hidbpf(&["get", MOUSE.0])?.expect(0)?.answers(&format!("axis = both  ({OWN}:"))?;
    bench.unplug(right)?;
    let right = bench.plug(&spec)?;
    bench.hidbpf(&["load", MOUSE.0, &right.name()])?.expect(0)?;
    expect(&right, X)?;
    // A user's own file, applied by a command.
    files.write("hidbpf.toml.d/95-mine.toml", "[driver.mouse-invert-y.options]\naxis = \"y\"\n")?;
    bench.hidbpf(&["get", MOUSE.0, &right.name()])?.expect(0)?.answers("`axis` is x still: `hidbpf config --apply`")?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?.answers(&format!("{} on {}: set", MOUSE.0, right.name()))?;
    expect(&right, Y)?;
    expect(&left, BOTH)?;
    for device in [left, right] {
        bench.unplug(device)?;
    }
    // A udev property sets it too, and the configuration has precedence.
    let property = [("HIDBPF_OPTION_MOUSE_INVERT_Y_AXIS", "both")];
    let mut files = Some(files);
    for answer in [Y, BOTH] {
        let mouse = bench.plug_with(&spec, &property, Default::default())?;
        bench.hidbpf(&["load", MOUSE.0])?.expect(0)?;
        expect(&mouse, answer)?;
        bench.unplug(mouse)?;
        drop(files.take());
    }
    Ok(())
}

fn anew(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(PEN.0, PEN.1)?;
    let pen = bench.plug(&spec)?;
    ensure!(pen.descriptor()? != spec.descriptor, "the pen is not fixed");
    let set = |value: &str| format!("second-button={value}");
    bench.hidbpf(&["set", PEN.0, &set("eraser")])?.expect(0)?.answers("reattached")?;
    bench.settle()?;
    ensure!(pen.descriptor()? == spec.descriptor, "the descriptor is not the pen's own");
    ensure!(pen.pinned_drivers()? == [PEN.0], "attached: {:?}", pen.pinned_drivers()?);
    bench.hidbpf(&["set", PEN.0, &pen.name(), &set("")])?.expect(0)?.answers("reattached")?;
    bench.settle()?;
    ensure!(pen.descriptor()? != spec.descriptor, "the pen is not fixed again");
    bench.unplug(pen)
}

fn wrong(bench: &mut Bench) -> Result<()> {
    let files = Files::new()?;
    let spec = recordings::device(PEN.0, PEN.1)?;
    bench.hidbpf(&["set", PEN.0, "second-button=eraser"])?.expect(1)?.says("attached to no device")?;
    // An invalid value is ignored and reported, and the device is fixed nevertheless.
    files.write("hidbpf.toml", "[driver.xppen-artist-24.options]\nsecond-button = \"earser\"\nthird = 1\n")?;
    let pen = bench.plug(&spec)?;
    ensure!(pen.descriptor()? != spec.descriptor, "the pen is not fixed");
    let status = bench.hidbpf(&["status"])?.expect(0)?;
    status
        .answers("hidbpf.toml:2:17: `earser` is not button or eraser")?
        .answers("hidbpf.toml:3:9 sets the option `third`")?;
    for arguments in [&["second-button=earser"][..], &["third=1"]] {
        bench.hidbpf(&[&["set", PEN.0], arguments].concat())?.expect(1)?;
    }
    write(Path::new("/etc/hidbpf/hidbpf.toml"), b"")?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?;
    let status = bench.hidbpf(&["status"])?.expect(0)?;
    ensure!(!status.stdout.contains("earser"), "it is told still: {}", status.stdout);
    bench.unplug(pen)
}
