//! What the kernel would do after a driver's program has run.

/// The result of a driver's probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The driver has no probe. It accepts every device that its manifest matches.
    NoProbe,
    /// The driver accepts the device.
    Takes,
    /// The driver refuses the device with this errno.
    Refuses(i32),
}

/// The result of a descriptor hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// The descriptor is unchanged.
    Unchanged,
    /// The hook returned this descriptor.
    Changed(Vec<u8>),
    /// The hook returned this errno, so the kernel uses the original descriptor.
    Refused(i32),
}

/// The result of an event hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The report is unchanged.
    Unchanged,
    /// The hook returned this report.
    Changed(Vec<u8>),
    /// The driver dropped the report with this errno.
    Dropped(i32),
}

/// All reports that result from a report of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Reports that the driver injected while its hook ran. They arrive before the report itself.
    pub before: Vec<Vec<u8>>,
    /// The result for the report itself.
    pub report: Report,
    /// Reports from the driver's work items and due timers.
    pub after: Vec<Vec<u8>>,
    /// The number of instructions executed for all of these. The kernel's number differs slightly, because it replaces
    /// calls with its own instructions and removes unreachable ones.
    pub instructions: u64,
}

impl Outcome {
    /// Iterates over the reports that reach the kernel's input drivers, in order.
    pub fn reports<'a>(&'a self, original: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let own = match &self.report {
            Report::Unchanged => Some(original),
            Report::Changed(report) => Some(report.as_slice()),
            Report::Dropped(_) => None,
        };
        self.before.iter().map(Vec::as_slice).chain(own).chain(self.after.iter().map(Vec::as_slice))
    }
}
