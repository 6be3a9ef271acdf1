//! Decides from facts alone whether a driver should be on a device now.
//!
//! udev's events, `load`, `enable`, `config --apply`, `status` and `doctor` collect the facts (`manager/facts.rs`) and
//! call [`decide`]. So they never disagree, and a reason reads the same everywhere.

mod reason;
#[cfg(test)]
mod tests;

pub use reason::Reason;

use crate::config::Enablement;
use crate::device::exclusion::Exclusion;
use crate::driver::matching::{Lack, Verdict};
use crate::names::DriverName;
use crate::state::RecordedFailure;

/// The decision whether a driver should be on a device now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The driver should be attached.
    Attach {
        /// The match rule of its manifest, or the line of the configuration.
        ///
        /// `None` if the user forces it on a device that it does not match.
        rule: Option<String>,
    },
    /// Nothing should be attached.
    Leave(Reason),
}

/// The facts about a device.
#[derive(Clone, Debug, Default)]
pub struct DeviceFacts {
    /// The reason why hidbpf leaves the device alone.
    pub exclusion: Option<Exclusion>,
    /// Whether a kernel driver is bound to it.
    pub is_bound: bool,
    /// The attached driver that has a descriptor hook. The kernel accepts one for each device.
    pub holder: Option<DriverName>,
    /// Whether it was bound just now, and this caused the query.
    pub just_bound: bool,
}

/// The facts about a driver for a device.
#[derive(Clone, Debug)]
pub struct DriverFacts<'a> {
    /// The driver.
    pub name: &'a DriverName,
    /// The device that it is for, in words.
    pub made_for: &'a str,
    /// The request that led to the query.
    pub asked: Asked,
    /// The result of matching its manifest against the device.
    pub verdict: Verdict,
    /// The configuration's instruction.
    pub enablement: Enablement<'a>,
    /// Whether udev attaches it by default: [`crate::manifest::Manifest::is_automatic`].
    pub is_automatic: bool,
    /// Whether it has a descriptor hook.
    pub fixes_descriptor: bool,
    /// Whether it needs a bound kernel driver, because it has an event hook, a setup or a mode switch.
    pub needs_binding: bool,
    /// Why it can't run on this kernel, and a hint.
    pub unsupported: Option<(String, String)>,
    /// Whether it is attached.
    pub standing: Standing,
    /// Whether the user detached it since the device was plugged in.
    pub unloaded: bool,
    /// The last failure to attach it, if it has not been attached since.
    pub failure: Option<&'a RecordedFailure>,
}

/// The request for a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// No user asks for it: udev decides by itself.
    #[default]
    No,
    /// The user is enabling it now.
    Enabled,
    /// The user loads it on the device.
    Loaded,
    /// The user loads it with `--force`, regardless of the device and of other tools.
    Forced,
}

impl Asked {
    /// Returns whether the user named both driver and device. That overrides the configuration.
    fn is_by_hand(self) -> bool {
        matches!(self, Asked::Loaded | Asked::Forced)
    }
}

/// The present state of a driver on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is not attached.
    #[default]
    Off,
    /// It is attached.
    Attached,
    /// It is attached, but the device's udev properties differ from those that the driver was given.
    Outdated,
}

/// Decides for all drivers together, because they may conflict. The decisions are in the order of `drivers`.
pub fn decide(device: &DeviceFacts, drivers: &[DriverFacts<'_>]) -> Vec<Decision> {
    let mut decisions: Vec<Decision> = drivers.iter().map(|driver| alone(device, driver)).collect();
    let is_rival = |(driver, decision): &(&DriverFacts<'_>, &Decision)| {
        driver.fixes_descriptor && driver.standing == Standing::Off && matches!(decision, Decision::Attach { .. })
    };
    let rivals: Vec<DriverName> =
        drivers.iter().zip(&decisions).filter(is_rival).map(|(driver, _)| driver.name.clone()).collect();
    if rivals.len() > 1 {
        for (driver, decision) in drivers.iter().zip(&mut decisions) {
            if is_rival(&(driver, decision)) {
                *decision = Decision::Leave(Reason::Rivals(rivals.clone()));
            }
        }
    }
    decisions
}

/// Decides for a driver as if no other unattached driver existed.
fn alone(device: &DeviceFacts, driver: &DriverFacts<'_>) -> Decision {
    let is_forced = driver.asked == Asked::Forced;
    let rule = match (&driver.verdict, &driver.enablement) {
        (Verdict::Matches { rule }, _) => Some(rule.clone()),
        (_, Enablement::Bound(source)) => Some(source.to_string()),
        _ => None,
    };
    match reason_against(device, driver, rule.is_some() || is_forced) {
        Some(reason) => Decision::Leave(reason),
        None => Decision::Attach { rule },
    }
}

/// Returns the first reason not to attach a driver, or to leave it as it is.
///
/// Reasons of the user and of other tools come before reasons that may pass.
fn reason_against(device: &DeviceFacts, driver: &DriverFacts<'_>, is_for_it: bool) -> Option<Reason> {
    let by_hand = driver.asked.is_by_hand();
    let exclusion = || device.exclusion.clone().map(Reason::Excluded);
    let undecided = match &driver.verdict {
        Verdict::Undecided { rule, lacks } if !is_for_it => Some((rule, *lacks)),
        _ => None,
    };
    match (&driver.enablement, driver.standing) {
        _ if by_hand => {}
        (Enablement::Disabled(source), Standing::Attached | Standing::Outdated) => {
            return Some(Reason::Disabled((*source).clone()));
        }
        (Enablement::Unreadable(problem), Standing::Attached | Standing::Outdated) => {
            return Some(Reason::ConfigUnreadable((*problem).clone()));
        }
        _ => {}
    }
    if driver.standing == Standing::Attached || by_hand && driver.standing == Standing::Outdated {
        return Some(Reason::Attached);
    }
    match &driver.verdict {
        _ if is_for_it => {}
        // Return early: the original descriptor can be read, and the reasons below are meant for drivers that match.
        Verdict::Undecided { rule, lacks: lacks @ Lack::OriginalDescriptor } if driver.unsupported.is_none() => {
            return Some(Reason::Undecided { rule: rule.clone(), lacks: *lacks });
        }
        Verdict::Undecided { .. } => {}
        Verdict::NearMiss { rules } => {
            return Some(Reason::NotForIt { misses: rules.clone(), device: driver.made_for.to_owned() });
        }
        Verdict::Matches { .. } | Verdict::No => {
            return Some(Reason::NotForIt { misses: Vec::new(), device: driver.made_for.to_owned() });
        }
    }
    if driver.asked == Asked::Loaded && matches!(device.exclusion, Some(Exclusion::UdevHidBpf(_))) {
        return exclusion();
    }
    if !by_hand {
        match &driver.enablement {
            Enablement::Disabled(source) => return Some(Reason::Disabled((*source).clone())),
            Enablement::Unreadable(problem) => return Some(Reason::ConfigUnreadable((*problem).clone())),
            Enablement::Unset | Enablement::Enabled(_) | Enablement::Bound(_) => {}
        }
        if !driver.is_wanted() {
            return Some(Reason::OnRequest);
        }
        if device.exclusion.is_some() {
            return exclusion();
        }
        if driver.unloaded && driver.asked == Asked::No {
            return Some(Reason::Unloaded);
        }
    }
    if let Some((rule, lacks @ Lack::KernelDriver)) = undecided {
        return Some(Reason::Undecided { rule: rule.clone(), lacks });
    }
    if let Some((why, hint)) = &driver.unsupported {
        return Some(Reason::Unsupported { why: why.clone(), hint: hint.clone() });
    }
    if let Some(failure) = driver.failure.filter(|failure| device.just_bound && !failure.may_be_tried_again()) {
        return Some(Reason::Failed(failure.message.clone()));
    }
    if driver.needs_binding && !device.is_bound {
        return Some(Reason::NotBound);
    }
    match &device.holder {
        Some(holder) if driver.fixes_descriptor && holder != driver.name => Some(Reason::FixedBy(holder.clone())),
        _ => None,
    }
}

impl DriverFacts<'_> {
    /// Returns whether the configuration, the manifest or the user wants it attached.
    fn is_wanted(&self) -> bool {
        self.asked.is_by_hand()
            || match self.enablement {
                Enablement::Unset => self.is_automatic,
                Enablement::Enabled(_) | Enablement::Bound(_) => true,
                Enablement::Disabled(_) | Enablement::Unreadable(_) => false,
            }
    }
}
