//! The repairs that a manifest can declare, as TOML has them. docs/declared-drivers.md describes each key.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};
use toml::Spanned;

use crate::bytes::Bytes;
use crate::mistake::Mistake;

/// All repairs of a driver.
#[derive(Clone, Debug, Default)]
pub struct Declaration {
    /// The changes of descriptors.
    pub descriptor: Vec<Spanned<DescriptorChange>>,
    /// The rules for reports, in the order in which they apply.
    pub report: Vec<Spanned<ReportRule>>,
}

impl Declaration {
    pub(crate) fn parse(text: &str) -> Result<Declaration, Mistake> {
        /// The other keys of a manifest are read elsewhere.
        #[derive(serde::Deserialize)]
        struct Both {
            #[serde(default)]
            descriptor: Vec<Spanned<DescriptorChange>>,
            #[serde(default)]
            report: Vec<Spanned<ReportRule>>,
        }
        let Both { descriptor, report } = toml::from_str(text)?;
        Ok(Declaration { descriptor, report })
    }

    /// Returns whether the manifest declares any repair.
    pub fn is_empty(&self) -> bool {
        self.descriptor.is_empty() && self.report.is_empty()
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        OneOrMore(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = OneOrMore<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value, or a list of them")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::deserialize(de::value::StrDeserializer::new(text)).map(|one| OneOrMore(vec![one]))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                T::deserialize(de::value::I64Deserializer::new(number)).map(|one| OneOrMore(vec![one]))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
                T::deserialize(de::value::BoolDeserializer::new(value)).map(|one| OneOrMore(vec![one]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(OneOrMore(all))
            }
        }

        deserializer.deserialize_any(Either(std::marker::PhantomData))
    }
}

/// One `[[descriptor]]`: changes of the descriptors that some match rules match.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DescriptorChange {
    /// The labels of the match rules. Without it, all of them.
    #[serde(default, rename = "match")]
    pub labels: Option<Spanned<OneOrMore<String>>>,
    /// Options that must have these values.
    #[serde(default)]
    pub when: Vec<Spanned<Condition>>,
    /// Bytes or items to change, if they are as expected.
    #[serde(default)]
    pub patch: Vec<Spanned<Patch>>,
    /// Bytes to insert.
    #[serde(default)]
    pub insert: Vec<Spanned<Insert>>,
    /// Bytes to remove, if they are as expected.
    #[serde(default)]
    pub remove: Vec<Spanned<Remove>>,
    /// Bytes to write over others, without a comparison.
    #[serde(default)]
    pub overwrite: Vec<Spanned<Overwrite>>,
    /// Bytes to add at the end.
    pub append: Option<Spanned<Bytes>>,
    /// A descriptor to use instead.
    pub replace: Option<Spanned<Bytes>>,
}

/// The place of a change: a byte, or an item by what it means.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Patch {
    /// The offset of the first byte.
    pub at: Option<u32>,
    /// The name of an item: "Usage Maximum".
    pub item: Option<Spanned<String>>,
    /// The field that the item is for: a usage, "array", or either with "#2".
    pub of: Option<Spanned<String>>,
    /// The ID of the field's report.
    pub report: Option<u8>,
    /// The type of the field's report.
    #[serde(default)]
    pub kind: ReportKind,
    /// The expected bytes or value.
    pub from: Option<Spanned<ItemValue>>,
    /// The new bytes or value.
    pub to: Option<Spanned<ItemValue>>,
}

/// A type of report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReportKind {
    /// Reports from the device.
    #[default]
    Input,
    /// Reports to the device.
    Output,
    /// Reports that both sides send on request.
    Feature,
}

/// The value of an item.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemValue {
    /// A number.
    Number(i64),
    /// Bytes in hex, an item's flags, or an option.
    Text(String),
    /// A number that an option decides.
    Option(OptionValue),
}

/// A number that an option decides.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct OptionValue {
    /// The option.
    pub option: String,
    /// The number to divide by the option. Otherwise the number is the option itself.
    pub dividend: Option<u32>,
}

impl<'de> Deserialize<'de> for ItemValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = ItemValue;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, bytes in hex, the flags of an item, or { option = \"name\" }")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<ItemValue, E> {
                Ok(ItemValue::Number(number))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ItemValue, E> {
                Ok(ItemValue::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ItemValue, A::Error> {
                OptionValue::deserialize(MapAccessDeserializer::new(map)).map(ItemValue::Option)
            }
        }

        deserializer.deserialize_any(Values)
    }
}

/// Bytes to insert.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Insert {
    /// The offset that the first of them gets.
    pub at: u32,
    /// The bytes.
    pub bytes: Bytes,
}

/// Bytes to remove.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Remove {
    /// The offset of the first.
    pub at: u32,
    /// The expected bytes.
    pub bytes: Bytes,
}

/// Bytes to write.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Overwrite {
    /// The offset of the first.
    pub at: u32,
    /// The bytes.
    pub bytes: Bytes,
}

/// One `[[report]]`: what is done with reports.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReportRule {
    /// The labels of the match rules. Without it, all of them.
    #[serde(default, rename = "match")]
    pub labels: Option<Spanned<OneOrMore<String>>>,
    /// The report's ID. Otherwise the rule is for all reports.
    pub id: Option<u8>,
    /// The bytes that the report must have at least. Otherwise as many as the rule reads or writes.
    pub size: Option<u32>,
    /// Which types of reports the rule is for.
    #[serde(default, rename = "type")]
    pub kind: Types,
    /// Conditions. All must hold.
    #[serde(default)]
    pub when: Vec<Spanned<Condition>>,
    /// What is done, in this order.
    #[serde(default, rename = "do")]
    pub steps: Vec<Spanned<Step>>,
}

/// The types of reports that a rule is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Types {
    /// Input reports.
    #[default]
    Input,
    /// Also answers to GET_REPORT.
    Any,
}

/// A condition: one subject, and one comparison.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Condition {
    /// The option to compare.
    pub option: Option<Spanned<String>>,
    /// The udev property of the device to compare.
    pub property: Option<Spanned<String>>,
    /// The field, or held value, to compare.
    pub value: Option<Spanned<String>>,
    /// The size of the report in bytes.
    pub size: Option<Spanned<i64>>,
    /// The bits of the value to compare. Otherwise all.
    pub mask: Option<Spanned<u32>>,
    /// The value that it must have, or one of several.
    pub is: Option<Spanned<OneOrMore<Constant>>>,
    /// The value that it must not have, nor any of several.
    pub not: Option<Spanned<OneOrMore<Constant>>>,
    /// A number that it must be above.
    pub above: Option<Spanned<i64>>,
    /// A number that it must be below.
    pub below: Option<Spanned<i64>>,
}

/// A constant value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(untagged, expecting = "expected true, false, a whole number or the name of a choice")]
pub enum Constant {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(i64),
    /// The name of a choice.
    Text(String),
}

/// A step of a rule: one action, with what belongs to it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// Changes a field or held value: its own value goes through the calculation.
    pub change: Option<Spanned<String>>,
    /// Sets a field or held value to `to`, which goes through the calculation.
    pub set: Option<Spanned<String>>,
    /// Moves a field: `to` gets its value, and the field itself becomes 0.
    #[serde(rename = "move")]
    pub moved: Option<Spanned<String>>,
    /// What `set` reads, or where `move` writes.
    pub to: Option<Spanned<Operand>>,
    /// Writes bytes.
    pub write: Option<Spanned<Bytes>>,
    /// Where `write` begins. Default: 0.
    pub at: Option<u32>,
    /// Sets a field for a moment when a value changes: the press and the release of a button.
    pub click: Option<Spanned<String>>,
    /// The field or held value whose changes `click` waits for. Default: the clicked field itself.
    pub of: Option<Spanned<String>>,
    /// The changes that `click` waits for.
    pub on: Option<Spanned<Edge>>,
    /// Drops the report.
    pub drop: Option<Spanned<bool>>,
    /// Cuts or pads the report to so many bytes.
    pub length: Option<Spanned<u32>>,
    /// Begins other steps that have their own conditions.
    #[serde(rename = "if")]
    pub conditions: Option<Vec<Spanned<Condition>>>,
    /// The steps if the conditions hold.
    #[serde(default, rename = "do")]
    pub steps: Vec<Spanned<Step>>,
    /// The steps if they do not hold.
    #[serde(default, rename = "else")]
    pub otherwise: Vec<Spanned<Step>>,

    // The calculation, in this order.
    /// Takes so many bits of the value as a signed number.
    pub sign_extend: Option<Spanned<u32>>,
    /// Changes the sign.
    #[serde(default)]
    pub negate: bool,
    /// Adds a number.
    pub add: Option<Spanned<Operand>>,
    /// Multiplies.
    pub multiply: Option<Spanned<Operand>>,
    /// Divides, towards zero.
    pub divide: Option<Spanned<Operand>>,
    /// Adds a number after that.
    pub offset: Option<Spanned<Operand>>,
    /// Keeps these bits.
    pub and: Option<u32>,
    /// Sets these bits.
    pub or: Option<u32>,
    /// Flips these bits.
    pub xor: Option<u32>,
    /// Replaces values by others. Values that are not listed stay.
    pub map: Option<Spanned<BTreeMap<String, i64>>>,
    /// The result of values that `map` does not list.
    pub otherwise_value: Option<i64>,
    /// Limits the value to a range.
    pub clamp: Option<Spanned<[i64; 2]>>,
}

/// A change of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// From 0 to another value.
    #[default]
    Rise,
    /// To 0.
    Fall,
    /// Either of them.
    Both,
}

/// What a calculation reads: a number, or a field, held value or option by name.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(untagged, expecting = "expected a whole number, true, false, a field, \"held.NAME\" or \"option.NAME\"")]
pub enum Operand {
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(i64),
    /// A field, held value or option.
    Name(String),
}
