//! `driver.toml`: the only source of information about a driver's devices and options.
//!
//! The build reads the manifest from a driver's folder. All other code reads it from the section [`SECTION`] of the
//! built object. Unknown keys are errors. Each error names the file, line and column, and the expected value.

pub mod curve;
pub mod exports;
pub mod fields;
pub mod keymap;
pub mod machine;
pub mod maps;
pub mod options;
pub mod order;
mod rules;
pub mod values;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ids::{Bus, VendorId};
use crate::manifest::exports::Export;
use crate::manifest::fields::DriverField;
use crate::manifest::keymap::Keymap;
use crate::manifest::maps::DriverMap;
use crate::manifest::options::{DriverOption, Type};
use crate::manifest::order::Order;
use crate::manifest::rules::expand;
pub use crate::manifest::rules::{BytesAt, Digest, Fingerprint, IdsFrom, KernelDrivers, Match, PropertyRule, Sha256};
use crate::mode_switch::declaration::ModeSwitch;
use crate::names::DriverName;

/// The ELF section of an object that holds its manifest. It is not allocated, and libbpf ignores it.
pub const SECTION: &str = ".hidbpf.manifest";

/// The version of the format of [`SECTION`].
pub const FORMAT: u32 = 7;

/// The format without options that are tables or texts, [`Manifest::mode_switch`], [`Manifest::maps`],
/// [`Manifest::keymap`] and [`Match::machine`].
///
/// An object gets the lowest format that has all of its keys, so that older releases accept it.
const WITHOUT_TABLES: u32 = 6;

/// The format that also lacks [`Manifest::any_device`].
const WITHOUT_ANY_DEVICE: u32 = 5;

/// The format that also lacks [`Match::kernel_driver`], [`Match::not_kernel_driver`] and [`Match::ids_from`].
const WITHOUT_KERNEL_DRIVERS: u32 = 4;

/// The format that also lacks fields and exports.
const WITHOUT_FIELDS: u32 = 3;

/// The header of an option in `driver.toml`.
const OPTION_HEADER: &str = "[[option]]";

/// The contents of a driver's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// The device, as its owner would call it: "FR-TEC Raptor Mach 2".
    pub device: String,
    /// The device's behavior without the driver. For a fix, this is the defect.
    pub before: String,
    /// The device's behavior with the driver.
    pub after: String,
    /// Whether the driver fixes a defect or serves a preference.
    pub kind: Kind,
    /// The maturity of the driver.
    pub status: Status,
    /// Kernel features that the driver can't work without. Default: none, so that both generations suffice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Requirement>,
    /// The position of its hooks among those of other drivers on the same device.
    #[serde(default, skip_serializing_if = "Order::is_last")]
    pub order: Order,
    /// The options that users can set.
    #[serde(rename = "option", default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<DriverOption>,
    /// The report fields that the programs read. The driver matches only devices that have all of these fields.
    #[serde(rename = "field", default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<DriverField>,
    /// The udev properties that the setup sets on the device.
    #[serde(rename = "export", default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    /// The requests that make a USB device send what the driver is for, and tell what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode_switch: Option<ModeSwitch>,
    /// The keycodes that udev gives the device's scan codes.
    #[serde(default, skip_serializing_if = "Keymap::is_empty")]
    pub keymap: Keymap,
    /// The maps that other programs may open.
    #[serde(rename = "map", default, skip_serializing_if = "Vec::is_empty")]
    pub maps: Vec<DriverMap>,
    /// Whether the manifest declares changes of descriptors. Only the build reads them.
    #[serde(rename = "descriptor", default, skip_serializing)]
    pub descriptor: Declared,
    /// Whether the manifest declares rules for reports. Only the build reads them.
    #[serde(rename = "report", default, skip_serializing)]
    pub report: Declared,
    /// Whether the driver, a preference, suits any device that a user chooses. Then it has no match rules.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_device: bool,
    /// The match rules for devices or their interfaces. One of them must apply.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
}

/// Whether a part of the manifest is there that only the build reads: the crate `hidbpf-declare`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Declared(pub bool);

impl<'de> Deserialize<'de> for Declared {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Declared(true))
    }
}

/// Whether a driver fixes a defect or serves a preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Every owner of the device wants it. udev attaches it when the device appears.
    Fix,
    /// Some owners want it. Attached only at the user's request.
    Preference,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Fix => "fix",
            Kind::Preference => "preference",
        })
    }
}

/// The maturity of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Known to work on the device itself.
    Stable,
    /// Written from known facts about the device. Needs reports from its owners.
    Testing,
    /// Demonstrates how to write a driver. Attached only at the user's request.
    Example,
    /// Unknown: the object was not made for hidbpf. See [`crate::driver::foreign`]. No `driver.toml` can say it.
    #[serde(skip_deserializing)]
    Foreign,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Stable => "stable",
            Status::Testing => "testing",
            Status::Example => "example",
            Status::Foreign => "foreign",
        })
    }
}

/// A feature that only some kernels have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// Hooks or kfuncs that Linux 6.11 introduced with `struct hid_bpf_ops`.
    StructOps,
}

/// The contents of [`SECTION`], as JSON. Authors write TOML because it is easier to read; programs parse JSON faster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedded {
    /// [`FORMAT`], or an older format that has all of the manifest's keys.
    pub format: u32,
    /// The driver's name, which is that of its folder.
    pub name: DriverName,
    /// The checksum of the object's sections, with zeros in place of itself.
    ///
    /// It reveals a damaged object before the kernel reads it. See [`crate::driver::object::write_fingerprint`].
    #[serde(rename = "seal")]
    pub fingerprint: Fingerprint,
    /// The manifest.
    pub driver: Manifest,
}

/// The error for an invalid manifest, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The file.
    pub path: PathBuf,
    /// Line and column, both counted from 1, if known.
    pub position: Option<(usize, usize)>,
    /// The problem and the expected value.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for ManifestError {}

impl ManifestError {
    fn from_toml(path: &Path, text: &str, error: &toml::de::Error) -> ManifestError {
        ManifestError {
            path: path.to_owned(),
            position: error.span().map(|span| position(text, span.start)),
            message: error.message().replace('\n', " "),
        }
    }

    fn at(path: &Path, text: &str, needle: &str, message: String) -> ManifestError {
        ManifestError {
            path: path.to_owned(),
            position: text.find(needle).map(|offset| position(text, offset)),
            message,
        }
    }
}

/// Returns the line and column of a byte offset, both counted from 1.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

impl Manifest {
    /// Parses the text of a `driver.toml`. `path` is used only in errors.
    ///
    /// # Errors
    /// The text is not valid TOML, or has an unknown key or a wrong type. Or it has no `[[match]]`, or a rule that no
    /// device can meet.
    pub fn parse(path: &Path, text: &str) -> Result<Manifest, ManifestError> {
        let mut manifest: Manifest =
            toml::from_str(text).map_err(|error| ManifestError::from_toml(path, text, &error))?;
        manifest.matches =
            expand(manifest.matches).map_err(|(needle, message)| ManifestError::at(path, text, &needle, message))?;
        manifest.check_options().map_err(|(index, needle, message)| {
            // The keys of an option follow its own header.
            let start = text.match_indices(OPTION_HEADER).nth(index).map_or(0, |(start, _)| start);
            let offset = text[start..].find(needle).map_or(start, |offset| start + offset);
            ManifestError { path: path.to_owned(), position: Some(position(text, offset)), message }
        })?;
        manifest.check().map_err(|(needle, message)| ManifestError::at(path, text, needle, message))?;
        Ok(manifest)
    }

    /// Reads `driver.toml` from a file.
    ///
    /// # Errors
    /// As for [`Manifest::parse`], and also if the file can't be read.
    pub fn read(path: &Path) -> Result<Manifest, ManifestError> {
        let text = std::fs::read_to_string(path).map_err(|error| ManifestError {
            path: path.to_owned(),
            position: None,
            message: format!("failed to read the manifest: {error}"),
        })?;
        Manifest::parse(path, &text)
    }

    /// Checks the options. An error has the option's index, and a text to search for in its part of the manifest.
    fn check_options(&self) -> Result<(), (usize, &'static str, String)> {
        for (index, option) in self.options.iter().enumerate() {
            option.check().map_err(|(needle, message)| (index, needle, message))?;
            if self.options[..index].iter().any(|other| other.name == option.name) {
                return Err((index, OPTION_HEADER, format!("there are two options `{}`", option.name)));
            }
        }
        Ok(())
    }

    /// Checks the constraints that the types can't express.
    ///
    /// The first part of an error is a text to search for, to find the line.
    fn check(&self) -> Result<(), (&'static str, String)> {
        for (key, value) in [("device", &self.device), ("before", &self.before), ("after", &self.after)] {
            if value.trim().is_empty() || value.chars().any(char::is_control) {
                return Err((key, format!("`{key}` must be one line of text that is not empty")));
            }
        }
        for (index, field) in self.fields.iter().enumerate() {
            field.check()?;
            if self.fields[..index].iter().any(|other| other.name == field.name) {
                return Err(("[[field]]", format!("there are two fields `{}`", field.name)));
            }
        }
        for (index, export) in self.exports.iter().enumerate() {
            export.check()?;
            if self.exports[..index].iter().any(|other| other.property == export.property) {
                return Err(("[[export]]", format!("there are two exports `{}`", export.property)));
            }
        }
        self.check_mode_switch().map_err(|message| ("mode-switch", message))?;
        for (index, map) in self.maps.iter().enumerate() {
            map.check()?;
            if self.maps[..index].iter().any(|other| other.name == map.name) {
                return Err(("[[map]]", format!("there are two maps `{}`", map.name)));
            }
        }
        match (self.any_device, self.matches.is_empty()) {
            (false, true) => {
                return Err(("match", "no `[[match]]`: a driver must say which devices it is for".to_owned()));
            }
            (true, false) => {
                return Err((
                    "[[match]]",
                    "unexpected `[[match]]`: `any-device` already matches every device".to_owned(),
                ));
            }
            (true, true) if self.kind != Kind::Preference => {
                let message =
                    "invalid `any-device`: udev would attach the driver to every device; make it a preference";
                return Err(("any-device", message.to_owned()));
            }
            _ => {}
        }
        // udev knows the keyboard only by these.
        let has_ids = |rule: &Match| rule.vendor.is_some() && rule.product.is_some();
        if !self.keymap.is_empty() && (self.any_device || !self.matches.iter().all(has_ids)) {
            let message = "a `[keymap]` needs `vendor` and `product` in each `[[match]]`".to_owned();
            return Err(("[keymap]", message));
        }
        for rule in &self.matches {
            rule.check()?;
        }
        Ok(())
    }

    /// Checks that the mode switch is only for certain ids, and harmless for them.
    fn check_mode_switch(&self) -> Result<(), String> {
        let Some(switch) = &self.mode_switch else { return Ok(()) };
        let is_precise = |rule: &Match| rule.bus.is_some_and(|bus| bus != Bus::USB) || rule.is_usb_model();
        if self.any_device || !self.matches.iter().all(is_precise) {
            let message = "a driver with a mode switch needs `bus`, `vendor` and `product` in each `[[match]]`: no other \
                           device may receive its requests";
            return Err(message.to_owned());
        }
        let vendors: Vec<VendorId> = self.matches.iter().filter_map(|rule| rule.vendor).collect();
        switch.check(&vendors)?;
        let Some(name) = &switch.option else { return Ok(()) };
        match self.option(name) {
            Some(option) if option.kind == Type::Bool && option.reattach => Ok(()),
            _ => Err(format!("the mode switch needs an option `{name}` of type \"bool\" with `reattach = true`")),
        }
    }

    /// Returns the option with a name.
    pub fn option(&self, name: &str) -> Option<&DriverOption> {
        self.options.iter().find(|option| option.name == name)
    }

    /// Returns the index of the match rule with a name, which is its label or its number.
    pub fn rule_index(&self, name: Option<&str>) -> Option<u32> {
        let mut rules = self.matches.iter().enumerate();
        rules.position(|(index, rule)| Some(rule.name(index).as_str()) == name).map(|index| index as u32)
    }

    /// Returns whether udev attaches the driver automatically.
    pub fn is_automatic(&self) -> bool {
        self.kind == Kind::Fix && self.status != Status::Example
    }
}

impl Embedded {
    /// Creates the contents for an object whose fingerprint is not written yet.
    pub fn new(name: DriverName, driver: Manifest) -> Embedded {
        let has_new_key = |rule: &Match| {
            !rule.kernel_driver.is_empty() || !rule.not_kernel_driver.is_empty() || rule.ids_from != IdsFrom::default()
        };
        let is_new = |option: &DriverOption| matches!(option.kind, Type::Table | Type::Text);
        let is_newest = driver.mode_switch.is_some()
            || driver.options.iter().any(is_new)
            || !driver.maps.is_empty()
            || !driver.keymap.is_empty()
            || driver.matches.iter().any(|rule| rule.machine.is_some());
        let format = if is_newest {
            FORMAT
        } else if driver.any_device {
            WITHOUT_TABLES
        } else if driver.matches.iter().any(has_new_key) {
            WITHOUT_ANY_DEVICE
        } else if driver.fields.is_empty() && driver.exports.is_empty() {
            WITHOUT_FIELDS
        } else {
            WITHOUT_KERNEL_DRIVERS
        };
        Embedded { format, name, fingerprint: Fingerprint::UNSET, driver }
    }

    /// Returns the bytes of [`SECTION`].
    ///
    /// # Errors
    /// The manifest can't be written as JSON.
    pub fn to_section(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// Parses the bytes of [`SECTION`]. `path` is the object and is used only in errors.
    ///
    /// # Errors
    /// The bytes are not a manifest, or it has a newer format.
    pub fn from_section(path: &Path, section: &[u8]) -> Result<Embedded, ManifestError> {
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let refuse = |message: String| ManifestError { path: path.to_owned(), position: None, message };
        let damaged = |error: serde_json::Error| refuse(format!("the section `{SECTION}`: {error}"));
        let whole = serde_json::from_slice::<Embedded>(section);
        let format = match &whole {
            Ok(embedded) => embedded.format,
            // For another format, unknown or different keys are expected, so only its number is reported.
            Err(_) => serde_json::from_slice::<Version>(section).map_err(damaged)?.format,
        };
        if !(WITHOUT_FIELDS..=FORMAT).contains(&format) {
            return Err(refuse(format!(
                "the driver has a manifest of format {format}, and this hidbpf reads formats {WITHOUT_FIELDS} to {FORMAT}; update hidbpf or rebuild the driver"
            )));
        }
        let embedded = whole.map_err(damaged)?;
        let checked = embedded.driver.check_options().map_err(|(_, _, message)| message);
        let checked = checked.and_then(|()| embedded.driver.check().map_err(|(_, message)| message));
        checked.map_err(|message| refuse(format!("the section `{SECTION}`: {message}")))?;
        Ok(embedded)
    }
}

#[cfg(test)]
mod tests {
    use hidbpf_descriptor::HexBytes;

    use super::*;
    use crate::ids::ProductId;
    use crate::manifest::machine::MachineRule;

    const GOOD: &str = r#"
device = "FR-TEC Raptor Mach 2"
before = "The hat switch does nothing."
after = "The hat switch works."
kind = "fix"
status = "stable"

[[match]]
bus = "usb"
group = "generic"
vendor = 0x11c0
product = 0x5606
rdesc-size = 232
rdesc-bytes = [{ offset = 177, bytes = "ef" }]
"#;

    const ANY: &str = r#"
device = "Any"
before = "It is."
after = "It is."
kind = "preference"
status = "stable"
any-device = true
"#;

    const TABLE: &str = "[[option]]\nname = \"fast\"\ntype = \"bool\"\ndefault = true\ndescription = \"Fast.\"\n\n[[option]]\nname = \"curve\"\ntype = \"table\"\ninputs = [0, 64]\nsize = 65\nmin = -1\nmax = 9\ndefault = [[0, 0], [64, 9]]\ndescription = \"A curve.\"\n";
    const SWITCH: &str = "[mode-switch]\nsteps = [{ string = 200, min-size = 18, property = \"BYTES\" }]\n";

    /// Dangerous steps are refused when a driver is built, and again when udev's helper reads an object.
    #[test]
    fn a_mode_switch_is_for_certain_models_and_harmless_for_them() {
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        for gone in ["bus = \"usb\"\n", "vendor = 0x11c0\n", "product = 0x5606\n"] {
            let error = refused(&format!("{}{SWITCH}", GOOD.replace(gone, "")));
            assert!(error.contains("needs `bus`, `vendor` and `product`"), "{error}");
        }
        let bluetooth = format!("{GOOD}[[match]]\nbus = \"bluetooth\"\nvendor = 1\n{SWITCH}");
        let embedded = Embedded::new(DriverName::new("x").unwrap(), parse(&bluetooth).unwrap());
        let section = String::from_utf8(embedded.to_section().unwrap()).unwrap();
        assert!(refused(&format!("{}{SWITCH}", GOOD.replace("0x11c0", "0x28bd"))).contains("reads the string 200"));
        let forged = section.replace("\"vendor\":4544", "\"vendor\":10429");
        assert_ne!(forged, section);
        let error = Embedded::from_section(Path::new("x.bpf.o"), forged.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("reads the string 200"), "{error}");
        let option = SWITCH.replace("]\nsteps", "]\noption = \"raw\"\nsteps");
        assert!(refused(&format!("{GOOD}{option}")).contains("needs an option `raw`"));
        let declared = "[[option]]\nname = \"raw\"\ntype = \"bool\"\ndefault = true\ndescription = \"It is.\"\n";
        assert!(refused(&format!("{GOOD}{option}{declared}")).contains("needs an option `raw`"));
        parse(&format!("{GOOD}{option}{declared}reattach = true\n")).unwrap();
    }

    fn parse(text: &str) -> Result<Manifest, ManifestError> {
        Manifest::parse(Path::new("driver.toml"), text)
    }

    #[test]
    fn a_driver_for_any_device_has_no_rules_and_waits_to_be_asked_for() {
        assert!(!parse(ANY).unwrap().is_automatic());
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        let rules = format!("{ANY}\n[[match]]\nbus = \"usb\"\n");
        assert!(refused(&rules).contains("unexpected `[[match]]`"), "{}", refused(&rules));
        let fix = ANY.replace("preference", "fix");
        assert!(refused(&fix).contains("invalid `any-device`"), "{}", refused(&fix));
        let none = ANY.replace("any-device = true", "any-device = false");
        assert!(refused(&none).contains("no `[[match]]`"), "{}", refused(&none));
    }

    #[test]
    fn a_good_manifest_is_read_and_survives_embedding() {
        let manifest = parse(GOOD).unwrap();
        assert_eq!(manifest.matches[0].vendor, Some(VendorId(0x11c0)));
        assert_eq!(manifest.matches[0].rdesc_bytes[0].bytes, HexBytes(vec![0xef]));
        assert!(manifest.is_automatic());
        let field = "[[field]]\nname = \"x\"\nreport = \"input\"\nusage-page = 1\nusage = 0x30\n";
        let with_field = parse(&format!("{GOOD}{field}")).unwrap();
        let bound = parse(&format!("{GOOD}not-kernel-driver = \"uclogic\"\n")).unwrap();
        let by_name = parse(&format!("{GOOD}ids-from = \"name\"\n{field}")).unwrap();
        for (manifest, format) in [
            (manifest, WITHOUT_FIELDS),
            (with_field, WITHOUT_KERNEL_DRIVERS),
            (bound, WITHOUT_ANY_DEVICE),
            (by_name, WITHOUT_ANY_DEVICE),
            (parse(ANY).unwrap(), WITHOUT_TABLES),
            (parse(&format!("{ANY}{TABLE}")).unwrap(), FORMAT),
            (parse(&format!("{GOOD}{SWITCH}")).unwrap(), FORMAT),
            (parse(&format!("{GOOD}machine.board = \"*\"\n")).unwrap(), FORMAT),
            (parse(&format!("{GOOD}[keymap]\n0x70039 = \"leftctrl\"\n")).unwrap(), FORMAT),
        ] {
            let embedded = Embedded::new(DriverName::new("frtec-raptor-mach-2").unwrap(), manifest);
            assert_eq!(embedded.format, format);
            let section = embedded.to_section().unwrap();
            assert_eq!(Embedded::from_section(Path::new("x.bpf.o"), &section).unwrap(), embedded);
        }
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        for (from, to, place, words) in [
            ("kind =", "knid =", "driver.toml:5:1", "unknown field `knid`, expected one of"),
            ("\"fix\"", "\"fxi\"", "driver.toml:5:8", "unknown variant `fxi`, expected `fix` or `preference`"),
            ("0x11c0", "\"11c0\"", "driver.toml:11:10", "expected a vendor: a number up to 0xffffffff"),
            ("0x11c0", "-1", "driver.toml:11:10", "expected a vendor"),
            (
                "\"usb\"",
                "\"usbb\"",
                "driver.toml:9:7",
                "expected a bus: \"usb\", \"bluetooth\", \"virtual\", \"i2c\", or a number up to 0xffff",
            ),
            ("rdesc-size = 232", "rdesc-size = 5000", "driver.toml:13:1", "a report descriptor has 1 to 4096 bytes"),
            ("offset = 177", "offset = 232", "driver.toml:14:1", "outside of a descriptor of 232 bytes"),
            ("\"ef\"", "\"e\"", "driver.toml:14:40", "bytes in hex"),
            ("device = \"FR-TEC Raptor Mach 2\"\n", "", "driver.toml:1:1", "missing field `device`"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let error = parse(&GOOD.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with(place) && error.contains(words), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn a_mistake_of_an_option_is_found_in_that_option() {
        for (from, to, place, words) in [
            (
                "[[0, 0], [64, 9]]",
                "[[0, 0], [64, 10]]",
                "driver.toml:21:1",
                "invalid point 2 (64:10): y must be from -1 to 9",
            ),
            ("[[0, 0], [64, 9]]", "[[64, 0], [0, 9]]", "driver.toml:21:1", "invalid point 2 (0:9): x must be higher"),
            ("[[0, 0], [64, 9]]", "[[0, 0, 1]]", "driver.toml:21:11", "expected true, false"),
            ("size = 65", "size = 64", "driver.toml:14:1", "not divided by 64 values into equal steps"),
            ("size = 65\n", "", "driver.toml:14:1", "needs `inputs`, `size`"),
            ("inputs = [0, 64]", "inputs = [0]", "driver.toml:17:10", "expected a tuple of size 2"),
            ("name = \"curve\"", "name = \"fast\"", "driver.toml:14:1", "there are two options `fast`"),
        ] {
            let text = format!("{ANY}{TABLE}");
            assert!(text.contains(from), "{from}");
            let error = parse(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.starts_with(place) && error.contains(words), "{from} -> {to}: {error}");
        }
    }

    #[test]
    fn a_keymap_is_for_devices_that_udev_knows() {
        let keymap = "[keymap]\n0x70039 = \"leftctrl\"\n";
        for (text, place, words) in [
            (
                format!("{}{keymap}", GOOD.replace("product = 0x5606\n", "")),
                "driver.toml:14:1",
                "needs `vendor` and `product`",
            ),
            (format!("{ANY}{keymap}"), "driver.toml:8:1", "needs `vendor` and `product`"),
            (format!("{GOOD}{}", keymap.replace("leftctrl", "LeftCtrl")), "driver.toml:16:11", "expected a key of"),
            (format!("{GOOD}machine = {{}}\n"), "driver.toml:15:1", "`machine` needs one of `vendor`"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.starts_with(place) && error.contains(words), "{error}");
        }
    }

    #[test]
    fn kernel_drivers_are_one_name_or_several() {
        let rule = |line: &str| parse(&format!("{GOOD}{line}\n")).map(|manifest| manifest.matches[0].clone());
        let one = rule("kernel-driver = \"hid-generic\"").unwrap();
        assert!(one.kernel_driver.contains("hid-generic") && !one.kernel_driver.contains("uclogic"));
        let others = rule("not-kernel-driver = [\"hid-uclogic\", \"kye\"]").unwrap().not_kernel_driver;
        assert!(others.contains("uclogic") && others.contains("hid-kye") && !others.contains("hid-generic"));
        assert_eq!(others.to_string(), "`hid-uclogic` or `kye`");
        for (line, words) in [
            ("kernel-driver = 5", "expected the name of a kernel driver"),
            ("kernel-driver = [5]", "expected a string"),
            ("kernel-driver = \"../x\"", "expected names as in /sys/bus/hid/drivers"),
            ("kernel-driver = \"\"", "expected names as in /sys/bus/hid/drivers"),
            ("kernel-driver = \"a\"\nnot-kernel-driver = \"b\"", "leave `not-kernel-driver` out"),
            ("ids-from = \"bus\"", "unknown variant `bus`, expected `modalias` or `name`"),
        ] {
            let error = rule(line).unwrap_err().to_string();
            assert!(error.contains(words), "{line}: {error}");
        }
        let far = GOOD.replace("0x11c0", "0x10000") + "ids-from = \"name\"\n";
        assert!(parse(&far).unwrap_err().to_string().contains("up to 0xffff"));
    }

    #[test]
    fn a_manifest_must_say_what_it_is_for() {
        let (head, _) = GOOD.split_once("[[match]]").unwrap();
        let missing = parse(head).unwrap_err().to_string();
        assert!(missing.contains("no `[[match]]`"), "{missing}");
        let empty = parse(&format!("{head}match = []\n")).unwrap_err().to_string();
        assert!(empty.contains("no `[[match]]`"), "{empty}");
        let any = parse(&format!("{head}[[match]]\nlabel = \"all\"\n")).unwrap_err().to_string();
        assert!(any.contains("would take every device"), "{any}");
    }

    #[test]
    fn rules_are_put_into_words() {
        let rule = &parse(GOOD).unwrap().matches[0];
        assert_eq!(rule.ids(), "usb 11C0:5606");
        let words = ["group generic", "a descriptor of 232 bytes", "ef at byte 177 of the descriptor"];
        assert_eq!(rule.conditions(), words);
        let rule = Match {
            product: Some(ProductId(0x6e)),
            name: Some("HUION *".to_owned()),
            interface: Some(1),
            property: Some(PropertyRule { name: "HUION_FIRMWARE_ID".to_owned(), value: "HVAN*".to_owned() }),
            machine: Some(MachineRule { vendor: Some("ASUS*".to_owned()), ..MachineRule::default() }),
            not_kernel_driver: KernelDrivers(vec!["uclogic".to_owned()]),
            ids_from: IdsFrom::Name,
            ..Match::default()
        };
        assert_eq!(rule.ids(), "any any:006E");
        let words = [
            "these ids in its name",
            "a kernel driver other than `uclogic`",
            "USB interface 1",
            "the name `HUION *`",
            "a machine with the vendor `ASUS*`",
            "the udev property HUION_FIRMWARE_ID `HVAN*`",
        ];
        assert_eq!(rule.conditions(), words);
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let error =
            Embedded::from_section(Path::new("x.bpf.o"), br#"{"format": 8, "future": true}"#).unwrap_err().to_string();
        assert!(error.contains("format 8") && error.contains("update hidbpf"), "{error}");
    }
}
