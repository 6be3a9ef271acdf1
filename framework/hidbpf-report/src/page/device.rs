//! The section of one device.

use hidbpf_descriptor::diagnose::Certainty;
use hidbpf_descriptor::{DiffKind, FieldKind, Hex, Item};
use maud::{Markup, html};

use super::printable;
use crate::model::{BitCell, Block, Device, ItemRow, Log, Node, Picture, Problem, Row, Sample, SentOrFixed, Side};

pub fn section(index: usize, device: &Device) -> Markup {
    html! {
        section.device id={ "device-" (index) } aria-labelledby={ "name-" (index) } {
            header {
                h1 id={ "name-" (index) } { (printable(&device.name)) }
                dl.facts {
                    @for (label, value) in &device.facts { div { dt { (label) } dd { (printable(value)) } } }
                }
            }
            @if !device.notes.is_empty() {
                ul.notes { @for note in &device.notes { li { (printable(note)) } } }
            }
            (findings(&device.findings))
            @if device.log.count > 0 { (plots(index, &device.log)) }
            (bits(&device.descriptors))
            (descriptor(device))
            @if device.log.count > 0 { (reports(index, &device.log)) }
        }
    }
}

fn findings(findings: &[Problem]) -> Markup {
    html! {
        h2 { "Findings" }
        @if findings.is_empty() { p.quiet { "No known defect was found." } }
        @for problem in findings {
            article.finding.(certainty(problem.certainty)) {
                h3 { (printable(&problem.what)) }
                p.where {
                    span.badge { (problem.certainty) } " "
                    code { (problem.id) }
                    @for place in &problem.places { " · " (printable(place)) }
                }
                p { (problem.effect) }
                @for repair in &problem.repairs { p.repair { "Repair: " code { (repair) } } }
                p.quiet { (problem.source) }
            }
        }
    }
}

fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Certain => "certain",
        Certainty::Likely => "likely",
        _ => "possible",
    }
}

/// The plots are drawn by the script.
fn plots(index: usize, log: &Log) -> Markup {
    html! {
        h2 { "Values over time" }
        noscript { p.quiet { "The plots need JavaScript. The other parts of this page don't." } }
        div.plots data-device=(index) hidden {
            div.tools role="toolbar" aria-label="Time" {
                button type="button" data-do="in" { "Zoom in" }
                button type="button" data-do="out" { "Zoom out" }
                button type="button" data-do="left" aria-label="Earlier" { "←" }
                button type="button" data-do="right" aria-label="Later" { "→" }
                button type="button" data-do="all" { "Show all" }
                output {}
            }
            div.traces tabindex="0" role="group"
                aria-label="Plots of the values. Plus and minus zoom, the arrow keys move, 0 shows all, Enter shows the reports of this time." {
                div.side data-side="sent" { @if log.by.is_some() { h3 { "sent" } } }
                @if let Some(by) = &log.by { div.side data-side="fixed" { h3 { "after " (printable(by)) } } }
            }
            p.quiet { "Drag over a plot to zoom in. Click it to see the reports of that time." }
        }
    }
}

fn bits(sides: &[Side]) -> Markup {
    html! {
        h2 { "Bits" }
        (legend())
        div.sides {
            @for side in sides {
                div.side {
                    @if sides.len() > 1 { h3 { (side_title(side)) } }
                    @if side.pictures.is_empty() { p.quiet { "No report is declared or sent." } }
                    @for picture in &side.pictures { (self::picture(picture)) }
                }
            }
        }
    }
}

fn side_title(side: &Side) -> String {
    match &side.by {
        None => "sent".to_owned(),
        Some(by) => format!("after {}", printable(by)),
    }
}

fn legend() -> Markup {
    html! {
        p.legend {
            "A square is a bit, bit 7 on the left. Its shade says how often it changed from one report to the next: "
            @for (heat, words) in [(0, "never"), (1, "below 1 %"), (2, "1 %"), (3, "5 %"), (4, "20 %"), (5, "50 % and more")] {
                span.key { i.{ "h" (heat) } {} " " (words) } " "
            }
        }
    }
}

fn picture(picture: &Picture) -> Markup {
    let seen = match picture.seen {
        None => "never sent by the device".to_owned(),
        Some(0) => "none in the recording".to_owned(),
        Some(1) => "1 in the recording".to_owned(),
        Some(count) => format!("{count} in the recording"),
    };
    html! {
        figure.picture {
            figcaption { strong { (printable(&picture.heading)) } span.quiet { " " (seen) } }
            div.bytes role="img" aria-label="The bits of the report. The table below has the same in words." {
                @for block in &picture.blocks { (self::block(block)) }
            }
            @if !picture.samples.is_empty() { (samples(&picture.samples)) }
        }
    }
}

fn block(block: &Block) -> Markup {
    html! {
        @match block {
            Block::Byte { index, bits, labels } => {
                div.byte {
                    span.index { (index) }
                    span.cells { @for (place, bit) in bits.iter().enumerate() { (cell(7 - place, bit)) } }
                    span.labels {
                        @for label in labels {
                            span.{ "w" (label.bits) }.(kind(label.kind)) title=(printable(&label.text)) { (printable(&label.text)) }
                        }
                    }
                }
            }
            Block::Run { first, last, label } => {
                div.byte.run {
                    span.index { (first) " to " (last) }
                    span.never { "never changed" }
                    span.labels { span.w8 title=(printable(label)) { (printable(label)) } }
                }
            }
            Block::More(count) => { div.byte.run { span.index { "and " (count) " more bytes" } } }
        }
    }
}

fn cell(place: usize, bit: &BitCell) -> Markup {
    html! { i.{ "h" (bit.heat) }.(kind(bit.kind)) title={ "bit " (place) ": " (times(bit.changes)) } {} }
}

fn times(changes: u32) -> String {
    match changes {
        0 => "never changed".to_owned(),
        1 => "changed once".to_owned(),
        count => format!("changed {count} times"),
    }
}

fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Padding | FieldKind::Constant => "pad",
        FieldKind::Id => "id",
        _ => "data",
    }
}

fn samples(samples: &[Sample]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th { "at" } th { "bits" } th { "what" } th { "range" } th { "unit" } th { "kind" } th { "seen" } th { "changes" } } }
                tbody {
                    @for Sample { row, changes, seen } in samples {
                        tr.(kind(row.kind)) {
                            td { (row.place().0) "." (row.place().1) }
                            td { @if row.count > 1 { (row.count) " × " } (row.size) }
                            td.name { (printable(&row.what)) }
                            td { @if let Some(range) = row.logical { (range) } }
                            td { @if let Some(range) = row.physical { (range) " " } (row.unit) }
                            td { (row.kind) }
                            td { @if let Some((low, high)) = seen { @if low == high { (low) } @else { (low) " to " (high) } } }
                            td { (changes) }
                        }
                    }
                }
            }
        }
    }
}

fn descriptor(device: &Device) -> Markup {
    let is_compared = device.descriptors.len() > 1;
    html! {
        h2 { "Report descriptor" }
        @for side in &device.descriptors {
            @if let Some(refused) = &side.refused { p.finding.certain { (side_title(side)) ": " (printable(refused)) } }
        }
        @if is_compared {
            p { (changed(device.changed_items())) }
        }
        details open {
            summary { "Collections and fields" }
            div.sides {
                @for side in &device.descriptors {
                    div.side {
                        @if is_compared { h3 { (side_title(side)) } }
                        ul.tree { @for node in &side.tree { (self::node(node)) } }
                    }
                }
            }
        }
        details open[is_compared] {
            summary { "Items (" (device.items.len()) ")" }
            div.wide { table.items {
                thead { tr {
                    th { "at" } th { "bytes" } th { "item" }
                    @if is_compared { th { "at" } th { "bytes" } th { "after the driver" } }
                } }
                tbody { @for row in &device.items { (item_row(row, is_compared)) } }
            } }
        }
        @for side in &device.descriptors {
            details {
                summary { "Bytes" @if is_compared { ", " (side_title(side)) } " (" (side.bytes.len()) ")" }
                pre { (Hex(&side.bytes)) }
            }
        }
    }
}

fn changed(items: usize) -> String {
    match items {
        0 => "The driver leaves the descriptor as it is.".to_owned(),
        1 => "The driver changes 1 item.".to_owned(),
        count => format!("The driver changes {count} items."),
    }
}

fn node(node: &Node) -> Markup {
    html! {
        @match node {
            Node::Collection { label, inner } => {
                li { strong { (printable(label)) } @if !inner.is_empty() { ul { @for node in inner { (self::node(node)) } } } }
            }
            Node::Field { report, place, what, detail } => {
                li { span.quiet { (report) " at " (place) ": " } (printable(what)) span.quiet { " " (detail) } }
            }
        }
    }
}

fn item_row(row: &ItemRow, is_compared: bool) -> Markup {
    let change = match row.change {
        DiffKind::Same => "",
        DiffKind::Changed => "changed",
        DiffKind::Removed => "removed",
        DiffKind::Inserted => "inserted",
    };
    html! {
        tr.(change) {
            (item(row.before.as_ref()))
            @if is_compared { (item(row.after.as_ref())) }
        }
    }
}

/// Writes the cells of an item. Nested collections are indented by classes, since the page permits no other style.
fn item(item: Option<&Item>) -> Markup {
    /// The most bytes that are shown, and the deepest indentation.
    const BYTES: usize = 8;
    const DEEPEST: usize = 8;
    html! {
        @match item {
            None => { td {} td {} td {} }
            Some(item) => {
                td { (item.offset) }
                td { code { (Hex(&item.bytes[..item.bytes.len().min(BYTES)])) @if item.bytes.len() > BYTES { " …" } } }
                td.name.{ "d" (item.depth.min(DEEPEST)) } { (item.kind.name()) " " span.quiet { (printable(&item.kind.value().unwrap_or_default())) } }
            }
        }
    }
}

fn reports(index: usize, log: &Log) -> Markup {
    let rest = log.count - log.rows.len();
    html! {
        h2 { "Reports" }
        div.log data-device=(index) {
            div.tools hidden role="toolbar" aria-label="Reports" {
                button type="button" data-do="first" { "First" }
                button type="button" data-do="earlier" { "Earlier" }
                button type="button" data-do="later" { "Later" }
                button type="button" data-do="last" { "Last" }
                label { "Report ID " select { option value="" { "all" } } }
                output {}
            }
            div.wide tabindex="0" role="region" aria-label="Reports" {
                table.reports {
                    thead { tr {
                        th { "no." } th { "seconds" } th { "sent" } th { "values" }
                        @if let Some(by) = &log.by { th { "after " (printable(by)) } th { "values" } }
                    } }
                    tbody { @for row in &log.rows { (report(row, log.by.is_some())) } }
                }
            }
            @if rest > 0 { noscript { p.quiet { (rest) " more reports are shown with JavaScript." } } }
        }
    }
}

fn report(row: &Row, has_driver: bool) -> Markup {
    html! {
        tr {
            td { (row.number) }
            td { (row.time) }
            (side(&row.sent))
            @if has_driver {
                @match row.fixed.as_deref() {
                    None => { td.quiet { "same" } td {} }
                    Some([]) => { td.quiet { "dropped" } td {} }
                    Some([one]) => { (side(one)) }
                    Some(all) => {
                        td.bytes { @for one in all { div { (bytes(one)) } } }
                        td.name { @for one in all { div { (values(one)) } } }
                    }
                }
            }
        }
    }
}

fn side(side: &SentOrFixed) -> Markup {
    html! { td.bytes { (bytes(side)) } td.name { (values(side)) } }
}

fn bytes(side: &SentOrFixed) -> Markup {
    html! {
        @for (index, (byte, is_marked)) in side.bytes.iter().enumerate() {
            @if index > 0 { " " }
            @if *is_marked { b { (format!("{byte:02x}")) } } @else { (format!("{byte:02x}")) }
        }
    }
}

fn values(side: &SentOrFixed) -> Markup {
    html! {
        @for (index, (value, is_marked)) in side.values.iter().enumerate() {
            @if index > 0 { ", " }
            @if *is_marked { b { (printable(value)) } } @else { (printable(value)) }
        }
    }
}
