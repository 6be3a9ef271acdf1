//! What is inside a driver's object.

use std::collections::BTreeMap;

use hidbpf::object::DriverObject;

use crate::commands::Context;
use crate::commands::drivers::{rules, sentences};
use crate::output::{self, Outcome};

pub fn show(context: &Context, driver: &DriverObject) -> Outcome {
    let properties: Vec<&str> = driver.properties().collect();
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
        write!(stdout, "{}", sentences(&driver.name, &driver.manifest))?;
        writeln!(stdout, "  object: {} ({} bytes)", driver.path.display(), driver.bytes().len())?;
        for (generation, hooks) in &driver.hooks {
            let hooks: Vec<String> = hooks.iter().map(ToString::to_string).collect();
            writeln!(stdout, "  {generation}: {}", hooks.join(", "))?;
        }
        if driver.has_probe {
            writeln!(stdout, "  has a program that may refuse a device")?;
        }
        write!(stdout, "{}", rules(driver))
    })
}
