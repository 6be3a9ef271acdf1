//! The keymap that goes along with a driver: keycodes of evdev for scan codes, as udev's hwdb has them.
//!
//! The kernel gives a HID usage that it has no keycode for the code `KEY_UNKNOWN`, or an unwanted one. udev's builtin
//! `keyboard` changes the keycode of a scan code (`EVIOCSKEYCODE`), which for HID devices is the usage.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A scan code: the usage page in the upper 16 bits, and the usage in the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scancode(pub u32);

/// The name of a keycode, in lower case and without its prefix `KEY_`: "leftctrl", "btn_left", "prog1".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

/// Keycodes by scan code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keymap(pub BTreeMap<Scancode, KeyName>);

impl Keymap {
    /// Returns whether it has no entry.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the lines of a hwdb entry, each with a space before and a line break after.
    pub fn hwdb_lines(&self) -> String {
        self.0.iter().map(|(Scancode(code), KeyName(key))| format!(" KEYBOARD_KEY_{code:x}={key}\n")).collect()
    }
}

impl fmt::Display for Scancode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Scancode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scancode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.strip_prefix("0x").filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).filter(|code| *code > 0xffff);
        code.map(Scancode).ok_or_else(|| {
            D::Error::invalid_value(Unexpected::Str(&text), &"a usage page and a usage in hex, such as 0x70039")
        })
    }
}

impl Serialize for KeyName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for KeyName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        // udev looks for the name with `KEY_` before it unless it begins with `btn_`.
        if text.is_empty() || text.starts_with("key_") || !text.bytes().all(fits) {
            let expected =
                "a key of input-event-codes.h in lower case without `KEY_`, such as \"leftctrl\" or \"btn_left\"";
            return Err(D::Error::invalid_value(Unexpected::Str(&text), &expected));
        }
        Ok(KeyName(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keymap_becomes_lines_for_udev() {
        let keymap: Keymap = toml::from_str("0x90004 = \"btn_side\"\n0x70039 = \"leftctrl\"\n").unwrap();
        assert_eq!(keymap.hwdb_lines(), " KEYBOARD_KEY_70039=leftctrl\n KEYBOARD_KEY_90004=btn_side\n");
        let json = serde_json::to_string(&keymap).unwrap();
        assert_eq!(json, r#"{"0x70039":"leftctrl","0x90004":"btn_side"}"#);
        assert_eq!(serde_json::from_str::<Keymap>(&json).unwrap(), keymap);
        for (text, words) in [
            ("70039 = \"a\"", "expected a usage page and a usage in hex"),
            ("0x39 = \"a\"", "expected a usage page and a usage in hex"),
            ("0x100000000 = \"a\"", "expected a usage page and a usage in hex"),
            ("0x+70039 = \"a\"", ""),
            ("0x70039 = \"KEY_A\"", "expected a key of input-event-codes.h"),
            ("0x70039 = \"key_a\"", "expected a key of input-event-codes.h"),
            ("0x70039 = \"a\\n X=1\"", "expected a key of input-event-codes.h"),
            ("0x70039 = 30", "expected a string"),
        ] {
            let error = toml::from_str::<Keymap>(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
