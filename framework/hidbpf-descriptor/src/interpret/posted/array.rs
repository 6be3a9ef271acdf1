//! Arrays of C, C++, Rust, Go, Java, Python, JavaScript, JSON and others, and strings with escapes.

use super::draft::{Draft, Reading};
use super::meaning::{is_descriptor, whole, why_not};
use super::text::{Line, Text};
use super::{Unreadable, comments, item_names, item_text, literal, numbers, plain};

/// A word, and where it is.
#[derive(Clone, Copy)]
struct Word<'a> {
    line: &'a Line,
    text: &'a str,
}

/// What is between two brackets.
struct Region<'a> {
    words: Vec<Word<'a>>,
    /// The name in front of it.
    title: String,
    /// The line where it begins, counted from 1.
    line: usize,
    /// Whether another region is inside.
    is_outer: bool,
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let strings = literal::arrays(text);
    if !strings.is_empty() {
        return Some(of_arrays(strings));
    }
    let lines = comments::without(text);
    let lines: Vec<Line> = lines.into_iter().map(without_macros).collect();
    let mut arrays = Vec::new();
    let mut fault = None;
    for region in regions(&lines) {
        match bytes(&region) {
            Some(Ok(bytes)) => arrays.push((region.line, region.title, bytes)),
            Some(Err(error)) => {
                fault.get_or_insert(error);
            }
            None => {}
        }
    }
    match (arrays.iter().any(|(_, _, bytes)| is_descriptor(bytes)), fault) {
        (true, _) => Some(of_arrays(arrays)),
        (false, Some(fault)) => Some(Err(fault)),
        (false, None) if arrays.is_empty() => None,
        (false, None) => Some(of_arrays(arrays)),
    }
}

fn of_arrays(arrays: Vec<(usize, String, Vec<u8>)>) -> Result<Reading, Unreadable> {
    /// Of several arrays, a shorter one is a descriptor only if it is a whole one.
    const SHORTEST: usize = 8;
    let mut reading = Reading::default();
    let is_alone = arrays.len() == 1;
    let is_whole = |bytes: &[u8]| whole(bytes).is_some_and(|collections| collections > 0);
    for (line, title, bytes) in &arrays {
        if is_descriptor(bytes) && (is_alone || bytes.len() >= SHORTEST || is_whole(bytes)) {
            let mut draft = Draft { title: title.clone(), line: *line, ..Draft::default() };
            draft.extend(bytes, *line)?;
            reading.drafts.push(draft);
        }
    }
    match (reading.drafts.is_empty(), arrays.iter().max_by_key(|(_, _, bytes)| bytes.len())) {
        (true, Some((line, _, bytes))) if bytes.len() > 2 => {
            Err(Unreadable { line: Some(*line), column: None, reason: why_not(bytes) })
        }
        _ => Ok(reading),
    }
}

/// Finds what is between brackets.
fn regions(lines: &[Line]) -> Vec<Region<'_>> {
    let (mut open, mut done) = (Vec::<Region<'_>>::new(), Vec::new());
    let mut title = String::new();
    for line in lines {
        let mut start = None;
        for (at, c) in line.text.char_indices().chain([(line.text.len(), '\n')]) {
            let is_word = c.is_alphanumeric() || "_$\\&#.".contains(c);
            match (is_word, start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    let word = Word { line, text: &line.text[from..at] };
                    // `[usize; 4]` and the like stand between the name and its value.
                    let is_name = word.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
                    if open.is_empty() && is_name && !is_type(word.text) {
                        title = word.text.to_owned();
                    }
                    if let Some(region) = open.last_mut() {
                        region.words.push(word);
                    }
                    start = None;
                }
                _ => {}
            }
            match c {
                '{' | '[' | '(' | '<' if open.len() < 64 => {
                    // The name of an array in an object or structure is the last word in front of it.
                    let inside = open.last().and_then(|region| region.words.last()).map(|word| word.text.to_owned());
                    let title = inside.filter(|word| numbers::digits(word).is_none()).unwrap_or_else(|| title.clone());
                    if let Some(region) = open.last_mut() {
                        region.is_outer = true;
                    }
                    open.push(Region { words: Vec::new(), title, line: line.number, is_outer: false });
                }
                '}' | ']' | ')' | '>' => done.extend(open.pop()),
                _ => {}
            }
        }
    }
    // A post can end before the array does.
    done.extend(open.pop().filter(|region| region.words.len() > 3));
    done
}

fn is_type(word: &str) -> bool {
    ["u8", "const", "static", "unsigned", "char", "byte", "uint8_t", "bytes", "vec", "new", "mut", "sizeof"]
        .contains(&word)
}

/// Returns the bytes of a region that has nothing but numbers. Fails if most of it is numbers.
fn bytes(region: &Region<'_>) -> Option<Result<Vec<u8>, Unreadable>> {
    let casts = ["byte", "uint8_t", "u8", "char", "unsigned", "BYTE", "__u8", "Byte", "as"];
    let words: Vec<Word<'_>> = region.words.iter().filter(|word| !casts.contains(&word.text)).copied().collect();
    let odd: Vec<&Word<'_>> = words.iter().filter(|word| numbers::digits(word.text).is_none()).collect();
    match odd.as_slice() {
        [] if words.len() > 2 => {
            let texts: Vec<&str> = words.iter().map(|word| word.text).collect();
            numbers::array(&texts).map(Ok)
        }
        [word, ..] if odd.len() * 4 < words.len() && !region.is_outer => Some(Err(word.line.invalid_byte(word.text))),
        _ => None,
    }
}

/// Replaces the macros of mbed and Arduino, `USAGE_PAGE(1)`, and of LUFA, `HID_RI_USAGE_PAGE(8, 0x01)`, by their bytes.
fn without_macros(line: Line) -> Line {
    let mut text = String::new();
    let mut rest = line.text.as_str();
    while let Some((before, after)) = rest.split_once('(') {
        let name = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_')).next().unwrap_or_default();
        let replaced = after.split_once(')').and_then(|(arguments, rest)| Some((expand(name, arguments)?, rest)));
        match replaced {
            Some((bytes, after)) => {
                text += &before[..before.len() - name.len()];
                text += &bytes.iter().map(|byte| format!("0x{byte:02x}")).collect::<Vec<_>>().join(", ");
                rest = after;
            }
            None => {
                text += before;
                text.push('(');
                rest = after;
            }
        }
    }
    text += rest;
    Line { text, ..line }
}

fn expand(name: &str, arguments: &str) -> Option<Vec<u8>> {
    let prefix = item_names::prefix(name)?;
    let words: Vec<&str> = plain::words(arguments);
    let value = |word: &str| match numbers::digits(word)? {
        (numbers::Mark::Hex, digits) => i64::from_str_radix(digits, 16).ok(),
        (_, digits) => digits.parse().ok(),
    };
    match (words.as_slice(), name.starts_with("HID_RI_")) {
        ([size], false) => {
            let size = match value(size)? {
                size @ 0..=2 => size as u8,
                4 => 3,
                _ => return None,
            };
            Some(vec![prefix | size])
        }
        ([bits, number], true) => {
            let size = value(bits)? as usize / 8;
            // `words` takes the sign for a separator.
            let sign = if arguments.contains('-') { -1 } else { 1 };
            let number = sign * value(number)?;
            item_names::item(prefix, number.to_le_bytes().get(..size)?)
        }
        ([bits, ..], true) => {
            let size = value(bits)? as usize / 8;
            let flags = item_text::flags(arguments.trim_start().strip_prefix(bits)?)?;
            item_names::item(prefix, flags.to_le_bytes().get(..size)?)
        }
        _ => None,
    }
}
