//! The pages of docs/devices match the manifests. Each driver has one page, and there are no others.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use common::{check, with_drivers};

fn pages(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let read = |path: &Path| fs::read_to_string(path).expect("a page can be read");
    let entries = entries.map(|entry| entry.expect("an entry can be read"));
    entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), read(&entry.path()))).collect()
}

#[test]
fn the_pages_are_what_the_manifests_say() {
    let fresh = tempfile::tempdir().expect("a temporary directory can be made");
    let folder = fresh.path().to_str().expect("the path is text");
    check(&with_drivers(&["pages", folder, "--sources", "../../drivers"]), 0, &[]);
    let kept = pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/devices"));
    let wanted = pages(fresh.path());
    assert!(wanted.len() > 1, "{wanted:?}");
    let other: BTreeSet<&String> =
        kept.keys().chain(wanted.keys()).filter(|name| kept.get(*name) != wanted.get(*name)).collect();
    assert!(other.is_empty(), "docs/devices differs from the manifests in {other:?}: run `cargo xtask docs`");
}

#[test]
fn what_would_end_a_cell_of_a_table_does_not() {
    for (name, page) in pages(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/devices")) {
        let mut columns = None;
        for line in page.lines() {
            if !line.starts_with('|') {
                columns = None;
                continue;
            }
            let bars = line.replace("\\|", "").matches('|').count();
            assert_eq!(*columns.get_or_insert(bars), bars, "{name}: {line}");
        }
    }
}
