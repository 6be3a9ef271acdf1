//! Descriptors that the kernel refuses, or reads in part.

use crate::hex::HexBytes;
use crate::interpret::descriptor::{Anatomy, Descriptor};
use crate::interpret::item::{Item, ItemKind};
use crate::interpret::parser::Note;
use crate::report_type::ReportType;

use super::{Certainty, Finding, InReport, Repair, Rule, rules};

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
        _ => (&rules::REFUSED, logical_range(anatomy, offset)),
    }
}

/// Returns the repair of a logical range that is the wrong way round, or whose maximum is called a minimum.
fn logical_range(anatomy: &Anatomy, offset: usize) -> Vec<Repair> {
    const MAXIMUM: u8 = 0x24;
    const SIZE: u8 = 3;
    let before = anatomy.items.iter().filter(|item| item.offset < offset);
    let limits = before.filter(|item| matches!(item.kind, ItemKind::LogicalMinimum(_) | ItemKind::LogicalMaximum(_)));
    let limits: Vec<&Item> = limits.collect();
    let change = |item: &Item, new: Vec<u8>| Repair::Replace {
        offset: item.offset,
        old: HexBytes(item.bytes.clone()),
        new: HexBytes(new),
    };
    let repairs = match limits.as_slice() {
        [.., first, last]
            if matches!((first.kind, last.kind), (ItemKind::LogicalMinimum(_), ItemKind::LogicalMinimum(_))) =>
        {
            let [prefix, data @ ..] = last.bytes.as_slice() else { return Vec::new() };
            vec![change(last, [&[MAXIMUM | prefix & SIZE], data].concat())]
        }
        [.., first, last] if first.data() == [1] && last.data() == [0] && first.kind.name() != last.kind.name() => {
            let with =
                |item: &Item, data: u8| change(item, vec![item.bytes.first().copied().unwrap_or_default(), data]);
            vec![with(first, 0), with(last, 1)]
        }
        _ => return Vec::new(),
    };
    checked(anatomy, repairs)
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
        Finding::new(&rules::PASSED_OVER, Certainty::Certain, format!("the kernel passes over {}", note.what))
            .at(note.offset)
    };
    descriptor.notes.iter().map(finding).collect()
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
