//! Why a driver couldn't be built: the object, the step, the cause and a hint.

use std::path::{Path, PathBuf};

use hidbpf::manifest::ManifestError;
use hidbpf::names::{DriverName, InvalidDriverName};

/// The hint for a missing clang.
const GET_CLANG: &str = "install the package `clang`, or name one with BPF_CLANG";

/// The reason why a driver couldn't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder's name isn't a valid driver name.
    #[error("failed to name the driver in `{}`: {source}", folder.display())]
    Name {
        /// The driver's folder.
        folder: PathBuf,
        /// The defect.
        source: InvalidDriverName,
    },
    /// The manifest is invalid.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// clang can't be run.
    #[error("failed to run `{}`: {source} ({GET_CLANG})", clang.display())]
    NoClang {
        /// The program that should run.
        clang: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The named program is another compiler.
    #[error("`{}` is not clang ({GET_CLANG})", clang.display())]
    NotClang {
        /// The program that ran.
        clang: PathBuf,
    },
    /// clang is too old for drivers.
    #[error("`{}` is clang {found}, and drivers need {oldest} or newer ({GET_CLANG})", clang.display())]
    OldClang {
        /// The program that ran.
        clang: PathBuf,
        /// Its major version.
        found: u32,
        /// The oldest version that will do.
        oldest: u32,
    },
    /// The linker, libbpf's, is too old for drivers.
    #[error("{problem} ({hint})")]
    OldLibbpf {
        /// Its version, and the required one.
        problem: String,
        /// The hint.
        hint: String,
    },
    /// A libbpf header is missing. A hidbpf without bundled libbpf doesn't include the headers either.
    #[error("failed to compile `{}`: there is no `{header}` (install libbpf's headers: libbpf-dev in Debian, libbpf-devel in Fedora, libbpf in Arch)", source_file.display())]
    NoHeader {
        /// The driver's source.
        source_file: PathBuf,
        /// The missing header.
        header: &'static str,
    },
    /// clang doesn't find a header.
    #[error("{place}: failed to find the header `{header}` (put it beside the source, or correct its name)")]
    MissingHeader {
        /// File, line and column.
        place: String,
        /// The header, as the source has it.
        header: String,
    },
    /// clang accepts the source, but hidbpf could not load the object.
    #[error("{place}: {problem}{}", in_brackets(hint.as_deref()))]
    Source {
        /// The file, and the line if the problem has one.
        place: String,
        /// The problem.
        problem: String,
        /// The hint, if there is one.
        hint: Option<String>,
    },
    /// A driver can't be written in the kernel tree's form.
    #[error("failed to export the driver in `{}`: {why}", folder.display())]
    NotExported {
        /// The driver's folder.
        folder: PathBuf,
        /// The reason.
        why: String,
    },
    /// clang or the linker refused the source. Their message has file and line.
    #[error("failed to compile `{}`:\n{message}", source_file.display())]
    Compile {
        /// The driver's source.
        source_file: PathBuf,
        /// The message.
        message: String,
    },
    /// hidbpf could not load the object.
    #[error("failed to make an object of the driver `{name}`: {problem}")]
    Object {
        /// The driver.
        name: DriverName,
        /// The cause and the hint.
        problem: String,
    },
    /// An object can't be read.
    #[error("failed to read `{}`: {problem}", object.display())]
    Unreadable {
        /// The object.
        object: PathBuf,
        /// The cause.
        problem: String,
    },
    /// A new driver's folder can't be created from this input.
    #[error("failed to make the driver `{name}`: {problem}")]
    Scaffold {
        /// The driver.
        name: DriverName,
        /// The cause and the hint.
        problem: String,
    },
    /// A recording, or its expected result, is invalid.
    #[error("failed to read a recording: {0}")]
    Recording(#[from] hidbpf::recording::RecordingError),
    /// The driver did something with a recording that the kernel forbids.
    #[error("failed to run `{}` over `{}`: {problem}", object.display(), recording.display())]
    Replay {
        /// The object.
        object: PathBuf,
        /// The recording.
        recording: PathBuf,
        /// The fault, and where it is.
        problem: String,
    },
    /// A file couldn't be read or written.
    #[error("failed to {verb} `{}`: {source}", path.display())]
    Io {
        /// The attempted action.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl BuildError {
    pub(crate) fn io(verb: &'static str, path: &Path, source: std::io::Error) -> BuildError {
        BuildError::Io { verb, path: path.to_owned(), source }
    }

    pub(crate) fn at(place: impl ToString, problem: impl Into<String>, hint: Option<&str>) -> BuildError {
        BuildError::Source { place: place.to_string(), problem: problem.into(), hint: hint.map(str::to_owned) }
    }
}

/// Returns a hint as it follows a message.
fn in_brackets(hint: Option<&str>) -> String {
    hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
}
