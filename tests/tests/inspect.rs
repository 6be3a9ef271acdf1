//! `hidbpf inspect` with descriptors from recordings, files, hex and standard input, before and after drivers, and as pictures.

mod common;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use hidbpf::descriptor::HexBytes;
use hidbpf::recording::Recording;
use serde_json::{Value, json};

use common::machine::Machine;
use common::{check, hidbpf, object, stderr, stdout, with_drivers};

/// A mouse with two buttons, X and Y.
const MOUSE: &str = "05 01 09 02 a1 01 05 09 19 01 29 02 15 00 25 01 75 01 95 02 81 02 75 06 95 01 81 03 \
                     05 01 09 30 09 31 15 81 25 7f 75 08 95 02 81 06 c0";

const MOUSE_REPORTS: &str = "\
hex from the command line
  report descriptor, 45 bytes

input report (Mouse), 3 bytes
  at   bits   what                  logical
  0.0  2 × 1  Button 1 .. Button 2  0..1
  0.2  6      padding
  1.0  8      X                     -127..127  relative
  2.0  8      Y                     -127..127  relative
";

const MOUSE_ITEMS: &str = "
    0  05 01           Usage Page               Generic Desktop
    2  09 02           Usage                    Mouse
    4  a1 01           Collection               Application
    6  05 09             Usage Page             Button
    8  19 01             Usage Minimum          Button 1
   10  29 02             Usage Maximum          Button 2
   12  15 00             Logical Minimum        0
   14  25 01             Logical Maximum        1
   16  75 01             Report Size            1
   18  95 02             Report Count           2
   20  81 02             Input                  Data, Variable, Absolute
   22  75 06             Report Size            6
   24  95 01             Report Count           1
   26  81 03             Input                  Constant, Variable, Absolute
   28  05 01             Usage Page             Generic Desktop
   30  09 30             Usage                  X
   32  09 31             Usage                  Y
   34  15 81             Logical Minimum        -127
   36  25 7f             Logical Maximum        127
   38  75 08             Report Size            8
   40  95 02             Report Count           2
   42  81 06             Input                  Data, Variable, Relative
   44  c0              End Collection
";

fn recording(driver: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers").join(driver).join("recordings").join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

/// Runs the command with this standard input.
fn with_input(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = hidbpf()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command can be run");
    // The command may end without reading everything.
    let _ = child.stdin.take().expect("standard input is a pipe").write_all(input);
    child.wait_with_output().expect("the command ends")
}

fn answer(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).expect("the answer is JSON")
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.parse::<HexBytes>().expect("the bytes are in hex").0
}

#[test]
fn a_descriptor_in_hex_is_shown_as_reports_and_as_items() {
    let output = with_drivers(&["inspect", MOUSE]);
    check(&output, 0, &[]);
    assert_eq!(stdout(&output), MOUSE_REPORTS);
    let output = with_drivers(&["inspect", "--items", &MOUSE.replace(' ', "")]);
    check(&output, 0, &[]);
    assert!(stdout(&output).ends_with(&format!("45 bytes\n{MOUSE_ITEMS}")), "{}", stdout(&output));
    let output = with_drivers(&["inspect", "--items", "--reports", MOUSE]);
    assert!(stdout(&output).contains(MOUSE_ITEMS), "{}", stdout(&output));
    assert!(stdout(&output).contains("input report (Mouse), 3 bytes\n"), "{}", stdout(&output));
}

#[test]
fn files_and_standard_input_are_told_apart_by_what_is_in_them() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let mouse = recording("mouse-invert-y", "mouse.hid");
    let recorded = fs::read(&mouse).expect("the recording can be read");
    let object = fs::read(object("mouse-invert-y")).expect("the object can be read");
    let array = MOUSE.split(' ').map(|byte| format!("0x{byte},")).collect::<Vec<_>>().join("\n");
    let c =
        format!("// a mouse\nstatic const u8 rdesc[] = {{\n/* 05 01 */ {} /* 05 */\n}};\n", array.replace('\n', " "));
    for (name, content, code, words) in [
        ("raw", bytes(MOUSE).as_slice(), 0, "input report (Mouse), 3 bytes"),
        ("hex.txt", MOUSE.as_bytes(), 0, "input report (Mouse), 3 bytes"),
        ("array.h", array.as_bytes(), 0, "input report (Mouse), 3 bytes"),
        ("recording", &recorded, 0, "Holtek USB Gaming Mouse\n"),
        ("recording.hid", &recorded, 0, "Holtek USB Gaming Mouse\n"),
        ("object", &object, 0, "mouse-invert-y: "),
        ("empty", b"", 1, "the file is empty"),
        ("c.c", c.as_bytes(), 0, "read 45 bytes: array, rdesc\n"),
        ("wrong.c", c.replace("0x09, 0x02,", "mouse, 0x02,").as_bytes(), 1, ":3:25: invalid byte \"mouse\""),
        ("text", b"hello, world\n", 1, ":1:1: \"hello, world\" is not in a known form"),
        ("broken.hid", b"R: 3 05 01\n", 1, "broken.hid:1: the length says 3 bytes, and 2 follow"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).expect("the file can be written");
        let file = with_drivers(&["inspect", text(&path)]);
        let piped = with_input(&["inspect", "-"], content);
        for (output, is_piped) in [(&file, false), (&piped, true)] {
            check(output, code, &[]);
            let said = stdout(output) + &stderr(output);
            // For a name that ends in `.hid`, the format is known without the file's contents.
            assert!(said.contains(words) || (is_piped && name == "broken.hid"), "{name}: {said}");
        }
    }
    let nothing = with_drivers(&["inspect", text(&dir.path().join("nothing"))]);
    check(&nothing, 1, &["failed to find the device"]);
}

#[test]
fn what_is_none_of_these_is_named() {
    for what in ["nonsense", "05 0g", "x\u{1b}[2J", "5"] {
        let output = with_drivers(&["inspect", what]);
        check(&output, 1, &["is not a driver, device, file or descriptor in hex"]);
        assert!(!stderr(&output).contains('\u{1b}'), "{}", stderr(&output));
    }
    check(&with_drivers(&["inspect", "mouse-invert-y", "--items"]), 1, &["has no report descriptor", "--diff"]);
    check(&with_drivers(&["inspect", MOUSE, "--diff"]), 1, &["it is not a device", "name a driver"]);
    check(&with_drivers(&["inspect", MOUSE, "--diff", "nothing"]), 1, &["there is no driver `nothing`"]);
    check(
        &with_drivers(&["inspect", MOUSE, "--svg", "/nonexistent/x.svg"]),
        1,
        &["failed to write `/nonexistent/x.svg`"],
    );
    check(&with_drivers(&["inspect"]), 2, &["Usage"]);
}

#[test]
fn what_the_kernel_refuses_is_shown_up_to_its_end_and_ends_with_1() {
    let output = with_drivers(&["inspect", "05 01 09 02 a1 01 85 00 c0"]);
    check(&output, 1, &[]);
    let said = stdout(&output);
    assert!(
        said.contains("    6  85 00             Report ID              0\n    8  c0              End Coll"),
        "{said}"
    );
    let why = "Report ID (0) is not 1 to 255 (hid_parser_global(): \"report_id 0 is invalid\")";
    assert!(said.ends_with(&format!("\nThe kernel refuses the descriptor at byte 6: {why}\n")), "{said}");
    let output = with_drivers(&["--json", "inspect", "05 01 fe 00 10"]);
    check(&output, 1, &[]);
    let refused = &answer(&output)["descriptor"]["refused"];
    let kernel = "hid_open_report(): \"unexpected long global item\"";
    assert_eq!(*refused, json!({ "offset": 2, "reason": "a long item", "kernel": kernel }));
    let output = with_drivers(&["inspect", "05 09 0c 09 01 75 01 95 01 81 02"]);
    check(&output, 0, &[]);
    assert!(stdout(&output).ends_with("\nThe kernel passes over:\n  byte 2: a reserved item\n"), "{}", stdout(&output));
}

#[test]
fn json_has_items_fields_and_usages() {
    let output = with_drivers(&["--json", "inspect", "--items", "--reports", MOUSE]);
    check(&output, 0, &[]);
    let answer = answer(&output);
    assert_eq!(answer["version"], 2);
    let descriptor = &answer["descriptor"];
    assert_eq!((&descriptor["size"], &descriptor["refused"]), (&json!(45), &Value::Null));
    assert_eq!(
        descriptor["items"][1],
        json!({ "offset": 2, "bytes": "09 02", "depth": 0, "name": "Usage", "value": "Mouse" })
    );
    let report = &descriptor["reports"][0];
    assert_eq!((&report["kind"], &report["id"], &report["bits"]), (&json!("input"), &Value::Null, &json!(24)));
    let usage = |page: u32, id: u32, name: &str| json!({ "page": page, "id": id, "name": name });
    assert_eq!(
        report["fields"][2],
        json!({
            "offset": 42, "first-bit": 8, "size": 8, "count": 2,
            "usages": [
                { "first": usage(1, 0x30, "X"), "last": usage(1, 0x30, "X") },
                { "first": usage(1, 0x31, "Y"), "last": usage(1, 0x31, "Y") },
            ],
            "logical": { "minimum": -127, "maximum": 127 }, "physical": { "minimum": 0, "maximum": 0 },
            "unit": "none", "unit-exponent": 0, "flags": ["Data", "Variable", "Relative"], "collection": 0,
        })
    );
    assert_eq!(descriptor["collections"][0]["kind"], "Application");
}

#[test]
fn a_driver_is_shown_by_what_it_changes() {
    let joystick = recording("frtec-raptor-mach-2", "joystick.hid");
    let output = with_drivers(&["inspect", text(&joystick), "--diff", "frtec-raptor-mach-2", "--items", "--reports"]);
    check(&output, 0, &[]);
    let said = stdout(&output);
    for words in [
        "  report descriptor, 232 bytes before and 232 after, fixed by `frtec-raptor-mach-2`\n",
        "        (76 items that are the same)\n",
        "-   176  26 ef 00          Logical Maximum        239\n+   176  26 07 00          Logical Maximum        7\n",
        "-   33.0  16       Hat Switch             0..239   0..360    deg   null state\n",
        "+   33.0  16       Hat Switch             0..7     0..360    deg   null state\n",
        "  output report 88 (Joystick), 64 bytes: the same\n",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let output = with_drivers(&["--json", "inspect", text(&joystick), "--diff", "frtec-raptor-mach-2"]);
    let answer = answer(&output);
    let difference = &answer["recording"]["devices"][0]["difference"];
    let changed = |list: &Value| -> usize {
        list.as_array().expect("it is a list").iter().filter(|difference| difference["change"] != "same").count()
    };
    assert_eq!(changed(&difference["reports"]), 1);
    assert_eq!(changed(&difference["reports"][0]["rows"]), 2);
    // A driver that does not match the device changes nothing.
    let output = with_drivers(&["inspect", MOUSE, "--diff", "frtec-raptor-mach-2"]);
    check(&output, 0, &[]);
    assert!(stdout(&output).contains("the driver `frtec-raptor-mach-2` "), "{}", stdout(&output));
}

/// `inspect --diff` shows the driver's expected descriptor for each recording.
#[test]
fn every_driver_makes_what_is_expected_of_every_recording() {
    let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers");
    let mut tried = 0;
    for driver in hidbpf_build::driver_folders(&drivers).expect("the drivers are there") {
        let name = driver.file_name().expect("a driver has a name").to_string_lossy().into_owned();
        for (recording, expected) in hidbpf_build::recordings(&driver).expect("the folder can be read") {
            let expected = Recording::read(&expected).expect("it is a recording");
            let output = with_drivers(&["--json", "inspect", text(&recording), "--diff", &name]);
            check(&output, 0, &[]);
            let answer = answer(&output);
            let devices = answer["recording"]["devices"].as_array().expect("there are devices");
            assert_eq!(devices.len(), expected.devices.len(), "{}", recording.display());
            for (device, expected) in devices.iter().zip(&expected.devices) {
                let after = &device["difference"]["after"]["descriptor"];
                assert_eq!(*after, json!(HexBytes(expected.descriptor.clone())), "{}", recording.display());
            }
            tried += 1;
        }
    }
    assert!(tried > 10, "{tried} recordings");
}

#[test]
fn pictures_are_well_formed_and_have_every_field() {
    let dir = tempfile::tempdir().expect("a temporary directory can be made");
    let path = dir.path().join("mouse.svg");
    check(&with_drivers(&["inspect", MOUSE, "--svg", text(&path)]), 0, &[]);
    let svg = fs::read_to_string(&path).expect("the picture is there");
    let document = roxmltree::Document::parse(&svg).expect("the picture is well-formed");
    let texts: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text()).collect();
    for words in ["Button 1", "Button 2", "padding", "X", "Y", "input report (Mouse), 3 bytes", "7", "0"] {
        assert!(texts.contains(&words), "{words}: {texts:?}");
    }
    let pen = recording("huion-inspiroy-2-s", "firmware-mode-pen.hid");
    let path = dir.path().join("pen.svg");
    check(&with_drivers(&["inspect", text(&pen), "--diff", "huion-inspiroy-2-s", "--svg", text(&path)]), 0, &[]);
    let svg = fs::read_to_string(&path).expect("the picture is there");
    let document = roxmltree::Document::parse(&svg).expect("the picture is well-formed");
    let tips = document.descendants().filter(|node| node.has_tag_name("title")).filter_map(|node| node.text());
    let tips: String = tips.collect::<Vec<_>>().join("\n");
    for words in ["X Tilt: 8 bits, -127..127", "Secondary Barrel Switch: 1 bit", "0..160 10⁻¹ cm", "0..2048 10⁻³ in³"]
    {
        assert!(tips.contains(words), "{words}: {tips}");
    }
}

#[test]
fn a_device_is_shown_as_it_is_and_as_it_was() {
    let read = |name| {
        let recording = Recording::read(&recording("frtec-raptor-mach-2", name)).expect("it is a recording");
        recording.devices[0].descriptor.clone()
    };
    let machine = Machine::new(&read("joystick.hid"), &read("joystick.expected.hid"));
    let Some(output) = machine.run(&["inspect", Machine::DEVICE]) else {
        eprintln!("skipped: a_device_is_shown_as_it_is_and_as_it_was: this machine lets nobody mount");
        return;
    };
    check(&output, 0, &[]);
    let said = stdout(&output);
    for words in [
        "a\\u{1b}[2J joystick\n",
        "  usb, generic, vendor 11C0",
        "the original descriptor differs from the current one: `--diff` shows both",
        "Hat Switch             0..7 ",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let hat =
        "-   176  26 ef 00          Logical Maximum        239\n+   176  26 07 00          Logical Maximum        7\n";
    for driver in [&[][..], &["frtec-raptor-mach-2"]] {
        let arguments = [&["inspect", Machine::DEVICE, "--items", "--diff"], driver].concat();
        let output = machine.run(&arguments).expect("mounts are allowed");
        check(&output, 0, &[]);
        assert!(stdout(&output).contains(hat), "{}", stdout(&output));
    }
    let path = format!("/sys/bus/hid/devices/{}/report_descriptor", Machine::DEVICE);
    let output = machine.run(&["inspect", &path]).expect("mounts are allowed");
    assert!(stdout(&output).contains("Hat Switch             0..7 "), "{}", stdout(&output));
}

#[test]
fn a_drivers_instructions_are_shown_with_the_lines_of_its_source() {
    let shown = stdout(&with_drivers(&["inspect", "mouse-invert-y", "--disassembly"]));
    for line in ["event_ops in struct_ops/hid_device_event:", "event_fmod in fmod_ret/hid_bpf_device_event:"] {
        assert!(shown.lines().any(|shown| shown == line), "`{line}` is missing in\n{shown}");
    }
    for part in ["driver.toml:", "call hid_bpf_get_data (kernel)", "exit", "&option_axis"] {
        assert!(shown.contains(part), "`{part}` is missing in\n{shown}");
    }
    assert!(!shown.contains("invalid instruction") && !shown.contains("without a relocation"), "{shown}");
    let shown = stdout(&with_drivers(&["--json", "inspect", "mouse-invert-y", "--disassembly"]));
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let functions = shown.pointer("/disassembly/functions").and_then(Value::as_array);
    assert!(functions.is_some_and(|functions| functions.len() >= 2), "{shown}");
    let error = stderr(&with_drivers(&["inspect", "05 01", "--disassembly"]));
    assert!(error.contains("is not a driver, and has no instructions"), "{error}");
}
