//! `hidbpf inspect`.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manifest::HexBytes;
use hidbpf::object::{DriverObject, PROPERTY_PREFIX};
use hidbpf::text::Printable;

use super::{Context, is_object_path};
use crate::output::{self, Outcome};

pub fn run(context: &Context, what: &str) -> Outcome {
    // A path can be an object's or a device's: what is no regular file is left to the search for devices.
    let as_object = match is_object_path(what) {
        true => Path::new(what).is_file(),
        false => !what.contains(':'),
    };
    if !as_object {
        return device(context, &Device::find(&context.system, what)?);
    }
    match context.driver(what) {
        Ok(found) => driver(context, &found),
        Err(error) if error.kind() == ErrorKind::NoDriver && !is_object_path(what) => {
            Err(Error::because(ErrorKind::NoDriver, format!("`{}` is no driver and no device", Printable(what)), error)
                .into())
        }
        Err(error) => Err(error.into()),
    }
}

fn driver(context: &Context, driver: &DriverObject) -> Outcome {
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
            let label = rule.label.clone().unwrap_or_else(|| format!("rule {}", index + 1));
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

fn device(context: &Context, device: &Device) -> Outcome {
    if context.json {
        return output::json(
            "device",
            &serde_json::json!({
                "device": device.name,
                "hid-name": device.hid_name,
                "modalias": device.modalias.to_string(),
                "phys": device.phys,
                "uniq": device.uniq,
                "kernel-driver": device.driver,
                "interface": device.interface,
                "nodes": device.nodes(),
                "descriptor": HexBytes(device.rdesc.clone()).to_string(),
            }),
        );
    }
    output::write(|stdout| {
        writeln!(stdout, "{}: {}", device.name, Printable(&device.hid_name))?;
        let ids = &device.modalias;
        writeln!(stdout, "  {}, {}, vendor {}, product {}", ids.bus, ids.group, ids.vendor, ids.product)?;
        writeln!(stdout, "  kernel driver: {}", device.driver.as_deref().unwrap_or("none"))?;
        for (what, text) in [("physical path", &device.phys), ("serial number", &device.uniq)] {
            if !text.is_empty() {
                writeln!(stdout, "  {what}: {}", Printable(text))?;
            }
        }
        for node in device.nodes() {
            writeln!(stdout, "  node: {}", node.display())?;
        }
        writeln!(stdout, "  report descriptor in force, {} bytes:", device.rdesc.len())?;
        dump(stdout, &device.rdesc)
    })
}

/// Prints bytes in hex, each line with the offset of its first.
fn dump(to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
    const PER_LINE: usize = 16;
    for (index, line) in bytes.chunks(PER_LINE).enumerate() {
        writeln!(to, "    {:4}: {}", index * PER_LINE, HexBytes(line.to_vec()))?;
    }
    Ok(())
}
