//! `hidbpf install --from-udev-hid-bpf` and `hidbpf uninstall --from-udev-hid-bpf`.

use hidbpf::config::Config;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manager::Manager;
use hidbpf::matching::Verdict;
use hidbpf::pins;
use hidbpf::takeover::{self, Takeover};

use super::{Context, config};
use crate::output::{self, Failures, Outcome};

pub fn take_over(context: &Context, dry_run: bool) -> Outcome {
    let system = &context.system;
    let mut takeover = Takeover::new(system)?;
    if dry_run {
        return plan(context, &takeover);
    }
    let catalog = takeover.run()?;
    done(context, &takeover)?;
    let manager = Manager::new(system);
    let (mut released, mut failures) = (Vec::new(), Vec::new());
    for device in Device::all(system)? {
        match manager.release_from_udev_hid_bpf(&device.name) {
            Ok(programs) if programs.is_empty() => {}
            Ok(programs) => {
                say(context, &format!("{} detached from {}, by udev-hid-bpf", programs.join(" and "), device.name))?;
                released.push(device.name);
            }
            Err(error) if matches!(error.kind(), ErrorKind::Gone | ErrorKind::NoDevice) => {}
            Err(error) => failures.push(error),
        }
    }
    let applied = manager.apply(&catalog, &Config::read(system), None)?;
    // udev's rules have changed, so that udev may have been faster.
    released.retain(|device| !applied.attached.iter().any(|report| report.device == *device));
    for device in released {
        for pinned in pins::of_device(system, &device)? {
            say(context, &format!("{} attached to {device}, by udev", pinned.driver))?;
        }
    }
    config::show(context, applied)?;
    if failures.is_empty() { Ok(()) } else { Err(Failures::from(failures)) }
}

pub fn give_back(context: &Context, dry_run: bool) -> Outcome {
    let system = &context.system;
    let mut takeover = Takeover::back(system)?;
    if dry_run {
        return plan(context, &takeover);
    }
    let catalog = takeover.run()?;
    done(context, &takeover)?;
    let objects = takeover::objects(system);
    let manager = Manager::new(system);
    let mut failures: Vec<Error> = Vec::new();
    let is_gone = |error: &Error| matches!(error.kind(), ErrorKind::Gone | ErrorKind::NoDevice);
    for device in manager.attached_devices()? {
        let Ok(found) = Device::open(system, &device) else { continue };
        let mut found = manager.unfixed(found);
        let is_theirs = objects.iter().any(|object| !matches!(manager.judge(object, &mut found), Verdict::No));
        if !is_theirs {
            continue;
        }
        let had: Vec<_> = pins::of_device(system, &device)?.into_iter().map(|pinned| pinned.driver).collect();
        match manager.return_to_udev_hid_bpf(&device) {
            Ok(true) => say(context, &format!("{device} returned to udev-hid-bpf"))?,
            // udev-hid-bpf has nothing for the device after all.
            Ok(false) => {
                let drivers = catalog.drivers.iter().filter(|driver| had.contains(&driver.name));
                for driver in drivers {
                    failures.extend(manager.load(driver, &device, false).err().filter(|error| !is_gone(error)));
                }
            }
            Err(error) if is_gone(&error) => {}
            Err(error) => failures.push(error),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(Failures::from(failures)) }
}

/// Prints what a command would do.
fn plan(context: &Context, takeover: &Takeover<'_>) -> Outcome {
    tell(context, takeover)?;
    for (path, is_there) in takeover.paths() {
        let verb = if is_there { "write" } else { "remove" };
        say(context, &format!("would {verb} {}", path.display()))?;
    }
    Ok(())
}

fn done(context: &Context, takeover: &Takeover<'_>) -> Outcome {
    tell(context, takeover)?;
    for (path, is_there) in takeover.paths() {
        say(context, &format!("{} {}", if is_there { "wrote" } else { "removed" }, path.display()))?;
    }
    Ok(())
}

/// Prints what is not taken over.
fn tell(context: &Context, takeover: &Takeover<'_>) -> Outcome {
    for (path, why) in &takeover.left_out {
        say(context, &format!("{} is not taken over: {why}", path.display()))?;
    }
    takeover.problems.iter().for_each(|error| tracing::warn!("{error}"));
    Ok(())
}

/// Prints a line that isn't part of the JSON output, which only contains the changes to devices.
fn say(context: &Context, line: &str) -> Outcome {
    if context.json { Ok(()) } else { output::text(format_args!("{line}\n")) }
}
