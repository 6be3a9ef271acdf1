//! The drivers that are installed, and for each device which of them match, by which rule, and why the others do not.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;

use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{BytesAt, DriverName, Manifest, Match, Sha256};
use crate::object::DriverObject;
use crate::system::{OBJECT_SUFFIX, System};
use crate::text::Hex;
use crate::text::Printable;

/// The installed drivers.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The drivers in the order of their names. Of two with one name, only the one of the earlier directory.
    pub drivers: Vec<DriverObject>,
    /// Objects that could not be read.
    pub problems: Vec<Error>,
}

impl Catalog {
    /// Reads all drivers of the system's directories. What can't be read is in [`Catalog::problems`].
    pub fn read(system: &System) -> Catalog {
        Catalog::read_each(system, DriverObject::read)
    }

    /// The same, of objects that nobody but root can have put there: [`DriverObject::read_trusted`].
    pub fn read_trusted(system: &System) -> Catalog {
        Catalog::read_each(system, DriverObject::read_trusted)
    }

    fn read_each(system: &System, read: fn(&Path) -> Result<DriverObject>) -> Catalog {
        let mut found: BTreeMap<DriverName, DriverObject> = BTreeMap::new();
        let mut problems = Vec::new();
        for dir in &system.driver_dirs {
            let entries = match fs::read_dir(dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let what = format!("failed to list the drivers in `{}`", dir.display());
                    problems.push(Error::because(ErrorKind::Io, what, error));
                    continue;
                }
            };
            let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                match read_named(&path, read) {
                    Some(Ok(driver)) => {
                        found.entry(driver.name.clone()).or_insert(driver);
                    }
                    Some(Err(error)) => problems.push(error),
                    None => {}
                }
            }
        }
        Catalog { drivers: found.into_values().collect(), problems }
    }

    /// The driver of a name.
    ///
    /// # Errors
    /// There is none; the error names what comes near.
    pub fn get(&self, name: &str) -> Result<&DriverObject> {
        self.drivers.iter().find(|driver| driver.name.as_str() == name).ok_or_else(|| {
            let near: Vec<&str> = self
                .drivers
                .iter()
                .map(|driver| driver.name.as_str())
                .filter(|known| name.split('-').any(|part| part.len() > 2 && known.contains(part)))
                .collect();
            let hint = match (near.as_slice(), self.drivers.is_empty()) {
                (_, true) => "no drivers are installed; `--drivers DIR` names a directory of drivers".to_owned(),
                ([], _) => "`hidbpf drivers` lists the drivers".to_owned(),
                (near, _) => format!("did you mean {}? `hidbpf drivers` lists all", near.join(" or ")),
            };
            Error::new(ErrorKind::NoDriver, format!("there is no driver `{}`", Printable(name))).with_hint(hint)
        })
    }
}

/// Reads the driver in a file of a drivers' directory, which is called by its name, so that udev's events find it. `None` for a file that is
/// something else.
fn read_named(path: &Path, read: fn(&Path) -> Result<DriverObject>) -> Option<Result<DriverObject>> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let misnamed = |what: String, name: &str| {
        let hint = format!("rename it: `{name}{OBJECT_SUFFIX}`");
        Error::new(ErrorKind::BadObject, format!("`{}` is passed over: {what}", path.display())).with_hint(hint)
    };
    let Some(stem) = name.strip_suffix(OBJECT_SUFFIX) else {
        let what = || format!("a driver's file has a name that ends with `{OBJECT_SUFFIX}`");
        return name.strip_suffix(".o").map(|stem| Err(misnamed(what(), stem)));
    };
    Some(read(path).and_then(|driver| {
        if driver.name.as_str() == stem {
            return Ok(driver);
        }
        Err(misnamed(format!("the driver in it is called `{}`", driver.name), driver.name.as_str()))
    }))
}

/// Whether a driver is for a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is, by this rule.
    Matches {
        /// The rule's label, or its number.
        rule: String,
    },
    /// Vendor and product fit, and something else does not.
    NearMiss {
        /// Each rule that came near.
        rules: Vec<Miss>,
    },
    /// It is not.
    No,
}

/// A rule that a device nearly meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// The rule's label, or its number.
    pub rule: String,
    /// What does not fit.
    pub reasons: Vec<String>,
}

/// Looks whether a driver is for a device. The device must have its own descriptor, not one that a driver has fixed.
pub fn judge(manifest: &Manifest, device: &Device) -> Verdict {
    let missing = manifest.fields.iter().filter(|field| field.find(&device.rdesc).is_none());
    let missing: Vec<String> = missing.map(|field| format!("its descriptor does not have {field}")).collect();
    let mut near = Vec::new();
    for (index, rule) in manifest.matches.iter().enumerate() {
        let name = rule.name(index);
        let mut reasons = reasons_against(rule, device);
        reasons.extend_from_slice(&missing);
        if reasons.is_empty() {
            return Verdict::Matches { rule: name };
        }
        let same = rule.vendor.is_none_or(|vendor| vendor == device.modalias.vendor)
            && rule.product.is_none_or(|product| product == device.modalias.product);
        if same && (rule.vendor.is_some() || rule.product.is_some()) {
            near.push(Miss { rule: name, reasons });
        }
    }
    if near.is_empty() { Verdict::No } else { Verdict::NearMiss { rules: near } }
}

/// All that a rule asks for and a device does not have.
fn reasons_against(rule: &Match, device: &Device) -> Vec<String> {
    let mut reasons = Vec::new();
    let ids = &device.modalias;
    let mut differ = |what: &str, found: String, expected: String| {
        if found != expected {
            reasons.push(format!("its {what} is {found}, expected {expected}"));
        }
    };
    if let Some(bus) = rule.bus {
        differ("bus", ids.bus.to_string(), bus.to_string());
    }
    if let Some(group) = rule.group {
        differ("group", ids.group.to_string(), group.to_string());
    }
    if let Some(vendor) = rule.vendor {
        differ("vendor", ids.vendor.to_string(), vendor.to_string());
    }
    if let Some(product) = rule.product {
        differ("product", ids.product.to_string(), product.to_string());
    }
    if let Some(size) = rule.rdesc_size {
        differ("descriptor's size", device.rdesc.len().to_string(), size.to_string());
    }
    if let Some(expected) = &rule.rdesc_sha256 {
        let found = Sha256::of(&device.rdesc);
        differ("descriptor's SHA-256", found.to_string(), expected.to_string());
    }
    if let Some(interface) = rule.interface {
        let found = device.interface.map_or_else(|| "none".to_owned(), |number| number.to_string());
        differ("USB interface", found, interface.to_string());
    }
    for BytesAt { offset, bytes } in &rule.rdesc_bytes {
        let start = *offset as usize;
        let found = device.rdesc.get(start..start + bytes.0.len());
        if found != Some(&bytes.0) {
            let found = found.map_or_else(|| "not there".to_owned(), |found| Hex(found).to_string());
            reasons.push(format!("byte {offset} of its descriptor is {found}, expected {bytes}"));
        }
    }
    if let Some(pattern) = &rule.name
        && !fits(pattern, &device.hid_name)
    {
        reasons.push(format!("its name is `{}`, expected `{pattern}`", Printable(&device.hid_name)));
    }
    if let Some(property) = &rule.property {
        match device.property(&property.name) {
            Some(value) if fits(&property.value, &value) => {}
            Some(value) => reasons.push(format!(
                "its udev property {} is `{}`, expected `{}`",
                property.name,
                Printable(&value),
                property.value
            )),
            None => reasons.push(format!("it has no udev property {}, expected `{}`", property.name, property.value)),
        }
    }
    reasons
}

/// Whether a text fits a pattern in which `*` stands for any text.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_a_field_is_none_of_the_drivers() {
        let manifest = r#"
            device = "Touchpads"
            before = "Nothing is known."
            after = "The pad's type is."
            kind = "fix"
            status = "testing"
            [[field]]
            name = "pad-type"
            report = "feature"
            usage-page = 0x0d
            usage = 0x59
            [[match]]
            group = "multitouch-win-8"
            [[match]]
            vendor = 0x1d6b
        "#;
        let manifest = Manifest::parse(Path::new("driver.toml"), manifest).unwrap();
        let device = |modalias: &str, rdesc: &[u8]| {
            let mut device = Device::example(modalias.parse().unwrap(), "", "");
            device.rdesc = rdesc.to_vec();
            device
        };
        let rdesc = [0x05, 0x0d, 0x75, 0x04, 0x95, 0x01, 0x09, 0x59, 0xb1, 0x02];
        let matches = |rule: &str| Verdict::Matches { rule: rule.to_owned() };
        for (modalias, rdesc, verdict) in [
            ("hid:b0018g0004v000027C6p00000D42", &rdesc[..], matches("rule 1")),
            ("hid:b0003g0001v00001D6Bp00000001", &rdesc, matches("rule 2")),
            ("hid:b0003g0001v000027C6p00000D42", &rdesc, Verdict::No),
            ("hid:b0018g0004v000027C6p00000D42", &rdesc[..8], Verdict::No),
        ] {
            assert_eq!(judge(&manifest, &device(modalias, rdesc)), verdict, "{modalias}");
        }
        let Verdict::NearMiss { rules } = judge(&manifest, &device("hid:b0003g0001v00001D6Bp00000001", &[])) else {
            panic!("it is no near miss");
        };
        assert_eq!(rules[0].reasons, ["its descriptor does not have a feature field with the usage 000D:0059"]);
    }

    #[test]
    fn patterns_stand_for_texts() {
        for (pattern, text, expected) in [
            ("HUION_T21j_*", "HUION_T21j_240101", true),
            ("HUION_T21j_*", "HUION_T21k_240101", false),
            ("*", "", true),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "a--c--b", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*ly", "exactly", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
