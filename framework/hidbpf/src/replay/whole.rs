//! Replays a whole recording, with all of its devices.

use similar::{Algorithm, DiffTag, capture_diff_slices};

use super::{Driver, Generation, LineError, Object, ReplayError, Settings, Verdict};
use crate::recording::{Device, Event, Recording};
use crate::setup::NotSetUp;

/// The result of replaying a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// The devices and reports after the driver's changes.
    pub recording: Recording,
    /// For each report of the original recording, the number of instructions of the hook and the work that it started,
    /// without timers due later. `None` if the driver has no event hook on that device.
    pub instructions: Vec<Option<u64>>,
    /// The devices, as indices, that the driver's probe refuses, with the positive errno.
    pub refused: Vec<(usize, i32)>,
    /// The devices, as indices, whose setup fails, with the reason.
    pub not_set_up: Vec<(usize, NotSetUp)>,
}

/// Replays a recording: returns each device with its fixed descriptor, and the reports that reach the kernel's input
/// drivers. A device stays unchanged if the driver's probe refuses it or its setup fails. As in the kernel, each device
/// has its own instance of the driver.
///
/// # Errors
/// A program did something that the kernel forbids. The error has the line of the recording.
pub fn replay(
    object: &Object,
    generation: Generation,
    recording: &Recording,
    settings: impl Fn(&Device) -> Settings,
) -> Result<Replayed, LineError> {
    let at_start = |error: ReplayError| LineError { line: None, error };
    let mut whole = Recording { comments: Vec::new(), devices: Vec::new(), events: Vec::new() };
    let mut instructions = vec![None; recording.events.len()];
    let (mut refused, mut not_set_up) = (Vec::new(), Vec::new());
    for (index, device) in recording.devices.iter().enumerate() {
        let mut driver = Driver::new(object, generation, &device.into(), &settings(device)).map_err(at_start)?;
        let one = match driver.probe().map_err(at_start)? {
            Verdict::Refuses(errno) => {
                refused.push((index, -errno));
                Recording {
                    comments: Vec::new(),
                    devices: vec![device.clone()],
                    events: recording.events_of(index).cloned().collect(),
                }
            }
            Verdict::NoProbe | Verdict::Takes => {
                let replayed = driver.replay(recording, index)?;
                let own = recording.events.iter().zip(&mut instructions).filter(|(event, _)| event.device == index);
                own.zip(replayed.instructions).for_each(|((_, to), taken)| *to = taken);
                not_set_up.extend(replayed.not_set_up);
                replayed.recording
            }
        };
        whole.devices.extend(one.devices);
        whole.events.extend(one.events.into_iter().map(|event| Event { device: index, ..event }));
    }
    if whole.devices.len() > 1 {
        whole.events.sort_by_key(|event| event.time);
    }
    Ok(Replayed { recording: whole, instructions, refused, not_set_up })
}

/// Compares two recordings: lists the lines that only one of them has (`-` expected, `+` found), and the differing
/// bytes below a changed line. Empty if they are equal. Ignores comments and properties, but not requests to the device
/// and exports.
pub fn difference(expected: &Recording, found: &Recording) -> String {
    let lines = |recording: &Recording| -> Vec<String> {
        let said = ["# asked ", "# exported "];
        let is_said = |line: &&str| !line.starts_with('#') || said.iter().any(|said| line.starts_with(said));
        recording.to_string().lines().filter(is_said).map(str::to_owned).collect()
    };
    let (expected, found) = (lines(expected), lines(found));
    let mut difference = String::new();
    for operation in capture_diff_slices(Algorithm::Patience, &expected, &found) {
        if operation.tag() == DiffTag::Equal {
            continue;
        }
        let (missing, extra) = (&expected[operation.old_range()], &found[operation.new_range()]);
        // As many lines in the same place count as changed lines.
        let in_pairs = missing.len() == extra.len();
        for index in 0..missing.len().max(extra.len()) {
            let pair = (missing.get(index), extra.get(index));
            for (sign, line) in [("- ", pair.0), ("+ ", pair.1)] {
                difference.extend(line.into_iter().flat_map(|line| [sign, line, "\n"]));
            }
            if let (true, (Some(missing), Some(extra))) = (in_pairs, pair)
                && let Some(bytes) = different_bytes(missing, extra)
            {
                difference += &format!("  {bytes}\n");
            }
        }
    }
    difference
}

/// Compares the bytes of two lines of the same length: `byte 4: 0f expected, ff found`.
fn different_bytes(expected: &str, found: &str) -> Option<String> {
    let bytes = |line: &str| -> Option<Vec<String>> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        match words.first()?.as_str() {
            "R:" => Some(words.get(2..)?.to_vec()),
            "E:" => Some(words.get(3..)?.to_vec()),
            "#" => Some(words.get(4..)?.to_vec()),
            _ => None,
        }
    };
    let (expected, found) = (bytes(expected)?, bytes(found)?);
    if expected.len() != found.len() {
        return None;
    }
    let different: Vec<usize> = (0..expected.len()).filter(|&at| expected[at] != found[at]).collect();
    match *different.as_slice() {
        [] => None,
        [at] => Some(format!("byte {at}: {} expected, {} found", expected[at], found[at])),
        _ => {
            let places: Vec<String> = different
                .chunk_by(|one, next| one + 1 == *next)
                .map(|run| match run {
                    [first, .., last] => format!("{first} to {last}"),
                    _ => run[0].to_string(),
                })
                .collect();
            Some(format!("bytes {}", places.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn recording(events: &str) -> Recording {
        let text = format!("R: 6 75 08 95 04 81 02\nI: 3 046d c077\n{events}");
        Recording::parse(Path::new("x.hid"), text.as_bytes()).unwrap()
    }

    #[test]
    fn a_difference_is_shown_with_its_bytes_and_a_missing_line_alone() {
        let expected =
            recording("E: 000000.000000 4 01 02 03 04\nE: 000000.000001 2 01 02\nE: 000000.000002 2 05 06\n");
        let found = recording("E: 000000.000000 4 01 ff 03 ff\nE: 000000.000002 2 05 06\n");
        assert_eq!(difference(&expected, &expected), "");
        let shown = "- E: 000000.000000 4 01 02 03 04\n- E: 000000.000001 2 01 02\n+ E: 000000.000000 4 01 ff 03 ff\n";
        let mut lines: Vec<_> = shown.lines().collect();
        lines.sort_unstable();
        let differs = difference(&expected, &found);
        let mut seen: Vec<_> = differs.lines().collect();
        seen.sort_unstable();
        assert_eq!(seen, lines);
        let found = recording("E: 000000.000000 4 01 02 03 04\nE: 000000.000001 2 01 07\nE: 000000.000002 2 05 06\n");
        assert_eq!(
            difference(&expected, &found),
            "- E: 000000.000001 2 01 02\n+ E: 000000.000001 2 01 07\n  byte 1: 02 expected, 07 found\n"
        );
        let other = "E: 000000.000000 4 00 ff ff 04\nE: 000000.000001 2 01 02\nE: 000000.000002 2 05 06\n";
        assert!(difference(&expected, &recording(other)).ends_with("  bytes 0 to 2\n"));
    }
}
