//! Code that the tests of several crates share, and the whole guest side of the tests on real kernels.

pub mod expectation;
pub mod fuzz;
pub mod guest;
pub mod monitor;
pub mod nodes;
pub mod process;
pub mod protocol;
pub mod random;
mod sys;
pub mod trace;
pub mod transport;
pub mod uhid;
pub mod usb;
pub mod walked;
pub mod walkthrough;
