//! Fetches the kernel's tests from Debian's package of the newest kernel's sources.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use hidbpf_lab::apt::Suite;
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::kernels::Version;
use hidbpf_lab::paths::{Paths, fresh_folder, remove_folder};
use hidbpf_lab::process;
use hidbpf_lab::screen::Step;

/// The suite with the sources, and the package's name before the version.
const SUITE: &str = "trixie-backports";
const PREFIX: &str = "linux-source-";

/// The folders to keep: the tests, and the BPF drivers, which the tests look for before they load any.
const KEPT: [&str; 2] = ["tools/testing/selftests/hid", "drivers/hid/bpf/progs"];

/// Fetches the newest kernel's sources and keeps the tests, in a folder named after the package's version.
///
/// # Errors
/// The archive can't be reached, or the package has no such tests.
pub fn fetch(paths: &Paths, step: &Step) -> Result<PathBuf> {
    let suite = Suite::open(&paths.vm.join("apt"), SUITE, Architecture::Amd64, step)?;
    let names = suite.package_names(PREFIX)?;
    let package =
        newest(&names).with_context(|| format!("the suite `{SUITE}` has no package `{PREFIX}VERSION`"))?.to_owned();
    let version = suite.version(&package)?;
    let folder = paths.vm.join(super::NAME).join(version.replace(':', "_"));
    if folder.is_dir() {
        return Ok(folder);
    }
    step.say(&format!("fetching {package} {version} from {}", suite.name()));
    let partial = paths.vm.join(super::NAME).join("partial");
    let (debs, root, done) = (partial.join("debs"), partial.join("root"), partial.join("done"));
    fresh_folder(&partial)?;
    for folder in [&debs, &root, &done] {
        fresh_folder(folder)?;
    }
    for deb in suite.download(std::slice::from_ref(&package), &debs, step)? {
        process::output(process::command("dpkg-deb").arg("--extract").arg(&deb).arg(&root))?;
    }
    step.say(&format!("unpacking the tests of {package} {version}"));
    let archive = root.join("usr/src").join(format!("{package}.tar.xz"));
    let mut tar = process::command("tar");
    tar.arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(&done)
        .args(["--strip-components=1", "--wildcards"]);
    process::output(tar.args(KEPT.map(|folder| format!("{package}/{folder}"))))?;
    fs::rename(&done, &folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
    remove_folder(&partial)?;
    step.note(&format!("the tests are those of {package} {version}"));
    Ok(folder)
}

/// Returns the package with the highest version. The package without a version in its name depends on another.
fn newest(packages: &[String]) -> Option<&str> {
    let version = |package: &&String| {
        package
            .strip_prefix(PREFIX)
            .filter(|rest| rest.starts_with(|char: char| char.is_ascii_digit()))
            .map(Version::parse)
    };
    packages.iter().filter(|package| version(package).is_some()).max_by_key(version).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sources_are_chosen_by_number() {
        let packages =
            ["linux-source", "linux-source-7.9", "linux-source-7.10", "linux-source-6.12"].map(str::to_owned);
        assert_eq!(newest(&packages), Some("linux-source-7.10"));
        assert_eq!(newest(&packages[..1]), None);
    }
}
