//! Match HID devices with HID-BPF drivers, and attach, verify and remove the drivers.
//!
//! A driver is one object file for every kernel since 6.3 ([`object`]), with a manifest that says what it is for
//! ([`manifest`]). The installed drivers make a [`catalog`], of which [`hwdb`] makes what udev looks devices up in. An attach
//! goes through the phases of [`attach`]; [`manager`] is what people and udev ask for. What does not take libbpf is in `hidbpf-core`.
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
pub mod descriptor;
pub mod descriptors;
pub mod doctor;
pub mod install;
pub mod kernel_log;
pub mod libbpf;
pub mod loader;
pub mod local;
pub mod monitor;
pub mod others;
pub mod recorder;
pub mod recording;
pub mod replay;
pub mod request;
mod running;
mod sys;
pub mod tap;
mod udev_files;
mod verifier;
pub mod verify;

pub mod kernel {
    //! What the running kernel offers: the generation of its HID-BPF interface, and what this process may do.

    pub use hidbpf_core::kernel::*;

    pub use crate::running::detect;
}

pub mod manager {
    //! What people and udev ask for.

    /// The same with a loader of choice.
    pub use hidbpf_core::manager::Manager as ManagerWith;
    pub use hidbpf_core::manager::*;

    /// Attaches, takes off, cleans up, tells.
    pub type Manager<'a> = hidbpf_core::manager::Manager<'a, crate::any_loader::AnyLoader>;
}

pub use hidbpf_core::{
    apply, aside, attach, catalog, config, device, error, exports, fast, fields, hwdb, ids, invalid, manifest,
    matching, names, object, ops, options, original, pins, policy, refusal, resolve, setup, state, system, text, tune,
};
