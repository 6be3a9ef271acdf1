//! Tests that manifest and source agree on fields, exports and maps, and that the object contains them. Also tests the
//! device's IDs and shared variables.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, MANIFEST};
use hidbpf::ids::{Bus, Group, HidId, ProductId, VendorId};
use hidbpf::object::DriverObject;
use hidbpf::recording::Recording;
use hidbpf::replay::{Driver, Generation, Object, ReplayDevice, Report, Settings};

const DECLARED: &str = r#"
[[field]]
name = "pad-type"
report = "feature"
usage-page = 0x0d
usage = 0x59

[[export]]
property = "PAD_TYPE"
values = ["Clickpad"]
otherwise = "Unknown"

[[export]]
property = "TIMES"
"#;

const SOURCE: &str = "#include <hidbpf/setup.h>
HIDBPF_FIELD(pad_type);
HIDBPF_EXPORT(PAD_TYPE);
HIDBPF_EXPORT(TIMES);
HIDBPF_SETUP(device) { __u32 type = 0; export_TIMES++; export_PAD_TYPE = type; return hidbpf_get_field(device, &field_pad_type, &type); }
HIDBPF_DRIVER_WITHOUT_HOOKS();
";

fn folder(declared: &str, source: &str) -> Folder {
    Folder::with_manifest("a-driver", &MANIFEST.replace("\n[[match]]", &format!("{declared}\n[[match]]")), source)
}

#[test]
fn the_object_has_what_the_manifest_says() {
    let folder = folder(DECLARED, SOURCE);
    let driver = folder.compile().unwrap();
    assert_eq!(driver.warnings, Vec::<String>::new());
    let driver = DriverObject::read(&driver.object).unwrap();
    let exports = driver.exports();
    let mut places: Vec<_> = exports.iter().map(|exported| exported.offset).collect();
    places.sort_unstable();
    assert_eq!((exports.len(), places), (2, vec![0, 4]));
    assert_eq!(driver.globals["field_pad_type"].size, hidbpf::fields::SIZE);
    // Both loaders keep the map of exported properties.
    let prelinked = driver.prelinked().unwrap();
    assert!(prelinked.maps.iter().any(|map| map.name == hidbpf::exports::SECTION));
}

/// Returns a device with one report of twelve bytes.
fn device() -> ReplayDevice {
    ReplayDevice {
        id: HidId(7),
        bus: Bus::USB,
        group: Group::GENERIC,
        vendor: VendorId(0x28bd),
        product: ProductId(0x95a),
        name: "Pen".to_owned(),
        phys: String::new(),
        uniq: String::new(),
        descriptor: vec![0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x75, 0x08, 0x95, 12, 0x81, 0x02, 0xc0],
    }
}

#[test]
fn a_driver_that_asks_is_told_for_which_device_it_is_loaded() {
    let tell = "__u32 *words = (__u32 *)report;
words[0] = hidbpf_ids.hid; words[1] = hidbpf_ids.vendor; words[2] = hidbpf_ids.product;";
    let told = [&[7, 0, 0, 0][..], &[0xbd, 0x28, 0, 0], &[0x5a, 0x09, 0, 0]].concat();
    for (tell, expected) in [(tell, Report::Changed(told)), ("", Report::Unchanged)] {
        let hook = format!("HIDBPF_INPUT_REPORT(ctx, report, 12) {{ {tell} return 0; }}");
        let source = format!("#include <hidbpf/driver.h>\n{hook}\nHIDBPF_DRIVER(device_event);");
        let folder = Folder::new("a-driver", &source);
        let driver = DriverObject::read(&folder.compile().unwrap().object).unwrap();
        assert_eq!(driver.globals.contains_key(hidbpf::object::IDS), !tell.is_empty());
        let object = Object::parse(driver.bytes()).unwrap();
        for generation in [Generation::FmodRet, Generation::StructOps] {
            let mut driver = Driver::new(&object, generation, &device(), &Settings::default()).unwrap();
            assert_eq!(driver.event(&[0; 12]).unwrap().report, expected, "{generation}");
        }
    }
}

const MAP: &str = "
[[map]]
name = \"buttons\"
mode = 0o660
group = \"input\"
description = \"What each button becomes.\"
";

#[test]
fn a_map_of_the_manifest_is_one_of_the_source() {
    let source = |map: &str| {
        format!(
            "#include <hidbpf/map.h>\n{map}\nHIDBPF_INPUT_EVENT(ctx) {{ return 0; }}\nHIDBPF_DRIVER(device_event);\n"
        )
    };
    for map in ["HIDBPF_ARRAY(buttons, __u32, 3);", "HIDBPF_HASH(buttons, __u64, __u32, 3);"] {
        let folder = folder(MAP, &source(map));
        let driver = DriverObject::read(&folder.compile().unwrap().object).unwrap();
        assert!(driver.maps.contains("buttons") && driver.manifest.maps[0].mode == 0o660);
    }
    let error = folder(MAP, &source("HIDBPF_ARRAY(button, __u32, 3);")).error();
    assert!(error.contains("driver.toml has the map `buttons`, and the source has no map of that name"), "{error}");
    let twice = folder(&MAP.repeat(2), &source("HIDBPF_ARRAY(buttons, __u32, 3);")).error();
    assert!(twice.contains("there are two maps `buttons`"), "{twice}");
}

const MODELS: &str = "
values = { pressure = 8191 }
models = [
  { label = \"one\", product = 1, values = { x = 0x10000 } },
  { label = \"two\", product = 2, values = { pressure = -1, has-tilt = true } },
]
";

const OF_MODELS: &str = "#include <hidbpf/values.h>
#include <hidbpf/driver.h>
struct model { __u32 x; __s32 pressure; __u32 has_tilt, other; };
HIDBPF_RULE_VALUES(struct model);
HIDBPF_INPUT_REPORT(ctx, report, 12) {
	const struct model *model = hidbpf_rule_values();
	__u32 *words = (__u32 *)report;
	words[0] = model->x; words[1] = (__u32)model->pressure; words[2] = model->has_tilt << 8 | model->other;
	return 12;
}
HIDBPF_DRIVER(device_event);
";

#[test]
fn a_driver_reads_the_values_of_the_rule_that_chose_it() {
    // The last table is the match rule.
    let with = |models: &str, source: &str| Folder::with_manifest("a-driver", &format!("{MANIFEST}{models}"), source);
    let folder = with(MODELS, OF_MODELS);
    let driver = DriverObject::read(&folder.compile().unwrap().object).unwrap();
    let labels: Vec<_> = driver.manifest.matches.iter().map(|rule| rule.label.as_deref().unwrap()).collect();
    assert_eq!(labels, ["one", "two"]);
    let object = Object::parse(driver.bytes()).unwrap();
    for (rule, words) in [(Some(0), [0x10000, 8191, 0]), (Some(1), [0, u32::MAX, 0x100]), (None, [0; 3])] {
        let settings = Settings { rule, ..Settings::default() };
        let told: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for generation in [Generation::FmodRet, Generation::StructOps] {
            let mut driver = Driver::new(&object, generation, &device(), &settings).unwrap();
            assert_eq!(driver.event(&[9; 12]).unwrap().report, Report::Changed(told.clone()), "{generation}");
        }
    }
    // Without values, all are 0.
    assert!(with("", OF_MODELS).compile().is_ok());
    let hook = "HIDBPF_INPUT_EVENT(ctx) { return 0; }\nHIDBPF_DRIVER(device_event);";
    let error = with(MODELS, &format!("#include <hidbpf/driver.h>\n{hook}")).error();
    assert!(error.contains("the source has no `HIDBPF_RULE_VALUES(...)` that a program reads"), "{error}");
    let error = with(&MODELS.replace("has-tilt", "has-eraser"), OF_MODELS).error();
    assert!(error.contains("has_eraser"), "{error}");
}

#[test]
fn devices_of_one_physical_device_share_variables() {
    const SOURCE: &str = "#include <hidbpf/shared.h>
HIDBPF_SHARED(__u32, held);
HIDBPF_INPUT_REPORT(ctx, report, 2) { if (report[0]) shared_held = report[1]; else report[1] = shared_held; return 0; }
HIDBPF_DRIVER(device_event);
";
    let folder = Folder::new("a-driver", SOURCE);
    let driver = DriverObject::read(&folder.compile().unwrap().object).unwrap();
    assert_eq!(driver.shared_places(), [("shared_held".to_owned(), (0, 4))].into());
    let object = Object::parse(driver.bytes()).unwrap();
    let report = "R: 13 05 01 09 02 a1 01 75 08 95 02 81 02 c0\nI: 3 1234 0001\n";
    let text = format!(
        "D: 0\n{report}P: usb-1/input0\nD: 1\n{report}P: usb-1/input1\nD: 2\n{report}P: usb-2/input0\n\
         D: 0\nE: 0.000000 2 01 05\nD: 1\nE: 0.000001 2 00 00\nD: 2\nE: 0.000002 2 00 00\nD: 0\nE: 0.000003 2 00 00\n"
    );
    let recording = Recording::parse("x.hid".as_ref(), text.as_bytes()).unwrap();
    for generation in [Generation::FmodRet, Generation::StructOps] {
        let replayed = hidbpf::replay::replay(&object, generation, &recording, |_| Settings::default()).unwrap();
        let reports: Vec<_> = replayed.recording.events.iter().map(|event| event.report.clone()).collect();
        assert_eq!(reports, [[1, 5], [0, 5], [0, 0], [0, 5]], "{generation}");
    }
}

#[test]
fn a_driver_whose_source_says_otherwise_is_refused() {
    assert!(folder(DECLARED, SOURCE).compile().is_ok());
    let hook = "HIDBPF_INPUT_EVENT(ctx) { return export_TIMES; }\nHIDBPF_DRIVER(device_event);";
    for (from, to, words) in [
        (
            "HIDBPF_FIELD(pad_type);",
            "struct hidbpf_field field_pad_type;",
            "the source has no `HIDBPF_FIELD(pad_type);`",
        ),
        ("HIDBPF_FIELD(pad_type);", "HIDBPF_FIELD(pad_type); HIDBPF_FIELD(more);", "it has the field `more`"),
        ("HIDBPF_EXPORT(TIMES);", "__u32 export_TIMES;", "the source has no `HIDBPF_EXPORT(TIMES);`"),
        ("HIDBPF_EXPORT(TIMES);", "HIDBPF_EXPORT(TIMES); HIDBPF_EXPORT(MORE);", "it has the export `MORE`"),
        ("HIDBPF_EXPORT(TIMES);", "volatile __u8 export_TIMES SEC(\".data.exports\");", "no `HIDBPF_EXPORT(TIMES);`"),
    ] {
        assert!(SOURCE.contains(from), "{from}");
        let error = folder(DECLARED, &SOURCE.replace(from, to)).error();
        assert!(error.contains(words), "{from} -> {to}: {error}");
    }
    let (head, _) = SOURCE.split_once("HIDBPF_SETUP").unwrap();
    let error = folder(DECLARED, &format!("{head}{hook}\n")).error();
    assert!(error.contains("no `HIDBPF_SETUP` that could write it"), "{error}");
    for (from, to, words) in [
        ("name = \"pad-type\"", "name = \"Pad\"", "`Pad` can't be a field's name"),
        ("report = \"feature\"", "report = \"config\"", "unknown variant `config`"),
        ("\"TIMES\"", "\"PAD_TYPE\"", "there are two exports `PAD_TYPE`"),
        ("\"TIMES\"", "\"HIDBPF\"", "is among the properties that hidbpf goes by"),
    ] {
        let error = folder(&DECLARED.replace(from, to), SOURCE).error();
        assert!(error.contains(words), "{from} -> {to}: {error}");
    }
    let (field, exports) = DECLARED.split_once("[[export]]").unwrap();
    let twice = folder(&format!("{field}{field}[[export]]{exports}"), SOURCE).error();
    assert!(twice.contains("there are two fields `pad-type`"), "{twice}");
}
