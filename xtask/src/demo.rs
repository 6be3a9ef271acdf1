//! `cargo xtask demo`: shows on any machine how hidbpf repairs a device with a defect, with a real kernel.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use hidbpf_lab::accelerator::{Accelerators, Choice};
use hidbpf_lab::fault::Fault;
use hidbpf_lab::paths::Paths;
use hidbpf_lab::protocol::{Generation, Message, Outcome, Task};
use hidbpf_lab::qemu::{End, Limits};
use hidbpf_lab::screen::{self, seconds};
use hidbpf_lab::wanted::{KernelOptions, Wanted};

use crate::artifacts::{self, Profile};
use crate::boot::{Lab, News};
use crate::setup;

/// Installs missing packages, builds, boots a kernel, and shows the guest's output.
///
/// # Errors
/// The machinery fails, or the demonstration does: [`Fault::Failed`].
pub fn run(options: &KernelOptions) -> Result<()> {
    let started = Instant::now();
    Choice::from_environment()?;
    let wanted = choose(options)?;
    screen::line("[1/4] Looking for the Debian packages that this needs");
    setup::run()?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    screen::line("[2/4] Building hidbpf and its drivers");
    let artifacts = artifacts::build(&paths.root, Profile::Dev)?.artifacts()?;
    screen::line("[3/4] Getting a kernel from Debian's archive");
    let kernel = wanted.get(&paths)?;
    if kernel.generation == Generation::None {
        bail!("Linux {} can't show anything: it has no HID-BPF", kernel.release);
    }
    let step = screen::step(&kernel.name, "packing the first root");
    let lab = Lab::new(&paths, &artifacts, None, Accelerators::open(&paths)?)?;
    screen::line(&format!("[4/4] Booting Linux {} in a virtual machine\n", kernel.release));
    step.say("booting, a few seconds");
    let run = lab.boot(&kernel, &kernel.name, Task::Demo, Limits::default(), &mut |news| match news {
        News::Restart(line) => {
            if let Some(line) = line {
                screen::line(line);
            }
        }
        News::Message(message) => match message {
            Message::Ready { .. } => step.say("running"),
            Message::Say { text } => screen::line(text),
            Message::Outcome { outcome: Outcome::Failed { why }, .. } => {
                screen::line(&format!("\nThis went wrong:\n{why}"))
            }
            _ => {}
        },
    })?;
    drop(step);
    match run.end {
        End::Verdict(tally) if tally.failed == 0 => {
            println!(
                "\nThat took {}. `cargo xtask test` does this and much more on every kernel.",
                seconds(started.elapsed())
            );
            Ok(())
        }
        End::Verdict(tally) => Err(Fault::Failed(format!("the demonstration: {tally}; {}", run.logs)).into()),
        End::Crashed { why, console, .. } => {
            Err(Fault::Failed(format!("{why}; its last words:{console}\n  {}", run.logs)).into())
        }
        End::Broken { why, console } => bail!("{why}; the console's last lines:{console}\n  {}", run.logs),
    }
}

/// Returns the kernel that the user named, or the first of the list.
fn choose(options: &KernelOptions) -> Result<Wanted> {
    if let Some(kernel) = options.user.first() {
        return Ok(Wanted::User(kernel.clone()));
    }
    Wanted::select(options)?.into_iter().next().context("no kernel to boot")
}
