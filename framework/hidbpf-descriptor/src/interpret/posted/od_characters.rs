//! The characters of `od -c`: printable ones, escapes and octal numbers, each in four columns.
//!
//! ```text
//! 0000000 005 001  \t 002 241 001 005  \t 031 001   ) 003 025  \0   % 001
//! 0000020
//! ```

use super::text::{Line, Text};

/// Digits of an offset, and columns of a character.
const OFFSET: usize = 7;
const CELL: usize = 4;

/// Returns the bytes of a dump and its first line. `None` if the text is not such a dump, from its first to its last offset.
pub(super) fn read(text: &Text) -> Option<(usize, Vec<u8>)> {
    let is_row = |line: &&Line| offset(line).is_some();
    let rows: Vec<&Line> = text.lines.iter().filter(is_row).collect();
    let has_escape = |line: &&Line| line.text.contains("  \\0") || line.text.contains("  \\t");
    if rows.len() < 2 || !rows.iter().any(has_escape) {
        return None;
    }
    let mut bytes = Vec::new();
    for line in &rows {
        if offset(line)? != bytes.len() {
            return None;
        }
        let cells: Vec<char> = line.text.trim_end().chars().skip(OFFSET).collect();
        for cell in cells.chunks(CELL) {
            bytes.push(character(&cell.iter().collect::<String>())?);
        }
    }
    Some((rows.first()?.number, bytes))
}

fn offset(line: &Line) -> Option<usize> {
    let digits = line.text.get(..OFFSET)?;
    let is_end = line.text.len() == OFFSET || line.text[OFFSET..].starts_with(' ');
    usize::from_str_radix(digits, 8).ok().filter(|_| is_end)
}

fn character(cell: &str) -> Option<u8> {
    let text = cell.trim_start();
    Some(match text {
        "" => b' ',
        "\\0" => 0,
        "\\a" => 7,
        "\\b" => 8,
        "\\t" => 9,
        "\\n" => 10,
        "\\v" => 11,
        "\\f" => 12,
        "\\r" => 13,
        "\\\\" => b'\\',
        _ if text.len() == 3 => u8::from_str_radix(text, 8).ok()?,
        _ => text.bytes().next().filter(|_| text.len() == 1)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Option<Vec<u8>> {
        read(&Text::decode(text.as_bytes()).unwrap()).map(|(_, bytes)| bytes)
    }

    #[test]
    fn characters_are_bytes() {
        let text = "$ od -c rdesc\n0000000 005 001  \\t 002 241 001 005  \\t 031 001   ) 003 025  \\0   % 001\n\
            0000020   u 001     377   \\ 300\n0000026\n";
        let expected =
            [5, 1, 9, 2, 0xa1, 1, 5, 9, 0x19, 1, 0x29, 3, 0x15, 0, 0x25, 1, 0x75, 1, 0x20, 0xff, 0x5c, 0xc0].to_vec();
        assert_eq!(bytes(text), Some(expected));
        assert_eq!(bytes(&text.replace("0000020", "0000021")), None);
        assert_eq!(bytes("0000000 005 001 011 002\n0000004\n"), None);
    }
}
