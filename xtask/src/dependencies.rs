//! Checks the dependencies against `deny.toml`: licences, sources, and crates that are compiled in two versions.
//!
//! Reads the part of cargo-deny's format that the file uses, so that the check needs neither a network nor cargo-deny, which takes long to
//! compile. cargo-deny itself looks for known vulnerabilities, where it is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use cargo_metadata::semver::{Version, VersionReq};
use cargo_metadata::{MetadataCommand, Source};
use hidbpf_lab::process;
use hidbpf_lab::protocol::Outcome;
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

use crate::cargo;

/// The file with the rules, in the workspace's root.
const RULES: &str = "deny.toml";

/// The part of `deny.toml` that this check reads.
#[derive(Debug, Deserialize)]
struct Rules {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Debug, Deserialize)]
struct Graph {
    /// Only dependencies for these targets count.
    targets: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Licenses {
    allow: Vec<String>,
    exceptions: Vec<Exception>,
}

/// More licences for one crate.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    name: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

/// A version that may be compiled besides another one: `name@requirement`.
#[derive(Debug, Deserialize)]
struct Skip {
    #[serde(rename = "crate")]
    version: String,
}

/// The facts about a crate that rules apply to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Dependency {
    name: String,
    version: Version,
    license: Option<String>,
    /// Where it comes from, if neither from this workspace nor from the public registry of Rust crates.
    foreign: Option<String>,
}

/// Checks the dependencies of all crates of the workspace. The error names each fault.
///
/// # Errors
/// There is a fault, or `deny.toml` or the dependencies can't be read.
pub fn check(root: &Path) -> Result<()> {
    let path = root.join(RULES);
    let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let rules: Rules = toml::from_str(&text).with_context(|| format!("failed to read `{}`", path.display()))?;
    let mut found = BTreeSet::new();
    for target in &rules.graph.targets {
        found.extend(dependencies(root, target)?);
    }
    let faults = faults(&rules, &found)?;
    if !faults.is_empty() {
        bail!(faults.join("\n"));
    }
    Ok(())
}

/// Looks for known vulnerabilities with cargo-deny, which also checks everything else by its own reading of `deny.toml`.
///
/// Skipped without cargo-deny, and where its database can't be fetched.
pub fn advisories(root: &Path) -> Outcome {
    advisories_by(&|arguments| process::output(cargo::command(root, &["deny"]).args(arguments)))
}

fn advisories_by(cargo_deny: &dyn Fn(&[&str]) -> Result<String>) -> Outcome {
    if cargo_deny(&["--version"]).is_err() {
        let why = "cargo-deny is not installed: run `cargo install --locked cargo-deny`".to_owned();
        return Outcome::Skipped { why };
    }
    if let Err(error) = cargo_deny(&["fetch", "db"]) {
        return Outcome::Skipped { why: format!("failed to fetch the database of vulnerabilities: {error:#}") };
    }
    match cargo_deny(&["--offline", "check"]) {
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed { why: format!("{error:#}") },
    }
}

/// Returns the crates that are compiled for a target, from `Cargo.lock` and what cargo has downloaded.
fn dependencies(root: &Path, target: &str) -> Result<Vec<Dependency>> {
    let options = ["--offline", "--locked", "--filter-platform", target].map(str::to_owned);
    let metadata = MetadataCommand::new()
        .current_dir(root)
        .other_options(options)
        .exec()
        .context("failed to ask cargo for the dependencies")?;
    let graph = metadata.resolve.context("cargo did not answer with the dependencies")?;
    let used: BTreeSet<_> = graph.nodes.into_iter().map(|node| node.id).collect();
    let foreign = |source: &Source| (!source.is_crates_io()).then(|| source.repr.clone());
    let used = metadata.packages.into_iter().filter(|package| used.contains(&package.id));
    Ok(used
        .map(|package| Dependency {
            name: package.name.to_string(),
            version: package.version,
            license: package.license,
            foreign: package.source.as_ref().and_then(foreign),
        })
        .collect())
}

/// Returns every violation of the rules, and every rule that nothing needs.
///
/// # Errors
/// A rule is invalid.
fn faults(rules: &Rules, found: &BTreeSet<Dependency>) -> Result<Vec<String>> {
    let mut faults = wrong_licenses(&rules.licenses, found)?;
    faults.extend(found.iter().filter_map(|Dependency { name, version, foreign, .. }| {
        foreign.as_ref().map(|source| format!("{name} {version}: invalid source `{source}`"))
    }));
    faults.extend(repeated(&rules.bans.skip, found)?);
    Ok(faults)
}

fn wrong_licenses(rules: &Licenses, found: &BTreeSet<Dependency>) -> Result<Vec<String>> {
    let parse = |name: &String| {
        Licensee::parse(name).map_err(|error| anyhow::anyhow!("{RULES}: invalid licence `{name}`: {}", error.reason))
    };
    let allowed = rules.allow.iter().map(parse).collect::<Result<Vec<_>>>()?;
    let mut needed = vec![false; allowed.len()];
    let mut exceptions: BTreeMap<&str, Vec<Licensee>> = BTreeMap::new();
    for Exception { name, allow } in &rules.exceptions {
        exceptions.insert(name, allow.iter().map(parse).collect::<Result<_>>()?);
    }
    let mut faults = Vec::new();
    for Dependency { name, version, license, .. } in found {
        let expression = license.as_deref().map(|text| Expression::parse_mode(text, ParseMode::LAX));
        let Some(Ok(expression)) = expression else {
            faults.push(format!("{name} {version}: expected the name of a licence"));
            continue;
        };
        let also = exceptions.remove(name.as_str()).unwrap_or_default();
        let permitted = expression.evaluate(|requirement| {
            let satisfies = |licence: &Licensee| licence.satisfies(requirement);
            if let Some(at) = allowed.iter().position(satisfies) {
                needed[at] = true;
                return true;
            }
            also.iter().any(satisfies)
        });
        if !permitted {
            faults.push(format!("{name} {version}: the licence `{expression}` is not in {RULES}"));
        }
    }
    let unneeded = rules.allow.iter().zip(needed).filter(|(_, needed)| !needed);
    faults.extend(unneeded.map(|(name, _)| format!("{RULES}: no dependency has the licence `{name}`")));
    faults.extend(exceptions.keys().map(|name| format!("{RULES}: no dependency is called `{name}`")));
    Ok(faults)
}

/// Returns the crates with several versions besides those to skip.
fn repeated(skip: &[Skip], found: &BTreeSet<Dependency>) -> Result<Vec<String>> {
    let mut versions: BTreeMap<&str, Vec<&Version>> = BTreeMap::new();
    for Dependency { name, version, .. } in found {
        versions.entry(name).or_default().push(version);
    }
    let mut faults = Vec::new();
    for Skip { version } in skip {
        let (name, requirement) =
            version.split_once('@').with_context(|| format!("{RULES}: expected name@version, not `{version}`"))?;
        let requirement = VersionReq::parse(requirement).with_context(|| format!("{RULES}: invalid `{version}`"))?;
        let all = versions.get_mut(name).filter(|all| all.len() > 1);
        match all.map(|all| all.extract_if(.., |version| requirement.matches(version)).count()) {
            Some(1..) => {}
            _ => faults.push(format!("{RULES}: no second version matches `{version}`")),
        }
    }
    faults.extend(versions.iter().filter(|(_, all)| all.len() > 1).map(|(name, all)| {
        let all: Vec<String> = all.iter().map(ToString::to_string).collect();
        format!("{name}: {} versions are compiled: {}", all.len(), all.join(", "))
    }));
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [graph]
        targets = []
        [licenses]
        allow = ["MIT", "ISC"]
        exceptions = [{ crate = "ours", allow = ["GPL-2.0-only"] }]
        [bans]
        skip = [{ crate = "twice@0.1", reason = "old needs it" }]
    "#;

    fn dependency(name: &str, version: &str, license: &str) -> Dependency {
        let license = Some(license.to_owned()).filter(|license| !license.is_empty());
        Dependency { name: name.to_owned(), version: version.parse().unwrap(), license, foreign: None }
    }

    fn permitted() -> BTreeSet<Dependency> {
        [
            dependency("one", "1.0.0", "MIT/Apache-2.0"),
            dependency("two", "1.0.0", "ISC AND (MIT OR GPL-3.0-only)"),
            dependency("ours", "1.0.0", "GPL-2.0-only AND (MIT OR Apache-2.0)"),
            dependency("twice", "0.1.7", "MIT"),
            dependency("twice", "0.2.0", "MIT"),
        ]
        .into()
    }

    fn faults_with(change: impl FnOnce(&mut BTreeSet<Dependency>)) -> Vec<String> {
        let mut found = permitted();
        change(&mut found);
        faults(&toml::from_str(TEXT).unwrap(), &found).unwrap()
    }

    #[test]
    fn dependencies_that_follow_the_rules_pass() {
        assert_eq!(faults_with(|_| {}), [""; 0]);
    }

    #[test]
    fn each_violation_is_named() {
        let added = |name, license| {
            faults_with(|found| {
                found.insert(dependency(name, "1.0.0", license));
            })
        };
        assert_eq!(added("three", "GPL-2.0-only"), ["three 1.0.0: the licence `GPL-2.0-only` is not in deny.toml"]);
        assert_eq!(added("three", "MIT AND Zlib"), ["three 1.0.0: the licence `MIT AND Zlib` is not in deny.toml"]);
        assert_eq!(added("three", ""), ["three 1.0.0: expected the name of a licence"]);
        assert_eq!(added("three", "Free"), ["three 1.0.0: expected the name of a licence"]);
        assert_eq!(added("twice", "MIT"), ["twice: 2 versions are compiled: 0.2.0, 1.0.0"]);
        let foreign = Some("git+https://example.org/one".to_owned());
        let found = faults_with(|found| {
            found.insert(Dependency { foreign, ..dependency("three", "1.0.0", "MIT") });
        });
        assert_eq!(found, ["three 1.0.0: invalid source `git+https://example.org/one`"]);
    }

    #[test]
    fn each_rule_that_nothing_needs_is_named() {
        let found = faults_with(|found| found.retain(|dependency| dependency.name == "one"));
        let expected = [
            "deny.toml: no dependency has the licence `ISC`",
            "deny.toml: no dependency is called `ours`",
            "deny.toml: no second version matches `twice@0.1`",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn invalid_rules_are_errors() {
        let error = |from, to| {
            let rules = toml::from_str(&TEXT.replace(from, to)).unwrap();
            format!("{:#}", faults(&rules, &permitted()).unwrap_err())
        };
        assert!(error("\"ISC\"", "\"Free\"").starts_with("deny.toml: invalid licence `Free`"));
        assert!(error("twice@0.1", "twice").starts_with("deny.toml: expected name@version"));
        assert!(error("twice@0.1", "twice@?").starts_with("deny.toml: invalid `twice@?`"));
    }

    #[test]
    fn vulnerabilities_are_looked_for_where_that_is_possible() {
        let with = |failing: &str| {
            advisories_by(&|arguments| match arguments.contains(&failing) {
                true => bail!("no {failing}"),
                false => Ok(String::new()),
            })
        };
        let skipped = |outcome| matches!(outcome, Outcome::Skipped { why } if !why.is_empty());
        assert!(skipped(with("--version")));
        assert!(skipped(with("fetch")));
        assert!(matches!(with("check"), Outcome::Failed { why } if why == "no check"));
        assert!(matches!(with(""), Outcome::Passed));
    }
}
