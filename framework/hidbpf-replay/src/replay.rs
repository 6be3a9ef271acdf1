//! Replays recordings: one device, or a whole recording with all of its devices.

use std::fmt;
use std::time::Duration;

use hidbpf_descriptor::recording::{Asked, Event, RecordedDevice, Recording};
use hidbpf_prelink::Generation;
use hidbpf_prelink::not_set_up::NotSetUp;

use crate::driver::Driver;
use crate::error::ReplayError;
use crate::object::Object;
use crate::outcome::{Fixed, Verdict};
use crate::settings::Settings;

/// How long to wait for timers after the last report of a recording.
const PATIENCE: Duration = Duration::from_secs(10);

/// The result of replaying a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replayed {
    /// The devices and reports after the driver's changes.
    pub recording: Recording,
    /// For each report of the original recording, the number of instructions of the hook and the work that it started,
    /// without timers due later. `None` if the driver has no event hook on that device.
    pub instructions: Vec<Option<u64>>,
    /// The devices, as indices, that the driver's probe refuses, with the positive errno.
    pub refused: Vec<(usize, i32)>,
    /// The devices, as indices, whose setup fails, with the reason.
    pub not_set_up: Vec<(usize, NotSetUp)>,
}

/// Replays a recording: returns each device with its fixed descriptor, and the reports that reach the kernel's input
/// drivers. A device stays unchanged if the driver's probe refuses it or its setup fails. As in the kernel, each device
/// has its own instance of the driver.
///
/// # Errors
/// A program did something that the kernel forbids. The error has the line of the recording.
pub fn replay(
    object: &Object,
    generation: Generation,
    recording: &Recording,
    settings: impl Fn(&RecordedDevice) -> Settings,
) -> Result<Replayed, LineError> {
    let at_start = |error: ReplayError| LineError { line: None, error };
    let mut whole = Recording { comments: Vec::new(), devices: Vec::new(), events: Vec::new() };
    let mut instructions = vec![None; recording.events.len()];
    let (mut refused, mut not_set_up) = (Vec::new(), Vec::new());
    for (index, device) in recording.devices.iter().enumerate() {
        let mut driver = Driver::new(object, generation, &device.into(), &settings(device)).map_err(at_start)?;
        let one = match driver.probe().map_err(at_start)? {
            Verdict::Refuses(errno) => {
                refused.push((index, -errno));
                Recording {
                    comments: Vec::new(),
                    devices: vec![device.clone()],
                    events: recording.events_of(index).cloned().collect(),
                }
            }
            Verdict::NoProbe | Verdict::Takes => {
                let replayed = driver.replay(recording, index)?;
                let own = recording.events.iter().zip(&mut instructions).filter(|(event, _)| event.device == index);
                own.zip(replayed.instructions).for_each(|((_, to), taken)| *to = taken);
                not_set_up.extend(replayed.not_set_up);
                replayed.recording
            }
        };
        whole.devices.extend(one.devices);
        whole.events.extend(one.events.into_iter().map(|event| Event { device: index, ..event }));
    }
    if whole.devices.len() > 1 {
        whole.events.sort_by_key(|event| event.time);
    }
    Ok(Replayed { recording: whole, instructions, refused, not_set_up })
}

impl Driver {
    /// Replays one device of a recording, an index of [`Recording::devices`]. Returns the result that the kernel would
    /// produce. The instruction counts are those of the device's own reports.
    ///
    /// # Errors
    /// As for [`Driver::fix_descriptor`] and [`Driver::event`], with the line of the recording.
    pub fn replay(&mut self, recording: &Recording, device_index: usize) -> Result<Replayed, LineError> {
        let at = |line: Option<usize>| move |error: ReplayError| LineError { line, error };
        let Some(original) = recording.devices.get(device_index) else { return Ok(Replayed::default()) };
        let mut fixed = original.clone();
        if let Fixed::Changed(descriptor) = self.fix_descriptor(&original.descriptor).map_err(at(None))? {
            fixed.descriptor = descriptor;
        }
        let not_set_up = self.set_up().map_err(at(None))?;
        fixed.asked = self.take_requests().iter().map(Asked::from).collect();
        if let Some(failure) = not_set_up {
            let device = RecordedDevice { asked: fixed.asked, ..original.clone() };
            let events = recording.events_of(device_index).map(|event| Event { device: 0, ..event.clone() });
            let instructions = vec![None; recording.events_of(device_index).count()];
            let recording = Recording { comments: Vec::new(), devices: vec![device], events: events.collect() };
            return Ok(Replayed {
                recording,
                instructions,
                not_set_up: vec![(device_index, failure)],
                ..Replayed::default()
            });
        }
        fixed.exported = self.exported();
        let mut events = Vec::new();
        let mut instructions = Vec::new();
        let mut add = |time: Duration, report: &[u8], line| {
            // A recording's clock has a resolution of microseconds.
            let time = Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
            events.push(Event { device: 0, time, report: report.to_vec(), line });
        };
        let mut last = Duration::ZERO;
        for event in recording.events_of(device_index) {
            let line = event.line;
            for (time, report) in self.advance(event.time).map_err(at(line))? {
                add(time, &report, None);
            }
            last = event.time;
            let outcome = self.event(&event.report).map_err(at(line))?;
            instructions.push(self.has_event_hook().then_some(outcome.instructions));
            for report in outcome.reports(&event.report) {
                add(event.time, report, line);
            }
        }
        for (time, report) in self.advance(last.saturating_add(PATIENCE)).map_err(at(None))? {
            add(time, &report, None);
        }
        let recording = Recording { comments: Vec::new(), devices: vec![fixed], events };
        Ok(Replayed { recording, instructions, ..Replayed::default() })
    }
}

/// An error, and the line of the recording that caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineError {
    /// The line, if one line caused the error.
    pub line: Option<usize>,
    /// The error.
    pub error: ReplayError,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.error),
            None => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for LineError {}
