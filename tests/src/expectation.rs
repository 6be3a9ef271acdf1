//! The expected view of a recorded device from user space: its evdev nodes, and the events of each report.
//!
//! The file `<name>.nodes` beside the recording contains it. docs/nodes.md has the format.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail, ensure};
use hidbpf::recording::{Event, Recording};

use crate::nodes::{Node, same_events};

/// The whole text of a file for a device without nodes.
const NO_NODE: &str = "no input node";

/// The part of a kernel's version that expectations can depend on: 6.12, for example.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

impl Version {
    /// Newer than any kernel.
    pub const NEWEST: Version = Version { major: u32::MAX, minor: 0 };
    /// The first kernel with HID-BPF.
    pub const OLDEST: Version = Version { major: 6, minor: 3 };

    /// Returns the version of the running kernel.
    ///
    /// # Errors
    /// The kernel's release can't be read.
    pub fn running() -> Result<Version> {
        const RELEASE: &str = "/proc/sys/kernel/osrelease";
        let release = fs::read_to_string(RELEASE).with_context(|| format!("failed to read `{RELEASE}`"))?;
        release.split(|c: char| c != '.' && !c.is_ascii_digit()).next().unwrap_or_default().parse()
    }
}

impl FromStr for Version {
    type Err = Error;

    /// Parses `6.12`, and ignores anything after a second dot.
    fn from_str(text: &str) -> Result<Version> {
        let mut parts = text.split('.').map(str::parse);
        match (parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Version { major, minor }),
            _ => bail!("`{text}` is not a version of a kernel (expected one such as `6.12`)"),
        }
    }
}

/// The facts that a line's condition can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The kernel's version.
    pub version: Version,
    /// The kernel driver that is bound to the device: `hid-generic`, `hid-multitouch`, `apple`.
    pub driver: String,
}

impl Kernel {
    /// Returns the running kernel, and the kernel driver of the HID device at `syspath`.
    ///
    /// # Errors
    /// The kernel's release can't be read, or no driver is bound.
    pub fn running(syspath: &Path) -> Result<Kernel> {
        let link = syspath.join("driver");
        let driver = fs::read_link(&link).with_context(|| format!("failed to read `{}`", link.display()))?;
        let driver = driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Kernel { version: Version::running()?, driver })
    }
}

/// The expected view of a device on one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    nodes: Vec<Described>,
    answers: Vec<Answer>,
    /// The times of all reports that have a line.
    times: BTreeSet<String>,
}

/// A node: its label in the file, its possible names, and the rest as [`describe`] writes it.
#[derive(Debug, PartialEq, Eq)]
struct Described {
    label: String,
    /// One or more.
    names: Vec<String>,
    description: String,
}

/// The events of one node for one report.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    time: String,
    label: String,
    events: String,
}

impl Expectation {
    /// Reads the expectation for a kernel.
    ///
    /// # Errors
    /// The file can't be read, or a line of it is invalid; the message has its number.
    pub fn read(path: &Path, kernel: &Kernel) -> Result<Expectation> {
        let text = fs::read_to_string(path).with_context(|| format!("failed to read `{}`", path.display()))?;
        Expectation::parse(&text, kernel).with_context(|| format!("failed to read `{}`", path.display()))
    }

    fn parse(text: &str, kernel: &Kernel) -> Result<Expectation> {
        let mut expectation = Expectation::default();
        let mut silent = false;
        for (number, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let Some(line) = of_kernel(line, kernel).with_context(|| format!("line {}", number + 1))? else { continue };
            if line == NO_NODE {
                silent = true;
            } else {
                expectation.take(line).with_context(|| format!("line {}: `{line}`", number + 1))?;
            }
        }
        ensure!(
            silent == expectation.nodes.is_empty(),
            "expected either nodes or the line `{NO_NODE}`, found {} nodes{}",
            expectation.nodes.len(),
            if silent { " and that line" } else { "" }
        );
        Ok(expectation)
    }

    fn take(&mut self, line: &str) -> Result<()> {
        if let Some(rest) = line.strip_prefix("E:") {
            return self.take_answer(rest.trim());
        }
        ensure!(self.times.is_empty(), "nodes come before reports");
        if line.starts_with(' ') {
            let node = self.nodes.last_mut().context("a capability without a node")?;
            node.description += &format!("{line}\n");
            return Ok(());
        }
        let (label, name) =
            line.split_once(" = ").context("expected `LABEL = NAME`, a capability after two spaces, or `E:`")?;
        ensure!(!label.contains(' ') && label != "nothing", "`{label}` is not a label");
        ensure!(self.nodes.iter().all(|node| node.label != label), "a second node `{label}`");
        let names = name.split(" | ").map(str::to_owned).collect();
        self.nodes.push(Described { label: label.to_owned(), names, description: String::new() });
        Ok(())
    }

    fn take_answer(&mut self, answer: &str) -> Result<()> {
        let (time, answer) = answer.split_once(' ').context("expected a time, a label and events")?;
        let is_first = self.times.insert(time.to_owned());
        if answer == "nothing" {
            ensure!(is_first, "there are events of this time");
            return Ok(());
        }
        let (label, events) = answer.split_once(' ').context("expected a label and events, or `nothing`")?;
        ensure!(self.nodes.iter().any(|node| node.label == label), "there is no node `{label}`");
        ensure!(self.answer(time, label).is_none(), "`{label}` has events of this time already");
        self.answers.push(Answer { time: time.to_owned(), label: label.to_owned(), events: events.to_owned() });
        Ok(())
    }

    fn answer(&self, time: &str, label: &str) -> Option<&str> {
        let answer = self.answers.iter().find(|answer| answer.time == time && answer.label == label)?;
        Some(&answer.events)
    }

    /// Checks that there is a line for each report of the recording, and no other. A device without nodes needs no lines.
    ///
    /// # Errors
    /// The message names the first such time.
    pub fn fits(&self, recording: &Recording) -> Result<()> {
        let recorded: BTreeSet<String> = recording.events.iter().map(time_of).collect();
        if let Some(time) = self.times.difference(&recorded).next() {
            bail!("the recording has no report at {time}");
        }
        match recorded.difference(&self.times).next().filter(|_| !self.nodes.is_empty()) {
            Some(time) => bail!("there is no line for the report at {time}"),
            None => Ok(()),
        }
    }

    /// Takes the nodes of a device, and checks that they are the expected ones, in any order.
    ///
    /// Nodes with the same description are told apart by the order in which the kernel makes them.
    ///
    /// # Errors
    /// They are not; the message lists missing (`-`) and unexpected (`+`) nodes.
    pub fn watch(self, nodes: Vec<Node>) -> Result<Watch> {
        let mut seen = Vec::new();
        for node in nodes {
            seen.push((describe(&node)?, node));
        }
        let (mut found, mut wrong) = (Vec::new(), String::new());
        for expected in &self.nodes {
            let fits = |(text, node): &(String, Node)| {
                expected.names.contains(&node.name) && fits(&expected.description, text, &node.keys())
            };
            match seen.iter().position(fits) {
                Some(place) => found.push((expected.label.clone(), seen.remove(place).1)),
                None => wrong += &marked('-', &expected.names.join(" | "), &expected.description),
            }
        }
        wrong.extend(seen.iter().map(|(text, node)| marked('+', &node.name, text)));
        ensure!(wrong.is_empty(), "nodes differ (- expected, + seen):{wrong}");
        Ok(Watch { expectation: self, nodes: found, wrong: Vec::new() })
    }
}

/// Describes the events that a node can send, and below them the roles that udev gives it.
fn describe(node: &Node) -> Result<String> {
    let (roles, text) = (node.roles()?, node.describe()?);
    let roles = if roles.is_empty() { roles } else { format!("  udev: {roles}\n") };
    Ok(roles + text.split_once('\n').map_or("", |(_, capabilities)| capabilities))
}

/// Returns true if a node with these keys matches the expectation.
///
/// A list of keys that ends in `...` names some keys that must be present. The roles from udev count only if the expectation names some.
fn fits(expected: &str, seen: &str, keys: &BTreeSet<String>) -> bool {
    const ROLES: &str = "  udev: ";
    let seen = match seen.split_once('\n') {
        Some((roles, rest)) if roles.starts_with(ROLES) && !expected.starts_with(ROLES) => rest,
        _ => seen,
    };
    let line_fits = |expected: &str, seen: &str| match expected.strip_suffix(" ...") {
        Some(some) => some.split_whitespace().enumerate().all(|(place, word)| match place {
            0 => seen.starts_with(&format!("  {word} ")),
            _ => keys.contains(word),
        }),
        None => expected == seen,
    };
    expected.lines().count() == seen.lines().count()
        && expected.lines().zip(seen.lines()).all(|(expected, seen)| line_fits(expected, seen))
}

fn marked(mark: char, name: &str, capabilities: &str) -> String {
    [name].into_iter().chain(capabilities.lines()).map(|line| format!("\n{mark} {line}")).collect()
}

/// Returns a line without its condition if the condition holds for a kernel.
///
/// A line may end in `[since 6.12]`, `[before 6.12]` or `[driver apple]`.
fn of_kernel<'a>(line: &'a str, kernel: &Kernel) -> Result<Option<&'a str>> {
    let line = line.trim_end();
    let Some((rest, condition)) = line.strip_suffix(']').and_then(|line| line.rsplit_once(" [")) else {
        return Ok(Some(line));
    };
    let holds = match condition.split_once(' ') {
        Some(("since", version)) => kernel.version >= version.parse()?,
        Some(("before", version)) => kernel.version < version.parse()?,
        Some(("driver", driver)) => kernel.driver == driver,
        _ => {
            bail!(
                "`{condition}` is not a condition (expected `since` or `before` and a version, or `driver` and a name)"
            )
        }
    };
    Ok(holds.then(|| rest.trim_end()))
}

/// Returns the time of a report as recordings write it.
fn time_of(event: &Event) -> String {
    format!("{:06}.{:06}", event.time.as_secs(), event.time.subsec_micros())
}

/// The open nodes of a device that sends reports.
#[derive(Debug)]
pub struct Watch {
    expectation: Expectation,
    nodes: Vec<(String, Node)>,
    wrong: Vec<String>,
}

impl Watch {
    /// Compares the events of the report that was just sent, and keeps differences for [`Watch::end`].
    ///
    /// # Errors
    /// A node can't be read.
    pub fn look(&mut self, sent: &Event) -> Result<()> {
        let time = time_of(sent);
        for (label, node) in &mut self.nodes {
            let seen = node.events()?;
            let expected = self.expectation.answer(&time, label).unwrap_or_default();
            if !same_events(expected, &seen) {
                self.wrong.push(format!("{time} {label}: expected the events `{expected}`, got `{seen}`"));
            }
        }
        Ok(())
    }

    /// Checks that all events were as expected.
    ///
    /// # Errors
    /// They were not; the message lists all differences.
    pub fn end(self) -> Result<()> {
        ensure!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAD: &str = "\
# A pad
pad = Maker Pad | Maker UNKNOWN
  key: BTN_0 BTN_1 [before 6.12]
  key: BTN_0..BTN_2 [since 6.12]
keys = Maker Keys

E: 000000.000001 pad BTN_0 1 | BTN_0 0
E: 000000.000001 keys KEY_A 1
E: 000000.000002 nothing
E: 000000.000003 pad BTN_2 1 [since 6.12]
E: 000000.000004 keys KEY_FN 1 [driver apple]
E: 000000.000004 nothing [driver hid-generic]
";

    fn parse(text: &str) -> Result<Expectation> {
        parse_for(text, "7.0", "hid-generic")
    }

    fn parse_for(text: &str, version: &str, driver: &str) -> Result<Expectation> {
        Expectation::parse(text, &Kernel { version: version.parse()?, driver: driver.to_owned() })
    }

    #[test]
    fn nodes_and_events_have_labels() {
        let expectation = parse(PAD).unwrap();
        let [pad, keys] = &expectation.nodes[..] else { panic!("{:?}", expectation.nodes) };
        assert_eq!(
            (&pad.names[..], pad.description.as_str()),
            (&["Maker Pad".to_owned(), "Maker UNKNOWN".to_owned()][..], "  key: BTN_0..BTN_2\n")
        );
        assert_eq!((&keys.names[..], keys.description.as_str()), (&["Maker Keys".to_owned()][..], ""));
        assert_eq!(expectation.answer("000000.000001", "pad"), Some("BTN_0 1 | BTN_0 0"));
        assert_eq!(expectation.answer("000000.000001", "keys"), Some("KEY_A 1"));
        assert_eq!(expectation.answer("000000.000002", "pad"), None);
        assert_eq!(expectation.answer("000000.000003", "pad"), Some("BTN_2 1"));
    }

    #[test]
    fn lines_are_for_some_kernels() {
        let expectation = parse_for(PAD, "6.11.9", "apple").unwrap();
        assert_eq!(expectation.nodes[0].description, "  key: BTN_0 BTN_1\n");
        assert_eq!(expectation.answer("000000.000003", "pad"), None);
        assert_eq!(expectation.answer("000000.000004", "keys"), Some("KEY_FN 1"));
        assert_eq!(parse(PAD).unwrap().answer("000000.000004", "keys"), None);
        assert!("6.9".parse::<Version>().unwrap() < "6.12.3".parse().unwrap());
    }

    #[test]
    fn keys_are_all_or_some_and_roles_may_be_left_out() {
        let keys = ["KEY_A", "KEY_B", "KEY_C"].map(str::to_owned).into();
        let seen = "  udev: KEY\n  key: KEY_A..KEY_C\n  rel: REL_X\n";
        for (expected, answer) in [
            ("  udev: KEY\n  key: KEY_A..KEY_C\n  rel: REL_X\n", true),
            ("  udev: MOUSE\n  key: KEY_A..KEY_C\n  rel: REL_X\n", false),
            ("  key: KEY_A..KEY_C\n  rel: REL_X\n", true),
            ("  key: KEY_A KEY_C ...\n  rel: REL_X\n", true),
            ("  key: KEY_A KEY_D ...\n  rel: REL_X\n", false),
            ("  rel: KEY_A ...\n  rel: REL_X\n", false),
            ("  key: KEY_A ...\n", false),
            ("  key: KEY_A ...\n  rel: REL_Y\n", false),
        ] {
            assert_eq!(fits(expected, seen, &keys), answer, "{expected}");
        }
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for (text, words) in [
            ("", "expected either nodes or the line"),
            ("no input node\npad = Pad\n", "and that line"),
            ("  key: BTN_0\n", "line 1: `  key: BTN_0`: a capability without a node"),
            ("pad\n", "expected `LABEL = NAME`"),
            ("a pad = Pad\n", "`a pad` is not a label"),
            ("pad = Pad\npad = Pad\n", "a second node `pad`"),
            ("pad = Pad\nE: 0.1 pen BTN_0 1\n", "line 2: `E: 0.1 pen BTN_0 1`: there is no node `pen`"),
            ("pad = Pad\nE: 0.1 pad\n", "expected a label and events"),
            ("pad = Pad\nE: 0.1 pad BTN_0 1\nE: 0.1 pad BTN_0 0\n", "`pad` has events of this time already"),
            ("pad = Pad\nE: 0.1 pad BTN_0 1\nE: 0.1 nothing\n", "there are events of this time"),
            ("pad = Pad\nE: 0.1 nothing\n  key: BTN_0\n", "nodes come before reports"),
            ("pad = Pad [after 6.12]\n", "`after 6.12` is not a condition"),
            ("pad = Pad [since 6]\n", "`6` is not a version of a kernel"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(words), "{text:?}: {error}");
        }
        assert_eq!(parse("# Silent\nno input node\n").unwrap(), Expectation::default());
    }
}
