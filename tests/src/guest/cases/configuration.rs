//! Cases about /etc/hidbpf: drivers that it disables, attaches or binds, and unreadable files.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::attach::{expect_hat_works, expect_untouched};
use super::drivers::{MOUSE, RAPTOR, expect_answers, plug_fixed};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, write};
use crate::guest::links::{self, Links, remove};
use crate::process::{Run, command};
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("configuration-disables-and-enables", WITH_HID_BPF, disables_and_enables).newest_only(),
    case("configuration-is-for-one-device", WITH_HID_BPF, one_device).newest_only(),
    case("configuration-enables-an-example", WITH_HID_BPF, enables_an_example).newest_only(),
    case("configuration-binds-a-driver", WITH_HID_BPF, binds).newest_only(),
    case("hwdb-that-hides-the-packages", WITH_HID_BPF, hides_the_packages).newest_only(),
    case("hwdb-that-is-not-compiled", WITH_HID_BPF, not_compiled).newest_only(),
    case("configuration-that-is-broken", WITH_HID_BPF, broken).newest_only(),
    case("configuration-by-way-of-links", WITH_HID_BPF, by_way_of_links).newest_only(),
    case("configuration-that-is-a-link-loop", WITH_HID_BPF, link_loop).newest_only(),
];

pub const OWN: &str = "/etc/hidbpf/hidbpf.toml.d/90-hidbpf.toml";
pub const LOCAL_HWDB: &str = "/etc/udev/hwdb.d/82-hidbpf-local.hwdb";

/// The configuration of a case. It is removed when the case ends.
pub struct Files;

impl Files {
    const ALL: [&str; 2] = ["/etc/hidbpf/hidbpf.toml", "/etc/hidbpf/hidbpf.toml.d"];

    /// Begins with an empty configuration.
    ///
    /// # Errors
    /// There is one already.
    pub fn new() -> Result<Files> {
        let there = Files::ALL.into_iter().find(|path| Path::new(path).exists());
        ensure!(there.is_none(), "there is a configuration already: {there:?}");
        Ok(Files)
    }

    /// Writes a file of it.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        write(&Path::new("/etc/hidbpf").join(name), text.as_bytes())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // A case that failed reports its own error.
        let [file, directory] = Files::ALL;
        let _ = (fs::remove_file(file), fs::remove_dir_all(directory));
    }
}

fn expect_attached(device: &Plugged, drivers: &[&str]) -> Result<()> {
    ensure!(device.pinned_drivers()? == drivers, "attached: {:?}", device.pinned_drivers()?);
    Ok(())
}

fn disables_and_enables(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.hidbpf(&["disable", RAPTOR.0])?.expect(0)?.answers(OWN)?.answers("detached from")?;
    bench.settle()?;
    expect_untouched(&joystick, &spec)?;
    let why = format!("it is disabled by {OWN}:5");
    bench.hidbpf(&["status"])?.expect(0)?.answers(&format!("{}: left off: {why}", RAPTOR.0))?;
    bench.hidbpf(&["doctor", &joystick.name()])?.expect(0)?.answers(&why)?.answers("hidbpf enable")?;
    bench.hidbpf(&["config"])?.expect(0)?.answers(&format!("{}: enabled = false  ({OWN}:5)", RAPTOR.0))?;
    bench.unplug(joystick)?;
    // After the next boot, udev's events follow it.
    let joystick = bench.plug(&spec)?;
    expect_untouched(&joystick, &spec)?;
    // By hand it is attached nevertheless, until the device is plugged in again.
    bench.hidbpf(&["load", RAPTOR.0])?.expect(0)?;
    expect_hat_works(&joystick)?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?.answers("detached from")?;
    bench.settle()?;
    bench.hidbpf(&["enable", RAPTOR.0])?.expect(0)?.answers("attached to")?;
    expect_hat_works(&joystick)?;
    ensure!(!Path::new(OWN).exists(), "what is so anyway was written: {}", fs::read_to_string(OWN)?);
    bench.unplug(joystick)?;
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.unplug(joystick)
}

fn one_device(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let (left, right) = (plug_fixed(RAPTOR, bench)?, plug_fixed(RAPTOR, bench)?);
    bench.hidbpf(&["disable", RAPTOR.0, &left.name()])?.expect(0)?;
    bench.settle()?;
    expect_untouched(&left, &spec)?;
    expect_hat_works(&right)?;
    // The configuration identifies it by its serial number.
    let text = fs::read_to_string(OWN).with_context(|| format!("failed to read `{OWN}`"))?;
    ensure!(text.contains("\nvendor = 0x11c0\n") && text.contains("\nuniq = \"bench-"), "{text}");
    bench.trigger("add", &left)?;
    expect_untouched(&left, &spec)?;
    // An entry for all devices does not change the entry for one device, and the command says so.
    bench.hidbpf(&["enable", RAPTOR.0])?.expect(0)?.says("it stays enabled = false")?;
    expect_untouched(&left, &spec)?;
    bench.hidbpf(&["enable", RAPTOR.0, &left.name()])?.expect(0)?;
    expect_hat_works(&left)?;
    for device in [left, right] {
        bench.unplug(device)?;
    }
    Ok(())
}

const UP: &str = "00 02 00 05 00 00 00";

fn enables_an_example(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    let spec = recordings::device(MOUSE.0, MOUSE.1)?;
    bench.hidbpf(&["enable", MOUSE.0])?.expect(0)?;
    bench.reload()?;
    let mouse = bench.plug(&spec)?;
    expect_attached(&mouse, &[MOUSE.0])?;
    expect_answers(&mouse, &mut mouse.only_node()?, &[(UP, "REL_X 2, REL_Y -5")])?;
    bench.hidbpf(&["doctor"])?.expect(0)?;
    bench.unplug(mouse)?;
    bench.hidbpf(&["disable", MOUSE.0])?.expect(0)?;
    bench.reload()?;
    ensure!(!Path::new(LOCAL_HWDB).exists(), "`{LOCAL_HWDB}` is left");
    let mouse = bench.plug(&spec)?;
    expect_attached(&mouse, &[])?;
    bench.unplug(mouse)
}

fn binds(bench: &mut Bench) -> Result<()> {
    let files = Files::new()?;
    let spec = Spec { product: 0xa0aa, ..recordings::device(MOUSE.0, MOUSE.1)? };
    let mouse = bench.plug(&spec)?;
    bench.hidbpf(&["enable", MOUSE.0, &mouse.name()])?.expect(3)?.says("is not for the device")?.says("--force")?;
    bench.hidbpf(&["enable", MOUSE.0, &mouse.name(), "--force", "--port"])?.expect(0)?;
    bench.reload()?;
    expect_answers(&mouse, &mut mouse.only_node()?, &[(UP, "REL_X 2, REL_Y -5")])?;
    bench.unplug(mouse)?;
    let mouse = bench.plug(&spec)?;
    expect_attached(&mouse, &[MOUSE.0])?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(&format!("by {OWN}:"))?;
    bench.hidbpf(&["disable", MOUSE.0, &mouse.name(), "--port"])?.expect(0)?.answers("detached from")?;
    expect_attached(&mouse, &[])?;
    bench.unplug(mouse)?;
    fs::remove_file(OWN).with_context(|| format!("failed to remove `{OWN}`"))?;
    // The same by hand, for all devices of the vendor.
    files.write("hidbpf.toml", "[[device]]\nvendor = 0x04d9\ndriver.mouse-invert-y.bind = true\n")?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?;
    bench.reload()?;
    let mouse = bench.plug(&spec)?;
    expect_attached(&mouse, &[MOUSE.0])?;
    bench.unplug(mouse)?;
    fs::remove_file("/etc/hidbpf/hidbpf.toml").context("failed to remove the configuration")?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?;
    ensure!(!Path::new(LOCAL_HWDB).exists(), "`{LOCAL_HWDB}` is left");
    bench.reload()
}

const PACKAGES_HWDB: &str = "/usr/lib/udev/hwdb.d/81-hidbpf.hwdb";
const COMPILED: [&str; 2] = ["/etc/udev/hwdb.bin", "/usr/lib/udev/hwdb.bin"];

/// A file in /etc with the name of the drivers' package's file would hide the package's next drivers.
fn hides_the_packages(bench: &mut Bench) -> Result<()> {
    const OWN_HWDB: &str = "/etc/udev/hwdb.d/81-hidbpf.hwdb";
    let _files = Files::new()?;
    write(Path::new(OWN_HWDB), b"# As made for an older package.\n")?;
    Run::of(command("systemd-hwdb").arg("update"))?.expect(0)?;
    bench.reload()?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug(&spec)?;
    expect_untouched(&joystick, &spec)?;
    let remedy = format!("rm {OWN_HWDB} && hidbpf config --apply");
    let doctor = bench.hidbpf(&["doctor"])?.expect(1)?;
    doctor.answers(&format!("`{OWN_HWDB}` hides `{PACKAGES_HWDB}`"))?.answers(&remedy)?;
    remove(OWN_HWDB)?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?;
    bench.reload()?;
    ensure!(!Path::new(COMPILED[0]).exists(), "`{}` is left", COMPILED[0]);
    bench.hidbpf(&["doctor"])?.expect(0)?;
    bench.unplug(joystick)?;
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.unplug(joystick)
}

fn not_compiled(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    for place in COMPILED.into_iter().filter(|place| Path::new(place).exists()) {
        remove(place)?;
    }
    // udev keeps the hwdb that it has read. Once it has noticed a missing hwdb, only a restart would help.
    bench
        .hidbpf(&["doctor"])?
        .expect(1)?
        .answers("there is none, so udev attaches nothing")?
        .answers("config --apply")?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?;
    bench.hidbpf(&["doctor"])?.expect(0)?;
    bench.reload()?;
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.unplug(joystick)?;
    // As packages leave it, for the next case.
    bench.renew_hwdb()?;
    remove(COMPILED[0])?;
    bench.reload()
}

const PRESENTER: (&str, usize) = ("hp-elite-presenter", 264);

fn broken(bench: &mut Bench) -> Result<()> {
    let files = Files::new()?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    files.write("hidbpf.toml.d/10-mine.toml", &format!("[driver.{}]\nenable = false\n", RAPTOR.0))?;
    let place = "/etc/hidbpf/hidbpf.toml.d/10-mine.toml:2:1: unknown field `enable`";
    let joystick = bench.plug(&spec)?;
    expect_untouched(&joystick, &spec)?;
    let log = bench.take_log();
    ensure!(log.contains("failed with exit code 1"), "the helper took no offence: {log}");
    bench
        .hidbpf(&["status"])?
        .expect(0)?
        .answers("left off: it may be disabled in a file that does not hold: ")?
        .says(place)?;
    bench.hidbpf(&["doctor"])?.answers(place)?;
    bench.hidbpf(&["doctor", &joystick.name()])?.answers(place)?;
    bench.hidbpf(&["config"])?.expect(1)?.says(place)?;
    bench.hidbpf(&["config", "--apply"])?.expect(1)?.says(place)?;
    // The file does not affect a driver that it does not mention.
    let presenter = plug_fixed(PRESENTER, bench)?;
    bench.unplug(presenter)?;
    // hidbpf ignores a file that anybody could have written, and leaves its drivers off until that is corrected.
    let mine = "/etc/hidbpf/hidbpf.toml.d/10-mine.toml";
    files.write("hidbpf.toml.d/10-mine.toml", &format!("[driver.{}]\nenabled = true\n", RAPTOR.0))?;
    fs::set_permissions(mine, Permissions::from_mode(0o666)).with_context(|| format!("failed to chmod `{mine}`"))?;
    let presenter = plug_fixed(PRESENTER, bench)?;
    bench.trigger("add", &joystick)?;
    expect_untouched(&joystick, &spec)?;
    let why = format!("`{mine}` can be written by everybody");
    bench.hidbpf(&["status"])?.expect(0)?.answers(&why)?.says(&why)?.says("chmod go-w")?;
    bench.hidbpf(&["doctor"])?.answers(&why)?.answers("the drivers that the file names")?;
    bench.hidbpf(&["doctor", &joystick.name()])?.answers(&why)?.answers("chmod go-w")?;
    fs::set_permissions(mine, Permissions::from_mode(0o644)).with_context(|| format!("failed to chmod `{mine}`"))?;
    bench.trigger("add", &joystick)?;
    expect_hat_works(&joystick)?;
    for device in [joystick, presenter] {
        bench.unplug(device)?;
    }
    Ok(())
}

/// On NixOS, links in /etc lead to a store whose builders may add to it.
fn by_way_of_links(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    write(Path::new("/nix/store/2-toml"), format!("[driver.{}]\nenabled = false\n", RAPTOR.0).as_bytes())?;
    fs::set_permissions("/nix/store/2-toml", Permissions::from_mode(0o444)).context("failed to set a mode")?;
    fs::create_dir_all("/nix/store/1-etc/etc/hidbpf").context("failed to make a directory")?;
    fs::set_permissions("/nix/store", Permissions::from_mode(0o1775)).context("failed to share the store")?;
    chown("/nix/store", None, Some(30000)).context("failed to share the store")?;
    let links = Links::make(&[
        ("/etc/hidbpf/hidbpf.toml", "/etc/static/hidbpf/hidbpf.toml"),
        ("/etc/static", "/nix/store/1-etc/etc"),
        ("/nix/store/1-etc/etc/hidbpf/hidbpf.toml", "../../../2-toml"),
    ])?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug(&spec)?;
    expect_untouched(&joystick, &spec)?;
    let why = "it is disabled by /etc/hidbpf/hidbpf.toml:2";
    let status = bench.hidbpf(&["status"])?.expect(0)?.answers(why)?;
    ensure!(status.stderr.is_empty(), "`hidbpf status` warns: {}", status.stderr);
    bench.hidbpf(&["doctor"])?.expect(0)?;
    let presenter = plug_fixed(PRESENTER, bench)?;
    bench.unplug(presenter)?;
    drop(links);
    bench.trigger("add", &joystick)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)?;
    remove("/nix")
}

/// The contents of such a file are unknown, so all drivers are left off, and all commands say why.
fn link_loop(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let loops: [(&str, links::Spec<'_>, &str); 4] = [
        (
            "itself",
            &[("/etc/hidbpf/hidbpf.toml", "hidbpf.toml")],
            "`/etc/hidbpf/hidbpf.toml` comes after 40 other links",
        ),
        (
            "each other",
            &[
                ("/etc/hidbpf/hidbpf.toml.d/1.toml", "../hidbpf.toml.d/2.toml"),
                ("/etc/hidbpf/hidbpf.toml.d/2.toml", "1.toml"),
            ],
            "comes after 40 other links",
        ),
        ("a directory", &[("/etc/hidbpf/hidbpf.toml.d", "hidbpf.toml.d")], "Too many levels of symbolic links"),
        ("nothing", &[("/etc/hidbpf/hidbpf.toml", "nowhere.toml")], "No such file or directory"),
    ];
    for (kind, links, words) in loops {
        let links = Links::make(links)?;
        let joystick = bench.plug(&spec)?;
        let result = (|| {
            expect_untouched(&joystick, &spec)?;
            let log = bench.take_log();
            ensure!(log.contains("failed with exit code 1"), "the helper did not fail: {log}");
            bench.hidbpf(&["status"])?.expect(0)?.answers(words)?.says("leaves all drivers off")?;
            bench.hidbpf(&["doctor"])?.answers(words)?.answers("leaves all drivers off")?;
            bench.hidbpf(&["doctor", &joystick.name()])?.answers(words)?;
            bench.hidbpf(&["config"])?.expect(1)?.says(words)?;
            drop(links);
            bench.trigger("add", &joystick)?;
            expect_hat_works(&joystick)
        })();
        result.with_context(|| format!("a link to {kind}"))?;
        bench.unplug(joystick)?;
    }
    Ok(())
}
