//! Recordings of input events, which people confuse with recordings of reports. Says what to record instead.

use super::Unreadable;
use super::draft::Reading;
use super::text::{Line, Text};

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    // `E: 0.000001 0001 0110 0001 # EV_KEY / BTN_LEFT 1`
    let is_evemu =
        |line: &Line| line.text.starts_with("# EVEMU") || (line.text.starts_with("E:") && line.text.contains("EV_"));
    // `Event: time 1234.5678, type 1 (EV_KEY), code 272 (BTN_LEFT), value 1`
    let is_evtest = |line: &Line| line.text.starts_with("Event: time ") && line.text.contains("(EV_");
    // `/dev/input/event9  1281177831.292576 EV_ABS ABS_X 0x00001CFE`
    let is_evdev_dump = |line: &Line| line.text.starts_with("/dev/input/event") && line.text.contains(" EV_");
    let (line, program) = text.lines.iter().find_map(|line| {
        let programs = [(is_evemu(line), "evemu"), (is_evtest(line), "evtest"), (is_evdev_dump(line), "evdev-dump")];
        programs.into_iter().find(|(is_it, _)| *is_it).map(|(_, program)| (line, program))
    })?;
    let reason = format!(
        "{program} records input events, which the kernel makes of reports: record the reports, with \"hidbpf record\" or hid-recorder"
    );
    Some(Err(Unreadable::at(line.number, 1, reason)))
}
