//! `hidbpf new` and `hidbpf build` in the hands of driver authors, with their messages about mistakes.

mod common;

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use common::{check, hidbpf, stderr, stdout};

/// A mouse with two buttons, a keyboard with one key, and a keyboard with a descriptor as long as the mouse's.
const MOUSE: &str = "R: 29 05 01 09 02 a1 01 05 09 19 01 29 02 15 00 25 01 75 01 95 02 81 02 75 06 95 01 81 03 c0\n";
const KEY: &str = "R: 23 05 01 09 06 a1 01 05 07 19 04 29 04 15 00 25 01 75 08 95 01 81 02 c0\n";
const TWIN: &str = "R: 29 05 01 09 06 a1 01 05 07 19 04 29 04 15 00 25 01 75 08 95 01 81 02 75 08 95 01 81 03 c0\n";

/// The time for the command to notice a change.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a working directory with a recording `m.hid`.
fn desk() -> TempDir {
    let desk = tempfile::tempdir().expect("a temporary directory can be made");
    write(desk.path(), "m.hid", &format!("{MOUSE}N: My Mouse\nI: 3 1209 0001\nE: 000000.000000 1 01\n"));
    desk
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("the file can be written");
}

fn read(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).expect("the file can be read")
}

fn edit(directory: &Path, name: &str, from: &str, to: &str) {
    let text = read(directory, name);
    assert!(text.contains(from), "{name} has no `{from}`:\n{text}");
    write(directory, name, &text.replace(from, to));
}

fn run(desk: &TempDir, arguments: &[&str]) -> Output {
    hidbpf().current_dir(desk.path()).args(arguments).output().expect("the command can be run")
}

/// Returns a working directory with the driver `m`, built.
fn with_driver() -> TempDir {
    let desk = desk();
    check(&run(&desk, &["new", "m", "--from", "m.hid"]), 0, &[]);
    check(&run(&desk, &["build", "m"]), 0, &[]);
    desk
}

/// Returns the entries of a directory, by name.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the directory can be listed");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_new_driver_is_for_that_device_and_changes_nothing() {
    let desk = with_driver();
    let folder = desk.path().join("m");
    let manifest = read(&folder, "driver.toml");
    for line in ["device = \"My Mouse\"", "bus = \"usb\"", "vendor = 0x1209", "product = 0x0001", "rdesc-size = 29"] {
        assert!(manifest.lines().any(|found| found == line), "`{line}` is missing in:\n{manifest}");
    }
    assert!(manifest.contains("rdesc-sha256 = "), "{manifest}");
    assert_eq!(names(&folder.join("recordings")), ["m.expected.hid", "m.hid"]);
    let output = run(&desk, &["--json", "build", "m"]);
    check(&output, 0, &[]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    let recordings = answer["build"]["recordings"].as_array().expect("a list");
    let generations: Vec<_> = recordings.iter().map(|tried| &tried["generation"]).collect();
    assert_eq!(generations, ["fmod-ret", "struct-ops"]);
    assert!(recordings.iter().all(|tried| tried["as-expected"] == true), "{answer}");
    let replayed = run(&desk, &["replay", "./m/build/m.bpf.o", "m.hid", "--expect", "m.hid"]);
    check(&replayed, 0, &[]);
}

#[test]
fn a_recording_of_several_interfaces_makes_one_driver() {
    let desk = desk();
    let mouse = format!("D: 0\n{MOUSE}N: Two*/in one\"\nI: 3 1209 0001\n");
    let key = format!("D: 1\n{KEY}N: Two in one\nI: 3 1209 0001\nE: 000000.000000 1 01\n");
    write(desk.path(), "both.hid", &(mouse.clone() + &key));
    check(&run(&desk, &["new", "both", "--from", "both.hid"]), 0, &[]);
    let output = run(&desk, &["build", "both"]);
    check(&output, 0, &[]);
    for recording in ["recordings/both-0.hid: as expected", "recordings/both-1.hid: as expected"] {
        assert!(stdout(&output).contains(recording), "{}", stdout(&output));
    }
    // The size does not distinguish two descriptors of one size.
    write(desk.path(), "twins.hid", &(mouse + &key.replace(KEY, TWIN)));
    check(&run(&desk, &["new", "twins", "--from", "twins.hid"]), 1, &["twins-0", "twins-1", "make a driver for each"]);
}

#[test]
fn what_can_not_be_made_into_a_driver_leaves_nothing_behind() {
    let desk = with_driver();
    let before = names(desk.path());
    let manifest = read(desk.path(), "m/driver.toml");
    check(&run(&desk, &["new", "m", "--from", "m.hid"]), 1, &["/m", "exists"]);
    assert_eq!(read(desk.path(), "m/driver.toml"), manifest);
    check(&run(&desk, &["new", "My Mouse", "--from", "m.hid"]), 2, &["`My Mouse` can't be a driver's name"]);
    check(&run(&desk, &["new", "x"]), 2, &["--from"]);
    check(&run(&desk, &["new", "x", "--from", "nothing.hid"]), 1, &["nothing.hid"]);
    write(desk.path(), "broken.hid", "R: 3 05 01\n");
    check(&run(&desk, &["new", "x", "--from", "broken.hid"]), 1, &["broken.hid:1", "3 bytes, and 2 follow"]);
    write(desk.path(), "refused.hid", "R: 0\nI: 3 1 1\n");
    check(&run(&desk, &["new", "x", "--from", "refused.hid"]), 1, &["expected 1 to 4096"]);
    let mut expected = [before, vec!["broken.hid".to_owned(), "refused.hid".to_owned()]].concat();
    expected.sort();
    assert_eq!(names(desk.path()), expected);
}

#[test]
fn an_outcome_that_is_not_expected_is_shown_and_is_a_failure() {
    let desk = with_driver();
    edit(desk.path(), "m/recordings/m.expected.hid", "000000 1 01", "000000 1 02");
    let output = run(&desk, &["build", "m"]);
    check(&output, 1, &[]);
    let text = stdout(&output);
    for line in
        ["not as expected", "  - E: 000000.000000 1 02", "  + E: 000000.000000 1 01", "byte 0: 02 expected, 01 found"]
    {
        assert!(text.contains(line), "`{line}` is missing in:\n{text}");
    }
    fs::remove_file(desk.path().join("m/recordings/m.expected.hid")).expect("the file can be removed");
    check(&run(&desk, &["build", "m"]), 1, &["m.expected.hid"]);
    fs::remove_dir_all(desk.path().join("m/recordings")).expect("the folder can be removed");
    let output = run(&desk, &["build", "m"]);
    check(&output, 0, &[]);
    assert!(stdout(&output).contains("no recordings"), "{}", stdout(&output));
}

#[test]
fn complaints_name_the_authors_file_and_line() {
    let desk = with_driver();
    let source = read(desk.path(), "m/driver.bpf.c");
    let line = |text: &str| source.lines().position(|line| line.contains(text)).expect("a line of the source") + 1;
    let at_the_check = format!("driver.bpf.c:{}: ", line("if (!report)"));
    for (from, to, complaints) in [
        // clang's own message.
        ("\treturn 0;\n}\n\nHIDBPF_DRIVER", "\treturn nothing;\n}\n\nHIDBPF_DRIVER", ["driver.bpf.c:", "'nothing'"]),
        ("Padding(6)", "Padding(600)", ["driver.bpf.c:", "ReportSize is 1 to 255 bits"]),
        // A mistake that no compiler notices.
        ("if (!report)\n\t\treturn 0;", "report[5] = 1;", [&at_the_check, "it writes 1 bytes at offset 5"]),
        ("if (!report)", "for (;;) bpf_ktime_get_ns();\n\tif (!report)", [&at_the_check, "is there an endless loop?"]),
    ] {
        write(desk.path(), "m/driver.bpf.c", &source.replace(from, to));
        check(&run(&desk, &["build", "m"]), 1, &complaints);
    }
    write(desk.path(), "m/driver.bpf.c", &source);
    edit(desk.path(), "m/driver.toml", "kind", "kin");
    check(&run(&desk, &["build", "m"]), 1, &["m/driver.toml:4:1", "kin"]);
    check(&run(&desk, &["build", "nothing"]), 1, &["`nothing`"]);
}

#[test]
fn a_compiler_that_is_missing_or_too_old_is_named() {
    let desk = with_driver();
    let with = |compiler: &str| {
        let mut command = hidbpf();
        command.current_dir(desk.path()).args(["build", "m"]).env("BPF_CLANG", compiler);
        command.output().expect("the command can be run")
    };
    let package = "install the package `clang`";
    check(&with("no-such-clang"), 1, &["no-such-clang", package]);
    for (name, version, words) in [("old", "#define __clang_major__ 11", "is clang 11"), ("other", "", "is not clang")]
    {
        let path = desk.path().join(name);
        // Another process writes the script. If this one wrote it, processes that it starts meanwhile would have the file open, and it
        // could not be run.
        let script = "printf '#!/bin/sh\\necho \"%s\"\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let written = Command::new("sh").arg("-c").arg(script).arg(&path).arg(version).status();
        assert!(written.expect("a shell can be run").success());
        check(&with(path.to_str().expect("the path is text")), 1, &[words, package]);
    }
}

#[test]
fn watching_builds_again_when_a_file_is_saved() {
    let desk = with_driver();
    let log = desk.path().join("log");
    let file = || File::options().append(true).create(true).open(&log).expect("the log can be written");
    let mut command: Command = hidbpf();
    command.current_dir(desk.path()).args(["build", "m", "--watch"]).stdout(file()).stderr(file());
    let mut watching = command.spawn().expect("the command can be run");
    let wait_for = |text: &str, times: usize| {
        let start = Instant::now();
        loop {
            let log = fs::read_to_string(&log).unwrap_or_default();
            if log.matches(text).count() >= times {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "the log still hasn't `{text}` {times} times:\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for("waiting for a change", 1);
    edit(desk.path(), "m/recordings/m.expected.hid", "000000 1 01", "000000 1 02");
    wait_for("not as expected", 1);
    wait_for("waiting for a change", 2);
    edit(desk.path(), "m/driver.bpf.c", "return 0;", "return nothing;");
    wait_for("undeclared identifier", 1);
    wait_for("waiting for a change", 3);
    kill_process(Pid::from_child(&watching), Signal::INT).expect("the command can be interrupted");
    let status = watching.wait().expect("the command can be waited for");
    assert!(status.success(), "{status}");
    // The files that it makes itself do not count as a change.
    assert_eq!(read(desk.path(), "log").matches("waiting for a change").count(), 3);
}

#[test]
fn the_object_goes_where_it_is_wanted() {
    let desk = with_driver();
    let output = run(&desk, &["build", "m", "--output", "elsewhere"]);
    check(&output, 0, &[]);
    assert!(stdout(&output).starts_with("elsewhere/m.bpf.o\n"), "{}{}", stdout(&output), stderr(&output));
    let object = |path: &str| fs::read(desk.path().join(path)).expect("the object can be read");
    assert_eq!(object("m/build/m.bpf.o"), object("elsewhere/m.bpf.o"));
    // The result does not depend on the working directory of the build.
    let mut inside = hidbpf();
    inside.current_dir(desk.path().join("m")).args(["build", "--output", "../inside"]);
    check(&inside.output().expect("the command can be run"), 0, &[]);
    assert_eq!(object("m/build/m.bpf.o"), object("inside/m.bpf.o"));
}
