//! Timers and work items: when they are due, and their callbacks.

use crate::memory::{Access, Full, Kind};

use super::Machine;
use super::problem::{Problem, out_of_memory};

/// A timer or work item.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deferred {
    /// The handle of the map that contains it.
    pub(crate) map: u64,
    /// The callback, as an index of the code.
    pub(crate) callback: Option<usize>,
    /// The due time, and a sequence number for those with the same time.
    pub(crate) due: Option<(u64, u64)>,
    /// Whether it is a work item, which may sleep.
    pub(crate) is_work: bool,
}

impl Machine {
    /// Returns the next timer or work item that is due up to a time.
    pub(crate) fn next_due(&self, until: u64) -> Option<(u64, u64)> {
        let due = self.deferred.iter().filter_map(|(address, deferred)| deferred.due.map(|due| (due, *address)));
        due.min().filter(|((time, _), _)| *time <= until).map(|((time, _), address)| (time, address))
    }

    /// Runs the callback of a timer or work item.
    pub(crate) fn run_deferred(&mut self, address: u64) -> Result<(), Problem> {
        let Some(deferred) = self.deferred.get_mut(&address) else { return Ok(()) };
        deferred.due = None;
        let Deferred { map: handle, callback, is_work, .. } = *deferred;
        let (Some(callback), Some((value, Kind::Value { map, slot }, _))) = (callback, self.memory.locate(address))
        else {
            return Ok(());
        };
        let key = self.data.maps.get(map as usize).map(|map| map.key_of(slot)).unwrap_or_default();
        let key = self.transient_bytes(&key).map_err(out_of_memory)?;
        let before = std::mem::replace(&mut self.sleepable, is_work);
        let result = self.run(callback, [handle, key, value.pointer(0), 0, 0]);
        self.sleepable = before;
        result.map(drop).map_err(Problem::Deeper)
    }

    /// Allocates bytes for a callback. They are released at the end of the run.
    pub(crate) fn transient_bytes(&mut self, bytes: &[u8]) -> Result<u64, Full> {
        let region = self.memory.allocate(bytes.len(), Kind::Key, Access::ReadOnly)?;
        self.memory.bytes_mut(region).copy_from_slice(bytes);
        self.transient.push(region);
        Ok(region.pointer(0))
    }
}
