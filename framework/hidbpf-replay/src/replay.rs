//! Replays recordings: one device, or a whole recording with all of its devices.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use hidbpf_descriptor::physical_device;
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
/// has its own instance of the driver. They run in the order of the recording, and the interfaces of one physical device
/// share the driver's shared variables.
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
    let mut drivers = Vec::new();
    for (index, device) in recording.devices.iter().enumerate() {
        let mut driver = Driver::new(object, generation, &device.into(), &settings(device)).map_err(at_start)?;
        match driver.probe().map_err(at_start)? {
            Verdict::Refuses(errno) => {
                refused.push((index, -errno));
                drivers.push(None);
            }
            Verdict::NoProbe | Verdict::Takes => drivers.push(Some(driver)),
        }
    }
    let mut shared = Shared::default();
    let mut runs = Vec::new();
    for (device, driver) in recording.devices.iter().zip(&mut drivers) {
        let Some(driver) = driver else {
            runs.push(None);
            continue;
        };
        shared.give(device, driver);
        let run = Run::begin(driver, device)?;
        shared.take(device, run.driver);
        runs.push(Some(run));
    }
    for (event, taken) in recording.events.iter().zip(&mut instructions) {
        let (Some(device), Some(Some(run))) = (recording.devices.get(event.device), runs.get_mut(event.device)) else {
            continue;
        };
        shared.give(device, run.driver);
        *taken = run.event(event)?;
        shared.take(device, run.driver);
    }
    for (index, (device, run)) in recording.devices.iter().zip(runs).enumerate() {
        let (device, events) = match run {
            Some(run) => {
                shared.give(device, run.driver);
                not_set_up.extend(run.not_set_up.clone().map(|failure| (index, failure)));
                run.end()?
            }
            None => (device.clone(), recording.events_of(index).cloned().collect()),
        };
        whole.devices.push(device);
        whole.events.extend(events.into_iter().map(|event| Event { device: index, ..event }));
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
        let Some(original) = recording.devices.get(device_index) else { return Ok(Replayed::default()) };
        let mut run = Run::begin(self, original)?;
        let instructions =
            recording.events_of(device_index).map(|event| run.event(event)).collect::<Result<Vec<_>, _>>()?;
        let not_set_up = run.not_set_up.iter().map(|failure| (device_index, failure.clone())).collect();
        let (device, events) = run.end()?;
        let recording = Recording { comments: Vec::new(), devices: vec![device], events };
        Ok(Replayed { recording, instructions, not_set_up, ..Replayed::default() })
    }
}

/// The variables that drivers share, by physical device. A device whose physical device is not known shares nothing.
#[derive(Default)]
struct Shared(HashMap<String, Vec<u8>>);

impl Shared {
    /// Gives a driver the shared variables as other interfaces left them.
    fn give(&self, device: &RecordedDevice, driver: &mut Driver) {
        if let Some(known) = physical(device).and_then(|physical| self.0.get(&physical)) {
            driver.set_shared(known);
        }
    }

    /// Takes the shared variables as a driver left them.
    fn take(&mut self, device: &RecordedDevice, driver: &mut Driver) {
        if let (Some(shared), Some(physical)) = (driver.shared(), physical(device)) {
            self.0.insert(physical, shared);
        }
    }
}

/// Returns a name of the physical device. A recording has a serial number only as the property `HID_UNIQ`.
fn physical(device: &RecordedDevice) -> Option<String> {
    let uniq = device.properties.get("HID_UNIQ").map_or("", String::as_str);
    physical_device(&device.phys, uniq, (device.bus, device.vendor, device.product))
}

/// One device of a recording whose reports pass through a driver.
struct Run<'d> {
    driver: &'d mut Driver,
    /// The device with its fixed descriptor, or the original one if the setup failed.
    device: RecordedDevice,
    /// Why the setup failed. The reports then stay as they are.
    not_set_up: Option<NotSetUp>,
    events: Vec<Event>,
    last: Duration,
}

impl<'d> Run<'d> {
    /// Fixes the descriptor and sets up the device.
    fn begin(driver: &'d mut Driver, original: &RecordedDevice) -> Result<Run<'d>, LineError> {
        let at_start = |error: ReplayError| LineError { line: None, error };
        let mut device = original.clone();
        if let Fixed::Changed(descriptor) = driver.fix_descriptor(&original.descriptor).map_err(at_start)? {
            device.descriptor = descriptor;
        }
        let not_set_up = driver.set_up().map_err(at_start)?;
        device.asked = driver.take_requests().iter().map(Asked::from).collect();
        match not_set_up {
            Some(_) => device = RecordedDevice { asked: device.asked, ..original.clone() },
            None => device.exported = driver.exported(),
        }
        Ok(Run { driver, device, not_set_up, events: Vec::new(), last: Duration::ZERO })
    }

    /// Passes a report through the driver. Returns the number of instructions, if the driver has an event hook.
    fn event(&mut self, event: &Event) -> Result<Option<u64>, LineError> {
        if self.not_set_up.is_some() {
            self.events.push(Event { device: 0, ..event.clone() });
            return Ok(None);
        }
        let at = |error: ReplayError| LineError { line: event.line, error };
        self.add_due(event.time).map_err(at)?;
        self.last = event.time;
        let outcome = self.driver.event(&event.report).map_err(at)?;
        for report in outcome.reports(&event.report) {
            self.add(event.time, report, event.line);
        }
        Ok(self.driver.has_event_hook().then_some(outcome.instructions))
    }

    /// Waits for timers, and returns the device and its reports.
    fn end(mut self) -> Result<(RecordedDevice, Vec<Event>), LineError> {
        if self.not_set_up.is_none() {
            let until = self.last.saturating_add(PATIENCE);
            self.add_due(until).map_err(|error| LineError { line: None, error })?;
        }
        Ok((self.device, self.events))
    }

    /// Adds the reports that timers send up to a time.
    fn add_due(&mut self, until: Duration) -> Result<(), ReplayError> {
        for (time, report) in self.driver.advance(until)? {
            self.add(time, &report, None);
        }
        Ok(())
    }

    fn add(&mut self, time: Duration, report: &[u8], line: Option<usize>) {
        // A recording's clock has a resolution of microseconds.
        let time = Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
        self.events.push(Event { device: 0, time, report: report.to_vec(), line });
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
