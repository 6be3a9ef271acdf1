//! USB devices with faults.
//!
//! They are unplugged at any step, refuse the kernel's requests or answer late, or have descriptors and reports of other sizes than
//! declared. hidbpf's output about them is correct, and nothing of them stays.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::many::PORTS;
use super::sleep::mouse;
use crate::guest::bench::Bench;
use crate::guest::cases::attach::expect_hat_works;
use crate::guest::cases::drivers::{MOUSE, RAPTOR, expect_answers, raptor_report};
use crate::guest::cases::fixtures::SETUP;
use crate::guest::cases::many::Kept;
use crate::guest::cases::recordings;
use crate::guest::cases::{Case, WITH_HID_BPF, case};
use crate::guest::usb::{UsbPlugged, spec_of};
use crate::nodes::expect_events;
use crate::usb::{Answer, Behaviour, Device, Event, Request, Spec};

pub const CASES: &[Case] = &[
    case("usb-device-vanishes-at-each-request", WITH_HID_BPF, vanishes_at_each_request).each_generation(),
    case("usb-device-refuses-its-descriptor-once", WITH_HID_BPF, refuses_once).each_generation(),
    case("usb-device-refuses-its-descriptor", WITH_HID_BPF, refuses_always).each_generation(),
    case("usb-device-is-late", WITH_HID_BPF, is_late).each_generation(),
    case("usb-descriptors-of-odd-sizes", WITH_HID_BPF, odd_sizes).each_generation(),
    case("usb-reports-of-odd-sizes", WITH_HID_BPF, odd_reports).each_generation(),
    case("usb-requests-that-fail", WITH_HID_BPF, failing_requests).each_generation(),
];

/// There is one device for each request from the plug to the end of the driver's setup, and each device is unplugged at a different
/// request.
fn vanishes_at_each_request(bench: &mut Bench) -> Result<()> {
    SETUP.installed(bench, |bench| {
        let whole = bench.plug_usb(&mouse())?;
        let requests = whole.device.requests();
        ensure!(whole.only()?.device.asked().len() == 3, "the driver has not set the mouse up");
        bench.unplug_usb(whole)?;
        let before = Kept::now();
        let behaviour = |last: usize| -> Box<Behaviour> {
            let mut left = last;
            Box::new(move |_| match left.checked_sub(1) {
                Some(less) => {
                    left = less;
                    Answer::Usual
                }
                None => Answer::Vanish,
            })
        };
        for some in (0..requests).collect::<Vec<_>>().chunks(PORTS) {
            let devices: Vec<Device> = some
                .iter()
                .map(|last| bench.plug_usb_unwatched(&mouse(), &[], behaviour(*last)))
                .collect::<Result<_>>()?;
            for (last, device) in some.iter().zip(devices) {
                device.wait_until_gone().with_context(|| format!("unplugged at request {last} of {requests}"))?;
            }
            bench.settle()?;
        }
        expect_nothing_known(bench)?;
        before.expect_no_more()
    })
}

/// Checks that hidbpf knows of no device.
pub fn expect_nothing_known(bench: &Bench) -> Result<()> {
    bench.hidbpf(&["status"])?.expect(0)?.answers("no driver is attached\n")?;
    Ok(())
}

/// Refuses the first requests for a report descriptor.
fn refusing(times: usize) -> Box<Behaviour> {
    let mut left = times;
    Box::new(move |request| match request.is_for_report_descriptor() && left > 0 {
        true => {
            left -= 1;
            Answer::Stall
        }
        false => Answer::Usual,
    })
}

/// The kernel sends the request again.
fn refuses_once(bench: &mut Bench) -> Result<()> {
    let joystick = bench.plug_usb_with(&joystick()?, &[], refusing(1))?;
    expect_works(&joystick)?;
    bench.unplug_usb(joystick)
}

pub fn joystick() -> Result<Spec> {
    Ok(spec_of(&recordings::device(RAPTOR.0, RAPTOR.1)?))
}

pub fn expect_works(joystick: &UsbPlugged) -> Result<()> {
    let interface = joystick.only()?;
    ensure!(interface.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", interface.pinned_drivers()?);
    expect_hat_works(interface)
}

/// The kernel gives up the interface, and accepts it when it is probed once more.
fn refuses_always(bench: &mut Bench) -> Result<()> {
    /// The number of the kernel's requests before it gives up: `hid_get_class_descriptor()`, drivers/hid/usbhid/hid-core.c.
    const ATTEMPTS: usize = 4;
    let mut joystick = bench.plug_usb_with(&joystick()?, &[], refusing(ATTEMPTS))?;
    ensure!(joystick.interfaces.is_empty(), "{:?}", joystick.interfaces);
    bench.hidbpf(&["load", RAPTOR.0])?.expect(3)?.says("no device")?;
    expect_nothing_known(bench)?;
    joystick.set("bConfigurationValue", "0")?;
    joystick.set("bConfigurationValue", "1")?;
    bench.settle()?;
    joystick.look()?;
    expect_works(&joystick)?;
    bench.unplug_usb(joystick)
}

/// The descriptor and the answers to a setup's requests come late, but they come.
fn is_late(bench: &mut Bench) -> Result<()> {
    const LATE: Duration = Duration::from_millis(700);
    SETUP.installed(bench, |bench| {
        let behaviour = |request: &Request| match request.is_for_report_descriptor() || request.is_for_report() {
            true => Answer::Late(LATE),
            false => Answer::Usual,
        };
        let mouse = bench.plug_usb_with(&mouse(), &[], Box::new(behaviour))?;
        let interface = mouse.only()?;
        ensure!(interface.pinned_drivers()? == [SETUP.name], "pinned: {:?}", interface.pinned_drivers()?);
        expect_answers(interface, &mut interface.only_node()?, &[("01 00 05 00", "REL_X -5, REL_Y 1")])?;
        bench.unplug_usb(mouse)
    })
}

/// Returns the mouse with a descriptor of this size, which is valid if the mouse's own fits in.
fn mouse_with(size: usize) -> Spec {
    /// Items that change nothing: a usage page, of two and of three bytes.
    const PAGES: [&[u8]; 2] = [&[0x05, 0x01], &[0x06, 0x00, 0xff]];
    let mut spec = mouse();
    for interface in &mut spec.interfaces {
        let descriptor = &mut interface.descriptor;
        descriptor.truncate(size);
        while descriptor.len() < size {
            let rest = size - descriptor.len();
            descriptor.extend(PAGES[rest % 2]);
        }
    }
    spec
}

fn odd_sizes(bench: &mut Bench) -> Result<()> {
    SETUP.installed(bench, |bench| {
        for size in [0, 1, 4096, 4097] {
            odd_size(bench, size).with_context(|| format!("{size} bytes"))?;
        }
        Ok(())
    })
}

/// usbhid accepts descriptors of 1 to 4096 bytes. For another size it makes no HID device of the interface.
fn odd_size(bench: &mut Bench, size: usize) -> Result<()> {
    let mouse = bench.plug_usb(&mouse_with(size))?;
    match size {
        4096 => {
            let interface = mouse.only()?;
            ensure!(interface.pinned_drivers()? == [SETUP.name], "pinned: {:?}", interface.pinned_drivers()?);
            ensure!(
                interface.descriptor()?.len() == size,
                "the descriptor has {} bytes",
                interface.descriptor()?.len()
            );
            expect_answers(interface, &mut interface.only_node()?, &[("01 00 05 00", "REL_X -5, REL_Y 1")])?;
            bench.hidbpf(&["inspect", &interface.name()])?.expect(0)?.answers("report descriptor, 4096 bytes")?;
        }
        1 => {
            // The kernel makes a HID device of it, and no kernel driver accepts it, whatever its driver tries.
            const WHY: &str = "no kernel driver took it with its fixed descriptor";
            let name = mouse.only()?.name();
            let has_failed = |bench: &Bench| bench.hidbpf(&["status"])?.expect(0)?.answers(&name)?.answers(WHY);
            has_failed(bench)?;
            bench.hidbpf(&["devices"])?.expect(0)?.answers(&name)?.answers("no kernel driver")?;
            let doctor = bench.hidbpf(&["doctor", &name])?.expect(1)?;
            doctor
                .answers("kernel driver: none, so the device can't be used")?
                .answers("at byte 0: an item of 1 bytes with 0 left")?;
            bench.hidbpf(&["load", SETUP.name])?.expect(1)?.says(&name)?.says(WHY)?;
            bench.hidbpf(&["load", "--force", MOUSE.0, &name])?.expect(1)?.says("no kernel driver is bound")?;
            ensure!(mouse.only()?.pinned_drivers()?.is_empty(), "pinned: {:?}", mouse.only()?.pinned_drivers()?);
            has_failed(bench)?;
        }
        _ => {
            ensure!(mouse.interfaces.is_empty(), "there is a HID device: {:?}", mouse.interfaces);
            // Users name it by its place on the bus, or run a check of the machine.
            let path = mouse.path().to_string_lossy().into_owned();
            let name = mouse.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
            for arguments in [&["doctor", &path][..], &["doctor", &name], &["doctor"]] {
                let doctor = bench
                    .hidbpf(arguments)?
                    .expect(1)?
                    .answers("declares a report descriptor that the kernel refuses")?;
                doctor
                    .answers(&format!("it has {size} bytes; 1 to 4096 are possible"))?
                    .answers("no driver can repair it")?;
            }
            bench.hidbpf(&["load", SETUP.name])?.expect(3)?.says("no device is there")?;
            expect_nothing_known(bench)?;
        }
    }
    bench.unplug_usb(mouse)
}

/// A report that is longer than the kernel's buffer is lost. A shorter one is filled up or dropped. A halted endpoint continues.
fn odd_reports(bench: &mut Bench) -> Result<()> {
    let joystick = bench.plug_usb(&joystick()?)?;
    let interface = joystick.only()?;
    let mut node = interface.only_node()?;
    let moved = raptor_report(210, 5);
    interface.device.send(&[&moved[..], &[0; 6]].concat())?;
    expect_events("a report that is too long", "", &node.events()?)?;
    for length in [0, 1, 2, 33] {
        interface.device.send(&moved[..length])?;
    }
    let clears = || joystick.device.events().iter().filter(|event| is_cleared(event)).count();
    ensure!(clears() == 0, "a halt was ended before there was one");
    interface.device.halt()?;
    ensure!(clears() == 1, "the kernel has not ended the halt: {:?}", joystick.device.events());
    // The hat is at rest, as the next check expects.
    interface.device.send(&raptor_report(240, 0))?;
    drop(node);
    expect_works(&joystick)?;
    bench.unplug_usb(joystick)
}

fn is_cleared(event: &Event) -> bool {
    matches!(event, Event::Request(request) if request.clears_halt())
}

/// The kernel waits up to 5 s for an answer.
fn failing_requests(bench: &mut Bench) -> Result<()> {
    let answer = Arc::new(Mutex::new(Answer::Usual));
    let behaviour = {
        let answer = Arc::clone(&answer);
        move |request: &Request| match request.is_for_report() {
            true => answer.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            false => Answer::Usual,
        }
    };
    let set = |to: Answer| *answer.lock().unwrap_or_else(PoisonError::into_inner) = to;
    let mouse = bench.plug_usb_with(&mouse(), &[], Box::new(behaviour))?;
    let name = mouse.only()?.name();
    let get = |bench: &Bench| bench.hidbpf(&["request", &name, "get", "feature", "5"]);
    get(bench)?.expect(0)?.answers("05 20 30")?;
    set(Answer::Stall);
    get(bench)?.expect(1)?.says("Broken pipe")?.says("does not know this report")?;
    set(Answer::Silence);
    get(bench)?.expect(1)?.says("timed out")?.says("did not answer in time")?;
    set(Answer::Late(Duration::from_secs(1)));
    get(bench)?.expect(0)?.answers("05 20 30")?;
    set(Answer::Data(vec![5]));
    get(bench)?.expect(0)?.answers("05\n")?;
    set(Answer::Data(Vec::new()));
    get(bench)?.expect(0)?.answers("answered with 0 bytes")?;
    set(Answer::Usual);
    bench.hidbpf(&["request", &name, "set", "feature", "5", "aabb"])?.expect(0)?;
    bench.hidbpf(&["request", &name, "set", "output", "6", "aabb"])?.expect(0)?;
    bench.hidbpf(&["request", &name, "send", "6", "aabb"])?.expect(1)?.says("send it with `set output`")?;
    let told: Vec<String> = mouse.only()?.device.asked().iter().rev().take(2).map(ToString::to_string).collect();
    ensure!(told == ["set output 06 aa bb", "set feature 05 aa bb"], "told: {told:?}");
    set(Answer::Vanish);
    get(bench)?.expect(1)?.says("the device is gone")?;
    mouse.device.wait_until_gone()?;
    bench.settle()?;
    expect_nothing_known(bench)
}
