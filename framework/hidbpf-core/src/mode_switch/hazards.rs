//! Requests that damage devices. No manifest can declare them, and none is ever sent.

use crate::ids::VendorId;

/// A string descriptor that must not be read from any device of a vendor.
struct Hazard {
    vendor: VendorId,
    strings: &'static [u8],
    /// What happens.
    effect: &'static str,
}

const HAZARDS: &[Hazard] = &[
    // Issue 14 of DIGImend's uclogic-tools, and issue 710 of its digimend-kernel-drivers. The Deco 01 V2, Star G430S,
    // Deco Fun S, Artist 12 Pro and Deco Pro S come back as 28BD:1227 until they are unplugged. The Deco Pro MW (Gen 2)
    // came back as 28BD:FFF2 for good.
    Hazard {
        vendor: VendorId(0x28bd),
        strings: &[200, 201],
        effect: "such devices then disappear, and one model never works again",
    },
];

/// Returns what reading a string descriptor does to devices of a vendor, if it damages some.
pub fn of_string(vendor: VendorId, index: u8) -> Option<&'static str> {
    let hazard = HAZARDS.iter().find(|hazard| hazard.vendor == vendor && hazard.strings.contains(&index));
    hazard.map(|hazard| hazard.effect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_strings_of_some_vendors_are_dangerous() {
        let (ugee, huion) = (VendorId(0x28bd), VendorId(0x256c));
        assert!(of_string(ugee, 200).is_some() && of_string(ugee, 201).is_some());
        assert_eq!((of_string(ugee, 100), of_string(huion, 200), of_string(huion, 201)), (None, None, None));
    }
}
