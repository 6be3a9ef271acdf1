//! Foreign objects that no careful author would write: each is refused with a clear reason, and nothing is attached.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use hidbpf::object::DriverObject;
use hidbpf::replay::{Driver, Generation, Object, ReplayDevice, Settings, Verdict};
use hidbpf_build::Clang;
use hidbpf_prelink::match_table::MAX_DEVICES;

const TABLE: &str = "HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x5678));\n";

const REST: &str = r#"
SEC(HID_BPF_DEVICE_EVENT) int BPF_PROG(fix_event, struct hid_bpf_ctx *hctx) { return 0; }
HID_BPF_OPS(mouse_ops) = { .hid_device_event = (void *)fix_event };
SEC("syscall") int probe(struct hid_bpf_probe_args *ctx) { ctx->retval = 0; return 0; }
char _license[] SEC("license") = "GPL";
"#;

const HEADERS: &str =
    "#include \"vmlinux.h\"\n#include \"hid_bpf.h\"\n#include \"hid_bpf_helpers.h\"\n#include <bpf/bpf_tracing.h>\n";

/// Returns the object of a source with this match table, or the reason why there is none.
fn object(table: &str, rest: &str) -> Result<Vec<u8>, String> {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("0010-A__Mouse.bpf.c");
    fs::write(&source, format!("{HEADERS}{table}{rest}")).unwrap();
    let object = hidbpf_build::object_path(&source, None);
    hidbpf_build::compile_foreign(&Clang::find().unwrap(), &source, &object).map_err(|error| error.to_string())?;
    Ok(fs::read(object).unwrap())
}

fn refusal(bytes: Vec<u8>) -> String {
    DriverObject::parse(Path::new("0010-A__Mouse.bpf.o"), bytes).unwrap_err().to_string()
}

/// Replaces a text by one of the same length, everywhere.
fn replaced(bytes: &[u8], old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(old.as_bytes())).collect();
    assert!(!places.is_empty(), "there is no `{old}`");
    places.into_iter().for_each(|at| bytes[at..at + new.len()].copy_from_slice(new.as_bytes()));
    bytes
}

fn table_of(devices: usize) -> String {
    let device = |number: usize| {
        format!(
            "struct {{ int (*bus)[3]; int (*group)[1]; int (*vid)[4660]; int (*pid)[{}]; }} d{number};\n",
            number + 1
        )
    };
    let members: String = (0..devices).map(device).collect();
    format!("union {{ {members} }} table SEC(\".hid_bpf_config\");\n")
}

#[test]
fn a_match_table_is_whole_and_not_absurd() {
    let most = object(&table_of(MAX_DEVICES), REST).unwrap();
    let most = DriverObject::parse(Path::new("0010-A__Mouse.bpf.o"), most).unwrap();
    assert_eq!(most.manifest.matches.len(), MAX_DEVICES);
    for (table, reason) in [
        (table_of(10_000), "its match table has more than 256 devices"),
        (table_of(0), "its match table has no device"),
        (format!("{TABLE}{}", table_of(1)), "it has two match tables in the section `.hid_bpf_config`"),
        ("int table SEC(\".hid_bpf_config\");\n".to_owned(), "its match table is neither a union nor a struct"),
        (
            "union { struct { int (*bus)[3]; int (*group)[1]; int (*vid)[1]; } d; } t SEC(\".hid_bpf_config\");\n"
                .to_owned(),
            "device 1 of its match table has no `pid`",
        ),
        (
            "union { struct { int bus, group, vid, pid; } d; } t SEC(\".hid_bpf_config\");\n".to_owned(),
            "device 1 of its match table has a `bus` that is not a pointer to an array",
        ),
    ] {
        let error = object(&table, REST).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_probe_that_never_returns_0_takes_no_device() {
    for (statement, expected) in [
        ("ctx->retval = 1;", Verdict::Refuses(1)),
        ("ctx->retval = -EINVAL;", Verdict::Refuses(-22)),
        ("ctx->retval = ctx->rdesc_size ? -ENODEV : -EINVAL;", Verdict::Refuses(-19)),
    ] {
        let bytes = object(TABLE, &REST.replace("ctx->retval = 0;", statement)).unwrap();
        let object = Object::parse(&bytes).unwrap();
        let device = ReplayDevice::of_descriptor(vec![0x05, 0x01]);
        let mut driver = Driver::new(&object, Generation::StructOps, &device, &Settings::default()).unwrap();
        assert_eq!(driver.probe(), Ok(expected), "{statement}");
    }
}

#[test]
fn a_truncated_or_damaged_object_is_refused() {
    let good = object(TABLE, REST).unwrap();
    for end in (0..good.len()).step_by((good.len() / 300).max(1)) {
        let error = refusal(good[..end].to_vec());
        assert!(error.contains("is not a driver") || error.contains("is damaged"), "cut to {end} bytes: {error}");
    }
    // The magic of the type information, which the match table is in.
    let types = good.windows(4).position(|bytes| bytes == [0x9f, 0xeb, 1, 0]).unwrap();
    let mut damaged = good.clone();
    damaged[types] = 0;
    assert!(refusal(damaged).contains("the section `.BTF` is damaged"));
    let mut short = good;
    short[types + 12..types + 16].copy_from_slice(&8u32.to_le_bytes());
    assert!(refusal(short).contains("`.BTF`"));
}

#[test]
fn programs_and_maps_of_other_subsystems_are_refused() {
    let good = object(TABLE, REST).unwrap();
    let other = replaced(&good, "struct_ops/hid_device_event", "struct_ops/hid_device_evenx");
    assert!(refusal(other).contains("a program in the section `struct_ops/hid_device_evenx`, for a hook that"));
    // The kernel would attach such a map to its network stack.
    let other = replaced(&good, "hid_bpf_ops\0", "tcp_bpf_ops\0");
    let error = refusal(other);
    assert!(error.contains("`mouse_ops` fills `struct tcp_bpf_ops`, expected `struct hid_bpf_ops`"), "{error}");
    let other = replaced(&good, "struct_ops/hid_device_event", "lsm/xxxxxxxxxxxxxxxxxxxxxxx");
    // Only its probe is left, which has nothing to attach.
    let other = DriverObject::parse(Path::new("0010-A__Mouse.bpf.o"), other).unwrap();
    assert!(other.hooks.values().all(|hooks| hooks.is_empty()));
}

#[test]
fn maps_whose_pins_would_clash_are_refused() {
    let map = |name: &str| {
        format!(
            "struct {{ __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u32); }} \
             {name} SEC(\".maps\");\n{REST}"
        )
    };
    object(TABLE, &map("counters")).unwrap();
    for name in ["setup", "mouse_ops_rdesc"] {
        let error = object(TABLE, &map(name)).unwrap_err();
        assert!(error.contains(&format!("its map `{name}` would be pinned under a name that hidbpf uses")), "{error}");
    }
}
