//! Cases about single drivers: what a user of the repaired device sees, node by node and event by event.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, entries};
use crate::nodes::{Node, compare, describe_all, expect_events, unhex};
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("frtec-raptor-mach-2-hat", WITH_HID_BPF, raptor_hat),
    case("hp-elite-presenter-both-pointers", WITH_HID_BPF, presenter_pointers),
    case("hp-elite-presenter-defect", WITH_HID_BPF, presenter_defect),
    case("huion-inspiroy-2-s-firmware-mode", WITH_HID_BPF, inspiroy_firmware_mode),
    case("huion-inspiroy-2-s-vendor-mode", WITH_HID_BPF, inspiroy_vendor_mode),
    case("huion-mode-is-known-late", WITH_HID_BPF, huion_mode_known_late),
    case("huion-inspiroy-2-s-pen-tip-glitch", WITH_HID_BPF, inspiroy_tip_glitch),
    case("mouse-invert-y-by-hand", WITH_HID_BPF, mouse_invert_y),
];

/// The driver, and the size of the descriptor that it mends.
pub const RAPTOR: (&str, usize) = ("frtec-raptor-mach-2", 232);
const PRESENTER: (&str, usize) = ("hp-elite-presenter", 264);
const INSPIROY: &str = "huion-inspiroy-2-s";
const INSPIROY_PAD: (&str, usize) = (INSPIROY, 65);
const INSPIROY_PEN: (&str, usize) = (INSPIROY, 93);
const INSPIROY_VENDOR: (&str, usize) = (INSPIROY, 18);
/// The driver, and the size of the descriptor that it looks for and leaves alone.
pub const MOUSE: (&str, usize) = ("mouse-invert-y", 71);

/// What huion-switcher leaves in udev's database once the tablet is in vendor mode.
const VENDOR_MODE: [(&str, &str); 1] = [("HUION_FIRMWARE_ID", "HUION_T21j_221221")];

/// Plugs in the device that a driver is for, and expects that udev attaches the driver.
pub fn plug_fixed((driver, size): (&str, usize), properties: &[(&str, &str)], bench: &mut Bench) -> Result<Plugged> {
    let device = bench.plug_with(&recordings::device(driver, size)?, properties, BTreeMap::new())?;
    let pinned = device.pinned_drivers()?;
    ensure!(pinned == [driver], "expected udev to attach `{driver}`, found {pinned:?} attached");
    Ok(device)
}

/// Sends reports and compares what one node says to each.
pub fn expect_answers(device: &Plugged, node: &mut Node, table: &[(&str, &str)]) -> Result<()> {
    for (report, expected) in table {
        device.device.send(&unhex(report)?)?;
        expect_events(&format!("report {report}"), expected, &node.events()?)?;
    }
    Ok(())
}

/// The joystick's report with its hat at this angle, in steps of 1.5 degrees, and its X axis at `x`.
pub fn raptor_report(hat: u8, x: u16) -> Vec<u8> {
    let mut report = vec![0; 64];
    report[0] = 1;
    report[1..3].copy_from_slice(&x.to_le_bytes());
    report[33] = hat;
    report
}

fn raptor_hat(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, &[], bench)?;
    joystick.expect_nodes(
        "FR-TEC FT Raptor Mach 2
           key: BTN_TRIGGER..BTN_DEAD BTN_TRIGGER_HAPPY1..BTN_TRIGGER_HAPPY13
           abs: ABS_X 0..2047 fuzz 7 flat 127
           abs: ABS_Y 0..2047 fuzz 7 flat 127
           abs: ABS_Z 0..1023 fuzz 3 flat 63
           abs: ABS_RX 0..1023 fuzz 3 flat 63
           abs: ABS_RY 0..2047 fuzz 7 flat 127
           abs: ABS_RZ 0..1023 fuzz 3 flat 63
           abs: ABS_THROTTLE 0..1023 fuzz 3 flat 63
           abs: ABS_HAT0X -1..1
           abs: ABS_HAT0Y -1..1",
    )?;
    let mut node = joystick.only_node()?;
    // Clockwise from north, each direction from its first angle to its last, and back to the centre.
    for (hat, expected) in [
        (0, "ABS_HAT0Y -1"),
        (29, ""),
        (30, "ABS_HAT0X 1"),
        (60, "ABS_HAT0Y 0"),
        (90, "ABS_HAT0Y 1"),
        (120, "ABS_HAT0X 0"),
        (150, "ABS_HAT0X -1"),
        (180, "ABS_HAT0Y 0"),
        (210, "ABS_HAT0Y -1"),
        (239, ""),
        (240, "ABS_HAT0X 0, ABS_HAT0Y 0"),
    ] {
        joystick.device.send(&raptor_report(hat, 0))?;
        expect_events(&format!("hat at {hat}"), expected, &node.events()?)?;
    }
    joystick.device.send(&raptor_report(240, 0x0400))?;
    expect_events("stick to the right", "ABS_X 1024", &node.events()?)?;
    bench.unplug(joystick)
}

/// What is left once the two pointers have a node each; they differ in the wheel that tilts.
const PRESENTER_NODES: &str = "
    HP Elite Presenter Mouse
      key: BTN_LEFT..BTN_EXTRA
      rel: REL_X REL_Y REL_HWHEEL REL_WHEEL REL_WHEEL_HI_RES REL_HWHEEL_HI_RES
    HP Elite Presenter Mouse
      key: BTN_LEFT..BTN_EXTRA
      rel: REL_X REL_Y REL_WHEEL REL_WHEEL_HI_RES";

fn pointers(presenter: &Plugged) -> Result<Vec<Node>> {
    let mut nodes = presenter.nodes()?;
    nodes.retain(|node| node.is_pointer());
    Ok(nodes)
}

fn expect_both_pointers(presenter: &Plugged) -> Result<()> {
    let mut nodes = pointers(presenter)?;
    compare("pointers", PRESENTER_NODES, &describe_all(&nodes)?)?;
    // Each half speaks through a node of its own.
    for (report, expected) in [
        ("01 01 05 00 fb ff 00 00", "BTN_LEFT 1, REL_X 5, REL_Y -5"),
        ("02 02 0a 00 f6 ff 00", "BTN_RIGHT 1, REL_X 10, REL_Y -10"),
        ("01 00 00 00 00 00 01 00", "BTN_LEFT 0, REL_WHEEL 1, REL_WHEEL_HI_RES 120"),
        ("02 00 00 00 00 00 00", "BTN_RIGHT 0"),
    ] {
        presenter.device.send(&unhex(report)?)?;
        let mut spoke = Vec::new();
        for (number, node) in nodes.iter_mut().enumerate() {
            let events = node.events()?;
            if !events.is_empty() {
                spoke.push(number);
                expect_events(&format!("report {report}"), expected, &events)?;
            }
        }
        let wanted = usize::from(report.starts_with("02"));
        ensure!(spoke == [wanted], "report {report}: expected node {wanted} to send events, got nodes {spoke:?}");
    }
    Ok(())
}

fn presenter_pointers(bench: &mut Bench) -> Result<()> {
    let presenter = plug_fixed(PRESENTER, &[], bench)?;
    expect_both_pointers(&presenter)?;
    bench.unplug(presenter)
}

/// Newer kernels give each report of this device a node, by a quirk of their own for its ids on Bluetooth. On another bus the same
/// descriptor shows the defect.
fn presenter_defect(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(PRESENTER.0, PRESENTER.1)?;
    let presenter = bench.plug(&Spec { bus: 3, ..spec })?;
    let merged = pointers(&presenter)?;
    ensure!(merged.len() == 1, "expected one pointer before, found:\n{}", describe_all(&merged)?);
    drop(merged);
    bench.hidbpf(&["load", "--force", PRESENTER.0, &presenter.name()])?.expect(0)?;
    bench.settle()?;
    expect_both_pointers(&presenter)?;
    bench.unplug(presenter)
}

const PAD_NODE: &str = "HUION Huion Tablet_H641P";

fn inspiroy_firmware_mode(bench: &mut Bench) -> Result<()> {
    let pad = plug_fixed(INSPIROY_PAD, &[], bench)?;
    pad.expect_nodes(
        "HUION Huion Tablet_H641P
           key: BTN_0..BTN_5 BTN_STYLUS
           rel: REL_WHEEL REL_WHEEL_HI_RES
           abs: ABS_X 0..1
           abs: ABS_Y 0..1",
    )?;
    let pen = plug_fixed(INSPIROY_PEN, &[], bench)?;
    // 32767 steps on 160 mm are 205 a millimetre; on 100 mm, 328.
    pen.expect_nodes(
        "HUION Huion Tablet_H641P
           prop: DIRECT
           key: BTN_TOOL_PEN BTN_TOUCH..BTN_STYLUS2
           abs: ABS_X 0..32767 res 205
           abs: ABS_Y 0..32767 res 328
           abs: ABS_PRESSURE 0..8191",
    )?;
    let vendor = plug_fixed(INSPIROY_VENDOR, &[], bench)?;
    vendor.expect_nodes(VENDOR_NODES)?;

    const RELEASE: &str = "03 00 00 00 00 00 00 00";
    expect_answers(
        &pad,
        &mut pad.node(PAD_NODE)?,
        &[
            ("03 00 05 00 00 00 00 00", "BTN_0 1"),
            (RELEASE, "BTN_0 0"),
            ("03 00 0c 00 00 00 00 00", "BTN_1 1"),
            (RELEASE, "BTN_1 0"),
            ("03 00 08 00 00 00 00 00", "BTN_2 1"),
            (RELEASE, "BTN_2 0"),
            ("03 01 16 00 00 00 00 00", "BTN_3 1"),
            (RELEASE, "BTN_3 0"),
            ("03 00 2c 00 00 00 00 00", "BTN_4 1"),
            (RELEASE, "BTN_4 0"),
            ("03 05 1d 00 00 00 00 00", "BTN_5 1"),
            (RELEASE, "BTN_5 0"),
            ("03 01 2d 00 00 00 00 00", "REL_WHEEL -1, REL_WHEEL_HI_RES -120"),
            (RELEASE, ""),
            ("03 01 2e 00 00 00 00 00", "REL_WHEEL 1, REL_WHEEL_HI_RES 120"),
            (RELEASE, ""),
        ],
    )?;
    expect_answers(
        &pen,
        &mut pen.node(PAD_NODE)?,
        &[
            ("0a 80 00 10 00 20 00 00 00 00", "BTN_TOOL_PEN 1, ABS_X 4096, ABS_Y 8192"),
            ("0a 81 00 10 00 20 ff 0f 00 00", "BTN_TOUCH 1, ABS_PRESSURE 4095"),
            ("0a 83 00 10 00 20 ff 0f 00 00", "BTN_STYLUS 1"),
            ("0a 85 00 10 00 20 ff 0f 00 00", "BTN_STYLUS 0, BTN_STYLUS2 1"),
            ("0a 80 ff 7f ff 7f 00 00 00 00", "BTN_TOUCH 0, BTN_STYLUS2 0, ABS_X 32767, ABS_Y 32767, ABS_PRESSURE 0"),
            ("0a 00 ff 7f ff 7f 00 00 00 00", "BTN_TOOL_PEN 0"),
        ],
    )?;
    for device in [pad, pen, vendor] {
        bench.unplug(device)?;
    }
    Ok(())
}

const VENDOR_NODES: &str = "
    HUION Huion Tablet_H641P Keypad
      key: BTN_0..BTN_5 BTN_STYLUS
      rel: REL_WHEEL REL_WHEEL_HI_RES
      abs: ABS_X 0..1
      abs: ABS_Y 0..1
    HUION Huion Tablet_H641P Stylus
      prop: DIRECT
      key: BTN_TOOL_PEN BTN_TOUCH..BTN_STYLUS2
      abs: ABS_X 0..32000 res 200
      abs: ABS_Y 0..20000 res 200
      abs: ABS_PRESSURE 0..8192";

fn inspiroy_vendor_mode(bench: &mut Bench) -> Result<()> {
    let pad = plug_fixed(INSPIROY_PAD, &VENDOR_MODE, bench)?;
    let pen = plug_fixed(INSPIROY_PEN, &VENDOR_MODE, bench)?;
    let vendor = plug_fixed(INSPIROY_VENDOR, &VENDOR_MODE, bench)?;
    // In this mode pad and pen are silent, and a second set of nodes would only mislead.
    pad.expect_nodes("")?;
    pen.expect_nodes("")?;
    vendor.expect_nodes(VENDOR_NODES)?;
    expect_answers(
        &vendor,
        &mut vendor.node("HUION Huion Tablet_H641P Keypad")?,
        &[
            ("08 e0 01 01 01 00 00 00 00 00 00 00", "BTN_0 1"),
            // A second button while the first is down.
            ("08 e0 01 01 21 00 00 00 00 00 00 00", "BTN_5 1"),
            // The wheel turns while both are down.
            ("08 f1 01 01 00 01 00 00 00 00 00 00", "REL_WHEEL 1, REL_WHEEL_HI_RES 120"),
            ("08 f1 01 01 00 02 00 00 00 00 00 00", "REL_WHEEL -1, REL_WHEEL_HI_RES -120"),
            ("08 e0 01 01 20 00 00 00 00 00 00 00", "BTN_0 0"),
            ("08 e0 01 01 00 00 00 00 00 00 00 00", "BTN_5 0"),
        ],
    )?;
    expect_answers(
        &vendor,
        &mut vendor.node("HUION Huion Tablet_H641P Stylus")?,
        &[
            ("08 80 00 10 00 20 00 00 00 00 00 00", "BTN_TOOL_PEN 1, ABS_X 4096, ABS_Y 8192"),
            ("08 81 00 10 00 20 00 20 00 00 00 00", "BTN_TOUCH 1, ABS_PRESSURE 8192"),
            ("08 83 00 7d 20 4e 00 20 00 00 00 00", "BTN_STYLUS 1, ABS_X 32000, ABS_Y 20000"),
            ("08 80 00 7d 20 4e 00 00 00 00 00 00", "BTN_TOUCH 0, BTN_STYLUS 0, ABS_PRESSURE 0"),
            ("08 00 00 7d 20 4e 00 00 00 00 00 00", "BTN_TOOL_PEN 0"),
        ],
    )?;
    for device in [pad, pen, vendor] {
        bench.unplug(device)?;
    }
    Ok(())
}

/// huion-switcher's rule runs on hidraw nodes: the drivers are attached when the mode becomes known.
fn huion_mode_known_late(bench: &mut Bench) -> Result<()> {
    const KEYDIAL: (&str, usize) = ("huion-keydial-k20", 108);
    const KEYDIAL_VENDOR_MODE: [(&str, &str); 1] = [("HUION_FIRMWARE_ID", "HUION_T21h_230511")];
    let interfaces = [
        (INSPIROY_PAD, VENDOR_MODE, ""),
        (INSPIROY_PEN, VENDOR_MODE, ""),
        (INSPIROY_VENDOR, VENDOR_MODE, VENDOR_NODES),
        // One that the driver leaves as it is before.
        (KEYDIAL, KEYDIAL_VENDOR_MODE, ""),
    ];
    for (driver, properties, nodes) in interfaces {
        let device = bench.plug_with_late(&recordings::device(driver.0, driver.1)?, &properties)?;
        device.expect_nodes(nodes).with_context(|| format!("{} bytes", driver.1))?;
        ensure!(device.pinned_drivers()? == [driver.0], "pinned: {:?}", device.pinned_drivers()?);
        // Told once more, the driver stays, and with it the device's node.
        let node = hidraw_node(&device)?;
        let made = fs::metadata(&node)?.ino();
        bench.trigger_path("add", &node)?;
        ensure!(hidraw_node(&device)? == node && fs::metadata(&node)?.ino() == made, "the driver was attached anew");
        bench.unplug(device)?;
    }
    Ok(())
}

fn hidraw_node(device: &Plugged) -> Result<PathBuf> {
    let nodes = entries(&Path::new(&device.path()).join("hidraw"))?;
    let [node] = &nodes[..] else { bail!("expected one hidraw node, found {nodes:?}") };
    Ok(node.clone())
}

/// Where the second pen button changes while the tip is down, the tablet says for up to four more reports that the tip was lifted.
fn inspiroy_tip_glitch(bench: &mut Bench) -> Result<()> {
    let vendor = plug_fixed(INSPIROY_VENDOR, &VENDOR_MODE, bench)?;
    let mut pen = vendor.node("HUION Huion Tablet_H641P Stylus")?;
    expect_answers(
        &vendor,
        &mut pen,
        &[
            (
                "08 81 00 10 00 20 00 10 00 00 00 00",
                "BTN_TOOL_PEN 1, BTN_TOUCH 1, ABS_X 4096, ABS_Y 8192, ABS_PRESSURE 4096",
            ),
            // The second button goes down, and the tip seems to be lifted in this report and the next two.
            ("08 84 00 10 00 20 00 10 00 00 00 00", "BTN_STYLUS2 1"),
            ("08 84 10 10 00 20 00 10 00 00 00 00", "ABS_X 4112"),
            ("08 84 20 10 00 20 00 10 00 00 00 00", "ABS_X 4128"),
            // The tablet says that the tip is down; from here on it is believed.
            ("08 85 30 10 00 20 00 10 00 00 00 00", "ABS_X 4144"),
            ("08 84 40 10 00 20 00 00 00 00 00 00", "BTN_TOUCH 0, ABS_X 4160, ABS_PRESSURE 0"),
            ("08 85 40 10 00 20 00 10 00 00 00 00", "BTN_TOUCH 1, ABS_PRESSURE 4096"),
            // The second button goes up, and the tip really is lifted: held for four more reports, not for five.
            ("08 80 50 10 00 20 00 10 00 00 00 00", "BTN_STYLUS2 0, ABS_X 4176"),
            ("08 80 60 10 00 20 00 10 00 00 00 00", "ABS_X 4192"),
            ("08 80 70 10 00 20 00 10 00 00 00 00", "ABS_X 4208"),
            ("08 80 80 10 00 20 00 10 00 00 00 00", "ABS_X 4224"),
            ("08 80 90 10 00 20 00 10 00 00 00 00", "ABS_X 4240"),
            ("08 80 a0 10 00 20 00 10 00 00 00 00", "BTN_TOUCH 0, ABS_X 4256"),
        ],
    )?;
    bench.unplug(vendor)
}

/// An example is not attached by udev; by hand it is, and is taken off again.
fn mouse_invert_y(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug(&recordings::device(MOUSE.0, MOUSE.1)?)?;
    ensure!(mouse.pinned_drivers()?.is_empty(), "udev attached an example: {:?}", mouse.pinned_drivers()?);
    let own = mouse.descriptor()?;
    const UP: &str = "00 02 00 05 00 00 00";
    expect_answers(&mouse, &mut mouse.only_node()?, &[(UP, "REL_X 2, REL_Y 5")])?;
    bench.hidbpf(&["load", MOUSE.0])?.expect(0)?;
    ensure!(mouse.descriptor()? == own, "a driver without a descriptor hook changed the descriptor");
    expect_answers(
        &mouse,
        &mut mouse.only_node()?,
        &[(UP, "REL_X 2, REL_Y -5"), ("00 00 00 00 80 00 00", "REL_Y 32767")],
    )?;
    bench.hidbpf(&["unload", MOUSE.0])?.expect(0)?;
    bench.settle()?;
    expect_answers(&mouse, &mut mouse.only_node()?, &[(UP, "REL_X 2, REL_Y 5")])?;
    bench.unplug(mouse)
}
