//! A tree of files, and the cpio archive that the kernel unpacks as its first root.
//!
//! The archive is not compressed, because unpacking takes longer than reading in an emulated machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write, copy};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cpio::newc::{Builder, ModeFileType, trailer};

/// Folders that are links into `/usr`, as on every Debian machine.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// The device number of `/dev/console`, which the kernel opens for the first program before anything is mounted.
const CONSOLE: (u32, u32) = (5, 1);

/// Files by their path in the guest, without a leading slash.
#[derive(Debug, Default)]
pub struct Tree {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    Host { path: PathBuf, mode: u32 },
    Text { bytes: Vec<u8>, mode: u32 },
    Link(String),
    Console,
}

impl Tree {
    /// Returns the frame of a root: mount points, links for `/bin` and the like, and the console.
    pub fn root() -> Self {
        let mut tree = Self::default();
        for folder in ["dev", "etc", "proc", "root", "run", "sys", "tmp", "usr", "var"] {
            tree.entries.insert(folder.to_owned(), Entry::Folder);
        }
        for folder in MERGED {
            tree.entries.insert(format!("usr/{folder}"), Entry::Folder);
            tree.entries.insert(folder.to_owned(), Entry::Link(format!("usr/{folder}")));
        }
        tree.entries.insert("dev/console".to_owned(), Entry::Console);
        tree
    }

    /// Adds the host's file `from` at `to`, with its permissions. Follows a link.
    ///
    /// # Errors
    /// The file does not exist.
    pub fn add_file(&mut self, from: &Path, to: &str) -> Result<()> {
        let metadata = fs::metadata(from).with_context(|| format!("failed to read `{}`", from.display()))?;
        if !metadata.is_file() {
            bail!("failed to pack `{}`: not a file", from.display());
        }
        let mode = metadata.permissions().mode() & 0o777;
        self.insert(to, Entry::Host { path: from.to_owned(), mode });
        Ok(())
    }

    /// Adds all files under the host's folder `from` below `to`, except those that `wanted` refuses.
    ///
    /// # Errors
    /// The folder, or a file in it, can't be read.
    pub fn add_folder(&mut self, from: &Path, to: &str, wanted: &dyn Fn(&Path) -> bool) -> Result<()> {
        let failure = || format!("failed to read `{}`", from.display());
        for entry in fs::read_dir(from).with_context(failure)? {
            let path = entry.with_context(failure)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let below = format!("{to}/{name}");
            if path.is_dir() {
                self.add_folder(&path, &below, wanted)?;
            } else if wanted(&path) {
                self.add_file(&path, &below)?;
            }
        }
        Ok(())
    }

    /// Adds everything under the host's folder `from` below `to`. Links stay links.
    ///
    /// # Errors
    /// The folder, or something in it, can't be read.
    pub fn add_root(&mut self, from: &Path, to: &str) -> Result<()> {
        let failure = || format!("failed to read `{}`", from.display());
        self.insert(to, Entry::Folder);
        for entry in fs::read_dir(from).with_context(failure)? {
            let entry = entry.with_context(failure)?;
            let kind = entry.file_type().with_context(failure)?;
            let path = entry.path();
            let below = format!("{to}/{}", entry.file_name().to_string_lossy());
            if kind.is_dir() {
                self.add_root(&path, &below)?;
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
                self.add_link(&target.to_string_lossy(), &below);
            } else if kind.is_file() {
                self.add_file(&path, &below)?;
            }
        }
        Ok(())
    }

    /// Adds a file with this text at `to`, readable for all.
    pub fn add_text(&mut self, text: impl Into<Vec<u8>>, to: &str) {
        self.insert(to, Entry::Text { bytes: text.into(), mode: 0o644 });
    }

    /// Adds a link to `target` at `to`.
    pub fn add_link(&mut self, target: &str, to: &str) {
        self.insert(to, Entry::Link(target.to_owned()));
    }

    /// Returns true if there is an entry at `to`.
    pub fn has(&self, to: &str) -> bool {
        self.entries.contains_key(&place(to))
    }

    fn insert(&mut self, to: &str, entry: Entry) {
        let path = place(to);
        for (at, _) in path.match_indices('/') {
            self.entries.entry(path[..at].to_owned()).or_insert(Entry::Folder);
        }
        self.entries.insert(path, entry);
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// A file can't be read, or the archive can't be written.
    pub fn write(&self, mut out: impl Write) -> Result<()> {
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            entry
                .write(Builder::new(path).ino(number), &mut out)
                .with_context(|| format!("failed to pack `/{path}`"))?;
        }
        trailer(&mut out).context("failed to end the archive")?;
        Ok(())
    }

    /// Writes the archive to a file at `path`.
    ///
    /// The bytes of the file at `before` come first, if it is given: the kernel unpacks one archive after the other.
    ///
    /// # Errors
    /// As for [`Tree::write`].
    pub fn write_file(&self, before: Option<&Path>, path: &Path) -> Result<()> {
        let folder = path.parent().unwrap_or(path);
        fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        let file = File::create(path).with_context(|| format!("failed to create `{}`", path.display()))?;
        let mut out = BufWriter::new(file);
        if let Some(before) = before {
            let mut first = File::open(before).with_context(|| format!("failed to open `{}`", before.display()))?;
            let failure = || format!("failed to write `{}`", path.display());
            let length = copy(&mut first, &mut out).with_context(failure)?;
            // The kernel looks for the next archive at multiples of four.
            let gap = usize::try_from(length.next_multiple_of(4) - length).unwrap_or_default();
            out.write_all(&[0; 4][..gap]).with_context(failure)?;
        }
        self.write(&mut out)?;
        out.flush().with_context(|| format!("failed to write `{}`", path.display()))
    }
}

impl Entry {
    fn write(&self, builder: Builder, out: &mut impl Write) -> Result<()> {
        let put = |builder: Builder, kind, mode, bytes: &[u8], out: &mut dyn Write| -> Result<()> {
            let size = u32::try_from(bytes.len())?;
            let mut file = builder.mode(mode).set_mode_file_type(kind).write(out, size);
            file.write_all(bytes)?;
            file.finish()?;
            Ok(())
        };
        match self {
            Entry::Folder => put(builder.nlink(2), ModeFileType::Directory, 0o755, &[], out),
            Entry::Text { bytes, mode } => put(builder, ModeFileType::Regular, *mode, bytes, out),
            Entry::Link(target) => put(builder, ModeFileType::Symlink, 0o777, target.as_bytes(), out),
            Entry::Console => {
                let builder = builder.rdev_major(CONSOLE.0).rdev_minor(CONSOLE.1);
                put(builder, ModeFileType::Char, 0o600, &[], out)
            }
            Entry::Host { path, mode } => {
                let source = File::open(path)?;
                let metadata = source.metadata()?;
                let size = u32::try_from(metadata.len())?;
                // The order of the times matters: hidbpf checks whether the hwdb is older than its drivers.
                let mut file = builder
                    .mtime(u32::try_from(metadata.mtime())?)
                    .mode(*mode)
                    .set_mode_file_type(ModeFileType::Regular)
                    .write(out, size);
                copy(&mut BufReader::new(source), &mut file)?;
                file.finish()?;
                Ok(())
            }
        }
    }
}

/// Returns the real path on a Debian machine: `/lib/x` is `usr/lib/x`.
fn place(path: &str) -> String {
    let path = path.trim_start_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if MERGED.contains(&first) { format!("usr/{path}") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read};

    fn entries(archive: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut found = Vec::new();
        let mut rest = Cursor::new(archive.to_vec());
        loop {
            let mut reader = cpio::newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                return found;
            }
            let mut content = Vec::new();
            reader.read_to_end(&mut content).unwrap();
            found.push((reader.entry().name().to_owned(), reader.entry().mode(), content));
            rest = reader.finish().unwrap();
        }
    }

    #[test]
    fn the_archive_holds_the_tree_with_folders_before_what_is_in_them() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, b"ELF").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

        let mut tree = Tree::root();
        tree.add_file(&program, "/bin/program").unwrap();
        tree.add_text("{}", "/job.json");
        tree.add_link("program", "/usr/bin/other");
        let mut archive = Vec::new();
        tree.write(&mut archive).unwrap();

        let entries = entries(&archive);
        let at = |name: &str| entries.iter().position(|entry| entry.0 == name).unwrap();
        assert_eq!(entries[at("usr/bin/program")].1, 0o100755);
        assert_eq!(entries[at("usr/bin/program")].2, b"ELF");
        assert_eq!(entries[at("usr/bin/other")].1, 0o120777);
        assert_eq!(entries[at("bin")].2, b"usr/bin");
        assert_eq!(entries[at("job.json")].2, b"{}");
        assert_eq!(entries[at("dev/console")].1, 0o020600);
        assert!(at("usr") < at("usr/bin") && at("usr/bin") < at("usr/bin/program"));
        assert_eq!(archive.len() % 4, 0, "the next archive has to begin at a multiple of four");
    }

    #[test]
    fn a_folder_is_packed_without_what_is_not_wanted() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("deep/a.rules"), "").unwrap();
        fs::write(folder.path().join("b.txt"), "").unwrap();
        let mut tree = Tree::default();
        tree.add_folder(folder.path(), "/lib/udev", &|path| path.extension().is_some_and(|end| end == "rules"))
            .unwrap();
        assert!(tree.has("/lib/udev/deep/a.rules") && tree.has("usr/lib/udev/deep"));
        assert!(!tree.has("/lib/udev/b.txt"));
    }

    #[test]
    fn a_root_keeps_its_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("usr")).unwrap();
        fs::write(folder.path().join("usr/a"), "x").unwrap();
        std::os::unix::fs::symlink("/no/such", folder.path().join("b")).unwrap();
        let mut tree = Tree::default();
        tree.add_root(folder.path(), "/inner").unwrap();
        let mut archive = Vec::new();
        tree.write(&mut archive).unwrap();
        let entries = entries(&archive);
        let names: Vec<&str> = entries.iter().map(|entry| entry.0.as_str()).collect();
        assert_eq!(names, ["inner", "inner/b", "inner/usr", "inner/usr/a"]);
        assert_eq!((entries[1].1, entries[1].2.as_slice()), (0o120777, b"/no/such".as_slice()));
    }

    #[test]
    fn one_archive_follows_another() {
        let folder = tempfile::tempdir().unwrap();
        let (first, both) = (folder.path().join("first"), folder.path().join("both"));
        Tree::root().write_file(None, &first).unwrap();
        let mut tree = Tree::default();
        tree.add_text("x", "/job.json");
        tree.write_file(Some(&first), &both).unwrap();
        let (first, both) = (fs::read(&first).unwrap(), fs::read(&both).unwrap());
        assert_eq!(&both[..first.len()], &first);
        assert_eq!(entries(&both[first.len()..]).len(), 1);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Tree::root().add_file(Path::new("/no/such"), "/x").unwrap_err();
        assert!(format!("{error:#}").starts_with("failed to read `/no/such`: "), "{error:#}");
    }
}
