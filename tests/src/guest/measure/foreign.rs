//! Counts attaching the objects of Debian's udev-hid-bpf by hidbpf, beside udev-hid-bpf attaching them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hidbpf::catalog::Catalog;
use hidbpf::object::DriverObject;
use hidbpf::system::System;

use super::{MAIN, Meter, spent_by};
use crate::guest::bench::Plugged;
use crate::guest::cases::foreign::{DRIVERS, OBJECTS, generation_of, takes};
use crate::guest::cases::recordings;
use crate::uhid::Spec;

/// The number of attachments for the mean.
const REPEATED: u32 = 8;

/// The objects of one driver of the package, installed as `hidbpf install` does, until this is dropped.
struct Installed(Vec<PathBuf>);

impl Installed {
    fn new(driver: &DriverObject) -> Result<Installed> {
        let mut installed = Installed(Vec::new());
        fs::create_dir_all(DRIVERS).with_context(|| format!("failed to make `{DRIVERS}`"))?;
        for version in driver.all_versions() {
            let to = Path::new(DRIVERS).join(version.path.file_name().unwrap_or_default());
            fs::copy(&version.path, &to).with_context(|| format!("failed to write `{}`", to.display()))?;
            installed.0.push(to);
        }
        Ok(installed)
    }
}

impl Drop for Installed {
    fn drop(&mut self) {
        for path in &self.0 {
            // The machine ends with the figures.
            let _ = fs::remove_file(path);
        }
    }
}

/// Returns the drivers of the package. There are none in a machine without it.
fn package() -> Vec<DriverObject> {
    let system = System { driver_dirs: vec![OBJECTS.into()], ..System::default() };
    Catalog::read(&system).drivers
}

impl Meter<'_> {
    /// Counts attaching the package's object for the main device, which has the name of hidbpf's own driver.
    pub(super) fn foreign(&mut self, spec: &Spec) -> Result<()> {
        let package = package();
        let Some(driver) = package.iter().find(|driver| driver.name.as_str() == MAIN.0) else { return Ok(()) };
        let _installed = self.other.is_none().then(|| Installed::new(driver)).transpose()?;
        // The first fills the caches.
        self.count(MAIN.0, spec)?;
        let mut total = 0;
        for _ in 0..REPEATED {
            total += self.count(MAIN.0, spec)?.attach.total;
        }
        self.figure("foreign", "instructions", total / u64::from(REPEATED))
    }

    /// Counts attaching the package's object for each recorded device of a driver. Returns the most instructions, or `None` if there is no
    /// such object.
    pub(super) fn foreign_of(&mut self, driver: &str) -> Result<Option<u64>> {
        let generation = generation_of(self.bench);
        let package = package();
        let mut most = None;
        recordings::for_each(driver, |session| {
            for object in &package {
                let Ok(versions) = object.for_kernel(generation) else { continue };
                if !session.is_for(versions[0])? || !takes(object, generation, &session)? {
                    continue;
                }
                let _installed = Installed::new(object)?;
                let device = session.plug_unseen(self.bench)?;
                let attach = spent_by(&mut self.add(&[], object.name.as_str(), &device)?)?.total;
                expect_foreign(&device, object)?;
                most = most.max(Some(attach));
                self.unplug(device)?;
                self.bench.release()?;
                break;
            }
            Ok(())
        })?;
        Ok(most)
    }
}

/// Fails if a driver of the package is not attached to a device.
fn expect_foreign(device: &Plugged, driver: &DriverObject) -> Result<()> {
    let state = fs::read_to_string(device.state()).context("failed to read the device's state")?;
    let state: serde_json::Value = serde_json::from_str(&state).context("failed to parse the device's state")?;
    let object = state["drivers"][0]["object"].as_str().unwrap_or_default();
    let is_pinned = device.pinned_drivers()? == [driver.name.as_str()];
    ensure!(is_pinned && object.starts_with(DRIVERS), "`{}` was not attached: {state}", driver.name);
    Ok(())
}
