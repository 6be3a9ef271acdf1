//! Strings with escapes, as in Python, C and shells: `b"\x05\x01\t\x02"`.

use super::text::Text;

/// Returns the strings with hex escapes: their line, name and bytes. Strings with only white space between them are one.
pub(super) fn arrays(text: &Text) -> Vec<(usize, String, Vec<u8>)> {
    let mut arrays: Vec<(usize, String, Vec<u8>)> = Vec::new();
    if !text.lines.iter().any(|line| line.text.contains("\\x")) {
        return arrays;
    }
    let mut is_next = false;
    for line in &text.lines {
        let mut rest = line.text.as_str();
        while let Some(start) = rest.find(['"', '\'']) {
            let (before, quoted) = rest.split_at(start);
            let Some((bytes, length)) = string(quoted) else { break };
            let between = before.trim();
            let goes_on = is_next && ["", "b", "+", "\\", "."].contains(&between);
            match arrays.last_mut().filter(|_| goes_on) {
                Some((_, _, all)) => all.extend(bytes),
                None => arrays.push((line.number, name(between), bytes)),
            }
            is_next = true;
            rest = &quoted[length..];
        }
        // A shell's command can have the escapes without quotes.
        is_next &= ["", "\\", "+", ","].contains(&rest.trim());
    }
    if arrays.is_empty() {
        let bytes: Vec<u8> = text.lines.iter().flat_map(|line| unquoted(&line.text)).collect();
        let line = text.lines.iter().find(|line| line.text.contains("\\x")).map_or(1, |line| line.number);
        arrays.push((line, String::new(), bytes));
    }
    arrays
}

/// Returns the last name of the code before a string.
fn name(before: &str) -> String {
    let mut words = before.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| word.len() > 1);
    words.rfind(|word| !["bytes", "char", "unsigned", "const"].contains(word)).unwrap_or_default().to_owned()
}

/// Returns the bytes of the string at the start of a text, and the length of its source.
fn string(text: &str) -> Option<(Vec<u8>, usize)> {
    let mut chars = text.char_indices();
    let (_, quote) = chars.next()?;
    let mut bytes = Vec::new();
    while let Some((at, c)) = chars.next() {
        match c {
            _ if c == quote => return Some((bytes, at + 1)),
            '\\' => {
                let (at, c) = chars.next()?;
                let simple = match c {
                    'n' => Some(b'\n'),
                    'r' => Some(b'\r'),
                    't' => Some(b'\t'),
                    'a' => Some(7),
                    'b' => Some(8),
                    'v' => Some(11),
                    'f' => Some(12),
                    'e' => Some(0x1b),
                    '\\' | '\'' | '"' => Some(c as u8),
                    _ => None,
                };
                let base = if c == 'x' { 16 } else { 8 };
                match simple {
                    Some(byte) => bytes.push(byte),
                    None => {
                        let start = at + usize::from(c == 'x');
                        let most = if c == 'x' { 2 } else { 3 };
                        let count = text[start..].chars().take(most).take_while(|c| c.is_digit(base)).count();
                        bytes.push(u8::from_str_radix(text.get(start..start + count)?, base).ok()?);
                        let skipped = start + count - at - c.len_utf8();
                        for _ in 0..skipped {
                            chars.next();
                        }
                    }
                }
            }
            _ => bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    None
}

/// Returns the escapes of a line without quotes.
fn unquoted(line: &str) -> Vec<u8> {
    line.split("\\x").skip(1).filter_map(|part| u8::from_str_radix(part.get(..2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_as_python_and_c_write_them() {
        let expected = vec![5, 1, 9, 2, 0xa1, 1];
        for text in [
            r#"desc = b'\x05\x01\t\x02\xa1\x01'"#,
            "desc = (b\"\\x05\\x01\"\n  b\"\\x09\\x02\"\n b\"\\xa1\\x01\")",
            "const char desc[] =\n\"\\x05\\x01\\x09\\x02\"\n\"\\xa1\\1\";",
            "\\x05\\x01\\x09\\x02\\xa1\\x01",
        ] {
            let text = Text::decode(text.as_bytes()).unwrap();
            let arrays = arrays(&text);
            assert_eq!(arrays.len(), 1, "{arrays:?}");
            assert_eq!(arrays[0].2, expected);
        }
    }
}
