//! `cargo xtask test`: runs all tests in one command.

mod checks;
mod host;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::Message;
use hidbpf_lab::accelerator::Choice;
use hidbpf_lab::paths::Paths;
use hidbpf_lab::process;
use hidbpf_lab::report::{Part, Report};
use hidbpf_lab::screen;
use hidbpf_lab::transcript::Tally;
use hidbpf_lab::wanted::Wanted;

use crate::artifacts::{self, Profile};
use crate::cargo;
use crate::figures;
use crate::setup::{self, Need};
use crate::vm;

/// Installs missing packages and builds. Then checks and tests on this machine, and in virtual machines at the same time.
///
/// # Errors
/// The machinery fails before everything could be tried, or the code does not compile.
pub fn run(options: &vm::Options) -> Result<Report> {
    Choice::from_environment()?;
    let wanted = Wanted::select(&options.kernels)?;
    setup::install(&[Need::Build, Need::Browser, Need::Checks, Need::Machines])?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let root = &paths.root;
    tell_space(root)?;
    find_tools(root)?;
    let artifacts = artifacts::build(root, Profile::Dev)?.artifacts()?;
    let own = Mutex::new(None);
    let beside = || {
        let parts =
            || anyhow::Ok([run_part(HOST, || host_tests(root))?, run_part(checks::NAME, || checks::run(root))?]);
        *own.lock().unwrap_or_else(PoisonError::into_inner) = Some(parts());
    };
    let mut ran = vm::run_cases(&paths, &artifacts, &wanted, options, &beside)?;
    let own = own.into_inner().unwrap_or_else(PoisonError::into_inner).context("nothing was tested on this machine")?;
    let mut report = Report { parts: own?.into(), ..Report::default() };
    report.parts.append(&mut ran.report.parts);
    let mut figures = figures::on_this_machine(root, &artifacts);
    if let Ok(figures) = &mut figures {
        figures::add(figures, ran.figures);
    }
    report.notices = figures::notices(root, figures, &ran.releases);
    Ok(report)
}

/// Installs missing packages and checks the sources only.
///
/// # Errors
/// The machinery fails.
pub fn check() -> Result<Report> {
    setup::install(&[Need::Build, Need::Checks])?;
    let root = Paths::find()?.root;
    find_tools(&root)?;
    artifacts::build(&root, Profile::Dev)?;
    Ok(Report { parts: vec![run_part(checks::NAME, || checks::run(&root))?], ..Report::default() })
}

/// Returns a cargo command that runs beside virtual machines. It leaves one processor to them.
fn cargo_beside(root: &Path, arguments: &[&str]) -> Command {
    const JOBS: &str = "CARGO_BUILD_JOBS";
    let mut command = cargo::command(root, arguments);
    if std::env::var_os(JOBS).is_none() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        command.env(JOBS, processors.saturating_sub(1).max(1).to_string());
    }
    command
}

/// Checks for the components of cargo that not every installation has.
fn find_tools(root: &Path) -> Result<()> {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::output(&mut cargo::command(root, &[tool, "--version"])).is_err() {
            bail!("cargo has no `{tool}` here: install it with `rustup component add {component}`");
        }
    }
    Ok(())
}

/// Prints the free space on the disk. Without enough space, other programs fail with unclear messages.
fn tell_space(root: &Path) -> Result<()> {
    let disk =
        rustix::fs::statvfs(root).with_context(|| format!("failed to look at the disk of `{}`", root.display()))?;
    let gigabytes = disk.f_bavail as f64 * disk.f_frsize as f64 / 1e9;
    screen::line(&format!(
        "{gigabytes:.1} GB are free here; to build and test everything for the first time takes some 2.5 GB"
    ));
    Ok(())
}

fn run_part(name: &str, what: impl FnOnce() -> Result<Tally>) -> Result<Part> {
    let started = Instant::now();
    let tally = what()?;
    Ok(Part { tally, took: started.elapsed(), ..Part::new(name) })
}

/// The name in reports of the tests on this machine.
const HOST: &str = "host";

/// Builds, runs and counts the tests of all packages.
fn host_tests(root: &Path) -> Result<Tally> {
    let step = screen::step(HOST, "building the tests");
    let mut programs = 0;
    let build = cargo_beside(root, &["test", "--workspace", "--no-fail-fast", "--no-run"]);
    let built = cargo::run(build, &[], &step, &mut |message| {
        if let Message::CompilerArtifact(artifact) = message {
            programs += usize::from(artifact.profile.test && artifact.executable.is_some());
        }
    })?;
    if !built {
        screen::failure(HOST, "the tests are not built");
        return Ok(Tally { failed: 1, ..Tally::default() });
    }
    let mut tests = host::Tests::new(&step, programs);
    // Both streams go into one pipe, so that cargo's output keeps its place among that of the tests.
    let (read, write) = std::io::pipe().context("failed to make a pipe")?;
    let mut command = cargo_beside(root, &["test", "--workspace", "--no-fail-fast"]);
    command.env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
    command.stdout(write.try_clone().context("failed to copy a file descriptor")?).stderr(write);
    let mut child = command.spawn().context("failed to start `cargo test`")?;
    drop(command);
    for line in BufReader::new(read).split(b'\n') {
        tests.hear(&String::from_utf8_lossy(&line.context("failed to read what `cargo test` says")?));
    }
    let passed = child.wait().context("failed to wait for `cargo test`")?.success();
    let tally = tests.end(passed);
    step.done(&tally.to_string());
    Ok(tally)
}
