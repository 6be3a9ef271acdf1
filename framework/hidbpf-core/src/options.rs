//! The options of a driver, which users can set while it is attached.
//!
//! A manifest declares their names, ranges and defaults. In the object each option is a variable of the section
//! [`SECTION`]. The SDK's macros declare the variables, and the build fills in the defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::names::is_name;
use crate::text::Printable;

/// The section of an object that holds its options and nothing else.
pub const SECTION: &str = ".data.options";

/// The prefix of their variables' names.
pub const PREFIX: &str = "option_";

/// The prefix of the udev properties that set options: `HIDBPF_OPTION_MOUSE_INVERT_Y_AXIS`.
pub const PROPERTY_PREFIX: &str = "HIDBPF_OPTION_";

/// The value of an option, as manifests and configurations write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected true, false, a whole number or a text")]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Integer(i64),
    /// The name of a choice.
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{}", Printable(value)),
        }
    }
}

/// Values of options by name.
pub type Values = BTreeMap<String, Value>;

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// True or false.
    Bool,
    /// A number in a range.
    Integer,
    /// One of several names.
    Choice,
}

/// An option, as the manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriverOption {
    /// Its name: lower-case letters, digits and single hyphens, beginning with a letter.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// The lowest valid number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i32>,
    /// The highest valid number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
    /// The names of the choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The default value.
    pub default: Value,
    /// Its purpose, in a sentence.
    pub description: String,
    /// Whether the driver reads it only when it is attached, so that a new value requires reattaching.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reattach: bool,
}

impl DriverOption {
    /// Checks the constraints that the types can't express.
    ///
    /// The first part of an error is a text to search for, to find the line.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let name = Printable(&self.name);
        if !is_name(&self.name) {
            let what = format!(
                "`{name}` can't be an option's name (expected lower-case letters, digits and single hyphens, a letter first)"
            );
            return Err(("[[option]]", what));
        }
        let given = (self.min.is_some() || self.max.is_some(), !self.values.is_empty());
        let wrong = match (self.kind, given) {
            (Type::Bool, (false, false)) => None,
            (Type::Bool, _) => Some("is a bool, and has neither `min` and `max` nor `values`"),
            (Type::Integer, (_, false)) => match (self.min, self.max) {
                (Some(min), Some(max)) if min < max => None,
                _ => Some("is an integer, and needs a `min` and a `max` that is higher"),
            },
            (Type::Choice, (false, _)) if self.values.len() > 1 => None,
            (Type::Integer | Type::Choice, _) => {
                Some("needs `min` and `max` as an integer, or two `values` or more as a choice")
            }
        };
        if let Some(wrong) = wrong {
            return Err(("[[option]]", format!("the option `{name}` {wrong}")));
        }
        for (index, value) in self.values.iter().enumerate() {
            if !is_name(value) || self.values[..index].contains(value) {
                let what = format!(
                    "`{}` can't be a value of the option `{name}` (expected lower-case letters, digits and single hyphens, each once)",
                    Printable(value)
                );
                return Err(("values", what));
            }
        }
        if self.description.trim().is_empty() || self.description.chars().any(char::is_control) {
            return Err(("description", format!("the option `{name}` needs a `description`, one line of text")));
        }
        self.number(&self.default)
            .map(drop)
            .map_err(|why| ("default", format!("the default of the option `{name}`: {why}")))
    }

    /// Returns the name of its variable.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('-', "_"))
    }

    /// Returns the size of its variable, in bytes.
    pub fn size(&self) -> usize {
        match self.kind {
            Type::Bool => 1,
            Type::Integer | Type::Choice => 4,
        }
    }

    /// Returns the name of the udev property that sets it.
    pub fn property(&self, driver: &str) -> String {
        format!("{PROPERTY_PREFIX}{driver}_{}", self.name).to_uppercase().replace('-', "_")
    }

    fn bounds(&self) -> RangeInclusive<i64> {
        i64::from(self.min.unwrap_or(i32::MIN))..=i64::from(self.max.unwrap_or(i32::MAX))
    }

    /// Returns the number that the variable holds for a value.
    ///
    /// # Errors
    /// The value is invalid. The text names the value and the expected range.
    pub fn number(&self, value: &Value) -> Result<i64, String> {
        let number = match (self.kind, value) {
            (Type::Bool, Value::Bool(value)) => Some(i64::from(*value)),
            (Type::Integer, Value::Integer(value)) => Some(*value).filter(|value| self.bounds().contains(value)),
            (Type::Choice, Value::Text(value)) => {
                self.values.iter().position(|known| known == value).and_then(|index| i64::try_from(index).ok())
            }
            _ => None,
        };
        number.ok_or_else(|| format!("`{value}` is not {}", self.range()))
    }

    /// Returns the bytes of the variable for a number.
    pub fn bytes(&self, number: i64) -> Vec<u8> {
        number.to_le_bytes()[..self.size()].to_vec()
    }

    /// Returns the value for the variable's bytes, or `None` if they are not a valid value.
    pub fn value(&self, bytes: &[u8]) -> Option<Value> {
        match self.kind {
            Type::Bool => match bytes {
                [0] => Some(Value::Bool(false)),
                [1] => Some(Value::Bool(true)),
                _ => None,
            },
            Type::Integer => {
                let number = i64::from(i32::from_le_bytes(bytes.try_into().ok()?));
                self.bounds().contains(&number).then_some(Value::Integer(number))
            }
            Type::Choice => {
                let index = u32::from_le_bytes(bytes.try_into().ok()?);
                self.values.get(index as usize).map(|name| Value::Text(name.clone()))
            }
        }
    }

    /// Parses a value as users type it and udev stores it.
    ///
    /// # Errors
    /// The value is invalid. The text names the expected range.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.kind {
            Type::Bool => text.parse().map(Value::Bool).ok(),
            Type::Integer => text.parse().map(Value::Integer).ok(),
            Type::Choice => Some(Value::Text(text.to_owned())),
        };
        let value = value.ok_or_else(|| format!("`{}` is not {}", Printable(text), self.range()))?;
        self.number(&value).map(|_| value)
    }

    /// Returns the valid values, in words.
    pub fn range(&self) -> String {
        match self.kind {
            Type::Bool => "true or false".to_owned(),
            Type::Integer => format!("a number from {} to {}", self.bounds().start(), self.bounds().end()),
            Type::Choice => match self.values.split_last() {
                Some((last, others)) => format!("{} or {last}", others.join(", ")),
                None => String::new(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(text: &str) -> DriverOption {
        toml::from_str(&format!("name = \"dial-steps\"\ndescription = \"Steps.\"\n{text}")).unwrap()
    }

    #[test]
    fn values_become_bytes_and_come_back() {
        for (kind, text, expected) in [
            ("type = \"bool\"\ndefault = false", "true", &[1][..]),
            ("type = \"integer\"\nmin = -300\nmax = 7\ndefault = 1", "-300", &[0xd4, 0xfe, 0xff, 0xff]),
            ("type = \"choice\"\nvalues = [\"a\", \"b-c\"]\ndefault = \"a\"", "b-c", &[1, 0, 0, 0]),
        ] {
            let option = option(kind);
            option.check().unwrap();
            let value = option.parse(text).unwrap();
            let bytes = option.bytes(option.number(&value).unwrap());
            assert_eq!(bytes, expected, "{kind}");
            assert_eq!(option.value(&bytes), Some(value));
            assert_eq!(option.value(&[9, 9, 9, 9]), None);
            let error = option.parse("8x").unwrap_err();
            assert!(error.starts_with("`8x` is not ") && error.ends_with(&option.range()), "{error}");
        }
        assert_eq!(option("type = \"bool\"\ndefault = true").property("mouse-x"), "HIDBPF_OPTION_MOUSE_X_DIAL_STEPS");
        assert_eq!(option("type = \"bool\"\ndefault = true").variable(), "option_dial_steps");
    }

    #[test]
    fn what_no_option_can_be_is_refused() {
        for (text, words) in [
            ("type = \"bool\"\ndefault = 1", "default of the option `dial-steps`: `1` is not true or false"),
            ("type = \"bool\"\nmin = 1\ndefault = true", "neither `min` and `max` nor `values`"),
            ("type = \"integer\"\nmin = 1\ndefault = 1", "needs a `min` and a `max`"),
            ("type = \"integer\"\nmin = 2\nmax = 1\ndefault = 1", "needs a `min` and a `max`"),
            ("type = \"integer\"\nmin = 2\nmax = 3\ndefault = 1", "`1` is not a number from 2 to 3"),
            ("type = \"choice\"\nvalues = [\"a\"]\ndefault = \"a\"", "two `values` or more"),
            ("type = \"choice\"\nvalues = [\"a\", \"a\"]\ndefault = \"a\"", "`a` can't be a value"),
            ("type = \"choice\"\nvalues = [\"a\", \"B\"]\ndefault = \"a\"", "`B` can't be a value"),
            ("type = \"choice\"\nvalues = [\"a\", \"b\"]\ndefault = \"c\"", "`c` is not a or b"),
        ] {
            let (_, why) = option(text).check().unwrap_err();
            assert!(why.contains(words), "{text}: {why}");
        }
        let wrong = DriverOption { name: "2x".to_owned(), ..option("type = \"bool\"\ndefault = true") };
        assert!(wrong.check().unwrap_err().1.contains("can't be an option's name"));
    }
}
