//! `cargo xtask vm`: the cases in virtual machines, on every kernel that was asked for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use crate::accelerator::{Accelerators, Choice};
use crate::artifacts::{self, Artifacts, Profile};
use crate::boot::{Lab, News, watch};
use crate::costs::{self, Figures};
use crate::kernels::Kernel;
use crate::lanes::{self, usual_lanes};
use crate::paths::Paths;
use crate::protocol::{Generation, Listed, Message, Task};
use crate::qemu::Limits;
use crate::report::{Part, Report};
use crate::screen::{self, Step, row};
use crate::selection::{self, Selection};
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

    /// Run all cases on each kernel that they are for, rather than on older kernels only what can differ there
    #[arg(long)]
    pub all: bool,

    /// How many machines run at once. Default: one for each processor, four at most
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
    let Ran { mut report, figures, releases } = run_cases(&paths, &artifacts, &wanted, options, &|| {})?;
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

/// A machine to boot: the cases of a kernel that it runs.
struct Load {
    /// What its logs are called.
    name: String,
    cases: Vec<String>,
}

/// What has come of a machine.
struct Done {
    part: Part,
    figures: Figures,
    started: Instant,
    ended: Instant,
}

/// Runs the cases on the kernels in `wanted`, and `beside` at the same time.
///
/// # Errors
/// The machinery fails before a case could run, or no case has such a name.
pub fn run_cases(
    paths: &Paths,
    artifacts: &Artifacts,
    wanted: &[Wanted],
    options: &Options,
    beside: &(dyn Fn() + Sync),
) -> Result<Ran> {
    let selection = Selection::new(artifacts, &options.filters, options.all)?;
    let udev_hid_bpf = selection.needs_udev_hid_bpf().then(|| UdevHidBpf::fetch(paths));
    let has_udev_hid_bpf = matches!(udev_hid_bpf, Some(Ok(_)));
    let accelerators = Accelerators::open(paths)?;
    let lab = Lab::new(paths, artifacts, udev_hid_bpf.as_ref().and_then(|got| got.as_ref().ok()), accelerators)?;
    let usual = Limits::default();
    let longer = u32::try_from(options.rounds).unwrap_or(u32::MAX);
    let limits =
        Limits { silence: usual.silence.saturating_mul(longer), whole: usual.whole.saturating_mul(longer), ..usual };
    let can_run = |case: &Listed| has_udev_hid_bpf || !case.udev_hid_bpf;

    let total = Total::new();
    let split = |kernel: &Kernel| {
        let chosen = selection.choose(kernel.generation, kernel.everything).cases;
        let names: Vec<String> =
            chosen.into_iter().filter(|case| can_run(case)).map(|case| case.name.clone()).collect();
        total.add(names.len());
        let load = |(number, cases)| Load { name: format!("{}-{}", kernel.name, number + 1), cases };
        selection::deal(&names).into_iter().enumerate().map(load).collect()
    };
    let work = |kernel: &Kernel, load: Load| {
        let started = Instant::now();
        let task = Task::Test { cases: load.cases.clone(), rounds: options.rounds };
        let (part, figures) = watch(&kernel.name, &load.name, kernel, &|hear| {
            let mut counted = total.count();
            lab.boot(kernel, &load.name, task.clone(), limits, &mut |news| {
                counted.hear(news);
                hear(news);
            })
        });
        Done { part, figures, started, ended: Instant::now() }
    };
    let lanes = options.jobs.unwrap_or_else(usual_lanes);
    let results = lanes::run(paths, wanted, lanes, &split, &work, beside);

    let mut has_fmod_ret = false;
    let mut ran = Ran::default();
    for (name, result) in results {
        let (kernel, done) = match result {
            Ok(got) => got,
            Err(error) => {
                ran.report.parts.push(Part::broken(&name, &error));
                continue;
            }
        };
        has_fmod_ret |= kernel.generation == Generation::FmodRet;
        let chosen = selection.choose(kernel.generation, kernel.everything);
        let mut part = merged(&kernel, done, &mut ran.figures);
        part.left = chosen.left;
        if let Some(Err(error)) = &udev_hid_bpf {
            let cases = chosen.cases.into_iter().filter(|case| case.udev_hid_bpf);
            part.tally += skip(&kernel.name, cases, &format!("{error:#}"));
        }
        ran.releases.insert(name, kernel.release);
        ran.report.parts.push(part);
    }
    if !has_fmod_ret && options.kernels.only.is_empty() {
        let cases = selection.choose(Generation::FmodRet, false).cases;
        let tally = skip("fmod-ret", cases.into_iter(), "no kernel of 6.3 to 6.10 was given (--kernel)");
        ran.report.parts.push(Part { tally, note: "no kernel was given".to_owned(), ..Part::new("fmod-ret") });
    }
    Ok(ran)
}

/// What has come of all machines with one kernel. Their figures are put into `figures`.
fn merged(kernel: &Kernel, done: Vec<Done>, figures: &mut Figures) -> Part {
    let mut whole = Part::new(&kernel.name);
    let machines = done.len();
    let started = done.iter().map(|done| done.started).min();
    let ended = done.iter().map(|done| done.ended).max();
    whole.took = started.zip(ended).map_or(Duration::ZERO, |(started, ended)| ended.duration_since(started));
    for Done { part, figures: more, .. } in done {
        whole.tally += part.tally;
        costs::add(figures, more);
        if whole.note.is_empty() {
            whole.note = part.note;
        }
        if let Some(why) = part.broken {
            let before = whole.broken.map(|before| format!("{before}\n")).unwrap_or_default();
            whole.broken = Some(before + &why);
        }
    }
    if machines > 1 {
        whole.note += &format!(", {machines} machines");
    }
    whole
}

/// How many cases have ended of all that will run, on all kernels.
#[derive(Debug)]
struct Total {
    step: Step,
    done: AtomicUsize,
    all: AtomicUsize,
}

impl Total {
    fn new() -> Self {
        let step = screen::step("cases", "none yet");
        Self { step, done: AtomicUsize::new(0), all: AtomicUsize::new(0) }
    }

    fn add(&self, cases: usize) {
        self.all.fetch_add(cases, Ordering::Relaxed);
        self.show();
    }

    fn show(&self) {
        let (done, all) = (self.done.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        self.step.at(done, all, "on all kernels");
    }

    /// Counts the cases of one machine.
    fn count(&self) -> Counted<'_> {
        Counted { total: self, done: 0 }
    }
}

/// How many cases of one machine are counted.
#[derive(Debug)]
struct Counted<'a> {
    total: &'a Total,
    done: usize,
}

impl Counted<'_> {
    fn hear(&mut self, news: News<'_>) {
        match news {
            News::Message(Message::Outcome { .. }) => {
                self.done += 1;
                self.total.done.fetch_add(1, Ordering::Relaxed);
            }
            News::Message(_) => return,
            News::Restart(_) => {
                self.total.done.fetch_sub(self.done, Ordering::Relaxed);
                self.done = 0;
            }
        }
        self.total.show();
    }
}

/// Says which cases are skipped, all for the same reason, and counts them.
fn skip<'l>(kernel: &str, cases: impl Iterator<Item = &'l Listed>, why: &str) -> Tally {
    let names: Vec<&str> = cases.map(|case| case.name.as_str()).collect();
    if !names.is_empty() {
        screen::line(&row(kernel, "skip", &format!("{} cases: {why}: {}", names.len(), names.join(", "))));
    }
    Tally { skipped: names.len(), ..Tally::default() }
}
