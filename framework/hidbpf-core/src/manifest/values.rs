//! The values that a driver reads of the match rule which chose it, such as the size of a model.
//!
//! The build puts them into the object as a table of constants, with an entry for each rule. So they cost nothing when
//! the driver is attached, and the manifest in the object does not repeat them.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// The values of a match rule, by name.
pub type Values = BTreeMap<String, Number>;

/// A value of a model: a number that fits 32 bits. A manifest may say `true` for 1 and `false` for 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(pub i64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, or a whole number of 32 bits")
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Number, E> {
                Ok(Number(value.into()))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Number, E> {
                match value {
                    -0x8000_0000..=0xffff_ffff => Ok(Number(value)),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Signed(value), &self)),
                }
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Number, E> {
                let unexpected = || E::invalid_value(serde::de::Unexpected::Unsigned(value), &self);
                i64::try_from(value).map_err(|_| unexpected()).and_then(|value| self.visit_i64(value))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
