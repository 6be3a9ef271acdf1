//! `hidbpf config`.

use hidbpf::apply::Applied;
use hidbpf::config::{ChangeLock, Config, DIRECTORY, FILE};
use hidbpf::error::Error;
use hidbpf::local_hwdb::Renewal;
use hidbpf::manager::Manager;

use super::{Context, load, set, unload};
use crate::output::{self, Failures, Outcome};

pub fn run(context: &Context, apply: bool) -> Outcome {
    let lock = apply.then(|| ChangeLock::take(&context.system)).transpose()?;
    let config = Config::read(&context.system);
    let problems: Vec<Error> = config.problems.iter().map(hidbpf::config::Problem::error).collect();
    let Some(lock) = lock else {
        if context.json {
            let in_force: Vec<_> = config.in_force();
            let answer =
                serde_json::json!({ "files": config.files, "in-force": in_force, "problems": config.problems });
            output::json("config", &answer)?;
        } else {
            output::text(text(context, &config))?;
        }
        return if problems.is_empty() { Ok(()) } else { Err(problems.into()) };
    };
    // Entries that can't be read would count as absent.
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let catalog = context.catalog();
    Renewal::of(&context.system, &catalog, &config)?.run(&context.system, &lock)?;
    drop(lock);
    show(context, Manager::new(&context.system).apply(&catalog, &config, None)?)
}

fn text(context: &Context, config: &Config) -> String {
    let in_force = config.in_force();
    if in_force.is_empty() {
        let directory = context.system.config.display();
        return format!("nothing is configured in {directory}/{FILE} and {directory}/{DIRECTORY}\n");
    }
    let lines = in_force.iter().map(|entry| {
        let device = entry.device.as_ref().map(|device| format!(" on {device}")).unwrap_or_default();
        format!("{}{device}: {} = {}  ({})\n", entry.driver, entry.key, entry.value, entry.source)
    });
    lines.collect()
}

/// Prints the changes made to the devices, and the failures.
pub fn show(context: &Context, applied: Applied) -> Outcome {
    if context.json {
        output::json("applied", &applied)?;
    } else {
        applied.detached.iter().try_for_each(unload::line)?;
        for report in &applied.updated {
            output::text(format_args!("{}\n", set::line(report)))?;
        }
        load::show(context, &applied.attached)?;
    }
    applied.detached.iter().for_each(unload::warn);
    if applied.failed.is_empty() { Ok(()) } else { Err(Failures::from(applied.failed)) }
}
