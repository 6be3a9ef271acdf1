//! Boots a machine with a kernel, under KVM if KVM runs the kernel and otherwise under emulation, and follows it to its end.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hidbpf_lab::accelerator::{self, Accelerator, Accelerators};
use hidbpf_lab::kernels::{self, Kernel};
use hidbpf_lab::paths::Paths;
use hidbpf_lab::process;
use hidbpf_lab::protocol::{Job, Message, Outcome, Task};
use hidbpf_lab::qemu::{End, KvmFailure, Limits, Logs, Machine};
use hidbpf_lab::report::{Part, Progress, show_case};
use hidbpf_lab::screen::{self, row, seconds};
use hidbpf_lab::transcript::Tally;

use crate::artifacts::Artifacts;
use crate::figures::Figures;
use crate::guest::{Packer, Userland};
use crate::udev_hid_bpf::UdevHidBpf;

/// A machine that has ended.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub end: End,
    /// The accelerator that ran it.
    pub accelerator: Accelerator,
    /// The time until the guest was ready.
    pub ready: Option<Duration>,
    /// The total time.
    pub took: Duration,
    /// Its logs.
    pub logs: Logs,
}

/// An event of a running machine.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A message from the guest.
    Message(&'a Message),
    /// The machine starts again under emulation, and its messages so far are void.
    ///
    /// The text is a line for users, once for each kernel and day; otherwise `None`.
    Restart(Option<&'a str>),
}

/// The callback for the events of a machine.
type Hear<'a> = &'a mut dyn FnMut(News<'_>);

/// Everything that a machine needs besides its kernel.
#[derive(Debug)]
pub struct Lab<'a> {
    paths: &'a Paths,
    packer: Packer<'a>,
    accelerators: Accelerators,
}

impl<'a> Lab<'a> {
    /// Packs the parts that all machines share, including udev-hid-bpf if it is given.
    ///
    /// # Errors
    /// Something is missing.
    pub fn new(
        paths: &'a Paths,
        artifacts: &Artifacts,
        udev_hid_bpf: Option<&UdevHidBpf>,
        accelerators: Accelerators,
    ) -> Result<Self> {
        let packer = Packer::new(paths, kernels::list()?.modules, artifacts, Userland::Own { udev_hid_bpf })?;
        Ok(Self { paths, packer, accelerators })
    }

    /// Uses parts that are packed already.
    pub fn with(paths: &'a Paths, packer: Packer<'a>, accelerators: Accelerators) -> Self {
        Self { paths, packer, accelerators }
    }

    /// Boots `kernel` for `task`, in a machine whose logs have the name `name`, and calls `heard` with its events.
    ///
    /// # Errors
    /// The machine can't be packed or started.
    pub fn boot(&self, kernel: &Kernel, name: &str, task: Task, limits: Limits, heard: Hear<'_>) -> Result<Run> {
        let is_checked = matches!(task, Task::Test { .. });
        let job = Job { kernel: kernel.name.clone(), generation: kernel.generation, task };
        let initramfs = self.packer.pack(kernel, name, &job)?;
        let logs = Logs::create(&self.paths.logs(), name)?;
        let machine = Machine {
            qemu: kernel.architecture.qemu().into(),
            image: kernel.image.clone(),
            initramfs: initramfs.clone(),
            disk: None,
            architecture: kernel.architecture,
            is_checked,
            limits,
            logs,
        };
        let run = boot(kernel, &machine, &self.accelerators, heard)?;
        fs::remove_file(&initramfs).with_context(|| format!("failed to remove `{}`", initramfs.display()))?;
        Ok(run)
    }
}

/// Boots `kernel` in `machine`, and calls `heard` with its events.
///
/// If KVM does not run the machine, it starts again under emulation, with the original disk.
///
/// # Errors
/// The machine can't be started, or boots something else, or only KVM may run it and does not.
pub fn boot(kernel: &Kernel, machine: &Machine, accelerators: &Accelerators, heard: Hear<'_>) -> Result<Run> {
    loop {
        let accelerator = accelerators.choose(&machine.image);
        let may_switch = accelerator == Accelerator::Kvm && accelerators.may_switch();
        let disk = match &machine.disk {
            Some(disk) if may_switch => Some((disk, copy_disk(disk, &disk.with_extension("before"))?)),
            _ => None,
        };
        let KvmFailure(why) = match boot_by(accelerator, kernel, machine, accelerators, heard)? {
            Ok(run) => return Ok(run),
            Err(failure) => failure,
        };
        if !may_switch {
            accelerator::refuse(&kernel.release, &why)?;
        }
        if let Some((disk, before)) = disk {
            fs::rename(&before, disk).with_context(|| format!("failed to restore `{}`", disk.display()))?;
        }
        let is_news = accelerators.fails(&machine.image, &why)?;
        let line = format!("KVM does not run Linux {} here, so it is emulated: {why}", kernel.release);
        heard(News::Restart(is_news.then_some(&line)));
    }
}

fn boot_by(
    accelerator: Accelerator,
    kernel: &Kernel,
    machine: &Machine,
    accelerators: &Accelerators,
    heard: Hear<'_>,
) -> Result<std::result::Result<Run, KvmFailure>> {
    let started = Instant::now();
    let mut ready = None;
    let mut booted = None;
    let end = machine.run(accelerator, &mut |message| {
        if let Message::Ready { release, .. } = message {
            ready = Some(started.elapsed());
            booted = Some(release.clone());
        }
        heard(News::Message(message));
    })?;
    let end = match end {
        Ok(end) => end,
        Err(failure) => return Ok(Err(failure)),
    };
    if let Some(booted) = booted.filter(|booted| *booted != kernel.release) {
        bail!("the machine for Linux {} booted Linux {booted}", kernel.release);
    }
    if accelerator == Accelerator::Kvm && ready.is_some() {
        accelerators.works(&machine.image)?;
    }
    Ok(Ok(Run { end, accelerator, ready, took: started.elapsed(), logs: machine.logs.clone() }))
}

/// Copies a sparse disk.
fn copy_disk(from: &Path, to: &Path) -> Result<PathBuf> {
    process::output(process::command("cp").arg("--sparse=always").arg(from).arg(to))?;
    Ok(to.to_owned())
}

/// Returns the kernel and its boot time, for a report.
pub fn note_of(kernel: &Kernel, run: &Run) -> String {
    let by = if run.accelerator == Accelerator::Kvm { ", KVM" } else { ", emulated" };
    let ready = run.ready.map(|ready| format!(", up after {}", seconds(ready))).unwrap_or_default();
    format!("Linux {}{by}{ready}", kernel.release)
}

/// Boots a machine to its end, and reports its cases under `name`. `machine` is its name while it runs.
pub fn watch(name: &str, machine: &str, kernel: &Kernel, boot: &dyn Fn(Hear<'_>) -> Result<Run>) -> (Part, Figures) {
    let mut figures = Figures::new();
    let mut progress = Progress::new(machine, &format!("booting Linux {}", kernel.release));
    let mut tally = Tally::default();
    let mut hear = |news: News<'_>| {
        let message = match news {
            News::Message(message) => message,
            News::Restart(line) => {
                if let Some(line) = line {
                    screen::line(&row(name, "note", line));
                }
                progress.restart();
                tally = Tally::default();
                figures.clear();
                return;
            }
        };
        progress.hear(message);
        match message {
            Message::Outcome { case, outcome, millis } => {
                let outcome = held_to(kernel.may_skip, outcome.clone());
                tally.count(&outcome);
                show_case(name, case, &outcome, *millis);
            }
            Message::Say { text } => screen::line(&row(name, "note", text)),
            Message::Figure { name: driver, quantity, value } => {
                let figure = format!("{name}/{quantity}");
                figures.entry(driver.clone()).or_default().insert(figure, *value as f64);
            }
            _ => {}
        }
    };
    let mut run = boot(&mut hear);
    // On an overloaded host, a machine may get so little time that its kernel gives up. No test has run by then.
    if let Ok(Run { ready: None, end: End::Broken { why, .. }, .. }) = &run {
        screen::line(&format!("{name:<12} note  {why}; it is booted once more"));
        run = boot(&mut hear);
    }
    drop(progress);
    let run = match run {
        Ok(run) => run,
        Err(error) => return (Part { tally, ..Part::broken(name, &error) }, figures),
    };
    let logs = format!("\n  {}", run.logs);
    let mut part = Part { note: note_of(kernel, &run), tally, took: run.took, ..Part::new(name) };
    match run.end {
        End::Verdict(_) if tally.failed > 0 => screen::line(&format!("{name}: {} failed{logs}", tally.failed)),
        End::Verdict(_) => {}
        End::Crashed { why, case, console } => {
            part.tally.failed += 1;
            let case = case.map_or_else(|| "between two cases".to_owned(), |case| format!("during `{case}`"));
            screen::failure(name, &format!("{why}, {case}; its last words:{console}{logs}"));
        }
        End::Broken { why, console } => part.broken = Some(format!("{why}; the console's last lines:{console}{logs}")),
    }
    (part, figures)
}

/// Turns a skip into a failure on a kernel on which no case may be skipped.
fn held_to(may_skip: bool, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Skipped { why } if !may_skip => {
            Outcome::Failed { why: format!("skipped where nothing may be: {why}") }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests;
