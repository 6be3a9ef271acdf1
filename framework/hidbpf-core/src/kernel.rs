//! The features of the running kernel: the generation of its HID-BPF interface, and the privileges of this process.
//!
//! The generation is read from the kernel's BTF, never from its version number, because distributions backport
//! features.

pub mod refusal;
pub mod running;

use rustix::thread::CapabilitySet;

use crate::error::{Error, ErrorKind, Result};

pub use hidbpf_prelink::Generation;

/// The HID-BPF support of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// HID-BPF, of this generation.
    Present(Generation),
    /// No BTF, so that no BPF program can be matched with the kernel's types.
    NoBtf,
    /// BTF without HID-BPF.
    NoHidBpf,
}

/// The running kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// Its HID-BPF support.
    pub support: Support,
}

impl Kernel {
    /// Returns the running kernel, whose support the caller determined.
    pub fn running(support: Support) -> Kernel {
        Kernel { release: rustix::system::uname().release().to_string_lossy().into_owned(), support }
    }

    /// Returns the generation.
    ///
    /// # Errors
    /// The kernel has no HID-BPF. The error says what is missing.
    pub fn generation(&self) -> Result<Generation> {
        let missing = match self.support {
            Support::Present(generation) => return Ok(generation),
            Support::NoBtf => "CONFIG_DEBUG_INFO_BTF (there is no /sys/kernel/btf/vmlinux)",
            Support::NoHidBpf => "CONFIG_HID_BPF (its BTF has neither `struct hid_bpf_ops` nor `hid_bpf_attach_prog`)",
        };
        Err(Error::new(ErrorKind::Kernel, format!("the running kernel, {}, was built without {missing}", self.release))
            .with_hint("boot Linux 6.3 or later, built with CONFIG_HID_BPF and CONFIG_DEBUG_INFO_BTF"))
    }
}

/// Returns the capabilities that attaching needs, with their names.
fn needed(generation: Generation) -> &'static [(CapabilitySet, &'static str)] {
    match generation {
        // Without CAP_SYS_ADMIN, 6.6's hid_bpf_attach_prog() fails to find the program by its id and then oopses.
        Generation::FmodRet => &[
            (CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"),
            (CapabilitySet::BPF, "CAP_BPF"),
            (CapabilitySet::PERFMON, "CAP_PERFMON"),
        ],
        Generation::StructOps => &[(CapabilitySet::BPF, "CAP_BPF"), (CapabilitySet::PERFMON, "CAP_PERFMON")],
    }
}

/// Returns the capabilities that attaching needs and this process lacks.
///
/// # Errors
/// The kernel did not report the capabilities.
pub fn missing_capabilities(generation: Generation) -> Result<Vec<&'static str>> {
    let sets = rustix::thread::capabilities(None).map_err(|error| {
        Error::because(ErrorKind::Io, "failed to read the capabilities of this process", std::io::Error::from(error))
    })?;
    Ok(needed(generation)
        .iter()
        .filter(|(capability, _)| !sets.effective.contains(*capability))
        .map(|(_, name)| *name)
        .collect())
}

/// Checks that this process may attach drivers.
///
/// # Errors
/// A capability is missing.
pub fn check_capabilities(generation: Generation) -> Result<()> {
    let missing = missing_capabilities(generation)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Permission, format!("attaching a driver needs {}", missing.join(", ")))
        .with_hint("run the command as root, for example with sudo"))
}

/// Drops all privileges of this process for good, except those that attaching needs.
///
/// # Errors
/// The kernel refused the change.
pub fn confine(generation: Generation) -> Result<()> {
    use rustix::thread::{CapabilitySets, set_capabilities, set_no_new_privs};
    let fail = |error: rustix::io::Errno| {
        Error::because(ErrorKind::Io, "failed to give up privileges that are not needed", std::io::Error::from(error))
    };
    let needed = needed(generation).iter().fold(CapabilitySet::empty(), |set, (capability, _)| set | *capability);
    let mut sets: CapabilitySets = rustix::thread::capabilities(None).map_err(fail)?;
    sets.permitted &= needed;
    sets.effective &= needed;
    sets.inheritable = CapabilitySet::empty();
    set_no_new_privs(true).map_err(fail)?;
    set_capabilities(None, sets).map_err(fail)
}
