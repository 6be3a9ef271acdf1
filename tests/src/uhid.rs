//! HID devices made by a program: a small wrapper over /dev/uhid.
//!
//! Layout and numbers: include/uapi/linux/uhid.h. Every device has its own thread that answers the kernel's GET_REPORT and SET_REPORT at
//! once. The kernel makes the requesting process wait up to five seconds for an answer, and that process is often the one under test.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::size_of;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hidbpf::descriptor::ReportType;
use hidbpf::recording::{Asked, RequestKind};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

const UHID: &str = "/dev/uhid";

const UHID_DESTROY: u32 = 1;
const UHID_START: u32 = 2;
const UHID_STOP: u32 = 3;
const UHID_OPEN: u32 = 4;
const UHID_CLOSE: u32 = 5;
const UHID_OUTPUT: u32 = 6;
const UHID_GET_REPORT: u32 = 9;
const UHID_GET_REPORT_REPLY: u32 = 10;
const UHID_CREATE2: u32 = 11;
const UHID_INPUT2: u32 = 12;
const UHID_SET_REPORT: u32 = 13;
const UHID_SET_REPORT_REPLY: u32 = 14;

/// `UHID_DATA_MAX`, which equals `HID_MAX_DESCRIPTOR_SIZE`.
const DATA_MAX: usize = 4096;

/// The size of `struct uhid_event`: its type and its largest member, `struct uhid_create2_req`.
const EVENT_SIZE: usize = 4 + size_of::<Create2>();

#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
struct Create2 {
    name: [u8; 128],
    phys: [u8; 64],
    uniq: [u8; 64],
    rd_size: u16,
    bus: u16,
    vendor: u32,
    product: u32,
    version: u32,
    country: u32,
    rd_data: [u8; DATA_MAX],
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
struct Output {
    data: [u8; DATA_MAX],
    size: u16,
    rtype: u8,
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
struct GetReport {
    id: u32,
    rnum: u8,
    rtype: u8,
}

#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
struct GetReportReply {
    id: u32,
    err: u16,
    size: u16,
    data: [u8; DATA_MAX],
}

#[derive(FromBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
struct SetReport {
    id: u32,
    rnum: u8,
    rtype: u8,
    size: u16,
    data: [u8; DATA_MAX],
}

#[derive(IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
struct SetReportReply {
    id: u32,
    err: u16,
}

#[derive(FromZeros, IntoBytes, Immutable, KnownLayout)]
#[repr(C, packed)]
struct Input2 {
    size: u16,
    data: [u8; DATA_MAX],
}

const _: () = {
    assert!(size_of::<Create2>() == 4372);
    assert!(size_of::<Output>() == 4099);
    assert!(size_of::<GetReport>() == 6);
    assert!(size_of::<GetReportReply>() == 4104);
    assert!(size_of::<SetReport>() == 4104);
    assert!(size_of::<SetReportReply>() == 6);
    assert!(size_of::<Input2>() == 4098);
    assert!(EVENT_SIZE == 4376);
};

/// The identity of a device when it is plugged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `BUS_*` of include/uapi/linux/input.h.
    pub bus: u16,
    /// Vendor id.
    pub vendor: u32,
    /// Product id.
    pub product: u32,
    /// The name, cut at 127 bytes.
    pub name: String,
    /// The physical path, cut at 63 bytes.
    pub phys: String,
    /// The unique id, cut at 63 bytes. The tests find the device by it.
    pub uniq: String,
    /// The original descriptor.
    pub descriptor: Vec<u8>,
}

/// An action of the kernel on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A kernel driver has begun to use the device.
    Start,
    /// The kernel driver has released the device.
    Stop,
    /// The first user has opened the device.
    Open,
    /// The last user has closed the device.
    Close,
    /// An output report for the device.
    Output(Vec<u8>),
    /// A request for a report, with type and id as in `enum uhid_report_type`.
    GetReport {
        /// Feature 0, output 1, input 2.
        rtype: u8,
        /// The report's id.
        rnum: u8,
    },
    /// A report for the device through the control channel.
    SetReport {
        /// Feature 0, output 1, input 2.
        rtype: u8,
        /// The report's id.
        rnum: u8,
        /// The report.
        data: Vec<u8>,
    },
}

/// The device's answer to GET_REPORT: a report, or nothing for EIO.
pub type Answer = dyn Fn(u8, u8) -> Option<Vec<u8>> + Send;

/// How the device treats GET_REPORT and SET_REPORT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It answers the reports that it has, and accepts everything.
    #[default]
    Willing,
    /// It refuses both.
    Refusing,
    /// It never answers, and lets the kernel wait.
    Silent,
}

/// A plugged-in device; unplugged when dropped.
#[derive(Debug)]
pub struct Device {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    uhid: File,
    stop: std::os::fd::OwnedFd,
    events: Mutex<Vec<Event>>,
    news: Condvar,
    mood: Mutex<Mood>,
}

impl Device {
    /// Plugs in a device. `answer` answers its GET_REPORTs and is called with type and id.
    ///
    /// # Errors
    /// /dev/uhid can't be opened, or the kernel refuses the device.
    pub fn plug(spec: &Spec, answer: Box<Answer>, mood: Mood) -> io::Result<Device> {
        let uhid = File::options().read(true).write(true).open(UHID)?;
        send(&uhid, UHID_CREATE2, create2(spec)?.as_bytes())?;
        let shared = Arc::new(Shared {
            uhid,
            stop: eventfd(0, EventfdFlags::CLOEXEC)?,
            events: Mutex::new(Vec::new()),
            news: Condvar::new(),
            mood: Mutex::new(mood),
        });
        let thread = std::thread::Builder::new().name("uhid".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.serve(&*answer)
        })?;
        Ok(Device { shared, thread: Some(thread) })
    }

    /// Sends an input report, with its id first if the device numbers its reports.
    ///
    /// The kernel has delivered it to every open event node and hidraw node when this returns.
    ///
    /// # Errors
    /// The report is too long, or the device is gone.
    pub fn send(&self, report: &[u8]) -> io::Result<()> {
        let mut input = Input2::new_zeroed();
        input.data.get_mut(..report.len()).ok_or_else(too_long)?.copy_from_slice(report);
        input.size = u16::try_from(report.len()).map_err(|_| too_long())?;
        send(&self.shared.uhid, UHID_INPUT2, input.as_bytes())
    }

    /// Changes how it treats requests from now on.
    pub fn set_mood(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// Returns the kernel's actions so far, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.shared.events().clone()
    }

    /// Returns the requests that the device received so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        let report =
            |rtype| [ReportType::Feature, ReportType::Output, ReportType::Input].get(usize::from(rtype)).copied();
        let asked = |event: &Event| {
            Some(match event {
                Event::Output(data) => {
                    Asked { kind: RequestKind::Output, report: ReportType::Output, data: data.clone() }
                }
                Event::GetReport { rtype, rnum } => {
                    Asked { kind: RequestKind::Get, report: report(*rtype)?, data: vec![*rnum] }
                }
                Event::SetReport { rtype, data, .. } => {
                    Asked { kind: RequestKind::Set, report: report(*rtype)?, data: data.clone() }
                }
                _ => return None,
            })
        };
        self.shared.events().iter().filter_map(asked).collect()
    }

    /// Waits until the kernel's actions satisfy `wanted`.
    ///
    /// # Errors
    /// `ErrorKind::TimedOut` with the kernel's actions.
    pub fn wait_for(&self, deadline: Duration, wanted: impl Fn(&[Event]) -> bool) -> io::Result<()> {
        let end = Instant::now() + deadline;
        let mut events = self.shared.events();
        while !wanted(&events) {
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("uhid events seen: {events:?}")));
            };
            events = self.shared.news.wait_timeout(events, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Unplugs the device. sysfs has nothing of it when this returns.
    ///
    /// # Errors
    /// The kernel no longer knows the device.
    pub fn unplug(mut self) -> io::Result<()> {
        self.destroy()
    }

    fn destroy(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let destroyed = send(&self.shared.uhid, UHID_DESTROY, &[]);
        let stopped = rustix::io::write(&self.shared.stop, &1u64.to_ne_bytes());
        if stopped.is_ok() && thread.join().is_err() {
            return Err(io::Error::other("the thread that answers for the device panicked"));
        }
        destroyed
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.destroy() {
            eprintln!("failed to unplug a virtual device: {error}");
        }
    }
}

impl Shared {
    fn events(&self) -> MutexGuard<'_, Vec<Event>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, answer: &Answer) {
        let mut buffer = [0; EVENT_SIZE];
        loop {
            let mut fds = [PollFd::new(&self.uhid, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
            match poll(&mut fds, None) {
                Err(rustix::io::Errno::INTR) => continue,
                Err(_) => return,
                Ok(_) if !fds[1].revents().is_empty() => return,
                Ok(_) => {}
            }
            buffer.fill(0);
            if (&self.uhid).read(&mut buffer).is_err() {
                return;
            }
            let Some(event) = self.take(&buffer, answer) else { continue };
            self.events().push(event);
            self.news.notify_all();
        }
    }

    /// Answers one event of the kernel, if it needs an answer. A failed write means that the device is being unplugged.
    fn take(&self, event: &[u8; EVENT_SIZE], answer: &Answer) -> Option<Event> {
        let (kind, payload) = event.split_first_chunk::<4>()?;
        let mood = *self.mood.lock().unwrap_or_else(PoisonError::into_inner);
        Some(match u32::from_ne_bytes(*kind) {
            UHID_START => Event::Start,
            UHID_STOP => Event::Stop,
            UHID_OPEN => Event::Open,
            UHID_CLOSE => Event::Close,
            UHID_OUTPUT => {
                let (output, _) = Output::ref_from_prefix(payload).ok()?;
                Event::Output(output.data.get(..usize::from(output.size))?.to_vec())
            }
            UHID_GET_REPORT => {
                let (request, _) = GetReport::ref_from_prefix(payload).ok()?;
                let mut reply = GetReportReply::new_zeroed();
                reply.id = request.id;
                let willing = mood == Mood::Willing;
                match answer(request.rtype, request.rnum).filter(|report| willing && report.len() <= DATA_MAX) {
                    Some(report) => {
                        reply.size = u16::try_from(report.len()).ok()?;
                        reply.data[..report.len()].copy_from_slice(&report);
                    }
                    None => reply.err = EIO,
                }
                if mood != Mood::Silent {
                    let _ = send(&self.uhid, UHID_GET_REPORT_REPLY, reply.as_bytes());
                }
                Event::GetReport { rtype: request.rtype, rnum: request.rnum }
            }
            UHID_SET_REPORT => {
                let (request, _) = SetReport::ref_from_prefix(payload).ok()?;
                let reply = SetReportReply { id: request.id, err: if mood == Mood::Willing { 0 } else { EIO } };
                if mood != Mood::Silent {
                    let _ = send(&self.uhid, UHID_SET_REPORT_REPLY, reply.as_bytes());
                }
                let data = request.data.get(..usize::from(request.size))?.to_vec();
                Event::SetReport { rtype: request.rtype, rnum: request.rnum, data }
            }
            _ => return None,
        })
    }
}

/// The kernel passes `err` on unchanged. Any value but 0 means EIO to it.
const EIO: u16 = 5;

fn create2(spec: &Spec) -> io::Result<Create2> {
    let mut request = Create2::new_zeroed();
    copy_cut(&mut request.name, &spec.name);
    copy_cut(&mut request.phys, &spec.phys);
    copy_cut(&mut request.uniq, &spec.uniq);
    request.bus = spec.bus;
    request.vendor = spec.vendor;
    request.product = spec.product;
    request.rd_size = u16::try_from(spec.descriptor.len()).map_err(|_| too_long())?;
    request.rd_data.get_mut(..spec.descriptor.len()).ok_or_else(too_long)?.copy_from_slice(&spec.descriptor);
    Ok(request)
}

/// Copies as much of `text` as leaves room for a closing zero.
fn copy_cut(to: &mut [u8], text: &str) {
    let length = text.len().min(to.len() - 1);
    to[..length].copy_from_slice(&text.as_bytes()[..length]);
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("more than {DATA_MAX} bytes"))
}

/// Writes one event. The kernel treats missing bytes at its end as zeros.
fn send(mut uhid: &File, kind: u32, payload: &[u8]) -> io::Result<()> {
    let event = [&kind.to_ne_bytes(), payload].concat();
    match uhid.write(&event)? {
        written if written == event.len() => Ok(()),
        written => Err(io::Error::other(format!("the kernel took {written} of {} bytes", event.len()))),
    }
}
