//! The drivers on this machine: their objects, their versions, and the judgement of their match rules.

pub mod catalog;
pub mod foreign;
pub mod matching;
pub mod object;
pub(crate) mod versions;
