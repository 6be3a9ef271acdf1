//! Cases about the data that programs get from user space: the fields of the descriptor, tables and texts, and maps that other
//! programs change.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::configuration::{Files, OWN};
use super::fixtures::{Fixture, fixture};
use super::sdk_events::{expect_fast, expect_reports};
use super::{Case, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, plain_mouse};
use crate::uhid::Spec;

/// The program of the example.
#[path = "../../../../framework/hidbpf/examples/remap_button.rs"]
#[allow(dead_code, reason = "a case has no use for its `main`")]
mod remap_button;

pub const CASES: &[Case] = &[
    case("all-fields-of-a-usage-are-found", WITH_HID_BPF, wheels),
    case("fields-of-long-descriptors-are-found", WITH_HID_BPF, long_descriptors),
    case("curves-and-texts-are-set", WITH_HID_BPF, curves),
    case("a-program-changes-a-map", WITH_HID_BPF, map),
    case("a-machine-has-a-keymap", WITH_HID_BPF, keymap),
];

const WHEELS: Fixture = fixture!("example-all-wheels");
const FIELDS: Fixture = fixture!("bench-fields");
const CURVE: Fixture = fixture!("example-pressure-curve");
const BUTTONS: Fixture = fixture!("example-live-buttons");
const KEYS: Fixture = fixture!("example-laptop-keys");

/// The descriptor of the example's recording.
const TRACKBALL: &str = include_str!("../../../fixtures/drivers/example-all-wheels/recordings/trackball.hid");

/// The descriptor of another example's recording.
const PEN: &str = include_str!("../../../fixtures/drivers/example-pressure-curve/recordings/pen.hid");

/// The descriptor of a keyboard.
const KEYBOARD: &str = include_str!("../../../fixtures/drivers/example-laptop-keys/recordings/keyboard.hid");

/// Three wheels of two reports, in their ranges, and not that of another application.
fn wheels(bench: &mut Bench) -> Result<()> {
    let descriptor = recorded_descriptor(TRACKBALL)?;
    let spec = Spec { vendor: 0x1209, product: 0x0003, descriptor, ..plain_mouse() };
    let trackball = bench.plug(&spec)?;
    bench.hidbpf(&["load", &WHEELS.file()?, &trackball.name()])?.expect(0)?;
    bench.settle()?;
    expect_fast(bench)?;
    for (sent, expected) in [
        (&[1, 0, 5, 0xfe, 1][..], "01 00 05 fe ff"),
        (&[2, 0x01, 0x70, 3], "02 fe 8f 03"),
        (&[2, 0xff, 0x8f, 0x7f], "02 00 70 7f"),
    ] {
        expect_reports(&trackball, sent, &[expected], Duration::ZERO)?;
    }
    bench.unplug(trackball)
}

/// The verifier follows three searches and a count of the largest table. Both loaders fill it.
fn long_descriptors(bench: &mut Bench) -> Result<()> {
    for (features, found) in [(0u16, "05 05 03"), (251, "05 00 03"), (300, "05 31 03")] {
        let [low, high] = features.to_le_bytes();
        let more = [
            0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x02, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x96, low, high,
            0xb1, 0x02, 0xc0,
        ];
        let descriptor = [plain_mouse().descriptor.as_slice(), &more].concat();
        let spec = Spec { product: 0x0107, descriptor, ..plain_mouse() };
        for libbpf in [false, true] {
            let mouse = bench.plug(&spec)?;
            bench.load(&FIELDS.file()?, &mouse.name(), libbpf)?;
            bench.settle()?;
            expect_reports(&mouse, &[0, 1, 2], &[found], Duration::ZERO)?;
            bench.unplug(mouse)?;
        }
    }
    Ok(())
}

/// By hand, in a configuration file, and by a command that writes one. Invalid ones change nothing.
fn curves(bench: &mut Bench) -> Result<()> {
    let files = Files::new()?;
    CURVE.installed(bench, |bench| {
        let spec = Spec { vendor: 0x1209, product: 0x0004, descriptor: recorded_descriptor(PEN)?, ..plain_mouse() };
        let pen = bench.plug(&spec)?;
        bench.hidbpf(&["load", CURVE.name, &pen.name()])?.expect(0)?;
        bench.settle()?;
        expect_fast(bench)?;
        expect_reports(&pen, &[1, 3, 0, 8], &["01 03 00 04"], Duration::ZERO)?;
        bench.hidbpf(&["set", CURVE.name, "curve=0:4095,4096:0", "buttons=32"])?.expect(0)?.answers("set")?;
        expect_reports(&pen, &[1, 3, 100, 0], &["01 06 9b 0f"], Duration::ZERO)?;
        bench.hidbpf(&["get", CURVE.name])?.expect(0)?.answers("curve = 0:4095,4096:0")?.answers("buttons = 32")?;
        bench.hidbpf(&["--json", "get", CURVE.name])?.expect(0)?.answers("4096,")?;
        for (wrong, words) in [
            ("curve=0:0,0:1", "invalid point 2 (0:1): x must be higher"),
            ("curve=0:0,5000:1", "invalid point 2 (5000:1): x must be from 0 to 4096"),
            ("buttons=1234", "is not a text of at most 3 bytes"),
        ] {
            bench.hidbpf(&["set", CURVE.name, wrong])?.expect(1)?.says(words)?;
        }
        bench.hidbpf(&["set", "--save", CURVE.name, "curve=0:7,4096:8"])?.expect(0)?;
        expect_reports(&pen, &[1, 0, 0, 0], &["01 00 07 00"], Duration::ZERO)?;
        let own = fs::read_to_string(OWN).with_context(|| format!("failed to read `{OWN}`"))?;
        ensure!(own.contains("[[0, 7], [4096, 8]]"), "{own}");
        bench.hidbpf(&["set", "--save", CURVE.name, "curve="])?.expect(0)?;
        let wrong = format!("[driver.{}.options]\n  curve = [[0, 0], [0, 1]]\n", CURVE.name);
        files.write("hidbpf.toml.d/10-wrong.toml", &wrong)?;
        let words = "10-wrong.toml:2:11 sets the option `curve` of `example-pressure-curve`";
        bench.hidbpf(&["doctor"])?.answers(words)?.answers("invalid point 2 (0:1): x must be higher")?;
        bench.unplug(pen)
    })
}

/// A member of the group, who is not root, changes it. Others can't. The manifest names mode and group.
fn map(bench: &mut Bench) -> Result<()> {
    const GROUP: u32 = 4242;
    const BPFFS: &str = "/sys/fs/bpf";
    const GROUPS: &str = "/etc/group";
    let closed = fs::metadata(BPFFS).context("there is no bpffs")?.permissions();
    let groups = fs::read_to_string(GROUPS).unwrap_or_default();
    let others: String = groups.split_inclusive('\n').filter(|line| !line.starts_with("input:")).collect();
    fs::write(GROUPS, format!("{others}input:x:{GROUP}:\n")).context("failed to write the groups")?;
    let result = BUTTONS.installed(bench, |bench| {
        // As systemd mounts it.
        fs::set_permissions(BPFFS, Permissions::from_mode(0o700)).context("failed to close bpffs")?;
        bench.hidbpf(&["doctor"])?.answers("only root reaches the maps of `example-live-buttons`")?;
        // As docs/manifest.md says.
        fs::set_permissions(BPFFS, Permissions::from_mode(0o711)).context("failed to open bpffs")?;
        for libbpf in [false, true] {
            let mouse = bench.plug(&Spec { vendor: 0x1209, product: 0x0005, ..plain_mouse() })?;
            bench.load(BUTTONS.name, &mouse.name(), libbpf)?;
            bench.settle()?;
            let pin = format!("{BPFFS}/hidbpf/{}/{}/buttons", mouse.name().replace([':', '.'], "_"), BUTTONS.name);
            bench.hidbpf(&["status"])?.expect(0)?.answers(&pin)?;
            let metadata = fs::metadata(&pin).with_context(|| format!("there is no `{pin}`"))?;
            let found = (metadata.mode() & 0o777, metadata.gid());
            ensure!(found == (0o660, GROUP), "mode and group are {:o} and {}", found.0, found.1);
            expect_reports(&mouse, &[4, 1, 2], &["04 01 02"], Duration::ZERO)?;
            ensure!(remap_as(&pin, GROUP + 1).is_err(), "a user of another group may open the map");
            remap_as(&pin, GROUP)?;
            expect_reports(&mouse, &[5, 1, 2], &["03 01 02"], Duration::ZERO)?;
            bench.unplug(mouse)?;
        }
        Ok(())
    });
    fs::set_permissions(BPFFS, closed).context("failed to restore bpffs")?;
    fs::write(GROUPS, groups).context("failed to write the groups")?;
    result
}

/// Makes the third button the second one, as a user of this group alone.
fn remap_as(pin: &str, group: u32) -> Result<()> {
    use rustix::thread::{Gid, Uid, set_thread_gid, set_thread_groups, set_thread_uid};
    const USER: u32 = 4242;
    // The ids of one thread, which ends.
    let result = std::thread::scope(|scope| {
        let user = scope.spawn(|| -> Result<()> {
            set_thread_groups(&[])?;
            set_thread_gid(Gid::from_raw(group))?;
            set_thread_uid(Uid::from_raw(USER))?;
            Ok(remap_button::remap(pin.as_ref(), 3, 2)?)
        });
        user.join()
    });
    result.unwrap_or_else(|_| anyhow::bail!("the thread panicked"))
}

/// udev gives the driver's key the keycode of the manifest, on this machine. On another one the driver is not attached.
fn keymap(bench: &mut Bench) -> Result<()> {
    const HERE: &str = "QEMU";
    let vendor = fs::read_to_string("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let spec = Spec { vendor: 0x1209, product: 0x0007, descriptor: recorded_descriptor(KEYBOARD)?, ..plain_mouse() };
    let _files = Files::new()?;
    KEYS.installed(bench, |bench| {
        bench.hidbpf(&["enable", KEYS.name])?.expect(0)?;
        bench.reload()?;
        let keyboard = bench.plug(&spec)?;
        bench.settle()?;
        if vendor.starts_with(HERE) {
            ensure!(keyboard.pinned_drivers()? == [KEYS.name], "pinned: {:?}", keyboard.pinned_drivers()?);
            let mut node = keyboard.only_node()?;
            keyboard.device.send(&[0, 0, 0x73, 0, 0, 0, 0, 0]).context("failed to send a report")?;
            let events = node.events()?;
            ensure!(events.contains("KEY_TOUCHPAD_TOGGLE 1"), "the events are {events}");
        } else {
            let why = format!("the machine's vendor is `{}`, expected `{HERE}*`", vendor.trim_end());
            ensure!(keyboard.pinned_drivers()?.is_empty(), "pinned: {:?}", keyboard.pinned_drivers()?);
            bench.hidbpf(&["load", KEYS.name, &keyboard.name()])?.expect(3)?.says(&why)?;
        }
        bench.unplug(keyboard)?;
        bench.hidbpf(&["disable", KEYS.name])?.expect(0)?;
        bench.reload()
    })
}

/// Returns the descriptor of the first device of a recording.
fn recorded_descriptor(text: &str) -> Result<Vec<u8>> {
    let recording = hidbpf::recording::Recording::parse("recording".as_ref(), text.as_bytes())?;
    Ok(recording.devices.first().map(|device| device.descriptor.clone()).unwrap_or_default())
}
