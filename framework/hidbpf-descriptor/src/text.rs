//! Makes texts from devices safe to print. A device's name can contain any character.

use std::fmt::{self, Write};

/// Prints a text, with escapes for control characters and other characters that could mislead a terminal.
pub struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() || is_format(c) {
                write!(f, "{}", c.escape_unicode())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// Returns whether a character is invisible but changes how others are shown.
///
/// Those are directional marks, joiners and line separators of Unicode.
fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_mislead_is_escaped() {
        assert_eq!(Printable("Kensington Slimblade \"Pro\" é 鼠").to_string(), "Kensington Slimblade \"Pro\" é 鼠");
        assert_eq!(Printable("a\u{1b}[2Jb\n").to_string(), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(Printable("\u{202e}esuom").to_string(), "\\u{202e}esuom");
    }
}
