//! `cargo xtask vm`: the cases in virtual machines, on every kernel that was asked for.

use std::collections::BTreeMap;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::Fault;
use crate::artifacts::{self, Artifacts, Profile};
use crate::costs::{self, Figures};
use crate::guest::{Packer, Userland};
use crate::kernels::{self, Entry, Kernel, UserKernel};
use crate::paths::Paths;
use crate::process;
use crate::protocol::{Generation, Job, Message, Outcome, Task};
use crate::qemu::{Accelerator, End, Limits, Logs, Machine};
use crate::report::{Part, Report, Screen, case_line, seconds};
use crate::setup;
use crate::transcript::Tally;
use crate::udev_hid_bpf::UdevHidBpf;

/// The kernels that the user names beside those of `kernels.toml`.
const KERNELS_VARIABLE: &str = "HIDBPF_KERNELS";

/// Which kernels to boot.
#[derive(Args, Clone, Debug, Default)]
pub struct KernelOptions {
    /// Boot this kernel too: PATH, and after it any of `,modules=DIR` `,generation=WORD` `,name=NAME`
    ///
    /// PATH is a bzImage for x86-64. DIR has the modules of that kernel, as in /lib/modules/RELEASE; leave it out where all that
    /// the tests need is built in. WORD is what the kernel has to offer: none, fmod-ret or struct-ops; by default what kernels
    /// of its version do. NAME is what reports call it, by default its release.
    /// Can be given more than once. The environment variable HIDBPF_KERNELS holds more of the same, with a colon between any two.
    #[arg(long = "kernel", value_name = "KERNEL")]
    pub user: Vec<UserKernel>,

    /// Boot only the kernels with these names, see xtask/kernels.toml
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
}

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

/// A kernel to boot, not looked at yet.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// One of `kernels.toml`.
    Debian(Entry),
    /// One that the user named.
    User(UserKernel),
}

impl Wanted {
    /// All kernels that `options` ask for.
    ///
    /// # Errors
    /// A kernel is misspelt or is none, two have one name, or `--only` names one that is not there.
    pub fn select(options: &KernelOptions) -> Result<Vec<Self>> {
        let mut wanted: Vec<Self> = kernels::list()?.kernels.into_iter().map(Self::Debian).collect();
        wanted.extend(options.user.iter().cloned().map(Self::User));
        if let Ok(text) = std::env::var(KERNELS_VARIABLE) {
            let more = UserKernel::parse_list(&text)
                .map_err(|error| Fault::Usage(format!("failed to read `{KERNELS_VARIABLE}`: {error:#}")))?;
            wanted.extend(more.into_iter().map(Self::User));
        }
        let mut names = Vec::new();
        for kernel in &wanted {
            let name = kernel.checked_name().map_err(|error| Fault::Usage(format!("{error:#}")))?;
            if names.contains(&name) {
                return Err(Fault::Usage(format!("two kernels are called `{name}`: add name=NAME to one")).into());
            }
            names.push(name);
        }
        if !options.only.is_empty() {
            if let Some(unknown) = options.only.iter().find(|name| !names.contains(name)) {
                let known = names.join(", ");
                return Err(Fault::Usage(format!("there is no kernel `{unknown}`; there are {known}")).into());
            }
            wanted.retain(|kernel| options.only.contains(&kernel.name()));
        }
        Ok(wanted)
    }

    /// The kernels that `options` ask for and that have HID-BPF.
    ///
    /// # Errors
    /// As [`Wanted::select`], and where none has it.
    pub fn with_hid_bpf(options: &KernelOptions) -> Result<Vec<Self>> {
        let mut wanted = Self::select(options)?;
        wanted.retain(|kernel| !kernel.is_without());
        if wanted.is_empty() {
            return Err(Fault::Usage("no kernel with HID-BPF is among those asked for".to_owned()).into());
        }
        Ok(wanted)
    }

    fn checked_name(&self) -> Result<String> {
        match self {
            Self::Debian(entry) => Ok(entry.name.clone()),
            Self::User(kernel) => Ok(kernel.look()?.name),
        }
    }

    /// What reports call it.
    pub fn name(&self) -> String {
        self.checked_name().unwrap_or_else(|_| "unreadable".to_owned())
    }

    /// Whether it is known to have no HID-BPF.
    fn is_without(&self) -> bool {
        match self {
            Self::Debian(entry) => entry.generation == Generation::None,
            Self::User(kernel) => kernel.look().is_ok_and(|found| found.generation == Generation::None),
        }
    }

    /// Gets the kernel here.
    ///
    /// # Errors
    /// It can't be fetched, or is no kernel.
    pub fn get(&self, paths: &Paths, screen: &Screen) -> Result<Kernel> {
        match self {
            Self::Debian(entry) => entry.fetch(paths, &mut |text| screen.line(text)),
            Self::User(kernel) => kernel.look(),
        }
    }
}

/// One machine that has ended.
#[derive(Debug)]
pub struct Run {
    /// How.
    pub end: End,
    /// How long it was until the guest was up.
    pub ready: Option<Duration>,
    /// How long it took in all.
    pub took: Duration,
    /// Where its logs are.
    pub logs: Logs,
}

/// Everything that a machine needs beside its kernel.
#[derive(Debug)]
pub struct Lab<'a> {
    paths: &'a Paths,
    packer: Packer<'a>,
    accelerator: Accelerator,
    /// Whether the machines have udev-hid-bpf.
    udev_hid_bpf: bool,
}

impl<'a> Lab<'a> {
    /// Packs what all machines share, udev-hid-bpf too where it is given.
    ///
    /// # Errors
    /// Something is missing.
    pub fn new(
        paths: &'a Paths,
        artifacts: &Artifacts,
        udev_hid_bpf: Option<&UdevHidBpf>,
        accelerator: Accelerator,
    ) -> Result<Self> {
        let packer = Packer::new(paths, kernels::list()?.modules, artifacts, Userland::Own { udev_hid_bpf })?;
        Ok(Self { paths, packer, accelerator, udev_hid_bpf: udev_hid_bpf.is_some() })
    }

    /// Takes what is packed already.
    pub fn with(paths: &'a Paths, packer: Packer<'a>, accelerator: Accelerator) -> Self {
        Self { paths, packer, accelerator, udev_hid_bpf: false }
    }

    /// Boots `kernel` for `task`, and calls `heard` with what the guest says.
    ///
    /// # Errors
    /// The machine can't be packed or started.
    pub fn boot(&self, kernel: &Kernel, task: Task, limits: Limits, heard: Hear<'_>) -> Result<Run> {
        let is_checked = matches!(task, Task::Test { .. });
        let job = Job { kernel: kernel.name.clone(), generation: kernel.generation, task };
        let initramfs = self.packer.pack(kernel, &job)?;
        let logs = Logs::create(&self.paths.logs(), &kernel.name)?;
        let machine = Machine {
            image: kernel.image.clone(),
            initramfs,
            disk: None,
            architecture: kernel.architecture,
            accelerator: self.accelerator,
            is_checked,
            limits,
            logs,
        };
        boot(kernel, machine, heard)
    }
}

/// What is called with each of the guest's messages.
type Hear<'a> = &'a mut dyn FnMut(&Message);

/// Boots `kernel` in `machine`, and calls `heard` with what the guest says.
///
/// # Errors
/// The machine can't be started, or boots something else.
pub fn boot(kernel: &Kernel, machine: Machine, heard: Hear<'_>) -> Result<Run> {
    let started = Instant::now();
    let mut ready = None;
    let mut booted = None;
    let end = machine.run(&mut |message| {
        if let Message::Ready { release, .. } = message {
            ready = Some(started.elapsed());
            booted = Some(release.clone());
        }
        heard(message);
    })?;
    if let Some(booted) = booted.filter(|booted| *booted != kernel.release) {
        bail!("the machine for Linux {} booted Linux {booted}", kernel.release);
    }
    Ok(Run { end, ready, took: started.elapsed(), logs: machine.logs })
}

/// Installs what is missing, builds, and runs the cases.
///
/// # Errors
/// The machinery fails before a case could run, or the code does not compile.
pub fn run(options: &Options) -> Result<Report> {
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
    let screen = Screen::default();
    let beside: Vec<&Listed> = listed.iter().filter(|case| is_wanted(&case.name) && case.udev_hid_bpf).collect();
    let udev_hid_bpf = (!beside.is_empty()).then(|| UdevHidBpf::fetch(paths, &mut |text| screen.line(text)));
    let lab =
        Lab::new(paths, artifacts, udev_hid_bpf.as_ref().and_then(|got| got.as_ref().ok()), Accelerator::probe())?;
    let jobs = options.jobs.unwrap_or_else(usual_jobs);
    let usual = Limits::default();
    let longer = u32::try_from(options.rounds).unwrap_or(u32::MAX);
    let limits = Limits { silence: usual.silence.saturating_mul(longer), whole: usual.whole.saturating_mul(longer) };
    let task = Task::Test { filters: options.filters.clone(), rounds: options.rounds, udev_hid_bpf: lab.udev_hid_bpf };
    let results = with_each(paths, wanted, jobs, &screen, &|kernel| {
        let (mut part, figures) =
            watch(&kernel.name, kernel, &screen, &|hear| lab.boot(kernel, task.clone(), limits, hear));
        if let Some(Err(error)) = &udev_hid_bpf {
            let why = format!("{error:#}");
            let cases = beside.iter().filter(|case| case.generations.contains(&kernel.generation));
            part.tally += skip(&screen, &kernel.name, cases.copied(), &why);
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
        let tally = skip(&screen, "fmod-ret", cases, "no kernel of 6.3 to 6.10 was given (--kernel)");
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
fn skip<'l>(screen: &Screen, kernel: &str, cases: impl Iterator<Item = &'l Listed>, why: &str) -> Tally {
    let mut tally = Tally::default();
    for case in cases {
        let outcome = Outcome::Skipped { why: why.to_owned() };
        tally.count(&outcome);
        screen.line(&case_line(kernel, &case.name, &outcome, 0));
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
    screen: &Screen,
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
            let progress = screen.progress(&wanted.name());
            progress.say("looking for the kernel");
            match wanted.get(paths, screen) {
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

/// The kernel and how long it took to boot, for a report.
pub fn note_of(kernel: &Kernel, run: &Run) -> String {
    let ready = run.ready.map(|ready| format!(", up after {}", seconds(ready))).unwrap_or_default();
    format!("Linux {}{ready}", kernel.release)
}

/// Boots a machine to its end, and reports its cases as of `name`.
pub fn watch(name: &str, kernel: &Kernel, screen: &Screen, boot: &dyn Fn(Hear<'_>) -> Result<Run>) -> (Part, Figures) {
    let mut figures = Figures::new();
    let mut progress = screen.progress(name);
    progress.say(&format!("booting Linux {}", kernel.release));
    let mut tally = Tally::default();
    let mut hear = |message: &Message| {
        progress.hear(message);
        match message {
            Message::Outcome { case, outcome, millis } => {
                let outcome = held_to(kernel.may_skip, outcome.clone());
                tally.count(&outcome);
                screen.line(&case_line(name, case, &outcome, *millis));
            }
            Message::Say { text } => screen.line(&format!("{name:<12} note  {text}")),
            Message::Figure { name: driver, quantity, value } => {
                let figure = format!("{name}/{quantity}");
                figures.entry(driver.clone()).or_default().insert(figure, *value as f64);
            }
            _ => {}
        }
    };
    let mut run = boot(&mut hear);
    // A host with too much to do starves a machine until its kernel gives up. Nothing was tested by then.
    if let Ok(Run { ready: None, end: End::Broken { why, .. }, .. }) = &run {
        screen.line(&format!("{name:<12} note  {why}; it is booted once more"));
        run = boot(&mut hear);
    }
    drop(progress);
    let run = match run {
        Ok(run) => run,
        Err(error) => return (Part { tally, ..Part::broken(name, &error) }, figures),
    };
    let logs = format!("\n  {}", run.logs);
    let mut part = Part { name: name.to_owned(), note: note_of(kernel, &run), tally, took: run.took, broken: None };
    match run.end {
        End::Verdict(_) if tally.failed > 0 => screen.line(&format!("{name}: {} failed{logs}", tally.failed)),
        End::Verdict(_) => {}
        End::Crashed { why, case, console } => {
            part.tally.failed += 1;
            let case = case.map_or_else(|| "between two cases".to_owned(), |case| format!("during `{case}`"));
            screen.line(&format!("{name:<12} FAIL  {why}, {case}; its last words:{console}{logs}"));
        }
        End::Broken { why, console } => part.broken = Some(format!("{why}; the console's last lines:{console}{logs}")),
    }
    (part, figures)
}

/// A skip is a failure on a kernel on which nothing may be skipped.
fn held_to(may_skip: bool, outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Skipped { why } if !may_skip => {
            Outcome::Failed { why: format!("skipped where nothing may be: {why}") }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_fails_where_nothing_may_be_skipped() {
        let skipped = Outcome::Skipped { why: "no uhid".into() };
        assert_eq!(held_to(true, skipped.clone()), skipped);
        let failed = Outcome::Failed { why: "skipped where nothing may be: no uhid".into() };
        assert_eq!(held_to(false, skipped), failed);
        assert_eq!(held_to(false, Outcome::Passed), Outcome::Passed);
    }

    #[test]
    fn only_names_that_are_there() {
        let only = |names: &[&str]| KernelOptions {
            only: names.iter().map(|name| (*name).to_owned()).collect(),
            user: Vec::new(),
        };
        let names: Vec<String> = Wanted::select(&only(&["without"])).unwrap().iter().map(Wanted::name).collect();
        assert_eq!(names, ["without"]);
        let error = Wanted::select(&only(&["no-such"])).unwrap_err().to_string();
        assert!(error.starts_with("there is no kernel `no-such`; there are newest, oldest, without"), "{error}");
    }

    #[test]
    fn a_users_kernel_is_looked_at_first() {
        let user: UserKernel = "/no/such/kernel".parse().unwrap();
        let error = Wanted::select(&KernelOptions { user: vec![user], only: Vec::new() }).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Fault::Usage(_))), "{error:#}");
        assert!(error.to_string().starts_with("failed to read the kernel `/no/such/kernel`: "), "{error:#}");
    }

    #[test]
    fn a_listed_case_reads() {
        let case: Listed =
            serde_json::from_str(r#"{"name":"plug","generations":["fmod-ret","none"],"udev_hid_bpf":false}"#).unwrap();
        assert_eq!(case.generations, [Generation::FmodRet, Generation::None]);
    }
}
