//! Runs `hidbpf_build::compile` on valid and invalid folders.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Folder, INCLUDE, MANIFEST};
use hidbpf::manifest::{Embedded, SECTION};
use hidbpf_build::{Clang, Sdk};
use libbpf_rs::{MapType, ObjectBuilder};
use object::{Object, ObjectSection};

const BOTH_HOOKS: &str = "#include <hidbpf/driver.h>
HIDBPF_RDESC_FIXUP(ctx) { hidbpf_patch_byte(ctx, 3, 1, 2); return 0; }
HIDBPF_INPUT_EVENT(ctx) { __u8 *data = hidbpf_report(ctx, 3); if (data) hidbpf_negate_s8(data + 2); return 0; }
HIDBPF_PROBE(args) { return args->rdesc[0] == 5 ? 0 : -EINVAL; }
HIDBPF_DRIVER(rdesc_fixup, device_event);
";

const EVENT: &str = "#include <hidbpf/driver.h>
HIDBPF_INPUT_EVENT(ctx) { return 0; }
";

fn sections(object: &Path) -> Vec<String> {
    let data = fs::read(object).unwrap();
    let file = object::File::parse(&*data).unwrap();
    file.sections().map(|section| section.name().unwrap().to_owned()).collect()
}

#[test]
fn libbpf_opens_the_object_and_finds_all_of_it() {
    let folder = Folder::new("a-driver", BOTH_HOOKS);
    let driver = folder.compile().unwrap();
    assert_eq!(driver.warnings, Vec::<String>::new());
    assert!(driver.object.ends_with("a-driver.bpf.o"));

    let mut builder = ObjectBuilder::default();
    let object = builder.open_file(&driver.object).unwrap();
    // libbpf removes the question mark, which means "load only on request", from the section's name.
    let mut programs: Vec<(String, String, bool)> = object
        .progs()
        .map(|program| {
            (
                program.section().to_string_lossy().into_owned(),
                program.name().to_string_lossy().into_owned(),
                program.autoload(),
            )
        })
        .collect();
    programs.sort();
    let expected = [
        ("fmod_ret/hid_bpf_device_event", "event_fmod"),
        ("fmod_ret/hid_bpf_rdesc_fixup", "fixup_fmod"),
        ("struct_ops/hid_device_event", "event_ops"),
        ("struct_ops/hid_rdesc_fixup", "fixup_ops"),
        ("syscall", "probe"),
    ];
    assert_eq!(programs, expected.map(|(section, name)| (section.to_owned(), name.to_owned(), false)));
    let maps: Vec<_> = object.maps().map(|map| (map.name().to_string_lossy().into_owned(), map.map_type())).collect();
    assert!(maps.contains(&("hidbpf_ops".to_owned(), MapType::StructOps)), "{maps:?}");
    assert!(maps.iter().any(|(name, _)| name.ends_with(".bss")), "{maps:?}");
}

#[test]
fn the_manifest_is_in_the_object() {
    let folder = Folder::new("a-driver", BOTH_HOOKS);
    let driver = folder.compile().unwrap();
    let data = fs::read(&driver.object).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let section = file.section_by_name(SECTION).unwrap();
    let embedded = Embedded::from_section(&driver.object, section.data().unwrap()).unwrap();
    assert_eq!(embedded.name, driver.name);
    assert_eq!(embedded.driver.device, "A device");
    // Not loaded.
    assert!(
        matches!(section.flags(), object::SectionFlags::Elf { sh_flags, .. } if !sh_flags.contains(object::elf::SHF_ALLOC))
    );
}

#[test]
fn the_same_folder_elsewhere_makes_the_same_object() {
    let (one, other) = (Folder::new("a-driver", BOTH_HOOKS), Folder::new("a-driver", BOTH_HOOKS));
    let first = fs::read(one.compile().unwrap().object).unwrap();
    let second = fs::read(other.compile_with(&Sdk::Embedded).unwrap().object).unwrap();
    assert!(first == second);
    for directory in [one.path(), one.output(), std::env::temp_dir(), Path::new(INCLUDE).to_owned()] {
        let directory = directory.into_os_string().into_encoded_bytes();
        assert!(!first.windows(directory.len()).any(|window| window == directory));
    }
}

#[test]
fn what_has_not_changed_is_not_compiled_again() {
    let sdk = tempfile::tempdir().unwrap();
    fs::create_dir(sdk.path().join("hidbpf")).unwrap();
    for header in fs::read_dir(Path::new(INCLUDE).join("hidbpf")).unwrap() {
        let header = header.unwrap();
        fs::copy(header.path(), sdk.path().join("hidbpf").join(header.file_name())).unwrap();
    }
    let sdk_directory = Sdk::Directory(sdk.path().to_owned());
    let folder = Folder::new("a-driver", &BOTH_HOOKS.replace("return 0; }", "int unused; return 0; }"));
    let compile = || {
        let driver = folder.compile_with(&sdk_directory).unwrap();
        assert!(driver.warnings.iter().any(|line| line.contains("unused variable")), "{:?}", driver.warnings);
        // A file that is written again has a different inode number.
        (std::os::unix::fs::MetadataExt::ino(&fs::metadata(&driver.object).unwrap()), driver)
    };
    let (first, driver) = compile();
    let header = sdk.path().join("hidbpf/report.h");
    assert!(driver.inputs.contains(&header), "{:?}", driver.inputs);
    assert!(driver.inputs.contains(&folder.path().join("driver.bpf.c")));
    assert!(driver.inputs.contains(&folder.path().join("driver.toml")));
    assert!(driver.inputs.iter().all(|path| path.exists()));
    let (second, again) = compile();
    assert_eq!((first, driver.inputs), (second, again.inputs));

    let text = fs::read_to_string(&header).unwrap();
    fs::write(&header, text + "\n").unwrap();
    let (third, _) = compile();
    assert_ne!(second, third);
    fs::write(&again.object, "damaged").unwrap();
    let (fourth, driver) = compile();
    assert_ne!(third, fourth);
    assert_ne!(fs::read(driver.object).unwrap(), b"damaged");
}

#[test]
fn a_source_that_clang_refuses_is_shown_with_its_place() {
    let folder = Folder::new("a-driver", &BOTH_HOOKS.replace("data + 2", "date + 2"));
    let error = folder.error();
    assert!(error.contains("failed to compile") && error.contains("driver.bpf.c:3:"), "{error}");
    assert!(error.contains("undeclared identifier 'date'"), "{error}");
}

#[test]
fn a_folder_needs_a_good_name_and_a_good_manifest() {
    let name = Folder::new("A_Driver", BOTH_HOOKS).error();
    assert!(name.contains("`A_Driver` can't be a driver's name"), "{name}");
    let manifest = Folder::with_manifest("a-driver", &MANIFEST.replace("kind", "knid"), BOTH_HOOKS).error();
    assert!(manifest.contains("driver.toml:5:1: unknown field `knid`"), "{manifest}");
}

#[test]
fn an_object_that_would_do_less_than_its_source_says_is_refused() {
    let hook = "HIDBPF_RDESC_FIXUP(ctx) { return 0; }\n";
    let forgotten = Folder::new("a-driver", &format!("{EVENT}{hook}HIDBPF_DRIVER(device_event);\n")).error();
    assert!(forgotten.contains("the hook `rdesc_fixup` is missing in the line `HIDBPF_DRIVER(...)`"), "{forgotten}");
    let no_line = Folder::new("a-driver", EVENT).error();
    assert!(no_line.contains("missing in the line `HIDBPF_DRIVER(...)`"), "{no_line}");
    let no_hook = Folder::new("a-driver", "#include <hidbpf/driver.h>\nHIDBPF_DRIVER_WITHOUT_HOOKS();\n").error();
    assert!(no_hook.contains("neither a hook nor a setup"), "{no_hook}");
    let driver = format!("{EVENT}HIDBPF_DRIVER(device_event);\n");
    let foreign = format!("{driver}SEC(\"?tracepoint/x/y\") int other(void *ctx) {{ return ctx != 0; }}\n");
    let foreign = Folder::new("a-driver", &foreign).error();
    assert!(foreign.contains("`other` is in the section `?tracepoint/x/y`"), "{foreign}");
    let syscall = format!("{driver}SEC(\"?syscall\") int set_up(void *ctx) {{ return ctx != 0; }}\n");
    let syscall = Folder::new("a-driver", &syscall).error();
    assert!(syscall.contains("nothing would run the syscall program `set_up`"), "{syscall}");
    let long = format!("{driver}SEC(\"?syscall\") int sixteen_letters_(void *ctx) {{ return ctx != 0; }}\n");
    let long = Folder::new("a-driver", &long).error();
    assert!(long.contains("`sixteen_letters_` is longer than the 15 characters"), "{long}");
}

#[test]
fn hooks_of_newer_kernels_are_said_once_in_the_manifest() {
    let source = "#include <hidbpf/driver.h>
HIDBPF_RDESC_FIXUP_SLEEPABLE(ctx) { return 0; }
HIDBPF_INPUT_EVENT(ctx) { return 0; }
HIDBPF_HW_REQUEST(ctx, request) { return request.report_id == 3 ? -EINVAL : 0; }
HIDBPF_HW_OUTPUT_REPORT(ctx, source) { return source ? -EINVAL : 0; }
HIDBPF_DRIVER(rdesc_fixup, device_event, hw_request, hw_output_report);
";
    let silent = Folder::new("a-driver", source).error();
    assert!(silent.contains("HIDBPF_HW_REQUEST needs Linux 6.11"), "{silent}");
    assert!(silent.contains("requires = [\\\"struct-ops\\\"]"), "{silent}");

    let manifest = MANIFEST.replace("\n[[match]]", "requires = [\"struct-ops\"]\n\n[[match]]");
    let said = Folder::with_manifest("a-driver", &manifest, source);
    let driver = said.compile().unwrap();
    let sections = sections(&driver.object);
    for expected in [
        "?struct_ops.s/hid_rdesc_fixup",
        "?struct_ops/hid_device_event",
        "?struct_ops.s/hid_hw_request",
        "?struct_ops.s/hid_hw_output_report",
    ] {
        assert!(sections.iter().any(|section| section == expected), "{sections:?}");
    }
    assert!(!sections.iter().any(|section| section.contains("fmod_ret")), "{sections:?}");
}

#[test]
fn a_driver_may_have_a_set_up_alone_and_not_a_probe() {
    let with = |body: &str| format!("#include <hidbpf/setup.h>\n{body}\nHIDBPF_DRIVER_WITHOUT_HOOKS();\n");
    let probe = Folder::new("a-driver", &with("HIDBPF_PROBE(args) { return -ENODEV; }")).error();
    assert!(probe.contains("neither a hook nor a setup"), "{probe}");
    let body = "HIDBPF_SETUP(device) { __u8 report[] = {1, 2}; return hidbpf_set_feature(device, report, 2); }";
    let folder = Folder::new("a-driver", &with(body));
    let driver = folder.compile().unwrap();
    let sections = sections(&driver.object);
    assert!(sections.iter().any(|section| section == "?syscall"), "{sections:?}");
    assert!(!sections.iter().any(|section| section.contains("struct_ops")), "{sections:?}");
}

#[test]
fn a_missing_old_or_other_compiler_is_named_with_a_hint() {
    let missing = Clang::at(Path::new("/nowhere/clang")).unwrap_err().to_string();
    assert!(missing.contains("failed to run `/nowhere/clang`: No such file"), "{missing}");
    assert!(missing.contains("install the package `clang`"), "{missing}");
    let directory = tempfile::tempdir().unwrap();
    let fake = |defines: &str| {
        let path = directory.path().join("clang");
        // Another process writes the file. If this one did, processes that it starts meanwhile would have the file
        // open, and it couldn't be run.
        let write = "printf '#!/bin/sh\\necho \"%s\"\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
        assert!(Command::new("sh").arg("-c").arg(write).arg(&path).arg(defines).status().unwrap().success());
        Clang::at(&path).unwrap_err().to_string()
    };
    let old = fake("#define __clang_major__ 10");
    assert!(old.contains("is clang 10, and drivers need 14 or newer"), "{old}");
    let other = fake("#define __GNUC__ 12");
    assert!(other.contains("is not clang"), "{other}");
}

/// Compiles a driver whose descriptor hook runs `body`, or else the SDK's walk.
fn loops(body: &str) -> (Folder, hidbpf_build::Driver) {
    let source = format!(
        "#include <hidbpf/items.h>
HIDBPF_WALK(change, item) {{ if (item->type == HID_ITEM_Input) hidbpf_set_item(item, 2); return 0; }}
HIDBPF_RDESC_FIXUP(ctx)
{{
	__u8 *bytes = hid_bpf_get_data(ctx, 0, 4096);
	if (!bytes)
		return hidbpf_walk(ctx, change);
	{body}
	return 0;
}}
HIDBPF_DRIVER(rdesc_fixup);
"
    );
    let folder = Folder::new("a-driver", &source);
    let driver = folder.compile().unwrap();
    (folder, driver)
}

#[test]
fn long_loops_are_warned_of() {
    let warnings = |body: &str| {
        let (_folder, driver) = loops(body);
        hidbpf_build::effort_warnings(&driver.object, &[]).unwrap()
    };
    assert_eq!(warnings("hidbpf_walk(ctx, change);"), Vec::<String>::new());
    const FEW: &str =
        "#pragma clang loop unroll(disable)\n for (int i = 0; i < 8; i++) if (bytes[i] == 0x81) bytes[i + 1] = 2;";
    assert_eq!(warnings(FEW), Vec::<String>::new());
    const ALL: &str = "for (int i = 0; i < ctx->size; i++) if (bytes[i & 4095] == 0x81 && bytes[(i + 1) & 4095] == 6) bytes[i & 4095] = 2;";
    let [warning] = warnings(ALL).try_into().unwrap_or_else(|warnings| panic!("{warnings:?}"));
    for words in ["a-driver/driver.bpf.c:", "4096 times", "will probably refuse", "hidbpf_walk()"] {
        assert!(warning.contains(words), "{words}: {warning}");
    }
    const SOME: &str = "for (int i = 0; i < 200; i++) if (i < ctx->size && bytes[i] == 0x81) bytes[i + 1] = 2;";
    let [warning] = warnings(SOME).try_into().unwrap_or_else(|warnings| panic!("{warnings:?}"));
    assert!(warning.contains("may refuse"), "{warning}");
    // The kernel forbids this access at the end of the longest descriptor.
    const BEYOND: &str = "for (int i = 0; i < ctx->size; i++) if (bytes[i] == 0x95) bytes[i + 20] = 2;";
    let [warning] = warnings(BEYOND).try_into().unwrap_or_else(|warnings| panic!("{warnings:?}"));
    assert!(warning.contains("a descriptor of 4096 bytes") && warning.contains("driver.bpf.c:"), "{warning}");
}

/// The kernel refuses type information with a different size than the variable's.
#[test]
fn variables_that_clang_makes_smaller_are_refused() {
    let source = |declaration: &str| {
        format!(
            "#include <hidbpf/driver.h>
{declaration};
HIDBPF_RDESC_FIXUP(ctx) {{ if (ctx->size == 50) seen = 22; return 0; }}
HIDBPF_INPUT_EVENT(ctx) {{ return seen ? -EIO : 0; }}
HIDBPF_DRIVER(rdesc_fixup, device_event);
"
        )
    };
    let error = Folder::new("a-driver", &source("static __s32 seen")).error();
    assert!(error.contains("`seen`") && error.contains("volatile"), "{error}");
    for declaration in ["static volatile __s32 seen", "__s32 seen"] {
        let driver = Folder::new("a-driver", &source(declaration)).compile().unwrap();
        assert_eq!(driver.warnings, Vec::<String>::new(), "{declaration}");
    }
}
