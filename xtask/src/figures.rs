//! The instructions that each driver costs: counts them, and keeps them in `docs/costs.json` and `docs/costs.md`.
//!
//! A figure's name is `WHERE/HOOK/QUANTITY`. On this machine WHERE is a generation of kernels. QUANTITY is `object`, the length of the
//! compiled program, or `mean` and `most`, the instructions that a replay of the recordings executes for a report. In a virtual machine
//! WHERE is the kernel's name. QUANTITY is `loaded`, the length after loading, or `verified`, the instructions that the verifier processed.
//!
//! All figures are counts, so two runs agree. Another clang or kernel may change them, so growth is reported and fails nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use hidbpf_lab::process;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::artifacts::Artifacts;

/// The files with the figures, from the workspace's root.
pub const TABLE: &str = "docs/costs.json";
pub const PAGE: &str = "docs/costs.md";

/// The generations of kernels, with their names in `hidbpf inspect` and in `hidbpf replay --generation`.
const GENERATIONS: [(&str, &str); 2] = [("FMOD_RET", "fmod-ret"), ("struct_ops", "struct-ops")];

/// The environment variables that name the clang for drivers (hidbpf-build).
const CLANG: [&str; 2] = ["BPF_CLANG", "CLANG"];

/// The figures of each driver, by name.
pub type Figures = BTreeMap<String, BTreeMap<String, f64>>;

/// The recorded figures.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The version line of the clang that compiled the drivers.
    pub clang: String,
    /// The releases of the kernels, by their names.
    pub kernels: BTreeMap<String, String>,
    /// The figures of each driver.
    pub drivers: Figures,
}

/// Adds the figures of `more` to `figures`.
pub fn add(figures: &mut Figures, more: Figures) {
    for (driver, more) in more {
        figures.entry(driver).or_default().extend(more);
    }
}

/// Counts the drivers' costs as far as possible on this machine.
///
/// # Errors
/// An object can't be read, or a recording can't be replayed.
pub fn on_this_machine(root: &Path, artifacts: &Artifacts) -> Result<Figures> {
    #[derive(Deserialize)]
    struct Inspected {
        driver: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        driver: String,
        instructions: BTreeMap<String, BTreeMap<String, f64>>,
    }
    let mut all = Figures::new();
    for object in files(&artifacts.objects, ".bpf.o")? {
        let Inspected { driver: Object { driver, instructions } } = ask(artifacts, &["inspect", &object])?;
        let mut figures = BTreeMap::new();
        for (title, place) in GENERATIONS {
            let Some(hooks) = instructions.get(title) else { continue };
            figures.extend(hooks.iter().map(|(hook, length)| (format!("{place}/{hook}/object"), *length)));
            let mut taken = Vec::new();
            let recordings = root.join("drivers").join(&driver).join("recordings");
            for recording in files(&recordings, ".hid")?.iter().filter(|path| !path.ends_with(".expected.hid")) {
                taken.extend(replay(artifacts, &object, recording, place)?);
            }
            if let Some(most) = taken.iter().copied().reduce(f64::max) {
                let mean = taken.iter().sum::<f64>() / taken.len() as f64;
                figures.insert(format!("{place}/device-event/mean"), (mean * 10.0).round() / 10.0);
                figures.insert(format!("{place}/device-event/most"), most);
            }
        }
        all.insert(driver, figures);
    }
    Ok(all)
}

/// Returns the driver's instructions for each report of a recording that it processes.
fn replay(artifacts: &Artifacts, object: &str, recording: &str, generation: &str) -> Result<Vec<f64>> {
    #[derive(Deserialize)]
    struct Answer {
        replay: Replayed,
    }
    #[derive(Deserialize)]
    struct Replayed {
        reports: Vec<Taken>,
    }
    #[derive(Deserialize)]
    struct Taken {
        instructions: Option<f64>,
    }
    let answer: Answer = ask(artifacts, &["replay", object, recording, "--generation", generation])?;
    Ok(answer.replay.reports.into_iter().filter_map(|report| report.instructions).collect())
}

/// Runs `hidbpf` and parses its JSON output.
fn ask<T: DeserializeOwned>(artifacts: &Artifacts, arguments: &[&str]) -> Result<T> {
    let answer = process::output(process::command(&artifacts.hidbpf).arg("--json").args(arguments))?;
    serde_json::from_str(&answer).with_context(|| format!("failed to read what `hidbpf {}` says", arguments.join(" ")))
}

/// Returns the paths of the files in a folder whose names have this ending.
fn files(folder: &Path, end: &str) -> Result<BTreeSet<String>> {
    let failed = || format!("failed to list `{}`", folder.display());
    let mut paths = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(failed)? {
        let path = entry.with_context(failed)?.path().to_string_lossy().into_owned();
        if path.ends_with(end) {
            paths.insert(path);
        }
    }
    Ok(paths)
}

/// Returns the version line of the clang that compiles drivers.
///
/// # Errors
/// clang can't be started.
pub fn clang() -> Result<String> {
    let named = CLANG.iter().filter_map(std::env::var_os).find(|value| !value.is_empty());
    let said = process::output(process::command(named.unwrap_or_else(|| "clang".into())).arg("--version"))?;
    Ok(said.lines().next().unwrap_or_default().trim().to_owned())
}

/// Returns lines about newly counted figures, on kernels of these releases, that users must not miss.
///
/// If the figures could not be counted or compared, that is such a line too, because it says nothing against the tested code.
pub fn notices(root: &Path, now: Result<Figures>, releases: &BTreeMap<String, String>) -> Vec<String> {
    let compare = || Ok(Table::read(root)?.against(&now?, releases, &clang()?));
    compare().unwrap_or_else(|error: anyhow::Error| vec![format!("COSTS: not compared: {error:#}")])
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("failed to write `{}`", path.display()))
}

/// Returns the origin of a figure: the first part of its name.
pub fn place(figure: &str) -> &str {
    figure.split('/').next().unwrap_or_default()
}

impl Table {
    /// Reads the recorded figures, from the workspace's root.
    ///
    /// # Errors
    /// There are none, or the file is damaged.
    pub fn read(root: &Path) -> Result<Table> {
        let path = root.join(TABLE);
        let text = fs::read_to_string(&path)
            .with_context(|| format!("failed to read `{}`, which `cargo xtask costs` writes", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("failed to read `{}`", path.display()))
    }

    /// Writes the table and its page, from the workspace's root.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn write(&self, root: &Path) -> Result<()> {
        write(&root.join(TABLE), &self.text()?)?;
        write(&root.join(PAGE), &self.page())
    }

    /// Returns the table as JSON, one line a driver, so that a diff shows the changed driver.
    fn text(&self) -> Result<String> {
        let quoted = |text: &str| serde_json::to_string(text).context("failed to write the costs as JSON");
        let mut lines = Vec::new();
        for (driver, figures) in &self.drivers {
            let figures: Vec<String> =
                figures.iter().map(|(name, value)| Ok(format!("{}: {value}", quoted(name)?))).collect::<Result<_>>()?;
            lines.push(format!("{}: {{{}}}", quoted(driver)?, figures.join(", ")));
        }
        let kernels = serde_json::to_string(&self.kernels).context("failed to write the costs as JSON")?;
        let (clang, drivers) = (quoted(&self.clang)?, lines.join(",\n"));
        Ok(format!("{{\n\"clang\": {clang},\n\"kernels\": {kernels},\n\"drivers\": {{\n{drivers}\n}}\n}}\n"))
    }

    /// Compares newly counted figures with the recorded ones, and returns lines about the differences.
    fn against(&self, now: &Figures, releases: &BTreeMap<String, String>, clang: &str) -> Vec<String> {
        let mut grown = Vec::new();
        let mut places = BTreeSet::new();
        for (driver, figures) in now {
            let Some(kept) = self.drivers.get(driver) else { continue };
            for (figure, value) in figures {
                let Some(before) = kept.get(figure).filter(|before| is_growth(**before, *value)) else { continue };
                places.insert(place(figure));
                let rise = (value / before - 1.0) * 100.0;
                let name = figure.replace('/', " ");
                grown.push(format!("  {driver:<24} {name:<36} {before:>7} -> {value:>7}  (+{rise:.0} %)"));
            }
        }
        let mut lines = Vec::new();
        if !grown.is_empty() {
            lines.push(format!("COSTS: a tenth or more above {TABLE}, which `cargo xtask costs` renews:"));
            lines.append(&mut grown);
            if clang != self.clang {
                lines.push(format!("  by {clang}; kept: {}", self.clang));
            }
            for (name, release) in releases.iter().filter(|(name, _)| places.contains(name.as_str())) {
                if let Some(kept) = self.kernels.get(name).filter(|kept| *kept != release) {
                    lines.push(format!("  on {name}, Linux {release}; kept: Linux {kept}"));
                }
            }
        }
        let places: BTreeSet<&str> = now.values().flatten().map(|(figure, _)| place(figure)).collect();
        for name in releases.keys().filter(|name| places.contains(name.as_str()) && !self.kernels.contains_key(*name)) {
            let kept: Vec<&str> = self.kernels.keys().map(String::as_str).collect();
            lines.push(format!("COSTS: not compared on `{name}`: {TABLE} has figures of {}", kept.join(", ")));
        }
        let new: Vec<&str> = now.keys().filter(|name| !self.drivers.contains_key(*name)).map(String::as_str).collect();
        if !new.is_empty() {
            lines.push(format!("COSTS: not in {TABLE}, which `cargo xtask costs` renews: {}", new.join(", ")));
        }
        lines
    }

    /// Returns the kernels from the oldest to the newest: name and version.
    fn versions(&self) -> Vec<(&str, &str)> {
        let is_version = |c: char| c.is_ascii_digit() || c == '.';
        let short = |release: &'_ str| release.find(|c| !is_version(c)).unwrap_or(release.len());
        let mut versions: Vec<(&str, &str)> =
            self.kernels.iter().map(|(name, release)| (name.as_str(), &release[..short(release)])).collect();
        versions.sort_by_key(|(_, version)| -> Vec<u32> {
            version.split('.').map(|part| part.parse().unwrap_or(0)).collect()
        });
        versions
    }

    /// Returns the page for users.
    fn page(&self) -> String {
        let versions = self.versions();
        let kernels: Vec<String> =
            versions.iter().filter_map(|(name, _)| Some(format!("{} ({name})", self.kernels.get(*name)?))).collect();
        let mut text = format!(
            "# What the drivers cost\n\n\
             The instructions that each driver's programs take for a report, their length, and the verifier's work. `cargo xtask costs` wrote this page and\n\
             [costs.json](costs.json). Read this if you change a driver, to see what the change costs. [What attaching costs](performance.md) is another page.\n\n\
             The figures are counted, not timed, so two runs agree. The drivers were compiled by {}, and loaded on Linux {}. Both change the figures.\n\
             `cargo xtask test` and `cargo xtask vm` name each driver that has a figure a tenth or more above the one here.\n\n\
             ## A report\n\n\
             The number of instructions that a driver executes for a report, over all reports of its recordings, as `hidbpf replay` counts them: the object's\n\
             instructions, with each call of a kernel function as one. A driver that is missing here has no event hook: it runs only when its device is plugged in.\n\n\
             | driver | FMOD_RET, mean | most | struct_ops, mean | most |\n\
             |---|--:|--:|--:|--:|\n",
            self.clang,
            kernels.join(", ")
        );
        for (driver, figures) in &self.drivers {
            let cells: Vec<String> = GENERATIONS
                .iter()
                .flat_map(|(_, place)| ["mean", "most"].map(|quantity| format!("{place}/device-event/{quantity}")))
                .map(|name| figures.get(&name).map_or_else(String::new, f64::to_string))
                .collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                text += &format!("| {driver} | {} |\n", cells.join(" | "));
            }
        }
        text += "\n\
            ## A program\n\n\
            The length of each hook's program, in instructions of 8 bytes. With several recordings, it is the longest:\n\n\
            - `compiled`: without the functions that it calls.\n\
            - `loaded`: with those, with what the kernel puts in place of calls, and without unreachable instructions.\n\
            - `verified`: the instructions that the kernel's verifier processed, on all paths. Its limit is a million.\n\n\
            The kernel verifies a program once for each device.\n\n\
            | driver | hook | compiled: FMOD_RET | struct_ops |";
        for quantity in ["loaded", "verified"] {
            for (number, (_, version)) in versions.iter().enumerate() {
                text += &if number == 0 { format!(" {quantity}: {version} |") } else { format!(" {version} |") };
            }
        }
        text += &format!("\n|---|---|{}\n", "--:|".repeat(GENERATIONS.len() + 2 * versions.len()));
        for (driver, figures) in &self.drivers {
            let hooks: BTreeSet<&str> = figures.keys().filter_map(|figure| figure.split('/').nth(1)).collect();
            for hook in hooks {
                let own = GENERATIONS.iter().map(|(_, place)| format!("{place}/{hook}/object"));
                let theirs = ["loaded", "verified"]
                    .into_iter()
                    .flat_map(|quantity| versions.iter().map(move |(name, _)| format!("{name}/{hook}/{quantity}")));
                let cells: Vec<String> =
                    own.chain(theirs).map(|name| figures.get(&name).map_or_else(String::new, f64::to_string)).collect();
                text += &format!("| {driver} | {hook} | {} |\n", cells.join(" | "));
            }
        }
        text
    }
}

/// Returns true if a figure grew by a tenth or more.
fn is_growth(before: f64, now: f64) -> bool {
    now > before && now * 10.0 >= before * 11.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(list: &[(&str, &str, f64)]) -> Figures {
        let mut figures = Figures::new();
        for (driver, figure, value) in list {
            figures.entry((*driver).to_owned()).or_default().insert((*figure).to_owned(), *value);
        }
        figures
    }

    fn table() -> Table {
        Table {
            clang: "clang version 14".to_owned(),
            kernels: [("newest", "7.3.4-amd64"), ("v6.6", "6.6.9")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            drivers: figures(&[
                ("mouse", "fmod-ret/device-event/mean", 20.5),
                ("mouse", "newest/device-event/verified", 100.0),
                ("mouse", "v6.6/device-event/loaded", 50.0),
                ("other", "newest/rdesc-fixup/loaded", 0.0),
            ]),
        }
    }

    #[test]
    fn a_tenth_more_is_named_and_less_is_not() {
        let releases = BTreeMap::from([("newest".to_owned(), "7.4.1-amd64".to_owned())]);
        let against = |list: &[(&str, &str, f64)]| table().against(&figures(list), &releases, "clang version 14");
        for (value, is_named) in [(100.0, false), (109.0, false), (110.0, true), (12.0, false)] {
            let lines = against(&[("mouse", "newest/device-event/verified", value)]);
            assert_eq!(!lines.is_empty(), is_named, "{value}: {lines:?}");
        }
        let lines = against(&[
            ("mouse", "newest/device-event/verified", 150.0),
            ("mouse", "fmod-ret/device-event/mean", 22.6),
            ("other", "newest/rdesc-fixup/loaded", 1.0),
        ]);
        let text = lines.join("\n");
        assert!(lines[0].contains("docs/costs.json") && lines[0].contains("cargo xtask costs"), "{text}");
        assert!(text.contains("mouse") && text.contains("newest device-event verified"), "{text}");
        assert!(text.contains("100 ->     150  (+50 %)") && text.contains("20.5 ->    22.6  (+10 %)"), "{text}");
        assert!(text.contains("other"), "{text}");
        assert!(text.contains("on newest, Linux 7.4.1-amd64; kept: Linux 7.3.4-amd64"), "{text}");
        assert!(!text.contains("clang version"), "{text}");
    }

    #[test]
    fn a_driver_and_a_kernel_that_are_new_are_no_growth() {
        let now = figures(&[("new", "newest/device-event/verified", 9.0), ("mouse", "mine/device-event/loaded", 9.0)]);
        let releases =
            BTreeMap::from([("mine", "6.9"), ("without", "6.12")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(
            table().against(&now, &releases, "clang version 19"),
            [
                "COSTS: not compared on `mine`: docs/costs.json has figures of newest, v6.6",
                "COSTS: not in docs/costs.json, which `cargo xtask costs` renews: new"
            ]
        );
    }

    #[test]
    fn a_table_survives_being_written() {
        let text = table().text().unwrap();
        assert_eq!(serde_json::from_str::<Table>(&text).unwrap(), table());
        assert!(text.contains("\n\"mouse\": {\"fmod-ret/device-event/mean\": 20.5, "), "{text}");
    }

    #[test]
    fn kernels_are_shown_from_the_oldest_on() {
        assert_eq!(table().versions(), [("v6.6", "6.6.9"), ("newest", "7.3.4")]);
        let page = table().page();
        assert!(page.contains("| loaded: 6.6.9 | 7.3.4 | verified: 6.6.9 | 7.3.4 |\n"), "{page}");
        assert!(page.contains("\n| mouse | device-event |  |  | 50 |  |  | 100 |\n"), "{page}");
        assert!(page.contains("\n| mouse | 20.5 |  |  |  |\n"), "{page}");
    }

    #[test]
    fn the_page_shows_what_is_kept() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let kept = Table::read(&root).unwrap();
        assert_eq!(fs::read_to_string(root.join(PAGE)).unwrap(), kept.page(), "run `cargo xtask costs`");
        assert_eq!(fs::read_to_string(root.join(TABLE)).unwrap(), kept.text().unwrap(), "run `cargo xtask costs`");
    }
}
