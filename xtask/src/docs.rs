//! `cargo xtask docs`: the pages about devices, from the drivers' manifests, and the book of all pages.

use std::fs;

use anyhow::{Context, Result};

use crate::artifacts::{self, Profile};
use crate::book;
use crate::paths::{Paths, remove_folder};
use crate::process;
use crate::setup;

/// Where the pages are, from the workspace's root.
const PAGES: &str = "docs/devices";

/// Where the drivers' folders are, from there.
const SOURCES: &str = "../../drivers";

/// Installs what is missing, builds, and writes the pages; that of a driver that is gone goes too. Then builds the book.
///
/// # Errors
/// Something does not compile, a page can't be written, mdBook can't be had, or a link of the book leads nowhere.
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
    println!("the pages about devices are in {}", pages.display());
    println!("the book is {}", book::build(&paths)?.display());
    Ok(())
}
