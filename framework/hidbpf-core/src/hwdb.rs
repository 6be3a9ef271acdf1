//! udev's hardware database for the installed drivers, generated from their manifests.
//!
//! The rules file looks a HID device's modalias up in it, so that a device for which there is no driver costs no process.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write;

use crate::manifest::{DriverName, Manifest, Match};
use crate::object::DriverObject;

/// What the rules file puts before a modalias to look it up.
pub const PREFIX: &str = "hidbpf:";

/// The property that says that some driver may match.
pub const PROPERTY: &str = "HIDBPF";

/// The prefix of the properties that name the drivers.
pub const DRIVER_PROPERTY: &str = "HIDBPF_DRIVER_";

/// The name of the file.
pub const FILE: &str = "81-hidbpf.hwdb";

/// The text of the hwdb file: for each driver that udev attaches by itself, the devices that it may be for.
///
/// Only ids can be looked up; the other rules of the manifest are for `hidbpf udev add`.
pub fn generate<'a>(drivers: impl IntoIterator<Item = &'a DriverObject>) -> String {
    let mut text = String::from("# Made by `hidbpf hwdb` from the installed drivers; changes are lost.\n");
    let manifests: BTreeMap<&str, &Manifest> =
        drivers.into_iter().map(|driver| (driver.name.as_str(), &driver.manifest)).collect();
    for (name, manifest) in manifests.into_iter().filter(|(_, manifest)| manifest.is_automatic()) {
        let mut patterns: Vec<String> = manifest.matches.iter().map(pattern).collect();
        patterns.sort();
        patterns.dedup();
        let property = name.to_uppercase().replace('-', "_");
        // Writing to a String can't fail.
        let _ = write!(text, "\n# {}\n", manifest.device);
        for pattern in patterns {
            let _ = writeln!(text, "{PREFIX}{pattern}");
        }
        let _ = write!(text, " {PROPERTY}=1\n {DRIVER_PROPERTY}{property}={name}\n");
    }
    text
}

/// The drivers that udev found in its hwdb: it hands a device's properties to what it starts as environment variables.
pub fn named(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<DriverName> {
    let names = environment.into_iter().filter_map(|(key, value)| {
        let is_ours = key.as_encoded_bytes().starts_with(DRIVER_PROPERTY.as_bytes());
        is_ours.then(|| DriverName::new(value.to_str()?).ok()).flatten()
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// A glob for the modaliases that a rule allows.
fn pattern(rule: &Match) -> String {
    let part = |tag: char, number: Option<u32>, digits: usize| match number {
        Some(number) => format!("{tag}{number:0digits$X}"),
        None => format!("{tag}*"),
    };
    [
        "hid:".to_owned(),
        part('b', rule.bus.map(|bus| bus.0.into()), 4),
        part('g', rule.group.map(|group| group.0.into()), 4),
        part('v', rule.vendor.map(|vendor| vendor.0), 8),
        part('p', rule.product.map(|product| product.0), 8),
    ]
    .concat()
}

/// A modalias that a rule allows, to ask a compiled database with.
pub fn example(rule: &Match) -> String {
    pattern(rule).replace('*', "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Bus, VendorId};

    #[test]
    fn what_a_rule_leaves_out_is_any() {
        let rule = Match { bus: Some(Bus::USB), vendor: Some(VendorId(0x256c)), ..Match::default() };
        assert_eq!(pattern(&rule), "hid:b0003g*v0000256Cp*");
    }
}
