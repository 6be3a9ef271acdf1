//! `cargo xtask docs`: the pages about devices, out of the drivers' manifests.

use std::fs;

use anyhow::{Context, Result};

use crate::artifacts::{self, Profile};
use crate::paths::{Paths, remove_folder};
use crate::process;
use crate::setup;

/// Where the pages are, from the workspace's root.
const PAGES: &str = "docs/devices";

/// Where the drivers' folders are, from there.
const SOURCES: &str = "../../drivers";

/// Installs what is missing, builds, and writes the pages anew; one of a driver that is gone goes too.
///
/// # Errors
/// Something does not compile, or a page can't be written.
pub fn run() -> Result<()> {
    setup::run()?;
    let paths = Paths::find()?;
    let artifacts = artifacts::build(&paths.root, Profile::Dev)?.artifacts()?;
    let pages = paths.root.join(PAGES);
    // Beside the old ones first, so that a failure leaves those.
    let fresh = pages.with_extension("new");
    remove_folder(&fresh)?;
    let mut hidbpf = process::command(&artifacts.hidbpf);
    hidbpf.arg("--drivers").arg(&artifacts.objects).arg("pages").arg(&fresh).args(["--sources", SOURCES]);
    process::output(&mut hidbpf)?;
    remove_folder(&pages)?;
    fs::rename(&fresh, &pages).with_context(|| format!("failed to write `{}`", pages.display()))?;
    println!("the pages are in {}", pages.display());
    Ok(())
}
