//! `hidbpf status`.

use std::fmt;

use hidbpf::config::Config;
use hidbpf::effect::DescriptorEffect;
use hidbpf::loader::LoaderKind;
use hidbpf::manager::{Condition, DeviceStatus, DriverStatus, LeftOff, Manager};
use hidbpf::names::DriverName;
use hidbpf::state::SwitchState;
use hidbpf::text::Printable;

use super::Context;
use crate::log;
use crate::output::{self, Outcome};

pub fn run(context: &Context) -> Outcome {
    let status = Manager::new(&context.system).status()?;
    if status.iter().flat_map(|device| &device.drivers).any(|driver| driver.condition == Condition::Unverified) {
        tracing::warn!("only root can look at the pins; this is what was remembered when the drivers were attached");
    }
    for problem in Config::read(&context.system).problems {
        log::warn(&problem.error());
    }
    if context.json { output::json("status", &status) } else { output::text(Lines(&status)) }
}

struct Lines<'a>(&'a [DeviceStatus]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "no driver is attached");
        }
        for device in self.0 {
            let gone = if device.present { "" } else { " (gone)" };
            writeln!(f, "{} {}{gone}", device.device, Printable(&device.hid_name))?;
            for driver in &device.drivers {
                writeln!(f, "  {}: {}", driver.driver, describe(driver))?;
                if let Some(note) = &driver.note {
                    writeln!(f, "    {}", Printable(note))?;
                }
                for (map, path) in &driver.maps {
                    writeln!(f, "    other programs may open its map {map}: {}", path.display())?;
                }
                for (property, value) in &driver.exports {
                    writeln!(f, "    gives it the udev property {property}={value}")?;
                }
            }
            for SwitchState { driver, answers, problem, undone } in &device.mode_switches {
                let told: Vec<String> =
                    answers.iter().map(|(name, value)| format!("{name}={}", Printable(value))).collect();
                match problem {
                    None => writeln!(f, "  {driver}: mode switched, {}", told.join(", "))?,
                    Some(problem) => {
                        writeln!(f, "  {driver}: {}\n    {}", Printable(&problem.message), Printable(&problem.hint))?;
                        if *undone {
                            writeln!(f, "    it had told {}", told.join(", "))?;
                        }
                    }
                }
            }
            for LeftOff { driver, reason, hint } in &device.left_off {
                writeln!(f, "  {driver}: left off: {reason}\n    {hint}")?;
            }
            let is_listed = |driver: &DriverName| device.left_off.iter().any(|left| left.driver == *driver);
            for driver in device.unloaded.iter().filter(|driver| !is_listed(driver)) {
                writeln!(f, "  {driver}: unloaded by hand")?;
            }
            for failure in &device.failures {
                let step = failure.step.map(|step| format!(" (step {step})")).unwrap_or_default();
                writeln!(f, "  failed: {}{step}", Printable(&failure.message))?;
                if let Some(hint) = &failure.hint {
                    writeln!(f, "    {}", Printable(hint))?;
                }
            }
        }
        Ok(())
    }
}

fn describe(driver: &DriverStatus) -> String {
    let mut words = vec![
        match driver.condition {
            Condition::Attached => "attached",
            Condition::NotFixed => "attached, but the current descriptor is the original one",
            Condition::Interrupted => "not attached: something interrupted it",
            Condition::Unverified => "was attached",
        }
        .to_owned(),
    ];
    words.extend(driver.change.map(|change| {
        match change {
            DescriptorEffect::Fixed => "descriptor fixed",
            DescriptorEffect::Unchanged => "descriptor left as it is",
            DescriptorEffect::NotWanted => "descriptor not touched",
        }
        .to_owned()
    }));
    words.extend(driver.generation.map(|generation| generation.to_string()));
    match &driver.rule {
        Some(rule) => words.push(format!("by {rule}")),
        None if driver.generation.is_some() => words.push("forced".to_owned()),
        None => {}
    }
    words.extend(driver.loaded.as_ref().map(|kind| match kind {
        LoaderKind::Fast => "loaded the fast way".to_owned(),
        LoaderKind::Libbpf { why } => format!("loaded by libbpf ({})", Printable(why)),
    }));
    words.join(", ")
}
