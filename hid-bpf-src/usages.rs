//! Makes the C headers with the names of usages, from the HID Usage Tables in the crate `hut`.
//!
//! The names are those of udev-hid-bpf and of the kernel tree: the tables' names without spaces and punctuation, after an
//! abbreviation of the page.

use std::fmt::Write;

use hut::{Usage, UsagePage};

/// The first page that belongs to vendors. They have no common names.
const FIRST_VENDOR_PAGE: u16 = 0xff00;

/// A usage whose name in the crate differs from the one in the tables.
const MISSPELT: (&str, &str) = ("Rechargable", "Rechargeable");

const TOP: &str = "/* SPDX-License-Identifier: GPL-2.0-only */\n/*\n";

/// Returns hid_report_usages.h, with the items of a report descriptor.
pub fn items() -> String {
    let about = " * Items with usage pages and usages, by the names of the HID Usage Tables 1.5, for hid_report_helpers.h.\n */\n";
    let mut text = format!("{TOP}{about}#ifndef __HID_REPORT_USAGES_H\n#define __HID_REPORT_USAGES_H\n\n");
    for page in pages() {
        // Writing to a string can't fail.
        let _ = writeln!(text, "#define UsagePage_{} UsagePage_{}({:#x})", page.name, width(page.number), page.number);
        for usage in &page.usages {
            let _ = writeln!(
                text,
                "#define Usage_{}_{} Usage_{}({:#x})",
                page.short,
                usage.name,
                width(usage.id),
                usage.id
            );
        }
        text.push('\n');
    }
    text + "#endif\n"
}

/// Returns hid_usages.h, with the numbers.
pub fn numbers() -> String {
    let about = " * The numbers of usage pages and usages, by the names of the HID Usage Tables 1.5, for programs that read the parsed\n * descriptor of hid_report_descriptor_helpers.h.\n */\n";
    let mut text = format!("{TOP}{about}#ifndef __HID_USAGES_H\n#define __HID_USAGES_H\n\n");
    for page in pages() {
        let _ = writeln!(text, "#define HidUsagePage_{} {:#04x}", page.name, page.number);
        for usage in &page.usages {
            let _ = writeln!(text, "#define HidUsage_{}_{} {:#04x}", page.short, usage.name, usage.id);
        }
        text.push('\n');
    }
    text + "#endif\n"
}

/// Returns the suffix of an item's macro: the width of its data. 0xff has 16 bits in the kernel tree.
fn width(value: u16) -> &'static str {
    if value < 0xff { "i8" } else { "i16" }
}

struct Page {
    number: u16,
    name: String,
    short: String,
    usages: Vec<Named>,
}

struct Named {
    id: u16,
    name: String,
}

fn pages() -> impl Iterator<Item = Page> {
    (1..FIRST_VENDOR_PAGE).filter_map(|number| {
        let page = UsagePage::from_usage_page_value(number).ok()?;
        let name = simple(&format!("{page:?}"))?;
        Some(Page { number, short: short(&name), usages: usages(number), name })
    })
}

/// Returns a page's usages. Some pages only have numbered ones, such as Button.
fn usages(page: u16) -> Vec<Named> {
    let named = |id| {
        let usage = format!("{:?}", Usage::new_from_page_and_id(page, id).ok()?);
        let name = usage.split_once('(')?.1.strip_suffix(')')?;
        Some(Named { id, name: simple(name)? })
    };
    (1..=u16::MAX).filter_map(named).collect()
}

/// Returns the name if it is one word. Reserved and numbered pages and usages have a number in brackets after it.
fn simple(name: &str) -> Option<String> {
    name.chars().all(|c| c.is_alphanumeric() || c == '_').then(|| name.replace(MISSPELT.0, MISSPELT.1))
}

/// Returns the abbreviation of a page's name: its capitals, or the first three letters if it has only one.
fn short(page: &str) -> String {
    let capitals: String = page.chars().filter(char::is_ascii_uppercase).collect();
    if capitals.len() > 1 { capitals } else { page.chars().take(3).collect() }
}
