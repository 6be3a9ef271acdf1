//! Finds clang, compiles with it, and links the result with libbpf, which removes the debug information with local
//! directories.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use hidbpf::object::SOURCE_ROOT;
use hidbpf_prelink::parts::Parts;
use libbpf_rs::Linker;

use crate::error::BuildError;
use crate::object::open;
use crate::place;

/// The environment variables that name a clang, in order of precedence: `BPF_CLANG` only for BPF, `CLANG` for
/// everything.
///
/// If neither is set, the `clang` in `PATH` is used. A build script should list each in `rerun-if-env-changed`.
pub const ENVIRONMENT: [&str; 2] = ["BPF_CLANG", "CLANG"];

/// The oldest major version of clang that drivers are tested with.
pub const OLDEST_CLANG: u32 = 14;

/// The instruction set, which kernels support since 5.1. It is explicit because clang's default has changed between
/// versions.
const CPU: &str = "-mcpu=v3";

/// The directory of hidbpf's headers in messages and in type information.
const SDK: &str = "sdk";

/// The libbpf header that the SDK includes.
const LIBBPF_HEADER: &str = "bpf/bpf_helpers.h";

/// A clang that can compile drivers.
#[derive(Clone, Debug)]
pub struct Clang {
    path: PathBuf,
    version: String,
}

/// The inputs of a compilation.
pub(crate) struct Job<'a> {
    pub source: &'a Path,
    /// The directory of hidbpf's headers.
    pub include: &'a Path,
    /// More arguments. Directories in them precede `include`.
    pub options: Vec<OsString>,
}

pub(crate) struct Compiled {
    pub object: Vec<u8>,
    pub inputs: Vec<PathBuf>,
    pub warnings: Vec<String>,
}

impl Clang {
    /// Finds the clang that [`ENVIRONMENT`] names, or the one in `PATH`.
    ///
    /// # Errors
    /// As for [`Clang::at`].
    pub fn find() -> Result<Clang, BuildError> {
        let named = ENVIRONMENT.iter().filter_map(env::var_os).find(|value| !value.is_empty());
        Clang::at(Path::new(&named.unwrap_or_else(|| "clang".into())))
    }

    /// Returns the clang with this path or name.
    ///
    /// # Errors
    /// It can't be run, is another compiler, or is older than [`OLDEST_CLANG`].
    pub fn at(path: &Path) -> Result<Clang, BuildError> {
        let path = path.to_owned();
        let asked = Command::new(&path).args(["-dM", "-E", "-x", "c", "-"]).stdin(Stdio::null()).output();
        let macros = match asked {
            Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
            Err(source) => return Err(BuildError::NoClang { clang: path, source }),
        };
        let value = |name: &str| macros.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
        let major = value("__clang_major__ ").and_then(|text| text.trim().parse().ok());
        match major {
            None => Err(BuildError::NotClang { clang: path }),
            Some(found) if found < OLDEST_CLANG => {
                Err(BuildError::OldClang { clang: path, found, oldest: OLDEST_CLANG })
            }
            Some(_) => {
                let version = value("__clang_version__ ").unwrap_or_default().to_owned();
                Ok(Clang { path, version })
            }
        }
    }

    /// Returns the path and version, which change if a different clang could produce different objects.
    pub(crate) fn identity(&self) -> String {
        format!("{} {}", self.path.display(), self.version)
    }

    pub(crate) fn compile(&self, job: &Job<'_>) -> Result<Compiled, BuildError> {
        hidbpf::libbpf::check().map_err(|error| BuildError::OldLibbpf {
            problem: error.to_string(),
            hint: error.hint().unwrap_or_default().to_owned(),
        })?;
        let scratch = tempfile::tempdir().map_err(|error| BuildError::io("create", &env::temp_dir(), error))?;
        let [compiled, depfile, linked] = ["driver.o", "driver.d", "linked.o"].map(|name| scratch.path().join(name));
        let mut command = Command::new(&self.path);
        command.args(arguments(job, &depfile));
        if let Some(headers) = libbpf_headers(scratch.path())? {
            command.arg("-I").arg(headers);
        }
        command.args(["-g", "-O2", "-target", "bpf", "-fno-stack-protector", "-c"]).arg(job.source);
        let output = command.arg("-o").arg(&compiled).stdin(Stdio::null()).output();
        let output = output.map_err(|source| BuildError::NoClang { clang: self.path.clone(), source })?;
        // The directory may be a temporary one.
        let messages = String::from_utf8_lossy(&output.stderr).replace(&*job.include.to_string_lossy(), SDK);
        if !output.status.success() {
            return Err(failure(job.source, messages.trim_end()));
        }
        let read = |path: &Path| fs::read(path).map_err(|error| BuildError::io("read", path, error));
        check_symbols(job.source, &read(&compiled)?)?;
        link(&compiled, &linked).map_err(|error| failure(job.source, &format!("{error:#}")))?;

        let rules = String::from_utf8_lossy(&read(&depfile)?).into_owned();
        // The bundled libbpf headers were in a temporary directory. They only change together with this program.
        let inputs = prerequisites(&rules).into_iter().filter(|path| !path.starts_with(scratch.path())).collect();
        Ok(Compiled { object: read(&linked)?, inputs, warnings: messages.lines().map(str::to_owned).collect() })
    }
}

fn failure(source: &Path, message: &str) -> BuildError {
    let source_file = source.to_owned();
    match missing_header(message) {
        Some((_, LIBBPF_HEADER)) => BuildError::NoHeader { source_file, header: LIBBPF_HEADER },
        Some((place, header)) => BuildError::MissingHeader { place: place.to_owned(), header: header.to_owned() },
        None => BuildError::Compile { source_file, message: message.to_owned() },
    }
}

/// Writes the bundled libbpf's headers to a directory. Returns `None` if libbpf is the system's, like its headers.
fn libbpf_headers(scratch: &Path) -> Result<Option<PathBuf>, BuildError> {
    #[cfg(feature = "vendored-libbpf")]
    {
        let headers = scratch.join("libbpf");
        let texts = libbpf_rs::libbpf_sys::API_HEADERS.map(|(name, text)| (format!("bpf/{name}"), text));
        crate::write_headers(&headers, texts.iter().map(|(name, text)| (name.as_str(), *text)))?;
        Ok(Some(headers))
    }
    #[cfg(not(feature = "vendored-libbpf"))]
    {
        let _ = scratch;
        Ok(None)
    }
}

/// Links an object alone. libbpf's linker keeps no debug information but BTF.
fn link(compiled: &Path, linked: &Path) -> libbpf_rs::Result<()> {
    let mut linker = Linker::new(linked)?;
    linker.add_file(compiled)?;
    linker.link()
}

/// Refuses an object that calls a function which is neither in it nor declared. clang inserts such calls for builtins
/// that it has no instructions for. libbpf's linker would not say where.
fn check_symbols(source: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let elf = open(bytes).map_err(|error| failure(source, &error))?;
    // Later checks say why an object has parts that can't be read.
    let Ok(parts) = Parts::read(&elf) else { return Ok(()) };
    let is_declared = |name: &str| parts.btf.has_function(name) || parts.btf.variable(name).is_some();
    match place::externs(&parts).find(|(_, _, symbol)| !is_declared(symbol.name)) {
        None => Ok(()),
        Some((section, instruction, symbol)) => {
            let name = symbol.name.escape_debug();
            let problem = format!("clang calls `{name}()` here, which BPF programs do not have");
            let hint = "write a loop with constant bounds, or use a newer clang";
            Err(BuildError::at(place::of(source, &parts, section, instruction), problem, Some(hint)))
        }
    }
}

/// Returns an argument with a path in it.
pub(crate) fn with_path(option: &str, path: &Path, rest: &str) -> OsString {
    let mut argument = OsString::from(option);
    argument.push(path);
    argument.push(rest);
    argument
}

/// Returns the place and the name of a header that clang doesn't find: `x.bpf.c:3:10` and `missing.h`.
fn missing_header(message: &str) -> Option<(&str, &str)> {
    message.lines().find_map(|line| {
        let (place, rest) = line.split_once(": fatal error: '")?;
        Some((place, rest.strip_suffix("' file not found")?))
    })
}

fn arguments(job: &Job<'_>, depfile: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = [CPU, "-std=gnu11", "-Wall", "-MD", "-MF"].map(OsString::from).into();
    arguments.push(depfile.into());
    arguments.extend(job.options.iter().cloned());
    arguments.push(with_path("-I", job.include, ""));
    // Debug information becomes BTF, which provides file and line to bpftool and the verifier's log.
    arguments.push(with_path("-ffile-prefix-map=", job.include, &format!("={SDK}")));
    // This directory doesn't exist. If it did, clang would find the sources there and put their lines into the BTF,
    // only on this machine.
    arguments.push(format!("-fdebug-compilation-dir={SOURCE_ROOT}").into());
    arguments
}

/// Parses the files in a depfile's only rule. `-MD` writes it for make: blanks in names are escaped with a backslash,
/// dollars are doubled.
fn prerequisites(rule: &str) -> Vec<PathBuf> {
    let Some((_, files)) = rule.split_once(':') else { return Vec::new() };
    let mut paths = Vec::new();
    let mut name = String::new();
    let mut characters = files.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(' ' | '#')) | ('$', Some('$')) => name.extend(characters.next()),
            ('\\', Some('\n')) => {}
            (' ' | '\n' | '\t', _) => paths.push(std::mem::take(&mut name)),
            _ => name.push(character),
        }
    }
    paths.push(name);
    paths.into_iter().filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_header_has_a_place() {
        let message = "In file included from a.c:1:\nx.bpf.c:3:10: fatal error: 'missing.h' file not found\n#include\n";
        assert_eq!(missing_header(message), Some(("x.bpf.c:3:10", "missing.h")));
        assert_eq!(missing_header("x.bpf.c:3:10: error: expected ';'"), None);
    }

    #[test]
    fn a_depfile_is_read_as_make_would() {
        let rule = "/tmp/driver.o: /a/driver.bpf.c \\\n  /sdk/hidbpf/driver.h \\\n  /with\\ blank/a$$b.h\n";
        let files = ["/a/driver.bpf.c", "/sdk/hidbpf/driver.h", "/with blank/a$b.h"].map(PathBuf::from);
        assert_eq!(prerequisites(rule), files);
        assert_eq!(prerequisites(""), Vec::<PathBuf>::new());
    }
}
