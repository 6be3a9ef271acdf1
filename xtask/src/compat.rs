//! `cargo xtask compat`: builds with the oldest compiler, with the oldest dependencies, and with each feature set.
//!
//! `Cargo.toml` promises all three: `rust-version`, the version requirements of dependencies, and features. The normal tests build with
//! one compiler, the versions of `Cargo.lock`, and default features, so they would not notice a broken promise.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use cargo_metadata::{MetadataCommand, Package};
use hidbpf_lab::paths::{Paths, fresh_folder};
use hidbpf_lab::process;
use hidbpf_lab::protocol::Outcome;
use hidbpf_lab::report::{Part, Report, show_case};
use hidbpf_lab::screen;

use crate::cargo;
use crate::libbpf::Libbpf;
use crate::setup::{self, Need};

/// The name in reports.
const NAME: &str = "compat";

/// The feature without which a crate links with the system's libbpf.
const VENDORED: &str = "vendored-libbpf";

/// Everything that cargo is to compile of the workspace.
const ALL: [&str; 3] = ["check", "--workspace", "--all-targets"];

/// Builds in all ways that `Cargo.toml` promises, in a folder of its own below `target`.
///
/// # Errors
/// The machinery fails.
pub fn run() -> Result<Report> {
    setup::install(&[Need::Build])?;
    let paths = Paths::find()?;
    let mut compat = Compat { target: paths.compat.clone(), root: paths.root, part: Part::new(NAME) };
    let started = Instant::now();
    let metadata = MetadataCommand::new().no_deps().exec().context("failed to ask cargo for the workspace")?;
    let members = metadata.workspace_packages();
    compat.oldest_compiler(&members)?;
    compat.oldest_dependencies()?;
    for member in &members {
        for features in feature_sets(member) {
            compat.features(&member.name, &features)?;
        }
    }
    compat.part.took = started.elapsed();
    Ok(Report { parts: vec![compat.part], ..Report::default() })
}

struct Compat {
    root: PathBuf,
    /// The folder for everything that is compiled here.
    target: PathBuf,
    part: Part,
}

impl Compat {
    /// Runs a case, prints how it ends, and counts it.
    fn case(&mut self, name: &str, run: impl FnOnce(&Self) -> Result<Outcome>) -> Result<()> {
        let started = Instant::now();
        let outcome = run(self)?;
        show_case(NAME, name, &outcome, started.elapsed().as_millis() as u64);
        self.part.tally.count(&outcome);
        Ok(())
    }

    /// Runs a building command of cargo, which prints what is wrong.
    fn compile(&self, what: &str, mut command: Command, folder: &str) -> Result<Outcome> {
        let step = screen::step(NAME, what);
        command.env("CARGO_TARGET_DIR", self.target.join(folder));
        Ok(match cargo::run(command, &[], &step, &mut |_| {})? {
            true => Outcome::Passed,
            false => Outcome::Failed { why: "it does not compile, as shown above".to_owned() },
        })
    }

    /// Compiles with the compiler of `rust-version`. rustup installs it if it is missing.
    fn oldest_compiler(&mut self, members: &[&Package]) -> Result<()> {
        let versions = members.iter().filter_map(|member| member.rust_version.as_ref());
        let version = versions.max().context("Cargo.toml has no rust-version")?;
        let version = format!("{}.{}", version.major, version.minor);
        let name = format!("Rust {version}, the oldest");
        self.case(&name, |this| {
            let toolchain = ["toolchain", "install", "--profile", "minimal", &version];
            if let Err(error) = process::output(process::command("rustup").args(toolchain)) {
                return Ok(Outcome::Skipped { why: format!("failed to install it: {error:#}") });
            }
            let mut command = cargo::by("rustup", &this.root);
            command.args(["run", &version, "cargo"]).args(ALL).arg("--locked");
            this.compile(&name, command, "compiler")
        })
    }

    /// Compiles with the oldest versions that the requirements of the workspace's crates allow.
    ///
    /// Only the crates' own requirements are tried, because those of their dependencies are not ours to correct.
    fn oldest_dependencies(&mut self) -> Result<()> {
        let name = "the oldest versions of dependencies";
        self.case(name, |this| {
            let copy = this.target.join("sources");
            copy_of(&this.root, &copy)?;
            // It names the versions that are chosen without the option, so only the network can be the reason of a failure.
            if let Err(error) = process::output(&mut cargo::command(&copy, &["update", "--dry-run"])) {
                return Ok(Outcome::Skipped { why: format!("failed to ask for the versions: {error:#}") });
            }
            let mut update = cargo::command(&copy, &["update", "-Z", "direct-minimal-versions"]);
            // The option is unstable, and the compiler of this workspace is not.
            update.env("RUSTC_BOOTSTRAP", "1");
            if let Err(error) = process::output(&mut update) {
                return Ok(Outcome::Failed { why: format!("{error:#}") });
            }
            let mut command = cargo::command(&copy, &ALL);
            command.arg("--locked");
            this.compile(name, command, "dependencies")
        })
    }

    /// Compiles one crate alone, with some features.
    fn features(&mut self, package: &str, features: &Features) -> Result<()> {
        let name = format!("{package} alone, {}", features.name);
        self.case(&name, |this| {
            let mut command = cargo::command(&this.root, &["check", "--locked", "--package", package]);
            command.args(&features.options);
            if features.system_libbpf {
                match Libbpf::find() {
                    Ok(libbpf) => libbpf.build_with(&mut command)?,
                    Err(error) => return Ok(Outcome::Skipped { why: format!("{error:#}") }),
                }
            }
            this.compile(&name, command, "features")
        })
    }
}

/// A set of features to build a crate with.
#[derive(Debug, PartialEq, Eq)]
struct Features {
    name: String,
    options: Vec<String>,
    /// The crate has a feature that brings a copy of libbpf, and the set lacks it.
    system_libbpf: bool,
}

/// Returns the sets to try: the default, none, and each feature alone that the default set is not made of.
fn feature_sets(package: &Package) -> Vec<Features> {
    let default = package.features.get("default").cloned().unwrap_or_default();
    let mut sets = vec![Features { name: "default features".to_owned(), options: Vec::new(), system_libbpf: false }];
    if package.features.is_empty() {
        return sets;
    }
    let has_copy = package.features.contains_key(VENDORED);
    let without = "--no-default-features".to_owned();
    sets.push(Features { name: "no features".to_owned(), options: vec![without.clone()], system_libbpf: has_copy });
    let single = package.features.keys().filter(|name| *name != "default" && default != [(*name).clone()]);
    sets.extend(single.map(|name| Features {
        name: format!("feature {name}"),
        options: vec![without.clone(), "--features".to_owned(), name.clone()],
        system_libbpf: has_copy && name != VENDORED,
    }));
    sets
}

/// Makes a folder that looks like the sources, with a lock file that may be changed: the folders in it are links.
fn copy_of(root: &Path, copy: &Path) -> Result<()> {
    fresh_folder(copy)?;
    let list = || -> std::io::Result<()> {
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let (from, to) = (entry.path(), copy.join(entry.file_name()));
            match entry.file_type()?.is_dir() {
                true if entry.file_name() == "target" => {}
                true => symlink(from, to)?,
                false => drop(fs::copy(from, to)?),
            }
        }
        Ok(())
    };
    list().with_context(|| format!("failed to copy `{}` to `{}`", root.display(), copy.display()))?;
    if !copy.join("Cargo.toml").is_file() {
        bail!("`{}` is not a workspace", root.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(features: &str) -> Package {
        let text = format!(
            r#"{{"name": "one", "version": "1.0.0", "id": "one", "dependencies": [], "targets": [], "features": {features},
                "manifest_path": "/one/Cargo.toml"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn each_feature_is_tried_with_and_without() {
        let sets = |features| {
            let sets = feature_sets(&package(features)).into_iter();
            sets.map(|set| (set.name, set.options.join(" "), set.system_libbpf)).collect::<Vec<_>>()
        };
        let set = |name: &str, options: &str, libbpf| (name.to_owned(), options.to_owned(), libbpf);
        assert_eq!(sets("{}"), [set("default features", "", false)]);
        let only_libbpf = [set("default features", "", false), set("no features", "--no-default-features", true)];
        assert_eq!(sets(r#"{"default": ["vendored-libbpf"], "vendored-libbpf": []}"#), only_libbpf);
        let two = sets(r#"{"default": ["vendored-libbpf"], "vendored-libbpf": [], "evdev": ["dep:evdev"]}"#);
        assert_eq!(two[..2], only_libbpf);
        assert_eq!(two[2..], [set("feature evdev", "--no-default-features --features evdev", true)]);
        let more = sets(r#"{"default": ["a", "b"], "a": [], "b": []}"#);
        assert_eq!(more.len(), 4);
        assert!(more.iter().all(|(_, _, libbpf)| !libbpf));
    }

    #[test]
    fn a_copy_has_its_own_lock_file() {
        let folder = tempfile::tempdir().unwrap();
        let (root, copy) = (folder.path().join("root"), folder.path().join("copy"));
        fs::create_dir_all(root.join("target")).unwrap();
        fs::create_dir(root.join("crate")).unwrap();
        assert!(copy_of(&root, &copy).is_err());
        for name in ["Cargo.toml", "Cargo.lock", "crate/lib.rs"] {
            fs::write(root.join(name), "before").unwrap();
        }
        copy_of(&root, &copy).unwrap();
        fs::write(copy.join("Cargo.lock"), "after").unwrap();
        assert_eq!(fs::read_to_string(root.join("Cargo.lock")).unwrap(), "before");
        assert_eq!(fs::read_to_string(copy.join("crate/lib.rs")).unwrap(), "before");
        assert!(!copy.join("target").exists());
    }
}
