//! Builds every folder here that has a `driver.toml`. There is no list: a new folder is a new driver. Folders with a
//! `driver.bpf.c` are compiled. The others declare the repair in the manifest.

use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, process, thread};

use hidbpf_build::{BuildError, Clang, Driver, Sdk};

fn main() {
    let variable = |name: &str| env::var_os(name).map(PathBuf::from).unwrap_or_default();
    let objects = variable("OUT_DIR").join("objects");
    let sdk = Sdk::Directory(variable("DEP_HIDBPF_SRC_INCLUDE"));
    for name in hidbpf_build::ENVIRONMENT {
        println!("cargo::rerun-if-env-changed={name}");
    }
    // For new folders. Cargo takes a directory for all that is in it; what has not changed is not compiled again.
    let root = variable("CARGO_MANIFEST_DIR");
    println!("cargo::rerun-if-changed={}", root.display());

    let errors = match compile_all(&sdk, &root, &objects) {
        Ok(results) => results.into_iter().filter_map(|result| report(result).err()).collect(),
        Err(error) => vec![error],
    };
    for error in &errors {
        eprintln!("error: {error}");
    }
    if !errors.is_empty() {
        process::exit(1);
    }
}

fn compile_all(sdk: &Sdk, root: &Path, objects: &Path) -> Result<Vec<Result<Driver, BuildError>>, BuildError> {
    let clang = Clang::find()?;
    let folders = hidbpf_build::driver_folders(root)?;
    remove_orphans(&folders, objects);
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(match hidbpf_build::is_declared(folder) {
                true => hidbpf_build::compile_declared(folder, objects),
                false => hidbpf_build::compile(&clang, sdk, folder, objects),
            });
        }
        done
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    Ok(thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        // A panic of the linker's (libbpf-rs, on a symbol that nothing defines) must not leave a driver out in silence.
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    }))
}

/// Removes what was made of folders that are gone, or they would be drivers still.
fn remove_orphans(folders: &[PathBuf], objects: &Path) {
    for path in fs::read_dir(objects).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let name = file.split('.').next().unwrap_or_default();
        if !folders.iter().any(|folder| folder.ends_with(name)) && fs::remove_file(&path).is_err() {
            println!("cargo::warning=failed to remove `{}`, of a driver that is gone", path.display());
        }
    }
}

fn report(result: Result<Driver, BuildError>) -> Result<(), BuildError> {
    let driver = result?;
    for input in &driver.inputs {
        println!("cargo::rerun-if-changed={}", input.display());
    }
    for warning in &driver.warnings {
        println!("cargo::warning={warning}");
    }
    Ok(())
}
