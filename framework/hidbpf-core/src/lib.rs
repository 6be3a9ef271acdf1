//! What attaching drivers takes, whatever loads them into the kernel: the crate `hidbpf` is made of this and of libbpf, the helper
//! that udev starts of this alone.
//!
//! A driver is one object file for every kernel since 6.3 ([`object`]), with a manifest that says what it is for
//! ([`manifest`]). The installed drivers make a [`catalog`], of which [`hwdb`] makes what udev looks devices up in. An attach
//! goes through the phases of [`attach`], which a [`loader`] makes real; [`manager`] is what people and udev ask for.

pub mod apply;
pub mod aside;
pub mod attach;
mod awake;
pub mod catalog;
pub mod config;
pub mod device;
pub mod error;
pub mod exports;
pub mod fast;
pub mod fields;
mod files;
pub mod hwdb;
pub mod ids;
pub mod invalid;
mod items;
pub mod kept;
pub mod kernel;
pub mod loader;
pub mod manager;
pub mod manifest;
pub mod matching;
pub mod names;
pub mod object;
pub mod ops;
pub mod options;
pub mod original;
pub mod pins;
pub mod policy;
pub mod refusal;
pub mod resolve;
mod settled;
pub mod setup;
pub mod start;
pub mod state;
mod sys;
mod sysfs;
pub mod system;
pub mod text;
mod trusted;
pub mod tune;
mod udev;
mod uevents;

#[cfg(not(target_endian = "little"))]
compile_error!("hidbpf needs a little-endian machine: its drivers are compiled to little-endian BPF objects");
