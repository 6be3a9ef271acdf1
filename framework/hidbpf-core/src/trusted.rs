//! Opens files that only root can have written: the drivers and the configuration that udev's events use.
//!
//! The path is walked name by name. Each name is opened relative to the directory before it and checked through the new
//! descriptor. So nothing can be exchanged between the check and the use. Links are read and walked in the same way,
//! including a link in the last place. The checks therefore cover every directory that the walk passes, every link and
//! its directory, and the file itself.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use rustix::io::Errno;

/// How many links one walk follows, as in the kernel (`MAXSYMLINKS`).
const MAX_LINKS: usize = 40;

/// Opens a regular file for reading.
///
/// # Errors
/// A user other than root owns the file, a directory on the way or a link. Other users can write or replace the file.
/// The path does not end in a regular file, has too many links, or a name can't be opened.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let root = openat(CWD, "/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Walk::from(root, 0)?.open(path)
}

/// Returns a hint for an error of [`open`], if there is one.
pub(crate) fn hint(error: &io::Error) -> Option<String> {
    let Refusal { path, fault } = error.get_ref()?.downcast_ref()?;
    let path = path.display();
    match fault {
        Fault::Owner(_) => Some(format!(
            "move the file to where root owns every directory, or run `chown --no-dereference root {path}` as root"
        )),
        Fault::Everybody | Fault::Group(_) => Some(format!(
            "run `chmod go-w {path}` as root, or move the file to where only root may write the directories"
        )),
        Fault::Loop => Some(format!("correct the link `{path}`")),
        Fault::NoFile => None,
    }
}

/// Why the walk ended.
#[derive(Debug)]
struct Refusal {
    /// The place, without links.
    path: PathBuf,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    /// This user owns it.
    Owner(u32),
    /// All users can write it.
    Everybody,
    /// This group can write it.
    Group(u32),
    /// The path has more links than are followed.
    Loop,
    /// Neither a directory nor a regular file, or a directory in the last place.
    NoFile,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` ", self.path.display())?;
        match self.fault {
            Fault::Owner(user) => write!(f, "belongs to user {user}, expected root"),
            Fault::Everybody => f.write_str("can be written by everybody"),
            Fault::Group(group) => write!(f, "can be written by group {group}"),
            Fault::Loop => write!(f, "comes after {MAX_LINKS} other links (do they form a loop?)"),
            Fault::NoFile => f.write_str("is not a regular file"),
        }
    }
}

impl StdError for Refusal {}

/// The directories from the root to the present position.
struct Walk {
    root: OwnedFd,
    /// The directories below the root, each opened relative to the one before it.
    below: Vec<OwnedFd>,
    /// The path of the last one, without links. For messages only.
    here: PathBuf,
    /// The user who must own everything.
    owner: u32,
}

impl Walk {
    fn from(root: OwnedFd, owner: u32) -> io::Result<Walk> {
        let walk = Walk { root, below: Vec::new(), here: PathBuf::from("/"), owner };
        walk.check_directory(&fstat(&walk.root)?)?;
        Ok(walk)
    }

    fn open(mut self, path: &Path) -> io::Result<File> {
        let mut rest = steps(path);
        let mut links = 0;
        while let Some(step) = rest.pop_front() {
            let name = match step {
                Step::Root => {
                    self.below.clear();
                    self.here = PathBuf::from("/");
                    continue;
                }
                // The walk already checked the directory above. The parent of the root is the root.
                Step::Up => {
                    self.below.pop();
                    self.here.pop();
                    continue;
                }
                Step::Down(name) => name,
            };
            self.here.push(&name);
            let is_last = rest.is_empty();
            let how = if is_last { OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY } else { OFlags::PATH };
            let found = match self.open_here(&name, how) {
                // A link can only be opened as a path descriptor.
                Err(Errno::LOOP) if is_last => self.open_here(&name, OFlags::PATH)?,
                found => found?,
            };
            let stat = fstat(&found)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    self.check_owner(&stat)?;
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(self.refuse(Fault::Loop));
                    }
                    let target = PathBuf::from(OsString::from_vec(readlinkat(&found, "", Vec::new())?.into_bytes()));
                    self.here.pop();
                    for step in steps(&target).into_iter().rev() {
                        rest.push_front(step);
                    }
                }
                FileType::Directory => {
                    self.check_directory(&stat)?;
                    self.below.push(found);
                }
                FileType::RegularFile if is_last => {
                    self.check_file(&stat)?;
                    return Ok(File::from(found));
                }
                FileType::RegularFile => return Err(Errno::NOTDIR.into()),
                _ => break,
            }
        }
        Err(self.refuse(Fault::NoFile))
    }

    fn open_here(&self, name: &OsString, how: OFlags) -> Result<OwnedFd, Errno> {
        let directory = self.below.last().unwrap_or(&self.root);
        openat(directory, name, how | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    }

    fn check_owner(&self, stat: &Stat) -> io::Result<()> {
        if stat.st_uid == self.owner { Ok(()) } else { Err(self.refuse(Fault::Owner(stat.st_uid))) }
    }

    /// Checks owner and write permission. The group bits also cover access control lists.
    fn check_file(&self, stat: &Stat) -> io::Result<()> {
        self.check_owner(stat)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.contains(Mode::WOTH) {
            return Err(self.refuse(Fault::Everybody));
        }
        if mode.contains(Mode::WGRP) { Err(self.refuse(Fault::Group(stat.st_gid))) } else { Ok(()) }
    }

    /// Checks that only root can replace a name in a directory.
    ///
    /// A group may write a sticky directory, such as Nix's store (`drwxrwxr-t root nixbld`). Its members can add names
    /// there, but can neither remove nor rename root's files. The walk opens only root's files.
    ///
    /// A directory that all users can write is refused, even if it is sticky. Any user could create a name that an
    /// administrator's link refers to, by moving or hard-linking a file of root there.
    fn check_directory(&self, stat: &Stat) -> io::Result<()> {
        let mode = Mode::from_raw_mode(stat.st_mode);
        if mode.contains(Mode::SVTX) && !mode.contains(Mode::WOTH) {
            self.check_owner(stat)
        } else {
            self.check_file(stat)
        }
    }

    fn refuse(&self, fault: Fault) -> io::Error {
        io::Error::new(io::ErrorKind::PermissionDenied, Refusal { path: self.here.clone(), fault })
    }
}

/// One step of a walk.
#[derive(Debug)]
enum Step {
    /// To the root directory.
    Root,
    /// To the directory above.
    Up,
    /// To a name in the directory.
    Down(OsString),
}

fn steps(path: &Path) -> VecDeque<Step> {
    let step = |component: Component<'_>| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A tree that belongs to this user, who stands for root.
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

        fn link(&self, path: &str, target: &str) {
            fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
            symlink(target, self.path(path)).unwrap();
        }

        fn walk(&self, owner: u32) -> io::Result<Walk> {
            Walk::from(openat(CWD, self.0.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap(), owner)
        }

        fn open(&self, path: &str) -> Result<String, String> {
            let open = || self.walk(rustix::process::getuid().as_raw())?.open(Path::new(path));
            let mut text = String::new();
            open().map_err(|error| error.to_string())?.read_to_string(&mut text).unwrap();
            Ok(text)
        }
    }

    #[test]
    fn links_are_followed_wherever_they_are() {
        let tree = Tree::new();
        for (path, target) in [
            ("relative", "lib"),
            ("absolute", "/lib/drivers"),
            ("file", "lib/drivers/x"),
            ("far/away/up", "../../lib/drivers"),
            ("far/away/file", "../../absolute/../drivers/./x"),
            ("far/chain", "away/file"),
            // A walk can't leave the root.
            ("high", "../../../lib"),
        ] {
            tree.link(path, target);
        }
        for path in [
            "/lib/drivers/x",
            "/lib/../lib/drivers/x",
            "/relative/drivers/x",
            "/relative/../lib/drivers/x",
            "/absolute/x",
            "/file",
            "/far/away/up/x",
            "/far/away/file",
            "/far/chain",
            "/high/drivers/x",
            "/../../lib/drivers/x",
        ] {
            assert_eq!(tree.open(path).as_deref(), Ok("x"), "{path}");
        }
    }

    /// As on ostree, where /usr/local is below /var, and on NixOS, where the store's builders may add names.
    #[test]
    fn layouts_of_image_based_systems_are_walked() {
        let tree = Tree::new();
        tree.link("usr/local", "../var/usrlocal");
        fs::create_dir_all(tree.path("var/usrlocal/lib")).unwrap();
        fs::write(tree.path("var/usrlocal/lib/x"), "ostree").unwrap();
        assert_eq!(tree.open("/usr/local/lib/x").unwrap(), "ostree");

        tree.link("etc/hidbpf/x", "/etc/static/hidbpf/x");
        tree.link("etc/static", "/nix/store/1-etc/etc");
        tree.link("nix/store/1-etc/etc/hidbpf/x", "/nix/store/2-x");
        fs::write(tree.path("nix/store/2-x"), "nix").unwrap();
        tree.mode("nix/store/2-x", 0o444);
        tree.mode("nix/store/1-etc", 0o555);
        tree.mode("nix/store", 0o1775);
        assert_eq!(tree.open("/etc/hidbpf/x").unwrap(), "nix");
        tree.mode("nix/store/1-etc", 0o755);
        for (mode, who) in [(0o1777, "everybody"), (0o1757, "everybody"), (0o775, "group ")] {
            tree.mode("nix/store", mode);
            let error = tree.open("/etc/hidbpf/x").unwrap_err();
            assert!(error.starts_with(&format!("`/nix/store` can be written by {who}")), "{mode:o}: {error}");
        }
    }

    #[test]
    fn what_others_can_write_is_refused_and_named() {
        for (path, mode) in [
            ("", 0o777),
            ("lib", 0o775),
            ("lib/drivers", 0o1777),
            ("lib/drivers", 0o757),
            ("lib/drivers/x", 0o664),
            ("lib/drivers/x", 0o1664),
            ("lib/drivers/x", 0o646),
        ] {
            let tree = Tree::new();
            tree.link("else/where/x", "../../lib/drivers/x");
            tree.mode(path, mode);
            let who = match mode & 0o002 {
                0 => format!("group {}", rustix::process::getgid().as_raw()),
                _ => "everybody".to_owned(),
            };
            for way in ["/lib/drivers/x", "/else/where/x"] {
                assert_eq!(tree.open(way).unwrap_err(), format!("`/{path}` can be written by {who}"), "{mode:o} {way}");
            }
        }
    }

    #[test]
    fn a_directory_that_is_only_passed_is_checked_too() {
        let tree = Tree::new();
        fs::create_dir_all(tree.path("open/inner")).unwrap();
        tree.link("open/link", "/lib/drivers/x");
        tree.link("through", "open/inner/../../lib");
        tree.mode("open", 0o777);
        for path in ["/open/link", "/through/drivers/x", "/open/inner/../../lib/drivers/x"] {
            assert_eq!(tree.open(path).unwrap_err(), "`/open` can be written by everybody", "{path}");
        }
    }

    #[test]
    fn what_belongs_to_another_user_is_refused() {
        let tree = Tree::new();
        let me = rustix::process::getuid().as_raw();
        let error = tree.walk(me + 1).err().unwrap().to_string();
        assert_eq!(error, format!("`/` belongs to user {me}, expected root"));
        if me != 0 {
            return;
        }
        for path in ["lib", "lib/drivers", "lib/drivers/x", "link", "last"] {
            let tree = Tree::new();
            tree.link("link", "lib");
            tree.link("last", "lib/drivers/x");
            std::os::unix::fs::lchown(tree.path(path), Some(12345), None).unwrap();
            let way = match path {
                "last" => "/last",
                _ => "/link/drivers/x",
            };
            assert_eq!(tree.open(way).unwrap_err(), format!("`/{path}` belongs to user 12345, expected root"));
        }
    }

    #[test]
    fn loops_and_odd_files_are_refused() {
        let tree = Tree::new();
        fs::write(tree.path("outside"), "secret").unwrap();
        tree.link("loop", "loop");
        tree.link("one", "two");
        tree.link("two", "/one");
        tree.link("deep/down", "../deep/down/further");
        tree.link("dangling", "nowhere");
        tree.link("directory", "lib");
        for number in 0..50 {
            tree.link(&format!("chain/{number}"), &(number + 1).to_string());
        }
        fs::write(tree.path("chain/50"), "far").unwrap();
        rustix::fs::mkfifoat(CWD, tree.path("fifo"), Mode::RWXU).unwrap();
        for (path, why) in [
            ("/loop", "`/loop` comes after 40 other links (do they form a loop?)"),
            ("/loop/x", "`/loop` comes after 40 other links"),
            ("/one", "comes after 40 other links"),
            ("/deep/down", "comes after 40 other links"),
            ("/chain/0", "`/chain/40` comes after 40 other links"),
            ("/dangling", "No such file"),
            ("/lib/drivers/nothing", "No such file"),
            ("/lib/drivers", "`/lib/drivers` is not a regular file"),
            ("/directory", "`/lib` is not a regular file"),
            ("/lib/..", "`/` is not a regular file"),
            ("/", "`/` is not a regular file"),
            ("/fifo", "`/fifo` is not a regular file"),
            ("/fifo/x", "`/fifo` is not a regular file"),
            ("/outside/x", "Not a directory"),
            ("/outside/../lib/drivers/x", "Not a directory"),
        ] {
            let error = tree.open(path).unwrap_err();
            assert!(error.contains(why), "{path}: {error}");
        }
        assert_eq!(tree.open("/chain/10").unwrap(), "far");
    }
}
