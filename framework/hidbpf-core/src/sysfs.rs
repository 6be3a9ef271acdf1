//! Directories of sysfs, held open: the kernel then goes the long way to a device once, and not again for each attribute.

use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, openat, readlinkat, statat};

/// Bytes of an attribute, at most; longer ones, which only binary ones are, take more than one look.
const PAGE: usize = 4096;

/// A directory of sysfs.
pub(crate) struct Directory(OwnedFd);

impl Directory {
    /// Opens it.
    pub(crate) fn open(path: &Path) -> io::Result<Directory> {
        Ok(Directory(openat(CWD, path, Directory::FLAGS, Mode::empty())?))
    }

    /// Opens one of its directories.
    pub(crate) fn directory(&self, name: &OsStr) -> io::Result<Directory> {
        Ok(Directory(openat(&self.0, name, Directory::FLAGS, Mode::empty())?))
    }

    const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    /// Reads an attribute.
    pub(crate) fn read(&self, attribute: &str) -> io::Result<Vec<u8>> {
        let file = openat(&self.0, attribute, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut bytes = Vec::new();
        let mut page = [0; PAGE];
        loop {
            match rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut page))? {
                0 => return Ok(bytes),
                length => bytes.extend_from_slice(&page[..length]),
            }
        }
    }

    /// The last name in the text of a link: of `driver` and `subsystem` all that matters.
    pub(crate) fn link(&self, name: &str) -> io::Result<String> {
        let text = readlinkat(&self.0, name, Vec::new())?.into_bytes();
        let last = text.rsplit(|byte| *byte == b'/').next().unwrap_or(&text);
        Ok(String::from_utf8_lossy(last).into_owned())
    }

    /// Whether there is something of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether the name of anything in it is such. To be asked once.
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
