//! The ports of the kernel's virtual USB host controllers, vhci-hcd: drivers/usb/usbip/vhci_sysfs.c.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::descriptors::Speed;

/// The first controller, which has the files for the ports of all.
const CONTROLLER: &str = "/sys/devices/platform/vhci_hcd.0";

/// Returns true if the kernel has virtual controllers.
pub fn is_there() -> bool {
    Path::new(CONTROLLER).is_dir()
}

/// A port with a device.
#[derive(Debug)]
pub struct Port {
    number: usize,
    /// The directory of the device in sysfs, which exists once the kernel has found the device.
    pub device: PathBuf,
}

/// Ports that this process uses. The port of a device that was just unplugged is free before the kernel has forgotten the device.
static TAKEN: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

impl Port {
    /// Plugs a device of this speed into a free port. `wire` is a stream socket whose other end answers for the device.
    ///
    /// # Errors
    /// No port is free, or the kernel refuses the socket.
    pub fn plug(wire: &OwnedFd, speed: Speed) -> io::Result<Port> {
        let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ports = ports()?;
        ports.retain(|port| port.speed == speed);
        // One port of each hub after the other: the kernel examines the ports of one hub in turn, and takes its time for each.
        ports.sort_by_key(|port| (port.place, port.controller));
        let port = ports.iter().find(|port| port.is_free && !taken.contains(&port.number));
        let port = port.ok_or_else(|| io::Error::other(format!("all {} ports have a device", ports.len())))?;
        let device = port.device(speed)?;
        let line = format!("{} {} {} {}", port.number, wire.as_raw_fd(), port.number + 1, speed.number());
        let path = Path::new(CONTROLLER).join("attach");
        fs::write(&path, line).map_err(|error| named(&path, error))?;
        taken.insert(port.number);
        Ok(Port { number: port.number, device })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// A port as the kernel lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    speed: Speed,
    /// Its number among all ports.
    number: usize,
    is_free: bool,
    /// Its controller.
    controller: usize,
    /// Its number among the ports of its hub, counted from 0.
    place: usize,
}

impl Listed {
    /// Parses a line as `hs  0000 004 000 00000000  000000 0-0`, without its place.
    fn read(line: &str, controller: usize) -> Option<Listed> {
        /// `VDEV_ST_NULL` (include/uapi/linux/usbip.h).
        const NO_DEVICE: &str = "004";
        let mut words = line.split_whitespace();
        let speed = match words.next()? {
            "hs" => Speed::High,
            "ss" => Speed::Super,
            _ => return None,
        };
        let (number, state) = (words.next()?.parse().ok()?, words.next()?);
        Some(Listed { speed, number, is_free: state == NO_DEVICE, controller, place: 0 })
    }

    /// Returns the directory for a device at this port: below the hub, with the hub's name without `usb`, and the port's number on it.
    fn device(&self, speed: Speed) -> io::Result<PathBuf> {
        let folder = Path::new(CONTROLLER).with_extension(self.controller.to_string());
        for entry in fs::read_dir(&folder).map_err(|error| named(&folder, error))? {
            let hub = entry?.path();
            let name = hub.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(bus) = name.strip_prefix("usb").and_then(|bus| bus.parse::<u32>().ok()) else { continue };
            let megabits = fs::read_to_string(hub.join("speed")).unwrap_or_default();
            if (megabits.trim() == "480") == (speed == Speed::High) {
                return Ok(hub.join(format!("{bus}-{}", self.place + 1)));
            }
        }
        Err(io::Error::new(io::ErrorKind::NotFound, format!("`{}` has no hub for {speed:?}", folder.display())))
    }
}

/// Returns all ports of all controllers. Each controller lists its ports in a file.
fn ports() -> io::Result<Vec<Listed>> {
    let mut ports: Vec<Listed> = Vec::new();
    for controller in 0.. {
        let name = if controller == 0 { "status".to_owned() } else { format!("status.{controller}") };
        let path = Path::new(CONTROLLER).join(name);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && controller > 0 => break,
            text => text.map_err(|error| named(&path, error))?,
        };
        for listed in text.lines().filter_map(|line| Listed::read(line, controller)) {
            let is_neighbour = |port: &&Listed| port.controller == controller && port.speed == listed.speed;
            let place = ports.iter().filter(is_neighbour).count();
            ports.push(Listed { place, ..listed });
        }
    }
    Ok(ports)
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("failed at `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        let port = Listed { speed: Speed::High, number: 0, is_free: true, controller: 2, place: 0 };
        assert_eq!(Listed::read("hs  0000 004 000 00000000  000000 0-0", 2), Some(port.clone()));
        let taken = Listed { speed: Speed::Super, number: 17, is_free: false, ..port };
        assert_eq!(Listed::read("ss  0017 006 005 00000001  000009 4-2", 2), Some(taken));
        assert_eq!(Listed::read("hub port sta spd dev      sockfd local_busid", 0), None);
    }
}
