//! Cases about a machine that has Debian's udev-hid-bpf, with its udev rule and hwdb, and switches to hidbpf and back.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::attach::expect_hat_works;
use super::drivers::RAPTOR;
use super::install::third_party;
use super::{Case, WITH_HID_BPF, beside_udev_hid_bpf, recordings};
use crate::guest::bench::{Bench, Plugged, write};
use crate::guest::udev_hid_bpf::UdevHidBpf;

pub const CASES: &[Case] = &[
    beside_udev_hid_bpf("switch-from-udev-hid-bpf-and-back", WITH_HID_BPF, switch).each_generation(),
    beside_udev_hid_bpf("switch-with-udev-rules-in-etc", WITH_HID_BPF, switch_from_etc).each_generation(),
];

const SWITCH: [&str; 2] = ["install", "--from-udev-hid-bpf"];
const BACK: [&str; 2] = ["uninstall", "--from-udev-hid-bpf"];
const RECORD: &str = "/etc/hidbpf/udev-hid-bpf.json";
const RULES: &str = "/run/udev/rules.d/81-hid-bpf.rules";
const MASK: &str = "/etc/udev/rules.d/81-hid-bpf.rules";
const OBJECTS: &str = "/usr/lib/x86_64-linux-gnu/bpf";

/// The joystick, for which this machine's hidbpf has no driver, as an object of udev-hid-bpf, and the name of the driver in it.
const OBJECT: (&str, &str) = ("0010-FR-TEC__Raptor-Mach-2.bpf.o", "fr-tec-raptor-mach-2");

/// An object of a device that hidbpf has a driver for.
const OWN: (&str, &str) = ("0010-Rapoo__M50-Plus-Silent.bpf.o", "rapoo-m50-plus-silent");

fn switch(bench: &mut Bench) -> Result<()> {
    bench.hidbpf(&BACK)?.expect(3)?.says("hidbpf has not taken them over")?;
    third_party(bench, |bench| {
        let installed = UdevHidBpf::install(bench)?;
        let result = there_and_back(bench, &installed);
        let uninstalled = installed.uninstall(bench);
        result.and(uninstalled)
    })
}

fn there_and_back(bench: &mut Bench, other: &UdevHidBpf) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug(&spec)?;
    let mouse = bench.plug(&recordings::any_device(OWN.1)?)?;
    expect_theirs(&joystick, other)?;
    expect_theirs(&mouse, other)?;

    let plan = bench.hidbpf(&[&SWITCH[..], &["--dry-run"]].concat())?.expect(0)?;
    let plan = plan
        .answers(&format!("would write /etc/hidbpf/drivers/{}", OBJECT.0))?
        .answers(&format!("would write {MASK}"))?;
    plan.answers(&format!("{OBJECTS}/{} is not taken over: hidbpf has a driver `{}`", OWN.0, OWN.1))?;
    ensure!(!Path::new(RECORD).exists() && !Path::new(MASK).exists(), "something was done");
    expect_theirs(&joystick, other)?;

    let done = bench.hidbpf(&SWITCH)?.expect(0)?;
    let done = done.answers(&format!("{} attached to {}", OBJECT.1, joystick.name()))?;
    done.answers(&format!("{} attached to {}", OWN.1, mouse.name()))?;
    bench.settle()?;
    expect_ours(&joystick, other, OBJECT.1)?;
    expect_ours(&mouse, other, OWN.1)?;
    expect_hat_works(&joystick)?;
    bench.hidbpf(&["doctor"])?.answers("hidbpf has taken over from it")?;
    bench.unplug(joystick)?;

    // The package is upgraded: its rule and one of its objects are written again, and one is new.
    let (rules, object) = (fs::read(RULES).context("failed to read the rule")?, format!("{OBJECTS}/{}", OBJECT.0));
    write(Path::new(RULES), &[&rules[..], b"# a newer version\n"].concat())?;
    let bytes = fs::read(&object).with_context(|| format!("failed to read `{object}`"))?;
    let new = "/etc/udev-hid-bpf/0011-FR-TEC__Raptor-Mach-2.bpf.o";
    write(Path::new(new), &bytes)?;
    bench.reload()?;
    let joystick = bench.plug(&spec)?;
    expect_ours(&joystick, other, OBJECT.1).context("after an upgrade")?;
    bench.hidbpf(&["doctor"])?.answers("other objects or udev rules than when hidbpf took over")?;
    bench.hidbpf(&SWITCH)?.expect(0)?.answers("wrote /etc/hidbpf/drivers/0011-FR-TEC__Raptor-Mach-2.bpf.o")?;
    bench.hidbpf(&["doctor"])?.answers("hidbpf has taken over from it")?;
    fs::remove_file(new).with_context(|| format!("failed to remove `{new}`"))?;
    bench.hidbpf(&SWITCH)?.expect(0)?.answers("removed /etc/hidbpf/drivers/0011-FR-TEC__Raptor-Mach-2.bpf.o")?;

    let back = bench.hidbpf(&BACK)?.expect(0)?;
    let back = back.answers(&format!("{} returned to udev-hid-bpf", joystick.name()))?;
    back.answers(&format!("{} returned to udev-hid-bpf", mouse.name()))?;
    bench.settle()?;
    expect_theirs(&joystick, other).context("after the way back")?;
    expect_theirs(&mouse, other).context("after the way back")?;
    let drivers = fs::read_dir("/etc/hidbpf/drivers").map_or(0, Iterator::count);
    ensure!(!Path::new(RECORD).exists() && !Path::new(MASK).exists() && drivers == 0, "something is left");
    bench.unplug(joystick)?;
    let joystick = bench.plug(&spec)?;
    expect_theirs(&joystick, other).context("plugged in again")?;
    bench.unplug(joystick)?;
    bench.unplug(mouse)
}

/// The administrator has put another file in place of the package's udev rules, or has removed them for a file of another
/// name. Either is out of the way after the switch, and there again after the way back.
fn switch_from_etc(bench: &mut Bench) -> Result<()> {
    const RENAMED: &str = "/etc/udev/rules.d/92-mine.rules";
    for (path, replaces) in [(MASK, true), (RENAMED, false)] {
        third_party(bench, |bench| {
            let installed = UdevHidBpf::install(bench)?;
            let rules = fs::read(RULES).context("failed to read the rule")?;
            let own = [&rules[..], b"# of the administrator\n"].concat();
            write(Path::new(path), &own)?;
            if !replaces {
                fs::remove_file(RULES).context("failed to remove the rule")?;
            }
            let result = there_and_back_from_etc(bench, &installed, path, &own).with_context(|| path.to_owned());
            let removed = fs::remove_file(path).with_context(|| format!("failed to remove `{path}`"));
            write(Path::new(RULES), &rules)?;
            let uninstalled = installed.uninstall(bench);
            result.and(removed).and(uninstalled)
        })?;
    }
    Ok(())
}

fn there_and_back_from_etc(bench: &mut Bench, other: &UdevHidBpf, path: &str, own: &[u8]) -> Result<()> {
    bench.reload()?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug(&spec)?;
    expect_theirs(&joystick, other)?;
    bench.hidbpf(&SWITCH)?.expect(0)?.answers(&format!("{} attached to {}", OBJECT.1, joystick.name()))?;
    bench.settle()?;
    expect_ours(&joystick, other, OBJECT.1)?;
    bench.unplug(joystick)?;
    let aside = format!("{path}.off");
    ensure!(fs::read(&aside).is_ok_and(|kept| kept == own), "`{aside}` is not what the administrator wrote");
    bench.reload()?;
    let joystick = bench.plug(&spec)?;
    expect_ours(&joystick, other, OBJECT.1).context("plugged in again")?;
    bench.hidbpf(&["doctor"])?.answers("hidbpf has taken over from it")?;
    bench.hidbpf(&BACK)?.expect(0)?;
    bench.settle()?;
    expect_theirs(&joystick, other).context("after the way back")?;
    ensure!(fs::read(path).is_ok_and(|back| back == own), "`{path}` is not what the administrator wrote");
    ensure!(!Path::new(&aside).exists(), "`{aside}` is left");
    bench.unplug(joystick)
}

fn expect_theirs(device: &Plugged, other: &UdevHidBpf) -> Result<()> {
    let (ours, theirs) = (device.pinned_drivers()?, other.pinned(device)?);
    ensure!(ours.is_empty() && theirs.len() == 1, "pinned by hidbpf: {ours:?}, by udev-hid-bpf: {theirs:?}");
    Ok(())
}

fn expect_ours(device: &Plugged, other: &UdevHidBpf, driver: &str) -> Result<()> {
    let (ours, theirs) = (device.pinned_drivers()?, other.pinned(device)?);
    ensure!(ours == [driver] && theirs.is_empty(), "pinned by hidbpf: {ours:?}, by udev-hid-bpf: {theirs:?}");
    Ok(())
}
