//! What is known about a device.

use hidbpf_descriptor::diagnose::Finding;
use hidbpf_descriptor::recording::Event;

/// A device.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The device's name.
    pub name: String,
    /// What is known about it, each with a label: `("bus", "USB")`.
    pub facts: Vec<(String, String)>,
    /// What a reader has to know, one sentence each.
    pub notes: Vec<String>,
    /// Whether the keys in the reports are hidden.
    pub keys_hidden: bool,
    /// The descriptor that the device sent.
    pub descriptor: Vec<u8>,
    /// The input reports that the device sent, in order.
    pub reports: Vec<Event>,
    /// What is wrong with the descriptor or the reports.
    pub findings: Vec<Finding>,
    /// What a driver, or this kernel, makes of them.
    pub after: Option<Driven>,
}

/// What a driver makes of a device.
#[derive(Clone, Debug, Default)]
pub struct Driven {
    /// Who changes the device: `my-mouse`, for example.
    pub by: String,
    /// What a reader has to know, one sentence each.
    pub notes: Vec<String>,
    /// The descriptor that the driver returns.
    pub descriptor: Vec<u8>,
    /// For each report of the device, the reports that the driver makes of it. None if it drops the report.
    ///
    /// Empty if it is not known.
    pub outcomes: Vec<Vec<Vec<u8>>>,
}
