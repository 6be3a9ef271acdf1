//! Writes a driver as one self-contained source in the kernel tree's form, for those who want to send a fix upstream.
//!
//! The source has the driver's C code with the parts of the SDK that it uses, a match table, and a probe made from the
//! manifest's match rules. [`crate::compile_foreign`] compiles it.

mod definitions;
mod rules;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use hidbpf::manifest::Manifest;

use crate::error::BuildError;
use crate::folder::{MANIFEST_FILE, SOURCE_FILE};
use definitions::{Definition, Kind};

/// SDK headers that no exported source uses: the kernel tree has its own for the first two, and the others are for
/// drivers that can't be exported.
const UNUSED: [&str; 10] = [
    "hidbpf/kernel.h",
    "hidbpf/ids.h",
    "hidbpf/option.h",
    "hidbpf/field.h",
    "hidbpf/fields.h",
    "hidbpf/map.h",
    "hidbpf/setup.h",
    "hidbpf/shared.h",
    "hidbpf/values.h",
    "hidbpf/work.h",
];

/// Macros of the SDK that a driver can't be exported with, and the reason.
const REFUSED: [(&str, &str); 16] = [
    ("HIDBPF_INJECTING_EVENT", "it sends further reports"),
    ("hidbpf_rule", "it asks which match rule chose it"),
    ("HIDBPF_SETUP", "it has a setup"),
    ("HIDBPF_PROBE", "it has a probe of its own"),
    ("HIDBPF_FIELD", "it finds fields by usage"),
    ("HIDBPF_FIELDS", "it finds fields by usage"),
    ("HIDBPF_SHARED", "it shares state between interfaces"),
    ("HIDBPF_ARRAY", "it has a map"),
    ("HIDBPF_HASH", "it has a map"),
    ("HIDBPF_EXPORT", "it exports udev properties"),
    ("HIDBPF_WORK", "it has work that runs later"),
    ("HIDBPF_HW_REQUEST", "it has a request hook"),
    ("HIDBPF_HW_OUTPUT_REPORT", "it has an output hook"),
    ("HIDBPF_RDESC_FIXUP_SLEEPABLE", "its descriptor hook sleeps"),
    ("HIDBPF_OPTION", "it has options"),
    ("HIDBPF_DRIVER_WITHOUT_HOOKS", "it has no hooks"),
];

/// The SDK's macros for hooks, by means of the kernel tree's. Each makes a function, which the programs at the end of the
/// source call.
const HOOKS: &str = include_str!("hooks.h");

/// The programs, each with the macro that makes the function which it calls.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "HIDBPF_RDESC_FIXUP",
        "SEC(HID_BPF_RDESC_FIXUP)
int BPF_PROG(hid_fix_descriptor, struct hid_bpf_ctx *hctx)
{
	return fix_descriptor(hctx);
}
",
    ),
    (
        "HIDBPF_INPUT_REPORT",
        "SEC(HID_BPF_DEVICE_EVENT)
int BPF_PROG(hid_fix_event, struct hid_bpf_ctx *hctx, enum hid_report_type type)
{
	__u8 *report;

	if (type != HID_INPUT_REPORT || hctx->size < hid_fix_size)
		return 0;
	report = hid_bpf_get_data(hctx, 0, hid_fix_size);
	return report ? fix_report(hctx, report) : 0;
}
",
    ),
    (
        "HIDBPF_INPUT_EVENT",
        "SEC(HID_BPF_DEVICE_EVENT)
int BPF_PROG(hid_fix_event, struct hid_bpf_ctx *hctx, enum hid_report_type type)
{
	return type == HID_INPUT_REPORT ? fix_input(hctx) : 0;
}
",
    ),
    (
        "HIDBPF_DEVICE_EVENT",
        "SEC(HID_BPF_DEVICE_EVENT)
int BPF_PROG(hid_fix_event, struct hid_bpf_ctx *hctx, enum hid_report_type type)
{
	return fix_event(hctx, type);
}
",
    ),
];

/// Returns a driver as a source in the kernel tree's form.
///
/// # Errors
/// The folder has no valid manifest or no source, or the driver can't be exported: [`BuildError::NotExported`].
pub fn export(folder: &Path) -> Result<String, BuildError> {
    let manifest = Manifest::read(&folder.join(MANIFEST_FILE))?;
    let path = folder.join(SOURCE_FILE);
    let text = match crate::is_declared(folder) {
        true => crate::declared_source(folder)?,
        false => fs::read_to_string(&path).map_err(|source| BuildError::io("read", &path, source))?,
    };
    // Only the hash of a descriptor needs the recordings.
    let descriptors = match manifest.matches.iter().any(|rule| rule.rdesc_sha256.is_some()) {
        true => crate::declared::descriptors(folder)?,
        false => Vec::new(),
    };
    of(&manifest, &text, &descriptors).map_err(|why| BuildError::NotExported { folder: folder.to_owned(), why })
}

fn of(manifest: &Manifest, text: &str, descriptors: &[Vec<u8>]) -> Result<String, String> {
    let (text, made) = with_functions(text);
    let driver = definitions::parse(&text);
    for (name, why) in REFUSED {
        if driver.iter().any(|item| item.words.iter().any(|word| word == name || word.starts_with(&format!("{name}_"))))
        {
            return Err(why.to_owned());
        }
    }
    if manifest.mode_switch.is_some() {
        return Err("it has a mode switch".to_owned());
    }
    let devices = rules::devices(manifest)?;
    let probe = rules::probe(manifest, descriptors)?;
    let used = used(&driver)?;

    let mut source = String::from("// SPDX-License-Identifier: GPL-2.0-only\n/*\n");
    // Writing to a string can't fail.
    let _ = writeln!(source, " * {}\n *", manifest.device);
    for (label, text) in [("Before", &manifest.before), ("After", &manifest.after)] {
        wrapped(&mut source, &format!("{label}: {text}"));
    }
    if !manifest.keymap.is_empty() {
        let _ = writeln!(source, " *\n * udev's hwdb needs these lines for its input devices:");
        manifest.keymap.hwdb_lines().lines().for_each(|line| _ = writeln!(source, " * {line}"));
    }
    source += " */\n\n#include \"vmlinux.h\"\n#include \"hid_bpf.h\"\n#include \"hid_bpf_helpers.h\"\n#include <bpf/bpf_tracing.h>\n\n";
    source += &devices;
    let own = driver.iter().filter(|item| ![Kind::Include, Kind::Last].contains(&item.kind));
    for (item, text) in
        used.iter().map(|item| (item, Ok(item.text.clone()))).chain(own.map(|item| (item, with_ids(item))))
    {
        let gap = if item.is_apart || item.kind != Kind::Macro { "\n" } else { "" };
        let _ = write!(source, "{gap}{}", text?);
    }
    let mut hooks = String::new();
    for (maker, program) in PROGRAMS {
        if made.contains(&maker) || used.iter().any(|item| item.names.iter().any(|name| name == maker)) {
            let _ = write!(source, "\n{program}");
            hooks += match maker {
                "HIDBPF_RDESC_FIXUP" => "\t.hid_rdesc_fixup = (void *)hid_fix_descriptor,\n",
                _ => "\t.hid_device_event = (void *)hid_fix_event,\n",
            };
        }
    }
    let _ = write!(
        source,
        "\nHID_BPF_OPS(hid_fix) = {{\n{}}};\n\n{probe}\nchar _license[] SEC(\"license\") = \"GPL\";\n",
        hooks
    );
    Ok(source)
}

/// Returns a driver's text with functions in place of the SDK's macros for hooks, and the names of these macros.
fn with_functions(text: &str) -> (String, Vec<&str>) {
    let mut made = Vec::new();
    let mut replaced = String::new();
    for line in text.lines() {
        let call = line.strip_suffix(')').and_then(|line| line.split_once('('));
        let arguments = call.map_or_else(Vec::new, |(_, arguments)| arguments.splitn(3, ", ").collect());
        let function = match (call.map_or("", |(name, _)| name), arguments.as_slice()) {
            ("HIDBPF_RDESC_FIXUP", [ctx]) => format!("fix_descriptor(struct hid_bpf_ctx *{ctx})"),
            ("HIDBPF_INPUT_EVENT", [ctx]) => format!("fix_input(struct hid_bpf_ctx *{ctx})"),
            ("HIDBPF_DEVICE_EVENT", [ctx, kind]) => {
                format!("fix_event(struct hid_bpf_ctx *{ctx}, enum hid_report_type {kind})")
            }
            ("HIDBPF_INPUT_REPORT", [ctx, report, size]) => {
                replaced += &format!("enum {{ hid_fix_size = {size} }};\n\n");
                format!("fix_report(struct hid_bpf_ctx *{ctx}, __u8 *{report})")
            }
            _ => {
                replaced += &format!("{line}\n");
                continue;
            }
        };
        made.extend(call.map(|(name, _)| name));
        replaced += &format!("static __always_inline int {function}\n");
    }
    (replaced, made)
}

/// Returns a definition with the device's ids from the hook's context. The SDK passes them in a variable.
fn with_ids(item: &Definition) -> Result<String, String> {
    if !item.words.iter().any(|word| word == "hidbpf_ids") {
        return Ok(item.text.clone());
    }
    if !item.words.iter().any(|word| word == "ctx") {
        return Err("a function without a context reads the device's ids".to_owned());
    }
    Ok(item.text.replace("hidbpf_ids.", "ctx->hid->").replace("ctx->hid->hid", "ctx->hid->id"))
}

/// Returns the parts of the SDK that a driver uses, in the SDK's order.
fn used(driver: &[Definition]) -> Result<Vec<Definition>, String> {
    let mut sdk = definitions::parse(HOOKS);
    let own: Vec<String> = sdk.iter().flat_map(|item| item.names.clone()).collect();
    for header in in_order() {
        let text = hid_bpf_src::HEADERS.iter().find(|(name, _)| *name == header).map_or("", |(_, text)| text);
        let items = definitions::parse(text).into_iter();
        sdk.extend(
            items.filter(|item| item.kind != Kind::Include && !item.names.iter().any(|name| own.contains(name))),
        );
    }
    Ok(definitions::closure(driver, &sdk))
}

/// Returns the names of the SDK's headers, each after those that it includes.
fn in_order() -> Vec<&'static str> {
    fn visit(name: &str, order: &mut Vec<&'static str>) {
        let Some((name, text)) = hid_bpf_src::HEADERS.iter().find(|(known, _)| *known == name) else { return };
        if order.contains(name) || UNUSED.contains(name) {
            return;
        }
        let includes = text.lines().filter_map(|line| line.strip_prefix("#include <")?.strip_suffix('>'));
        includes.for_each(|include| visit(include, order));
        if !order.contains(name) {
            order.push(name);
        }
    }
    let mut order = Vec::new();
    hid_bpf_src::HEADERS.iter().for_each(|(name, _)| visit(name, &mut order));
    order
}

/// Adds lines of a comment.
fn wrapped(source: &mut String, text: &str) {
    const WIDTH: usize = 76;
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
            let _ = writeln!(source, " * {line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(source, " * {line}");
}
