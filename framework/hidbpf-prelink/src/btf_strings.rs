//! The strings of type information that is being written.

use std::collections::HashMap;

/// The strings. Each text is there once, and the empty one is the first.
#[derive(Clone, Debug)]
pub struct Strings {
    bytes: Vec<u8>,
    offsets: HashMap<String, u32>,
}

impl Default for Strings {
    fn default() -> Strings {
        Strings { bytes: vec![0], offsets: HashMap::from([(String::new(), 0)]) }
    }
}

impl Strings {
    /// Returns the offset of a text, and adds the text if necessary.
    pub fn offset(&mut self, text: &str) -> u32 {
        if let Some(offset) = self.offsets.get(text) {
            return *offset;
        }
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
        self.offsets.insert(text.to_owned(), offset);
        offset
    }

    /// Returns all strings, each with a NUL at its end.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
