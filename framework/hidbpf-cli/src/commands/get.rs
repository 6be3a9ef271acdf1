//! `hidbpf get`.

use hidbpf::config::Config;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manager::Manager;
use hidbpf::names::DriverName;
use hidbpf::set_options::OptionStatus;

use super::Context;
use crate::log;
use crate::output::{self, Outcome};

pub fn run(context: &Context, driver: Option<&str>, device: Option<&str>) -> Outcome {
    let system = &context.system;
    let catalog = context.catalog();
    let named = driver.map(|name| catalog.get(name)).transpose()?;
    let device = device.map(|text| Device::find(system, text)).transpose()?;
    let manager = Manager::new(system);
    let config = Config::read(system);
    for problem in &config.problems {
        log::warn(&problem.error());
    }
    let drivers = catalog.drivers.iter().filter(|driver| named.is_none_or(|named| named.name == driver.name));
    let mut answers = Vec::new();
    for driver in drivers.filter(|driver| !driver.manifest.options.is_empty()) {
        let devices = match &device {
            Some(device) => vec![device.clone()],
            None => attached(context, &driver.name)?,
        };
        if devices.is_empty() {
            answers.push(manager.options(driver, None, &config)?);
        }
        for device in &devices {
            answers.push(manager.options(driver, Some(device), &config)?);
        }
    }
    if let (true, Some(named)) = (answers.is_empty(), named) {
        let what = format!("the driver `{}` has no options", named.name);
        return Err(Error::new(ErrorKind::NoMatch, what).into());
    }
    if context.json { output::json("options", &answers) } else { output::text(text(&answers)) }
}

/// Returns the devices that a driver is attached to, as far as this process can see.
fn attached(context: &Context, driver: &DriverName) -> Result<Vec<Device>, Error> {
    let status = Manager::new(&context.system).status()?;
    let on = status.iter().filter(|device| device.present && device.drivers.iter().any(|on| on.driver == *driver));
    on.map(|status| Device::open(&context.system, &status.device)).collect()
}

fn text(answers: &[OptionStatus<'_>]) -> String {
    let mut text = String::new();
    for answer in answers {
        match &answer.device {
            Some(device) => text += &format!("{} on {device}\n", answer.driver),
            None => text += &format!("{}\n", answer.driver),
        }
        for set in &answer.options {
            let option = set.option;
            text += &format!("  {} = {}  ({})\n", option.name, set.value, set.origin);
            text += &format!("    {} Can be {}; default {}", option.description, option.range(), option.default);
            text += if option.reattach { "; a change reattaches the driver\n" } else { "\n" };
        }
        for problem in &answer.problems {
            text += &format!("  {problem}\n");
        }
    }
    text
}
