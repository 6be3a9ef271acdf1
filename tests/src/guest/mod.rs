//! The first process of a test machine: sets the machine up, does its job, reports, and stops the machine.
//!
//! The machine stops after any failure, including a panic. QEMU runs with `-no-reboot`, so a reboot ends it. The verdict is the last
//! message and is sent only when the whole job was done.

pub mod bench;
pub mod cases;
pub mod costs;
pub mod debian;
pub mod demo;
pub mod links;
pub mod machine;
pub mod measure;
pub mod memory;
pub mod port;
pub mod selftests;
pub mod shim;
pub mod udev_hid_bpf;
pub mod usb;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::protocol::{JOB_PATH, Job, LATER_JOB_PATH, Task};
use bench::Bench;
use port::Port;

/// Runs as the first process, or does one of the small jobs that a command line requests.
pub fn main() -> ExitCode {
    if std::process::id() == 1 {
        machine::run_and_stop(begin);
    }
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.split_first() {
        Some((word, [])) if word == "--list" => cases::list(),
        Some((word, [])) if word == debian::JOB => machine::run_and_stop(do_debian_job),
        Some((word, [])) if word == debian::EARLY => plug_early(),
        Some((word, [])) if word == debian::HOLD => debian::hold(),
        Some((word, rest)) if word == shim::WORD => shim::run(rest),
        _ => {
            eprintln!("usage: vm-guest --list\nAs process 1 it does the job in {JOB_PATH}.");
            ExitCode::from(2)
        }
    }
}

fn read_job(path: &str) -> Result<Job> {
    let text = std::fs::read_to_string(path).with_context(|| format!("failed to read `{path}`"))?;
    serde_json::from_str(&text).with_context(|| format!("failed to parse `{path}`"))
}

/// Runs as the first process.
fn begin() -> Result<()> {
    machine::mount_all()?;
    let job = read_job(JOB_PATH)?;
    tell(|port| do_job(job, port))
}

/// Runs for a script in the initramfs of a Debian system.
fn plug_early() -> ExitCode {
    match machine::load_modules().and_then(|()| debian::early(&read_job(JOB_PATH)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed to plug in a keyboard early: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs as a service of a Debian system.
fn do_debian_job() -> Result<()> {
    let job = read_job(LATER_JOB_PATH)?;
    machine::load_modules()?;
    tell(|port| cases::run(debian::cases(&job.task), &mut Bench::join(job.generation)?, port))
}

/// Runs a job that reports to the host, and reports its error as well.
fn tell(job: impl FnOnce(&mut Port) -> Result<()>) -> Result<()> {
    let mut port = Port::open()?;
    let done = job(&mut port);
    if let Err(error) = &done {
        port.say(&format!("the guest gave up: {error:#}"))?;
    }
    port.drain()?;
    done
}

fn do_job(job: Job, port: &mut Port) -> Result<()> {
    machine::load_modules()?;
    let mut bench = Bench::start(job.generation)?;
    match job.task {
        Task::Test { cases, rounds } => {
            bench.rounds = rounds;
            cases::run(cases::named(&cases)?, &mut bench, port)
        }
        Task::Selftests { tests } => selftests::run(&tests, &mut bench, port),
        Task::Demo => cases::run(vec![cases::Case::alone("demo", demo::run)], &mut bench, port),
        Task::Measure { attacher } => cases::run(vec![cases::Case::measuring(attacher)], &mut bench, port),
        Task::Install | Task::Early | Task::Again | Task::Dracut => bail!("a job for a Debian system"),
    }
}
