//! The lock on all persistent changes that commands make.
//!
//! These change the configuration, the installed drivers, and udev's hwdb, which is generated from both.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::error::{Error, ErrorKind, Result};
use crate::system::System;

/// The lock on the configuration.
///
/// Only its holder may change it. Each change reads its inputs, and undoes its steps, while it holds the lock.
#[derive(Debug)]
pub struct ChangeLock(#[allow(dead_code, reason = "dropping it unlocks")] File);

impl ChangeLock {
    /// How long to wait for another process. Compiling udev's hwdb takes a second.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Waits for the lock of a configuration and takes it.
    ///
    /// It locks the configuration's directory, which it creates if necessary.
    ///
    /// # Errors
    /// The directory can't be created or opened, or another process held the lock for 30 s.
    pub fn take(system: &System) -> Result<ChangeLock> {
        ChangeLock::take_of(&system.config)
    }

    /// Locks another directory in the same way.
    ///
    /// # Errors
    /// As for [`ChangeLock::take`].
    pub fn take_of(directory: &Path) -> Result<ChangeLock> {
        let failed = |error: io::Error| {
            Error::permission_or(ErrorKind::Io, format!("failed to lock `{}`", directory.display()), error)
                .with_hint("/etc must be writable, and this must run as root, for example with sudo")
        };
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        let lock = File::open(directory).map_err(failed)?;
        let started = Instant::now();
        loop {
            match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(ChangeLock(lock)),
                Err(Errno::WOULDBLOCK) if started.elapsed() < ChangeLock::PATIENCE => sleep(Duration::from_millis(5)),
                Err(Errno::WOULDBLOCK) => {
                    let patience = ChangeLock::PATIENCE.as_secs();
                    let what = format!("another process has changed `{}` for {patience} s", directory.display());
                    let hint = format!("`fuser -v {}` names the process", directory.display());
                    return Err(Error::new(ErrorKind::Busy, what).with_hint(hint));
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(failed(error.into())),
            }
        }
    }
}
