//! Checks the layout of the C sources with clang-format and `.clang-format`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hidbpf_lab::paths::files_below;
use hidbpf_lab::process;
use hidbpf_lab::protocol::Outcome;

/// The program that lays out C code.
const PROGRAM: &str = "clang-format";

/// The oldest version that lays out the sources as the current ones do.
const OLDEST: u32 = 14;

/// The folders with C code, from the workspace's root.
const FOLDERS: [&str; 4] = ["drivers", "framework", "hid-bpf-src", "tests"];

/// Checks the layout of all C sources. Skipped if clang-format is missing or too old.
///
/// # Errors
/// A folder can't be listed, or clang-format answers without a version.
pub fn check(root: &Path) -> Result<Outcome> {
    if process::find(PROGRAM).is_none() {
        return Ok(Outcome::Skipped { why: format!("{PROGRAM} is not installed") });
    }
    let answer = process::output(process::command(PROGRAM).arg("--version"))?;
    let version =
        major_version(&answer).with_context(|| format!("`{PROGRAM}` answered without a version: {answer}"))?;
    if version < OLDEST {
        return Ok(Outcome::Skipped { why: format!("expected {PROGRAM} {OLDEST} or later, found {version}") });
    }
    let mut command = process::command(PROGRAM);
    command.current_dir(root).args(["--dry-run", "--Werror"]).args(sources(root)?);
    Ok(match process::output(&mut command) {
        Ok(_) => Outcome::Passed,
        Err(error) => Outcome::Failed { why: format!("{error:#}\nrun `{PROGRAM} -i` on these files") },
    })
}

/// Returns all C sources and headers.
fn sources(root: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in FOLDERS {
        found.extend(files_below(&root.join(folder), &["c", "h"])?);
    }
    Ok(found)
}

/// Returns the first part of the version in `clang-format version 14.0.6`, which may have a vendor's name before it.
fn major_version(answer: &str) -> Option<u32> {
    let (_, version) = answer.split_once("version ")?;
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_and_without_a_vendor() {
        assert_eq!(major_version("Debian clang-format version 14.0.6\n"), Some(14));
        assert_eq!(major_version("clang-format version 23.1.3 (https://example.org 6ec821d)\n"), Some(23));
        assert_eq!(major_version("clang-format\n"), None);
    }

    #[test]
    fn sources_of_every_kind_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let found = sources(&root).unwrap();
        for path in [
            "drivers/huion-dial-2/driver.bpf.c",
            "framework/hidbpf/tests/objects/fixture.h",
            "hid-bpf-src/include/hidbpf/driver.h",
            "hid-bpf-src/tap.bpf.c",
            "tests/fixtures/drivers/bench-walk/driver.bpf.c",
        ] {
            assert!(found.contains(&root.join(path)), "{path}");
        }
    }
}
