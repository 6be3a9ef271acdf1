//! `hidbpf devices`.

use std::path::PathBuf;

use hidbpf::device::Device;
use hidbpf::ids::{HidName, Modalias};
use hidbpf::manager::{Candidate, Manager};
use hidbpf::matching::Verdict;
use hidbpf::text::Printable;
use serde::Serialize;

use super::Context;
use crate::output::{self, Outcome};

/// A device and its drivers.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Row {
    device: HidName,
    hid_name: String,
    bus: String,
    group: String,
    vendor: String,
    product: String,
    interface: Option<u8>,
    kernel_driver: Option<String>,
    descriptor_size: usize,
    nodes: Vec<PathBuf>,
    candidates: Vec<Candidate>,
}

pub fn run(context: &Context, device: Option<&str>) -> Outcome {
    let manager = Manager::new(&context.system);
    let devices = match device {
        Some(text) => vec![Device::find(&context.system, text)?],
        None => Device::all(&context.system)?,
    };
    let catalog = context.catalog();
    let mut rows = Vec::new();
    for device in devices {
        let candidates = manager.candidates(&catalog, &device);
        let nodes = device.nodes();
        let Modalias { bus, group, vendor, product } = device.modalias;
        rows.push(Row {
            bus: bus.to_string(),
            group: group.to_string(),
            vendor: vendor.to_string(),
            product: product.to_string(),
            device: device.name,
            hid_name: device.hid_name,
            interface: device.interface,
            kernel_driver: device.driver,
            descriptor_size: device.current.len(),
            nodes,
            candidates,
        });
    }
    if context.json {
        return output::json("devices", &rows);
    }
    output::write(|stdout| {
        if rows.is_empty() {
            writeln!(stdout, "this machine has no HID devices")?;
        }
        for row in &rows {
            writeln!(stdout, "{} {}", row.device, Printable(&row.hid_name))?;
            let interface = row.interface.map(|number| format!(", interface {number}")).unwrap_or_default();
            let bound = row.kernel_driver.as_deref().unwrap_or("no kernel driver");
            writeln!(
                stdout,
                "  {}, {}{interface}, {bound}, descriptor of {} bytes",
                row.bus, row.group, row.descriptor_size
            )?;
            for candidate in &row.candidates {
                match &candidate.verdict {
                    Verdict::Matches { rule } => {
                        let how = if candidate.automatic { "" } else { ", attached only by `hidbpf load`" };
                        writeln!(stdout, "  {} matches by {rule}{how}", candidate.driver)?;
                    }
                    Verdict::Undecided { rule, lacks } => {
                        writeln!(stdout, "  {} may match by {rule}, but {lacks}", candidate.driver)?;
                    }
                    Verdict::NearMiss { rules } => {
                        for miss in rules {
                            let reasons = miss.reasons.join("; ");
                            writeln!(stdout, "  {} does not match by {}: {reasons}", candidate.driver, miss.rule)?;
                        }
                    }
                    Verdict::No => {}
                }
            }
        }
        Ok(())
    })
}
