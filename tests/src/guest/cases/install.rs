//! Cases about third-party drivers: one command installs a driver, one removes it, and no driver is half installed.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::attach::{expect_hat_works, expect_untouched};
use super::configuration::{Files, LOCAL_HWDB, OWN};
use super::drivers::{MOUSE, RAPTOR, plug_fixed};
use super::fixtures::{PROBE, RIVAL};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HIDBPF, write};
use crate::process::{Started, command};

pub const CASES: &[Case] = &[
    case("install-and-uninstall", WITH_HID_BPF, install_and_uninstall).newest_only(),
    case("install-over-a-package", WITH_HID_BPF, over_a_package).newest_only(),
    case("install-that-fails-leaves-nothing", WITH_HID_BPF, fails).newest_only(),
    case("changes-at-once-all-last", WITH_HID_BPF, at_once).newest_only(),
];

const PACKAGED: &str = "/usr/lib/hidbpf/drivers/frtec-raptor-mach-2.bpf.o";
const ELSEWHERE: &str = "/tmp/third-party.bpf.o";
const INSTALLED: &str = "/etc/hidbpf/drivers/frtec-raptor-mach-2.bpf.o";

/// Moves the packaged driver elsewhere, as if no package had it.
pub fn third_party(bench: &mut Bench, run: impl FnOnce(&mut Bench) -> Result<()>) -> Result<()> {
    let _files = Files::new()?;
    let object = fs::read(PACKAGED).with_context(|| format!("failed to read `{PACKAGED}`"))?;
    write(Path::new(ELSEWHERE), &object)?;
    fs::remove_file(PACKAGED).with_context(|| format!("failed to remove `{PACKAGED}`"))?;
    let result = bench.renew_hwdb().and_then(|()| run(bench));
    write(Path::new(PACKAGED), &object)?;
    bench.renew_hwdb()?;
    result
}

/// Each command changes files that another one reads: the configuration, the installed drivers, and the hwdb that is made from both.
///
/// No change is lost.
fn at_once(bench: &mut Bench) -> Result<()> {
    const ROUNDS: usize = 4;
    let _files = Files::new()?;
    let objects = [PROBE.file()?, RIVAL.file()?];
    let all = |commands: &[&[&str]]| -> Result<()> {
        let started: Vec<Started> =
            commands.iter().map(|arguments| Started::new(command(HIDBPF).args(*arguments))).collect::<Result<_>>()?;
        started.into_iter().try_for_each(|started| started.finish()?.expect(0).map(drop))
    };
    for round in 0..ROUNDS {
        all(&[
            &["install", &objects[0]],
            &["enable", MOUSE.0],
            &["install", &objects[1]],
            &["set", MOUSE.0, "axis=both", "--save"],
        ])?;
        let read = |path: &str| fs::read_to_string(path).with_context(|| format!("failed to read `{path}`"));
        let (hwdb, own) = (read(LOCAL_HWDB)?, read(OWN)?);
        for driver in [PROBE.name, RIVAL.name, MOUSE.0] {
            ensure!(hwdb.contains(&format!("={driver}\n")), "round {round}: `{driver}` is missing in\n{hwdb}");
        }
        for line in ["enabled = true\n", "axis\" = \"both\"\n"] {
            ensure!(own.contains(line), "round {round}: `{line}` is missing in\n{own}");
        }
        bench.hidbpf(&["doctor"])?.answers("knows every installed driver")?;
        all(&[
            &["uninstall", PROBE.name],
            &["disable", MOUSE.0],
            &["uninstall", RIVAL.name],
            &["set", MOUSE.0, "axis=", "--save"],
        ])?;
        ensure!(!Path::new(LOCAL_HWDB).exists(), "round {round}: `{LOCAL_HWDB}` is left");
    }
    bench.reload()
}

fn install_and_uninstall(bench: &mut Bench) -> Result<()> {
    third_party(bench, |bench| {
        let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
        let joystick = bench.plug(&spec)?;
        expect_untouched(&joystick, &spec)?;
        let plan = bench.hidbpf(&["install", ELSEWHERE, "--dry-run"])?.expect(0)?;
        plan.answers(INSTALLED)?.answers(LOCAL_HWDB)?.answers(&format!("would attach it to {}", joystick.name()))?;
        ensure!(!Path::new(INSTALLED).exists() && !Path::new(LOCAL_HWDB).exists(), "something was done");
        bench.hidbpf(&["install", ELSEWHERE])?.expect(0)?.answers(&format!("attached to {}", joystick.name()))?;
        expect_hat_works(&joystick)?;
        bench.reload()?;
        bench.unplug(joystick)?;
        // As after the next boot.
        let joystick = plug_fixed(RAPTOR, bench)?;
        bench.hidbpf(&["doctor"])?.expect(0)?;
        bench.hidbpf(&["install", ELSEWHERE])?.expect(0)?.answers("replaced")?.says("hidbpf reload")?;
        bench.hidbpf(&["uninstall", RAPTOR.0, "--dry-run"])?.expect(0)?.answers("would take it off")?;
        expect_hat_works(&joystick)?;
        bench.hidbpf(&["uninstall", RAPTOR.0])?.expect(0)?.answers("detached from")?;
        bench.reload()?;
        expect_untouched(&joystick, &spec)?;
        ensure!(!Path::new(INSTALLED).exists() && !Path::new(LOCAL_HWDB).exists(), "something is left");
        bench.hidbpf(&["uninstall", RAPTOR.0])?.expect(1)?.says("there is no driver")?;
        bench.unplug(joystick)?;
        let joystick = bench.plug(&spec)?;
        expect_untouched(&joystick, &spec)?;
        bench.unplug(joystick)
    })
}

fn over_a_package(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    bench.hidbpf(&["uninstall", RAPTOR.0])?.expect(1)?.says(PACKAGED)?.says("hidbpf disable")?;
    let joystick = plug_fixed(RAPTOR, bench)?;
    fs::copy(PACKAGED, ELSEWHERE).with_context(|| format!("failed to copy `{PACKAGED}`"))?;
    bench.hidbpf(&["install", ELSEWHERE])?.expect(0)?;
    bench.hidbpf(&["reload", RAPTOR.0])?.expect(0)?;
    let object = format!("\"object\": \"{INSTALLED}\"");
    bench.hidbpf(&["--json", "status"])?.expect(0)?.answers(&object)?;
    // The package's driver is used again.
    bench.hidbpf(&["uninstall", RAPTOR.0])?.expect(0)?.answers("detached from")?.answers("attached to")?;
    bench.hidbpf(&["--json", "status"])?.expect(0)?.answers(&format!("\"object\": \"{PACKAGED}\""))?;
    expect_hat_works(&joystick)?;
    bench.reload()?;
    bench.unplug(joystick)
}

fn fails(bench: &mut Bench) -> Result<()> {
    const COMPILED: &str = "/etc/udev/hwdb.bin";
    third_party(bench, |bench| {
        let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
        let joystick = bench.plug(&spec)?;
        write(Path::new("/tmp/none.bpf.o"), b"nothing")?;
        bench.hidbpf(&["install", "/tmp/none.bpf.o"])?.expect(1)?.says("not an ELF file")?;
        // A directory in its place prevents the compiler from writing its result. An earlier case may have needed the file.
        match fs::remove_file(COMPILED) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("failed to remove the compiled hwdb");
            }
            _ => {}
        }
        write(&Path::new(COMPILED).join("in-the-way"), b"")?;
        let failed = bench.hidbpf(&["install", ELSEWHERE]);
        fs::remove_dir_all(COMPILED).with_context(|| format!("failed to remove `{COMPILED}`"))?;
        failed?.expect(1)?.says("systemd-hwdb")?;
        ensure!(!Path::new(INSTALLED).exists() && !Path::new(LOCAL_HWDB).exists(), "something is left");
        expect_untouched(&joystick, &spec)?;
        bench.unplug(joystick)
    })
}
