//! The messages of `hidbpf replay` about broken or odd recordings, and about drivers with forbidden actions.
//!
//! Each message has the place and the reason.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use hidbpf::object::write_fingerprint;
use hidbpf_tests::fuzz::without_fingerprint;

use common::{check, object, stderr, stdout, with_drivers};

/// Buttons, X and Y, without a report id.
const MOUSE: &str = "R: 50 05 01 09 02 a1 01 09 01 a1 00 05 09 19 01 29 03 15 00 25 01 95 03 75 01 81 02 95 01 75 05 81 01 05 01 09 30 \
    09 31 15 81 25 7f 75 08 95 02 81 06 c0 c0\nN: Plain Mouse\nI: 3 1d6b 0104\n";

/// Returns a driver for tests only.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("OUT_DIR")).join(format!("fixtures/{name}.bpf.o"))
}

/// Runs a driver over the text of a recording.
fn replay(driver: &Path, recording: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().join("mouse.hid");
    fs::write(&path, recording).expect("the file can be written");
    let [driver, path] = [driver, &path].map(|path| path.to_str().expect("the path is text"));
    with_drivers(&[&["replay", driver, path], more].concat())
}

#[test]
fn a_broken_line_is_named_with_what_was_expected() {
    let long = "07 ".repeat(70);
    for (text, words) in [
        ("N: x\nI: 3 1d6b 0104\n", "mouse.hid: device 0 has no `R:` line, its report descriptor"),
        ("R: 3 05 01 c0\nE: 0.000000 1 00\n", "the report descriptor is invalid at byte 2: End Collection"),
        ("", "mouse.hid: the recording has no `R:` line"),
        ("N: x\nR: 4 05 01 c0\n", "mouse.hid:2: the length says 4 bytes, and 3 follow"),
        ("R: x 05 01 c0\n", "mouse.hid:1: `x` is not a length in bytes"),
        ("R: 3 05 01 cg\n", "mouse.hid:1: `cg` is not a byte in hex"),
        ("I: 3 1\n", "mouse.hid:1: the line ends where the product in hex should be"),
        ("# feature x=1\n", "mouse.hid:1: `x=1` is not a feature report"),
        (&format!("{MOUSE}R: 3 05 01 c0\n"), "mouse.hid:4: device 0 has a second `R:` line"),
        (&format!("{MOUSE}E: 0.000000 4 07 01 01\n"), "mouse.hid:4: the length says 4 bytes, and 3 follow"),
        (&format!("{MOUSE}E: 0.0 3 07 01 01\n"), "mouse.hid:4: `0.0` is not a time"),
        (&format!("{MOUSE}E: 0.000000\n"), "mouse.hid:4: the line ends where the length in bytes should be"),
        (&format!("{MOUSE}X: y\n"), "mouse.hid:4: `X: y` is not a line of a recording"),
        // Recordings that parse but can't be run.
        ("R: 3 05 01 c0\nI: 3 1 1\nE: 0.000000 1 00\n", "the report descriptor is invalid at byte 2: End Collection"),
        (&format!("{MOUSE}E: 0.000000 70 {long}\n"), "line 4: the report has 70 bytes, and the kernel's buffer"),
    ] {
        let output = replay(&object("mouse-invert-y"), text, &[]);
        check(&output, 1, &["mouse.hid", words]);
        assert_eq!(stdout(&output), "", "{text}");
    }
}

#[test]
fn what_is_odd_is_pointed_out_and_run_all_the_same() {
    for (reports, words) in [
        ("E: 0.000000 5 00 01 01 01 01\n", "line 4: the report 0 has 5 bytes, and the descriptor declares 3"),
        ("E: 1.000000 3 00 01 01\nE: 0.000000 3 00 01 01\n", "line 5: the report is older than the one before it"),
        ("", "the recording has no `E:` line, so there is no report to replay"),
    ] {
        let output = replay(&object("mouse-invert-y"), &format!("{MOUSE}{reports}"), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
        assert_eq!(stdout(&output).matches("E: ").count(), reports.matches("E: ").count());
    }
}

#[test]
fn a_driver_that_does_what_it_must_not_is_told_where_and_why() {
    const SOURCE: &str = include_str!("../fixtures/drivers/bench-faulty/driver.bpf.c");
    for (number, words) in [
        (1, "it reads 1 bytes at offset 3 of the data that it asked hid_bpf_get_data() for, which has 3 bytes"),
        (2, "it has run 16777216 instructions without an end; is there an endless loop?"),
        (3, "it calls `hid_bpf_of_tomorrow`: a replay does not know it"),
        (4, "it calls the helper bpf_get_current_task (number 35), which a replay does not have"),
        (5, "it calls helper 9999 of the kernel, which a replay does not have"),
    ] {
        let recording = format!("{MOUSE}E: 0.000000 3 {number:02x} 01 01\n");
        let mark = format!("/* {number} */");
        let line = 1 + SOURCE.lines().position(|line| line.ends_with(&mark)).expect("a line has the mark");
        for (generation, program) in [("fmod-ret", "event_fmod"), ("struct-ops", "event_ops")] {
            let output = replay(&fixture("bench-faulty"), &recording, &["--generation", generation]);
            let place = format!("line 4: bench-faulty/driver.bpf.c:{line}: `{program}` stops at instruction ");
            check(&output, 1, &[&place, words]);
        }
    }
}

#[test]
fn a_driver_that_drops_every_report_is_told() {
    let recording = format!("{MOUSE}E: 0.000000 3 07 01 01\nE: 0.008000 3 08 01 01\n");
    for more in [&[][..], &["--decode"], &["--json"]] {
        let output = replay(&fixture("bench-faulty"), &recording, more);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let words = "mouse.hid: the driver `bench-faulty` dropped all 2 reports";
        assert!(stderr(&output).contains(words), "{}", stderr(&output));
    }
}

#[test]
fn a_driver_that_refuses_the_device_is_told() {
    // The fixture recognises a mouse by its first usage.
    let other = format!("{}E: 0.000000 3 00 05 01\n", MOUSE.replacen("09 02", "09 01", 1));
    let output = replay(&fixture("bench-probe"), &other, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let words = "mouse.hid: the probe of `bench-probe` refuses device 0 (errno 22), which stays as it is";
    assert!(stderr(&output).contains(words), "{}", stderr(&output));
    assert!(stdout(&output).ends_with("3 00 05 01\n"), "{}", stdout(&output));
}

#[test]
fn a_driver_with_a_hook_of_tomorrow_is_refused() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().join("newer.bpf.o");
    let mut newer = without_fingerprint(&fs::read(object("mouse-invert-y")).expect("the object can be read"));
    let (event, other) = (b"hid_device_event", b"hid_device_sleep");
    let places: Vec<usize> = (0..newer.len() - event.len()).filter(|at| newer[*at..].starts_with(event)).collect();
    assert!(places.len() > 1, "the hook's name is in {} places", places.len());
    for at in places {
        newer[at..at + event.len()].copy_from_slice(other);
    }
    write_fingerprint(&path, &mut newer).expect("the object has a place for its digest");
    fs::write(&path, &newer).expect("the file can be written");
    let words = "for a hook that this hidbpf doesn't know";
    check(&replay(&path, MOUSE, &[]), 1, &["?struct_ops/hid_device_sleep", words, "update"]);
    let path = path.to_str().expect("the path is text");
    check(&with_drivers(&["load", path]), 1, &["?struct_ops/hid_device_sleep", words, "update"]);
    // The same error comes from parsing only the programs.
    let error = hidbpf::replay::Object::parse(&newer).expect_err("the hook is unknown").to_string();
    assert_eq!(error, "the object has a program for `hid_device_sleep`, a hook that a replay does not know");
}
