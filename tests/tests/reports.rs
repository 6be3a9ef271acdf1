//! Users' reports about devices whose descriptor the kernel refuses, in `../shared/reports`.
//!
//! `new`, `build`, `replay` and `inspect` accept each, with one test for each file. Without that folder the tests are reported as skipped.

mod common;

use std::path::Path;
use std::process::{ExitCode, Output};

use libtest_mimic::{Arguments, Failed, Trial};

use common::{hidbpf, stderr, stdout};

/// The files, each with the size of the descriptor, and the place where the kernel stops, if it does.
const FILES: &[(&str, usize, Option<&str>)] = &[
    (
        "ecoflow-river3plus.hid",
        376,
        Some("at byte 376: 3 collections are not ended, which begin at bytes 4, 35 and 268"),
    ),
    (
        "xbox-one-s-02fd-truncated-306.hid",
        306,
        Some("at byte 306: 2 collections are not ended, which begin at bytes 4 and 231"),
    ),
    (
        "xbox-one-s-02fd-truncated-307.rdesc-debugfs.txt",
        307,
        Some("at byte 307: 2 collections are not ended, which begin at bytes 4 and 231"),
    ),
    // The complete descriptor, as the same pad sends it when nothing is cut off.
    ("xbox-one-s-02fd-334.hid", 334, None),
    ("zenbook-duo-cut.hhd.txt", 9, None),
    ("honor-ftsc1000-vendor-collection.txt", 18, None),
    ("honor-tops0102-collections.txt", 38, None),
    ("xm2w-4k.fragment.txt", 16, None),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/reports");
    let trials = FILES.iter().map(|&(name, size, fault)| match folder.join(name) {
        path if path.is_file() => Trial::test(name, move || is_taken(&path, size, fault)),
        _ => {
            eprintln!("skipped: {name}: it is not in ../shared/reports");
            Trial::test(name, || Ok(())).with_ignored_flag(true)
        }
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn run(folder: &Path, arguments: &[&str]) -> Result<Output, Failed> {
    let output = hidbpf().current_dir(folder).args(arguments).output()?;
    if stderr(&output).contains("panicked") { Err(stderr(&output).into()) } else { Ok(output) }
}

fn expect(output: &Output, code: i32, words: &[&str]) -> Result<(), Failed> {
    let said = stdout(output) + &stderr(output);
    match words.iter().find(|word| !said.contains(**word)) {
        _ if output.status.code() != Some(code) => Err(format!("{}, expected {code}: {said}", output.status).into()),
        Some(word) => Err(format!("expected `{word}` in: {said}").into()),
        None => Ok(()),
    }
}

fn is_taken(path: &Path, size: usize, fault: Option<&str>) -> Result<(), Failed> {
    let scratch = tempfile::tempdir()?;
    let path = path.to_str().ok_or("the path is not text")?;
    let (code, size) = (i32::from(fault.is_some()), format!("{size} bytes"));
    let words: Vec<&str> = fault.into_iter().collect();
    expect(&run(scratch.path(), &["inspect", path])?, code, &[&words[..], &[&size]].concat())?;
    expect(&run(scratch.path(), &["new", "d", "--from", path, "--ids", "0003:1209:0001"])?, 0, &[])?;
    // The new driver changes nothing, which is not enough for a refused descriptor.
    expect(&run(scratch.path(), &["build", "d"])?, code, &[&words[..], &["as expected"]].concat())?;
    expect(&run(scratch.path(), &["replay", "./d/build/d.bpf.o", path])?, 0, &["R: "])
}
