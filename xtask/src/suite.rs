//! `cargo xtask test`: everything that is tested, in one command.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::artifacts::{self, Profile, cargo};
use crate::costs;
use crate::dist;
use crate::paths::Paths;
use crate::process;
use crate::report::{Part, Report};
use crate::setup;
use crate::transcript::Tally;
use crate::vm::{self, Wanted};

/// Installs what is missing, builds, checks, tests on this machine, and tests in virtual machines.
///
/// # Errors
/// The machinery fails before all of that could be tried, or the code does not compile.
pub fn run(options: &vm::Options) -> Result<Report> {
    let wanted = Wanted::select(&options.kernels)?;
    setup::run()?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let root = &paths.root;
    tell_space(root)?;
    heading("build");
    let artifacts = artifacts::build(root, Profile::Dev)?.artifacts()?;
    let mut report = Report::default();
    report.parts.push(run_part("host", || host_tests(root))?);
    report.parts.push(run_part("checks", || checks(root))?);
    heading("virtual machines");
    let mut ran = vm::run_cases(&paths, &artifacts, &wanted, options)?;
    report.parts.append(&mut ran.report.parts);
    let mut figures = costs::on_this_machine(root, &artifacts);
    if let Ok(figures) = &mut figures {
        costs::add(figures, ran.figures);
    }
    report.notices = costs::notices(root, figures, &ran.releases);
    Ok(report)
}

/// Says how much room there is on the disk: where it does not do, programs that know nothing of it fail in words of their own.
fn tell_space(root: &Path) -> Result<()> {
    let disk =
        rustix::fs::statvfs(root).with_context(|| format!("failed to look at the disk of `{}`", root.display()))?;
    let gigabytes = disk.f_bavail as f64 * disk.f_frsize as f64 / 1e9;
    println!("{gigabytes:.1} GB are free here; to build and test everything for the first time takes some 2.5 GB");
    Ok(())
}

fn heading(text: &str) {
    println!("\n== {text}");
}

fn run_part(name: &str, what: impl FnOnce() -> Result<Tally>) -> Result<Part> {
    let started = Instant::now();
    let tally = what()?;
    Ok(Part { name: name.to_owned(), note: String::new(), tally, took: started.elapsed(), broken: None })
}

/// Runs `cargo test`, shows what it writes, and counts.
fn host_tests(root: &Path) -> Result<Tally> {
    heading("tests on this machine");
    let mut command = in_root(root, &["test", "--workspace", "--no-fail-fast"]);
    let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start `cargo test`")?;
    let stdout = child.stdout.take().context("failed to read what `cargo test` says")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.context("failed to read what `cargo test` says")?;
        println!("{line}");
        if let Some(counted) = parse_result(&line) {
            tally += counted;
        }
    }
    let passed = child.wait().context("failed to wait for `cargo test`")?.success();
    if !passed && tally.failed == 0 {
        // A test program that did not compile, or died, has counted nothing.
        println!("FAIL  `cargo test` did not come to its end");
        tally.failed = 1;
    }
    Ok(tally)
}

/// Reads the line with which each test program ends: `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; ...`.
fn parse_result(line: &str) -> Option<Tally> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |what: &str| -> Option<usize> {
        let found = counts.split(';').find_map(|count| count.trim().strip_suffix(what));
        found?.trim().parse().ok()
    };
    Some(Tally { passed: count("passed")?, failed: count("failed")?, skipped: count("ignored")? })
}

/// A check of the sources. Each counts as one case.
struct Check {
    name: &'static str,
    passes: fn(&Path) -> Result<bool>,
}

const CHECKS: [Check; 5] = [
    Check {
        name: "the code is formatted",
        passes: |root| process::passes(&mut in_root(root, &["fmt", "--all", "--check"])),
    },
    Check {
        name: "clippy finds nothing",
        passes: |root| {
            let arguments = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"];
            process::passes(&mut in_root(root, &arguments))
        },
    },
    Check {
        name: "the documentation has no dead link",
        passes: |root| {
            let arguments = ["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"];
            process::passes(in_root(root, &arguments).env("RUSTDOCFLAGS", "--deny warnings"))
        },
    },
    Check {
        name: "a second build does nothing",
        passes: |root| {
            let compiled = artifacts::build(root, Profile::Dev)?.compiled;
            if !compiled.is_empty() {
                println!("built again: {}", compiled.join(", "));
            }
            Ok(compiled.is_empty())
        },
    },
    Check {
        name: "the same files are laid out twice",
        passes: |root| {
            let product = artifacts::build(root, Profile::Dev)?.product()?;
            dist::is_repeatable(root, &product, &Paths::find()?.packages.join("twice"))
        },
    },
];

fn checks(root: &Path) -> Result<Tally> {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::output(in_root(root, &[tool, "--version"]).stderr(Stdio::null())).is_err() {
            bail!("cargo has no `{tool}` here: install it with `rustup component add {component}`");
        }
    }
    let mut tally = Tally::default();
    for check in CHECKS {
        heading(check.name);
        if (check.passes)(root)? {
            println!("ok");
            tally.passed += 1;
        } else {
            println!("FAIL");
            tally.failed += 1;
        }
    }
    Ok(tally)
}

fn in_root(root: &Path, arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.current_dir(root).args(arguments);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_test_programs_are_read() {
        let line = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s";
        assert_eq!(parse_result(line), Some(Tally { passed: 3, failed: 0, skipped: 1 }));
        let line = "test result: FAILED. 2 passed; 12 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(parse_result(line), Some(Tally { passed: 2, failed: 12, skipped: 0 }));
        for line in ["", "test a ... ok", "test result: ok", "test result: ok. 3 passed; x failed; 0 ignored"] {
            assert_eq!(parse_result(line), None, "{line}");
        }
    }
}
