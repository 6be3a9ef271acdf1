//! The checks of the sources in `cargo xtask test`. Each counts as one case.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use hidbpf_lab::paths::Paths;
use hidbpf_lab::process;
use hidbpf_lab::protocol::Outcome;
use hidbpf_lab::report::show_case;
use hidbpf_lab::screen::{self, Step};
use hidbpf_lab::transcript::Tally;

use super::cargo_beside;
use crate::artifacts::{self, Profile};
use crate::c_format;
use crate::cargo;
use crate::deb;
use crate::dependencies;
use crate::dist;
use crate::prose;
use crate::published;

/// The name of the checks in reports.
pub const NAME: &str = "checks";

struct Check {
    name: &'static str,
    run: fn(&Path, &Step) -> Result<Outcome>,
}

const ALL: [Check; 11] = [
    Check {
        name: "the code is formatted",
        run: |root, _| Ok(outcome(process::output(&mut cargo_beside(root, &["fmt", "--all", "--check"])))),
    },
    Check { name: "the C code is formatted", run: |root, _| c_format::check(root) },
    Check { name: "the texts are worded and spelt right", run: |root, _| Ok(outcome(prose::check(root))) },
    Check {
        name: "shellcheck finds nothing",
        run: |root, _| Ok(passed(deb::check_scripts(root)?, "it finds mistakes")),
    },
    Check { name: "the dependencies follow deny.toml", run: |root, _| Ok(outcome(dependencies::check(root))) },
    Check { name: "the dependencies have no known vulnerability", run: |root, _| Ok(dependencies::advisories(root)) },
    Check {
        name: "clippy finds nothing",
        run: |root, step| {
            let command = cargo_beside(root, &["clippy", "--workspace", "--all-targets"]);
            let passes = cargo::run(command, &["--", "--deny", "warnings"], step, &mut |_| {})?;
            Ok(passed(passes, "it finds the above"))
        },
    },
    Check {
        name: "the documentation has no dead link",
        run: |root, step| {
            let mut command = cargo_beside(root, &["doc", "--workspace", "--no-deps", "--document-private-items"]);
            command.env("RUSTDOCFLAGS", "--deny warnings");
            Ok(passed(cargo::run(command, &[], step, &mut |_| {})?, "rustdoc finds the above"))
        },
    },
    Check {
        name: "the crates for other programs can be published",
        run: |root, _| Ok(outcome(published::check(root))),
    },
    Check {
        name: "a second build does nothing",
        run: |root, _| {
            let compiled = artifacts::build(root, Profile::Dev)?.compiled;
            Ok(passed(compiled.is_empty(), &format!("built again: {}", compiled.join(", "))))
        },
    },
    Check {
        name: "the same files are laid out twice",
        run: |root, _| {
            let product = artifacts::build(root, Profile::Dev)?.product()?;
            let repeatable = dist::is_repeatable(root, &product, &Paths::find()?.packages.join("twice"))?;
            Ok(passed(repeatable, "they differ as shown above"))
        },
    },
];

/// Returns the outcome of a check whose error says what is wrong with the sources.
fn outcome<T>(result: Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed { why: format!("{error:#}") },
    }
}

/// Returns the outcome of a check that has printed what is wrong, or that has found `why`.
fn passed(passed: bool, why: &str) -> Outcome {
    match passed {
        true => Outcome::Passed,
        false => Outcome::Failed { why: why.to_owned() },
    }
}

/// Runs all checks and prints how each ends.
///
/// # Errors
/// The machinery fails: a program is missing, or the sources can't be read.
pub fn run(root: &Path) -> Result<Tally> {
    let mut tally = Tally::default();
    for (number, check) in ALL.iter().enumerate() {
        let step = screen::step(NAME, &format!("[{}/{}] {}", number + 1, ALL.len(), check.name));
        let started = Instant::now();
        let outcome = (check.run)(root, &step)?;
        tally.count(&outcome);
        show_case(NAME, check.name, &outcome, started.elapsed().as_millis() as u64);
    }
    Ok(tally)
}
