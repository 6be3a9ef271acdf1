//! `cargo xtask deb`: makes Debian packages from the files of `cargo xtask dist`, split as in packaging/debian.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use hidbpf_lab::fault::Fault;
use hidbpf_lab::paths::{Paths, fresh_folder};
use hidbpf_lab::process;

use crate::artifacts::Product;
use crate::dist::{self, Choice, Status, files};
use crate::setup::{self, Need};

/// The target folder of the packages, and their contents.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The directory for the packages; created if it does not exist
    #[arg(long, value_name = "DIR")]
    output: PathBuf,

    #[command(flatten)]
    choice: Choice,
}

/// Tells packaging/debian/rules that the files are built, and where they are.
const LAID_OUT: &str = "HIDBPF_LAID_OUT";

/// Builds for release, makes the packages, and checks them with lintian.
///
/// # Errors
/// Something does not compile, or dpkg fails, or lintian finds an error: [`Fault::Failed`].
pub fn run(options: &Options) -> Result<()> {
    setup::install(&[Need::Build, Need::Packages, Need::Checks])?;
    let paths = Paths::find()?;
    let product = options.choice.build(&paths.root)?;
    let made = build(&paths, &product, &options.choice.with)?;
    if !check_scripts(&paths.root)? {
        return Err(Fault::Failed("shellcheck found mistakes".to_owned()).into());
    }
    if !lint(&made)? {
        return Err(Fault::Failed("lintian found errors".to_owned()).into());
    }
    fs::create_dir_all(&options.output).with_context(|| format!("failed to create `{}`", options.output.display()))?;
    for path in &made.files {
        let to = options.output.join(path.file_name().unwrap_or_default());
        fs::copy(path, &to).with_context(|| format!("failed to write `{}`", to.display()))?;
        println!("{}", to.display());
    }
    Ok(())
}

/// Finished packages.
#[derive(Debug)]
pub struct Made {
    /// The file that describes the packages, for lintian and for archives.
    changes: PathBuf,
    /// The packages and that file.
    files: Vec<PathBuf>,
}

impl Made {
    /// Returns the packages themselves.
    pub fn packages(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "deb"))
    }
}

/// Makes the packages.
///
/// # Errors
/// A file can't be read or written, or dpkg fails.
pub fn build(paths: &Paths, product: &Product, with: &[Status]) -> Result<Made> {
    let folder = paths.packages.join("deb");
    fresh_folder(&folder)?;
    let source = folder.join("hidbpf");
    copy_folder(&paths.root.join("packaging/debian"), &source.join("debian"))?;
    let laid_out = folder.join("dist");
    dist::lay_out(&paths.root, product, with, &laid_out)?;
    let mut command = process::command("dpkg-buildpackage");
    // Cargo may come from outside Debian, and cleaning would delete the files of `cargo xtask dist`.
    command.args(["--build=binary", "--no-sign", "--no-check-builddeps", "--no-pre-clean"]);
    process::output(command.current_dir(&source).env(LAID_OUT, &laid_out).env_remove("SOURCE_DATE_EPOCH"))?;
    let files: Vec<PathBuf> = files(&folder)?.into_iter().filter(|path| path.is_file()).collect();
    match files.iter().find(|path| path.extension().is_some_and(|ending| ending == "changes")) {
        Some(changes) => Ok(Made { changes: changes.clone(), files }),
        None => bail!("dpkg-buildpackage has left no packages in `{}`", folder.display()),
    }
}

/// Runs lintian, shows its output, and returns true if it finds no error.
///
/// # Errors
/// It can't be started.
pub fn lint(made: &Made) -> Result<bool> {
    let arguments = ["--allow-root", "--fail-on", "error", "--tag-display-limit", "0"];
    process::passes(process::command("lintian").args(arguments).arg(&made.changes))
}

/// Runs shellcheck on the scripts of packaging/, shows its output, and returns true if it finds nothing.
///
/// # Errors
/// The folder can't be read, or shellcheck can't be started.
pub fn check_scripts(root: &Path) -> Result<bool> {
    process::passes(process::command("shellcheck").args(scripts(&root.join("packaging"))?))
}

/// Returns the scripts below a folder. A script has a line that names a shell, for the shell itself or only for shellcheck.
fn scripts(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files(folder)? {
        if path.is_dir() {
            found.extend(scripts(&path)?);
            continue;
        }
        let text = fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let is_script = ["#!/bin/sh\n", "#!/bin/bash\n", "# shellcheck shell="]
            .iter()
            .any(|start| text.starts_with(start.as_bytes()));
        if is_script {
            found.push(path);
        }
    }
    Ok(found)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("failed to create `{}`", to.display()))?;
    for path in files(from)? {
        let to = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &to)?;
            continue;
        }
        let copied = fs::copy(&path, &to).and_then(|_| {
            // Otherwise the umask of a checkout would show in the packages.
            let mode = if path.ends_with("rules") { 0o755 } else { 0o644 };
            fs::set_permissions(&to, fs::Permissions::from_mode(mode))
        });
        copied.with_context(|| format!("failed to write `{}`", to.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_scripts_are_found() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
        let found = scripts(&root).unwrap();
        let names: Vec<_> = found.iter().map(|path| path.strip_prefix(&root).unwrap().display().to_string()).collect();
        let expected = [
            "PKGBUILD",
            "debian/hidbpf.postinst",
            "debian/hidbpf.postrm",
            "debian/hidbpf.prerm",
            "dracut/module-setup.sh",
            "dracut/mount-bpffs.sh",
            "hidbpf.install",
            "initramfs-tools/hook",
            "initramfs-tools/init-top",
            "system-sleep",
        ];
        assert_eq!(names, expected);
    }

    /// Each new version needs an entry in the changelog.
    #[test]
    fn the_changelog_is_of_this_version() {
        let changelog = include_str!("../../packaging/debian/changelog");
        let version = changelog.split(['(', ')']).nth(1).unwrap();
        assert_eq!(version.split_once('-').unwrap().0, env!("CARGO_PKG_VERSION"));
    }
}
