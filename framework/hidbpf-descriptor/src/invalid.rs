//! Checks where and why the kernel refuses a report descriptor.
//!
//! If the kernel refuses its descriptor, a device gets no kernel driver and no node, until a descriptor hook returns a
//! valid descriptor. The rules are those of `hid_open_report()` and its callees (drivers/hid/hid-core.c), with the
//! limits in include/linux/hid.h. They are the same from Linux 6.3 on.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::report_type::ReportType;

/// The maximum size of a report descriptor, and the size of a descriptor hook's buffer, in bytes:
/// `HID_MAX_DESCRIPTOR_SIZE` (include/linux/hid.h).
pub const MAX_DESCRIPTOR: usize = 4096;

/// The maximum number of usages of one main item, and of values of one field: `HID_MAX_USAGES`.
pub const MAX_USAGES: u32 = 12288;

/// The maximum nesting depth of Push: `HID_GLOBAL_STACK_SIZE`.
const MAX_PUSHES: usize = 4;

/// The maximum size of a value, in bits.
pub const MAX_REPORT_SIZE: u32 = 256;

/// The maximum size of a report without its id, in bits: `HID_MAX_BUFFER_SIZE` minus a byte.
///
/// The kernel accepts less if the device's bus has a smaller buffer (uhid has 4096 bytes).
pub const MAX_REPORT_BITS: u32 = (16384 - 1) * 8;

/// A descriptor that the kernel refuses, and the byte at which parsing stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the report descriptor is invalid at byte {offset}: {reason}")]
#[non_exhaustive]
pub struct InvalidDescriptor {
    /// The offset of the item, in bytes from 0. The descriptor's size if something is missing at the end.
    pub offset: usize,
    /// The fault.
    pub reason: String,
    /// The kernel's function that refuses it, and the kernel's message.
    pub kernel: Kernel,
}

/// A kernel function and the message that it logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kernel {
    /// The function's name.
    pub function: &'static str,
    /// The message, or its start.
    pub message: Cow<'static, str>,
}

impl std::fmt::Display for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}(): \"{}\"", self.function, self.message)
    }
}

/// The fault of an item.
type Fault = (String, Kernel);

/// Returns a fault: the reason in hidbpf's words, the kernel function and its message.
fn fault<T>(
    reason: impl Into<String>,
    function: &'static str,
    message: impl Into<Cow<'static, str>>,
) -> Result<T, Fault> {
    Err((reason.into(), Kernel { function, message: message.into() }))
}

/// Checks that the kernel accepts a descriptor.
///
/// # Errors
/// The kernel refuses it. The error has the first fault.
pub fn check(descriptor: &[u8]) -> Result<(), InvalidDescriptor> {
    let mut parser = Parser::default();
    let mut offset = 0;
    let invalid = |offset, (reason, kernel)| InvalidDescriptor { offset, reason, kernel };
    check_size(descriptor.len())?;
    while let Some(rest) = descriptor.get(offset..).filter(|rest| !rest.is_empty()) {
        let size = parser.item(offset, rest).map_err(|fault| invalid(offset, fault))?;
        offset += 1 + size;
    }
    parser.end().map_err(|fault| invalid(offset, fault))
}

/// Checks the size of a descriptor, in bytes.
///
/// The bus drivers check it before the HID core does. With another size, the kernel does not create a HID device.
///
/// # Errors
/// The size is not 1 to 4096.
pub fn check_size(size: usize) -> Result<(), InvalidDescriptor> {
    if (1..=MAX_DESCRIPTOR).contains(&size) {
        return Ok(());
    }
    let reason = format!("it has {size} bytes; 1 to {MAX_DESCRIPTOR} are possible");
    let kernel =
        Kernel { function: "usbhid_parse", message: format!("weird size of report descriptor ({size})").into() };
    Err(InvalidDescriptor { offset: size.min(MAX_DESCRIPTOR), reason, kernel })
}

/// Global items, which apply until they are set again.
#[derive(Clone, Copy, Default)]
struct Globals {
    /// With its sign.
    minimum: i32,
    maximum: u32,
    report_size: u32,
    report_count: u32,
    report_id: u32,
}

/// Local items, which apply to the next main item.
#[derive(Default)]
struct Locals {
    usages: u32,
    minimum: u32,
    open_delimiters: u32,
    sets: u32,
}

#[derive(Default)]
struct Parser {
    globals: Globals,
    pushed: Vec<Globals>,
    locals: Locals,
    /// The offsets of collections that have not ended.
    open: Vec<usize>,
    /// The size of each report in bits.
    bits: HashMap<(ReportType, u32), u32>,
}

impl Parser {
    /// Parses the item at the start of `rest`. Returns how many bytes follow its prefix.
    fn item(&mut self, offset: usize, rest: &[u8]) -> Result<usize, Fault> {
        const OPEN_REPORT: &str = "hid_open_report";
        let [prefix, after @ ..] = rest else { return Ok(0) };
        let (tag, kind) = (prefix >> 4, prefix >> 2 & 3);
        let is_long = tag == 15;
        let size = match after {
            [size, _, ..] if is_long => 2 + usize::from(*size),
            _ if is_long => 2,
            _ => [0, 1, 2, 4][usize::from(prefix & 3)],
        };
        let Some(data) = after.get(..size) else {
            let reason = format!("an item of {size} bytes with {} left", after.len());
            return fault(reason, OPEN_REPORT, "item fetching failed at offset");
        };
        if is_long {
            return fault("a long item", OPEN_REPORT, "unexpected long global item");
        }
        let value = data.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
        match kind {
            0 => {
                let result = self.main(offset, tag);
                self.locals = Locals::default();
                result
            }
            1 => self.global(tag, value, signed(data)),
            2 => self.local(tag, value),
            _ => Ok(()),
        }?;
        Ok(size)
    }

    fn main(&mut self, offset: usize, tag: u8) -> Result<(), Fault> {
        match tag {
            8 => self.field(ReportType::Input),
            9 => self.field(ReportType::Output),
            11 => self.field(ReportType::Feature),
            10 => {
                self.open.push(offset);
                Ok(())
            }
            12 if self.open.pop().is_none() => {
                fault("End Collection without a collection", "close_collection", "collection stack underflow")
            }
            _ => Ok(()),
        }
    }

    fn field(&mut self, kind: ReportType) -> Result<(), Fault> {
        const ADD_FIELD: &str = "hid_add_field";
        let Globals { minimum, maximum, report_size, report_count, report_id } = self.globals;
        // The maximum is signed if the minimum is negative at this point.
        let maximum = if minimum < 0 { i64::from(maximum as i32) } else { i64::from(maximum) };
        if maximum < i64::from(minimum) {
            let reason = format!("Logical Maximum ({maximum}) is less than Logical Minimum ({minimum})");
            return fault(reason, ADD_FIELD, "logical range invalid");
        }
        let bits = self.bits.entry((kind, report_id)).or_default();
        *bits = bits.saturating_add(report_size * report_count);
        if *bits > MAX_REPORT_BITS {
            let id = if report_id == 0 { String::new() } else { format!(" {report_id}") };
            let reason = format!("the {kind} report{id} is longer than the kernel's {MAX_REPORT_BITS} bits");
            return fault(reason, ADD_FIELD, "report is too long");
        }
        Ok(())
    }

    fn global(&mut self, tag: u8, value: u32, with_sign: i32) -> Result<(), Fault> {
        const GLOBAL: &str = "hid_parser_global";
        let globals = &mut self.globals;
        match tag {
            1 => globals.minimum = with_sign,
            2 => globals.maximum = if globals.minimum < 0 { with_sign as u32 } else { value },
            7 if value > MAX_REPORT_SIZE => {
                let reason = format!("Report Size ({value}) is more than {MAX_REPORT_SIZE}");
                return fault(reason, GLOBAL, format!("invalid report_size {value}"));
            }
            7 => globals.report_size = value,
            8 if !(1..=255).contains(&value) => {
                let reason = format!("Report ID ({value}) is not 1 to 255");
                return fault(reason, GLOBAL, format!("report_id {value} is invalid"));
            }
            8 => globals.report_id = value,
            9 if value > MAX_USAGES => {
                let reason = format!("Report Count ({value}) is more than {MAX_USAGES}");
                return fault(reason, GLOBAL, format!("invalid report_count {value}"));
            }
            9 => globals.report_count = value,
            10 if self.pushed.len() == MAX_PUSHES => {
                let reason = format!("Push nests more than {MAX_PUSHES} deep");
                return fault(reason, GLOBAL, "global environment stack overflow");
            }
            10 => self.pushed.push(*globals),
            11 => match self.pushed.pop() {
                Some(pushed) => *globals = pushed,
                None => return fault("Pop without Push", GLOBAL, "global environment stack underflow"),
            },
            0 | 3..=6 => {}
            _ => {
                let reason = format!("an unknown global item, tag {tag:#x}");
                return fault(reason, GLOBAL, format!("unknown global tag {tag:#x}"));
            }
        }
        Ok(())
    }

    fn local(&mut self, tag: u8, value: u32) -> Result<(), Fault> {
        const LOCAL: &str = "hid_parser_local";
        let locals = &mut self.locals;
        let is_alternative = locals.sets > 1;
        match tag {
            0 if !is_alternative => return self.usages(1),
            1 if !is_alternative => locals.minimum = value,
            2 if !is_alternative => return self.usage_range(value),
            10 if value == 0 => match locals.open_delimiters.checked_sub(1) {
                Some(left) => locals.open_delimiters = left,
                None => return fault("a Delimiter is closed that is not open", LOCAL, "bogus close delimiter"),
            },
            10 if locals.open_delimiters > 0 => {
                return fault("a Delimiter is opened within another", LOCAL, "nested delimiters");
            }
            10 => {
                locals.open_delimiters += 1;
                locals.sets += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn usages(&mut self, count: u32) -> Result<(), Fault> {
        if count > MAX_USAGES - self.locals.usages {
            let reason = format!("more than {MAX_USAGES} usages for one main item");
            return fault(reason, "hid_add_usage", "usage index exceeded");
        }
        self.locals.usages += count;
        Ok(())
    }

    /// Counts the usages from the minimum to a maximum.
    ///
    /// The kernel counts with unsigned 32 bits, and truncates a range that is too long. A backward range is too long in
    /// this sense.
    fn usage_range(&mut self, mut maximum: u32) -> Result<(), Fault> {
        let Locals { minimum, usages: used, .. } = self.locals;
        if maximum.wrapping_sub(minimum).wrapping_add(used) >= MAX_USAGES {
            maximum = (MAX_USAGES - used).wrapping_add(minimum).wrapping_sub(1);
            if maximum == 0 {
                let reason = format!("no room for a usage range beside {used} other usages");
                return fault(reason, "hid_parser_local", "no more usage index available");
            }
        }
        match maximum.checked_sub(minimum) {
            // For the largest number, the kernel's loop does not end until it runs out of room.
            Some(_) if maximum == u32::MAX => self.usages(u32::MAX),
            Some(count) => self.usages(count + 1),
            None => Ok(()),
        }
    }

    fn end(self) -> Result<(), Fault> {
        if let Some(reason) = not_ended(&self.open) {
            return fault(reason, "hid_open_report", "unbalanced collection at end of report description");
        }
        if self.locals.open_delimiters > 0 {
            let message = "unbalanced delimiter at end of report description";
            return fault("a Delimiter is not closed", "hid_open_report", message);
        }
        Ok(())
    }
}

/// Returns the data of an item as a signed number.
fn signed(data: &[u8]) -> i32 {
    match *data {
        [byte] => (byte as i8).into(),
        [low, high] => i16::from_le_bytes([low, high]).into(),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// Reports that the collections at these offsets do not end.
fn not_ended(begins: &[usize]) -> Option<String> {
    /// The number of offsets from which they are only counted.
    const MOST: usize = 5;
    let (last, before) = begins.split_last()?;
    let list: Vec<String> = before.iter().map(usize::to_string).collect();
    Some(match list.len() {
        0 => format!("the collection that begins at byte {last} is not ended"),
        1..MOST => {
            let count = begins.len();
            format!("{count} collections are not ended, which begin at bytes {} and {last}", list.join(", "))
        }
        _ => format!("{} collections are not ended", begins.len()),
    })
}
