//! Resolves the values of a driver's options on a device, and their origins.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Serialize, Serializer};

use crate::config::{Config, Key, Source};
use crate::device::Device;
use crate::driver::object::DriverObject;
use crate::manifest::options::{DriverOption, Value, Values};
use crate::text::Printable;

/// The origin of an option's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The manifest's default.
    Default,
    /// A udev property of the device.
    Property(String),
    /// A line of the configuration.
    Configuration(Source),
    /// Set by hand, until the device is plugged in again.
    Hand,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::Property(name) => write!(f, "the udev property {name}"),
            Origin::Configuration(source) => write!(f, "{source}"),
            Origin::Hand => f.write_str("set by hand"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resolved<'a> {
    /// The option.
    #[serde(flatten)]
    pub option: &'a DriverOption,
    /// Its value.
    pub value: Value,
    /// The origin of the value.
    pub origin: Origin,
}

/// Resolves the options of a driver on a device, or on any device.
///
/// A value set by hand comes first, then the configuration, then udev, then the default. Invalid values are skipped,
/// and the second part of the result reports them.
pub fn options<'a>(
    driver: &'a DriverObject,
    device: Option<&Device>,
    config: &Config,
    by_hand: &Values,
) -> (Vec<Resolved<'a>>, Vec<String>) {
    let mut problems = Vec::new();
    let options = driver.manifest.options.iter();
    let resolved = options.map(|option| {
        let mut fits = |value: Result<Value, String>, origin: &Origin| {
            let fit = value.and_then(|value| option.encode(&value).map(|_| value));
            fit.inspect_err(|why| {
                let by = match origin {
                    Origin::Configuration(source) => source.place().to_string(),
                    other => other.to_string(),
                };
                problems.push(format!("the option `{}` of the driver `{}`, by {by}: {why}", option.name, driver.name));
            })
            .ok()
        };
        let property = option.property(driver.name.as_str());
        let given = [
            by_hand.get(&option.name).map(|value| (Ok(value.clone()), Origin::Hand)),
            config
                .find(&driver.name, device, &Key::Option(option.name.clone()))
                .map(|entry| (Ok(entry.value.clone()), Origin::Configuration(entry.source.clone()))),
            device
                .and_then(|device| device.property(&property))
                .map(|text| (option.parse(&text), Origin::Property(property.clone()))),
        ];
        let set = given.into_iter().flatten().find_map(|(value, origin)| Some((fits(value, &origin)?, origin)));
        let (value, origin) = set.unwrap_or_else(|| (option.default.clone(), Origin::Default));
        Resolved { option, value, origin }
    });
    let resolved = resolved.collect();
    let unknown: BTreeSet<String> = config
        .entries
        .iter()
        .filter(|entry| entry.driver == driver.name)
        .filter(|entry| match (&entry.device, device) {
            (Some(rule), Some(device)) => rule.holds_for(device),
            (rule, _) => rule.is_none(),
        })
        .filter_map(|entry| match &entry.key {
            Key::Option(name) if driver.manifest.option(name).is_none() => {
                let (name, place) = (Printable(name), entry.source.place());
                Some(format!("{place} sets the option `{name}`, which the driver `{}` has not", driver.name))
            }
            _ => None,
        })
        .collect();
    problems.extend(unknown);
    (resolved, problems)
}

/// Returns the variables of a driver and their bytes, for these option values.
pub fn variables(resolved: &[Resolved<'_>]) -> BTreeMap<String, Vec<u8>> {
    let bytes =
        |resolved: &Resolved<'_>| Some((resolved.option.variable(), resolved.option.encode(&resolved.value).ok()?));
    resolved.iter().filter_map(bytes).collect()
}
