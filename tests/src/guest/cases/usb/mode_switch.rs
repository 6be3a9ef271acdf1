//! Tablets whose mode hidbpf switches, by reading strings and sending reports. Their answers are udev properties.
//!
//! The tablets answer, refuse, answer late or wrongly, and are unplugged in between. One breaks when it is asked what no manifest declares.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hidbpf::descriptor::HexBytes;

use super::faulty::expect_nothing_known;
use super::tablet;
use crate::guest::bench::{Bench, write};
use crate::guest::cases::drivers::expect_answers;
use crate::guest::cases::fixtures::{SWITCH, SWITCH_REFUSES, SWITCH_UGEE};
use crate::guest::cases::many::Kept;
use crate::guest::cases::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::usb::{UsbInterface, UsbPlugged};
use crate::nodes::unhex;
use crate::usb::{Answer, Behaviour, Event, InterfaceSpec, Request, Spec, usual};

pub const CASES: &[Case] = &[
    case("usb-mode-switch", WITH_HID_BPF, switched).each_generation(),
    case("usb-mode-switch-of-older-firmware", WITH_HID_BPF, older).each_generation(),
    case("usb-mode-switch-again", WITH_HID_BPF, again).each_generation(),
    case("usb-mode-switch-refused", WITH_HID_BPF, refused).each_generation(),
    case("usb-mode-switch-vanishes", WITH_HID_BPF, vanishes).each_generation(),
    case("usb-mode-switch-undone", WITH_HID_BPF, undone).each_generation(),
    case("usb-mode-switch-not-wanted", WITH_HID_BPF, not_wanted).each_generation(),
    case("usb-mode-switch-of-uclogic", WITH_HID_BPF, of_uclogic),
    case("usb-mode-switch-by-a-report", WITH_HID_BPF, by_a_report).each_generation(),
    case("usb-mode-switch-of-two-tablets", WITH_HID_BPF, two_tablets).newest_only(),
    case("usb-mode-switch-of-tablets-that-tell", WITH_HID_BPF, families).each_generation(),
    case("usb-mode-switch-of-tablets-by-row", WITH_HID_BPF, families_by_row).each_generation(),
];

const FIRMWARE: &str = "HUION_T21j_221221";
/// The parameters of a Huion H640P.
const PARAMETERS: &str = "13 03 00 7d 00 20 4e 00 ff 1f d8 13 03 06 00 00 04 00 40";
/// The parameters of a Huion H610 Pro.
const OLD_PARAMETERS: &str = "0e 03 40 9c a8 61 03 00 ff 07 a0 0f 08 00";
/// The interfaces with the vendor report and with the pen, as the recordings of the Inspiroy 2 S number them.
const VENDOR: u8 = 0;
const PEN: u8 = 1;

fn huion() -> Result<Spec> {
    let mut spec = Spec { product: 0x0fff, ..tablet::spec()? }.with_string(201, FIRMWARE);
    spec.strings.insert(200, unhex(PARAMETERS)?[2..].to_vec());
    Ok(spec)
}

/// Returns the strings that were read, except for those that the kernel reads of every device.
fn strings(tablet: &UsbPlugged) -> Vec<u8> {
    /// Language, manufacturer, product and serial number.
    const USUAL: u8 = 3;
    tablet.device.events().iter().filter_map(Event::string).filter(|index| *index > USUAL).collect()
}

/// Checks that the tablet was asked for these strings and that the driver is attached to both interfaces.
fn expect_switched(tablet: &UsbPlugged, asked: &[u8], properties: &[(&str, &str)]) -> Result<()> {
    let found = strings(tablet);
    ensure!(found == asked, "asked for the strings {found:?}, expected {asked:?}");
    for number in [VENDOR, PEN] {
        let interface = tablet.interface(number)?;
        let pinned = interface.pinned_drivers()?;
        ensure!(pinned == [SWITCH.name], "interface {number} has {pinned:?}");
        for (name, value) in properties {
            expect_udev(interface, name, Some(value)).with_context(|| format!("interface {number}"))?;
        }
    }
    tablet.interface(PEN)?.expect_property("HUION_FIRMWARE_ID", Some(FIRMWARE))
}

/// Checks a udev property of a HID device and of its hidraw node.
fn expect_udev(interface: &UsbInterface, name: &str, expected: Option<&str>) -> Result<()> {
    let hidraw = interface.syspath.join("hidraw");
    let node = fs::read_dir(&hidraw)?.next().context("there is no hidraw node")??.path();
    for path in [&interface.syspath, &node] {
        let device = udev::Device::from_syspath(path)?;
        let found = device.property_value(name).map(|value| value.to_string_lossy().into_owned());
        ensure!(found.as_deref() == expected, "{name} of `{}` is {found:?}, expected {expected:?}", path.display());
    }
    Ok(())
}

/// Checks that the tablet works without the driver, and that hidbpf says why.
fn expect_firmware_mode(bench: &Bench, tablet: &UsbPlugged, asked: &[u8], says: &str) -> Result<()> {
    let found = strings(tablet);
    ensure!(found == asked, "asked for the strings {found:?}, expected {asked:?}");
    for interface in &tablet.interfaces {
        let pinned = interface.pinned_drivers()?;
        ensure!(pinned.is_empty(), "interface {} has {pinned:?}", interface.device.number());
    }
    ensure!(!tablet.interface(PEN)?.nodes()?.is_empty(), "the pen has no node");
    let status = bench.hidbpf(&["status"])?.expect(0)?;
    status.answers(says)?;
    Ok(())
}

fn switched(bench: &mut Bench) -> Result<()> {
    SWITCH.installed(bench, |bench| {
        let before = Kept::now();
        let tablet = bench.plug_usb(&huion()?)?;
        let parameters = PARAMETERS.replace(' ', "");
        let properties = [("HUION_FIRMWARE_ID", FIRMWARE), ("HUION_MAGIC_BYTES", &parameters)];
        // Once for all interfaces.
        expect_switched(&tablet, &[201, 200], &properties)?;
        let fixed = tablet.interface(VENDOR)?.descriptor()?;
        ensure!(fixed[14] == 2, "the driver has not been given the parameters: {fixed:02x?}");
        let status = bench.hidbpf(&["status"])?.expect(0)?;
        let status = status.answers("mode switched, ")?.answers(&format!("HUION_MAGIC_BYTES={parameters}"))?;
        ensure!(!status.stdout.contains("failed"), "something failed\n{status}");
        bench.hidbpf(&["--json", "status"])?.expect(0)?.answers(&format!("\"HUION_MAGIC_BYTES\": \"{parameters}\""))?;
        // No other event has it switched again.
        for action in ["add", "change", "bind"] {
            bench.trigger_path(action, &tablet.interface(PEN)?.syspath.clone())?;
        }
        bench.hidbpf(&["reload", SWITCH.name])?.expect(0)?;
        bench.settle()?;
        expect_switched(&tablet, &[201, 200], &properties)?;
        bench.unplug_usb(tablet)?;
        expect_nothing_known(bench)?;
        before.expect_no_more()
    })
}

/// libwacom knows a tablet without a serial number by its firmware.
fn older(bench: &mut Bench) -> Result<()> {
    SWITCH.installed(bench, |bench| {
        let mut spec = huion()?.with_string(123, "HK On");
        spec.strings.remove(&200);
        spec.strings.insert(100, unhex(OLD_PARAMETERS)?[2..].to_vec());
        let tablet = bench.plug_usb(&spec)?;
        let parameters = OLD_PARAMETERS.replace(' ', "");
        // The last step is left out, because the parameters are there.
        expect_switched(&tablet, &[201, 200, 100], &[("HUION_MAGIC_BYTES", &parameters)])?;
        ensure!(tablet.interface(VENDOR)?.descriptor()?[14] == 1, "the driver took the parameters for others");
        bench.unplug_usb(tablet)
    })
}

/// After a suspend, and when the kernel has made new interfaces.
fn again(bench: &mut Bench) -> Result<()> {
    SWITCH.installed(bench, |bench| {
        let firmware = Arc::new(Mutex::new(FIRMWARE));
        let behaviour: Box<Behaviour> = {
            let firmware = Arc::clone(&firmware);
            Box::new(move |request: &Request| {
                let name = *firmware.lock().unwrap_or_else(PoisonError::into_inner);
                match request.string() {
                    Some(201) if name.is_empty() => Answer::Stall,
                    Some(201) => {
                        Answer::Data(Spec::default().with_string(1, name).descriptor(3, 1).unwrap_or_default())
                    }
                    _ => Answer::Usual,
                }
            })
        };
        let mut tablet = bench.plug_usb_with(&huion()?, &[], behaviour)?;
        let set = |name| *firmware.lock().unwrap_or_else(PoisonError::into_inner) = name;
        expect_switched(&tablet, &[201, 200], &[("HUION_FIRMWARE_ID", FIRMWARE)])?;
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        bench.settle()?;
        expect_switched(&tablet, &[201, 200, 201, 200], &[("HUION_FIRMWARE_ID", FIRMWARE)])?;
        // It is known what the tablet was, if it does not say so again.
        set("");
        bench.hidbpf(&["udev", "resume"])?.expect(1)?.says("the step that reads the string 201 failed")?;
        bench.settle()?;
        expect_udev(tablet.interface(PEN)?, "HUION_FIRMWARE_ID", Some(FIRMWARE))?;
        bench.hidbpf(&["status"])?.expect(0)?.answers("the step that reads the string 201 failed")?;
        set("HUION_T21j_230101");
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        bench.settle()?;
        expect_udev(tablet.interface(PEN)?, "HUION_FIRMWARE_ID", Some("HUION_T21j_230101"))?;
        let status = bench.hidbpf(&["status"])?.expect(0)?;
        ensure!(!status.stdout.contains("failed"), "the failure is still there\n{status}");
        // The device gets a new configuration, which makes new interfaces, in firmware mode.
        set(FIRMWARE);
        let asked = strings(&tablet).len();
        tablet.set("bConfigurationValue", "0")?;
        bench.settle()?;
        tablet.set("bConfigurationValue", "1")?;
        bench.settle()?;
        tablet.look()?;
        let all = strings(&tablet);
        ensure!(all[asked..] == [201, 200], "asked for {:?} after a new configuration", &all[asked..]);
        expect_switched(&tablet, &all, &[("HUION_FIRMWARE_ID", FIRMWARE)])?;
        bench.unplug_usb(tablet)?;
        // Nothing to do without a tablet.
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        expect_nothing_known(bench)
    })
}

/// The tablet refuses, does not answer, or answers something else. It stays in firmware mode, and is asked no further.
fn refused(bench: &mut Bench) -> Result<()> {
    let utf16 = |text: &str| Spec::default().with_string(1, text).descriptor(3, 1).unwrap_or_default();
    SWITCH.installed(bench, |bench| {
        for (answer, says) in [
            (Answer::Stall, "Broken pipe"),
            (Answer::Silence, "timed out"),
            (Answer::Late(Duration::from_secs(3)), "timed out"),
            (Answer::Data(Vec::new()), "answered with 0 bytes"),
            (Answer::Data(vec![4]), "answered with 1 bytes"),
            (Answer::Data(vec![36, 3, b'H', 0]), "declares 36 bytes and has 4"),
            (Answer::Data(vec![4, 4, b'H', 0]), "a descriptor of type 4"),
            (Answer::Data(vec![4, 3, 0x00, 0xd8]), "is not text"),
            (Answer::Data(utf16("HUION_\"\nHIDBPF=0")), "can't be a udev property"),
            (Answer::Data(utf16("GAOMON")), "expected `HUION_*`"),
        ] {
            let what = format!("{answer:?}");
            let behaviour = move |request: &Request| match request.string() {
                Some(201) => answer.clone(),
                _ => Answer::Usual,
            };
            let mut check = || -> Result<()> {
                let tablet = bench.plug_usb_with(&huion()?, &[], Box::new(behaviour.clone()))?;
                expect_firmware_mode(bench, &tablet, &[201], says)?;
                bench.hidbpf(&["status"])?.answers("unplug the device and plug it in again")?;
                bench.unplug_usb(tablet)?;
                expect_nothing_known(bench)
            };
            check().with_context(|| what)?;
        }
        // A firmware that no rule knows: it is switched, and switched back.
        let (mode, behaviour) = with_mode();
        let tablet = bench.plug_usb_with(&huion()?.with_string(201, "HUION_X1_000000"), &[], behaviour)?;
        expect_firmware_mode(bench, &tablet, &[201, 200], "HUION_FIRMWARE_ID=HUION_X1_000000")?;
        ensure!(!mode.load(Ordering::Relaxed), "the tablet is in vendor mode, where nothing understands it");
        expect_udev(tablet.interface(PEN)?, "HUION_FIRMWARE_ID", None)?;
        let pen = tablet.interface(PEN)?.name();
        bench.hidbpf(&["load", SWITCH.name, &pen])?.expect(3)?.says("HUION_T21j_*")?;
        bench.unplug_usb(tablet)?;
        // Short parameters are not taken for parameters, and a late tablet is waited for.
        let mut spec = huion()?;
        spec.strings.insert(200, vec![1; 8]);
        let behaviour = |request: &Request| match request.string() {
            Some(201) => Answer::Late(Duration::from_millis(400)),
            _ => Answer::Usual,
        };
        let tablet = bench.plug_usb_with(&spec, &[], Box::new(behaviour))?;
        let asked = strings(&tablet);
        ensure!(asked == [201, 200, 100], "asked for the strings {asked:?}");
        let status = bench.hidbpf(&["status"])?.expect(0)?;
        status.answers("the step that reads the string 100 failed")?;
        let pinned = tablet.interface(VENDOR)?.pinned_drivers()?;
        ensure!(pinned == [SWITCH.name], "the firmware is known, but pinned is {pinned:?}");
        bench.unplug_usb(tablet)?;
        expect_nothing_known(bench)
    })
}

/// Returns whether a tablet is in vendor mode, and the behaviour of such a tablet. The string 200 brings it there. When the kernel
/// configures it, as at the start and after a reset, it is in firmware mode.
fn with_mode() -> (Arc<AtomicBool>, Box<Behaviour>) {
    let mode = Arc::new(AtomicBool::new(false));
    let changed = Arc::clone(&mode);
    let behaviour = move |request: &Request| {
        if request.string() == Some(200) {
            changed.store(true, Ordering::Relaxed);
        }
        if request.sets_configuration() {
            changed.store(false, Ordering::Relaxed);
        }
        Answer::Usual
    };
    (mode, Box::new(behaviour))
}

/// The driver can't be attached to a tablet that was switched for it. The tablet is usable in firmware mode, and is not switched again.
fn undone(bench: &mut Bench) -> Result<()> {
    SWITCH_REFUSES.installed(bench, |bench| {
        let before = Kept::now();
        let (mode, behaviour) = with_mode();
        let tablet = bench.plug_usb_with(&huion()?, &[], behaviour)?;
        let expect_back = |bench: &Bench, tablet: &UsbPlugged| -> Result<()> {
            expect_firmware_mode(bench, tablet, &[200], "was put back in firmware mode, because the driver")?;
            ensure!(!mode.load(Ordering::Relaxed), "the tablet is in vendor mode, where nothing understands it");
            expect_udev(tablet.interface(VENDOR)?, "HUION_MAGIC_BYTES", None)
        };
        expect_back(bench, &tablet)?;
        bench.hidbpf(&["status"])?.answers("refused the device")?.answers("it had told HUION_MAGIC_BYTES=13")?;
        let resets = || {
            tablet
                .device
                .events()
                .iter()
                .filter(|event| matches!(event, Event::Request(request) if request.sets_configuration()))
                .count()
        };
        ensure!(resets() == 2, "configured {} times, expected once for the plug and once for the reset", resets());
        // The pen of firmware mode works after the reset.
        let pen = tablet.interface(PEN)?;
        expect_answers(
            pen,
            &mut pen.only_node()?,
            &[("0a c0 00 40 00 40 00 00 00 00", "BTN_TOOL_PEN 1, ABS_X 16384, ABS_Y 16384")],
        )?;
        // It stays so, whatever happens.
        for action in ["add", "change", "bind"] {
            bench.trigger_path(action, &tablet.interface(VENDOR)?.syspath.clone())?;
        }
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        bench.settle()?;
        expect_back(bench, &tablet)?;
        ensure!(resets() == 2, "configured {} times", resets());
        bench.unplug_usb(tablet)?;
        expect_nothing_known(bench)?;
        before.expect_no_more()
    })
}

/// It is unplugged while it is asked for a string.
fn vanishes(bench: &mut Bench) -> Result<()> {
    SWITCH.installed(bench, |bench| {
        let before = Kept::now();
        bench.usb_bus()?;
        for last in [201, 200] {
            let behaviour = move |request: &Request| match request.string() == Some(last) {
                true => Answer::Vanish,
                false => Answer::Usual,
            };
            bench.udev.forget();
            let device = bench.plug_usb_unwatched(&huion()?, &[], Box::new(behaviour))?;
            device.wait_until_gone().with_context(|| format!("at the string {last}"))?;
            bench.settle()?;
            expect_nothing_known(bench).with_context(|| format!("at the string {last}"))?;
        }
        before.expect_no_more()
    })
}

/// The user, the configuration, or another tool decides otherwise. Then nothing is asked.
fn not_wanted(bench: &mut Bench) -> Result<()> {
    const CONFIGURATION: &str = "/etc/hidbpf/hidbpf.toml.d/50-mode-switch.toml";
    const TOOL: &str = "/usr/lib/udev/huion-switcher";
    const RULES: &str = "/etc/udev/rules.d/80-huion-switcher.rules";
    SWITCH.installed(bench, |bench| {
        let quiet = |bench: &mut Bench, what: &str| -> Result<()> {
            let tablet = bench.plug_usb(&huion()?)?;
            let asked = strings(&tablet);
            ensure!(asked.is_empty(), "{what}: asked for {asked:?}");
            for interface in &tablet.interfaces {
                ensure!(interface.pinned_drivers()?.is_empty(), "{what}: a driver is attached");
            }
            bench.unplug_usb(tablet)
        };
        for text in [
            format!("[driver.{}.options]\nvendor-mode = false\n", SWITCH.name),
            format!("[driver.{}]\nenabled = false\n", SWITCH.name),
        ] {
            write(Path::new(CONFIGURATION), text.as_bytes())?;
            let result = quiet(bench, &text);
            fs::remove_file(CONFIGURATION)?;
            result?;
        }
        // The other tool's own properties are taken, and nothing is asked beside it. Its rules set what it would print.
        write(Path::new(TOOL), b"")?;
        let rules = format!(
            "ACTION!=\"remove\", SUBSYSTEM==\"hidraw\", ATTRS{{idVendor}}==\"256c\", ENV{{HUION_FIRMWARE_ID}}=\"{FIRMWARE}\"\n"
        );
        write(Path::new(RULES), rules.as_bytes())?;
        let result = bench.reload().and_then(|()| {
            let tablet = bench.plug_usb(&huion()?)?;
            let asked = strings(&tablet);
            ensure!(asked.is_empty(), "asked for {asked:?} beside another tool");
            for number in [VENDOR, PEN] {
                let pinned = tablet.interface(number)?.pinned_drivers()?;
                ensure!(pinned == [SWITCH.name], "interface {number} has {pinned:?}");
            }
            bench.unplug_usb(tablet)
        });
        fs::remove_file(TOOL)?;
        fs::remove_file(RULES)?;
        bench.reload()?;
        result?;
        // No manifest names this one.
        let tablet = bench.plug_usb(&Spec { product: 0x0ffe, ..huion()? })?;
        let asked = strings(&tablet);
        ensure!(asked.is_empty(), "an unknown tablet was asked for {asked:?}");
        let name = tablet.interface(PEN)?.name();
        bench.hidbpf(&["load", "--force", SWITCH.name, &name])?.expect(0)?;
        bench.settle()?;
        let asked = strings(&tablet);
        ensure!(asked.is_empty(), "an unknown tablet was asked for {asked:?} by force");
        bench.unplug_usb(tablet)?;
        // Without any of that the tablet is switched.
        let tablet = bench.plug_usb(&huion()?)?;
        expect_switched(&tablet, &[201, 200], &[])?;
        bench.unplug_usb(tablet)
    })
}

/// The kernel's own driver switches the tablet, and hidbpf does not.
fn of_uclogic(bench: &mut Bench) -> Result<()> {
    let spec = Spec { product: 0x006d, ..huion()? };
    let tablet = bench.plug_usb(&spec)?;
    let alone = strings(&tablet);
    ensure!(alone.contains(&200), "uclogic has asked for {alone:?} only");
    bench.unplug_usb(tablet)?;
    SWITCH.installed(bench, |bench| {
        let tablet = bench.plug_usb(&spec)?;
        // A driver that is attached has the kernel bind the device again, and uclogic then asks again.
        let asked = strings(&tablet);
        ensure!(
            asked.chunks(alone.len()).all(|asked| asked == alone),
            "asked for {asked:?}, uclogic alone for {alone:?}"
        );
        let status = bench.hidbpf(&["status"])?.expect(0)?;
        ensure!(status.stdout.contains(SWITCH.name), "the driver is not attached\n{status}");
        ensure!(!status.stdout.contains("mode switched"), "hidbpf has switched it\n{status}");
        bench.unplug_usb(tablet)
    })
}

/// A UGEE tablet with its vendor interface, which takes the report 2.
fn ugee() -> Result<Spec> {
    const DESCRIPTOR: &str = "06 0a ff 09 01 a1 01 85 02 09 02 75 08 95 09 15 00 26 ff 00 81 02 09 03 75 08 95 07 15 00 26 ff 00 \
                              91 02 c0";
    const STRING: &str = "0e 03 70 b2 10 77 08 00 ff 1f d8 13 00 00";
    let pen = tablet::spec()?.interfaces.into_iter().filter(|interface| interface.number == PEN);
    let vendor =
        InterfaceSpec { number: 2, descriptor: unhex(DESCRIPTOR)?, takes_output: true, ..InterfaceSpec::default() };
    let mut spec =
        Spec { vendor: 0x28bd, product: 0x0fff, interfaces: pen.chain([vendor]).collect(), ..Spec::default() };
    spec.strings.insert(100, unhex(STRING)?[2..].to_vec());
    Ok(spec)
}

/// A tablet that breaks when the string 200 or 201 is read.
fn by_a_report(bench: &mut Bench) -> Result<()> {
    SWITCH_UGEE.installed(bench, |bench| {
        let is_broken = Arc::new(AtomicBool::new(false));
        let behaviour = || -> Box<Behaviour> {
            let is_broken = Arc::clone(&is_broken);
            Box::new(move |request: &Request| match request.string() {
                Some(200 | 201) => {
                    is_broken.store(true, Ordering::Relaxed);
                    Answer::Vanish
                }
                _ => Answer::Usual,
            })
        };
        let tablet = bench.plug_usb_with(&ugee()?, &[], behaviour())?;
        let vendor = tablet.interface(2)?;
        let told: Vec<String> = vendor.device.asked().iter().map(ToString::to_string).collect();
        ensure!(told == ["send output 02 b0 04 00 00 00 00 00"], "told: {told:?}");
        ensure!(strings(&tablet) == [100], "asked for the strings {:?}", strings(&tablet));
        let is_report = |event: &Event| matches!(event, Event::Output { .. });
        let order = tablet.device.events();
        let place = |is: &dyn Fn(&Event) -> bool| order.iter().position(is);
        let (report, string) = (place(&is_report), place(&|event| event.string() == Some(100)));
        ensure!(report < string, "the string was read before the report was sent");
        let pinned = vendor.pinned_drivers()?;
        ensure!(pinned == [SWITCH_UGEE.name], "pinned: {pinned:?}");
        expect_udev(vendor, "UGEE_STRING_100", Some("0e0370b210770800ff1fd8130000"))?;
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        ensure!(vendor.device.asked().len() == 2, "told: {:?}", vendor.device.asked());
        for command in [&["doctor"][..], &["devices"], &["status"]] {
            bench.hidbpf(command)?;
        }
        bench.unplug_usb(tablet)?;
        // Tablets that no manifest names: of this maker, and of the other one.
        SWITCH.installed(bench, |bench| {
            let tablet = bench.plug_usb_with(&Spec { product: 0x0ffe, ..ugee()? }, &[], behaviour())?;
            let vendor = tablet.interface(2)?;
            ensure!(vendor.device.asked().is_empty(), "told: {:?}", vendor.device.asked());
            ensure!(strings(&tablet).is_empty(), "asked for the strings {:?}", strings(&tablet));
            bench.unplug_usb(tablet)
        })?;
        ensure!(!is_broken.load(Ordering::Relaxed), "a tablet is broken");
        // An interface without the report: the tablet stays as it is.
        let mut other = ugee()?;
        for interface in &mut other.interfaces {
            if interface.number == 2 {
                interface.descriptor[8] = 3;
            }
        }
        let tablet = bench.plug_usb_with(&other, &[], usual())?;
        bench.hidbpf(&["status"])?.expect(0)?.answers("declares no such Output report 2")?;
        ensure!(strings(&tablet).is_empty(), "asked for the strings {:?}", strings(&tablet));
        bench.unplug_usb(tablet)
    })
}

/// One is switched, and one refuses.
fn two_tablets(bench: &mut Bench) -> Result<()> {
    SWITCH.installed(bench, |bench| {
        let one = bench.plug_usb(&huion()?)?;
        let behaviour = |request: &Request| match request.string() {
            Some(201) => Answer::Stall,
            _ => Answer::Usual,
        };
        let other = bench.plug_usb_with(&huion()?, &[], Box::new(behaviour))?;
        expect_firmware_mode(bench, &other, &[201], "the step that reads the string 201 failed")?;
        expect_switched(&one, &[201, 200], &[])?;
        bench.unplug_usb(one)?;
        bench.hidbpf(&["status"])?.expect(0)?.answers("the step that reads the string 201 failed")?;
        bench.unplug_usb(other)
    })
}

/// Tablets of a family that tell their parameters are plugged in, told apart by what they say, and work. Nothing was done by hand.
fn families(bench: &mut Bench) -> Result<()> {
    for (driver, name) in [
        ("ugee-tablets", "deco-pro-medium"),
        ("ugee-displays", "artist-16-2nd-gen"),
        ("huion-tablets", "hs610"),
        ("huion-tablets", "unknown-display"),
    ] {
        for session in recordings::named(driver, name)? {
            let mut spec = session.usb_spec()?;
            let (index, property) =
                if driver == "huion-tablets" { (200, "HUION_MAGIC_BYTES") } else { (100, "UGEE_STRING_100") };
            let parameters = session.property(property).context("the recording has no parameters")?;
            let HexBytes(bytes) = parameters.parse()?;
            spec.strings.insert(index, bytes[2..].to_vec());
            let firmware = session.property("HUION_FIRMWARE_ID");
            spec = firmware.iter().fold(spec, |spec, firmware| spec.with_string(201, firmware));
            let asked: &[u8] = if firmware.is_some() { &[201, 200] } else { &[100] };
            let sent = if firmware.is_some() { &[][..] } else { &["02 b0 04"] };
            let check = |bench: &mut Bench| -> Result<()> {
                expect_family(bench, driver, &session, &spec, (asked, sent))?;
                // A tablet that says nothing of itself stays in firmware mode: it is not sent the report.
                let silent = Spec { strings: [].into(), ..spec.clone() };
                let tablet = bench.plug_usb(&silent)?;
                ensure!(tablet.only()?.device.asked().is_empty(), "told: {:?}", tablet.only()?.device.asked());
                ensure!(tablet.only()?.pinned_drivers()?.is_empty(), "a driver is attached to a silent tablet");
                let says = format!("the step that reads the string {} failed", asked[0]);
                bench.hidbpf(&["status"])?.expect(0)?.answers(&says)?;
                bench.unplug_usb(tablet)
            };
            check(bench).with_context(|| format!("{driver}, {name}"))?;
        }
    }
    Ok(())
}

/// Tablets that tell nothing of themselves are switched by reports, and work by the rows of their drivers.
fn families_by_row(bench: &mut Bench) -> Result<()> {
    const VEIKK: [&str; 3] = ["09 01 04", "09 02 02", "09 03 02"];
    for (driver, name, sent) in [
        ("parblo-tablets", "intangbo-m", &["02 b0 04"][..]),
        ("xencelabs-tablets", "medium", &["02 b0 04"]),
        ("ugee-older-tablets", "artist-15.6", &["02 b0 02"]),
        ("xppen-gen2-tablets", "deco-pro-xlw", &["02 b0 04"]),
        ("veikk-tablets", "vk1060", &VEIKK),
        ("veikk-pen-tablets", "s640", &VEIKK[..1]),
    ] {
        for session in recordings::named(driver, name)? {
            let spec = session.usb_spec()?;
            expect_family(bench, driver, &session, &spec, (&[], sent)).with_context(|| format!("{driver}, {name}"))?;
        }
    }
    Ok(())
}

/// Plugs in a tablet, and checks what it was asked for and sent, and that it is as its recording has it.
fn expect_family(
    bench: &mut Bench,
    driver: &str,
    session: &recordings::Session<'_>,
    spec: &Spec,
    (asked, sent): (&[u8], &[&str]),
) -> Result<()> {
    let tablet = bench.plug_usb(spec)?;
    let interface = tablet.only()?;
    let told: Vec<String> = interface.device.asked().iter().map(ToString::to_string).collect();
    let is_sent = |(told, sent): (&String, &&str)| told.starts_with(&format!("send output {sent} 00"));
    ensure!(told.len() == sent.len() && told.iter().zip(sent).all(is_sent), "told: {told:?}, expected {sent:?}");
    ensure!(strings(&tablet) == asked, "asked for the strings {:?}, expected {asked:?}", strings(&tablet));
    let pinned = interface.pinned_drivers()?;
    ensure!(pinned == [driver], "pinned: {pinned:?}");
    for property in ["UGEE_STRING_100", "HUION_FIRMWARE_ID", "HUION_MAGIC_BYTES"] {
        interface.expect_property(property, session.property(property))?;
    }
    session.expect_fixed(interface)?;
    bench.unplug_usb(tablet)
}
