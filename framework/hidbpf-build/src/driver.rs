//! A driver that was built.

use std::path::PathBuf;

use hidbpf::names::DriverName;

/// A compiled driver.
#[derive(Clone, Debug)]
pub struct Driver {
    /// The driver's name, which is its folder's.
    pub name: DriverName,
    /// The object, `<name>.bpf.o`.
    pub object: PathBuf,
    /// The input files. If one changes, the object is out of date.
    pub inputs: Vec<PathBuf>,
    /// clang's warnings, and the reason if the driver isn't prelinked. One line each.
    pub warnings: Vec<String>,
}
