//! The catalogue of compiled drivers. It has one object per folder of this crate that has a `driver.toml`.
//!
//! No program links a driver: objects are data. Tests and packaging take them from [`objects_dir`].

use std::path::Path;

/// Returns the directory with the objects, `<name>.bpf.o`.
pub fn objects_dir() -> &'static Path {
    Path::new(concat!(env!("OUT_DIR"), "/objects"))
}
