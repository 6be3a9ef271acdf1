//! Taps a device: reads its reports before or after its drivers, for as long as the tap is open.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use hid_bpf_src::{TAP_LOST, TAP_MAP, TAP_OBJECT, TapReport};
use libbpf_rs::RingBuffer;
use zerocopy::FromBytes;

use crate::attach::check_ready;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Generation, check_capabilities};
use crate::loader::{self, AttachedLink, Loaded as _, LoadedObject, Part};
use crate::object::ObjectFile;
use crate::order::Order;

/// The position of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Before all drivers: the reports that the device sent.
    BeforeDrivers,
    /// After all drivers: the reports that the kernel processes.
    BehindDrivers,
}

/// A report that passed a tap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TappedReport {
    /// Its time on CLOCK_MONOTONIC.
    pub time: Duration,
    /// Its bytes, including the ID if it has one.
    pub bytes: Vec<u8>,
}

/// An open tap. Dropping it detaches the tap.
pub struct Tap {
    ring: RingBuffer<'static>,
    seen: Arc<Mutex<VecDeque<TappedReport>>>,
    object: LoadedObject<'static>,
    _links: Vec<AttachedLink>,
}

impl fmt::Debug for Tap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}

static OBJECT: LazyLock<std::result::Result<ObjectFile, String>> = LazyLock::new(|| {
    let path = Path::new("the tap of this build of hidbpf");
    ObjectFile::parse("hidbpf_tap", path, Cow::Borrowed(TAP_OBJECT)).map_err(|error| error.to_string())
});

impl Tap {
    /// Attaches a tap to a device, on a kernel of this generation. The device's reports are not changed.
    ///
    /// # Errors
    /// A capability is missing, or the device is not ready for event hooks.
    pub fn open(generation: Generation, device: &Device, place: Place) -> Result<Tap> {
        check_capabilities(generation)?;
        check_ready(device, "a tap")?;
        let file = OBJECT.as_ref().map_err(|error| Error::new(ErrorKind::BadObject, error.as_str()))?;
        let order = match place {
            Place::BeforeDrivers => Order::First,
            Place::BehindDrivers => Order::Last,
        };
        let object = loader::load(file, generation, device, order)?;
        let seen = Arc::new(Mutex::new(VecDeque::new()));
        let sink = Arc::clone(&seen);
        let ring = object.ring_buffer(TAP_MAP, move |entry| {
            if let Some(report) = read(entry) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push_back(report);
            }
            0
        })?;
        let links = object.attach(device.name.id(), Part::Whole)?;
        Ok(Tap { ring, seen, object, _links: links })
    }

    /// Waits up to `patience` for reports, and returns those that arrived.
    ///
    /// # Errors
    /// The ring buffer can't be read.
    pub fn read(&self, patience: Duration) -> Result<Vec<TappedReport>> {
        match self.ring.poll(patience) {
            Ok(()) => {}
            // After a signal, return to let the caller check for it.
            Err(error) if error.kind() == libbpf_rs::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Error::because(ErrorKind::Io, "failed to wait for reports", format!("{error:#}")));
            }
        }
        Ok(self.seen.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect())
    }

    /// Returns the number of reports that were lost because they came faster than they were read.
    ///
    /// # Errors
    /// The count can't be read.
    pub fn lost(&self) -> Result<u32> {
        Ok(self.object.global(TAP_LOST)?.unwrap_or(0))
    }
}

fn read(entry: &[u8]) -> Option<TappedReport> {
    /// `HID_INPUT_REPORT` (include/linux/hid.h). Answers to GET_REPORT pass the same hook.
    const INPUT: u32 = 0;
    let (header, data) = TapReport::read_from_prefix(entry).ok()?;
    let size = usize::try_from(header.size).ok()?.min(data.len());
    (header.kind == INPUT)
        .then(|| TappedReport { time: Duration::from_nanos(header.time), bytes: data[..size].to_vec() })
}
