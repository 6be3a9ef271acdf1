//! Tells the linker where to put what.

use std::path::Path;

fn main() {
    let layout = Path::new(env!("CARGO_MANIFEST_DIR")).join("layout.ld");
    println!("cargo:rerun-if-changed={}", layout.display());
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", layout.display());
    // Since Linux 6.10 the program then begins at a multiple of this, and what layout.ld puts together is not one piece more than it takes.
    println!("cargo:rustc-link-arg-bins=-Wl,-z,max-page-size=0x10000");
}
