//! The costs of a driver's programs in the kernel's own counts: their length after loading, and the number of instructions that the
//! verifier processed. The counts are read while the driver is attached.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions, ProgramInfo};

use super::port::Port;
use crate::protocol::Message;

/// The bytes of an instruction: `struct bpf_insn` (include/uapi/linux/bpf.h).
const INSTRUCTION_SIZE: usize = 8;

/// The prefixes of the names of a driver's programs (hid-bpf-src/include/hidbpf/driver.h), and their purpose: the hooks and the setup.
const HOOKS: [(&str, &str); 5] = [
    ("event_", "device-event"),
    ("fixup_", "rdesc-fixup"),
    ("request_", "hw-request"),
    ("output_", "hw-output-report"),
    ("setup", "setup"),
];

/// The costs of one driver: the highest of all devices that it was attached to.
///
/// The device's properties decide which instructions the verifier leaves in a program.
#[derive(Debug, Default)]
pub struct Costs(BTreeMap<String, u64>);

/// The programs in the kernel at one moment.
#[derive(Debug)]
pub struct Before(BTreeSet<u32>);

fn programs() -> impl Iterator<Item = ProgramInfo> {
    ProgInfoIter::with_query_opts(ProgInfoQueryOptions::default().include_xlated_prog_insns(true))
}

impl Before {
    /// Returns the programs before a driver is attached.
    pub fn now() -> Before {
        Before(programs().map(|program| program.id).collect())
    }
}

impl Costs {
    /// Counts the programs that were loaded since `before`.
    ///
    /// # Errors
    /// There are none.
    pub fn add(&mut self, before: &Before) -> Result<()> {
        let mut found = false;
        for program in programs().filter(|program| !before.0.contains(&program.id)) {
            let name = program.name.to_string_lossy();
            let Some((_, hook)) = HOOKS.iter().find(|(prefix, _)| name.starts_with(prefix)) else { continue };
            found = true;
            let loaded = program.xlated_prog_insns.len() / INSTRUCTION_SIZE;
            for (quantity, value) in [("loaded", loaded as u64), ("verified", program.verified_insns.into())] {
                let most = self.0.entry(format!("{hook}/{quantity}")).or_default();
                *most = value.max(*most);
            }
        }
        ensure!(found, "the kernel tells of no program of the driver's");
        Ok(())
    }

    /// Sends the figures.
    ///
    /// # Errors
    /// The port is gone.
    pub fn send(self, driver: &str, port: &mut Port) -> Result<()> {
        self.0
            .into_iter()
            .try_for_each(|(quantity, value)| port.send(&Message::Figure { name: driver.to_owned(), quantity, value }))
    }
}
