//! What is inside a driver's object.

use std::collections::BTreeMap;

use hidbpf::object::{DriverObject, PROPERTY_PREFIX};

use crate::commands::Context;
use crate::output::{self, Outcome};

pub fn show(context: &Context, driver: &DriverObject) -> Outcome {
    let properties: Vec<&str> =
        driver.globals.keys().filter_map(|global| global.strip_prefix(PROPERTY_PREFIX)).collect();
    if context.json {
        let hooks: BTreeMap<String, _> =
            driver.hooks.iter().map(|(generation, hooks)| (generation.to_string(), hooks)).collect();
        return output::json(
            "driver",
            &serde_json::json!({
                "driver": driver.name,
                "object": driver.path,
                "size": driver.bytes().len(),
                "manifest": driver.manifest,
                "hooks": hooks,
                "probe": driver.has_probe,
                "properties": properties,
            }),
        );
    }
    output::write(|stdout| {
        let manifest = &driver.manifest;
        writeln!(stdout, "{}: {}", driver.name, manifest.device)?;
        writeln!(stdout, "  {}", manifest.summary)?;
        writeln!(stdout, "  object: {} ({} bytes)", driver.path.display(), driver.bytes().len())?;
        for (generation, hooks) in &driver.hooks {
            let hooks: Vec<String> = hooks.iter().map(ToString::to_string).collect();
            writeln!(stdout, "  {generation}: {}", hooks.join(", "))?;
        }
        if driver.has_probe {
            writeln!(stdout, "  has a program that may refuse a device")?;
        }
        for property in properties {
            writeln!(stdout, "  reads the udev property {property}")?;
        }
        for (index, rule) in manifest.matches.iter().enumerate() {
            let label = rule.name(index);
            let rule = serde_json::to_value(rule)?;
            let parts: Vec<String> = rule
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(key, _)| *key != "label")
                .map(|(key, value)| match (key.as_str(), value.as_u64()) {
                    ("vendor" | "product", Some(number)) => format!("{key} {number:04X}"),
                    _ => format!("{key} {}", value.to_string().trim_matches('"')),
                })
                .collect();
            writeln!(stdout, "  matches by {label}: {}", parts.join(", "))?;
        }
        Ok(())
    })
}
