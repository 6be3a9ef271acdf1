//! Attaches drivers, independently of the loader that brings them into the kernel.
//!
//! The crate `hidbpf` consists of this crate and libbpf. The helper `hidbpf-udev` uses this crate alone.
//!
//! A driver is one object file for every kernel since 6.3 ([`object`]). Its manifest names the devices that it is for
//! ([`manifest`]). The installed drivers form a [`catalog`], from which [`hwdb`] generates the udev hwdb. [`attach`]
//! implements the attach sequence on top of a [`loader`]. [`manager`] offers the operations that users and udev call.

pub mod apply;
pub mod attach;
mod awake;
pub mod catalog;
pub mod config;
pub mod curve;
pub mod device;
pub mod effect;
pub mod error;
pub mod exclusion;
pub mod exports;
pub mod fast;
pub mod fields;
pub mod files;
pub mod foreign;
pub mod hwdb;
pub mod id_cache;
pub mod ids;
pub mod kernel;
pub mod keymap;
pub mod loader;
pub mod machine;
pub mod manager;
pub mod manifest;
pub mod maps;
pub mod matching;
pub mod mode_switch;
pub mod names;
pub mod object;
pub mod ops;
pub mod options;
pub mod order;
pub mod original;
pub mod pins;
pub mod policy;
pub mod refusal;
pub mod resolve;
pub mod running;
pub mod set_options;
mod settled;
pub mod setup;
mod shared;
pub mod state;
mod sys;
mod sysfs;
pub mod system;
pub mod text;
mod trusted;
mod udev;
mod uevents;
mod usb;
mod versions;

#[cfg(not(target_endian = "little"))]
compile_error!("hidbpf needs a little-endian machine: its drivers are compiled to little-endian BPF objects");
