//! Waiting for the kernel to have bound a device anew, by the events that it sends to udev.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::error::{Error, ErrorKind, Result};

/// What became of a device that was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebound {
    /// A kernel driver is bound to it, and its nodes are there.
    Bound,
    /// It was unplugged.
    Gone,
    /// Nothing of that, in the time.
    NotYet,
}

/// The kernel's events from now on.
pub(crate) struct Uevents(udev::MonitorSocket);

impl Uevents {
    /// Begins to listen.
    ///
    /// # Errors
    /// There is no socket to be had for it.
    pub(crate) fn listen() -> Result<Uevents> {
        let socket = udev::MonitorBuilder::new_kernel().and_then(udev::MonitorBuilder::listen);
        socket.map(Uevents).map_err(|error| {
            Error::because(ErrorKind::Io, "failed to listen to the kernel's events about devices", error)
        })
    }

    /// Waits until the kernel has bound its driver to the HID device at `syspath`: the event comes when the probe is over, so that the
    /// device's nodes are there (`driver_bound()`, drivers/base/dd.c).
    ///
    /// # Errors
    /// The socket fails.
    pub(crate) fn wait_for_bind(&self, syspath: &Path, limit: Duration) -> Result<Rebound> {
        let started = Instant::now();
        loop {
            for event in self.0.iter().filter(|event| event.syspath() == syspath) {
                match event.event_type() {
                    udev::EventType::Bind => return Ok(Rebound::Bound),
                    udev::EventType::Remove => return Ok(Rebound::Gone),
                    _ => {}
                }
            }
            let Some(left) = limit.checked_sub(started.elapsed()) else { return Ok(Rebound::NotYet) };
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    let what = "failed to wait for the kernel's events about devices";
                    return Err(Error::because(ErrorKind::Io, what, error));
                }
            }
        }
    }
}
