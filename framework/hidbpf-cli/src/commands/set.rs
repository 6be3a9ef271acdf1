//! `hidbpf set`.

use std::collections::BTreeMap;

use hidbpf::config::{self, Config, DeviceRule, Edit, Key};
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manager::Manager;
use hidbpf::object::DriverObject;
use hidbpf::options::{DriverOption, Value};
use hidbpf::set_options::{OptionUpdate, SetReport};
use hidbpf::system::System;
use hidbpf::text::Printable;

use super::Context;
use crate::output::{self, Outcome};

/// Parses an option's value.
///
/// # Errors
/// The driver has no such option, or the value is invalid.
pub fn parse<'a>(driver: &'a DriverObject, name: &str, text: &str) -> Result<(&'a DriverOption, Value), Error> {
    let option = find(driver, name)?;
    let value = option.parse(text).map_err(|why| {
        let what = format!("failed to set the option `{name}` of the driver `{}`: {why}", driver.name);
        Error::new(ErrorKind::Config, what).with_hint(format!("`hidbpf get {}` shows what it can be", driver.name))
    })?;
    Ok((option, value))
}

fn find<'a>(driver: &'a DriverObject, name: &str) -> Result<&'a DriverOption, Error> {
    driver.manifest.option(name).ok_or_else(|| {
        let names: Vec<&str> = driver.manifest.options.iter().map(|option| option.name.as_str()).collect();
        let hint = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let what = format!("the driver `{}` has no option `{}`", driver.name, Printable(name));
        Error::new(ErrorKind::Config, what).with_hint(hint)
    })
}

pub fn run(context: &Context, driver: &str, what: &[String], save: bool, port: bool) -> Outcome {
    let system = &context.system;
    let catalog = context.catalog();
    let driver = catalog.get(driver)?;
    let mut device = None;
    let mut values = BTreeMap::new();
    for (index, word) in what.iter().enumerate() {
        match word.split_once('=') {
            Some((name, "")) => drop(values.insert(find(driver, name)?.name.clone(), None)),
            Some((name, text)) => {
                let (option, value) = parse(driver, name, text)?;
                values.insert(option.name.clone(), Some(value));
            }
            None if index == 0 => device = Some(Device::find(system, word)?),
            None => {
                let what = format!("`{}` is not an option", Printable(word));
                return Err(Error::new(ErrorKind::Config, what).with_hint("expected `KEY=VALUE`").into());
            }
        }
    }
    if values.is_empty() {
        let what = format!("there is nothing to set of the driver `{}`", driver.name);
        return Err(Error::new(ErrorKind::Config, what).with_hint("expected `KEY=VALUE`").into());
    }
    if save {
        keep(context, driver, device.as_ref().map(|device| DeviceRule::of(device, port)), &values)?;
        // Neither udev nor the devices use another directory.
        if system.config != std::path::Path::new(System::CONFIG) {
            return Ok(());
        }
    }
    let manager = Manager::new(system);
    let (mut updated, mut failures) = (Vec::new(), Vec::new());
    for name in manager.attached_devices()? {
        let is_meant = match &device {
            Some(device) => device.name == name,
            None => hidbpf::pins::of_device(system, &name)?.iter().any(|pinned| pinned.driver == driver.name),
        };
        if !is_meant {
            continue;
        }
        // A saved option comes from the configuration, so a value that was set earlier by hand must not override it.
        let by_hand = if save { values.keys().map(|name| (name.clone(), None)).collect() } else { values.clone() };
        match manager.set(driver, &name, &by_hand) {
            Ok(report) => updated.push(report),
            Err(error) if save && error.kind() == ErrorKind::NotAttached => {}
            Err(error) => failures.push(error),
        }
    }
    if updated.is_empty() && failures.is_empty() && !save {
        let where_ = match &device {
            Some(device) => format!("not attached to the device `{}`", device.name),
            None => "attached to no device".to_owned(),
        };
        let what = format!("the driver `{}` is {where_}", driver.name);
        let hint = "`--save` keeps an option for when it is; `hidbpf load` attaches it";
        return Err(Error::new(ErrorKind::NotAttached, what).with_hint(hint).into());
    }
    show(context, &updated)?;
    if failures.is_empty() { Ok(()) } else { Err(failures.into()) }
}

/// Writes options to the configuration.
fn keep(
    context: &Context,
    driver: &DriverObject,
    device: Option<DeviceRule>,
    values: &BTreeMap<String, Option<Value>>,
) -> Outcome {
    let edit = |(name, value): (&String, &Option<Value>)| Edit {
        driver: driver.name.clone(),
        device: device.clone(),
        key: Key::Option(name.clone()),
        value: value.clone(),
    };
    let edits: Vec<Edit> = values.iter().map(edit).collect();
    let undo = config::edit(&context.system, &edits)?;
    if !context.json {
        output::text(format_args!("{}: written to {}\n", driver.name, undo.path().display()))?;
    }
    for entry in Config::read(&context.system).in_force() {
        let Some(rule) = &entry.device else { continue };
        if device.is_none() && entry.driver == driver.name && edits.iter().any(|edit| edit.key == entry.key) {
            tracing::warn!("on {rule} it stays {} = {}, by {}", entry.key, entry.value, entry.source);
        }
    }
    Ok(())
}

fn show(context: &Context, updated: &[SetReport]) -> Outcome {
    if context.json {
        return output::json("set", &updated);
    }
    updated.iter().try_for_each(|report| output::text(format_args!("{}\n", line(report))))
}

/// Describes how a driver's options were changed.
pub fn line(report: &SetReport) -> String {
    let how = match report.updated {
        OptionUpdate::Unchanged => "as it was",
        OptionUpdate::AtOnce => "set",
        OptionUpdate::Reattached => "set, and the driver reattached",
    };
    format!("{} on {}: {how}", report.driver, report.device)
}
