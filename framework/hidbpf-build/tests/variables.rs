//! Fields and exports: that manifest and source agree on them, and what of them is in the object.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, MANIFEST};
use hidbpf::object::DriverObject;

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
    // Both ways into the kernel keep the map of what is exported.
    let prelinked = driver.prelinked().unwrap();
    assert!(prelinked.maps.iter().any(|map| map.name == hidbpf::exports::SECTION));
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
