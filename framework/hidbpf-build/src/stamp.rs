//! Determines whether an object is up to date. A stamp file next to it lists its inputs, with a hash of each file's
//! content.
//!
//! Cargo only reruns a build script as a whole. With the stamps, a change to one driver recompiles only that driver.

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
    /// The object's other inputs: this program, clang and the location of the headers.
    maker: String,
}

impl<'a> Stamp<'a> {
    pub(crate) fn new(object: &'a Path, clang: &Clang, include: &Path) -> Stamp<'a> {
        let program = env::current_exe().and_then(fs::metadata);
        let built = program.and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let maker = format!("maker {:x} {}", hash(&(built, include)), clang.identity().replace('\n', " "));
        Stamp { object, path: object.with_extension("o.stamp"), maker }
    }

    /// Returns the object's inputs and warnings, if it exists and is up to date.
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
                // Without a stamp the driver is compiled again next time, as it should be.
                None => return Ok(()),
            }
        }
        for warning in warnings {
            text += &format!("warning {warning}\n");
        }
        crate::write_whole(&self.path, text.as_bytes())
    }
}

/// Returns a file's hash and name. `None` if it can't be read, or if its name doesn't fit on a line.
fn content(path: &Path) -> Option<String> {
    let name = path.to_str().filter(|name| !name.contains('\n'))?;
    Some(format!("{:016x} {name}", hash(&fs::read(path).ok()?)))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
