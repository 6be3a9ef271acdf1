//! USB devices whose mode is switched: their nodes, and the records of their answers.
//!
//! [`crate::mode_switch`] knows the steps and what answers must look like. This module takes them to a device.

pub(crate) mod device;
pub(crate) mod record;
