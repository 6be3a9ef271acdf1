//! `cargo xtask`: what is done with this workspace beside building it.
//!
//! Depends on nothing that needs a system package, because it is what installs those.

mod arm64;
mod artifacts;
mod bench;
mod book;
mod boot;
mod c_format;
mod cargo;
mod compat;
mod costs;
mod deb;
mod demo;
mod dependencies;
mod dist;
mod docs;
mod figures;
mod guest;
mod libbpf;
mod machines;
mod packages;
mod prose;
mod published;
mod selection;
mod selftests;
mod setup;
mod suite;
mod udev_hid_bpf;
mod vm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hidbpf_lab::fault::Fault;
use hidbpf_lab::report::{Report, Sum};
use hidbpf_lab::screen;
use hidbpf_lab::wanted::KernelOptions;

/// Something is wrong with what is tested.
const FAILED: u8 = 1;

/// Clap's code for the same.
const USAGE: u8 = 2;

/// The machinery failed, so nothing can be said about what is tested.
const BROKEN: u8 = 69;

/// Tasks for people who work on hidbpf.
///
/// Exit codes: 0 passed; 1 failed; 2 bad usage; 69 the machinery failed (no network, no QEMU, a machine that never came up).
///
/// The environment variable HIDBPF_ACCEL chooses how virtual machines run: auto (default), kvm, or tcg, which is emulation. auto
/// uses KVM for each kernel that has really booted under it, and keeps what it finds for a day.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show what hidbpf does: a real kernel, a device with a defect, before and after
    Demo(KernelOptions),
    /// Run everything that is tested: checks, tests on this machine, tests in virtual machines
    Test(vm::Options),
    /// Check the sources only: their layout, words and dependencies, clippy, the documentation's links
    Check,
    /// Build with the oldest compiler, with the oldest dependencies, and each crate alone with each feature set
    Compat,
    /// Run the cases in virtual machines only
    Vm(vm::Options),
    /// Run the kernel's own HID tests, with hidbpf and its drivers installed
    Selftests(selftests::Options),
    /// Count what attaching costs, compare with udev-hid-bpf, and write docs/performance.md
    Bench(KernelOptions),
    /// Count what each driver costs, in instructions, and write docs/costs.md and docs/costs.json
    Costs(KernelOptions),
    /// Write the pages of docs/devices from the drivers' manifests, and build the book of docs/ with mdBook
    Docs,
    /// Lay out the files of an installed hidbpf
    Dist(dist::Options),
    /// Make Debian packages
    Deb(deb::Options),
    /// Build for arm64, and run the cases in a machine of that kind, which QEMU emulates
    Arm64(arm64::Options),
    /// Test Debian packages: lintian, and a system that installs them, boots with them and removes them
    Packages(packages::Options),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Test(options) => suite::run(&options).map(|report| close(&report)),
        Task::Check => suite::check().map(|report| close(&report)),
        Task::Compat => compat::run().map(|report| close(&report)),
        Task::Vm(options) => vm::run(&options).map(|report| close(&report)),
        Task::Selftests(options) => selftests::run(&options).map(|report| close(&report)),
        Task::Dist(options) => dist::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Arm64(options) => arm64::run(&options).map(|report| close(&report)),
        Task::Packages(options) => packages::run(&options).map(|report| close(&report)),
        Task::Deb(options) => deb::run(&options).map(|()| ExitCode::SUCCESS),
        Task::Costs(options) => costs::run(&options).map(|report| close(&report)),
        Task::Docs => docs::run().map(|()| ExitCode::SUCCESS),
        Task::Bench(options) => bench::run(&options).map(|report| close(&report)),
    };
    let error = match result {
        Ok(code) => return code,
        Err(error) => error,
    };
    let (code, word) = match error.downcast_ref() {
        Some(Fault::Failed(_)) => (FAILED, "failed"),
        Some(Fault::Usage(_)) => (USAGE, "error"),
        None => (BROKEN, "infrastructure failed"),
    };
    eprintln!("{word}: {error:#}");
    ExitCode::from(code)
}

/// Prints the report and says how to end.
fn close(report: &Report) -> ExitCode {
    println!("{}", Report { failures: screen::failures(), ..report.clone() }.text());
    match report.result() {
        Sum::Passed => ExitCode::SUCCESS,
        Sum::Failed => ExitCode::from(FAILED),
        Sum::Broken => ExitCode::from(BROKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ci_runs_exists() {
        let ci = include_str!("../../.github/workflows/ci.yml");
        let script = include_str!("../../.ci/run");
        let command = |line: &str| {
            let line = line.trim().trim_start_matches("run: ").trim_start_matches("exec ");
            line.starts_with("cargo xtask ").then(|| line.replace(" \"$@\" </dev/null", ""))
        };
        let commands: Vec<String> = ci.lines().chain(script.lines()).filter_map(command).collect();
        assert_eq!(commands, ["cargo xtask compat", "cargo xtask test"]);
        for command in commands {
            Arguments::try_parse_from(command.split(' ').skip(1)).unwrap();
        }
        assert!(ci.lines().any(|line| line.trim() == "run: .ci/run"));
    }
}
