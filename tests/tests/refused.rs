//! Drivers for devices whose descriptor the kernel refuses.
//!
//! `new`, `build`, `replay` and `inspect` accept them, and show where the kernel refuses it.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use hidbpf::ids::Group;
use hidbpf::manifest::Manifest;
use hidbpf::matching::Verdict;
use hidbpf::names::DriverName;
use hidbpf::recording::{self, Recording};
use hidbpf_build::Interface;
use serde_json::Value;
use tempfile::TempDir;

use common::{check, hidbpf, stderr, stdout};

/// A mouse with two buttons whose collection is not ended: 28 bytes.
const MOUSE: &str = "05 01 09 02 a1 01 05 09 19 01 29 02 15 00 25 01 75 01 95 02 81 02 75 06 95 01 81 03";

/// The kernel's error.
const FAULT: &str = "at byte 28: the collection that begins at byte 4 is not ended \
                     (hid_open_report(): \"unbalanced collection at end of report description\")";

/// A driver that appends an End Collection at byte 28.
const REPAIR: &str = "\
#include <hidbpf/driver.h>

HIDBPF_RDESC_FIXUP(ctx)
{
	__u8 *end = hid_bpf_get_data(ctx, 28, 1);

	if (!end)
		return 0;
	*end = 0xc0;
	return 29;
}

HIDBPF_DRIVER(rdesc_fixup);
";

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("the file can be written");
}

fn read(directory: &Path, name: &str) -> String {
    fs::read_to_string(directory.join(name)).expect("the file can be read")
}

fn run(desk: &TempDir, arguments: &[&str]) -> Output {
    hidbpf().current_dir(desk.path()).args(arguments).output().expect("the command can be run")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!(" {byte:02x}")).collect()
}

/// Returns a directory with the recording `m.hid`, and the driver `m` made from it.
fn desk() -> TempDir {
    let desk = tempfile::tempdir().expect("a temporary directory can be made");
    write(desk.path(), "m.hid", &format!("R: 28 {MOUSE}\nN: My Mouse\nI: 3 1209 0001\n"));
    check(&run(&desk, &["new", "m", "--from", "m.hid"]), 0, &[]);
    desk
}

#[test]
fn build_says_where_a_descriptor_is_refused() {
    let desk = desk();
    let source = read(desk.path(), "m/driver.bpf.c");
    assert!(source.contains("The kernel refuses it at byte 28: the collection that begins at byte 4"), "{source}");
    // The new driver repairs nothing.
    let words = ["refuses the original and the fixed descriptor", FAULT, "hidbpf inspect"];
    check(&run(&desk, &["build", "m"]), 1, &words);
    write(desk.path(), "m/driver.bpf.c", REPAIR);
    let expected = format!("R: 29 {MOUSE} c0\nN: My Mouse\nI: 3 1209 0001\n");
    write(desk.path(), "m/recordings/m.expected.hid", &expected);
    let built = run(&desk, &["build", "m"]);
    check(&built, 0, &[]);
    let said = format!("device 0: the kernel refuses the original descriptor {FAULT}, and accepts the fixed one");
    assert!(stdout(&built).contains(&said), "{}", stdout(&built));
    let answer: Value = serde_json::from_slice(&run(&desk, &["--json", "build", "m"]).stdout).expect("JSON");
    for recording in answer["build"]["recordings"].as_array().expect("a list") {
        let refused = &recording["refused-descriptors"][0];
        assert_eq!((&refused["original"]["offset"], &refused["fixed"]), (&28.into(), &Value::Null), "{answer}");
    }
    let object = "./m/build/m.bpf.o";
    let replayed = run(&desk, &["replay", object, "m.hid"]);
    assert_eq!(replayed.status.code(), Some(0), "{}", stderr(&replayed));
    assert!(stdout(&replayed).contains(" 81 03 c0\n"), "{}", stdout(&replayed));
    // A repair that leaves a fault elsewhere, and one that breaks a valid descriptor.
    write(desk.path(), "m/driver.bpf.c", &REPAIR.replace("0xc0", "0xb4"));
    check(&run(&desk, &["build", "m"]), 1, &[FAULT, "and the fixed one at byte 28: Pop without Push"]);
    write(desk.path(), "m/driver.bpf.c", &REPAIR.replace("return 29", "return 28"));
    write(desk.path(), "m/recordings/good.hid", &expected);
    write(desk.path(), "m/recordings/good.expected.hid", &expected);
    check(&run(&desk, &["build", "m"]), 1, &["accepts the original descriptor, and refuses the fixed one at byte 28"]);
}

#[test]
fn the_rules_of_a_new_driver_take_the_device() {
    let desk = desk();
    let manifest = read(desk.path(), "m/driver.toml");
    for line in ["bus = \"usb\"", "vendor = 0x1209", "product = 0x0001", "rdesc-size = 28"] {
        assert!(manifest.lines().any(|found| found == line), "`{line}` is missing in:\n{manifest}");
    }
    let manifest = Manifest::parse("driver.toml".as_ref(), &manifest).expect("a manifest");
    let recording = Recording::read(&desk.path().join("m.hid")).expect("a recording");
    let verdict = recording::judge(&manifest, &recording.devices[0], &Default::default());
    assert!(matches!(verdict, Verdict::Matches { .. }), "{verdict:?}");
}

/// A device that got other ids from a kernel driver.
///
/// The rule uses the ids that the device has sent. The group means nothing, because the kernel has not parsed the descriptor to its end.
#[test]
fn a_rule_says_which_ids_it_is_about() {
    let desk = desk();
    let recording = Recording::read(&desk.path().join("m.hid")).expect("a recording");
    let interfaces = Interface::all_of("device", &recording).into_iter();
    let interfaces: Vec<_> = interfaces
        .map(|interface| Interface { ids_from_name: true, group: Some(Group::GENERIC), ..interface })
        .collect();
    let name = DriverName::new("by-name").expect("a name");
    let folder = hidbpf_build::scaffold(desk.path(), &name, &interfaces).expect("a folder");
    let manifest = read(&folder, "driver.toml");
    assert!(manifest.contains("ids-from = \"name\"\n") && !manifest.contains("group"), "{manifest}");
    Manifest::parse("driver.toml".as_ref(), &manifest).expect("a manifest");
}

#[test]
fn sizes_that_no_device_has_make_no_driver() {
    let desk = desk();
    for size in [0, 4097] {
        let descriptor = hex(&vec![0x05; size]);
        write(desk.path(), "odd.hid", &format!("R: {size}{descriptor}\nI: 3 1209 0002\n"));
        let words = [format!("has {size} bytes, expected 1 to 4096")];
        check(&run(&desk, &["new", "odd", "--from", "odd.hid"]), 1, &words.each_ref().map(String::as_str));
        assert!(!desk.path().join("odd").exists(), "a folder was left behind");
    }
    for size in [1, 4096] {
        let name = format!("d{size}");
        write(
            desk.path(),
            "odd.hid",
            &format!("R: {size}{}\nI: 3 1209 0002\n", hex(&[&vec![0xa4; size - 1][..], &[5]].concat())),
        );
        check(&run(&desk, &["new", &name, "--from", "odd.hid"]), 0, &[]);
        check(&run(&desk, &["build", &name]), 1, &["refuses the original and the fixed descriptor"]);
    }
}

#[test]
fn a_bare_descriptor_needs_ids() {
    let desk = desk();
    write(desk.path(), "m.txt", &format!("# from a forum\n{MOUSE}\n"));
    check(&run(&desk, &["new", "bare", "--from", "m.txt"]), 1, &["failed to find the ids", "--id usb:3746:ffff"]);
    check(&run(&desk, &["new", "bare", "--from", "m.txt", "--ids", "0003:1209"]), 2, &["usb:046d:c077"]);
    check(&run(&desk, &["new", "bare", "--from", "m.txt", "--ids", "0005:1209:00aB"]), 0, &[]);
    let manifest = read(desk.path(), "bare/driver.toml");
    for line in ["bus = \"bluetooth\"", "vendor = 0x1209", "product = 0x00ab", "rdesc-size = 28"] {
        assert!(manifest.lines().any(|found| found == line), "`{line}` is missing in:\n{manifest}");
    }
    write(desk.path(), "bare/driver.bpf.c", REPAIR);
    run(&desk, &["build", "bare"]);
    let replayed = run(&desk, &["replay", "./bare/build/bare.bpf.o", "m.txt"]);
    assert_eq!(replayed.status.code(), Some(0), "{}", stderr(&replayed));
    assert!(stdout(&replayed).contains("R: 29 ") && !stderr(&replayed).contains("match rules"), "{replayed:?}");
}

#[test]
fn who_runs_a_driver_over_another_device_is_told_in_one_line() {
    let desk = desk();
    write(desk.path(), "m/driver.bpf.c", REPAIR);
    run(&desk, &["build", "m"]);
    write(desk.path(), "other.hid", &format!("R: 28 {MOUSE}\nN: Other\nI: 3 1209 0002\n"));
    for arguments in
        [&["replay", "./m/build/m.bpf.o", "other.hid"][..], &["inspect", "other.hid", "--diff", "./m/build/m.bpf.o"]]
    {
        let output = run(&desk, arguments);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert_eq!(said.lines().filter(|line| line.contains("the match rules of the driver `m`")).count(), 1, "{said}");
    }
    let inspected = run(&desk, &["inspect", "m.hid"]);
    check(&inspected, 1, &[]);
    assert!(stdout(&inspected).contains("refuses the descriptor at byte 28"), "{}", stdout(&inspected));
}
