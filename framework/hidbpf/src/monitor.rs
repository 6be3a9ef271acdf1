//! Watches a device: its reports, its drivers' changes to them, and the resulting input events, in order of time.

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use evdev::raw_stream::RawDevice;
use evdev::{EventSummary, EventType, InputEvent};
use rustix::time::{ClockId, clock_gettime};

use crate::device::Device;
use crate::error::{Error, Result};
use crate::kernel;
use crate::manager::Manager;
use crate::recorder::{Hidraw, has_gone, open_nonblocking};
use crate::sys::stamp_by_monotonic_clock;
use crate::system::System;
use crate::tap::{Place, Tap, TappedReport};

/// An event, with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time on CLOCK_MONOTONIC.
    pub time: Duration,
    /// The event.
    pub what: Happening,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The device sent a report.
    Sent(Vec<u8>),
    /// The drivers have processed a report. Doesn't occur if the device can't be tapped.
    Left(Vec<u8>),
    /// The drivers dropped the last report.
    Dropped,
    /// An input event.
    Input {
        /// The node: `/dev/input/event5`.
        node: PathBuf,
        /// The event: `ABS_HAT0X -1`.
        event: String,
    },
}

/// A watched device.
#[derive(Debug)]
pub struct Monitor {
    device: Device,
    /// The original descriptor, or the current one if the original is unknown.
    original: Vec<u8>,
    reports: Reports,
    /// The time of the last report whose result is still unknown.
    pending: Option<Duration>,
    /// Stays open the whole time: most devices only send while a reader has them open.
    hidraw: Hidraw,
    nodes: Vec<Node>,
}

/// Where reports are read.
#[derive(Debug)]
enum Reports {
    /// Before and after the drivers.
    Tapped { before: Tap, behind: Tap },
    /// Only from hidraw, which is after the drivers. The error is the reason.
    Hidraw(Error),
}

#[derive(Debug)]
struct Node {
    path: PathBuf,
    device: RawDevice,
}

impl Monitor {
    /// Starts watching.
    ///
    /// # Errors
    /// The device's hidraw node can't be opened, or the device's state file can't be read. A device that can't be
    /// tapped isn't an error: see [`Monitor::caveat`].
    pub fn open(system: &System, device: &Device) -> Result<Monitor> {
        let original = Manager::new(system).with_original_if_possible(device.clone())?;
        let original = original.original_or_current().to_vec();
        let hidraw = Hidraw::open(device)?;
        let taps = kernel::detect(system).and_then(|kernel| kernel.generation()).and_then(|generation| {
            let tap = |place| Tap::open(generation, device, place);
            // Open the tap after the drivers first. Otherwise a report seen only before them would count as dropped.
            let behind = tap(Place::BehindDrivers)?;
            Ok(Reports::Tapped { before: tap(Place::BeforeDrivers)?, behind })
        });
        let reports = taps.unwrap_or_else(Reports::Hidraw);
        let mut monitor =
            Monitor { device: device.clone(), original, reports, pending: None, hidraw, nodes: Vec::new() };
        monitor.open_nodes();
        // Start when everything is open: discard earlier reports.
        if let Reports::Tapped { before, behind } = &monitor.reports {
            before.read(Duration::ZERO)?;
            behind.read(Duration::ZERO)?;
        }
        Ok(monitor)
    }

    /// Returns why only reports after the drivers are seen.
    pub fn caveat(&self) -> Option<&Error> {
        match &self.reports {
            Reports::Tapped { .. } => None,
            Reports::Hidraw(error) => Some(error),
        }
    }

    /// Returns the original descriptor, which describes the reports of [`Happening::Sent`].
    pub fn original_descriptor(&self) -> &[u8] {
        match &self.reports {
            Reports::Tapped { .. } => &self.original,
            // Reports from hidraw have passed the drivers.
            Reports::Hidraw(_) => self.current_descriptor(),
        }
    }

    /// Returns the current descriptor, which describes the reports of [`Happening::Left`].
    pub fn current_descriptor(&self) -> &[u8] {
        &self.device.current
    }

    /// Iterates over the watched nodes and their names.
    pub fn nodes(&self) -> impl Iterator<Item = (&PathBuf, &str)> {
        self.nodes.iter().map(|node| (&node.path, node.device.name().unwrap_or_default()))
    }

    /// Opens event nodes that are not open yet. Skips nodes that can't be opened, because the kernel is replacing them
    /// after a descriptor change.
    fn open_nodes(&mut self) {
        for path in self.device.nodes() {
            let is_event = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("event"));
            if !is_event || self.nodes.iter().any(|node| node.path == path) {
                continue;
            }
            let open = || {
                let file = open_nonblocking(&path)?;
                stamp_by_monotonic_clock(file.as_fd())?;
                RawDevice::from_fd(file.into())
            };
            if let Ok(device) = open() {
                self.nodes.push(Node { path, device });
            }
        }
    }

    /// Waits up to `patience` for events, and returns them in order of time. `None` if the device is gone.
    ///
    /// # Errors
    /// A tap or the hidraw node can't be read, although the device is not gone.
    pub fn read(&mut self, patience: Duration) -> Result<Option<Vec<Moment>>> {
        let mut reports = Vec::new();
        let mut here = true;
        match &self.reports {
            Reports::Tapped { before, .. } => reports.extend(before.read(patience)?.into_iter().map(sent)),
            Reports::Hidraw(_) => match self.hidraw.read(patience)? {
                Some(read) => {
                    let time = now();
                    reports.extend(read.into_iter().map(|bytes| sent(TappedReport { time, bytes })));
                }
                None => here = false,
            },
        }
        // Read input events before reports, so that no event comes without its cause.
        let events = self.read_nodes();
        if let Reports::Tapped { before, behind } = &self.reports {
            reports.extend(behind.read(Duration::ZERO)?.into_iter().map(left));
            reports.extend(before.read(Duration::ZERO)?.into_iter().map(sent));
            reports.sort_by_key(|moment| moment.time);
            // If the tap after the drivers lost reports, a missing report may not have been dropped.
            if behind.lost()? == 0 {
                reports = with_dropped(&mut self.pending, reports);
            }
            here = self.hidraw.read(Duration::ZERO)?.is_some();
        }
        let mut moments = reports;
        moments.extend(events);
        moments.sort_by_key(|moment| moment.time);
        // A descriptor change replaces the hidraw node of a device that remains.
        if !here && moments.is_empty() {
            if !self.device.is_present() {
                return Ok(None);
            }
            if let Ok(hidraw) = Hidraw::open(&self.device) {
                self.hidraw = hidraw;
                self.device.refresh()?;
            }
        }
        Ok(Some(moments))
    }

    /// Reads pending input events, and opens the nodes that replace closed ones.
    fn read_nodes(&mut self) -> Vec<Moment> {
        let before = self.nodes.len();
        let mut moments = Vec::new();
        self.nodes.retain_mut(|node| match read_events(node) {
            Ok(events) => {
                moments.extend(events);
                true
            }
            Err(error) => !has_gone(&error),
        });
        if self.nodes.len() < before || self.nodes.is_empty() {
            self.open_nodes();
        }
        moments
    }

    /// Returns the number of reports that came too fast to be read.
    ///
    /// # Errors
    /// The count can't be read.
    pub fn lost(&self) -> Result<u32> {
        match &self.reports {
            Reports::Tapped { before, behind } => Ok(before.lost()? + behind.lost()?),
            Reports::Hidraw(_) => Ok(0),
        }
    }
}

fn sent(report: TappedReport) -> Moment {
    Moment { time: report.time, what: Happening::Sent(report.bytes) }
}

fn left(report: TappedReport) -> Moment {
    Moment { time: report.time, what: Happening::Left(report.bytes) }
}

/// Marks a report as dropped if the next one comes, or nothing at all for a while, before the drivers' result.
fn with_dropped(pending: &mut Option<Duration>, reports: Vec<Moment>) -> Vec<Moment> {
    let dropped = |time| Moment { time, what: Happening::Dropped };
    if reports.is_empty() {
        return pending.take().map(dropped).into_iter().collect();
    }
    let mut moments = Vec::new();
    for moment in reports {
        match &moment.what {
            Happening::Sent(_) => moments.extend(pending.replace(moment.time).map(dropped)),
            _ => *pending = None,
        }
        moments.push(moment);
    }
    moments
}

fn read_events(node: &mut Node) -> std::io::Result<Vec<Moment>> {
    let path = &node.path;
    match node.device.fetch_events() {
        Ok(events) => Ok(events
            .filter(|event| event.event_type() != EventType::SYNCHRONIZATION)
            .map(|event| Moment {
                time: stamp(&event),
                what: Happening::Input { node: path.clone(), event: describe(&event) },
            })
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Describes an event in the terms of include/uapi/linux/input-event-codes.h.
fn describe(event: &InputEvent) -> String {
    match event.destructure() {
        EventSummary::Key(_, code, value) => format!("{code:?} {value}"),
        EventSummary::RelativeAxis(_, code, value) => format!("{code:?} {value}"),
        EventSummary::AbsoluteAxis(_, code, value) => format!("{code:?} {value}"),
        EventSummary::Misc(_, code, value) => format!("{code:?} {value:#x}"),
        EventSummary::Switch(_, code, value) => format!("{code:?} {value}"),
        other => format!("{other:?}"),
    }
}

fn now() -> Duration {
    duration(clock_gettime(ClockId::Monotonic))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Returns the time of an event on CLOCK_MONOTONIC, which its node was set to.
fn stamp(event: &InputEvent) -> Duration {
    // The crate treats all timestamps as wall clock time.
    event.timestamp().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_does_not_come_out_was_dropped() {
        let at = |millis, what| Moment { time: Duration::from_millis(millis), what };
        let (sent, left) = (Happening::Sent(vec![1]), Happening::Left(vec![2]));
        let mut pending = None;
        // A report that was already on its way at the start has no sent event.
        let first = vec![at(1, left.clone()), at(2, sent.clone()), at(3, left.clone()), at(4, sent.clone())];
        assert_eq!(with_dropped(&mut pending, first.clone()), first);
        // The second report arrives after the drivers later, the next one never does.
        let second = vec![at(5, left), at(6, sent.clone()), at(8, sent.clone())];
        let marked = [&second[..2], &[at(6, Happening::Dropped), at(8, sent)]].concat();
        assert_eq!(with_dropped(&mut pending, second), marked);
        assert_eq!(with_dropped(&mut pending, Vec::new()), [at(8, Happening::Dropped)]);
        assert_eq!(with_dropped(&mut pending, Vec::new()), []);
    }
}
