//! The part of udev's hwdb that is this machine's own, kept in line with its drivers and its configuration.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::catalog::Catalog;
use crate::config::{Config, write_whole};
use crate::error::{Error, ErrorKind, Result};
use crate::hwdb::{Entries, LOCAL_FILE};
use crate::system::System;

/// Where the file is.
pub fn path(system: &System) -> PathBuf {
    system.root.join("etc/udev/hwdb.d").join(LOCAL_FILE)
}

/// The file as it is, and as it should be; `None` stands for no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    path: PathBuf,
    old: Option<String>,
    new: Option<String>,
}

impl Renewal {
    /// Looks what has to be written for these drivers and this configuration.
    ///
    /// # Errors
    /// The file is there and can't be read.
    pub fn of(system: &System, catalog: &Catalog, config: &Config) -> Result<Renewal> {
        let path = path(system);
        let entries = Entries::local(system, catalog, config);
        let old = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                return Err(Error::because(ErrorKind::Io, format!("failed to read `{}`", path.display()), error));
            }
        };
        let new = (!entries.is_empty()).then(|| entries.to_text());
        Ok(Renewal { path, old, new })
    }

    /// Whether there is something to do.
    pub fn is_due(&self) -> bool {
        self.old != self.new
    }

    /// Writes the file, has udev's hwdb compiled, and tells udev.
    ///
    /// # Errors
    /// One of these fails; the file is then what it was before.
    pub fn run(&self, system: &System) -> Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        put(&self.path, self.new.as_deref())?;
        compile(system).and_then(|()| reload(system)).inspect_err(|_| {
            // The error is the first one's. What was compiled meanwhile names a driver too many or too few, which the next run mends.
            let _ = put(&self.path, self.old.as_deref()).and_then(|()| compile(system));
        })
    }
}

fn put(path: &Path, text: Option<&str>) -> Result<()> {
    let write = || match text {
        Some(text) => {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            write_whole(path, text.as_bytes(), 0o644)
        }
        None => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    };
    write().map_err(|error| {
        Error::permission_or(ErrorKind::Io, format!("failed to write `{}`", path.display()), error)
            .with_hint("/etc must be writable, and this must run as root, for example with sudo")
    })
}

/// Whether udev's hwdb has to be compiled into /etc, where it hides the one of /usr: for files in /etc, and where there is no other.
fn is_own_needed(system: &System) -> bool {
    let entries = fs::read_dir(system.root.join("etc/udev/hwdb.d")).into_iter().flatten().flatten();
    let has_files = entries.map(|entry| entry.path()).any(|path| path.extension() == Some(OsStr::new("hwdb")));
    has_files || !system.root.join("usr/lib/udev/hwdb.bin").exists()
}

/// Has udev's hwdb compiled, into /etc: by systemd's program, or by that of older and other udevs.
fn compile(system: &System) -> Result<()> {
    if !is_own_needed(system) {
        let path = system.root.join("etc/udev/hwdb.bin");
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::permission_or(ErrorKind::Io, format!("failed to remove `{}`", path.display()), error))
            }
            _ => Ok(()),
        };
    }
    let root = system.root.as_os_str();
    let mut systemd = Command::new("systemd-hwdb");
    systemd.arg("update").arg("--root").arg(root);
    let mut other = Command::new("udevadm");
    other.arg("hwdb").arg("--update").arg("--root").arg(root);
    match run(&mut systemd) {
        Err(error) if error.kind() == ErrorKind::NoProgram => run(&mut other),
        result => result,
    }
}

/// Tells udev that its files have changed. One that does not run reads them when it starts, and one that does looks for itself every
/// 3 seconds at the latest.
fn reload(system: &System) -> Result<()> {
    if !system.root.join("run/udev/control").exists() {
        return Ok(());
    }
    run(Command::new("udevadm").arg("control").arg("--reload"))
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
    use super::*;

    #[test]
    fn what_was_compiled_goes_with_the_last_file_that_it_was_compiled_for() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), ..System::default() };
        let file = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        assert!(is_own_needed(&system));
        file("usr/lib/udev/hwdb.bin");
        assert!(!is_own_needed(&system));
        let other = file("etc/udev/hwdb.d/70-keyboard.hwdb");
        assert!(is_own_needed(&system));
        fs::remove_file(other).unwrap();
        file("etc/udev/hwdb.d/README");
        let (compiled, path) = (file("etc/udev/hwdb.bin"), path(&system));
        let renewal = Renewal { path: path.clone(), old: Some(String::new()), new: None };
        file("etc/udev/hwdb.d/82-hidbpf-local.hwdb");
        renewal.run(&system).unwrap();
        assert!(!compiled.exists() && !path.exists());
    }
}
