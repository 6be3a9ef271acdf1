//! Finds clang and runs it through libbpf-cargo, so that objects don't contain local directories.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use hidbpf::names::DriverName;
use hidbpf::object::SOURCE_ROOT;
use libbpf_cargo::SkeletonBuilder;

use crate::error::BuildError;
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
    pub name: &'a DriverName,
    pub include: &'a Path,
    pub struct_ops_only: bool,
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
        let object = scratch.path().join("driver.o");
        let depfile = scratch.path().join("driver.d");
        let mut builder = SkeletonBuilder::new();
        builder.source(job.source).obj(&object).clang(&self.path).clang_args(arguments(job, &depfile));
        let (built, warnings) = warnings::caught(|| builder.build());
        built.map_err(|error| self.failure(job, &error))?;

        let read = |path: &Path| fs::read(path).map_err(|error| BuildError::io("read", path, error));
        let rules = String::from_utf8_lossy(&read(&depfile)?).into_owned();
        // The bundled libbpf headers were in a temporary directory. They only change together with this program.
        let inputs = prerequisites(&rules).into_iter().filter(|path| path.exists()).collect();
        Ok(Compiled { object: read(&object)?, inputs, warnings })
    }

    fn failure(&self, job: &Job<'_>, error: &anyhow::Error) -> BuildError {
        match error.chain().find_map(|cause| cause.downcast_ref::<io::Error>()) {
            Some(cause) if cause.kind() == io::ErrorKind::NotFound => {
                BuildError::NoClang { clang: self.path.clone(), source: io::Error::from(cause.kind()) }
            }
            _ => {
                let (source_file, message) = (job.source.to_owned(), error.root_cause().to_string());
                match message.contains(&format!("'{LIBBPF_HEADER}' file not found")) {
                    true => BuildError::NoHeader { source_file, header: LIBBPF_HEADER },
                    false => BuildError::Compile { source_file, message: message.trim_end().to_owned() },
                }
            }
        }
    }
}

fn arguments(job: &Job<'_>, depfile: &Path) -> Vec<OsString> {
    let with_path = |option: &str, path: &Path, rest: &str| {
        let mut argument = OsString::from(option);
        argument.push(path);
        argument.push(rest);
        argument
    };
    let folder = job.source.parent().unwrap_or(Path::new(""));
    let mut arguments: Vec<OsString> = [CPU, "-std=gnu11", "-Wall", "-Wextra", "-MD", "-MF"].map(OsString::from).into();
    arguments.push(depfile.into());
    arguments.push(with_path("-I", job.include, ""));
    // Debug information becomes BTF, which provides file and line to bpftool and the verifier's log.
    arguments.push(with_path("-ffile-prefix-map=", folder, &format!("={}", job.name)));
    arguments.push(with_path("-ffile-prefix-map=", job.include, "=sdk"));
    // This directory doesn't exist. If it did, clang would find the sources there and put their lines into the BTF,
    // only on this machine.
    arguments.push(format!("-fdebug-compilation-dir={SOURCE_ROOT}").into());
    if job.struct_ops_only {
        arguments.push("-DHIDBPF_STRUCT_OPS_ONLY".into());
    }
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
    fn a_depfile_is_read_as_make_would() {
        let rule = "/tmp/driver.o: /a/driver.bpf.c \\\n  /sdk/hidbpf/driver.h \\\n  /with\\ blank/a$$b.h\n";
        let files = ["/a/driver.bpf.c", "/sdk/hidbpf/driver.h", "/with blank/a$b.h"].map(PathBuf::from);
        assert_eq!(prerequisites(rule), files);
        assert_eq!(prerequisites(""), Vec::<PathBuf>::new());
    }
}
