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
use crate::guest::cases::fixtures::{SWITCH, SWITCH_UGEE};
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
    case("usb-mode-switch-not-wanted", WITH_HID_BPF, not_wanted).each_generation(),
    case("usb-mode-switch-of-uclogic", WITH_HID_BPF, of_uclogic),
    case("usb-mode-switch-by-a-report", WITH_HID_BPF, by_a_report).each_generation(),
    case("usb-mode-switch-of-two-tablets", WITH_HID_BPF, two_tablets).newest_only(),
    case("usb-mode-switch-of-ugee-tablets", WITH_HID_BPF, families).each_generation(),
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
        // A firmware that no rule knows: it is switched, and left to itself.
        let tablet = bench.plug_usb(&huion()?.with_string(201, "HUION_X1_000000"))?;
        expect_firmware_mode(bench, &tablet, &[201, 200], "HUION_FIRMWARE_ID=HUION_X1_000000")?;
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

/// Tablets of a family are plugged in, told apart by what they say, and work. Nothing was done by hand.
fn families(bench: &mut Bench) -> Result<()> {
    for (driver, name) in [("ugee-tablets", "deco-pro-medium"), ("ugee-displays", "artist-16-2nd-gen")] {
        for session in recordings::named(driver, name)? {
            let mut spec = session.usb_spec()?;
            let parameters = session.property("UGEE_STRING_100").context("the recording has no parameters")?;
            let HexBytes(bytes) = parameters.parse()?;
            spec.strings.insert(100, bytes[2..].to_vec());
            let check = |bench: &mut Bench| -> Result<()> {
                let tablet = bench.plug_usb(&spec)?;
                let interface = tablet.only()?;
                let told: Vec<String> = interface.device.asked().iter().map(ToString::to_string).collect();
                ensure!(told.len() == 1 && told[0].starts_with("send output 02 b0 04 00"), "told: {told:?}");
                ensure!(strings(&tablet) == [100], "asked for the strings {:?}", strings(&tablet));
                let pinned = interface.pinned_drivers()?;
                ensure!(pinned == [driver], "pinned: {pinned:?}");
                interface.expect_property("UGEE_STRING_100", Some(parameters))?;
                session.expect_fixed(interface)?;
                bench.unplug_usb(tablet)?;
                // A tablet that says nothing of itself stays in firmware mode: it is not sent the report.
                let silent = Spec { strings: [].into(), ..spec.clone() };
                let tablet = bench.plug_usb(&silent)?;
                ensure!(tablet.only()?.device.asked().is_empty(), "told: {:?}", tablet.only()?.device.asked());
                ensure!(tablet.only()?.pinned_drivers()?.is_empty(), "a driver is attached to a silent tablet");
                bench.hidbpf(&["status"])?.expect(0)?.answers("the step that reads the string 100 failed")?;
                bench.unplug_usb(tablet)
            };
            check(bench).with_context(|| format!("{driver}, {name}"))?;
        }
    }
    Ok(())
}
