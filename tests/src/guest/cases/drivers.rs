//! Cases about single drivers that recordings can't cover: the defect itself, two devices at once, a driver by hand.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, entries};
use crate::nodes::{Node, compare, describe_all, expect_events, unhex};
use crate::transport::Transport;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("hp-elite-presenter-defect", WITH_HID_BPF, presenter_defect),
    case("huion-mode-is-known-late", WITH_HID_BPF, huion_mode_known_late).newest_only(),
    case("mouse-invert-y-by-hand", WITH_HID_BPF, mouse_invert_y).newest_only(),
    case("two-of-a-kind", WITH_HID_BPF, two_of_a_kind).newest_only(),
];

/// The driver, and the size of the descriptor that it fixes.
pub const RAPTOR: (&str, usize) = ("frtec-raptor-mach-2", 232);
const PRESENTER: (&str, usize) = ("hp-elite-presenter", 264);
const INSPIROY: &str = "huion-inspiroy-2-s";
const INSPIROY_PAD: (&str, usize) = (INSPIROY, 65);
const INSPIROY_PEN: (&str, usize) = (INSPIROY, 93);
const INSPIROY_VENDOR: (&str, usize) = (INSPIROY, 18);
/// The driver, and the size of the descriptor that it checks and leaves alone.
pub const MOUSE: (&str, usize) = ("mouse-invert-y", 71);
/// The driver, and the size of the descriptor of a touchpad that hid-multitouch accepts and queries.
pub const TOUCHPAD: (&str, usize) = ("dell-dell0a78", 665);

/// Some drivers that remember pressed buttons, nearness or lifts.
const WITH_STATE: [&str; 4] = ["dell-dell0a78", "huion-dial-2", "huion-inspiroy-2-s", "xppen-artist-24"];

/// The entry that huion-switcher leaves in udev's database once the tablet is in vendor mode.
const VENDOR_MODE: [(&str, &str); 1] = [("HUION_FIRMWARE_ID", "HUION_T21j_221221")];

/// Plugs in the device of a driver, and expects udev to attach the driver.
pub fn plug_fixed((driver, size): (&str, usize), bench: &mut Bench) -> Result<Plugged> {
    let device = bench.plug(&recordings::device(driver, size)?)?;
    let pinned = device.pinned_drivers()?;
    ensure!(pinned == [driver], "expected udev to attach `{driver}`, found {pinned:?} attached");
    Ok(device)
}

/// Returns `TOUCHPAD` with another usage in place of Pad Type, for which there is a driver for all touchpads.
///
/// Cases about one driver need it.
pub fn touchpad() -> Result<Spec> {
    const PAD_TYPE: [u8; 4] = [0x09, 0x55, 0x09, 0x59];
    let mut spec = recordings::device(TOUCHPAD.0, TOUCHPAD.1)?;
    let place = spec.descriptor.windows(PAD_TYPE.len()).position(|items| items == PAD_TYPE);
    let usage = place.and_then(|place| spec.descriptor.get_mut(place + 3)).context("the touchpad has no Pad Type")?;
    *usage = 0;
    Ok(spec)
}

/// Sends reports and compares one node's events for each.
pub fn expect_answers(device: &Plugged<impl Transport>, node: &mut Node, table: &[(&str, &str)]) -> Result<()> {
    for (report, expected) in table {
        device.device.send(&unhex(report)?)?;
        expect_events(&format!("report {report}"), expected, &node.events()?)?;
    }
    Ok(())
}

/// Returns the joystick's report with its hat at this angle, in steps of 1.5 degrees, and its X axis at `x`.
pub fn raptor_report(hat: u8, x: u16) -> Vec<u8> {
    let mut report = vec![0; 64];
    report[0] = 1;
    report[1..3].copy_from_slice(&x.to_le_bytes());
    report[33] = hat;
    report
}

/// The nodes once the two pointers have one each. They differ in the tilting wheel.
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
    // Each half has its own node.
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

/// Newer kernels give each report of this device a node, with a quirk for its ids on Bluetooth.
///
/// On another bus the same descriptor shows the defect.
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

/// udev does not attach an example. By hand it is attached, and detached again.
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

/// Two devices of one model, each with its own state.
fn two_of_a_kind(bench: &mut Bench) -> Result<()> {
    for driver in WITH_STATE {
        recordings::run_on_two(driver, bench).with_context(|| format!("two devices of `{driver}`"))?;
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
      key: BTN_TOOL_PEN BTN_TOUCH BTN_STYLUS BTN_STYLUS2
      abs: ABS_X 0..32000 res 200
      abs: ABS_Y 0..20000 res 200
      abs: ABS_PRESSURE 0..8192";

/// huion-switcher's rule runs on hidraw nodes: the drivers are attached when the mode becomes known.
fn huion_mode_known_late(bench: &mut Bench) -> Result<()> {
    const KEYDIAL: (&str, usize) = ("huion-keydial-k20", 108);
    const KEYDIAL_VENDOR_MODE: [(&str, &str); 1] = [("HUION_FIRMWARE_ID", "HUION_T21h_230511")];
    let interfaces = [
        (INSPIROY_PAD, VENDOR_MODE, ""),
        (INSPIROY_PEN, VENDOR_MODE, ""),
        (INSPIROY_VENDOR, VENDOR_MODE, VENDOR_NODES),
        // In firmware mode the driver leaves this one unchanged.
        (KEYDIAL, KEYDIAL_VENDOR_MODE, ""),
    ];
    for (driver, properties, nodes) in interfaces {
        let device = bench.plug_with_late(&recordings::device(driver.0, driver.1)?, &properties)?;
        device.expect_nodes(nodes).with_context(|| format!("{} bytes", driver.1))?;
        ensure!(device.pinned_drivers()? == [driver.0], "pinned: {:?}", device.pinned_drivers()?);
        // After a repeated event the driver stays, and with it the device's node.
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
