//! Waits for the kernel to rebind a device, with the events that it sends to udev.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketAddrAny, SocketFlags, SocketType, bind, recvfrom, socket_with};

use crate::error::{Error, ErrorKind, Result};
use crate::system::System;

/// The result of waiting for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rebound {
    /// The awaited event came.
    Bound,
    /// The device was unplugged.
    Gone,
    /// Neither happened within the time limit.
    NotYet,
}

/// A socket that receives the kernel's events from now on.
pub(crate) struct Uevents(OwnedFd);

impl Uevents {
    /// The multicast group of the kernel's own events. udev's events have another group.
    const KERNEL: u32 = 1;

    /// Starts to listen.
    ///
    /// # Errors
    /// The socket can't be created.
    pub(crate) fn listen() -> Result<Uevents> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::KOBJECT_UEVENT))
            .and_then(|socket| {
                bind(&socket, &SocketAddrNetlink::new(0, Uevents::KERNEL))?;
                Ok(socket)
            });
        socket.map(Uevents).map_err(|error| failed("failed to listen to the kernel's events about devices", error))
    }

    /// Waits until the kernel has bound a kernel driver to the HID device at `syspath`.
    ///
    /// The event follows the kernel probe, so the device's nodes exist by then (`driver_bound()`, drivers/base/dd.c).
    ///
    /// # Errors
    /// The socket fails.
    pub(crate) fn wait_for_bind(&self, system: &System, syspath: &Path, limit: Duration) -> Result<Rebound> {
        self.wait_for(b"bind", system, syspath, limit)
    }

    /// Waits until the kernel driver is unbound from the device.
    ///
    /// # Errors
    /// The socket fails.
    pub(crate) fn wait_for_unbind(&self, system: &System, syspath: &Path, limit: Duration) -> Result<Rebound> {
        self.wait_for(b"unbind", system, syspath, limit)
    }

    fn wait_for(&self, wanted: &[u8], system: &System, syspath: &Path, limit: Duration) -> Result<Rebound> {
        let fail = |error| failed("failed to wait for the kernel's events about devices", error);
        let started = Instant::now();
        let mut buffer = vec![0; Uevents::MOST];
        let mut has_lost = false;
        // Checked for each event, so that a steady stream of other devices' events can't extend the limit.
        while let Some(left) = limit.checked_sub(started.elapsed()) {
            match recvfrom(&self.0, &mut buffer[..], RecvFlags::empty()) {
                Ok((size, _, sender)) if sender.as_ref().is_some_and(is_kernel) => {
                    match action(&buffer[..size], &system.sysfs, syspath) {
                        Some(action) if action == wanted => return Ok(Rebound::Bound),
                        Some(b"remove") => return Ok(Rebound::Gone),
                        _ => {}
                    }
                    continue;
                }
                Ok(_) | Err(Errno::INTR) => continue,
                // The socket's buffer was full (netlink(7)).
                Err(Errno::NOBUFS) => {
                    has_lost = true;
                    continue;
                }
                Err(Errno::AGAIN) => {}
                Err(error) => return Err(fail(error)),
            }
            let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(if has_lost { seen_in_sysfs(wanted, syspath) } else { Rebound::NotYet })
    }

    /// The largest event, in bytes: `UEVENT_BUFFER_SIZE` (include/linux/kobject.h) and the header.
    const MOST: usize = 4096;
}

/// Returns the state of a device in sysfs at the end of the time limit. Its event may have been lost.
fn seen_in_sysfs(wanted: &[u8], syspath: &Path) -> Rebound {
    let is_bound = syspath.join("driver").exists();
    match (syspath.exists(), is_bound == (wanted == b"bind")) {
        (false, _) => Rebound::Gone,
        (true, true) => Rebound::Bound,
        (true, false) => Rebound::NotYet,
    }
}

fn failed(what: &str, error: Errno) -> Error {
    Error::because(ErrorKind::Io, what, io::Error::from(error))
}

/// Returns whether the kernel sent an event: its netlink port is 0. Any process may send to the group.
fn is_kernel(sender: &SocketAddrAny) -> bool {
    SocketAddrNetlink::try_from(sender.clone()).is_ok_and(|sender| sender.pid() == 0)
}

/// Returns the action, if the event is about this device. An event begins with `ACTION@DEVPATH` and a NUL.
fn action<'e>(event: &'e [u8], sysfs: &Path, syspath: &Path) -> Option<&'e [u8]> {
    let header = event.split(|byte| *byte == 0).next()?;
    let at = header.iter().position(|byte| *byte == b'@')?;
    let path = syspath.strip_prefix(sysfs).ok()?.as_os_str().as_bytes();
    (header[at + 1..].strip_prefix(b"/") == Some(path)).then_some(&header[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_events_of_the_very_device_count() {
        let about =
            |event: &'static [u8]| action(event, Path::new("/sys"), Path::new("/sys/devices/x/0003:0001:0002.0003"));
        assert_eq!(about(b"bind@/devices/x/0003:0001:0002.0003\0ACTION=bind\0"), Some(&b"bind"[..]));
        assert_eq!(about(b"add@/devices/x/0003:0001:0002.0003/input/input7\0ACTION=add\0"), None);
        assert_eq!(about(b"bind@/devices/x/0003:0001:0002.00031\0"), None);
        assert_eq!(about(b"libudev\0"), None);
        assert_eq!(about(b""), None);
    }

    /// The limit applies even if there is always one more event to read.
    #[test]
    fn a_steady_stream_of_other_events_ends_at_the_limit() {
        use std::os::unix::net::UnixDatagram;
        use std::sync::mpsc;

        let (sender, receiver) = UnixDatagram::pair().unwrap();
        receiver.set_nonblocking(true).unwrap();
        std::thread::spawn(move || while sender.send(b"change@/devices/other\0").is_ok() {});
        let (done, result) = mpsc::channel();
        std::thread::spawn(move || {
            let uevents = Uevents(receiver.into());
            let limit = Duration::from_millis(20);
            done.send(uevents.wait_for_bind(&System::default(), Path::new("/sys/devices/x"), limit).unwrap())
        });
        assert_eq!(result.recv_timeout(Duration::from_secs(60)).expect("the wait has an end"), Rebound::NotYet);
    }

    #[test]
    fn lost_events_are_made_up_for_by_a_look() {
        let device = tempfile::tempdir().unwrap();
        let look = |wanted: &[u8]| seen_in_sysfs(wanted, device.path());
        assert_eq!((look(b"bind"), look(b"unbind")), (Rebound::NotYet, Rebound::Bound));
        std::fs::create_dir(device.path().join("driver")).unwrap();
        assert_eq!((look(b"bind"), look(b"unbind")), (Rebound::Bound, Rebound::NotYet));
        assert_eq!(seen_in_sysfs(b"bind", &device.path().join("gone")), Rebound::Gone);
    }
}
