//! The cases: a table of names, kernel generations and functions, and the code that runs them.

mod asus;
mod attach;
mod author;
mod comeback;
pub(super) mod configuration;
mod declared;
mod descriptors;
mod documentation;
mod drivers;
mod evil;
mod exclusion;
mod exports;
mod fast;
mod faults;
mod fixtures;
pub mod foreign;
mod helper;
pub mod identity;
mod install;
mod kernel;
mod logitech;
mod many;
mod microsoft;
mod options;
mod policy;
pub mod recordings;
mod refusals;
mod request;
mod sdk;
mod sdk_data;
mod sdk_events;
mod sdk_requests;
mod sdk_shared;
mod security;
mod setup;
mod short;
mod state;
mod takeover;
mod trouble;
mod usb;
mod watch;
mod xppen;

pub use attach::{expect_hat_works, expect_untouched};
pub use drivers::{RAPTOR, plug_fixed, raptor_report, touchpad};
pub use faults::wait_until;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use super::bench::Bench;
use super::measure;
use super::port::Port;
use crate::protocol::{Attacher, Breadth, Generation, Listed, Message, Outcome};

/// Both generations that can run drivers.
const WITH_HID_BPF: &[Generation] = &[Generation::FmodRet, Generation::StructOps];
/// The generation for drivers with `requires = ["struct-ops"]`.
const STRUCT_OPS: &[Generation] = &[Generation::StructOps];
/// Every kernel.
const ALL: &[Generation] = &[Generation::None, Generation::FmodRet, Generation::StructOps];

/// The error of a case whose input the host does not have, with the reason.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// One case.
#[derive(Clone)]
pub struct Case {
    name: Cow<'static, str>,
    /// The kernels that it is for.
    generations: &'static [Generation],
    breadth: Breadth,
    family: Option<&'static str>,
    /// Whether it needs the package udev-hid-bpf.
    udev_hid_bpf: bool,
    run: Test,
}

#[derive(Clone, Copy)]
enum Test {
    /// A function for this case.
    Written(fn(&mut Bench) -> Result<()>),
    /// The recordings of this driver.
    Recordings(&'static str),
    /// The recordings of devices on a USB bus, on such a bus.
    UsbRecordings(&'static str),
    /// A case that prints text for users.
    Speaking(fn(&mut Bench, &mut Port) -> Result<()>),
    /// The cost of attaching drivers with this program.
    Measure(Attacher),
}

const fn case(name: &'static str, generations: &'static [Generation], run: fn(&mut Bench) -> Result<()>) -> Case {
    Case {
        name: Cow::Borrowed(name),
        generations,
        breadth: Breadth::EachKernel,
        family: None,
        udev_hid_bpf: false,
        run: Test::Written(run),
    }
}

/// Returns a case for which the machine needs the package udev-hid-bpf.
const fn beside_udev_hid_bpf(
    name: &'static str,
    generations: &'static [Generation],
    run: fn(&mut Bench) -> Result<()>,
) -> Case {
    Case {
        name: Cow::Borrowed(name),
        generations,
        breadth: Breadth::EachKernel,
        family: None,
        udev_hid_bpf: true,
        run: Test::Written(run),
    }
}

impl Case {
    /// Returns the only case of a job that is not a test, for every kernel.
    pub fn alone(name: &'static str, run: fn(&mut Bench, &mut Port) -> Result<()>) -> Case {
        Case { run: Test::Speaking(run), ..Self::for_all(name) }
    }

    /// Returns the only case of a job that measures.
    pub fn measuring(attacher: Attacher) -> Case {
        Case { run: Test::Measure(attacher), ..Self::for_all("measure") }
    }

    fn for_all(name: &'static str) -> Case {
        case(name, ALL, |_| Ok(()))
    }

    /// Limits it to the newest kernel, because its result can't differ on another.
    const fn newest_only(mut self) -> Case {
        self.breadth = Breadth::Newest;
        self
    }

    /// Limits it to one kernel of each generation, because only the way of loading programs can make a difference.
    const fn each_generation(mut self) -> Case {
        self.breadth = Breadth::EachGeneration;
        self
    }

    /// Returns its description for the host.
    fn listed(&self) -> Listed {
        Listed {
            name: self.name.to_string(),
            generations: self.generations.to_vec(),
            breadth: self.breadth,
            family: self.family.map(str::to_owned),
            udev_hid_bpf: self.udev_hid_bpf,
        }
    }
}

fn table() -> Vec<Case> {
    let recorded = recordings::DRIVERS.iter().map(|recorded| Case {
        name: Cow::Owned(format!("recordings-of-{}", recorded.driver)),
        generations: if recorded.newer_only { STRUCT_OPS } else { WITH_HID_BPF },
        breadth: Breadth::FirstOfFamily,
        family: Some(recorded.family),
        udev_hid_bpf: false,
        run: Test::Recordings(recorded.driver),
    });
    let over_usb = recordings::DRIVERS.iter().filter(|recorded| recorded.on_usb).map(|recorded| Case {
        name: Cow::Owned(format!("usb-recordings-of-{}", recorded.driver)),
        generations: STRUCT_OPS,
        breadth: Breadth::Newest,
        family: None,
        udev_hid_bpf: false,
        run: Test::UsbRecordings(recorded.driver),
    });
    let written = [
        kernel::CASES,
        drivers::CASES,
        fast::CASES,
        attach::CASES,
        descriptors::CASES,
        exclusion::CASES,
        foreign::CASES,
        fixtures::CASES,
        helper::CASES,
        install::CASES,
        many::CASES,
        options::CASES,
        refusals::CASES,
        policy::CASES,
        request::CASES,
        sdk::CASES,
        sdk_data::CASES,
        sdk_events::CASES,
        sdk_requests::CASES,
        sdk_shared::CASES,
        security::CASES,
        setup::CASES,
        short::CASES,
        state::CASES,
        takeover::CASES,
        trouble::CASES,
        comeback::CASES,
        faults::CASES,
        evil::CASES,
        exports::CASES,
        author::CASES,
        declared::CASES,
        documentation::CASES,
        configuration::CASES,
        asus::CASES,
        logitech::CASES,
        microsoft::CASES,
        watch::CASES,
        xppen::CASES,
    ]
    .concat();
    written.into_iter().chain(usb::cases()).chain(recorded).chain(over_usb).collect()
}

/// Prints one line of JSON a case. It is not a failure if the reader stops reading.
pub fn list() -> ExitCode {
    let mut stdout = io::stdout().lock();
    let written = table().iter().try_for_each(|case| {
        serde_json::to_writer(&mut stdout, &case.listed())?;
        writeln!(stdout)
    });
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("failed to list the cases: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

/// Returns the cases with these names.
///
/// # Errors
/// There is no such case.
pub fn named(names: &[String]) -> Result<Vec<Case>> {
    let table = table();
    let find = |name: &String| {
        table.iter().find(|case| case.name == *name).cloned().with_context(|| format!("there is no case `{name}`"))
    };
    names.iter().map(find).collect()
}

/// Runs cases one after the other, and sends the verdict.
///
/// # Errors
/// The port is gone, or the kernel's release can't be read.
pub fn run(cases: Vec<Case>, bench: &mut Bench, port: &mut Port) -> Result<()> {
    let release =
        std::fs::read_to_string("/proc/sys/kernel/osrelease").context("failed to read the kernel's release")?;
    port.send(&Message::Ready { release: release.trim().to_owned(), cases: cases.len() })?;
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for case in cases {
        let name = case.name.to_string();
        port.send(&Message::Begin { case: name.clone() })?;
        let start = Instant::now();
        let outcome = match run_one(case.run, bench, port) {
            Ok(()) => {
                passed += 1;
                Outcome::Passed
            }
            Err(error) if error.is::<Skip>() => {
                skipped += 1;
                Outcome::NotHere { why: error.to_string() }
            }
            Err(error) => {
                failed += 1;
                Outcome::Failed { why: format!("{error:#}") }
            }
        };
        let millis = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        port.send(&Message::Outcome { case: name, outcome, millis })?;
    }
    if let Some(text) = bench.compared.text() {
        port.send(&Message::Say { text })?;
    }
    port.send(&Message::Verdict { passed, failed, skipped })
}

fn run_one(test: Test, bench: &mut Bench, port: &mut Port) -> Result<()> {
    bench.take_log();
    let result = catch_unwind(AssertUnwindSafe(|| match test {
        Test::Written(run) => run(bench),
        Test::Recordings(driver) => recordings::run(driver, bench, port),
        Test::UsbRecordings(driver) => recordings::run_over_usb(driver, bench),
        Test::Speaking(run) => run(bench, port),
        Test::Measure(attacher) => measure::run(attacher, bench, port),
    }))
    .unwrap_or_else(|panic| Err(describe_panic(&*panic)));
    let clean = bench.check_clean();
    let result = match (result, clean) {
        (Ok(()), clean) => clean,
        (Err(error), Ok(())) if error.is::<Skip>() => return Err(error),
        (result, Ok(())) => result,
        (Err(error), Err(left)) => Err(error.context(format!("and afterwards: {left:#}; but first"))),
    };
    result.map_err(|error| match bench.take_log() {
        log if log.is_empty() => error,
        log => anyhow!("{error:#}\nudevd's log:\n{log}"),
    })
}

fn describe_panic(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    anyhow!("panicked: {}", text.unwrap_or("with a payload that is not text"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn cases_have_names_of_their_own() {
        let mut names = BTreeSet::new();
        for case in table() {
            let kebab =
                case.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            assert!(kebab, "`{}`", case.name);
            assert!(!case.generations.is_empty(), "`{}` is for no kernel", case.name);
            assert!(names.insert(case.name.clone()), "there are two cases `{}`", case.name);
        }
    }

    #[test]
    fn cases_are_found_by_their_whole_names() {
        let names = ["kernel-offers-what-was-announced", "recordings-of-frtec-raptor-mach-2"].map(str::to_owned);
        let found: Vec<_> = named(&names).unwrap().iter().map(|case| case.name.to_string()).collect();
        assert_eq!(found, names);
        assert!(named(&["kernel".to_owned()]).is_err());
    }
}
