//! The log of the USB-IF's compliance tests, which lists a descriptor's items.
//!
//! ```text
//! INFO Byte Number:    Eh (  14d)
//!   Data Field: 81 02
//!   Mnemonic:  Input
//! ```

use super::draft::{Draft, Reading};
use super::text::Text;
use super::{Unreadable, numbers};

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let has = |mark: &str| text.lines.iter().any(|line| line.text.trim().starts_with(mark));
    (has(DATA) && has("Mnemonic:")).then(|| items(text))
}

const DATA: &str = "Data Field:";

fn items(text: &Text) -> Result<Reading, Unreadable> {
    let mut drafts: Vec<Draft> = Vec::new();
    for line in &text.lines {
        // Each descriptor counts its bytes from 0.
        let is_first =
            line.text.split_once("Byte Number:").is_some_and(|(_, number)| number.trim_start().starts_with("0h"));
        if is_first || drafts.is_empty() {
            drafts.push(Draft { line: line.number, ..Draft::default() });
        }
        let Some(data) = line.text.trim_start().strip_prefix(DATA) else { continue };
        let bytes: Result<Vec<Vec<u8>>, Unreadable> =
            data.split_whitespace().map(|word| numbers::hex(word).ok_or_else(|| line.invalid_byte(word))).collect();
        if let Some(draft) = drafts.last_mut() {
            draft.extend(&bytes?.concat(), line.number)?;
        }
    }
    drafts.retain(|draft| !draft.descriptor.is_empty());
    Ok(Reading::of(drafts))
}
