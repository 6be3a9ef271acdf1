//! Creates a driver's folder in its own directory, for tests that compile one.

// Each test binary uses only a part of this.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf_build::{BuildError, Clang, Driver, Sdk};
use tempfile::TempDir;

/// The SDK of this source tree.
pub const INCLUDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hid-bpf-src/include");

pub const MANIFEST: &str = r#"
device = "A device"
before = "It does not work."
after = "It works."
kind = "fix"
status = "testing"

[[match]]
vendor = 0x1234
"#;

pub struct Folder {
    root: TempDir,
    name: String,
}

impl Folder {
    pub fn new(name: &str, source: &str) -> Folder {
        Folder::with_manifest(name, MANIFEST, source)
    }

    pub fn with_manifest(name: &str, manifest: &str, source: &str) -> Folder {
        let folder = Folder { root: tempfile::tempdir().unwrap(), name: name.to_owned() };
        fs::create_dir(folder.path()).unwrap();
        fs::write(folder.path().join("driver.toml"), manifest).unwrap();
        folder.write_source(source);
        folder
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().join(&self.name)
    }

    pub fn output(&self) -> PathBuf {
        self.root.path().join("out")
    }

    pub fn write_source(&self, source: &str) {
        fs::write(self.path().join("driver.bpf.c"), source).unwrap();
    }

    pub fn compile(&self) -> Result<Driver, BuildError> {
        self.compile_with(&Sdk::Directory(Path::new(INCLUDE).to_owned()))
    }

    pub fn compile_with(&self, sdk: &Sdk) -> Result<Driver, BuildError> {
        hidbpf_build::compile(&Clang::find().unwrap(), sdk, &self.path(), &self.output())
    }

    pub fn error(&self) -> String {
        self.compile().unwrap_err().to_string()
    }
}
