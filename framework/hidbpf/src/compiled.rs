//! udev's compiled hwdb, which udev queries: where it is, whether it is up to date, and how to compile it.
//!
//! A compiled hwdb in /etc hides the one in /usr, which packages keep up to date. So hidbpf only compiles one in /etc
//! if necessary.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::error::{Error, ErrorKind, Result};
use crate::hwdb::{self, Entries};
use crate::system::System;
use crate::udev_files;

/// The possible locations, in libudev's order.
const PLACES: [&str; 6] = [
    "etc/systemd/hwdb/hwdb.bin",
    OWN,
    "usr/lib/systemd/hwdb/hwdb.bin",
    "lib/systemd/hwdb/hwdb.bin",
    "usr/lib/udev/hwdb.bin",
    "lib/udev/hwdb.bin",
];

/// The administrator's compiled hwdb.
const OWN: &str = "etc/udev/hwdb.bin";

/// Returns the compiled hwdb that udev queries.
pub(crate) fn path(system: &System) -> Option<PathBuf> {
    PLACES.iter().map(|place| system.root.join(place)).find(|path| path.exists())
}

/// Returns the compiled hwdb in /etc if no file in /etc/udev/hwdb.d needs it and it hides a newer one in /usr.
pub(crate) fn outdated(system: &System) -> Option<PathBuf> {
    let path = system.root.join(OWN);
    let compiled = changed(&path);
    let is_newer = packages(system).any(|other| changed(&other) > compiled);
    (path.exists() && !is_own_needed(system) && is_newer).then_some(path)
}

/// Iterates over the compiled hwdbs that packages keep up to date.
fn packages(system: &System) -> impl Iterator<Item = PathBuf> + '_ {
    let places = PLACES.iter().filter(|place| !place.starts_with("etc"));
    places.map(|place| system.root.join(place)).filter(|path| path.exists())
}

/// Returns when a file was last written, or a directory entry changed.
fn changed(path: &Path) -> SystemTime {
    path.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Returns the drivers for which the compiled hwdb lacks some of these entries.
///
/// # Errors
/// There is no compiled hwdb, or it is damaged.
pub(crate) fn unknown(entries: &Entries) -> io::Result<BTreeSet<&str>> {
    let database = udev::Hwdb::new()?;
    let is_unknown = |&(driver, pattern): &(&str, &str)| {
        let query = format!("{}{}", hwdb::PREFIX, hwdb::example(pattern));
        !database.query(query).any(|entry| entry.value().to_str() == Some(driver))
    };
    Ok(entries.pairs().filter(is_unknown).map(|(driver, _)| driver).collect())
}

/// Returns whether compiling would change the entries about drivers.
pub(crate) fn is_behind(system: &System, sources: &Entries) -> bool {
    if outdated(system).is_some() {
        return true;
    }
    let Some(path) = path(system) else { return !sources.is_empty() };
    let compiled = changed(&path);
    udev_files::hwdb_directories(system).any(|directory| changed(&directory) > compiled)
        || system.root == Path::new("/") && unknown(sources).map_or(true, |drivers| !drivers.is_empty())
}

/// Returns whether the compiled hwdb must be in /etc: for files in /etc/udev/hwdb.d, or if there is no other.
fn is_own_needed(system: &System) -> bool {
    let entries = fs::read_dir(system.root.join(udev_files::OWN_HWDB)).into_iter().flatten().flatten();
    let has_files = entries.map(|entry| entry.path()).any(|path| udev_files::is_hwdb(&path));
    has_files || packages(system).next().is_none()
}

/// Compiles the hwdb, in /etc if it must be there, otherwise in /usr.
///
/// # Errors
/// systemd-hwdb or udevadm fails, or neither is installed. Or the compiled hwdb in /etc can't be removed.
pub(crate) fn compile(system: &System, sources: &Entries) -> Result<()> {
    if is_own_needed(system) {
        return update(system, false);
    }
    let path = system.root.join(OWN);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let what = format!("failed to remove `{}`", path.display());
            return Err(Error::permission_or(ErrorKind::Io, what, error));
        }
        _ => {}
    }
    if !is_behind(system, sources) {
        return Ok(());
    }
    // /usr may be read-only.
    update(system, true).or_else(|_| update(system, false))
}

/// Runs systemd-hwdb, or udevadm for older and other udevs.
fn update(system: &System, in_usr: bool) -> Result<()> {
    let to = |command: &mut Command| {
        command.arg("--root").arg(&system.root);
        if in_usr {
            command.arg("--usr");
        }
    };
    let mut systemd = Command::new("systemd-hwdb");
    to(systemd.arg("update"));
    let mut other = Command::new("udevadm");
    to(other.arg("hwdb").arg("--update"));
    match run(&mut systemd) {
        Err(error) if error.kind() == ErrorKind::NoProgram => run(&mut other),
        result => result,
    }
}

/// Tells udev that its files have changed. udev reads them at its start, and checks for changes every 3 seconds at the
/// latest.
///
/// Where udevd makes its control socket itself (without systemd), it ignores a message that arrives between its accept()
/// and its setsockopt(SO_PASSCRED), because the kernel adds no credentials to it (src/udev/udev-ctrl.c: "Invalid sender
/// uid 65534"). udevadm then fails with EPIPE in most cases, and this asks again. If udevadm does not notice, udevd sees
/// the change at its next check.
///
/// # Errors
/// udevadm fails each time or is not installed.
pub(crate) fn reload(system: &System) -> Result<()> {
    if !system.root.join("run/udev/control").exists() {
        return Ok(());
    }
    repeated(|| run(Command::new("udevadm").arg("control").arg("--reload")))
}

/// Calls `attempt` up to three times, until it succeeds or fails because the program is not installed.
fn repeated(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    let may_pass = |result: &Result<()>| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Io);
    let mut result = attempt();
    for _ in 0..2 {
        if may_pass(&result) {
            result = attempt();
        }
    }
    result
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| {
        let kind = if error.kind() == io::ErrorKind::NotFound { ErrorKind::NoProgram } else { ErrorKind::Io };
        Error::because(kind, format!("failed to run `{name}`"), error).with_hint("it belongs to udev")
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Error::new(ErrorKind::Io, format!("`{name}` failed ({})", output.status)).with_log(said))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_failure_that_may_pass_is_not_the_end() {
        let ending_at = |failures: usize, kind| {
            let mut calls = 0;
            let result = repeated(|| {
                calls += 1;
                if calls > failures { Ok(()) } else { Err(Error::new(kind, "failed")) }
            });
            (result.is_ok(), calls)
        };
        assert_eq!(ending_at(0, ErrorKind::Io), (true, 1));
        assert_eq!(ending_at(2, ErrorKind::Io), (true, 3));
        assert_eq!(ending_at(3, ErrorKind::Io), (false, 3));
        assert_eq!(ending_at(1, ErrorKind::NoProgram), (false, 1));
    }

    #[test]
    fn one_in_etc_is_for_files_in_etc_or_where_there_is_no_other() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), ..System::default() };
        let file = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let set_changed =
            |path: &Path, time| File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        assert!(is_own_needed(&system));
        assert_eq!((path(&system), outdated(&system)), (None, None));
        let usr = file("usr/lib/udev/hwdb.bin");
        set_changed(&usr, SystemTime::now() + Duration::from_secs(60));
        assert!(!is_own_needed(&system));
        let other = file("etc/udev/hwdb.d/70-keyboard.hwdb");
        assert!(is_own_needed(&system));
        let own = file(OWN);
        assert_eq!((path(&system), outdated(&system)), (Some(own.clone()), None));
        fs::remove_file(other).unwrap();
        file("etc/udev/hwdb.d/README");
        assert_eq!(outdated(&system), Some(own.clone()));
        assert!(is_behind(&system, &Entries::default()));
        compile(&system, &Entries::default()).unwrap();
        assert!(!own.exists());
        assert_eq!(path(&system), Some(usr.clone()));
        assert!(!is_behind(&system, &Entries::default()));
        // A directory entry in hwdb.d changed after compilation.
        set_changed(&usr, SystemTime::UNIX_EPOCH);
        assert!(is_behind(&system, &Entries::default()));
    }

    #[test]
    fn without_one_what_a_source_says_is_missing() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), ..System::default() };
        assert!(!is_behind(&system, &Entries::default()));
        let text = "hidbpf:hid:b0003g*v1p2\n HIDBPF=1\n HIDBPF_DRIVER_X=x\n";
        assert!(is_behind(&system, &Entries::of_text(text)));
    }
}
