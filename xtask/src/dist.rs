//! `cargo xtask dist`: the files of an installed hidbpf, laid out as a system has them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::artifacts::{self, Profile};
use crate::paths::Paths;
use crate::process;
use crate::setup;

/// Where the files go.
#[derive(Debug, Args)]
pub struct Options {
    /// The directory that stands for `/`; made if it is not there
    #[arg(long, value_name = "DIR")]
    destdir: PathBuf,
}

/// Shells, with where each looks for the completions of `hidbpf`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/hidbpf"),
    ("zsh", "usr/share/zsh/site-functions/_hidbpf"),
    ("fish", "usr/share/fish/vendor_completions.d/hidbpf.fish"),
];

/// Builds for release and lays the files out.
///
/// # Errors
/// Something does not compile, or a file can't be written.
pub fn run(options: &Options) -> Result<()> {
    setup::run()?;
    let paths = Paths::find()?;
    let artifacts = artifacts::build(&paths.root, Profile::Release)?.artifacts()?;
    let place = |path: &str| options.destdir.join(path);
    install(&artifacts.hidbpf, &place("usr/bin/hidbpf"), 0o755)?;

    let mut objects: Vec<PathBuf> = fs::read_dir(&artifacts.objects)
        .with_context(|| format!("failed to list `{}`", artifacts.objects.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".bpf.o"))
        .collect();
    objects.sort();
    ensure!(!objects.is_empty(), "there are no drivers in `{}`", artifacts.objects.display());
    let drivers = place("usr/lib/hidbpf/drivers");
    for object in &objects {
        install(object, &drivers.join(object.file_name().unwrap_or_default()), 0o644)?;
    }
    install(&paths.root.join("udev-rules/81-hidbpf.rules"), &place("usr/lib/udev/rules.d/81-hidbpf.rules"), 0o644)?;

    let hidbpf = || process::command(&artifacts.hidbpf);
    let hwdb = process::output(hidbpf().arg("--drivers").arg(&drivers).arg("hwdb"))?;
    write(&place("usr/lib/udev/hwdb.d/81-hidbpf.hwdb"), hwdb.as_bytes())?;
    for (shell, path) in COMPLETIONS {
        write(&place(path), process::output(hidbpf().arg("completions").arg(shell))?.as_bytes())?;
    }
    process::output(hidbpf().arg("man").arg(place("usr/share/man/man8")))?;
    println!("hidbpf and {} drivers are in {}", objects.len(), options.destdir.display());
    Ok(())
}

fn install(from: &Path, to: &Path, mode: u32) -> Result<()> {
    write(to, &fs::read(from).with_context(|| format!("failed to read `{}`", from.display()))?)?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))
        .with_context(|| format!("failed to set the permissions of `{}`", to.display()))
}

fn write(to: &Path, bytes: &[u8]) -> Result<()> {
    let parent = to.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).with_context(|| format!("failed to create `{}`", parent.display()))?;
    fs::write(to, bytes).with_context(|| format!("failed to write `{}`", to.display()))
}
