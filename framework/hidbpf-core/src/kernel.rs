//! What the running kernel offers: the generation of its HID-BPF interface, and what this process may do.
//!
//! The generation is read from the kernel's BTF and never from its version number, since distributions port features back.

use std::fmt;

use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How drivers are attached to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// Linux 6.3 to 6.10: FMOD_RET programs that a syscall program binds to a device.
    FmodRet,
    /// Since Linux 6.11: a struct_ops map, `struct hid_bpf_ops`.
    StructOps,
}

impl Generation {
    /// The first version of Linux that has it: `6.3`.
    pub fn since(self) -> &'static str {
        match self {
            Generation::FmodRet => "6.3",
            Generation::StructOps => "6.11",
        }
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Generation::FmodRet => "FMOD_RET",
            Generation::StructOps => "struct_ops",
        })
    }
}

/// What a kernel offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// HID-BPF, of this generation.
    Present(Generation),
    /// No BTF, so that no BPF program can be matched with the kernel's types.
    NoBtf,
    /// BTF, but nothing of HID-BPF in it.
    NoHidBpf,
}

/// The running kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// `uname -r`.
    pub release: String,
    /// What it offers.
    pub support: Support,
}

impl Kernel {
    /// The running kernel, of which something else has found out what it offers.
    pub fn running(support: Support) -> Kernel {
        Kernel { release: rustix::system::uname().release().to_string_lossy().into_owned(), support }
    }

    /// The generation.
    ///
    /// # Errors
    /// The kernel offers none; the error says what is missing.
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

/// Capabilities that attaching needs, with their names.
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

/// The capabilities that attaching needs and this process lacks.
///
/// # Errors
/// The kernel would not say.
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

/// Gives up, for good, all privileges of this process but those that attaching needs.
///
/// # Errors
/// The kernel would not take them.
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
