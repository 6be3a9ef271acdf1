//! Prints the content of a driver's object.

use std::collections::BTreeMap;

use hidbpf::error::{Error, ErrorKind};
use hidbpf::object::DriverObject;
use hidbpf::replay::{ListedInstruction, Listing, disassemble};
use hidbpf::text::Printable;
use serde_json::json;

use crate::commands::Context;
use crate::commands::drivers::{rules, sentences, versions};
use crate::output::{self, Outcome};

pub fn show(context: &Context, driver: &DriverObject) -> Outcome {
    let properties: Vec<&str> = driver.properties().into_iter().collect();
    if context.json {
        let each = || driver.hooks.iter().map(|(generation, hooks)| (generation.to_string(), hooks));
        let hooks: BTreeMap<String, Vec<_>> =
            each().map(|(generation, hooks)| (generation, hooks.keys().collect())).collect();
        let instructions: BTreeMap<String, _> = each().collect();
        return output::json(
            "driver",
            &serde_json::json!({
                "driver": driver.name,
                "object": driver.path,
                "size": driver.bytes().len(),
                "manifest": driver.manifest,
                "hooks": hooks,
                "instructions": instructions,
                "probe": driver.has_probe,
                "setup": driver.has_setup,
                "foreign": driver.origin.is_foreign(),
                "maps": driver.maps,
                "properties": properties,
            }),
        );
    }
    output::write(|stdout| {
        write!(stdout, "{}", sentences(&driver.name, &driver.manifest))?;
        writeln!(stdout, "  object: {} ({} bytes)", driver.path.display(), driver.bytes().len())?;
        for (generation, hooks) in driver.hooks.iter().filter(|(_, hooks)| !hooks.is_empty()) {
            let hooks: Vec<String> =
                hooks.iter().map(|(hook, instructions)| format!("{hook} ({instructions} instructions)")).collect();
            writeln!(stdout, "  {generation}: {}", hooks.join(", "))?;
        }
        if driver.has_probe {
            writeln!(stdout, "  has a program that may refuse a device")?;
        }
        if !driver.maps.is_empty() {
            let maps: Vec<&str> = driver.maps.iter().map(String::as_str).collect();
            writeln!(stdout, "  maps: {}", maps.join(", "))?;
        }
        if driver.has_setup {
            writeln!(
                stdout,
                "  has a program that talks to the device when the driver is attached and after a suspend"
            )?;
        }
        write!(stdout, "{}{}", versions(driver), rules(driver))
    })
}

/// Prints the instructions of a driver's programs and of the functions that they call, with the lines of the source.
pub fn disassembly(context: &Context, driver: &DriverObject) -> Outcome {
    let listings = disassemble(driver.bytes()).map_err(|error| {
        let what = format!("failed to read the instructions of `{}`", driver.path.display());
        Error::because(ErrorKind::BadObject, what, error)
    })?;
    if context.json {
        let line = |line: &ListedInstruction| {
            let source = line.source.as_ref().map(|source| {
                json!({ "file": source.file, "line": source.line, "column": source.column, "text": source.text })
            });
            json!({ "index": line.index, "text": line.text, "source": source })
        };
        let function = |listing: &Listing| {
            let lines: Vec<_> = listing.lines.iter().map(line).collect();
            json!({ "section": listing.section, "function": listing.function, "instructions": lines })
        };
        let functions: Vec<_> = listings.iter().map(function).collect();
        return output::json("disassembly", &json!({ "driver": driver.name, "functions": functions }));
    }
    output::write(|stdout| {
        for (index, listing) in listings.iter().enumerate() {
            if index > 0 {
                writeln!(stdout)?;
            }
            // The object has the text of its source.
            for line in listing.to_string().lines() {
                writeln!(stdout, "{}", Printable(line))?;
            }
        }
        Ok(())
    })
}
