//! What a driver is run with.

use std::collections::BTreeMap;

use hidbpf_descriptor::WantedField;
use hidbpf_descriptor::recording;

/// The data for a driver, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The device's udev properties. Ignores those that the driver doesn't ask for.
    pub properties: BTreeMap<String, String>,
    /// The values of the driver's options: the names of variables, and all bytes of each.
    pub options: BTreeMap<String, Vec<u8>>,
    /// The driver's fields, to look up in the device's descriptor, each with the name of its variable.
    pub fields: Vec<(String, WantedField)>,
    /// The udev properties that the driver's setup gives the device.
    pub exports: Vec<ExportedVariable>,
    /// The device's answers to requests for feature reports, by ID.
    pub features: BTreeMap<u8, Vec<u8>>,
    /// The index of the match rule that chose the driver. `None`: no rule matches.
    pub rule: Option<u32>,
    /// The maximum number of instructions per hook call. The default is 16 million. The verifier refuses programs that
    /// need more than a million without the kernel's own loops.
    pub instruction_limit: u64,
    /// The maximum size of the driver's data and maps, in bytes. The default is 64 MiB.
    pub memory_limit: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            properties: BTreeMap::new(),
            options: BTreeMap::new(),
            fields: Vec::new(),
            exports: Vec::new(),
            features: BTreeMap::new(),
            rule: None,
            instruction_limit: 16 << 20,
            memory_limit: 64 << 20,
        }
    }
}

impl Settings {
    /// Returns the properties and feature reports of a device in a recording.
    pub fn of(device: &recording::RecordedDevice) -> Settings {
        Settings { properties: device.properties.clone(), features: device.features.clone(), ..Settings::default() }
    }
}

/// A variable whose value becomes a udev property of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportedVariable {
    /// The property's name.
    pub property: String,
    /// The variable's name. It has 4 bytes.
    pub variable: String,
    /// The property's values for 0, 1 and so on. If empty, the value is the number.
    pub values: Vec<String>,
    /// The value for all other numbers.
    pub otherwise: Option<String>,
}

impl ExportedVariable {
    /// Returns the property's value for the variable's number.
    pub(crate) fn text(&self, number: u32) -> String {
        let text = self.values.get(number as usize).or(self.otherwise.as_ref());
        text.cloned().unwrap_or_else(|| number.to_string())
    }
}
