//! Exports every driver, builds the exported source, and compares with the driver on its recordings.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::kernel::Generation;
use hidbpf::object::DriverObject;
use hidbpf::recording::Recording;
use hidbpf::replay::{self, Object, Settings};
use hidbpf_build::{Clang, ForeignDriver, compile_foreign, driver_folders, export, object_path, recordings};

const DRIVERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../drivers");

/// The drivers that can't be exported, with the reason.
const REFUSED: [(&str, &str); 21] = [
    ("asus-vivobook-s15", "it has a setup"),
    ("huion-h610-pro", "a probe can't check its match rules: they exclude a kernel driver"),
    ("huion-tablets", "it asks which match rule chose it"),
    ("logitech-mx-master-3b-middle-button", "it has a setup"),
    ("logitech-spacenavigator", "a probe can't check its match rules: they exclude a kernel driver"),
    ("microsoft-surface-dial", "it has options"),
    ("microsoft-surface-dial-haptics", "it has a setup"),
    ("mouse-invert-y", "it has options"),
    ("pad-short-reports", "it has no match rules"),
    ("parblo-tablets", "it has a mode switch"),
    ("ugee-displays", "it has a mode switch"),
    ("ugee-older-tablets", "it has a mode switch"),
    ("ugee-tablets", "it has a mode switch"),
    ("veikk-pen-tablets", "it has a mode switch"),
    ("veikk-tablets", "it has a mode switch"),
    ("win8-touchpad-pad-type", "it has a setup"),
    ("xencelabs-tablets", "it asks which match rule chose it"),
    ("xppen-ack05", "it has a setup"),
    ("xppen-artist-24", "it has options"),
    ("xppen-deco-02", "it has options"),
    ("xppen-gen2-tablets", "it has a mode switch"),
];

/// Names the folder of the kernel tree's drivers and headers.
const KERNEL_TREE: &str = "HIDBPF_FOREIGN_SOURCES";

#[test]
fn an_exported_source_does_what_the_driver_does() {
    export_all(None);
}

/// With the kernel tree's headers beside the source, except vmlinux.h, which a kernel's build makes.
#[test]
fn an_exported_source_compiles_in_the_kernel_tree() {
    let Some(folder) = std::env::var_os(KERNEL_TREE) else {
        eprintln!("skipped: {KERNEL_TREE} names no folder");
        return;
    };
    let headers = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let headers: Vec<_> = headers.filter(|path| path.extension().is_some_and(|end| end == "h")).collect();
    assert!(!headers.is_empty());
    export_all(Some(&headers));
}

fn export_all(headers: Option<&[PathBuf]>) {
    let (mut refused, mut wrong) = (Vec::new(), Vec::new());
    for folder in driver_folders(Path::new(DRIVERS)).unwrap() {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let source = match export(&folder) {
            Ok(source) => source,
            Err(error) => {
                refused.push((name.to_owned(), error.to_string()));
                continue;
            }
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(format!("{name}.bpf.c"));
        fs::write(&path, &source).unwrap();
        if let Some(headers) = headers {
            for header in headers {
                fs::copy(header, directory.path().join(header.file_name().unwrap())).unwrap();
            }
        }
        let built = compile_foreign(&Clang::find().unwrap(), &path, &object_path(&path, None));
        match built {
            Ok(built) => {
                // The kernel tree's headers make no programs for older kernels.
                assert_eq!(built.older.is_none(), headers.is_some(), "{name}");
                let expected = |warning: &&String| headers.is_some() && warning.contains("`hid_bpf.h` beside it");
                wrong.extend(
                    built
                        .warnings
                        .iter()
                        .filter(|warning| !expected(warning))
                        .map(|warning| format!("{name}: {warning}")),
                );
                wrong.extend(differences(&folder, &built).map(|difference| format!("{name}: {difference}")));
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(refused.len(), REFUSED.len(), "{refused:#?}");
    for ((name, error), (expected, why)) in refused.iter().zip(REFUSED) {
        assert_eq!(name, expected);
        assert!(error.ends_with(why), "{error}");
    }
}

/// Returns the differences between an exported source and its driver, for each recording.
fn differences(folder: &Path, built: &ForeignDriver) -> impl Iterator<Item = String> {
    let generations = [Generation::StructOps, Generation::FmodRet];
    let objects: Vec<_> = built
        .objects()
        .map(|object| Object::parse(DriverObject::read(object).unwrap().bytes()).unwrap())
        .zip(generations)
        .collect();
    let pairs = recordings(folder).unwrap();
    let cases =
        pairs.into_iter().flat_map(move |pair| objects.clone().into_iter().map(move |object| (pair.clone(), object)));
    cases.filter_map(|((path, expected), (object, generation))| {
        let recording = Recording::read(&path).unwrap();
        let expected = Recording::read(&expected).unwrap();
        match replay::replay(&object, generation, &recording, Settings::of) {
            Ok(replayed) => {
                let difference = replay::difference(&expected, &replayed.recording);
                (!difference.is_empty()).then(|| format!("{}, on {generation}:\n{difference}", path.display()))
            }
            Err(error) => Some(format!("{}: {error}", path.display())),
        }
    })
}
