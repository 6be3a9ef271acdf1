//! The files `rdesc` and `events` of a device in /sys/kernel/debug/hid (drivers/hid/hid-debug.c).
//!
//! ```text
//! 05 01 09 06 a1 01 ...                         report (size 8) (unnumbered) =  00 00 04 00 00 00 00 00
//!                                               Keyboard.00e0 = 0
//!   INPUT[INPUT]
//!     Field(0)
//! ```

use std::time::Duration;

use super::draft::{Draft, Reading, ids_of_name};
use super::plain::bytes_of_line;
use super::text::{Line, Text};
use super::{Unreadable, numbers};

/// Returns whether a line begins the tree of a report.
fn is_tree(line: &Line) -> bool {
    let start = line.text.trim();
    ["INPUT", "OUTPUT", "FEATURE"].iter().any(|kind| start.starts_with(kind) && start.ends_with(&format!("[{kind}]")))
}

pub(super) fn read(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let tree = text.lines.iter().find(|line| is_tree(line))?;
    let reading = match devices(text) {
        Ok(reading) => reading,
        Err(error) => return Some(Err(error)),
    };
    if reading.drafts.is_empty() {
        let reason = "the file has the tree and not the line of bytes in front of it: post the whole file \"rdesc\"";
        return Some(Err(Unreadable::at(tree.number, tree.place(tree.indent()), reason)));
    }
    Some(Ok(reading))
}

fn devices(text: &Text) -> Result<Reading, Unreadable> {
    let mut reading = Reading::default();
    let mut about = Draft::default();
    let mut is_open = false;
    for line in &text.lines {
        if let Some(draft) = named(line) {
            (about, is_open) = (draft, false);
            continue;
        }
        let is_hex = line.text.split_whitespace().next().is_some_and(|word| word.len() == 2);
        match bytes_of_line(line).filter(|_| is_hex) {
            Some(bytes) => {
                if !is_open {
                    let about = std::mem::take(&mut about);
                    reading.drafts.push(Draft { line: line.number, ..about });
                    is_open = true;
                }
                if let Some(draft) = reading.drafts.last_mut() {
                    draft.extend(&bytes?, line.number)?;
                }
            }
            None => is_open = false,
        }
    }
    Ok(reading)
}

/// Returns the device that a line names: a path in debugfs or sysfs, as `head` and `grep` print it.
fn named(line: &Line) -> Option<Draft> {
    // A shell wants the colons escaped.
    let text = line.text.replace("\\", "");
    let starts =
        std::iter::once(0).chain(text.match_indices(['/', ' ', ':', '\'', '"']).map(|(at, mark)| at + mark.len()));
    let named = |start: usize| {
        let name = text[start..].split(['/', ' ', '\'', '"', ')']).next()?;
        let name = name.get(..name.find('.')? + 5)?;
        let ids = ids_of_name(name)?;
        Some(Draft { title: name.to_owned(), ids: Some(ids), ..Draft::default() })
    };
    starts.into_iter().find_map(named)
}

pub(super) fn read_events(text: &Text) -> Option<Result<Reading, Unreadable>> {
    let report = |line: &Line| -> Option<Vec<u8>> {
        let rest = line.text.trim_start().strip_prefix("report (size ")?;
        let (_, bytes) = rest.split_once("numbered) =")?;
        bytes.split_whitespace().map(numbers::hex).collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    };
    let mut reading = Reading::default();
    for line in &text.lines {
        if let Some(draft) = named(line) {
            reading.drafts.push(Draft { line: line.number, ..draft });
        } else if let Some(report) = report(line) {
            let device = reading.last(line.number);
            reading.event(device, Duration::ZERO, report, line.number);
        }
    }
    if reading.events.is_empty() {
        return None;
    }
    reading.note_no_times();
    Some(Ok(reading.without_empty()))
}
