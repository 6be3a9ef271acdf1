//! Tests that manifest and source agree on options, and what the object contains.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, MANIFEST};
use hidbpf::config::Config;
use hidbpf::object::DriverObject;
use hidbpf::options::{SECTION, Value};
use hidbpf::resolve::{self, Origin};
use hidbpf::system::System;
use object::{Object, ObjectSection};

const OPTIONS: &str = "
[[option]]
name = \"fast\"
type = \"bool\"
default = true
description = \"Fast.\"

[[option]]
name = \"dial-steps\"
type = \"integer\"
min = -300
max = 300
default = -2
description = \"Steps.\"

[[option]]
name = \"axis\"
type = \"choice\"
values = [\"y\", \"both-axes\"]
default = \"both-axes\"
description = \"Axis.\"
";

const SOURCE: &str = "#include <hidbpf/driver.h>
HIDBPF_OPTION_BOOL(fast);
HIDBPF_OPTION_INTEGER(dial_steps);
HIDBPF_OPTION_CHOICE(axis, AXIS_Y, AXIS_BOTH_AXES);
HIDBPF_INPUT_EVENT(ctx) { return option_fast && option_axis == AXIS_Y ? option_dial_steps : 0; }
HIDBPF_RDESC_FIXUP(ctx) { return 0; }
HIDBPF_DRIVER(device_event, rdesc_fixup);
";

fn folder(options: &str, source: &str) -> Folder {
    Folder::with_manifest("a-driver", &MANIFEST.replace("\n[[match]]", &format!("{options}\n[[match]]")), source)
}

#[test]
fn the_object_begins_with_the_defaults() {
    let folder = folder(OPTIONS, SOURCE);
    let driver = folder.compile().unwrap();
    let driver = DriverObject::read(&driver.object).unwrap();
    let bytes = driver.bytes();
    let elf = object::File::parse(bytes).unwrap();
    let section = elf.section_by_name(SECTION).unwrap();
    let data = section.data().unwrap();
    let places = driver.option_places();
    assert_eq!(places.len(), 3);
    for (variable, expected) in
        [("option_fast", &[1][..]), ("option_dial_steps", &[0xfe, 0xff, 0xff, 0xff]), ("option_axis", &[1, 0, 0, 0])]
    {
        let (offset, size) = places[variable];
        assert_eq!(&data[offset..offset + size], expected, "{variable}");
    }
}

#[test]
fn manifest_and_source_must_agree() {
    for (from, to, words) in [
        ("HIDBPF_OPTION_BOOL(fast);", "enum { option_fast };", "the source has no `HIDBPF_OPTION_BOOL(fast);`"),
        ("HIDBPF_OPTION_BOOL(fast);", "HIDBPF_OPTION_INTEGER(fast);", "where it should be `HIDBPF_OPTION_BOOL(fast);`"),
        (
            "AXIS_Y, AXIS_BOTH_AXES",
            "AXIS_Y, AXIS_BOTH_AXES, AXIS_Z",
            "`HIDBPF_OPTION_CHOICE(axis, AXIS_Y, AXIS_BOTH_AXES);`",
        ),
        ("AXIS_Y, AXIS_BOTH_AXES", "AXIS_BOTH_AXES, AXIS_Y", "the option `axis` is another one"),
        (
            "HIDBPF_OPTION_BOOL(fast);",
            "HIDBPF_OPTION_BOOL(fast); HIDBPF_OPTION_BOOL(more_fun);",
            "it has the option `more-fun`",
        ),
        (
            "HIDBPF_RDESC_FIXUP(ctx) { return 0; }",
            "HIDBPF_RDESC_FIXUP(ctx) { return option_fast ? -1 : 0; }",
            "the option `fast` is read when the driver is attached",
        ),
    ] {
        assert!(SOURCE.contains(from), "{from}");
        let error = folder(OPTIONS, &SOURCE.replace(from, to)).error();
        assert!(error.contains(words), "{to}: {error}");
    }
    let early = SOURCE.replace("(ctx) { return 0; }", "(ctx) { return option_fast ? -1 : 0; }");
    let said = OPTIONS.replace("description = \"Fast.\"", "description = \"Fast.\"\nreattach = true");
    folder(&said, &early).compile().unwrap();
    let twice = folder(&OPTIONS.replace("\"fast\"", "\"axis\""), SOURCE).error();
    assert!(twice.contains("there are two options `axis`"), "{twice}");
}

#[test]
fn what_is_set_by_hand_goes_before_the_configuration_and_what_can_not_be_before_nothing() {
    let folder = folder(OPTIONS, SOURCE);
    let driver = DriverObject::read(&folder.compile().unwrap().object).unwrap();
    let system = System { config: folder.path(), ..System::default() };
    let text = "[driver.a-driver.options]\ndial-steps = 3\naxis = \"x\"\nspeed = 1\n";
    std::fs::write(folder.path().join("hidbpf.toml"), text).unwrap();
    let config = Config::read(&system);
    let by_hand = [("dial-steps".to_owned(), Value::Integer(9)), ("fast".to_owned(), Value::Integer(1))].into();
    let (resolved, problems) = resolve::options(&driver, None, &config, &by_hand);
    let values: Vec<_> = resolved.iter().map(|set| (&set.value, &set.origin)).collect();
    let both = Value::Text("both-axes".to_owned());
    assert_eq!(
        values,
        [(&Value::Bool(true), &Origin::Default), (&Value::Integer(9), &Origin::Hand), (&both, &Origin::Default)]
    );
    let [fast, axis, speed] = &problems[..] else { panic!("{problems:?}") };
    assert!(fast.contains("`fast`") && fast.contains("set by hand: `1` is not true or false"), "{fast}");
    assert!(axis.contains("hidbpf.toml:3:8: `x` is not y or both-axes"), "{axis}");
    assert!(speed.contains("hidbpf.toml:4:9 sets the option `speed`, which the driver `a-driver` has not"), "{speed}");
    let variables = resolve::variables(&resolved);
    assert_eq!(variables["option_dial_steps"], [9, 0, 0, 0]);
    assert_eq!(variables["option_axis"], [1, 0, 0, 0]);
}
