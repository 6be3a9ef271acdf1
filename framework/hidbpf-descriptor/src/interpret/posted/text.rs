//! Turns a file's bytes into lines, without what mail programs, editors and forums put around them.

use super::Unreadable;

/// A text.
#[derive(Debug)]
pub(super) struct Text {
    pub lines: Vec<Line>,
}

/// A line of a text.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Counted from 1.
    pub number: usize,
    /// The number of characters that were taken off its front.
    pub offset: usize,
    pub text: String,
}

impl Line {
    /// Returns the column in the file of a byte of `text`, in characters, counted from 1.
    pub fn place(&self, at: usize) -> usize {
        self.offset + 1 + self.text.char_indices().take_while(|(index, _)| *index < at).count()
    }

    /// Returns the number of bytes of white space in front.
    pub fn indent(&self) -> usize {
        self.text.len() - self.text.trim_start().len()
    }

    /// Returns the column in the file of a part of `text`, as [`Line::place`] does.
    pub fn place_of(&self, part: &str) -> usize {
        self.place(self.offset_of(part))
    }

    /// Returns where in `text` a part of it begins, in bytes.
    pub fn offset_of(&self, part: &str) -> usize {
        part.as_ptr() as usize - self.text.as_ptr() as usize
    }

    /// Returns the error for a word that should be a byte. `word` is a part of `text`.
    pub fn invalid_byte(&self, word: &str) -> Unreadable {
        let shown: String = word.chars().take(40).collect();
        let reason = format!("invalid byte \"{}\": expected two hex digits", shown.escape_debug());
        Unreadable::at(self.number, self.place_of(word), reason)
    }

    /// Returns the line without the first `skipped` bytes of its text.
    pub fn after(&self, skipped: usize) -> Line {
        let skipped = skipped.min(self.text.len());
        let text = self.text.get(skipped..).unwrap_or_default().to_owned();
        Line { number: self.number, offset: self.place(skipped) - 1, text }
    }
}

impl Text {
    /// Decodes text in UTF-8, UTF-16 or Latin-1. Returns `None` for binary data.
    pub fn decode(content: &[u8]) -> Option<Text> {
        let text = match content {
            [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes)?,
            [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes)?,
            [0xef, 0xbb, 0xbf, rest @ ..] => utf8(rest)?,
            _ if every_other_is_zero(content, 1) => utf16(content, u16::from_le_bytes)?,
            _ if every_other_is_zero(content, 0) => utf16(content, u16::from_be_bytes)?,
            _ => utf8(content)?,
        };
        Some(Text::of(&text))
    }

    fn of(text: &str) -> Text {
        let separator = if text.contains('\n') { '\n' } else { '\r' };
        let mut lines: Vec<Line> = text
            .split(separator)
            .enumerate()
            .map(|(index, line)| Line { number: index + 1, offset: 0, text: plain(line) })
            .collect();
        unquote(&mut lines);
        for line in &mut lines {
            if let Some(start) = start_of_output(&line.text) {
                *line = line.after(start);
            }
        }
        for line in &mut lines {
            let start = line.text.trim_start();
            if start.starts_with("```") || start.starts_with("~~~") {
                line.text.clear();
            }
        }
        Text { lines }
    }

    /// Returns the lines joined, for forms in which lines mean nothing.
    pub fn joined(&self) -> String {
        self.lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// Returns whether the bytes at even (0) or odd (1) places are zero, as in UTF-16 without a byte order mark.
fn every_other_is_zero(content: &[u8], odd: usize) -> bool {
    let start = &content[..content.len().min(64)];
    let is_zero = |parity: usize| start.iter().skip(parity).step_by(2).filter(|byte| **byte == 0).count();
    content.len() >= 8 && is_zero(odd) == start.len() / 2 && is_zero(1 - odd) == 0
}

fn utf16(bytes: &[u8], word: fn([u8; 2]) -> u16) -> Option<String> {
    let words: Vec<u16> = bytes.chunks_exact(2).map(|pair| word([pair[0], pair[1]])).collect();
    let text = String::from_utf16_lossy(&words);
    text.chars().all(is_of_text).then_some(text)
}

fn utf8(bytes: &[u8]) -> Option<String> {
    // Editors and terminals end a file with a zero byte at times.
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bytes = &bytes[..end];
    if !bytes.iter().all(|byte| is_of_text(char::from(*byte)) || *byte >= 0x80) {
        return None;
    }
    Some(match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    })
}

/// Nearly every descriptor has a byte that no text has.
fn is_of_text(c: char) -> bool {
    !c.is_ascii_control() || matches!(c, '\n' | '\r' | '\t' | '\x0b' | '\x0c' | '\x1b' | '\x08')
}

/// Returns a line without colours, and with plain spaces and quotes.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // `ESC [`, parameters, and a letter at the end: ECMA-48, section 5.4.
            '\x1b' if chars.next_if_eq(&'[').is_some() => {
                while chars.next_if(|c| matches!(c, '0'..='?' | ' '..='/')).is_some() {}
                chars.next();
            }
            '\r' | '\x1b' | '\x08' | '\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{feff}' | '\u{ad}' => {}
            '\u{a0}' | '\u{2007}' | '\u{202f}' | '\x0b' | '\x0c' => plain.push(' '),
            '\u{201c}' | '\u{201d}' => plain.push('"'),
            '\u{2018}' | '\u{2019}' => plain.push('\''),
            c => plain.push(c),
        }
    }
    plain
}

/// Returns where the text begins behind the time of a serial monitor, `17:26:59.770 -> `, or the prompt of bluetoothctl,
/// `[K380:/service0021/char0022]# `.
fn start_of_output(line: &str) -> Option<usize> {
    let time = line.split_once(" -> ").filter(|(time, _)| {
        let is_of_time = |b: u8| b.is_ascii_digit() || b == b':' || b == b'.';
        time.matches(':').count() == 2 && time.trim_start().bytes().all(is_of_time)
    });
    let prompt = || {
        let (name, rest) = line.strip_prefix('[')?.split_once(']')?;
        rest.strip_prefix("# ").or_else(|| rest.strip_prefix("> ")).filter(|_| !name.is_empty())
    };
    let rest = time.map(|(_, rest)| rest).or_else(prompt)?;
    Some(line.len() - rest.len())
}

/// Removes the `>` with which mails and forums quote, if most lines have it.
fn unquote(lines: &mut [Line]) {
    // Quotes of quotes have several. There are not many in practice, and this must end.
    for _ in 0..8 {
        let filled = lines.iter().filter(|line| !line.text.trim().is_empty());
        let quoted = filled.clone().filter(|line| line.text.trim_start().starts_with('>')).count();
        if quoted == 0 || quoted * 2 <= filled.count() {
            return;
        }
        for line in lines.iter_mut() {
            if let Some(rest) = line.text.trim_start().strip_prefix('>') {
                let skipped = line.text.len() - rest.len();
                *line = line.after(skipped);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(content: &[u8]) -> Vec<String> {
        Text::decode(content).unwrap().lines.into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn text_is_decoded_however_it_was_saved() {
        let expected = ["05 01", "09 02"];
        for bytes in [
            b"05 01\n09 02".to_vec(),
            b"05 01\r\n09 02".to_vec(),
            b"05 01\r09 02".to_vec(),
            b"\xef\xbb\xbf05 01\n09 02\0".to_vec(),
            b"\x1b[31m05\x1b[0m\xc2\xa001\n09 02".to_vec(),
        ] {
            assert_eq!(lines(&bytes), expected, "{bytes:?}");
        }
        for (mark, bytes) in [(0xfeff_u16, u16::to_le_bytes as fn(u16) -> [u8; 2]), (0xfeff, u16::to_be_bytes)] {
            let words = || "05 01\r\n09 02".encode_utf16();
            let marked: Vec<u8> = [mark].into_iter().chain(words()).flat_map(bytes).collect();
            assert_eq!(lines(&marked), expected);
            let unmarked: Vec<u8> = words().flat_map(bytes).collect();
            assert_eq!(lines(&unmarked), expected);
        }
        assert!(Text::decode(&[5, 1, 9, 2, 0xa1, 1]).is_none());
    }

    #[test]
    fn quotes_and_fences_are_removed_and_columns_kept() {
        let text = Text::decode(b"> > ```\n> > 05 01\n> > 09\n\nthanks").unwrap();
        assert_eq!(text.lines[1].text, " 05 01");
        assert_eq!(text.lines[1].place(1), 5);
        assert!(text.lines[0].text.is_empty());
        // Captures of Bluetooth mark what was received like that.
        assert_eq!(lines(b"> ACL Data\n  Value: 05\n  x"), ["> ACL Data", "  Value: 05", "  x"]);
    }
}
