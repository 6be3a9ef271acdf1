//! `cargo xtask bench`: counts the cost of attaching drivers, and writes docs/performance.md. Counts agree between runs; times would not.
//!
//! It compares three programs, each in a freshly booted machine: the fast loader, the libbpf loader, and udev-hid-bpf if it is available.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result};
use hidbpf_lab::accelerator::{Accelerator, Accelerators, Choice};
use hidbpf_lab::lanes::{self, usual_lanes};
use hidbpf_lab::paths::Paths;
use hidbpf_lab::protocol::{Attacher, Task};
use hidbpf_lab::qemu::Limits;
use hidbpf_lab::report::{Part, Report, Sum};
use hidbpf_lab::screen;
use hidbpf_lab::wanted::{KernelOptions, Wanted};

use crate::artifacts::{self, Profile};
use crate::boot::{Lab, watch};
use crate::figures::Figures;
use crate::setup;
use crate::udev_hid_bpf::UdevHidBpf;

/// The page with the tables, from the workspace's root.
const PAGE: &str = "docs/performance.md";

/// All programs, with their names in the tables.
const ATTACHERS: [(Attacher, &str); 3] =
    [(Attacher::Fast, "hidbpf"), (Attacher::Libbpf, "hidbpf through libbpf"), (Attacher::UdevHidBpf, "udev-hid-bpf")];

/// The counts on one kernel.
#[derive(Debug)]
struct Kernel {
    release: String,
    /// By action and quantity.
    attachers: BTreeMap<Attacher, Figures>,
}

/// Installs missing packages, builds a release, counts on each kernel with HID-BPF, prints the tables and writes the page.
///
/// # Errors
/// The machinery fails before anything could be measured, or the code does not compile.
pub fn run(options: &KernelOptions) -> Result<Report> {
    Choice::emulation_only("instructions are counted")?;
    let wanted = Wanted::with_hid_bpf(options)?;
    setup::run()?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let artifacts = artifacts::build(&paths.root, Profile::Release)?.artifacts()?;
    let other = UdevHidBpf::fetch(&paths);
    if let Err(error) = &other {
        screen::line(&format!("not compared with udev-hid-bpf: {error:#}"));
    }
    let lab = Lab::new(&paths, &artifacts, other.as_ref().ok(), Accelerators::emulation(Accelerator::CountedTcg))?;
    let mut report = Report::default();
    let mut kernels = Vec::new();
    let results = lanes::run(
        &paths,
        &wanted,
        usual_lanes(),
        &|_| vec![()],
        &|kernel, ()| {
            let mut counted = Kernel { release: kernel.release.clone(), attachers: BTreeMap::new() };
            let mut parts = Vec::new();
            for (attacher, name) in
                ATTACHERS.into_iter().filter(|(attacher, _)| *attacher != Attacher::UdevHidBpf || other.is_ok())
            {
                let name = format!("{} {name}", kernel.name);
                let (part, figures) = watch(&name, &name, kernel, &|hear| {
                    lab.boot(kernel, &kernel.name, Task::Measure { attacher }, Limits::default(), hear)
                });
                parts.push(part);
                counted.attachers.insert(attacher, figures);
            }
            (counted, parts)
        },
        &|| {},
    );
    for (name, result) in results {
        match result {
            Ok((_, counted)) => {
                for (counted, parts) in counted {
                    report.parts.extend(parts);
                    kernels.push(counted);
                }
            }
            Err(error) => report.parts.push(Part::broken(&name, &error)),
        }
    }
    if report.result() != Sum::Passed {
        report.notices.push(format!("not all was counted: {PAGE} stays as it was"));
        return Ok(report);
    }
    let text = page(&kernels, &other);
    screen::line(&text);
    let path = paths.root.join(PAGE);
    fs::write(&path, text).with_context(|| format!("failed to write `{}`", path.display()))?;
    Ok(report)
}

/// Returns the whole page.
fn page(kernels: &[Kernel], other: &Result<UdevHidBpf>) -> String {
    let compared = match other {
        Ok(other) => {
            format!("udev-hid-bpf is Debian's {}, with the libraries that Debian has for it.", other.version())
        }
        Err(error) => format!("udev-hid-bpf is missing, since it could not be fetched: {error}."),
    };
    let mut text = format!(
        "# What attaching costs\n\n\
         The cost of attaching each driver, compared with udev-hid-bpf, on each kernel of the tests. `cargo xtask bench` wrote this page.\n\
         Read this if you want to know what hidbpf costs when a device appears. [Costs](costs.md) has what a driver costs for each report.\n\n\
         ## How this is measured\n\n\
         The virtual machines count instructions: each one takes a nanosecond of their time. So the processor time of a process is the number of its\n\
         instructions, and of the kernel's for it, from start to end. This includes the kernel binding the device again.\n\
         Two runs differ by less than a twentieth. Each column is measured in a machine that was booted for it alone. {compared}\n\n\
         The first table of a kernel is for a Rapoo M50, whose driver fixes the descriptor:\n\n\
         - `warm` is the mean of 24 attaches, each to a device of its own. The kernel samples the share of user space every few milliseconds.\n\
         - `at once` is 32 devices with a process each: the instructions for each device, and the time until all were done.\n\
         - `udev-hid-bpf's object` is the object of that package for the mouse, installed in hidbpf as a [foreign object](foreign-objects.md).\n\
         - `reading the original descriptor` happens if sysfs does not have it, because the kernel refused it. The figure is the difference\n\
         \x20 between two devices that no driver matches: one with such a descriptor, and one with a valid descriptor.\n\n\
         The second table has a row for each driver:\n\n\
         - `attach`: million instructions to attach the driver. If it has recordings of several devices, the one that takes most.\n\
         - `verified`: the part of `attach` that the kernel took to verify and compile the programs.\n\
         - `foreign`: million instructions for hidbpf to attach udev-hid-bpf's object for the device. `attach, udev-hid-bpf` is the same object.\n\
         - `an event`: the mean number of instructions for a recorded report, counting included. Kernels up to 6.10 don't count.\n\n\
         A preference driver is enabled in the configuration, and reading that is part of its attach. A cell is empty if there is no driver for the device, or if\n\
         its programs were not in the kernel afterwards.\n",
    );
    for kernel in kernels {
        // Writing to a String can't fail.
        let _ = write!(text, "\n## Linux {}\n\n{}", kernel.release, attaches(kernel));
        let _ = write!(text, "\n{}", drivers(kernel));
    }
    text
}

/// The rows for one device: text, action, quantity, and the divisor from the count to the shown figure.
const ROWS: [(&str, &str, &str, f64); 13] = [
    ("first attach of a boot, million instructions", "first", "instructions", 1e6),
    ("warm, million instructions", "warm", "instructions", 1e6),
    ("warm, of these in user space", "warm", "user", 1e6),
    ("warm, bpf() calls", "warm", "bpf-calls", 1.0),
    ("warm, system calls", "warm", "system-calls", 1.0),
    ("warm, resident memory, KiB", "warm", "peak-kib", 1.0),
    ("at once, million instructions a device", "at-once", "instructions", 1e6),
    ("at once, until all were done, ms", "at-once", "until-done", 1e6),
    ("removed, million instructions", "removed", "instructions", 1e6),
    ("udev-hid-bpf's object, warm, million instructions", "foreign", "instructions", 1e6),
    ("`hidbpf load`, million instructions", "load", "instructions", 1e6),
    ("`hidbpf doctor`, million instructions", "doctor", "instructions", 1e6),
    ("reading the original descriptor, million instructions", "reading", "instructions", 1e6),
];

fn figure(figures: Option<&Figures>, name: &str, quantity: &str) -> Option<f64> {
    let mut quantities = figures?.get(name)?.iter();
    // The machine's name precedes the quantity.
    quantities.find(|(key, _)| key.rsplit('/').next() == Some(quantity)).map(|(_, value)| *value)
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 && value >= 1.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn attaches(kernel: &Kernel) -> String {
    let present: Vec<_> = ATTACHERS.iter().filter(|(attacher, _)| kernel.attachers.contains_key(attacher)).collect();
    let mut text = format!("| Rapoo M50 | {} |", present.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(" | "));
    let others = &present[1..];
    for (_, name) in others {
        text += &format!(" {name} : hidbpf |");
    }
    text += &format!("\n|---|{}\n", "--:|".repeat(present.len() + others.len()));
    for (words, name, quantity, unit) in ROWS {
        let values: Vec<_> = present
            .iter()
            .map(|(attacher, _)| figure(kernel.attachers.get(attacher), name, quantity).map(|v| v / unit))
            .collect();
        let ratio = |value: &Option<f64>| Some((*value)? / values[0].filter(|least| *least > 0.0)?);
        let cells = values.iter().map(|value| value.map(number));
        let ratios = values[1..].iter().map(|value| ratio(value).map(|ratio| format!("{ratio:.1}")));
        let cells: Vec<String> = cells.chain(ratios).map(Option::unwrap_or_default).collect();
        text += &format!("| {words} | {} |\n", cells.join(" | "));
    }
    text
}

/// Returns the costs of each driver.
fn drivers(kernel: &Kernel) -> String {
    let fast = kernel.attachers.get(&Attacher::Fast);
    let all = kernel.attachers.values().flatten().map(|(name, _)| name.as_str());
    let is_driver =
        |name: &&str| kernel.attachers.values().any(|figures| figure(Some(figures), name, "attach").is_some());
    let names: BTreeSet<&str> = all.filter(is_driver).collect();
    let mut text = String::from(
        "| driver | attach | verified | foreign | attach, udev-hid-bpf | an event | an event, udev-hid-bpf |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for name in names {
        let million = |figures, quantity| figure(figures, name, quantity).map(|value| format!("{:.2}", value / 1e6));
        let event = |figures| {
            let runs = figure(figures, name, "runs")?;
            Some(format!("{:.0}", figure(figures, name, "instructions-in-runs")? / runs))
        };
        let other = kernel.attachers.get(&Attacher::UdevHidBpf);
        let cells = [
            million(fast, "attach"),
            million(fast, "load"),
            million(fast, "foreign"),
            million(other, "attach"),
            event(fast),
            event(other),
        ];
        text += &format!("| {name} | {} |\n", cells.map(Option::unwrap_or_default).join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(list: &[(&str, &str, f64)]) -> Figures {
        let mut figures = Figures::new();
        for (name, quantity, value) in list {
            figures.entry((*name).to_owned()).or_default().insert(format!("newest hidbpf/{quantity}"), *value);
        }
        figures
    }

    #[test]
    fn a_table_has_ratios_to_the_first_attacher_and_gaps_for_what_was_not_counted() {
        let kernel = Kernel {
            release: "7.3.4".to_owned(),
            attachers: BTreeMap::from([
                (
                    Attacher::Fast,
                    figures(&[
                        ("warm", "instructions", 4e6),
                        ("mouse", "foreign", 5e6),
                        ("mouse", "runs", 2.0),
                        ("mouse", "instructions-in-runs", 250.0),
                    ]),
                ),
                (Attacher::UdevHidBpf, figures(&[("warm", "instructions", 60e6), ("mouse", "attach", 61.5e6)])),
            ]),
        };
        let text = attaches(&kernel);
        assert!(
            text.starts_with("| Rapoo M50 | hidbpf | udev-hid-bpf | udev-hid-bpf : hidbpf |\n|---|--:|--:|--:|\n"),
            "{text}"
        );
        assert!(text.contains("\n| warm, million instructions | 4 | 60 | 15.0 |\n"), "{text}");
        assert!(text.contains("\n| warm, bpf() calls |  |  |  |\n"), "{text}");
        let text = drivers(&kernel);
        assert!(text.contains("\n| mouse |  |  | 5.00 | 61.50 | 125 |  |\n"), "{text}");
    }
}
