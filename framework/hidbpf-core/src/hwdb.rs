//! udev's hardware database for the installed drivers, generated from their manifests and the machine's configuration.
//!
//! The udev rules look up a HID device's modalias in it, so that a device without a driver costs no process. There are
//! two files. [`FILE`] comes with the package of drivers, and [`LOCAL_FILE`] adds the entries of this machine. Their
//! entries add up, and neither hides the other.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt::Write;

use crate::config::{Config, Key};
use crate::driver::catalog::Catalog;
use crate::driver::object::DriverObject;
use crate::ids::{Bus, Group, ProductId, VendorId};
use crate::manifest::keymap::Keymap;
use crate::manifest::options::Value;
use crate::manifest::{IdsFrom, Manifest, Match};
use crate::names::DriverName;
use crate::system::System;

/// The prefix of a modalias when the udev rules look it up.
pub const PREFIX: &str = "hidbpf:";

/// The property that says that a driver may match.
pub const PROPERTY: &str = "HIDBPF";

/// The prefix of the properties that name the drivers.
pub const DRIVER_PROPERTY: &str = "HIDBPF_DRIVER_";

/// The name of the file for the drivers that udev attaches automatically.
pub const FILE: &str = "81-hidbpf.hwdb";

/// The name of the file for drivers that only this machine has, and for the entries that its configuration adds.
pub const LOCAL_FILE: &str = "82-hidbpf-local.hwdb";

/// The entries of each driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries(BTreeMap<String, Entry>);

/// The entries of a driver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Its device in words.
    device: String,
    /// Globs for the modaliases of devices that it may match.
    patterns: BTreeSet<String>,
    /// Globs for the input devices that get its keymap.
    keyboards: BTreeSet<String>,
    /// Its keymap.
    keymap: Keymap,
}

impl Entries {
    /// Returns the entries for the drivers that udev attaches automatically.
    ///
    /// Only ids can be looked up. `hidbpf udev add` checks the manifest's other keys.
    pub fn automatic<'a>(drivers: impl IntoIterator<Item = &'a DriverObject>) -> Entries {
        let mut entries = Entries::default();
        for driver in drivers.into_iter().filter(|driver| driver.manifest.is_automatic()) {
            entries.add_matches(driver);
        }
        entries
    }

    /// Returns the entries that the package of drivers can't contain.
    ///
    /// Those are other drivers, drivers that the configuration enables, and devices that it binds drivers to.
    pub fn local(system: &System, catalog: &Catalog, config: &Config) -> Entries {
        let packaged = system.driver_dirs.last();
        let is_local = |driver: &&DriverObject| packaged.is_none_or(|dir| !driver.path.starts_with(dir));
        let mut entries = Entries::automatic(catalog.drivers.iter().filter(is_local));
        for entry in config.in_force().into_iter().filter(|entry| entry.value == Value::Bool(true)) {
            let Some(driver) = catalog.drivers.iter().find(|driver| driver.name == entry.driver) else { continue };
            match (&entry.key, &entry.device) {
                (Key::Enabled, None) if driver.manifest.any_device => entries.add(driver, glob(None, None, None, None)),
                (Key::Enabled, _) if !driver.manifest.is_automatic() && !driver.manifest.any_device => {
                    entries.add_matches(driver);
                }
                (Key::Enabled | Key::Bind, Some(rule)) if entry.key == Key::Bind || driver.manifest.any_device => {
                    entries.add(driver, glob(rule.bus, None, rule.vendor, rule.product))
                }
                _ => {}
            }
        }
        entries
    }

    fn add_matches(&mut self, driver: &DriverObject) {
        let rules = driver.all_versions().flat_map(|version| &version.manifest.matches);
        rules.for_each(|rule| self.add(driver, pattern(rule)));
        let Manifest { keymap, matches, .. } = &driver.manifest;
        if let Some(entry) = self.0.get_mut(driver.name.as_str()).filter(|_| !keymap.is_empty()) {
            entry.keymap = keymap.clone();
            entry.keyboards.extend(matches.iter().map(keyboard));
        }
    }

    fn add(&mut self, driver: &DriverObject, pattern: String) {
        let new = || Entry { device: driver.manifest.device.clone(), ..Entry::default() };
        self.0.entry(driver.name.to_string()).or_insert_with(new).patterns.insert(pattern);
    }

    /// Returns the union with other entries.
    #[must_use]
    pub fn and(mut self, others: Entries) -> Entries {
        for (name, Entry { device, patterns, keyboards, keymap }) in others.0 {
            let own = self.0.entry(name).or_insert_with(|| Entry { device, ..Entry::default() });
            own.patterns.extend(patterns);
            own.keyboards.extend(keyboards);
            own.keymap.0.extend(keymap.0);
        }
        self
    }

    /// Returns whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns each driver with each of its globs.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|(name, entry)| entry.patterns.iter().map(|pattern| (name.as_str(), pattern.as_str())))
    }

    /// Returns the text of the file.
    pub fn to_text(&self) -> String {
        let mut text = String::from("# Made by `hidbpf` from drivers and configuration; changes are lost.\n");
        for (name, Entry { device, patterns, keyboards, keymap }) in &self.0 {
            let property = name.to_uppercase().replace('-', "_");
            // Writing to a String can't fail.
            let _ = write!(text, "\n# {device}\n");
            for pattern in patterns {
                let _ = writeln!(text, "{PREFIX}{pattern}");
            }
            let _ = write!(text, " {PROPERTY}=1\n {DRIVER_PROPERTY}{property}={name}\n");
            if !keymap.is_empty() {
                let keyboards: Vec<&str> = keyboards.iter().map(String::as_str).collect();
                let _ = write!(text, "\n{}\n{}", keyboards.join("\n"), keymap.hwdb_lines());
            }
        }
        text
    }

    /// Parses the text of a file that [`Entries::to_text`] wrote. Ignores other lines, and keymaps.
    pub fn of_text(text: &str) -> Entries {
        let mut entries = Entries::default();
        let mut patterns = BTreeSet::new();
        let mut in_values = false;
        for line in text.lines() {
            if let Some(pattern) = line.strip_prefix(PREFIX) {
                if in_values {
                    patterns.clear();
                }
                in_values = false;
                patterns.insert(pattern.trim_end().to_owned());
            } else if let Some(value) = line.strip_prefix(' ') {
                in_values = true;
                let name = value.strip_prefix(DRIVER_PROPERTY).and_then(|rest| rest.split_once('='));
                if let Some(name) = name.and_then(|(_, name)| DriverName::new(name.trim_end()).ok()) {
                    entries.0.entry(name.to_string()).or_default().patterns.extend(patterns.iter().cloned());
                }
            } else if line.is_empty() {
                patterns.clear();
            }
        }
        entries
    }
}

/// Returns the drivers that udev found in its hwdb.
///
/// udev passes a device's properties to the programs that it starts as environment variables.
pub fn named(environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<DriverName> {
    let names = environment.into_iter().filter_map(|(key, value)| {
        let is_ours = key.as_encoded_bytes().starts_with(DRIVER_PROPERTY.as_bytes());
        is_ours.then(|| DriverName::new(value.to_str()?).ok()).flatten()
    });
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns a glob for the modaliases, or the names, that a rule allows.
///
/// The udev rules look up both. No name begins like a modalias.
fn pattern(rule: &Match) -> String {
    match rule.ids_from {
        IdsFrom::Modalias => glob(rule.bus, rule.group, rule.vendor, rule.product),
        IdsFrom::Name => {
            let part = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| format!("{number:04X}"));
            let bus = part(rule.bus.map(|bus| bus.0.into()));
            let (vendor, product) = (rule.vendor.map(|vendor| vendor.0), rule.product.map(|product| product.0));
            format!("{bus}:{}:{}.*", part(vendor), part(product))
        }
    }
}

/// Returns a glob for the input devices of the devices that a rule allows, as udev's 60-evdev.rules looks them up.
///
/// Their ids have 16 bits (`struct input_id`, include/uapi/linux/input.h).
fn keyboard(rule: &Match) -> String {
    let part = |tag: char, number: Option<u32>| match number {
        Some(number) => format!("{tag}{:04X}", number & 0xffff),
        None => format!("{tag}*"),
    };
    let bus = part('b', rule.bus.map(|bus| bus.0.into()));
    let vendor = part('v', rule.vendor.map(|vendor| vendor.0));
    format!("evdev:input:{bus}{vendor}{}*", part('p', rule.product.map(|product| product.0)))
}

fn glob(bus: Option<Bus>, group: Option<Group>, vendor: Option<VendorId>, product: Option<ProductId>) -> String {
    let part = |tag: char, number: Option<u32>, digits: usize| match number {
        Some(number) => format!("{tag}{number:0digits$X}"),
        None => format!("{tag}*"),
    };
    [
        "hid:".to_owned(),
        part('b', bus.map(|bus| bus.0.into()), 4),
        part('g', group.map(|group| group.0.into()), 4),
        part('v', vendor.map(|vendor| vendor.0), 8),
        part('p', product.map(|product| product.0), 8),
    ]
    .concat()
}

/// Returns a modalias that a glob allows, to query a compiled database.
pub fn example(pattern: &str) -> String {
    pattern.replace('*', "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_leaves_out_is_any() {
        let rule = Match { bus: Some(Bus::USB), vendor: Some(VendorId(0x256c)), ..Match::default() };
        assert_eq!(pattern(&rule), "hid:b0003g*v0000256Cp*");
        assert_eq!(example(&pattern(&rule)), "hid:b0003g0v0000256Cp0");
        let rule = Match { ids_from: IdsFrom::Name, ..rule };
        assert_eq!(pattern(&rule), "0003:256C:*.*");
    }

    #[test]
    fn a_keymap_has_entries_of_its_own() {
        let rule = Match {
            bus: Some(Bus::USB),
            vendor: Some(VendorId(0x256c)),
            product: Some(ProductId(0x66)),
            ..Match::default()
        };
        assert_eq!(keyboard(&rule), "evdev:input:b0003v256Cp0066*");
        assert_eq!(keyboard(&Match { bus: None, ..rule.clone() }), "evdev:input:b*v256Cp0066*");
        let entry = Entry {
            device: "A".to_owned(),
            patterns: [pattern(&rule)].into(),
            keyboards: [keyboard(&rule)].into(),
            keymap: toml::from_str("0x70039 = \"leftctrl\"\n").unwrap(),
        };
        let entries = Entries([("a".to_owned(), entry.clone()), ("b".to_owned(), entry)].into());
        let text = entries.to_text();
        let lines = "\n HIDBPF=1\n HIDBPF_DRIVER_A=a\n\nevdev:input:b0003v256Cp0066*\n KEYBOARD_KEY_70039=leftctrl\n\n# A\nhidbpf:hid";
        assert!(text.contains(lines), "{text}");
        assert!(Entries::of_text(&text).pairs().eq(entries.pairs()));
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let one = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let entry = |patterns: &[&str]| Entry { patterns: one(patterns), ..Entry::default() };
        let entries = Entries(BTreeMap::from([
            ("a-b".to_owned(), entry(&["hid:b0003g*v1p2", "hid:b0005g*v1p2"])),
            ("c".to_owned(), entry(&["hid:b0003g*v1p2"])),
        ]));
        let text = entries.to_text();
        assert!(text.contains("hidbpf:hid:b0005g*v1p2\n HIDBPF=1\n HIDBPF_DRIVER_A_B=a-b\n"), "{text}");
        assert_eq!(Entries::of_text(&text), entries);
        assert_eq!(Entries::of_text("usb:v1\n X=1\n"), Entries::default());
        assert_eq!(Entries::of_text("hidbpf:hid:b1\n HIDBPF_DRIVER_X=X=x\n"), Entries::default());
        assert_eq!(entries.clone().and(Entries::of_text(&text)), entries);
    }
}
