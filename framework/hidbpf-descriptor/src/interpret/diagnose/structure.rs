//! Descriptors that the kernel refuses, or reads in part.

use crate::hex::HexBytes;
use crate::interpret::descriptor::{Anatomy, Descriptor};
use crate::interpret::item::{Item, ItemKind};
use crate::interpret::parser::Note;
use crate::invalid::MAX_USAGES;
use crate::report_type::ReportType;

use super::{Certainty, Finding, InReport, Repair, Rule, logical, rules};

pub(super) fn check(anatomy: &Anatomy) -> Vec<Finding> {
    match &anatomy.fault {
        Some(fault) => {
            let (rule, repairs) = cause(anatomy, fault.offset);
            let finding = Finding::new(rule, Certainty::Certain, format!("{} ({})", fault.reason, fault.kernel));
            vec![Finding { repairs, ..finding.at(fault.offset) }]
        }
        None => passed_over(&anatomy.bytes),
    }
}

/// Returns the rule for a refused descriptor, and the repair if it is known.
fn cause(anatomy: &Anatomy, offset: usize) -> (&'static Rule, Vec<Repair>) {
    let end = anatomy.bytes.len();
    let at = anatomy.items.iter().find(|item| item.offset == offset);
    if offset == end && end > 0 {
        let ends = |kind: &ItemKind| match kind {
            ItemKind::Collection(_) => 1_i32,
            ItemKind::EndCollection => -1,
            _ => 0,
        };
        let open: i32 = anatomy.items.iter().map(|item| ends(&item.kind)).sum();
        let new = HexBytes(vec![0xc0; open.max(0) as usize]);
        return (&rules::NOT_ENDED, checked(anatomy, vec![Repair::Insert { offset: end, new }]));
    }
    match at.map(|item| item.kind) {
        Some(ItemKind::EndCollection) => {
            let old = HexBytes(at.map(|item| item.bytes.clone()).unwrap_or_default());
            (&rules::ENDED_TWICE, checked(anatomy, vec![Repair::Remove { offset, old }]))
        }
        Some(ItemKind::Truncated(_)) => {
            let old = HexBytes(anatomy.bytes.get(offset..).unwrap_or_default().to_vec());
            let depth = at.map_or(0, |item| item.depth);
            let new = HexBytes(vec![0xc0; depth]);
            // The collections that are still open need an end.
            let repair = if depth > 0 { Repair::Replace { offset, old, new } } else { Repair::Remove { offset, old } };
            (&rules::CUT_OFF, checked(anatomy, vec![repair]))
        }
        // Without them, the kernel reads the rest as it would before them.
        Some(ItemKind::Pop | ItemKind::ReportId(0)) => {
            let old = HexBytes(at.map(|item| item.bytes.clone()).unwrap_or_default());
            (&rules::REFUSED, checked(anatomy, vec![Repair::Remove { offset, old }]))
        }
        _ => (&rules::REFUSED, logical::repairs(&anatomy.bytes)),
    }
}

/// Returns repairs after which the kernel accepts the descriptor, or none.
fn checked(anatomy: &Anatomy, repairs: Vec<Repair>) -> Vec<Repair> {
    let repaired = Repair::apply(&repairs, &anatomy.bytes);
    match repaired.is_some_and(|bytes| Descriptor::parse(&bytes).is_ok()) {
        true => repairs,
        false => Vec::new(),
    }
}

fn passed_over(bytes: &[u8]) -> Vec<Finding> {
    let Ok(descriptor) = Descriptor::parse(bytes) else { return Vec::new() };
    let finding = |note: &Note| {
        let what = format!("the kernel passes over {}", note.what);
        let finding = Finding::new(&rules::PASSED_OVER, Certainty::Certain, what).at(note.offset);
        match range(&descriptor.items, note.offset) {
            // That has a rule of its own.
            Some((first, last)) if first > last => None,
            Some((first, last)) => {
                Some(Finding { repairs: shorter(&descriptor.items, note.offset, first, last), ..finding })
            }
            None => Some(finding),
        }
    };
    descriptor.notes.iter().filter_map(finding).collect()
}

/// Returns the numbers of the usage range that ends at an offset.
fn range(items: &[Item], offset: usize) -> Option<(u32, u32)> {
    let end = items.iter().position(|item| item.offset == offset)?;
    let (before, end) = (items.get(end.checked_sub(1)?)?, items.get(end)?);
    let is_range = matches!((before.kind, end.kind), (ItemKind::UsageMinimum(_), ItemKind::UsageMaximum(_)));
    is_range.then(|| (before.unsigned(), end.unsigned()))
}

/// Returns the repair that ends a usage range where the kernel does. Before Linux 4.20, it refused longer ones.
fn shorter(items: &[Item], offset: usize, first: u32, last: u32) -> Vec<Repair> {
    let highest = i64::from(first) + i64::from(MAX_USAGES) - 1;
    let is_main = |item: &Item| matches!(item.kind, ItemKind::Main(..));
    let end = items.iter().position(|item| item.offset >= offset && is_main(item)).unwrap_or(items.len());
    let start = items.get(..end).and_then(|items| items.iter().rposition(is_main)).unwrap_or(0);
    let is_own = |item: &&Item| match item.kind {
        ItemKind::UsageMaximum(_) => item.offset == offset,
        // The logical range of such an array has the same end.
        ItemKind::LogicalMaximum(_) => item.unsigned() == last,
        _ => false,
    };
    let own = items.get(start..end).unwrap_or_default().iter().filter(is_own);
    own.filter_map(|item| Repair::value(item, highest)).collect()
}

/// Finds fields before the first Report ID. The kernel looks for a report by its first byte, which is never 0 then.
pub(super) fn check_ids(anatomy: &Anatomy) -> Vec<Finding> {
    let mut findings = Vec::new();
    for kind in [ReportType::Input, ReportType::Output, ReportType::Feature] {
        let mut reports = anatomy.reports.iter().filter(|report| report.kind == kind && report.numbered);
        let Some(report) = reports.find(|report| report.id.is_none()) else { continue };
        let Some(field) = report.fields.iter().find(|field| !field.is_padding()) else { continue };
        let what = format!("other {kind} reports have an ID, and the fields before the first Report ID have none");
        let mut finding = Finding::new(&rules::WITHOUT_ID, Certainty::Certain, what).at(field.offset);
        finding.report = Some(InReport { kind, id: None });
        findings.push(finding);
    }
    findings
}
