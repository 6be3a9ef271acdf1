//! Reads a growing file line by line.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file, read up to some place.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    file: File,
    rest: Vec<u8>,
}

impl Tail {
    /// Opens the file at `path` for reading from its start.
    ///
    /// # Errors
    /// It can't be opened.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("failed to open `{}`", path.display()))?;
        Ok(Self { path: path.to_owned(), file, rest: Vec::new() })
    }

    /// Returns the new lines, without their ends. An incomplete line waits, unless `is_last`.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn lines(&mut self, is_last: bool) -> Result<Vec<String>> {
        let path = &self.path;
        self.file.read_to_end(&mut self.rest).with_context(|| format!("failed to read `{}`", path.display()))?;
        let end = if is_last {
            self.rest.len()
        } else {
            self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        let whole: Vec<u8> = self.rest.drain(..end).collect();
        let text = String::from_utf8_lossy(&whole);
        Ok(text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn half_a_line_waits_for_its_other_half() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        fs::write(&path, "one\r\ntw").unwrap();
        let mut tail = Tail::open(&path).unwrap();
        assert_eq!(tail.lines(false).unwrap(), ["one"]);
        fs::write(&path, "one\r\ntwo\nthr").unwrap();
        assert_eq!(tail.lines(false).unwrap(), ["two"]);
        assert_eq!(tail.lines(true).unwrap(), ["thr"]);
        assert!(tail.lines(true).unwrap().is_empty());
    }
}
