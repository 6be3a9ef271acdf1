//! `hidbpf export`.

use std::fs;
use std::path::Path;

use hidbpf::error::{Error, ErrorKind};

use super::build::failed;
use crate::output::{self, Outcome};

pub fn run(folder: &Path, output: Option<&Path>) -> Outcome {
    let source = hidbpf_build::export(folder).map_err(failed)?;
    match output {
        None => output::text(source),
        Some(path) => Ok(fs::write(path, source)
            .map_err(|error| Error::because(ErrorKind::Io, format!("failed to write `{}`", path.display()), error))?),
    }
}
