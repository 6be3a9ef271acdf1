//! What stands between this machine, or one device, and being fixed: a list of findings, each with a way to mend it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::aside::Aside;
use crate::attach::Change;
use crate::catalog::{Catalog, Miss, Verdict};
use crate::config::{Config, Key, Problem};
use crate::device::Device;
use crate::error::Result;
use crate::hwdb::{self, Entries};
use crate::ids::HidName;
use crate::kernel::{self, Generation, Support};
use crate::libbpf;
use crate::manager::{Candidate, Condition, DeviceStatus, DriverStatus, Manager};
use crate::object::DriverObject;
use crate::others;
use crate::pins;
use crate::system::System;
use crate::text::Printable;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What was looked at: `kernel`, `bpffs`, `rules`.
    pub check: &'static str,
    /// How it is.
    pub grade: Grade,
    /// What was found.
    pub message: String,
    /// What mends it, as a sentence or command.
    pub remedy: Option<String>,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// As it should be.
    Good,
    /// Something will not work, or only for some.
    Warning,
    /// No device is fixed like this.
    Bad,
}

impl Finding {
    fn good(check: &'static str, message: impl Into<String>) -> Finding {
        Finding { check, grade: Grade::Good, message: message.into(), remedy: None }
    }

    fn not_good(check: &'static str, grade: Grade, message: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { check, grade, message: message.into(), remedy: Some(remedy.into()) }
    }
}

/// Looks at everything. What can't be looked at is a finding as well.
pub fn examine(system: &System) -> Vec<Finding> {
    let mut findings = Vec::new();
    let generation = kernel(system, &mut findings);
    if let Some(generation) = generation {
        findings.push(privileges(generation));
    }
    findings.push(bpffs(system));
    findings.push(run(system));
    findings.extend(lockdown(system));
    findings.push(hid_core(system));
    findings.push(own_libbpf());
    let catalog = Catalog::read(system);
    drivers(system, &catalog, &mut findings);
    findings.push(rules(system));
    findings.push(udev(system));
    let config = Config::read(system);
    configuration(&config, &catalog, &mut findings);
    findings.push(hwdb_text(system, &catalog, &config));
    findings.push(compiled_hwdb(system, &catalog, &config));
    findings.extend(udev_hid_bpf(system));
    devices(system, &mut findings);
    findings
}

/// Looks at one device: which drivers there are for it, why each is on it or is not, and whether it is fixed.
///
/// # Errors
/// What is attached can't be found out, or the device's state can't be read.
pub fn examine_device(system: &System, device: &Device) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let generation = kernel(system, &mut findings);
    findings.push(kernel_driver(device));
    let aside = Aside::of(system, device);
    if let Some(aside) = &aside {
        let message = format!("udev's events attach nothing: {aside}");
        findings.push(Finding::not_good("device", Grade::Warning, message, aside.remedy(&device.name)));
    }
    for error in Config::read(system).problems.iter().map(Problem::error) {
        let remedy = error.hint().unwrap_or("mend the file").to_owned();
        findings.push(Finding::not_good("configuration", Grade::Warning, error.to_string(), remedy));
    }
    let manager = Manager::new(system);
    let status = manager.status()?.into_iter().find(|status| status.device == device.name);
    let catalog = Catalog::read(system);
    let candidates = manager.candidates(&catalog, device)?;
    for candidate in &candidates {
        let Some(driver) = catalog.drivers.iter().find(|driver| driver.name == candidate.driver) else { continue };
        findings.extend(of_candidate(driver, candidate, status.as_ref(), generation, device));
    }
    for driver in status.iter().flat_map(|status| &status.drivers) {
        // Forced on the device, or installed no more.
        if !candidates.iter().any(|candidate| candidate.driver == driver.driver) {
            findings.push(condition(driver, device));
        }
    }
    findings.extend(others(system, &device.name));
    if candidates.is_empty() {
        findings.push(Finding::good("drivers", "no installed driver is for it"));
    }
    for failure in status.iter().flat_map(|status| &status.failures) {
        let remedy = failure.hint.as_deref().unwrap_or("unplug the device and plug it in");
        findings.push(Finding::not_good("drivers", Grade::Warning, failure.message.clone(), remedy));
    }
    Ok(findings)
}

/// Programs that somebody else has attached to the device: they change what our drivers see, or what they have done.
fn others(system: &System, device: &HidName) -> Vec<Finding> {
    const CHECK: &str = "other programs";
    match others::on_device(system, device) {
        Ok(others) => others
            .iter()
            .map(|other| {
                let message = format!(
                    "`{}`, which hidbpf has not attached, is on it too (struct_ops map {}, link {})",
                    Printable(&other.name),
                    other.map_id,
                    other.link_id
                );
                let remedy =
                    format!("`bpftool link show id {}` tells more; who has attached it can take it off", other.link_id);
                Finding::not_good(CHECK, Grade::Warning, message, remedy)
            })
            .collect(),
        Err(error) => vec![Finding::not_good(CHECK, Grade::Warning, error.to_string(), "run hidbpf as root")],
    }
}

fn kernel_driver(device: &Device) -> Finding {
    match device.driver.as_deref() {
        Some(driver) if ["hid-generic", "hid-multitouch"].contains(&driver) => Finding::good("kernel driver", driver),
        Some(driver) => Finding::good(
            "kernel driver",
            format!(
                "{driver}, a special one: it may deal with the device's reports in its own way, after the drivers here"
            ),
        ),
        None => Finding::not_good(
            "kernel driver",
            Grade::Bad,
            "none is bound to it: it can't be used, nor can drivers that change reports be attached",
            "load the module `hid-generic`, or the device's special one",
        ),
    }
}

/// How a driver that is for the device, or nearly, stands.
fn of_candidate(
    driver: &DriverObject,
    candidate: &Candidate,
    status: Option<&DeviceStatus>,
    generation: Option<Generation>,
    device: &Device,
) -> Vec<Finding> {
    let name = &candidate.driver;
    let rule = match &candidate.verdict {
        Verdict::Matches { rule } => rule,
        Verdict::NearMiss { rules } => {
            let miss = |miss: &Miss| {
                let reasons = miss.reasons.join("; ");
                Finding::good("drivers", format!("`{name}` is not for it, by {}: {reasons}", miss.rule))
            };
            return rules.iter().map(miss).collect();
        }
        Verdict::No => return Vec::new(),
    };
    if let Some(attached) = status.and_then(|status| status.drivers.iter().find(|driver| driver.driver == *name)) {
        return vec![condition(attached, device)];
    }
    let not_attached = |why: String, remedy: String| {
        let message = format!("`{name}` is for it, by {rule}, and not attached: {why}");
        vec![Finding::not_good("drivers", Grade::Warning, message, remedy)]
    };
    if let Some(why) = status.and_then(|status| status.left_off.get(name)) {
        let remedy = format!("`hidbpf enable {name}`, or a change of that file, has it attached");
        return not_attached(why.clone(), remedy);
    }
    let load = format!("`hidbpf load {name} {}` attaches it", device.name);
    match generation.map(|generation| driver.hooks_for(generation)) {
        Some(Err(error)) => not_attached(error.to_string(), error.hint().unwrap_or("boot a newer kernel").to_owned()),
        None => not_attached("this kernel can't".to_owned(), "see above".to_owned()),
        Some(Ok(_)) if status.is_some_and(|status| status.taken_off.contains(name)) => {
            not_attached("it was taken off by hand".to_owned(), load)
        }
        Some(Ok(_)) if !candidate.automatic => {
            let message = format!("`{name}` is for it, by {rule}; it is attached when asked for");
            vec![Finding { remedy: Some(load), ..Finding::good("drivers", message) }]
        }
        // Why it failed is told with the failures.
        Some(Ok(_))
            if status.is_some_and(|status| status.failures.iter().any(|failed| failed.drivers.contains(name))) =>
        {
            Vec::new()
        }
        Some(Ok(_)) => not_attached(
            match device.property(hwdb::PROPERTY) {
                Some(_) => "udev has not asked for it".to_owned(),
                None => "udev knew nothing of it when the device was plugged in: rules and hwdb are newer".to_owned(),
            },
            format!("run `udevadm trigger --action=add /sys/bus/hid/devices/{}` as root", device.name),
        ),
    }
}

/// How a driver stands that is on a device, or should be.
fn condition(driver: &DriverStatus, device: &Device) -> Finding {
    let name = &driver.driver;
    if let Some(wrong) = wrong(driver) {
        let message = format!("`{name}` {wrong}");
        return Finding::not_good("drivers", Grade::Warning, message, reload(driver, &device.name));
    }
    let change = match driver.change {
        Some(Change::Fixed) => "the descriptor in force is the one that it fixed",
        Some(Change::Unchanged) => "its hook left the descriptor as it is",
        Some(Change::NotWanted) | None => "it does not touch the descriptor",
    };
    let seen = if driver.condition == Condition::Attached { "is attached" } else { "was attached" };
    Finding::good("drivers", format!("`{name}` {seen}: {change}"))
}

/// What is wrong with a driver on a device, if anything is.
fn wrong(driver: &DriverStatus) -> Option<&'static str> {
    match driver.condition {
        Condition::Attached | Condition::Unverified => None,
        Condition::NotInForce => Some("is attached, and the descriptor in force is not its own"),
        Condition::Interrupted => Some("was being attached when something interrupted it"),
    }
}

fn reload(driver: &DriverStatus, device: &HidName) -> String {
    format!("run `hidbpf reload {} {device}` as root", driver.driver)
}

fn kernel(system: &System, findings: &mut Vec<Finding>) -> Option<Generation> {
    let kernel = match kernel::detect(system) {
        Ok(kernel) => kernel,
        Err(error) => {
            findings.push(Finding::not_good("kernel", Grade::Bad, error.to_string(), "boot another kernel"));
            return None;
        }
    };
    if let Support::Present(generation) = kernel.support {
        findings.push(Finding::good("kernel", format!("{} has HID-BPF with {generation} hooks", kernel.release)));
        return Some(generation);
    }
    if let Err(error) = kernel.generation() {
        let config = config_says(system, &kernel.release).map(|line| format!("; its configuration says `{line}`"));
        let remedy = match distribution_has(system) {
            Some(since) => since.to_owned(),
            None => error.hint().unwrap_or("boot another kernel").to_owned(),
        };
        let message = match version(&kernel.release) {
            Some(version) if version < (6, 3) => {
                format!("the running kernel, {}, is older than HID-BPF, which came with Linux 6.3", kernel.release)
            }
            _ => format!("{error}{}", config.unwrap_or_default()),
        };
        findings.push(Finding::not_good("kernel", Grade::Bad, message, remedy));
    }
    None
}

/// Major and minor version of a release, as `7.3.4+deb13-amd64`. For words only: what a kernel can do is in its BTF.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Since when the kernels of this machine's distribution have HID-BPF, by os-release(5), where that is known.
fn distribution_has(system: &System) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 5] = [
        (
            "debian",
            "Debian's kernels have it since 6.16.3: install linux-image-amd64 of trixie-backports or newer, and boot it",
        ),
        ("fedora", "Fedora's kernels have it since Fedora 40: update the system, and boot its newest kernel"),
        ("arch", "Arch's kernel `linux` has it: update the system, and boot it"),
        ("steamos", "SteamOS has it since 3.7: update the system"),
        ("void", "Void's kernels have it since July 2026: update the system, and boot its newest kernel"),
    ];
    let text = fs::read_to_string(system.root.join("etc/os-release")).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("ID="))?.trim_matches('"');
    KNOWN.iter().find(|(known, _)| *known == id).map(|(_, since)| *since)
}

/// What the configuration beside the kernel says of HID-BPF, as far as there is one.
fn config_says(system: &System, release: &str) -> Option<String> {
    let text = fs::read_to_string(system.root.join(format!("boot/config-{release}"))).ok()?;
    let line = text.lines().find(|line| line.contains("CONFIG_HID_BPF=") || line.contains("CONFIG_HID_BPF is"));
    Some(line.unwrap_or("nothing of CONFIG_HID_BPF").to_owned())
}

fn privileges(generation: Generation) -> Finding {
    match kernel::missing_capabilities(generation) {
        Ok(missing) if missing.is_empty() => Finding::good("privileges", "this process may attach drivers"),
        Ok(missing) => Finding::not_good(
            "privileges",
            Grade::Warning,
            format!("this process lacks {}, and can attach nothing", missing.join(", ")),
            "run hidbpf as root, for example with sudo; udev does so",
        ),
        Err(error) => Finding::not_good("privileges", Grade::Warning, error.to_string(), "run hidbpf as root"),
    }
}

/// What loads the programs that are not prelinked, and builds drivers.
fn own_libbpf() -> Finding {
    const CHECK: &str = "libbpf";
    match libbpf::check() {
        Ok(()) => Finding::good(CHECK, libbpf::version().to_string()),
        Err(error) => Finding::not_good(CHECK, Grade::Warning, error.to_string(), error.hint().unwrap_or_default()),
    }
}

fn bpffs(system: &System) -> Finding {
    if let Err(error) = pins::check_bpffs(system) {
        return Finding::not_good("bpffs", Grade::Bad, error.to_string(), error.hint().unwrap_or_default());
    }
    let flags = rustix::fs::statvfs(&system.bpffs).map(|stat| stat.f_flag);
    if flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)) {
        return Finding::not_good(
            "bpffs",
            Grade::Bad,
            format!("`{}` is mounted read-only", system.bpffs.display()),
            format!("run `mount -o remount,rw {}` as root", system.bpffs.display()),
        );
    }
    Finding::good("bpffs", format!("mounted on {}", system.bpffs.display()))
}

/// Whether what is done can be noted: without that nothing is attached.
fn run(system: &System) -> Finding {
    const CHECK: &str = "run";
    let there = system.run.ancestors().find(|path| path.exists()).unwrap_or(&system.run);
    let bad = |what: String, remedy: &str| Finding::not_good(CHECK, Grade::Bad, what, remedy);
    match rustix::fs::statvfs(there) {
        Ok(stat) if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) => {
            let what = format!(
                "`{}` is read-only, so that nothing can be noted in `{}`",
                there.display(),
                system.run.display()
            );
            bad(what, "mount a tmpfs on /run, as systemd does")
        }
        // Some file systems have no limit, and say 0 for all.
        Ok(stat) if stat.f_blocks > 0 && stat.f_bavail == 0 => {
            let what =
                format!("`{}` is full, so that nothing can be noted in `{}`", there.display(), system.run.display());
            bad(
                what,
                "see with `du -x /run` what fills it; then run `udevadm trigger --action=add --subsystem-match=hid`",
            )
        }
        Ok(_) => Finding::good(CHECK, format!("`{}` can be written", system.run.display())),
        Err(error) => bad(format!("failed to look at `{}`: {error}", there.display()), "mount a tmpfs on /run"),
    }
}

/// The kernel's lockdown, where it has it. HID-BPF works in each of its modes.
fn lockdown(system: &System) -> Option<Finding> {
    let text = fs::read_to_string(system.sysfs.join("kernel/security/lockdown")).ok()?;
    let mode = text.split_once('[')?.1.split_once(']')?.0;
    let why = if mode == "none" {
        ""
    } else {
        "; that keeps off programs that read the kernel's memory, which drivers don't"
    };
    Some(Finding::good("lockdown", format!("{mode}{why}")))
}

/// The other loader of such drivers. Both may be there: what it has fixed is left alone.
fn udev_hid_bpf(system: &System) -> Option<Finding> {
    const PLACES: [&str; 2] = ["usr/bin/udev-hid-bpf", "usr/local/bin/udev-hid-bpf"];
    let path = PLACES.iter().map(|place| system.root.join(place)).find(|path| path.exists())?;
    let message = format!("`{}` is installed too: a device gets the driver of whichever comes first", path.display());
    Some(Finding::not_good("udev-hid-bpf", Grade::Warning, message, "remove one of the two packages"))
}

fn hid_core(system: &System) -> Finding {
    if system.hid_devices().is_dir() {
        Finding::good("hid", "the HID core is there")
    } else {
        Finding::not_good(
            "hid",
            Grade::Warning,
            "the HID core is not loaded, or sysfs not mounted",
            "run `modprobe hid` as root",
        )
    }
}

fn drivers(system: &System, catalog: &Catalog, findings: &mut Vec<Finding>) {
    let dirs: Vec<String> = system.driver_dirs.iter().map(|dir| dir.display().to_string()).collect();
    if catalog.drivers.is_empty() {
        findings.push(Finding::not_good(
            "drivers",
            Grade::Warning,
            format!("no drivers are installed in {}", dirs.join(", ")),
            "install a package of drivers, or copy `.bpf.o` files to /etc/hidbpf/drivers",
        ));
    } else {
        findings.push(Finding::good("drivers", format!("{} installed", catalog.drivers.len())));
    }
    for problem in &catalog.problems {
        let remedy = problem.hint().unwrap_or("install the driver again");
        findings.push(Finding::not_good("drivers", Grade::Warning, problem.to_string(), remedy));
    }
}

fn configuration(config: &Config, catalog: &Catalog, findings: &mut Vec<Finding>) {
    for error in config.problems.iter().map(Problem::error) {
        let remedy = error.hint().unwrap_or("mend the file").to_owned();
        findings.push(Finding::not_good("configuration", Grade::Warning, error.to_string(), remedy));
    }
    for entry in config.in_force() {
        let Some(driver) = catalog.drivers.iter().find(|driver| driver.name == entry.driver) else {
            let message = format!("{} is about the driver `{}`, which is not installed", entry.source, entry.driver);
            let remedy = "`hidbpf drivers` lists the drivers";
            findings.push(Finding::not_good("configuration", Grade::Warning, message, remedy));
            continue;
        };
        let Key::Option(name) = &entry.key else { continue };
        let why = match driver.manifest.option(name) {
            Some(option) => option.number(&entry.value).err(),
            None => Some("the driver has no such option".to_owned()),
        };
        if let Some(why) = why {
            let message = format!("{} sets the option `{}` of `{}`: {why}", entry.source, Printable(name), driver.name);
            let remedy = format!("`hidbpf get {}` shows the options", driver.name);
            findings.push(Finding::not_good("configuration", Grade::Warning, message, remedy));
        }
    }
    if !config.files.is_empty() && config.problems.is_empty() {
        let files: Vec<String> = config.files.iter().map(|file| file.display().to_string()).collect();
        findings.push(Finding::good("configuration", files.join(", ")));
    }
}

/// Where a file of udev's is looked for, the first wins: udev(7), hwdb(7).
fn udev_files<'a>(system: &'a System, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    ["etc/udev", "run/udev", "usr/local/lib/udev", "usr/lib/udev", "lib/udev"]
        .into_iter()
        .map(move |dir| system.root.join(dir).join(name))
        .filter(|path| path.exists())
}

fn rules(system: &System) -> Finding {
    match udev_files(system, "rules.d/81-hidbpf.rules").next() {
        // A link to /dev/null is how an administrator turns a rules file off.
        Some(path) if fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null")) => Finding::not_good(
            "rules",
            Grade::Warning,
            format!("`{}` masks the rules: udev attaches nothing", path.display()),
            format!("remove `{}`", path.display()),
        ),
        Some(path) => Finding::good("rules", path.display().to_string()),
        None => Finding::not_good(
            "rules",
            Grade::Bad,
            "udev has no 81-hidbpf.rules, so that devices are fixed only by `hidbpf load`",
            "install udev-rules/81-hidbpf.rules to /etc/udev/rules.d and run `udevadm control --reload`",
        ),
    }
}

fn udev(system: &System) -> Finding {
    if system.root.join("run/udev/control").exists() {
        Finding::good("udev", "running")
    } else {
        Finding::not_good("udev", Grade::Bad, "udev is not running", "start systemd-udevd")
    }
}

const MAKE_HWDB: &str = "run `hidbpf hwdb > /etc/udev/hwdb.d/81-hidbpf.hwdb && systemd-hwdb update` as root";

/// How the file of what this machine has beside the package is made.
const MAKE_LOCAL_HWDB: &str = "run `hidbpf config --apply` as root";

fn hwdb_text(system: &System, catalog: &Catalog, config: &Config) -> Finding {
    let not_good = |grade, message, remedy| Finding::not_good("hwdb", grade, message, remedy);
    let mut there = Entries::default();
    let mut paths = Vec::new();
    for name in [hwdb::FILE, hwdb::LOCAL_FILE] {
        let Some(path) = udev_files(system, &format!("hwdb.d/{name}")).next() else { continue };
        match fs::read_to_string(&path) {
            Ok(text) => there = there.and(Entries::of_text(&text)),
            Err(error) => {
                return not_good(Grade::Bad, format!("failed to read `{}`: {error}", path.display()), MAKE_HWDB);
            }
        }
        paths.push(path.display().to_string());
    }
    let there: BTreeSet<_> = there.pairs().collect();
    let knows = |pair| there.contains(&pair);
    let (local, all) = (Entries::local(system, catalog, config), Entries::automatic(&catalog.drivers));
    if let Some((driver, _)) = local.pairs().find(|pair| !knows(*pair)) {
        let message = format!("udev has no entry, or an old one, for the driver `{driver}` of this machine");
        return not_good(Grade::Warning, message, MAKE_LOCAL_HWDB);
    }
    if paths.is_empty() {
        return not_good(Grade::Bad, format!("udev has no {}", hwdb::FILE), MAKE_HWDB);
    }
    let is_gone = |name: &str| !catalog.drivers.iter().any(|driver| driver.name.as_str() == name);
    let stale = there.iter().any(|(driver, _)| is_gone(driver));
    if stale || !all.pairs().all(knows) {
        let message = format!("`{}` is not the one of the installed drivers", paths.join("` and `"));
        return not_good(Grade::Warning, message, MAKE_HWDB);
    }
    Finding::good("hwdb", paths.join(", "))
}

/// Asks the compiled database for each driver, as udev will.
fn compiled_hwdb(system: &System, catalog: &Catalog, config: &Config) -> Finding {
    let database = match udev::Hwdb::new() {
        Ok(database) => database,
        Err(error) => {
            let message = format!("failed to open udev's compiled hwdb: {error}");
            return Finding::not_good("compiled hwdb", Grade::Bad, message, MAKE_HWDB);
        }
    };
    let wanted = Entries::automatic(&catalog.drivers).and(Entries::local(system, catalog, config));
    let is_unknown = |&(driver, pattern): &(&str, &str)| {
        let query = format!("{}{}", hwdb::PREFIX, hwdb::example(pattern));
        !database.query(query).any(|entry| entry.value().to_str() == Some(driver))
    };
    let unknown: BTreeSet<&str> = wanted.pairs().filter(is_unknown).map(|(driver, _)| driver).collect();
    if unknown.is_empty() {
        Finding::good("compiled hwdb", "knows every installed driver that udev attaches")
    } else {
        let unknown = Vec::from_iter(unknown).join(", ");
        let message = format!("udev's compiled hwdb does not know {unknown}");
        Finding::not_good("compiled hwdb", Grade::Bad, message, "run `systemd-hwdb update` as root")
    }
}

fn devices(system: &System, findings: &mut Vec<Finding>) {
    let status = match Manager::new(system).status() {
        Ok(status) => status,
        Err(error) => {
            let remedy = error.hint().unwrap_or("run hidbpf as root").to_owned();
            findings.push(Finding::not_good("devices", Grade::Warning, error.to_string(), remedy));
            return;
        }
    };
    let name = |device: &DeviceStatus| format!("{} ({})", device.device, Printable(&device.hid_name));
    for device in &status {
        for failure in &device.failures {
            findings.push(Finding::not_good(
                "devices",
                Grade::Warning,
                format!("{}: {}", name(device), failure.message),
                failure.hint.as_deref().unwrap_or("unplug the device and plug it in"),
            ));
        }
        for driver in &device.drivers {
            let Some(wrong) = wrong(driver) else { continue };
            let message = format!("{}: the driver `{}` {wrong}", name(device), driver.driver);
            findings.push(Finding::not_good("devices", Grade::Warning, message, reload(driver, &device.device)));
        }
    }
    let attached = status.iter().filter(|device| !device.drivers.is_empty()).count();
    findings.push(Finding::good("devices", format!("{attached} with a driver")));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System {
            root: root.path().to_owned(),
            sysfs: root.path().join("sys"),
            run: root.path().join("run/hidbpf"),
            ..System::default()
        };
        (root, system)
    }

    #[test]
    fn releases_are_read_for_what_is_said_of_them() {
        assert_eq!(version("7.3.4+deb13-amd64"), Some((7, 3)));
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("6"), None);
        assert_eq!(version("next"), None);
    }

    #[test]
    fn the_distribution_is_known_by_its_id() {
        let (_root, debian) = machine(&[("etc/os-release", "NAME=\"Debian GNU/Linux\"\nID=debian\n")]);
        assert!(distribution_has(&debian).unwrap().contains("6.16.3"));
        let (_root, quoted) = machine(&[("etc/os-release", "ID=\"fedora\"\n")]);
        assert!(distribution_has(&quoted).unwrap().contains("Fedora 40"));
        let (_root, unknown) = machine(&[("etc/os-release", "ID=plan9\n")]);
        assert_eq!(distribution_has(&unknown), None);
        assert_eq!(distribution_has(&machine(&[]).1), None);
    }

    #[test]
    fn lockdown_is_shown_where_the_kernel_has_it() {
        const FILE: &str = "sys/kernel/security/lockdown";
        let (_root, locked) = machine(&[(FILE, "none [integrity] confidentiality\n")]);
        let finding = lockdown(&locked).unwrap();
        assert_eq!(finding.grade, Grade::Good);
        assert!(finding.message.starts_with("integrity; "), "{}", finding.message);
        let (_root, open) = machine(&[(FILE, "[none] integrity confidentiality\n")]);
        assert_eq!(lockdown(&open).unwrap().message, "none");
        assert_eq!(lockdown(&machine(&[]).1), None);
    }

    #[test]
    fn another_loader_is_named() {
        let (_root, both) = machine(&[("usr/bin/udev-hid-bpf", "")]);
        assert!(udev_hid_bpf(&both).unwrap().message.contains("usr/bin/udev-hid-bpf"));
        assert_eq!(udev_hid_bpf(&machine(&[]).1), None);
    }

    #[test]
    fn a_place_that_can_be_written_is_good() {
        let (_root, system) = machine(&[("run/x", "")]);
        assert_eq!(run(&system).grade, Grade::Good);
    }
}
