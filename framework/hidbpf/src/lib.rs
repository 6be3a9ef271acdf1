//! Match HID devices with HID-BPF drivers, and attach, verify and remove the drivers.
//!
//! A driver is one object file for every kernel since 6.3 ([`object`]), with a manifest that says what it is for
//! ([`manifest`]). The installed drivers make a [`catalog`], of which [`hwdb`] makes what udev looks devices up in. An attach
//! goes through the phases of [`attach`]; [`manager`] is what people and udev ask for.
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

pub mod aside;
pub mod attach;
pub mod catalog;
pub mod descriptor;
pub mod device;
pub mod doctor;
pub mod error;
pub mod hwdb;
pub mod ids;
pub mod kernel;
mod loader;
pub mod manager;
pub mod manifest;
pub mod monitor;
pub mod object;
pub mod pins;
pub mod recorder;
pub mod recording;
pub mod replay;
pub mod state;
mod sys;
pub mod system;
pub mod tap;
pub mod text;
mod trusted;
mod uevents;
mod verifier;
