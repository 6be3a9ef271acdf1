//! Describes the layout of a descriptor's reports, as comments and as constants for a driver's source.

use std::collections::BTreeSet;
use std::fmt::Write;

use hidbpf::descriptor::{Anatomy, Field, FieldKind, Report, ReportType, Row};

/// Describes the bits of a field in a comment: `report 1, byte 2, bits 0 to 4: Button 1 .. Button 5; byte 3: X`.
pub(super) fn places(report: &Report, field: &Field) -> String {
    let places: Vec<String> = field.rows().iter().map(|row| format!("{}: {}", bits(row), row.what)).collect();
    let whose = match (report.kind, report.id) {
        (ReportType::Input, None) => String::new(),
        (ReportType::Input, Some(id)) => format!("report {id}, "),
        _ => format!("{report}, "),
    };
    if places.is_empty() { String::new() } else { whose + &places.join("; ") }
}

/// Returns the position of a row: `bytes 2 and 3`, `byte 2, bits 0 to 4`.
fn bits(row: &Row) -> String {
    let (first, past) = (row.first_bit, row.first_bit + row.size * row.count);
    let last = past.max(first + 1) - 1;
    let (first_byte, last_byte) = (first / 8, last / 8);
    match (first % 8, past % 8) {
        (0, 0) if first_byte == last_byte => format!("byte {first_byte}"),
        (0, 0) => format!("bytes {first_byte} {} {last_byte}", if last_byte == first_byte + 1 { "and" } else { "to" }),
        _ if first == last => format!("byte {first_byte}, bit {}", first % 8),
        _ if first_byte == last_byte => format!("byte {first_byte}, bits {} to {}", first % 8, last % 8),
        _ => format!("byte {first_byte}, bit {} to byte {last_byte}, bit {}", first % 8, last % 8),
    }
}

/// Returns the prefix of a report's constants: `REPORT_1`, or `OUTPUT_3`. `prefix` is for drivers of several
/// interfaces.
pub(super) fn report_name(prefix: &str, report: &Report) -> String {
    let kind = match report.kind {
        ReportType::Input => "REPORT",
        ReportType::Output => "OUTPUT",
        ReportType::Feature => "FEATURE",
    };
    let id = report.id.map(|id| format!("_{id}")).unwrap_or_default();
    format!("{prefix}{kind}{id}")
}

/// Returns a constant for each field of each report: its first byte.
pub(super) fn constants(prefix: &str, descriptor: &Anatomy) -> String {
    let mut text = String::new();
    for report in &descriptor.reports {
        let name = report_name(prefix, report);
        let mut lines = Vec::new();
        if let Some(id) = report.id {
            lines.push((name.clone(), id.to_string(), String::new()));
        }
        lines.push((format!("{name}_SIZE"), report.bytes().to_string(), String::new()));
        let mut taken = BTreeSet::from(["SIZE".to_owned()]);
        for row in report.rows().iter().filter(|row| !matches!(row.kind, FieldKind::Id | FieldKind::Padding)) {
            let mut unique = identifier(&row.what);
            let base = unique.clone();
            let mut number = 2;
            while !taken.insert(unique.clone()) {
                unique = format!("{base}_{number}");
                number += 1;
            }
            lines.push((format!("{name}_{unique}"), row.place().0.to_string(), described(row)));
        }
        let width = lines.iter().map(|(name, value, _)| name.len() + value.len()).max().unwrap_or(0);
        // Writing to a string can't fail.
        let heading = report.heading();
        let _ = writeln!(text, "/* {}{} */", heading[..1].to_uppercase(), heading[1..].replace("*/", "*"));
        for (name, value, comment) in lines {
            let blanks = " ".repeat(width - name.len() - value.len() + 1);
            match comment.is_empty() {
                true => _ = writeln!(text, "#define {name} {value}"),
                false => _ = writeln!(text, "#define {name} {value}{blanks}/* {comment} */"),
            }
        }
        text.push('\n');
    }
    text
}

/// Describes the rest of a row: the bits, the range, and the usages after the first.
fn described(row: &Row) -> String {
    let mut parts = vec![bits(row)];
    if row.count > 1 && row.size > 1 {
        parts.push(format!("{} values of {} bits", row.count, row.size));
    }
    if row.size > 1
        && let Some(logical) = row.logical
    {
        parts.push(logical.to_string());
    }
    let names = if row.count > 1 { format!(": {}", row.what.replace("*/", "*")) } else { String::new() };
    parts.join(", ") + &names
}

/// Returns a C identifier for a usage, in capitals. For a range it names the first.
fn identifier(what: &str) -> String {
    let first = what.split(" .. ").next().and_then(|span| span.split(", ").next()).unwrap_or_default();
    let words: Vec<String> = first
        .split(|character: char| !character.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_uppercase)
        .collect();
    if words.is_empty() { "FIELD".to_owned() } else { words.join("_") }
}
