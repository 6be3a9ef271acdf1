//! The reports that a descriptor declares, counted as the kernel's parser counts them.
//!
//! The size of a driver's report buffer hangs on it, so the limits here are those of `hid_parser_global()`, `hid_add_field()` and
//! `hid_open_report()` (drivers/hid/hid-core.c), padding counts, and what the kernel takes is taken.

use std::collections::BTreeMap;
use std::fmt;

/// The longest report descriptor that the kernel takes, and the size of a descriptor hook's buffer, in bytes:
/// `HID_MAX_DESCRIPTOR_SIZE` (include/linux/hid.h).
pub const MAX_DESCRIPTOR: usize = crate::manifest::MAX_DESCRIPTOR_SIZE as usize;

/// The longest report, in bits and without its id: `HID_MAX_BUFFER_SIZE` (include/linux/hid.h) less one byte.
const MAX_REPORT_BITS: u64 = (16384 - 1) * 8;

/// The most values that one item can declare: `HID_MAX_USAGES` (include/linux/hid.h).
const MAX_REPORT_COUNT: u32 = 12288;

/// The longest value, in bits.
const MAX_REPORT_SIZE: u32 = 256;

/// How deep Push can nest: `HID_GLOBAL_STACK_SIZE` (include/linux/hid.h).
const GLOBAL_STACK_SIZE: usize = 4;

/// The buffer of a report hook is a multiple of this: `__hid_bpf_allocate_data()` (drivers/hid/bpf/hid_bpf_dispatch.c).
const BUFFER_UNIT: usize = 64;

/// The way of a report: `enum hid_report_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReportType {
    /// From the device.
    Input,
    /// To the device.
    Output,
    /// Read from and written to the device, on the control channel.
    Feature,
}

impl ReportType {
    /// The number that the kernel has for it.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// The type with a number.
    pub fn from_number(number: u64) -> Option<ReportType> {
        [ReportType::Input, ReportType::Output, ReportType::Feature].get(usize::try_from(number).ok()?).copied()
    }
}

impl fmt::Display for ReportType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ReportType::Input => "input",
            ReportType::Output => "output",
            ReportType::Feature => "feature",
        })
    }
}

/// A descriptor that the kernel would not take, and the byte at which it would stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the report descriptor is invalid at byte {offset}: {reason}")]
pub struct InvalidDescriptor {
    /// Where the item begins, counted from 0.
    pub offset: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// The reports that a descriptor declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    bits: BTreeMap<(ReportType, u8), u64>,
}

#[derive(Clone, Copy, Default)]
struct Globals {
    report_id: u8,
    report_size: u32,
    report_count: u32,
}

impl Reports {
    /// Counts the reports of a descriptor.
    ///
    /// # Errors
    /// The kernel would refuse the descriptor.
    pub fn parse(descriptor: &[u8]) -> Result<Reports, InvalidDescriptor> {
        let mut reports = Reports::default();
        let mut globals = Globals::default();
        let mut stack = Vec::new();
        let mut collections = 0usize;
        let mut offset = 0;
        if descriptor.is_empty() || descriptor.len() > MAX_DESCRIPTOR {
            let reason = format!("it has {} bytes; 1 to {MAX_DESCRIPTOR} are possible", descriptor.len());
            return Err(InvalidDescriptor { offset, reason });
        }
        while let Some((&head, rest)) = descriptor.get(offset..).and_then(<[u8]>::split_first) {
            let fail = |reason: String| InvalidDescriptor { offset, reason };
            if head >> 4 == 15 {
                return Err(fail("a long item".to_owned()));
            }
            let size = [0, 1, 2, 4][usize::from(head & 3)];
            let Some(data) = rest.get(..size) else {
                return Err(fail(format!("an item of {size} bytes with {} left", rest.len())));
            };
            let value = data.iter().rev().fold(0u32, |value, byte| value << 8 | u32::from(*byte));
            match head & 0xfc {
                0x80 => reports.add(ReportType::Input, globals).map_err(fail)?,
                0x90 => reports.add(ReportType::Output, globals).map_err(fail)?,
                0xb0 => reports.add(ReportType::Feature, globals).map_err(fail)?,
                0xa0 => collections += 1,
                0xc0 => {
                    collections = collections
                        .checked_sub(1)
                        .ok_or_else(|| fail("End Collection without a collection".to_owned()))?;
                }
                0x74 if value > MAX_REPORT_SIZE => {
                    return Err(fail(format!("Report Size ({value}) is more than {MAX_REPORT_SIZE}")));
                }
                0x74 => globals.report_size = value,
                0x94 if value > MAX_REPORT_COUNT => {
                    return Err(fail(format!("Report Count ({value}) is more than {MAX_REPORT_COUNT}")));
                }
                0x94 => globals.report_count = value,
                0x84 => match u8::try_from(value) {
                    Ok(id) if id > 0 => globals.report_id = id,
                    _ => return Err(fail(format!("Report ID ({value}) is not 1 to 255"))),
                },
                0xa4 if stack.len() == GLOBAL_STACK_SIZE => {
                    return Err(fail(format!("Push nests more than {GLOBAL_STACK_SIZE} deep")));
                }
                0xa4 => stack.push(globals),
                0xb4 => globals = stack.pop().ok_or_else(|| fail("Pop without Push".to_owned()))?,
                0xc4..=0xec if head & 0x0c == 0x04 => return Err(fail("an unknown global item".to_owned())),
                _ => {}
            }
            offset += 1 + size;
        }
        if collections > 0 {
            return Err(InvalidDescriptor { offset, reason: format!("{collections} collections are not ended") });
        }
        Ok(reports)
    }

    fn add(&mut self, kind: ReportType, globals: Globals) -> Result<(), String> {
        let bits = self.bits.entry((kind, globals.report_id)).or_default();
        *bits += u64::from(globals.report_size) * u64::from(globals.report_count);
        if *bits > MAX_REPORT_BITS {
            return Err(format!(
                "the {kind} report {} is longer than the kernel's {MAX_REPORT_BITS} bits",
                globals.report_id
            ));
        }
        Ok(())
    }

    fn bytes((_, id): (ReportType, u8), bits: u64) -> usize {
        usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX) + usize::from(id > 0)
    }

    /// The length of a report in bytes, its id included where it has one; id 0 is the report of a device without ids.
    pub fn length(&self, kind: ReportType, id: u8) -> Option<usize> {
        self.bits.get(&(kind, id)).map(|bits| Reports::bytes((kind, id), *bits))
    }

    /// Whether reports of a type begin with an id.
    pub fn is_numbered(&self, kind: ReportType) -> bool {
        self.bits.keys().any(|(of, id)| *of == kind && *id > 0)
    }

    /// The length that is declared for these bytes, and the report's id; `None` for an id that is not declared.
    pub fn length_of(&self, kind: ReportType, report: &[u8]) -> Option<(u8, usize)> {
        let id = if self.is_numbered(kind) { *report.first()? } else { 0 };
        Some((id, self.length(kind, id)?))
    }

    /// The type, id and length in bytes of each report.
    pub fn iter(&self) -> impl Iterator<Item = (ReportType, u8, usize)> + '_ {
        self.bits.iter().map(|(key, bits)| (key.0, key.1, Reports::bytes(*key, *bits)))
    }

    /// The bytes that a hook on reports can get at: the longest report of any type, rounded up to a multiple of 64.
    pub fn buffer_size(&self) -> usize {
        let longest = self.iter().map(|(_, _, length)| length).max().unwrap_or(0);
        longest.div_ceil(BUFFER_UNIT) * BUFFER_UNIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mouse: report 2 has 3 buttons and 5 bits of padding, X and Y; report 3 is a feature of 9 bits.
    const MOUSE: &[u8] = &[
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x02, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25, 0x01,
        0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31,
        0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0x85, 0x03, 0x75, 0x01, 0x95, 0x09, 0xb1, 0x02, 0xc0,
    ];

    #[test]
    fn padding_ids_and_part_bytes_count() {
        let reports = Reports::parse(MOUSE).unwrap();
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
            assert_eq!(Reports::parse(&descriptor).unwrap().buffer_size(), buffer, "{bytes}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_refused_at_its_byte() {
        for (descriptor, offset, words) in [
            (&[][..], 0, "0 bytes"),
            (&[0x85, 0x00], 0, "Report ID (0)"),
            (&[0x05, 0x01, 0x86, 0x00, 0x01], 2, "Report ID (256)"),
            (&[0xc0], 0, "End Collection"),
            (&[0xb4], 0, "Pop without Push"),
            (&[0xa4, 0xa4, 0xa4, 0xa4, 0xa4], 4, "Push nests"),
            (&[0xa1, 0x01], 2, "1 collections are not ended"),
            (&[0x05], 0, "an item of 1 bytes with 0 left"),
            (&[0x76, 0x01, 0x01], 0, "Report Size (257)"),
            (&[0x96, 0x01, 0x30], 0, "Report Count (12289)"),
            (&[0xfe, 0x00, 0x00], 0, "a long item"),
            (&[0xc4], 0, "unknown global"),
            (&[0x76, 0x00, 0x01, 0x96, 0x00, 0x30, 0x81, 0x02], 6, "longer than"),
        ] {
            let error = Reports::parse(descriptor).unwrap_err();
            assert_eq!(error.offset, offset, "{error}");
            assert!(error.reason.contains(words), "{error}");
        }
    }
}
