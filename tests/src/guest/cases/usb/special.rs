//! Kernel drivers that require USB, or change descriptors themselves: their effect on a device, and hidbpf's result.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::expectation::Version;
use crate::guest::bench::Bench;
use crate::guest::cases::descriptors::{kye, maltron};
use crate::guest::cases::fixtures::ORIGINALS;
use crate::guest::cases::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::usb::{UsbInterface, UsbPlugged, spec_of};
use crate::nodes::{Node, expect_events, unhex};
use crate::usb::{Event, InterfaceSpec, Spec, utf16};

pub const CASES: &[Case] = &[
    case("usb-tablet-of-uclogic", WITH_HID_BPF, huion),
    case("usb-tablet-of-which-uclogic-refuses-interfaces", WITH_HID_BPF, xppen),
    case("usb-devices-of-maltron-and-kye", WITH_HID_BPF, changed_afterwards),
];

const UCLOGIC: &str = "uclogic";
/// hidbpf's output for such a device.
const OTHER_EXPECTED: &str = "its kernel driver is `uclogic`, expected another one";

fn kernel_driver(interface: &UsbInterface) -> Option<String> {
    let link = fs::read_link(interface.syspath.join("driver")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// Fails if the kernel drivers of the interfaces are not these, or a driver of hidbpf is attached to one.
fn expect_left_to(tablet: &UsbPlugged, expected: &[Option<&str>]) -> Result<()> {
    let bound: Vec<Option<String>> = tablet.interfaces.iter().map(kernel_driver).collect();
    ensure!(bound.iter().map(Option::as_deref).eq(expected.iter().copied()), "bound: {bound:?}");
    for interface in &tablet.interfaces {
        let (number, pinned) = (interface.device.number(), interface.pinned_drivers()?);
        ensure!(pinned.is_empty(), "interface {number} has {pinned:?}");
    }
    Ok(())
}

/// Returns the device of some recordings of a driver, selected by the prefix of their names: each recording is one interface.
fn merged(driver: &str, prefix: &str) -> Result<Spec> {
    let sessions = recordings::named(driver, prefix)?;
    let mut specs = sessions.iter().map(|session| session.usb_spec()).collect::<Result<Vec<_>>>()?;
    let mut interfaces: Vec<InterfaceSpec> = specs.iter().flat_map(|spec| spec.interfaces.clone()).collect();
    interfaces.sort_by_key(|interface| interface.number);
    let spec = specs.pop().with_context(|| format!("`{driver}` has no recording `{prefix}`"))?;
    Ok(Spec { interfaces, ..spec })
}

/// uclogic requests the tablet's measures and replaces the pen's descriptor, leaves the keyboard as it is, and refuses the third interface.
fn huion(bench: &mut Bench) -> Result<()> {
    const DRIVER: &str = "huion-h610-pro";
    /// X to 40000, Y to 25000, pressure to 2047, 4000 steps an inch.
    const MEASURES: (u8, &str) = (100, "40 9c a8 61 00 00 ff 07 a0 0f");
    /// The string that enables the pad's buttons, and the firmware's version.
    const BUTTONS: u8 = 123;
    const FIRMWARE: u8 = 201;
    let mut spec = merged(DRIVER, "vendor-mode")?.with_string(FIRMWARE, "HUION_T153_160607");
    spec.strings.insert(MEASURES.0, unhex(MEASURES.1)?);
    spec.strings.insert(BUTTONS, utf16("HK On"));
    let tablet = bench.plug_usb(&spec)?;
    expect_left_to(&tablet, &[Some(UCLOGIC), Some(UCLOGIC), None])?;
    let asked: Vec<u8> = tablet.device.events().iter().filter_map(Event::string).collect();
    for string in [FIRMWARE, MEASURES.0, BUTTONS] {
        ensure!(asked.contains(&string), "uclogic has not asked for the string {string}, but for {asked:?}");
    }
    let (pen, keyboard) = (tablet.interface(0)?, tablet.interface(1)?);
    ensure!(pen.descriptor()? != spec.interfaces[0].descriptor, "uclogic has left the pen as it is");
    ensure!(keyboard.descriptor()? == spec.interfaces[1].descriptor, "uclogic has changed the keyboard");
    // The name does not tell: Linux 6.16.3 gives the pad the same one.
    let is_pen = |node: &Node| node.roles().is_ok_and(|roles| roles == "TABLET");
    let mut node = pen.nodes()?.into_iter().find(is_pen).context("uclogic has made no node of the pen")?;
    // The tip is down: X 8000, Y 5000, pressure 1023.
    pen.device.send(&unhex("07 81 40 1f 88 13 ff 03")?)?;
    let expected = "BTN_TOOL_PEN 1, BTN_TOUCH 1, ABS_X 8000, ABS_Y 5000, ABS_PRESSURE 1023";
    expect_events("the pen's report", expected, &node.events()?)?;
    drop(node);
    bench.hidbpf(&["doctor", &pen.name()])?.expect(0)?.answers(OTHER_EXPECTED)?;
    bench.hidbpf(&["load", DRIVER])?.expect(3)?.says(OTHER_EXPECTED)?;
    bench.hidbpf(&["load", DRIVER, &pen.name()])?.expect(3)?.says(OTHER_EXPECTED)?;
    expect_left_to(&tablet, &[Some(UCLOGIC), Some(UCLOGIC), None])?;
    bench.unplug_usb(tablet)
}

/// uclogic accepts only the third interface, and sends a request to it first.
///
/// Kernels that do not know the tablet leave the pen to hid-generic.
fn xppen(bench: &mut Bench) -> Result<()> {
    const DRIVER: &str = "xppen-artist-24";
    const PEN: u8 = 1;
    /// It is known since some version between Linux 6.16 and this one.
    const KNOWN_SINCE: &str = "7.0";
    /// `uclogic_ugee_v2_probe_arr` (drivers/hid/hid-uclogic-rdesc.c).
    const MAGIC: &str = "send output 02 b0 04 00 00 00 00 00 00 00";
    let mut spec = merged(DRIVER, "artist-24-pro")?;
    let other = |number, driver, size, takes_output| -> Result<InterfaceSpec> {
        let descriptor = recordings::device(driver, size)?.descriptor;
        Ok(InterfaceSpec { number, descriptor, takes_output, ..InterfaceSpec::default() })
    };
    spec.interfaces.insert(0, other(0, "xppen-deco-01-v3", 102, false)?);
    spec.interfaces.push(other(2, "xppen-ack05", 36, true)?);
    // The measures of the pen, and 20 buttons.
    spec.strings.insert(100, unhex("40 9c a8 61 14 00 ff 1f d8 13 01 00")?);
    let tablet = bench.plug_usb(&spec)?;
    if kernel_driver(tablet.interface(2)?).as_deref() != Some(UCLOGIC) {
        ensure!(Version::running()? < KNOWN_SINCE.parse()?, "uclogic has not taken the tablet");
        let pinned = tablet.interface(PEN)?.pinned_drivers()?;
        ensure!(pinned == [DRIVER], "the pen has {pinned:?}");
        return bench.unplug_usb(tablet);
    }
    expect_left_to(&tablet, &[None, None, Some(UCLOGIC)])?;
    let vendor = tablet.interface(2)?;
    let told: Vec<String> = vendor.device.asked().iter().map(ToString::to_string).collect();
    ensure!(told.iter().any(|one| one == MAGIC), "uclogic has said {told:?}");
    ensure!(vendor.nodes()?.iter().any(|node| node.name.ends_with(" Pen")), "uclogic has made no pen");
    let pen = tablet.interface(PEN)?.name();
    bench.hidbpf(&["status"])?.expect(0)?.answers(&pen)?.answers("no kernel driver is bound")?;
    bench.hidbpf(&["doctor", &pen])?.expect(1)?.answers("no kernel driver is bound")?;
    bench.hidbpf(&["load", DRIVER])?.expect(3)?.says(OTHER_EXPECTED)?.says("no kernel driver is bound")?;
    expect_left_to(&tablet, &[None, None, Some(UCLOGIC)])?;
    bench.unplug_usb(tablet)
}

/// A driver is attached, and stays, although the current descriptor differs from its hook's result.
fn changed_afterwards(bench: &mut Bench) -> Result<()> {
    ORIGINALS.installed(bench, |bench| {
        for (own, kernels) in [(maltron()?, "maltron"), (kye()?, "kye")] {
            let device = bench.plug_usb(&spec_of(&own))?;
            let interface = device.only()?;
            ensure!(kernel_driver(interface).as_deref() == Some(kernels), "bound: {:?}", kernel_driver(interface));
            let pinned = interface.pinned_drivers()?;
            ensure!(pinned == [ORIGINALS.name], "the device of {kernels} has {pinned:?}");
            ensure!(interface.descriptor()? != own.descriptor, "{kernels} has changed nothing");
            bench.hidbpf(&["reload", ORIGINALS.name])?.expect(0)?;
            bench.settle()?;
            let status = bench.hidbpf(&["status"])?.expect(0)?.answers(ORIGINALS.name)?;
            ensure!(!status.stdout.contains("failed"), "something failed\n{status}");
            bench.unplug_usb(device)?;
        }
        Ok(())
    })
}
