//! The folders of the sources, of cargo's results, and of the virtual machines' files under `target/vm`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use walkdir::WalkDir;

use crate::screen;

/// The folders that the tasks work in.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The workspace's root.
    pub root: PathBuf,
    /// The folder of the virtual machines: kernels, initramfs, logs.
    pub vm: PathBuf,
    /// The folder in which packages are made.
    pub packages: PathBuf,
    /// The folder of what is compiled with other compilers, dependencies and features.
    pub compat: PathBuf,
    /// The folder of programs that are compiled for tasks: mdBook.
    pub tools: PathBuf,
}

impl Paths {
    /// Asks cargo for the workspace and its target folder.
    ///
    /// # Errors
    /// Cargo does not answer.
    pub fn find() -> Result<Self> {
        let metadata = MetadataCommand::new().no_deps().exec().context("failed to ask cargo for the workspace")?;
        let target = metadata.target_directory.into_std_path_buf();
        Ok(Self {
            root: metadata.workspace_root.into_std_path_buf(),
            vm: target.join("vm"),
            packages: target.join("packages"),
            compat: target.join("compat"),
            tools: target.join("tools"),
        })
    }

    /// Returns the folder for the logs of the virtual machines.
    pub fn logs(&self) -> PathBuf {
        self.vm.join("logs")
    }

    /// Locks `target/vm` for this process, until the result is dropped.
    ///
    /// Two simultaneous runs would overwrite each other's logs and kernels.
    ///
    /// # Errors
    /// The folder can't be made or locked.
    pub fn lock(&self) -> Result<VmLock> {
        fs::create_dir_all(&self.vm).with_context(|| format!("failed to create `{}`", self.vm.display()))?;
        let path = self.vm.join("lock");
        let file = File::create(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
        let taken = match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {
                let _step = screen::step("lock", &format!("waiting for another run that uses `{}`", self.vm.display()));
                flock(&file, FlockOperation::LockExclusive)
            }
            other => other,
        };
        taken.with_context(|| format!("failed to lock `{}`", path.display()))?;
        Ok(VmLock { _file: file })
    }
}

/// The lock of a process on `target/vm`. The kernel releases it however the process ends.
#[derive(Debug)]
pub struct VmLock {
    _file: File,
}

/// Makes `folder` an empty folder.
///
/// # Errors
/// Its contents can't be removed, or the folder can't be made.
pub fn fresh_folder(folder: &Path) -> Result<()> {
    remove_folder(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))
}

/// Removes `folder` and its contents, if it exists.
///
/// # Errors
/// It can't be removed.
pub fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Returns the files below a folder with one of these endings, in order.
///
/// # Errors
/// A folder can't be listed.
pub fn files_below(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let has_ending =
        |path: &PathBuf| path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known));
    Ok(all_files_below(folder)?.into_iter().filter(has_ending).collect())
}

/// Returns the files below a folder, in order.
///
/// # Errors
/// A folder can't be listed.
pub fn all_files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = WalkDir::new(folder).sort_by_file_name().into_iter();
    let entries: Vec<_> =
        entries.collect::<Result<_, _>>().with_context(|| format!("failed to list `{}`", folder.display()))?;
    Ok(entries.into_iter().map(walkdir::DirEntry::into_path).filter(|path| path.is_file()).collect())
}
