//! `cargo xtask docs`: writes the pages about devices, from the drivers' manifests, and builds the book of all pages.

use std::fs;

use anyhow::{Context, Result};
use hidbpf_lab::paths::{Paths, remove_folder};
use hidbpf_lab::process;

use crate::artifacts::{self, Profile};
use crate::book;
use crate::setup;

/// The folder of the pages, from the workspace's root.
const PAGES: &str = "docs/devices";

/// The folder of the drivers' folders, from the pages.
const SOURCES: &str = "../../drivers";

/// Installs missing packages, builds, and writes the pages. Removes the pages of drivers that are gone. Then builds the book.
///
/// # Errors
/// Something does not compile, a page can't be written, mdBook is not available, or a link of the book leads nowhere.
pub fn run() -> Result<()> {
    setup::run()?;
    let paths = Paths::find()?;
    let artifacts = artifacts::build(&paths.root, Profile::Dev)?.artifacts()?;
    let pages = paths.root.join(PAGES);
    // The new pages are written beside the old ones first, so that a failure keeps the old ones.
    let fresh = pages.with_extension("new");
    remove_folder(&fresh)?;
    let mut hidbpf = process::command(&artifacts.hidbpf);
    hidbpf.arg("--drivers").arg(&artifacts.objects).arg("pages").arg(&fresh).args(["--sources", SOURCES]);
    process::output(&mut hidbpf)?;
    remove_folder(&pages)?;
    fs::rename(&fresh, &pages).with_context(|| format!("failed to write `{}`", pages.display()))?;
    println!("the pages about devices are in {}", pages.display());
    println!("the book is {}", book::build(&paths)?.display());
    Ok(())
}
