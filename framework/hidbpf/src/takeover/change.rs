//! Changes of several files: either all are made, or none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::etc;

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    File(Vec<u8>),
    Link(PathBuf),
}

impl Content {
    /// Reads what is at a path.
    pub(super) fn read(path: &Path) -> Result<Content> {
        let failed = |error| Error::permission_or(ErrorKind::Io, format!("failed to read `{}`", path.display()), error);
        match fs::read_link(path) {
            Ok(target) => return Ok(Content::Link(target)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::Nothing),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
            Err(error) => return Err(failed(error)),
        }
        fs::read(path).map(Content::File).map_err(failed)
    }

    /// Puts it at a path.
    fn put(&self, path: &Path) -> Result<()> {
        match self {
            Content::Nothing => etc::put(path, None),
            Content::File(bytes) => etc::put(path, Some(bytes)),
            Content::Link(target) => etc::link(path, target),
        }
    }
}

/// Changes of files, with what was there before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes(Vec<(PathBuf, Content, Content)>);

impl Changes {
    /// Adds a change, unless the path has this content already.
    pub(super) fn add(&mut self, path: PathBuf, new: Content) -> Result<()> {
        let old = Content::read(&path)?;
        if old != new {
            self.0.push((path, old, new));
        }
        Ok(())
    }

    /// Returns the changed paths, each with whether something will be there.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.0.iter().map(|(path, _, new)| (path.as_path(), *new != Content::Nothing))
    }

    /// Makes the changes, then runs `rest`.
    ///
    /// # Errors
    /// A change or `rest` failed. The changes were undone.
    pub(super) fn make<T>(&self, rest: impl FnOnce() -> Result<T>) -> Result<T> {
        let made = self.0.iter().try_for_each(|(path, _, new)| new.put(path));
        made.and_then(|()| rest()).map_err(|error| {
            match self.0.iter().rev().try_for_each(|(path, old, _)| old.put(path)) {
                Ok(()) => error,
                Err(undo) => error.with_hint(format!("and it could not be undone: {undo}")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_is_undone_if_a_later_step_fails() {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::write(path("a"), "old").unwrap();
        symlink("/dev/null", path("b")).unwrap();
        let before = || ["a", "b", "c/d"].map(|name| Content::read(&path(name)).unwrap());
        let old = before();
        let mut changes = Changes::default();
        changes.add(path("a"), Content::Nothing).unwrap();
        changes.add(path("b"), Content::File(b"new".to_vec())).unwrap();
        changes.add(path("c/d"), Content::Link("/dev/null".into())).unwrap();
        changes.add(path("e"), Content::Nothing).unwrap();
        assert_eq!(changes.paths().map(|(_, is_there)| is_there).collect::<Vec<_>>(), [false, true, true]);
        let failed = changes.make(|| -> Result<()> { Err(Error::new(ErrorKind::Io, "failed")) });
        assert_eq!(failed.unwrap_err().to_string(), "failed");
        assert_eq!(before(), old);
        changes.make(|| Ok(())).unwrap();
        assert_eq!(before(), [Content::Nothing, Content::File(b"new".to_vec()), Content::Link("/dev/null".into())]);
    }
}
