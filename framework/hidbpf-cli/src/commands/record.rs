//! `hidbpf record`.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::Ordering;

use hidbpf::descriptor::privacy::{HiddenKeys, HiddenSerials};
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::recorder::Recorder;
use hidbpf::recording::Event;
use hidbpf::system::System;

use super::{Context, PATIENCE, interrupted};
use crate::output::{self, Outcome};

pub fn run(context: &Context, device: &str, output: Option<&Path>, hide_keys: bool) -> Outcome {
    let device = Device::find(&context.system, device)?;
    let stop = interrupted()?;
    let mut recorder = Recorder::open(&context.system, &device)?;
    let mut to: Box<dyn Write> =
        match output {
            Some(path) => Box::new(File::create_new(path).map_err(|error| {
                Error::because(ErrorKind::Io, format!("failed to create `{}`", path.display()), error)
            })?),
            None => Box::new(io::stdout()),
        };
    if let Some(caveat) = recorder.caveat(&context.system)? {
        tracing::warn!("{caveat}");
        output::stream(&mut to, &format!("# {caveat}\n"))?;
    }
    if !recorder.has_original() {
        let caveat = "the descriptor is the current one, since the original can't be read without root's privileges";
        tracing::warn!("{caveat}");
        output::stream(&mut to, &format!("# {caveat}\n"))?;
    }
    let mut recorded = recorder.device(&context.catalog());
    let keys = if hide_keys {
        let others = interfaces(&context.system, &device)?;
        let others: Vec<&[u8]> = others.iter().map(|other| other.current.as_slice()).collect();
        HiddenKeys::beside(&[&recorded.descriptor, &device.current], &others)
    } else {
        None
    };
    if hide_keys {
        HiddenSerials::new(&[&device.uniq]).hide_in(&mut recorded);
    }
    if keys.is_some() {
        output::stream(&mut to, "# the keys are hidden: they are set to 0\n")?;
    }
    let mut read = output::stream(&mut to, &recorded.to_string())?;
    let mut count = 0;
    // Write each report at once, so that nothing is lost if the command is interrupted.
    while read && !stop.load(Ordering::Relaxed) {
        let Some(reports) = recorder.read(PATIENCE)? else {
            tracing::warn!("the device was unplugged");
            break;
        };
        for (time, mut report) in reports {
            count += 1;
            if let Some(keys) = &keys {
                keys.hide(&recorded.descriptor, &mut report);
            }
            read &= output::stream(&mut to, &format!("{}\n", Event { device: 0, time, report, line: None }))?;
        }
    }
    if recorder.lost()? > 0 {
        tracing::warn!("{} reports came too fast and are missing", recorder.lost()?);
    }
    if let Some(path) = output {
        eprintln!("{count} reports in {}", path.display());
    }
    Ok(())
}

/// Returns the interfaces of the physical device that a device is one of.
fn interfaces(system: &System, device: &Device) -> Result<Vec<Device>, Error> {
    let Some(own) = device.physical() else { return Ok(Vec::new()) };
    let mut all = Device::all(system)?;
    all.retain(|other| other.physical().as_ref() == Some(&own));
    Ok(all)
}
