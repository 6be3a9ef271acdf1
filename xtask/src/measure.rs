//! `cargo xtask measure`: what an attach costs, counted rather than timed, so that two runs agree.

use anyhow::Result;

use crate::artifacts::{self, Profile};
use crate::paths::Paths;
use crate::protocol::{Message, Outcome, Task};
use crate::qemu::{Accelerator, End, Limits};
use crate::report::{Part, Report, Screen, case_line};
use crate::setup;
use crate::transcript::Tally;
use crate::vm::{KernelOptions, Lab, Wanted, note_of, usual_jobs, with_each};

/// Installs what is missing, builds as packages are built, and prints a line for each figure of each kernel.
///
/// Kernels without HID-BPF are left out.
///
/// # Errors
/// The machinery fails before anything could be measured, or the code does not compile.
pub fn run(options: &KernelOptions) -> Result<Report> {
    let wanted = Wanted::with_hid_bpf(options)?;
    setup::run()?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let artifacts = artifacts::build(&paths.root, Profile::Release)?.artifacts()?;
    let screen = Screen::default();
    let lab = Lab::new(&paths, &artifacts, None, Accelerator::CountedTcg)?;
    println!("{:<14}{:<28}{:<16}{:>14}", "kernel", "what", "quantity", "value");
    let results = with_each(&paths, &wanted, usual_jobs(), &screen, &|kernel| {
        let progress = screen.progress(&kernel.name);
        progress.say(&format!("measuring on Linux {}", kernel.release));
        lab.boot(kernel, Task::Measure, Limits::default(), &mut |message| match message {
            Message::Figure { name, quantity, value } => {
                screen.line(&format!("{:<14}{name:<28}{quantity:<16}{value:>14}", kernel.name));
            }
            Message::Say { text } => screen.line(text),
            Message::Outcome { case, outcome: outcome @ Outcome::Failed { .. }, millis } => {
                screen.line(&case_line(&kernel.name, case, outcome, *millis));
            }
            _ => {}
        })
    });
    let parts = results.into_iter().map(|(name, result)| {
        let (kernel, run) = match result.and_then(|(kernel, run)| Ok((kernel, run?))) {
            Ok(done) => done,
            Err(error) => return Part::broken(&name, &error),
        };
        let mut part =
            Part { name, note: note_of(&kernel, &run), tally: Tally::default(), took: run.took, broken: None };
        match run.end {
            End::Verdict(tally) => part.tally = tally,
            End::Crashed { why, console, .. } => {
                part.tally.failed = 1;
                screen.line(&format!("{}: {why}; its last words:{console}\n  {}", kernel.name, run.logs));
            }
            End::Broken { why, console } => part.broken = Some(format!("{why}:{console}\n  {}", run.logs)),
        }
        part
    });
    Ok(Report { parts: parts.collect(), ..Report::default() })
}
