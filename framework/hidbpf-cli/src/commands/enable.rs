//! `hidbpf enable` and `hidbpf disable`.

use std::path::Path;

use hidbpf::apply::Applied;
use hidbpf::config::{self, Config, DeviceRule, Edit, Enablement, Key};
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::local_hwdb::Renewal;
use hidbpf::manager::Manager;
use hidbpf::matching::Verdict;
use hidbpf::names::DriverName;
use hidbpf::options::Value;
use hidbpf::system::System;

use super::Context;
use super::config::show;
use crate::args::OneDevice;
use crate::output::{self, Outcome};

pub fn enable(context: &Context, name: &DriverName, device: &OneDevice, force: bool) -> Outcome {
    let catalog = context.catalog();
    let driver = catalog.get(name.as_str())?;
    let found = find(context, device)?;
    let rule = found.as_ref().map(|found| DeviceRule::of(found, device.port));
    let others = Config::read(&context.system).without(name, rule.as_ref(), &Key::Enabled);
    let mut bind = None;
    let is_wanted = match &found {
        Some(found) => {
            let verdict = Manager::new(&context.system).judge(driver, &mut found.clone());
            let is_for = matches!(verdict, Verdict::Matches { .. });
            match others.enablement(name, found) {
                Enablement::Bound(_) => true,
                _ if !is_for && !force => {
                    let what = format!("the driver `{name}` is not for the device `{}`", found.name);
                    let hint = "`hidbpf doctor` with the device says why; `--force` binds it all the same";
                    return Err(Error::new(ErrorKind::NoMatch, what).with_hint(hint).into());
                }
                enablement => {
                    bind = (!is_for).then_some(Value::Bool(true));
                    !is_for
                        || matches!(enablement, Enablement::Enabled(_))
                        || enablement == Enablement::Unset && driver.manifest.is_automatic()
                }
            }
        }
        None => match others.find(name, None, &Key::Enabled) {
            Some(entry) => entry.value == Value::Bool(true),
            None => driver.manifest.is_automatic(),
        },
    };
    // Only written if it differs from the default.
    let enabled = (!is_wanted).then_some(Value::Bool(true));
    let mut edits = vec![edit(name, &rule, Key::Enabled, enabled)];
    edits.extend(bind.map(|bind| edit(name, &rule, Key::Bind, Some(bind))));
    change(context, name, &edits)
}

pub fn disable(context: &Context, name: &DriverName, device: &OneDevice) -> Outcome {
    let rule = find(context, device)?.map(|found| DeviceRule::of(&found, device.port));
    let catalog = context.catalog();
    // A driver that isn't installed can still be attached, or be installed later. An unknown name is a typing error.
    let is_known = catalog.get(name.as_str()).map(drop);
    let attached = Manager::new(&context.system).status()?;
    if !attached.iter().flat_map(|device| &device.drivers).any(|driver| driver.driver == *name) {
        is_known?;
    }
    let mut edits = vec![edit(name, &rule, Key::Enabled, Some(Value::Bool(false)))];
    if rule.is_some() {
        edits.push(edit(name, &rule, Key::Bind, None));
    }
    change(context, name, &edits)
}

fn edit(name: &DriverName, device: &Option<DeviceRule>, key: Key, value: Option<Value>) -> Edit {
    Edit { driver: name.clone(), device: device.clone(), key, value }
}

/// Returns the named device with the IDs that it has without drivers.
fn find(context: &Context, device: &OneDevice) -> Result<Option<Device>, Error> {
    let Some(text) = &device.device else { return Ok(None) };
    let found = Device::find(&context.system, text)?;
    if device.port && found.phys.is_empty() {
        let what = format!("the device `{}` does not say which port it is plugged into", found.name);
        return Err(Error::new(ErrorKind::NoMatch, what).with_hint("leave out `--port`"));
    }
    Ok(Some(Manager::new(&context.system).unfixed(found)))
}

/// Writes the configuration and updates udev's hwdb, both or neither. Then updates the devices.
fn change(context: &Context, name: &DriverName, edits: &[Edit]) -> Outcome {
    let system = &context.system;
    let undo = config::edit(system, edits)?;
    let catalog = context.catalog();
    if !context.json {
        output::text(format_args!("{name}: written to {}\n", undo.path().display()))?;
    }
    // Neither udev nor the devices use another directory.
    if system.config != Path::new(System::CONFIG) {
        return if context.json { show(context, Applied::default()) } else { Ok(()) };
    }
    let config = Config::read(system);
    let renewed = Renewal::of(system, &catalog, &config).and_then(|renewal| renewal.run(system, undo.lock()));
    if let Err(error) = renewed {
        undo.run()?;
        return Err(error.into());
    }
    drop(undo);
    let unmoved = config.in_force().into_iter().filter(|entry| {
        entry.driver == *name && entry.device.is_some() && edits.iter().all(|edit| edit.device.is_none())
    });
    for entry in unmoved.filter(|entry| matches!(entry.key, Key::Enabled | Key::Bind)) {
        if let Some(device) = &entry.device {
            tracing::warn!("on {device} it stays {} = {}, by {}", entry.key, entry.value, entry.source);
        }
    }
    show(context, Manager::new(system).apply(&catalog, &config, Some(name))?)
}
