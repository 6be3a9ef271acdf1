//! Checks that the crates for other programs can be published: that each builds from its package alone.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;

use crate::cargo;
use crate::process;

/// Packs these crates, and builds what was packed. Needs no network, because everything that they depend on is here.
///
/// # Errors
/// A crate lacks a file or a key of its manifest, or depends on one that can't be published.
pub fn check(root: &Path) -> Result<()> {
    let metadata = MetadataCommand::new().current_dir(root).no_deps().exec().context("failed to list the crates")?;
    let published: Vec<_> = metadata.packages.iter().filter(|package| package.publish.is_none()).collect();
    let mut command = cargo::command(root, &["package", "--offline", "--allow-dirty", "--quiet"]);
    for package in &published {
        command.args(["--package", package.name.as_str()]);
    }
    let unpacked: Vec<String> =
        published.iter().map(|package| format!("{}-{}", package.name, package.version)).collect();
    forget(&unpacked)?;
    process::output(&mut command).map(drop)
}

/// Removes what cargo has unpacked of earlier packages. It unpacks a version once, whatever is in the package.
///
/// Cargo makes a registry of the packages, which has no host. So its directory's name begins with `-`.
fn forget(unpacked: &[String]) -> Result<()> {
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => env::home_dir().context("the user has no home directory")?.join(".cargo"),
    };
    let sources = home.join("registry/src");
    let Ok(registries) = fs::read_dir(&sources) else { return Ok(()) };
    for registry in registries {
        let registry = registry.with_context(|| format!("failed to list `{}`", sources.display()))?;
        if !registry.file_name().as_encoded_bytes().starts_with(b"-") {
            continue;
        }
        for name in unpacked {
            let path = registry.path().join(name);
            match fs::remove_dir_all(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("failed to remove `{}`", path.display()));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
