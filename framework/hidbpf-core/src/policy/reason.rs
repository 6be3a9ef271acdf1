//! Reasons why a driver is not attached to a device, or not now, with hints.

use std::fmt;

use crate::config::{Problem, Source};
use crate::device::exclusion::Exclusion;
use crate::driver::matching::{Lack, Miss};
use crate::error::{Error, ErrorKind};
use crate::ids::HidName;
use crate::names::DriverName;

/// Why nothing is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No match rule of the driver's manifest applies.
    NotForIt {
        /// The near misses.
        misses: Vec<Miss>,
        /// The device that the driver is for.
        device: String,
    },
    /// It may match the device.
    Undecided {
        /// The undecided match rule.
        rule: String,
        /// The unknown fact that the rule depends on.
        lacks: Lack,
    },
    /// This line of the configuration disables it.
    Disabled(Source),
    /// A configuration file that may concern it can't be read.
    ConfigUnreadable(Problem),
    /// hidbpf leaves the device alone for this reason.
    Excluded(Exclusion),
    /// It is already attached.
    Attached,
    /// It is attached only at the user's request.
    OnRequest,
    /// The user detached it.
    Unloaded,
    /// It has no programs for this kernel.
    Unsupported {
        /// Why.
        why: String,
        /// The kernel version that it needs.
        hint: String,
    },
    /// It failed, and is not tried again until the device is plugged in again.
    Failed(String),
    /// The driver needs a kernel driver, but none is bound to the device.
    NotBound,
    /// This attached driver holds the descriptor hook.
    FixedBy(DriverName),
    /// Each of these drivers would fix the descriptor.
    Rivals(Vec<DriverName>),
}

impl Reason {
    /// Returns whether udev's log should contain it as a failure: the driver is wanted but can't be attached.
    pub fn is_failure(&self) -> bool {
        matches!(self, Reason::Unsupported { .. } | Reason::FixedBy(_) | Reason::Rivals(_))
    }

    /// Returns whether the driver would be attached if this reason did not exist.
    pub(crate) fn is_against_wanted(&self) -> bool {
        !matches!(self, Reason::NotForIt { .. } | Reason::OnRequest | Reason::Attached)
    }

    /// Returns whether the next bind event may remove the reason.
    pub(crate) fn waits_for_binding(&self) -> bool {
        matches!(self, Reason::NotBound | Reason::Undecided { lacks: Lack::KernelDriver, .. })
    }

    /// Returns the error for a caller that wants the driver attached.
    pub fn error(&self, driver: &DriverName, device: &HidName) -> Error {
        let kind = match self {
            Reason::NotForIt { .. } | Reason::OnRequest => ErrorKind::NoMatch,
            Reason::Disabled(_) | Reason::ConfigUnreadable(_) => ErrorKind::Config,
            Reason::Excluded(_) | Reason::FixedBy(_) | Reason::Rivals(_) | Reason::Unloaded => ErrorKind::Conflict,
            Reason::Attached => ErrorKind::AlreadyAttached,
            Reason::Unsupported { .. } => ErrorKind::Kernel,
            Reason::Failed(_) => ErrorKind::NotFixed,
            Reason::NotBound | Reason::Undecided { .. } => ErrorKind::NotReady,
        };
        let what = format!("failed to attach the driver `{driver}` to the device `{device}`: {self}");
        Error::new(kind, what).with_hint(self.hint(driver, device)).on(device).of(driver)
    }

    /// Returns what the user can do to get the driver attached to the device.
    pub fn hint(&self, driver: &DriverName, device: &HidName) -> String {
        let load = format!("`hidbpf load {driver} {device}`");
        let again = format!("run `udevadm trigger --action=add /sys/bus/hid/devices/{device}` as root");
        match self {
            Reason::NotForIt { .. } => format!("{load} with `--force` attaches it all the same"),
            Reason::Undecided { lacks: Lack::KernelDriver, .. } => {
                format!(
                    "`hidbpf doctor {device}` says why none is bound; udev attaches the driver once one is, if it is for the device"
                )
            }
            Reason::Undecided { lacks: Lack::OriginalDescriptor, .. } => {
                "run the command as root, for example with sudo".to_owned()
            }
            Reason::Disabled(source) => {
                format!(
                    "run `hidbpf enable {driver} {device}` as root, or change {source} and run `hidbpf config --apply`"
                )
            }
            Reason::ConfigUnreadable(problem) => {
                let hint = problem.error().hint().unwrap_or("correct the file").to_owned();
                format!("{hint}; then {again}")
            }
            Reason::Excluded(exclusion @ Exclusion::CommandLine) => {
                format!("{}; until then {load} attaches it", exclusion.remedy(device))
            }
            Reason::Excluded(exclusion @ Exclusion::Property(..)) => {
                format!("{load} attaches it; or {}, and {again}", exclusion.remedy(device))
            }
            Reason::Excluded(exclusion @ Exclusion::UdevHidBpf(_)) => {
                format!("{}; then {load} attaches it, and with `--force` without that", exclusion.remedy(device))
            }
            Reason::Attached => format!("`hidbpf reload {driver} {device}` reattaches it"),
            Reason::OnRequest => {
                format!("{load} attaches it now, and `hidbpf enable {driver}` from now on")
            }
            Reason::Unloaded => format!("{load} attaches it"),
            Reason::Unsupported { hint, .. } => hint.clone(),
            Reason::Failed(_) => format!("{load} tries it again"),
            Reason::NotBound => {
                format!("`hidbpf doctor {device}` says why none is bound; udev attaches the driver once one is")
            }
            Reason::FixedBy(holder) => format!("`hidbpf unload {holder} {device}` takes that one off; then {load}"),
            Reason::Rivals(rivals) => {
                let other = rivals.iter().find(|rival| *rival != driver).unwrap_or(driver);
                format!(
                    "choose one: {load} attaches this one now, and `hidbpf disable {other}` leaves the other one off from now on"
                )
            }
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotForIt { misses, device } if misses.is_empty() => {
                write!(f, "it is not for the device but for {device}")
            }
            Reason::NotForIt { misses, .. } => {
                let misses: Vec<String> =
                    misses.iter().map(|miss| format!("{}: {}", miss.rule, miss.reasons.join("; "))).collect();
                write!(f, "it is not for the device, by {}", misses.join(", "))
            }
            Reason::Undecided { rule, lacks } => write!(f, "it may be for the device, by {rule}, but {lacks}"),
            Reason::Disabled(source) => write!(f, "it is disabled by {source}"),
            Reason::ConfigUnreadable(problem) => {
                write!(f, "it may be disabled in a file that does not hold: {problem}")
            }
            Reason::Excluded(exclusion) => exclusion.fmt(f),
            Reason::Attached => f.write_str("it is attached already"),
            Reason::OnRequest => f.write_str("it is attached only on request"),
            Reason::Unloaded => f.write_str("it was unloaded by hand"),
            Reason::Unsupported { why, .. } => f.write_str(why),
            Reason::Failed(message) => write!(f, "it failed: {message}"),
            Reason::NotBound => f.write_str("no kernel driver is bound to the device"),
            Reason::FixedBy(holder) => {
                write!(f, "the attached driver `{holder}` fixes the descriptor too, and the kernel lets only one do so")
            }
            Reason::Rivals(rivals) => {
                let names: Vec<String> = rivals.iter().map(|name| format!("`{name}`")).collect();
                write!(
                    f,
                    "the drivers {} all fix the descriptor, and the kernel lets only one do so",
                    names.join(" and ")
                )
            }
        }
    }
}
