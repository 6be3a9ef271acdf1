//! Compiles the fixtures, drivers that only tests want, and names the drivers that have recordings, so that the guest has a case
//! for each and `--list` knows them without a machine.

use std::path::{Path, PathBuf};
use std::{env, fs};

use hidbpf_build::{Clang, Sdk};

const FIXTURES: &str = "fixtures/drivers";
const DRIVERS: &str = "../drivers";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR must be set"));
    for place in [FIXTURES, DRIVERS] {
        println!("cargo::rerun-if-changed={place}");
    }
    for name in hidbpf_build::ENVIRONMENT {
        println!("cargo::rerun-if-env-changed={name}");
    }
    compile_fixtures(&out.join("fixtures"));
    fs::write(out.join("recorded_drivers.rs"), format!("&{:?}", recorded_drivers()))
        .expect("failed to write the list of drivers");
}

fn compile_fixtures(out: &Path) {
    let clang = Clang::find().unwrap_or_else(|error| panic!("{error}"));
    let folders = hidbpf_build::driver_folders(Path::new(FIXTURES)).unwrap_or_else(|error| panic!("{error}"));
    for folder in folders {
        let driver =
            hidbpf_build::compile(&clang, &Sdk::Embedded, &folder, out).unwrap_or_else(|error| panic!("{error}"));
        for warning in driver.warnings {
            println!("cargo::warning={warning}");
        }
    }
}

fn recorded_drivers() -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(DRIVERS)
        .expect("failed to list the drivers")
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().join("recordings").is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
