//! Runs HID-BPF drivers in user space: the same bytes that the kernel would load, without a kernel, a device or root.
//!
//! HID-BPF drivers are BPF programs that repair HID devices (mice, keyboards, tablets) in the kernel. The kernel calls
//! their *hooks* for a device's report descriptor, for its reports and for requests to it. This crate is a kernel for
//! them: it loads an object file as libbpf and Linux would, calls the hooks, and says what comes out.
//!
//! ```text
//! Object::parse(bytes) -> Driver::new(&object, generation, &device, &settings)
//!     -> probe() -> fix_descriptor() -> set_up() -> event(), event(), ...   or all of it at once: replay(&recording)
//! ```
//!
//! # Example
//!
//! Which reports does a program see from a mouse, once a driver repairs it?
//!
//! ```no_run
//! use hidbpf_replay::{ReplayDevice, Driver, Object, Settings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let object = Object::parse(&std::fs::read("mouse.bpf.o")?)?;
//! let device = ReplayDevice::of_descriptor(std::fs::read("report_descriptor")?);
//! for generation in object.generations() {
//!     let mut driver = Driver::new(&object, generation, &device, &Settings::default())?;
//!     let report = [0, 5, 0xfe, 0];
//!     let outcome = driver.event(&report)?;
//!     for report in outcome.reports(&report) {
//!         println!("{generation}: {report:02x?}, after {} instructions", outcome.instructions);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! With a recording of the device, [`replay()`] runs all of its reports, and [`difference()`] compares the result with
//! the expected one:
//!
//! ```
//! use std::path::Path;
//!
//! use hidbpf_descriptor::recording::Recording;
//! use hidbpf_replay::difference;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let read = |report: &str| {
//!     let text = format!("R: 6 75 08 95 04 81 02\nI: 3 046d c077\nE: 000000.000000 4 {report}\n");
//!     Recording::parse(Path::new("mouse.hid"), text.as_bytes())
//! };
//! assert_eq!(
//!     difference(&read("00 05 fe 00")?, &read("00 05 02 00")?),
//!     "- E: 000000.000000 4 00 05 fe 00\n+ E: 000000.000000 4 00 05 02 00\n  byte 2: fe expected, 02 found\n"
//! );
//! # Ok(())
//! # }
//! ```
//!
//! # What it checks
//!
//! The replay binds the object to a kernel of the chosen [`Generation`], as libbpf would. Its interpreter supports all
//! of eBPF. It checks that each access stays in the memory that the pointer belongs to, and limits the length of each
//! run. Faults are reported with the line of the driver's source. The verifier finds such faults before a program runs,
//! a replay only when they happen. So a verifier can refuse a driver that runs here. A driver that the verifier accepts
//! can fail here only if the replay lacks a feature, and then the error says so.
//!
//! Sizes, return values and buffers are those of drivers/hid/bpf/hid_bpf_dispatch.c in 6.6 and in 6.12.

mod core_relo;
mod device;
mod difference;
mod disassembly;
mod driver;
mod effort;
mod error;
mod format;
mod image;
mod insn;
mod kfunc;
mod link;
mod machine;
mod maps;
mod memory;
mod object;
mod outcome;
mod random;
mod replay;
mod request;
mod settings;
mod source;

pub use hidbpf_prelink::Generation;
pub use hidbpf_prelink::btf_ext::SourceLine;
pub use hidbpf_prelink::not_set_up::NotSetUp;

pub use device::ReplayDevice;
pub use difference::difference;
pub use disassembly::{ListedInstruction, Listing, disassemble};
pub use driver::Driver;
pub use effort::{Effort, MAX_JUMPS, effort};
pub use error::{AccessKind, Fault, ObjectError, Reason, ReplayError};
pub use link::{Link, Links};
pub use object::{Declared, Object};
pub use outcome::{Fixed, Outcome, Report, Verdict};
pub use replay::{LineError, Replayed, replay};
pub use request::Request;
pub use settings::{ExportedVariable, Settings};
pub use source::source_line;
