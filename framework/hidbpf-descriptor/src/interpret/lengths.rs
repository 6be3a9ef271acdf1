//! Computes the lengths of a descriptor's reports, and with them the size of a hook's buffer.

use std::collections::BTreeMap;

use crate::interpret::descriptor::Descriptor;
use crate::invalid::InvalidDescriptor;
use crate::report_type::ReportType;

/// The buffer of an event hook is a multiple of this: `__hid_bpf_allocate_data()` (drivers/hid/bpf/hid_bpf_dispatch.c).
const BUFFER_UNIT: usize = 64;

/// The lengths of the reports that a descriptor declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReportLengths {
    /// Without the ID byte.
    bits: BTreeMap<(ReportType, u8), u64>,
}

impl ReportLengths {
    /// Computes the lengths of a descriptor's reports.
    ///
    /// # Errors
    /// The kernel would refuse the descriptor.
    pub fn parse(descriptor: &[u8]) -> Result<ReportLengths, InvalidDescriptor> {
        let descriptor = Descriptor::parse(descriptor)?;
        let id_bits = |numbered| if numbered { 8 } else { 0 };
        let reports = descriptor.reports.iter();
        let bits = reports.map(|report| {
            ((report.kind, report.id.unwrap_or(0)), u64::from(report.bits.saturating_sub(id_bits(report.numbered))))
        });
        Ok(ReportLengths { bits: bits.collect() })
    }

    fn bytes((_, id): (ReportType, u8), bits: u64) -> usize {
        usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX) + usize::from(id > 0)
    }

    /// Returns the length of a report in bytes, including its ID if it has one. ID 0 is the report of a device without
    /// IDs.
    pub fn length(&self, kind: ReportType, id: u8) -> Option<usize> {
        self.bits.get(&(kind, id)).map(|bits| ReportLengths::bytes((kind, id), *bits))
    }

    /// Returns whether reports of a type begin with an ID.
    pub fn is_numbered(&self, kind: ReportType) -> bool {
        self.bits.keys().any(|(of, id)| *of == kind && *id > 0)
    }

    /// Returns the ID and the declared length of a report. `None` if its ID is not declared.
    pub fn length_of(&self, kind: ReportType, report: &[u8]) -> Option<(u8, usize)> {
        let id = if self.is_numbered(kind) { *report.first()? } else { 0 };
        Some((id, self.length(kind, id)?))
    }

    /// Iterates over the type, ID and length in bytes of each report.
    pub fn iter(&self) -> impl Iterator<Item = (ReportType, u8, usize)> + '_ {
        self.bits.iter().map(|(key, bits)| (key.0, key.1, ReportLengths::bytes(*key, *bits)))
    }

    /// Returns the size of a hook's buffer for reports: the longest report of any type, rounded up to a multiple of 64.
    pub fn buffer_size(&self) -> usize {
        let longest = self.iter().map(|(_, _, length)| length).max().unwrap_or(0);
        longest.div_ceil(BUFFER_UNIT) * BUFFER_UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mouse. Report 2 has 3 buttons, 5 bits of padding, X and Y. Report 3 is a feature report of 9 bits.
    const MOUSE: &[u8] = &[
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x02, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25, 0x01,
        0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31,
        0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0x85, 0x03, 0x75, 0x01, 0x95, 0x09, 0xb1, 0x02, 0xc0,
    ];

    #[test]
    fn padding_ids_and_part_bytes_count() {
        let reports = ReportLengths::parse(MOUSE).unwrap();
        assert_eq!(
            reports.iter().collect::<Vec<_>>(),
            [(ReportType::Input, 2, 4), (ReportType::Feature, 3, 3)],
            "{reports:?}"
        );
        assert_eq!(reports.buffer_size(), 64);
        assert_eq!(reports.length_of(ReportType::Input, &[2, 0, 0, 0]), Some((2, 4)));
        assert_eq!(reports.length_of(ReportType::Input, &[3, 0, 0, 0]), None);
        assert_eq!(reports.length_of(ReportType::Input, &[]), None);
    }

    #[test]
    fn the_buffer_is_the_longest_report_rounded_up() {
        for (bytes, buffer) in [(0u8, 0), (1, 64), (64, 64), (65, 128)] {
            let descriptor = [0x75, 8, 0x95, bytes, 0x91, 2];
            assert_eq!(ReportLengths::parse(&descriptor).unwrap().buffer_size(), buffer, "{bytes}");
        }
    }

    /// Without an ID a report is one byte shorter, even next to reports with one: `hid_report_len()`.
    #[test]
    fn only_reports_with_an_id_have_a_byte_for_it() {
        let reports = ReportLengths::parse(&[0x75, 8, 0x95, 2, 0x81, 2, 0x85, 9, 0x81, 2]).unwrap();
        assert_eq!(reports.iter().collect::<Vec<_>>(), [(ReportType::Input, 0, 2), (ReportType::Input, 9, 3)]);
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        assert_eq!(ReportLengths::parse(&[0x05, 0x01, 0xc0]).unwrap_err().offset, 2);
    }
}
