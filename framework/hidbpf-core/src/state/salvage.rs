//! Reads the usable parts of a state file that another version of hidbpf wrote, or that is damaged.
//!
//! `salvage()` reads some fields from files of any version. Their names and meanings never change. Fields about
//! attached drivers are read only from files of this version. The pins show which drivers are attached, and missing
//! details count as unknown.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{DeviceState, VERSION};

/// Reads the fields of a state file into `state`, up to the first syntax error.
///
/// Returns descriptions of the parts that it could not use.
pub(super) fn salvage(text: &[u8], state: &mut DeviceState) -> Vec<String> {
    let mut fields = Fields { state, version: None, unusable: Vec::new() };
    let mut text = serde_json::Deserializer::from_slice(text);
    let read = (&mut fields).deserialize(&mut text).and_then(|()| text.end());
    if let Err(error) = read {
        fields.unusable.push(format!("everything after this error: {error}"));
    }
    fields.unusable
}

struct Fields<'a> {
    state: &'a mut DeviceState,
    version: Option<u32>,
    unusable: Vec<String>,
}

impl Fields<'_> {
    fn take(&mut self, name: &str, value: Value) {
        let state = &mut *self.state;
        let is_usable = match name {
            "version" => one(value, &mut self.version),
            "device" => one(value, &mut state.device),
            "hid-name" => one(value, &mut state.hid_name),
            "modalias" => one(value, &mut state.modalias),
            "original" | "rdesc" => {
                let is_usable =
                    one(value, &mut state.original) && (state.original.is_empty() || state.original().is_some());
                if !is_usable {
                    state.original.clear();
                }
                is_usable
            }
            "taken-off" => each(value, &mut state.unloaded),
            "set" => one(value, &mut state.set),
            "failures" => each(value, &mut state.failures),
            "mode-switches" => self.version == Some(VERSION) && each(value, &mut state.mode_switches),
            "drivers" => self.version == Some(VERSION) && each(value, &mut state.drivers),
            _ => self.version.is_some_and(|version| version > VERSION),
        };
        if !is_usable {
            self.unusable.push(format!("`{name}`"));
        }
    }
}

fn one<T: DeserializeOwned>(value: Value, place: &mut T) -> bool {
    T::deserialize(value).map(|value| *place = value).is_ok()
}

/// Adds the usable items, and returns whether all were usable.
fn each<T: DeserializeOwned>(value: Value, place: &mut Vec<T>) -> bool {
    let Value::Array(items) = value else { return false };
    let count = items.len();
    place.extend(items.into_iter().filter_map(|item| T::deserialize(item).ok()));
    place.len() == count
}

impl<'de> DeserializeSeed<'de> for &mut Fields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, text: D) -> Result<(), D::Error> {
        text.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for &mut Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            let value = fields.next_value()?;
            self.take(&name, value);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::tests::{FULL, fresh};

    #[test]
    fn a_whole_file_is_read_whole() {
        let mut state = fresh();
        assert_eq!(salvage(FULL.as_bytes(), &mut state), Vec::<String>::new());
        assert_eq!(state, serde_json::from_str(FULL).unwrap());
    }
}
