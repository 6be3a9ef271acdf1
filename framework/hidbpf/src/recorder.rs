//! Records a device live: its original descriptor, and its reports before any driver changes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::catalog::Catalog;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel;
use crate::manager::Manager;
use crate::object::DriverObject;
use crate::pins;
use crate::recording;
use crate::system::System;
use crate::tap::{Place, Tap};

/// A report, and its time since the recording began.
pub type TimedReport = (Duration, Vec<u8>);

/// A recording in progress.
#[derive(Debug)]
pub struct Recorder {
    device: Device,
    /// Stays open the whole time: most devices only send while a reader has them open.
    hidraw: Hidraw,
    tap: std::result::Result<Tap, Error>,
    started: Instant,
    /// The tap's clock at the start of the recording.
    first: Option<Duration>,
}

/// Returns a device for a recording, with the udev properties that drivers ask for. It has the original descriptor, or
/// the current one if the original is unknown.
pub fn described(device: &Device, catalog: &Catalog) -> recording::RecordedDevice {
    let wanted: BTreeSet<&str> = catalog.drivers.iter().flat_map(DriverObject::properties).collect();
    recording::RecordedDevice {
        number: 0,
        name: device.hid_name.clone(),
        phys: device.phys.clone(),
        bus: device.modalias.bus,
        vendor: device.modalias.vendor,
        product: device.modalias.product,
        descriptor: device.original_or_current().to_vec(),
        properties: device.properties(wanted),
        features: BTreeMap::new(),
        asked: Vec::new(),
        exported: Default::default(),
    }
}

impl Recorder {
    /// Starts recording.
    ///
    /// # Errors
    /// The device's hidraw node can't be opened. A tap that can't be attached isn't an error: see [`Recorder::caveat`].
    pub fn open(system: &System, device: &Device) -> Result<Recorder> {
        let described = Manager::new(system).with_original_if_possible(device.clone())?;
        let hidraw = Hidraw::open(device)?;
        let tap = kernel::detect(system)
            .and_then(|kernel| kernel.generation())
            .and_then(|generation| Tap::open(generation, device, Place::BeforeDrivers));
        Ok(Recorder { device: described, hidraw, tap, started: Instant::now(), first: None })
    }

    /// Returns the device for the recording: see [`described`].
    pub fn device(&self, catalog: &Catalog) -> recording::RecordedDevice {
        described(&self.device, catalog)
    }

    /// Returns whether the recording has the original descriptor. Otherwise it has the current one.
    pub fn has_original(&self) -> bool {
        self.device.original().is_some()
    }

    /// Returns why the reports may differ from those that the device sent: a driver is attached, and the recorder
    /// couldn't attach a tap before it.
    ///
    /// # Errors
    /// The attached drivers can't be determined.
    pub fn caveat(&self, system: &System) -> Result<Option<String>> {
        let Err(error) = &self.tap else { return Ok(None) };
        let drivers: Vec<String> = pins::of_device(system, &self.device.name)?
            .into_iter()
            .map(|pinned| format!("`{}`", pinned.driver))
            .collect();
        Ok((!drivers.is_empty()).then(|| {
            format!(
                "the reports are as the driver {} left them, for the device can't be tapped: {error}",
                drivers.join(" and ")
            )
        }))
    }

    /// Waits up to `patience` for reports, and returns them with their time since the recording began. `None` if the
    /// device is gone.
    ///
    /// # Errors
    /// Reading failed, although the device is not gone.
    pub fn read(&mut self, patience: Duration) -> Result<Option<Vec<TimedReport>>> {
        let Ok(tap) = &self.tap else {
            let started = self.started;
            let reports = self.hidraw.read(patience)?;
            return Ok(reports.map(|reports| reports.into_iter().map(|bytes| (started.elapsed(), bytes)).collect()));
        };
        let reports = tap.read(patience)?;
        // Read hidraw only to notice that the device is gone.
        if reports.is_empty() && self.hidraw.read(Duration::ZERO)?.is_none() {
            return Ok(None);
        }
        let first = &mut self.first;
        Ok(Some(
            reports
                .into_iter()
                .map(|report| (report.time.saturating_sub(*first.get_or_insert(report.time)), report.bytes))
                .collect(),
        ))
    }

    /// Returns the number of reports that came too fast to be recorded.
    ///
    /// # Errors
    /// The count can't be read.
    pub fn lost(&self) -> Result<u32> {
        self.tap.as_ref().map_or(Ok(0), Tap::lost)
    }
}

/// A device's hidraw node.
#[derive(Debug)]
pub(crate) struct Hidraw {
    path: PathBuf,
    file: File,
}

impl Hidraw {
    /// Opens the hidraw node of a device.
    ///
    /// # Errors
    /// It has none, or this process may not read it.
    pub(crate) fn open(device: &Device) -> Result<Hidraw> {
        let path =
            device.nodes().into_iter().find(|node| node.starts_with("/dev") && is_hidraw(node)).ok_or_else(|| {
                Error::new(ErrorKind::NotReady, format!("the device `{}` has no hidraw node", device.name))
                    .with_hint("a kernel driver must be bound to it, and the kernel built with CONFIG_HIDRAW")
            })?;
        let file = open_nonblocking(&path).map_err(|error| {
            Error::permission_or(ErrorKind::Io, format!("failed to open `{}`", path.display()), error)
                .with_hint("run the command as root, for example with sudo")
        })?;
        Ok(Hidraw { path, file })
    }

    /// Waits for reports and reads all that are pending. `None` if the device is gone.
    pub(crate) fn read(&mut self, patience: Duration) -> Result<Option<Vec<Vec<u8>>>> {
        /// The maximum size of a report: `HID_MAX_BUFFER_SIZE` (include/linux/hid.h).
        const MOST: usize = 16384;
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        let failed = |error: io::Error| {
            Error::because(ErrorKind::Io, format!("failed to read `{}`", self.path.display()), error)
        };
        match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
        let mut reports = Vec::new();
        let mut buffer = vec![0; MOST];
        loop {
            match (&self.file).read(&mut buffer) {
                Ok(size) => reports.push(buffer[..size].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(reports)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if has_gone(&error) => {
                    return Ok((!reports.is_empty()).then_some(reports));
                }
                Err(error) => return Err(failed(error)),
            }
        }
    }
}

fn is_hidraw(node: &Path) -> bool {
    node.file_name().is_some_and(|name| name.to_string_lossy().starts_with("hidraw"))
}

/// Opens a device's node for nonblocking reads.
pub(crate) fn open_nonblocking(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)
}

/// Returns whether an error means that the device is gone: EIO from hidraw, ENODEV from evdev.
pub(crate) fn has_gone(error: &io::Error) -> bool {
    use rustix::io::Errno;
    error.raw_os_error().is_some_and(|number| [Errno::IO, Errno::NODEV].contains(&Errno::from_raw_os_error(number)))
}
