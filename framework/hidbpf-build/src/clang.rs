//! Finds clang and runs it through libbpf-cargo, so that objects don't contain local directories.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use hidbpf::object::SOURCE_ROOT;
use hidbpf_prelink::parts::Parts;
use libbpf_cargo::SkeletonBuilder;

use crate::error::BuildError;
use crate::object::open;
use crate::place;
use crate::warnings;

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
        let [object, depfile] = ["driver.o", "driver.d"].map(|name| scratch.path().join(name));
        let mut builder = SkeletonBuilder::new();
        builder.source(job.source).obj(&object).clang(&self.path).clang_args(arguments(job, &depfile));
        // In debug builds, libbpf-rs 0.27 panics where it should return the linker's error.
        let (built, warnings) = warnings::caught(|| catch_unwind(AssertUnwindSafe(|| builder.build())));
        match built {
            Ok(Ok(())) => {}
            Ok(Err(error)) if !error.chain().any(|cause| cause.is::<libbpf_rs::Error>()) => {
                return Err(self.failure(job, &error));
            }
            Ok(Err(error)) => return Err(self.unlinkable(job, scratch.path(), &format!("{error:#}"))),
            Err(_) => return Err(self.unlinkable(job, scratch.path(), "libbpf can't link the object")),
        }

        let read = |path: &Path| fs::read(path).map_err(|error| BuildError::io("read", path, error));
        let rules = String::from_utf8_lossy(&read(&depfile)?).into_owned();
        // The bundled libbpf headers were in a temporary directory. They only change together with this program.
        let inputs = prerequisites(&rules).into_iter().filter(|path| path.exists()).collect();
        let warnings = warnings.iter().map(|line| job.readable(line)).collect();
        Ok(Compiled { object: read(&object)?, inputs, warnings })
    }

    /// Returns the cause of libbpf-cargo's error.
    fn failure(&self, job: &Job<'_>, error: &anyhow::Error) -> BuildError {
        let source_file = job.source.to_owned();
        if let Some(cause) = error.chain().find_map(|cause| cause.downcast_ref::<io::Error>())
            && cause.kind() == io::ErrorKind::NotFound
        {
            return BuildError::NoClang { clang: self.path.clone(), source: io::Error::from(cause.kind()) };
        }
        let message = job.readable(&error.root_cause().to_string());
        match missing_header(&message) {
            Some((_, LIBBPF_HEADER)) => BuildError::NoHeader { source_file, header: LIBBPF_HEADER },
            Some((place, header)) => BuildError::MissingHeader { place: place.to_owned(), header: header.to_owned() },
            None => BuildError::Compile { source_file, message: message.trim_end().to_owned() },
        }
    }

    /// Returns the cause of the linker's error: a call of a function which is neither in the object nor declared.
    ///
    /// clang inserts such calls for builtins that it has no instructions for. The linker's error has no place in the
    /// source, so this function compiles the source again and searches the object.
    fn unlinkable(&self, job: &Job<'_>, scratch: &Path, error: &str) -> BuildError {
        let unlinked = scratch.join("unlinked.o");
        let compile = || -> Result<Vec<u8>, BuildError> {
            let mut command = Command::new(&self.path);
            command.args(arguments(job, &scratch.join("unlinked.d"))).args(libbpf_headers(scratch)?);
            command.args(["-g", "-O2", "-target", "bpf", "-w", "-c"]).arg(job.source).arg("-o").arg(&unlinked);
            let output = command.stdin(Stdio::null()).output();
            output.map_err(|source| BuildError::NoClang { clang: self.path.clone(), source })?;
            fs::read(&unlinked).map_err(|error| BuildError::io("read", &unlinked, error))
        };
        let linkers = || BuildError::Compile { source_file: job.source.to_owned(), message: error.to_owned() };
        compile().map_or_else(|error| error, |object| undeclared(job.source, &object).unwrap_or_else(linkers))
    }
}

/// Finds the first call of a function that is neither in an object nor declared.
fn undeclared(source: &Path, object: &[u8]) -> Option<BuildError> {
    let elf = open(object).ok()?;
    let parts = Parts::read(&elf).ok()?;
    let is_declared = |name: &str| parts.btf.has_function(name) || parts.btf.variable(name).is_some();
    let (section, instruction, symbol) = place::externs(&parts).find(|(_, _, symbol)| !is_declared(symbol.name))?;
    let problem = format!("clang calls `{}()` here, which BPF programs do not have", symbol.name.escape_debug());
    let hint = "write a loop with constant bounds, or use a newer clang";
    Some(BuildError::at(place::of(source, &parts, section, instruction), problem, Some(hint)))
}

/// Writes the bundled libbpf's headers to a directory, and returns the option for it. The system's libbpf needs none.
fn libbpf_headers(scratch: &Path) -> Result<Option<OsString>, BuildError> {
    #[cfg(feature = "vendored-libbpf")]
    {
        let texts = libbpf_rs::libbpf_sys::API_HEADERS.map(|(name, text)| (format!("libbpf/bpf/{name}"), text));
        crate::write_headers(scratch, texts.iter().map(|(name, text)| (name.as_str(), *text)))?;
        Ok(Some(with_path("-I", &scratch.join("libbpf"), "")))
    }
    #[cfg(not(feature = "vendored-libbpf"))]
    {
        let _ = scratch;
        Ok(None)
    }
}

impl Job<'_> {
    /// Returns clang's messages without the directory of hidbpf's headers, which may be a temporary one.
    fn readable(&self, messages: &str) -> String {
        messages.replace(&*self.include.to_string_lossy(), SDK)
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
