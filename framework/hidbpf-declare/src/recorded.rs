//! The devices of a driver's recordings, which its repairs must fit.

/// A device that a recording describes, as the author has it.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The recording's name in messages.
    pub recording: String,
    /// The index of the match rule that matches the device.
    pub rule: usize,
    /// The original descriptor.
    pub descriptor: Vec<u8>,
}
