//! USB devices made by a program.
//!
//! The kernel has them on a bus of its vhci-hcd, which is for devices of other machines (USB/IP). This process plays that machine. It
//! answers all requests of the kernel, normally or in the way that a test needs. The kernel's usbhid takes part. So such a device has
//! parents, interface numbers, strings, endpoints and sleep like a real one.

mod descriptors;
mod ip;
mod vhci;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hidbpf::descriptor::ReportType;
use hidbpf::recording::{Asked, RequestKind};
use nix::errno::Errno;

pub use descriptors::{InterfaceSpec, MANUFACTURER, PRODUCT, SERIAL, Spec, Speed, utf16};
pub use vhci::is_there;

use descriptors::{CONFIGURATION, REPORT, STRING, THE_CONFIGURATION};
use ip::{Command, Setup, Submit};
use vhci::Port;

/// How long the kernel may take to poll for a report, or to forget a device, on the slowest emulated machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request on the control pipe, as the kernel makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// `bmRequestType`.
    pub kind: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`: the number of an interface.
    pub index: u16,
    /// `wLength`.
    pub length: u16,
    /// The bytes that the kernel sends.
    pub data: Vec<u8>,
}

/// `bmRequestType`: the device sends; requests of the HID class; to an interface, to an endpoint.
const TO_HOST: u8 = 0x80;
const CLASS: u8 = 0x20;
const TO_INTERFACE: u8 = 1;
const TO_ENDPOINT: u8 = 2;

/// Standard requests (USB 2.0, table 9-4; USB 3.0, table 9-5).
const GET_STATUS: u8 = 0;
const CLEAR_FEATURE: u8 = 1;
const SET_FEATURE: u8 = 3;
const GET_DESCRIPTOR: u8 = 6;
const GET_CONFIGURATION: u8 = 8;
const SET_CONFIGURATION: u8 = 9;
const GET_INTERFACE: u8 = 10;
const SET_INTERFACE: u8 = 11;
const SET_SEL: u8 = 48;
const SET_ISOCH_DELAY: u8 = 49;

/// Requests of the HID class (HID 1.11, section 7.2).
const GET_REPORT: u8 = 1;
const SET_REPORT: u8 = 9;
const SET_IDLE: u8 = 10;
const SET_PROTOCOL: u8 = 11;

impl Request {
    fn of(submit: &Submit) -> Request {
        let Setup { kind, request, value, index, length } = submit.setup;
        Request {
            kind,
            request,
            value: value.get(),
            index: index.get(),
            length: length.get(),
            data: submit.data.clone(),
        }
    }

    /// Returns true if it requests the report descriptor of an interface.
    pub fn is_for_report_descriptor(&self) -> bool {
        self.kind == TO_HOST | TO_INTERFACE && self.request == GET_DESCRIPTOR && self.value >> 8 == u16::from(REPORT)
    }

    /// Returns the answer of another device, if it requests a descriptor.
    pub fn descriptor_of(&self, other: &Spec) -> Option<Vec<u8>> {
        let [index, kind] = self.value.to_le_bytes();
        match (self.kind, self.request) {
            (TO_HOST, GET_DESCRIPTOR) => other.descriptor(kind, index),
            (target, GET_DESCRIPTOR) if target == TO_HOST | TO_INTERFACE => {
                other.interface_descriptor(u8::try_from(self.index).ok()?, kind)
            }
            _ => None,
        }
    }

    /// Returns the index of the requested string, if any.
    pub fn string(&self) -> Option<u8> {
        let [index, kind] = self.value.to_le_bytes();
        (self.kind == TO_HOST && self.request == GET_DESCRIPTOR && kind == STRING).then_some(index)
    }

    /// Returns true if it configures the device, as the kernel does when it is plugged in and after a reset.
    pub fn sets_configuration(&self) -> bool {
        self.kind == 0 && self.request == SET_CONFIGURATION && self.value != 0
    }

    /// Returns true if it gets or sets a report.
    pub fn is_for_report(&self) -> bool {
        self.report().is_some()
    }

    /// Returns true if it requests a descriptor of the configuration or of an interface.
    pub fn is_for_interfaces(&self) -> bool {
        let [_, kind] = self.value.to_le_bytes();
        self.request == GET_DESCRIPTOR
            && (self.kind == TO_HOST | TO_INTERFACE || self.kind == TO_HOST && kind == CONFIGURATION)
    }

    /// Returns whether it enables or disables waking the machine up; `None` if it is about something else.
    pub fn wakeup(&self) -> Option<bool> {
        const REMOTE_WAKEUP: u16 = 1;
        match self.request {
            SET_FEATURE if self.kind == 0 && self.value == REMOTE_WAKEUP => Some(true),
            CLEAR_FEATURE if self.kind == 0 && self.value == REMOTE_WAKEUP => Some(false),
            _ => None,
        }
    }

    /// Returns true if it ends the halt of an endpoint.
    pub fn clears_halt(&self) -> bool {
        self.kind == TO_ENDPOINT && self.request == CLEAR_FEATURE && self.value == 0
    }

    /// Returns the report that it gets or sets, and the interface.
    fn report(&self) -> Option<(u8, Asked)> {
        let kind = match (self.kind, self.request) {
            (kind, GET_REPORT) if kind == TO_HOST | CLASS | TO_INTERFACE => RequestKind::Get,
            (kind, SET_REPORT) if kind == CLASS | TO_INTERFACE => RequestKind::Set,
            _ => return None,
        };
        let [id, report] = self.value.to_le_bytes();
        let report = match report {
            1 => ReportType::Input,
            2 => ReportType::Output,
            3 => ReportType::Feature,
            _ => return None,
        };
        // In other places a report begins with its id, or with 0 if it has none.
        let data = match (kind, id) {
            (RequestKind::Get, _) => vec![id],
            (_, 0) => [&[0], &self.data[..]].concat(),
            _ => self.data.clone(),
        };
        Some((u8::try_from(self.index).ok()?, Asked { kind, report, data }))
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Request { kind, request, value, index, length, data } = self;
        write!(f, "{kind:02x} {request:02x} {value:04x} {index:04x} {length:04x} {data:02x?}")
    }
}

/// The device's reaction to a request on the control pipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The normal reaction.
    Usual,
    /// It sends these bytes, as far as the kernel has room for them.
    Data(Vec<u8>),
    /// It refuses.
    Stall,
    /// It does nothing until the kernel gives up.
    Silence,
    /// It reacts normally, after a delay.
    Late(Duration),
    /// It is unplugged.
    Vanish,
}

/// The special behaviour of a device: called with each request on the control pipe, in turn.
pub type Behaviour = dyn FnMut(&Request) -> Answer + Send;

/// Returns the normal behaviour.
pub fn usual() -> Box<Behaviour> {
    Box::new(|_| Answer::Usual)
}

/// An event that a device has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A request on the control pipe.
    Request(Request),
    /// An output report on an interface's own endpoint.
    Output {
        /// The interface's number.
        interface: u8,
        /// The report.
        data: Vec<u8>,
    },
}

impl Event {
    /// Returns the index of the requested string, if any.
    pub fn string(&self) -> Option<u8> {
        match self {
            Event::Request(request) => request.string(),
            Event::Output { .. } => None,
        }
    }
}

/// A device that is plugged in; unplugged when dropped.
#[derive(Debug)]
pub struct Device {
    shared: Arc<Shared>,
    port: Port,
    thread: Option<JoinHandle<()>>,
}

/// The device's end of the wire.
struct Shared {
    spec: Spec,
    wire: UnixStream,
    /// Held while an answer is written, so that answers do not mix.
    writing: Mutex<()>,
    state: Mutex<State>,
    news: Condvar,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.spec.vendor, self.spec.product)
    }
}

#[derive(Debug, Default)]
struct State {
    /// Transfers without an answer, by their sequence numbers, in order of arrival.
    open: BTreeMap<u32, Open>,
    /// How often the kernel polled each endpoint for a report.
    polls: BTreeMap<u8, u64>,
    events: Vec<Event>,
    configuration: u8,
    is_gone: bool,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    endpoint: u8,
    /// The number of bytes that the kernel has room for.
    room: usize,
}

impl Device {
    /// Plugs in a device. The kernel examines it from now on, while this process continues.
    ///
    /// # Errors
    /// The kernel has no free port, or refuses the socket.
    pub fn plug(spec: Spec, behaviour: Box<Behaviour>) -> io::Result<Device> {
        let (wire, kernels) = UnixStream::pair()?;
        // The kernel takes its own reference.
        let kernels = OwnedFd::from(kernels);
        let port = Port::plug(&kernels, spec.speed)?;
        let shared =
            Arc::new(Shared { spec, wire, writing: Mutex::new(()), state: Mutex::default(), news: Condvar::new() });
        let thread = std::thread::Builder::new().name("usb".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.serve(behaviour)
        })?;
        Ok(Device { shared, port, thread: Some(thread) })
    }

    /// Returns the device's directory in sysfs, which may not exist yet.
    pub fn path(&self) -> &Path {
        &self.port.device
    }

    /// Returns the directory of one of its interfaces, which may not exist yet.
    pub fn interface_path(&self, number: u8) -> PathBuf {
        let name = self.path().file_name().unwrap_or_default().to_string_lossy();
        self.path().join(format!("{name}:{THE_CONFIGURATION}.{number}"))
    }

    /// Returns the numbers of its interfaces.
    pub fn numbers(&self) -> Vec<u8> {
        self.shared.spec.interfaces.iter().map(|interface| interface.number).collect()
    }

    /// Returns one of its interfaces.
    pub fn interface(&self, number: u8) -> Interface {
        Interface { shared: Arc::clone(&self.shared), number }
    }

    /// Returns its events so far, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.shared.state().events.clone()
    }

    /// Returns the number of requests on the control pipe so far.
    pub fn requests(&self) -> usize {
        self.shared.state().events.iter().filter(|event| matches!(event, Event::Request(_))).count()
    }

    /// Waits until its events satisfy `wanted`.
    ///
    /// # Errors
    /// `ErrorKind::TimedOut` with its events.
    pub fn wait_for(&self, wanted: impl Fn(&[Event]) -> bool) -> io::Result<()> {
        self.shared.wait(|state| wanted(&state.events).then_some(())).map_err(|error| {
            let events = self.events();
            io::Error::new(error.kind(), format!("{error}; seen: {events:?}"))
        })
    }

    /// Returns true if it has unplugged itself, or was unplugged.
    pub fn is_gone(&self) -> bool {
        self.shared.state().is_gone
    }

    /// Unplugs the device. sysfs has nothing of it when this returns.
    ///
    /// # Errors
    /// The kernel does not release it.
    pub fn unplug(mut self) -> io::Result<()> {
        self.destroy()
    }

    /// Waits until a device that unplugs itself has done so. sysfs has nothing of it when this returns.
    ///
    /// # Errors
    /// It does not, or the kernel does not release it.
    pub fn wait_until_gone(mut self) -> io::Result<()> {
        let gone = self.shared.wait(|state| state.is_gone.then_some(()));
        gone.and_then(|()| self.destroy())
    }

    fn destroy(&mut self) -> io::Result<()> {
        self.detach()?;
        let end = Instant::now() + PATIENCE;
        while self.path().exists() {
            if Instant::now() > end {
                let what = format!("`{}` is still there", self.path().display());
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Unplugs the device, and returns at once.
    ///
    /// # Errors
    /// The thread that answers for the device panicked.
    pub fn detach(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.shared.hang_up();
        thread.join().map_err(|_| io::Error::other("the thread that answers for the device panicked"))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = self.destroy() {
            eprintln!("failed to unplug a virtual USB device: {error}");
        }
    }
}

/// An interface of a device that is plugged in.
#[derive(Clone, Debug)]
pub struct Interface {
    shared: Arc<Shared>,
    number: u8,
}

impl Interface {
    /// Returns its number.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Sends an input report, with its id first if the device numbers its reports.
    ///
    /// The kernel has delivered it to every open event node and hidraw node when this returns. It polls for reports only while one of them
    /// is open.
    ///
    /// # Errors
    /// The kernel does not poll for it, or the device is gone.
    pub fn send(&self, report: &[u8]) -> io::Result<()> {
        self.finish(0, report)
    }

    /// Refuses to send a report, once: the endpoint halts until the kernel ends the halt.
    ///
    /// # Errors
    /// The kernel does not poll for a report, or not again afterwards.
    pub fn halt(&self) -> io::Result<()> {
        self.finish(-(Errno::EPIPE as i32), &[])
    }

    /// Ends a poll, and waits for the next one. Only then has the kernel handled this one.
    fn finish(&self, status: i32, report: &[u8]) -> io::Result<()> {
        let Some(endpoint) = self.shared.spec.endpoint(self.number) else {
            return Err(io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {}", self.number)));
        };
        let mut polled = 0;
        let (seqnum, open) = self.shared.wait(|state| {
            let (seqnum, open) = state.open.iter().find(|(_, open)| open.endpoint == endpoint)?;
            let found = (*seqnum, *open);
            state.open.remove(&found.0);
            polled = state.polls.get(&endpoint).copied().unwrap_or_default();
            Some(found)
        })?;
        // If a device sends more than the host has room for, the host treats that as babble and passes nothing on (USB 2.0, section 8.7.4).
        let status = if report.len() > open.room { -(Errno::EOVERFLOW as i32) } else { status };
        let data = if status == 0 { report } else { &[] };
        self.shared.write(&ip::submitted(seqnum, status, data.len(), data))?;
        self.shared.wait(|state| (state.polls.get(&endpoint).copied().unwrap_or_default() > polled).then_some(()))
    }

    /// Returns the requests that the interface received so far, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        let asked = |event: &Event| match event {
            Event::Request(request) => {
                request.report().filter(|(interface, _)| *interface == self.number).map(|(_, asked)| asked)
            }
            Event::Output { interface, data } => (*interface == self.number).then(|| Asked {
                kind: RequestKind::Output,
                report: ReportType::Output,
                data: data.clone(),
            }),
        };
        self.shared.state().events.iter().filter_map(asked).collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `found` finds something in the state.
    fn wait<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> io::Result<T> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.state();
        loop {
            if let Some(found) = found(&mut state) {
                return Ok(found);
            }
            if state.is_gone {
                return Err(io::Error::new(io::ErrorKind::NotConnected, "the device is unplugged"));
            }
            let Some(left) = end.checked_duration_since(Instant::now()) else {
                let what = format!("not polled; open transfers: {:?}", state.open);
                return Err(io::Error::new(io::ErrorKind::TimedOut, what));
            };
            state = self.news.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(&self, message: &[u8]) -> io::Result<()> {
        let _whole = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.wire).write_all(message)
    }

    /// Closes the connection. The kernel treats that as an unplugged device.
    fn hang_up(&self) {
        // The kernel may have closed it first.
        let _ = self.wire.shutdown(Shutdown::Both);
    }

    /// Answers until the connection is closed.
    fn serve(self: &Arc<Self>, mut behaviour: Box<Behaviour>) {
        loop {
            let served = match Command::read(&self.wire) {
                Ok(Some(Command::Submit(submit))) if submit.endpoint == 0 => self.control(&submit, &mut *behaviour),
                Ok(Some(Command::Submit(submit))) => self.interrupt(submit),
                Ok(Some(Command::Unlink { seqnum, of })) => self.unlink(seqnum, of),
                Ok(None) | Err(_) => break,
            };
            if served.is_err() {
                break;
            }
        }
        self.hang_up();
        self.state().is_gone = true;
        self.news.notify_all();
    }

    fn control(self: &Arc<Self>, submit: &Submit, behaviour: &mut Behaviour) -> io::Result<()> {
        let request = Request::of(submit);
        let answer = behaviour(&request);
        self.note(Event::Request(request.clone()));
        let (seqnum, room) = (submit.seqnum, submit.length);
        let usual = || self.usual(&request);
        match answer {
            Answer::Usual => self.answer(submit, usual()),
            Answer::Data(data) => self.answer(submit, Some(data)),
            Answer::Stall => self.answer(submit, None),
            Answer::Silence => {
                self.state().open.insert(seqnum, Open { endpoint: 0, room });
                Ok(())
            }
            Answer::Late(time) => {
                self.state().open.insert(seqnum, Open { endpoint: 0, room });
                let (late, submit, data) = (Arc::clone(self), submit.clone(), usual());
                std::thread::Builder::new().name("usb-late".to_owned()).spawn(move || {
                    std::thread::sleep(time);
                    if late.state().open.remove(&submit.seqnum).is_some() {
                        // The device may be unplugged by now.
                        let _ = late.answer(&submit, data);
                    }
                })?;
                Ok(())
            }
            Answer::Vanish => Err(io::Error::new(io::ErrorKind::NotConnected, "unplugged")),
        }
    }

    /// Ends a control transfer: `None` is a stall.
    fn answer(&self, submit: &Submit, data: Option<Vec<u8>>) -> io::Result<()> {
        let message = match data {
            None => ip::submitted(submit.seqnum, -(Errno::EPIPE as i32), 0, &[]),
            Some(mut data) if submit.is_in => {
                data.truncate(submit.length);
                ip::submitted(submit.seqnum, 0, data.len(), &data)
            }
            Some(_) => ip::submitted(submit.seqnum, 0, submit.length, &[]),
        };
        self.write(&message)
    }

    fn interrupt(&self, submit: Submit) -> io::Result<()> {
        let Submit { seqnum, endpoint, length, .. } = submit;
        if submit.is_in {
            let mut state = self.state();
            state.open.insert(seqnum, Open { endpoint, room: length });
            *state.polls.entry(endpoint).or_default() += 1;
            self.news.notify_all();
            return Ok(());
        }
        if let Some(interface) = self.spec.interface_at(endpoint) {
            self.note(Event::Output { interface, data: submit.data });
        }
        self.write(&ip::submitted(seqnum, 0, length, &[]))
    }

    fn unlink(&self, seqnum: u32, of: u32) -> io::Result<()> {
        let was_open = self.state().open.remove(&of).is_some();
        self.write(&ip::unlinked(seqnum, if was_open { -(Errno::ECONNRESET as i32) } else { 0 }))
    }

    fn note(&self, event: Event) {
        self.state().events.push(event);
        self.news.notify_all();
    }

    /// Returns the normal reaction: the bytes to send, nothing for an accepted request, or `None` for a refused one.
    fn usual(&self, request: &Request) -> Option<Vec<u8>> {
        let done = Some(Vec::new());
        let [low, _] = request.value.to_le_bytes();
        match (request.kind & !TO_HOST, request.request) {
            (0 | TO_INTERFACE, GET_DESCRIPTOR) => request.descriptor_of(&self.spec),
            (0, SET_CONFIGURATION) => {
                self.state().configuration = low;
                done
            }
            (0, GET_CONFIGURATION) => Some(vec![self.state().configuration]),
            (TO_INTERFACE, GET_INTERFACE) => Some(vec![0]),
            (TO_INTERFACE, SET_INTERFACE) if low == 0 => done,
            (0 | TO_INTERFACE | TO_ENDPOINT, GET_STATUS) => Some(vec![0, 0]),
            (0 | TO_INTERFACE | TO_ENDPOINT, SET_FEATURE | CLEAR_FEATURE) => done,
            (0, SET_SEL | SET_ISOCH_DELAY) => done,
            (kind, SET_IDLE | SET_PROTOCOL) if kind == CLASS | TO_INTERFACE => done,
            (kind, SET_REPORT) if kind == CLASS | TO_INTERFACE => done,
            (kind, GET_REPORT) if kind == CLASS | TO_INTERFACE => {
                let (number, asked) = request.report()?;
                let is_feature = asked.report == ReportType::Feature;
                self.spec.interface(number)?.features.get(&low).filter(|_| is_feature).cloned()
            }
            _ => None,
        }
    }
}
