//! Creates a driver in C from one whose manifest declares the repair, to go on from.

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::manifest::Manifest;
use hidbpf::names::DriverName;

use crate::error::BuildError;
use crate::folder::MANIFEST_FILE;
use crate::recordings::FOLDER;

use super::new_folder::NewFolder;

/// The tables of a manifest that declare repairs.
const DECLARATIONS: [&str; 2] = ["[[descriptor]]", "[[report]]"];

/// Writes the folder of a driver in C into `directory`, and returns its path. It does what the driver without C in `from`
/// does: the source has the repairs, the manifest has the rest, and the recordings are copies. On failure nothing is left
/// behind.
///
/// # Errors
/// The folder already exists, the driver in `from` is not valid or is in C already, or reading or writing failed.
pub fn scaffold_c(directory: &Path, name: &DriverName, from: &Path) -> Result<PathBuf, BuildError> {
    let folder = NewFolder::new(directory, name)?;
    if !crate::is_declared(from) {
        let problem = format!("the driver in `{}` is in C already: copy the folder", from.display());
        return Err(BuildError::Scaffold { name: name.clone(), problem });
    }
    let path = from.join(MANIFEST_FILE);
    let text = fs::read_to_string(&path).map_err(|error| BuildError::io("read", &path, error))?;
    let manifest = Manifest::parse(&path, &text)?;
    let source = crate::declared_source(from)?;
    let old = crate::driver_name(&fs::canonicalize(from).map_err(|error| BuildError::io("open", from, error))?)?;

    folder.write(MANIFEST_FILE, &without_declarations(&text))?;
    for (file, text) in super::sources(source) {
        folder.write(file, &text)?;
    }
    let recordings = from.join(FOLDER);
    let unreadable = |error| BuildError::io("read", &recordings, error);
    for entry in fs::read_dir(&recordings).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let Some(file_name) = file.file_name().filter(|_| file.is_file()) else { continue };
        let mut text = fs::read_to_string(&file).map_err(|error| BuildError::io("read", &file, error))?;
        // The names of these properties contain the driver's.
        for option in &manifest.options {
            text = text.replace(&option.property(old.as_str()), &option.property(name.as_str()));
        }
        folder.write(Path::new(FOLDER).join(file_name), &text)?;
    }
    folder.finish()
}

/// Returns a manifest without the tables that declare repairs, and without the comments above them.
fn without_declarations(text: &str) -> String {
    let (mut kept, mut comments): (Vec<&str>, Vec<&str>) = Default::default();
    let (mut is_declaration, mut quotes) = (false, None);
    for line in text.lines() {
        if quotes.is_none() && line.starts_with('[') {
            is_declaration = DECLARATIONS.iter().any(|table| line.starts_with(table));
        }
        match quotes {
            // Comments belong to what follows them.
            None if line.starts_with('#') => comments.push(line),
            _ if is_declaration => comments.clear(),
            _ => {
                kept.append(&mut comments);
                kept.push(line);
            }
        }
        for mark in ["\"\"\"", "'''"] {
            if line.matches(mark).count() % 2 == 1 && quotes.is_none_or(|open| open == mark) {
                quotes = if quotes.is_some() { None } else { Some(mark) };
            }
        }
    }
    let end = kept.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    kept.truncate(end);
    kept.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_declarations_are_left_out() {
        let text = "device = \"A\"\n\n# Why.\n[[descriptor]]\nreplace = \"\"\"\n[[match]] # no table\n\"\"\"\n\n# The rule.\n[[match]]\nvendor = 1\n\n[[report]]\ndo = []\n# The end.\n";
        assert_eq!(without_declarations(text), "device = \"A\"\n\n# The rule.\n[[match]]\nvendor = 1\n");
    }
}
