//! The commands around the configuration, as far as that needs neither root nor a kernel with HID-BPF.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use common::{check, hidbpf, stdout};

/// The command with the drivers of this workspace and a configuration of its own.
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
    // A driver that udev attaches anyway needs no line, and an empty file is none.
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
    check(&with_config(dir.path(), &["config"]), 1, &[place, "mend the file"]);
    let output = with_config(dir.path(), &["doctor"]);
    assert!(stdout(&output).contains(place), "{}", stdout(&output));
}
