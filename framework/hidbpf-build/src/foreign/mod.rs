//! Compiles a foreign source: a single `.bpf.c` file that is written for udev-hid-bpf or for the kernel tree.
//!
//! Such a source has programs for one generation at a time. It is compiled for Linux 6.11 and later, and a second time
//! for Linux 6.3 to 6.10 if it uses nothing newer. The second object gets the next lower number, as in udev-hid-bpf:
//! `0010-Huion__Dial-2.bpf.o` and `0009-Huion__Dial-2.bpf.o`. hidbpf takes them for versions of one driver.

mod needs;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::kernel::Generation;
use hidbpf::names::{DriverName, ForeignName, OBJECT_SUFFIX};
use hidbpf::object::DriverObject;
use hidbpf_prelink::match_table;
use hidbpf_prelink::parts::Parts;
use object::Object as _;

use crate::clang::{self, Clang};
use crate::error::BuildError;
use crate::object::open;
use needs::Need;

/// The suffix of a foreign source.
pub const SOURCE_SUFFIX: &str = ".bpf.c";

/// The macro that makes FMOD_RET programs of a foreign source (hid_bpf.h).
const OLDER: &str = "-DHID_BPF_TRACING";

/// The arguments for all foreign sources. The kernel's own vmlinux.h of some versions needs the extensions.
const ARGUMENTS: [&str; 3] = ["-fms-extensions", "-Wno-microsoft-anon-tag", "-Werror=implicit-function-declaration"];

/// A compiled foreign source.
#[derive(Clone, Debug)]
pub struct ForeignDriver {
    /// The driver's name, which is made from the file's: `huion-dial-2`.
    pub name: DriverName,
    /// The object for Linux 6.11 and later.
    pub object: PathBuf,
    /// The object for Linux 6.3 to 6.10, if the source suits them.
    pub older: Option<PathBuf>,
    /// The input files, without hidbpf's own headers.
    pub inputs: Vec<PathBuf>,
    /// The source's features that some kernels lack, and clang's warnings. One line each.
    pub warnings: Vec<String>,
}

impl ForeignDriver {
    /// Iterates over the objects, the newest first.
    pub fn objects(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.object).chain(&self.older)
    }

    /// Reads the objects as versions of one driver.
    ///
    /// # Errors
    /// An object can't be read.
    pub fn read(&self) -> hidbpf::error::Result<DriverObject> {
        let newest = DriverObject::read(&self.object)?;
        match &self.older {
            Some(older) => Ok(newest.and_version(DriverObject::read(older)?)),
            None => Ok(newest),
        }
    }
}

/// Returns the object of a foreign source: `Huion__Dial-2.bpf.o` in the source's directory, or in another one.
pub fn object_path(source: &Path, output: Option<&Path>) -> PathBuf {
    let named = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(OBJECT_SUFFIX));
    let beside = source.with_extension("o");
    match output {
        None => beside,
        Some(object) if named(object) => object.to_owned(),
        Some(directory) => directory.join(beside.file_name().unwrap_or_default()),
    }
}

/// Compiles a foreign source to `object`, and to the object with the next lower number.
///
/// Headers beside the source are preferred to hidbpf's.
///
/// # Errors
/// clang fails, the source has no match table, it has a program that is not a hook of HID-BPF, it calls a function that
/// no kernel has, or the file's name has no name for a driver.
pub fn compile_foreign(clang: &Clang, source: &Path, object: &Path) -> Result<ForeignDriver, BuildError> {
    let is_source = source.file_name().is_some_and(|name| name.to_string_lossy().ends_with(SOURCE_SUFFIX));
    let names = ForeignName::of(object).and_then(|file| Some((file.driver()?, older_than(object, &file))));
    let Some((name, older)) = names.filter(|_| is_source) else {
        let hint = "rename the file after the device, such as `Maker__Model.bpf.c`";
        return Err(BuildError::at(source.display(), "its file name has no name for a driver", Some(hint)));
    };
    let source = &fs::canonicalize(source).map_err(|error| BuildError::io("open", source, error))?;
    let headers = tempfile::tempdir().map_err(|error| BuildError::io("create", &std::env::temp_dir(), error))?;
    write_foreign_headers(headers.path())?;
    let compile = |options: &[&str]| {
        let folder = source.parent().unwrap_or(Path::new("/"));
        let mut options: Vec<OsString> = ARGUMENTS.iter().chain(options).map(OsString::from).collect();
        // clang looks beside the source first, also for a header that another header includes.
        options.push(clang::with_path("-I", folder, ""));
        options.push("-include".into());
        options.push(headers.path().join(hid_bpf_src::FOREIGN_CLANG_HEADER).into());
        // Places in messages and in BTF are relative to the source's directory.
        options.push(clang::with_path("-ffile-prefix-map=", folder, "/="));
        clang.compile(&clang::Job { source, include: headers.path(), options })
    };

    let newer = compile(&[])?;
    let needs = check(source, &newer.object)?;
    let parsed = DriverObject::parse(object, newer.object.clone())
        .map_err(|error| BuildError::at(source.display(), error.to_string(), error.hint()))?;
    let has_hooks = parsed.hooks.values().any(|hooks| !hooks.is_empty());
    let mut warnings = newer.warnings;
    warnings.extend(needs.iter().filter_map(Need::warning));

    // An object with only a probe suits all kernels.
    let second = match needs.iter().find(|need| need.is_beyond_fmod_ret()) {
        Some(need) => Err(Some(need.to_string())),
        None if !has_hooks => Err(None),
        None if older == object => Err(Some(format!("`{}` has the lowest number", object.display()))),
        None => {
            let bytes = compile(&[OLDER])?.object;
            let why =
                || format!("{}: the header `hid_bpf.h` beside it does not know {}", source.display(), &OLDER[2..]);
            if is_older(&older, &bytes) { Ok(bytes) } else { Err(Some(why())) }
        }
    };
    crate::write_whole(object, &newer.object)?;
    let older = match second {
        Ok(bytes) => {
            crate::write_whole(&older, &bytes)?;
            Some(older)
        }
        Err(why) => {
            warnings.extend(why.map(|why| format!("{why}: it gets no programs for Linux 6.3 to 6.10")));
            None
        }
    };
    let inputs = newer.inputs.into_iter().filter(|path| !path.starts_with(headers.path())).collect();
    Ok(ForeignDriver { name, object: object.to_owned(), older, inputs, warnings })
}

/// Returns whether an object has FMOD_RET programs alone. A header beside the source may not know [`OLDER`].
fn is_older(path: &Path, bytes: &[u8]) -> bool {
    let object = DriverObject::parse(path, bytes.to_vec());
    object.is_ok_and(|object| object.generations().into_iter().eq([Generation::FmodRet]))
}

/// Returns the object with the next lower number, which is an older version of the same driver. An object without a number
/// counts as 0, and has `0000-` for that.
fn older_than(object: &Path, name: &ForeignName<'_>) -> PathBuf {
    object.with_file_name(format!("{:04}-{}{OBJECT_SUFFIX}", name.number.saturating_sub(1), name.stem))
}

/// Writes the headers that foreign sources include to a directory, which is created if necessary.
///
/// # Errors
/// A file can't be written.
pub fn write_foreign_headers(directory: &Path) -> Result<(), BuildError> {
    crate::write_headers(directory, hid_bpf_src::FOREIGN_HEADERS.iter().copied())
}

/// Refuses an object that hidbpf could not load, with the place in the source. Returns what the kernel must have.
fn check(source: &Path, object: &[u8]) -> Result<Vec<Need>, BuildError> {
    let refused = |problem: String| BuildError::at(source.display(), problem, None);
    let elf = open(object).map_err(refused)?;
    if elf.section_by_name(match_table::SECTION).is_none() {
        let hint = "name its devices: HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x5678));";
        return Err(BuildError::at(source.display(), "it has no match table", Some(hint)));
    }
    let parts = Parts::read(&elf).map_err(|error| refused(error.to_string()))?;
    needs::of(source, &parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_object_has_the_next_lower_number() {
        for (object, older) in [
            ("0010-Huion__Dial-2.bpf.o", "0009-Huion__Dial-2.bpf.o"),
            ("/x/0100-a.bpf.o", "/x/0099-a.bpf.o"),
            ("Huion__Dial-2.bpf.o", "0000-Huion__Dial-2.bpf.o"),
        ] {
            let path = Path::new(object);
            assert_eq!(older_than(path, &ForeignName::of(path).unwrap()), Path::new(older));
        }
    }

    #[test]
    fn the_object_is_beside_the_source_or_where_it_is_wanted() {
        let source = Path::new("/x/Huion__Dial-2.bpf.c");
        assert_eq!(object_path(source, None), Path::new("/x/Huion__Dial-2.bpf.o"));
        assert_eq!(object_path(source, Some(Path::new("/y"))), Path::new("/y/Huion__Dial-2.bpf.o"));
        assert_eq!(object_path(source, Some(Path::new("/y/0010-a.bpf.o"))), Path::new("/y/0010-a.bpf.o"));
    }
}
