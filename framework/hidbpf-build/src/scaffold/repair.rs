//! Creates a driver without C from the findings of a diagnosis: the manifest declares their repairs.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use hidbpf::descriptor::Hex;
use hidbpf::descriptor::diagnose::{self, Certainty, Finding, Repair};
use hidbpf::names::DriverName;

use crate::error::BuildError;

use super::{Described, Interface, describe, manifest, source, sources, write_folder};

/// The findings to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// Those that are certain or likely, and have a repair and an effect on Linux.
    Sure,
    /// Those with these ids.
    Named(Vec<String>),
}

/// The form of a new driver's repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The manifest declares it.
    Declared,
    /// The source has the fixed descriptor.
    C,
}

/// Writes the folder of a new driver into `directory`, and returns its path. The driver has the repairs of the chosen
/// findings, and so have the expected results. On failure nothing is left behind.
///
/// # Errors
/// As for [`crate::scaffold()`]. Or a device has no such finding, or it has no repair.
pub fn scaffold_repair(
    directory: &Path,
    name: &DriverName,
    interfaces: &[Interface],
    chosen: &Chosen,
    form: Form,
) -> Result<PathBuf, BuildError> {
    let refuse = |problem: String| BuildError::Scaffold { name: name.clone(), problem };
    let mut described = describe(name, interfaces)?;
    let findings: Vec<Vec<Finding>> =
        described.iter().map(|described| diagnose::recording(&described.interface.recording, 0)).collect();
    let all = || findings.iter().flatten();
    if let Chosen::Named(ids) = chosen {
        for id in ids {
            let mut own = all().filter(|finding| finding.rule.id == id).peekable();
            if own.peek().is_none() {
                let known: Vec<&str> = all().map(|finding| finding.rule.id).collect();
                let known = if known.is_empty() {
                    "there is none".to_owned()
                } else {
                    format!("expected {}", known.join(" or "))
                };
                return Err(refuse(format!("the device has no finding `{}`: {known}", id.escape_debug())));
            }
            if own.all(|finding| finding.repairs.is_empty()) {
                return Err(refuse(format!(
                    "the finding `{id}` has no repair that could be declared: the right values are not known"
                )));
            }
        }
    }
    let (mut text, mut story) = (String::new(), Vec::new());
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for (described, findings) in described.iter_mut().zip(&findings) {
        let repairs = chosen_of(findings, chosen);
        if repairs.is_empty() {
            continue;
        }
        let changes: Vec<Repair> = repairs.iter().flat_map(|finding| finding.repairs.clone()).collect();
        let fixed = Repair::apply(&changes, &described.device.descriptor);
        described.fixed = Some(fixed.ok_or_else(|| {
            refuse("two of the repairs change the same bytes: name one with `--repair ID`".to_owned())
        })?);
        text += &declaration(described, &repairs, interfaces.len() > 1);
        for finding in repairs {
            story.push(format!("{} ({}): {}", finding.rule.id, finding.certainty, line(&finding.what)));
            before.push(finding.rule.effect);
            after.push(finding.rule.after);
        }
    }
    if text.is_empty() {
        let ids = |findings: Vec<&Finding>| -> String {
            findings.iter().map(|finding| finding.rule.id).collect::<Vec<_>>().join(", ")
        };
        let repairable: Vec<&Finding> = all().filter(|finding| !finding.repairs.is_empty()).collect();
        let why = match (all().count(), repairable.is_empty()) {
            (0, _) => "the device has no finding".to_owned(),
            (_, true) => format!(
                "no finding has a repair that could be declared ({}); leave out `--repair` to begin in C",
                ids(all().collect())
            ),
            (_, false) => format!(
                "no finding with a repair is sure and has an effect on Linux; name one of {} with `--repair ID`, or see `hidbpf diagnose`",
                ids(repairable)
            ),
        };
        return Err(refuse(why));
    }
    before.dedup();
    after.dedup();
    let manifest = manifest(&described, &before.join(" "), &after.join(" "));
    match form {
        Form::Declared => write_folder(directory, name, &described, Vec::new(), manifest + &text),
        Form::C => {
            let source = source(&described, &story.join("\n"));
            write_folder(directory, name, &described, sources(source), manifest)
        }
    }
}

/// Returns the findings to repair.
fn chosen_of<'a>(findings: &'a [Finding], chosen: &Chosen) -> Vec<&'a Finding> {
    let is_chosen = |finding: &&Finding| {
        !finding.repairs.is_empty()
            && match chosen {
                Chosen::Sure => finding.certainty <= Certainty::Likely && !finding.rule.harmless,
                Chosen::Named(ids) => ids.iter().any(|id| id == finding.rule.id),
            }
    };
    let mut all: Vec<&Finding> = Vec::new();
    for finding in findings.iter().filter(is_chosen) {
        // Two findings may have one cause.
        if !all.iter().any(|known| known.repairs == finding.repairs) {
            all.push(finding);
        }
    }
    all
}

/// Returns the repairs of an interface as the manifest declares them.
fn declaration(described: &Described<'_>, findings: &[&Finding], is_labelled: bool) -> String {
    let mut text = String::new();
    for finding in findings {
        // Writing to a string can't fail.
        let _ =
            write!(text, "\n# {} ({}): {}\n[[descriptor]]\n", finding.rule.id, finding.certainty, line(&finding.what));
        if is_labelled {
            let _ = writeln!(text, "match = {}", super::toml_string(&described.interface.name));
        }
        for kind in ["patch", "insert", "remove"] {
            let own: Vec<String> = finding.repairs.iter().filter_map(|repair| of_kind(repair, kind)).collect();
            match own.as_slice() {
                [] => {}
                [one] => _ = writeln!(text, "{kind} = [{one}]"),
                several => _ = writeln!(text, "{kind} = [\n    {},\n]", several.join(",\n    ")),
            }
        }
    }
    text
}

fn of_kind(repair: &Repair, kind: &str) -> Option<String> {
    match repair {
        Repair::Replace { offset, old, new } if kind == "patch" => {
            Some(format!("{{ at = {offset}, from = \"{}\", to = \"{}\" }}", Hex(&old.0), Hex(&new.0)))
        }
        Repair::Insert { offset, new } if kind == "insert" => {
            Some(format!("{{ at = {offset}, bytes = \"{}\" }}", Hex(&new.0)))
        }
        Repair::Remove { offset, old } if kind == "remove" => {
            Some(format!("{{ at = {offset}, bytes = \"{}\" }}", Hex(&old.0)))
        }
        _ => None,
    }
}

/// Returns a text without the characters that a comment can't have.
fn line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
