//! Errors that are not the machinery's.

use std::fmt;

/// An error that is not the machinery's.
#[derive(Debug)]
pub enum Fault {
    /// What is tested has failed.
    Failed(String),
    /// What was asked for makes no sense.
    Usage(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Failed(text) | Self::Usage(text)) = self;
        f.write_str(text)
    }
}

impl std::error::Error for Fault {}
