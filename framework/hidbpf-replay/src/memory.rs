//! The memory of programs: regions of one block of bytes, with bounds.
//!
//! A pointer is a number, `TAG | region << 32 | offset`, and has no meaning outside the replay. Arithmetic on a pointer
//! changes the offset. An offset beyond either end of its region never reaches another region, because no region is
//! half as long as offsets reach.

use std::collections::BTreeMap;
use std::fmt;

/// The top 16 bits of every pointer. They differ from those of user space addresses, small numbers and negative ones.
const TAG: u64 = 0xb9f0 << 48;

/// The maximum number of regions at a time.
const MAX_REGIONS: usize = 1 << 16;

/// The number of a region. 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegionId(u16);

impl RegionId {
    /// Returns the pointer to a byte of the region.
    pub(crate) fn pointer(self, offset: u32) -> u64 {
        TAG | u64::from(self.0) << 32 | u64::from(offset)
    }
}

/// The kind of a region, for messages and for functions that require a certain kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not in use.
    Free,
    /// The stack frame of a function.
    Stack,
    /// The argument array of a hook.
    Arguments,
    /// A `struct hid_bpf_ctx`.
    Context,
    /// The only `struct hid_device`.
    Device,
    /// The data that a hook can request with hid_bpf_get_data().
    Data,
    /// The requested part, from this offset on.
    View(u32),
    /// The argument of a syscall program.
    SyscallArgument,
    /// A data section, by its index in the image.
    Section(u32),
    /// A value of a map: the map's index in the image, and the slot in the map.
    Value { map: u32, slot: u32 },
    /// A key passed to a callback.
    Key,
    /// The handle of a map, by its index in the image.
    Map(u32),
    /// Functions of the object. The offset is an index of the code.
    Code,
    /// A kernel function, by its index in the image.
    Kfunc(u32),
}

/// The bytes of a region that programs may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
    /// The bytes passed to [`Memory::allow_writes`].
    Listed,
}

#[derive(Clone, Copy, Debug)]
struct Region {
    start: u32,
    len: u32,
    access: Access,
    kind: Kind,
}

/// The reason why an allocation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    Bytes,
    Regions,
}

/// A program's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    bytes: Vec<u8>,
    regions: Vec<Region>,
    free_regions: Vec<u16>,
    /// The starts of free blocks, by length.
    free_blocks: BTreeMap<u32, Vec<u32>>,
    /// Writable bytes of partly writable regions: region, from, to.
    writable: Vec<(RegionId, u32, u32)>,
    limit: usize,
}

/// The reason why an access is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The address is in no region.
    Wild,
    /// The region has been released.
    Released,
    /// The access is outside the region. Holds the region's kind, the offset, and the region's length.
    Outside(Kind, i64, u32),
    /// The bytes are read-only. Holds the region's kind and the offset.
    NotWritable(Kind, i64),
}

impl Memory {
    pub(crate) fn new(limit: usize) -> Memory {
        let nothing = Region { start: 0, len: 0, access: Access::ReadOnly, kind: Kind::Free };
        Memory {
            bytes: Vec::new(),
            regions: vec![nothing],
            free_regions: Vec::new(),
            free_blocks: BTreeMap::new(),
            writable: Vec::new(),
            limit: limit.min(u32::MAX as usize / 2),
        }
    }

    fn add(&mut self, region: Region) -> Result<RegionId, Full> {
        if let Some(id) = self.free_regions.pop() {
            if let Some(slot) = self.regions.get_mut(usize::from(id)) {
                *slot = region;
            }
            return Ok(RegionId(id));
        }
        let id = u16::try_from(self.regions.len()).map_err(|_| Full::Regions)?;
        debug_assert!(self.regions.len() < MAX_REGIONS);
        self.regions.push(region);
        Ok(RegionId(id))
    }

    /// Allocates a zeroed region.
    pub(crate) fn allocate(&mut self, len: usize, kind: Kind, access: Access) -> Result<RegionId, Full> {
        let size = u32::try_from(len).map_err(|_| Full::Bytes)?;
        let reused = self.free_blocks.get_mut(&size).and_then(Vec::pop);
        let start = match reused {
            Some(start) => start,
            None => {
                let start = self.bytes.len();
                let end = start.checked_add(len).filter(|end| *end <= self.limit).ok_or(Full::Bytes)?;
                self.bytes.resize(end, 0);
                u32::try_from(start).map_err(|_| Full::Bytes)?
            }
        };
        let id = self.add(Region { start, len: size, access, kind })?;
        self.bytes_mut(id).fill(0);
        Ok(id)
    }

    /// Creates an empty region, only to point at.
    pub(crate) fn handle(&mut self, kind: Kind) -> Result<RegionId, Full> {
        self.add(Region { start: 0, len: 0, access: Access::ReadOnly, kind })
    }

    /// Creates a region for a part of another one. It shares the bytes of the whole and must be released first.
    pub(crate) fn view(&mut self, whole: RegionId, offset: u32, len: u32) -> Result<Option<RegionId>, Full> {
        let region = self.region(whole);
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > region.len) {
            return Ok(None);
        }
        let part =
            Region { start: region.start.saturating_add(offset), len, access: region.access, kind: Kind::View(offset) };
        self.add(part).map(Some)
    }

    /// Allows programs to write some bytes of a region with [`Access::Listed`].
    pub(crate) fn allow_writes(&mut self, id: RegionId, from: u32, to: u32) {
        self.writable.push((id, from, to));
    }

    /// Releases a region. Pointers to it become invalid.
    pub(crate) fn release(&mut self, id: RegionId) {
        let Some(region) = self.regions.get_mut(usize::from(id.0)) else { return };
        if region.kind == Kind::Free {
            return;
        }
        let (start, len, is_view) = (region.start, region.len, matches!(region.kind, Kind::View(_)));
        *region = Region { start: 0, len: 0, access: Access::ReadOnly, kind: Kind::Free };
        self.writable.retain(|(listed, _, _)| *listed != id);
        self.free_regions.push(id.0);
        if len > 0 && !is_view {
            self.free_blocks.entry(len).or_default().push(start);
        }
    }

    fn region(&self, id: RegionId) -> Region {
        const NOTHING: Region = Region { start: 0, len: 0, access: Access::ReadOnly, kind: Kind::Free };
        self.regions.get(usize::from(id.0)).copied().unwrap_or(NOTHING)
    }

    pub(crate) fn bytes(&self, id: RegionId) -> &[u8] {
        let Region { start, len, .. } = self.region(id);
        self.bytes.get(start as usize..(start + len) as usize).unwrap_or_default()
    }

    pub(crate) fn bytes_mut(&mut self, id: RegionId) -> &mut [u8] {
        let Region { start, len, .. } = self.region(id);
        self.bytes.get_mut(start as usize..(start + len) as usize).unwrap_or_default()
    }

    /// Returns the region of an address, and the offset, which may be outside it.
    pub(crate) fn locate(&self, address: u64) -> Option<(RegionId, Kind, u32)> {
        let id = RegionId(u16::try_from((address ^ TAG) >> 32).ok()?);
        let region = self.regions.get(usize::from(id.0)).filter(|_| id.0 != 0)?;
        Some((id, region.kind, address as u32))
    }

    #[inline(always)]
    fn range(&self, address: u64, size: u32, write: bool) -> Option<(usize, usize)> {
        // The number of a region without the tag exceeds all regions.
        let region = self.regions.get(((address ^ TAG) >> 32) as usize)?;
        let offset = address as u32;
        if offset > region.len || size > region.len - offset {
            return None;
        }
        if write && region.access != Access::ReadWrite && !self.may_write(address, size) {
            return None;
        }
        let start = region.start as usize + offset as usize;
        Some((start, start + size as usize))
    }

    #[cold]
    fn may_write(&self, address: u64, size: u32) -> bool {
        let Some((id, _, offset)) = self.locate(address) else { return false };
        let fits = |(listed, from, to): &(RegionId, u32, u32)| {
            *listed == id && *from <= offset && offset.checked_add(size).is_some_and(|end| end <= *to)
        };
        self.region(id).access == Access::Listed && self.writable.iter().any(fits)
    }

    /// Reads `N` bytes at an address. `None` if a program may not read them.
    #[inline(always)]
    pub(crate) fn load<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let (start, end) = self.range(address, N as u32, false)?;
        self.bytes.get(start..end)?.try_into().ok()
    }

    /// Writes `N` bytes. `None` if a program may not write them.
    #[inline(always)]
    pub(crate) fn store<const N: usize>(&mut self, address: u64, value: [u8; N]) -> Option<()> {
        let (start, end) = self.range(address, N as u32, true)?;
        self.bytes.get_mut(start..end)?.copy_from_slice(&value);
        Some(())
    }

    /// Returns the bytes that a program passes in.
    pub(crate) fn slice(&self, address: u64, size: u32) -> Result<&[u8], Violation> {
        let range = self.range(address, size, false);
        range.and_then(|(start, end)| self.bytes.get(start..end)).ok_or_else(|| self.violation(address, false))
    }

    /// Returns the bytes that a program wants filled.
    pub(crate) fn slice_mut(&mut self, address: u64, size: u32) -> Result<&mut [u8], Violation> {
        match self.range(address, size, true) {
            Some((start, end)) if end <= self.bytes.len() => Ok(&mut self.bytes[start..end]),
            _ => Err(self.violation(address, true)),
        }
    }

    /// Returns why an access failed.
    #[cold]
    pub(crate) fn violation(&self, address: u64, write: bool) -> Violation {
        // Below a region, the offset has borrowed from the region's number.
        let offset = i64::from(address as u32 as i32);
        let owner = if offset < 0 { address.wrapping_add(1 << 32) } else { address };
        let Some((id, kind, _)) = self.locate(owner) else { return Violation::Wild };
        let region = self.region(id);
        match kind {
            Kind::Free => Violation::Released,
            _ if write && offset >= 0 && offset < i64::from(region.len) && region.access != Access::ReadWrite => {
                Violation::NotWritable(kind, offset)
            }
            _ => Violation::Outside(kind, offset, region.len),
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Full::Bytes => "the driver needs more memory than a replay gives it",
            Full::Regions => "the driver holds more pieces of memory than a replay can tell apart",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> (Memory, RegionId, RegionId) {
        let mut memory = Memory::new(1 << 20);
        let first = memory.allocate(16, Kind::Stack, Access::ReadWrite).unwrap();
        let second = memory.allocate(8, Kind::Section(0), Access::ReadOnly).unwrap();
        (memory, first, second)
    }

    #[test]
    fn every_byte_inside_and_none_outside() {
        let (mut memory, first, _) = memory();
        for offset in -20i64..40 {
            let address = first.pointer(0).wrapping_add(offset as u64);
            for (size, ok) in [
                (1, memory.load::<1>(address).is_some()),
                (2, memory.load::<2>(address).is_some()),
                (4, memory.load::<4>(address).is_some()),
                (8, memory.store::<8>(address, [1; 8]).is_some()),
            ] {
                assert_eq!(ok, offset >= 0 && offset + size <= 16, "{offset} {size}");
            }
        }
        assert_eq!(memory.violation(first.pointer(0).wrapping_sub(1), false), Violation::Outside(Kind::Stack, -1, 16));
        assert_eq!(memory.violation(first.pointer(15), false), Violation::Outside(Kind::Stack, 15, 16));
        for wild in [0, 1, u64::MAX, 1 << 32, i64::MIN as u64, TAG, TAG | 7 << 32] {
            assert_eq!(memory.load::<1>(wild), None);
            assert_eq!(memory.violation(wild, false), Violation::Wild, "{wild:x}");
        }
    }

    #[test]
    fn read_only_is_read_only_but_for_what_is_listed() {
        let (mut memory, _, second) = memory();
        assert!(memory.load::<8>(second.pointer(0)).is_some());
        assert!(memory.store::<1>(second.pointer(0), [1]).is_none());
        assert_eq!(memory.violation(second.pointer(4), true), Violation::NotWritable(Kind::Section(0), 4));
        let listed = memory.allocate(8, Kind::Context, Access::Listed).unwrap();
        memory.allow_writes(listed, 4, 8);
        assert!(memory.store::<4>(listed.pointer(4), [1; 4]).is_some());
        assert!(memory.store::<4>(listed.pointer(3), [1; 4]).is_none());
        assert!(memory.store::<8>(listed.pointer(0), [1; 8]).is_none());
    }

    #[test]
    fn views_have_bounds_of_their_own_and_released_regions_are_gone() {
        let (mut memory, first, _) = memory();
        memory.bytes_mut(first)[4] = 9;
        let view = memory.view(first, 4, 2).unwrap().unwrap();
        assert_eq!(memory.load::<1>(view.pointer(0)), Some([9]));
        assert_eq!(memory.load::<4>(view.pointer(0)), None);
        assert_eq!(memory.violation(view.pointer(2), false), Violation::Outside(Kind::View(4), 2, 2));
        assert_eq!(memory.view(first, 15, 2), Ok(None));
        assert_eq!(memory.view(first, u32::MAX, 2), Ok(None));
        memory.release(view);
        assert_eq!(memory.violation(view.pointer(0), false), Violation::Released);
        memory.bytes_mut(first).fill(1);
        memory.release(first);
        let again = memory.allocate(16, Kind::Stack, Access::ReadWrite).unwrap();
        assert_eq!(memory.bytes(again), [0; 16]);
    }

    #[test]
    fn memory_ends() {
        let mut memory = Memory::new(100);
        assert!(memory.allocate(60, Kind::Stack, Access::ReadWrite).is_ok());
        assert_eq!(memory.allocate(60, Kind::Stack, Access::ReadWrite), Err(Full::Bytes));
        assert_eq!(memory.allocate(usize::MAX, Kind::Stack, Access::ReadWrite), Err(Full::Bytes));
        while memory.handle(Kind::Code).is_ok() {}
        assert_eq!(memory.handle(Kind::Code), Err(Full::Regions));
    }
}
