//! Passes the layout and page size to the linker.

use std::path::Path;

fn main() {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("layout.ld");
    println!("cargo:rerun-if-changed={}", layout.display());
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", layout.display());
    // Since Linux 6.10 the kernel aligns the program to this size. So the code that layout.ld groups occupies no more
    // of the 64 KiB blocks that the kernel reads at a time than necessary.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,max-page-size=0x10000");
    println!("cargo:rerun-if-changed={PROBE}");
    if knows_packed_relocations() {
        // Packs the relocations that a position-independent program applies at its start. They take a hundredth of the
        // space, and of pages to read.
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// A C file that asks the C library for its version.
const PROBE: &str = "libc.h";

/// Returns whether static programs of this C library support packed relocations (DT_RELR). glibc does since 2.36.
/// Otherwise the program crashes.
fn knows_packed_relocations() -> bool {
    let Ok(text) = cc::Build::new().file(PROBE).cargo_metadata(false).try_expand() else { return false };
    String::from_utf8_lossy(&text).contains("it unpacks relocations")
}
