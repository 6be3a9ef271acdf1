//! Files as people post them, on the command line: `inspect`, `replay`, `new` and `diagnose`.

mod common;

use std::fs;
use std::path::PathBuf;

use common::{check, hidbpf, stderr, stdout, with_drivers};
use serde_json::Value;

/// A mouse with five buttons. Its descriptor names three.
const MOUSE: &str = "05 01 09 02 a1 01 09 01 a1 00 05 09 19 01 29 03 15 00 25 01 95 05 75 01 81 02 95 01 75 03 81 01 \
                     05 01 09 30 09 31 09 38 15 81 25 7f 75 08 95 03 81 06 c0 c0";

const KEYBOARD: &str = "05 01 09 06 a1 01 05 07 19 e0 29 e7 15 00 25 01 75 01 95 08 81 02 c0";

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Desk {
        Desk(tempfile::tempdir().expect("a temporary directory can be made"))
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        fs::write(&path, text).expect("the file can be written");
        path.to_str().expect("the path is text").to_owned()
    }
}

/// A mouse and a keyboard, as usbhid-dump shows them.
fn dump() -> String {
    format!(
        "001:005:001:DESCRIPTOR 1709695945.563311\n {MOUSE}\n\n001:005:000:DESCRIPTOR 1709695945.563311\n {KEYBOARD}\n"
    )
}

#[test]
fn all_interfaces_are_shown_and_one_is_chosen() {
    let desk = Desk::new();
    let path = desk.write("posted.txt", &dump());
    let output = with_drivers(&["inspect", &path]);
    check(&output, 0, &["read 23 bytes: usbhid-dump, interface 0\nread 52 bytes: usbhid-dump, interface 1\n"]);
    let said = stdout(&output);
    assert!(
        said.contains("input report (Keyboard), 1 byte") && said.contains("input report (Mouse), 4 bytes"),
        "{said}"
    );
    let output = with_drivers(&["inspect", &path, "--interface", "1"]);
    check(&output, 0, &["read 52 bytes: usbhid-dump, interface 1\n"]);
    assert!(!stdout(&output).contains("Keyboard"), "{}", stdout(&output));
    let output = with_drivers(&["inspect", &path, "--device", "0"]);
    check(&output, 0, &["interface 0"]);
    let output = with_drivers(&["inspect", &path, "--interface", "7"]);
    check(&output, 1, &["has no such device or interface", "it has device 0 interface 0, device 1 interface 1"]);
}

#[test]
fn defects_are_named_with_their_repair() {
    let desk = Desk::new();
    let path = desk.write("posted.txt", &dump());
    let output = with_drivers(&["diagnose", &path]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    for words in [
        "(device 0 interface 0): 23 bytes, no findings\n",
        "(device 1 interface 1): 52 bytes, 1 finding\n  usages-repeat, certain, byte 24, input report, Button 1 .. Button 3\n",
        "    5 values have 3 usages, so the last 3 are all Button 3\n",
        "    repair: at byte 14: replace 29 03 by 29 05\n",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    check(&with_drivers(&["diagnose", &path, "--interface", "0"]), 0, &[]);
    let output = with_drivers(&["--json", "diagnose", &path, "--interface", "1"]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("the answer is JSON");
    let finding = &answer["diagnose"][0]["findings"][0];
    assert_eq!((finding["id"].as_str(), finding["certainty"].as_str()), (Some("usages-repeat"), Some("certain")));
    assert_eq!(finding["repairs"][0]["new"], "29 05");
    let output = with_drivers(&["inspect", &path, "--interface", "1"]);
    assert!(stdout(&output).contains("1 finding: `hidbpf diagnose` explains"), "{}", stdout(&output));
    check(&with_drivers(&["diagnose", "/nonexistent"]), 1, &["failed to find the device"]);
}

/// Linux reads the maximum `25 ff` as the maker meant it.
#[test]
fn what_has_no_effect_on_linux_is_shown_and_does_not_count() {
    let desk = Desk::new();
    let path = desk.write("posted.txt", "05 01 09 04 a1 01 09 30 15 00 25 ff 75 08 95 01 81 02 c0\n");
    let output = with_drivers(&["diagnose", &path]);
    check(&output, 0, &[]);
    let said = stdout(&output);
    assert!(
        said.contains("19 bytes, no findings, 1 without effect on Linux\n  maximum-sign, certain, byte 10"),
        "{said}"
    );
    assert!(!stdout(&with_drivers(&["inspect", &path])).contains("hidbpf diagnose"));
    let run = |arguments: &[&str]| {
        hidbpf().args(arguments).current_dir(desk.0.path()).output().expect("the command can be run")
    };
    let new = ["new", "joystick", "--from", &path, "--id", "usb:058f:9410", "--repair"];
    check(&run(&new), 1, &["maximum-sign"]);
    check(&run(&[&new[..], &["maximum-sign"]].concat()), 0, &[]);
}

#[test]
fn a_new_driver_is_made_from_a_post() {
    let desk = Desk::new();
    let path = desk.write(
        "posted.txt",
        &format!("uint8_t desc[] = {{ {} }};", MOUSE.split(' ').map(|byte| format!("0x{byte}, ")).collect::<String>()),
    );
    let run = |arguments: &[&str]| {
        hidbpf().args(arguments).current_dir(desk.0.path()).output().expect("the command can be run")
    };
    check(&run(&["new", "my-mouse", "--from", &path]), 1, &["the file has none (line 1)", "--id usb:3746:ffff"]);
    check(&run(&["new", "my-mouse", "--from", &path, "--id", "usb:058f"]), 2, &["usb:046d:c077"]);
    check(&run(&["new", "my-mouse", "--from", &path, "--id", "usb:058f:9410"]), 0, &["read 52 bytes: array"]);
    let manifest = fs::read_to_string(desk.0.path().join("my-mouse/driver.toml")).expect("it was written");
    for line in ["bus = \"usb\"", "vendor = 0x058f", "product = 0x9410", "rdesc-size = 52"] {
        assert!(manifest.lines().any(|found| found == line), "`{line}` is missing in:\n{manifest}");
    }
}

/// What `new` writes without C becomes C to go on from, and a source in the kernel tree's form.
#[test]
fn a_repair_becomes_c() {
    let desk = Desk::new();
    let path = desk
        .write("posted.hid", &format!("R: 52 {MOUSE}\nN: A mouse\nI: 3 058f 9410\nE: 000000.000000 4 18 00 00 01\n"));
    let run = |arguments: &[&str]| {
        hidbpf().args(arguments).current_dir(desk.0.path()).output().expect("the command can be run")
    };
    let read = |file: &str| fs::read_to_string(desk.0.path().join(file)).expect("it was written");
    check(&run(&["new", "declared", "--from", &path, "--repair"]), 0, &[]);
    let manifest = read("declared/driver.toml");
    assert!(manifest.contains("after = \"Each button has a number of its own.\"\n"), "{manifest}");
    let output = run(&["new", "repaired", "--from", &path, "--repair", "--c"]);
    assert!(stdout(&output).contains("repaired/driver.bpf.c    the code, which has the repaired descriptor\n"));
    let source = read("repaired/driver.bpf.c");
    for words in ["* usages-repeat (certain): 5 values have 3 usages", "Buttons(1, 5)", "if (ctx->size == 52)"] {
        assert!(source.contains(words), "`{words}` is missing in:\n{source}");
    }
    let output = run(&["new", "continued", "--from", "declared", "--c"]);
    assert!(stdout(&output).contains("the code, which does the same as the manifest did\n"), "{}", stderr(&output));
    assert!(read("continued/driver.bpf.c").contains("descriptor[15] = 0x05;"), "{}", read("continued/driver.bpf.c"));
    assert!(!read("continued/driver.toml").contains("[[descriptor]]"), "{}", read("continued/driver.toml"));
    for folder in ["declared", "repaired", "continued"] {
        let output = run(&["build", folder]);
        assert!(stdout(&output).contains("recordings/posted.hid: as expected"), "{folder}: {}", stderr(&output));
        let has_next = stdout(&output).contains(&format!("\nNext: `sudo hidbpf install {folder}` "));
        assert_eq!(has_next, folder == "declared", "{}", stdout(&output));
    }
    check(&run(&["new", "again", "--from", "continued", "--c"]), 1, &["is in C already: copy the folder"]);
    check(&run(&["new", "again", "--from", "declared"]), 1, &["failed to create a driver from the driver in", "`--c`"]);
    check(&run(&["new", "declared", "--from", "declared", "--c"]), 1, &["declared", "exists"]);
    check(&run(&["export", "declared", "-o", "kernel.bpf.c"]), 0, &[]);
    assert!(
        read("kernel.bpf.c").contains("is_original(ctx, original_0, sizeof(original_0))"),
        "{}",
        read("kernel.bpf.c")
    );
    check(&run(&["build", "kernel.bpf.c"]), 0, &[]);
}

#[test]
fn a_driver_runs_over_what_has_a_descriptor() {
    let desk = Desk::new();
    let stream =
        "003:019:000:STREAM 1519476934.698648\n 00 01 05 00\n\n003:019:000:STREAM 1519476934.848658\n 00 00 00 00\n";
    let path = desk.write("stream.txt", stream);
    for command in [&["replay", "mouse-invert-y", &path][..], &["inspect", &path], &["diagnose", &path]] {
        check(&with_drivers(command), 1, &["has 2 reports and no report descriptor", "usbhid-dump"]);
    }
    let path = desk.write("both.txt", &format!("003:019:000:DESCRIPTOR 1519476934.5\n {MOUSE}\n\n{stream}"));
    let output = with_drivers(&["replay", "mouse-invert-y", &path]);
    check(&output, 0, &["read 52 bytes and 2 reports: usbhid-dump, interface 0"]);
    assert!(stdout(&output).contains("E: 000000.150010 4 00 00 00 00"), "{}", stdout(&output));
}
