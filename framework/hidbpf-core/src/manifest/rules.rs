//! The match rules of a manifest, and tables of models.
//!
//! A row of the table `models` is a match rule that takes over each key of its `[[match]]` which it does not have itself.
//! [`expand`] makes rules of the rows when `driver.toml` is read. A built object has only the rules, so that a table costs
//! nothing when the driver is attached.

use std::fmt;

use hidbpf_descriptor::{HexBytes, MAX_DESCRIPTOR, hex_digits};
use serde::{Deserialize, Serialize};

use crate::ids::{Bus, Group, ProductId, VendorId};
use crate::manifest::machine::MachineRule;
use crate::manifest::values::Values;
use crate::names::is_name;
use crate::text::Printable;

/// One match rule. All given keys must apply; an omitted key applies to any device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Match {
    /// A label that distinguishes this rule from the driver's other rules: "pen" or "dongle".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bus: Option<Bus>,
    /// The HID group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// The source of the bus, vendor and product that this rule compares.
    #[serde(default, skip_serializing_if = "IdsFrom::is_default")]
    pub ids_from: IdsFrom,
    /// The vendor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<VendorId>,
    /// The product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductId>,
    /// Kernel drivers. One of them must be bound to the device.
    #[serde(default, skip_serializing_if = "KernelDrivers::is_empty")]
    pub kernel_driver: KernelDrivers,
    /// Kernel drivers to exclude: another one must be bound to the device.
    #[serde(default, skip_serializing_if = "KernelDrivers::is_empty")]
    pub not_kernel_driver: KernelDrivers,
    /// The size of the original descriptor, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdesc_size: Option<u32>,
    /// The SHA-256 of the original descriptor, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rdesc_sha256: Option<Sha256>,
    /// Bytes at fixed offsets of the original descriptor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rdesc_bytes: Vec<BytesAt>,
    /// The device's name (`HID_NAME`), where `*` matches any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The number of the USB interface (`bInterfaceNumber`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<u8>,
    /// The machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineRule>,
    /// A udev property of the device, of a parent or of its hidraw child.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<PropertyRule>,
    /// A table of models, each a rule that takes over the keys of this one. Only `driver.toml` has it.
    #[serde(default, skip_serializing)]
    pub models: Vec<Match>,
    /// The values that the driver reads if this rule chose it. Only the build reads them.
    #[serde(default, skip_serializing)]
    pub values: Values,
}

/// The source of a device's ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdsFrom {
    /// `MODALIAS`, which a kernel driver can change when it binds the device.
    #[default]
    Modalias,
    /// The device's name in `/sys/bus/hid/devices`.
    ///
    /// The kernel makes it once, from the ids that the device sent (`hid_add_device()`, drivers/hid/hid-core.c).
    Name,
}

impl IdsFrom {
    fn is_default(&self) -> bool {
        *self == IdsFrom::default()
    }
}

/// Kernel drivers by their names in `/sys/bus/hid/drivers`: one name, or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct KernelDrivers(pub Vec<String>);

impl KernelDrivers {
    /// Returns whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns whether the list contains this kernel driver.
    ///
    /// The kernel's modules are named like `hid-uclogic`, but some of their drivers like `uclogic`. Both forms match.
    pub fn contains(&self, driver: &str) -> bool {
        fn plain(name: &str) -> &str {
            name.strip_prefix("hid-").unwrap_or(name)
        }
        self.0.iter().any(|name| plain(name) == plain(driver))
    }
}

impl fmt::Display for KernelDrivers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| format!("`{name}`")).collect();
        f.write_str(&names.join(" or "))
    }
}

impl<'de> Deserialize<'de> for KernelDrivers {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> serde::de::Visitor<'de> for Names {
            type Value = KernelDrivers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a kernel driver, such as \"hid-generic\", or a list of such names")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<KernelDrivers, E> {
                Ok(KernelDrivers(vec![name.to_owned()]))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut names: A) -> Result<KernelDrivers, A::Error> {
                let mut all = Vec::new();
                while let Some(name) = names.next_element()? {
                    all.push(name);
                }
                Ok(KernelDrivers(all))
            }
        }

        deserializer.deserialize_any(Names)
    }
}

/// Bytes at an offset of a report descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BytesAt {
    /// The offset of the first byte, counted from 0.
    pub offset: u32,
    /// The bytes, in hex: "09 43".
    pub bytes: HexBytes,
}

/// A udev property and the value that it must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropertyRule {
    /// The property: `HUION_FIRMWARE_ID`.
    pub name: String,
    /// Its value, where `*` matches any text.
    pub value: String,
}

/// A digest of `N` bytes, written in hex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest<const N: usize>(pub [u8; N]);

/// A SHA-256 digest.
pub type Sha256 = Digest<32>;

/// The checksum of an object: [`hidbpf_prelink::Checksum`].
pub type Fingerprint = Digest<16>;

impl Sha256 {
    /// Returns the digest of these bytes.
    pub fn of(bytes: &[u8]) -> Sha256 {
        Digest(<sha2::Sha256 as sha2::Digest>::digest(bytes).into())
    }
}

impl Fingerprint {
    /// The placeholder in a manifest until the object is complete.
    pub const UNSET: Fingerprint = Digest([0; 16]);
}

impl<const N: usize> fmt::Display for Digest<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: String = self.0.iter().flat_map(|byte| hex_digits(*byte)).map(char::from).collect();
        f.write_str(&digits)
    }
}

impl<const N: usize> Serialize for Digest<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Digest<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().ok().and_then(|HexBytes(bytes)| bytes.try_into().ok()).map(Digest).ok_or_else(|| {
            let expected = format!("{} hex digits", 2 * N);
            serde::de::Error::invalid_value(serde::de::Unexpected::Str(&text), &&*expected)
        })
    }
}

impl Match {
    /// Returns the rule of a driver that is for any device.
    pub(crate) fn any() -> Match {
        Match { label: Some("any device".to_owned()), ..Match::default() }
    }

    /// Returns whether the rule names one model of USB devices.
    pub(crate) fn is_usb_model(&self) -> bool {
        self.bus == Some(Bus::USB) && self.vendor.is_some() && self.product.is_some()
    }

    /// Returns the rule's name for messages: its label, or its number in the manifest. `index` counts from 0.
    pub fn name(&self, index: usize) -> String {
        self.label.clone().unwrap_or_else(|| format!("rule {}", index + 1))
    }

    /// Returns bus, vendor and product in the usual notation, `usb 256C:0066`.
    pub fn ids(&self) -> String {
        let or_any = |text: Option<String>| text.unwrap_or_else(|| "any".to_owned());
        let bus = or_any(self.bus.map(|bus| bus.to_string()));
        match (self.vendor, self.product) {
            (None, None) => bus,
            (vendor, product) => {
                let vendor = or_any(vendor.map(|vendor| vendor.to_string()));
                format!("{bus} {vendor}:{}", or_any(product.map(|product| product.to_string())))
            }
        }
    }

    /// Returns the other conditions in words. They distinguish the driver's device from others with the same ids.
    pub fn conditions(&self) -> Vec<String> {
        let mut conditions = Vec::new();
        conditions.extend((self.ids_from == IdsFrom::Name).then(|| "these ids in its name".to_owned()));
        conditions.extend(self.group.map(|group| format!("group {group}")));
        let (drivers, others) = (&self.kernel_driver, &self.not_kernel_driver);
        conditions.extend((!drivers.is_empty()).then(|| format!("the kernel driver {drivers}")));
        conditions.extend((!others.is_empty()).then(|| format!("a kernel driver other than {others}")));
        conditions.extend(self.rdesc_size.map(|size| format!("a descriptor of {size} bytes")));
        conditions.extend(self.rdesc_sha256.as_ref().map(|sha256| format!("a descriptor with the SHA-256 {sha256}")));
        let at = |BytesAt { offset, bytes }: &BytesAt| format!("{bytes} at byte {offset} of the descriptor");
        conditions.extend(self.rdesc_bytes.iter().map(at));
        conditions.extend(self.interface.map(|number| format!("USB interface {number}")));
        conditions.extend(self.name.as_ref().map(|name| format!("the name `{name}`")));
        conditions.extend(self.machine.iter().flat_map(MachineRule::conditions));
        let is = |PropertyRule { name, value }: &PropertyRule| format!("the udev property {name} `{value}`");
        conditions.extend(self.property.as_ref().map(is));
        conditions
    }

    /// Checks the constraints that the types can't express.
    ///
    /// The first part of an error is a text to search for, to find the line.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        if let Some(machine) = &self.machine {
            machine.check()?;
        }
        if !self.models.is_empty() {
            return Err(("models", "unexpected `models`: an object has a rule for each model".to_owned()));
        }
        let named = Match { label: self.label.clone(), values: self.values.clone(), ..Match::default() };
        if *self == named {
            return Err(("[[match]]", "a `[[match]]` without any rule would take every device".to_owned()));
        }
        let size = self.rdesc_size.map_or(MAX_DESCRIPTOR, |size| size as usize);
        if !(1..=MAX_DESCRIPTOR).contains(&size) {
            return Err((
                "rdesc-size",
                format!("`rdesc-size` is {size}; a report descriptor has 1 to {MAX_DESCRIPTOR} bytes"),
            ));
        }
        for (key, drivers) in [("kernel-driver", &self.kernel_driver), ("not-kernel-driver", &self.not_kernel_driver)] {
            let is_name = |name: &String| {
                let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                !name.is_empty() && name.bytes().all(fits)
            };
            if !drivers.0.iter().all(is_name) {
                return Err((key, format!("`{key}`: expected names as in /sys/bus/hid/drivers")));
            }
        }
        if !self.kernel_driver.is_empty() && !self.not_kernel_driver.is_empty() {
            let message = "`kernel-driver` names all drivers that will do: leave `not-kernel-driver` out".to_owned();
            return Err(("not-kernel-driver", message));
        }
        let four_digits = 0..=0xffff;
        let fits = |id: Option<u32>| id.is_none_or(|id| four_digits.contains(&id));
        let ids = [self.vendor.map(|vendor| vendor.0), self.product.map(|product| product.0)];
        if self.ids_from == IdsFrom::Name && !ids.into_iter().all(fits) {
            return Err(("ids-from", "a device's name has a vendor and a product of up to 0xffff".to_owned()));
        }
        if let Some(property) = &self.property
            && (property.name.is_empty() || !property.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        {
            return Err(("property", "a udev property's name has letters, digits and underscores".to_owned()));
        }
        for BytesAt { offset, bytes } in &self.rdesc_bytes {
            let end = u64::from(*offset) + bytes.0.len() as u64;
            if end > size as u64 {
                return Err((
                    "rdesc-bytes",
                    format!("`rdesc-bytes` at offset {offset} end at {end}, outside of a descriptor of {size} bytes"),
                ));
            }
        }
        Ok(())
    }
}

/// Replaces each rule that has models by one rule for each of them, in the order of the table.
///
/// # Errors
/// A row has no label, one that another rule has, or rows of its own. Or a value's name is invalid. The first part of an
/// error is a text to search for, to find the line.
pub(crate) fn expand(rules: Vec<Match>) -> Result<Vec<Match>, (String, String)> {
    let has_rows = rules.iter().any(|rule| !rule.models.is_empty());
    let mut expanded = Vec::with_capacity(rules.len());
    for mut rule in rules {
        let models = std::mem::take(&mut rule.models);
        if models.is_empty() {
            expanded.push(rule);
            continue;
        }
        for row in models {
            if row.label.is_none() {
                let message = "a row of `models` has no `label`: name the model, as its owner would call it";
                return Err(("models".to_owned(), message.to_owned()));
            }
            if !row.models.is_empty() {
                return Err(("models".to_owned(), "a row of `models` can't have `models` of its own".to_owned()));
            }
            expanded.push(inherit(row, &rule));
        }
    }
    for (index, rule) in expanded.iter().enumerate() {
        if let Some(name) = rule.values.keys().find(|name| !is_name(name)) {
            let name = Printable(name);
            let message = format!(
                "`{name}` can't be a value's name (expected lower-case letters, digits and single hyphens, a letter first)"
            );
            return Err((name.to_string(), message));
        }
        let needs_own_name = has_rows || !rule.values.is_empty();
        let name = rule.name(index);
        // The rule that chose a driver is known by its name.
        if needs_own_name && expanded[..index].iter().enumerate().any(|(index, other)| other.name(index) == name) {
            return Err((format!("\"{name}\""), format!("there are two rules with the label `{}`", Printable(&name))));
        }
    }
    Ok(expanded)
}

/// Returns a row with those keys of its rule that it does not have itself.
fn inherit(row: Match, rule: &Match) -> Match {
    let rule = rule.clone();
    let Match {
        label,
        bus,
        group,
        ids_from,
        vendor,
        product,
        kernel_driver,
        not_kernel_driver,
        rdesc_size,
        rdesc_sha256,
        rdesc_bytes,
        name,
        interface,
        machine,
        property,
        models: _,
        values,
    } = row;
    Match {
        label,
        bus: bus.or(rule.bus),
        group: group.or(rule.group),
        ids_from: if ids_from == IdsFrom::default() { rule.ids_from } else { ids_from },
        vendor: vendor.or(rule.vendor),
        product: product.or(rule.product),
        kernel_driver: if kernel_driver.is_empty() { rule.kernel_driver } else { kernel_driver },
        not_kernel_driver: if not_kernel_driver.is_empty() { rule.not_kernel_driver } else { not_kernel_driver },
        rdesc_size: rdesc_size.or(rule.rdesc_size),
        rdesc_sha256: rdesc_sha256.or(rule.rdesc_sha256),
        rdesc_bytes: if rdesc_bytes.is_empty() { rule.rdesc_bytes } else { rdesc_bytes },
        name: name.or(rule.name),
        interface: interface.or(rule.interface),
        machine: machine.or(rule.machine),
        property: property.or(rule.property),
        models: Vec::new(),
        values: rule.values.into_iter().chain(values).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::manifest::Manifest;

    const HEAD: &str = "device = \"x\"\nbefore = \"x\"\nafter = \"x\"\nkind = \"fix\"\nstatus = \"testing\"\n";

    fn parse(rules: &str) -> Result<Manifest, String> {
        Manifest::parse(Path::new("driver.toml"), &format!("{HEAD}{rules}")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_row_is_a_rule_that_names_what_differs() {
        let table = parse(
            "[[match]]
             bus = \"usb\"
             vendor = 1
             rdesc-size = 36
             rdesc-bytes = [{ offset = 0, bytes = \"06\" }]
             kernel-driver = \"hid-generic\"
             values = { pressure = 8191, tilt = true }
             models = [
                 { label = \"one\", product = 2, values = { x = 0xffffffff } },
                 { label = \"two\", product = 3, rdesc-size = 40, values = { pressure = -1, tilt = false } },
             ]
             [[match]]
             vendor = 2
             label = \"other\"",
        )
        .unwrap();
        let plain = parse(
            "[[match]]
             label = \"one\"
             bus = \"usb\"
             vendor = 1
             product = 2
             rdesc-size = 36
             rdesc-bytes = [{ offset = 0, bytes = \"06\" }]
             kernel-driver = \"hid-generic\"
             values = { pressure = 8191, tilt = 1, x = 0xffffffff }
             [[match]]
             label = \"two\"
             bus = \"usb\"
             vendor = 1
             product = 3
             rdesc-size = 40
             rdesc-bytes = [{ offset = 0, bytes = \"06\" }]
             kernel-driver = [\"hid-generic\"]
             values = { pressure = -1, tilt = 0 }
             [[match]]
             label = \"other\"
             vendor = 2",
        )
        .unwrap();
        assert_eq!(table, plain);
        // The object has the same rules, and no values: the program has them.
        let json = serde_json::to_string(&table).unwrap();
        assert!(!json.contains("models") && !json.contains("values"), "{json}");
    }

    #[test]
    fn tables_that_say_nothing_certain_are_refused() {
        for (rules, expected) in [
            ("[[match]]\nvendor = 1\nmodels = [{ product = 2 }]", ":8:1: a row of `models` has no `label`"),
            (
                "[[match]]\nvendor = 1\nmodels = [{ label = \"a\", models = [{ label = \"b\" }] }]",
                ":8:1: a row of `models` can't have `models`",
            ),
            (
                "[[match]]\nvendor = 1\nmodels = [{ label = \"a\", product = 1 },\n{ label = \"a\", product = 2 }]",
                ":8:21: there are two rules with the label `a`",
            ),
            ("[[match]]\nvendor = 1\nvalues = { X = 1 }", ":8:12: `X` can't be a value's name"),
            ("[[match]]\nvendor = 1\nvalues = { x = 1.5 }", ":8:16: invalid type: floating point"),
            ("[[match]]\nvendor = 1\nvalues = { x = 0x100000000 }", "a whole number of 32 bits"),
            ("[[match]]\nvendor = 1\nmodels = [{ label = \"a\", size = 2 }]", ":8:26: unknown field `size`"),
            ("[[match]]\nmodels = [{ label = \"a\" }]", "a `[[match]]` without any rule"),
            ("[[match]]\nmodels = [{ label = \"a\", product = 2, rdesc-size = 0 }]", "`rdesc-size` is 0"),
        ] {
            let error = parse(rules).unwrap_err();
            assert!(error.contains(expected), "{error}\nexpected {expected}");
        }
    }

    #[test]
    fn an_object_has_no_tables() {
        let json = serde_json::to_string(&parse("[[match]]\nvendor = 1").unwrap()).unwrap();
        let forged = json.replace("{\"vendor\":1}", "{\"vendor\":1,\"models\":[{\"vendor\":2}]}");
        assert_ne!(forged, json);
        let section = format!("{{\"format\":3,\"name\":\"x\",\"seal\":\"{}\",\"driver\":{forged}}}", "00".repeat(16));
        let error = crate::manifest::Embedded::from_section(Path::new("x.bpf.o"), section.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("an object has a rule for each model"), "{error}");
    }
}
