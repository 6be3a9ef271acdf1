//! The values that a driver's setup reads from the device and exports to the system as udev properties.
//!
//! A manifest declares their names and ranges. The setup writes a number for each to a variable of the section
//! [`SECTION`], which the SDK's macro declares. So udev's properties only receive the manifest's texts and numbers,
//! regardless of the device's answers.

use serde::{Deserialize, Serialize};

use crate::names::check_property;
use crate::text::Printable;

/// The section of an object that holds their variables and nothing else.
pub const SECTION: &str = ".data.exports";

/// The prefix of their variables' names.
pub const PREFIX: &str = "export_";

/// The size of their variables, in bytes.
pub const SIZE: usize = size_of::<u32>();

/// A udev property that a driver sets on its device, as the manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Export {
    /// The property's name: capitals, digits and underscores, beginning with a letter.
    pub property: String,
    /// The property's values for 0, 1 and so on. If empty, the value is the number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The value for all other numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
}

impl Export {
    /// Checks the constraints that the types can't express.
    ///
    /// The first part of an error is a text to search for, to find the line.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let name = Printable(&self.property);
        check_property(&self.property).map_err(|why| ("[[export]]", why))?;
        if self.values.is_empty() != self.otherwise.is_none() {
            return Err(("[[export]]", format!("the export `{name}` needs both `values` and `otherwise`, or neither")));
        }
        match self.values.iter().chain(&self.otherwise).find(|value| !is_plain(value)) {
            Some(value) => Err((
                "[[export]]",
                format!(
                    "`{}` can't be a value of the export `{name}` (expected ASCII without quotes and backslashes, and no space at either end)",
                    Printable(value)
                ),
            )),
            None => Ok(()),
        }
    }

    /// Returns the name of its variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.property)
    }

    /// Returns the possible values, in words.
    pub fn range(&self) -> String {
        match &self.otherwise {
            Some(otherwise) => format!("{} or {otherwise}", self.values.join(", ")),
            None => "a number".to_owned(),
        }
    }

    /// Returns the property's value for the variable's number.
    pub fn text(&self, number: u32) -> String {
        let text = self.values.get(number as usize).or(self.otherwise.as_ref());
        text.cloned().unwrap_or_else(|| number.to_string())
    }
}

/// Returns the exports of a foreign object: each of its maps whose name begins with `prefix` holds the text of a property.
///
/// Properties that can't be exported are left out.
pub(crate) fn of_maps<'m>(maps: impl IntoIterator<Item = &'m String>, prefix: &str) -> Vec<Exported> {
    let exported = |map: &'m String| {
        let property = map.strip_prefix(prefix)?.to_owned();
        let export = Export { property, values: Vec::new(), otherwise: None };
        export.check().ok()?;
        Some(Exported { export, offset: 0, map: Some(map.clone()), value: None })
    };
    maps.into_iter().filter_map(exported).collect()
}

/// Returns whether udev reads a text back unchanged when a rule imports it from a file.
fn is_plain(value: &str) -> bool {
    let is_plain = |byte: u8| (byte.is_ascii_graphic() || byte == b' ') && !b"\"'\\".contains(&byte);
    !value.is_empty() && value.trim() == value && value.bytes().all(is_plain)
}

/// A udev property that an attached driver sets on its device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Exported {
    /// The property.
    pub export: Export,
    /// The offset of its variable in [`SECTION`], in bytes.
    pub offset: usize,
    /// The map that has the property's text, for a foreign object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<String>,
    /// The property's value, after the setup has run.
    pub value: Option<String>,
}

impl Exported {
    /// Returns the name of the map that has the value.
    pub fn map(&self) -> &str {
        self.map.as_deref().unwrap_or(SECTION)
    }

    /// Reads the value from the bytes of [`Exported::map`]. Returns whether they contain it.
    ///
    /// A text that udev would not read back unchanged is left out.
    #[must_use]
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        if self.map.is_some() {
            let text = bytes.split(|byte| *byte == 0).next().and_then(|text| std::str::from_utf8(text).ok());
            self.value = text.filter(|text| is_plain(text)).map(str::to_owned);
            return true;
        }
        let bytes = bytes.get(self.offset..).and_then(|rest| rest.first_chunk::<SIZE>());
        self.value = bytes.map(|bytes| self.export.text(u32::from_le_bytes(*bytes)));
        self.value.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn export(text: &str) -> Export {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn numbers_become_texts_of_the_manifest() {
        let pad = export("property = \"PAD\"\nvalues = [\"Clickpad\", \"Pressure pad\"]\notherwise = \"Unknown\"");
        pad.check().unwrap();
        assert_eq!(pad.variable(), "export_PAD");
        assert_eq!(
            [0, 1, 2, u32::MAX].map(|number| pad.text(number)),
            ["Clickpad", "Pressure pad", "Unknown", "Unknown"]
        );
        let number = export("property = \"LEVEL_2\"");
        number.check().unwrap();
        assert_eq!(number.text(4_000_000_000), "4000000000");
        let mut exported = Exported { export: pad, offset: 4, map: None, value: None };
        assert!(exported.take(&[9, 9, 9, 9, 1, 0, 0, 0, 9]));
        assert_eq!(exported.value.as_deref(), Some("Pressure pad"));
        assert!(!exported.take(&[9, 9, 9, 9, 1, 0, 0]));
        assert_eq!(exported.value, None);
    }

    #[test]
    fn maps_of_foreign_objects_have_texts() {
        let maps = ["UDEV_PROP_PAD_TYPE", "UDEV_PROP_HIDBPF_X", "UDEV_PROP_lower", "other"].map(str::to_owned);
        let mut exports = of_maps(&maps, "UDEV_PROP_");
        let [pad] = exports.as_mut_slice() else { panic!("{exports:?}") };
        assert_eq!((pad.export.property.as_str(), pad.map()), ("PAD_TYPE", "UDEV_PROP_PAD_TYPE"));
        for (bytes, value) in [
            (b"Clickpad\0\0\0".as_slice(), Some("Clickpad")),
            (b"no end", Some("no end")),
            (b"\0", None),
            (b"a\nB=1\0", None),
            (b"\xff\0", None),
            (b"", None),
        ] {
            assert!(pad.take(bytes));
            assert_eq!(pad.value.as_deref(), value, "{bytes:?}");
        }
    }

    #[test]
    fn what_udev_would_read_otherwise_is_refused() {
        for (text, words) in [
            ("property = \"pad\"", "can't be the name of an exported property"),
            ("property = \"\"", "can't be the name"),
            ("property = \"1A\"", "can't be the name"),
            ("property = \"A=B\"", "can't be the name"),
            ("property = \"HIDBPF_DRIVER_X\"", "is among the properties that hidbpf goes by"),
            ("property = \"A\"\nvalues = [\"a\"]", "needs both"),
            ("property = \"A\"\notherwise = \"a\"", "needs both"),
            ("property = \"A\"\nvalues = [\"a\", \"\"]\notherwise = \"b\"", "`` can't be a value"),
            ("property = \"A\"\nvalues = [\" a\"]\notherwise = \"b\"", "` a` can't be a value"),
            ("property = \"A\"\nvalues = [\"'a'\"]\notherwise = \"b\"", "can't be a value"),
            ("property = \"A\"\nvalues = ['a\"b']\notherwise = \"b\"", "can't be a value"),
            ("property = \"A\"\nvalues = ['a\\n']\notherwise = \"b\"", "can't be a value"),
            ("property = \"A\"\nvalues = [\"a\\nB=1\"]\notherwise = \"b\"", "can't be a value"),
            ("property = \"A\"\nvalues = [\"a\"]\notherwise = \"ä\"", "can't be a value"),
        ] {
            let (_, why) = export(text).check().unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
