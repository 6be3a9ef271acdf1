//! Passes the values of a manifest's match rules to clang, and checks that the source reads them.

use std::ffi::OsString;
use std::fmt::Write;

use hidbpf::manifest::{Manifest, Match};
use hidbpf_prelink::elf;

use crate::object::open;

/// The table of values that `HIDBPF_RULE_VALUES` makes.
const TABLE: &str = "hidbpf_rule_table";

/// Returns the macro with an initializer for each rule, or `None` if no rule has values.
pub(crate) fn definition(manifest: &Manifest) -> Option<OsString> {
    if manifest.matches.iter().all(|rule| rule.values.is_empty()) {
        return None;
    }
    let mut text = "-DHIDBPF_VALUES_OF_RULES=".to_owned();
    for Match { values, .. } in &manifest.matches {
        let fields: Vec<String> =
            values.iter().map(|(name, value)| format!(".{}={value}", name.replace('-', "_"))).collect();
        // Writing to a String can't fail.
        let _ = write!(text, "{{{}}},", fields.join(","));
    }
    Some(text.into())
}

/// Refuses an object whose programs don't read the values that its manifest has.
pub(crate) fn check(object: &[u8], manifest: &Manifest) -> Result<(), String> {
    let Some(rule) = manifest.matches.iter().find(|rule| !rule.values.is_empty()) else { return Ok(()) };
    match elf::variables(&open(object)?).any(|variable| variable.name == TABLE) {
        true => Ok(()),
        false => {
            let name = rule.values.keys().next().map_or("", String::as_str);
            Err(format!(
                "driver.toml has the value `{name}` of a match rule, and the source has no `HIDBPF_RULE_VALUES(...)` that a program reads"
            ))
        }
    }
}
