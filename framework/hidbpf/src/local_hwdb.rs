//! The part of udev's hwdb for this machine. It follows the installed drivers and the configuration.

use std::fs;
use std::io;
use std::path::PathBuf;

use crate::catalog::Catalog;
use crate::compiled;
use crate::config::{ChangeLock, Config};
use crate::error::{Error, ErrorKind, Result};
use crate::etc;
use crate::hwdb::{Entries, LOCAL_FILE};
use crate::system::System;
use crate::udev_files;

/// Returns the path of the file.
pub fn path(system: &System) -> PathBuf {
    system.root.join("etc/udev/hwdb.d").join(LOCAL_FILE)
}

/// The current and the required file. `None` means no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    path: PathBuf,
    old: Option<String>,
    new: Option<String>,
    /// The entries about drivers in all hwdb files after the change.
    sources: Entries,
    /// Whether udev's compiled hwdb lacks current entries of its sources.
    is_behind: bool,
}

impl Renewal {
    /// Determines the required file for these drivers and this configuration.
    ///
    /// # Errors
    /// The file exists but can't be read.
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
        let others = udev_files::hwdb_sources(system).into_iter().filter(|other| *other != path);
        // The hwdb compiler reports unreadable files.
        let texts = others.filter_map(|other| fs::read_to_string(other).ok());
        let sources = texts.fold(entries, |all, text| all.and(Entries::of_text(&text)));
        let is_behind = compiled::is_behind(system, &sources);
        Ok(Renewal { path, old, new, sources, is_behind })
    }

    /// Returns whether there is anything to do.
    pub fn is_due(&self) -> bool {
        self.old != self.new || self.is_behind
    }

    /// Writes the file, compiles udev's hwdb, and notifies udev. `self` must have been created under the same lock.
    ///
    /// # Errors
    /// One of these steps failed. The file has its previous content.
    pub fn run(&self, system: &System, _lock: &ChangeLock) -> Result<()> {
        if !self.is_due() {
            return Ok(());
        }
        let is_changed = self.old != self.new;
        if is_changed {
            etc::put(&self.path, self.new.as_deref().map(str::as_bytes))?;
        }
        let compile = || compiled::compile(system, &self.sources);
        compile().and_then(|()| compiled::reload(system)).inspect_err(|_| {
            // Report the first error. The hwdb compiled meanwhile may have a driver too many or too few, which the next
            // run corrects.
            if is_changed {
                let _ = etc::put(&self.path, self.old.as_deref().map(str::as_bytes)).and_then(|()| compile());
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn what_was_compiled_goes_with_the_last_file_that_it_was_compiled_for() {
        let root = tempfile::tempdir().unwrap();
        let system = System { root: root.path().to_owned(), ..System::default() };
        let file = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let local = file("etc/udev/hwdb.d/82-hidbpf-local.hwdb", "hidbpf:hid:b0003\n HIDBPF_DRIVER_X=x\n");
        let compiled = file("etc/udev/hwdb.bin", "");
        let packages = file("usr/lib/udev/hwdb.bin", "");
        let soon = SystemTime::now() + Duration::from_secs(60);
        File::options().write(true).open(packages).unwrap().set_modified(soon).unwrap();
        let none = System { driver_dirs: Vec::new(), ..system };
        let renewal = Renewal::of(&none, &Catalog::default(), &Config::default()).unwrap();
        assert!(renewal.is_due());
        let config = System { config: root.path().join("etc/hidbpf"), ..none.clone() };
        renewal.run(&none, &ChangeLock::take(&config).unwrap()).unwrap();
        assert!(!compiled.exists() && !local.exists());
        assert!(!Renewal::of(&none, &Catalog::default(), &Config::default()).unwrap().is_due());
    }
}
