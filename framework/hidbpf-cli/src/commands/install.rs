//! `hidbpf install` and `hidbpf uninstall`.

use std::path::Path;

use hidbpf::apply::Applied;
use hidbpf::config::Config;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::install::{InstallChange, is_systems};
use hidbpf::local_hwdb;
use hidbpf::manager::Manager;
use hidbpf::matching::Verdict;
use hidbpf::names::DriverName;
use hidbpf::object::DriverObject;
use hidbpf_build::Sdk;

use super::build::failed;
use super::{Context, config, unload};
use crate::output::{self, Failures, Outcome};

pub fn install(context: &Context, what: &Path, dry_run: bool) -> Outcome {
    let system = &context.system;
    let driver = if what.is_dir() { built(what)? } else { DriverObject::read(what)? };
    let mut change = InstallChange::install(system, &driver)?;
    let (verb, done) = if change.replaces() { ("replace", "replaced") } else { ("install", "installed") };
    if dry_run {
        say(context, &format!("would {verb} {}: {}", driver.name, paths(&change)))?;
        would_renew(context, &change)?;
        let manager = Manager::new(system);
        for device in Device::all(system)? {
            let mut device = manager.unfixed(device);
            let verdict = manager.judge(&driver, &mut device);
            if matches!(verdict, Verdict::Matches { .. }) && driver.manifest.is_automatic() {
                say(context, &format!("would attach it to {}", device.name))?;
            }
        }
        return Ok(());
    }
    let attached = Manager::new(system).status()?;
    let is_on = |status: &hidbpf::manager::DeviceStatus| status.drivers.iter().any(|on| on.driver == driver.name);
    let replaced: Vec<_> = attached.iter().filter(|status| is_on(status)).map(|status| &status.device).collect();
    change.run()?;
    say(context, &format!("{} {done}: {}", driver.name, paths(&change)))?;
    if !driver.manifest.is_automatic() {
        tracing::warn!(
            "udev leaves it off, as it is {}: `hidbpf enable {}` has it attached",
            driver.manifest.kind,
            driver.name
        );
    }
    for device in replaced {
        tracing::warn!("on {device} it stays what it was: `hidbpf reload {} {device}` attaches this one", driver.name);
    }
    apply(context, &change, &driver.name)
}

pub fn uninstall(context: &Context, name: &DriverName, dry_run: bool) -> Outcome {
    let system = &context.system;
    let mut change = InstallChange::uninstall(system, name)?;
    let manager = Manager::new(system);
    let mut on = Vec::new();
    for device in if is_systems(system) { manager.attached_devices()? } else { Vec::new() } {
        if hidbpf::pins::of_device(system, &device)?.iter().any(|pinned| pinned.driver == *name) {
            on.push(device);
        }
    }
    if dry_run {
        say(context, &format!("would remove {name}: {}", paths(&change)))?;
        would_renew(context, &change)?;
        return on.iter().try_for_each(|device| say(context, &format!("would take it off {device}")));
    }
    change.run()?;
    say(context, &format!("{name} removed: {}", paths(&change)))?;
    let mut failures = Vec::new();
    for device in on {
        match manager.detach_if_attached(&device, name) {
            Ok(report) => {
                if !context.json {
                    report.iter().try_for_each(unload::line)?;
                }
                report.iter().for_each(unload::warn);
            }
            Err(error) => failures.push(error),
        }
    }
    if !failures.is_empty() {
        return Err(Failures::from(failures));
    }
    apply(context, &change, name)
}

/// Builds a driver's folder in a temporary directory, and runs the driver on its recordings.
fn built(folder: &Path) -> Result<DriverObject, Error> {
    let output = tempfile::tempdir()
        .map_err(|error| Error::because(ErrorKind::Io, "failed to make a directory to build in", error))?;
    let driver = hidbpf_build::build(&Sdk::Embedded, folder, output.path()).map_err(failed)?;
    for warning in &driver.warnings {
        tracing::warn!("{warning}");
    }
    let recordings = hidbpf_build::recordings(folder).map_err(failed)?;
    for checked in hidbpf_build::check(&driver.object, &recordings).map_err(failed)? {
        if !checked.difference.is_empty() {
            let what = format!(
                "the driver `{}` does not do what `{}` expects of it",
                driver.name,
                checked.recording.display()
            );
            let hint = format!("`hidbpf build {}` shows the difference", folder.display());
            return Err(Error::new(ErrorKind::BadObject, what).with_hint(hint));
        }
    }
    DriverObject::read(&driver.object)
}

/// Prints a line that isn't part of the JSON output, which only contains the changes to devices.
fn say(context: &Context, line: &str) -> Outcome {
    if context.json { Ok(()) } else { output::text(format_args!("{line}\n")) }
}

fn paths(change: &InstallChange<'_>) -> String {
    let paths: Vec<String> = change.targets.iter().map(|path| path.display().to_string()).collect();
    paths.join(", ")
}

fn would_renew(context: &Context, change: &InstallChange<'_>) -> Outcome {
    match &change.renewal {
        Some(renewal) if renewal.is_due() => {
            let path = local_hwdb::path(&context.system);
            say(context, &format!("would write {}, and have udev's hwdb compiled", path.display()))
        }
        _ => Ok(()),
    }
}

/// Applies the newly installed drivers to the connected devices.
fn apply(context: &Context, change: &InstallChange<'_>, name: &DriverName) -> Outcome {
    let system = &context.system;
    // Neither udev nor the devices use another directory.
    if !is_systems(system) {
        return if context.json { config::show(context, Applied::default()) } else { Ok(()) };
    }
    config::show(context, Manager::new(system).apply(&change.catalog, &Config::read(system), Some(name))?)
}
