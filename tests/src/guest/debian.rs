//! Jobs on a Debian system that systemd boots from a disk.
//!
//! Packages are installed, upgraded and removed, and devices exist before udev runs.
//!
//! A script in the initramfs starts the guest to plug in a keyboard. systemd then starts the guest as a service for the rest.

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
use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::bench::{Bench, HIDBPF, PINS, Plugged, entries, write};
use super::cases::{self, Case, recordings};
use super::port::Port;
use crate::monitor::PATIENCE;
use crate::nodes::Node;
use crate::process::{Run, command};
use crate::protocol::{Job, LATER_JOB_PATH, PACKAGES_PATH, Task};
use crate::uhid::{Device, Mood, Spec};

/// The argument for starting the service.
pub const JOB: &str = "--job";

/// The argument for the script in the initramfs. It returns once the keyboard is plugged in.
pub const EARLY: &str = "--early";

/// The argument for the process that holds the keyboard.
pub const HOLD: &str = "--hold";

/// The mark of a process that systemd does not kill when it hands over to the systemd of the real root: systemd.io/ROOT_STORAGE_DAEMONS.
const SPARED: &str = "@guest";

/// The output of the process that holds the keyboard, once it has it.
const PLUGGED: &str = "plugged in";

/// The early keyboard: the driver, the size of its descriptor, its serial number.
const KEYBOARD: (&str, usize) = ("mistel-md770", 203);
const SERIAL: &str = "early";

/// The event of its key F13 in programs, once it is fixed.
const HEARD: &str = "KEY_F13";

/// The pause of a holder between two keys.
const PAUSE: Duration = Duration::from_millis(200);

/// The observations in the initramfs, for the service.
const RECORD_PATH: &str = "/run/guest-early.json";

/// A driver that is in no package, for a device of its own.
const THIRD_PARTY: &str = "dell-dell0a78";
const THIRD_PARTY_OBJECT: &str = "/packages/dell-dell0a78.bpf.o";
const THIRD_PARTY_INSTALLED: &str = "/etc/hidbpf/drivers/dell-dell0a78.bpf.o";

/// The folder with the packages of a later version.
const UPGRADES: &str = "/packages/later";

/// Paths that are not compared after a purge: those that are not files of the system, and those that others write at any time.
const ELSEWHERE: [&str; 9] =
    ["/dev", "/packages", "/proc", "/run", "/sys", "/tmp", "/var/cache", "/var/lib/systemd", "/var/log"];

/// dpkg's own files.
const DPKG: [&str; 4] =
    ["/var/lib/dpkg/diversions-old", "/var/lib/dpkg/lock", "/var/lib/dpkg/status-old", "/var/lib/dpkg/triggers/Lock"];

/// The observations in the initramfs.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// The process that holds the keyboard.
    holder: i32,
    /// The file system of the root at that time.
    root: String,
    /// The pins, each with the number of its inode.
    pins: BTreeMap<PathBuf, u64>,
}

/// Runs in the initramfs: has the keyboard plugged in, and leaves the job to the service.
///
/// # Errors
/// The job can't be passed on, or the keyboard is missing, or is not fixed although it should be.
pub fn early(job: &Job) -> Result<()> {
    write(Path::new(LATER_JOB_PATH), &serde_json::to_vec(job).context("failed to write the job")?)?;
    if job.task == Task::Install {
        return Ok(());
    }
    let mut holder = command("/proc/self/exe");
    holder.arg0(SPARED).arg(HOLD).stdout(Stdio::piped());
    let mut holder = holder.spawn().context("failed to start the holder of the keyboard")?;
    let mut said = String::new();
    let stdout = holder.stdout.take().context("the holder has no output")?;
    BufReader::new(stdout).read_line(&mut said).context("failed to hear the holder")?;
    ensure!(said.trim() == PLUGGED, "the holder of the keyboard said `{}`", said.trim());
    if job.task != Task::Again {
        expect_fixed_keyboard(&find(SERIAL)?)?;
    }
    let root = fs::read_to_string("/proc/mounts").context("failed to read `/proc/mounts`")?;
    let root = root.lines().filter_map(|line| line.split_once(" / ")?.1.split(' ').next());
    let record = Record {
        holder: i32::try_from(holder.id()).context("the holder has no number")?,
        root: root.collect::<Vec<_>>().join(", "),
        pins: pins()?,
    };
    write(Path::new(RECORD_PATH), &serde_json::to_vec(&record).context("failed to write the record")?)
}

/// Holds the keyboard until it is killed, and presses a key again and again.
pub fn hold() -> ExitCode {
    let held = || -> Result<()> {
        let spec = recordings::device(KEYBOARD.0, KEYBOARD.1)?;
        let device = Device::plug(&Spec { uniq: SERIAL.to_owned(), ..spec }, Box::new(|_, _| None), Mood::default())?;
        let mut stdout = std::io::stdout();
        writeln!(stdout, "{PLUGGED}").and_then(|()| stdout.flush()).context("failed to say so")?;
        loop {
            for down in [true, false] {
                device.send(&f13(down)).context("failed to send a report")?;
                sleep(PAUSE);
            }
        }
    };
    if let Err(error) = held() {
        eprintln!("failed to hold a keyboard: {error:#}");
    }
    ExitCode::FAILURE
}

/// Returns the keyboard's report with its key F13, bit 104 of report 4, down or up.
fn f13(down: bool) -> [u8; 31] {
    let mut report = [0; 31];
    report[0] = 4;
    report[2 + 104 / 8] = u8::from(down);
    report
}

/// Returns the cases of a job.
pub fn cases(task: &Task) -> Vec<Case> {
    match task {
        Task::Early => vec![
            Case::alone("drivers-in-the-initramfs", |bench, port| with_journal(began_early(bench, port))),
            Case::alone("an-upgrade-leaves-drivers-alone", |bench, port| with_journal(upgrade(bench, port))),
        ],
        Task::Again => vec![
            Case::alone("boot-with-a-device", |bench, port| with_journal(booted(bench, port))),
            Case::alone("a-boot-leaves-drivers-installed", |bench, port| with_journal(uninstall(bench, port))),
        ],
        Task::Dracut => {
            vec![Case::alone("drivers-in-dracuts-initramfs", |bench, port| with_journal(began_early(bench, port)))]
        }
        _ => vec![Case::alone("packages-come-and-go", |bench, port| with_journal(install(bench, port)))],
    }
}

/// Adds the log of the helper and of udev to a failure.
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

/// A driver that was attached in the initramfs stays attached: the same links in the same bpffs, with a state file.
fn began_early(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let record = record()?;
    ensure!(!record.root.contains("ext"), "the root was there before the keyboard, as {}", record.root);
    ensure!(!record.pins.is_empty(), "nothing was attached in the initramfs");
    port.say(&format!("a keyboard was fixed while the root was {}", record.root))?;
    let syspath = find(SERIAL)?;
    expect_fixed_keyboard(&syspath)?;
    let now = pins()?;
    ensure!(now == record.pins, "pinned in the initramfs: {:?}; now: {now:?}", record.pins);
    let status = bench.hidbpf(&["status"])?.expect(0)?.answers(KEYBOARD.0)?;
    ensure!(!status.stdout.contains("failed"), "{status}");
    port.say("it is attached as it was, with the system up")?;
    unplug_keyboard(&record, &syspath, bench)
}

/// A device that existed before udev is fixed once udev has handled all devices.
fn booted(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let record = record()?;
    ensure!(record.pins.is_empty(), "attached in an initramfs that knows nothing of hidbpf: {:?}", record.pins);
    let syspath = find(SERIAL)?;
    expect_fixed_keyboard(&syspath)?;
    let status = bench.hidbpf(&["status"])?.expect(0)?.answers(KEYBOARD.0)?;
    ensure!(!status.stdout.contains("failed"), "{status}");
    port.say("a keyboard that was there before udev is fixed when systemd has booted")?;
    unplug_keyboard(&record, &syspath, bench)
}

/// A read-only `/usr`, as on systems with a prebuilt image. It is writable again when this is dropped.
struct ReadOnly;

impl ReadOnly {
    const USR: &str = "/usr";

    fn begin() -> Result<ReadOnly> {
        mount_bind(Self::USR, Self::USR).context("failed to mount `/usr` on itself")?;
        let guard = ReadOnly;
        mount_remount(Self::USR, MountFlags::BIND | MountFlags::RDONLY, c"").context("failed to remount `/usr`")?;
        ensure!(fs::write("/usr/new", "").is_err(), "`/usr` can be written");
        Ok(guard)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        if let Err(error) = unmount(Self::USR, UnmountFlags::DETACH) {
            eprintln!("failed to unmount `/usr`: {error}");
        }
    }
}

/// A third-party driver is installed while /usr is read-only. Packages of a later version change nothing about attached drivers.
fn upgrade(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let touchpad = cases::touchpad()?;
    let there = bench.plug(&touchpad)?;
    cases::expect_untouched(&there, &touchpad)?;
    let read_only = ReadOnly::begin()?;
    let before = files("/etc")?;
    bench.hidbpf(&["install", THIRD_PARTY_OBJECT, "--dry-run"])?.expect(0)?.answers(THIRD_PARTY_INSTALLED)?;
    let changed = differences(&before, &files("/etc")?);
    ensure!(changed.is_empty(), "`install --dry-run` has changed something:\n{}", changed.join("\n"));
    bench.hidbpf(&["install", THIRD_PARTY_OBJECT])?.expect(0)?.answers(&format!("attached to {}", there.name()))?;
    bench.settle()?;
    expect_pinned(&there, THIRD_PARTY)?;
    drop(read_only);
    port.say("a driver was installed with /usr read-only")?;

    let joystick = cases::plug_fixed(cases::RAPTOR, bench)?;
    let attached = pins()?;
    dpkg(bench, "--install", &paths(Path::new(UPGRADES), "deb")?)?;
    let version = Run::of(command("dpkg-query").args(["--show", "--showformat=${Version}", "hidbpf"]))?.expect(0)?;
    ensure!(version.stdout.ends_with("+later"), "the version is {}", version.stdout);
    let now = pins()?;
    ensure!(now == attached, "pinned before the upgrade: {attached:?}; after: {now:?}");
    cases::expect_hat_works(&joystick)?;
    bench.unplug(joystick)?;
    bench.unplug(there)?;
    let there = plug_third_party(bench)?;
    port.say(&format!("an upgrade to {} left it installed, and what was attached", version.stdout))?;
    bench.unplug(there)
}

/// Plugs in the device of the third-party driver, which udev attaches.
fn plug_third_party(bench: &mut Bench) -> Result<Plugged> {
    let there = bench.plug(&cases::touchpad()?)?;
    expect_pinned(&there, THIRD_PARTY)?;
    Ok(there)
}

/// The driver still exists after the next boot. It is removed while /usr is read-only.
fn uninstall(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let there = plug_third_party(bench)?;
    let read_only = ReadOnly::begin()?;
    let before = files("/etc")?;
    bench.hidbpf(&["uninstall", THIRD_PARTY, "--dry-run"])?.expect(0)?.answers(THIRD_PARTY_INSTALLED)?;
    let changed = differences(&before, &files("/etc")?);
    ensure!(changed.is_empty(), "`uninstall --dry-run` has changed something:\n{}", changed.join("\n"));
    bench.hidbpf(&["uninstall", THIRD_PARTY])?.expect(0)?.answers(&format!("detached from {}", there.name()))?;
    drop(read_only);
    bench.settle()?;
    cases::expect_untouched(&there, &cases::touchpad()?)?;
    ensure!(!Path::new(THIRD_PARTY_INSTALLED).exists(), "`{THIRD_PARTY_INSTALLED}` is still there");
    bench.unplug(there)?;
    let there = bench.plug(&cases::touchpad()?)?;
    ensure!(there.pinned_drivers()?.is_empty(), "it is attached again");
    port.say("the driver was there after the next boot, and is removed with /usr read-only")?;
    bench.unplug(there)
}

fn record() -> Result<Record> {
    let text = fs::read_to_string(RECORD_PATH)
        .with_context(|| format!("failed to read `{RECORD_PATH}`: the keyboard was not plugged in early"))?;
    serde_json::from_str(&text).with_context(|| format!("failed to parse `{RECORD_PATH}`"))
}

fn unplug_keyboard(record: &Record, syspath: &Path, bench: &mut Bench) -> Result<()> {
    bench.udev.forget();
    let holder = Pid::from_raw(record.holder).context("the holder has no number")?;
    kill_process(holder, Signal::TERM).context("failed to end the holder of the keyboard")?;
    bench.udev.wait_for("udev event for the unplugged keyboard", |event| event.is_hid("remove", syspath))?;
    bench.settle()
}

/// Returns all pins, each with the number of its inode, which is unique as long as the pin exists.
fn pins() -> Result<BTreeMap<PathBuf, u64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::from(PINS)];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            let metadata =
                fs::symlink_metadata(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
            if metadata.is_dir() {
                folders.push(path);
            } else {
                found.insert(path, metadata.ino());
            }
        }
    }
    Ok(found)
}

fn find(uniq: &str) -> Result<PathBuf> {
    let line = format!("HID_UNIQ={uniq}");
    let found = entries(Path::new("/sys/bus/hid/devices"))?.into_iter().find(|device| {
        fs::read_to_string(device.join("uevent")).is_ok_and(|uevent| uevent.lines().any(|found| found == line))
    });
    let link = found.with_context(|| format!("no device has the serial number `{uniq}`"))?;
    fs::canonicalize(&link).with_context(|| format!("failed to follow `{}`", link.display()))
}

/// Waits until programs receive the key. With the original descriptor they do not.
fn expect_fixed_keyboard(syspath: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let mut heard = String::new();
    while Instant::now() < end {
        // Nodes come and go while a driver is being attached.
        let nodes = Node::all_of(syspath);
        sleep(2 * PAUSE);
        let events: Result<Vec<_>> = nodes.and_then(|mut nodes| nodes.iter_mut().map(Node::events).collect());
        match events.map(|events| events.join("; ")) {
            Ok(events) if events.contains(HEARD) => return Ok(()),
            Ok(events) => heard = events,
            Err(error) => heard = format!("{error:#}"),
        }
    }
    Err(anyhow!("the keyboard is not fixed: {heard}"))
}

/// One command makes hidbpf fix devices, and one command removes everything again.
fn install(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let before = files("/")?;
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
    let installed = files("/")?;
    let new: Vec<_> = installed.keys().filter(|path| !before.contains_key(*path)).collect();
    let size: u64 = new.iter().filter_map(|path| fs::symlink_metadata(path).ok()).map(|found| found.len()).sum();
    port.say(&format!("{} files and folders were added, {} KiB", new.len(), size / 1024))?;
    ensure!(new.iter().any(|path| path.as_path() == Path::new(HIDBPF)), "`{HIDBPF}` was not installed");

    // The package has to remove the files that users made hidbpf write.
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
    let left = differences(&before, &files("/")?);
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

fn expect_pinned(device: &Plugged, driver: &str) -> Result<()> {
    let pinned = device.pinned_drivers()?;
    ensure!(pinned == [driver], "attached to {}: {pinned:?}", device.name());
    Ok(())
}

fn expect_fixed(device: &Plugged, which: &str) -> Result<()> {
    expect_pinned(device, cases::RAPTOR.0).with_context(|| format!("the device {which}"))?;
    cases::expect_hat_works(device).with_context(|| format!("the device {which} is not fixed"))
}

/// Returns each file below `root` with its kind and mode, and its bytes or the target of a link.
fn files(root: &str) -> Result<Files> {
    let mut found = BTreeMap::new();
    let mut folders = vec![PathBuf::from(root)];
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

/// Returns a digest that tells files apart. It is not made to resist an attack.
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
