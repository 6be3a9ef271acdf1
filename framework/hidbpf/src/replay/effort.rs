//! How long a way the kernel's verifier has to follow through a driver's programs, estimated without a kernel.
//!
//! The verifier follows every way through a program, and each round of a loop anew, as far as it can't tell that two ways meet in the same
//! state. What a replay can tell is the length of one way: the longest one that the program takes for the longest input. The verifier takes
//! that way too, and each conditional jump on it leaves another way to come back to, of which it remembers 8192
//! (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`, kernel/bpf/verifier.c). A shorter way says little: how often ways meet decides then. What a
//! callback does counts once, since the verifier follows a callback of bpf_loop() once.

use std::collections::BTreeMap;

use super::reports::MAX_DESCRIPTOR;
use super::{Device, Driver, Generation, Object, ReplayError, Settings, SourceLine};

/// The conditional jumps on one way that the verifier takes at most.
pub const MAX_JUMPS: u64 = 8192;

/// What a program did in one run, without the callbacks of its helpers.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    /// The conditional jumps that it came to.
    pub(super) jumps: u64,
    /// How often it went back, and where from the last time, by where to in the code.
    pub(super) rounds: BTreeMap<usize, (u64, usize)>,
}

impl Way {
    /// Counts a jump to an earlier instruction.
    pub(super) fn goes_back(&mut self, from: usize, to: usize) {
        let rounds = self.rounds.entry(to).or_default();
        *rounds = (rounds.0 + 1, from);
    }
}

/// The longest way that a program took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The conditional jumps on it.
    pub jumps: u64,
    /// How often its longest loop went round; 0 without a loop.
    pub rounds: u64,
    /// Where that loop goes back.
    pub source: Option<SourceLine>,
}

/// Runs a driver over the longest input that a device could have: a descriptor of 4096 bytes, and reports as long as the kernel's buffer. Both
/// repeat what the device has.
///
/// # Errors
/// A program did what the kernel would not let it do, or can't be run.
pub fn effort(
    object: &Object,
    generation: Generation,
    device: &Device,
    reports: &[Vec<u8>],
    settings: &Settings,
) -> Result<Effort, ReplayError> {
    let mut driver = Driver::new(object, generation, device, settings)?;
    driver.fix_descriptor(&repeated(&device.descriptor, MAX_DESCRIPTOR))?;
    let longest = driver.effort();
    let mut driver = Driver::new(object, generation, device, settings)?;
    driver.fix_descriptor(&device.descriptor)?;
    let Some(size) = driver.buffer_size() else { return Ok(longest) };
    for report in reports {
        driver.event(&repeated(report, size))?;
    }
    let of_reports = driver.effort();
    Ok(if of_reports.jumps > longest.jumps { of_reports } else { longest })
}

/// `size` bytes, the given ones over and over.
fn repeated(bytes: &[u8], size: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(size).collect()
}
