//! The instructions that a run may take. Calls whose work depends on their arguments take more than one.

use crate::error::Reason;

use super::Machine;

/// The number of bytes that are copied or searched in the time of one instruction.
const BYTES_PER_INSTRUCTION: usize = 64;

/// Searches among up to this many elements are free. No normal driver needs more. The second number is the approximate
/// size of an element.
const FEW: usize = 256;
const BYTES_PER_THING: usize = 32;

impl Machine {
    /// Charges a call's work as instructions, so that a run with long calls also ends.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), Reason> {
        let cost = (bytes / BYTES_PER_INSTRUCTION) as u64;
        self.instructions_left =
            self.instructions_left.checked_sub(cost).ok_or(Reason::Endless(self.instruction_limit))?;
        Ok(())
    }

    /// Charges a search through a number of elements. A search through few is free.
    pub(crate) fn charge_search(&mut self, things: usize) -> Result<(), Reason> {
        self.charge(things.saturating_sub(FEW) * BYTES_PER_THING)
    }
}
