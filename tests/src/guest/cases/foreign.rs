//! Cases about objects that are not written for hidbpf. The objects of Debian's package udev-hid-bpf do the same in hidbpf as in udev-hid-bpf,
//! and so do objects that hidbpf builds from sources for udev-hid-bpf or the kernel tree.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hidbpf::foreign::PARSED_DESCRIPTOR;
use hidbpf::names::ForeignName;
use hidbpf::object::DriverObject;
use hidbpf::replay::{Driver, Generation, Object, Settings, Verdict};
use hidbpf::text::Hex;

use super::attach::expect_untouched;
use super::configuration::Files;
use super::recordings::Session;
use super::{Case, STRUCT_OPS, Skip, WITH_HID_BPF, beside_udev_hid_bpf, case, recordings};
use crate::guest::bench::{Bench, Plugged, entries, plain_mouse};
use crate::guest::udev_hid_bpf::UdevHidBpf;
use crate::process::Run;
use crate::protocol;
use crate::uhid::Spec;

/// The cases.
pub const CASES: &[Case] = &[
    beside_udev_hid_bpf("foreign-objects", WITH_HID_BPF, objects).each_generation(),
    beside_udev_hid_bpf("foreign-object-is-installed", WITH_HID_BPF, installed).each_generation(),
    beside_udev_hid_bpf("foreign-sources", WITH_HID_BPF, sources).each_generation(),
    case("foreign-source-fixtures", WITH_HID_BPF, fixtures).each_generation(),
    case("foreign-versions-match-by-themselves", WITH_HID_BPF, versions).each_generation(),
    case("foreign-probe-takes-no-device", STRUCT_OPS, refuses),
];

/// The objects that `hidbpf build` made from the sources for tests only, with a recording for each.
const FIXTURES: &str = "/foreign/fixtures";

/// The objects that `hidbpf build` made from the kernel tree's sources, if the host has these.
const BUILT: &str = "/foreign/sources";

/// The directory of installed drivers.
pub const DRIVERS: &str = "/etc/hidbpf/drivers";

/// The package's folder of objects.
pub const OBJECTS: &str = "/usr/lib/x86_64-linux-gnu/bpf";

/// Its probe accepts a device by leaving `retval` alone, which is -1 in udev-hid-bpf 2.3 and 0 here. So udev-hid-bpf never attaches it.
const ACCEPTED_HERE_ALONE: &str = "0010-Thrustmaster__TCA-Yoke-Boeing.bpf.o";

/// Its probe program needs a newer verifier than that of Linux 6.6.
const TOO_NEW: &str = "0010-Generic__touchpad.bpf.o";

/// The package's objects for a mouse that has a driver of the same name here, an older one and a newer one.
const MOUSE: [&str; 2] = ["0009-Rapoo__M50-Plus-Silent.bpf.o", "0010-Rapoo__M50-Plus-Silent.bpf.o"];
const MOUSE_DRIVER: &str = "rapoo-m50-plus-silent";

/// udev attaches the installed version for this kernel, out of two, in place of the package's driver of the same name.
fn installed(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    for file in MOUSE {
        bench.hidbpf(&["install", &format!("{OBJECTS}/{file}")])?.expect(0)?.answers(&format!("{DRIVERS}/{file}"))?;
    }
    let [older, newer] = MOUSE.map(|file| format!("{DRIVERS}/{file}"));
    let shown = bench.hidbpf(&["drivers", MOUSE_DRIVER])?.expect(0)?;
    shown.answers("foreign")?.answers(&older)?.answers(&newer)?.answers("Linux 6.3 and later")?;
    bench.reload()?;
    let used = if bench.generation == protocol::Generation::FmodRet { &older } else { &newer };
    recordings::first(MOUSE_DRIVER, |session| {
        let mouse = session.plug(bench)?;
        bench.hidbpf(&["--json", "status"])?.expect(0)?.answers(&format!("\"object\": \"{used}\""))?;
        session.expect_fixed(&mouse).context("with the foreign object")?;
        // The attached version counts as the installed driver, even if it is not the newest.
        bench.hidbpf(&["load", MOUSE_DRIVER, &mouse.name()])?.expect(0)?;
        session.compare_with_replay(MOUSE_DRIVER, &mouse, bench)?;
        let removed = bench.hidbpf(&["uninstall", MOUSE_DRIVER])?.expect(0)?;
        removed.answers(&older)?.answers(&newer)?.answers("detached from")?.answers("attached to")?;
        ensure!(MOUSE.iter().all(|file| !Path::new(DRIVERS).join(file).exists()), "an object is left");
        bench.reload()?;
        session.expect_fixed(&mouse).context("with the package's driver again")?;
        bench.unplug(mouse)
    })
}

/// Each version of a driver is for other devices and has other hooks. The fast loader takes both.
fn versions(bench: &mut Bench) -> Result<()> {
    const DRIVER: &str = "example-versions";
    let _files = Files::new()?;
    let numbers = if bench.generation == protocol::Generation::FmodRet { ["0009", "0019"] } else { ["0010", "0020"] };
    for number in numbers {
        bench.hidbpf(&["install", &format!("{FIXTURES}/{number}-Example__Versions.bpf.o")])?.expect(0)?;
    }
    bench.reload()?;
    for (number, recording) in numbers.into_iter().zip(["0010", "0020"]) {
        let sessions = recordings::in_folder(Path::new(FIXTURES))?;
        let is_meant = |session: &&Session<'_>| session.name().starts_with(&format!("{recording}-Example__Versions"));
        let session = sessions.iter().find(is_meant).context("there is no recording")?;
        let device = bench.plug(&recordings::spec(session.recorded()?))?;
        let object = format!("{DRIVERS}/{number}-Example__Versions.bpf.o");
        let status = bench.hidbpf(&["--json", "status"])?.expect(0)?;
        status.answers(&format!("\"object\": \"{object}\""))?.answers("\"way\": \"fast\"")?;
        session.compare_with_replay(&object, &device, bench)?;
        bench.unplug(device)?;
    }
    bench.hidbpf(&["uninstall", DRIVER])?.expect(0)?;
    bench.reload()
}

fn objects(bench: &mut Bench) -> Result<()> {
    let generation = generation_of(bench);
    let other = UdevHidBpf::program_alone();
    let mut tried = 0;
    for path in entries(Path::new(OBJECTS))? {
        tried += compare(bench, &other, generation, &path, Some(&path)).with_context(|| path.display().to_string())?;
    }
    ensure!(tried > 20, "only {tried} objects were tried");
    Ok(())
}

/// Compares objects of the kernel tree's sources with those of Debian's package.
fn sources(bench: &mut Bench) -> Result<()> {
    let generation = generation_of(bench);
    if !Path::new(BUILT).is_dir() {
        return Err(Skip("the host has no sources in HIDBPF_FOREIGN_SOURCES".to_owned()).into());
    }
    let other = UdevHidBpf::program_alone();
    let theirs = entries(Path::new(OBJECTS))?;
    let mut tried = 0;
    for path in entries(Path::new(BUILT))? {
        // The object of the same source that has the highest number.
        let stem = |path: &Path| ForeignName::of(path).map(|name| name.stem.to_owned());
        let peer = theirs.iter().filter(|peer| stem(peer) == stem(&path)).max();
        tried += compare(bench, &other, generation, &path, peer).with_context(|| path.display().to_string())?;
    }
    ensure!(tried > 20, "only {tried} objects were tried");
    Ok(())
}

/// Compares the objects of sources for tests only with their recordings.
fn fixtures(bench: &mut Bench) -> Result<()> {
    let generation = generation_of(bench);
    let mut tried = 0;
    for path in entries(Path::new(FIXTURES))?.into_iter().filter(|path| path.extension().is_some_and(|end| end == "o"))
    {
        let object = DriverObject::read(&path)?;
        if object.hooks_for(generation).is_err() {
            continue;
        }
        for session in recordings::in_folder(Path::new(FIXTURES))? {
            if session.is_for(&object)? && takes(&object, generation, &session)? {
                let path = path.display().to_string();
                let device = session.plug_ignored(bench)?;
                bench.hidbpf(&["load", "--force", &path, &device.name()])?.expect(0)?;
                bench.settle()?;
                session.compare_with_replay(&path, &device, bench).with_context(|| path)?;
                bench.hidbpf(&["unload", object.name.as_str(), &device.name()])?.expect(0)?;
                bench.unplug(device)?;
                tried += 1;
            }
        }
    }
    ensure!(tried >= 3, "only {tried} objects were tried");
    Ok(())
}

/// Its probe returns a number that means nothing, or an errno. Nothing is attached, and `status` says why.
fn refuses(bench: &mut Bench) -> Result<()> {
    let object = format!("{FIXTURES}/Example__Refuses.bpf.o");
    let mut longer = plain_mouse().descriptor;
    longer.extend([0x75, 0x08]);
    for (descriptor, why) in
        [(plain_mouse().descriptor, "it returned 1, expected 0 or a negative errno"), (longer, "Invalid argument")]
    {
        let spec = Spec { vendor: 0x1234, product: 0x0009, descriptor, ..plain_mouse() };
        let mouse = bench.plug(&spec)?;
        let load = bench.hidbpf(&["load", &object, &mouse.name()])?.expect(1)?;
        load.says("refused the device")?.says(why)?;
        expect_untouched(&mouse, &spec)?;
        bench.unplug(mouse)?;
    }
    Ok(())
}

/// Returns the generation of the machine's kernel, as a replay wants it.
pub fn generation_of(bench: &Bench) -> Generation {
    match bench.generation {
        protocol::Generation::FmodRet => Generation::FmodRet,
        _ => Generation::StructOps,
    }
}

/// Compares an object on a device that its probe takes, if the recordings have one, with the object `peer` in udev-hid-bpf. Returns the
/// number of such devices.
fn compare(
    bench: &mut Bench,
    other: &UdevHidBpf,
    generation: Generation,
    path: &Path,
    peer: Option<&PathBuf>,
) -> Result<usize> {
    let object = DriverObject::read(path)?;
    if object.hooks_for(generation).is_err() {
        let none = "no programs for a kernel";
        let device = bench.plug(&crate::guest::bench::plain_mouse())?;
        bench.hidbpf(&["load", "--force", &path.display().to_string(), &device.name()])?.expect(4)?.says(none)?;
        bench.unplug(device)?;
        return Ok(0);
    }
    let mut session = None;
    recordings::all(|candidate| {
        if session.is_none() && candidate.is_for(&object)? && takes(&object, generation, &candidate)? {
            session = Some(candidate);
        }
        Ok(())
    })?;
    let session = session.context("no recording has a device that its probe takes")?;
    let path = path.display().to_string();
    let ours = session.plug_ignored(bench)?;
    let load = bench.hidbpf(&["load", "--force", &path, &ours.name()])?;
    if generation == Generation::FmodRet && path.ends_with(TOO_NEW) && peer.is_some() {
        load.expect(1)?.says("the verifier stopped at")?;
        bench.unplug(ours)?;
        return Ok(1);
    }
    load.expect(0)?;
    // Only an object with the parsed descriptor as a variable needs libbpf, and what the fast loader can't load.
    let is_fast = !object.globals.contains_key(PARSED_DESCRIPTOR);
    let status = bench.hidbpf(&["--json", "status"])?.expect(0)?;
    ensure!(status.stdout.contains("\"way\": \"fast\"") == is_fast, "the loader is another one\n{status}");
    bench.settle()?;
    session.compare_with_replay(&path, &ours, bench)?;
    // udev-hid-bpf 2.3 fixes nothing on Linux 6.6: its program is pinned, and the descriptor stays the original one.
    if let (Generation::StructOps, Some(peer)) = (generation, peer) {
        let theirs = session.plug_ignored(bench)?;
        expect_same(bench, other, &session, &peer.display().to_string(), (&ours, &theirs))?;
        bench.unplug(theirs)?;
    }
    bench.hidbpf(&["unload", object.name.as_str(), &ours.name()])?.expect(0)?;
    bench.unplug(ours)?;
    Ok(1)
}

/// Attaches the object with udev-hid-bpf to the second device, and compares.
fn expect_same(
    bench: &mut Bench,
    other: &UdevHidBpf,
    session: &Session<'_>,
    path: &str,
    (ours, theirs): (&Plugged, &Plugged),
) -> Result<()> {
    let added = Run::of(&mut other.program(&[], &["add", &theirs.path(), path]))?.expect(0)?;
    bench.settle()?;
    let (own, peer) = (ours.descriptor()?, theirs.descriptor()?);
    if path.ends_with(ACCEPTED_HERE_ALONE) {
        ensure!(own != peer, "the descriptor is not fixed");
        return Ok(());
    }
    ensure!(!other.pinned(theirs)?.is_empty(), "udev-hid-bpf has attached nothing\n{added}");
    ensure!(own == peer, "the descriptor is\n  {}\nand with udev-hid-bpf\n  {}", Hex(&own), Hex(&peer));
    for event in session.reports() {
        let (own, peer) = (sent(ours, event)?, sent(theirs, event)?);
        ensure!(own == peer, "sent\n  {}\ngot {own:?}, and with udev-hid-bpf {peer:?}", Hex(event));
    }
    Ok(())
}

/// Sends a report, and returns those that hidraw has then.
fn sent(device: &Plugged, report: &[u8]) -> Result<Vec<String>> {
    let mut hidraw = device.hidraw()?;
    device.device.send(report).context("failed to send a report")?;
    Ok(hidraw.reports()?.iter().map(|bytes| Hex(bytes).to_string()).collect())
}

/// Returns whether an object's probe takes the recorded device.
///
/// # Errors
/// The object has no programs for the generation, or can't be replayed.
pub fn takes(object: &DriverObject, generation: Generation, session: &Session<'_>) -> Result<bool> {
    let device = session.recorded()?;
    let version = object.for_kernel(generation)?[0];
    let settings = Settings::of(device);
    let mut driver = Driver::new(&Object::parse(version.bytes())?, generation, &device.into(), &settings)?;
    Ok(!matches!(driver.probe()?, Verdict::Refuses(_)))
}
