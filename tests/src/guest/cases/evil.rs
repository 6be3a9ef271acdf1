//! Malicious or badly made devices: random and damaged descriptors, odd ids and names, floods of reports of any size, with drivers attached
//! to them. The kernel panics on its first warning (xtask's command line), which fails the whole run.

use std::collections::BTreeMap;
use std::{fs, io};

use anyhow::{Context, Result, ensure};

use super::attach::expect_hat_works;
use super::drivers::{MOUSE, RAPTOR, plug_fixed};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, plain_mouse};
use crate::process::Run;
use crate::random::Random;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("devices-with-damaged-descriptors", WITH_HID_BPF, damaged_descriptors),
    case("devices-with-random-descriptors", WITH_HID_BPF, random_descriptors),
    case("devices-with-evil-names", WITH_HID_BPF, evil_names).newest_only(),
];

/// The number of devices of each kind in a round.
const DEVICES: usize = 6;

/// The number of reports from each.
const REPORTS: usize = 64;

/// The bytes of a report that is longer than any declared report here, and not longer than the kernel's buffer for programs.
///
/// The kernel rounds that buffer up to 64 bytes, and copies reports without checking their size (docs/security.md).
const LONGEST: usize = 64;

/// Exit codes with a meaning. 101 and signals are crashes.
const CODES: [i32; 4] = [0, 1, 3, 4];

/// Devices of a driver with a few damaged bytes in their descriptor.
fn damaged_descriptors(bench: &mut Bench) -> Result<()> {
    without_magic_keys()?;
    let mut random = Random::new(1);
    for number in 0..DEVICES * bench.rounds {
        let driver = recordings::DRIVERS[random.below(recordings::DRIVERS.len())].driver;
        let mut spec = recordings::any_device(driver)?;
        spec.descriptor = random.change(&spec.descriptor);
        spec.descriptor.truncate(4096);
        let at = || format!("device {number}, made of that of `{driver}`: {:02x?}", spec.descriptor);
        torment(bench, &spec, driver, &mut random).with_context(at)?;
    }
    expect_unharmed(bench)
}

/// Devices with the ids of a driver, and a random descriptor.
fn random_descriptors(bench: &mut Bench) -> Result<()> {
    without_magic_keys()?;
    let mut random = Random::new(2);
    for number in 0..DEVICES * bench.rounds {
        let driver = recordings::DRIVERS[random.below(recordings::DRIVERS.len())].driver;
        let descriptor = if random.below(2) == 0 { random.bytes(512) } else { random_items(&mut random) };
        // The kernel accepts no device without one.
        let descriptor = if descriptor.is_empty() { vec![0xc0] } else { descriptor };
        let spec = Spec { descriptor, ..recordings::any_device(driver)? };
        let at = || format!("device {number}, with ids of `{driver}`: {:02x?}", spec.descriptor);
        torment(bench, &spec, driver, &mut random).with_context(at)?;
    }
    expect_unharmed(bench)
}

/// Keeps random keyboards from powering the machine off: the kernel ignores SysRq keys.
fn without_magic_keys() -> Result<()> {
    const SYSRQ: &str = "/proc/sys/kernel/sysrq";
    match fs::write(SYSRQ, "0") {
        // A kernel without them.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        written => written.with_context(|| format!("failed to write `{SYSRQ}`")),
    }
}

/// Returns items that the kernel's parser accepts one by one, with odd sizes, counts and nesting.
fn random_items(random: &mut Random) -> Vec<u8> {
    const HEADS: [[u8; 2]; 16] = [
        [0x05, 0x01],
        [0x09, 0x02],
        [0xa1, 0x01],
        [0xa1, 0x00],
        [0x75, 0x08],
        [0x95, 0x03],
        [0x81, 0x02],
        [0x81, 0x06],
        [0x15, 0x00],
        [0x25, 0x7f],
        [0x85, 0x01],
        [0x19, 0x01],
        [0x29, 0x08],
        [0x91, 0x02],
        [0xb1, 0x02],
        [0xc0, 0xc0],
    ];
    let mut items = vec![0x05, 0x01, 0x09, 0x02, 0xa1, 0x01];
    for _ in 0..random.below(100) {
        let [head, value] = HEADS[random.below(HEADS.len())];
        let value = if random.below(3) == 0 { random.byte() } else { value };
        items.extend([head, value]);
        if head == 0xc0 {
            items.pop();
        }
    }
    items.extend([0xc0; 4]);
    items
}

/// Plugs in the device, attaches drivers to it, lets it send all kinds of reports, inspects it with one of the commands, and unplugs it.
fn torment(bench: &mut Bench, spec: &Spec, driver: &str, random: &mut Random) -> Result<()> {
    let device = bench.plug_any(spec)?;
    let name = device.name();
    sane(bench.hidbpf(&["load", "--force", driver, &name])?)?;
    sane(bench.hidbpf(&["load", "--force", MOUSE.0, &name])?)?;
    flood(&device, random);
    let looks = [&["status"][..], &["devices", &name], &["doctor", &name], &["inspect", &name]];
    sane(bench.hidbpf(looks[random.below(looks.len())])?)?;
    bench.settle()?;
    flood(&device, random);
    bench.unplug(device)
}

fn flood(device: &Plugged, random: &mut Random) {
    for _ in 0..REPORTS {
        let mut report = random.bytes(LONGEST);
        if let Some(id) = report.first_mut().filter(|_| random.below(2) == 0) {
            *id = random.byte() % 16;
        }
        // The kernel may have given up the device, which is allowed.
        let _ = device.device.send(&report);
    }
}

/// Checks that a program has ended by itself with a meaningful exit code.
fn sane(run: Run) -> Result<Run> {
    let code = run.status.code().with_context(|| format!("it was killed\n{run}"))?;
    ensure!(CODES.contains(&code) && !run.stderr.contains("panicked"), "{run}");
    ensure!(
        code == 0 || !(run.stderr.trim().is_empty() && run.stdout.trim().is_empty()),
        "it failed without a word\n{run}"
    );
    Ok(run)
}

/// Checks that a normal device still gets its driver.
fn expect_unharmed(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// Names can contain anything: bytes with a meaning in terminals, shells, JSON, udev's database and paths.
fn evil_names(bench: &mut Bench) -> Result<()> {
    const NAMES: [&str; 9] = [
        "\u{1b}[2J\u{1b}[31mred",
        "two\nlines\nHIDBPF_DRIVER_X=../x",
        "lines\nHIDBPF_IGNORE=1\nHIDBPF=0",
        "tab\tbell\u{7}backspace\u{8}",
        "../../../../etc/passwd",
        "$(reboot); `reboot` & \"quotes\" 'and' \\ back",
        "\u{202e}desrever \u{200b}",
        "%s%n%x",
        "{\"json\": [1, 2",
    ];
    for name in NAMES {
        let spec = Spec { name: name.to_owned(), phys: name.to_owned(), ..recordings::device(RAPTOR.0, RAPTOR.1)? };
        let joystick = bench.plug(&spec)?;
        ensure!(
            joystick.pinned_drivers()? == [RAPTOR.0],
            "`{}`: {:?}",
            name.escape_debug(),
            joystick.pinned_drivers()?
        );
        for look in [&["status"][..], &["devices"], &["doctor", &joystick.name()], &["inspect", &joystick.name()]] {
            let run = bench.hidbpf(look)?.expect(0)?;
            let raw = |text: &str| text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
            ensure!(!raw(&run.stdout) && !raw(&run.stderr), "`{}` reaches the terminal\n{run}", name.escape_debug());
            ensure!(!run.stdout.contains("\nlines\n"), "a name makes lines of its own\n{run}");
        }
        let json = bench.hidbpf(&["--json", "status"])?.expect(0)?;
        serde_json::from_str::<serde_json::Value>(&json.stdout).with_context(|| format!("no JSON\n{json}"))?;
        bench.unplug(joystick)?;
    }
    // Bytes that are not text.
    let mut mouse = plain_mouse();
    mouse.name = "\u{fffd}\u{0}".to_owned();
    let mouse = bench.plug_with(&mouse, &[], BTreeMap::new())?;
    bench.hidbpf(&["devices"])?.expect(0)?.answers(&mouse.name())?;
    bench.unplug(mouse)
}
