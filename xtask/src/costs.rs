//! `cargo xtask costs`: counts each driver's instructions, and writes them to `docs/costs.json` and `docs/costs.md`.
//!
//! The commands `test` and `vm` report the drivers that cost more than recorded.

use anyhow::Result;
use hidbpf_lab::accelerator::Choice;
use hidbpf_lab::paths::Paths;
use hidbpf_lab::report::{Report, Sum};
use hidbpf_lab::wanted::{KernelOptions, Wanted};

use crate::artifacts::{self, Profile};
use crate::figures::{self, PAGE, TABLE, Table};
use crate::setup;
use crate::vm::{self, Ran};

/// The cases that send figures.
const CASES: &str = "recordings-of-";

/// Counts, and writes table and page again. Keeps the figures of kernels that did not boot. Writes nothing unless all cases passed.
///
/// # Errors
/// The machinery fails, or the code does not compile.
pub fn run(options: &KernelOptions) -> Result<Report> {
    Choice::from_environment()?;
    let wanted = Wanted::with_hid_bpf(options)?;
    setup::run()?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let artifacts = artifacts::build(&paths.root, Profile::Dev)?.artifacts()?;
    let kept = if paths.root.join(TABLE).exists() { Table::read(&paths.root)? } else { Table::default() };
    let mut drivers = figures::on_this_machine(&paths.root, &artifacts)?;
    let options =
        vm::Options { filters: vec![CASES.to_owned()], kernels: options.clone(), all: true, rounds: 1, jobs: None };
    let Ran { mut report, figures: counted, releases } = vm::run_cases(&paths, &artifacts, &wanted, &options, &|| {})?;
    if report.result() != Sum::Passed {
        report.notices.push(format!("not all cases passed: {PAGE} stays as it was"));
        return Ok(report);
    }
    figures::add(&mut drivers, counted);
    let mut kernels = kept.kernels;
    kernels.retain(|name, _| !releases.contains_key(name));
    for (driver, own) in &mut drivers {
        let old = kept.drivers.get(driver).into_iter().flatten();
        let of_others = old.filter(|(figure, _)| kernels.contains_key(figures::place(figure)));
        own.extend(of_others.map(|(figure, value)| (figure.clone(), *value)));
    }
    for (name, release) in &kernels {
        report.notices.push(format!("`{name}` was not booted: its figures, of Linux {release}, are kept as they were"));
    }
    kernels.extend(releases);
    let table = Table { clang: figures::clang()?, kernels, drivers };
    table.write(&paths.root)?;
    report.notices.push(format!("the figures are in {PAGE}"));
    Ok(report)
}
