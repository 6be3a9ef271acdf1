//! Draws reports as standalone SVG: one row per byte, with the meaning of each bit.
//!
//! Bit 7 is on the left, as in data sheets. Whole bytes of one value are one box. If a value shares its bytes with
//! others, each of its boxes names the bits in it. Long runs of whole bytes with one meaning are one box too.

use crate::interpret::diff::{DiffKind, Difference, ReportDifference};
use crate::interpret::report::{FieldKind, Report, Row};
use crate::text::Printable;

/// The height of a byte's row and the width of a bit, in pixels.
const ROW: u32 = 30;
const BIT: u32 = 84;
/// The width of the column of byte numbers.
const GUTTER: u32 = 76;
/// The margin around the picture, and between the report before and after.
const MARGIN: u32 = 24;
/// The height of a report's heading with its line of bit numbers.
const HEADING: u32 = 58;
/// The height of the title and of the legend below it.
const TITLE: u32 = 84;
/// The maximum width of a character in most fonts. The small one is for small text, the title's for the title.
const CHARACTER: u32 = 8;
const SMALL_CHARACTER: u32 = 7;
const TITLE_CHARACTER: u32 = 12;

/// Runs of whole bytes with one meaning that are longer than this are drawn as one box of `SHORT_RUN` rows.
const LONG_RUN: u32 = 4;
const SHORT_RUN: u32 = 2;

/// The maximum number of boxes in a picture. No real device needs as many.
const MAX_CELLS: usize = 20_000;

/// The colours: the kind of field, and its colour in light and in dark mode.
const COLOURS: [(FieldKind, &str, &str, &str); 7] = [
    (FieldKind::Id, "id", "#d5d9de", "#4a5058"),
    (FieldKind::Switch, "switch", "#cfe3ff", "#1f4a80"),
    (FieldKind::Absolute, "absolute", "#cdeed5", "#1d5a32"),
    (FieldKind::Relative, "relative", "#fde3b8", "#704a10"),
    (FieldKind::Array, "array", "#e6d7fa", "#54358a"),
    (FieldKind::Constant, "constant", "#ecd9d3", "#5e4037"),
    (FieldKind::Padding, "padding", "#f4f5f6", "#23272c"),
];

fn class(kind: FieldKind) -> &'static str {
    COLOURS.iter().find(|(of, ..)| *of == kind).map_or("padding", |(_, class, ..)| class)
}

/// Draws reports one below the other.
pub fn picture(title: &str, reports: &[Report]) -> String {
    let mut room = MAX_CELLS;
    let panels: Vec<Panel> = reports.iter().map(|report| Panel::new(report, &[], &mut room)).collect();
    let rows: Vec<Vec<Option<&Panel>>> = panels.iter().map(|panel| vec![Some(panel)]).collect();
    draw(title, &[], &rows)
}

/// Draws reports before on the left and after on the right, and outlines the differences.
pub fn picture_of_difference(title: &str, differences: &[ReportDifference]) -> String {
    let mut room = MAX_CELLS;
    let panels: Vec<(Option<Panel>, Option<Panel>)> = differences
        .iter()
        .map(|difference| {
            let changed = |side: fn(&Difference<Row>) -> &Option<Row>| -> Vec<(u32, u32)> {
                let rows = difference.rows.iter().filter(|row| row.change != DiffKind::Same);
                rows.filter_map(|row| side(row).as_ref()).map(|row| (row.first_bit, row.size * row.count)).collect()
            };
            let mut panel = |report: &Option<Report>, changed: Vec<(u32, u32)>| {
                report.as_ref().map(|report| Panel::new(report, &changed, &mut room))
            };
            (panel(&difference.before, changed(|row| &row.before)), panel(&difference.after, changed(|row| &row.after)))
        })
        .collect();
    let rows: Vec<Vec<Option<&Panel>>> =
        panels.iter().map(|(before, after)| vec![before.as_ref(), after.as_ref()]).collect();
    draw(title, &["before", "after"], &rows)
}

/// The picture of a report.
struct Panel {
    heading: String,
    cells: Vec<Cell>,
    /// The labels beside the rows: the first row, the number of rows, and the text.
    labels: Vec<(u32, u32, String)>,
    /// The number of rows.
    rows: u32,
    /// The next byte without a row. Below a shortened run, rows move up.
    next_byte: u32,
}

/// Neighbouring bits of a value in one byte, or whole bytes.
struct Cell {
    row: u32,
    rows: u32,
    /// Its lowest bit and its width in bits.
    bit: u32,
    bits: u32,
    kind: FieldKind,
    is_changed: bool,
    label: String,
    detail: String,
    /// The tooltip.
    tip: String,
}

/// A run of bits before it is cut into boxes.
struct Run {
    name: String,
    tip: String,
    kind: FieldKind,
    first_bit: u32,
    size: u32,
    count: u32,
    detail: String,
}

impl Panel {
    /// Lays out a report. `changed` are runs of bits as first bit and length. `room` is how many boxes may still be
    /// drawn.
    fn new(report: &Report, changed: &[(u32, u32)], room: &mut usize) -> Panel {
        let mut panel =
            Panel { heading: report.heading(), cells: Vec::new(), labels: Vec::new(), rows: 0, next_byte: 0 };
        for run in runs(report) {
            if panel.cells.len() >= *room {
                panel.heading += ", too many to draw";
                break;
            }
            let is_changed = changed.iter().any(|(first, bits)| (*first..first + bits).contains(&run.first_bit));
            panel.run(&run, is_changed);
        }
        *room = room.saturating_sub(panel.cells.len());
        panel
    }

    /// Returns the row of a byte. Callers pass all bytes in order.
    fn row(&mut self, byte: u32) -> u32 {
        if byte >= self.next_byte {
            self.next_byte = byte + 1;
            self.labels.push((self.rows, 1, byte.to_string()));
            self.rows += 1;
        }
        self.rows - 1
    }

    fn run(&mut self, run: &Run, is_changed: bool) {
        let bit = |index: u32| run.first_bit + index * run.size;
        // The values that begin at a byte boundary, as long as they fill whole bytes.
        let at_bytes: Vec<u32> = (0..=run.count).filter(|index| bit(*index).is_multiple_of(8)).collect();
        let (start, end) = (at_bytes.first().copied().unwrap_or(0), at_bytes.last().copied().unwrap_or(0));
        if (bit(end) - bit(start)) / 8 <= LONG_RUN {
            self.values(run, 0..run.count, is_changed);
            return;
        }
        self.values(run, 0..start, is_changed);
        let (first, last) = (bit(start) / 8, bit(end) / 8 - 1);
        self.labels.push((self.rows, SHORT_RUN, format!("{first} to {last}")));
        let label = match (run.count, end - start) {
            (1, _) => run.name.clone(),
            (all, here) if all == here => format!("{} × {all}", run.name),
            _ => format!("{} [{start} to {}]", run.name, end - 1),
        };
        self.cells.push(run.cut(self.rows, SHORT_RUN, (0, 8), label, is_changed));
        self.rows += SHORT_RUN;
        self.next_byte = last + 1;
        self.values(run, end..run.count, is_changed);
    }

    /// Draws values one by one.
    fn values(&mut self, run: &Run, indices: std::ops::Range<u32>, is_changed: bool) {
        for index in indices {
            let (first, end) = (run.first_bit + index * run.size, run.first_bit + (index + 1) * run.size);
            let name = |bits: u32| match run.count {
                1 => run.name.clone(),
                // If the full label doesn't fit, the shared name gives way to the index.
                _ => Some(format!("{} [{index}]", run.name))
                    .filter(|name| !in_two_lines(name, bits * BIT).1.ends_with('…'))
                    .unwrap_or_else(|| format!("[{index}]")),
            };
            if first.is_multiple_of(8) && end.is_multiple_of(8) {
                let row = self.row(first / 8);
                for byte in first / 8 + 1..end / 8 {
                    self.row(byte);
                }
                self.cells.push(run.cut(row, (end - first) / 8, (0, 8), name(8), is_changed));
                continue;
            }
            let mut bit = first;
            while bit < end {
                let bits = (8 - bit % 8).min(end - bit);
                let row = self.row(bit / 8);
                let (low, high) = (bit - first, bit - first + bits - 1);
                let label = match (bits == end - first, low == high) {
                    (true, _) => name(bits),
                    (false, true) => format!("{} bit {low}", name(bits)),
                    (false, false) => format!("{} bits {high}..{low}", name(bits)),
                };
                self.cells.push(run.cut(row, 1, (bit % 8, bits), label, is_changed));
                bit += bits;
            }
        }
    }
}

impl Run {
    fn cut(&self, row: u32, rows: u32, (bit, bits): (u32, u32), label: String, is_changed: bool) -> Cell {
        let (tip, detail, kind) = (self.tip.clone(), self.detail.clone(), self.kind);
        Cell { row, rows, bit, bits, kind, is_changed, label, detail, tip }
    }
}

/// Returns the runs of a report in bit order.
fn runs(report: &Report) -> Vec<Run> {
    let id = report.numbered.then(|| Run {
        name: report.id.map_or_else(|| "report id".to_owned(), |id| format!("report id {id}")),
        tip: "report id".to_owned(),
        kind: FieldKind::Id,
        first_bit: 0,
        size: 8,
        count: 1,
        detail: String::new(),
    });
    let fields = report.fields.iter().flat_map(|field| {
        field.parts().into_iter().map(|part| {
            let times = if part.count > 1 { format!("{} × ", part.count) } else { String::new() };
            let size = format!("{times}{} bit{}", part.size, if part.bits() == 1 { "" } else { "s" });
            let range = match field.is_padding() {
                true => String::new(),
                false => format!(", {}", field.logical),
            };
            let unit = match field.scaled_unit() {
                unit if unit.is_empty() || field.is_padding() => String::new(),
                unit => format!(", {} {unit}", field.physical),
            };
            Run {
                tip: format!("{}: {size}{range}{unit} ({})", part.name, field.flags),
                detail: format!("{size}{range}"),
                name: part.name,
                kind: field.kind(),
                first_bit: part.first_bit,
                size: part.size,
                count: part.count,
            }
        })
    });
    id.into_iter().chain(fields).collect()
}

/// Escapes a text for XML, and drops characters that XML doesn't allow.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in Printable(text).to_string().chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Truncates a text to a width.
fn fit(text: &str, width: u32, character: u32) -> String {
    let most = (width / character) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks a text into two lines of small characters. The first holds as many whole words as fit.
fn in_two_lines(text: &str, width: u32) -> (String, String) {
    let most = (width / SMALL_CHARACTER) as usize;
    let spaces = text.char_indices().enumerate().filter(|(_, (_, c))| *c == ' ');
    let split = spaces.filter(|(count, _)| *count <= most).last().map_or(0, |(_, (index, _))| index);
    let (first, second) = text.split_at(split);
    (first.to_owned(), fit(second.trim_start(), width, SMALL_CHARACTER))
}

fn style() -> String {
    let colours = |dark: bool| -> String {
        let colour = |light: &'static str, in_the_dark: &'static str| if dark { in_the_dark } else { light };
        let kinds =
            COLOURS.iter().map(|(_, class, light, deep)| format!("  .{class} {{ fill: {} }}\n", colour(light, deep)));
        let rest = [
            format!("  .paper {{ fill: {} }}\n", colour("#ffffff", "#0d1117")),
            format!("  text {{ fill: {} }}\n", colour("#1b1f24", "#e6edf3")),
            format!("  .quiet {{ fill: {} }}\n", colour("#57606a", "#b8c1cc")),
            format!("  .box {{ stroke: {} }}\n", colour("#8c959f", "#6e7681")),
            format!("  .changed {{ stroke: {}; stroke-width: 3 }}\n", colour("#c4290a", "#ff8f6b")),
        ];
        kinds.chain(rest).collect()
    };
    format!(
        "<style>\n  text {{ font: 13px sans-serif }}\n  .title {{ font-size: 18px; font-weight: bold }}\n  \
         .heading {{ font-size: 15px; font-weight: bold }}\n  .quiet, .small {{ font-size: 11px }}\n  .middle {{ text-anchor: middle }}\n  \
         .end {{ text-anchor: end }}\n{}  @media (prefers-color-scheme: dark) {{\n{}  }}\n</style>\n",
        colours(false),
        colours(true)
    )
}

fn draw(title: &str, columns: &[&str], rows: &[Vec<Option<&Panel>>]) -> String {
    let panel_width = GUTTER + 8 * BIT;
    let across = columns.len().max(1) as u32;
    let width = MARGIN + across * (panel_width + MARGIN);
    let heights: Vec<u32> = rows
        .iter()
        .map(|row| HEADING + row.iter().flatten().map(|panel| panel.rows).max().unwrap_or(0) * ROW + MARGIN)
        .collect();
    let column_heading = if columns.is_empty() { 0 } else { MARGIN };
    let height = TITLE + column_heading + heights.iter().sum::<u32>() + MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\">\n\
         <title>{}</title>\n{}<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
        escape(title),
        style()
    );
    let text = |x: u32, y: u32, class: &str, text: &str| {
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        format!("<text{class} x=\"{x}\" y=\"{y}\">{}</text>\n", escape(text))
    };
    svg += &text(MARGIN, 36, "title", &fit(title, width - 2 * MARGIN, TITLE_CHARACTER));
    let mut x = MARGIN;
    for kind in FieldKind::ALL {
        svg += &format!("<rect class=\"box {}\" x=\"{x}\" y=\"52\" width=\"14\" height=\"14\"/>\n", class(kind));
        svg += &text(x + 20, 64, "", &kind.to_string());
        x += 20 + kind.to_string().len() as u32 * CHARACTER + MARGIN / 4;
    }
    if !columns.is_empty() {
        svg += &format!("<rect class=\"box paper changed\" x=\"{x}\" y=\"52\" width=\"14\" height=\"14\"/>\n");
        svg += &text(x + 22, 64, "", "differs");
        for (column, name) in (0..).zip(columns) {
            svg += &text(MARGIN + column * (panel_width + MARGIN), TITLE + MARGIN, "heading quiet", name);
        }
    }
    let mut y = TITLE + column_heading;
    for (row, height) in rows.iter().zip(&heights) {
        for (column, panel) in (0..).zip(row) {
            let x = MARGIN + column * (panel_width + MARGIN);
            match panel {
                Some(panel) => panel.draw(&mut svg, x, y),
                None => svg += &text(x, y + MARGIN, "quiet", "not declared"),
            }
        }
        y += height;
    }
    svg + "</svg>\n"
}

impl Panel {
    fn draw(&self, svg: &mut String, left: u32, top: u32) {
        let text = |x: u32, y: u32, class: &str, text: &str| {
            format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>\n", escape(text))
        };
        *svg += &text(left, top + MARGIN, "heading", &fit(&self.heading, GUTTER + 8 * BIT, CHARACTER));
        let (left, top) = (left + GUTTER, top + HEADING);
        *svg += &text(left - 10, top - 8, "quiet end", "byte");
        for bit in 0..8 {
            *svg += &text(left + (7 - bit) * BIT + BIT / 2, top - 8, "quiet middle", &bit.to_string());
        }
        for (row, rows, label) in &self.labels {
            *svg += &text(left - 10, top + row * ROW + rows * ROW / 2 + 5, "quiet end", label);
        }
        // Changed boxes are drawn last, so that their neighbours don't cover their outlines.
        for cell in
            self.cells.iter().filter(|cell| !cell.is_changed).chain(self.cells.iter().filter(|cell| cell.is_changed))
        {
            let (width, height) = (cell.bits * BIT, cell.rows * ROW);
            let (x, y) = (left + (8 - cell.bit - cell.bits) * BIT, top + cell.row * ROW);
            let changed = if cell.is_changed { " changed" } else { "" };
            *svg += &format!(
                "<g><title>{}</title><rect class=\"box {}{changed}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"/>\n",
                escape(&cell.tip),
                class(cell.kind)
            );
            let (middle, baseline) = (x + width / 2, y + height / 2 + 5);
            let mut lines = |upper_class: &str, upper: &str, lower_class: &str, lower: &str| {
                *svg += &text(middle, baseline - 8, upper_class, upper);
                *svg += &text(middle, baseline + 6, lower_class, lower);
            };
            let whole = fit(&cell.label, width, CHARACTER);
            if cell.rows > 1 && !cell.detail.is_empty() {
                lines("middle", &whole, "quiet middle", &fit(&cell.detail, width, SMALL_CHARACTER));
            } else if whole == cell.label || !cell.label.contains(' ') {
                *svg += &text(middle, baseline, "middle", &whole);
            } else {
                let (first, second) = in_two_lines(&cell.label, width);
                lines("small middle", &first, "small middle", &second);
            }
            *svg += "</g>\n";
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpret::descriptor::Descriptor;
    use crate::interpret::diff::reports_difference;

    /// A mouse with an ID: 3 buttons, 12 bits each of X and Y, a wheel, and 8 vendor bytes.
    const MOUSE: &[u8] = &[
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x25, 0x01, 0x75, 0x01,
        0x95, 0x03, 0x81, 0x02, 0x95, 0x05, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0xf8, 0x26,
        0xff, 0x07, 0x75, 0x0c, 0x95, 0x02, 0x81, 0x06, 0x09, 0x38, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06, 0x06, 0x00,
        0xff, 0x09, 0x20, 0x95, 0x08, 0x81, 0x02, 0xc0,
    ];

    /// Returns the positions of the boxes: row, rows, lowest bit, bits, label.
    fn cells(panel: &Panel) -> Vec<(u32, u32, u32, u32, &str)> {
        panel.cells.iter().map(|cell| (cell.row, cell.rows, cell.bit, cell.bits, cell.label.as_str())).collect()
    }

    #[test]
    fn bits_are_where_they_are_in_the_report() {
        let descriptor = Descriptor::parse(MOUSE).unwrap();
        let panel = Panel::new(&descriptor.reports[0], &[], &mut 100);
        assert_eq!(panel.heading, "input report 1 (Mouse), 14 bytes");
        assert_eq!(
            cells(&panel),
            [
                (0, 1, 0, 8, "report id 1"),
                (1, 1, 0, 1, "Button 1"),
                (1, 1, 1, 1, "Button 2"),
                (1, 1, 2, 1, "Button 3"),
                (1, 1, 3, 5, "padding"),
                (2, 1, 0, 8, "X bits 7..0"),
                (3, 1, 0, 4, "X bits 11..8"),
                (3, 1, 4, 4, "Y bits 3..0"),
                (4, 1, 0, 8, "Y bits 11..4"),
                (5, 1, 0, 8, "Wheel"),
                (6, 2, 0, 8, "Vendor Usage 0x20 × 8"),
            ]
        );
        assert_eq!(panel.labels.last(), Some(&(6, 2, "6 to 13".to_owned())));
    }

    #[test]
    fn what_differs_is_marked_on_its_side() {
        let mut changed = MOUSE.to_vec();
        // Turns X into Z.
        changed[29] = 0x32;
        let (before, after) = (Descriptor::parse(MOUSE).unwrap(), Descriptor::parse(&changed).unwrap());
        let svg = picture_of_difference("a mouse", &reports_difference(&before, &after));
        assert_eq!(svg.matches(" changed\" x").count(), 4 + 1, "two boxes on each side, and the legend: {svg}");
        assert!(svg.contains(">Z bits 7..0<") && svg.contains(">X bits 7..0<"), "{svg}");
        let same = picture_of_difference("a mouse", &reports_difference(&before, &before));
        assert_eq!(same.matches(" changed\" x").count(), 1, "{same}");
        let none = Descriptor { reports: Vec::new(), ..before.clone() };
        let gone = picture_of_difference("a mouse", &reports_difference(&before, &none));
        assert!(gone.contains("not declared"), "{gone}");
    }

    #[test]
    fn texts_can_not_break_out() {
        let svg = picture("<script>&\"\u{1b}\u{0}\u{ffff}", &[]);
        assert!(svg.contains("&lt;script&gt;&amp;&quot;\\u{1b}\\u{0}\u{fffd}"), "{svg}");
    }

    #[test]
    fn pictures_have_an_end() {
        // 20 reports with 12288 buttons each.
        let head = [0x05, 0x09, 0x25, 0x01, 0x75, 0x01, 0x96, 0x00, 0x30];
        let reports = (1..=20).flat_map(|id| [0x85, id, 0x19, 0x01, 0x2a, 0x00, 0x30, 0x81, 0x02]);
        let descriptor = Descriptor::parse(&head.into_iter().chain(reports).collect::<Vec<u8>>()).unwrap();
        let svg = picture("many", &descriptor.reports);
        assert!(svg.matches("<rect").count() < 2 * MAX_CELLS, "{}", svg.len());
        assert!(svg.contains("too many to draw"));
    }
}
