//! What a driver's descriptor hook did.

use serde::{Deserialize, Serialize};

/// The effect of a driver's descriptor hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DescriptorEffect {
    /// The driver has no descriptor hook.
    NotWanted,
    /// The kernel ran the driver's hook, which returned the descriptor unchanged.
    Unchanged,
    /// The kernel ran the driver's hook, and used the descriptor that it returned.
    Fixed,
}
