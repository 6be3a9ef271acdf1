//! The options of a driver, which users can set while it is attached.
//!
//! A manifest declares their names, ranges and defaults. In the object each option is a variable of the section
//! [`SECTION`]. The SDK's macros declare the variables, and the build fills in the defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::manifest::curve::{Curve, Shape};
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
#[serde(untagged, expecting = "expected true, false, a whole number, a text or points such as [[0, 0], [255, 255]]")]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Integer(i64),
    /// The name of a choice, or a text.
    Text(String),
    /// Points.
    Curve(Curve),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Text(value) => write!(f, "{}", Printable(value)),
            Value::Curve(value) => write!(f, "{value}"),
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
    /// A curve of points, which programs read as a table of values.
    Table,
    /// A text.
    Text,
}

/// The maximum size of a text, in bytes.
pub const MAX_TEXT: u32 = 255;

/// An option, as the manifest declares it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DriverOption {
    /// Its name: lower-case letters, digits and single hyphens, beginning with a letter.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// The lowest valid number, or the lowest valid value of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min: Option<i32>,
    /// The highest valid number, or the highest valid value of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<i32>,
    /// The names of the choices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// The range of the x of a table: that of its first value and that of its last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inputs: Option<(i32, i32)>,
    /// The number of values of a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// The maximum size of a text, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u32>,
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
        if let Some(wrong) = self.wrong_keys() {
            return Err(("[[option]]", format!("the option `{name}` {wrong}")));
        }
        if let Some(Err(wrong)) = self.shape().map(|shape| shape.step()) {
            return Err(("[[option]]", format!("the option `{name}` is an invalid table: {wrong}")));
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
        self.encode(&self.default)
            .map(drop)
            .map_err(|why| ("default", format!("the default of the option `{name}`: {why}")))
    }

    /// Returns which keys are missing, or do not fit its type.
    fn wrong_keys(&self) -> Option<&'static str> {
        let has_range = matches!((self.min, self.max), (Some(min), Some(max)) if min < max);
        let has = [
            self.min.is_some() || self.max.is_some(),
            !self.values.is_empty(),
            self.inputs.is_some() || self.size.is_some(),
            self.max_length.is_some(),
        ];
        let wrong = match (self.kind, has) {
            (Type::Bool, [false, false, false, false]) => return None,
            (Type::Integer, [true, false, false, false]) if has_range => return None,
            (Type::Choice, [false, true, false, false]) if self.values.len() > 1 => return None,
            (Type::Table, [true, false, true, false]) if has_range && self.shape().is_some() => return None,
            (Type::Text, [false, false, false, true])
                if self.max_length.is_some_and(|length| (1..=MAX_TEXT).contains(&length)) =>
            {
                return None;
            }
            (Type::Bool, _) => "is a bool, and has neither `min` and `max` nor `values`",
            (Type::Integer, [_, false, ..]) => "is an integer, and needs a `min` and a `max` that is higher",
            (Type::Integer | Type::Choice, _) => {
                "needs `min` and `max` as an integer, or two `values` or more as a choice"
            }
            (Type::Table, _) => "is a table, and needs `inputs`, `size`, a `min` and a `max` that is higher",
            (Type::Text, _) => "is a text, and needs a `max-length` from 1 to 255",
        };
        Some(wrong)
    }

    /// Returns the form of the table, if it is one.
    pub fn shape(&self) -> Option<Shape> {
        let ((first, last), size) = (self.inputs?, self.size?);
        let shape = Shape { first, last, size, min: self.min?, max: self.max? };
        Some(shape).filter(|_| self.kind == Type::Table)
    }

    /// Returns the maximum size of a text, in bytes.
    fn text_size(&self) -> usize {
        self.max_length.unwrap_or(0) as usize
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
            Type::Table => self.shape().map_or(0, |shape| shape.bytes()),
            // A zero ends it.
            Type::Text => self.text_size() + 1,
        }
    }

    /// Returns the name of the udev property that sets it.
    pub fn property(&self, driver: &str) -> String {
        format!("{PROPERTY_PREFIX}{driver}_{}", self.name).to_uppercase().replace('-', "_")
    }

    fn bounds(&self) -> RangeInclusive<i64> {
        i64::from(self.min.unwrap_or(i32::MIN))..=i64::from(self.max.unwrap_or(i32::MAX))
    }

    /// Returns the number that the variable of a bool, an integer or a choice holds for a value.
    ///
    /// # Errors
    /// The value is invalid, or the option is a table or a text. The text names the value and the expected range.
    pub fn number(&self, value: &Value) -> Result<i64, String> {
        let number = match (self.kind, value) {
            (Type::Bool, Value::Bool(value)) => Some(i64::from(*value)),
            (Type::Integer, Value::Integer(value)) => Some(*value).filter(|value| self.bounds().contains(value)),
            (Type::Choice, Value::Text(value)) => {
                self.values.iter().position(|known| known == value).and_then(|index| i64::try_from(index).ok())
            }
            (Type::Table | Type::Text, _) => {
                return Err(format!("the option `{}` is {}, not a number", self.name, self.range()));
            }
            _ => None,
        };
        number.ok_or_else(|| self.out_of_range(value))
    }

    fn out_of_range(&self, value: &impl fmt::Display) -> String {
        format!("`{value}` is not {}", self.range())
    }

    /// Returns the bytes of the variable for a value.
    ///
    /// # Errors
    /// The value is invalid. The text names the value and the expected range.
    pub fn encode(&self, value: &Value) -> Result<Vec<u8>, String> {
        match (self.kind, value) {
            (Type::Bool | Type::Integer | Type::Choice, _) => {
                self.number(value).map(|number| number.to_le_bytes()[..self.size()].to_vec())
            }
            (Type::Table, Value::Curve(curve)) => {
                let shape = self.shape().ok_or_else(|| self.out_of_range(value))?;
                let step = shape.step()?;
                curve.check(&shape).map_err(|why| format!("{}: {why}", self.out_of_range(value)))?;
                Ok(curve.bytes(&shape, step))
            }
            (Type::Text, Value::Text(text)) if self.is_text(text) => {
                let mut bytes = text.as_bytes().to_vec();
                bytes.resize(self.size(), 0);
                Ok(bytes)
            }
            (Type::Table | Type::Text, _) => Err(self.out_of_range(value)),
        }
    }

    fn is_text(&self, text: &str) -> bool {
        text.len() <= self.text_size() && !text.chars().any(char::is_control)
    }

    /// Returns the value for the variable's bytes, or `None` if they are not a valid value.
    ///
    /// A table's bytes give the points at which its values change direction, which may be more than a user gave.
    pub fn decode(&self, bytes: &[u8]) -> Option<Value> {
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
            Type::Table => {
                let shape = self.shape()?;
                Curve::of_bytes(&shape, shape.step().ok()?, bytes).map(Value::Curve)
            }
            Type::Text => {
                let text = bytes.iter().position(|byte| *byte == 0).and_then(|end| bytes.get(..end))?;
                let text = std::str::from_utf8(text).ok().filter(|text| self.is_text(text))?;
                (bytes.len() == self.size()).then(|| Value::Text(text.to_owned()))
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
            Type::Choice | Type::Text => Some(Value::Text(text.to_owned())),
            Type::Table => Curve::parse(text).map(Value::Curve),
        };
        let value = value.ok_or_else(|| self.out_of_range(&Printable(text)))?;
        self.encode(&value).map(|_| value)
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
            Type::Table => match self.shape() {
                Some(Shape { first, last, min, max, .. }) => format!(
                    "points x:y such as {first}:{min},{last}:{max}, with rising x from {first} to {last} and y from {min} to {max}"
                ),
                None => String::new(),
            },
            Type::Text => format!("a text of at most {} bytes without control characters", self.text_size()),
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
            let bytes = option.encode(&value).unwrap();
            assert_eq!(bytes, expected, "{kind}");
            assert_eq!(option.decode(&bytes), Some(value));
            assert_eq!(option.decode(&[9, 9, 9, 9]), None);
            let error = option.parse("8x").unwrap_err();
            assert!(error.starts_with("`8x` is not ") && error.ends_with(&option.range()), "{error}");
        }
        assert_eq!(option("type = \"bool\"\ndefault = true").property("mouse-x"), "HIDBPF_OPTION_MOUSE_X_DIAL_STEPS");
        assert_eq!(option("type = \"bool\"\ndefault = true").variable(), "option_dial_steps");
    }

    #[test]
    fn a_table_and_a_text_fill_their_variables() {
        let table =
            option("type = \"table\"\ninputs = [0, 2]\nsize = 3\nmin = -1\nmax = 9\ndefault = [[0, -1], [2, 9]]");
        table.check().unwrap();
        let numbers = |numbers: [i32; 5]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
        let value = table.parse("0:-1,2:9").unwrap();
        assert_eq!((value.clone(), value.to_string()), (table.default.clone(), "0:-1,2:9".to_owned()));
        assert_eq!(table.encode(&value), Ok(numbers([0, 1, -1, 4, 9])));
        assert_eq!(table.decode(&numbers([0, 1, 3, 3, 3])).unwrap().to_string(), "0:3,2:3");
        assert_eq!(table.decode(&numbers([0, 1, 3, 3, 10])), None);
        for (text, words) in [
            (
                "0:0,2:10",
                "`0:0,2:10` is not points x:y such as 0:-1,2:9, with rising x from 0 to 2 and y from -1 to 9: invalid point 2",
            ),
            ("0:0", "it has 1 points"),
            ("fast", "`fast` is not points x:y"),
        ] {
            let error = table.parse(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!(table.encode(&Value::Integer(1)).is_err() && table.number(&value).is_err());

        let text = option("type = \"text\"\nmax-length = 4\ndefault = \"\"");
        text.check().unwrap();
        assert_eq!(text.encode(&text.parse("abc").unwrap()), Ok(b"abc\0\0".to_vec()));
        assert_eq!(text.decode(b"abcd\0"), Some(Value::Text("abcd".to_owned())));
        for bytes in [&b"abcde"[..], b"abc\0", b"a\n\0\0\0", b"\xff\0\0\0\0"] {
            assert_eq!(text.decode(bytes), None, "{bytes:?}");
        }
        for wrong in ["abcde", "a\nb", "äöü"] {
            let error = text.parse(wrong).unwrap_err();
            assert!(error.ends_with("is not a text of at most 4 bytes without control characters"), "{error}");
        }
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
            ("type = \"text\"\ndefault = \"a\"", "needs a `max-length` from 1 to 255"),
            ("type = \"text\"\nmax-length = 256\ndefault = \"a\"", "needs a `max-length` from 1 to 255"),
            ("type = \"text\"\nmax-length = 1\ndefault = \"ab\"", "is not a text of at most 1 bytes"),
            ("type = \"bool\"\nmax-length = 1\ndefault = true", "neither `min` and `max` nor `values`"),
            ("type = \"table\"\nmin = 1\nmax = 2\nsize = 3\ndefault = [[0, 1], [1, 2]]", "needs `inputs`, `size`"),
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
