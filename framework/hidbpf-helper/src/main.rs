//! The helper: udev starts it when a HID device appears, is bound to a kernel driver, or disappears.
//!
//! It does the same as `hidbpf udev add`, `resume` and `remove`. It shares their code, but uses the fast loader:
//! prelinked programs and bpf() calls. If that is impossible for any reason, it executes `hidbpf udev add`.

mod journal;

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use hidbpf_core::error::{Error, ErrorKind};
use hidbpf_core::hwdb;
use hidbpf_core::ids::HidName;
use hidbpf_core::kernel::{self, Generation};
use hidbpf_core::load::fast::Fast;
use hidbpf_core::load::id_cache;
use hidbpf_core::manager::{AddReport, Event, Manager, SetUpReport, tell};
use hidbpf_core::names::DriverName;
use hidbpf_core::system::System;

/// The command that handles everything that the helper can't.
const HIDBPF: &str = "/usr/bin/hidbpf";

/// The exit codes, as for `hidbpf`.
const FAILURE: u8 = 1;
const BAD_USAGE: u8 = 2;

const USAGE: &str = "usage: hidbpf-udev add|resume|remove SYSPATH\nudev's rules call this; `hidbpf help` is for people";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [action, path] = arguments.as_slice() else { return bad_usage() };
    let act = match action.to_str() {
        Some("add") => add,
        Some("resume") => resume,
        Some("remove") => remove,
        _ => return bad_usage(),
    };
    journal::start();
    // First drop what no kernel generation needs, because detecting this kernel's generation takes bpf() calls.
    match kernel::confine(Generation::FmodRet).map_err(Some).and_then(|()| act(Path::new(path))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.iter().for_each(tell);
            ExitCode::from(FAILURE)
        }
    }
}

fn bad_usage() -> ExitCode {
    // Nothing can be done if standard error is closed.
    let _ = writeln!(std::io::stderr(), "{USAGE}");
    ExitCode::from(BAD_USAGE)
}

/// Attaches a device's drivers. The error is `None` if it has already been logged.
fn add(path: &Path) -> Result<(), Option<Error>> {
    let system = System::default();
    let manager = Manager::with(&system, Fast::new(&system, id_cache::read(&system).as_deref()));
    let added =
        manager.confine().and_then(|()| manager.add(path, &hwdb::named(std::env::vars_os()), Event::of_environment()));
    if matches!(&added, Ok(AddReport { not_fast: Some(why), .. }) if did_not_work(why)) {
        manager.loader().doubt();
    }
    id_cache::write(&system, &manager.loader().cache_update());
    let why = match added {
        Ok(report) => {
            report.tell();
            match report.not_fast {
                Some(why) => why,
                None if report.failed.is_empty() => return Ok(()),
                None => return Err(None),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFast => error,
        Err(error) => return Err(Some(error)),
    };
    tracing::info!(
        DEVICE = HidName::of_path(path).ok().as_ref().map(HidName::as_str),
        DRIVER = why.place().driver.as_ref().map(DriverName::as_str),
        "attaching through libbpf: {why}"
    );
    let error = Command::new(HIDBPF).args(["udev", "add", "--not-fast"]).arg(why.to_string()).arg(path).exec();
    let what = format!("failed to start `{HIDBPF}`, which was to attach through libbpf since {why}");
    let error = Error::because(ErrorKind::Io, what, error);
    Err(Some(match why.hint() {
        Some(hint) => error.with_hint(hint),
        None => error,
    }))
}

/// Returns whether a driver was attached but didn't fix its device. Wrong kernel numbers can cause this.
fn did_not_work(why: &Error) -> bool {
    let cause = why.source().and_then(|cause| cause.downcast_ref::<Error>());
    cause.is_some_and(|cause| matches!(cause.kind(), ErrorKind::NotFixed | ErrorKind::Skipped))
}

/// Runs the setup of a device's drivers again. This loads nothing.
fn resume(path: &Path) -> Result<(), Option<Error>> {
    let name = HidName::of_path(path).map_err(Error::from)?;
    let system = System::default();
    let event = std::env::var("SEQNUM").ok().and_then(|number| number.parse().ok());
    let reports = Manager::with(&system, Fast::new(&system, None)).set_up_again(&name, event)?;
    reports.iter().for_each(SetUpReport::tell);
    Ok(())
}

fn remove(path: &Path) -> Result<(), Option<Error>> {
    let name = HidName::of_path(path).map_err(Error::from)?;
    let system = System::default();
    Ok(Manager::with(&system, Fast::new(&system, None)).remove(&name)?)
}
