//! `hidbpf drivers`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use hidbpf::device::Device;
use hidbpf::ids::HidName;
use hidbpf::kernel::Generation;
use hidbpf::manager::Manager;
use hidbpf::manifest::Manifest;
use hidbpf::matching::Verdict;
use hidbpf::names::DriverName;
use hidbpf::object::DriverObject;
use serde::Serialize;

use super::Context;
use crate::output::{self, Outcome};

/// A driver and the devices that it matches.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    driver: &'a DriverName,
    object: PathBuf,
    manifest: &'a Manifest,
    generations: BTreeSet<Generation>,
    properties: Vec<&'a str>,
    automatic: bool,
    devices: Vec<HidName>,
}

pub fn run(context: &Context, driver: Option<&str>) -> Outcome {
    let catalog = context.catalog();
    let manager = Manager::new(&context.system);
    let chosen = match driver {
        Some(name) => vec![catalog.get(name)?],
        None => catalog.drivers.iter().collect(),
    };
    let devices = Device::all(&context.system)?.into_iter().map(|device| manager.unfixed(device));
    let mut devices: Vec<Device> = devices.collect();
    let mut there = |driver: &DriverObject| -> Vec<HidName> {
        let fits = |device: &mut Device| matches!(manager.judge(driver, device), Verdict::Matches { .. });
        devices.iter_mut().filter_map(|device| fits(device).then(|| device.name.clone())).collect()
    };
    if context.json {
        let rows = chosen.iter().map(|driver| Row {
            driver: &driver.name,
            object: driver.path.clone(),
            manifest: &driver.manifest,
            generations: driver.generations(),
            properties: driver.properties().into_iter().collect(),
            automatic: driver.manifest.is_automatic(),
            devices: there(driver),
        });
        return output::json("drivers", &rows.collect::<Vec<_>>());
    }
    output::write(|stdout| {
        if chosen.is_empty() {
            writeln!(stdout, "no drivers are installed")?;
        }
        for found in &chosen {
            write!(stdout, "{}", sentences(&found.name, &found.manifest))?;
            writeln!(stdout, "  {}; {}", trust(&found.manifest), kernels(found))?;
            if driver.is_some() {
                write!(stdout, "{}{}", versions(found), rules(found))?;
            }
            for name in there(found) {
                writeln!(stdout, "  matches {name}")?;
            }
        }
        Ok(())
    })
}

/// Returns the first lines about a driver: its name, its device and its effect.
pub fn sentences(name: &DriverName, Manifest { device, before, after, .. }: &Manifest) -> String {
    let line = |label: &str, text: &str| if text.is_empty() { String::new() } else { format!("  {label}: {text}\n") };
    format!("{name}: {device}\n{}{}", line("before", before), line("after", after))
}

/// Returns lines about the files of a foreign driver, the newest version first. Empty for other drivers.
pub fn versions(driver: &DriverObject) -> String {
    let file = |version: &DriverObject| {
        let generations: Vec<String> = version.hooks.keys().map(ToString::to_string).collect();
        format!("  foreign object {} ({})\n", version.path.display(), generations.join(", "))
    };
    driver.all_versions().filter(|version| version.origin.is_foreign()).map(file).collect()
}

/// Returns the driver's maturity, and whether udev attaches it.
pub fn trust(manifest: &Manifest) -> String {
    let how = if manifest.is_automatic() { "attached by udev" } else { "attached only by `hidbpf load`" };
    format!("{}, {}, {how}", manifest.kind, manifest.status)
}

/// Returns the kernels that the driver supports.
pub fn kernels(driver: &DriverObject) -> String {
    let generations = driver.generations();
    let since = generations.first().map_or("", |first| first.since());
    let hooks: Vec<String> = generations.iter().map(ToString::to_string).collect();
    format!("Linux {since} and later ({})", hooks.join(", "))
}

/// Returns the driver's match rules, one per line, and the udev properties that it asks for.
pub fn rules(driver: &DriverObject) -> String {
    let mut text = String::new();
    if driver.manifest.any_device {
        text += "  matches any device: attached only to those that a user names\n";
    }
    for version in driver.all_versions() {
        let of = match version.path.file_name() {
            Some(file) if !driver.versions.is_empty() => format!(" of {}", file.display()),
            _ => String::new(),
        };
        for (index, rule) in version.manifest.matches.iter().enumerate() {
            let parts: Vec<String> = std::iter::once(rule.ids()).chain(rule.conditions()).collect();
            text += &format!("  matches by {}{of}: {}\n", rule.name(index), parts.join(", "));
        }
    }
    for option in &driver.manifest.options {
        let (description, range, default) = (&option.description, option.range(), &option.default);
        text += &format!("  option {}: {description} Can be {range}; default {default}\n", option.name);
    }
    for field in &driver.manifest.fields {
        text += &format!("  reads {field}; a device without it is not matched\n");
    }
    for export in &driver.manifest.exports {
        text += &format!("  gives the device the udev property {}: {}\n", export.property, export.range());
    }
    for map in &driver.manifest.maps {
        text += &format!("  other programs may open its map {}: {}\n", map.name, map.description);
    }
    for (code, key) in &driver.manifest.keymap.0 {
        text += &format!("  udev gives its scan code {code} the key {key}\n");
    }
    for property in driver.properties() {
        text += &format!("  reads the udev property {property}\n");
    }
    text
}
