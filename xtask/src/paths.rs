//! Where things are: the sources, what cargo builds, and what the virtual machines leave behind under `target/vm`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::MetadataCommand;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::screen;

/// The folders that the tasks work in.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The workspace's root.
    pub root: PathBuf,
    /// What belongs to the virtual machines: kernels, initramfs, logs.
    pub vm: PathBuf,
    /// What packages are made in.
    pub packages: PathBuf,
    /// Programs that are compiled for tasks: mdBook.
    pub tools: PathBuf,
}

impl Paths {
    /// Asks cargo where the workspace and its target folder are.
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
            tools: target.join("tools"),
        })
    }

    /// The folder for what each virtual machine wrote.
    pub fn logs(&self) -> PathBuf {
        self.vm.join("logs")
    }

    /// Takes `target/vm` for this process, for as long as the result lives.
    ///
    /// Two runs at once would write each other's logs and unpack each other's kernels.
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

/// Held while a process uses `target/vm`. The kernel lets go of the lock however the process ends.
#[derive(Debug)]
pub struct VmLock {
    _file: File,
}

/// Makes `folder` an empty folder.
///
/// # Errors
/// What is there can't be removed, or the folder can't be made.
pub fn fresh_folder(folder: &Path) -> Result<()> {
    remove_folder(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))
}

/// Removes `folder` with all in it, if it is there.
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
