//! `hidbpf udev add|remove`: what is left of an event of udev's to libbpf, and what the rules can call where there is no other program
//! for it. Nobody reads standard output there; the journal has the story.

use std::path::Path;

use hidbpf::error::{Error, ErrorKind};
use hidbpf::hwdb;
use hidbpf::ids::HidName;
use hidbpf::loader::Libbpf;
use hidbpf::manager::{Manager, tell};

use super::Context;
use crate::output::{Failure, Failures, Outcome};

pub fn add(context: &Context, syspath: &Path, why_not_fast: Option<String>) -> Outcome {
    let loader = why_not_fast.map_or_else(Libbpf::default, |why_not_fast| Libbpf { why_not_fast });
    let manager = Manager::with(&context.system, loader);
    let added = manager.confine().and_then(|()| manager.add(syspath, &hwdb::named(std::env::vars_os())));
    let report = added.map_err(|error| told(vec![error]))?;
    report.tell();
    if report.failed.is_empty() { Ok(()) } else { Err(outcome(report.failed)) }
}

pub fn remove(context: &Context, syspath: &Path) -> Outcome {
    let name = HidName::of_path(syspath).map_err(|error| told(vec![error]))?;
    Manager::new(&context.system).remove(&name).map_err(|error| told(vec![error]))
}

/// Failures go to the journal too.
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
