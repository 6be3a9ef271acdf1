//! All that the page shows, computed and in order. Nothing here knows HTML.

mod bits;
mod descriptor;
mod reports;

pub use bits::{BitCell, Block, Picture, Sample};
pub use descriptor::{ItemRow, Node, tree};
pub use reports::{Log, Row, Side as SentOrFixed};

use hidbpf_descriptor::diagnose::{Certainty, Finding};
use hidbpf_descriptor::{Anatomy, Descriptor, DiffKind};

use crate::subject::Subject;

const KEYS_HIDDEN: &str = "Key values are hidden: keys, padding and values of vendors are set to 0. \
    The findings about them, in reports, are left out.";

/// The page.
pub struct Page {
    pub title: String,
    pub made_by: String,
    pub devices: Vec<Device>,
}

/// A device.
pub struct Device {
    pub name: String,
    pub facts: Vec<(String, String)>,
    pub notes: Vec<String>,
    pub findings: Vec<Problem>,
    /// The descriptors: as sent, and after the driver.
    pub descriptors: Vec<Side>,
    /// The items of both descriptors, side by side.
    pub items: Vec<ItemRow>,
    pub log: Log,
}

/// A descriptor and the reports that belong to it.
pub struct Side {
    /// Who changed it, or `None` for what the device sent.
    pub by: Option<String>,
    pub bytes: Vec<u8>,
    /// Why the kernel refuses the descriptor.
    pub refused: Option<String>,
    pub tree: Vec<Node>,
    pub pictures: Vec<Picture>,
}

/// A finding in words.
pub struct Problem {
    pub id: &'static str,
    pub certainty: Certainty,
    pub places: Vec<String>,
    pub what: String,
    pub effect: &'static str,
    pub source: &'static str,
    pub repairs: Vec<String>,
}

impl Page {
    pub fn of(subjects: &[Subject], made_by: &str) -> Page {
        let devices: Vec<Device> = subjects.iter().map(Device::of).collect();
        let names: Vec<&str> = devices.iter().map(|device| device.name.as_str()).collect();
        Page { title: names.join(", "), made_by: made_by.to_owned(), devices }
    }
}

impl Device {
    fn of(subject: &Subject) -> Device {
        let hidden = subject.keys_hidden.then(|| KEYS_HIDDEN.to_owned());
        let mut notes: Vec<String> = hidden.into_iter().chain(subject.notes.iter().cloned()).collect();
        let sent: Vec<&[u8]> = subject.reports.iter().map(|event| event.report.as_slice()).collect();
        let mut descriptors = vec![Side::of(None, &subject.descriptor, &sent)];
        let mut items = descriptor::items(&subject.descriptor, None);
        if let Some(after) = &subject.after {
            notes.extend(after.notes.iter().cloned());
            let fixed: Vec<&[u8]> = after.outcomes.iter().flatten().map(Vec::as_slice).collect();
            descriptors.push(Side::of(Some(&after.by), &after.descriptor, &fixed));
            items = descriptor::items(&subject.descriptor, Some(&after.descriptor));
        }
        let log = Log::of(subject);
        notes.extend(log.note.clone());
        Device {
            name: subject.name.clone(),
            facts: subject.facts.clone(),
            notes,
            findings: subject.findings.iter().map(Problem::of).collect(),
            descriptors,
            items,
            log,
        }
    }

    /// Returns how many items a driver changes.
    pub fn changed_items(&self) -> usize {
        self.items.iter().filter(|row| row.change != DiffKind::Same).count()
    }
}

impl Side {
    fn of(by: Option<&str>, bytes: &[u8], reports: &[&[u8]]) -> Side {
        let anatomy = Anatomy::of(bytes);
        let parsed = Descriptor::parse(bytes);
        Side {
            by: by.map(str::to_owned),
            bytes: bytes.to_vec(),
            refused: anatomy.fault.as_ref().filter(|_| !bytes.is_empty()).map(|fault| {
                format!(
                    "The kernel refuses the descriptor at byte {}: {} ({})",
                    fault.offset, fault.reason, fault.kernel
                )
            }),
            tree: parsed.as_ref().map(tree).unwrap_or_default(),
            pictures: bits::pictures(&anatomy.reports, reports),
        }
    }
}

impl Problem {
    fn of(finding: &Finding) -> Problem {
        let lines: Vec<String> = finding.lines.iter().map(ToString::to_string).collect();
        let places = [
            finding.offset.map(|offset| format!("byte {offset}")),
            finding.report.map(|report| report.to_string()),
            finding.field.clone(),
            match lines.as_slice() {
                [] => None,
                [line] => Some(format!("line {line}")),
                lines => Some(format!("lines {}", lines.join(", "))),
            },
        ];
        Problem {
            id: finding.rule.id,
            certainty: finding.certainty,
            places: places.into_iter().flatten().collect(),
            what: sentence(&finding.what),
            effect: finding.rule.effect,
            source: finding.rule.source,
            repairs: finding.repairs.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Returns a text with a capital letter in front.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
