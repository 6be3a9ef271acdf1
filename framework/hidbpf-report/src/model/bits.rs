//! Each report's bits as a picture: what each means, and how often it changed.

use std::collections::BTreeMap;

use hidbpf_descriptor::{FieldKind, Part, Report, ReportType, Row, extract};

/// The picture of a report.
pub struct Picture {
    pub heading: String,
    /// How many of them were seen, if the report is an input report.
    pub seen: Option<usize>,
    pub blocks: Vec<Block>,
    pub samples: Vec<Sample>,
}

/// One byte, or a run of whole bytes that never change.
pub enum Block {
    Byte {
        index: u32,
        bits: Vec<BitCell>,
        labels: Vec<Label>,
    },
    Run {
        first: u32,
        last: u32,
        label: String,
    },
    /// The bytes that are not drawn.
    More(u32),
}

/// A bit.
pub struct BitCell {
    /// How often it changed.
    pub changes: u32,
    /// The same from 0, never, to 5, at half of the reports or more.
    pub heat: u8,
    pub kind: FieldKind,
}

/// The name of neighbouring bits in a byte. Bit 7 is the first.
pub struct Label {
    pub bits: u32,
    pub text: String,
    pub kind: FieldKind,
}

/// A row of the field table, with what was seen.
pub struct Sample {
    pub row: Row,
    /// How often it changed.
    pub changes: u32,
    /// The smallest and the largest number.
    pub seen: Option<(i64, i64)>,
}

/// The most bytes of a report that are drawn.
const MOST_BLOCKS: usize = 192;

/// Runs of whole bytes with one meaning, that never change and are at least this long, are drawn as one block.
const LONG_RUN: u32 = 4;

/// Returns the pictures of all declared reports, and of those that were sent without being declared.
pub fn pictures(declared: &[Report], sent: &[&[u8]]) -> Vec<Picture> {
    let is_input = |report: &&Report| report.kind == ReportType::Input;
    let is_numbered = declared.iter().filter(is_input).any(|report| report.numbered);
    let mut by_id: BTreeMap<u8, Vec<&[u8]>> = BTreeMap::new();
    for report in sent.iter().filter(|report| !report.is_empty()) {
        by_id.entry(if is_numbered { report[0] } else { 0 }).or_default().push(report);
    }
    let mut pictures = Vec::new();
    for report in declared {
        let of_it = match report.kind {
            ReportType::Input => Some(by_id.remove(&report.id.unwrap_or(0)).unwrap_or_default()),
            _ => None,
        };
        pictures.push(picture(Some(report), report.heading(), of_it));
    }
    for (id, reports) in by_id {
        let id = if is_numbered { format!(" {id}") } else { String::new() };
        pictures.push(picture(None, format!("input report{id}, which the descriptor does not declare"), Some(reports)));
    }
    pictures
}

fn picture(report: Option<&Report>, heading: String, sent: Option<Vec<&[u8]>>) -> Picture {
    let reports = sent.as_deref().unwrap_or_default();
    let longest = reports.iter().map(|report| report.len()).max().unwrap_or(0);
    let bytes = report.map_or(0, Report::bytes).max(longest);
    let changes = changes(reports, bytes);
    let samples = report.map(|report| samples(report, reports)).unwrap_or_default();
    Picture {
        heading,
        seen: sent.as_ref().map(Vec::len),
        blocks: blocks(report, bytes, &changes, reports.len()),
        samples,
    }
}

/// Returns how often each bit differed from the report before.
fn changes(reports: &[&[u8]], bytes: usize) -> Vec<u32> {
    let mut changes = vec![0; bytes * 8];
    for (before, after) in reports.iter().zip(reports.iter().skip(1)) {
        for (index, (one, other)) in before.iter().zip(*after).enumerate() {
            let mut differing = one ^ other;
            while differing != 0 {
                let bit = differing.trailing_zeros();
                changes[index * 8 + bit as usize] += 1;
                differing &= differing - 1;
            }
        }
    }
    changes
}

/// Returns how often a bit changed, from 0, never, to 5, at half of the reports or more.
fn heat(changes: u32, reports: usize) -> u8 {
    let share = f64::from(changes) / reports.saturating_sub(1).max(1) as f64;
    match share {
        _ if changes == 0 => 0,
        share if share >= 0.5 => 5,
        share if share >= 0.2 => 4,
        share if share >= 0.05 => 3,
        share if share >= 0.01 => 2,
        _ => 1,
    }
}

/// What bits mean.
struct Meaning {
    part: Part,
    kind: FieldKind,
}

fn meanings(report: &Report) -> Vec<Meaning> {
    let id = report.numbered.then(|| Meaning { part: Part::named("report id", 0, 8), kind: FieldKind::Id });
    let fields = report.fields.iter().flat_map(|field| {
        let kind = field.kind();
        field.parts().into_iter().map(move |part| Meaning { part, kind })
    });
    id.into_iter().chain(fields).collect()
}

fn blocks(report: Option<&Report>, bytes: usize, changes: &[u32], reports: usize) -> Vec<Block> {
    let meanings = report.map(meanings).unwrap_or_default();
    let mut of_bit: Vec<Option<usize>> = vec![None; bytes * 8];
    for (index, meaning) in meanings.iter().enumerate() {
        let bits = meaning.part.first_bit..meaning.part.first_bit.saturating_add(meaning.part.bits());
        bits.for_each(|bit| of_bit.get_mut(bit as usize).into_iter().for_each(|of| *of = Some(index)));
    }
    let byte_of = |byte: u32| &of_bit[byte as usize * 8..byte as usize * 8 + 8];
    let is_quiet = |byte: u32| changes[byte as usize * 8..byte as usize * 8 + 8].iter().all(|changes| *changes == 0);
    let is_whole = |byte: u32| byte_of(byte).iter().all(|of| *of == byte_of(byte)[0]);
    let (mut blocks, mut byte, bytes) = (Vec::new(), 0, bytes as u32);
    while byte < bytes {
        if blocks.len() >= MOST_BLOCKS {
            blocks.push(Block::More(bytes - byte));
            break;
        }
        let same = |other: &u32| is_whole(*other) && is_quiet(*other) && byte_of(*other)[0] == byte_of(byte)[0];
        let run = (byte..bytes).take_while(same).count() as u32;
        if run >= LONG_RUN {
            let label =
                byte_of(byte)[0].map_or_else(|| UNDECLARED.to_owned(), |index| meanings[index].part.name.clone());
            blocks.push(Block::Run { first: byte, last: byte + run - 1, label });
            byte += run;
            continue;
        }
        blocks.push(byte_block(byte, byte_of(byte), &meanings, changes, reports));
        byte += 1;
    }
    blocks
}

const UNDECLARED: &str = "not declared";

fn byte_block(byte: u32, of: &[Option<usize>], meanings: &[Meaning], changes: &[u32], reports: usize) -> Block {
    let kind = |of: Option<usize>| of.map_or(FieldKind::Padding, |index| meanings[index].kind);
    let bits = (0..8).rev().map(|bit: usize| {
        let changes = changes[byte as usize * 8 + bit];
        BitCell { changes, heat: heat(changes, reports), kind: kind(of[bit]) }
    });
    let mut labels: Vec<Label> = Vec::new();
    let mut bit = 8;
    while bit > 0 {
        // From the highest bit down, as the bits are drawn.
        let index = of[bit - 1];
        let place = |bit: usize| index.map(|index| value_at(&meanings[index].part, byte * 8 + bit as u32));
        let low = (0..bit)
            .rev()
            .take_while(|low| of[*low] == index && place(*low) == place(bit - 1))
            .last()
            .unwrap_or(bit - 1);
        let text = match index {
            None => UNDECLARED.to_owned(),
            Some(index) => name(&meanings[index].part, byte * 8 + low as u32, (bit - low) as u32),
        };
        labels.push(Label { bits: (bit - low) as u32, text, kind: kind(index) });
        bit = low;
    }
    Block::Byte { index: byte, bits: bits.collect(), labels }
}

/// Returns which value of a part a bit belongs to.
fn value_at(part: &Part, bit: u32) -> u32 {
    bit.saturating_sub(part.first_bit) / part.size.max(1)
}

/// Names bits of a part: the value that they belong to, and which of its bits they are if it has more.
fn name(part: &Part, first: u32, bits: u32) -> String {
    let value = value_at(part, first);
    // The box of a single bit has room for the number of a button.
    let number = part.name.rsplit_once(' ').filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some((_, number)) = number.filter(|_| part.size == 1 && part.count == 1) {
        return number.to_owned();
    }
    let index = if part.count > 1 { format!(" [{value}]") } else { String::new() };
    let low = first.saturating_sub(part.first_bit + value * part.size);
    let range = match (bits == part.size, bits) {
        (true, _) => String::new(),
        (false, 1) => format!(" {low}"),
        (false, _) => format!(" {}..{low}", low + bits - 1),
    };
    format!("{}{index}{range}", part.name)
}

/// Returns the rows of a report's table. What was seen of a row: how often any of its bits changed, and its extreme numbers.
fn samples(report: &Report, reports: &[&[u8]]) -> Vec<Sample> {
    let rows = report.rows().into_iter().filter(|row| row.kind != FieldKind::Id);
    rows.map(|row| {
        let mut sample = Sample { changes: 0, seen: None, row };
        let mut before: Option<Vec<i64>> = None;
        for bytes in reports {
            let numbers = numbers(&sample.row, bytes);
            sample.changes += u32::from(before.as_ref().is_some_and(|before| *before != numbers));
            for number in numbers.iter().filter(|_| sample.row.size <= 32) {
                let (low, high) = sample.seen.unwrap_or((*number, *number));
                sample.seen = Some((low.min(*number), high.max(*number)));
            }
            before = Some(numbers);
        }
        sample
    })
    .collect()
}

/// Returns the numbers of a row's values, 32 bits of each at most at a time. Those that the report is too short for are left out.
fn numbers(row: &Row, bytes: &[u8]) -> Vec<i64> {
    let is_signed = row.logical.is_some_and(|range| range.minimum < 0);
    let size = row.size.max(1);
    let mut numbers = Vec::new();
    for index in 0..row.count.min(4096) {
        let first = row.first_bit + index * size;
        if (first + size) as usize > bytes.len() * 8 {
            break;
        }
        for offset in (0..size).step_by(32) {
            let width = (size - offset).min(32);
            let bits = i64::from(extract(bytes, first + offset, width));
            let is_negative = is_signed && size <= 32 && bits >> (width - 1) & 1 == 1;
            numbers.push(if is_negative { bits - (1 << width) } else { bits });
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use hidbpf_descriptor::Anatomy;

    use super::*;

    /// Three buttons, five bits of padding, X and Y of 12 bits.
    const MOUSE: [u8; 45] = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01,
        0x95, 0x03, 0x81, 0x02, 0x95, 0x05, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0xf8, 0x26,
        0xff, 0x07, 0x75, 0x0c, 0x95, 0x02, 0x81, 0x06, 0xc0,
    ];

    fn of(sent: &[&[u8]]) -> Picture {
        pictures(&Anatomy::of(&MOUSE).reports, sent).remove(0)
    }

    #[test]
    fn bits_have_names_and_counts() {
        let picture = of(&[&[1, 0, 0, 0], &[0, 1, 0, 0], &[1, 0xff, 0x0f, 0], &[1, 0, 0, 0]]);
        assert_eq!(picture.seen, Some(4));
        let labels: Vec<Vec<(&str, u32)>> = picture
            .blocks
            .iter()
            .map(|block| match block {
                Block::Byte { labels, .. } => labels.iter().map(|label| (label.text.as_str(), label.bits)).collect(),
                _ => Vec::new(),
            })
            .collect();
        assert_eq!(labels[0], [("padding", 5), ("3", 1), ("2", 1), ("1", 1)]);
        assert_eq!(labels[1], [("X 7..0", 8)]);
        assert_eq!(labels[2], [("Y 3..0", 4), ("X 11..8", 4)]);
        assert_eq!(labels[3], [("Y 11..4", 8)]);
        let Block::Byte { bits, .. } = &picture.blocks[0] else { panic!("a byte is expected") };
        let counts: Vec<(u32, u8)> = bits.iter().map(|bit| (bit.changes, bit.heat)).collect();
        assert_eq!(counts, [(0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (0, 0), (2, 5)]);
        let x = picture.samples.iter().find(|sample| sample.row.what == "X").unwrap();
        assert_eq!((x.changes, x.seen), (3, Some((-1, 1))));
    }

    #[test]
    fn short_long_and_undeclared_reports_are_drawn_too() {
        let picture = of(&[&[1], &[1, 2, 3, 4, 5], &[1, 2, 3, 4, 6]]);
        assert_eq!(picture.blocks.len(), 5);
        let Block::Byte { labels, bits, .. } = &picture.blocks[4] else { panic!("a byte is expected") };
        assert_eq!((labels[0].text.as_str(), bits[7].changes), ("not declared", 1));
        let all = pictures(&[], &[&[7, 8], &[7, 9], &[]]);
        assert_eq!((all.len(), all[0].seen), (1, Some(2)));
    }

    #[test]
    fn long_quiet_runs_are_one_block_and_the_rest_of_a_huge_report_is_counted() {
        let sent: Vec<u8> = vec![0; 64];
        let picture = pictures(&[], &[&sent, &sent]).remove(0);
        assert!(matches!(picture.blocks.as_slice(), [Block::Run { first: 0, last: 63, .. }]));
        let (one, other) = (vec![0; 1000], vec![1; 1000]);
        let picture = pictures(&[], &[&one, &other]).remove(0);
        assert!(matches!(picture.blocks.last(), Some(Block::More(808))));
    }
}
