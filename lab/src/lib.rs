//! Virtual machines: fetches Debian's kernels, packs a root directory, boots it in QEMU, and follows the test program in it to its end.
//!
//! Knows nothing of what is tested. `xtask` builds that, and says which program a machine runs.

pub mod accelerator;
pub mod apt;
pub mod architecture;
mod console;
pub mod fault;
pub mod initramfs;
pub mod kernels;
pub mod lanes;
pub mod modules;
pub mod paths;
pub mod process;
#[path = "../../tests/src/protocol.rs"]
pub mod protocol;
pub mod qemu;
pub mod report;
pub mod screen;
pub mod transcript;
pub mod wanted;
