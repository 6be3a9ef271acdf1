//! Maps of the kernel's `struct hid_bpf_ops`, which attach programs to a device (since Linux 6.11).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::driver::object::Hook;
use crate::ids::HidId;
use crate::kernel::running::ResolvedOps;
use crate::manifest::order::Order;
use crate::sys::Map;

/// A map that holds programs for a device. It has no effect until it is attached.
pub struct OpsMap(Map);

impl OpsMap {
    /// Creates a map for a device. `ops` is the layout of its value. `order` is the position of the programs among others.
    /// `btf` holds the programs' types, if the kernel reads them.
    ///
    /// # Errors
    /// The kernel refuses the map or a program in it, or the value has no place for a field.
    pub fn new(
        name: &str,
        ops: &ResolvedOps,
        btf: Option<BorrowedFd<'_>>,
        device: HidId,
        order: Order,
        programs: &[(Hook, BorrowedFd<'_>)],
    ) -> io::Result<OpsMap> {
        let map = Map::struct_ops(name, ops.value_type, ops.value_size, btf)?;
        let mut value = vec![0; ops.value_size as usize];
        let mut put = |offset: u32, bytes: &[u8]| {
            let start = offset as usize;
            let place = start.checked_add(bytes.len()).and_then(|end| value.get_mut(start..end));
            place.ok_or(io::ErrorKind::InvalidData).map(|place| place.copy_from_slice(bytes))
        };
        put(ops.hid_id, &device.0.to_ne_bytes())?;
        put(ops.flags, &order.struct_ops_flags().to_ne_bytes())?;
        for (hook, program) in programs {
            // At offset 0 is the kernel's own data.
            let offset =
                Some(ops.hooks[hook.index()]).filter(|offset| *offset != 0).ok_or(io::ErrorKind::Unsupported)?;
            put(offset, &(program.as_raw_fd() as u64).to_ne_bytes())?;
        }
        map.write(&value)?;
        Ok(OpsMap(map))
    }

    /// Attaches the map to its device. Dropping the link detaches it.
    ///
    /// # Errors
    /// As for the kernel's `hid_bpf_reg()`.
    pub fn attach(&self) -> io::Result<OwnedFd> {
        self.0.attach()
    }
}
