//! Attaches drivers, independently of the loader that brings them into the kernel.
//!
//! The crate `hidbpf` consists of this crate and libbpf. The helper `hidbpf-udev` uses this crate alone.
//!
//! A driver is one object file for every kernel since 6.3 ([`driver::object`]). Its [`manifest`] names the devices that
//! it is for. The installed drivers form a catalogue ([`driver::catalog`]), from which [`hwdb`] generates the udev hwdb.
//! [`attach`] implements the attach sequence on top of a loader ([`load`]). [`manager`] offers the operations that users
//! and udev call.

pub mod attach;
pub mod config;
pub mod device;
pub mod driver;
pub mod error;
pub mod files;
pub mod hwdb;
pub mod ids;
pub mod kernel;
pub mod load;
pub mod manager;
pub mod manifest;
pub mod mode_switch;
pub mod names;
pub mod policy;
pub mod state;
mod sys;
pub mod system;
pub mod text;
mod trusted;
mod usb;

#[cfg(not(target_endian = "little"))]
compile_error!("hidbpf needs a little-endian machine: its drivers are compiled to little-endian BPF objects");
