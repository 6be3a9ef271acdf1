//! Compiles the syscall programs, makes the headers of usages for foreign sources, and tells dependents' build scripts
//! where the headers are (`DEP_HIDBPF_SRC_INCLUDE`).

mod usages;

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::Context;

const SOURCES: [&str; 4] = ["attach", "descriptor", "request", "tap"];

/// Those that are loaded without libbpf as well.
const PRELINKED: [&str; 2] = ["attach", "descriptor"];

const HEADERS: &str = "include";

/// As libbpf-cargo's other users have it: `BPF_CLANG` for BPF alone, `CLANG` for all.
const COMPILER: [&str; 2] = ["BPF_CLANG", "CLANG"];

fn main() {
    if let Err(error) = compile() {
        eprintln!("error: {error:#}");
        std::process::exit(1);
    }
}

fn compile() -> anyhow::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR isn't set")?);
    let out = PathBuf::from(env::var_os("OUT_DIR").context("OUT_DIR isn't set")?);
    let include = root.join(HEADERS);
    println!("cargo::metadata=include={}", include.display());
    println!("cargo::rerun-if-changed={HEADERS}");
    for (name, text) in [("hid_usages.h", usages::numbers()), ("hid_report_usages.h", usages::items())] {
        fs::write(out.join(name), text).with_context(|| format!("failed to write `{name}`"))?;
    }
    SOURCES.iter().try_for_each(|name| compile_one(name, &root, &include, &out))?;
    PRELINKED.iter().try_for_each(|name| prelink(name, &out))
}

fn prelink(name: &str, out: &Path) -> anyhow::Result<()> {
    let object = out.join(format!("{name}.bpf.o"));
    let bytes = fs::read(&object).with_context(|| format!("failed to read `{}`", object.display()))?;
    let prelinked = hidbpf_prelink::link(&bytes).with_context(|| format!("failed to prelink `{name}.bpf.c`"))?;
    fs::write(out.join(format!("{name}.prelinked")), prelinked)
        .with_context(|| format!("failed to write into `{}`", out.display()))
}

fn compile_one(name: &str, root: &Path, include: &Path, out: &Path) -> anyhow::Result<()> {
    let source = format!("{name}.bpf.c");
    println!("cargo::rerun-if-changed={source}");
    let mut builder = libbpf_cargo::SkeletonBuilder::new();
    for name in COMPILER.iter().rev() {
        println!("cargo::rerun-if-env-changed={name}");
        if let Some(clang) = env::var_os(name) {
            builder.clang(PathBuf::from(clang));
        }
    }
    builder
        .source(root.join(&source))
        .obj(out.join(format!("{name}.bpf.o")))
        .clang_args([
            "-mcpu=v3".to_owned(),
            "-Wall".to_owned(),
            "-Wextra".to_owned(),
            format!("-I{}", include.display()),
            // Debug information becomes BTF, which must not name this machine's directories.
            format!("-ffile-prefix-map={}=hid-bpf-src", root.display()),
            "-fdebug-compilation-dir=.".to_owned(),
        ])
        .build()
        .map_err(|error| match error.downcast_ref::<std::io::Error>() {
            Some(_) => error
                .context("failed to run clang (install the package `clang`, 14 or newer, or name one with BPF_CLANG)"),
            None => error,
        })
}
