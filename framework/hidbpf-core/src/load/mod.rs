//! Bringing a driver's programs into the kernel: what a loader is, and the fast loader.

pub mod fast;
pub mod id_cache;
pub mod loader;
pub mod ops;
