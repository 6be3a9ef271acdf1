//! `cargo xtask vm`: the cases in virtual machines, on every kernel that was asked for.

use std::collections::BTreeMap;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use crate::Fault;
use crate::accelerator::{Accelerators, Choice};
use crate::artifacts::{self, Artifacts, Profile};
use crate::boot::{Lab, watch};
use crate::costs::{self, Figures};
use crate::kernels::Kernel;
use crate::paths::Paths;
use crate::process;
use crate::protocol::{Generation, Outcome, Task};
use crate::qemu::Limits;
use crate::report::{Part, Report, case_line};
use crate::screen;
use crate::setup;
use crate::transcript::Tally;
use crate::udev_hid_bpf::UdevHidBpf;
use crate::wanted::{KernelOptions, Wanted};

/// What `cargo xtask vm` is told.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Run only the cases whose name contains one of these
    pub filters: Vec<String>,

    #[command(flatten)]
    pub kernels: KernelOptions,

    /// Repeat the cases of many devices this many times as often: 21 rounds are 504 plugs one after the other, 64 devices at once,
    /// and 126 evil devices of each kind
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub rounds: usize,

    /// How many machines run at once. Default: one for each processor, two at most
    #[arg(long, value_name = "COUNT")]
    pub jobs: Option<usize>,
}

/// Installs what is missing, builds, and runs the cases.
///
/// # Errors
/// The machinery fails before a case could run, or the code does not compile.
pub fn run(options: &Options) -> Result<Report> {
    Choice::from_environment()?;
    let wanted = Wanted::select(&options.kernels)?;
    setup::run()?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let artifacts = artifacts::build(&paths.root, Profile::Dev)?.artifacts()?;
    let Ran { mut report, figures, releases } = run_cases(&paths, &artifacts, &wanted, options)?;
    report.notices = costs::notices(&paths.root, Ok(figures), &releases);
    Ok(report)
}

/// What has come of the cases.
#[derive(Debug, Default)]
pub struct Ran {
    /// How they ended.
    pub report: Report,
    /// What the drivers cost that were attached.
    pub figures: Figures,
    /// The release of each kernel that was booted, by its name.
    pub releases: BTreeMap<String, String>,
}

/// Runs the cases on the kernels in `wanted`.
///
/// # Errors
/// The machinery fails before a case could run, or no case has such a name.
pub fn run_cases(paths: &Paths, artifacts: &Artifacts, wanted: &[Wanted], options: &Options) -> Result<Ran> {
    let listed = list_cases(artifacts)?;
    let is_wanted =
        |name: &str| options.filters.is_empty() || options.filters.iter().any(|filter| name.contains(filter.as_str()));
    if !listed.iter().any(|case| is_wanted(&case.name)) {
        return Err(Fault::Usage(format!("no case's name contains {}", options.filters.join(" or "))).into());
    }
    let beside: Vec<&Listed> = listed.iter().filter(|case| is_wanted(&case.name) && case.udev_hid_bpf).collect();
    let udev_hid_bpf = (!beside.is_empty()).then(|| UdevHidBpf::fetch(paths));
    let lab = Lab::new(
        paths,
        artifacts,
        udev_hid_bpf.as_ref().and_then(|got| got.as_ref().ok()),
        Accelerators::open(paths)?,
    )?;
    let jobs = options.jobs.unwrap_or_else(usual_jobs);
    let usual = Limits::default();
    let longer = u32::try_from(options.rounds).unwrap_or(u32::MAX);
    let limits =
        Limits { silence: usual.silence.saturating_mul(longer), whole: usual.whole.saturating_mul(longer), ..usual };
    let task = Task::Test { filters: options.filters.clone(), rounds: options.rounds, udev_hid_bpf: lab.udev_hid_bpf };
    let results = with_each(paths, wanted, jobs, &|kernel| {
        let (mut part, figures) = watch(&kernel.name, kernel, &|hear| lab.boot(kernel, task.clone(), limits, hear));
        if let Some(Err(error)) = &udev_hid_bpf {
            let why = format!("{error:#}");
            let cases = beside.iter().filter(|case| case.generations.contains(&kernel.generation));
            part.tally += skip(&kernel.name, cases.copied(), &why);
        }
        (part, figures)
    });
    let mut has_fmod_ret = false;
    let mut ran = Ran::default();
    for (name, result) in results {
        ran.report.parts.push(match result {
            Ok((kernel, (part, figures))) => {
                has_fmod_ret |= kernel.generation == Generation::FmodRet;
                costs::add(&mut ran.figures, figures);
                ran.releases.insert(name, kernel.release);
                part
            }
            Err(error) => Part::broken(&name, &error),
        });
    }
    if !has_fmod_ret && options.kernels.only.is_empty() {
        let cases =
            listed.iter().filter(|case| is_wanted(&case.name) && case.generations.contains(&Generation::FmodRet));
        let tally = skip("fmod-ret", cases, "no kernel of 6.3 to 6.10 was given (--kernel)");
        ran.report.parts.push(Part {
            name: "fmod-ret".into(),
            note: "no kernel was given".into(),
            tally,
            took: Duration::ZERO,
            broken: None,
        });
    }
    Ok(ran)
}

/// Says of each case that it is skipped and why, and counts.
fn skip<'l>(kernel: &str, cases: impl Iterator<Item = &'l Listed>, why: &str) -> Tally {
    let mut tally = Tally::default();
    for case in cases {
        let outcome = Outcome::Skipped { why: why.to_owned() };
        tally.count(&outcome);
        screen::line(&case_line(kernel, &case.name, &outcome, 0));
    }
    tally
}

/// A case that the guest has, as `vm-guest --list` tells, one a line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    name: String,
    /// The kernels on which it runs.
    generations: Vec<Generation>,
    /// Whether it needs the package udev-hid-bpf.
    udev_hid_bpf: bool,
}

fn list_cases(artifacts: &Artifacts) -> Result<Vec<Listed>> {
    let listed = process::output(process::command(&artifacts.guest).arg("--list"))?;
    let lines =
        listed.lines().map(|line| serde_json::from_str(line).with_context(|| format!("failed to read `{line}`")));
    lines.collect::<Result<_>>().with_context(|| format!("failed to list the cases of `{}`", artifacts.guest.display()))
}

/// Gets one kernel after the other, and does `work` with each as soon as it is there, with `jobs` of them at a time.
///
/// The results are in the order of `wanted`, each with the kernel's name.
pub fn with_each<T: Send>(
    paths: &Paths,
    wanted: &[Wanted],
    jobs: usize,
    work: &(dyn Fn(&Kernel) -> T + Sync),
) -> Vec<(String, Result<(Kernel, T)>)> {
    let results = Mutex::new(Vec::new());
    let (sender, receiver) = mpsc::channel::<(usize, Kernel)>();
    let receiver = Mutex::new(receiver);
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = lock(&receiver).recv();
                    let Ok((place, kernel)) = next else { return };
                    let result = work(&kernel);
                    lock(&results).push((place, Ok((kernel, result))));
                }
            });
        }
        for (place, wanted) in wanted.iter().enumerate() {
            match wanted.get(paths) {
                Ok(kernel) => {
                    if sender.send((place, kernel)).is_err() {
                        break;
                    }
                }
                Err(error) => lock(&results).push((place, Err(error))),
            }
        }
        drop(sender);
    });
    let mut results = results.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(place, result)| (wanted[place].name(), result)).collect()
}

/// How many machines run at once where nobody has said.
pub fn usual_jobs() -> usize {
    thread::available_parallelism().map_or(1, |count| count.get().min(2))
}

/// A thread that panicked with the lock in hand has left nothing half done: each puts in one whole result.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_case_reads() {
        let case: Listed =
            serde_json::from_str(r#"{"name":"plug","generations":["fmod-ret","none"],"udev_hid_bpf":false}"#).unwrap();
        assert_eq!(case.generations, [Generation::FmodRet, Generation::None]);
    }
}
