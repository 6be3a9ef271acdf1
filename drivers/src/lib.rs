//! The catalogue of drivers, compiled. There is one object per folder of this crate that has a `driver.toml`.
//!
//! Nothing of a driver is linked into any program: objects are data. Tests and packaging take them from [`objects_dir`].

use std::path::Path;

/// The directory with the objects, `<name>.bpf.o`.
pub fn objects_dir() -> &'static Path {
    Path::new(concat!(env!("OUT_DIR"), "/objects"))
}
