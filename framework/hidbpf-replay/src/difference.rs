//! Compares a recording with the expected one.

use hidbpf_descriptor::recording::Recording;
use similar::{Algorithm, DiffTag, capture_diff_slices};

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
