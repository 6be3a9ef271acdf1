//! The SDK's headers and its page agree with the table of hooks.

use hid_bpf_src::HEADERS;
use hidbpf_prelink::hook::{HOOKS, Row};
use hidbpf_prelink::section::{SectionRole, of_hook, section_role};

/// The page that describes the SDK.
const PAGE: &str = include_str!("../../docs/sdk.md");

fn header(name: &str) -> &'static str {
    HEADERS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text).expect("there is such a header")
}

/// Returns the names of the sections in a header: the texts that begin as programs that are loaded on request do. Some
/// are arguments of macros.
fn sections(text: &str) -> Vec<&str> {
    let texts = text.match_indices("\"?").map(|(quote, _)| &text[quote + 1..]);
    texts.filter_map(|rest| Some(rest.split_once('"')?.0)).collect()
}

/// Returns the number of parameters of a member of the SDK's `struct hid_bpf_ops`.
fn parameters(row: &Row) -> Option<usize> {
    let (_, rest) = header("hidbpf/kernel.h").split_once(&format!("(*{})(", row.member))?;
    Some(rest.split_once(");")?.0.split(',').count())
}

#[test]
fn each_hook_has_its_macros_and_its_member() {
    let driver = header("hidbpf/driver.h");
    for row in HOOKS {
        for section in of_hook(row.hook) {
            assert!(sections(driver).contains(&section.as_str()), "driver.h has no programs in `{section}`");
        }
        let listed = format!("#define HIDBPF__HOOK_{} .{} = ", row.name, row.member);
        assert!(driver.contains(&listed), "driver.h has no `{listed}`");
        assert_eq!(parameters(&row), Some(row.arguments.len()), "the parameters of `{}`", row.member);
        assert!(PAGE.contains(&format!("`{}`", row.name)), "docs/sdk.md has no `{}`", row.name);
    }
    let most = format!("HIDBPF__HOOKS(__VA_ARGS__{} )", ", ".repeat(HOOKS.len()).trim_end());
    assert!(driver.contains(&most), "HIDBPF_DRIVER() of driver.h takes another number of hooks than {}", HOOKS.len());
}

#[test]
fn each_section_of_the_headers_is_in_the_table() {
    let mut programs = 0;
    for (name, text) in HEADERS {
        for section in sections(text).into_iter().filter(|section| section.contains('/')) {
            let role = section_role(section);
            let is_known =
                matches!(role, Some(SectionRole::Program(_, hook)) if of_hook(hook).contains(&section.to_owned()));
            assert!(is_known, "{name} has programs in `{section}`");
            programs += 1;
        }
    }
    assert!(programs >= HOOKS.len(), "only {programs} sections were found");
}
