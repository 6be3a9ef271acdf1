//! Names the drivers that have recordings, so that the guest has a case for each and `--list` knows them without a machine.

use std::path::Path;
use std::{env, fs};

fn main() {
    let drivers = Path::new("../drivers");
    println!("cargo::rerun-if-changed={}", drivers.display());
    let mut names: Vec<_> = fs::read_dir(drivers)
        .expect("failed to list the drivers")
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().join("recordings").is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let list = format!("&{names:?}");
    let out = env::var("OUT_DIR").expect("OUT_DIR must be set");
    fs::write(Path::new(&out).join("recorded_drivers.rs"), list).expect("failed to write the list of drivers");
}
