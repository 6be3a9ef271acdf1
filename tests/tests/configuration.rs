//! The commands for the configuration, as far as that needs neither root nor a kernel with HID-BPF.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use common::{check, hidbpf, stdout};

/// Runs the command with the drivers of this workspace and a separate configuration.
fn with_config(directory: &Path, arguments: &[&str]) -> Output {
    let drivers = hidbpf_drivers::objects_dir();
    let mut command = hidbpf();
    command.arg("--drivers").arg(drivers).arg("--config").arg(directory).args(arguments);
    command.output().expect("the command can be run")
}

#[test]
fn enabling_and_disabling_writes_a_file_of_its_own_and_says_which() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let own = dir.path().join("hidbpf.toml.d/90-hidbpf.toml");
    let output = with_config(dir.path(), &["config"]);
    check(&output, 0, &[]);
    assert!(stdout(&output).starts_with("nothing is configured in "), "{}", stdout(&output));
    let output = with_config(dir.path(), &["disable", "huion-dial-2"]);
    check(&output, 0, &[]);
    assert_eq!(stdout(&output), format!("huion-dial-2: written to {}\n", own.display()));
    check(&with_config(dir.path(), &["enable", "mouse-invert-y"]), 0, &[]);
    let output = with_config(dir.path(), &["config"]);
    check(&output, 0, &[]);
    let expected =
        format!("huion-dial-2: enabled = false  ({0}:5)\nmouse-invert-y: enabled = true  ({0}:8)\n", own.display());
    assert_eq!(stdout(&output), expected);
    // A driver that udev attaches by default needs no line, and no empty file stays.
    check(&with_config(dir.path(), &["enable", "huion-dial-2"]), 0, &[]);
    assert!(!stdout(&with_config(dir.path(), &["config"])).contains("huion-dial-2"));
    check(&with_config(dir.path(), &["disable", "mouse-invert-y"]), 0, &[]);
    let answer: Value = serde_json::from_slice(&with_config(dir.path(), &["--json", "config"]).stdout).expect("JSON");
    let setting = &answer["config"]["in-force"][0];
    assert_eq!((&setting["key"], &setting["value"]), (&Value::from("enabled"), &Value::from(false)));
    assert_eq!(setting["source"], format!("{}:5", own.display()));
}

#[test]
fn what_can_not_be_is_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    for (arguments, code, words) in [
        (&["disable", "huion-dial"][..], 1, "there is no driver `huion-dial`"),
        (&["enable", "Huion"], 2, "can't be a driver's name"),
        (&["enable", "huion-dial-2", "0003:FFFF:FFFF.FFFF"], 1, "there is no HID device"),
        (&["enable", "huion-dial-2", "--force"], 2, "<DEVICE>"),
        (&["disable", "huion-dial-2", "--port"], 2, "<DEVICE>"),
    ] {
        check(&with_config(dir.path(), arguments), code, &[words]);
    }
    assert_eq!(fs::read_dir(dir.path()).expect("the directory can be read").count(), 0);
    let directory = dir.path().join("hidbpf.toml.d");
    fs::create_dir(&directory).expect("the directory can be made");
    fs::write(directory.join("99.toml"), "[driver.mouse-invert-y]\nenabled = false\n").expect("it can be written");
    check(&with_config(dir.path(), &["enable", "mouse-invert-y"]), 1, &["99.toml:2, which is read after"]);
    fs::write(dir.path().join("hidbpf.toml"), "[driver.x]\nenabled = 1\n").expect("it can be written");
    let place = "hidbpf.toml:2:11: invalid type: integer `1`, expected a boolean";
    check(
        &with_config(dir.path(), &["config"]),
        1,
        &[place, "correct the file; until then udev leaves the drivers that the file names off"],
    );
    let output = with_config(dir.path(), &["doctor"]);
    assert!(stdout(&output).contains(place), "{}", stdout(&output));
}

#[test]
fn options_are_set_in_a_replay_by_name_and_by_udev_property() {
    let recording = |driver: &str, name: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers").join(driver).join("recordings");
        folder.join(name).to_str().expect("the path is text").to_owned()
    };
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let (plain, both) =
        (recording("mouse-invert-y", "axis-both.hid"), recording("mouse-invert-y", "axis-both.expected.hid"));
    let compared = |options: &[&str], expected: &str| {
        let arguments = [&["replay", "mouse-invert-y", &plain, "--expect", expected], options].concat();
        with_config(dir.path(), &arguments)
    };
    // The recording itself sets the property, and an option on the command line has precedence.
    check(&compared(&[], &both), 0, &[]);
    assert_eq!(compared(&["--option", "axis=y"], &both).status.code(), Some(1));
    assert_eq!(compared(&["--property", "HIDBPF_OPTION_MOUSE_INVERT_Y_AXIS=x"], &both).status.code(), Some(1));
    for (option, words) in [
        ("axis=z", "the option `axis` of the driver `mouse-invert-y`: `z` is not y, x or both"),
        ("speed=1", "the driver `mouse-invert-y` has no option `speed`"),
    ] {
        check(&compared(&["--option", option], &both), 1, &[words]);
    }
    // With an eraser, the pen behaves as its firmware does.
    let pen = recording("xppen-artist-24", "artist-24-pen.hid");
    let eraser = ["replay", "xppen-artist-24", &pen, "--expect", &pen, "--option", "second-button=eraser"];
    let output = with_config(dir.path(), &eraser);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(0), ""));
}

#[test]
fn options_are_kept_and_shown_with_where_they_come_from() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let own = dir.path().join("hidbpf.toml.d/90-hidbpf.toml");
    let get = || stdout(&with_config(dir.path(), &["get", "mouse-invert-y"]));
    assert_eq!(
        get(),
        "mouse-invert-y\n  axis = y  (default)\n    Which axis is turned around. Can be y, x or both; default y\n"
    );
    check(&with_config(dir.path(), &["set", "mouse-invert-y", "axis=x"]), 1, &["attached to no device", "--save"]);
    check(&with_config(dir.path(), &["set", "mouse-invert-y", "axis=x", "--save"]), 0, &[]);
    assert!(get().contains(&format!("  axis = x  ({}:5)\n", own.display())), "{}", get());
    for (arguments, code, words) in [
        (&["axis=z"][..], 1, "`z` is not y, x or both"),
        (&["axes=y"], 1, "has no option `axes`"),
        (&["axis"], 1, "failed to find the device `axis`"),
        (&["axis=y", "x"], 1, "`x` is not an option"),
        (&["0003:FFFF:FFFF.FFFF", "axis=y"], 1, "there is no HID device"),
        (&[], 2, "KEY=VALUE"),
        (&["axis=y", "--port"], 2, "--save"),
    ] {
        check(&with_config(dir.path(), &[&["set", "mouse-invert-y"], arguments].concat()), code, &[words]);
    }
    assert!(get().contains("axis = x"), "{}", get());
    check(&with_config(dir.path(), &["set", "mouse-invert-y", "axis=", "--save"]), 0, &[]);
    assert!(get().contains("axis = y  (default)") && !own.exists(), "{}", get());
    fs::write(dir.path().join("hidbpf.toml"), "[driver.mouse-invert-y.options]\naxis = 1\nspeed = 2\n")
        .expect("written");
    let text = get();
    for words in
        ["axis = y  (default)", "hidbpf.toml:2:8: `1` is not y, x or both", "hidbpf.toml:3:9 sets the option `speed`"]
    {
        assert!(text.contains(words), "{words}: {text}");
    }
    let doctor = stdout(&with_config(dir.path(), &["doctor"]));
    for words in
        ["hidbpf.toml:2:8 sets the option `axis` of `mouse-invert-y`: `1` is not y", "the driver has no such option"]
    {
        assert!(doctor.contains(words), "{words}: {doctor}");
    }
    let answer = with_config(dir.path(), &["--json", "get", "microsoft-surface-dial"]);
    let answer: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    let option = &answer["options"][0]["options"][0];
    assert_eq!((&option["value"], &option["min"], &option["max"]), (&30.into(), &4.into(), &360.into()));
    check(&with_config(dir.path(), &["get", "huion-dial-2"]), 3, &["has no options"]);
}

#[test]
fn a_driver_is_installed_to_the_first_directory_and_removed_from_there() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let own = dir.path().join("own");
    let run = |arguments: &[&str]| {
        let drivers = hidbpf_drivers::objects_dir();
        let mut command = hidbpf();
        command.arg("--drivers").arg(&own).arg("--drivers").arg(drivers).arg("--config").arg(dir.path());
        command.args(arguments).output().expect("the command can be run")
    };
    let target = own.join("mouse-invert-y.bpf.o");
    let object = common::object("mouse-invert-y");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers/mouse-invert-y");
    for what in [&object, &folder] {
        let what = what.to_str().expect("the path is text");
        let output = run(&["install", what, "--dry-run"]);
        check(&output, 0, &[]);
        assert_eq!(stdout(&output), format!("would install mouse-invert-y: {}\n", target.display()));
        assert!(!own.exists());
        let output = run(&["install", what]);
        assert_eq!(output.status.code(), Some(0), "{}", common::stderr(&output));
        assert_eq!(stdout(&output), format!("mouse-invert-y installed: {}\n", target.display()));
        assert!(common::stderr(&output).contains("`hidbpf enable mouse-invert-y` has it attached"));
        assert_eq!(fs::read(&target).expect("it is there"), fs::read(&object).expect("it is there"));
        assert!(stdout(&run(&["install", what])).starts_with("mouse-invert-y replaced: "));
        check(&run(&["uninstall", "mouse-invert-y"]), 0, &[]);
        assert!(!target.exists());
        fs::remove_dir(&own).expect("nothing else is left");
    }
    check(&run(&["uninstall", "mouse-invert-y"]), 1, &["was not installed by `hidbpf install`", "hidbpf disable"]);
    check(&run(&["uninstall", "no-such"]), 1, &["there is no driver `no-such`"]);
    check(&run(&["install", "/nonexistent.bpf.o"]), 1, &["failed to read the driver"]);
    let broken = dir.path().join("broken-driver");
    fs::create_dir(&broken).expect("the directory can be made");
    check(&run(&["install", broken.to_str().expect("the path is text")]), 1, &["driver.toml"]);
    // A driver that does not match its recordings is not installed.
    let copy = dir.path().join("mouse-invert-y");
    fs::create_dir_all(copy.join("recordings")).expect("the directory can be made");
    for file in ["driver.toml", "recordings/mouse.hid"] {
        fs::copy(folder.join(file), copy.join(file)).expect("the file can be copied");
    }
    fs::copy(copy.join("recordings/mouse.hid"), copy.join("recordings/mouse.expected.hid")).expect("it can be copied");
    check(&run(&["install", copy.to_str().expect("the path is text")]), 1, &["does not do what", "hidbpf build"]);
    assert!(!own.exists());
}
