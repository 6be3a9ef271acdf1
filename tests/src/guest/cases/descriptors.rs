//! Cases about the three descriptors of a device: the original, the fixed and the current one.

use std::fs;

use anyhow::{Context, Result, ensure};
use hidbpf::error::ErrorKind;
use hidbpf::fast::Fast;
use hidbpf::ids::{HidId, HidName};
use hidbpf::loader::{Libbpf, Loader, StoredDescriptor};
use hidbpf::recording::{RecordedDevice, Recording};
use hidbpf::system::System;
use hidbpf::text::Hex;
use serde_json::Value;

use super::attach::expect_untouched;
use super::drivers::{RAPTOR, expect_answers, plug_fixed};
use super::fixtures::{BY_NAME, ORIGINALS, REFUSED};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, plain_mouse, write};
use crate::nodes::unhex;
use crate::protocol::Generation;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("original-descriptor-is-read", WITH_HID_BPF, original_is_read),
    case("refused-descriptor-is-fixed", WITH_HID_BPF, refused_is_fixed),
    case("refused-descriptor-without-a-driver", WITH_HID_BPF, refused_without_driver),
    case("refused-descriptor-and-reports-are-fixed", WITH_HID_BPF, refused_and_reports),
    case("refused-descriptor-becomes-one-without-reports", WITH_HID_BPF, refused_and_no_reports),
    case("kernel-driver-changes-the-fixed-descriptor", WITH_HID_BPF, kernel_driver_changes),
    case("kernel-driver-refuses-the-fixed-descriptor", WITH_HID_BPF, kernel_driver_refuses),
    case("near-miss-by-the-original-descriptor", WITH_HID_BPF, near_miss),
    case("original-descriptor-without-a-state-file", WITH_HID_BPF, without_state),
    case("rules-about-kernel-drivers-and-names", WITH_HID_BPF, rules_about_kernel_drivers),
];

/// Reads the descriptor with both loaders, and compares.
fn read(id: HidId, stored: StoredDescriptor) -> Result<Option<Vec<u8>>> {
    let fast = Fast::new(&System::default(), None).descriptor(id, stored)?;
    let libbpf = Libbpf::default().descriptor(id, stored)?;
    ensure!(fast == libbpf, "the loaders read different descriptors, {fast:02x?} and {libbpf:02x?}");
    Ok(fast)
}

fn id(device: &Plugged) -> Result<HidId> {
    Ok(device.name().parse::<HidName>()?.id())
}

/// Returns distinct bytes whose first one the kernel refuses.
fn refused(size: usize) -> Vec<u8> {
    std::iter::once(0xc0).chain((1..size).map(|index| (index * 7 + index / 256) as u8)).collect()
}

/// The original is readable for any size, even if the kernel refuses it.
fn original_is_read(bench: &mut Bench) -> Result<()> {
    let sizes = [1, 7, 8, 127, 128, 129, 511, 512, 513, 4096];
    for descriptor in [plain_mouse().descriptor].into_iter().chain(sizes.map(refused)) {
        let device = bench.plug_any(&Spec { descriptor: descriptor.clone(), ..plain_mouse() })?;
        let size = descriptor.len();
        let original = read(id(&device)?, StoredDescriptor::Original)?.context("there is no original descriptor")?;
        ensure!(original == descriptor, "of {size} bytes the kernel has {}", Hex(&original));
        bench.unplug(device)?;
    }
    let joystick = plug_fixed(RAPTOR, bench)?;
    let sent = recordings::device(RAPTOR.0, RAPTOR.1)?.descriptor;
    let (original, fixed) =
        (read(id(&joystick)?, StoredDescriptor::Original)?, read(id(&joystick)?, StoredDescriptor::Fixed)?);
    ensure!(original.as_ref() == Some(&sent), "the original is {original:02x?}");
    let current = joystick.descriptor()?;
    ensure!(current != sent, "the descriptor is not fixed");
    match bench.generation {
        Generation::StructOps => ensure!(fixed == Some(current), "the fixed one is {fixed:02x?}"),
        _ => ensure!(fixed.is_none(), "the fixed one is {fixed:02x?}"),
    }
    let gone = id(&joystick)?;
    bench.unplug(joystick)?;
    let fast = Fast::new(&System::default(), None);
    for error in [
        fast.descriptor(gone, StoredDescriptor::Original),
        Libbpf::default().descriptor(gone, StoredDescriptor::Original),
    ] {
        let error = error.err().context("a device that has gone was read")?;
        ensure!(error.kind() == ErrorKind::Gone, "the error is {error:?}");
    }
    Ok(())
}

/// Returns a device that was recorded elsewhere.
fn recorded(text: &str) -> Result<Spec> {
    let recording = Recording::parse("recording".as_ref(), text.as_bytes())?;
    let device: &RecordedDevice = recording.devices.first().context("the recording has no device")?;
    Ok(recordings::spec(device))
}

/// Returns devices whose descriptor the kernel refuses, each with the fixed descriptor of `bench-originals`.
fn refused_devices() -> Result<Vec<(Spec, Vec<u8>)>> {
    const BUTTON: &str = "05 01 09 02 a1 01 05 09 09 01 15 00 25 01 75 08 95 01 81 02 c0";
    let ups = recorded(include_str!("../../../fixtures/recordings/ups-unclosed.hid"))?;
    let gamepad = recorded(include_str!("../../../fixtures/recordings/gamepad-cut.hid"))?;
    let mouse = plain_mouse();
    let other = |product: u32, descriptor: &[u8]| Spec { product, descriptor: descriptor.to_vec(), ..plain_mouse() };
    let mut in_place = mouse.descriptor.clone();
    in_place[18] = 0xc5;
    // A descriptor of the maximum size, without an end.
    let mut longest = [&mouse.descriptor[..49], &[0x05, 0x09].repeat(2023), &[0xff]].concat();
    let long = other(0x202, &longest);
    *longest.last_mut().context("it is empty")? = 0xc0;
    let ended = |spec: &Spec, ends: usize| [&spec.descriptor[..], &[0xc0].repeat(ends)].concat();
    Ok(vec![
        (ups.clone(), ended(&ups, 3)),
        (gamepad.clone(), ended(&gamepad, 2)),
        (other(0x201, &in_place), mouse.descriptor),
        (other(0x202, &[0x05]), unhex(BUTTON)?),
        (long, longest),
    ])
}

fn status_of(bench: &Bench, device: &Plugged) -> Result<Value> {
    let run = bench.hidbpf(&["--json", "status"])?.expect(0)?;
    let answer: Value = serde_json::from_str(&run.stdout).with_context(|| format!("no JSON\n{run}"))?;
    let all = answer["status"].as_array().with_context(|| format!("no list\n{run}"))?;
    let found = all.iter().find(|status| status["device"] == device.name().as_str());
    found.cloned().with_context(|| format!("nothing of `{}`\n{run}", device.name()))
}

/// Returns the device's descriptor of this kind as `hidbpf inspect` shows it, in hex, whether or not the kernel accepts it.
pub fn inspected(bench: &Bench, device: &Plugged, which: &str) -> Result<String> {
    let run = bench.hidbpf(&["--json", "inspect", "--descriptor", which, &device.name()])?;
    let answer: Value = serde_json::from_str(&run.stdout).with_context(|| format!("no JSON\n{run}"))?;
    ensure!(answer["device"]["which"] == which, "another one is shown\n{run}");
    Ok(answer["device"]["descriptor"].as_str().with_context(|| format!("no descriptor\n{run}"))?.to_owned())
}

fn expect_unbound(device: &Plugged) -> Result<()> {
    ensure!(!device.syspath.join("driver").exists(), "a kernel driver is bound");
    ensure!(device.pinned_drivers()?.is_empty(), "pinned: {:?}", device.pinned_drivers()?);
    Ok(())
}

fn refused_is_fixed(bench: &mut Bench) -> Result<()> {
    ORIGINALS.installed(bench, |bench| {
        for (spec, fixed) in refused_devices()? {
            let device = bench.plug_any(&spec)?;
            let name = device.name();
            ensure!(device.pinned_drivers()? == [ORIGINALS.name], "`{name}` has {:?}", device.pinned_drivers()?);
            ensure!(device.descriptor()? == fixed, "the current descriptor is {}", Hex(&device.descriptor()?));
            ensure!(device.syspath.join("driver").exists(), "no kernel driver is bound");
            let status = status_of(bench, &device)?;
            ensure!(status["drivers"][0]["change"] == "fixed", "{status}");
            ensure!(status["drivers"][0]["loaded"]["way"] == "fast", "{status}");
            for (which, expected) in [("original", &spec.descriptor), ("fixed", &fixed), ("current", &fixed)] {
                ensure!(inspected(bench, &device, which)? == Hex(expected).to_string(), "another {which} descriptor");
            }
            bench.hidbpf(&["doctor", &name])?.expect(0)?.answers("it has fixed the descriptor")?;
            // Without its driver it has its original descriptor at once, and by hand the driver is attached again.
            let unloaded = bench.hidbpf(&["unload", &name])?.expect(0)?;
            ensure!(unloaded.stderr.is_empty(), "it says\n{unloaded}");
            bench.settle()?;
            expect_unbound(&device)?;
            bench.hidbpf(&["load", ORIGINALS.name, &name])?.expect(0)?.answers("descriptor fixed")?;
            bench.settle()?;
            ensure!(device.descriptor()? == fixed, "the current descriptor is {}", Hex(&device.descriptor()?));
            bench.unplug(device)?;
        }
        Ok(())
    })
}

/// The output for such a device, and the actions that are possible by hand.
fn refused_without_driver(bench: &mut Bench) -> Result<()> {
    const FAULT: &str = "at byte 18: an unknown global item, tag 0xc (hid_parser_global(): \"unknown global tag 0xc\")";
    let (spec, _) = refused_devices()?.remove(2);
    let device = bench.plug_any(&spec)?;
    let name = device.name();
    expect_unbound(&device)?;
    let inspect = bench.hidbpf(&["inspect", &name])?.expect(1)?;
    inspect.answers("no current descriptor: the kernel refuses its original descriptor")?.answers(FAULT)?;
    ensure!(inspected(bench, &device, "original")? == Hex(&spec.descriptor).to_string(), "another original");
    bench.hidbpf(&["inspect", "--descriptor", "current", &name])?.expect(1)?.says("has no current descriptor")?;
    bench.hidbpf(&["inspect", "--descriptor", "fixed", &name])?.expect(1)?.says("has no fixed descriptor")?;
    bench.hidbpf(&["doctor", &name])?.answers("none, so the device can't be used")?.answers(FAULT)?;
    // A driver that does not repair it is detached again, and one that only has an event hook is not attached at all.
    let probe = super::fixtures::PROBE.file()?;
    let forced = bench.hidbpf(&["load", "--force", &probe, &name])?.expect(1)?;
    forced.says("no kernel driver is bound to the device")?.says(&format!("`hidbpf doctor {name}` says why"))?;
    let rival = super::fixtures::RIVAL.file()?;
    for driver in [&*rival, RAPTOR.0] {
        let forced = bench.hidbpf(&["load", "--force", driver, &name])?.expect(1)?;
        forced.says("no kernel driver took it with its fixed descriptor")?;
        bench.settle()?;
        expect_unbound(&device)?;
    }
    // A driver that repairs it is attached by hand, by its rule or by force.
    let own = ORIGINALS.file()?;
    for arguments in [&["load", &own, &name][..], &["load", "--force", &own, &name]] {
        bench.hidbpf(arguments)?.expect(0)?.answers("descriptor fixed")?;
        bench.settle()?;
        ensure!(!device.nodes()?.is_empty(), "the device has no nodes");
        bench.hidbpf(&["unload", &name])?.expect(0)?;
        bench.settle()?;
        expect_unbound(&device)?;
    }
    bench.unplug(device)
}

/// Returns a mouse that the kernel refuses until its collection is ended. Its driver also negates X.
fn refused_mouse(product: u32) -> Spec {
    let mouse = plain_mouse();
    Spec { product, descriptor: mouse.descriptor[..mouse.descriptor.len() - 1].to_vec(), ..mouse }
}

/// Checks that X is negated: both hooks are on the device, and the kernel has room for a report.
fn expect_repaired(device: &Plugged) -> Result<()> {
    ensure!(device.descriptor()? == plain_mouse().descriptor, "current: {}", Hex(&device.descriptor()?));
    expect_answers(device, &mut device.node("Plain Mouse")?, &[("00 05 03", "REL_X -5, REL_Y 3")])
}

/// A driver with a descriptor hook and an event hook. The second hook is attached when the first has given the device a kernel driver.
fn refused_and_reports(bench: &mut Bench) -> Result<()> {
    const GENERIC: &str = "/sys/bus/hid/drivers/hid-generic";
    REFUSED.installed(bench, |bench| {
        let device = bench.plug_any(&refused_mouse(0x207))?;
        let name = device.name();
        ensure!(device.pinned_drivers()? == [REFUSED.name], "pinned: {:?}", device.pinned_drivers()?);
        expect_repaired(&device)?;
        let status = status_of(bench, &device)?;
        let driver = &status["drivers"][0];
        ensure!(driver["condition"] == "attached" && driver["change"] == "fixed", "{status}");
        ensure!(driver["loaded"]["way"] == "fast", "{status}");
        ensure!(driver["links"].as_array().is_some_and(|links| links.len() == 2), "{status}");
        ensure!(status["failures"].as_array().is_some_and(Vec::is_empty), "{status}");
        let doctor = bench.hidbpf(&["doctor", &name])?.expect(0)?.answers("it has fixed the descriptor")?;
        ensure!(!doctor.stdout.contains("other programs"), "its own link is taken for another tool's\n{doctor}");
        // The kernel driver is unbound and bound again, and the kernel allocates room for reports again.
        write(format!("{GENERIC}/unbind").as_ref(), name.as_bytes())?;
        write(format!("{GENERIC}/bind").as_ref(), name.as_bytes())?;
        bench.settle()?;
        expect_repaired(&device)?;
        // By hand, with both loaders.
        for way in ["fast", "libbpf"] {
            for arguments in [&["unload", &*name][..], &["load", REFUSED.name, &name], &["reload", REFUSED.name, &name]]
            {
                let run = match way {
                    "fast" => bench.hidbpf(arguments),
                    _ => bench.hidbpf_with_libbpf(arguments),
                };
                run?.expect(0)?;
                bench.settle()?;
                match arguments[0] {
                    "unload" => expect_unbound(&device)?,
                    _ => expect_repaired(&device)?,
                }
            }
            let status = status_of(bench, &device)?;
            ensure!(status["drivers"][0]["loaded"]["way"] == way, "{status}");
        }
        let status = status_of(bench, &device)?;
        ensure!(status["drivers"][0]["links"].as_array().is_some_and(|links| links.len() == 2), "{status}");
        bench.hidbpf(&["unload", &name])?.expect(0)?;
        bench.settle()?;
        expect_unbound(&device)?;
        bench.unplug(device)
    })
}

/// If the second step can't be attached, the first one is undone.
fn refused_and_no_reports(bench: &mut Bench) -> Result<()> {
    const WHY: &str = "its current descriptor declares no input report";
    REFUSED.installed(bench, |bench| {
        let device = bench.plug_any(&refused_mouse(0x208))?;
        expect_unbound(&device)?;
        let status = status_of(bench, &device)?;
        ensure!(status["failures"][0]["message"].as_str().is_some_and(|why| why.contains(WHY)), "{status}");
        bench.hidbpf(&["load", REFUSED.name, &device.name()])?.expect(1)?.says(WHY)?;
        bench.settle()?;
        expect_unbound(&device)?;
        bench.unplug(device)
    })
}

/// A keyboard that maltron accepts (drivers/hid/hid-maltron.c) and then gives another descriptor.
const MALTRON: &str = "05 01 09 80 a1 01 85 02 75 01 95 01 15 00 25 01 09 82 81 06 09 82 81 06 09 83 81 06 75 05 81 01 c0 05 0c 09 01 \
    a1 01 85 03 95 01 75 10 19 00 2a ff 7f 81 00 c0 06 7f ff 09 01 a1 01 85 04 95 01 75 10 19 00 2a ff 7f 81 00 75 02 25 02 09 90 b1 02 \
    75 06 b1 01 75 01 25 01 05 08 09 2a 91 02 09 4b 91 02 75 06 95 01 91 01 c0";

pub fn maltron() -> Result<Spec> {
    let name = "Maltron L90".to_owned();
    Ok(Spec { vendor: 0x058f, product: 0x9410, name, descriptor: unhex(MALTRON)?, ..plain_mouse() })
}

/// Returns a mouse whose byte 116 kye changes: the upper half of a usage that is too large.
pub fn kye() -> Result<Spec> {
    const CONTROLS: &str =
        "05 0c 09 01 a1 01 85 03 19 00 2a 3c 70 15 00 26 ff 00 75 10 95 01 81 00 c0 05 0c 05 0c 05 0c";
    let mouse = plain_mouse().descriptor;
    let numbered = |id: u8| [&mouse[..6], &[0x85, id], &mouse[6..]].concat();
    let descriptor = [numbered(1), numbered(2), unhex(CONTROLS)?].concat();
    Ok(Spec { vendor: 0x0458, product: 0x0138, name: "Gila".to_owned(), descriptor, ..plain_mouse() })
}

fn kernel_driver_changes(bench: &mut Bench) -> Result<()> {
    ORIGINALS.installed(bench, |bench| {
        let kye = kye()?;
        let mut fixed = kye.descriptor.clone();
        fixed[17] = 2;
        let bytes = "the kernel driver `kye` changed the fixed descriptor: 1 of its 135 bytes";
        let size = "the kernel driver `maltron` changed the fixed descriptor: 106 -> 111 bytes";
        let maltron = maltron()?;
        let same = maltron.descriptor.clone();
        for (spec, fixed, change, note) in [(maltron, same, "unchanged", size), (kye, fixed, "fixed", bytes)] {
            let device = bench.plug(&spec)?;
            let name = device.name();
            ensure!(device.pinned_drivers()? == [ORIGINALS.name], "`{name}` has {:?}", device.pinned_drivers()?);
            let current = device.descriptor()?;
            ensure!(current != fixed, "the kernel driver has changed nothing");
            let status = status_of(bench, &device)?;
            let driver = &status["drivers"][0];
            ensure!(driver["condition"] == "attached" && driver["change"] == change, "{status}");
            ensure!(status["failures"].as_array().is_some_and(Vec::is_empty), "{status}");
            // Older kernels do not keep the fixed descriptor, so only its size is known.
            let is_known = bench.generation == Generation::StructOps || note == size;
            ensure!(driver["note"] == if is_known { Value::from(note) } else { Value::Null }, "{status}");
            if is_known {
                bench.hidbpf(&["status"])?.expect(0)?.answers(note)?;
                bench.hidbpf(&["doctor", &name])?.expect(0)?.answers(note)?;
            }
            for (which, expected) in [("original", &spec.descriptor), ("fixed", &fixed), ("current", &current)] {
                ensure!(inspected(bench, &device, which)? == Hex(expected).to_string(), "another {which} descriptor");
            }
            // Attached again, and by hand.
            bench.hidbpf(&["reload", ORIGINALS.name, &name])?.expect(0)?;
            bench.hidbpf(&["unload", &name])?.expect(0)?;
            bench.settle()?;
            bench.hidbpf(&["load", ORIGINALS.name, &name])?.expect(0)?;
            bench.settle()?;
            ensure!(device.descriptor()? == current, "the current descriptor is {}", Hex(&device.descriptor()?));
            bench.unplug(device)?;
        }
        Ok(())
    })
}

/// The driver makes a descriptor that the kernel refuses.
fn kernel_driver_refuses(bench: &mut Bench) -> Result<()> {
    const WHY: &str = "no kernel driver took it with its fixed descriptor";
    ORIGINALS.installed(bench, |bench| {
        let spec = Spec { product: 0x203, ..plain_mouse() };
        let mouse = bench.plug(&spec)?;
        expect_untouched(&mouse, &spec)?;
        bench.hidbpf(&["status"])?.expect(0)?.answers(WHY)?;
        bench.hidbpf(&["load", ORIGINALS.name, &mouse.name()])?.expect(1)?.says(WHY)?;
        bench.settle()?;
        expect_untouched(&mouse, &spec)?;
        bench.unplug(mouse)
    })
}

/// The ids match a driver, and the kernel's other data does not. The device stays untouched, and hidbpf keeps nothing about it.
fn near_miss(bench: &mut Bench) -> Result<()> {
    ORIGINALS.installed(bench, |bench| {
        let mut other = maltron()?;
        other.descriptor.truncate(33);
        // The first such device loads the module of its kernel driver, which then takes it over from hid-generic.
        let first = bench.plug(&other)?;
        bench.unplug(first)?;
        bench.kernel.forget();
        let device = bench.plug(&other)?;
        let is_bound = |event: &&crate::monitor::Uevent| event.is_hid("bind", &device.syspath);
        let bound = bench.kernel.seen().iter().filter(is_bound).count();
        ensure!(bound == 1, "the kernel has bound the device {bound} times");
        expect_untouched(&device, &other)?;
        ensure!(!device.state().exists(), "`{}` is there", device.state().display());
        bench.hidbpf(&["devices", &device.name()])?.expect(0)?.answers("its descriptor's size is 33, expected 106")?;
        bench.hidbpf(&["load", ORIGINALS.name, &device.name()])?.expect(3)?.says("33")?;
        bench.unplug(device)
    })
}

/// The kernel also has the original descriptor of the state file.
fn without_state(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    let sent = Hex(&recordings::device(RAPTOR.0, RAPTOR.1)?.descriptor).to_string();
    fs::remove_file(joystick.state()).with_context(|| format!("failed to remove `{}`", joystick.state().display()))?;
    ensure!(inspected(bench, &joystick, "original")? == sent, "another original");
    bench.hidbpf(&["devices", &joystick.name()])?.expect(0)?.answers(&format!("{} matches by", RAPTOR.0))?;
    // The next attaching records it again.
    bench.hidbpf(&["reload", RAPTOR.0, &joystick.name()])?.expect(0)?;
    let state = fs::read_to_string(joystick.state()).context("failed to read the state")?;
    ensure!(state.contains(&sent), "the state file has another original: {state}");
    bench.settle()?;
    bench.unplug(joystick)
}

fn rules_about_kernel_drivers(bench: &mut Bench) -> Result<()> {
    const GENERIC: &str = "/sys/bus/hid/drivers/hid-generic";
    BY_NAME.installed(bench, |bench| {
        // The hwdb only has the ids of that device.
        let by_name = bench.plug(&Spec { product: 0x204, ..plain_mouse() })?;
        ensure!(by_name.pinned_drivers()? == [BY_NAME.name], "pinned: {:?}", by_name.pinned_drivers()?);
        bench.unplug(by_name)?;
        let spec = Spec { product: 0x205, ..plain_mouse() };
        let other = bench.plug(&spec)?;
        expect_untouched(&other, &spec)?;
        let why = "its kernel driver is `hid-generic`, expected another one";
        bench.hidbpf(&["devices", &other.name()])?.expect(0)?.answers(why)?;
        bench.hidbpf(&["load", BY_NAME.name, &other.name()])?.expect(3)?.says(why)?;
        bench.unplug(other)?;
        // Nothing is decided before a kernel driver is bound.
        let late = bench.plug_unseen(&Spec { product: 0x204, ..plain_mouse() })?;
        write(format!("{GENERIC}/unbind").as_ref(), late.name().as_bytes())?;
        bench.release()?;
        ensure!(late.pinned_drivers()?.is_empty(), "pinned: {:?}", late.pinned_drivers()?);
        let waits = "may match by name, but no kernel driver is bound to it yet";
        bench.hidbpf(&["devices", &late.name()])?.expect(0)?.answers(waits)?;
        let load = bench.hidbpf(&["load", BY_NAME.name, &late.name()])?.expect(1)?;
        load.says("no kernel driver is bound to it yet")?.says("udev attaches the driver once one is")?;
        write(format!("{GENERIC}/bind").as_ref(), late.name().as_bytes())?;
        bench.settle()?;
        ensure!(late.pinned_drivers()? == [BY_NAME.name], "pinned: {:?}", late.pinned_drivers()?);
        bench.unplug(late)
    })
}
