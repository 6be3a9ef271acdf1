//! Finds in the kernel's log which reports of a device the kernel dropped because they were shorter than declared.
//!
//! This happens in `hid_report_raw_event()` (drivers/hid/hid-core.c) since Linux 7.0, and in 6.18.y and 6.19.y. It pads
//! a short report with zeros only if the transport's buffer has room, and drops it otherwise. It logs each dropped
//! report, at a limited rate.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::io::Errno;

use crate::ids::HidName;

/// The kernel's log, one record per read: Documentation/ABI/testing/dev-kmsg.
const LOG: &str = "/dev/kmsg";

/// The maximum size of a record: `CONSOLE_EXT_LOG_MAX` (kernel/printk/printk.c) in Linux 6.3 and later.
const MAX_RECORD: usize = 8192;

/// Reports that the kernel dropped because they were shorter than declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TooShort {
    /// The report's ID, or 0.
    pub report: u32,
    /// The declared size, in bytes without the ID.
    pub declared: usize,
    /// The actual size, in bytes without the ID.
    pub sent: usize,
    /// How often the report is in the kernel's log. The kernel omits some if there are many.
    pub count: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooShort { report, declared, sent, count } = self;
        write!(f, "report {report} with {sent} of {declared} bytes ({count} times in the kernel's log)")
    }
}

/// Reads the kernel's log for reports of a device that were too short.
///
/// # Errors
/// The log can't be read. On most systems only root can read it.
pub fn too_short(device: &HidName) -> io::Result<Vec<TooShort>> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let log = File::options().read(true).custom_flags(flags).open(LOG)?;
    let mut found = Counted::default();
    let mut buffer = vec![0; MAX_RECORD];
    loop {
        match (&log).read(&mut buffer) {
            Ok(0) => break,
            Ok(size) => found.record(&String::from_utf8_lossy(&buffer[..size]), device),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::AGAIN) => break,
                // Records were overwritten before they were read. The next read continues after them.
                Some(Errno::PIPE | Errno::INTR) => {}
                _ => return Err(error),
            },
        }
    }
    Ok(found.sums())
}

/// Counts short reports, by ID and both sizes.
#[derive(Debug, Default)]
struct Counted(BTreeMap<(u32, usize, usize), usize>);

impl Counted {
    fn record(&mut self, record: &str, device: &HidName) {
        if let Some(key) = parse(record, device) {
            *self.0.entry(key).or_default() += 1;
        }
    }

    fn sums(self) -> Vec<TooShort> {
        let sums = self.0.into_iter();
        sums.map(|((report, declared, sent), count)| TooShort { report, declared, sent, count }).collect()
    }
}

/// Parses a record about a report of this device: its ID, the declared and the actual size. The text after `;` is
/// `<kernel driver> <device>: Event data for report 1 was too short (7 vs 5)`.
fn parse(record: &str, device: &HidName) -> Option<(u32, usize, usize)> {
    let (_, text) = record.lines().next()?.split_once(';')?;
    let (_, said) = text.split_once(&format!(" {device}: "))?;
    let (report, sizes) = said.strip_prefix("Event data for report ")?.split_once(" was too short (")?;
    let (declared, sent) = sizes.strip_suffix(')')?.split_once(" vs ")?;
    Some((report.parse().ok()?, declared.parse().ok()?, sent.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_of_the_device_are_counted() {
        let device: HidName = "0003:046D:C077.0012".parse().unwrap();
        let mut found = Counted::default();
        for record in [
            "4,1201,8123456,-;hid-generic 0003:046D:C077.0012: Event data for report 1 was too short (7 vs 5)\n SUBSYSTEM=hid\n DEVICE=+hid:0003:046D:C077.0012\n",
            "4,1202,8123457,-;hid-generic 0003:046D:C077.0012: Event data for report 1 was too short (7 vs 5)\n",
            "4,1203,8123457,-;hid-multitouch 0003:046D:C077.0012: Event data for report 0 was too short (8 vs 0)\n",
            "4,1204,8123457,-;hid-generic 0003:046D:C077.0013: Event data for report 1 was too short (7 vs 5)\n",
            "4,1205,8123457,-;hid-generic 0003:046D:C077.0012: Event data for report 1 is incorrect (9 vs 8)\n",
            "4,1206,8123457,-;hid-generic 0003:046D:C077.0012: Event data for report x was too short (9 vs 8)\n",
            "4,1207,8123457,-;hid-generic 0003:046D:C077.0012: Event data for report 1 was too short (-1 vs 8)\n",
            "",
            ";",
            " DEVICE=+hid:0003:046D:C077.0012: Event data for report 1 was too short (7 vs 5)",
        ] {
            found.record(record, &device);
        }
        let [zero, one] = found.sums()[..] else { panic!("not two") };
        assert_eq!(zero, TooShort { report: 0, declared: 8, sent: 0, count: 1 });
        assert_eq!(one, TooShort { report: 1, declared: 7, sent: 5, count: 2 });
        assert_eq!(one.to_string(), "report 1 with 5 of 7 bytes (2 times in the kernel's log)");
    }
}
