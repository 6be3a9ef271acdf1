//! Whether a driver should be on a device now: one decision, from facts alone.
//!
//! udev's events, `load`, `enable`, `config --apply`, `status` and `doctor` collect the facts (`manager/facts.rs`) and ask [`decide`]. So they
//! never disagree, and a reason reads the same everywhere.

mod reason;
#[cfg(test)]
mod tests;

pub use reason::Reason;

use crate::aside::Aside;
use crate::config::Wish;
use crate::matching::{Lack, Verdict};
use crate::names::DriverName;
use crate::state::Failure;

/// Whether a driver should be on a device now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It should be, and is to be attached.
    Attach {
        /// By which rule of its manifest, or line of the configuration; `None` if a person forces it on a device that it is not for.
        rule: Option<String>,
    },
    /// Nothing is to be attached.
    Leave(Reason),
}

/// What there is to know of a device.
#[derive(Clone, Debug, Default)]
pub struct DeviceFacts {
    /// What keeps hidbpf off it.
    pub aside: Option<Aside>,
    /// Whether a kernel driver is bound to it.
    pub is_bound: bool,
    /// The attached driver that has a descriptor hook; the kernel takes one a device.
    pub holder: Option<DriverName>,
    /// Whether it was bound just now, which is why somebody asks.
    pub just_bound: bool,
}

/// What there is to know of a driver, for a device.
#[derive(Clone, Debug)]
pub struct DriverFacts<'a> {
    /// The driver.
    pub name: &'a DriverName,
    /// The device that it is for, in words.
    pub made_for: &'a str,
    /// Who asks for it.
    pub asked: Asked,
    /// Whether its manifest has a rule that the device meets.
    pub verdict: Verdict,
    /// What the configuration says.
    pub wish: Wish<'a>,
    /// Whether udev attaches it where nothing else is said: [`crate::manifest::Manifest::is_automatic`].
    pub is_automatic: bool,
    /// Whether it has a descriptor hook.
    pub fixes_descriptor: bool,
    /// Whether it can only be attached to a device that a kernel driver is bound to: it has an event hook, or talks to the device.
    pub needs_binding: bool,
    /// Why it can't run on this kernel, and a hint.
    pub unsupported: Option<(String, String)>,
    /// Whether it is attached.
    pub standing: Standing,
    /// Whether a person took it off since the device was plugged in.
    pub taken_off: bool,
    /// How attaching it failed last, if it has not succeeded since.
    pub failure: Option<&'a Failure>,
}

/// Who asks for a driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asked {
    /// Nobody: it is about what udev does by itself.
    #[default]
    No,
    /// A person who enables it just now.
    Enabled,
    /// A person who loads it on the device.
    Loaded,
    /// The same with `--force`: whatever the device is and whoever else has it.
    Forced,
}

impl Asked {
    /// Whether a person names both driver and device, and so has their way against the configuration.
    fn is_by_hand(self) -> bool {
        matches!(self, Asked::Loaded | Asked::Forced)
    }
}

/// How a driver stands on a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It is not attached.
    #[default]
    Off,
    /// It is attached.
    Attached,
    /// It is attached, and the device has other udev properties than the driver was told.
    Outdated,
}

/// Decides for all drivers at once, of which each may be in the others' way; the answers are in the order of `drivers`.
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

/// Decides for a driver as if there were no other one that is not attached yet.
fn alone(device: &DeviceFacts, driver: &DriverFacts<'_>) -> Decision {
    let is_forced = driver.asked == Asked::Forced;
    let rule = match (&driver.verdict, &driver.wish) {
        (Verdict::Matches { rule }, _) => Some(rule.clone()),
        (_, Wish::Bound(source)) => Some(source.to_string()),
        _ => None,
    };
    match reason_against(device, driver, rule.is_some() || is_forced) {
        Some(reason) => Decision::Leave(reason),
        None => Decision::Attach { rule },
    }
}

/// The first of the reasons to leave a driver off, or as it is. What a person wants and what other tools do comes before what could be waited for.
fn reason_against(device: &DeviceFacts, driver: &DriverFacts<'_>, is_for_it: bool) -> Option<Reason> {
    let by_hand = driver.asked.is_by_hand();
    let aside = || device.aside.clone().map(Reason::Aside);
    let undecided = match &driver.verdict {
        Verdict::Undecided { rule, lacks } if !is_for_it => Some((rule, *lacks)),
        _ => None,
    };
    match (&driver.wish, driver.standing) {
        _ if by_hand => {}
        (Wish::Disabled(source), Standing::Attached | Standing::Outdated) => {
            return Some(Reason::Disabled((*source).clone()));
        }
        (Wish::InDoubt(problem), Standing::Attached | Standing::Outdated) => {
            return Some(Reason::InDoubt((*problem).clone()));
        }
        _ => {}
    }
    if driver.standing == Standing::Attached || by_hand && driver.standing == Standing::Outdated {
        return Some(Reason::Attached);
    }
    match &driver.verdict {
        _ if is_for_it => {}
        // It can be read, so that what comes below is said of drivers that are for the device.
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
    if driver.asked == Asked::Loaded && matches!(device.aside, Some(Aside::UdevHidBpf(_))) {
        return aside();
    }
    if !by_hand {
        match &driver.wish {
            Wish::Disabled(source) => return Some(Reason::Disabled((*source).clone())),
            Wish::InDoubt(problem) => return Some(Reason::InDoubt((*problem).clone())),
            Wish::Unsaid | Wish::Enabled(_) | Wish::Bound(_) => {}
        }
        if !driver.is_wanted() {
            return Some(Reason::OnRequest);
        }
        if device.aside.is_some() {
            return aside();
        }
        if driver.taken_off && driver.asked == Asked::No {
            return Some(Reason::TakenOff);
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
        Some(holder) if driver.fixes_descriptor && holder != driver.name => Some(Reason::Held(holder.clone())),
        _ => None,
    }
}

impl DriverFacts<'_> {
    /// Whether somebody wants it attached: the configuration, the manifest, or a person.
    fn is_wanted(&self) -> bool {
        self.asked.is_by_hand()
            || match self.wish {
                Wish::Unsaid => self.is_automatic,
                Wish::Enabled(_) | Wish::Bound(_) => true,
                Wish::Disabled(_) | Wish::InDoubt(_) => false,
            }
    }
}
