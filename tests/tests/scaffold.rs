//! New drivers' folders.
//!
//! A folder from each recording of the catalogue builds, passes its own test and changes nothing. The C from each real descriptor compiles
//! to the same bytes.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use hidbpf::descriptor::Descriptor;
use hidbpf::ids::{Bus, ProductId, VendorId};
use hidbpf::names::DriverName;
use hidbpf::recording::{RecordedDevice, Recording};
use hidbpf_build::{Clang, Interface, Sdk};
use libtest_mimic::{Arguments, Failed, Trial};
use object::{Object, ObjectSection, ObjectSymbol};

/// Every how many recordings one is built. Each takes clang a second, and the recordings differ in little but the descriptor.
const BUILT_EVERY: usize = 12;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let drivers = root.join("drivers");
    let recordings: Vec<PathBuf> = hidbpf_build::driver_folders(&drivers)
        .into_iter()
        .flatten()
        .flat_map(|folder| hidbpf_build::recordings(&folder).into_iter().flatten())
        .map(|(recording, _)| recording)
        .collect();
    let mut trials: Vec<Trial> = recordings
        .iter()
        .step_by(BUILT_EVERY)
        .map(|path| {
            let title = path.strip_prefix(&drivers).unwrap_or(path).display().to_string();
            let path = path.clone();
            Trial::test(format!("built/{title}"), move || build(&path))
        })
        .collect();
    trials.push(Trial::test("recorded", move || {
        let mut descriptors = Vec::new();
        for path in &recordings {
            descriptors.extend(Recording::read(path)?.devices.into_iter().map(|device| device.descriptor));
        }
        compiles_to_the_same(&descriptors)
    }));
    let real = root.join("../shared/descriptors");
    match fs::read_dir(&real) {
        Ok(entries) => trials.push(Trial::test("real", move || {
            let mut descriptors = Vec::new();
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "bin") {
                    descriptors.push(fs::read(path)?);
                }
            }
            compiles_to_the_same(&descriptors)
        })),
        Err(error) => {
            eprintln!("skipped: real: ../shared/descriptors can't be read: {error}");
            trials.push(Trial::test("real", || Ok(())).with_ignored_flag(true));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Makes a folder from the recording, builds it and tests it.
fn build(recording: &Path) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let name = DriverName::new("new-driver")?;
    let folder =
        hidbpf_build::scaffold(scratch.path(), &name, &Interface::all_of("device", &Recording::read(recording)?))?;
    let driver = hidbpf_build::compile(&Clang::find()?, &Sdk::Embedded, &folder, &folder.join("build"))?;
    if !driver.warnings.is_empty() {
        return Err(driver.warnings.join("\n").into());
    }
    let checked = hidbpf_build::check(&driver.object, &hidbpf_build::recordings(&folder)?)?;
    if checked.len() != 2 {
        return Err(format!("{} replays, expected one for each generation", checked.len()).into());
    }
    match checked.into_iter().find(|checked| !checked.difference.is_empty()) {
        Some(changed) => Err(format!("it changes something:\n{}", changed.difference).into()),
        None => Ok(()),
    }
}

/// Compiles the arrays of all descriptors that the kernel accepts, in one file. Each must equal the descriptor.
fn compiles_to_the_same(descriptors: &[Vec<u8>]) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let mut source = "#define static\n#include <hidbpf/descriptor.h>\n".to_owned();
    let mut arrays = Vec::new();
    for descriptor in descriptors.iter().filter(|descriptor| Descriptor::parse(descriptor).is_ok()) {
        let name = format!("d{}", arrays.len());
        let driver = scratch.path().join("driver").join(&name);
        fs::create_dir_all(&driver)?;
        let interface = Interface::all_of("device", &recording_of(descriptor));
        let folder = hidbpf_build::scaffold(&driver, &DriverName::new(&name)?, &interface)?;
        let driver = fs::read_to_string(folder.join(hidbpf_build::SOURCE_FILE))?;
        let begin = driver.find("HIDBPF_DESCRIPTOR(descriptor,").ok_or("the source has no descriptor")?;
        let end = driver[begin..].find("\n);\n").ok_or("the descriptor has no end")?;
        let array = driver[begin..begin + end + 4].replacen("descriptor", &name, 1);
        writeln!(source, "{array}")?;
        arrays.push((name, descriptor));
    }
    for (name, text) in hid_bpf_src::HEADERS {
        let path = scratch.path().join(name);
        fs::create_dir_all(path.parent().ok_or("a header has no directory")?)?;
        fs::write(path, text)?;
    }
    let (c, o) = (scratch.path().join("all.c"), scratch.path().join("all.o"));
    fs::write(&c, source)?;
    let clang = std::env::var_os("BPF_CLANG").or_else(|| std::env::var_os("CLANG")).unwrap_or_else(|| "clang".into());
    let output = Command::new(clang)
        .args(["--target=bpf", "-Wall", "-Wextra", "-Werror", "-c", "-I"])
        .arg(scratch.path())
        .arg(&c)
        .arg("-o")
        .arg(&o)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let bytes = fs::read(&o)?;
    let file = object::read::elf::ElfFile64::<object::Endianness>::parse(bytes.as_slice())?;
    for (name, descriptor) in &arrays {
        let symbol = file.symbol_by_name(name).ok_or_else(|| format!("`{name}` was left out"))?;
        let section = file.section_by_index(symbol.section_index().ok_or("a symbol has no section")?)?;
        let compiled =
            section.data_range(symbol.address(), symbol.size())?.ok_or("a symbol is outside of its section")?;
        if compiled != descriptor.as_slice() {
            let at = compiled.iter().zip(descriptor.iter()).position(|(one, other)| one != other);
            return Err(
                format!("{name}: byte {at:?} differs, sizes {} and {}", compiled.len(), descriptor.len()).into()
            );
        }
    }
    println!("{} of {} descriptors are ones that the kernel takes", arrays.len(), descriptors.len());
    if arrays.len() < descriptors.len() / 2 { Err("most descriptors were refused".into()) } else { Ok(()) }
}

fn recording_of(descriptor: &[u8]) -> Recording {
    let device = RecordedDevice {
        number: 0,
        name: "Any".to_owned(),
        phys: String::new(),
        bus: Bus::USB,
        vendor: VendorId(1),
        product: ProductId(1),
        descriptor: descriptor.to_vec(),
        properties: Default::default(),
        features: Default::default(),
        asked: Vec::new(),
        exported: Default::default(),
    };
    Recording { devices: vec![device], ..Recording::default() }
}
