//! docs/writing-a-driver.md, run step by step as a reader would: every command prints the page's output.
//!
//! The final driver is the one that the virtual machines attach to the page's mouse.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

use hidbpf_tests::walkthrough::{Place, Step, WRITING_A_DRIVER, steps};

/// The final versions of the page's drivers, compiled for the virtual machines.
const FINISHED: &str = "fixtures/drivers";
const DRIVERS: [&str; 2] = ["example-wheel-mouse", "example-quiet-mouse"];

#[test]
fn the_page_is_right() {
    let scratch = tempfile::tempdir().unwrap();
    let program = common::hidbpf();
    let bin = Path::new(program.get_program()).parent().unwrap().to_owned();
    let path = env::join_paths([bin].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap();
    let (mut run, mut skipped) = (0, 0);
    let start = Instant::now();
    for step in steps(WRITING_A_DRIVER).unwrap() {
        match step {
            Step::Edit(edit) => edit.apply(scratch.path()).unwrap(),
            Step::Command(command) if command.place != Place::Here => {
                eprintln!("skipped here, run in the virtual machines: line {}: {}", command.line, command.text);
                skipped += 1;
            }
            Step::Command(command) => {
                let printed = command.run(scratch.path(), &path).unwrap();
                command.check(&printed).unwrap();
                run += 1;
            }
        }
    }
    eprintln!("{run} commands run in {:.1} s, {skipped} skipped", start.elapsed().as_secs_f64());
    assert!(run > 5 && skipped > 5, "{run} run, {skipped} skipped");
    for name in DRIVERS {
        let finished = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FINISHED).join(name));
        let made = files(&scratch.path().join(name));
        assert_eq!(made.keys().collect::<Vec<_>>(), finished.keys().collect::<Vec<_>>());
        for (file, text) in made {
            assert_eq!(text, finished[&file], "{file} is not as in {FINISHED}/{name}");
        }
    }
}

/// Returns the files of a driver's folder that are its own, by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for below in [folder.to_owned(), folder.join("recordings")] {
        for entry in fs::read_dir(&below).unwrap_or_else(|error| panic!("{}: {error}", below.display())) {
            let path = entry.expect("an entry can be read").path();
            let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
            // Files for editors and git are not part of the driver.
            if path.is_file() && name != "compile_flags.txt" && !name.starts_with('.') {
                files.insert(name, fs::read_to_string(&path).expect("a file can be read"));
            }
        }
    }
    assert!(files.len() >= 4, "{}", folder.display());
    files
}
