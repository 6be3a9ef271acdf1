//! `hidbpf new`.

use std::env;
use std::path::Path;

use hidbpf::descriptors;
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manifest::DriverName;
use hidbpf::recorder;
use hidbpf::recording::Recording;
use hidbpf_build::Interface;
use serde_json::json;

use super::Context;
use crate::output::{self, Outcome};

pub fn run(context: &Context, name: &DriverName, from: &[String]) -> Outcome {
    let mut interfaces = Vec::new();
    for source in from {
        interfaces.extend(read(context, source)?);
    }
    let here = env::current_dir()
        .map_err(|error| Error::because(ErrorKind::Io, "failed to find the current directory", error))?;
    hidbpf_build::scaffold(&here, name, &interfaces).map_err(super::build::failed)?;
    if context.json {
        return output::json("new", &json!({ "driver": name, "folder": here.join(name.as_str()) }));
    }
    output::text(format_args!(
        "{name}/driver.toml     the manifest: device, defect, match rule\n\
         {name}/driver.bpf.c    the code, which changes nothing yet\n\
         {name}/recordings/     the recordings, and the expected results\n\
         Next: `hidbpf build {name}` compiles the driver and runs it over the recordings\n"
    ))
}

/// The interfaces of a recording, or a device's.
fn read(context: &Context, source: &str) -> Result<Vec<Interface>, Error> {
    let path = Path::new(source);
    if path.is_file() {
        let recording = Recording::read(path)
            .map_err(|error| Error::because(ErrorKind::Io, "failed to read the recording", error))?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        return Ok(Interface::all_of(&name, &recording));
    }
    // Rules that are written for another descriptor would not match.
    let device = descriptors::with_original(&context.system, Device::find(&context.system, source)?)?;
    let described = recorder::described(&device, &context.catalog());
    let recording = Recording { devices: vec![described], ..Recording::default() };
    let group = Some(device.modalias.group);
    Ok(Interface::all_of("device", &recording).into_iter().map(|found| Interface { group, ..found }).collect())
}
