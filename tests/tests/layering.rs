//! The allowed dependencies between crates. docs/architecture.md draws them, and this test enforces them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, NodeDep, PackageId};

/// For each crate, all crates of this workspace that it may depend on.
const ALLOWED: [(&str, &[&str]); 14] = [
    ("hidbpf-descriptor", &[]),
    ("hidbpf-prelink", &[]),
    ("hidbpf-replay", &["hidbpf-descriptor", "hidbpf-prelink"]),
    ("hidbpf-report", &["hidbpf-descriptor"]),
    ("hid-bpf-src", &["hidbpf-prelink"]),
    ("hidbpf-core", &["hid-bpf-src", "hidbpf-descriptor", "hidbpf-prelink"]),
    ("hidbpf-helper", &["hidbpf-core"]),
    ("hidbpf", &["hid-bpf-src", "hidbpf-core", "hidbpf-descriptor", "hidbpf-prelink", "hidbpf-replay"]),
    ("hidbpf-declare", &["hidbpf-core", "hidbpf-descriptor", "hidbpf-prelink"]),
    ("hidbpf-build", &["hid-bpf-src", "hidbpf", "hidbpf-declare", "hidbpf-prelink"]),
    ("hidbpf-cli", &["hid-bpf-src", "hidbpf", "hidbpf-build", "hidbpf-report"]),
    ("hidbpf-drivers", &["hid-bpf-src", "hidbpf-build"]),
    // The development tools must build on a machine without any of the system packages.
    ("hidbpf-lab", &[]),
    ("xtask", &["hidbpf-lab"]),
];

#[test]
fn no_arrow_points_the_other_way() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let members: BTreeSet<String> = metadata.packages.iter().map(|package| package.name.to_string()).collect();
    let uses: BTreeMap<String, BTreeSet<String>> = metadata
        .packages
        .iter()
        .map(|package| {
            let dependencies = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .filter(|name| members.contains(name))
                .collect();
            (package.name.to_string(), dependencies)
        })
        .collect();
    for (name, allowed) in ALLOWED {
        let found = uses.get(name).unwrap_or_else(|| panic!("the workspace has no crate `{name}`"));
        let forbidden: Vec<_> = found.iter().filter(|used| !allowed.contains(&used.as_str())).collect();
        assert!(forbidden.is_empty(), "`{name}` must not depend on {forbidden:?}");
    }
}

/// The crates of the helper, which is started for each device and linked statically.
const SMALL: [&str; 2] = ["hidbpf-core", "hidbpf-helper"];

/// Crates that are too large for that, or exist only as a shared library.
const LARGE: [&str; 6] = ["libbpf-rs", "libbpf-sys", "udev", "libudev-sys", "clap", "tracing-subscriber"];

#[test]
fn what_must_be_small_has_nothing_large_in_it() {
    let metadata = MetadataCommand::new().exec().unwrap();
    for small in SMALL {
        let names = linked(&metadata, small);
        assert!(names.contains("rustix"), "{names:?}");
        let large: Vec<_> = LARGE.iter().filter(|large| names.contains(*large)).collect();
        assert!(large.is_empty(), "`{small}` must not depend on {large:?}");
    }
}

/// The crates that other programs can use alone.
const ALONE: [&str; 2] = ["hidbpf-descriptor", "hidbpf-replay"];

/// Crates that reach for devices or the kernel.
const REACHING: [&str; 9] =
    ["libbpf-rs", "libbpf-sys", "udev", "libudev-sys", "evdev", "libc", "nix", "rustix", "hidbpf-core"];

#[test]
fn what_is_of_use_alone_needs_no_device_and_no_kernel() {
    let metadata = MetadataCommand::new().exec().unwrap();
    for alone in ALONE {
        let names = linked(&metadata, alone);
        assert!(names.contains("thiserror"), "{names:?}");
        let reaching: Vec<_> = REACHING.iter().filter(|reaching| names.contains(*reaching)).collect();
        assert!(reaching.is_empty(), "`{alone}` must not depend on {reaching:?}");
    }
}

/// Returns the names of all crates that are linked with one of this workspace.
fn linked<'a>(metadata: &'a Metadata, name: &str) -> BTreeSet<&'a str> {
    let graph = metadata.resolve.as_ref().expect("the dependencies are resolved");
    let node = |id: &PackageId| graph.nodes.iter().find(|node| node.id == *id).expect("each crate has a node");
    let root = metadata.packages.iter().find(|package| package.name.as_str() == name);
    let (mut seen, mut next) = (BTreeSet::new(), vec![&root.expect("the workspace has the crate").id]);
    while let Some(id) = next.pop() {
        if seen.insert(id) {
            let is_linked =
                |dependency: &&NodeDep| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
            next.extend(node(id).deps.iter().filter(is_linked).map(|dependency| &dependency.pkg));
        }
    }
    let name = |id: &&PackageId| metadata.packages.iter().find(|package| package.id == **id).map(|it| it.name.as_str());
    seen.iter().filter_map(name).collect()
}

#[test]
fn unsafe_code_is_in_the_modules_named_sys() {
    let metadata = MetadataCommand::new().no_deps().exec().unwrap();
    let mut sources = Vec::new();
    for package in &metadata.packages {
        let dir = package.manifest_path.parent().unwrap();
        collect(dir.join("src").as_std_path(), &mut sources);
    }
    assert!(sources.len() > 20, "{sources:?}");
    for source in sources {
        let text = std::fs::read_to_string(&source).unwrap();
        let is_sys = source.file_name().is_some_and(|name| name == "sys.rs");
        assert!(is_sys || !text.contains("allow(unsafe_code"), "{} allows unsafe code", source.display());
    }
}

fn collect(dir: &std::path::Path, sources: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("the folder can be listed") {
        let path = entry.expect("its entries can be read").path();
        if path.is_dir() {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
}
