//! Matches drivers against devices: which match rule applies, or why none does.

use std::fmt;

use serde::Serialize;

use crate::device::Device;
use crate::ids::{Bus, Group, ProductId, VendorId};
use crate::manifest::{BytesAt, IdsFrom, Manifest, Match, Sha256};
use crate::text::{Hex, Printable, fits};

/// The result of matching a driver against a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The driver matches.
    Matches {
        /// The label of the match rule that applies, or its number.
        rule: String,
    },
    /// The driver may match, by a rule that depends on an unknown fact about the device.
    Undecided {
        /// The rule's label, or its number.
        rule: String,
        /// The unknown fact.
        lacks: Lack,
    },
    /// Vendor and product match, but another key does not.
    NearMiss {
        /// The rules that nearly matched.
        rules: Vec<Miss>,
    },
    /// The driver does not match.
    No,
}

/// A fact that a match rule depends on and that is unknown for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lack {
    /// The kernel driver: none is bound yet. The bind event decides.
    KernelDriver,
    /// The original descriptor: sysfs does not show it. A process that may load programs can read it.
    OriginalDescriptor,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Lack::KernelDriver => "no kernel driver is bound to it yet",
            Lack::OriginalDescriptor => "its original descriptor is not known",
        })
    }
}

/// A match rule that a device nearly meets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Miss {
    /// The rule's label, or its number.
    pub rule: String,
    /// The keys that do not match.
    pub reasons: Vec<String>,
}

/// A device as match rules see it.
pub struct Subject<'a> {
    /// Bus, vendor and product from its modalias.
    pub ids: (Bus, VendorId, ProductId),
    /// Bus, vendor and product from its name.
    pub name_ids: (Bus, VendorId, ProductId),
    /// Its group. `None` matches every rule, as for a recording, which does not contain it.
    pub group: Option<Group>,
    /// The device's own name.
    pub hid_name: &'a str,
    /// The number of its USB interface, or that it has none. `None` matches every rule.
    pub interface: Option<Option<u8>>,
    /// The kernel driver.
    pub kernel_driver: KernelDriver<'a>,
    /// Its original descriptor, if it is known.
    pub original: Option<&'a [u8]>,
    /// Reads an attribute of its machine in `/sys/class/dmi/id`. `None` matches every rule, as for a recording.
    pub machine: Option<&'a dyn Fn(&str) -> String>,
    /// Looks up one of its udev properties. `None` matches every rule, as for a device that has not told all of them yet.
    pub property: Option<&'a PropertyLookup<'a>>,
}

/// Returns the value of a udev property.
pub type PropertyLookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The kernel driver of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelDriver<'a> {
    /// This one is bound to it.
    Bound(&'a str),
    /// None is bound to it yet.
    Unbound,
    /// One that matches every rule, as for a recording.
    Any,
}

/// Matches a driver against a device. Uses its original descriptor, if known.
pub fn judge(manifest: &Manifest, device: &Device) -> Verdict {
    let ids = &device.modalias;
    judge_subject(
        manifest,
        &Subject {
            ids: (ids.bus, ids.vendor, ids.product),
            name_ids: device.name.ids(),
            group: Some(ids.group),
            hid_name: &device.hid_name,
            interface: Some(device.interface),
            kernel_driver: device.driver.as_deref().map_or(KernelDriver::Unbound, KernelDriver::Bound),
            original: device.original(),
            machine: Some(&|attribute| device.machine(attribute)),
            property: device.has_properties().then_some(&|name| device.property(name)),
        },
    )
}

/// Matches a driver against a subject that need not be a device of this machine.
pub fn judge_subject(manifest: &Manifest, subject: &Subject<'_>) -> Verdict {
    let missing = match subject.original {
        Some(original) => {
            let missing = manifest.fields.iter().filter(|field| field.find(original).is_none());
            missing.map(|field| format!("its descriptor does not have {field}")).collect()
        }
        None => Vec::new(),
    };
    let any = Match::any();
    let rules = if manifest.any_device { std::slice::from_ref(&any) } else { &manifest.matches };
    let (mut undecided, mut near) = (None, Vec::new());
    for (index, rule) in rules.iter().enumerate() {
        let name = rule.name(index);
        let mut reasons = reasons_against(rule, subject);
        reasons.extend_from_slice(&missing);
        if reasons.is_empty() {
            match lack(manifest, rule, subject) {
                None => return Verdict::Matches { rule: name },
                Some(lacks) => _ = undecided.get_or_insert(Verdict::Undecided { rule: name, lacks }),
            }
            continue;
        }
        let (_, vendor, product) = ids(rule, subject);
        let same = rule.vendor.is_none_or(|expected| expected == vendor)
            && rule.product.is_none_or(|expected| expected == product);
        if same && (rule.vendor.is_some() || rule.product.is_some()) {
            near.push(Miss { rule: name, reasons });
        }
    }
    match undecided {
        Some(undecided) => undecided,
        None if near.is_empty() => Verdict::No,
        None => Verdict::NearMiss { rules: near },
    }
}

/// Returns bus, vendor and product of a device, from the source that the rule names.
fn ids(rule: &Match, subject: &Subject<'_>) -> (Bus, VendorId, ProductId) {
    match rule.ids_from {
        IdsFrom::Modalias => subject.ids,
        IdsFrom::Name => subject.name_ids,
    }
}

/// Returns an unknown fact that the rule depends on, if any.
fn lack(manifest: &Manifest, rule: &Match, subject: &Subject<'_>) -> Option<Lack> {
    let asks_for_kernel_driver = !rule.kernel_driver.is_empty() || !rule.not_kernel_driver.is_empty();
    let asks_for_descriptor = rule.rdesc_size.is_some()
        || rule.rdesc_sha256.is_some()
        || !rule.rdesc_bytes.is_empty()
        || !manifest.fields.is_empty();
    if asks_for_kernel_driver && subject.kernel_driver == KernelDriver::Unbound {
        return Some(Lack::KernelDriver);
    }
    (asks_for_descriptor && subject.original.is_none()).then_some(Lack::OriginalDescriptor)
}

/// Returns all known differences between a rule and a device.
fn reasons_against(rule: &Match, subject: &Subject<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let (bus, vendor, product) = ids(rule, subject);
    let mut differ = |what: &str, found: String, expected: String| {
        if found != expected {
            reasons.push(format!("its {what} is {found}, expected {expected}"));
        }
    };
    if let Some(expected) = rule.bus {
        differ("bus", bus.to_string(), expected.to_string());
    }
    if let (Some(expected), Some(group)) = (rule.group, subject.group) {
        differ("group", group.to_string(), expected.to_string());
    }
    if let Some(expected) = rule.vendor {
        differ("vendor", vendor.to_string(), expected.to_string());
    }
    if let Some(expected) = rule.product {
        differ("product", product.to_string(), expected.to_string());
    }
    if let (Some(size), Some(original)) = (rule.rdesc_size, subject.original) {
        differ("descriptor's size", original.len().to_string(), size.to_string());
    }
    if let (Some(expected), Some(original)) = (&rule.rdesc_sha256, subject.original) {
        let found = Sha256::of(original);
        differ("descriptor's SHA-256", found.to_string(), expected.to_string());
    }
    if let (Some(expected), Some(interface)) = (rule.interface, subject.interface) {
        let found = interface.map_or_else(|| "none".to_owned(), |number| number.to_string());
        differ("USB interface", found, expected.to_string());
    }
    for BytesAt { offset, bytes } in &rule.rdesc_bytes {
        let Some(original) = subject.original else { break };
        let start = *offset as usize;
        let found = original.get(start..start + bytes.0.len());
        if found != Some(&bytes.0) {
            let found = found.map_or_else(|| "not there".to_owned(), |found| Hex(found).to_string());
            reasons.push(format!("byte {offset} of its descriptor is {found}, expected {bytes}"));
        }
    }
    if let KernelDriver::Bound(bound) = subject.kernel_driver {
        if !rule.kernel_driver.is_empty() && !rule.kernel_driver.contains(bound) {
            reasons.push(format!("its kernel driver is `{bound}`, expected {}", rule.kernel_driver));
        }
        if rule.not_kernel_driver.contains(bound) {
            reasons.push(format!("its kernel driver is `{bound}`, expected another one"));
        }
    }
    if let Some(pattern) = &rule.name
        && !fits(pattern, subject.hid_name)
    {
        reasons.push(format!("its name is `{}`, expected `{pattern}`", Printable(subject.hid_name)));
    }
    if let (Some(rule), Some(machine)) = (&rule.machine, subject.machine) {
        reasons.extend(rule.reasons_against(machine));
    }
    if let (Some(property), Some(look_up)) = (&rule.property, subject.property) {
        match look_up(&property.name) {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_driver_for_any_device_matches_those_with_its_fields() {
        let text = "device = \"Any\"\nbefore = \"It is.\"\nafter = \"It is.\"\nkind = \"preference\"\nstatus = \"testing\"\nany-device = true\n";
        let parse = |text: &str| Manifest::parse(Path::new("driver.toml"), text).unwrap();
        let device = Device::example("hid:b0003g0001v00001D6Bp00000001".parse().unwrap(), "", "");
        let matches = Verdict::Matches { rule: "any device".to_owned() };
        assert_eq!(judge(&parse(text), &device), matches);
        let field = "[[field]]\nname = \"x\"\nreport = \"input\"\nusage-page = 1\nusage = 0x30\n";
        let with_field = parse(&format!("{text}{field}"));
        assert_eq!(judge(&with_field, &device), undecided("any device", Lack::OriginalDescriptor));
        let with_original = |original: &[u8]| device.clone().with_original(original.to_vec());
        let x = [0x05, 0x01, 0x75, 0x08, 0x95, 0x01, 0x09, 0x30, 0x81, 0x02];
        assert_eq!(judge(&with_field, &with_original(&x)), matches);
        assert_eq!(judge(&with_field, &with_original(&x[..8])), Verdict::No);
    }

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
        let device = |modalias: &str, original: &[u8]| {
            Device::example(modalias.parse().unwrap(), "", "").with_original(original.to_vec())
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
            panic!("it is not a near miss");
        };
        assert_eq!(rules[0].reasons, ["its descriptor does not have a feature field with the usage 000D:0059"]);
        let unknown = Device::example("hid:b0018g0004v000027C6p00000D42".parse().unwrap(), "", "");
        assert_eq!(judge(&manifest, &unknown), undecided("rule 1", Lack::OriginalDescriptor));
    }

    fn undecided(rule: &str, lacks: Lack) -> Verdict {
        Verdict::Undecided { rule: rule.to_owned(), lacks }
    }

    fn manifest(rules: &str) -> Manifest {
        let head = "device = \"x\"\nbefore = \"x\"\nafter = \"x\"\nkind = \"fix\"\nstatus = \"testing\"\n";
        Manifest::parse(Path::new("driver.toml"), &format!("{head}{rules}")).unwrap()
    }

    #[test]
    fn what_is_not_known_of_a_device_decides_only_where_nothing_else_does() {
        let of =
            |rules: &[&str]| manifest(&rules.iter().map(|rule| format!("[[match]]\n{rule}\n")).collect::<String>());
        let (size, bytes) =
            ("vendor = 1\nrdesc-size = 4", "vendor = 1\nrdesc-bytes = [{ offset = 0, bytes = \"05\" }]");
        let sha = format!("vendor = 1\nrdesc-sha256 = \"{}\"", Sha256::of(b""));
        let bound = |driver: &str| {
            let mut device = Device::example("hid:b0003g0001v00000001p00000002".parse().unwrap(), "", "");
            device.driver = Some(driver.to_owned()).filter(|driver| !driver.is_empty());
            device
        };
        let original = undecided("rule 1", Lack::OriginalDescriptor);
        for rule in [size, bytes, &sha] {
            assert_eq!(judge(&of(&[rule]), &bound("maltron")), original, "{rule}");
        }
        // The ids decide before the unknown fact does, and so does a rule that does not need it.
        assert_eq!(judge(&of(&["vendor = 2\nrdesc-size = 4"]), &bound("")), Verdict::No);
        assert!(matches!(judge(&of(&["vendor = 1\nproduct = 3\nrdesc-size = 4"]), &bound("")), Verdict::No));
        assert_eq!(judge(&of(&[size, "vendor = 1"]), &bound("")), Verdict::Matches { rule: "rule 2".to_owned() });
        assert!(matches!(
            judge(&of(&["vendor = 1\nname = \"y\"\nrdesc-size = 4"]), &bound("")),
            Verdict::NearMiss { .. }
        ));
        // A known fact decides.
        let known = |bytes: &[u8]| bound("maltron").with_original(bytes.to_vec());
        assert_eq!(judge(&of(&[size]), &known(&[0; 4])), Verdict::Matches { rule: "rule 1".to_owned() });
        assert!(matches!(judge(&of(&[size]), &known(&[])), Verdict::NearMiss { .. }));
        // The kernel driver decides too.
        let (only, but) =
            ("vendor = 1\nkernel-driver = \"hid-generic\"", "vendor = 1\nnot-kernel-driver = [\"uclogic\"]");
        let matches = Verdict::Matches { rule: "rule 1".to_owned() };
        for rule in [only, but] {
            let of_driver = |driver: &str| judge(&of(&[rule]), &bound(driver));
            assert_eq!(of_driver("hid-generic"), matches, "{rule}");
            assert_eq!(of_driver(""), undecided("rule 1", Lack::KernelDriver), "{rule}");
            let Verdict::NearMiss { rules } = of_driver("uclogic") else { panic!("{rule}") };
            assert!(rules[0].reasons[0].starts_with("its kernel driver is `uclogic`, expected "), "{rules:?}");
        }
        // If two facts are unknown, the one that comes by itself is awaited.
        let both = format!("{but}\nrdesc-size = 4");
        assert_eq!(judge(&of(&[&both]), &bound("")), undecided("rule 1", Lack::KernelDriver));
        assert_eq!(judge(&of(&[&both]), &bound("kye")), original);
    }

    /// xpadneo, for example, gives its devices another product when it binds them.
    #[test]
    fn ids_are_those_of_the_modalias_or_of_the_name() {
        let mut device = Device::example("hid:b0005g0001v0000045Ep0000028E".parse().unwrap(), "", "");
        device.name = "0005:045E:02FD.0007".parse().unwrap();
        let ids = |product: &str, from: &str| {
            let rule = format!("[[match]]\nbus = \"bluetooth\"\nvendor = 0x45e\nproduct = {product}\n{from}");
            judge(&manifest(&rule), &device)
        };
        let matches = Verdict::Matches { rule: "rule 1".to_owned() };
        assert_eq!(ids("0x28e", ""), matches);
        assert_eq!(ids("0x2fd", ""), Verdict::No);
        assert_eq!(ids("0x2fd", "ids-from = \"name\""), matches);
        assert_eq!(ids("0x28e", "ids-from = \"name\""), Verdict::No);
    }
}
