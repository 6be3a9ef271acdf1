//! Estimates the verifier's effort for a driver's programs, without a kernel.
//!
//! The verifier follows every path through a program and every iteration of a loop, except where it finds that two
//! paths reach the same state. A replay can only measure one path: the longest one that the program takes for the
//! longest input. The verifier takes that path too. It has to come back to each conditional jump on it, and remembers
//! at most 8192 of them (`BPF_COMPLEXITY_LIMIT_JMP_SEQ`, kernel/bpf/verifier.c). A shorter path says little, because
//! the effort then depends on how often paths meet. A callback counts once, since the verifier follows a callback of
//! bpf_loop() once.

use hidbpf_descriptor::MAX_DESCRIPTOR;
use hidbpf_prelink::Generation;
use hidbpf_prelink::btf_ext::SourceLine;

use crate::device::ReplayDevice;
use crate::driver::Driver;
use crate::error::ReplayError;
use crate::object::Object;
use crate::settings::Settings;

/// The maximum number of conditional jumps on one path in the verifier.
pub const MAX_JUMPS: u64 = 8192;

/// The longest path that a program took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effort {
    /// The conditional jumps on the path.
    pub jumps: u64,
    /// The iterations of its longest loop, 0 without a loop.
    pub rounds: u64,
    /// The source line where that loop jumps back.
    pub source: Option<SourceLine>,
}

/// Runs a driver on the longest input that a device could send: a descriptor of 4096 bytes, and reports as long as the
/// kernel's buffer. Both repeat the device's own bytes.
///
/// # Errors
/// A program did something that the kernel forbids, or can't be run.
pub fn effort(
    object: &Object,
    generation: Generation,
    device: &ReplayDevice,
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

impl Driver {
    /// Returns the longest path that a program has taken so far.
    fn effort(&self) -> Effort {
        let path = &self.machine.longest_path;
        let longest = path.rounds.values().max();
        Effort {
            jumps: path.jumps,
            rounds: longest.map_or(0, |(rounds, _)| *rounds),
            source: longest.and_then(|(_, from)| self.machine.image.source_at(*from)),
        }
    }
}

/// Repeats bytes up to `size`.
fn repeated(bytes: &[u8], size: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(size).collect()
}
