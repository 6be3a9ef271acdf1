//! Builds drivers without C, and runs them: each change of descriptors and each step for reports, and each mistake.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::descriptor::Hex;
use hidbpf::object::DriverObject;
use hidbpf::recording::{RecordedDevice, Recording};
use hidbpf::replay::{self, Object, Settings};
use hidbpf_build::{
    Clang, Sdk, compile, compile_declared, compile_foreign, declared_source, export, is_declared, object_path,
};
use tempfile::TempDir;

const HEAD: &str = r#"device = "A mouse"
before = "It does not work."
after = "It works."
kind = "fix"
status = "testing"
"#;

const RULE: &str = r#"
[[match]]
label = "mouse"
bus = "usb"
vendor = 0x1209
product = 1
rdesc-size = 69
"#;

/// A mouse in report 1: 8 buttons, X and Y of 12 bits, a wheel of 8 bits, and an array of two keys. 7 bytes.
const DESCRIPTOR: [u8; 69] = [
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, // Usage Page, Usage (Mouse), Collection, Report ID
    0x05, 0x09, 0x19, 0x01, 0x29, 0x08, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, // Buttons
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x16, 0x01, 0xf8, 0x26, 0xff, 0x07, 0x75, 0x0c, 0x95, 0x02, 0x81,
    0x06, // X, Y
    0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x01, 0x81, 0x06, // Wheel
    0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x15, 0x00, 0x25, 0x65, 0x95, 0x02, 0x81, 0x00, // Keys
    0xc0,
];

struct Folder {
    root: TempDir,
}

impl Folder {
    /// Creates a driver's folder with these declarations. The recording has the mouse, with these reports.
    fn new(declared: &str, reports: &[&str]) -> Folder {
        Folder::with_manifest(&format!("{HEAD}{RULE}{declared}"), reports)
    }

    fn with_manifest(manifest: &str, reports: &[&str]) -> Folder {
        let folder = Folder { root: tempfile::tempdir().unwrap() };
        fs::create_dir_all(folder.path().join("recordings")).unwrap();
        fs::write(folder.path().join("driver.toml"), manifest).unwrap();
        fs::write(folder.path().join("recordings/mouse.hid"), recording(&DESCRIPTOR, reports)).unwrap();
        folder
    }

    fn path(&self) -> PathBuf {
        self.root.path().join("a-driver")
    }

    fn error(&self) -> String {
        assert!(is_declared(&self.path()));
        let error = compile_declared(&self.path(), &self.root.path().join("out")).unwrap_err().to_string();
        let folder = fs::canonicalize(self.path()).unwrap();
        error.replace(&format!("{}/", folder.display()), "")
    }

    /// Builds the driver, and runs it on a recording, with these options. Returns the descriptor and the reports, which
    /// are the same on both generations.
    fn run_on(&self, recording: &str, options: &[(&str, i64)]) -> (Vec<u8>, Vec<String>) {
        let driver = compile_declared(&self.path(), &self.root.path().join("out")).unwrap();
        assert_eq!(driver.warnings, Vec::<String>::new());
        results(&driver.object, recording, options)
    }

    fn run(&self) -> (Vec<u8>, Vec<String>) {
        self.run_on(&fs::read_to_string(self.path().join("recordings/mouse.hid")).unwrap(), &[])
    }

    /// Compiles the driver as C, and returns what that does.
    fn run_as_c(&self) -> (Vec<u8>, Vec<String>) {
        let source = declared_source(&self.path()).unwrap();
        let folder = self.root.path().join("as-c");
        fs::create_dir_all(&folder).unwrap();
        let manifest = fs::read_to_string(self.path().join("driver.toml")).unwrap();
        let cut = ["[[descriptor]]", "[[report]]"].iter().filter_map(|part| manifest.find(part)).min().unwrap();
        fs::write(folder.join("driver.toml"), &manifest[..cut]).unwrap();
        fs::write(folder.join("driver.bpf.c"), &source).unwrap();
        let built = compile(&Clang::find().unwrap(), &Sdk::Embedded, &folder, &self.root.path().join("out-c"));
        let driver = built.unwrap_or_else(|error| panic!("{error}\n{source}"));
        let recording = fs::read_to_string(self.path().join("recordings/mouse.hid")).unwrap();
        results(&driver.object, &recording, &[])
    }
}

fn results(object: &Path, recording: &str, options: &[(&str, i64)]) -> (Vec<u8>, Vec<String>) {
    let bytes = fs::read(object).unwrap();
    let parsed = DriverObject::parse(object, bytes.clone()).unwrap();
    // The loader behind the fast one takes it too.
    libbpf_rs::ObjectBuilder::default().open_memory(&bytes).unwrap();
    let object = Object::parse(&bytes).unwrap();
    let recording = Recording::parse(Path::new("mouse.hid"), recording.as_bytes()).unwrap();
    let mut results = Vec::new();
    for generation in object.generations() {
        let settings = |device: &RecordedDevice| {
            let mut settings = replay::for_driver(Settings::of(device), &parsed, &device.into());
            for (name, value) in options {
                let name = format!("option_{name}");
                let size = parsed.globals[&name].size;
                settings.options.insert(name, value.to_le_bytes()[..size].to_vec());
            }
            settings
        };
        let replayed = replay::replay(&object, generation, &recording, settings).unwrap().recording;
        let reports: Vec<String> = replayed.events.iter().map(|event| Hex(&event.report).to_string()).collect();
        results.push((replayed.devices[0].descriptor.clone(), reports));
    }
    assert!(results.iter().all(|result| *result == results[0]));
    results.remove(0)
}

fn recording(descriptor: &[u8], reports: &[&str]) -> String {
    let mut text = format!(
        "D: 0\nR: {} {}\nN: A mouse\nP: usb-0000:00:14.0-2/input0\nI: 3 1209 0001\n",
        descriptor.len(),
        Hex(descriptor)
    );
    for (index, report) in reports.iter().enumerate() {
        let count = report.split(' ').count();
        text += &format!("E: 00000{index}.000000 {count} {report}\n");
    }
    text
}

/// Returns the descriptor with bytes replaced: the offset, the number of old bytes, and the new ones.
fn spliced(changes: &[(usize, usize, &[u8])]) -> Vec<u8> {
    let mut descriptor = DESCRIPTOR.to_vec();
    for (at, len, new) in changes.iter().rev() {
        descriptor.splice(at..&(at + len), new.iter().copied());
    }
    descriptor
}

#[test]
fn descriptors_are_changed_by_offset_and_by_meaning() {
    let long: Vec<u8> = (0..80).collect();
    let long_hex = Hex(&long).to_string();
    let cases: &[(&str, Vec<u8>)] = &[
        ("patch = [{ at = 12, from = \"29 08\", to = \"29 05\" }]", spliced(&[(13, 1, &[5])])),
        (
            "patch = [{ item = \"Usage Maximum\", of = \"Button 1\", report = 1, from = 8, to = 5 }]",
            spliced(&[(13, 1, &[5])]),
        ),
        (
            "patch = [{ item = \"Logical Maximum\", of = \"X\", from = 2047, to = 1000 }]",
            spliced(&[(34, 2, &[0xe8, 3])]),
        ),
        // The item grows, because 200 would be negative in a byte.
        ("patch = [{ item = \"Logical Maximum\", of = \"Wheel\", to = 200 }]", spliced(&[(46, 2, &[0x26, 200, 0])])),
        (
            "patch = [{ item = \"Input\", of = \"array\", from = \"Data, Array, Absolute\", to = \"Data, Variable, Absolute\" }]",
            spliced(&[(67, 1, &[2])]),
        ),
        ("patch = [{ item = \"Usage\", of = \"Wheel\", to = 0x36 }]", spliced(&[(43, 1, &[0x36])])),
        (
            "insert = [{ at = 8, bytes = \"a4 # Push\" }, { at = 68, bytes = \"b4\" }]",
            spliced(&[(8, 0, &[0xa4]), (68, 0, &[0xb4])]),
        ),
        ("remove = [{ at = 42, bytes = \"09 38\" }]", spliced(&[(42, 2, &[])])),
        ("append = \"c0 c0\"", spliced(&[(69, 0, &[0xc0, 0xc0])])),
        ("overwrite = [{ at = 3, bytes = \"01\" }]", spliced(&[(3, 1, &[1])])),
        ("replace = \"05 01 09 06 a1 01 c0\"", vec![5, 1, 9, 6, 0xa1, 1, 0xc0]),
        // Several at once. Some move what follows.
        (
            "remove = [{ at = 24, bytes = \"05 01\" }]\ninsert = [{ at = 26, bytes = \"05 01 05 01\" }]\npatch = [{ at = 42, from = \"09 38\", to = \"09\" }]",
            spliced(&[(24, 2, &[]), (26, 0, &[5, 1, 5, 1]), (42, 2, &[9])]),
        ),
        (&format!("append = \"{long_hex}\""), spliced(&[(69, 0, &long)])),
        (&format!("replace = \"{long_hex}\""), long.clone()),
        (&format!("insert = [{{ at = 8, bytes = \"{long_hex}\" }}]"), spliced(&[(8, 0, &long)])),
    ];
    for (declared, expected) in cases {
        let folder = Folder::new(&format!("\n[[descriptor]]\n{declared}\n"), &[]);
        assert_eq!(Hex(&folder.run().0).to_string(), Hex(expected).to_string(), "{declared}");
    }
}

#[test]
fn a_descriptor_gets_all_changes_or_none() {
    let declared = "\n[[descriptor]]\npatch = [\n{ at = 12, from = \"29 08\", to = \"29 05\" },\n{ at = 42, from = \"09 38\", to = \"09 36\" },\n]\n";
    let folder = Folder::new(declared, &[]);
    assert_eq!(folder.run().0, spliced(&[(13, 1, &[5]), (43, 1, &[0x36])]));
    // One of the two is other than expected, or the size is.
    for (changes, _) in [([(43_usize, 1_usize, &[0x37_u8][..])], ()), ([(13, 1, &[7])], ()), ([(69, 0, &[0xc0])], ())] {
        let other = spliced(&changes);
        assert_eq!(folder.run_on(&recording(&other, &[]), &[]).0, other);
    }
}

#[test]
fn each_match_rule_has_its_own_changes() {
    let manifest = format!(
        "{HEAD}{RULE}{}\n[[descriptor]]\nmatch = \"mouse\"\npatch = [{{ at = 12, from = \"29 08\", to = \"29 05\" }}]\n\n[[descriptor]]\nmatch = \"pad\"\nreplace = \"05 01\"\n",
        RULE.replace("mouse", "pad").replace("69", "8")
    );
    let folder = Folder::with_manifest(&manifest, &[]);
    assert_eq!(folder.run().0, spliced(&[(13, 1, &[5])]));
    let pad = [5, 1, 9, 7, 0xa1, 1, 0xc0, 0xc0];
    assert_eq!(folder.run_on(&recording(&pad, &[]), &[]).0, [5, 1]);
    let wrong = manifest.replace("match = \"pad\"", "match = \"pda\"");
    let error = Folder::with_manifest(&wrong, &[]).error();
    assert!(error.contains("no match rule has the label \"pda\": expected \"mouse\" or \"pad\""), "{error}");
}

/// Each step with a report before and after. Bytes: id, buttons, X and Y (12 bits each), wheel, two keys.
const STEPS: &[(&str, &str, &str)] = &[
    ("{ change = \"Wheel\", negate = true }", "01 00 00 00 00 05 00 00", "01 00 00 00 00 fb 00 00"),
    // The opposite of the smallest number does not fit.
    ("{ change = \"Wheel\", negate = true }", "01 00 00 00 00 80 00 00", "01 00 00 00 00 7f 00 00"),
    // 12 bits in the middle of bytes: -1 and 3 become 1 and 3, and 5 and -2 become 5 and 2.
    ("{ change = \"X\", negate = true }", "01 00 ff 3f 00 00 00 00", "01 00 01 30 00 00 00 00"),
    ("{ change = \"Y\", negate = true }", "01 00 05 e0 ff 00 00 00", "01 00 05 20 00 00 00 00"),
    ("{ change = \"Y\", negate = true }", "01 00 05 00 80 00 00 00", "01 00 05 f0 7f 00 00 00"),
    ("{ change = \"X\", divide = 3 }", "01 00 f6 0f 00 00 00 00", "01 00 fd 0f 00 00 00 00"),
    ("{ change = \"byte 5\", divide = 7 }", "01 00 00 00 00 ff 00 00", "01 00 00 00 00 24 00 00"),
    ("{ change = \"bytes 6-7\", divide = 1000 }", "01 00 00 00 00 00 ff ff", "01 00 00 00 00 00 41 00"),
    (
        "{ change = \"bytes 6-7\", multiply = 3, divide = 2, offset = 10 }",
        "01 00 00 00 00 00 64 00",
        "01 00 00 00 00 00 a0 00",
    ),
    ("{ change = \"bytes 6-7\", multiply = 3 }", "01 00 00 00 00 00 00 80", "01 00 00 00 00 00 ff ff"),
    ("{ change = \"bytes 6-7\", add = \"byte 5\" }", "01 00 00 00 00 10 01 02", "01 00 00 00 00 10 11 02"),
    ("{ change = \"Wheel\", sign-extend = 4 }", "01 00 00 00 00 0f 00 00", "01 00 00 00 00 ff 00 00"),
    ("{ change = \"Wheel\", clamp = [-3, 3] }", "01 00 00 00 00 80 00 00", "01 00 00 00 00 fd 00 00"),
    ("{ change = \"Wheel\", clamp = [-3, 3] }", "01 00 00 00 00 02 00 00", "01 00 00 00 00 02 00 00"),
    ("{ change = \"array\", map = { 0x68 = 0 } }", "01 00 00 00 00 00 68 04", "01 00 00 00 00 00 00 04"),
    ("{ change = \"array\", map = { 4 = 5, 5 = 4 } }", "01 00 00 00 00 00 04 05", "01 00 00 00 00 00 05 04"),
    (
        "{ change = \"byte 6\", map = { 1 = 9, 2 = 8, 3 = 7, 4 = 6, 250 = 5 } }",
        "01 00 00 00 00 00 fa 00",
        "01 00 00 00 00 00 05 00",
    ),
    (
        "{ change = \"byte 6\", map = { 1 = 9, 2 = 8, 3 = 7, 4 = 6 } }",
        "01 00 00 00 00 00 f0 00",
        "01 00 00 00 00 00 f0 00",
    ),
    (
        "{ change = \"byte 6\", map = { 1 = 9, 2 = 8, 3 = 7, 4 = 6 }, otherwise-value = 1 }",
        "01 00 00 00 00 00 f0 00",
        "01 00 00 00 00 00 01 00",
    ),
    ("{ change = \"byte 1\", and = 0x0f, or = 0x80, xor = 3 }", "01 35 00 00 00 00 00 00", "01 86 00 00 00 00 00 00"),
    ("{ set = \"Button 3\", to = 1 }", "01 01 00 00 00 00 00 00", "01 05 00 00 00 00 00 00"),
    ("{ set = \"bits 1.1-1.2\", to = 2 }", "01 ff 00 00 00 00 00 00", "01 fd 00 00 00 00 00 00"),
    ("{ set = \"X\", to = -2 }", "01 00 00 a0 00 00 00 00", "01 00 fe af 00 00 00 00"),
    ("{ set = \"bytes 1-7\", to = 0 }", "01 01 02 03 04 05 06 07", "01 00 00 00 00 00 00 00"),
    ("{ set = \"Wheel\", to = \"Y\" }", "01 00 00 d0 ff 09 00 00", "01 00 00 d0 ff fd 00 00"),
    ("{ move = \"Button 1\", to = \"Button 8\" }", "01 03 00 00 00 00 00 00", "01 82 00 00 00 00 00 00"),
    ("{ write = \"aa bb\", at = 6 }", "01 00 00 00 00 00 00 00", "01 00 00 00 00 00 aa bb"),
    ("{ length = 3 }", "01 02 03 04 05 06 07 08", "01 02 03"),
    (
        "{ if = [{ value = \"Button 1\", is = 1 }], do = [{ set = \"Wheel\", to = 1 }], else = [{ set = \"Wheel\", to = 2 }] }",
        "01 01 00 00 00 00 00 00",
        "01 01 00 00 00 01 00 00",
    ),
    (
        "{ if = [{ value = \"Button 1\", is = 1 }], do = [{ set = \"Wheel\", to = 1 }], else = [{ set = \"Wheel\", to = 2 }] }",
        "01 02 00 00 00 00 00 00",
        "01 02 00 00 00 02 00 00",
    ),
    (
        "{ if = [{ value = \"X\", below = 0 }], do = [{ set = \"byte 6\", to = 1 }] }",
        "01 00 ff 0f 00 00 00 00",
        "01 00 ff 0f 00 00 01 00",
    ),
    (
        "{ if = [{ value = \"each byte 6-7\", is = [4, 9] }], do = [{ set = \"byte 1\", to = 1 }] }",
        "01 00 00 00 00 00 00 09",
        "01 01 00 00 00 00 00 09",
    ),
    (
        "{ if = [{ value = \"each byte 6-7\", not = [4, 9] }], do = [{ set = \"byte 1\", to = 1 }] }",
        "01 00 00 00 00 00 00 09",
        "01 00 00 00 00 00 00 09",
    ),
    (
        "{ if = [{ value = \"bytes 1-7\", not = 0 }], do = [{ set = \"byte 1\", to = 1 }] }",
        "01 00 00 00 00 00 00 09",
        "01 01 00 00 00 00 00 09",
    ),
    (
        "{ if = [{ value = \"bytes 1-7\", is = 0 }], do = [{ set = \"byte 1\", to = 1 }] }",
        "01 00 00 00 00 00 00 00",
        "01 01 00 00 00 00 00 00",
    ),
    (
        "{ if = [{ size = 8 }], do = [{ set = \"byte 1\", to = 1 }] }",
        "01 00 00 00 00 00 00 00",
        "01 01 00 00 00 00 00 00",
    ),
    (
        "{ if = [{ size = 7 }], do = [{ set = \"byte 1\", to = 1 }] }",
        "01 00 00 00 00 00 00 00",
        "01 00 00 00 00 00 00 00",
    ),
];

#[test]
fn reports_are_changed_step_by_step() {
    for (step, before, after) in STEPS {
        let folder = Folder::new(&format!("\n[[report]]\nid = 1\ndo = [{step}]\n"), &[before]);
        let (descriptor, reports) = folder.run();
        assert_eq!(descriptor, DESCRIPTOR);
        assert_eq!(reports, [*after], "{step}");
    }
}

/// All steps as one driver in C, each behind its own value of a byte that they leave alone.
#[test]
fn the_exported_c_does_the_same() {
    for chunk in STEPS.chunks(8) {
        // One folder at a time would run clang for each step.
        let (mut rules, mut reports) = (String::from("\n# The story.\n"), Vec::new());
        for (index, (step, before, _)) in chunk.iter().enumerate() {
            let id = index + 10;
            let step = step.replace("\"Wheel\"", "\"signed byte 5\"").replace("\"X\"", "\"signed bits 2.0-3.3\"");
            let step = step.replace("\"Y\"", "\"signed bits 3.4-4.7\"").replace("\"array\"", "\"each byte 6-7\"");
            let step =
                step.replace("Button 1", "bit 1.0").replace("Button 3", "bit 1.2").replace("Button 8", "bit 1.7");
            rules += &format!("[[report]]\nid = {id}\nsize = 8\ndo = [{step}]\n\n");
            reports.push(format!("{id:02x}{}", &before[2..]));
        }
        let reports: Vec<&str> = reports.iter().map(String::as_str).collect();
        let folder = Folder::new(&rules, &reports);
        assert_eq!(folder.run_as_c(), folder.run());
        let expected: Vec<&str> = chunk.iter().map(|(_, _, after)| &after[2..]).collect();
        let found = folder.run().1;
        assert_eq!(found.iter().map(|report| &report[2..]).collect::<Vec<_>>(), expected);
        assert!(declared_source(&folder.path()).unwrap().contains(" * The story."));
    }
}

#[test]
fn the_exported_c_changes_descriptors_too() {
    for declared in [
        "patch = [{ at = 12, from = \"29 08\", to = \"29 05\" }, { at = 42, from = \"09 38\", to = \"09 36\" }]",
        "append = \"c0 c0\"",
        "overwrite = [{ at = 3, bytes = \"01\" }, { at = 24, bytes = \"05 01 09 31 09 30 16 02 f8 26\" }]",
        "replace = \"05 01 09 06 a1 01 c0\"",
        // Bytes move.
        "remove = [{ at = 42, bytes = \"09 38\" }]",
        "insert = [{ at = 8, bytes = \"a4\" }, { at = 68, bytes = \"b4\" }]",
        "remove = [{ at = 24, bytes = \"05 01\" }]\ninsert = [{ at = 26, bytes = \"05 01 05 01\" }]\npatch = [{ at = 42, from = \"09 38\", to = \"09\" }]",
        "insert = [{ at = 24, bytes = \"a4 b4 a4\" }]\nremove = [{ at = 42, bytes = \"09 38 15 81 25 7f\" }]\nappend = \"c0\"",
        "remove = [{ at = 8, bytes = \"05 09 19 01\" }]\ninsert = [{ at = 48, bytes = \"a4 b4 a4 b4 a4 b4\" }]",
    ] {
        let folder = Folder::new(&format!("\n[[descriptor]]\n{declared}\n"), &[]);
        assert_eq!(folder.run_as_c(), folder.run(), "{declared}");
    }
}

/// The kernel tree's form has a probe too, which compares the descriptor in place of its hash.
#[test]
fn a_driver_with_a_hash_is_exported() {
    use hidbpf::manifest::Sha256;
    let rule = format!("{RULE}rdesc-sha256 = \"{}\"\n", Sha256::of(&DESCRIPTOR));
    let declared = "\n[[descriptor]]\nremove = [{ at = 42, bytes = \"09 38\" }]\n";
    let folder = Folder::with_manifest(&format!("{HEAD}{rule}{declared}"), &[]);
    let source = export(&folder.path()).unwrap();
    let path = folder.root.path().join("exported.bpf.c");
    fs::write(&path, source).unwrap();
    let built = compile_foreign(&Clang::find().unwrap(), &path, &object_path(&path, None)).unwrap();
    for file in built.objects() {
        let object = Object::parse(DriverObject::read(file).unwrap().bytes()).unwrap();
        for (descriptor, expected) in [
            (DESCRIPTOR.to_vec(), Some(spliced(&[(42, 2, &[])]))),
            (spliced(&[(3, 1, &[1])]), None),
            (DESCRIPTOR[..68].to_vec(), None),
        ] {
            let recording = Recording::parse(Path::new("mouse.hid"), recording(&descriptor, &[]).as_bytes()).unwrap();
            let generation = object.generations()[0];
            let replayed = replay::replay(&object, generation, &recording, Settings::of);
            let fixed = replayed.ok().map(|replayed| replayed.recording.devices[0].descriptor.clone());
            assert_eq!(fixed.filter(|fixed| *fixed != descriptor), expected, "{generation}");
        }
    }
}

const PAD_RULE: &str = r#"
[[match]]
label = "pad"
bus = "usb"
vendor = 0x1209
product = 2
rdesc-size = 69
"#;

/// Two rules whose descriptors and reports look the same, for devices with other products.
#[test]
fn rules_are_told_apart_by_what_matched() {
    let declared = r#"
[[descriptor]]
match = "mouse"
patch = [{ at = 12, from = "29 08", to = "29 05" }]

[[descriptor]]
match = "pad"
patch = [{ at = 12, from = "29 08", to = "29 06" }]

[[report]]
match = "mouse"
id = 1
do = [{ change = "Wheel", negate = true }]

[[report]]
match = ["pad"]
do = [{ set = "byte 1", to = 7 }]
"#;
    let folder = Folder::with_manifest(&format!("{HEAD}{RULE}{PAD_RULE}{declared}"), &[]);
    let mouse = recording(&DESCRIPTOR, &["01 00 00 00 00 05 00 00"]);
    let of_product = |product: &str| mouse.replace("I: 3 1209 0001", &format!("I: 3 1209 {product}"));
    assert_eq!(
        folder.run_on(&of_product("0001"), &[]),
        (spliced(&[(13, 1, &[5])]), vec!["01 00 00 00 00 fb 00 00".to_owned()])
    );
    assert_eq!(
        folder.run_on(&of_product("0002"), &[]),
        (spliced(&[(13, 1, &[6])]), vec!["01 07 00 00 00 05 00 00".to_owned()])
    );
    // No rule matches: the driver was forced onto the device.
    assert_eq!(
        folder.run_on(&of_product("0003"), &[]),
        (DESCRIPTOR.to_vec(), vec!["01 00 00 00 00 05 00 00".to_owned()])
    );
    assert_eq!(folder.run_as_c(), folder.run());
    let wrong = declared.replace("[\"pad\"]", "\"pda\"");
    let error = Folder::with_manifest(&format!("{HEAD}{RULE}{PAD_RULE}{wrong}"), &[]).error();
    assert!(
        error.contains("driver.toml:35:9: no match rule has the label \"pda\": expected \"mouse\" or \"pad\""),
        "{error}"
    );
}

/// The fields of a rule are those of the devices that its match rules match.
#[test]
fn a_field_is_that_of_the_matched_device() {
    let declared = "\n[[report]]\nmatch = \"pad\"\ndo = [{ change = \"Wheel\", negate = true }]\n";
    let rule = PAD_RULE.replace("rdesc-size = 69", "rdesc-size = 71");
    let folder = Folder::with_manifest(&format!("{HEAD}{RULE}{rule}{declared}"), &[]);
    // The wheel comes first.
    let pad = spliced(&[(42, 2, &[0x09, 0x30, 0x09, 0x38]), (26, 2, &[0x09, 0x38])]);
    let pad = recording(&pad[..], &["01 00 05 00 00 00 00 00"]).replace("1209 0001", "1209 0002");
    fs::write(folder.path().join("recordings/pad.hid"), &pad).unwrap();
    assert_eq!(folder.run_on(&pad, &[]).1, ["01 00 fb 0f 00 00 00 00"]);
}

#[test]
fn udev_properties_decide() {
    let declared = r#"
[[descriptor]]
when = [{ property = "PAD_MODE", is = ["vendor*", "raw"] }]
patch = [{ at = 12, from = "29 08", to = "29 05" }]

[[report]]
when = [{ property = "PAD_MODE", not = ["vendor*", "raw"] }]
do = [{ set = "byte 1", to = 1 }]

[[report]]
when = [{ property = "PAD_MODE", is = "" }]
do = [{ set = "byte 6", to = 9 }]
"#;
    let folder = Folder::new(declared, &["01 00 00 00 00 00 00 00"]);
    let plain = fs::read_to_string(folder.path().join("recordings/mouse.hid")).unwrap();
    let fixed = spliced(&[(13, 1, &[5])]);
    for (property, descriptor, report) in [
        ("vendor", fixed.as_slice(), "01 00 00 00 00 00 00 00"),
        ("vendor 12", &fixed, "01 00 00 00 00 00 00 00"),
        ("raw", &fixed, "01 00 00 00 00 00 00 00"),
        ("raw1", &DESCRIPTOR, "01 01 00 00 00 00 00 00"),
        ("vendo", &DESCRIPTOR, "01 01 00 00 00 00 00 00"),
        ("", &DESCRIPTOR, "01 01 00 00 00 00 09 00"),
    ] {
        let text = match property {
            "" => plain.clone(),
            property => plain.replace("I: 3", &format!("# property PAD_MODE={property}\nI: 3")),
        };
        assert_eq!(folder.run_on(&text, &[]), (descriptor.to_vec(), vec![report.to_owned()]), "{property}");
        fs::write(folder.path().join("recordings/mouse.hid"), &text).unwrap();
        assert_eq!(folder.run_as_c(), folder.run(), "{property}");
    }
}

/// A latching switch: each change becomes a press and a release, of two buttons. Another button stays as it is.
#[test]
fn a_change_becomes_a_press_and_a_release() {
    let declared = r#"
[[report]]
id = 1
do = [
    { click = "Button 8", of = "Button 1", on = "fall" },
    { click = "Button 1" },
    { click = "byte 6", of = "Button 2", on = "both", to = 0x29 },
    { set = "Button 2", to = 0 },
]
"#;
    let head = HEAD.to_owned() + "requires = [\"struct-ops\"]\n";
    let report = |buttons: u8, key: u8| format!("01 {buttons:02x} 00 00 00 00 {key:02x} 00");
    let sent: Vec<String> = [0, 1, 1, 5, 4, 4, 6, 1].into_iter().map(|buttons| report(buttons, 0)).collect();
    let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
    let folder = Folder::with_manifest(&format!("{head}{RULE}{declared}"), &sent);
    let expected = [
        report(0, 0),
        // Each press comes before the report itself.
        report(1, 0),
        report(0, 0),
        report(0, 0),
        report(4, 0),
        report(0x84, 0),
        report(4, 0),
        report(4, 0),
        report(4, 0x29),
        report(4, 0),
        report(1, 0x29),
        report(0, 0),
    ];
    assert_eq!(folder.run().1, expected);
    assert_eq!(folder.run_as_c(), folder.run());
    let error = Folder::new(declared, &[]).error();
    assert!(error.contains("driver.toml:17:15: a click sends a second report, which needs Linux 6.11"), "{error}");
}

/// A report of another size has its click too.
#[test]
fn a_report_that_is_cut_has_its_click() {
    let declared = "\n[[report]]\nid = 1\ndo = [{ click = \"Button 1\" }, { length = 3 }]\n";
    let head = HEAD.to_owned() + "requires = [\"struct-ops\"]\n";
    let sent = ["01 01 02 00 00 00 00 00", "01 01 02 00 00 00 00 00"];
    let folder = Folder::with_manifest(&format!("{head}{RULE}{declared}"), &sent);
    assert_eq!(folder.run().1, ["01 01 02 00 00 00 00 00", "01 00 02", "01 00 02"]);
    assert_eq!(folder.run_as_c(), folder.run());
}

#[test]
fn values_are_held_between_reports() {
    // A button that is pressed stays pressed until the next press.
    let declared = r#"
[[report]]
id = 1
do = [
    { if = [{ value = "Button 1", is = 1 }, { value = "held.was", is = 0 }], do = [{ change = "held.on", xor = 1 }] },
    { set = "held.was", to = "Button 1" },
    { set = "Button 1", to = "held.on" },
]
"#;
    let report = |button: u8| format!("01 {button:02x} 00 00 00 00 00 00");
    let sent: Vec<String> = [1, 0, 1, 1, 0].into_iter().map(report).collect();
    let sent: Vec<&str> = sent.iter().map(String::as_str).collect();
    let folder = Folder::new(declared, &sent);
    assert_eq!(folder.run().1, [1, 1, 0, 0, 0].map(report));
    assert_eq!(folder.run_as_c(), folder.run());
}

#[test]
fn reports_are_told_apart_and_dropped() {
    let declared = r#"
[[report]]
id = 2
do = [{ drop = true }]

[[report]]
id = 1
when = [{ value = "byte 1", is = [1, 2] }]
do = [{ set = "byte 2", to = 7 }]

[[report]]
size = 9
do = [{ set = "byte 8", to = 1 }]
"#;
    let sent = ["02 00", "01 02 00", "01 03 00", "01 01", "03 00 00 00 00 00 00 00 00"];
    let folder = Folder::new(declared, &sent);
    assert_eq!(folder.run().1, ["01 02 07", "01 03 00", "01 01", "03 00 00 00 00 00 00 00 01"]);
    assert_eq!(folder.run_as_c(), folder.run());
}

const OPTIONS: &str = r#"
[[option]]
name = "factor"
type = "integer"
min = 1
max = 10
default = 2
description = "The factor."
reattach = true

[[option]]
name = "which"
type = "choice"
values = ["plain", "other-way"]
default = "plain"
description = "The way."
"#;

#[test]
fn options_decide() {
    let declared = r#"
[[descriptor]]
patch = [{ item = "Logical Maximum", of = "X", to = { option = "factor", dividend = 2047 } }]

[[report]]
id = 1
do = [{ change = "Wheel", multiply = "option.factor" }]

[[report]]
id = 1
when = [{ option = "which", is = "other-way" }]
do = [{ change = "Wheel", negate = true }]
"#;
    let manifest = format!("{HEAD}{OPTIONS}{RULE}{declared}");
    let folder = Folder::with_manifest(&manifest, &["01 00 00 00 00 03 00 00"]);
    let recording = fs::read_to_string(folder.path().join("recordings/mouse.hid")).unwrap();
    let run = |factor, which| folder.run_on(&recording, &[("factor", factor), ("which", which)]);
    assert_eq!(run(2, 0), (spliced(&[(34, 2, &[0xff, 3])]), vec!["01 00 00 00 00 06 00 00".to_owned()]));
    assert_eq!(run(5, 1), (spliced(&[(34, 2, &[0x99, 1])]), vec!["01 00 00 00 00 f1 00 00".to_owned()]));
    let unused =
        format!("{HEAD}{OPTIONS}{RULE}\n[[report]]\ndo = [{{ change = \"Wheel\", multiply = \"option.factor\" }}]\n");
    let error = Folder::with_manifest(&unused, &[]).error();
    assert!(error.contains("no repair reads the option `which`"), "{error}");
}

#[test]
fn each_mistake_is_named_with_its_place() {
    for (declared, expected) in [
        (
            "[[descriptor]]\npatch = [{ at = 12, from = \"29 03\", to = \"29 05\" }]",
            "driver.toml:15:10: the descriptor in recordings/mouse.hid has 29 08 at byte 12, and the repair expects 29 03",
        ),
        (
            "[[descriptor]]\npatch = [{ at = 12, form = \"29 03\" }]",
            "driver.toml:15:21: unknown field `form`, expected one of `at`, `item`",
        ),
        (
            "[[descriptor]]\npatch = [{ at = 12, from = \"29 0\", to = \"29 05\" }]",
            "driver.toml:15:28: invalid bytes \"0\": expected bytes in hex",
        ),
        ("[[descriptor]]\npatch = [{ at = 12, from = \"29\" }]", "driver.toml:15:10: missing `to` in a patch"),
        (
            "[[descriptor]]\npatch = [{ item = \"Usage\", of = \"Z\", to = 1 }]",
            "driver.toml:15:19: the descriptor has no field \"Z\"",
        ),
        ("[[descriptor]]\npatch = [{ item = \"Unit\", of = \"X\", to = 1 }]", "the field takes no item \"Unit\""),
        (
            "[[descriptor]]\npatch = [{ item = \"Usage Maximum\", of = \"Button 1\", from = 9, to = 1 }]",
            "is 29 08, and the repair expects 29 09",
        ),
        (
            "[[descriptor]]\noverwrite = [{ at = 68, bytes = \"00 00\" }]",
            "driver.toml:15:14: byte 69 is outside of a descriptor of 69 bytes",
        ),
        (
            "[[descriptor]]\nremove = [{ at = 8, bytes = \"05 09\" }]\noverwrite = [{ at = 9, bytes = \"01\" }]",
            "two changes overlap at byte 9",
        ),
        ("[[descriptor]]", "missing change: expected one of `patch`"),
        ("[[report]]\ndo = [{ change = \"Z\" }]", "driver.toml:15:18: invalid field \"Z\""),
        (
            "[[report]]\ndo = [{ change = \"bit 9\" }]",
            "driver.toml:15:18: invalid field \"bit 9\": expected bits of the report",
        ),
        ("[[report]]\ndo = [{ set = \"byte 1\", to = 256 }]", "driver.toml:15:30: 256 does not fit 8 bits"),
        ("[[report]]\ndo = [{ set = \"byte 1\" }]", "driver.toml:15:7: missing `to`"),
        ("[[report]]\ndo = [{ set = \"byte 1\", to = 1, drop = true }]", "driver.toml:15:7: a step has one of"),
        ("[[report]]\ndo = [{ change = \"byte 1\", divide = 0 }]", "driver.toml:15:37: expected a divisor"),
        ("[[report]]\ndo = [{ change = \"byte 1\", map = { x = 0 } }]", "driver.toml:15:34: invalid value \"x\""),
        (
            "[[report]]\nwhen = [{ value = \"byte 1\" }]\ndo = [{ drop = true }]",
            "driver.toml:15:9: a condition needs one of",
        ),
        (
            "[[report]]\nwhen = [{ value = \"byte 1\", property = \"A\", is = 1 }]\ndo = [{ drop = true }]",
            "driver.toml:15:9: a condition is about one of `option`, `property`, `value` and `size`",
        ),
        (
            "[[report]]\nwhen = [{ property = \"A\", is = \"a*b\" }]\ndo = [{ drop = true }]",
            "driver.toml:15:32: invalid text \"a*b\": expected a text, with `*` only at its end",
        ),
        (
            "[[report]]\nwhen = [{ property = \"A\", above = 1 }]\ndo = [{ drop = true }]",
            "driver.toml:15:9: a condition of a property needs one of `is` and `not`",
        ),
        (
            "[[report]]\nwhen = [{ property = \"a-b\", is = \"x\" }]\ndo = [{ drop = true }]",
            "driver.toml:15:22: invalid udev property \"a-b\": expected capitals, digits and underscores",
        ),
        ("[[report]]\ndo = [{ set = \"byte 1\", to = 1, of = \"byte 2\" }]", "unexpected `of`: it belongs to `click`"),
        (
            "[[report]]\nwhen = [{ option = \"x\", is = 1 }]\ndo = [{ drop = true }]",
            "driver.toml:15:20: the manifest has no option \"x\"",
        ),
        (
            "[[report]]\ndo = [{ change = \"byte 1\", add = \"option.x\" }]",
            "driver.toml:15:34: the manifest has no option \"x\"",
        ),
        ("", "the manifest declares no repair, and there is no `driver.bpf.c`"),
    ] {
        let error = Folder::new(&format!("\n{declared}\n"), &[]).error();
        assert!(error.contains(expected), "{declared}\n{error}\nexpected: {expected}");
    }
}

#[test]
fn a_driver_is_c_or_declared() {
    let folder = Folder::new("\n[[report]]\n", &[]);
    fs::write(folder.path().join("driver.bpf.c"), "").unwrap();
    let both = compile(&Clang::find().unwrap(), &Sdk::Embedded, &folder.path(), &folder.root.path().join("out"));
    let error = both.unwrap_err().to_string();
    assert!(error.contains("a driver has one of them"), "{error}");
}

/// The core pads reports for a hook that does nothing. Its instructions come from no line.
#[test]
fn a_rule_without_steps_leaves_reports_alone() {
    let (descriptor, reports) = Folder::new("\n[[report]]\n", &["01 02 03"]).run();
    assert_eq!((descriptor.as_slice(), reports), (DESCRIPTOR.as_slice(), vec!["01 02 03".to_owned()]));
}

/// The line of the manifest is in the messages about a program.
#[test]
fn instructions_come_from_lines_of_the_manifest() {
    let folder = Folder::new("\n[[report]]\nid = 1\ndo = [\n{ change = \"Wheel\", negate = true },\n]\n", &[]);
    let driver = compile_declared(&folder.path(), &folder.root.path().join("out")).unwrap();
    let bytes = fs::read(&driver.object).unwrap();
    let elf = hidbpf_prelink::elf::open(&bytes).unwrap();
    let parts = hidbpf_prelink::parts::Parts::read(&elf).unwrap();
    let code = parts.code.iter().find(|code| code.name == "?struct_ops/hid_device_event").unwrap();
    let last = code.instructions.len() as u32 * 8 - 24;
    let line = parts.ext.line(&parts.btf, code.name, 0, last).unwrap();
    assert_eq!((line.file.as_str(), line.line), ("a-driver/driver.toml", 17));
    assert_eq!(line.text, "{ change = \"Wheel\", negate = true },");
}
