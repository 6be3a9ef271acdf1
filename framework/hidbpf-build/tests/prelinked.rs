//! Tests the prelinked programs in a driver's object, and when there are none.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, MANIFEST};
use hidbpf::object::DriverObject;
use hidbpf_prelink::{MEMBERS, Prelinked, Program, ReferenceKind, SECTION, Unusable};
use object::build::elf::{Builder, SectionData};

/// Two hooks and a probe, with nested calls, every kind of data, a table, and an optional kfunc.
const SOURCE: &str = r#"#include <hidbpf/driver.h>
static const __u8 table[8] = {1, 2, 3, 4, 5, 6, 7, 8};
__u8 state = 7;
__u32 count;
HIDBPF_UDEV_PROPERTY(A_PROPERTY);
static __attribute__((noinline)) int inner(__u32 index) { count++; return table[index & 7]; }
static __attribute__((noinline)) int outer(__u32 index) { return inner(index + state) + inner(index); }
HIDBPF_RDESC_FIXUP(ctx) { return outer(ctx->size) == 300 || UDEV_PROP_A_PROPERTY[0] == 'x' ? 10 : 0; }
HIDBPF_INPUT_EVENT(ctx)
{
	__u8 *data = hid_bpf_get_data(ctx, 0, 3);

	if (data && ctx->allocated_size > 64 && bpf_ksym_exists(hid_bpf_try_input_report))
		data[1] = inner(data[2]);
	return 0;
}
HIDBPF_PROBE(args) { return args->rdesc[0] == 5 ? 0 : -EINVAL; }
HIDBPF_DRIVER(rdesc_fixup, device_event);
"#;

fn compile(source: &str) -> (DriverObject, Vec<String>) {
    read(&Folder::new("a-driver", source))
}

fn read(folder: &Folder) -> (DriverObject, Vec<String>) {
    let driver = folder.compile().unwrap();
    (DriverObject::read(&driver.object).unwrap(), driver.warnings)
}

fn struct_ops_only(source: &str) -> (DriverObject, Vec<String>) {
    let manifest = MANIFEST.replace("\n[[match]]", "requires = [\"struct-ops\"]\n\n[[match]]");
    read(&Folder::with_manifest("a-driver", &manifest, source))
}

/// Returns the kinds and names of a program's references, without duplicates.
fn referred(prelinked: &Prelinked<'_>, program: &Program<'_>) -> Vec<(ReferenceKind, String)> {
    let mut referred = Vec::new();
    for reference in program.references {
        let index = reference.index.get() as usize;
        let name = match reference.kind() {
            ReferenceKind::Map | ReferenceKind::MapValue => prelinked.maps[index].name,
            ReferenceKind::KfuncCall | ReferenceKind::KfuncAddress => prelinked.kfuncs[index].name,
            ReferenceKind::Member => MEMBERS[index].name,
        };
        if !referred.contains(&(reference.kind(), name.to_owned())) {
            referred.push((reference.kind(), name.to_owned()));
        }
    }
    referred
}

#[test]
fn an_object_carries_its_programs_as_they_are_loaded() {
    let (driver, warnings) = compile(SOURCE);
    assert_eq!(warnings, Vec::<String>::new());
    let prelinked = driver.prelinked().unwrap();
    let mut programs: Vec<_> = prelinked.programs.iter().map(|program| (program.section, program.name)).collect();
    programs.sort_unstable();
    let expected = [
        ("fmod_ret/hid_bpf_device_event", "event_fmod"),
        ("fmod_ret/hid_bpf_rdesc_fixup", "fixup_fmod"),
        ("struct_ops/hid_device_event", "event_ops"),
        ("struct_ops/hid_rdesc_fixup", "fixup_ops"),
        ("syscall", "probe"),
    ];
    assert_eq!(programs, expected);
    assert_eq!((prelinked.ops, prelinked.license), ("hidbpf_ops", c"GPL"));

    // Each function is included once, after its first caller.
    let fixup = prelinked.program("fixup_ops").unwrap();
    let starts: Vec<u32> = fixup.functions.iter().map(|info| info.instruction.get()).collect();
    assert!(starts.len() == 3 && starts[0] == 0 && starts.is_sorted(), "{starts:?}");
    let calls: Vec<(usize, i64)> = (0..fixup.instructions.len())
        .filter(|at| fixup.instructions[*at][..2] == [0x85, 0x10])
        .map(|at| (at, i64::from(i32::from_le_bytes(fixup.instructions[at][4..].try_into().unwrap()))))
        .collect();
    let called: Vec<i64> = calls.iter().map(|(at, immediate)| *at as i64 + immediate + 1).collect();
    assert_eq!(called, [starts[1], starts[2], starts[2]].map(i64::from));
    for info in fixup.functions {
        let end = &fixup.instructions[..info.instruction.get() as usize];
        assert!(end.last().is_none_or(|last| last[0] == 0x95), "a function begins behind the end of another");
    }

    // Data. The contents don't include the zeros of the bss.
    let maps: Vec<_> = prelinked.maps.iter().map(|map| (map.name, map.attributes.is_read_only())).collect();
    for expected in [(".rodata", true), (".data", false), (".bss", false)] {
        assert!(maps.contains(&expected), "{maps:?}");
    }
    let data = prelinked.maps.iter().find(|map| map.name == ".data").unwrap();
    assert_eq!(data.contents, [7]);
    // clang may put a small table into its own section.
    let table = [1, 2, 3, 4, 5, 6, 7, 8];
    assert!(prelinked.maps.iter().any(|map| map.contents.windows(8).any(|window| window == table)), "{maps:?}");
    let bss = prelinked.maps.iter().find(|map| map.name == ".bss").unwrap();
    assert!(bss.contents.is_empty() && bss.attributes.value_size.get() >= 12);

    let event = referred(&prelinked, prelinked.program("event_fmod").unwrap());
    assert!(event.contains(&(ReferenceKind::KfuncCall, "hid_bpf_get_data".to_owned())), "{event:?}");
    assert!(event.contains(&(ReferenceKind::KfuncAddress, "hid_bpf_try_input_report".to_owned())), "{event:?}");
    assert!(prelinked.kfuncs.iter().all(|kfunc| kfunc.weak));
    assert!(event.contains(&(ReferenceKind::Member, "report_type".to_owned())), "{event:?}");
    assert_eq!(referred(&prelinked, prelinked.program("probe").unwrap()), []);
}

#[test]
fn members_that_loaders_know_take_no_relocation() {
    let hook = |body: &str| {
        let source =
            format!("#include <hidbpf/driver.h>\nHIDBPF_RDESC_FIXUP(ctx) {{ {body} }}\nHIDBPF_DRIVER(rdesc_fixup);\n");
        let (driver, warnings) = compile(&source);
        assert_eq!(warnings, Vec::<String>::new());
        let prelinked = driver.prelinked().unwrap();
        let program = prelinked.program("fixup_ops").unwrap();
        let members = referred(&prelinked, program).into_iter();
        let members = members.filter(|(kind, _)| *kind == ReferenceKind::Member).map(|(_, name)| name).collect();
        for reference in program.references.iter().filter(|reference| reference.kind() == ReferenceKind::Member) {
            assert_eq!(program.instructions[reference.at()][2..4], [0; 2], "the offset is still to come");
        }
        let mut relocations: Vec<_> = program.relocations.iter().map(|relocation| relocation.kind.get()).collect();
        relocations.dedup();
        (members, relocations)
    };
    let expect = |body: &str, members: &[&str], relocations: &[u32]| {
        let (found, left): (Vec<String>, Vec<u32>) = hook(body);
        assert_eq!((found, &*left), (members.iter().map(|name| (*name).to_owned()).collect(), relocations), "{body}");
    };
    expect("return ctx->size == 80 ? 10 : 0;", &["size"], &[]);
    expect("ctx->size = 7; return 0;", &["size"], &[]);
    // The kernel relocates everything else: other members, members with this name in other structs, parts of a member,
    // and numbers.
    expect("return ctx->allocated_size;", &[], &[0]);
    expect("return ctx->size + ctx->hid->name[3];", &["size"], &[0]);
    expect("return *(__u8 *)&ctx->size;", &[], &[0]);
    expect("return __builtin_preserve_field_info(ctx->size, 0);", &[], &[0]);
    expect("return __builtin_preserve_field_info(ctx->size, 1);", &[], &[1]);
    expect("return __builtin_preserve_field_info(ctx->report_type, 2);", &[], &[2]);
    let other =
        "struct other { int size; } __attribute__((preserve_access_index)); return ((struct other *)ctx)->size;";
    expect(other, &[], &[0]);
}

#[test]
fn timers_and_work_items_have_their_maps_and_callbacks() {
    let (driver, warnings) = struct_ops_only(
        "#include <hidbpf/work.h>
HIDBPF_WORK(later, ctx) { return 0; }
HIDBPF_INPUT_EVENT(ctx) { return hidbpf_schedule(later, 10); }
HIDBPF_DRIVER(device_event);
",
    );
    assert_eq!(warnings, Vec::<String>::new());
    let prelinked = driver.prelinked().unwrap();
    let [program] = prelinked.programs[..] else { panic!("{:?}", prelinked.programs) };
    let [map, ids] = prelinked.maps[..] else { panic!("{:?}", prelinked.maps) };
    assert_eq!((map.name, map.is_data()), ("later", false));
    assert_eq!((ids.name, ids.attributes.value_size.get()), (".rodata", 12));
    let attributes =
        [map.attributes.kind, map.attributes.key_size, map.attributes.value_size, map.attributes.max_entries];
    assert_eq!(attributes.map(|number| number.get()), [2, 4, 32, 1]);
    // The kernel finds the timer and the work item in a value by this type.
    assert!(map.attributes.value_type.get() != 0);
    for name in [&b"\0bpf_timer\0"[..], b"\0bpf_wq\0"] {
        assert!(prelinked.btf.windows(name.len()).any(|window| window == name));
    }
    // The hook, the timer's callback, and the work item's callback. Both ways to set the latter share one function.
    assert_eq!(program.functions.len(), 3);
    let callbacks =
        program.instructions.iter().filter(|instruction| instruction[0] == 0x18 && instruction[1] >> 4 == 4);
    assert_eq!(callbacks.count(), 3);
}

#[test]
fn an_object_that_only_libbpf_can_load_says_why() {
    let event = "HIDBPF_INPUT_EVENT(ctx) { return USE; }\nHIDBPF_DRIVER(device_event);\n";
    for (declared, used, why) in [
        (
            "struct { __uint(type, 27); __uint(max_entries, 4096); } a_ring SEC(\".maps\");",
            "bpf_ringbuf_output(&a_ring, ctx, 1, 0)",
            "the map `a_ring` is of the type 27",
        ),
        (
            "struct { __uint(type, 2); __uint(max_entries, 1); __type(key, __u32); __type(value, __u32); \
             __uint(pinning, 1); } pinned SEC(\".maps\"); static __u32 zero;",
            "bpf_map_lookup_elem(&pinned, &zero) ? -1 : 0",
            "the map `pinned` has the member `pinning`",
        ),
        ("extern int CONFIG_HZ __kconfig;", "CONFIG_HZ", "CONFIG_HZ"),
    ] {
        let source = format!("#include <hidbpf/driver.h>\n{declared}\n{}", event.replace("USE", used));
        let (driver, warnings) = compile(&source);
        assert!(
            warnings.len() == 1 && warnings[0].contains("not prelinked") && warnings[0].contains(why),
            "{warnings:?}"
        );
        assert_eq!(driver.prelinked().unwrap_err(), Unusable::Absent);
    }
}

#[test]
fn what_was_made_from_another_object_is_refused() {
    let (one, _) = compile(SOURCE);
    // Same instructions: only a number in a table differs.
    let (other, _) = compile(&SOURCE.replace("7, 8}", "7, 9}"));
    let mut builder = Builder::read(one.bytes()).unwrap();
    let foreign = object::read::elf::ElfFile64::<object::Endianness>::parse(other.bytes()).unwrap();
    let foreign = object::ObjectSection::data(&object::Object::section_by_name(&foreign, SECTION).unwrap()).unwrap();
    for section in &mut builder.sections {
        if section.name.as_slice() == SECTION.as_bytes() {
            section.data = SectionData::Data(foreign.into());
        }
    }
    let mut mixed = Vec::new();
    builder.write(&mut mixed).unwrap();
    let elf = object::read::elf::ElfFile64::<object::Endianness>::parse(&*mixed).unwrap();
    assert_eq!(Prelinked::of_object(&elf, &hidbpf_prelink::source(&elf).unwrap()).unwrap_err(), Unusable::OtherObject);
    // With its fingerprint, the object is valid as a whole, but the mix is still refused.
    let fingerprint: String = one
        .bytes()
        .windows(32)
        .find_map(|text| {
            let text = std::str::from_utf8(text).ok()?;
            text.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| text.to_owned())
        })
        .unwrap();
    let place = mixed.windows(32).position(|text| text == fingerprint.as_bytes()).unwrap();
    mixed[place..place + 32].copy_from_slice(hidbpf::manifest::Fingerprint::UNSET.to_string().as_bytes());
    let path = std::path::Path::new("mixed.bpf.o");
    hidbpf::object::write_fingerprint(path, &mut mixed).unwrap();
    assert_eq!(DriverObject::parse(path, mixed).unwrap().prelinked().unwrap_err(), Unusable::OtherObject);
}

#[test]
fn what_is_truncated_of_another_version_or_out_of_range_is_refused() {
    let (driver, _) = compile(SOURCE);
    let whole = driver.prelinked().unwrap().to_bytes();
    assert!(Prelinked::parse(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(Prelinked::parse(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    let mut newer = whole.clone();
    newer[4] += 1;
    assert_eq!(Prelinked::parse(&newer).unwrap_err(), Unusable::Version { found: hidbpf_prelink::VERSION + 1 });
    assert!(Prelinked::parse(&[&whole[..], b"more"].concat()).is_err());

    // Sets one number too high in each record of each list.
    let refuse = |what: &str, change: &dyn Fn(&mut Parts)| {
        let prelinked = driver.prelinked().unwrap();
        let fixup = *prelinked.program("event_fmod").unwrap();
        let mut parts = Parts {
            functions: fixup.functions.to_vec(),
            relocations: fixup.relocations.to_vec(),
            references: fixup.references.to_vec(),
            length: fixup.instructions.len() as u32,
        };
        change(&mut parts);
        let program = Program {
            functions: &parts.functions,
            relocations: &parts.relocations,
            references: &parts.references,
            ..fixup
        };
        let changed = Prelinked { programs: vec![program], ..prelinked };
        let error = Prelinked::parse(&changed.to_bytes()).err();
        assert!(
            matches!(&error, Some(Unusable::Damaged { reason, .. }) if reason.contains("event_fmod")),
            "{what}: {error:?}"
        );
    };
    refuse("a function's place", &|parts| parts.functions[1].instruction = parts.length.into());
    refuse("a function's type", &|parts| parts.functions[0].ty = 10_000.into());
    refuse("a relocation's place", &|parts| parts.relocations[0].offset = (parts.length * 8).into());
    refuse("a relocation between instructions", &|parts| parts.relocations[0].offset = 4.into());
    refuse("a relocation's type", &|parts| parts.relocations[0].ty = u32::MAX.into());
    refuse("a relocation's text", &|parts| parts.relocations[0].access = 100_000.into());
    refuse("a reference's place", &|parts| parts.references[0].instruction = parts.length.into());
    refuse("a reference to another instruction", &|parts| parts.references[0].instruction = 0.into());
    refuse("a reference's index", &|parts| parts.references[0].index = 100.into());
    let event = *driver.prelinked().unwrap().program("event_fmod").unwrap();
    let position = |kind| event.references.iter().position(|reference| reference.kind() == kind).unwrap();
    let (member, call) = (position(ReferenceKind::Member), position(ReferenceKind::KfuncCall));
    refuse("a member's index", &|parts| parts.references[member].index = (MEMBERS.len() as u32).into());
    refuse("a member in a call", &|parts| parts.references[member].instruction = parts.references[call].instruction);
}

struct Parts {
    functions: Vec<hidbpf_prelink::FunctionInfo>,
    relocations: Vec<hidbpf_prelink::CoreRelocation>,
    references: Vec<hidbpf_prelink::Reference>,
    length: u32,
}
