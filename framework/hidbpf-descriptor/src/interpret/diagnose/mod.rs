//! Finds defects in report descriptors and recordings.
//!
//! [`descriptor`] looks at a descriptor alone, [`recording`] at a device's reports too. Each [`Finding`] belongs to a
//! [`Rule`], which a page of the documentation explains, and says how sure it is, where the defect is, what a user notices,
//! and how it could be repaired.
//!
//! ```
//! use hidbpf_descriptor::diagnose::{self, Certainty};
//!
//! // A mouse has five buttons. Its descriptor names three.
//! let mouse = [
//!     0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x05,
//!     0x81, 0x02, 0x95, 0x03, 0x81, 0x03, 0xc0,
//! ];
//! let findings = diagnose::descriptor(&mouse);
//! assert_eq!((findings[0].rule.id, findings[0].certainty), ("usages-repeat", Certainty::Certain));
//! assert_eq!(findings[0].repairs[0].to_string(), "at byte 10: replace 29 03 by 29 05");
//! ```

mod applications;
mod arrays;
mod behaviour;
mod contacts;
mod digitizer;
mod kinds;
mod layout;
mod logical;
mod missing;
mod pages;
mod ranges;
mod repair;
mod reports;
mod rules;
mod signs;
mod structure;
mod usages;
mod view;

use std::fmt;

use serde::{Serialize, Serializer};

use crate::ids::{Bus, VendorId};
use crate::report_type::ReportType;

use super::descriptor::Anatomy;
use super::recording::{Event, Recording};

pub use repair::Repair;
pub use rules::{RULES, Rule};

use view::{Seen, View};

/// How sure a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Certainty {
    /// It is a defect: the bytes alone show it, or the code of the kernel does.
    Certain,
    /// Nearly all devices with these bytes are defective.
    Likely,
    /// Some devices with these bytes are defective.
    Possible,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Certainty::Certain => "certain",
            Certainty::Likely => "likely",
            Certainty::Possible => "possible",
        })
    }
}

/// The report that a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct InReport {
    /// Its type.
    #[serde(serialize_with = "as_text")]
    pub kind: ReportType,
    /// Its ID, or `None` if it has none.
    pub id: Option<u8>,
}

impl fmt::Display for InReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "{} report {id}", self.kind),
            None => write!(f, "{} report", self.kind),
        }
    }
}

fn as_text<S: Serializer>(kind: &ReportType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(kind)
}

/// A defect, or what may be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Finding {
    /// The rule that found it.
    #[serde(flatten)]
    pub rule: &'static Rule,
    /// How sure it is.
    pub certainty: Certainty,
    /// The offset in the descriptor of the item that shows it, in bytes.
    pub offset: Option<usize>,
    /// The report that it is about.
    pub report: Option<InReport>,
    /// The control that it is about, by its usages: `Button 1 .. Button 3`.
    pub field: Option<String>,
    /// The lines of a recording that show it, the first few.
    pub lines: Vec<usize>,
    /// The defect, with the numbers of this device.
    pub what: String,
    /// The changes that repair it, all of them together. Empty if the right values are not known.
    pub repairs: Vec<Repair>,
}

impl Finding {
    fn new(rule: &'static Rule, certainty: Certainty, what: impl Into<String>) -> Finding {
        let what = what.into();
        Finding {
            rule,
            certainty,
            offset: None,
            report: None,
            field: None,
            lines: Vec::new(),
            what,
            repairs: Vec::new(),
        }
    }

    fn in_field(rule: &'static Rule, certainty: Certainty, seen: &Seen<'_>, what: impl Into<String>) -> Finding {
        Finding {
            offset: Some(seen.field.offset),
            report: Some(InReport { kind: seen.report.kind, id: seen.report.id }),
            field: Some(seen.name()).filter(|name| !name.is_empty()),
            ..Finding::new(rule, certainty, what)
        }
    }

    fn at(mut self, offset: usize) -> Finding {
        self.offset = Some(offset);
        self
    }

    fn with(mut self, repair: Option<Repair>) -> Finding {
        self.repairs.extend(repair);
        self
    }
}

/// Finds defects in a descriptor, those at the lowest offset first. No bytes are a descriptor that is not known.
pub fn descriptor(bytes: &[u8]) -> Vec<Finding> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let anatomy = Anatomy::of(bytes);
    in_descriptor(&anatomy, &View::of(&anatomy))
}

fn in_descriptor(anatomy: &Anatomy, view: &View<'_>) -> Vec<Finding> {
    let mut findings = structure::check(anatomy);
    findings.extend(structure::check_ids(anatomy));
    findings.extend(arrays::check(view));
    findings.extend(usages::check(view));
    findings.extend(ranges::check(view));
    findings.extend(digitizer::check(view));
    findings.extend(missing::check(anatomy, view));
    findings.extend(layout::check(view));
    findings.extend(pages::check(view));
    findings.extend(applications::check(anatomy, view));
    findings.extend(kinds::check(view));
    findings.sort_by_key(|finding| (finding.offset, finding.certainty));
    findings
}

/// Finds defects in the descriptor of a device whose bus and vendor are known. They decide what bytes alone leave open.
pub fn device(bytes: &[u8], bus: Bus, vendor: VendorId) -> Vec<Finding> {
    let mut findings = descriptor(bytes);
    digitizer::by_maker(&mut findings, bus, vendor);
    findings
}

/// Finds defects in a device's descriptor and reports. `device` is an index of the recording's devices.
pub fn recording(recording: &Recording, device: usize) -> Vec<Finding> {
    let Some(described) = recording.devices.get(device) else { return Vec::new() };
    let anatomy = Anatomy::of(&described.descriptor);
    let view = View::of(&anatomy);
    let mut findings = if described.descriptor.is_empty() { Vec::new() } else { in_descriptor(&anatomy, &view) };
    digitizer::by_maker(&mut findings, described.bus, described.vendor);
    findings.extend(applications::check_pads(recording, device, &view));
    if anatomy.fault.is_none() {
        let events: Vec<&Event> = recording.events_of(device).filter(|event| !event.report.is_empty()).collect();
        findings.extend(reports::check(&events, &anatomy, &view));
        findings.extend(contacts::check(&view, &events));
        // Reports show whether there is a controller beside a keyboard.
        if behaviour::is_enough(&events) {
            findings.retain(|finding| finding.rule.id != rules::UNUSED.id);
        }
        findings.extend(behaviour::check(&anatomy, &view, &events));
    }
    findings
}

#[cfg(test)]
mod tests;
