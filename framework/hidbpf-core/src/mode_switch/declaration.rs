//! `[mode-switch]` of a manifest: the steps of a mode switch, in order, and when to take them.

use hidbpf_descriptor::HexBytes;
use serde::{Deserialize, Serialize};

use crate::ids::VendorId;
use crate::mode_switch::hazards;
use crate::names::check_property;
use crate::text::Printable;

/// A mode switch, as a manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModeSwitch {
    /// The number of the interface whose HID device starts the switch. `None`: that which udev announces first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<u8>,
    /// The driver's option, a `bool`, that must be on. `None`: the device is always switched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option: Option<String>,
    /// A tool that switches these devices by itself, by the name of its program in udev's directory.
    ///
    /// If it is installed, hidbpf leaves the switch to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unless_installed: Option<String>,
    /// How long all steps together may take, in milliseconds.
    #[serde(default = "default_limit")]
    pub limit_ms: u64,
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step, flat as in the manifest. [`Step::action`] has it as a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Step {
    /// The index of a string descriptor to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    string: Option<u8>,
    /// An output report to send, with its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<HexBytes>,
    /// A feature report to send, with its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    feature: Option<HexBytes>,
    /// How long to wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_ms: Option<u64>,
    /// The string must be a text that fits this pattern, in which `*` stands for any text.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The string is bytes, and has this many at least, with its header of 2 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    min_size: Option<u8>,
    /// The udev property that the answer becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    property: Option<String>,
    /// Whether the switch goes on if the device refuses the step or answers something else.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
    /// The step is left out if an earlier step has given this property.
    #[serde(skip_serializing_if = "Option::is_none")]
    unless: Option<String>,
}

/// What a string must look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Text that fits a pattern.
    Text {
        /// The pattern, in which `*` stands for any text.
        pattern: String,
    },
    /// Bytes.
    Bytes {
        /// The least size, with the header of 2 bytes.
        min_size: u8,
    },
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read a string descriptor in US English.
    String {
        /// Its index.
        index: u8,
        /// The expected answer.
        expected: Expected,
    },
    /// Send an output report to the HID device. The bytes begin with its id. Zeros are added up to the declared size.
    Output(Vec<u8>),
    /// Set a feature report of the HID device. The bytes are as for an output report.
    Feature(Vec<u8>),
    /// Wait, for milliseconds.
    Pause(u64),
}

fn default_limit() -> u64 {
    2000
}

impl ModeSwitch {
    /// The most steps.
    const MOST_STEPS: usize = 16;

    /// The longest time for all steps, in milliseconds. A user waits for it.
    const LONGEST_MS: u64 = 8000;

    /// Returns whether a step sends a report to the HID device.
    pub fn sends_reports(&self) -> bool {
        self.steps.iter().any(|step| step.output.is_some() || step.feature.is_some())
    }

    /// Returns the udev properties that the answers become.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        self.steps.iter().filter_map(Step::property)
    }

    /// Checks the constraints that the types can't express. `vendors` are those of the manifest's match rules.
    ///
    /// # Errors
    /// A step is invalid, or dangerous for devices of a vendor.
    pub fn check(&self, vendors: &[VendorId]) -> Result<(), String> {
        if !(1..=ModeSwitch::MOST_STEPS).contains(&self.steps.len()) {
            return Err(format!("a mode switch has 1 to {} steps", ModeSwitch::MOST_STEPS));
        }
        if !(1..=ModeSwitch::LONGEST_MS).contains(&self.limit_ms) {
            return Err(format!("invalid `limit-ms`: expected 1 to {}", ModeSwitch::LONGEST_MS));
        }
        if let Some(tool) = &self.unless_installed
            && (tool.is_empty() || !tool.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
        {
            return Err("invalid `unless-installed`: expected the name of a program".to_owned());
        }
        for (index, step) in self.steps.iter().enumerate() {
            let number = index + 1;
            step.check().map_err(|why| format!("step {number} of the mode switch: {why}"))?;
            if let Some(string) = step.string
                && let Some(effect) = vendors.iter().find_map(|vendor| hazards::of_string(*vendor, string))
            {
                return Err(format!("step {number} of the mode switch reads the string {string}: {effect}"));
            }
            let is_earlier = |name: &String| self.steps[..index].iter().any(|step| step.property() == Some(name));
            if let Some(name) = step.unless.as_ref().filter(|name| !is_earlier(name)) {
                let name = Printable(name);
                return Err(format!("step {number} of the mode switch: no earlier step has the property `{name}`"));
            }
        }
        Ok(())
    }
}

impl Step {
    /// The most bytes of a report.
    const MOST_BYTES: usize = 64;

    /// Returns what the step does, or `None` if it is invalid.
    pub fn action(&self) -> Option<Action> {
        match (self.string, &self.output, &self.feature, self.pause_ms) {
            (Some(index), None, None, None) => {
                let expected = match (&self.text, self.min_size) {
                    (Some(pattern), None) => Expected::Text { pattern: pattern.clone() },
                    (None, Some(min_size)) => Expected::Bytes { min_size },
                    _ => return None,
                };
                Some(Action::String { index, expected })
            }
            (None, Some(HexBytes(report)), None, None) => Some(Action::Output(report.clone())),
            (None, None, Some(HexBytes(report)), None) => Some(Action::Feature(report.clone())),
            (None, None, None, Some(time)) => Some(Action::Pause(time)),
            _ => None,
        }
    }

    /// Returns the udev property that the answer becomes.
    pub fn property(&self) -> Option<&str> {
        self.property.as_deref()
    }

    /// Returns whether the switch goes on if the step fails.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// Returns the property that makes the step unnecessary.
    pub fn unless(&self) -> Option<&str> {
        self.unless.as_deref()
    }

    /// Returns the step in words: "reads the string 200".
    pub fn words(&self) -> String {
        match self.action() {
            Some(Action::String { index, .. }) => format!("reads the string {index}"),
            Some(Action::Output(report)) => format!("sends the output report {}", HexBytes(report)),
            Some(Action::Feature(report)) => format!("sets the feature report {}", HexBytes(report)),
            Some(Action::Pause(time)) => format!("waits {time} ms"),
            None => "does nothing".to_owned(),
        }
    }

    fn check(&self) -> Result<(), String> {
        let Some(action) = self.action() else {
            return Err(
                "expected one of `string`, `output`, `feature` and `pause-ms`, and for a string either `text` or \
                 `min-size`"
                    .to_owned(),
            );
        };
        match &action {
            Action::String { index: 0, .. } => return Err("the string 0 is the list of languages".to_owned()),
            Action::String { expected: Expected::Bytes { min_size: 0..2 }, .. } => {
                return Err("invalid `min-size`: a string has 2 bytes at least".to_owned());
            }
            Action::String { .. } => {}
            _ if self.property.is_some() || self.text.is_some() || self.min_size.is_some() => {
                return Err("only a string has an answer".to_owned());
            }
            Action::Output(report) | Action::Feature(report)
                if !(1..=Step::MOST_BYTES).contains(&report.len()) || report.first() == Some(&0) =>
            {
                return Err(format!("expected a report of 1 to {} bytes that begins with its id", Step::MOST_BYTES));
            }
            Action::Pause(time) if *time > ModeSwitch::LONGEST_MS => {
                return Err(format!("invalid `pause-ms`: expected {} at most", ModeSwitch::LONGEST_MS));
            }
            _ => {}
        }
        self.property.as_deref().map_or(Ok(()), check_property)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(steps: &str) -> ModeSwitch {
        toml::from_str(&format!("steps = [\n{steps}\n]")).unwrap()
    }

    #[test]
    fn steps_are_read_in_order() {
        let switch = parse(
            "{ string = 201, text = \"HUION_*\", property = \"HUION_FIRMWARE_ID\" },
             { string = 200, min-size = 18, property = \"HUION_MAGIC_BYTES\", optional = true },
             { pause-ms = 10, unless = \"HUION_MAGIC_BYTES\" },
             { output = \"02 b0 04\" },",
        );
        switch.check(&[VendorId(0x256c)]).unwrap();
        assert_eq!(switch.properties().collect::<Vec<_>>(), ["HUION_FIRMWARE_ID", "HUION_MAGIC_BYTES"]);
        assert!(switch.sends_reports());
        let words: Vec<String> = switch.steps.iter().map(Step::words).collect();
        let expected =
            ["reads the string 201", "reads the string 200", "waits 10 ms", "sends the output report 02 b0 04"];
        assert_eq!(words, expected);
        let json = serde_json::to_string(&switch).unwrap();
        assert_eq!(serde_json::from_str::<ModeSwitch>(&json).unwrap(), switch);
    }

    #[test]
    fn a_dangerous_string_is_refused_for_the_vendor() {
        let switch = parse("{ string = 200, min-size = 18 },");
        switch.check(&[VendorId(0x256c)]).unwrap();
        let error = switch.check(&[VendorId(0x256c), VendorId(0x28bd)]).unwrap_err();
        assert!(error.contains("reads the string 200: such devices then disappear"), "{error}");
    }

    #[test]
    fn each_mistake_is_explained() {
        for (steps, why) in [
            ("", "1 to 16 steps"),
            ("{ },", "expected one of"),
            ("{ string = 1 },", "either `text` or"),
            ("{ string = 1, text = \"*\", min-size = 4 },", "either `text` or"),
            ("{ string = 1, min-size = 4, output = \"02\" },", "expected one of"),
            ("{ string = 0, min-size = 4 },", "list of languages"),
            ("{ string = 1, min-size = 1 },", "2 bytes at least"),
            ("{ output = \"00 01\" },", "begins with its id"),
            ("{ output = \"02\", property = \"A\" },", "only a string has an answer"),
            ("{ pause-ms = 9000 },", "8000 at most"),
            ("{ string = 1, min-size = 4, property = \"HIDBPF_X\" },", "HIDBPF_X"),
            ("{ string = 1, min-size = 4, property = \"lower\" },", "lower"),
            ("{ string = 1, min-size = 4, unless = \"A\" },", "no earlier step has the property `A`"),
        ] {
            let error = parse(steps).check(&[]).unwrap_err();
            assert!(error.contains(why), "{steps}: {error}");
        }
        let limit = ModeSwitch { limit_ms: 9000, ..parse("{ pause-ms = 1 },") };
        assert!(limit.check(&[]).unwrap_err().contains("limit-ms"));
        let tool = ModeSwitch { unless_installed: Some("../x".to_owned()), ..parse("{ pause-ms = 1 },") };
        assert!(tool.check(&[]).unwrap_err().contains("unless-installed"));
    }
}
