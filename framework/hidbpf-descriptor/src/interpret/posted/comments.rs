//! Removes comments from source code in any of the languages in which descriptors are posted.

use super::text::{Line, Text};

/// Returns the lines with spaces in place of comments, so that columns stay.
///
/// Comments begin with `//`, `#` or `--`, or are between `/*` and `*/`. Text after `;` is a comment too, unless it is a
/// number.
pub(super) fn without(text: &Text) -> Vec<Line> {
    let mut in_comment = false;
    text.lines.iter().map(|line| Line { text: code(&line.text, &mut in_comment), ..line.clone() }).collect()
}

fn code(line: &str, in_comment: &mut bool) -> String {
    let mut code = String::with_capacity(line.len());
    let mut rest = line;
    // hid-decode marks its lines as comments of a recording: `# 0x05, 0x01,   // Usage Page (Generic Desktop)`.
    if let Some(after) = rest.trim_start().strip_prefix('#').filter(|after| after.trim_start().starts_with("0x")) {
        blank(&mut code, &rest[..rest.len() - after.len()]);
        rest = after;
    }
    loop {
        if *in_comment {
            let Some(end) = rest.find("*/") else {
                blank(&mut code, rest);
                return code;
            };
            *in_comment = false;
            blank(&mut code, &rest[..end + 2]);
            rest = &rest[end + 2..];
        }
        let Some((start, is_block)) = comment(rest) else {
            code.push_str(rest);
            return code;
        };
        code.push_str(&rest[..start]);
        rest = &rest[start..];
        if !is_block {
            blank(&mut code, rest);
            return code;
        }
        blank(&mut code, "/*");
        rest = &rest[2..];
        *in_comment = true;
    }
}

fn blank(code: &mut String, comment: &str) {
    code.extend(comment.chars().map(|_| ' '));
}

/// Finds the first comment of a line, and whether it is one that needs an end.
fn comment(text: &str) -> Option<(usize, bool)> {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().find_map(|(at, byte)| {
        let rest = &bytes[at + 1..];
        match byte {
            b'/' if rest.first() == Some(&b'/') => Some((at, false)),
            b'/' if rest.first() == Some(&b'*') => Some((at, true)),
            // `#$05` is a number of an assembler.
            b'#' if rest.first() != Some(&b'$') => Some((at, false)),
            b'-' if rest.first() == Some(&b'-') => Some((at, false)),
            // C ends a statement with it, right after the code: `[u8; 7]`.
            b';' if at == 0 || bytes[at - 1].is_ascii_whitespace() => {
                let word = rest
                    .iter()
                    .skip_while(|byte| byte.is_ascii_whitespace())
                    .take_while(|byte| !byte.is_ascii_whitespace());
                let mut word = word.peekable();
                let is_text =
                    word.peek().is_some() && !word.all(|byte| byte.is_ascii_hexdigit() || b"xX,;$\\".contains(byte));
                is_text.then_some((at, false))
            }
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_spaces() {
        for (text, expected) in [
            ("0x05, // a", "0x05,     "),
            ("05 /* 1 */ 06", "05         06"),
            ("05 # 1", "05    "),
            ("# 0x05, // Usage", "  0x05,         "),
            ("05h ; Usage Page (Desktop)", "05h                       "),
            ("05; 06; c0", "05; 06; c0"),
            ("#$05", "#$05"),
            ("ü // ü", "ü     "),
        ] {
            let text = Text::decode(text.as_bytes()).unwrap();
            assert_eq!(without(&text)[0].text, expected);
        }
        let text = Text::decode(b"/* the device's\n05 05 */ 05 01 /* 03 */ 09/**/02").unwrap();
        assert_eq!(without(&text)[1].text.split_whitespace().collect::<Vec<_>>(), ["05", "01", "09", "02"]);
    }
}
