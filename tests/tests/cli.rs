//! The command as users and scripts run it, as far as that needs neither root nor a kernel with HID-BPF.

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use common::{check, hidbpf, object, stderr, stdout, with_drivers};

#[test]
fn bad_usage_ends_with_2_and_help_with_0() {
    for arguments in
        [&["lod"][..], &["load"], &["load", "--force", "x"], &["unload"], &["unload", "--all", "x"], &["udev"]]
    {
        check(&with_drivers(arguments), 2, &["Usage"]);
    }
    let help = with_drivers(&["load", "--help"]);
    check(&help, 0, &[]);
    assert!(stdout(&help).contains("/dev/hidraw3"), "{}", stdout(&help));
    let help = with_drivers(&["--help"]);
    assert!(stdout(&help).contains("4  not supported by this kernel"), "{}", stdout(&help));
}

#[test]
fn drivers_are_listed_with_what_they_are_for() {
    let output = with_drivers(&["drivers"]);
    check(&output, 0, &[]);
    let text = stdout(&output);
    assert!(text.contains("hp-elite-presenter: HP Elite Presenter"), "{text}");
    assert!(text.contains("\n  before: The two side buttons do nothing") && !text.contains("matches by"), "{text}");
    let output = with_drivers(&["drivers", "xppen-ack05"]);
    check(&output, 0, &[]);
    let text = stdout(&output);
    for words in [
        "\n  before: Buttons and wheel type keyboard shortcuts",
        "\n  after: Each button and the wheel is that of a tablet pad",
        "\n  fix, stable, attached by udev; Linux 6.11 and later (struct_ops)\n",
        "\n  matches by pen: usb 28BD:0202, group generic, a descriptor of 109 bytes\n",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let output = with_drivers(&["--json", "drivers", "mouse-invert-y"]);
    check(&output, 0, &[]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    assert_eq!(answer["version"], 2);
    let driver = &answer["drivers"][0];
    assert_eq!(driver["driver"], "mouse-invert-y");
    assert_eq!(driver["automatic"], false);
    assert_eq!(driver["generations"], serde_json::json!(["fmod-ret", "struct-ops"]));
    assert_eq!(driver["properties"], serde_json::json!([]));
    assert_eq!(driver["manifest"]["before"], "The mouse has no defect: moving it forward moves the pointer up.");
}

#[test]
fn a_driver_that_is_not_there_is_named_with_its_neighbours() {
    check(&with_drivers(&["load", "hp-presenter"]), 1, &["there is no driver `hp-presenter`", "hp-elite-presenter"]);
    check(&with_drivers(&["drivers", "x\u{1b}[2J"]), 1, &["`x\\u{1b}[2J`"]);
    let none = hidbpf().args(["--drivers", "/nonexistent", "load", "x"]).output().expect("the command can be run");
    check(&none, 1, &["no drivers are installed"]);
    check(&with_drivers(&["load", "./nonexistent.bpf.o"]), 1, &["failed to read the driver `./nonexistent.bpf.o`"]);
}

#[test]
fn an_object_that_is_none_is_refused_before_anything_else() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let good = fs::read(object("hp-elite-presenter")).expect("the object can be read");
    let mut other_machine = good.clone();
    // e_machine of the ELF header.
    other_machine[18] = 62;
    let mut wrong_byte = good.clone();
    let code = wrong_byte.windows(4).position(|bytes| bytes == b"GPL\0").expect("the object has its licence");
    wrong_byte[code] = b'B';
    for (name, content, words) in [
        ("empty.bpf.o", &b""[..], "empty or truncated"),
        ("text.bpf.o", b"hello, world; this is a text", "not an ELF file"),
        ("cut.bpf.o", &good[..good.len() / 2], "damaged or truncated"),
        ("machine.bpf.o", &other_machine, "another architecture"),
        ("byte.bpf.o", &wrong_byte, "damaged: its content is not what was built"),
        ("attach.bpf.o", hid_bpf_src::ATTACH_OBJECT, "neither a manifest"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).expect("the file can be written");
        let path = path.to_str().expect("the path is text");
        check(&with_drivers(&["load", path]), 1, &[name, words]);
        check(&with_drivers(&["inspect", path]), 1, &[name, words]);
    }
}

#[test]
fn one_bad_object_does_not_hide_the_others() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    fs::copy(object("mouse-invert-y"), dir.path().join("mouse-invert-y.bpf.o")).expect("the object can be copied");
    fs::write(dir.path().join("bad.bpf.o"), "no object").expect("the file can be written");
    let list = hidbpf().arg("--drivers").arg(dir.path()).arg("drivers").output().expect("the command can be run");
    assert_eq!(list.status.code(), Some(0));
    assert!(stdout(&list).starts_with("mouse-invert-y:"), "{}", stdout(&list));
    assert!(stderr(&list).contains("bad.bpf.o"), "{}", stderr(&list));
    let hwdb = hidbpf().arg("--drivers").arg(dir.path()).arg("hwdb").output().expect("the command can be run");
    check(&hwdb, 1, &["bad.bpf.o"]);
}

/// Neither udev nor the commands would find a driver by its name in these files, and the output says so.
#[test]
fn an_object_with_another_name_or_suffix_is_passed_over_aloud() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    for (name, words) in [
        ("renamed.bpf.o", "the driver in it is called `mouse-invert-y`"),
        ("mouse-invert-y.o", "a driver's file has a name that ends with `.bpf.o`"),
    ] {
        let path = dir.path().join(name);
        fs::copy(object("mouse-invert-y"), &path).expect("the object can be copied");
        let run = |arguments: &[&str]| {
            let mut command = hidbpf();
            command.arg("--drivers").arg(dir.path()).args(arguments).output().expect("the command can be run")
        };
        let expected = format!("`{}` is passed over: {words}", path.display());
        check(&run(&["hwdb"]), 1, &[&expected, "rename it: `mouse-invert-y.bpf.o`"]);
        check(&run(&["load", "mouse-invert-y"]), 1, &["there is no driver `mouse-invert-y`", &expected]);
        fs::remove_file(&path).expect("the object can be removed");
    }
}

#[test]
fn the_hwdb_names_what_udev_attaches_and_nothing_else() {
    let output = with_drivers(&["hwdb"]);
    check(&output, 0, &[]);
    let text = stdout(&output);
    let entry = "\nhidbpf:hid:b0003g0001v000011C0p00005606\n HIDBPF=1\n HIDBPF_DRIVER_FRTEC_RAPTOR_MACH_2=frtec-raptor-mach-2\n";
    assert!(text.contains(entry), "{text}");
    assert!(!text.contains("mouse-invert-y"), "{text}");
}

#[test]
fn an_object_is_shown_with_its_hooks_and_rules() {
    let path = object("huion-inspiroy-2-s");
    let output = with_drivers(&["inspect", path.to_str().expect("the path is text")]);
    check(&output, 0, &[]);
    let text = stdout(&output);
    for words in ["FMOD_RET: device event (", "HUION_FIRMWARE_ID", "matches by pen: usb 256C:0066"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let output = with_drivers(&["--json", "inspect", "huion-inspiroy-2-s"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    assert_eq!(answer["driver"]["hooks"]["struct_ops"], serde_json::json!(["device-event", "rdesc-fixup"]));
    let instructions = &answer["driver"]["instructions"]["struct_ops"]["device-event"];
    assert!(instructions.as_u64().is_some_and(|count| count > 10), "{instructions}");
}

#[test]
fn a_missing_device_is_named_with_a_hint() {
    for device in ["0003:FFFF:FFFF.FFFF", "/dev/null", "/dev/input/event99999", "/sys/class", "nonsense"] {
        let output = with_drivers(&["devices", device]);
        check(&output, 1, &[device]);
        let said = stderr(&output);
        assert!(said.contains("nearest HID devices are") || said.contains("has no HID devices"), "{said}");
    }
}

#[test]
fn manual_pages_and_completions_are_whole() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    check(&with_drivers(&["man", dir.path().to_str().expect("the path is text")]), 0, &[]);
    let mut pages: Vec<_> = fs::read_dir(dir.path())
        .expect("the directory can be read")
        .map(|entry| entry.expect("the entry can be read").file_name().into_string().expect("the name is text"))
        .collect();
    pages.sort();
    for page in ["hidbpf.8", "hidbpf-load.8", "hidbpf-udev-add.8"] {
        assert!(pages.iter().any(|found| found == page), "{page}: {pages:?}");
    }
    let main = fs::read_to_string(dir.path().join("hidbpf.8")).expect("the page can be read");
    assert!(main.contains("nothing matched"), "{main}");
    for shell in ["bash", "zsh", "fish"] {
        let output = with_drivers(&["completions", shell]);
        check(&output, 0, &[]);
        assert!(stdout(&output).contains("doctor"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = hidbpf()
        .args(["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be run");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the command ends");
    check(&output, 0, &[]);
}

#[test]
fn doctor_says_what_is_missing_and_ends_with_1() {
    let output =
        hidbpf().args(["--json", "--drivers", "/nonexistent", "doctor"]).output().expect("the command can be run");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    let findings = answer["findings"].as_array().expect("there are findings");
    let find = |check: &str| findings.iter().find(|finding| finding["check"] == check).expect("the check is there");
    assert_eq!(find("drivers")["grade"], "warning");
    assert!(findings.iter().all(|finding| finding["grade"] == "good" || finding["remedy"].is_string()), "{findings:?}");
    let bad = findings.iter().any(|finding| finding["grade"] == "bad");
    assert_eq!(output.status.code(), Some(i32::from(bad)));
    // The machine's own kernel decides which checks are possible.
    let kernel = find("kernel");
    if kernel["grade"] == "bad" && Path::new("/sys/kernel/btf/vmlinux").exists() {
        let load = with_drivers(&["load", "hp-elite-presenter", "0003:FFFF:FFFF.FFFF"]);
        assert_ne!(load.status.code(), Some(0));
    }
}

#[test]
fn a_recording_is_replayed_compared_and_put_into_words() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers/frtec-raptor-mach-2/recordings");
    let path = |name: &str| folder.join(name).to_str().expect("the path is text").to_owned();
    let (recording, expected) = (path("joystick.hid"), path("joystick.expected.hid"));
    for generation in ["fmod-ret", "struct-ops"] {
        let same = ["replay", "frtec-raptor-mach-2", &recording, "--expect", &expected, "--generation", generation];
        let output = with_drivers(&same);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    let other = with_drivers(&["replay", "frtec-raptor-mach-2", &recording, "--expect", &recording]);
    assert_eq!(other.status.code(), Some(1));
    assert!(stdout(&other).contains("\n- R: 232 ") && stdout(&other).contains("\n+ R: 232 "), "{}", stdout(&other));
    let words = with_drivers(&["replay", "frtec-raptor-mach-2", &recording, "--decode"]);
    assert!(stdout(&words).contains("*Hat Switch: "), "{}", stdout(&words));
    assert!(stdout(&words).contains("\ninstructions a report: "), "{}", stdout(&words));
    let json = with_drivers(&["--json", "replay", "frtec-raptor-mach-2", &recording]);
    let answer: Value = serde_json::from_slice(&json.stdout).expect("the answer is JSON");
    assert_ne!(answer["replay"]["devices"][0]["before"], answer["replay"]["devices"][0]["after"]);
    let reports = answer["replay"]["reports"].as_array().expect("there are reports");
    assert!(reports.iter().all(|report| report["instructions"].as_u64() > Some(0)), "{reports:?}");
    let none = folder.join("../../hp-elite-presenter/recordings/presenter.hid");
    let none = ["--json", "replay", "hp-elite-presenter", none.to_str().expect("the path is text")];
    let answer: Value = serde_json::from_slice(&with_drivers(&none).stdout).expect("the answer is JSON");
    assert!(answer["replay"]["reports"][0]["instructions"].is_null(), "{answer}");
}

#[test]
fn a_broken_recording_is_refused_with_its_line() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().join("broken.hid");
    for (text, words) in [
        ("R: 3 05 01 09\nI: 3 1 1\nX: what\n", "broken.hid:3: `X: what` is not a line of a recording"),
        ("R: 4 05 01 09\n", "broken.hid:1: the length says 4 bytes, and 3 follow"),
    ] {
        fs::write(&path, text).expect("the file can be written");
        let path = path.to_str().expect("the path is text");
        check(&with_drivers(&["replay", "hp-elite-presenter", path]), 1, &[words]);
    }
    check(&with_drivers(&["replay", "xppen-ack05", "x.hid", "--generation", "other"]), 2, &["possible values"]);
}
