//! Jobs on a Debian system that systemd boots: packages are installed and removed, and devices are there before udev is.
//!
//! The guest begins as the first process, as in its other jobs, and then gives way to systemd, which starts it again as a service.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::bench::{Bench, HIDBPF, PINS, Plugged, entries};
use super::cases::{self, Case, recordings};
use super::machine;
use super::port::Port;
use crate::monitor::PATIENCE;
use crate::nodes::Node;
use crate::process::{Run, command};
use crate::protocol::{PACKAGES_PATH, Task};
use crate::uhid::{Device, Mood, Spec};

/// The argument with which the service is started.
pub const JOB: &str = "--job";

/// The argument with which the process is started that holds a device.
pub const HOLD: &str = "--hold";

const SYSTEMD: &str = "/usr/lib/systemd/systemd";

/// What the process says that holds a device once it has one.
const PLUGGED: &str = "plugged in";

/// The serial number of the device that is there before udev.
const EARLY: &str = "early";

/// The file that tells the holder to let go of the device.
const UNPLUG: &str = "/unplug";

/// How long a holder waits between two movements.
const PAUSE: Duration = Duration::from_millis(200);

/// What is not looked at after a purge: what is no file of the system's, and what others write in their own time.
const ELSEWHERE: [&str; 9] =
    ["/dev", "/packages", "/proc", "/run", "/sys", "/tmp", "/var/cache", "/var/lib/systemd", "/var/log"];

/// What dpkg writes of itself.
const DPKG: [&str; 4] =
    ["/var/lib/dpkg/diversions-old", "/var/lib/dpkg/lock", "/var/lib/dpkg/status-old", "/var/lib/dpkg/triggers/Lock"];

/// As the first process: plugs in what is to be there before udev, and becomes systemd.
///
/// # Errors
/// The machine lacks something, or systemd can't be run.
pub fn boot(task: &Task) -> Result<()> {
    machine::mount_first()?;
    machine::load_modules()?;
    if *task == Task::Boot {
        let mut holder = command("/proc/self/exe");
        let mut holder = holder.arg(HOLD).stdout(Stdio::piped()).spawn().context("failed to start the holder")?;
        let mut said = String::new();
        let stdout = holder.stdout.take().context("the holder has no output")?;
        BufReader::new(stdout).read_line(&mut said).context("failed to hear the holder")?;
        ensure!(said.trim() == PLUGGED, "the holder of the early device said `{}`", said.trim());
    }
    Err(command(SYSTEMD).exec()).with_context(|| format!("failed to run `{SYSTEMD}`"))
}

/// Holds a device until it is told otherwise, and moves its hat again and again.
pub fn hold() -> ExitCode {
    let held = || -> Result<()> {
        let spec = recordings::device(cases::RAPTOR.0, cases::RAPTOR.1)?;
        let device = Device::plug(&Spec { uniq: EARLY.to_owned(), ..spec }, Box::new(|_, _| None), Mood::default())?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{PLUGGED}").and_then(|()| stdout.flush()).context("failed to say so")?;
        while !Path::new(UNPLUG).exists() {
            for hat in [0, 240] {
                device.send(&cases::raptor_report(hat, 0)).context("failed to send a report")?;
                sleep(PAUSE);
            }
        }
        device.unplug().context("failed to unplug the device")
    };
    match held() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to hold a device: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The cases of a job.
pub fn cases(task: &Task) -> Vec<Case> {
    match task {
        Task::Early => vec![Case::alone("drivers-in-the-initramfs", early)],
        Task::Boot => vec![Case::alone("booted-with-a-device", |bench, port| with_journal(booted(bench, port)))],
        _ => vec![Case::alone("packages-come-and-go", |bench, port| with_journal(install(bench, port)))],
    }
}

/// A failure, with what the helper and udev have said.
fn with_journal(result: Result<()>) -> Result<()> {
    result.map_err(|error| {
        let arguments = ["--boot", "--no-pager", "--output=short-monotonic", "--lines=40"];
        let units = ["_COMM=hidbpf", "+", "_COMM=hidbpf-udev", "+", "_SYSTEMD_UNIT=systemd-udevd.service"];
        match Run::of(command("journalctl").args(arguments).args(units)) {
            Ok(run) => anyhow!("{error:#}\nthe journal:\n{}{}", run.stdout, run.stderr),
            Err(second) => error.context(format!("{second:#}")),
        }
    })
}

/// A device that was plugged in before systemd started is fixed by the time that udev has looked at all devices.
fn booted(bench: &mut Bench, port: &mut Port) -> Result<()> {
    Run::of(command("systemctl").args(["is-active", "systemd-udevd.service"]))?.expect(0)?;
    let syspath = find(EARLY)?;
    expect_hat_moves(&syspath)?;
    port.say("a device that was there before udev is fixed when systemd has booted")?;
    let status = bench.hidbpf(&["status"])?.expect(0)?.answers(cases::RAPTOR.0)?;
    ensure!(!status.stdout.contains("failed"), "{status}");
    bench.udev.forget();
    fs::write(UNPLUG, "").with_context(|| format!("failed to write `{UNPLUG}`"))?;
    bench.udev.wait_for("udev event for the unplugged device", |event| event.is_hid("remove", &syspath))?;
    bench.settle()
}

/// What is plugged in while the initramfs waits for the root, or somebody's password, is fixed.
fn early(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let fixed = cases::plug_fixed(cases::RAPTOR, bench)?;
    cases::expect_hat_works(&fixed)?;
    port.say("a device that is plugged in before there is a root is fixed")?;
    bench.unplug(fixed)
}

fn find(uniq: &str) -> Result<PathBuf> {
    let line = format!("HID_UNIQ={uniq}");
    let found = entries(Path::new("/sys/bus/hid/devices"))?.into_iter().find(|device| {
        fs::read_to_string(device.join("uevent")).is_ok_and(|uevent| uevent.lines().any(|found| found == line))
    });
    let link = found.with_context(|| format!("no device has the serial number `{uniq}`"))?;
    fs::canonicalize(&link).with_context(|| format!("failed to follow `{}`", link.display()))
}

/// Waits until programs hear of the hat, which the device's own descriptor keeps from them.
fn expect_hat_moves(syspath: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut heard = String::new();
    while Instant::now() < end {
        for mut node in Node::all_of(syspath)? {
            sleep(2 * PAUSE);
            heard = node.events()?;
            if heard.contains("ABS_HAT0Y") {
                return Ok(());
            }
        }
    }
    Err(anyhow!("the early device was not fixed; it said `{heard}`"))
}

/// Nobody types more than one command to have devices fixed, and one to have all as it was.
fn install(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let before = files()?;
    let spec = recordings::device(cases::RAPTOR.0, cases::RAPTOR.1)?;
    let there = bench.plug(&spec)?;
    cases::expect_untouched(&there, &spec)?;

    let took = dpkg(bench, "--install", &paths(Path::new(PACKAGES_PATH), "deb")?)?;
    port.say(&format!("installed in {} s of the guest's time", took.as_secs()))?;
    expect_fixed(&there, "that was plugged in before the packages came")?;
    let later = cases::plug_fixed(cases::RAPTOR, bench)?;
    expect_fixed(&later, "that was plugged in after the packages came")?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(&later.name())?;
    bench.hidbpf(&["doctor"])?.expect(0)?;
    let installed = files()?;
    let new: Vec<_> = installed.keys().filter(|path| !before.contains_key(*path)).collect();
    let size: u64 = new.iter().filter_map(|path| fs::symlink_metadata(path).ok()).map(|found| found.len()).sum();
    port.say(&format!("{} files and folders were added, {} KiB", new.len(), size / 1024))?;
    ensure!(new.iter().any(|path| path.as_path() == Path::new(HIDBPF)), "`{HIDBPF}` was not installed");

    // What people have hidbpf write is the package's to remove.
    bench.hidbpf(&["disable", "huion-dial-2"])?.expect(0)?;
    bench.hidbpf(&["config", "--apply"])?.expect(0)?;
    ensure!(Path::new("/etc/hidbpf/hidbpf.toml.d").is_dir(), "nothing was configured");

    let packages = ["hidbpf-dev", "hidbpf-drivers", "hidbpf"].map(PathBuf::from);
    let took = dpkg(bench, "--purge", &packages)?;
    port.say(&format!("purged in {} s of the guest's time", took.as_secs()))?;
    for device in [there, later] {
        cases::expect_untouched(&device, &spec)?;
        bench.unplug(device)?;
    }
    for left in [PINS, "/run/hidbpf", "/etc/hidbpf"] {
        ensure!(!Path::new(left).exists(), "`{left}` is still there");
    }
    let left = differences(&before, &files()?);
    ensure!(left.is_empty(), "after the purge the files are not what they were:\n{}", left.join("\n"));
    port.say("after the purge every file is as it was, udev's hwdb too")
}

fn paths(folder: &Path, ending: &str) -> Result<Vec<PathBuf>> {
    let mut found = entries(folder)?;
    found.retain(|path| path.extension().is_some_and(|found| found == ending));
    ensure!(!found.is_empty(), "there is no .{ending} in `{}`", folder.display());
    Ok(found)
}

fn dpkg(bench: &mut Bench, action: &str, what: &[PathBuf]) -> Result<Duration> {
    let started = Instant::now();
    Run::within(10 * PATIENCE, command("dpkg").env("DEBIAN_FRONTEND", "noninteractive").arg(action).args(what))?
        .expect(0)?;
    bench.settle()?;
    Ok(started.elapsed())
}

fn expect_fixed(device: &Plugged, which: &str) -> Result<()> {
    let pinned = device.pinned_drivers()?;
    ensure!(pinned == [cases::RAPTOR.0], "the device {which} has {pinned:?} attached");
    cases::expect_hat_works(device).with_context(|| format!("the device {which} is not fixed"))
}

/// Each file, with what tells it from another: kind and mode, and the bytes or what a link leads to.
fn files() -> Result<BTreeMap<PathBuf, (u32, Vec<u8>)>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::from("/")];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if [&ELSEWHERE[..], &DPKG].concat().iter().any(|place| path.as_path() == Path::new(place)) {
                continue;
            }
            let failure = || format!("failed to read `{}`", path.display());
            let metadata = fs::symlink_metadata(&path).with_context(failure)?;
            let bytes = if metadata.is_symlink() {
                fs::read_link(&path).with_context(failure)?.into_os_string().into_encoded_bytes()
            } else if metadata.is_file() {
                digest(&fs::read(&path).with_context(failure)?)
            } else {
                Vec::new()
            };
            if metadata.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, (metadata.mode(), bytes));
        }
    }
    Ok(found)
}

/// Two files that differ have two of these, short of somebody trying.
fn digest(bytes: &[u8]) -> Vec<u8> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish().to_ne_bytes().to_vec()
}

type Files = BTreeMap<PathBuf, (u32, Vec<u8>)>;

fn differences(before: &Files, after: &Files) -> Vec<String> {
    let name = |path: &PathBuf| path.display().to_string();
    let left = after.keys().filter(|path| !before.contains_key(*path)).map(|path| format!("  left: {}", name(path)));
    let gone = before.keys().filter(|path| !after.contains_key(*path)).map(|path| format!("  gone: {}", name(path)));
    let other = before.iter().filter(|(path, what)| after.get(*path).is_some_and(|now| now != *what));
    left.chain(gone).chain(other.map(|(path, _)| format!("  changed: {}", name(path)))).collect()
}
