//! Cases about the helper that udev starts: which loader it uses, and its actions if it can't use the fast one.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use hidbpf::fast::{KernelIdentity, ResolvedIds};
use hidbpf::manifest::Fingerprint;
use hidbpf::object::write_fingerprint;
use hidbpf::system::System;
use hidbpf_prelink::SECTION;
use object::build::elf::{Builder, SectionData};
use serde_json::Value;

use super::attach::expect_hat_works;
use super::drivers::RAPTOR;
use super::fixtures::{BREAKS, UNSAFE};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HELPER, Plugged, installed, plain_mouse, write};
use crate::process::{Run, command};
use crate::protocol::Generation;

pub const CASES: &[Case] = &[
    case("udev-goes-the-fast-way", WITH_HID_BPF, goes_the_fast_way),
    case("helper-looks-again-when-numbers-are-wrong", WITH_HID_BPF, looks_again),
    case("numbers-outlive-drivers-that-fail", WITH_HID_BPF, leaves_the_numbers),
    case("helper-leaves-to-libbpf-what-it-must", WITH_HID_BPF, leaves_to_libbpf).each_generation(),
    case("helper-refuses-other-words", WITH_HID_BPF, refuses_words).newest_only(),
];

/// The helper's file with the kernel's ids.
const IDS: &str = "/run/hidbpf/ids";

/// Returns how the only driver of a device was loaded, from `hidbpf status`.
pub fn loaded_way(bench: &Bench, device: &Plugged) -> Result<Value> {
    let answer = bench.hidbpf(&["--json", "status"])?.expect(0)?.stdout;
    let answer: Value = serde_json::from_str(&answer).context("the answer is not JSON")?;
    let devices = answer["status"].as_array().context("the answer has no devices")?;
    let ours = devices.iter().find(|found| found["device"] == device.name().as_str());
    Ok(ours.with_context(|| format!("nothing of the device in {answer}"))?["drivers"][0]["loaded"].clone())
}

/// Plugs in the joystick and unplugs it. udev must have attached its driver in this way, and it must work.
fn expect_way(bench: &mut Bench, way: &str) -> Result<Value> {
    let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned are {:?}", joystick.pinned_drivers()?);
    let loaded = loaded_way(bench, &joystick)?;
    ensure!(loaded["way"] == way, "the driver was loaded {loaded}");
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)?;
    Ok(loaded)
}

fn mode() -> Result<u32> {
    Ok(fs::metadata(IDS).with_context(|| format!("failed to look at `{IDS}`"))?.permissions().mode() & 0o777)
}

fn goes_the_fast_way(bench: &mut Bench) -> Result<()> {
    expect_way(bench, "fast")?;
    ensure!(mode()? == 0o600, "`{IDS}` has the mode {:o}", mode()?);
    Ok(())
}

/// Makes the next attaching look up the kernel's ids, as for the first device after a boot.
pub fn forget_numbers() -> Result<()> {
    match fs::remove_file(IDS) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{IDS}`"))
        }
        _ => Ok(()),
    }
}

fn put(ids: &[u8]) -> Result<()> {
    fs::write(IDS, ids).with_context(|| format!("failed to write `{IDS}`"))
}

/// For any contents of the file, the driver is attached with the fast loader, and the file is correct afterwards.
fn looks_again(bench: &mut Bench) -> Result<()> {
    // Other drivers may have left ids of functions that this one does not call.
    forget_numbers()?;
    expect_way(bench, "fast")?;
    let read = || fs::read(IDS).with_context(|| format!("failed to read `{IDS}`"));
    let right = read()?;
    let mut damaged = right.clone();
    damaged[100] ^= 1;
    // As from a kernel with other types, but valid.
    let kernel = KernelIdentity::of(&System::default()).context("the kernel has no identity")?;
    let of_another_kernel = |change: &dyn Fn(&mut u32)| {
        let mut ids = ResolvedIds::from_bytes(&right, &kernel).context("what was written can't be read")?;
        ids.functions.values_mut().for_each(change);
        if let Some(ops) = &mut ids.ops {
            change(&mut ops.ops_type);
            change(&mut ops.value_type);
        }
        Ok::<_, anyhow::Error>(ids.to_bytes(&kernel))
    };
    let (moved, far) = (of_another_kernel(&|id| *id += 1)?, of_another_kernel(&|id| *id += 1 << 30)?);
    for (what, wrong) in [
        ("damaged", &damaged[..]),
        ("cut off", &right[..50]),
        ("empty", b""),
        ("too large", &[0xff; 5000]),
        ("of another kernel", &moved),
        ("of no kernel", &far),
    ] {
        ensure!(wrong != right, "{what}: nothing is wrong with it");
        put(wrong)?;
        expect_way(bench, "fast").context(what)?;
        ensure!(read()? == right, "{what}: wrong numbers were kept");
    }
    fs::set_permissions(IDS, fs::Permissions::from_mode(0o666)).context("failed to set a mode")?;
    expect_way(bench, "fast")?;
    ensure!(mode()? == 0o600 && read()? == right, "numbers that anybody could have written were believed");
    if bench.generation != Generation::FmodRet {
        return Ok(());
    }
    // The kernel accepts it, and the programs run for the other hook.
    let mut ids = ResolvedIds::from_bytes(&right, &kernel).context("what was written can't be read")?;
    let [fixup, event] = ["hid_bpf_rdesc_fixup", "hid_bpf_device_event"].map(|name| ids.function(name));
    ids.functions.insert("hid_bpf_rdesc_fixup".to_owned(), event);
    ids.functions.insert("hid_bpf_device_event".to_owned(), fixup);
    put(&ids.to_bytes(&kernel))?;
    expect_way(bench, "libbpf")?;
    ensure!(read()? == right, "numbers with which a driver did not do its work were kept");
    expect_way(bench, "fast")?;
    Ok(())
}

/// A driver that the kernel refuses, and one that does not work, look up the ids at each attempt, and keep them for other drivers.
fn leaves_the_numbers(bench: &mut Bench) -> Result<()> {
    forget_numbers()?;
    expect_way(bench, "fast")?;
    let read = || fs::read(IDS).with_context(|| format!("failed to read `{IDS}`"));
    let kernel = KernelIdentity::of(&System::default()).context("the kernel has no identity")?;
    let numbers = || ResolvedIds::from_bytes(&read()?, &kernel).context("what was kept can't be read");
    let right = numbers()?;
    for fixture in [UNSAFE, BREAKS] {
        fixture.installed(bench, |bench| {
            for _ in 0..2 {
                let mouse = bench.plug(&plain_mouse())?;
                ensure!(mouse.pinned_drivers()?.is_empty(), "pinned: {:?}", mouse.pinned_drivers()?);
                bench.unplug(mouse)?;
                let now = numbers()?;
                let is_kept = right.functions.iter().all(|(name, id)| now.functions.get(name) == Some(id));
                ensure!(is_kept && (now.ops, now.members) == (right.ops, right.members), "{}: {now:?}", fixture.name);
            }
            Ok(())
        })?;
    }
    expect_way(bench, "fast").map(drop)
}

/// Returns an installed driver with other prelinked programs, or without any. It is valid as an object.
pub fn relinked(driver: &str, change: impl FnOnce(&[u8]) -> Option<Vec<u8>>) -> Result<Vec<u8>> {
    let original = installed(driver)?.bytes().to_vec();
    let mut builder = Builder::read(original.as_slice()).context("failed to read the object")?;
    let section = builder.sections.iter_mut().find(|section| section.name.as_slice() == SECTION.as_bytes());
    let section = section.context("the driver is not prelinked")?;
    let SectionData::Data(data) = &section.data else { anyhow::bail!("the section has no bytes") };
    match change(data) {
        Some(changed) => section.data = SectionData::Data(changed.into()),
        None => section.delete = true,
    }
    let mut object = Vec::new();
    builder.write(&mut object).context("failed to write the object")?;
    // The only text of this kind in an object is its fingerprint.
    let is_fingerprint = |text: &[u8]| text.iter().all(u8::is_ascii_hexdigit);
    let unset = Fingerprint::UNSET.to_string();
    let place = object.windows(unset.len()).position(is_fingerprint).context("the object has no fingerprint")?;
    object[place..place + unset.len()].copy_from_slice(unset.as_bytes());
    write_fingerprint(Path::new("relinked.bpf.o"), &mut object).context("failed to write the fingerprint")?;
    Ok(object)
}

/// Returns the lines in the journal while `run` runs.
pub fn told(run: impl FnOnce() -> Result<()>) -> Result<Vec<String>> {
    const SOCKET: &str = "/run/systemd/journal/socket";
    let path = Path::new(SOCKET);
    fs::create_dir_all("/run/systemd/journal").context("failed to make the journal's folder")?;
    let journal = UnixDatagram::bind(path).with_context(|| format!("failed to make `{SOCKET}`"))?;
    let result = run();
    fs::remove_file(path).with_context(|| format!("failed to remove `{SOCKET}`"))?;
    result?;
    journal.set_nonblocking(true).context("failed to set up a socket")?;
    let mut buffer = vec![0; 1 << 16];
    let mut entries = Vec::new();
    while let Ok(size) = journal.recv(&mut buffer) {
        entries.push(String::from_utf8_lossy(&buffer[..size]).into_owned());
    }
    Ok(entries)
}

/// The helper skips invalid prelinked programs, and reports why.
fn leaves_to_libbpf(bench: &mut Bench) -> Result<()> {
    const VERSION: usize = 4;
    let other = installed("hp-elite-presenter")?.prelinked()?.to_bytes();
    let with = |at: usize, value: u8| {
        move |whole: &[u8]| {
            let mut changed = whole.to_vec();
            changed[at] = value;
            Some(changed)
        }
    };
    let path = format!("/etc/hidbpf/drivers/{}.bpf.o", RAPTOR.0);
    for (why, object) in [
        ("without prelinked programs", relinked(RAPTOR.0, |_| None)?),
        ("of version 99", relinked(RAPTOR.0, with(VERSION, 99))?),
        ("damaged at byte", relinked(RAPTOR.0, |whole| Some(whole[..whole.len() - 1].to_vec()))?),
        ("damaged at byte", relinked(RAPTOR.0, |whole| Some(whole[..20].to_vec()))?),
        ("damaged at byte", relinked(RAPTOR.0, |_| Some(Vec::new()))?),
        ("made from another object", relinked(RAPTOR.0, move |_| Some(other))?),
    ] {
        write(Path::new(&path), &object)?;
        let entries = told(|| {
            let loaded = expect_way(bench, "libbpf")?;
            let reason = loaded["why-not-fast"].as_str().context("there is no reason")?;
            ensure!(reason.contains(RAPTOR.0) && reason.contains(why), "the reason is `{reason}`");
            Ok(())
        });
        fs::remove_file(&path).with_context(|| format!("failed to remove `{path}`"))?;
        let entries = entries.with_context(|| why.to_owned())?;
        let driver = format!("HIDBPF_DRIVER={}\n", RAPTOR.0);
        let is_reason = |entry: &&String| {
            entry.contains("MESSAGE=attaching through libbpf: ")
                && [why, &driver, "HIDBPF_DEVICE=", "SYSLOG_IDENTIFIER=hidbpf\n"]
                    .iter()
                    .all(|part| entry.contains(part))
        };
        ensure!(entries.iter().any(|entry| is_reason(&entry)), "{why}: the journal was told {entries:?}");
    }
    expect_way(bench, "fast")?;
    Ok(())
}

fn refuses_words(_: &mut Bench) -> Result<()> {
    for words in [&[][..], &["add"], &["attach", "/sys"], &["add", "/sys", "more"]] {
        Run::of(command(HELPER).args(words))?.expect(2)?.says("usage: hidbpf-udev")?;
    }
    Run::of(command(HELPER).args(["add", "/sys/no-device"]))?.expect(1)?.says("/sys/no-device")?;
    Ok(())
}
