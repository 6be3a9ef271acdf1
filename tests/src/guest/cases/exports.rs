//! Cases about the properties that a setup has read from its device. udev has them, on the device and on its input devices, as long as the
//! driver is attached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Context, Result, ensure};

use super::fixtures::SETUP;
use super::{Case, WITH_HID_BPF, case, recordings, setup};
use crate::guest::bench::{Bench, Plugged, features_of, write};
use crate::uhid::{Mood, Spec};

pub const CASES: &[Case] = &[
    case("exports-are-known-to-udev", WITH_HID_BPF, known_to_udev),
    case("exports-of-a-device-that-is-bound-late", WITH_HID_BPF, bound_late).newest_only(),
    case("exports-are-found-out-again", WITH_HID_BPF, again).each_generation(),
    case("exports-beside-another-driver", WITH_HID_BPF, beside_another).newest_only(),
    case("exports-of-a-device-that-refuses", WITH_HID_BPF, refused).newest_only(),
    case("exports-of-a-driver-that-fixes-the-descriptor", WITH_HID_BPF, with_a_fix).each_generation(),
];

const PAD: &str = "win8-touchpad-pad-type";
const PROPERTY: &str = "HID_DIGITIZER_PAD_TYPE";

/// The report with the touchpad's type in the upper half of byte 1.
const REPORT: u8 = 2;

fn touchpad() -> Result<Spec> {
    recordings::device(PAD, CLICKPAD_SIZE)
}

/// Bytes of the descriptor of the recording `clickpad`.
const CLICKPAD_SIZE: usize = 274;

fn features(kind: u8) -> std::collections::BTreeMap<u8, Vec<u8>> {
    [(REPORT, vec![REPORT, kind << 4 | 2])].into()
}

fn known_to_udev(bench: &mut Bench) -> Result<()> {
    for (kind, value) in [(0, "Clickpad"), (1, "Pressurepad"), (2, "Discrete"), (9, "Unknown")] {
        let pad = bench.plug_with(&touchpad()?, &[], features(kind))?;
        ensure!(pad.pinned_drivers()? == [PAD], "pinned: {:?}", pad.pinned_drivers()?);
        pad.expect_property(PROPERTY, Some(value))?;
        let line = format!("{PROPERTY}={value}");
        bench.hidbpf(&["status"])?.expect(0)?.answers(&line)?.answers("loaded the fast way")?;
        // udev's other events for the device change nothing, and start nothing that would.
        bench.udev.forget();
        for action in ["add", "change"] {
            bench.trigger(action, &pad)?;
        }
        let is_again = |event: &&crate::monitor::Uevent| event.is_hid("change", &pad.syspath);
        let changes = bench.udev.seen().iter().filter(is_again).count();
        ensure!(changes == 1, "there were {changes} events of a change");
        pad.expect_property(PROPERTY, Some(value))?;
        // Once the driver is detached, the property is gone. Loaded by hand, with the libbpf loader, it is back.
        bench.hidbpf(&["unload", PAD])?.expect(0)?;
        bench.settle()?;
        pad.expect_property(PROPERTY, None)?;
        bench.hidbpf(&["load", PAD])?.expect(0)?.answers("device set up")?;
        bench.settle()?;
        pad.expect_property(PROPERTY, Some(value))?;
        // The pin of the setup's exports is not listed as a link.
        let status = bench.hidbpf(&["--json", "status"])?.expect(0)?;
        ensure!(!status.stdout.contains("data_exports"), "among the links are data\n{status}");
        bench.unplug(pad)?;
    }
    Ok(())
}

/// A kernel driver is bound when udev sees the device first, or only after udev has handled it.
fn bound_late(bench: &mut Bench) -> Result<()> {
    const AUTOPROBE: &str = "/sys/bus/hid/drivers_autoprobe";
    let pad = bench.plug_unseen_with(&touchpad()?, features_of(features(1)))?;
    bench.release()?;
    pad.expect_property(PROPERTY, Some("Pressurepad")).context("bound early")?;
    bench.unplug(pad)?;
    write(AUTOPROBE.as_ref(), b"0")?;
    let pad = bench.plug_any_with(&touchpad()?, features(2));
    write(AUTOPROBE.as_ref(), b"1")?;
    let pad = pad?;
    pad.expect_property(PROPERTY, Some("Discrete")).context("bound late")?;
    bench.unplug(pad)
}

/// After a suspend the device may give another answer.
fn again(bench: &mut Bench) -> Result<()> {
    let kind = Arc::new(AtomicU8::new(0));
    let answer = {
        let kind = Arc::clone(&kind);
        move |_, id| features(kind.load(Ordering::Relaxed)).remove(&id)
    };
    let pad = bench.plug_unseen_with(&touchpad()?, Box::new(answer))?;
    bench.release()?;
    pad.expect_property(PROPERTY, Some("Clickpad"))?;
    kind.store(1, Ordering::Relaxed);
    bench.hidbpf(&["udev", "resume"])?.expect(0)?;
    bench.settle()?;
    pad.expect_property(PROPERTY, Some("Pressurepad"))?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(&format!("{PROPERTY}=Pressurepad"))?;
    // If it no longer answers, the property stays.
    pad.device.set_mood(Mood::Refusing);
    bench.hidbpf(&["udev", "resume"])?.expect(1)?;
    bench.settle()?;
    pad.expect_property(PROPERTY, Some("Pressurepad"))?;
    bench.unplug(pad)
}

fn beside_another(bench: &mut Bench) -> Result<()> {
    const OTHER: &str = "dell-dell0a78";
    let pad = bench.plug_with(&recordings::any_device(OTHER)?, &[], features(1))?;
    ensure!(pad.pinned_drivers()? == [OTHER, PAD], "pinned: {:?}", pad.pinned_drivers()?);
    pad.expect_property(PROPERTY, Some("Pressurepad"))?;
    bench.hidbpf(&["unload", OTHER])?.expect(0)?;
    bench.settle()?;
    pad.expect_property(PROPERTY, Some("Pressurepad"))?;
    bench.hidbpf(&["unload", PAD])?.expect(0)?;
    bench.settle()?;
    pad.expect_property(PROPERTY, None)?;
    bench.unplug(pad)
}

fn refused(bench: &mut Bench) -> Result<()> {
    const SAYS: &str = "GET_REPORT of the feature report 2 failed";
    let pad = bench.plug(&touchpad()?)?;
    ensure!(pad.pinned_drivers()?.is_empty(), "pinned: {:?}", pad.pinned_drivers()?);
    pad.expect_property(PROPERTY, None)?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(PAD)?.answers(SAYS)?;
    bench.unplug(pad)?;
    // The driver does not match a touchpad that does not report its type, not even by hand.
    let mouse = bench.plug(&setup::mouse())?;
    bench.hidbpf(&["load", PAD, &mouse.name()])?.expect(3)?;
    bench.hidbpf(&["load", "--force", PAD, &mouse.name()])?.expect(3)?.says("000D:0059")?;
    bench.unplug(mouse)
}

/// The kernel creates the input devices again when the driver is attached and when it is detached.
fn with_a_fix(bench: &mut Bench) -> Result<()> {
    const COUNT: &str = "BENCH_SET_UP";
    let plug = |bench: &mut Bench| -> Result<Plugged> {
        bench.plug_with(&setup::mouse(), &[], [(5, vec![5, 0x20, 0x30])].into())
    };
    SETUP.installed(bench, |bench| {
        let mouse = plug(bench)?;
        mouse.expect_property(COUNT, Some("1"))?;
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        bench.settle()?;
        mouse.expect_property(COUNT, Some("2"))?;
        bench.hidbpf(&["unload", SETUP.name])?.expect(0)?;
        bench.settle()?;
        mouse.expect_property(COUNT, None)?;
        bench.hidbpf(&["load", SETUP.name])?.expect(0)?;
        bench.settle()?;
        mouse.expect_property(COUNT, Some("1"))?;
        bench.hidbpf(&["reload", SETUP.name])?.expect(0)?;
        bench.settle()?;
        mouse.expect_property(COUNT, Some("1"))?;
        bench.unplug(mouse)
    })
}
