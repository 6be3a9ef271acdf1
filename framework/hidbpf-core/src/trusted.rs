//! Opening files that nobody but root can have put there or changed.
//!
//! What udev's events load into the kernel must be root's. Each directory on the way is opened from the one before it and looked at through its
//! descriptor, so that nothing can be exchanged between the look and the use.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};

/// How many links there may be on the way.
const MAX_LINKS: usize = 16;

/// Opens a file for reading. Directories on the way may be links, the file itself may not.
///
/// # Errors
/// Somebody else than root owns or may write the file, a directory on the way or a link there; it is no regular file; or it can't
/// be opened.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let root = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    open_below(&root, path, 0)
}

/// The same with another root directory and another owner.
fn open_below(root: &OwnedFd, path: &Path, owner: u32) -> io::Result<File> {
    let mut rest = names(path)?;
    // Without one it is the root directory.
    let mut directory: Option<OwnedFd> = None;
    let mut here = PathBuf::from("/");
    let mut links = 0;
    check(&fstat(root)?, owner, &here)?;
    while let Some(name) = rest.pop_front() {
        let parent = directory.as_ref().unwrap_or(root);
        here.push(&name);
        if rest.is_empty() {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let file = openat(parent, &name, flags, Mode::empty()).map_err(|error| match error {
                rustix::io::Errno::LOOP => refused(&here, "is a link"),
                error => error.into(),
            })?;
            let stat = fstat(&file)?;
            check(&stat, owner, &here)?;
            return match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(File::from(file)),
                _ => Err(refused(&here, "is no regular file")),
            };
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = openat(parent, &name, flags, Mode::empty())?;
        let stat = fstat(&next)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                check(&stat, owner, &here)?;
                directory = Some(next);
            }
            FileType::Symlink if stat.st_uid == owner && links < MAX_LINKS => {
                links += 1;
                let target = PathBuf::from(OsString::from_vec(readlinkat(&next, "", Vec::new())?.into_bytes()));
                here.pop();
                if target.is_absolute() {
                    (directory, here) = (None, PathBuf::from("/"));
                }
                for name in names(&target)?.into_iter().rev() {
                    rest.push_front(name);
                }
            }
            FileType::Symlink => return Err(refused(&here, "is a link that is not root's, or one too many")),
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
    }
    Err(refused(path, "names no file"))
}

/// The names that a path goes through. `..` is refused: after a link it would not be where it seems to be.
fn names(path: &Path) -> io::Result<VecDeque<OsString>> {
    let mut names = VecDeque::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push_back(name.to_owned()),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(refused(path, "has `..` in it")),
        }
    }
    Ok(names)
}

/// Refuses what another could have changed.
fn check(stat: &Stat, owner: u32, path: &Path) -> io::Result<()> {
    if stat.st_uid != owner {
        return Err(refused(path, &format!("belongs to the user {}", stat.st_uid)));
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH) {
        return Err(refused(path, "can be written by others than root"));
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, format!("`{}` {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A tree of this user's, as if it were root's.
    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new() -> Tree {
            let tree = Tree(tempfile::tempdir().unwrap());
            fs::create_dir_all(tree.path("lib/drivers")).unwrap();
            fs::write(tree.path("lib/drivers/x"), "x").unwrap();
            for path in ["", "lib", "lib/drivers", "lib/drivers/x"] {
                tree.mode(path, 0o755);
            }
            tree
        }

        fn path(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn mode(&self, path: &str, mode: u32) {
            fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).unwrap();
        }

        fn open(&self, path: &str) -> Result<String, String> {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let root = openat(CWD, self.0.path(), flags, Mode::empty()).unwrap();
            let mut file = open_below(&root, Path::new(path), rustix::process::getuid().as_raw())
                .map_err(|error| error.to_string())?;
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            Ok(text)
        }
    }

    #[test]
    fn what_only_its_owner_can_write_is_opened_also_by_way_of_links() {
        let tree = Tree::new();
        symlink("lib", tree.path("relative")).unwrap();
        symlink("/lib/drivers", tree.path("absolute")).unwrap();
        for path in ["/lib/drivers/x", "/relative/drivers/x", "/absolute/x"] {
            assert_eq!(tree.open(path).unwrap(), "x", "{path}");
        }
    }

    #[test]
    fn what_others_can_write_is_refused_and_named() {
        for (path, mode) in [("", 0o777), ("lib", 0o775), ("lib/drivers", 0o1777), ("lib/drivers/x", 0o664)] {
            let tree = Tree::new();
            tree.mode(path, mode);
            let error = tree.open("/lib/drivers/x").unwrap_err();
            assert_eq!(error, format!("`/{path}` can be written by others than root"));
        }
    }

    #[test]
    fn links_out_of_a_directory_and_odd_files_are_refused() {
        let tree = Tree::new();
        fs::write(tree.path("outside"), "secret").unwrap();
        symlink("../../outside", tree.path("lib/drivers/link")).unwrap();
        symlink("../lib", tree.path("up")).unwrap();
        symlink("loop", tree.path("loop")).unwrap();
        for (path, why) in [
            ("/lib/drivers/link", "is a link"),
            ("/lib/drivers/../../outside", "has `..` in it"),
            ("/up/drivers/x", "has `..` in it"),
            ("/loop/x", "one too many"),
            ("/lib/drivers", "is no regular file"),
            ("/", "names no file"),
            ("/lib/drivers/nothing", "No such file"),
            ("/outside/x", "not a directory"),
        ] {
            let error = tree.open(path).unwrap_err();
            assert!(error.contains(why), "{path}: {error}");
        }
        let foreign = open_below(
            &openat(CWD, tree.0.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap(),
            Path::new("/lib/drivers/x"),
            rustix::process::getuid().as_raw() + 1,
        );
        assert!(foreign.unwrap_err().to_string().contains("belongs to the user"));
    }
}
