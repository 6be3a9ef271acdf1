//! `hidbpf new`.

use std::env;
use std::path::Path;

use hidbpf::descriptors;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::ids::{Bus, ProductId, VendorId};
use hidbpf::names::DriverName;
use hidbpf::recorder;
use hidbpf::recording::Recording;
use hidbpf::text::Printable;
use hidbpf_build::{Chosen, Form, Interface};
use serde_json::json;

use super::Context;
use super::source;
use crate::args::Choice;
use crate::output::{self, Outcome};

/// What to create a driver from, and how.
pub struct New<'a> {
    pub from: &'a [String],
    pub ids: Option<Ids>,
    /// The findings to repair. Empty: all that are sure.
    pub repair: Option<Vec<String>>,
    pub is_c: bool,
    pub choice: &'a Choice,
}

pub fn run(context: &Context, name: &DriverName, new: &New<'_>) -> Outcome {
    let here = env::current_dir()
        .map_err(|error| Error::because(ErrorKind::Io, "failed to find the current directory", error))?;
    let is_declared = new.repair.is_some() && !new.is_c;
    let changes = match driver_folder(new) {
        Some(folder) if new.is_c && new.repair.is_none() => {
            hidbpf_build::scaffold_c(&here, name, folder).map_err(super::build::failed)?;
            "does the same as the manifest did"
        }
        Some(folder) => {
            let what = format!("failed to create a driver from the driver in `{}`", folder.display());
            let hint = "add `--c` to go on from its repair in C, or name one of its recordings";
            return Err(Error::new(ErrorKind::Io, what).with_hint(hint).into());
        }
        None => {
            let mut interfaces = Vec::new();
            for source in new.from {
                interfaces.extend(read(context, source, new.ids, new.choice)?);
            }
            let done = match &new.repair {
                None => hidbpf_build::scaffold(&here, name, &interfaces),
                Some(findings) => {
                    let chosen = if findings.is_empty() { Chosen::Sure } else { Chosen::Named(findings.clone()) };
                    let form = if new.is_c { Form::C } else { Form::Declared };
                    hidbpf_build::scaffold_repair(&here, name, &interfaces, &chosen, form)
                }
            };
            done.map_err(super::build::failed)?;
            if new.repair.is_some() { "has the repaired descriptor" } else { "changes nothing yet" }
        }
    };
    if context.json {
        return output::json("new", &json!({ "driver": name, "folder": here.join(name.as_str()) }));
    }
    if is_declared {
        return output::text(format_args!(
            "{name}/driver.toml     the manifest: device, defect, match rule, and the repair\n\
             {name}/recordings/     the recordings, and the expected results\n\
             Next: `hidbpf build {name}` builds the driver and runs it over the recordings\n"
        ));
    }
    output::text(format_args!(
        "{name}/driver.toml     the manifest: device, defect, match rule\n\
         {name}/driver.bpf.c    the code, which {changes}\n\
         {name}/recordings/     the recordings, and the expected results\n\
         Next: `hidbpf build {name}` compiles the driver and runs it over the recordings\n"
    ))
}

/// Returns the folder of a driver, if that is the only source.
fn driver_folder<'a>(new: &New<'a>) -> Option<&'a Path> {
    match new.from {
        [one] => Some(Path::new(one)).filter(|path| path.join("driver.toml").is_file()),
        _ => None,
    }
}

/// Bus, vendor and product.
type Ids = (Bus, VendorId, ProductId);

/// Reads the interfaces of a file, with these IDs if the file has none, or of a device.
fn read(context: &Context, source: &str, ids: Option<Ids>, choice: &Choice) -> Result<Vec<Interface>, Error> {
    let path = Path::new(source);
    if path.is_file() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let mut posted = source::open(path, choice)?;
        let has_no_descriptor = posted.recording.devices.iter().all(|device| device.descriptor.is_empty());
        if has_no_descriptor && !posted.is_recording() {
            return Err(source::no_descriptor(source, &posted));
        }
        for (device, origin) in posted.recording.devices.iter_mut().zip(&posted.origins).filter(|(_, it)| !it.has_ids) {
            (device.bus, device.vendor, device.product) = ids.ok_or_else(|| {
                let what = format!(
                    "failed to find the ids of the device in `{}`: the file has none (line {})",
                    Printable(source),
                    origin.line
                );
                let hint =
                    "add `--id BUS:VENDOR:PRODUCT`, as in `--id usb:3746:ffff`: `lsusb` shows vendor and product";
                Error::new(ErrorKind::Io, what).with_hint(hint)
            })?;
        }
        let recording = posted.recording;
        return Ok(Interface::all_of(&name, &recording));
    }
    // Match rules for another descriptor would not match.
    let device = descriptors::with_original(&context.system, Device::find(&context.system, source)?)?;
    let mut described = recorder::described(&device, &context.catalog());
    let by_name = device.name.ids();
    let ids_from_name = by_name != (described.bus, described.vendor, described.product);
    // The device's own IDs: a kernel driver may change them before udev sees them.
    (described.bus, described.vendor, described.product) = by_name;
    let recording = Recording { devices: vec![described], ..Recording::default() };
    let group = Some(device.modalias.group);
    let interfaces = Interface::all_of("device", &recording).into_iter();
    Ok(interfaces.map(|found| Interface { group, ids_from_name, ..found }).collect())
}
