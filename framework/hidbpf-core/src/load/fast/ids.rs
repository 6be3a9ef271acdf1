//! The ids and offsets of the running kernel's functions and types.
//!
//! They are valid until the next boot, so they are cached.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs;

use hidbpf_prelink::{Checksum, Hook, Kfunc, MEMBERS};
use xxhash_rust::xxh3::xxh3_128;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::device::sysfs;
use crate::kernel::Generation;
use crate::kernel::running::{ResolvedMember, ResolvedOps};
use crate::system::System;

/// The kernel and boot that ids belong to, with the size of its type information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct KernelIdentity {
    /// `/proc/sys/kernel/random/boot_id`.
    boot: [u8; 36],
    padding: [u8; 4],
    /// The size of `/sys/kernel/btf/vmlinux` in bytes.
    btf_size: u64,
}

impl KernelIdentity {
    /// Returns the identity of the running kernel.
    ///
    /// Returns `None` if it can't be determined, so that nothing can be cached.
    pub fn of(system: &System) -> Option<KernelIdentity> {
        let boot = sysfs::read(&system.root.join("proc/sys/kernel/random/boot_id")).ok()?;
        let btf_size = fs::metadata(system.kernel_btf()).ok()?.len();
        Some(KernelIdentity { boot: *boot.first_chunk()?, padding: [0; 4], btf_size })
    }
}

/// The ids and offsets that were looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedIds {
    /// The layout of `struct hid_bpf_ops`; `None` for a kernel of the first generation.
    pub ops: Option<ResolvedOps>,
    /// The offset and size of each of [`MEMBERS`].
    pub members: [ResolvedMember; MEMBERS.len()],
    /// The ids of functions; 0 for a function that the kernel lacks.
    pub functions: BTreeMap<String, u32>,
}

/// The number of functions that a record can hold. Drivers use eleven, and both generations three more.
const SLOTS: usize = 24;

const MAGIC: [u8; 8] = *b"HIDBPFID";

/// The version of the record format.
const VERSION: u32 = 3;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Slot {
    /// Padded with zeros. All zeros if the slot is free.
    name: [u8; Kfunc::NAME_MAX + 1],
    id: u32,
}

/// [`ResolvedIds`] in a file.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Record {
    magic: [u8; 8],
    version: u32,
    /// 1 or 2.
    generation: u32,
    kernel: KernelIdentity,
    ops: ResolvedOps,
    members: [ResolvedMember; MEMBERS.len()],
    slots: [Slot; SLOTS],
    /// The checksum begins at a multiple of 8 bytes. Each hook has 4.
    padding: [u32; (Hook::COUNT + 1) % 2],
    /// The XXH3 checksum of all fields before it.
    sum: Checksum,
}

impl ResolvedIds {
    /// Returns the generation of the kernel.
    pub fn generation(&self) -> Generation {
        match self.ops {
            Some(_) => Generation::StructOps,
            None => Generation::FmodRet,
        }
    }

    /// Returns the id of a function, or 0 if the kernel lacks it.
    pub fn function(&self, name: &str) -> u32 {
        self.functions.get(name).copied().unwrap_or(0)
    }

    /// Parses the result of [`ResolvedIds::to_bytes`].
    ///
    /// Returns `None` if it is damaged or implausible, or belongs to another version, kernel or boot. The caller then
    /// looks the ids up.
    pub fn from_bytes(bytes: &[u8], kernel: &KernelIdentity) -> Option<ResolvedIds> {
        let mut record = Record::new_zeroed();
        // Copied, because a file's bytes may not be aligned.
        record
            .as_mut_bytes()
            .copy_from_slice(bytes.get(..size_of::<Record>()).filter(|whole| whole.len() == bytes.len())?);
        let ops = match record.generation {
            1 => None,
            2 => Some(record.ops),
            _ => return None,
        };
        let known = (record.magic, record.version, record.kernel) == (MAGIC, VERSION, *kernel);
        if !known
            || record.sum != record.sum_up()
            || !ops.as_ref().is_none_or(is_sane)
            || !record.members.iter().all(is_near)
        {
            return None;
        }
        let mut functions = BTreeMap::new();
        for slot in record.slots.iter().filter(|slot| slot.name[0] != 0) {
            let name = CStr::from_bytes_until_nul(&slot.name).ok()?;
            functions.insert(name.to_str().ok()?.to_owned(), slot.id);
        }
        Some(ResolvedIds { ops, members: record.members, functions })
    }

    /// Returns the ids as a record of a fixed size. Omits functions that do not fit.
    pub fn to_bytes(&self, kernel: &KernelIdentity) -> Vec<u8> {
        let mut record = Record::new_zeroed();
        record.magic = MAGIC;
        record.version = VERSION;
        record.generation = if self.ops.is_some() { 2 } else { 1 };
        record.kernel = *kernel;
        record.ops = self.ops.unwrap_or_default();
        record.members = self.members;
        let fitting = self.functions.iter().filter(|(name, _)| name.len() <= Kfunc::NAME_MAX);
        for (slot, (name, id)) in record.slots.iter_mut().zip(fitting) {
            slot.name[..name.len()].copy_from_slice(name.as_bytes());
            slot.id = *id;
        }
        record.sum = record.sum_up();
        record.as_bytes().to_vec()
    }
}

impl Record {
    fn sum_up(&self) -> Checksum {
        let bytes = self.as_bytes();
        xxh3_128(&bytes[..std::mem::offset_of!(Record, sum)]).to_le_bytes()
    }
}

/// Returns whether a loader can fill this kernel's `struct hid_bpf_ops`.
///
/// All ids must be set. The members must be in the order that all kernels have had, because the kernel also checks the
/// index of a program's member. An older kernel may lack the last hooks.
pub(super) fn is_sane(ops: &ResolvedOps) -> bool {
    let known = ops.hooks.iter().take_while(|offset| **offset != 0).count();
    let (hooks, missing) = ops.hooks.split_at(known);
    let (Some(first), Some(last)) = (hooks.first(), hooks.last()) else { return false };
    let ends_before = |start: u32, size: u32, next: u32| start.checked_add(size).is_some_and(|end| end <= next);
    ops.ops_type != 0
        && ops.value_type != 0
        && ops.ops_type != ops.value_type
        && ops.value_size <= MAX_VALUE
        && missing.iter().all(|offset| *offset == 0)
        && ends_before(ops.hid_id, 4, ops.flags)
        && ends_before(ops.flags, 4, *first)
        && hooks.windows(2).all(|pair| pair[0].checked_add(HOOK_SIZE) == Some(pair[1]))
        && ends_before(*last, HOOK_SIZE, ops.value_size)
        && ops.hid_id.is_multiple_of(4)
        && first.is_multiple_of(HOOK_SIZE)
}

/// Returns the index of a hook's member in `struct hid_bpf_ops`. `None` if the kernel doesn't have the hook.
///
/// Three members precede the hooks: `hid_id`, `flags` and the list that the map is in.
pub(super) fn member(ops: &ResolvedOps, hook: Hook) -> Option<u32> {
    let offset = Some(ops.hooks[hook.index()]).filter(|offset| *offset != 0)?;
    Some(3 + offset.checked_sub(ops.hooks[0])? / HOOK_SIZE)
}

/// Returns whether an instruction can reach a member, and the verifier would allow it.
///
/// An offset has 16 bits, with a sign.
pub(super) fn is_near(member: &ResolvedMember) -> bool {
    member.offset.checked_add(member.size).is_some_and(|end| end <= i16::MAX as u32)
        && member.offset.is_multiple_of(member.size.max(1))
}

/// The size of a hook member in bytes: a pointer.
const HOOK_SIZE: u32 = 8;

/// A bound above the value size of any kernel, in bytes.
const MAX_VALUE: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(byte: u8) -> KernelIdentity {
        KernelIdentity { boot: [byte; 36], padding: [0; 4], btf_size: 5_000_000 }
    }

    /// The offsets of the hooks.
    const HOOKS: [u32; Hook::COUNT] = {
        let mut hooks = [152; Hook::COUNT];
        let mut index = 1;
        while index < hooks.len() {
            hooks[index] = hooks[index - 1] + HOOK_SIZE;
            index += 1;
        }
        hooks
    };

    /// Returns the same offsets, with another one for a hook.
    fn hooks(index: usize, offset: u32) -> [u32; Hook::COUNT] {
        let mut hooks = HOOKS;
        hooks[index] = offset;
        hooks
    }

    fn ops() -> ResolvedOps {
        ResolvedOps { ops_type: 100, value_type: 101, value_size: 256, hid_id: 128, flags: 132, hooks: HOOKS }
    }

    fn members() -> [ResolvedMember; MEMBERS.len()] {
        MEMBERS.map(|member| ResolvedMember { offset: member.size * 3, size: member.size })
    }

    fn ids() -> ResolvedIds {
        let functions = [("hid_bpf_get_data", 7), ("hid_bpf_try_input_report", 9), ("bpf_wq_set_callback", 0)];
        ResolvedIds {
            ops: Some(ops()),
            members: members(),
            functions: functions.map(|(name, id)| (name.to_owned(), id)).into(),
        }
    }

    #[test]
    fn what_is_written_is_read_for_the_same_kernel_alone() {
        for ids in [ids(), ResolvedIds { ops: None, ..ids() }] {
            let bytes = ids.to_bytes(&kernel(b'a'));
            assert_eq!(ResolvedIds::from_bytes(&bytes, &kernel(b'a')), Some(ids));
            assert_eq!(ResolvedIds::from_bytes(&bytes, &kernel(b'b')), None);
            let larger = KernelIdentity { btf_size: 5_000_004, ..kernel(b'a') };
            assert_eq!(ResolvedIds::from_bytes(&bytes, &larger), None);
        }
    }

    #[test]
    fn a_record_that_is_damaged_in_any_byte_is_none() {
        let whole = ids().to_bytes(&kernel(b'a'));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(ResolvedIds::from_bytes(&damaged, &kernel(b'a')), None, "byte {at}");
            assert_eq!(ResolvedIds::from_bytes(&whole[..at], &kernel(b'a')), None, "cut to {at} bytes");
        }
        assert_eq!(ResolvedIds::from_bytes(&[&whole[..], b"x"].concat(), &kernel(b'a')), None);
    }

    #[test]
    fn members_that_make_no_sense_are_none() {
        assert!(is_sane(&ops()));
        for wrong in [
            ResolvedOps { ops_type: 0, ..ops() },
            ResolvedOps { value_type: 100, ..ops() },
            ResolvedOps { value_size: HOOKS[Hook::COUNT - 1] + 7, ..ops() },
            ResolvedOps { value_size: u32::MAX, ..ops() },
            ResolvedOps { hid_id: 130, ..ops() },
            ResolvedOps { flags: 152, ..ops() },
            ResolvedOps {
                hooks: {
                    let mut hooks = HOOKS;
                    hooks.swap(0, 1);
                    hooks
                },
                ..ops()
            },
            ResolvedOps { hooks: hooks(0, 144), ..ops() },
            ResolvedOps { hooks: hooks(0, 0), ..ops() },
            ResolvedOps { hooks: hooks(1, 0), ..ops() },
            ResolvedOps { hooks: hooks(Hook::COUNT - 1, u32::MAX - 3), ..ops() },
        ] {
            assert!(!is_sane(&wrong), "{wrong:?}");
            let bytes = ResolvedIds { ops: Some(wrong), ..ids() }.to_bytes(&kernel(b'a'));
            assert_eq!(ResolvedIds::from_bytes(&bytes, &kernel(b'a')), None);
        }
    }

    #[test]
    fn a_kernel_may_lack_the_last_hooks() {
        let last = HOOKS.len() - 1;
        let older = ResolvedOps { hooks: hooks(last, 0), ..ops() };
        assert!(is_sane(&older));
        let hook = |index: usize| hidbpf_prelink::hook::HOOKS[index].hook;
        assert_eq!((member(&older, hook(0)), member(&older, hook(1))), (Some(3), Some(4)));
        assert_eq!((member(&older, hook(last)), member(&ops(), hook(last))), (None, Some(3 + last as u32)));
    }

    #[test]
    fn members_that_no_instruction_reaches_are_none() {
        let far = i16::MAX as u32 + 1;
        for (offset, size, is_good) in [
            (0, 0, true),
            (far - 8, 4, true),
            (far - 4, 4, false),
            (far, 0, false),
            (u32::MAX - 3, 4, false),
            (8, u32::MAX, false),
            (6, 4, false),
        ] {
            let mut ids = ids();
            ids.members[1] = ResolvedMember { offset, size };
            let read = ResolvedIds::from_bytes(&ids.to_bytes(&kernel(b'a')), &kernel(b'a'));
            assert_eq!(read, is_good.then_some(ids), "{offset}, {size}");
        }
    }

    #[test]
    fn functions_without_room_are_left_out() {
        let functions: BTreeMap<_, _> = (0..SLOTS as u32 + 3).map(|id| (format!("function_{id:02}"), id)).collect();
        let ids = ResolvedIds { ops: None, members: members(), functions };
        let read = ResolvedIds::from_bytes(&ids.to_bytes(&kernel(b'a')), &kernel(b'a')).unwrap();
        assert_eq!(read.functions.len(), SLOTS);
        assert!(read.functions.iter().all(|(name, id)| ids.functions[name] == *id));
    }
}
