//! The first process of a test machine: sets the machine up, does its job, reports, and stops the machine.
//!
//! Whatever goes wrong, a panic included, the machine stops; QEMU runs with `-no-reboot`, so a reboot ends it. The verdict is
//! the last message and is sent only when the whole job was done.

pub mod bench;
pub mod cases;
pub mod costs;
pub mod demo;
pub mod machine;
pub mod measure;
pub mod port;
pub mod shim;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::protocol::{JOB_PATH, Job, Task};
use bench::Bench;
use port::Port;

/// Runs as the first process, or does one of the small jobs that a command line asks for.
pub fn main() -> ExitCode {
    if std::process::id() == 1 {
        machine::run_and_stop(do_job);
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((word, [])) if word == "--list" => cases::list(),
        Some((word, rest)) if word == shim::WORD => shim::run(rest),
        _ => {
            eprintln!("usage: vm-guest --list\nAs process 1 it does the job in {JOB_PATH}.");
            ExitCode::from(2)
        }
    }
}

fn do_job() -> Result<()> {
    machine::mount_all()?;
    let mut port = Port::open()?;
    let done = do_job_of(&mut port);
    if let Err(error) = &done {
        port.say(&format!("the guest gave up: {error:#}"))?;
    }
    port.drain()?;
    done
}

fn do_job_of(port: &mut Port) -> Result<()> {
    let text = std::fs::read_to_string(JOB_PATH).with_context(|| format!("failed to read `{JOB_PATH}`"))?;
    let job: Job = serde_json::from_str(&text).with_context(|| format!("failed to parse `{JOB_PATH}`"))?;
    machine::load_modules()?;
    let mut bench = Bench::start(job.generation)?;
    match job.task {
        Task::Test { filters, rounds } => {
            bench.rounds = rounds;
            cases::run(cases::chosen(&filters, job.generation), &mut bench, port)
        }
        Task::Demo => cases::run(vec![cases::Case::alone("demo", demo::run)], &mut bench, port),
        Task::Measure => cases::run(vec![cases::Case::alone("measure", measure::run)], &mut bench, port),
    }
}
