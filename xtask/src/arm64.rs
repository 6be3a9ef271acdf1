//! `cargo xtask arm64`: builds hidbpf for arm64, and runs its cases on Debian's kernel for arm64, in a machine that QEMU emulates.
//!
//! The libraries for linking and the guest's udev come from Debian's packages for arm64, which are only unpacked.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use hidbpf_lab::accelerator::{Accelerator, Accelerators, Choice};
use hidbpf_lab::apt::Suite;
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::kernels::{self, Entry, Pick};
use hidbpf_lab::paths::{Paths, remove_folder};
use hidbpf_lab::process;
use hidbpf_lab::protocol::{Generation, Outcome, Task};
use hidbpf_lab::qemu::Limits;
use hidbpf_lab::report::{Report, show_case};
use hidbpf_lab::screen;
use hidbpf_lab::transcript::Tally;

use crate::artifacts::{self, ARM64, Artifacts, Profile};
use crate::boot::{self, Lab};
use crate::dist::files;
use crate::guest::{Packer, Userland};
use crate::selection::Selection;
use crate::setup::{self, Need};

/// The options of `cargo xtask arm64`.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Run only the cases whose name contains one of these
    filters: Vec<String>,
}

/// The name in reports.
const NAME: &str = "arm64";

/// The suite of the kernel and the packages.
const KERNEL_SUITE: &str = "trixie-backports";
const SUITE: &str = "trixie";

/// The packages for linking, and those that the guest runs besides hidbpf.
const PACKAGES: &str = "kmod,libc6-dev,libelf-dev,libudev-dev,strace,systemd,udev,zlib1g-dev";

/// Builds for arm64, compares the objects with those that were built for this machine, and runs the cases.
///
/// # Errors
/// The machinery fails before a case could run, or the code does not compile.
pub fn run(options: &Options) -> Result<Report> {
    Choice::emulation_only("the processor is another one than the host's")?;
    setup::install(&[Need::Build, Need::Machines, Need::Packages, Need::Arm64])?;
    check_target()?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let own = artifacts::build(&paths.root, Profile::Dev)?.artifacts()?;
    let system = unpack_system(&paths)?;
    let other = artifacts::build_for_arm64(&paths.root, &system)?.artifacts()?;

    let started = Instant::now();
    let mut tally = Tally::default();
    let outcome = compare(&own.objects, &other.objects)?;
    tally.count(&outcome);
    show_case(NAME, "objects-are-those-of-x86-64", &outcome, 0);

    let entry = Entry {
        name: NAME.to_owned(),
        suite: KERNEL_SUITE.to_owned(),
        pick: Pick::Newest,
        since: None,
        generation: Generation::StructOps,
        everything: true,
        may_skip: true,
        architecture: Architecture::Arm64,
    };
    let kernel = entry.fetch(&paths)?;
    let packed = Artifacts { objects: own.objects.clone(), ..other };
    let userland = Userland::Unpacked { root: &system, hidbpf: &own.hidbpf };
    let lab = Lab::with(
        &paths,
        Packer::new(&paths, kernels::list()?.modules, &packed, userland)?,
        Accelerators::emulation(Accelerator::Tcg),
    );
    let selection = Selection::new(&own, &options.filters, true)?;
    let chosen = selection.choose(kernel.generation, true).cases;
    let cases = chosen.into_iter().filter(|case| !case.udev_hid_bpf).map(|case| case.name.clone()).collect();
    let task = Task::Test { cases, rounds: 1 };
    let (mut part, _) = boot::watch(NAME, NAME, &kernel, &|hear| lab.boot(&kernel, NAME, task.clone(), limits(), hear));
    part.tally += tally;
    part.took = started.elapsed();
    Ok(Report { parts: vec![part], ..Report::default() })
}

/// Returns the time limits. An emulated processor of another architecture is slower than one of the host's.
fn limits() -> Limits {
    let usual = Limits::default();
    Limits { boot: 2 * usual.boot, silence: 2 * usual.silence, whole: 4 * usual.whole, ..usual }
}

/// Checks that rustc has the standard library for arm64. rustc has it only for installed targets.
fn check_target() -> Result<()> {
    let arguments = ["--print", "target-libdir", "--target", ARM64];
    let folder = PathBuf::from(process::output(process::command("rustc").args(arguments))?.trim());
    if !folder.is_dir() {
        bail!("rustc has no standard library for arm64 here: install it with `rustup target add {ARM64}`");
    }
    Ok(())
}

/// Checks that both folders have the same objects: the kernel compiles them for its own machine.
fn compare(own: &Path, other: &Path) -> Result<Outcome> {
    let objects = |folder: &Path| -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut found = files(folder)?;
        found.retain(|path| path.to_string_lossy().ends_with(".bpf.o"));
        let read = |path: PathBuf| -> Result<(PathBuf, Vec<u8>)> {
            let bytes = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
            Ok((PathBuf::from(path.file_name().unwrap_or_default()), bytes))
        };
        found.into_iter().map(read).collect()
    };
    let (own, other) = (objects(own)?, objects(other)?);
    let differ: Vec<_> = own.iter().filter(|object| !other.contains(object)).map(|(name, _)| name.display()).collect();
    Ok(if own.is_empty() || own.len() != other.len() || !differ.is_empty() {
        Outcome::Failed {
            why: format!("{} objects for x86-64, {} for arm64, other ones: {differ:?}", own.len(), other.len()),
        }
    } else {
        Outcome::Passed
    })
}

/// Unpacks Debian's packages for arm64, or reuses what was unpacked from apt's current lists.
fn unpack_system(paths: &Paths) -> Result<PathBuf> {
    let step = screen::step(NAME, "looking for the packages to link with");
    let suite = Suite::open(&paths.vm.join("apt"), SUITE, Architecture::Arm64, &step)?;
    let root = paths.vm.join("arm64");
    let stamp = paths.vm.join("arm64.made");
    if !suite.is_newer_than(&stamp) {
        return Ok(root);
    }
    remove_folder(&root)?;
    step.say("unpacking the packages to link with");
    let mut command = process::command("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=extract", "--architectures=arm64"]);
    process::output(command.arg(format!("--include={PACKAGES}")).arg(SUITE).arg(&root).arg(suite.sources()))?;
    // A package script makes this link, and those scripts did not run.
    let link = root.join("lib");
    std::os::unix::fs::symlink("usr/lib", &link).with_context(|| format!("failed to create `{}`", link.display()))?;
    fs::write(&stamp, "").with_context(|| format!("failed to write `{}`", stamp.display()))?;
    step.done("the packages to link with are unpacked");
    Ok(root)
}
