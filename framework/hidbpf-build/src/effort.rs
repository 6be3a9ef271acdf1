//! Warns of loops that a kernel's verifier may refuse as too long. Only the kernel itself can decide.

use std::path::{Path, PathBuf};

use hidbpf::recording::Recording;
use hidbpf::replay::{self, Effort, Fault, MAX_JUMPS, ReplayDevice, ReplayError, Settings};

use crate::error::BuildError;

/// The number of conditional jumps on one path from which it depends on the kernel whether it accepts the program. The
/// drivers here have 25 at most. Linux 6.6, 6.16 and 7.3 refused a loop of 64 iterations over items, with about 250
/// jumps.
const MANY: u64 = 128;

/// Runs a driver on the longest input that the devices of recordings could send. Returns why the kernel may refuse
/// the driver.
///
/// # Errors
/// The object or a recording can't be read.
pub fn warnings(object: &Path, recordings: &[(PathBuf, PathBuf)]) -> Result<Vec<String>, BuildError> {
    let (parsed, driver) = crate::recordings::read(object)?;
    let mut devices: Vec<(ReplayDevice, Vec<Vec<u8>>, Settings)> = Vec::new();
    for (path, _) in recordings {
        let recording = Recording::read(path)?;
        for (index, device) in recording.devices.iter().enumerate() {
            let reports = recording.events_of(index).map(|event| event.report.clone()).collect();
            let subject = device.into();
            let settings = replay::for_driver(Settings::of(device), &driver, &subject);
            devices.push((subject, reports, settings));
        }
    }
    if devices.is_empty() {
        devices.push((stand_in(), vec![vec![0]], Settings::default()));
    }
    let mut warnings: Vec<String> = Vec::new();
    for (device, reports, settings) in &devices {
        for generation in parsed.generations() {
            let effort = replay::effort(&parsed, generation, device, reports, settings);
            warnings.extend(warning(effort).filter(|warning| !warnings.contains(warning)));
        }
    }
    Ok(warnings)
}

/// Returns a device with a button, for drivers without recordings.
fn stand_in() -> ReplayDevice {
    let descriptor =
        vec![5, 1, 9, 2, 0xa1, 1, 5, 9, 0x19, 1, 0x29, 8, 0x15, 0, 0x25, 1, 0x75, 1, 0x95, 8, 0x81, 2, 0xc0];
    ReplayDevice::of_descriptor(descriptor)
}

fn warning(effort: Result<Effort, ReplayError>) -> Option<String> {
    const ADVICE: &str = "give the loop fewer rounds, or walk a descriptor with hidbpf_walk()";
    match effort {
        Ok(Effort { jumps, rounds, source }) if rounds > 1 && jumps > MANY => {
            let place = source.map(|source| format!("{source}: ")).unwrap_or_default();
            let verdict = match jumps > MAX_JUMPS {
                true => format!("and will probably refuse the program, with more than {MAX_JUMPS} of them"),
                false => "and may refuse the program, some kernels sooner than others".to_owned(),
            };
            Some(format!(
                "{place}warning: with the longest input this loop goes round {rounds} times, over {jumps} conditional jumps. The kernel's \
                 verifier follows each, {verdict}: {ADVICE}"
            ))
        }
        Err(ReplayError::Fault(fault)) => {
            // Both generations' programs have the same source, so a fault is reported once.
            let Fault { source, reason, .. } = &*fault;
            let place = source.as_ref().map(|source| format!("{source}: ")).unwrap_or_default();
            Some(format!(
                "{place}warning: with the longest input, a descriptor of 4096 bytes or a report that fills the kernel's buffer, the driver \
                 does what the kernel does not allow: {reason}"
            ))
        }
        // An object that can't be run is an error elsewhere, or has no programs for this device.
        Ok(_) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_loops_are_told_by_how_long_they_are() {
        let effort = |jumps, rounds| warning(Ok(Effort { jumps, rounds, source: None }));
        assert_eq!(effort(MANY, 64), None);
        // Many jumps without a loop are due to the program's size.
        assert_eq!(effort(MANY + 1, 1), None);
        assert!(effort(MANY + 1, 64).is_some_and(|warning| warning.contains("may refuse")));
        assert!(effort(MAX_JUMPS + 1, 4096).is_some_and(|warning| warning.contains("will probably refuse")));
        assert_eq!(warning(Err(ReplayError::NoReports)), None);
    }
}
