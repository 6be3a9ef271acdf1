//! What is wrong with a declaration, and where.

use std::ops::Range;
use std::path::Path;

use hidbpf_core::manifest::ManifestError;

/// A mistake in a manifest.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// The bytes of the manifest's text that it is about, if known.
    pub span: Option<Range<usize>>,
    /// The problem, and the expected value.
    pub message: String,
}

impl Mistake {
    pub fn at(span: &Range<usize>, message: impl Into<String>) -> Mistake {
        Mistake { span: Some(span.clone()), message: message.into() }
    }

    /// Returns a mistake that no single place of the text has.
    pub fn general(message: impl Into<String>) -> Mistake {
        Mistake { span: None, message: message.into() }
    }

    pub fn into_error(self, path: &Path, text: &str) -> ManifestError {
        let position = self.span.map(|span| position(text, span.start));
        ManifestError { path: path.to_owned(), position, message: self.message }
    }
}

impl From<toml::de::Error> for Mistake {
    fn from(error: toml::de::Error) -> Mistake {
        Mistake { span: error.span(), message: error.message().replace('\n', " ") }
    }
}

/// Returns the line and column of a byte offset, both counted from 1.
pub(crate) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}
