//! Checks that the crates for other programs can be published: that each builds from its package alone.

use std::path::Path;

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
    let published = metadata.packages.iter().filter(|package| package.publish.is_none());
    let mut command = cargo::command(root, &["package", "--offline", "--allow-dirty", "--quiet"]);
    for package in published {
        command.args(["--package", package.name.as_str()]);
    }
    process::output(&mut command).map(drop)
}
