//! What the running kernel's types say: its HID-BPF generation, and the layouts that loaders need.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use hidbpf_prelink::Hook;
use hidbpf_prelink::hook::{ATTACH_KFUNC, HOOKS, OPS_VALUE};
use hidbpf_prelink::kernel_types::{KernelTypes, Names, Place};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Generation, Kernel, Support};
use crate::sys::Mapping;
use crate::system::System;

/// What the names of all types and functions of HID-BPF have in common.
pub(crate) const HID_BPF: &str = "hid_bpf_";

/// The running kernel's BTF.
pub(crate) enum KernelBtf {
    /// The kernel's own pages. Linux 6.16 and later map them.
    Mapped(Mapping),
    /// A copy of 5 MB and more.
    Read(Vec<u8>),
}

impl KernelBtf {
    /// Opens the file with the kernel's BTF.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) fn open(path: &Path) -> io::Result<KernelBtf> {
        let mut file = File::open(path)?;
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        match Mapping::of(&file, size) {
            Ok(mapping) => Ok(KernelBtf::Mapped(mapping)),
            Err(_) => {
                let mut bytes = Vec::with_capacity(size + 1);
                file.read_to_end(&mut bytes)?;
                Ok(KernelBtf::Read(bytes))
            }
        }
    }

    /// Finds types and functions by name.
    ///
    /// # Errors
    /// The kernel's types are of an unknown form.
    pub(crate) fn find(&self, names: &Names<'_>) -> io::Result<KernelTypes<'_>> {
        let bytes = match self {
            KernelBtf::Mapped(mapping) => mapping.bytes(),
            KernelBtf::Read(bytes) => bytes,
        };
        KernelTypes::find(bytes, names).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// The place of a member in its struct. Zeros if the kernel does not have the member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResolvedMember {
    /// The offset of its first byte.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// The layout of the kernel's `struct hid_bpf_ops`. Offsets are in bytes, in the value of a struct_ops map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ResolvedOps {
    /// The id of the type `struct hid_bpf_ops`.
    pub ops_type: u32,
    /// The id of the type of a map's value.
    pub value_type: u32,
    /// The size of a map's value in bytes.
    pub value_size: u32,
    /// The offset of the device's number.
    pub hid_id: u32,
    /// The offset of the flags.
    pub flags: u32,
    /// The offset of each hook, in the order of `hidbpf_prelink::hook::HOOKS`. 0 if the kernel doesn't have the hook.
    pub hooks: [u32; Hook::COUNT],
}

impl ResolvedOps {
    /// Returns the layout in a kernel's types. The search for them must have included [`OPS_VALUE`]. `None` if no
    /// struct_ops map can hold the struct.
    pub(crate) fn of(types: &KernelTypes<'_>) -> Option<ResolvedOps> {
        let value = types.record(OPS_VALUE)?;
        let data = types.member(value, "data")?;
        let place = |name| Some(data.offset + types.member(data.ty, name)?.offset);
        Some(ResolvedOps {
            ops_type: data.ty.0,
            value_type: value.0,
            value_size: types.size(value)?,
            hid_id: place("hid_id")?,
            flags: place("flags")?,
            hooks: HOOKS.map(|row| place(row.member).unwrap_or(0)),
        })
    }
}

impl From<Place> for ResolvedMember {
    fn from(Place { offset, size, .. }: Place) -> ResolvedMember {
        ResolvedMember { offset, size }
    }
}

/// Detects the running kernel's features.
///
/// # Errors
/// The kernel's BTF exists but can't be read.
pub fn detect(system: &System) -> Result<Kernel> {
    let support = with_types(system, |types| {
        if types.record(OPS_VALUE).is_some() {
            Support::Present(Generation::StructOps)
        } else if types.function(ATTACH_KFUNC).is_some() {
            Support::Present(Generation::FmodRet)
        } else {
            Support::NoHidBpf
        }
    })?;
    Ok(Kernel::running(support.unwrap_or(Support::NoBtf)))
}

/// Returns the layout of the kernel's `struct hid_bpf_ops`. `None` if no struct_ops map can hold it.
///
/// # Errors
/// The kernel's BTF exists but can't be read.
pub fn ops(system: &System) -> Result<Option<ResolvedOps>> {
    Ok(with_types(system, ResolvedOps::of)?.flatten())
}

/// What distinguishes the generations.
const NAMES: Names<'_> = Names { parts: &[HID_BPF], records: &[OPS_VALUE], functions: &[ATTACH_KFUNC] };

/// Returns what `read` finds in the types of [`NAMES`]. `None` if the kernel has no BTF.
fn with_types<T>(system: &System, read: impl FnOnce(&KernelTypes<'_>) -> T) -> Result<Option<T>> {
    let path = system.kernel_btf();
    let found = KernelBtf::open(&path).and_then(|btf| Ok(read(&btf.find(&NAMES)?)));
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::because(
            ErrorKind::Kernel,
            format!("failed to read the kernel's BTF `{}`", path.display()),
            error,
        )),
    }
}
