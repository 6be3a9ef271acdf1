//! Objects for the tests and the benchmark, compiled from `tests/objects` with clang like the drivers.

use std::path::Path;
use std::process::Command;

/// A mouse: buttons, X, Y and wheel, 4 bytes without an ID, and a feature report of 2 bytes.
#[allow(dead_code, reason = "not all that share this use it")]
pub const MOUSE: &[u8] = &[
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x05, 0x09, 0x19, 0x01, 0x29, 0x08, 0x15, 0x00, 0x25, 0x01, 0x95, 0x08, 0x75,
    0x01, 0x81, 0x02, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x03,
    0x81, 0x06, 0x09, 0x48, 0x95, 0x02, 0xb1, 0x02, 0xc0,
];

/// Compiles `tests/objects/<name>.bpf.c` for an instruction set version, and returns the object's bytes.
pub fn compile(name: &str, cpu: &str) -> Vec<u8> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let object = directory.path().join("object.o");
    let status = Command::new("clang")
        .args(["-target", "bpf", "-g", "-O2", "-Wall", "-Werror", "-Wno-unused", "-c"])
        .args([format!("-mcpu={cpu}"), format!("-DCPU={}", cpu.trim_start_matches('v'))])
        .arg(sources.join(format!("{name}.bpf.c")))
        .arg("-o")
        .arg(&object)
        .status()
        .expect("clang is there, which these tests need");
    assert!(status.success(), "clang did not compile `{name}.bpf.c`: {status}");
    std::fs::read(&object).expect("clang wrote an object")
}
