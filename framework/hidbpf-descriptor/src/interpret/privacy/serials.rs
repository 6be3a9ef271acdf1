//! Replaces serial numbers and addresses in texts.

use crate::interpret::recording::RecordedDevice;

/// The text that stands for a hidden one.
pub const HIDDEN: &str = "(hidden)";

/// The shortest serial number that is looked for in other texts. Shorter ones, such as `0`, are part of many words.
const SHORTEST: usize = 4;

/// Serial numbers to hide: those that are known, and all addresses of network cards, which Bluetooth devices have for a serial number.
#[derive(Clone, Debug, Default)]
pub struct HiddenSerials {
    known: Vec<String>,
}

impl HiddenSerials {
    /// Hides these serial numbers wherever they are, and all addresses.
    pub fn new(known: &[&str]) -> HiddenSerials {
        let known = known.iter().map(|serial| serial.trim()).filter(|serial| serial.len() >= SHORTEST);
        HiddenSerials { known: known.map(str::to_owned).collect() }
    }

    /// Returns a text without serial numbers and addresses.
    pub fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for serial in &self.known {
            text = text.replace(serial, HIDDEN);
        }
        let mut clean = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(c) = rest.chars().next() {
            let follows_digit = clean.ends_with(|c: char| c.is_ascii_hexdigit());
            match address(rest).filter(|_| !follows_digit) {
                Some(length) => {
                    clean.push_str(HIDDEN);
                    rest = &rest[length..];
                }
                None => {
                    clean.push(c);
                    rest = &rest[c.len_utf8()..];
                }
            }
        }
        clean
    }

    /// Hides the serial numbers in a device's name, path and properties. A feature report can hold a serial number too, so those go.
    pub fn hide_in(&self, device: &mut RecordedDevice) {
        device.name = self.hide(&device.name);
        device.phys = self.hide(&device.phys);
        for (name, value) in &mut device.properties {
            *value = match name.contains("SERIAL") || name.contains("UNIQ") {
                true => HIDDEN.to_owned(),
                false => self.hide(value),
            };
        }
        device.features.clear();
    }
}

/// Returns the length of the address that a text begins with: six bytes in hex, separated by one of `:`, `-` and `_`.
fn address(text: &str) -> Option<usize> {
    const LENGTH: usize = 17;
    let bytes = text.as_bytes().get(..LENGTH)?;
    let separator = *bytes.get(2).filter(|byte| b":-_".contains(byte))?;
    let fits = |(index, byte): (usize, &u8)| match index % 3 {
        2 => *byte == separator,
        _ => byte.is_ascii_hexdigit(),
    };
    let goes_on = text.as_bytes().get(LENGTH).is_some_and(u8::is_ascii_hexdigit);
    (bytes.iter().enumerate().all(fits) && !goes_on).then_some(LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serial_numbers_and_addresses_are_replaced() {
        let hidden = HiddenSerials::new(&["AB12CD", "", "0"]);
        for (text, expected) in [
            ("usb-0000:00:14.0-1/input0", "usb-0000:00:14.0-1/input0"),
            ("e4:5f:01:aa:BB:cc", "(hidden)"),
            ("dev_E4_5F_01_AA_BB_CC/é", "dev_(hidden)/é"),
            ("Pen AB12CD, e4-5f-01-aa-bb-cc.", "Pen (hidden), (hidden)."),
            ("1e4:5f:01:aa:bb:cc", "1e4:5f:01:aa:bb:cc"),
            ("e4:5f:01:aa:bb:ccd", "e4:5f:01:aa:bb:ccd"),
            ("e4:5f:01-aa:bb:cc", "e4:5f:01-aa:bb:cc"),
            ("é", "é"),
        ] {
            assert_eq!(hidden.hide(text), expected);
        }
    }
}
