//! `hidbpf udev add|resume|remove`: continues the helper's work with libbpf, and replaces the helper in udev's rules if
//! it isn't installed. Nobody reads its standard output. The journal contains the log.

use std::path::Path;

use hidbpf::error::{Error, ErrorKind};
use hidbpf::hwdb;
use hidbpf::ids::HidName;
use hidbpf::loader::{Libbpf, Loader};
use hidbpf::manager::{Event, Manager, ManagerWith, SetUpReport, tell};

use super::Context;
use crate::output::{Failure, Failures, Outcome};

pub fn add(context: &Context, syspath: &Path, why_not_fast: Option<String>) -> Outcome {
    match why_not_fast {
        Some(why_not_fast) => add_with(&ManagerWith::with(&context.system, Libbpf { why_not_fast }), syspath),
        None => add_with(&Manager::new(&context.system), syspath),
    }
}

fn add_with<L: Loader>(manager: &ManagerWith<'_, L>, syspath: &Path) -> Outcome {
    let added = manager
        .confine()
        .and_then(|()| manager.add(syspath, &hwdb::named(std::env::vars_os()), Event::of_environment()));
    let report = added.map_err(|error| told(vec![error]))?;
    report.tell();
    if report.failed.is_empty() { Ok(()) } else { Err(outcome(report.failed)) }
}

/// Runs all devices' setups at the same time, so that a device that doesn't answer doesn't delay the others.
pub fn resume(context: &Context, syspath: Option<&Path>) -> Outcome {
    let names = match syspath {
        Some(syspath) => HidName::of_path(syspath).map(|name| vec![name]).map_err(Error::from),
        None => Manager::new(&context.system).attached_devices(),
    };
    let names = names.map_err(|error| told(vec![error]))?;
    // A kernel driver that was bound has not changed the mode of the whole device.
    let mut failed = match syspath {
        Some(_) => Vec::new(),
        None => Manager::new(&context.system).switch_modes_again(),
    };
    let event = syspath.and_then(|_| std::env::var("SEQNUM").ok()?.parse().ok());
    let results = std::thread::scope(|scope| {
        let again = |name| move || Manager::new(&context.system).set_up_again(name, event);
        let asked: Vec<_> = names.iter().map(|name| scope.spawn(again(name))).collect();
        let panicked = || Err(Error::new(ErrorKind::Io, "failed to set up a device again: a thread panicked"));
        asked.into_iter().map(|thread| thread.join().unwrap_or_else(|_| panicked())).collect::<Vec<_>>()
    });
    for result in results {
        match result {
            Ok(reports) => reports.iter().for_each(SetUpReport::tell),
            Err(error) => failed.push(error),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(told(failed)) }
}

pub fn remove(context: &Context, syspath: &Path) -> Outcome {
    let name = HidName::of_path(syspath).map_err(|error| told(vec![error.into()]))?;
    Manager::new(&context.system).remove(&name).map_err(|error| told(vec![error]))
}

/// Logs failures to the journal too.
fn told(errors: Vec<Error>) -> Failures {
    errors.iter().for_each(tell);
    outcome(errors)
}

fn outcome(errors: Vec<Error>) -> Failures {
    if errors.iter().all(|error| error.kind() == ErrorKind::Kernel) {
        return errors.into();
    }
    Failure::Told.into()
}
