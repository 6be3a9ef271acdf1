//! Cases about drivers with a setup: it runs when the driver is attached, after a suspend, and when another kernel driver was bound.
//!
//! Devices may refuse, or never answer.

use anyhow::{Result, ensure};

use super::attach::expect_hat_works;
use super::drivers::{RAPTOR, expect_answers, plug_fixed, raptor_report};
use super::fixtures::{Fixture, SETUP, STUBBORN};
use super::{Case, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, Plugged, plain_mouse, write};
use crate::nodes::unhex;
use crate::protocol::Generation;
use crate::uhid::{Mood, Spec};

pub const CASES: &[Case] = &[
    case("setup-at-attach", WITH_HID_BPF, at_attach),
    case("setup-again-after-a-suspend", WITH_HID_BPF, after_suspend).each_generation(),
    case("setup-again-when-bound-by-hand", WITH_HID_BPF, when_bound).each_generation(),
    case("bound-by-hand-keeps-its-fix", WITH_HID_BPF, bound_by_hand),
    case("setup-refused", WITH_HID_BPF, refused).each_generation(),
    case("setup-without-an-answer", WITH_HID_BPF, without_answer).each_generation(),
    case("setup-that-goes-on-asking", WITH_HID_BPF, stubborn).each_generation(),
];

/// Returns a mouse with a report 1, a feature report 5 and an output report 6, of 2 bytes each besides their ids.
pub fn mouse() -> Spec {
    const DESCRIPTOR: &str = "05 01 09 02 a1 01 85 01 09 01 a1 00 05 09 19 01 29 03 15 00 25 01 95 03 75 01 81 02 95 01 75 05 \
                              81 01 05 01 09 30 09 31 15 81 25 7f 75 08 95 02 81 06 c0 06 00 ff 85 05 09 00 95 02 b1 02 85 06 \
                              09 02 91 02 c0";
    let descriptor = unhex(DESCRIPTOR).unwrap_or_default();
    Spec { product: 0x0106, name: "Told Mouse".to_owned(), descriptor, ..plain_mouse() }
}

fn plug(bench: &mut Bench) -> Result<Plugged> {
    bench.plug_with(&mouse(), &[], [(5, vec![5, 0x20, 0x30])].into())
}

fn plug_set_up(bench: &mut Bench) -> Result<Plugged> {
    let mouse = plug(bench)?;
    ensure!(mouse.pinned_drivers()? == [SETUP.name], "pinned: {:?}", mouse.pinned_drivers()?);
    expect_asked(bench, &mouse, 1)?;
    Ok(mouse)
}

/// Checks that the mouse received the setup's requests this many times.
fn expect_asked(bench: &Bench, mouse: &Plugged, times: usize) -> Result<()> {
    // Kernels of the first generation have no other way to send an output report.
    let output = match bench.generation {
        Generation::FmodRet => "set output 06 aa bb",
        Generation::StructOps | Generation::None => "send output 06 aa bb",
    };
    let expected = ["get feature 05", "set feature 05 21 30", output].repeat(times);
    let seen: Vec<String> = mouse.device.asked().iter().map(ToString::to_string).collect();
    ensure!(seen == expected, "expected {expected:?}, got {seen:?}");
    Ok(())
}

/// Checks that X is negated and that Y is the number of setups: hooks and setup share the driver's variables.
fn expect_count(mouse: &Plugged, count: u8) -> Result<()> {
    let expected = format!("REL_X -5, REL_Y {count}");
    expect_answers(mouse, &mut mouse.node("Told Mouse")?, &[("01 00 05 00", &expected)])
}

fn at_attach(bench: &mut Bench) -> Result<()> {
    SETUP.installed(bench, |bench| {
        let mouse = plug_set_up(bench)?;
        expect_count(&mouse, 1)?;
        // udev's other events for the device send no more requests.
        bench.trigger("add", &mouse)?;
        bench.trigger("change", &mouse)?;
        expect_asked(bench, &mouse, 1)?;
        bench.hidbpf(&["unload", SETUP.name])?.expect(0)?;
        bench.settle()?;
        bench.hidbpf(&["load", SETUP.name])?.expect(0)?.answers("descriptor fixed, device set up")?;
        bench.settle()?;
        expect_asked(bench, &mouse, 2)?;
        expect_count(&mouse, 1)?;
        bench.unplug(mouse)
    })
}

/// Runs the command of the machine's units for waking up.
fn after_suspend(bench: &mut Bench) -> Result<()> {
    SETUP.installed(bench, |bench| {
        let (first, second) = (plug_set_up(bench)?, plug_set_up(bench)?);
        bench.hidbpf(&["udev", "resume"])?.expect(0)?;
        expect_asked(bench, &first, 2)?;
        expect_asked(bench, &second, 2)?;
        expect_count(&first, 2)?;
        // A device that refuses requests does not delay the other one, and stays fixed.
        first.device.set_mood(Mood::Refusing);
        bench
            .hidbpf(&["udev", "resume"])?
            .expect(1)?
            .says(&first.name())?
            .says("GET_REPORT of the feature report 5")?;
        expect_asked(bench, &second, 3)?;
        expect_count(&second, 3)?;
        expect_count(&first, 2)?;
        bench.hidbpf(&["status"])?.expect(0)?.answers("GET_REPORT of the feature report 5")?;
        first.device.set_mood(Mood::Willing);
        bench.hidbpf(&["udev", "resume", &first.path()])?.expect(0)?;
        expect_count(&first, 3)?;
        let status = bench.hidbpf(&["status"])?.expect(0)?;
        ensure!(!status.stdout.contains("failed"), "the failure is still there\n{status}");
        bench.unplug(first)?;
        bench.unplug(second)
    })
}

/// A kernel driver that was bound by hand may have undone it.
fn when_bound(bench: &mut Bench) -> Result<()> {
    const BUS: &str = "/sys/bus/hid/drivers/hid-generic";
    SETUP.installed(bench, |bench| {
        let mouse = plug_set_up(bench)?;
        for times in [2, 3] {
            write(format!("{BUS}/unbind").as_ref(), mouse.name().as_bytes())?;
            write(format!("{BUS}/bind").as_ref(), mouse.name().as_bytes())?;
            bench.settle()?;
            expect_asked(bench, &mouse, times)?;
            expect_count(&mouse, u8::try_from(times)?)?;
        }
        bench.unplug(mouse)
    })
}

/// Without a kernel driver there is nothing to fix, and no report can arrive. With one the device is fixed again.
fn bound_by_hand(bench: &mut Bench) -> Result<()> {
    const BUS: &str = "/sys/bus/hid/drivers/hid-generic";
    let joystick = plug_fixed(RAPTOR, bench)?;
    let fixed = joystick.descriptor()?;
    for _ in 0..2 {
        write(format!("{BUS}/unbind").as_ref(), joystick.name().as_bytes())?;
        bench.settle()?;
        joystick.device.send(&raptor_report(0, 0))?;
        ensure!(joystick.nodes()?.is_empty(), "the device has nodes without a kernel driver");
        write(format!("{BUS}/bind").as_ref(), joystick.name().as_bytes())?;
        bench.settle()?;
        ensure!(joystick.descriptor()? == fixed, "the descriptor is not the fixed one");
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
        expect_hat_works(&joystick)?;
        let status = bench.hidbpf(&["status"])?.expect(0)?.answers(&joystick.name())?.answers("descriptor fixed")?;
        ensure!(!status.stdout.contains("failed"), "something failed\n{status}");
    }
    bench.unplug(joystick)
}

/// Checks that nothing is left of the attaching, and that the output names the refused request.
fn expect_not_set_up(mouse: &Plugged, bench: &mut Bench, driver: &Fixture, says: &str) -> Result<()> {
    ensure!(mouse.pinned_drivers()?.is_empty(), "pinned: {:?}", mouse.pinned_drivers()?);
    ensure!(mouse.descriptor()? == mouse_descriptor(), "the descriptor is not the device's own");
    expect_answers(mouse, &mut mouse.node("Told Mouse")?, &[("01 00 05 03", "REL_X 5, REL_Y 3")])?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(driver.name)?.answers(&mouse.name())?.answers(says)?;
    Ok(())
}

fn mouse_descriptor() -> Vec<u8> {
    mouse().descriptor
}

fn refused(bench: &mut Bench) -> Result<()> {
    const SAYS: &str = "GET_REPORT of the feature report 5 failed";
    SETUP.installed(bench, |bench| {
        bench.mood = Mood::Refusing;
        let mouse = plug(bench)?;
        expect_not_set_up(&mouse, bench, &SETUP, SAYS)?;
        let run = bench.hidbpf(&["load", SETUP.name])?.expect(1)?.says(SETUP.name)?.says(&mouse.name())?.says(SAYS)?;
        run.says("Input/output error")?.says("hidbpf load")?;
        bench.settle()?;
        expect_not_set_up(&mouse, bench, &SETUP, SAYS)?;
        // Once the device accepts requests, everything works.
        mouse.device.set_mood(Mood::Willing);
        bench.hidbpf(&["load", SETUP.name, &mouse.name()])?.expect(0)?;
        bench.settle()?;
        expect_count(&mouse, 1)?;
        bench.unplug(mouse)
    })
}

/// hidbpf stops waiting for a setup that keeps sending requests.
fn stubborn(bench: &mut Bench) -> Result<()> {
    let spec = mouse();
    let mouse = bench.plug_with(&spec, &[], [(5, vec![5, 0x20, 0x30])].into())?;
    let file = STUBBORN.file()?;
    mouse.device.set_mood(Mood::Silent);
    bench.hidbpf(&["load", &file, &mouse.name()])?.expect(1)?.says("did not answer within 8 s")?;
    ensure!(mouse.pinned_drivers()?.is_empty(), "pinned: {:?}", mouse.pinned_drivers()?);
    // It has no hook, so it is for every kernel, and only the setup is pinned.
    mouse.device.set_mood(Mood::Willing);
    bench.hidbpf(&["load", &file, &mouse.name()])?.expect(0)?.answers("device set up")?;
    ensure!(mouse.pinned_drivers()? == [STUBBORN.name], "pinned: {:?}", mouse.pinned_drivers()?);
    bench.hidbpf(&["udev", "resume"])?.expect(0)?;
    ensure!(mouse.device.asked().len() >= 6, "asked: {:?}", mouse.device.asked());
    bench.hidbpf(&["unload", STUBBORN.name])?.expect(0)?;
    bench.unplug(mouse)
}

fn without_answer(bench: &mut Bench) -> Result<()> {
    SETUP.installed(bench, |bench| {
        // The kernel also waits for such a device when it looks for a driver, but not if no field requires it.
        let mouse = bench.plug_unseen(&mouse())?;
        mouse.device.set_mood(Mood::Silent);
        let run = bench.hidbpf(&["load", SETUP.name, &mouse.name()])?.expect(1)?;
        run.says("GET_REPORT of the feature report 5")?.says("did not answer")?;
        mouse.device.set_mood(Mood::Willing);
        bench.release()?;
        bench.unplug(mouse)
    })
}
