//! Prints descriptors as tables of items and of fields.

use std::io::{self, Write};

use hidbpf::descriptor::diagnose;
use hidbpf::descriptor::{Descriptor, DiffKind, Difference, HexBytes, Item, Row, items_difference};
use hidbpf::text::Printable;

use super::{Shown, Wanted};
use crate::commands::diagnose::count;

/// The number of unchanged items to show around differences.
const CONTEXT: usize = 3;

/// The maximum width of a text in a table.
const WIDEST: usize = 60;

pub fn write(to: &mut dyn Write, shown: &Shown, wanted: &Wanted) -> io::Result<()> {
    writeln!(to, "{}", Printable(&shown.sheet.title))?;
    for line in &shown.sheet.lines {
        writeln!(to, "  {line}")?;
    }
    let size = shown.sheet.subject.descriptor.len();
    match &shown.after {
        Some((change, Some(after))) => {
            let sizes = (size, after.sheet.subject.descriptor.len());
            writeln!(to, "  report descriptor, {} bytes before and {} after, {change}", sizes.0, sizes.1)?;
            differences(to, shown, after, wanted)?;
            refusal(to, "before", shown)?;
            refusal(to, "after", after)
        }
        Some((change, None)) => writeln!(to, "  {}, {size} bytes: {change}", shown.sheet.what()),
        None => {
            writeln!(to, "  {}, {size} bytes", shown.sheet.what())?;
            let of_descriptor = || diagnose::descriptor(&shown.sheet.subject.descriptor);
            let findings = shown.sheet.findings.clone().unwrap_or_else(of_descriptor);
            if findings.iter().any(|finding| !finding.rule.harmless) {
                writeln!(to, "  {}: `hidbpf diagnose` explains", count(&findings))?;
            }
            one(to, shown, wanted)?;
            refusal(to, "", shown)
        }
    }
}

fn one(to: &mut dyn Write, shown: &Shown, wanted: &Wanted) -> io::Result<()> {
    if wanted.items || shown.descriptor.is_none() {
        writeln!(to)?;
        for item in &shown.anatomy.items {
            write_item(to, "", item)?;
        }
    }
    if let Some(descriptor) = shown.descriptor.as_ref().filter(|_| wanted.reports) {
        for report in &descriptor.reports {
            let rows = report.rows();
            let rows: Vec<_> = rows.iter().map(|row| ("", row)).collect();
            writeln!(to, "\n{}", report.heading())?;
            table(to, &rows)?;
        }
        passed_over(to, descriptor)?;
    }
    Ok(())
}

fn differences(to: &mut dyn Write, before: &Shown, after: &Shown, wanted: &Wanted) -> io::Result<()> {
    let either_is_refused = before.descriptor.is_none() || after.descriptor.is_none();
    if wanted.items || either_is_refused {
        writeln!(to)?;
        write_items(to, &items_difference(&before.anatomy, &after.anatomy))?;
    }
    if !wanted.reports {
        return Ok(());
    }
    for difference in before.reports_difference() {
        let headings = [("- ", &difference.before), ("+ ", &difference.after)];
        let headings = headings.map(|(sign, report)| report.as_ref().map(|report| (sign, report.heading())));
        writeln!(to)?;
        match headings {
            [Some((_, before)), Some((_, after))] if before == after => match difference.change() {
                DiffKind::Same => writeln!(to, "  {before}: the same")?,
                _ => writeln!(to, "  {before}")?,
            },
            headings => headings.iter().flatten().try_for_each(|(sign, heading)| writeln!(to, "{sign}{heading}"))?,
        }
        if difference.change() != DiffKind::Same {
            let rows: Vec<_> = difference.rows.iter().flat_map(|difference| sides(difference)).collect();
            table(to, &rows)?;
        }
    }
    after.after().descriptor.as_ref().map_or(Ok(()), |descriptor| passed_over(to, descriptor))
}

/// Returns the lines of a difference with their signs.
fn sides<T>(difference: &Difference<T>) -> Vec<(&'static str, &T)> {
    match difference.change {
        DiffKind::Same => difference.after.iter().map(|it| ("  ", it)).collect(),
        _ => {
            let before = difference.before.iter().map(|it| ("- ", it));
            before.chain(difference.after.iter().map(|it| ("+ ", it))).collect()
        }
    }
}

/// Writes the items that differ, and some unchanged ones around them.
fn write_items(to: &mut dyn Write, differences: &[Difference<Item>]) -> io::Result<()> {
    let is_near = |index: usize| {
        let near = index.saturating_sub(CONTEXT)..(index + CONTEXT + 1).min(differences.len());
        differences[near].iter().any(|difference| difference.change != DiffKind::Same)
    };
    let mut left_out = 0;
    for (index, difference) in differences.iter().enumerate() {
        if !is_near(index) {
            left_out += 1;
            continue;
        }
        write_left_out(to, &mut left_out)?;
        for (sign, item) in sides(difference) {
            write_item(to, sign, item)?;
        }
    }
    write_left_out(to, &mut left_out)
}

fn write_left_out(to: &mut dyn Write, left_out: &mut usize) -> io::Result<()> {
    match std::mem::take(left_out) {
        0 => Ok(()),
        1 => writeln!(to, "        (1 item that is the same)"),
        count => writeln!(to, "        ({count} items that are the same)"),
    }
}

fn write_item(to: &mut dyn Write, sign: &str, item: &Item) -> io::Result<()> {
    /// The number of bytes per line. All items fit, except long ones.
    const BYTES: usize = 5;
    /// The maximum indentation of nested collections.
    const DEEPEST: usize = 16;
    let more = if item.bytes.len() > BYTES { " ..." } else { "" };
    let bytes = HexBytes(item.bytes.iter().take(BYTES).copied().collect()).to_string() + more;
    let name = format!("{:indent$}{}", "", item.kind.name(), indent = 2 * item.depth.min(DEEPEST));
    let line = format!("{sign}{:5}  {bytes:14}  {name:24} {}", item.offset, item.kind.value().unwrap_or_default());
    writeln!(to, "{}", line.trim_end())
}

/// Writes fields with their signs, in columns as wide as their content.
fn table(to: &mut dyn Write, rows: &[(&str, &Row)]) -> io::Result<()> {
    const HEADINGS: [&str; 7] = ["at", "bits", "what", "logical", "physical", "unit", ""];
    let cells: Vec<[String; 7]> = rows.iter().map(|(_, row)| cells(row)).collect();
    let width = |column: usize| {
        let widths = cells.iter().map(|row| row[column].chars().count()).filter(|width| *width > 0);
        widths.max().map(|width| width.max(HEADINGS[column].len()))
    };
    let widths: Vec<_> = (0..HEADINGS.len()).map(width).collect();
    let line = |cells: [&str; 7]| {
        let columns = cells.iter().zip(&widths).filter_map(|(cell, width)| Some(format!("{cell:0$}", (*width)?)));
        columns.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let margin = " ".repeat(rows.first().map_or(0, |(sign, _)| sign.len()));
    writeln!(to, "{margin}  {}", line(HEADINGS))?;
    for ((sign, _), cells) in rows.iter().zip(&cells) {
        writeln!(to, "{sign}  {}", line(cells.each_ref().map(String::as_str)))?;
    }
    Ok(())
}

fn cells(row: &Row) -> [String; 7] {
    let (byte, bit) = row.place();
    let bits = if row.count > 1 { format!("{} × {}", row.count, row.size) } else { row.size.to_string() };
    let range = |range: Option<hidbpf::descriptor::Extent>| range.map(|range| range.to_string()).unwrap_or_default();
    let flags = row.flags.words();
    let flags = flags.iter().filter(|word| !["Data", "Variable", "Absolute"].contains(word) && row.logical.is_some());
    [
        format!("{byte}.{bit}"),
        bits,
        shorten(&row.what),
        range(row.logical),
        range(row.physical),
        row.unit.clone(),
        flags.map(|word| word.to_lowercase()).collect::<Vec<_>>().join(", "),
    ]
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn passed_over(to: &mut dyn Write, descriptor: &Descriptor) -> io::Result<()> {
    if !descriptor.notes.is_empty() {
        writeln!(to, "\nThe kernel passes over:")?;
    }
    descriptor.notes.iter().try_for_each(|note| writeln!(to, "  byte {}: {}", note.offset, note.what))
}

fn refusal(to: &mut dyn Write, when: &str, shown: &Shown) -> io::Result<()> {
    let Some(fault) = &shown.anatomy.fault else { return Ok(()) };
    let of = if when.is_empty() { String::new() } else { format!(" of {when}") };
    writeln!(
        to,
        "\nThe kernel refuses the descriptor{of} at byte {}: {} ({})",
        fault.offset, fault.reason, fault.kernel
    )
}
