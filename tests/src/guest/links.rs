//! Symbolic links that a case puts into the machine and removes again.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The path and the target of each link.
pub type Spec<'a> = &'a [(&'a str, &'a str)];

/// Links that are removed when this is dropped. The files that they replaced come back.
#[derive(Debug, Default)]
pub struct Links(Vec<Link>);

#[derive(Debug)]
struct Link {
    path: PathBuf,
    /// The path of the file that the link replaced.
    aside: Option<PathBuf>,
}

impl Links {
    /// Makes links.
    ///
    /// # Errors
    /// One can't be made.
    pub fn make(links: Spec<'_>) -> Result<Links> {
        let mut made = Links::default();
        for (path, target) in links {
            let path = PathBuf::from(path);
            let parent = path.parent().unwrap_or(Path::new("/"));
            fs::create_dir_all(parent).with_context(|| format!("failed to make `{}`", parent.display()))?;
            let mut aside = None;
            if path.symlink_metadata().is_ok() {
                let place = path.with_extension("aside");
                fs::rename(&path, &place).with_context(|| format!("failed to move `{}`", path.display()))?;
                aside = Some(place);
            }
            let result = symlink(target, &path).with_context(|| format!("failed to link `{}`", path.display()));
            made.0.push(Link { path, aside });
            result?;
        }
        Ok(made)
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        // If removing fails, the case has failed and reports that.
        for Link { path, aside } in self.0.drain(..).rev() {
            let _ = (fs::remove_file(&path), aside.map(|aside| fs::rename(aside, &path)));
        }
    }
}

/// Removes a file, or a directory with its contents.
///
/// # Errors
/// It can't be removed.
pub fn remove(path: &str) -> Result<()> {
    let is_directory = Path::new(path).is_dir();
    let removed = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("failed to remove `{path}`"))
}
