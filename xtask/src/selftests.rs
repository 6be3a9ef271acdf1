//! `cargo xtask selftests`: runs the kernel's own HID tests (tools/testing/selftests/hid), with hidbpf and its drivers installed and udev
//! running.
//!
//! The tests come from Debian's package of the newest kernel's sources. They are written for pytest, which runs in a root made from
//! Debian's packages. They load BPF objects with udev-hid-bpf. A script replaces it: for each object it passes the name of the
//! corresponding driver to `hidbpf load`.

mod listed;
mod python;
mod sources;

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use hidbpf_lab::accelerator::{Accelerators, Choice};
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::initramfs::Tree;
use hidbpf_lab::kernels::{self, Modules};
use hidbpf_lab::lanes::usual_lanes;
use hidbpf_lab::paths::{Paths, fresh_folder};
use hidbpf_lab::protocol::{SELFTESTS_ROOT, Task};
use hidbpf_lab::qemu::Limits;
use hidbpf_lab::report::{Part, Report, skip};
use hidbpf_lab::screen;
use hidbpf_lab::wanted::{KernelOptions, Wanted};

use crate::artifacts::{self, Artifacts, Profile};
use crate::boot::Lab;
use crate::guest::{self, Packer, Userland};
use crate::machines::{self, Plan};
use crate::selection;
use crate::setup::{self, Need};

/// The options of `cargo xtask selftests`.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Run only the tests whose name contains one of these
    filters: Vec<String>,

    #[command(flatten)]
    kernels: KernelOptions,

    /// Run all tests, including some 2000 that test only the kernel and differ by the device's report descriptor
    #[arg(long)]
    all: bool,

    /// How many machines run at once. Default: one for each processor, four at most
    #[arg(long, value_name = "COUNT")]
    jobs: Option<usize>,
}

/// The name of the step that fetches the tests, and of their folder.
const NAME: &str = "selftests";

/// The modules of kernel drivers that the tests load. A test is skipped if the kernel lacks its module.
const MODULES: [&str; 6] = ["hid-apple", "hid-ite", "hid-multitouch", "hid-playstation", "hid-sony", "wacom"];

/// The time limit for one machine. It allows 10 s for each of the 2975 tests, on one emulated machine.
const WHOLE: Duration = Duration::from_secs(8 * 60 * 60);

/// Builds, fetches what the tests need, and runs them on each kernel with HID-BPF.
///
/// # Errors
/// The machinery fails before a test could run, the code does not compile, or no test has such a name.
pub fn run(options: &Options) -> Result<Report> {
    Choice::from_environment()?;
    let wanted = Wanted::with_hid_bpf(&options.kernels)?;
    setup::install(&[Need::Build, Need::Machines, Need::Packages, Need::Selftests])?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let artifacts = artifacts::build(&paths.root, Profile::Dev)?.artifacts()?;
    let step = screen::step(NAME, "looking for the tests");
    let tests = sources::fetch(&paths, &step)?;
    let root = python::make_root(&paths, &tests, &step)?;
    step.say("collecting the tests");
    let chosen = listed::choose(&python::list_tests(&root)?, &options.filters, options.all)?;
    step.say("packing the first root");
    let tree = pack(&paths, &artifacts, &root)?;
    let userland = Userland::Own { udev_hid_bpf: None };
    let packer = Packer::new(&paths, modules()?, &artifacts, userland)?.with(&tree, NAME)?;
    drop(step);
    let lab = Lab::with(&paths, packer, Accelerators::open(&paths)?);
    let lanes = options.jobs.unwrap_or_else(usual_lanes);
    let plan = Plan {
        lab: &lab,
        lanes,
        // Python is slow to start.
        limits: Limits { boot: 2 * Limits::default().boot, whole: WHOLE, ..Limits::default() },
        deal: &|_| selection::deal(&chosen.run, lanes.min(chosen.run.len())),
        // A device may lack the usage that a test is about.
        may_skip: true,
        task: &|tests| Task::Selftests { tests },
        beside: &|| {},
    };
    let mut report = Report::default();
    for (name, result) in machines::run(&paths, &wanted, &plan) {
        report.parts.push(match result {
            Ok((kernel, mut part, _)) => {
                part.left = chosen.left;
                for (object, tests) in &chosen.without_driver {
                    let why = format!("no driver of hidbpf stands for the object {object}");
                    part.tally += skip(&kernel.name, tests.iter().map(String::as_str), &why);
                }
                part
            }
            Err(error) => Part::broken(&name, &error),
        });
    }
    Ok(report)
}

/// Returns the modules to pack.
fn modules() -> Result<Modules> {
    let mut modules = kernels::list()?.modules;
    modules.welcome.extend(MODULES.map(str::to_owned));
    Ok(modules)
}

/// Packs the root with hidbpf, as it is in the guest.
fn pack(paths: &Paths, artifacts: &Artifacts, root: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.add_root(root, SELFTESTS_ROOT)?;
    let stripped = paths.vm.join("stage").join(NAME);
    fresh_folder(&stripped)?;
    let hidbpf = stripped.join("hidbpf");
    guest::strip(Architecture::Amd64, &artifacts.hidbpf, &hidbpf)?;
    tree.add_file(&hidbpf, &format!("{SELFTESTS_ROOT}{}", guest::HIDBPF))?;
    tree.add_folder(&artifacts.objects, &format!("{SELFTESTS_ROOT}{}", guest::DRIVERS), &|path| {
        path.to_string_lossy().ends_with(".bpf.o")
    })?;
    Ok(tree)
}
