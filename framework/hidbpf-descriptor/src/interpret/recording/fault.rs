//! The errors of reading a recording.

use std::path::PathBuf;

/// An error in a recording, and where it is.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {reason}", .path.display(), .line.map(|line| format!(":{line}")).unwrap_or_default())]
#[non_exhaustive]
pub struct RecordingError {
    /// The file.
    pub path: PathBuf,
    /// The line, counted from 1, if the error is in one line.
    pub line: Option<usize>,
    /// The cause.
    pub reason: RecordingFault,
}

/// The cause of a recording error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingFault {
    /// The file can't be read.
    #[error("failed to read the recording: {0}")]
    Io(std::io::Error),
    /// A line that the format doesn't have.
    #[error("`{}` is not a line of a recording (expected one that begins with `D:`, `R:`, `N:`, `P:`, `I:`, `E:` or `#`)", .0.escape_debug())]
    UnknownLine(String),
    /// An invalid part of a line.
    #[error("`{}` is not a {what}", .found.escape_debug())]
    Invalid {
        /// The expected part.
        what: &'static str,
        /// The text found.
        found: String,
    },
    /// A line that ends early.
    #[error("the line ends where the {0} should be")]
    Missing(&'static str),
    /// A length that differs from that of the bytes after it.
    #[error("the length says {length} bytes, and {found} follow")]
    Length {
        /// The declared length.
        length: usize,
        /// The actual length.
        found: usize,
    },
    /// A second line of a kind that a device can have only once.
    #[error("device {device} has a second `{line}:` line")]
    Repeated {
        /// The device's number.
        device: u32,
        /// The line's letter.
        line: char,
    },
    /// A device without a required line.
    #[error("{} has no `{line}:` line, {what}", device_or_recording(*.device))]
    Incomplete {
        /// The device's number, or `None` if the recording is empty.
        device: Option<u32>,
        /// The line's letter.
        line: char,
        /// The content of that line.
        what: &'static str,
    },
}

fn device_or_recording(device: Option<u32>) -> String {
    device.map_or_else(|| "the recording".to_owned(), |number| format!("device {number}"))
}
