//! Changes of a descriptor that repair a defect.

use std::fmt;

use serde::Serialize;

use crate::hex::{Hex, HexBytes};
use crate::interpret::item::Item;

/// A change of a descriptor. Offsets refer to the descriptor before any change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
#[non_exhaustive]
pub enum Repair {
    /// Replaces bytes.
    #[serde(rename_all = "kebab-case")]
    Replace {
        /// Where the old bytes begin.
        offset: usize,
        /// The old bytes.
        old: HexBytes,
        /// The new bytes. There may be more or fewer of them.
        new: HexBytes,
    },
    /// Inserts bytes.
    Insert {
        /// The offset that the first of them gets.
        offset: usize,
        /// The bytes.
        new: HexBytes,
    },
    /// Removes bytes.
    Remove {
        /// Where they begin.
        offset: usize,
        /// The bytes.
        old: HexBytes,
    },
}

impl Repair {
    /// Returns a change of an item's data to a number, in as many bytes as the item has if they are enough.
    pub(crate) fn value(item: &Item, value: i64) -> Option<Repair> {
        let (prefix, data) = item.bytes.split_first()?;
        let sizes = [1, 2, 4].into_iter().filter(|size| *size >= data.len().max(1));
        let size = sizes.into_iter().find(|size| {
            let bits = 8 * *size as u32;
            // A value that fills its bytes would become negative where the item has a sign.
            (-(1_i64 << (bits - 1))..1_i64 << (bits - 1)).contains(&value)
        })?;
        let code = if size == 4 { 3 } else { size as u8 };
        let mut new = vec![prefix & 0xfc | code];
        new.extend_from_slice(&value.to_le_bytes()[..size]);
        Some(Repair::Replace { offset: item.offset, old: HexBytes(item.bytes.clone()), new: HexBytes(new) })
    }

    /// Returns a change of an item's lowest bits, which are the flags of a main item.
    pub(crate) fn flags(item: &Item, clear: u8, set: u8) -> Option<Repair> {
        let mut new = item.bytes.clone();
        match new.get_mut(1) {
            Some(flags) => *flags = *flags & !clear | set,
            None => new = vec![item.bytes.first()? & 0xfc | 1, set],
        }
        Some(Repair::Replace { offset: item.offset, old: HexBytes(item.bytes.clone()), new: HexBytes(new) })
    }

    /// Returns a descriptor with these changes. `None` if it does not have the expected bytes.
    pub fn apply(repairs: &[Repair], descriptor: &[u8]) -> Option<Vec<u8>> {
        let mut repairs: Vec<&Repair> = repairs.iter().collect();
        repairs.sort_by_key(|repair| repair.offset());
        let mut result = descriptor.to_vec();
        for repair in repairs.into_iter().rev() {
            let (offset, old, new) = match repair {
                Repair::Replace { offset, old, new } => (*offset, old.0.as_slice(), new.0.as_slice()),
                Repair::Insert { offset, new } => (*offset, [].as_slice(), new.0.as_slice()),
                Repair::Remove { offset, old } => (*offset, old.0.as_slice(), [].as_slice()),
            };
            let end = offset.checked_add(old.len())?;
            if result.get(offset..end)? != old {
                return None;
            }
            result.splice(offset..end, new.iter().copied());
        }
        Some(result)
    }

    /// Returns the offset in bytes at which it changes the descriptor.
    pub fn offset(&self) -> usize {
        match self {
            Repair::Replace { offset, .. } | Repair::Insert { offset, .. } | Repair::Remove { offset, .. } => *offset,
        }
    }
}

impl fmt::Display for Repair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Repair::Replace { offset, old, new } => {
                write!(f, "at byte {offset}: replace {} by {}", Hex(&old.0), Hex(&new.0))
            }
            Repair::Insert { offset, new } => write!(f, "at byte {offset}: insert {}", Hex(&new.0)),
            Repair::Remove { offset, old } => write!(f, "at byte {offset}: remove {}", Hex(&old.0)),
        }
    }
}
