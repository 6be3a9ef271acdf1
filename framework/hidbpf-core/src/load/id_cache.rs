//! The file in `/run/hidbpf` that caches the kernel's ids from one run to the next. Only root can read or write it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use crate::files::{Durability, failed_to_write, in_dir, remove_if_there, write_whole};
use crate::load::fast::CacheUpdate;
use crate::system::System;

/// A limit above the size of a valid file, in bytes.
const MOST: u64 = 1 << 16;

/// Reads the file. Returns `None` if it can't be read, or if other users could have written it.
pub fn read(system: &System) -> Option<Vec<u8>> {
    read_owned(&system.ids(), 0).ok()
}

fn read_owned(path: &Path, owner: u32) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(CWD, path, flags, Mode::empty())?;
    let stat = fstat(&file)?;
    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !is_file || stat.st_uid != owner || stat.st_mode & 0o7777 != MODE {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    // The extra byte lets `read_to_end` reach the end of the file without another allocation.
    let size = u64::try_from(stat.st_size).unwrap_or(0).min(MOST);
    let mut bytes = Vec::with_capacity(size as usize + 1);
    File::from(file).take(MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Only the owner reads it.
const MODE: u32 = 0o600;

/// Updates the file as `update` says. If it can't be written, the next run takes longer, but this one is not affected.
pub fn write(system: &System, update: &CacheUpdate) {
    let path = system.ids();
    let result = match update {
        CacheUpdate::Unchanged => Ok(()),
        CacheUpdate::Replace(bytes) => in_dir([&system.run], || write_whole(&path, bytes, MODE, Durability::Process))
            .and_then(|written| written.map_err(|error| failed_to_write(&path, error))),
        CacheUpdate::Remove => remove_if_there(&path),
    };
    if let Err(error) = result {
        tracing::warn!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn only_a_file_of_its_owners_alone_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let system = System { run: folder.path().to_owned(), ..System::default() };
        let path = system.ids();
        let uid = rustix::process::getuid().as_raw();
        let read = || read_owned(&path, uid).ok();
        assert_eq!(read(), None);
        let missing = System { run: folder.path().join("new"), ..System::default() };
        write(&missing, &CacheUpdate::Replace(b"first".to_vec()));
        assert_eq!(read_owned(&missing.ids(), uid).unwrap(), b"first");
        fs::remove_dir_all(&missing.run).unwrap();
        for text in ["one", "another"] {
            write(&system, &CacheUpdate::Replace(text.into()));
            assert_eq!(read(), Some(text.into()));
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
        write(&system, &CacheUpdate::Unchanged);
        assert_eq!(read(), Some("another".into()));
        assert!(read_owned(&path, uid + 1).is_err());
        for mode in [0o644, 0o620, 0o606] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(), None, "{mode:o}");
        }
        fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        symlink("elsewhere", &path).unwrap();
        assert_eq!(read(), None);
        write(&system, &CacheUpdate::Replace(b"third".to_vec()));
        assert_eq!(read(), Some(b"third".into()));
        write(&system, &CacheUpdate::Remove);
        write(&system, &CacheUpdate::Remove);
        assert_eq!(read(), None);
    }
}
