//! Dumps with an offset in front of each line: xxd, hexdump and od in their forms, Wireshark's, and items with offsets.
//!
//! ```text
//! 00000000: 0501 0902 a101 0901  ........       xxd
//! 00000000  05 01 09 02  a1 01 09 01  |....|    hexdump -C
//! 0000000 0105 0209 01a1 0109                   hexdump, od -x: words, least significant byte first
//! 0000000 000405 001011 000641 000411           od: the same, in octal
//! 0000000 005 001  \t 002 241 001  \t 001       od -c: characters
//! *                                             lines that repeat the one before
//! ```
//!
//! Nothing says whether an offset is hexadecimal, octal or decimal. So each base is tried: the right one is that in which
//! every offset is the sum of the lengths before it.

use super::draft::{Draft, Reading};
use super::meaning::{is_descriptor, why_not};
use super::plain::label;
use super::text::{Line, Text};
use super::{MAX_BYTES, Unreadable, numbers, od_characters};

/// A line of a dump.
struct Row<'a> {
    line: &'a Line,
    offset: &'a str,
    /// Groups of digits, each with the number of spaces in front of it.
    groups: Vec<(usize, &'a str)>,
    /// Whether characters after the groups were cut off, so that no group is one of those.
    is_cut: bool,
    /// Whether the offset can't be a byte of the data.
    is_marked: bool,
    /// Whether it stands for rows like the one before it, up to the next offset.
    repeats: bool,
}

impl<'a> Row<'a> {
    fn of(line: &'a Line) -> Option<Row<'a>> {
        let text = without_label(line.text.trim_start());
        let length = text.find(|c: char| !(c.is_ascii_hexdigit() || c == 'x' || c == 'X')).unwrap_or(text.len());
        let (offset, rest) = text.split_at(length);
        let offset = offset.strip_prefix("0x").unwrap_or(offset);
        if offset.is_empty() || offset.len() > 16 || !offset.bytes().all(|c| c.is_ascii_hexdigit()) {
            return None;
        }
        let after_mark = rest.strip_prefix([':', '|', ')']);
        let is_marked = after_mark.is_some() || offset.len() > 2;
        let rest = after_mark.unwrap_or(rest);
        if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
            return None;
        }
        let end = rest.find(['|', '>']).unwrap_or(rest.len());
        let mut groups = Vec::new();
        let mut spaces = 0;
        for word in rest[..end].split([' ', '\t']) {
            spaces += 1;
            if word.is_empty() {
                continue;
            }
            let is_first = groups.is_empty();
            let width = groups.first().map_or(word.len(), |(_, first): &(usize, &str)| first.len());
            if (word.len() > width && word.len() > 3)
                || !word.bytes().all(|c| c.is_ascii_hexdigit())
                || (is_first && word.len() > 16)
            {
                break;
            }
            groups.push((spaces, word));
            spaces = 0;
        }
        Some(Row { line, offset, groups, is_cut: end < rest.len(), is_marked, repeats: false })
    }

    /// Returns how many groups are before a gap. The last row needs it: no next offset says how many are data.
    fn until_gap(&self, has_middle_gap: bool) -> usize {
        if self.is_cut {
            return self.groups.len();
        }
        let width = self.groups.first().map_or(0, |(_, group)| group.len());
        let gap = self.groups.iter().enumerate().skip(1).find(|(index, (spaces, group))| {
            // `xxd -e` aligns a short word at the end to the right.
            let is_aligned = spaces + group.len() == width + 1;
            *spaces > 1 && !is_aligned && !(*index == 8 && *spaces == 2 && has_middle_gap)
        });
        gap.map_or(self.groups.len(), |(index, _)| index)
    }
}

/// Returns a line without a label in front of its offset: `Raw Descriptor (hex)    0010: 15 00 25 01`.
fn without_label(text: &str) -> &str {
    let row = text.match_indices(": ").find_map(|(mark, _)| {
        let start = text.get(..mark)?.rfind("  ")? + 2;
        let offset = text.get(start..mark)?;
        let is_offset = (4..=8).contains(&offset.len()) && offset.bytes().all(|c| c.is_ascii_hexdigit());
        text.get(start..).filter(|_| is_offset)
    });
    row.unwrap_or(text)
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    if let Some((line, descriptor)) = od_characters::read(text).filter(|(_, bytes)| is_descriptor(bytes)) {
        return Some(Ok(Reading::of(vec![Draft { line, descriptor, ..Draft::default() }])));
    }
    let mut reading = Reading::default();
    let mut fault = None;
    let (mut rows, mut title) = (Vec::<Row<'_>>::new(), String::new());
    let mut close = |rows: &mut Vec<Row<'_>>, title: &str, reading: &mut Reading| {
        let rows = std::mem::take(rows);
        let Some(first) = rows.first().map(|row| row.line.number) else { return };
        match bytes(&rows) {
            Some(Ok(bytes)) if is_descriptor(&bytes) => {
                reading.drafts.push(Draft { title: label(title), line: first, descriptor: bytes, ..Draft::default() });
            }
            Some(Ok(bytes)) if rows.len() > 1 => {
                fault.get_or_insert(Unreadable::at(first, 1, why_not(&bytes)));
            }
            Some(Err(error)) => {
                fault.get_or_insert(error);
            }
            _ => {}
        }
    };
    for line in &text.lines {
        if line.text.trim() == "*" && !rows.is_empty() {
            rows.push(Row { line, offset: "", groups: Vec::new(), is_cut: false, is_marked: true, repeats: true });
            continue;
        }
        match Row::of(line) {
            Some(row) => {
                // Another dump begins at 0 again.
                let is_zero = row.offset.bytes().all(|digit| digit == b'0');
                if is_zero && row.is_marked && !row.groups.is_empty() {
                    close(&mut rows, &title, &mut reading);
                }
                rows.push(row);
            }
            None => {
                close(&mut rows, &title, &mut reading);
                if !line.text.trim().is_empty() {
                    title.clone_from(&line.text);
                }
            }
        }
    }
    close(&mut rows, &title, &mut reading);
    if reading.drafts.len() == 1 {
        reading.drafts[0].title.clear();
    }
    match (reading.drafts.is_empty(), fault) {
        (false, _) => Some(Ok(reading)),
        (true, Some(fault)) => Some(Err(fault)),
        (true, None) => None,
    }
}

/// Returns the bytes of the rows, or `None` if they are not a dump.
fn bytes(rows: &[Row<'_>]) -> Option<Result<Vec<u8>, Unreadable>> {
    let first = rows.iter().find(|row| !row.groups.is_empty())?;
    if !may_be_dump(rows) {
        return None;
    }
    let width = first.groups[0].1.len();
    let sizes: &[usize] = match width {
        1..=3 => &[1],
        4..=6 => &[2],
        8 => &[4, 1],
        11 => &[4],
        16 => &[8],
        _ => return None,
    };
    // Few rows can be consistent in several bases, and with several sizes, by chance.
    let ways: Vec<Vec<u8>> = [16, 8, 10]
        .iter()
        .flat_map(|base| sizes.iter().filter_map(|size| assemble(rows, *base, *size).ok()))
        .flatten()
        .collect();
    // Numbers that are not a dump have short first words.
    let is_dump = rows.len() > 1 && rows.iter().all(|row| row.repeats || row.offset.len() >= 6);
    match numbers::best(ways) {
        Some(bytes) => Some(Ok(bytes)),
        None if is_dump => Some(Err(assemble(rows, 16, sizes[0]).err()?)),
        None => None,
    }
}

/// Returns whether rows can be a dump: hex without offsets looks like rows with offsets of two digits.
fn may_be_dump(rows: &[Row<'_>]) -> bool {
    let begins_at_zero = rows[0].offset.bytes().all(|digit| digit == b'0');
    rows.iter().all(|row| row.is_marked) || (rows.len() > 2 && begins_at_zero)
}

/// Puts the rows together, with offsets in this base and groups of this many bytes.
fn assemble(rows: &[Row<'_>], base: u32, size: usize) -> Result<Vec<Vec<u8>>, Unreadable> {
    let fail =
        |row: &Row<'_>, reason: String| Unreadable::at(row.line.number, row.line.place(row.line.indent()), reason);
    let offset = |row: &Row<'_>| usize::from_str_radix(row.offset, base).ok();
    let has_middle_gap = rows.iter().any(|row| row.groups.len() > 8 && row.groups[8].0 == 2);
    let mut words: Vec<&str> = Vec::new();
    let (mut total, mut start) = (0_usize, None);
    for (index, row) in rows.iter().enumerate() {
        let next = rows[index + 1..].iter().find(|row| !row.repeats);
        let next = next.map(|next| offset(next).ok_or_else(|| fail(next, "invalid offset".to_owned()))).transpose()?;
        let begin = *start.get_or_insert(offset(row).unwrap_or_default());
        if row.repeats {
            let Some(next) = next else { continue };
            let previous = &rows[index - 1];
            let length = previous.groups.len() * size;
            while length > 0 && begin + total < next {
                words.extend(previous.groups.iter().map(|(_, group)| group));
                total += length;
                if total > MAX_BYTES {
                    return Err(fail(row, format!("the dump is longer than {MAX_BYTES} bytes")));
                }
            }
            continue;
        }
        let at = offset(row).ok_or_else(|| fail(row, "invalid offset".to_owned()))?;
        if at != begin.saturating_add(total) {
            let reason = format!(
                "the offset is {}, and the lines before have {total} bytes: a line is missing or cut",
                row.offset
            );
            return Err(fail(row, reason));
        }
        let has_repeat = rows.get(index + 1).is_some_and(|row| row.repeats);
        let (count, length) = match next {
            Some(next) if !has_repeat => {
                let length = next.checked_sub(at).ok_or_else(|| fail(row, "offsets go backwards".to_owned()))?;
                (length.div_ceil(size), length)
            }
            _ => {
                let count = row.until_gap(has_middle_gap);
                // A word at the end can have fewer bytes than the others.
                let bytes: usize = row.groups[..count].iter().map(|(_, group)| group.len().div_ceil(2).min(size)).sum();
                (count, if has_repeat { count * size } else { bytes.max(count) })
            }
        };
        let groups = row.groups.get(..count).ok_or_else(|| {
            fail(row, format!("the line has {} bytes, and the next offset says {length}", row.groups.len() * size))
        })?;
        words.extend(groups.iter().map(|(_, group)| group));
        total += length;
        if total > MAX_BYTES {
            return Err(fail(row, format!("the dump is longer than {MAX_BYTES} bytes")));
        }
    }
    let ends_with_offset = rows.last().is_some_and(|row| row.groups.is_empty());
    let mut ways = numbers::bare(&words);
    if ends_with_offset {
        // od fills the last word with zeros.
        ways.iter_mut().for_each(|bytes| bytes.truncate(total));
    }
    Ok(ways)
}
