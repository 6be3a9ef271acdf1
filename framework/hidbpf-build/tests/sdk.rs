//! Tests the SDK's headers: the descriptor macros against the specification's bytes, and the report helpers on this
//! machine.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Folder, INCLUDE};
use object::{Object, ObjectSection, ObjectSymbol};

fn clang(source: &Path, arguments: &[&str]) -> Output {
    let clang = hidbpf_build::ENVIRONMENT.iter().find_map(std::env::var_os).unwrap_or_else(|| "clang".into());
    Command::new(clang)
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE])
        .args(arguments)
        .arg(source)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Items as in a driver's source, and their bytes according to HID 1.11, section 6.2.2.
const ITEMS: &[(&str, &str)] = &[
    // Main items.
    ("Input(Data, Var, Abs)", "81 02"),
    ("Input(Data, Array, Abs)", "81 00"),
    ("Input(Const)", "81 01"),
    ("Input(Const, Var, Abs)", "81 03"),
    ("Input(Data, Var, Rel)", "81 06"),
    ("Input(Data, Var, Abs, Null)", "81 42"),
    ("Input(Var, Wrap, NonLinear, NoPreferred)", "81 3a"),
    ("Input(Data, Array, Abs, NoWrap, Linear, Preferred, NoNull, NonVolatile, BitField)", "81 00"),
    ("Output(Data, Var, Abs, Volatile)", "91 82"),
    ("Feature(Const, Array, Abs)", "b1 01"),
    ("Feature(Data, Var, Abs, NoWrap, Linear, Preferred, NoNull, Volatile)", "b1 82"),
    ("InputBufferedBytes(Data, Var, Abs)", "82 02 01"),
    ("OutputBufferedBytes(Data, Var, Abs)", "92 02 01"),
    ("FeatureBufferedBytes(Data, Var, Abs)", "b2 02 01"),
    ("Collection(Physical, Push())", "a1 00 a4 c0"),
    (
        "Collection(Application, Push(), Collection(Logical, Collection(Report, Pop())))",
        "a1 01 a4 a1 02 a1 03 b4 c0 c0 c0",
    ),
    ("Collection(NamedArray, Push()), Collection(UsageSwitch, Push())", "a1 04 a4 c0 a1 05 a4 c0"),
    ("Collection(UsageModifier, Push()), CollectionVendor(0x80, Push())", "a1 06 a4 c0 a1 80 a4 c0"),
    // Global items.
    ("UsagePage(GenericDesktop), UsagePage(VendorFF00)", "05 01 06 00 ff"),
    ("UsagePage8(0xff), UsagePage16(0xff0d)", "05 ff 06 0d ff"),
    (
        "LogicalMinimum8(-128), LogicalMinimum16(-32768), LogicalMinimum32(-2147483648LL)",
        "15 80 16 00 80 17 00 00 00 80",
    ),
    ("LogicalMaximum8(127), LogicalMaximum16(2047), LogicalMaximum32(53340)", "25 7f 26 ff 07 27 5c d0 00 00"),
    ("LogicalMaximum16(255), LogicalMaximum16(-1)", "26 ff 00 26 ff ff"),
    ("LogicalMaximum32(2147483647)", "27 ff ff ff 7f"),
    ("PhysicalMinimum8(-60), PhysicalMinimum16(-600), PhysicalMinimum32(-100000)", "35 c4 36 a8 fd 37 60 79 fe ff"),
    ("PhysicalMaximum8(60), PhysicalMaximum16(2938), PhysicalMaximum32(100000)", "45 3c 46 7a 0b 47 a0 86 01 00"),
    ("LogicalRange8(-1, 1), LogicalRange8(1, 6)", "15 ff 25 01 15 01 25 06"),
    ("LogicalRange16(0, 32767), LogicalRange32(0, 58760)", "16 00 00 26 ff 7f 17 00 00 00 00 27 88 e5 00 00"),
    ("PhysicalRange8(-60, 60), PhysicalRange16(0, 160)", "35 c4 45 3c 36 00 00 46 a0 00"),
    ("PhysicalRange32(0, 70000)", "37 00 00 00 00 47 70 11 01 00"),
    ("UnitExponent(-1), UnitExponent(0), UnitExponent(7), UnitExponent(-8)", "55 0f 55 00 55 07 55 08"),
    ("Unit(None), Unit(Centimeter), Unit(Inch), Unit(Degrees)", "65 00 65 11 65 13 65 14"),
    ("Unit(Radians), Unit(Second), Unit(Gram), Unit(Hertz)", "65 12 66 01 10 66 01 01 66 01 f0"),
    ("Unit(Newton), Unit(CentimeterPerSecond), Unit(DegreesPerSecond)", "66 11 e1 66 11 f0 66 14 f0"),
    ("Unit(Kelvin), Unit(Ampere), Unit(Volt)", "67 01 00 01 00 67 01 00 10 00 67 21 d1 f0 00"),
    ("Unit8(0x33), Unit16(0xe111), Unit32(0x00f0d121)", "65 33 66 11 e1 67 21 d1 f0 00"),
    ("ReportSize(1), ReportSize(255), ReportCount(0), ReportCount(255)", "75 01 75 ff 95 00 95 ff"),
    ("ReportCount16(256), ReportId(1), ReportId(255), Push(), Pop()", "96 00 01 85 01 85 ff a4 b4"),
    // Local items.
    ("Usage(GenericDesktop, X), Usage(Consumer, ACPan)", "09 30 0a 38 02"),
    ("UsageMinimum(Keyboard, LeftControl), UsageMaximum(Keyboard, RightGui)", "19 e0 29 e7"),
    ("UsageMaximum(Consumer, ACPan)", "2a 38 02"),
    ("Usage8(0x4a), Usage16(0x4a), UsageMinimum8(1), UsageMinimum16(1)", "09 4a 0a 4a 00 19 01 1a 01 00"),
    ("UsageMaximum8(6), UsageMaximum16(0x23c)", "29 06 2a 3c 02"),
    ("UsageOnPage(0x0c, 0x238)", "0b 38 02 0c 00"),
    ("DesignatorIndex(1), DesignatorMinimum(2), DesignatorMaximum(3)", "39 01 49 02 59 03"),
    ("StringIndex(4), StringMinimum(5), StringMaximum(6)", "79 04 89 05 99 06"),
    ("Delimiter(Open), Delimiter(Close)", "a9 01 a9 00"),
    // Common usage names.
    (
        "Usage(GenericDesktop, Mouse), Usage(GenericDesktop, Keypad), Usage(GenericDesktop, HatSwitch)",
        "09 02 09 07 09 39",
    ),
    ("Usage(Digitizers, Pen), Usage(Digitizers, TipSwitch), Usage(Digitizers, InRange)", "09 02 09 42 09 32"),
    ("Usage(Digitizers, BarrelSwitch), Usage(Digitizers, SecondaryBarrelSwitch)", "09 44 09 5a"),
    ("Usage(Digitizers, Invert), Usage(Digitizers, Eraser), Usage(Digitizers, TipPressure)", "09 3c 09 45 09 30"),
    ("Usage(Digitizers, XTilt), Usage(Digitizers, YTilt), Usage(Digitizers, TabletFunctionKeys)", "09 3d 09 3e 09 39"),
    ("Usage(Keyboard, A), Usage(Keyboard, 1), Usage(Keyboard, Enter), Usage(Keyboard, F13)", "09 04 09 1e 09 28 09 68"),
    ("Usage(Consumer, VolumeIncrement), Usage(Consumer, Mute)", "09 e9 09 e2"),
    ("Usage(Led, CapsLock)", "09 02"),
    // Common sequences.
    ("Padding(7)", "75 07 95 01 81 03"),
    ("Buttons(1, 8)", "19 01 29 08"),
    (
        "TabletPadMarks()",
        "05 0d 09 44 15 00 25 01 75 01 95 01 81 02 75 07 95 01 81 03 05 01 09 30 09 31 75 08 95 02 81 02",
    ),
    ("HIDBPF_SILENT_FIELD(12)", "85 ac 75 08 95 0b 81 01"),
];

#[test]
fn every_item_has_the_bytes_of_the_specification() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("items.c");
    let mut text = "#include <hidbpf/descriptor.h>\n".to_owned();
    for (index, (items, _)) in ITEMS.iter().enumerate() {
        text += &format!("const unsigned char item_{index}[] = {{{items}}};\n");
    }
    text += "HIDBPF_SILENT_DESCRIPTOR(silent, 10); const unsigned char *use = silent;\n";
    fs::write(&source, text).unwrap();
    let object = directory.path().join("items.o");
    let output = clang(&source, &["-target", "bpf", "-c", "-o", object.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));

    let data = fs::read(&object).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let bytes = |name: &str| {
        let symbol = file.symbols().find(|symbol| symbol.name() == Ok(name)).unwrap();
        let section = file.section_by_index(symbol.section_index().unwrap()).unwrap().data().unwrap();
        let bytes = &section[symbol.address() as usize..][..symbol.size() as usize];
        bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
    };
    for (index, (items, expected)) in ITEMS.iter().enumerate() {
        assert_eq!(bytes(&format!("item_{index}")), *expected, "{items}");
    }
    assert_eq!(bytes("silent"), "06 ff ff 09 01 a1 01 85 ac 75 08 95 09 81 01 c0");
}

#[test]
fn values_out_of_range_do_not_compile() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("item.c");
    for (item, message) in [
        ("LogicalMaximum8(255)", "not -128 to 127: 255"),
        ("LogicalMinimum8(-129)", "not -128 to 127"),
        ("LogicalMaximum16(53340)", "not -32768 to 32767: 53340"),
        ("PhysicalMaximum32(2147483648LL)", "not of 32 bits"),
        ("LogicalRange8(1, 0)", "the minimum is above the maximum: 1, 0"),
        ("PhysicalRange16(0, 40000)", "not -32768 to 32767"),
        ("UnitExponent(8)", "UnitExponent is -8 to 7"),
        ("ReportSize(0)", "ReportSize is 1 to 255 bits"),
        ("ReportSize(256)", "ReportSize is 1 to 255 bits"),
        ("ReportCount(256)", "not 0 to 255: 256"),
        ("ReportId(0)", "ReportId is 1 to 255"),
        ("ReportId(256)", "ReportId is 1 to 255"),
        ("Usage8(0x238)", "not 0 to 255: 0x238"),
        ("Usage16(0x10000)", "0 to 65535"),
        ("UsagePage8(0xff00)", "not 0 to 255"),
        ("Buttons(8, 1)", "the minimum is above the maximum"),
        ("Padding(0)", "ReportSize is 1 to 255 bits"),
        ("Input(Data, Const)", "both flags of a pair"),
        ("Feature(Abs, Rel)", "both flags of a pair"),
        ("Input(Volatile)", "an Input can't be Volatile"),
        ("Input(Dada, Var)", "HID_FLAG_Dada"),
        ("Usage(GenericDesktop, Pen)", "HID_USAGE_GenericDesktop_Pen"),
        ("Collection(Aplication, Push())", "HID_COLLECTION_Aplication"),
        ("CollectionVendor(0x7f, Push())", "vendor collections are 0x80 to 0xff"),
        ("HIDBPF_SILENT_FIELD(1)", "a silent report has 2 to 256 bytes"),
        ("HIDBPF_SILENT_FIELD(257)", "a silent report has 2 to 256 bytes"),
    ] {
        fs::write(&source, format!("#include <hidbpf/descriptor.h>\nconst unsigned char item[] = {{{item}}};\n"))
            .unwrap();
        let output = clang(&source, &["-fsyntax-only"]);
        assert!(!output.status.success(), "{item}");
        assert!(stderr(&output).contains(message), "{item}: {}", stderr(&output));
    }
}

#[test]
fn usages_have_the_width_of_their_number() {
    let text = fs::read_to_string(Path::new(INCLUDE).join("hidbpf/usages.h")).unwrap();
    let mut names = std::collections::HashSet::new();
    for line in text.lines().filter(|line| line.starts_with("#define HID_")) {
        let Some((head, value)) = line.split_once(", ") else { continue };
        let mut words = head.split(' ').skip(1);
        let (name, width) = (words.next().unwrap(), words.next().unwrap());
        let value = u32::from_str_radix(value.trim_start_matches("0x"), 16).unwrap();
        assert_eq!(width, if value < 0x100 { "8" } else { "16" }, "{line}");
        assert!(names.insert(name), "{line}");
    }
    assert!(names.len() > 500, "{}", names.len());
}

/// Returns a driver with this body in its descriptor hook.
fn descriptor_hook(body: &str) -> Folder {
    let source = format!(
        "#include <hidbpf/driver.h>
HIDBPF_DESCRIPTOR(other, Padding(8), Padding(16), Padding(3));
static const struct hidbpf_byte table[] __attribute__((unused)) = {{{{5, 1, 2}}, {{9, 3, 4}}}};
HIDBPF_RDESC_FIXUP(ctx)
{{
	if (ctx->size == 4000)
		return hidbpf_replace(ctx, other);
	{body}
}}
HIDBPF_DRIVER(rdesc_fixup);
"
    );
    Folder::new("a-driver", &source)
}

#[test]
fn hooks_that_return_a_truth_value_do_not_compile() {
    const MESSAGE: &str = "this one returns a truth value";
    for body in [
        "return 0;",
        "return ctx->size - 1;",
        "return hidbpf_patch_byte(ctx, 79, 2, 1) ? 0 : -EINVAL;",
        "if (hidbpf_patch_byte(ctx, 79, 2, 1)) return 0; return ctx->size == 5 ? -EIO : hidbpf_overwrite(ctx, 5, other);",
        "return hidbpf_append(ctx, 50, other);",
        "__u8 *d = hid_bpf_get_data(ctx, 0, 50); return d && d[3] == 4 ? d[7] : 0;",
        "int r = 0; if (ctx->size > 60) r = -EINVAL; if (ctx->size == 70) r = -EIO; if (ctx->size < 10) r = 12; return r;",
        "__u8 *d = hid_bpf_get_data(ctx, 0, 50); int r = 0; if (!d) return -EIO; \
         switch (d[4]) { case 1: r = -EIO; break; case 2: r = -EINVAL; break; case 9: d[1] = 2; break; } return r;",
        "for (int i = 0; i < 40; i++) { __u8 *d = hid_bpf_get_data(ctx, i, 1); if (d && *d == 9) return i + 2; } return 0;",
    ] {
        let driver = descriptor_hook(body).compile().unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(driver.warnings, Vec::<String>::new(), "{body}");
    }
    for body in [
        "return hidbpf_patch_byte(ctx, 79, 2, 1);",
        "return !hidbpf_patch_byte(ctx, 79, 2, 1);",
        "return ctx->size == 80;",
        "return ctx->size > 80 && hidbpf_patch_input(ctx, 50, 3, 2);",
        "int changed = 0; changed |= hidbpf_patch_byte(ctx, 79, 2, 1); changed |= hidbpf_patch_byte(ctx, 89, 2, 1); return changed;",
        "_Bool changed = 0; __u8 *d = hid_bpf_get_data(ctx, 0, 50); if (d && d[4] == 5) { d[4] = 6; changed = 1; } return changed;",
        "if (ctx->size == 3) return -EIO; return hidbpf_patch_all(ctx, table);",
        "if (ctx->size == 50) return 1; return 0;",
        "return 1;",
    ] {
        // With a size on another path the compiler can't detect this, so this hook has none.
        let folder = descriptor_hook(body);
        let source = fs::read_to_string(folder.path().join("driver.bpf.c")).unwrap();
        folder.write_source(&source.replace("\tif (ctx->size == 4000)\n\t\treturn hidbpf_replace(ctx, other);\n", ""));
        let error = folder.error();
        assert!(error.contains(MESSAGE) && error.contains("driver.bpf.c:"), "{body}: {error}");
    }
    for hook in [
        "HIDBPF_INPUT_REPORT(ctx, report, 4) { return report[2] == 1; } HIDBPF_DRIVER(device_event);",
        "HIDBPF_INPUT_EVENT(ctx) { return hidbpf_report_id(ctx) == 3; } HIDBPF_DRIVER(device_event);",
        "HIDBPF_RDESC_FIXUP(ctx) { return 0; } HIDBPF_PROBE(args) { return args->rdesc_size == 50; } HIDBPF_DRIVER(rdesc_fixup);",
    ] {
        let error = Folder::new("a-driver", &format!("#include <hidbpf/driver.h>\n{hook}\n")).error();
        assert!(error.contains(MESSAGE), "{hook}: {error}");
    }
    // A report of one byte can be intended.
    let short = "#include <hidbpf/driver.h>\nHIDBPF_INPUT_REPORT(ctx, report, 4) { report[0] = 5; return hidbpf_size(1); }\nHIDBPF_DRIVER(device_event);\n";
    assert_eq!(Folder::new("a-driver", short).compile().unwrap().warnings, Vec::<String>::new());
}

#[test]
fn a_const_array_is_as_good_as_another() {
    for body in [
        "return hidbpf_append(ctx, 50, part);",
        "return hidbpf_overwrite(ctx, 5, part);",
        "return hidbpf_replace(ctx, part);",
        "return hidbpf_change(ctx, ctx->size == 50 ? HIDBPF_APPENDED(50, part) : HIDBPF_REPLACED(part));",
    ] {
        for part in ["static const __u8 part[]", "static const unsigned char part[]", "static __u8 part[]"] {
            let source = format!(
                "#include <hidbpf/driver.h>\n{part} = {{Padding(8)}};\nHIDBPF_RDESC_FIXUP(ctx) {{ {body} }}\nHIDBPF_DRIVER(rdesc_fixup);\n"
            );
            let driver = Folder::new("a-driver", &source).compile().unwrap();
            assert_eq!(driver.warnings, Vec::<String>::new(), "{part}: {body}");
        }
    }
}

#[test]
fn helpers_for_reports_hold_at_the_ends_of_their_ranges() {
    let directory = tempfile::tempdir().unwrap();
    let program: PathBuf = directory.path().join("report");
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/host");
    // The kernel's structs are marked for CO-RE, which this machine's code generator doesn't support.
    let arguments = ["-O1", "-Wno-unknown-attributes", "-Wno-ignored-attributes", "-I", host.to_str().unwrap(), "-o"];
    let output = clang(&host.join("report.c"), &[arguments.as_slice(), &[program.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
