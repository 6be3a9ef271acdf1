//! A whole recording through a driver, with all of its devices.

use super::{Driver, Generation, LineError, Object, ReplayError, Settings, Verdict};
use crate::recording::{Device, Event, Recording};

/// What a driver makes of a recording: each device with the descriptor that the driver leaves, and the reports that reach the kernel's
/// input drivers. A device that the driver's own probe refuses stays as it is. Each device has a driver of its own, as in the
/// kernel.
///
/// # Errors
/// A program did what the kernel would not let it do; the error has the line of the recording.
pub fn replay(
    object: &Object,
    generation: Generation,
    recording: &Recording,
    settings: impl Fn(&Device) -> Settings,
) -> Result<Recording, LineError> {
    let at_start = |error: ReplayError| LineError { line: None, error };
    let mut whole = Recording { comments: Vec::new(), devices: Vec::new(), events: Vec::new() };
    for (index, device) in recording.devices.iter().enumerate() {
        let mut driver = Driver::new(object, generation, &device.into(), &settings(device)).map_err(at_start)?;
        let one = match driver.probe().map_err(at_start)? {
            Verdict::Refuses(_) => Recording {
                comments: Vec::new(),
                devices: vec![device.clone()],
                events: recording.events_of(index).cloned().collect(),
            },
            Verdict::NoProbe | Verdict::Takes => driver.replay(recording, index)?,
        };
        whole.devices.extend(one.devices);
        whole.events.extend(one.events.into_iter().map(|event| Event { device: index, ..event }));
    }
    if whole.devices.len() > 1 {
        whole.events.sort_by_key(|event| event.time);
    }
    Ok(whole)
}

/// How two recordings differ, line by line (`-` expected, `+` found); empty where they do not. Comments and properties are passed over.
pub fn difference(expected: &Recording, found: &Recording) -> String {
    let lines = |recording: &Recording| -> Vec<String> {
        recording.to_string().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    let mut difference = String::new();
    for index in 0..expected.len().max(found.len()) {
        let (expected, found) = (expected.get(index), found.get(index));
        if expected != found {
            for (sign, line) in [("- ", expected), ("+ ", found)] {
                difference.extend(line.into_iter().flat_map(|line| [sign, line, "\n"]));
            }
        }
    }
    difference
}
