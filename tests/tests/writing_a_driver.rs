//! docs/writing-a-driver.md, done step by step as a reader would: every command prints what the page says, and what is there in the end is
//! the driver that the virtual machines put on the page's mouse.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use hidbpf_tests::walkthrough::{Step, WRITING_A_DRIVER, steps};

/// What the page's driver is in the end, compiled for the virtual machines.
const FINISHED: &str = "fixtures/drivers/example-wheel-mouse";

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
            Step::Command(command) if command.as_root().is_some() => {
                eprintln!("skipped here, run in the virtual machines: line {}: {}", command.line, command.text);
                skipped += 1;
            }
            Step::Command(command) => {
                // One stream, as on a terminal.
                let typed = format!("exec 2>&1\n{}", command.text);
                let output = Command::new("sh")
                    .args(["-c", &typed])
                    .current_dir(scratch.path())
                    .env("PATH", &path)
                    .output()
                    .unwrap();
                let mut printed = String::from_utf8(output.stdout).unwrap();
                if !output.status.success() {
                    printed += &format!("[exit {}]\n", output.status.code().unwrap());
                }
                command.check(&printed).unwrap();
                run += 1;
            }
        }
    }
    eprintln!("{run} commands run in {:.1} s, {skipped} skipped", start.elapsed().as_secs_f64());
    assert!(run > 5 && skipped > 5, "{run} run, {skipped} skipped");
    let finished = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join(FINISHED));
    let made = files(&scratch.path().join("example-wheel-mouse"));
    assert_eq!(made.keys().collect::<Vec<_>>(), finished.keys().collect::<Vec<_>>());
    for (name, text) in made {
        assert_eq!(text, finished[&name], "{name} is not as in {FINISHED}");
    }
}

/// The files of a driver's folder that are its own, by name.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for name in ["driver.toml", "driver.bpf.c", "recordings/wheel.hid", "recordings/wheel.expected.hid"] {
        files.extend(fs::read_to_string(folder.join(name)).ok().map(|text| (name.to_owned(), text)));
    }
    assert_eq!(files.len(), 4, "{}", folder.display());
    files
}
