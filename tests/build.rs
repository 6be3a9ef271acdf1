//! Compiles the fixtures, drivers that only tests want, and names the drivers that have recordings, so that the guest has a case
//! for each and `--list` knows them without a machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use hidbpf::ids::Bus;
use hidbpf::manifest::{Manifest, Requirement};
use hidbpf::recording::Recording;
use hidbpf_build::{Clang, Sdk};

const FIXTURES: &str = "fixtures/drivers";
const DRIVERS: &str = "../drivers";
const FOREIGN: &str = "../framework/hidbpf-build/tests/foreign";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("OUT_DIR must be set"));
    for place in [FIXTURES, DRIVERS] {
        println!("cargo::rerun-if-changed={place}");
    }
    for name in hidbpf_build::ENVIRONMENT {
        println!("cargo::rerun-if-env-changed={name}");
    }
    compile_fixtures(&out.join("fixtures"));
    compile_foreign(&out.join("foreign"));
    let long: String = long_descriptors().iter().map(|bytes| format!("&{bytes:?}, ")).collect();
    fs::write(out.join("long_descriptors.rs"), format!("&[{long}]")).expect("failed to write the long descriptors");
    compile_policy(&out.join("deny.bpf.o"));
    fs::write(out.join("recorded_drivers.rs"), format!("&{:#?}", recorded_drivers()))
        .expect("failed to write the list of drivers");
}

fn compile_fixtures(out: &Path) {
    let folders = hidbpf_build::driver_folders(Path::new(FIXTURES)).unwrap_or_else(|error| panic!("{error}"));
    for folder in folders {
        let driver = hidbpf_build::build(&Sdk::Embedded, &folder, out).unwrap_or_else(|error| panic!("{error}"));
        for warning in driver.warnings {
            println!("cargo::warning={warning}");
        }
    }
}

/// Compiles the foreign sources for tests only, from which the search for damaging bytes starts.
fn compile_foreign(out: &Path) {
    println!("cargo::rerun-if-changed={FOREIGN}");
    let clang = Clang::find().unwrap_or_else(|error| panic!("{error}"));
    fs::create_dir_all(out).unwrap_or_else(|error| panic!("failed to make `{}`: {error}", out.display()));
    let folder = fs::read_dir(FOREIGN).unwrap_or_else(|error| panic!("failed to list `{FOREIGN}`: {error}"));
    for entry in folder {
        let source = entry.expect("failed to list foreign sources").path();
        if source.to_string_lossy().ends_with(hidbpf_build::SOURCE_SUFFIX) {
            let object = hidbpf_build::object_path(&source, Some(out));
            hidbpf_build::compile_foreign(&clang, &source, &object).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

/// The longest descriptors of real devices, of those that are at hand beside the tree. hid-multitouch asks touch screens and touchpads for
/// reports, for which a virtual device would have to answer: those are left out.
fn long_descriptors() -> Vec<Vec<u8>> {
    const FOLDER: &str = "../../shared/descriptors";
    const MOST: usize = 8;
    let Ok(folder) = fs::read_dir(FOLDER) else { return Vec::new() };
    println!("cargo::rerun-if-changed={FOLDER}");
    let read = |entry: std::io::Result<fs::DirEntry>| entry.and_then(|entry| fs::read(entry.path()));
    let mut descriptors: Vec<Vec<u8>> =
        folder.map(|entry| read(entry).unwrap_or_else(|error| panic!("failed to read `{FOLDER}`: {error}"))).collect();
    let is_for_touch = |items: &[u8]| [[5, 13, 9, 4], [5, 13, 9, 5]].iter().any(|touch| items == touch);
    descriptors.retain(|descriptor| !descriptor.windows(4).any(is_for_touch));
    descriptors.sort_by_key(|descriptor| (std::cmp::Reverse(descriptor.len()), descriptor.clone()));
    descriptors.dedup();
    descriptors.truncate(MOST);
    descriptors
}

/// Compiles what forbids to load programs, which is no driver.
fn compile_policy(object: &Path) {
    const SOURCE: &str = "fixtures/lsm/deny.bpf.c";
    println!("cargo::rerun-if-changed={SOURCE}");
    let clang = hidbpf_build::ENVIRONMENT.iter().find_map(env::var_os).unwrap_or_else(|| "clang".into());
    let mut command = Command::new(&clang);
    command.args(["-target", "bpf", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-c", SOURCE, "-o"]).arg(object);
    let status = command.status().unwrap_or_else(|error| panic!("failed to run `{}`: {error}", clang.display()));
    assert!(status.success(), "failed to compile `{SOURCE}`");
}

/// A driver that has recordings; the guest has a type of the same name.
#[derive(Debug)]
#[expect(dead_code, reason = "only written as Rust")]
struct Recorded {
    driver: String,
    /// Whether it is for struct_ops kernels only.
    newer_only: bool,
    /// Whether it has a recording of a device on a USB bus.
    on_usb: bool,
    /// Drivers of one family have the same kinds of hooks, made of the same parts of the SDK.
    family: String,
}

fn recorded_drivers() -> Vec<Recorded> {
    let mut drivers = Vec::new();
    for folder in hidbpf_build::driver_folders(Path::new(DRIVERS)).unwrap_or_else(|error| panic!("{error}")) {
        let name = folder.file_name().and_then(OsStr::to_str).filter(|_| folder.join("recordings").is_dir());
        if let Some(name) = name {
            let manifest = Manifest::read(&folder.join("driver.toml")).unwrap_or_else(|error| panic!("{error}"));
            drivers.push(Recorded {
                driver: name.to_owned(),
                newer_only: manifest.requires.contains(&Requirement::StructOps),
                on_usb: is_on_usb(&folder.join("recordings")),
                family: family(&folder.join("driver.bpf.c")),
            });
        }
    }
    drivers
}

/// The headers of the SDK that a driver includes, and the kinds of hooks that it has. A driver without C has no headers.
fn family(source: &Path) -> String {
    /// The ends of the names of macros that make hooks.
    const HOOKS: [(&str, &str); 5] = [
        ("RDESC_FIXUP(", "descriptor"),
        ("INPUT_REPORT(", "event"),
        ("_EVENT(", "event"),
        ("HW_REQUEST(", "request"),
        ("OUTPUT_REPORT(", "output"),
    ];
    let read = |path: &Path| {
        fs::read_to_string(path).unwrap_or_else(|error| panic!("failed to read `{}`: {error}", path.display()))
    };
    if !source.exists() {
        let text = read(&source.with_file_name("driver.toml"));
        let declared = [("[[descriptor]]", "descriptor"), ("[[report]]", "event")].into_iter();
        let hooks = declared.filter(|(part, _)| text.contains(part)).map(|(_, kind)| kind);
        return ["declared"].into_iter().chain(hooks).collect::<Vec<_>>().join(" ");
    }
    let text = read(source);
    let headers = text.lines().filter_map(|line| line.strip_prefix("#include <hidbpf/")?.strip_suffix(".h>"));
    let hooks = HOOKS.into_iter().filter(|(end, _)| text.contains(end)).map(|(_, kind)| kind);
    let words: std::collections::BTreeSet<&str> = headers.chain(hooks).collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// Whether a recording in a folder is of a device on a USB bus.
fn is_on_usb(folder: &Path) -> bool {
    let recordings =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("failed to list `{}`: {error}", folder.display()));
    recordings.map(|entry| entry.expect("failed to list recordings").path()).any(|path| {
        path.extension() == Some(OsStr::new("hid"))
            && Recording::read(&path)
                .unwrap_or_else(|error| panic!("{error}"))
                .devices
                .iter()
                .any(|device| device.bus == Bus::USB)
    })
}
