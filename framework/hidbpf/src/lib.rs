//! Matches HID devices with HID-BPF drivers, and attaches, verifies and detaches the drivers.
//!
//! A driver is one object file for every kernel since 6.3 ([`object`]). Its manifest says which devices it is for
//! ([`manifest`]). The installed drivers make a [`catalog`]. [`hwdb`] turns the catalog into the file that udev looks
//! devices up in. [`attach`] runs the attach sequence, and [`manager`] serves the requests of users and udev.
//! Everything that doesn't need libbpf is in `hidbpf-core`.
//!
//! ```no_run
//! use hidbpf::{catalog::Catalog, manager::Manager, system::System};
//!
//! # fn main() -> hidbpf::error::Result<()> {
//! let system = System::default();
//! let catalog = Catalog::read(&system);
//! let driver = catalog.get("hp-elite-presenter")?;
//! let manager = Manager::new(&system);
//! for device in manager.devices_for(driver)? {
//!     manager.load(driver, &device.name, false)?;
//! }
//! # Ok(())
//! # }
//! ```

pub mod any_loader;
mod compiled;
pub mod descriptors;
pub mod doctor;
mod etc;
pub mod fixup;
pub mod install;
pub mod kernel_log;
pub mod libbpf;
pub mod loader;
pub mod local_hwdb;
pub mod monitor;
pub mod other_programs;
pub mod recorder;
pub mod recording;
pub mod replay;
pub mod request;
mod sys;
pub mod takeover;
pub mod tap;
mod udev_files;
mod verifier;
pub mod verify;

pub mod kernel {
    //! The running kernel's features: the generation of its HID-BPF interface, and this process's permissions.

    pub use hidbpf_core::kernel::*;

    pub use hidbpf_core::kernel::running::detect;
}

pub mod manager {
    //! The requests of users and udev.

    /// The manager with a loader of the caller's choice.
    pub use hidbpf_core::manager::Manager as ManagerWith;
    pub use hidbpf_core::manager::*;

    /// Attaches drivers, detaches them, cleans up after devices and reports the state.
    pub type Manager<'a> = hidbpf_core::manager::Manager<'a, crate::any_loader::AnyLoader>;
}

use hidbpf_core::kernel::running;
pub use hidbpf_descriptor as descriptor;

pub use hidbpf_core::attach::{self, original, pins, setup};
pub use hidbpf_core::config::{self, resolve};
pub use hidbpf_core::device::{self, exclusion};
pub use hidbpf_core::driver::{catalog, foreign, matching, object};
pub use hidbpf_core::kernel::refusal;
pub use hidbpf_core::load::{fast, ops};
pub use hidbpf_core::manager::{apply, set_options};
pub use hidbpf_core::manifest::{self, curve, exports, fields, keymap, machine, maps, options, order};
pub use hidbpf_core::state::{self, effect};
pub use hidbpf_core::{error, files, hwdb, ids, mode_switch, names, policy, system, text};
