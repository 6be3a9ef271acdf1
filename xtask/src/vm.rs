//! `cargo xtask vm`: runs the cases in virtual machines, on every requested kernel.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use hidbpf_lab::accelerator::{Accelerators, Choice};
use hidbpf_lab::kernels::Kernel;
use hidbpf_lab::lanes::usual_lanes;
use hidbpf_lab::paths::Paths;
use hidbpf_lab::protocol::{Generation, Listed, Task};
use hidbpf_lab::qemu::Limits;
use hidbpf_lab::report::{Part, Report, skip};
use hidbpf_lab::wanted::{KernelOptions, Wanted};

use crate::artifacts::{self, Artifacts, Profile};
use crate::boot::Lab;
use crate::figures::{self, Figures};
use crate::machines::{self, Plan};
use crate::selection::{self, Selection};
use crate::setup;
use crate::udev_hid_bpf::UdevHidBpf;

/// The most cases that one machine runs.
///
/// Each machine costs a boot, which takes as long as two of the longer cases.
const PER_MACHINE: usize = 40;

/// The same for kernels that don't run all cases. They come last, and small shares keep all processors busy to the end.
const PER_LATE_MACHINE: usize = 20;

/// The options of `cargo xtask vm`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Run only the cases whose name contains one of these
    pub filters: Vec<String>,

    #[command(flatten)]
    pub kernels: KernelOptions,

    /// Multiply the repetitions of the cases about many devices: 21 rounds are 504 plugs one after the other, 64 devices at once, and 126
    /// evil devices of each kind
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    pub rounds: usize,

    /// Run on each kernel all cases that are for it. Default: older kernels run only cases whose result may differ there
    #[arg(long)]
    pub all: bool,

    /// How many machines run at once. Default: one for each processor, four at most
    #[arg(long, value_name = "COUNT")]
    pub jobs: Option<usize>,
}

/// Installs missing packages, builds, and runs the cases.
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
    report.notices = figures::notices(&paths.root, Ok(figures), &releases);
    Ok(report)
}

/// The results of the cases.
#[derive(Debug, Default)]
pub struct Ran {
    /// How they ended.
    pub report: Report,
    /// The costs of the attached drivers.
    pub figures: Figures,
    /// The release of each booted kernel, by its name.
    pub releases: BTreeMap<String, String>,
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

    let deal = |kernel: &Kernel| {
        let chosen = selection.choose(kernel.generation, kernel.everything).cases;
        let names: Vec<String> =
            chosen.into_iter().filter(|case| can_run(case)).map(|case| case.name.clone()).collect();
        let most = if kernel.everything || options.all { PER_MACHINE } else { PER_LATE_MACHINE };
        selection::deal(&names, names.len().div_ceil(most))
    };
    let plan = Plan {
        lab: &lab,
        lanes: options.jobs.unwrap_or_else(usual_lanes),
        limits,
        deal: &deal,
        may_skip: false,
        task: &|cases| Task::Test { cases, rounds: options.rounds },
        beside,
    };

    let mut has_fmod_ret = false;
    let mut ran = Ran::default();
    for (name, result) in machines::run(paths, wanted, &plan) {
        let (kernel, mut part, figures) = match result {
            Ok(got) => got,
            Err(error) => {
                ran.report.parts.push(Part::broken(&name, &error));
                continue;
            }
        };
        has_fmod_ret |= kernel.generation == Generation::FmodRet;
        let chosen = selection.choose(kernel.generation, kernel.everything);
        figures::add(&mut ran.figures, figures);
        part.left = chosen.left;
        if let Some(Err(error)) = &udev_hid_bpf {
            let cases = chosen.cases.into_iter().filter(|case| case.udev_hid_bpf);
            part.tally += skip(&kernel.name, cases.map(|case| &*case.name), &format!("{error:#}"));
        }
        ran.releases.insert(name, kernel.release);
        ran.report.parts.push(part);
    }
    if !has_fmod_ret && options.kernels.only.is_empty() {
        let cases = selection.choose(Generation::FmodRet, false).cases;
        let tally =
            skip("fmod-ret", cases.iter().map(|case| &*case.name), "no kernel of 6.3 to 6.10 was given (--kernel)");
        ran.report.parts.push(Part { tally, note: "no kernel was given".to_owned(), ..Part::new("fmod-ret") });
    }
    Ok(ran)
}
