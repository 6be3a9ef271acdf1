//! Tells the linker where to put what.

use std::path::Path;

fn main() {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("layout.ld");
    println!("cargo:rerun-if-changed={}", layout.display());
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", layout.display());
    // Since Linux 6.10 the program then begins at a multiple of this, and what layout.ld puts together is not one piece more than it takes.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,max-page-size=0x10000");
    println!("cargo:rerun-if-changed={PROBE}");
    if knows_packed_relocations() {
        // What a program that lies anywhere corrects in itself at its start: a hundredth of the size, and of pages to read.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Asks the C library for its version.
const PROBE: &str = "libc.h";

/// Whether a static program of this C library unpacks its relocations (DT_RELR): glibc does since 2.36, and without it the program crashes.
fn knows_packed_relocations() -> bool {
    let Ok(text) = cc::Build::new().file(PROBE).cargo_metadata(false).try_expand() else { return false };
    String::from_utf8_lossy(&text).contains("it unpacks relocations")
}
