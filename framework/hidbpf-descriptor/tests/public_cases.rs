//! Devices whose defects are public, and what is found in their descriptors.
//!
//! `public_cases.txt` has a paragraph for each device: where the descriptor is published, what the kernel or the device's users know
//! about it, the findings, and the repairs. `cargo test -p hidbpf-descriptor --test public_cases -- --nocapture` prints what is found.

use std::path::Path;

use hidbpf_descriptor::diagnose::{self, Repair};
use hidbpf_descriptor::recording::Recording;
use hidbpf_descriptor::{Descriptor, Hex, HexBytes};

const CASES: &str = include_str!("public_cases.txt");

/// A paragraph of the file.
#[derive(Debug, Default)]
struct Case {
    device: String,
    /// What is known to be wrong. `nothing` if the defect can't be seen.
    defect: String,
    found: String,
    repairs: Vec<String>,
    descriptor: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let paragraphs = CASES.split("\n\n").filter(|paragraph| paragraph.contains("device: "));
    let case = |paragraph: &str| {
        let mut case = Case::default();
        for line in paragraph.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("invalid line {line:?}"));
            match key {
                "device" => case.device = value.to_owned(),
                "defect" => case.defect = value.to_owned(),
                "found" => case.found = value.to_owned(),
                "repair" => case.repairs.push(value.to_owned()),
                "bytes" => case.descriptor.extend(value.parse::<HexBytes>().expect("the bytes are hex").0),
                "source" | "right" => assert!(!value.is_empty()),
                _ => panic!("invalid key {key:?}"),
            }
        }
        case
    };
    paragraphs.map(case).collect()
}

/// Returns a recording without reports.
fn recording_of(descriptor: &[u8]) -> Recording {
    let text = format!("R: {} {}\nI: 3 0 0\n", descriptor.len(), Hex(descriptor));
    Recording::parse(Path::new("case"), text.as_bytes()).expect("it is a recording")
}

#[test]
fn defects_that_are_public_are_found() {
    let cases = cases();
    let (mut faults, mut with_defect) = (Vec::new(), 0);
    for case in &cases {
        let findings = diagnose::recording(&recording_of(&case.descriptor), 0);
        let found: Vec<String> =
            findings.iter().map(|finding| format!("{} ({})", finding.rule.id, finding.certainty)).collect();
        let repairs: Vec<String> =
            findings.iter().flat_map(|finding| &finding.repairs).map(ToString::to_string).collect();
        let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
        eprintln!("{}\nfound: {found}", case.device);
        repairs.iter().for_each(|repair| eprintln!("repair: {repair}"));
        if found != case.found || repairs != case.repairs {
            faults.push(format!("{}: {found}, {repairs:?}", case.device));
        }
        with_defect += usize::from(found != "nothing");
        for finding in &findings {
            let repaired = Repair::apply(&finding.repairs, &case.descriptor).expect("the repair fits");
            let is_worse = Descriptor::parse(&repaired).is_err() && Descriptor::parse(&case.descriptor).is_ok();
            assert!(!is_worse, "{}: the kernel refuses the repaired descriptor", case.device);
        }
    }
    eprintln!("{} devices, {with_defect} with findings", cases.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(cases.len() >= 20 && with_defect * 5 >= cases.len() * 4, "{with_defect} of {}", cases.len());
}
