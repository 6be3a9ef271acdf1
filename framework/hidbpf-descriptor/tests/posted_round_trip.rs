//! Every descriptor of `../shared/descriptors`, written in many forms, is read back to the same bytes.
//!
//! The programs of the machine write the dumps: xxd, od, hexdump and base64. The rest is written by small functions here, which
//! share nothing with the readers.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::{fs, io};

use hidbpf_descriptor::posted;

/// A mouse, in case there are no others.
const MOUSE: [u8; 52] = [
    5, 1, 9, 2, 0xa1, 1, 9, 1, 0xa1, 0, 5, 9, 0x19, 1, 0x29, 3, 0x15, 0, 0x25, 1, 0x95, 3, 0x75, 1, 0x81, 2, 0x95, 1,
    0x75, 5, 0x81, 1, 5, 1, 9, 0x30, 9, 0x31, 9, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x75, 8, 0x95, 3, 0x81, 6, 0xc0, 0xc0,
];

fn descriptors() -> &'static [(String, Vec<u8>)] {
    static ALL: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(read_descriptors);
    &ALL
}

fn read_descriptors() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/descriptors");
    let mut all = vec![("mouse".to_owned(), MOUSE.to_vec())];
    match fs::read_dir(&folder) {
        Ok(entries) => {
            let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
            let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
            let named = paths.map(|path| (path.display().to_string(), fs::read(&path).expect("it can be read")));
            // Some files there are empty.
            all.extend(named.filter(|(_, bytes)| !bytes.is_empty()));
            all.sort();
        }
        Err(error) => eprintln!("skipped: the descriptors of {}: {error}", folder.display()),
    }
    all
}

/// Reads a text, and returns why the bytes differ from these.
fn compare(name: &str, form: &str, text: &str, expected: &[u8]) -> Option<String> {
    let head: String = text.chars().take(200).collect();
    match posted::read(text.as_bytes()) {
        Err(error) => Some(format!("{form}: {name}: {error}\n{head}")),
        Ok(read) if read.recording.devices.len() != 1 => {
            Some(format!("{form}: {name}: {} devices\n{head}", read.recording.devices.len()))
        }
        Ok(read) if read.recording.devices[0].descriptor != expected => {
            let found = read.recording.devices[0].descriptor.len();
            Some(format!("{form}: {name}: {found} of {} bytes as {}\n{head}", expected.len(), read.form))
        }
        Ok(_) => None,
    }
}

/// The forms of a test in which some descriptor was not read back, each with one.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn check(&mut self, form: &str, write: impl Fn(&[u8]) -> String) {
        let faults: Vec<String> =
            descriptors().iter().filter_map(|(name, bytes)| compare(name, form, &write(bytes), bytes)).collect();
        self.0.extend(faults.first().map(|first| format!("{} faults, the first is {first}", faults.len())));
    }

    /// As [`Faults::check`] with every eighth descriptor, for forms that are read by the same code.
    fn check_some(&mut self, form: &str, write: impl Fn(&[u8]) -> String) {
        let some = descriptors().iter().step_by(8);
        self.0.extend(some.filter_map(|(name, bytes)| compare(name, form, &write(bytes), bytes)));
    }

    fn finish(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

fn hex(bytes: &[u8], prefix: &str, separator: &str) -> String {
    bytes.iter().map(|byte| format!("{prefix}{byte:02x}")).collect::<Vec<_>>().join(separator)
}

fn lines(bytes: &[u8], count: usize, line: impl Fn(&[u8]) -> String) -> String {
    bytes.chunks(count).map(|chunk| line(chunk) + "\n").collect()
}

#[test]
fn hex_with_any_separators() {
    let mut faults = Faults::default();
    for separator in [" ", "", ", ", ":", "-", ",", ";", "\n", " | ", "  ", "\t", "."] {
        faults.check_some(&format!("hex with {separator:?}"), |bytes| hex(bytes, "", separator));
    }
    for separator in [" ", ", ", "\n", ","] {
        faults.check_some(&format!("0x with {separator:?}"), |bytes| hex(bytes, "0x", separator));
    }
    faults.check_some("upper case", |bytes| hex(bytes, "", " ").to_uppercase());
    faults.check_some("wrapped", |bytes| lines(bytes, 25, |line| hex(line, "", " ")));
    faults.check("\\x", |bytes| hex(bytes, "\\x", ""));
    faults.check("$", |bytes| hex(bytes, "$", ","));
    faults.check("h", |bytes| bytes.iter().map(|byte| format!("0{byte:02x}h")).collect::<Vec<_>>().join(", "));
    faults.check("prose", |bytes| {
        format!("Hi all,\nmy mouse does not work.\n\n{}\n\nThanks, a user", lines(bytes, 16, |line| hex(line, "", " ")))
    });
    faults.check_some("fence", |bytes| format!("The descriptor is:\n```\n{}\n```\n", hex(bytes, "", " ")));
    faults.check_some("quote", |bytes| {
        format!("> The descriptor:\n{}", lines(bytes, 16, |line| format!("> {}", hex(line, "", " "))))
    });
    faults.check("CRLF and BOM", |bytes| {
        format!("\u{feff}{}", lines(bytes, 16, |line| hex(line, "", " ")).replace('\n', "\r\n"))
    });
    faults.check_some("label", |bytes| format!("report descriptor: {}", hex(bytes, "", " ")));
    faults.finish();
}

#[test]
fn utf_16() {
    for (name, bytes) in descriptors() {
        let words = || format!("\u{feff}{}\r\n", hex(bytes, "0x", ", "));
        let little: Vec<u8> = words().encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = words().encode_utf16().flat_map(u16::to_be_bytes).collect();
        for text in [little, big] {
            let read = posted::read(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(read.recording.devices[0].descriptor, *bytes, "{name}");
        }
    }
}

#[test]
fn arrays() {
    let mut faults = Faults::default();
    let rows = |bytes: &[u8]| lines(bytes, 12, |line| format!("  {},", hex(line, "0x", ", ")));
    faults.check_some("C", |bytes| format!("static const __u8 rdesc[{}] = {{\n{}}};\n", bytes.len(), rows(bytes)));
    faults.check("C with comments", |bytes| {
        let rows = lines(bytes, 2, |line| format!("\t{}, /* Usage Page (Desktop), 0x05 */ // 05 06", hex(line, "0x", ", ")));
        format!("#include <stdint.h>\n// a mouse\nconst unsigned char rdesc[] PROGMEM = {{\n{rows}}};\nint len = sizeof(rdesc);\n")
    });
    faults.check("Rust", |bytes| format!("pub const RDESC: [u8; {}] = [\n{}];\n", bytes.len(), rows(bytes)));
    faults.check_some("Rust slice", |bytes| format!("pub const RDESC: &[u8] = &[\n{}];\n", rows(bytes)));
    faults.check("Python", |bytes| format!("desc = bytes([\n{}])  # descriptor\n", rows(bytes)));
    faults.check_some("Python list", |bytes| format!("desc = {bytes:?}\n"));
    faults.check("JSON", |bytes| {
        format!("{{\"name\": \"mouse 2\", \"reportDescriptor\": {bytes:?}, \"size\": {}}}", bytes.len())
    });
    faults.check_some("JSON text", |bytes| format!("{{\"id\": 5, \"descriptor\": \"{}\"}}", hex(bytes, "", "")));
    faults.check_some("Go", |bytes| format!("var desc = []byte{{{}}}\n", hex(bytes, "0x", ", ")));
    faults.check("Java", |bytes| {
        let bytes = bytes.iter().map(|byte| format!("(byte) 0x{byte:02X}")).collect::<Vec<_>>().join(", ");
        format!("private static final byte[] DESC = new byte[] {{ {bytes} }};\n")
    });
    faults.check("assembler", |bytes| {
        lines(bytes, 2, |line| {
            let bytes = line.iter().map(|byte| format!("0{byte:02X}h")).collect::<Vec<_>>().join(",");
            format!("  db {bytes} ; Usage Page (Desktop)")
        })
    });
    faults.check("string of Python", |bytes| {
        let escaped: String = bytes
            .iter()
            .map(|byte| match byte {
                b'\t' => "\\t".to_owned(),
                b'\n' => "\\n".to_owned(),
                b'\r' => "\\r".to_owned(),
                b'\\' => "\\\\".to_owned(),
                b'\'' => "\\'".to_owned(),
                b' '..=b'~' => char::from(*byte).to_string(),
                byte => format!("\\x{byte:02x}"),
            })
            .collect();
        format!("desc = b'{escaped}'\n")
    });
    faults.check("hid-decode", |bytes| {
        lines(bytes, 2, |line| {
            format!("# {},                    // Usage Page (Generic Desktop)        0", hex(line, "0x", ", "))
        })
    });
    faults.finish();
}

#[test]
fn output_of_programs_for_hid_devices() {
    let mut faults = Faults::default();
    let rows = |bytes: &[u8]| lines(bytes, 16, |line| format!(" {}", hex(line, "", " ").to_uppercase()));
    faults.check("usbhid-dump", |bytes| format!("001:005:002:DESCRIPTOR         1709695945.563311\n{}\n", rows(bytes)));
    faults.check("win-hid-dump", |bytes| {
        let rows = lines(bytes, 16, |line| format!("  {}", hex(line, "", "  ").to_uppercase()));
        format!(
            "258A:0049: Maker - Keyboard\nPATH:\\\\?\\hid#vid_258a&pid_0049&mi_00#7\nDESCRIPTOR:\n{rows}  ({} bytes)\n",
            bytes.len()
        )
    });
    faults.check("mac-hid-dump", |bytes| {
        let rows = lines(bytes, 16, |line| format!("  {}", hex(line, "", "  ")));
        format!("mac-hid-dump:\n16C0 0486:  - Teensyduino\nDESCRIPTOR:\n{rows}  ({} bytes)\n", bytes.len())
    });
    faults.check("hidtest", |bytes| {
        let rows = lines(bytes, 10, |line| format!("{}, ", hex(line, "0x", ", ")));
        format!("Device Found\n  type: 046d b010\n  path: /dev/hidraw0\n  Interface:    1\n  Report Descriptor: ({} bytes)\n{rows}\n", bytes.len())
    });
    faults.check("debugfs", |bytes| {
        format!(
            "{} \n\n  INPUT[INPUT]\n    Field(0)\n      Usage(8)\n        Keyboard.00e0\n      Report Size(1)\n",
            hex(bytes, "", " ")
        )
    });
    faults.check("BlueZ", |bytes| {
        format!(
            "[General]\nName=Mouse\n[Attributes]\n0028=2803:0029:02:{}:00002a4b-0000-1000-8000-00805f9b34fb\n",
            hex(bytes, "", "")
        )
    });
    faults.check("gatttool", |bytes| format!("Characteristic value/descriptor: {} \n", hex(bytes, "", " ")));
    faults.check("ioreg", |bytes| {
        format!(
            "    | |   \"VendorID\" = 1452\n    | |   \"ProductID\" = 610\n    | |   \"ReportDescriptor\" = <{}>\n",
            hex(bytes, "", "")
        )
    });
    faults.check("kernel log", |bytes| {
        let mut text = String::new();
        for (index, line) in bytes.chunks(16).enumerate() {
            let ascii: String =
                line.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
            writeln!(text, "[   12.345678] hid rdesc: {:08x}: {:48}  {ascii}", index * 16, hex(line, "", " ")).unwrap();
        }
        text
    });
    faults.check("libinput", |bytes| format!("devices:\n- node: /dev/input/event5\n  evdev:\n    # Name: Mouse\n    id: [3, 1133, 49271, 273]\n  hid: [\n{}  ]\n", lines(bytes, 16, |line| format!("    {},", hex(line, "0x", ", ")))));
    faults.check("hid-recorder", |bytes| {
        format!(
            "$ sudo hid-recorder\nSelect the device event number [0-5]: 1\nR: {} {}\nN: Mouse\nI: 3 046d c077\n",
            bytes.len(),
            hex(bytes, "", " ")
        )
    });
    faults.check_some("hid-recorder, wrapped", |bytes| {
        format!("R: {} {}N: Mouse\nI: 3 046d c077\n", bytes.len(), lines(bytes, 24, |line| hex(line, "", " ")))
    });
    faults.finish();
}

/// lsusb has no word for items that the specification does not have.
#[test]
fn items_of_lsusb() {
    let mut written = 0;
    for (name, bytes) in descriptors() {
        let Some(text) = lsusb(bytes) else { continue };
        written += 1;
        if let Some(fault) = compare(name, "lsusb", &text, bytes) {
            panic!("{fault}");
        }
    }
    assert!(written > 0);
}

fn lsusb(bytes: &[u8]) -> Option<String> {
    let mut text =
        format!("      bInterfaceNumber        1\n          Report Descriptor: (length is {})\n", bytes.len());
    let mut rest = bytes;
    while let [prefix, after @ ..] = rest {
        let size = [0, 1, 2, 4][usize::from(prefix & 3)];
        let data = after.get(..size)?;
        let names = [
            ["", "", "", "", "", "", "", "", "Input", "Output", "Collection", "Feature", "End Collection"].as_slice(),
            &[
                "Usage Page",
                "Logical Minimum",
                "Logical Maximum",
                "Physical Minimum",
                "Physical Maximum",
                "Unit Exponent",
                "Unit",
                "Report Size",
                "Report ID",
                "Report Count",
                "Push",
                "Pop",
            ],
            &[
                "Usage",
                "Usage Minimum",
                "Usage Maximum",
                "Designator Index",
                "Designator Minimum",
                "Designator Maximum",
                "",
                "String Index",
                "String Minimum",
                "String Maximum",
                "Delimiter",
            ],
        ];
        let kind = usize::from(prefix >> 2 & 3);
        let name = names.get(kind)?.get(usize::from(prefix >> 4)).filter(|name| !name.is_empty())?;
        let kind = ["Main  ", "Global", "Local "][kind];
        let value = data.iter().rev().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
        match size {
            0 => writeln!(text, "            Item({kind}): {name}, data=none").ok()?,
            _ => writeln!(text, "            Item({kind}): {name}, data= [ {} ] {value}", hex(data, "0x", " ")).ok()?,
        }
        text += "                            Generic Desktop Controls\n";
        rest = &after[size..];
    }
    Some(text)
}

/// Runs a program on bytes. Returns `None` if the machine does not have it.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Option<String> {
    let child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = match child {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        child => child.expect("the program runs"),
    };
    child.stdin.take().expect("it is a pipe").write_all(input).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{program} {arguments:?}");
    Some(String::from_utf8(output.stdout).expect("it is text"))
}

#[test]
fn dumps_of_programs() {
    const COMMANDS: [&[&str]; 28] = [
        &["xxd"],
        &["xxd", "-u"],
        &["xxd", "-g1"],
        &["xxd", "-g4"],
        &["xxd", "-e"],
        &["xxd", "-b"],
        &["xxd", "-c", "10"],
        &["xxd", "-p"],
        &["xxd", "-i"],
        &["xxd", "-i", "-u"],
        &["hexdump", "-v"],
        &["hexdump", "-C"],
        &["hexdump"],
        &["hexdump", "-x"],
        &["hexdump", "-b"],
        &["hexdump", "-d"],
        &["hexdump", "-o"],
        &["od"],
        &["od", "-x"],
        &["od", "-t", "x1"],
        &["od", "-t", "x1z"],
        &["od", "-t", "x2"],
        &["od", "-t", "x4"],
        &["od", "-t", "o1"],
        &["od", "-A", "x", "-t", "x1"],
        &["od", "-A", "n", "-t", "x1"],
        &["od", "-A", "d", "-t", "x1", "-v"],
        &["base64"],
    ];
    for command in COMMANDS {
        if run(command[0], &["/dev/null"], b"").is_none() {
            eprintln!("skipped: {command:?}: the machine does not have it");
            continue;
        }
        // A program takes a while to start.
        for (name, bytes) in descriptors().iter().step_by(12) {
            let text = run(command[0], &command[1..], bytes).expect("the machine has it");
            let fault = compare(name, &command.join(" "), &text, bytes);
            assert!(fault.is_none(), "{}", fault.unwrap_or_default());
        }
    }
}
