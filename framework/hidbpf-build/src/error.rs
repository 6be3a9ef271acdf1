//! Why a driver couldn't be built: the thing, the step, the cause and the way out.

use std::path::{Path, PathBuf};

use hidbpf::manifest::ManifestError;
use hidbpf::names::{DriverName, InvalidDriverName};

use crate::clang::OLDEST_CLANG;

/// How to get a clang.
const GET_CLANG: &str = "install the package `clang`, or name one with BPF_CLANG";

/// Why a driver couldn't be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The folder's name can't be a driver's.
    #[error("failed to name the driver in `{}`: {source}", folder.display())]
    Name {
        /// The driver's folder.
        folder: PathBuf,
        /// What is wrong with the name.
        source: InvalidDriverName,
    },
    /// The manifest was refused.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There is no clang, or it can't be run.
    #[error("failed to run `{}`: {source} ({GET_CLANG})", clang.display())]
    NoClang {
        /// What was to be run.
        clang: PathBuf,
        /// Why it didn't.
        source: std::io::Error,
    },
    /// What was named is another compiler.
    #[error("`{}` is not clang ({GET_CLANG})", clang.display())]
    NotClang {
        /// What was run.
        clang: PathBuf,
    },
    /// The clang can't make what drivers need.
    #[error("`{}` is clang {found}, and drivers need {OLDEST_CLANG} or newer ({GET_CLANG})", clang.display())]
    OldClang {
        /// What was run.
        clang: PathBuf,
        /// Its major version.
        found: u32,
    },
    /// The linker, which is libbpf's, can't make what drivers need.
    #[error("{problem} ({hint})")]
    OldLibbpf {
        /// Which it is, and which is needed.
        problem: String,
        /// What to do about it.
        hint: String,
    },
    /// Where hidbpf has no copy of libbpf in it, it has none of libbpf's headers either.
    #[error("failed to compile `{}`: there is no `{header}` (install libbpf's headers: libbpf-dev in Debian, libbpf-devel in Fedora, libbpf in Arch)", source_file.display())]
    NoHeader {
        /// The driver's source.
        source_file: PathBuf,
        /// What it wanted.
        header: &'static str,
    },
    /// clang, or the linker after it, refused the source. The message is theirs, with file and line.
    #[error("failed to compile `{}`:\n{message}", source_file.display())]
    Compile {
        /// The driver's source.
        source_file: PathBuf,
        /// What clang said.
        message: String,
    },
    /// The object isn't one that hidbpf could load.
    #[error("failed to make an object of the driver `{name}`: {problem}")]
    Object {
        /// The driver.
        name: DriverName,
        /// What is wrong and how to set it right.
        problem: String,
    },
    /// A new driver's folder can't be made of what there is.
    #[error("failed to make the driver `{name}`: {problem}")]
    Scaffold {
        /// The driver.
        name: DriverName,
        /// What is wrong and how to set it right.
        problem: String,
    },
    /// A recording, or what is expected of it, was refused.
    #[error("failed to read a recording: {0}")]
    Recording(#[from] hidbpf::recording::RecordingError),
    /// The driver did to a recording what the kernel would not let it do.
    #[error("failed to run `{}` over `{}`: {problem}", object.display(), recording.display())]
    Replay {
        /// The object.
        object: PathBuf,
        /// The recording.
        recording: PathBuf,
        /// What it did, and where.
        problem: String,
    },
    /// A file couldn't be read or written.
    #[error("failed to {verb} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl BuildError {
    pub(crate) fn io(verb: &'static str, path: &Path, source: std::io::Error) -> BuildError {
        BuildError::Io { verb, path: path.to_owned(), source }
    }
}
