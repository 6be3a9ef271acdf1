//! Tells whether an object is up to date: a file beside it lists what it was made of, with a hash of each file's content.
//!
//! Cargo runs a build script as a whole. By the stamps, a change to one driver compiles one driver.

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::clang::Clang;
use crate::error::BuildError;

pub(crate) struct Stamp<'a> {
    object: &'a Path,
    path: PathBuf,
    /// What made the object, besides its inputs: this program, clang and where the headers are.
    maker: String,
}

impl<'a> Stamp<'a> {
    pub(crate) fn new(object: &'a Path, clang: &Clang, include: &Path) -> Stamp<'a> {
        let program = env::current_exe().and_then(fs::metadata);
        let built = program.and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let maker = format!("maker {:x} {}", hash(&(built, include)), clang.identity().replace('\n', " "));
        Stamp { object, path: object.with_extension("o.stamp"), maker }
    }

    /// The object's inputs and warnings, if it is there and up to date.
    pub(crate) fn read(&self) -> Option<(Vec<PathBuf>, Vec<String>)> {
        let text = fs::read_to_string(&self.path).ok()?;
        let mut lines = text.lines();
        if lines.next()? != self.maker || lines.next()? != content(self.object)? {
            return None;
        }
        let (mut inputs, mut warnings) = (Vec::new(), Vec::new());
        for line in lines {
            if let Some(warning) = line.strip_prefix("warning ") {
                warnings.push(warning.to_owned());
                continue;
            }
            let (_, path) = line.split_once(' ')?;
            if content(Path::new(path))? != line {
                return None;
            }
            inputs.push(PathBuf::from(path));
        }
        Some((inputs, warnings))
    }

    pub(crate) fn write(&self, inputs: &[PathBuf], warnings: &[String]) -> Result<(), BuildError> {
        let mut text = format!("{}\n", self.maker);
        for path in std::iter::once(self.object).chain(inputs.iter().map(PathBuf::as_path)) {
            match content(path) {
                Some(line) => text += &format!("{line}\n"),
                // Without a stamp the driver is compiled again next time, and rightly so.
                None => return Ok(()),
            }
        }
        for warning in warnings {
            text += &format!("warning {warning}\n");
        }
        crate::write_whole(&self.path, text.as_bytes())
    }
}

/// A file's hash and name. None if it can't be read, or has a name that a line can't hold.
fn content(path: &Path) -> Option<String> {
    let name = path.to_str().filter(|name| !name.contains('\n'))?;
    Some(format!("{:016x} {name}", hash(&fs::read(path).ok()?)))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
