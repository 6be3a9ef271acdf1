//! The contexts of hooks (`struct hid_bpf_ctx`), their arguments, and the data that programs request with
//! hid_bpf_get_data().

use hidbpf_prelink::Generation;

use crate::core_relo::Layout;
use crate::memory::{Access, Full, Kind, RegionId};

use super::{Call, Machine};

/// A context for hid_bpf_get_data().
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub(crate) region: RegionId,
    /// Its data. `None` if the driver allocated the context itself.
    pub(crate) data: Option<RegionId>,
    /// Whether the hook was called for a report or request of the driver itself, which must not send more.
    pub(crate) from_driver: bool,
    /// Whether the driver has to release it.
    pub(crate) owned: bool,
}

/// A part of a buffer that a program has requested.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    pub(crate) whole: RegionId,
    pub(crate) offset: u32,
    pub(crate) len: u32,
    pub(crate) part: RegionId,
}

/// The offsets of a context's members, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    pub(super) hid: Option<usize>,
    pub(super) allocated_size: Option<usize>,
    pub(super) size: Option<usize>,
    /// Only on older kernels.
    pub(super) report_type: Option<usize>,
}

impl Offsets {
    pub(super) fn of(layout: &Layout) -> Offsets {
        let offset = |member| layout.bytes(member).map(|(from, _)| from as usize);
        Offsets {
            hid: offset("hid"),
            allocated_size: offset("allocated_size"),
            size: offset("size"),
            report_type: offset("report_type"),
        }
    }
}

impl Machine {
    /// Creates a context for a hook. `data` is the data that the hook can access.
    pub(crate) fn new_context(
        &mut self,
        data: Option<RegionId>,
        size: usize,
        from_driver: bool,
        owned: bool,
    ) -> Result<RegionId, Full> {
        let region = self.memory.allocate(self.image.context.size as usize, Kind::Context, Access::Listed)?;
        let allocated = data.map_or(0, |data| self.memory.bytes(data).len());
        self.set_context(region, self.offsets.hid, &self.device.pointer(0).to_le_bytes());
        self.set_context(region, self.offsets.allocated_size, &(allocated as u32).to_le_bytes());
        self.set_context(region, self.offsets.size, &(size as u32).to_le_bytes());
        if self.generation == Generation::StructOps
            && let Some((from, to)) = self.image.context.bytes("retval")
        {
            self.memory.allow_writes(region, from, to);
        }
        self.contexts.push(Context { region, data, from_driver, owned });
        Ok(region)
    }

    pub(crate) fn drop_context(&mut self, region: RegionId) {
        self.contexts.retain(|context| context.region != region);
        self.memory.release(region);
    }

    pub(crate) fn context(&self, address: u64) -> Option<Context> {
        let (region, _, 0) = self.memory.locate(address)? else { return None };
        self.contexts.iter().find(|context| context.region == region).copied()
    }

    pub(super) fn set_context(&mut self, region: RegionId, member: Option<usize>, value: &[u8]) {
        let Some(from) = member else { return };
        if let Some(into) = self.memory.bytes_mut(region).get_mut(from..from + value.len()) {
            into.copy_from_slice(value);
        }
    }

    /// Returns a context's current size. struct_ops programs may change it.
    pub(super) fn context_size(&self, region: RegionId) -> u32 {
        let bytes = self.offsets.size.and_then(|from| self.memory.bytes(region).get(from..from + 4));
        bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes)
    }

    /// Creates the argument array of a call.
    pub(crate) fn new_arguments(&mut self, call: &Call, context: RegionId) -> Result<RegionId, Full> {
        let count = call.hook.arguments(self.generation).len();
        let region = self.memory.allocate(count * 8, Kind::Arguments, Access::ReadOnly)?;
        self.set_arguments(region, call, context);
        Ok(region)
    }

    /// Fills the argument array of a call.
    pub(super) fn set_arguments(&mut self, region: RegionId, call: &Call, context: RegionId) {
        let (slots, _) = self.memory.bytes_mut(region).as_chunks_mut::<8>();
        for (slot, argument) in slots.iter_mut().zip(call.hook.arguments(self.generation)) {
            *slot = call.value(*argument, context).to_le_bytes();
        }
    }

    /// Releases the selected parts of buffers.
    pub(crate) fn drop_views(&mut self, which: impl Fn(&View) -> bool) {
        let views = std::mem::take(&mut self.views);
        for view in views {
            if which(&view) { self.memory.release(view.part) } else { self.views.push(view) }
        }
    }
}
