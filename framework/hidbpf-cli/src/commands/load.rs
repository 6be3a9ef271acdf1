//! `hidbpf load`.

use std::fmt;

use hidbpf::device::Device;
use hidbpf::effect::DescriptorEffect;
use hidbpf::manager::{LoadReport, Manager};
use hidbpf::text::Printable;

use super::Context;
use crate::output::{self, Outcome};

pub fn run(context: &Context, driver: &str, device: Option<&str>, force: bool) -> Outcome {
    let manager = Manager::new(&context.system);
    let driver = context.driver(driver)?;
    let names = match device {
        Some(device) => vec![Device::find(&context.system, device)?.name],
        None => manager.devices_for(&driver)?.into_iter().map(|device| device.name).collect(),
    };
    let mut loaded = Vec::new();
    let mut failures = Vec::new();
    for name in names {
        match manager.load(&driver, &name, force) {
            Ok(report) => loaded.push(report),
            Err(error) => failures.push(error),
        }
    }
    show(context, &loaded)?;
    if failures.is_empty() { Ok(()) } else { Err(failures.into()) }
}

/// Prints the attached drivers.
pub fn show(context: &Context, loaded: &[LoadReport]) -> Outcome {
    if context.json { output::json("loaded", &loaded) } else { output::text(Lines(loaded)) }
}

struct Lines<'a>(&'a [LoadReport]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for report in self.0 {
            if report.already {
                writeln!(f, "{} is attached to {} already", report.driver, report.device)?;
                continue;
            }
            let mut what = match report.change {
                DescriptorEffect::Fixed => vec!["descriptor fixed"],
                DescriptorEffect::Unchanged => vec!["descriptor left as it is"],
                DescriptorEffect::NotWanted if report.hooks.is_empty() => vec![],
                DescriptorEffect::NotWanted => vec!["reports fixed"],
            };
            if report.set_up {
                what.push("device set up");
            }
            let what = what.join(", ");
            writeln!(f, "{} attached to {} ({}): {what}", report.driver, report.device, Printable(&report.hid_name))?;
        }
        Ok(())
    }
}
