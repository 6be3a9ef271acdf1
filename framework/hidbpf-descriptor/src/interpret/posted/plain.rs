//! Hex without a mark of its own: with any separators, with labels in front and text behind, as a descriptor or as reports.

use std::time::Duration;

use super::draft::{Draft, Reading};
use super::meaning::{is_descriptor, whole, why_not};
use super::text::{Line, Text};
use super::{Unreadable, comments, numbers};

/// Returns the words of a line, without the characters between them.
pub(super) fn words(line: &str) -> Vec<&str> {
    line.split(|c: char| c.is_whitespace() || ",;{}[]()\"'|-:_.=<>".contains(c))
        .filter(|word| !word.is_empty())
        .collect()
}

/// Returns whether a word can be one or more bytes.
fn is_number(word: &str) -> bool {
    numbers::digits(word).is_some_and(|(mark, digits)| match mark {
        numbers::Mark::None => digits.len() == 1 || digits.len() % 2 == 0 || digits.bytes().all(|c| c.is_ascii_digit()),
        _ => true,
    })
}

/// Returns the numbers of a line, without a label in front and text behind. `None` if it has other content.
fn numbers_of(line: &Line) -> Option<Result<Vec<&str>, Unreadable>> {
    if let Some(number) = assigned(&line.text) {
        return Some(Ok(vec![number]));
    }
    let mut words = words(&line.text);
    without_directive(&mut words);
    let count = words.iter().filter(|word| is_number(word)).count();
    if count == 0 {
        return None;
    }
    if count == words.len() {
        return Some(Ok(words));
    }
    let place = |word: &str| line.offset_of(word);
    let is_byte = |word: &&&str| word.len() == 2 && is_number(word) || word.starts_with("0x") && is_number(word);
    let mut leading: Vec<&str> = words.iter().take_while(is_byte).copied().collect();
    // `46 3B01       PHYSICAL_MAXIMUM`
    if let ([prefix], Some(data)) = (leading.as_slice(), words.get(1))
        && is_data(prefix, data)
    {
        leading.push(data);
    }
    // `05 01            Usage Page (1)`
    if let Some(last) = leading.last() {
        let end = place(last) + last.len();
        let behind = &line.text[end..];
        let is_text = |c: char| c.is_alphabetic() || c == '?';
        let is_separate = ["  ", "\t", " (", ", ("].iter().any(|gap| behind.starts_with(gap))
            || (is_item(&leading) && behind.starts_with(' ') && behind.trim_start().starts_with(is_text));
        if is_separate || behind.trim_start().starts_with(['|', '(', '<']) {
            return Some(Ok(leading));
        }
    }
    // `Usage Page (Generic Desktop)      05 01`
    if let Some(gap) = line.text.trim_end().rfind("  ").into_iter().chain(line.text.trim_end().rfind('\t')).max() {
        let behind: Vec<&str> = words.iter().filter(|word| place(word) > gap).copied().collect();
        let is_text = words.iter().any(|word| place(word) < gap && !is_number(word));
        let count = behind.iter().take_while(|word| is_byte(word)).count();
        if is_text && count > 0 && count == behind.len() {
            return Some(Ok(behind));
        }
    }
    // `report descriptor: 05 01 09 06`
    if let Some(mark) = line.text.rfind([':', '=', '<', '[', '(', '{']) {
        let behind: Vec<&str> = words.iter().filter(|word| place(word) > mark).copied().collect();
        let is_all = behind.iter().all(|word| is_number(word));
        if is_all && (behind.len() > 1 || behind.first().is_some_and(|word| word.len() > 4)) {
            return Some(Ok(behind));
        }
    }
    let others = words.len() - count;
    let odd = words.iter().find(|word| !is_number(word))?;
    (leading.len() > 1 && count >= 2 * others || count > 3 * others).then(|| Err(line.invalid_byte(odd)))
}

/// Returns the number of a line of code that sets an element of an array: `descriptor[size++] = 0x05;`.
fn assigned(line: &str) -> Option<&str> {
    let (element, value) = line.split_once('=')?;
    let number = value.trim().strip_suffix(';')?.trim();
    (element.trim_end().ends_with(']') && is_number(number)).then_some(number)
}

/// Returns whether a word has the data of the item with this prefix, in one piece: HID 1.11, section 6.2.2.2.
fn is_data(prefix: &str, word: &str) -> bool {
    let size = match u8::from_str_radix(prefix, 16).map(|prefix| prefix & 3) {
        Ok(2) => 2,
        Ok(3) => 4,
        _ => return false,
    };
    word.len() == 2 * size && is_number(word)
}

/// Returns whether words are the bytes of an item, from its prefix to its data: HID 1.11, section 6.2.2.2.
fn is_item(words: &[&str]) -> bool {
    let Some(prefix) = words.first().and_then(|prefix| u8::from_str_radix(prefix, 16).ok()) else { return false };
    // End Collection is the one item without data that is common.
    words.len() == 1 + [0, 1, 2, 4][usize::from(prefix & 3)] && (words.len() > 1 || prefix == 0xc0)
}

/// Returns the name of a macro that stands for elements of an array: `HID_USAGE_PAGE(HID_USAGE_PAGE_DESKTOP),`.
fn unknown_macro(line: &str) -> Option<&str> {
    let (name, arguments) = line.trim().split_once('(')?;
    let name = name.trim_end();
    let is_name = name.bytes().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'_');
    let is_element =
        arguments.trim_end().strip_suffix(',').is_some_and(|arguments| arguments.trim_end().ends_with(')'));
    (name.len() > 2 && is_name && is_element).then_some(name)
}

/// Removes what an assembler has in front of bytes: `db 05h, 01h`.
fn without_directive(words: &mut Vec<&str>) {
    const DIRECTIVES: [&str; 7] = ["db", "byte", "defb", "dc", "b", "fcb", "retlw"];
    let is_marked =
        words.iter().any(|word| matches!(numbers::digits(word), Some((mark, _)) if mark != numbers::Mark::None));
    while is_marked && words.first().is_some_and(|word| DIRECTIVES.iter().any(|name| word.eq_ignore_ascii_case(name))) {
        words.remove(0);
    }
}

/// Returns the bytes of a line of hex. `None` if the line has other content.
pub(super) fn bytes_of_line(line: &Line) -> Option<Result<Vec<u8>, Unreadable>> {
    let words = match numbers_of(line)? {
        Ok(words) => words,
        Err(error) => return Some(Err(error)),
    };
    let mut bytes = Vec::new();
    for word in words {
        let Some((_, digits)) = numbers::digits(word) else { continue };
        match numbers::hex(digits) {
            Some(part) => bytes.extend(part),
            None => return Some(Err(line.invalid_byte(word))),
        }
    }
    Some(Ok(bytes))
}

/// Lines of numbers without other content between them.
#[derive(Default)]
struct Block<'a> {
    title: String,
    lines: Vec<(&'a Line, Vec<&'a str>)>,
    /// Where blank lines are: indices of `lines`.
    gaps: Vec<usize>,
}

impl Block<'_> {
    fn bytes(&self) -> Option<Vec<u8>> {
        of_lines(&self.lines)
    }

    /// Splits the block at blank lines if each part is a whole descriptor.
    fn parts(&self) -> Vec<(usize, Vec<u8>)> {
        let mut parts = Vec::new();
        let ends = self.gaps.iter().copied().chain([self.lines.len()]);
        let mut start = 0;
        for end in ends {
            let lines = self.lines.get(start..end).unwrap_or_default();
            if let Some(((line, _), bytes)) = lines.first().zip(of_lines(lines)) {
                parts.push((line.number, bytes));
            }
            start = end;
        }
        let are_whole = parts.iter().all(|(_, bytes)| is_descriptor(bytes) && whole(bytes).is_some());
        match (are_whole && parts.len() > 1, self.lines.first(), self.bytes()) {
            (true, ..) => parts,
            (false, Some((line, _)), Some(bytes)) => vec![(line.number, bytes)],
            _ => Vec::new(),
        }
    }

    /// Returns the lines as reports: several, each of 2 bytes up to the longest report.
    fn reports(&self) -> Option<Vec<(usize, Vec<u8>)>> {
        /// The most bytes of a report over USB at full speed.
        const LONGEST: usize = 64;
        let reports: Option<Vec<(usize, Vec<u8>)>> =
            self.lines.iter().map(|line| Some((line.0.number, of_lines(std::slice::from_ref(line))?))).collect();
        let reports = reports.filter(|reports| reports.len() > 1)?;
        let is_report = |(_, bytes): &(usize, Vec<u8>)| (2..=LONGEST).contains(&bytes.len());
        reports.iter().all(is_report).then_some(reports)
    }
}

fn of_lines(lines: &[(&Line, Vec<&str>)]) -> Option<Vec<u8>> {
    let words: Vec<&str> = lines.iter().flat_map(|(_, words)| words.iter().copied()).collect();
    numbers::array(&words)
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let lines = comments::without(text);
    let (mut blocks, mut title, mut fault) = (Vec::new(), String::new(), None);
    let mut block = Block::default();
    for (line, original) in lines.iter().zip(&text.lines) {
        if line.text.trim().is_empty() {
            // A comment is part of an array, and may say what follows.
            let comment = original.text.trim();
            if block.lines.is_empty() && !comment.is_empty() {
                title = comment.to_owned();
            } else if comment.is_empty() {
                block.gaps.push(block.lines.len());
            }
            continue;
        }
        match numbers_of(line) {
            Some(Ok(words)) => {
                if block.lines.is_empty() {
                    block.title = std::mem::take(&mut title);
                    block.gaps.clear();
                }
                block.lines.push((line, words));
            }
            other => {
                if let Some(Err(error)) = other {
                    fault.get_or_insert(error);
                } else if let Some(name) = unknown_macro(&line.text) {
                    let reason = format!("unknown macro \"{name}\": expected bytes");
                    fault.get_or_insert(Unreadable::at(line.number, line.place(line.indent()), reason));
                }
                blocks.push(std::mem::take(&mut block));
                original.text.trim().clone_into(&mut title);
            }
        }
    }
    blocks.push(block);
    blocks.retain(|block| !block.lines.is_empty());
    // A line that is nearly hex belongs to a descriptor that would be cut there.
    if let Some(fault) = fault {
        return Some(Err(fault));
    }
    Some(of_blocks(&blocks)).filter(|_| !blocks.is_empty())
}

/// The shortest part of a descriptor that is read, in bytes.
const SHORTEST: usize = 4;

fn of_blocks(blocks: &[Block<'_>]) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    for block in blocks {
        for (line, bytes) in block.parts() {
            // Text has words of one byte, such as `be`.
            if bytes.len() >= SHORTEST && is_descriptor(&bytes) {
                let mut draft = Draft { title: label(&block.title), line, ..Draft::default() };
                draft.extend(&bytes, line)?;
                reading.drafts.push(draft);
            }
        }
    }
    if reading.drafts.len() == 1 {
        reading.drafts[0].title.clear();
    }
    if !reading.drafts.is_empty() {
        return Ok(reading);
    }
    for block in blocks {
        let Some(reports) = block.reports() else { continue };
        let line = reports[0].0;
        reading.drafts.push(Draft { title: label(&block.title), line, ..Draft::default() });
        let device = reading.drafts.len() - 1;
        for (line, report) in reports {
            reading.event(device, Duration::ZERO, report, line);
        }
    }
    if !reading.drafts.is_empty() {
        reading.note_no_times();
        return Ok(reading);
    }
    // One labelled report a line: `HID Data: 0001ff00`.
    let single: Option<Vec<(usize, Vec<u8>)>> = blocks
        .iter()
        .map(|block| Some((block.lines.first()?.0.number, block.bytes().filter(|_| block.lines.len() == 1)?)))
        .collect();
    if let Some(reports) = single.filter(|reports| reports.len() > 1 && reports.iter().all(|(_, it)| it.len() > 1)) {
        reading.drafts.push(Draft { line: reports[0].0, ..Draft::default() });
        reports.into_iter().for_each(|(line, report)| reading.event(0, Duration::ZERO, report, line));
        reading.note_no_times();
        return Ok(reading);
    }
    let longest = blocks.iter().filter_map(|block| Some((block, block.bytes()?))).max_by_key(|(_, bytes)| bytes.len());
    match longest {
        Some((block, bytes)) => {
            let (line, words) = &block.lines[0];
            let column = words.first().map_or(1, |word| line.place_of(word));
            Err(Unreadable::at(line.number, column, why_not(&bytes)))
        }
        None => Err(Unreadable::new("the numbers are not bytes")),
    }
}

/// Shortens a line of prose to a title.
pub(super) fn label(text: &str) -> String {
    const MOST: usize = 60;
    let text = text.trim_matches(|c: char| c.is_whitespace() || "#/*:;=-{[(".contains(c));
    text.chars().take(MOST).collect()
}
