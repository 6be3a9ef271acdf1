//! Cases with special drivers: drivers that compete for one descriptor, that refuse, that the kernel refuses, and that are installed after
//! udevd started.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use hidbpf::manager::Manager;
use hidbpf::system::System;
use hidbpf::text::Hex;

use super::attach::{expect_hat_works, expect_untouched};
use super::configuration::LOCAL_HWDB;
use super::drivers::{MOUSE, RAPTOR, expect_answers, plug_fixed};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, installed, plain_mouse, write};
use crate::protocol::Generation;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("rivals-for-a-descriptor-by-udev", WITH_HID_BPF, rivals_by_udev).each_generation(),
    case("rivals-for-a-descriptor-by-hand", WITH_HID_BPF, rivals_by_hand).each_generation(),
    case("probe-refuses", WITH_HID_BPF, probe_refuses),
    case("probe-takes-and-reports-are-dropped", WITH_HID_BPF, probe_takes),
    case("driver-installed-later", WITH_HID_BPF, driver_installed_later).each_generation(),
    case("verifier-refuses", WITH_HID_BPF, verifier_refuses),
    case("driver-needs-a-newer-kernel", &[Generation::FmodRet], needs_newer_kernel),
    case("driver-uses-a-newer-hook", &[Generation::StructOps], uses_newer_hook),
    case("driver-attached-anew", WITH_HID_BPF, attached_anew).each_generation(),
    case("descriptor-hook-asks-the-device", &[Generation::StructOps], descriptor_hook_asks),
    case("device-without-kernel-driver", WITH_HID_BPF, device_without_kernel_driver),
    case("device-without-input-report", WITH_HID_BPF, device_without_input_report),
];

/// A driver for tests only.
pub struct Fixture {
    pub name: &'static str,
    pub object: &'static [u8],
}

/// Returns a driver for tests by its name.
macro_rules! fixture {
    ($name:literal) => {
        Fixture { name: $name, object: include_bytes!(concat!(env!("OUT_DIR"), "/fixtures/", $name, ".bpf.o")) }
    };
}

pub(super) use fixture;

/// Competes for the descriptor of another driver.
pub const RIVAL: Fixture = fixture!("bench-rival");
/// Fixes the descriptor of the mouse whose reports [`PROBE`] fixes.
pub const SIBLING: Fixture = fixture!("bench-sibling");
/// Makes a descriptor that the kernel refuses.
pub const BREAKS: Fixture = fixture!("bench-breaks");
const REFUSES: Fixture = fixture!("bench-refuses");
pub const PROBE: Fixture = fixture!("bench-probe");
const NEWER: Fixture = fixture!("bench-newer");
const ASKS: Fixture = fixture!("bench-asks");
/// Fixes the USB mouse of QEMU.
pub const USB: Fixture = fixture!("bench-usb");
/// Fixes devices whose original descriptor sysfs does not show.
pub const ORIGINALS: Fixture = fixture!("bench-originals");
/// Repairs a descriptor that the kernel refuses, and reports.
pub const REFUSED: Fixture = fixture!("bench-refused");
/// Has rules about the device's name and its kernel driver.
pub const BY_NAME: Fixture = fixture!("bench-by-name");
pub const SETUP: Fixture = fixture!("bench-setup");
/// Reads strings of a tablet, as Huion's are switched.
pub const SWITCH: Fixture = fixture!("bench-switch");
/// Reads a string of a tablet, and then refuses the tablet.
pub const SWITCH_REFUSES: Fixture = fixture!("bench-switch-refuses");
/// Sends a report to a tablet, and reads a string, as UGEE's are switched.
pub const SWITCH_UGEE: Fixture = fixture!("bench-switch-ugee");
/// Sends a report that is shorter than declared.
pub const SHORT: Fixture = fixture!("bench-short");
pub const STUBBORN: Fixture = fixture!("bench-stubborn");
pub const UNSAFE: Fixture = fixture!("bench-unsafe");
/// Changes items of any descriptor.
pub const WALK: Fixture = fixture!("bench-walk");
/// Has a loop that exceeds the verifier's limit.
pub const ENDLESS: Fixture = fixture!("bench-endless");
/// The drivers of docs/writing-a-driver.md.
pub const WHEEL: Fixture = fixture!("example-wheel-mouse");
pub const QUIET: Fixture = fixture!("example-quiet-mouse");

impl Fixture {
    /// Writes the object to a place where only a command that names it finds it.
    pub fn file(&self) -> Result<String> {
        let path = format!("/tmp/{}.bpf.o", self.name);
        write(path.as_ref(), self.object)?;
        Ok(path)
    }

    /// Calls `run` with the driver installed as an administrator would install it, and known to udev.
    pub fn installed(&self, bench: &mut Bench, run: impl FnOnce(&mut Bench) -> Result<()>) -> Result<()> {
        let path = format!("/etc/hidbpf/drivers/{}.bpf.o", self.name);
        write(path.as_ref(), self.object)?;
        let result = bench.renew_hwdb().and_then(|()| run(bench));
        fs::remove_file(&path).with_context(|| format!("failed to remove `{path}`"))?;
        // `hidbpf config --apply` records there that the driver is installed.
        if Path::new(LOCAL_HWDB).exists() {
            fs::remove_file(LOCAL_HWDB).with_context(|| format!("failed to remove `{LOCAL_HWDB}`"))?;
        }
        // A device that the case left behind must be gone when udevd handles it again.
        result.and(bench.renew_hwdb())
    }
}

fn rivals_by_udev(bench: &mut Bench) -> Result<()> {
    RIVAL.installed(bench, |bench| {
        let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
        let joystick = bench.plug(&spec)?;
        // Neither is attached, because the user's choice is unknown, and the output names both.
        expect_untouched(&joystick, &spec)?;
        bench.hidbpf(&["status"])?.expect(0)?.answers(RAPTOR.0)?.answers(RIVAL.name)?;
        // The user can choose.
        bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(0)?;
        bench.settle()?;
        expect_hat_works(&joystick)?;
        bench.unplug(joystick)
    })
}

fn rivals_by_hand(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    let fixed = joystick.descriptor()?;
    let rival = RIVAL.file()?;
    bench.hidbpf(&["load", &rival, &joystick.name()])?.expect(1)?.says(RAPTOR.0)?.says(RIVAL.name)?;
    bench.hidbpf(&["load", "--force", &rival, &joystick.name()])?.expect(1)?.says(RAPTOR.0)?.says(RIVAL.name)?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    ensure!(joystick.descriptor()? == fixed, "the descriptor was changed");
    expect_hat_works(&joystick)?;
    // Once the first is detached, the second may have it.
    bench.hidbpf(&["unload", RAPTOR.0, &joystick.name()])?.expect(0)?;
    bench.hidbpf(&["load", &rival, &joystick.name()])?.expect(0)?;
    ensure!(joystick.descriptor()? == fixed, "the second driver did not fix the descriptor");
    bench.unplug(joystick)
}

const MOUSE_NODE: &str = "Plain Mouse";

fn expect_plain_mouse_works(mouse: &Plugged) -> Result<()> {
    expect_answers(mouse, &mut mouse.node(MOUSE_NODE)?, &[("00 05 03", "REL_X 5, REL_Y 3")])
}

fn probe_refuses(bench: &mut Bench) -> Result<()> {
    REFUSES.installed(bench, |bench| {
        let spec = plain_mouse();
        let mouse = bench.plug(&spec)?;
        expect_untouched(&mouse, &spec)?;
        expect_plain_mouse_works(&mouse)?;
        bench.hidbpf(&["status"])?.expect(0)?.answers(REFUSES.name)?.answers("refused")?;
        bench.hidbpf(&["load", REFUSES.name])?.expect(1)?.says("refused")?;
        expect_untouched(&mouse, &spec)?;
        expect_plain_mouse_works(&mouse)?;
        bench.unplug(mouse)
    })
}

/// The probe sees the descriptor. Hooks can change, shorten and drop reports.
fn probe_takes(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug(&plain_mouse())?;
    bench.hidbpf(&["load", &PROBE.file()?])?.expect(0)?.answers(&mouse.name())?;
    let mut hidraw = mouse.hidraw()?;
    expect_answers(
        &mouse,
        &mut mouse.node(MOUSE_NODE)?,
        &[("00 05 03", "REL_X -5, REL_Y 3"), ("07 05 03", ""), ("01 80 00", "BTN_LEFT 1, REL_X 127")],
    )?;
    mouse.device.send(&[4, 1, 1])?;
    let reports = hidraw.reports()?;
    ensure!(reports == [&[0, 0xfb, 3][..], &[1, 127, 0], &[4, 0xff]], "hidraw got {reports:02x?}");
    // After it was unplugged and plugged in again without loading, the device is unchanged.
    bench.unplug(mouse)?;
    let mouse = bench.plug(&plain_mouse())?;
    expect_plain_mouse_works(&mouse)?;
    // Its ids match, and the manifest's rule for the descriptor does not.
    let other = Spec { descriptor: recordings::device(MOUSE.0, MOUSE.1)?.descriptor, ..plain_mouse() };
    let other = bench.plug(&other)?;
    bench.hidbpf(&["load", &PROBE.file()?, &other.name()])?.expect(3)?.says("50")?;
    bench.unplug(other)?;
    bench.unplug(mouse)
}

fn driver_installed_later(bench: &mut Bench) -> Result<()> {
    let before = bench.plug(&plain_mouse())?;
    expect_plain_mouse_works(&before)?;
    PROBE.installed(bench, |bench| {
        bench.hidbpf(&["drivers"])?.expect(0)?.answers(PROBE.name)?;
        bench.hidbpf(&["doctor"])?;
        let after = bench.plug(&plain_mouse())?;
        ensure!(after.pinned_drivers()? == [PROBE.name], "pinned: {:?}", after.pinned_drivers()?);
        // A device that existed before gets the driver when its event is repeated, as a package's script does.
        ensure!(before.pinned_drivers()?.is_empty(), "pinned: {:?}", before.pinned_drivers()?);
        bench.trigger("add", &before)?;
        ensure!(before.pinned_drivers()? == [PROBE.name], "pinned: {:?}", before.pinned_drivers()?);
        bench.unplug(after)?;
        bench.unplug(before)
    })
}

fn verifier_refuses(bench: &mut Bench) -> Result<()> {
    let spec = plain_mouse();
    let mouse = bench.plug(&spec)?;
    // The verifier's own words, and the place in the author's file.
    let place = "the verifier stopped at bench-unsafe/driver.bpf.c:9: R0 invalid mem access";
    bench.hidbpf(&["load", &UNSAFE.file()?])?.expect(1)?.says(UNSAFE.name)?.says("mem_or_null")?.says(place)?;
    expect_untouched(&mouse, &spec)?;
    expect_plain_mouse_works(&mouse)?;
    bench.unplug(mouse)
}

fn needs_newer_kernel(bench: &mut Bench) -> Result<()> {
    let spec = plain_mouse();
    let mouse = bench.plug(&spec)?;
    bench.hidbpf(&["load", &NEWER.file()?])?.expect(4)?.says("6.11")?;
    expect_untouched(&mouse, &spec)?;
    bench.unplug(mouse)
}

fn uses_newer_hook(bench: &mut Bench) -> Result<()> {
    let spec = plain_mouse();
    let mouse = bench.plug(&spec)?;
    bench.hidbpf(&["load", &NEWER.file()?])?.expect(0)?;
    ensure!(mouse.pinned_drivers()? == [NEWER.name], "pinned: {:?}", mouse.pinned_drivers()?);
    expect_plain_mouse_works(&mouse)?;
    bench.hidbpf(&["unload", NEWER.name])?.expect(0)?;
    bench.unplug(mouse)
}

/// When the command returns, the device is ready and has the currently installed driver.
fn attached_anew(bench: &mut Bench) -> Result<()> {
    let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    let fixed = joystick.descriptor()?;
    for arguments in [&["reload"][..], &["reload", RAPTOR.0], &["reload", RAPTOR.0, &joystick.name()]] {
        bench.hidbpf(arguments)?.expect(0)?.answers(RAPTOR.0)?;
        ensure!(joystick.descriptor()? == fixed, "the descriptor is not the fixed one");
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
        expect_hat_works(&joystick)?;
        bench.settle()?;
    }
    bench.hidbpf(&["reload", MOUSE.0])?.expect(3)?.says("is attached to no device")?;
    bench.unload(&[RAPTOR.0], &[&joystick])?;
    bench.hidbpf(&["reload"])?.expect(3)?.says("no driver is attached to any device")?;
    // As `hidbpf build --device` does if nothing was attached before.
    let system = System::default();
    Manager::new(&system).reload(&installed(RAPTOR.0)?, &joystick.name().parse()?)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// A sleepable descriptor hook may send a request, which fails: the kernel knows of no report while the hook runs.
///
/// A replay gives the same result.
fn descriptor_hook_asks(bench: &mut Bench) -> Result<()> {
    const RECORDING: &str = "/tmp/asks.hid";
    const EINVAL: u8 = 22;
    let own = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03,
        0x15, 0x00, 0x25, 0x01, 0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x01, 0x05, 0x01,
        0x09, 0x30, 0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0, 0x06, 0x00, 0xff,
        0x85, 0x05, 0x09, 0x00, 0x95, 0x02, 0xb1, 0x02, 0xc0,
    ];
    let mut expected = own;
    expected[57] = EINVAL;
    let spec = Spec { product: 0x0105, descriptor: own.to_vec(), ..plain_mouse() };
    let mouse = bench.plug_with(&spec, &[], [(5, vec![5, 0x20, 0x30])].into())?;
    bench.hidbpf(&["load", &ASKS.file()?, &mouse.name()])?.expect(0)?;
    bench.settle()?;
    let fixed = mouse.descriptor()?;
    ensure!(fixed == expected, "the current descriptor is {}", Hex(&fixed));
    let text = format!(
        "R: {} {}\nN: Plain Mouse\nI: 3 1d6b 0105\n# feature 5=05 20 30\nE: 0.000000 4 01 00 00 00\n",
        own.len(),
        Hex(&own)
    );
    write(RECORDING.as_ref(), text.as_bytes())?;
    let said = format!("\"after\": \"{}\"", Hex(&expected));
    bench.hidbpf(&["--json", "replay", &ASKS.file()?, RECORDING])?.expect(0)?.answers(&said)?;
    bench.unload(&[ASKS.name], &[&mouse])?;
    bench.unplug(mouse)
}

/// If a driver with an event hook is attached to a device without a kernel driver, the kernel crashes at the first report.
fn device_without_kernel_driver(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug_unseen(&spec)?;
    let bus = "/sys/bus/hid/drivers/hid-generic";
    write(format!("{bus}/unbind").as_ref(), joystick.name().as_bytes())?;
    bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(1)?.says("no kernel driver")?;
    ensure!(joystick.pinned_drivers()?.is_empty(), "pinned: {:?}", joystick.pinned_drivers()?);
    bench.release()?;
    ensure!(joystick.pinned_drivers()?.is_empty(), "pinned: {:?}", joystick.pinned_drivers()?);
    // The kernel driver is bound late, as from a module that udev has loaded.
    write(format!("{bus}/bind").as_ref(), joystick.name().as_bytes())?;
    bench.settle()?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// A lamp: one output report of a byte, and no input report.
fn device_without_input_report(bench: &mut Bench) -> Result<()> {
    const LAMP: [u8; 21] = [
        0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x01, 0x09, 0x02,
        0x91, 0x02, 0xc0,
    ];
    let lamp = bench.plug(&Spec { name: "Lamp".to_owned(), descriptor: LAMP.to_vec(), ..plain_mouse() })?;
    bench.hidbpf(&["load", "--force", MOUSE.0, &lamp.name()])?.expect(1)?.says("no input report")?;
    ensure!(lamp.pinned_drivers()?.is_empty(), "pinned: {:?}", lamp.pinned_drivers()?);
    lamp.device.send(&[1])?;
    bench.unplug(lamp)
}
