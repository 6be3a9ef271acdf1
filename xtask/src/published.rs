//! Checks that the crates for other programs can be published: that each builds from its package alone.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result};
use cargo_metadata::{MetadataCommand, Package};
use hidbpf_lab::process;

use crate::cargo;

/// Packs these crates, and builds what was packed. Needs no network, because everything that they depend on is here.
///
/// # Errors
/// A crate lacks a file or a key of its manifest, or depends on one that can't be published.
pub fn check(root: &Path) -> Result<()> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec().context("failed to list the crates")?;
    let published = metadata.packages.iter().filter(|package| package.publish.is_none());
    let target = root.join("target/packed");
    let mut command = cargo::command(root, &["package", "--offline", "--allow-dirty", "--quiet", "--target-dir"]);
    command.arg(&target);
    for package in published {
        command.args(["--package", package.name.as_str()]);
        forget(&target, package)?;
    }
    process::output(&mut command).map(drop)
}

/// Removes what cargo has of earlier packages. It unpacks and builds a version once, whatever is in the package.
///
/// Cargo makes a registry of the packages, which has no host. So the name of its directory begins with `-`.
fn forget(target: &Path, package: &Package) -> Result<()> {
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir().context("the user has no home directory")?.join(".cargo"),
    };
    let unpacked = format!("{}-{}", package.name, package.version);
    for registry in starting_with("-", &home.join("registry/src"))? {
        remove(&registry.join(&unpacked))?;
    }
    let built = format!("{}-", package.name);
    starting_with(&built, &target.join("debug/.fingerprint"))?.iter().try_for_each(|path| remove(path))
}

/// Returns the entries of a directory whose names begin with a text. There are none if there is no directory.
fn starting_with(start: &str, directory: &Path) -> Result<Vec<PathBuf>> {
    let list = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        list => list.with_context(|| format!("failed to list `{}`", directory.display()))?,
    };
    let mut found = Vec::new();
    for entry in list {
        let entry = entry.with_context(|| format!("failed to list `{}`", directory.display()))?;
        if entry.file_name().as_encoded_bytes().starts_with(start.as_bytes()) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.with_context(|| format!("failed to remove `{}`", directory.display())),
    }
}
