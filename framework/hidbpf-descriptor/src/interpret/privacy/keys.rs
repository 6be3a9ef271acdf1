//! Clears the bits of reports that can tell which keys were typed.

use std::collections::HashMap;

use crate::interpret::descriptor::Descriptor;
use crate::interpret::report::{Field, Report};
use crate::interpret::usage::{Span, page_name};
use crate::report_type::ReportType;

/// The usage pages whose values stay: controls that nobody types texts with.
const OPEN: [u16; 20] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x0d, 0x0e, 0x0f, 0x12, 0x14, 0x20, 0x40, 0x59, 0x84,
    0x85,
];

/// Returns whether a span of usages has a key, or something else that a person enters: a digit of a phone, a letter in braille, a scanned
/// code, a card, a security key.
fn is_key(span: &Span) -> bool {
    let first = u32::from(span.first.id());
    // A span can go on in the next page.
    (span.first.page()..=span.last().page()).any(|page| match page {
        0x07 | 0x41 | 0x8c | 0x8e | 0xf1d0 => true,
        // Phone Key 0 to Phone Key D of the page Telephony.
        0x0b => first <= 0xbf && first + span.count > 0xb0,
        _ => false,
    })
}

/// The bits of a device's input reports that stay. All others are cleared.
///
/// A device without keys keeps all its reports. If it has keys, or another of its interfaces has, a report keeps its ID
/// and the values of standard controls such as axes, buttons and media keys. Everything else can hold a key, and is
/// cleared: keys, padding, values of vendors, bytes after the declared ones, and reports that the descriptor does not
/// declare.
#[derive(Clone, Debug)]
pub struct HiddenKeys {
    /// What stays, for each descriptor.
    masks: HashMap<Vec<u8>, Masks>,
}

/// What stays of the reports of a descriptor. `None` if the kernel refuses the descriptor, so that no bit has a known meaning.
type Masks = Option<ReportMasks>;

#[derive(Clone, Debug)]
struct ReportMasks {
    numbered: bool,
    /// The bits to keep, by report ID. 0 if reports have no IDs.
    keep: HashMap<u8, Vec<u8>>,
}

impl HiddenKeys {
    /// Returns what to hide for a device with these descriptors: the original one, and those that drivers return. `None` if none of
    /// them declares a key.
    pub fn of(descriptors: &[&[u8]]) -> Option<HiddenKeys> {
        HiddenKeys::beside(descriptors, &[])
    }

    /// The same for one of several interfaces. `others` are the descriptors of the others: a vendor's interface beside a
    /// keyboard can send the same keys.
    pub fn beside(descriptors: &[&[u8]], others: &[&[u8]]) -> Option<HiddenKeys> {
        let has_keys = |bytes: &&[u8]| {
            let anatomy = crate::interpret::descriptor::Anatomy::of(bytes);
            let fields = anatomy.reports.into_iter().filter(|report| report.kind == ReportType::Input);
            fields.flat_map(|report| report.fields).any(|field| field.usages.spans().iter().any(is_key))
        };
        if !descriptors.iter().chain(others).any(has_keys) {
            return None;
        }
        let masks = descriptors.iter().map(|bytes| (bytes.to_vec(), masks(bytes))).collect();
        Some(HiddenKeys { masks })
    }

    /// Clears the keys in an input report of a device with this descriptor.
    pub fn hide(&self, descriptor: &[u8], report: &mut [u8]) {
        let Some(Some(masks)) = self.masks.get(descriptor) else {
            report.fill(0);
            return;
        };
        let id = report.first().copied().filter(|_| masks.numbered);
        let keep = masks.keep.get(&id.unwrap_or(0)).map(Vec::as_slice).unwrap_or_default();
        for (index, byte) in report.iter_mut().enumerate().skip(usize::from(masks.numbered)) {
            *byte &= keep.get(index).copied().unwrap_or(0);
        }
    }

    /// Returns whether any bit of an input report is hidden. `id` is 0 if reports have no IDs.
    pub fn hides(&self, descriptor: &[u8], report: &Report) -> bool {
        let Some(Some(masks)) = self.masks.get(descriptor) else { return true };
        let keep = masks.keep.get(&report.id.unwrap_or(0)).map(Vec::as_slice).unwrap_or_default();
        (0..report.bytes()).skip(usize::from(masks.numbered)).any(|index| keep.get(index) != Some(&0xff))
    }

    /// Says what is hidden.
    pub fn what(&self) -> String {
        format!("the values of the page {}, and what else can hold a key, are set to 0", page_name(0x07))
    }
}

fn masks(bytes: &[u8]) -> Masks {
    let descriptor = Descriptor::parse(bytes).ok()?;
    let inputs = || descriptor.reports.iter().filter(|report| report.kind == ReportType::Input);
    let numbered = inputs().any(|report| report.numbered);
    Some(ReportMasks { numbered, keep: inputs().map(|report| (report.id.unwrap_or(0), mask(report))).collect() })
}

fn mask(report: &Report) -> Vec<u8> {
    let mut keep = vec![0; report.bytes()];
    for field in report.fields.iter().filter(|field| stays(field)) {
        for bit in field.first_bit..field.first_bit.saturating_add(field.bits()) {
            if let Some(byte) = keep.get_mut(bit as usize / 8) {
                *byte |= 1 << (bit % 8);
            }
        }
    }
    keep
}

fn stays(field: &Field) -> bool {
    let is_open = |span: &Span| (span.first.page()..=span.last().page()).all(|page| OPEN.contains(&page));
    !field.is_padding() && !field.flags.is_constant() && field.usages.spans().iter().all(is_open)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Report 1: a button, padding, X. Report 2: modifiers, a reserved byte, two keys. Report 3: a byte of a vendor.
    const DEVICE: [u8; 98] = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, 0x05, 0x09, 0x09, 0x01, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01,
        0x95, 0x01, 0x81, 0x02, 0x95, 0x07, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08,
        0x95, 0x01, 0x81, 0x06, 0xc0, 0x09, 0x06, 0xa1, 0x01, 0x85, 0x02, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15,
        0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x81, 0x03, 0x19, 0x00, 0x29, 0x65, 0x25, 0x65, 0x75,
        0x08, 0x95, 0x02, 0x81, 0x00, 0xc0, 0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x85, 0x03, 0x09, 0x02, 0x26,
        0xff, 0x00, 0x95, 0x01, 0x81, 0x02, 0xc0, 0xc0,
    ];

    fn device() -> Vec<u8> {
        // The last End Collection is one too many.
        DEVICE[..97].to_vec()
    }

    fn hidden(descriptor: &[u8], report: &[u8]) -> Vec<u8> {
        let mut report = report.to_vec();
        HiddenKeys::of(&[descriptor]).unwrap().hide(descriptor, &mut report);
        report
    }

    #[test]
    fn a_device_with_keys_keeps_its_ids_and_standard_controls_alone() {
        let device = device();
        assert_eq!(hidden(&device, &[1, 0xff, 0x85]), [1, 0x01, 0x85]);
        assert_eq!(hidden(&device, &[2, 0x02, 0x31, 0x04, 0x05]), [2, 0, 0, 0, 0]);
        assert_eq!(hidden(&device, &[2, 0x02, 0x31, 0x04, 0x05, 0x06]), [2, 0, 0, 0, 0, 0]);
        assert_eq!(hidden(&device, &[3, 0x04]), [3, 0]);
        assert_eq!(hidden(&device, &[4, 0x04, 0x05]), [4, 0, 0]);
        assert_eq!(hidden(&device, &[]), [0; 0]);
    }

    #[test]
    fn a_descriptor_that_the_kernel_refuses_keeps_nothing() {
        assert_eq!(hidden(&DEVICE, &[1, 0xff, 0x85]), [0, 0, 0]);
    }

    #[test]
    fn a_device_without_keys_keeps_everything() {
        assert!(HiddenKeys::of(&[&device()[..41], &[]]).is_none());
    }

    #[test]
    fn an_interface_beside_a_keyboard_hides_what_vendors_mean() {
        let (keyboard, vendor) = (device(), [&device()[..41], &device()[78..]].concat());
        assert!(HiddenKeys::of(&[&vendor]).is_none());
        let hidden = HiddenKeys::beside(&[&vendor], &[&keyboard]).unwrap();
        for (mut report, expected) in [([1, 0xff, 0x85], [1, 0x01, 0x85]), ([3, 0x04, 0], [3, 0, 0])] {
            hidden.hide(&vendor, &mut report);
            assert_eq!(report, expected);
        }
    }

    #[test]
    fn keys_that_only_a_fixed_descriptor_declares_are_hidden_before_too() {
        let (before, after) = (device()[..41].to_vec(), device());
        let hidden = HiddenKeys::of(&[&before, &after]).unwrap();
        let mut report = [1, 0xff, 0x85, 0x04];
        hidden.hide(&before, &mut report);
        assert_eq!(report, [1, 0x01, 0x85, 0]);
        let mut unknown = [9, 9];
        hidden.hide(&[1, 2, 3], &mut unknown);
        assert_eq!(unknown, [0, 0]);
    }

    #[test]
    fn it_is_known_which_reports_lose_bits() {
        let device = device();
        let hidden = HiddenKeys::of(&[&device]).unwrap();
        let descriptor = Descriptor::parse(&device).unwrap();
        let hides: Vec<bool> = descriptor.reports.iter().map(|report| hidden.hides(&device, report)).collect();
        assert_eq!(hides, [true, true, true]);
        assert!(hidden.what().contains("Keyboard"));
    }
}
