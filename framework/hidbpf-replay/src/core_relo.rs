//! Resolves CO-RE relocations: the kernel's type layouts, where a driver's own declarations leave them open.
//!
//! A driver declares the few members that it uses, in any order, and libbpf moves each access to that member in the
//! running kernel. A replay uses a kernel of the chosen generation. `struct hid_bpf_ctx` has that kernel's layout.
//! `struct hid_device` has all members of all its declarations in the object. Every other type is as the object
//! declares it.

use hidbpf_prelink::Generation;
use hidbpf_prelink::btf::{Btf, Member, Members, Type, essential_name};
use hidbpf_prelink::btf_ext::AccessRelocation;
use hidbpf_prelink::hook::{OPS, OPS_VALUE};

/// A member in the kernel's layout, in bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) bit_offset: u32,
    pub(crate) bit_size: u32,
}

/// A record in the kernel's layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) fields: Vec<Field>,
    /// In bytes.
    pub(crate) size: u32,
}

impl Layout {
    /// Returns the byte range of a member: from, to.
    pub(crate) fn bytes(&self, name: &str) -> Option<(u32, u32)> {
        let field = self.field(name)?;
        Some((field.bit_offset / 8, field.bit_offset.saturating_add(field.bit_size).div_ceil(8)))
    }

    fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    fn from_table(size: u32, table: &[(&str, u32, u32)]) -> Layout {
        let fields = table.iter().map(|(name, offset, size)| Field {
            name: (*name).to_owned(),
            bit_offset: offset * 8,
            bit_size: size * 8,
        });
        Layout { fields: fields.collect(), size }
    }

    /// `struct hid_bpf_ctx` (include/linux/hid_bpf.h of 6.6 and of 6.12).
    pub(crate) fn context(generation: Generation) -> Layout {
        match generation {
            Generation::FmodRet => Layout::from_table(
                32,
                &[
                    ("index", 0, 4),
                    ("hid", 8, 8),
                    ("allocated_size", 16, 4),
                    ("report_type", 20, 4),
                    ("retval", 24, 4),
                    ("size", 24, 4),
                ],
            ),
            Generation::StructOps => {
                Layout::from_table(16, &[("hid", 0, 8), ("allocated_size", 8, 4), ("retval", 12, 4), ("size", 12, 4)])
            }
        }
    }

    /// Returns `struct hid_device` with the members that the object declares: the largest declaration unchanged,
    /// followed by the members that only others have.
    pub(crate) fn device(btf: &Btf) -> Layout {
        let mut descriptions: Vec<_> = btf.flavours("hid_device").collect();
        descriptions.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        let mut layout = Layout::default();
        let mut most = MAX_MEMBERS;
        for (members, size) in descriptions {
            let mut described = Vec::new();
            collect(btf, members, 0, &mut described, &mut most);
            let base = layout.size.saturating_mul(8);
            described.retain(|field: &Field| layout.field(&field.name).is_none());
            if !described.is_empty() && size < MAX_RECORD {
                for field in &mut described {
                    field.bit_offset = field.bit_offset.saturating_add(base);
                }
                layout.fields.extend(described);
                layout.size = layout.size.saturating_add(size.next_multiple_of(8));
            }
        }
        layout
    }
}

/// The maximum number of members to visit in a record, including its nested records.
const MAX_MEMBERS: usize = 1 << 10;

/// The maximum size of a record, in bytes. The kernel's `struct hid_device` has about 7,000.
const MAX_RECORD: u32 = 1 << 16;

/// Collects a record's members, including those of its unnamed nested records. Stops after `most` members, since a
/// record in a damaged file can contain itself.
fn collect(btf: &Btf, members: Members<'_>, base: u32, into: &mut Vec<Field>, most: &mut usize) {
    for member in members.iter() {
        *most = match most.checked_sub(1) {
            Some(most) => most,
            None => return,
        };
        let bit_offset = base.saturating_add(member.bit_offset);
        let inner = btf.get(btf.resolve(member.ty));
        match inner {
            Type::Record { members, .. } if member.name.is_empty() => collect(btf, members, bit_offset, into, most),
            _ => into.push(Field { name: member.name.to_owned(), bit_offset, bit_size: bit_size(btf, &member) }),
        }
    }
}

fn bit_size(btf: &Btf, member: &Member<'_>) -> u32 {
    match member.bit_size {
        0 => btf.size_of(member.ty).unwrap_or(0).saturating_mul(8),
        bits => bits,
    }
}

/// The kernel that accesses are relocated to.
#[derive(Debug)]
pub(crate) struct Kernel<'a> {
    pub(crate) btf: &'a Btf,
    pub(crate) generation: Generation,
    pub(crate) context: &'a Layout,
    pub(crate) device: &'a Layout,
}

/// The target of an access, in the object's own types.
struct Path {
    /// The name of the first named member on the path.
    first: Option<String>,
    /// The offset of that member.
    first_offset: u32,
    bit_offset: u32,
    bit_size: u32,
    /// The size of the containing integer, in bytes.
    storage: u32,
    is_bit_field: bool,
    signed: bool,
}

/// The reason why a relocation can't be resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// The kernel doesn't have the member. Holds the names of the member and the record.
    NoMember(String, String),
    /// The relocation is invalid.
    Damaged(String),
}

const MEMBER_OFFSET: u32 = 0;
const MEMBER_SIZE: u32 = 1;
const MEMBER_EXISTS: u32 = 2;
const MEMBER_SIGNED: u32 = 3;
const MEMBER_LEFT_SHIFT: u32 = 4;
const MEMBER_RIGHT_SHIFT: u32 = 5;
const TYPE_ID_LOCAL: u32 = 6;
const TYPE_ID_TARGET: u32 = 7;
const TYPE_EXISTS: u32 = 8;
const TYPE_SIZE: u32 = 9;
const ENUM_EXISTS: u32 = 10;
const ENUM_VALUE: u32 = 11;
const TYPE_MATCHES: u32 = 12;

impl Kernel<'_> {
    /// Returns the number to put into the instruction.
    pub(crate) fn answer(&self, relocation: &AccessRelocation) -> Result<u64, NoAnswer> {
        let damaged =
            |what: &str| NoAnswer::Damaged(format!("the relocation `{}` {what}", relocation.access.escape_debug()));
        let name = match self.btf.get(self.btf.resolve(relocation.ty)) {
            Type::Record { name, .. } | Type::Enum { name, .. } | Type::Int { name, .. } | Type::Other { name } => name,
            _ => "",
        };
        let exists = self.has_type(essential_name(name));
        match relocation.kind {
            MEMBER_OFFSET..=MEMBER_RIGHT_SHIFT => {
                let path = self.path(relocation).ok_or_else(|| damaged("leads nowhere"))?;
                self.member(relocation.kind, essential_name(name), exists, &path)
            }
            TYPE_ID_LOCAL => Ok(relocation.ty.0.into()),
            TYPE_ID_TARGET => Ok(if exists { relocation.ty.0.into() } else { 0 }),
            TYPE_EXISTS | TYPE_MATCHES => Ok(exists.into()),
            TYPE_SIZE if !exists => Ok(0),
            TYPE_SIZE => match self.layout(essential_name(name)) {
                Some(layout) => Ok(layout.size.into()),
                None => {
                    self.btf.size_of(relocation.ty).map(u64::from).ok_or_else(|| damaged("is to a type without a size"))
                }
            },
            ENUM_EXISTS | ENUM_VALUE => {
                let Type::Enum { values, .. } = self.btf.get(self.btf.resolve(relocation.ty)) else {
                    return Err(damaged("is to no enumeration"));
                };
                let index: usize = relocation.access.parse().map_err(|_| damaged("has no number"))?;
                let (_, value) = values.get(index).ok_or_else(|| damaged("is to no value"))?;
                Ok(if relocation.kind == ENUM_EXISTS { 1 } else { value })
            }
            kind => Err(NoAnswer::Damaged(format!("relocations of kind {kind} are unknown"))),
        }
    }

    fn layout(&self, name: &str) -> Option<&Layout> {
        match name {
            "hid_bpf_ctx" => Some(self.context),
            "hid_device" => Some(self.device),
            _ => None,
        }
    }

    /// Returns whether the kernel has a type. Drivers test these types to tell the generations apart. All others exist.
    fn has_type(&self, name: &str) -> bool {
        let newer = [OPS_VALUE, "bpf_wq"].contains(&name);
        !newer || self.generation == Generation::StructOps
    }

    fn member(&self, kind: u32, record: &str, exists: bool, path: &Path) -> Result<u64, NoAnswer> {
        let mut bit_offset = Some(path.bit_offset);
        if let Some(first) = &path.first {
            if let Some(layout) = self.layout(record) {
                // The kernel's offset of the member, plus the offset of the access in it.
                let moved = layout.field(first).map(|field| field.bit_offset);
                bit_offset = moved.map(|moved| moved.saturating_add(path.bit_offset.saturating_sub(path.first_offset)));
            }
            // The record with that name in older kernels has nothing in common with this one.
            let older_ops = record == OPS && self.generation == Generation::FmodRet;
            if !exists || older_ops {
                bit_offset = None;
            }
        }
        let Some(bit_offset) = bit_offset else {
            return match kind {
                MEMBER_EXISTS => Ok(0),
                _ => Err(NoAnswer::NoMember(path.first.clone().unwrap_or_default(), record.to_owned())),
            };
        };
        let storage = path.storage.max(1);
        // A bit field is read as the integer that contains it, as libbpf counts bits on little-endian machines.
        let byte_offset = if path.is_bit_field { bit_offset / 8 / storage * storage } else { bit_offset / 8 };
        let within = bit_offset.saturating_sub(byte_offset.saturating_mul(8));
        let left = u64::from(64u32.saturating_sub(within.saturating_add(path.bit_size)));
        match kind {
            MEMBER_OFFSET => Ok(byte_offset.into()),
            MEMBER_SIZE => Ok(storage.into()),
            MEMBER_EXISTS => Ok(1),
            MEMBER_SIGNED => Ok(path.signed.into()),
            MEMBER_LEFT_SHIFT => Ok(left),
            _ => Ok(u64::from(64u32.saturating_sub(path.bit_size))),
        }
    }

    /// Follows the indices of a relocation through the object's own types.
    fn path(&self, relocation: &AccessRelocation) -> Option<Path> {
        let mut indices = relocation.access.split(':').map(|index| index.parse::<u32>().ok());
        let mut ty = self.btf.resolve(relocation.ty);
        // The first index is into an array of such records.
        let start = indices.next()??.checked_mul(self.btf.size_of(ty).unwrap_or(0))?.checked_mul(8)?;
        let mut path = Path {
            first: None,
            first_offset: 0,
            bit_offset: start,
            bit_size: 0,
            storage: 0,
            is_bit_field: false,
            signed: false,
        };
        for index in indices {
            let index = index?;
            path.bit_size = 0;
            match self.btf.get(ty) {
                Type::Record { members, .. } => {
                    let member = members.get(index as usize)?;
                    path.bit_offset = path.bit_offset.checked_add(member.bit_offset)?;
                    path.bit_size = member.bit_size;
                    if path.first.is_none() && !member.name.is_empty() {
                        path.first = Some(member.name.to_owned());
                        path.first_offset = path.bit_offset;
                    }
                    ty = self.btf.resolve(member.ty);
                }
                Type::Array { element, .. } => {
                    let size = self.btf.size_of(element)?;
                    path.bit_offset = path.bit_offset.checked_add(index.checked_mul(size)?.checked_mul(8)?)?;
                    ty = self.btf.resolve(element);
                }
                _ => return None,
            }
        }
        path.storage = self.btf.size_of(ty).unwrap_or(0);
        path.is_bit_field = path.bit_size != 0;
        if !path.is_bit_field {
            path.bit_size = path.storage.checked_mul(8)?;
        }
        path.signed = matches!(self.btf.get(ty), Type::Int { signed: true, .. } | Type::Enum { signed: true, .. });
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hidbpf_prelink::btf::TypeId;

    #[test]
    fn only_older_kernels_tell_the_report_type_in_the_context() {
        let (older, newer) = (Layout::context(Generation::FmodRet), Layout::context(Generation::StructOps));
        assert_eq!(older.bytes("report_type"), Some((20, 24)));
        assert_eq!(newer.bytes("report_type"), None);
        assert_eq!((older.bytes("size"), newer.bytes("size")), (Some((24, 28)), Some((12, 16))));
        assert_eq!((older.bytes("hid"), newer.bytes("hid")), (Some((8, 16)), Some((0, 8))));
    }

    /// Structs and arrays that contain themselves, as in a damaged file.
    #[test]
    fn types_that_hold_themselves_have_an_end() {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        let types: [u32; 12] = [1, 4 << 24 | 1, 8, 0, 2, 0, 0, 8 << 24, 2, 0, 3 << 24, 0];
        let array: [u32; 3] = [3, 3, u32::MAX];
        for number in
            [24, 0, (types.len() as u32 + 3) * 4, (types.len() as u32 + 3) * 4, 12].iter().chain(&types).chain(&array)
        {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(b"\0hid_device\0");
        let btf = Btf::parse(&bytes).unwrap();
        for id in 0..6 {
            btf.resolve(TypeId(id));
            btf.size_of(TypeId(id));
        }
        Layout::device(&btf);
    }
}
