//! `hidbpf pages`: writes the catalogue as Markdown, with a page per driver and an index, from the manifests in the
//! objects.

use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use hidbpf::error::{Error, ErrorKind};
use hidbpf::exports::Export;
use hidbpf::maps::DriverMap;
use hidbpf::mode_switch::declaration::Step;
use hidbpf::object::DriverObject;

use super::Context;
use super::drivers::{kernels, trust};
use crate::output::Outcome;

/// The index. Code hosting sites show a file with this name for its folder.
const INDEX: &str = "README.md";

pub fn run(context: &Context, dir: &Path, sources: Option<&str>) -> Outcome {
    let catalog = context.catalog();
    let failed = |error| {
        Error::because(ErrorKind::Io, format!("failed to write the catalogue's pages to `{}`", dir.display()), error)
    };
    write(dir, &catalog.drivers, sources).map_err(failed)?;
    // The pages are incomplete if some drivers could not be read.
    if catalog.problems.is_empty() { Ok(()) } else { Err(catalog.problems.into()) }
}

fn write(dir: &Path, drivers: &[DriverObject], sources: Option<&str>) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join(INDEX), index(drivers))?;
    drivers.iter().try_for_each(|driver| fs::write(dir.join(format!("{}.md", driver.name)), page(driver, sources)))
}

fn index(drivers: &[DriverObject]) -> String {
    let mut text = "# Devices\n\n\
        The devices that have a driver, and what each driver changes. A driver's page has its kernels and its match rules.\n\
        Read this to find out whether hidbpf repairs your device. If not, [record it](../../README.md#my-device-isnt-listed).\n\n\
        | device | ids | without the driver | with it | status |\n|---|---|---|---|---|\n"
        .to_owned();
    for driver in drivers {
        let manifest = &driver.manifest;
        let mut ids: Vec<String> = manifest.any_device.then(|| "any".to_owned()).into_iter().collect();
        for rule in &manifest.matches {
            let own = rule.ids();
            if !ids.contains(&own) {
                ids.push(own);
            }
        }
        let status = match driver.hooks.keys().next() {
            Some(first) => format!("{} {}, since Linux {}", manifest.status, manifest.kind, first.since()),
            None => format!("{} {}", manifest.status, manifest.kind),
        };
        row(
            &mut text,
            &[
                &format!("[{}]({}.md)", cell(&manifest.device), driver.name),
                &ids.join(", "),
                &cell(&manifest.before),
                &cell(&manifest.after),
                &status,
            ],
        );
    }
    text
}

fn page(driver: &DriverObject, sources: Option<&str>) -> String {
    let manifest = &driver.manifest;
    let mut text = format!("# {}\n\n| | |\n|---|---|\n", manifest.device);
    row(&mut text, &["driver", &format!("`{}`", driver.name)]);
    row(&mut text, &["without the driver", &cell(&manifest.before)]);
    row(&mut text, &["with it", &cell(&manifest.after)]);
    row(&mut text, &["status", &trust(manifest)]);
    row(&mut text, &["kernels", &kernels(driver)]);
    let properties: Vec<&str> = driver.properties().into_iter().collect();
    if !properties.is_empty() {
        row(&mut text, &["udev properties it reads", &properties.join(", ")]);
    }
    let row_of = |text: &mut String, what: &str, cells: Vec<String>| {
        if !cells.is_empty() {
            row(text, &[what, &cell(&cells.join("; "))]);
        }
    };
    let export = |export: &Export| format!("`{}`: {}", export.property, export.range());
    row_of(&mut text, "udev properties it exports", manifest.exports.iter().map(export).collect());
    let switch = manifest.mode_switch.iter().flat_map(|switch| &switch.steps);
    row_of(&mut text, "mode switch", switch.map(Step::words).collect());
    row_of(&mut text, "fields it needs", manifest.fields.iter().map(ToString::to_string).collect());
    let map = |map: &DriverMap| format!("`{}`: {}", map.name, map.description);
    row_of(&mut text, "maps that other programs may open", manifest.maps.iter().map(map).collect());
    let keys = manifest.keymap.0.iter().map(|(code, key)| format!("{code}: {key}")).collect();
    row_of(&mut text, "keys that udev gives its scan codes", keys);
    if !manifest.options.is_empty() {
        text += "\nOptions, set by `hidbpf set` or in the [configuration](../configuration.md):\n\n\
            | option | purpose | values | default | takes effect |\n|---|---|---|---|---|\n";
        for option in &manifest.options {
            let effect = if option.reattach { "when the driver is reattached" } else { "at once" };
            let (name, default) = (format!("`{}`", option.name), option.default.to_string());
            row(&mut text, &[&name, &cell(&option.description), &option.range(), &default, effect]);
        }
    }
    text += match manifest.any_device {
        true => "\nThe driver suits any device. It is attached only to devices that a user names.\n",
        false => {
            "\nThe driver matches a device, or an interface of one, that meets one of these rules:\n\n\
            | rule | ids | and all of these conditions |\n|---|---|---|\n"
        }
    };
    for (number, rule) in manifest.matches.iter().enumerate() {
        row(&mut text, &[&cell(&rule.name(number)), &rule.ids(), &cell(&rule.conditions().join("; "))]);
    }
    if let Some(sources) = sources {
        // Writing to a String can't fail.
        let _ = writeln!(text, "\nSource, recordings and notes: [{0}]({sources}/{0})", driver.name);
    }
    text
}

/// Escapes a text for a table cell, which a bar would end.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn row(text: &mut String, cells: &[&str]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}
