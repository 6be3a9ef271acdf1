//! The path of a program through its code, which a verifier would follow.

use std::collections::BTreeMap;

/// The path of a program in one run, without the callbacks of its helpers.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunPath {
    /// The conditional jumps on the path.
    pub(crate) jumps: u64,
    /// For each target of backward jumps: how often the program jumped there, and from where the last time.
    pub(crate) rounds: BTreeMap<usize, (u64, usize)>,
}

impl RunPath {
    /// Counts a jump to an earlier instruction.
    pub(crate) fn jump_back(&mut self, from: usize, to: usize) {
        let rounds = self.rounds.entry(to).or_default();
        *rounds = (rounds.0 + 1, from);
    }
}
