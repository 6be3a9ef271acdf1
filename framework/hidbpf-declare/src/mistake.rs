//! What is wrong with a declaration, and where.

use std::ops::Range;
use std::path::Path;

use hidbpf_core::manifest::{ManifestError, position};

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
