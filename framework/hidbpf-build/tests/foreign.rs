//! Compiles foreign sources: those in `foreign/`, which use every header and macro, and invalid ones.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use hidbpf::kernel::Generation;
use hidbpf::object::DriverObject;
use hidbpf_build::{BuildError, Clang, ForeignDriver};
use hidbpf_prelink::match_table::{self, DeviceIds};
use object::read::elf::ElfFile64;
use tempfile::TempDir;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign");

/// The source whose probe takes no device.
const REFUSES: &str = "Example__Refuses.bpf.c";

/// A source without hooks, which every case below adds something to.
const SOURCE: &str = r#"#include "vmlinux.h"
#include "hid_bpf.h"
#include "hid_bpf_helpers.h"
#include <bpf/bpf_tracing.h>
HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x5678));
SEC("syscall") int probe(struct hid_bpf_probe_args *ctx) { ctx->retval = ctx->rdesc_size == 0; return 0; }
char _license[] SEC("license") = "GPL";
"#;

/// A source in its own directory.
struct Folder(TempDir);

impl Folder {
    fn new(source: &str) -> Folder {
        Folder::with(&[("0010-A__Mouse.bpf.c", source)])
    }

    fn with(files: &[(&str, &str)]) -> Folder {
        let folder = Folder(tempfile::tempdir().unwrap());
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn compile(&self) -> Result<ForeignDriver, BuildError> {
        let source = self.path().join("0010-A__Mouse.bpf.c");
        compile(&source, &hidbpf_build::object_path(&source, None))
    }

    fn error(&self) -> String {
        self.compile().unwrap_err().to_string()
    }
}

fn compile(source: &Path, object: &Path) -> Result<ForeignDriver, BuildError> {
    hidbpf_build::compile_foreign(&Clang::find().unwrap(), source, object)
}

fn fixtures() -> Vec<PathBuf> {
    let entries = fs::read_dir(FIXTURES).unwrap().map(|entry| entry.unwrap().path());
    let mut sources: Vec<_> = entries.filter(|path| path.to_string_lossy().ends_with(".bpf.c")).collect();
    sources.sort();
    sources
}

#[test]
fn each_source_does_what_its_recording_expects() {
    let sources = fixtures();
    // One has no recording: it takes no device.
    let (without, sources): (Vec<_>, Vec<_>) = sources.into_iter().partition(|source| source.ends_with(REFUSES));
    assert_eq!((without.len(), sources.len()), (1, 6));
    for source in sources {
        let output = tempfile::tempdir().unwrap();
        let object = hidbpf_build::object_path(&source, Some(output.path()));
        let driver = compile(&source, &object).unwrap_or_else(|error| panic!("{error}"));
        let is_async = source.ends_with("Example__Async.bpf.c");
        assert_eq!(driver.older.is_none(), is_async, "{:?}", driver.warnings);
        assert_eq!(driver.warnings.len(), usize::from(is_async), "{:?}", driver.warnings);
        let recordings = hidbpf_build::recordings_beside(&source);
        assert_eq!(recordings.len(), 1, "{}", source.display());
        let mut generations = Vec::new();
        for object in driver.objects() {
            for checked in hidbpf_build::check(object, &recordings).unwrap() {
                assert_eq!(checked.difference, "", "{}", object.display());
                generations.push(checked.generation);
            }
        }
        let both = [Generation::StructOps, Generation::FmodRet];
        assert_eq!(generations, if is_async { &both[..1] } else { &both[..] });
    }
}

#[test]
fn the_match_table_has_all_devices() {
    let output = tempfile::tempdir().unwrap();
    let source = Path::new(FIXTURES).join("0010-Example__Mouse.bpf.c");
    let driver = compile(&source, &hidbpf_build::object_path(&source, Some(output.path()))).unwrap();
    assert_eq!(driver.name.as_str(), "example-mouse");
    let names: Vec<_> =
        driver.objects().map(|object| object.file_name().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["0010-Example__Mouse.bpf.o", "0009-Example__Mouse.bpf.o"]);
    let ids = |bus, group, product| DeviceIds { bus, group, vendor: 0x1234, product };
    for object in driver.objects() {
        let bytes = fs::read(object).unwrap();
        let elf = ElfFile64::parse(&*bytes).unwrap();
        let table = match_table::read(&elf).unwrap().unwrap();
        assert_eq!(table, [ids(3, 1, 1), ids(5, 0, 2), ids(0, 0, 0)]);
    }
    let read = driver.read().unwrap();
    assert_eq!(read.generations().len(), 2);
    assert_eq!(read.properties().into_iter().collect::<Vec<_>>(), ["EXAMPLE_MODE"]);
    assert_eq!(read.exports().len(), 1);
}

#[test]
fn a_match_table_may_have_200_devices() {
    let devices: Vec<_> = (1..=200).map(|id| format!("HID_DEVICE(BUS_USB, HID_GROUP_ANY, 0x1234, {id})")).collect();
    let table = format!("HID_BPF_CONFIG({});", devices.join(", "));
    let folder =
        Folder::new(&SOURCE.replace("HID_BPF_CONFIG(HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x1234, 0x5678));", &table));
    let driver = folder.compile().unwrap();
    assert_eq!(DriverObject::read(&driver.object).unwrap().manifest.matches.len(), 200);
}

#[test]
fn an_object_says_nothing_about_this_machine() {
    let (one, other) = (Folder::new(SOURCE), Folder::new(SOURCE));
    let first = fs::read(one.compile().unwrap().object).unwrap();
    let second = fs::read(other.compile().unwrap().object).unwrap();
    assert!(first == second);
    let directory = std::env::temp_dir().into_os_string().into_encoded_bytes();
    assert!(!first.windows(directory.len()).any(|window| window == directory));
}

#[test]
fn headers_beside_the_source_win() {
    let source = SOURCE.replace("#include <bpf/bpf_tracing.h>", "#include \"own.h\"\n_Static_assert(OWN == 7, \"\");");
    // The one includes hid_bpf_helpers.h, which includes vmlinux.h in turn.
    let vmlinux = hid_bpf_src::FOREIGN_HEADERS.iter().find(|(name, _)| *name == "vmlinux.h").unwrap().1;
    let own = "#include \"hid_bpf_helpers.h\"\n#define OWN (FROM_VMLINUX + 3)\n";
    let source = source.replace("#include \"vmlinux.h\"\n", "");
    let files = [
        ("0010-A__Mouse.bpf.c", source.as_str()),
        ("own.h", own),
        ("vmlinux.h", &format!("{vmlinux}\n#define FROM_VMLINUX 4\n")),
    ];
    let folder = Folder::with(&files);
    let driver = folder.compile().unwrap();
    let names: Vec<_> = driver.inputs.iter().map(|path| path.file_name().unwrap().to_string_lossy()).collect();
    assert_eq!(names.iter().filter(|name| ["own.h", "vmlinux.h"].contains(&name.as_ref())).count(), 2, "{names:?}");
}

#[test]
fn a_header_that_knows_no_older_kernels_leaves_the_older_object_out() {
    let hook = "SEC(HID_BPF_DEVICE_EVENT) int BPF_PROG(event, struct hid_bpf_ctx *hctx) { return 0; }\n\
                HID_BPF_OPS(ops) = { .hid_device_event = (void *)event };\n";
    let header = "#define HID_BPF_DEVICE_EVENT \"struct_ops/hid_device_event\"\n\
                  #define HID_BPF_OPS(name) SEC(\".struct_ops.link\") struct hid_bpf_ops name\n\
                  struct hid_bpf_probe_args { unsigned hid, rdesc_size; unsigned char rdesc[4096]; int retval; };\n";
    let source = format!("{SOURCE}{hook}");
    let driver = Folder::with(&[("0010-A__Mouse.bpf.c", &source), ("hid_bpf.h", header)]).compile().unwrap();
    assert_eq!(driver.older, None);
    let [warning] = driver.warnings.as_slice() else { panic!("{:?}", driver.warnings) };
    assert!(
        warning.contains("beside it does not know HID_BPF_TRACING: it gets no programs for Linux 6.3"),
        "{warning}"
    );
    assert!(Folder::new(&source).compile().unwrap().older.is_some());
    // There is no lower number.
    let folder = Folder::with(&[("0000-A__Mouse.bpf.c", &source)]);
    let source = folder.path().join("0000-A__Mouse.bpf.c");
    let driver = compile(&source, &hidbpf_build::object_path(&source, None)).unwrap();
    assert_eq!(driver.older, None);
    assert!(driver.warnings[0].contains("has the lowest number"), "{:?}", driver.warnings);
}

#[test]
fn faults_are_named_with_their_place() {
    let hook = "SEC(HID_BPF_DEVICE_EVENT) int BPF_PROG(event, struct hid_bpf_ctx *hctx) {";
    let ops = "HID_BPF_OPS(ops) = { .hid_device_event = (void *)event };";
    for (source, place, message) in [
        (format!("{SOURCE}#include \"missing.h\"\n"), ":8:10: ", "failed to find the header `missing.h`"),
        (SOURCE.replace("HID_BPF_CONFIG", "// "), ": ", "it has no match table (name its devices: HID_BPF_CONFIG("),
        (format!("{SOURCE}{hook}\nreturn hid_bpf_frob(hctx); }}\n{ops}"), ":9:8: ", "'hid_bpf_frob'"),
        (
            format!("{SOURCE}extern int hid_bpf_frob(void) __ksym;\n{hook}\nreturn hid_bpf_frob(); }}\n{ops}"),
            ":10: ",
            "no kernel has the function `hid_bpf_frob`",
        ),
        (
            format!("{SOURCE}SEC(\"struct_ops/bpf_cubic_init\") int BPF_PROG(init, void *sk) {{ return 0; }}\n"),
            ":8: ",
            "the section `struct_ops/bpf_cubic_init` is not a hook of HID-BPF",
        ),
        (
            format!(
                "{SOURCE}extern void *strpbrk(const char *, const char *);\n{hook}\nreturn strpbrk((void *)hctx, \"x\") != 0; }}\n{ops}"
            ),
            ":10: ",
            "()` here, which BPF programs do not have",
        ),
        // A member of the same name declares no function.
        (
            format!(
                "{SOURCE}extern void *strpbrk(const char *, const char *); struct {{ int strchr, strpbrk; }} s;\n{hook}\nreturn s.strchr + s.strpbrk + (strpbrk((void *)hctx, \"x\") != 0); }}\n{ops}"
            ),
            ":10: ",
            "()` here, which BPF programs do not have",
        ),
    ] {
        let error = Folder::new(&source).error();
        assert!(error.contains(&format!("0010-A__Mouse.bpf.c{place}")) && error.contains(message), "{error}");
    }
    let folder = Folder::with(&[("__.bpf.c", SOURCE)]);
    let source = folder.path().join("__.bpf.c");
    let error = compile(&source, &hidbpf_build::object_path(&source, None)).unwrap_err().to_string();
    assert!(error.contains("its file name has no name for a driver"), "{error}");
}

#[test]
fn features_that_only_some_kernels_have_are_named_with_their_place() {
    let hook = |call: &str| {
        let head = "SEC(HID_BPF_DEVICE_EVENT) int BPF_PROG(event, struct hid_bpf_ctx *hctx) {";
        format!("{SOURCE}{head}\n{call};\nreturn 0; }}\nHID_BPF_OPS(ops) = {{ .hid_device_event = (void *)event }};\n")
    };
    for (call, needs) in [
        ("hid_bpf_try_input_report(hctx, 0, (void *)\"x\", 1)", "`hid_bpf_try_input_report()` needs Linux 6.11"),
        ("hid_bpf_release_context(hid_bpf_allocate_context(1))", "`hid_bpf_allocate_context()` needs Linux 6.11"),
    ] {
        let driver = Folder::new(&hook(call)).compile().unwrap();
        let [warning] = driver.warnings.as_slice() else { panic!("{:?}", driver.warnings) };
        assert!(warning.contains(":9: ") && warning.contains(needs), "{warning}");
        assert!(driver.older.is_none());
    }
    let both = Folder::new(&hook("hid_bpf_get_data(hctx, 0, 1)")).compile().unwrap();
    assert_eq!(both.warnings, Vec::<String>::new());
    assert!(both.older.is_some());

    // A source that knows one of the two functions alone.
    let wq = "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, struct bpf_wq); } m SEC(\".maps\");\
              static int later(void *map, int *key, void *value) { return 0; }\n";
    let call = |text: &str| {
        let text = format!("struct bpf_wq *wq = bpf_map_lookup_elem(&m, &(u32){{0}}); if (wq) {{ {text}; }}");
        hook(&text).replace("SEC(HID_BPF_DEVICE", &format!("{wq}SEC(HID_BPF_DEVICE"))
    };
    for (text, message) in [
        ("(bpf_wq_set_callback)(wq, later, 0)", "`bpf_wq_set_callback()` needs Linux 7.0"),
        ("bpf_wq_set_callback_impl(wq, later, 0, NULL)", "`bpf_wq_set_callback_impl()` is missing since Linux 7.0"),
    ] {
        let driver = Folder::new(&call(text)).compile().unwrap();
        assert!(driver.warnings.iter().any(|warning| warning.contains(message)), "{:?}", driver.warnings);
    }
    let driver = Folder::new(&call("bpf_wq_set_callback(wq, later, 0)")).compile().unwrap();
    assert!(!driver.warnings.iter().any(|warning| warning.contains("7.0")), "{:?}", driver.warnings);
}
