//! sysfs directories that are held open, so that the kernel resolves a device's path once and not for each attribute.
//!
//! Also reads other small files of the kernel.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, readlinkat, statat};

/// The size of the largest text attribute, in bytes.
///
/// The kernel returns all that fits, so a shorter read means the end. Only binary attributes are longer, and need
/// several reads.
const PAGE: usize = 4096;

/// A sysfs directory. Empty if the device is gone, even if its path was reused.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<OwnedFd>);

impl Directory {
    /// Opens the directory.
    pub(crate) fn open(path: &Path) -> io::Result<Directory> {
        Ok(Directory(Arc::new(openat(CWD, path, Directory::FLAGS, Mode::empty())?)))
    }

    /// Opens a subdirectory.
    pub(crate) fn directory(&self, name: &OsStr) -> io::Result<Directory> {
        Ok(Directory(Arc::new(openat(&self.0, name, Directory::FLAGS, Mode::empty())?)))
    }

    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    /// Reads an attribute.
    pub(crate) fn read(&self, attribute: &str) -> io::Result<Vec<u8>> {
        read_at(&*self.0, attribute.as_ref())
    }

    /// Returns the last name in a link's target. For `driver` and `subsystem`, only that name matters.
    pub(crate) fn link(&self, name: &str) -> io::Result<String> {
        Ok(last_name(&readlinkat(&self.0, name, Vec::new())?.into_bytes()))
    }

    /// Returns whether the directory has an entry with this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Returns whether the name of any entry meets the condition.
    ///
    /// Call it only once, because it consumes the directory's position.
    pub(crate) fn any(&self, mut is_such: impl FnMut(&OsStr) -> bool) -> bool {
        let mut buffer = [MaybeUninit::uninit(); PAGE];
        let mut entries = RawDir::new(&self.0, &mut buffer);
        while let Some(Ok(entry)) = entries.next() {
            if is_such(OsStr::from_bytes(entry.file_name().to_bytes())) {
                return true;
            }
        }
        false
    }
}

/// Reads a small file of the kernel.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at(CWD, path)
}

fn read_at(directory: impl AsFd, path: &Path) -> io::Result<Vec<u8>> {
    let file = openat(directory, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut bytes = Vec::with_capacity(PAGE);
    loop {
        rustix::io::retry_on_intr(|| rustix::io::read(&file, spare_capacity(&mut bytes)))?;
        if bytes.len() < bytes.capacity() {
            bytes.shrink_to_fit();
            return Ok(bytes);
        }
        bytes.reserve(PAGE);
    }
}

/// Reads a link as [`Directory::link`] does, without opening the directory.
pub(crate) fn link(path: &Path) -> io::Result<String> {
    Ok(last_name(&readlinkat(CWD, path, Vec::new())?.into_bytes()))
}

fn last_name(path: &[u8]) -> String {
    let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    String::from_utf8_lossy(last).into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_in_a_directory_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let long: Vec<u8> = (0..=u8::MAX).cycle().take(PAGE + 1).collect();
        fs::write(folder.path().join("attribute"), &long).unwrap();
        fs::create_dir(folder.path().join("input")).unwrap();
        fs::write(folder.path().join("input/event7"), "").unwrap();
        std::os::unix::fs::symlink("../../drivers/hid-generic", folder.path().join("driver")).unwrap();
        let directory = Directory::open(folder.path()).unwrap();
        assert_eq!(directory.read("attribute").unwrap(), long);
        assert_eq!(directory.link("driver").unwrap(), "hid-generic");
        assert!(directory.has("driver") && !directory.has("subsystem"));
        let input = directory.directory("input".as_ref()).unwrap();
        assert!(input.any(|name| name == "event7"));
        assert!(!Directory::open(&folder.path().join("input")).unwrap().any(|name| name == "event8"));
        for error in [directory.read("gone").unwrap_err(), directory.link("gone").unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
        assert!(directory.directory("attribute".as_ref()).is_err());
    }
}
