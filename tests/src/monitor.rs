//! Waiting for uevents: those of the kernel, or those that udevd has handled.
//!
//! Nothing here sleeps. A wait ends when the event comes or when its deadline has passed. The error then lists the events that came
//! instead.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use udev::{MonitorBuilder, MonitorSocket};

use crate::process::poll_readable;

/// Long enough for any event on the slowest emulated machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One uevent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uevent {
    /// `add`, `bind`, `unbind`, `remove`, ...
    pub action: String,
    /// `hid`, `input`, `hidraw`, ...
    pub subsystem: String,
    /// The device's directory below /sys.
    pub syspath: PathBuf,
    /// `HID_UNIQ`, if the device has one.
    pub uniq: String,
    /// `SYNTH_UUID`: the id of a program's request for the event.
    pub mark: String,
}

impl Uevent {
    /// Returns the last component of the path: a HID device's name, for example.
    pub fn sysname(&self) -> String {
        self.syspath.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Returns true if it is this event of this HID device.
    pub fn is_hid(&self, action: &str, syspath: &Path) -> bool {
        self.subsystem == "hid" && self.action == action && self.syspath == syspath
    }
}

impl fmt::Display for Uevent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.action, self.subsystem, self.syspath.display())
    }
}

/// A subscription to uevents, and all events since [`Monitor::forget`].
pub struct Monitor {
    socket: MonitorSocket,
    seen: Vec<Uevent>,
}

impl Monitor {
    /// Subscribes to events as the kernel sends them.
    ///
    /// # Errors
    /// The netlink socket can't be made.
    pub fn of_kernel() -> Result<Monitor> {
        Monitor::new(MonitorBuilder::new_kernel())
    }

    /// Subscribes to events that udevd has handled: all its rules and all the programs that they start are done. udevd must run already.
    ///
    /// # Errors
    /// The netlink socket can't be made.
    pub fn of_udevd() -> Result<Monitor> {
        Monitor::new(MonitorBuilder::new())
    }

    fn new(builder: std::io::Result<MonitorBuilder>) -> Result<Monitor> {
        let socket = builder.and_then(MonitorBuilder::listen).context("failed to listen for uevents")?;
        Ok(Monitor { socket, seen: Vec::new() })
    }

    /// Forgets all events so far.
    pub fn forget(&mut self) {
        self.receive();
        self.seen.clear();
    }

    /// Returns all events since [`Monitor::forget`].
    pub fn seen(&mut self) -> &[Uevent] {
        self.receive();
        &self.seen
    }

    /// Waits for an event. Events since [`Monitor::forget`] count. `what` names it for the message.
    ///
    /// # Errors
    /// It did not come, and no other event came for [`PATIENCE`]. The message lists the events that came.
    pub fn wait_for(&mut self, what: &str, mut wanted: impl FnMut(&Uevent) -> bool) -> Result<Uevent> {
        let mut found = None;
        self.wait_until(what, |seen| {
            found = seen.iter().find(|event| wanted(event)).cloned();
            found.is_some()
        })?;
        found.context("an event was there and is gone")
    }

    /// Waits until `reached` holds. Checks it now and after every event. A slow machine with much work still has events.
    ///
    /// # Errors
    /// It did not, and there was no event for [`PATIENCE`]. The message lists the events that came.
    pub fn wait_until(&mut self, what: &str, mut reached: impl FnMut(&[Uevent]) -> bool) -> Result<()> {
        let (mut end, mut known) = (Instant::now() + PATIENCE, 0);
        loop {
            self.receive();
            if reached(&self.seen) {
                return Ok(());
            }
            if self.seen.len() > known {
                (end, known) = (Instant::now() + PATIENCE, self.seen.len());
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                bail!("no {what}, and no other event for {} s; events seen:{}", PATIENCE.as_secs(), self.list());
            };
            poll_readable(&self.socket, left)?;
        }
    }

    fn receive(&mut self) {
        let text =
            |value: Option<&std::ffi::OsStr>| value.map(|v| v.to_string_lossy().into_owned()).unwrap_or_default();
        self.seen.extend(self.socket.iter().map(|event| Uevent {
            action: text(event.property_value("ACTION")),
            subsystem: text(event.subsystem()),
            syspath: event.syspath().to_owned(),
            uniq: text(event.property_value("HID_UNIQ")),
            mark: text(event.property_value("SYNTH_UUID")),
        }));
    }

    fn list(&self) -> String {
        if self.seen.is_empty() {
            return " none".to_owned();
        }
        self.seen.iter().map(|event| format!("\n  {event}")).collect()
    }
}
