//! `hidbpf drivers`.

use std::path::PathBuf;

use hidbpf::catalog::{Verdict, judge};
use hidbpf::device::Device;
use hidbpf::ids::HidName;
use hidbpf::kernel::Generation;
use hidbpf::manager::Manager;
use hidbpf::manifest::{DriverName, Manifest};
use serde::Serialize;

use super::Context;
use crate::output::{self, Outcome};

/// A driver and the devices that it is for.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row<'a> {
    driver: &'a DriverName,
    object: PathBuf,
    manifest: &'a Manifest,
    generations: Vec<Generation>,
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
    let devices =
        Device::all(&context.system)?.into_iter().map(|device| manager.own(device)).collect::<Result<Vec<_>, _>>()?;
    let rows: Vec<Row<'_>> = chosen
        .iter()
        .map(|driver| Row {
            driver: &driver.name,
            object: driver.path.clone(),
            manifest: &driver.manifest,
            generations: driver.hooks.keys().copied().collect(),
            automatic: driver.manifest.is_automatic(),
            devices: devices
                .iter()
                .filter(|device| matches!(judge(&driver.manifest, device), Verdict::Matches { .. }))
                .map(|device| device.name.clone())
                .collect(),
        })
        .collect();
    if context.json {
        return output::json("drivers", &rows);
    }
    output::write(|stdout| {
        if rows.is_empty() {
            writeln!(stdout, "no drivers are installed")?;
        }
        for row in &rows {
            let Manifest { device, summary, .. } = row.manifest;
            writeln!(stdout, "{}: {device}", row.driver)?;
            writeln!(stdout, "  {summary}")?;
            let how = if row.automatic { "attached by udev" } else { "attached only by `hidbpf load`" };
            let kernels: Vec<String> = row.generations.iter().map(ToString::to_string).collect();
            writeln!(stdout, "  {how}; kernels with {} hooks", kernels.join(" or "))?;
            for name in &row.devices {
                writeln!(stdout, "  matches {name}")?;
            }
        }
        Ok(())
    })
}
