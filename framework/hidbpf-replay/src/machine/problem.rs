//! How a call of a helper or a kernel function fails.

use crate::error::{Fault, Reason};
use crate::memory::Full;

/// The reason why a helper failed.
pub(crate) enum Problem {
    /// The calling instruction is at fault.
    Here(Reason),
    /// An instruction in a function that the helper called is at fault.
    Deeper(Box<Fault>),
}

impl From<Reason> for Problem {
    fn from(reason: Reason) -> Problem {
        Problem::Here(reason)
    }
}

pub(crate) fn out_of_memory(full: Full) -> Problem {
    Problem::Here(Reason::Memory(full.to_string()))
}

/// Returns a negative errno as a program sees it.
pub(crate) fn negative(errno: i64) -> u64 {
    (-errno) as u64
}
