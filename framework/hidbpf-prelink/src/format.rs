//! The section in which an object carries what [`crate::link()`] made of it: what is in it, how it is written, how it is read.
//!
//! One part after the other, each list with its length before it, so that nothing points to anywhere; all numbers are little-endian.
//! The reader takes nothing on trust but what the kernel looks at anyway: whatever a loader will use as a position is known to be
//! inside of what it is a position in.

use std::ffi::CStr;
use std::fmt;

use object::read::elf::{ElfFile64, ElfSection64};
use object::{Object as _, ObjectSection as _, SectionFlags};
use xxhash_rust::xxh3::Xxh3;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::btf::Extent;

/// The ELF section.
pub const SECTION: &str = ".hidbpf.prelinked";

/// The version of what is in the section. A reader knows one.
pub const VERSION: u32 = 3;

/// The first bytes of the section.
const MAGIC: [u8; 4] = *b"HBPL";

/// The bytes of an instruction: `struct bpf_insn` (include/uapi/linux/bpf.h).
pub const INSTRUCTION_SIZE: usize = 8;

/// An instruction as it is loaded.
pub type Instruction = [u8; INSTRUCTION_SIZE];

/// The most instructions of a program, with the functions that it calls: the kernel's limit (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MAX_INSTRUCTIONS: usize = 1_000_000;

/// The most bytes of a map's value that are taken for what a driver needs.
const MAX_VALUE: u32 = 16 << 20;

/// The characters that the kernel keeps of a name, its zero not counted (`BPF_OBJ_NAME_LEN`).
pub const KERNEL_NAME_MAX: usize = 15;

/// An XXH3 of 128 bits. It tells what is damaged or mixed up, not what is forged: who can write an object has no need to forge one.
pub type Checksum = [u8; 16];

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: U32,
    /// Bytes of the section, these included.
    size: U32,
    /// [`source`] of the object.
    source: Checksum,
}

/// A map without its contents, as `BPF_MAP_CREATE` wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct MapAttributes {
    /// `enum bpf_map_type`.
    pub kind: U32,
    /// Bytes of a key.
    pub key_size: U32,
    /// Bytes of a value.
    pub value_size: U32,
    /// How many entries there can be.
    pub max_entries: U32,
    /// `BPF_F_*`.
    pub flags: U32,
    /// The key's type in [`Prelinked::btf`], 0 for none.
    pub key_type: U32,
    /// The value's type in [`Prelinked::btf`], 0 for none.
    pub value_type: U32,
}

impl MapAttributes {
    /// `BPF_F_RDONLY_PROG`: programs only read it.
    pub const READ_ONLY: u32 = 1 << 7;

    /// Whether its value has a type, by which the kernel finds what is its own in there: timers and work items.
    pub fn is_typed(&self) -> bool {
        self.value_type.get() != 0
    }

    /// Whether programs only read it, so that it is frozen before they are loaded.
    pub fn is_read_only(&self) -> bool {
        self.flags.get() & MapAttributes::READ_ONLY != 0
    }
}

/// A map that programs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map<'a> {
    /// Its name; for a section of data that of the section, with its dot.
    pub name: &'a str,
    /// How it is created.
    pub attributes: MapAttributes,
    /// What the value is at first, as far as it is not zeros.
    pub contents: &'a [u8],
}

impl Map<'_> {
    /// Whether it is a section of data; else the source defines it.
    pub fn is_data(&self) -> bool {
        self.name.starts_with('.')
    }
}

/// A function of the kernel's that programs call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kfunc<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether programs are to be loaded where the kernel has no such function.
    pub weak: bool,
}

/// A member of one of the kernel's structs that nearly all programs access, so that loaders look up once a boot where the running kernel has
/// it. For other members each program has a [`CoreRelocation`]: the kernel goes through all of its types for each struct that is asked for
/// first, which takes longer than loading a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name of the struct.
    pub of: &'static str,
    /// Its own name; it may be in a union without one.
    pub name: &'static str,
    /// Its bytes. Programs that were compiled for as many have to be changed where a kernel has it larger or smaller.
    pub size: u32,
}

/// The members that [`Reference::index`] counts. `struct resolve_members` of hid-bpf-src/resolve.bpf.c has the same order.
pub const MEMBERS: [Member; 2] =
    [Member { of: "hid_bpf_ctx", name: "size", size: 4 }, Member { of: "hid_bpf_ctx", name: "report_type", size: 4 }];

/// `struct bpf_func_info`: a function's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct FunctionInfo {
    /// The function's first instruction.
    pub instruction: U32,
    /// Its type in [`Prelinked::btf`].
    pub ty: U32,
}

/// `struct bpf_core_relo`: what the kernel puts into an instruction, from its own types (CO-RE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct CoreRelocation {
    /// Where the instruction is, in bytes.
    pub offset: U32,
    /// The type in [`Prelinked::btf`].
    pub ty: U32,
    /// Where in the strings of [`Prelinked::btf`] the way to the member is told.
    pub access: U32,
    /// `enum bpf_core_relo_kind`.
    pub kind: U32,
}

/// An instruction that a loader writes a number into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Reference {
    /// Which instruction of the program.
    pub instruction: U32,
    /// One of [`ReferenceKind`].
    kind: U32,
    /// Which map, kfunc or member of [`MEMBERS`].
    pub index: U32,
}

/// What an instruction refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ReferenceKind {
    /// A map: the instruction's first immediate becomes its descriptor.
    Map = 0,
    /// A byte of a map's value: as [`ReferenceKind::Map`]; the second immediate says which byte.
    MapValue = 1,
    /// A call of a kfunc.
    KfuncCall = 2,
    /// The address of a kfunc, 0 where there is none.
    KfuncAddress = 3,
    /// An access to a member: the instruction's offset becomes the member's.
    Member = 4,
}

impl ReferenceKind {
    fn of(number: u32) -> Option<ReferenceKind> {
        use ReferenceKind::{KfuncAddress, KfuncCall, Map, MapValue, Member};
        let kinds = [Map, MapValue, KfuncCall, KfuncAddress, Member];
        kinds.into_iter().find(|kind| *kind as u32 == number)
    }
}

impl Reference {
    pub(crate) fn new(instruction: usize, kind: ReferenceKind, index: usize) -> Reference {
        Reference { instruction: (instruction as u32).into(), kind: (kind as u32).into(), index: (index as u32).into() }
    }

    /// What kind of thing [`Reference::index`] counts.
    pub fn kind(&self) -> ReferenceKind {
        // The reader has refused what is none.
        ReferenceKind::of(self.kind.get()).unwrap_or(ReferenceKind::Map)
    }

    /// The instruction, as an index.
    pub fn at(&self) -> usize {
        self.instruction.get() as usize
    }
}

/// A program, with the functions that it calls behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// Its name.
    pub name: &'a str,
    /// The section that it was in, which says what it is for, without the `?`: `struct_ops/hid_rdesc_fixup`.
    pub section: &'a str,
    /// The instructions; all that [`Program::references`] name are still without their numbers.
    pub instructions: &'a [Instruction],
    /// A record for it and for each function behind it.
    pub functions: &'a [FunctionInfo],
    /// What the kernel puts in.
    pub relocations: &'a [CoreRelocation],
    /// What the loader puts in.
    pub references: &'a [Reference],
}

/// All that loading an object's programs takes, for kernels of both generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prelinked<'a> {
    /// [`source`] of the object.
    pub source: Checksum,
    /// The types that the rest refers to, and no others.
    pub btf: &'a [u8],
    /// The programs' licence, by which the kernel decides what they may call.
    pub license: &'a CStr,
    /// The name of the struct_ops map; empty where there is none.
    pub ops: &'a str,
    /// The maps that programs refer to.
    pub maps: Vec<Map<'a>>,
    /// The kernel's functions that programs refer to.
    pub kfuncs: Vec<Kfunc<'a>>,
    /// The programs.
    pub programs: Vec<Program<'a>>,
}

/// Why there are no prelinked programs that can be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The object has no such section.
    #[error("it was built without prelinked programs")]
    Absent,
    /// It was built for another version of this.
    #[error("its prelinked programs are of version {found}, and this hidbpf knows version {VERSION}")]
    Version {
        /// The version that it was built for.
        found: u32,
    },
    /// They were not made from the programs in the object.
    #[error("its prelinked programs were made from another object")]
    OtherObject,
    /// They contradict themselves.
    #[error("its prelinked programs are damaged at byte {offset}: {reason}")]
    Damaged {
        /// Where in the section.
        offset: usize,
        /// In what way.
        reason: String,
    },
}

/// The sum of all in an object that [`crate::link()`] looks at: what is loaded, and the types.
///
/// # Errors
/// A section lies outside of the file.
pub fn source(elf: &ElfFile64<'_>) -> object::Result<Checksum> {
    let mut sum = Xxh3::new();
    for section in elf.sections() {
        if !is_source(&section)? {
            continue;
        }
        let (name, data) = (section.name_bytes()?, section.data()?);
        sum.update([name.len() as u64, data.len() as u64, section.size()].as_bytes());
        sum.update(name);
        sum.update(data);
    }
    Ok(sum.digest128().to_le_bytes())
}

/// Whether a section is one that [`source`] covers.
///
/// # Errors
/// Its name lies outside of the file.
pub fn is_source(section: &ElfSection64<'_, '_>) -> object::Result<bool> {
    let loaded =
        matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(object::elf::SHF_ALLOC));
    Ok(loaded || [&b".BTF"[..], b".BTF.ext"].contains(&section.name_bytes()?))
}

/// The part of the section that has not been read yet.
struct Reader<'a> {
    whole: usize,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn damaged(&self, reason: impl fmt::Display) -> Unusable {
        Unusable::Damaged { offset: self.whole - self.rest.len(), reason: reason.to_string() }
    }

    fn one<T: FromBytes + KnownLayout + Immutable + Unaligned>(&mut self) -> Result<&'a T, Unusable> {
        let (one, rest) = T::ref_from_prefix(self.rest).map_err(|_| self.damaged("it ends here"))?;
        self.rest = rest;
        Ok(one)
    }

    fn count(&mut self) -> Result<usize, Unusable> {
        Ok(self.one::<U32>()?.get() as usize)
    }

    fn list<T: FromBytes + IntoBytes + Immutable + Unaligned>(&mut self) -> Result<&'a [T], Unusable> {
        let count = self.count()?;
        let (list, rest) = <[T]>::ref_from_prefix_with_elems(self.rest, count)
            .map_err(|_| self.damaged(format!("{count} entries were to follow, and it ends before")))?;
        self.rest = rest;
        Ok(list)
    }

    /// A text of characters that the kernel takes in names, and of a few more in those of sections.
    fn name(&mut self, most: usize, more: &str) -> Result<&'a str, Unusable> {
        let bytes = self.list::<u8>()?;
        let fits = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_' || more.as_bytes().contains(c);
        match std::str::from_utf8(bytes) {
            Ok(name) if bytes.len() <= most && bytes.iter().all(fits) => Ok(name),
            _ => Err(self.damaged(format!("`{}` can't be a name", bytes.escape_ascii()))),
        }
    }

    fn map(&mut self, types: u32) -> Result<Map<'a>, Unusable> {
        let name = self.name(KERNEL_NAME_MAX, ".")?;
        let attributes = *self.one::<MapAttributes>()?;
        let contents = self.list::<u8>()?;
        let map = Map { name, attributes, contents };
        let size = attributes.value_size.get();
        if size == 0 || size > MAX_VALUE || contents.len() > size as usize {
            return Err(self.damaged(format!("the map `{name}` has {} bytes for a value of {size}", contents.len())));
        }
        if !contents.is_empty() && (attributes.key_size.get(), attributes.max_entries.get()) != (4, 1) {
            return Err(self.damaged(format!("the map `{name}` has contents and not the one entry that they are for")));
        }
        if [attributes.key_type, attributes.value_type].iter().any(|ty| ty.get() >= types) {
            return Err(self.damaged(format!("the map `{name}` is of a type that is not there")));
        }
        Ok(map)
    }

    fn program(&mut self, extent: &Extent, maps: &[Map<'_>], kfuncs: usize) -> Result<Program<'a>, Unusable> {
        let name = self.name(KERNEL_NAME_MAX, "")?;
        let section = self.name(64, "./")?;
        let program = Program {
            name,
            section,
            instructions: self.list()?,
            functions: self.list()?,
            relocations: self.list()?,
            references: self.list()?,
        };
        let length = program.instructions.len();
        if length == 0 || length > MAX_INSTRUCTIONS {
            return Err(self.damaged(format!("the program `{name}` has {length} instructions")));
        }
        for function in program.functions {
            if function.instruction.get() as usize >= length || function.ty.get() >= extent.types {
                return Err(self.damaged(format!("a function of the program `{name}` lies outside of it")));
            }
        }
        for relocation in program.relocations {
            let offset = relocation.offset.get() as usize;
            let inside = offset.is_multiple_of(INSTRUCTION_SIZE) && offset / INSTRUCTION_SIZE < length;
            if !inside || relocation.ty.get() >= extent.types || relocation.access.get() >= extent.strings {
                return Err(self.damaged(format!("a relocation of the program `{name}` lies outside of it")));
            }
        }
        for reference in program.references {
            let (at, index) = (reference.at(), reference.index.get() as usize);
            let (first, second) = (program.instructions.get(at), program.instructions.get(at.saturating_add(1)));
            let is_load = first.is_some_and(|first| first[0] == opcode::LOAD_IMMEDIATE) && second.is_some();
            let fits = match ReferenceKind::of(reference.kind.get()) {
                Some(ReferenceKind::Map) => is_load && index < maps.len(),
                Some(ReferenceKind::MapValue) => {
                    let size = maps.get(index).map_or(0, |map| map.attributes.value_size.get());
                    is_load && second.is_some_and(|second| opcode::immediate(*second) < size)
                }
                Some(ReferenceKind::KfuncCall) => {
                    first.is_some_and(|first| opcode::is_kfunc_call(*first)) && index < kfuncs
                }
                Some(ReferenceKind::KfuncAddress) => is_load && index < kfuncs,
                Some(ReferenceKind::Member) => {
                    let accessed = first.and_then(|first| opcode::accessed(*first));
                    MEMBERS.get(index).is_some_and(|member| Some(member.size) == accessed)
                }
                None => false,
            };
            if !fits {
                return Err(self.damaged(format!("a reference of the program `{name}` is to nothing")));
            }
        }
        Ok(program)
    }
}

/// What instructions look like that refer to something.
pub(crate) mod opcode {
    use super::Instruction;

    /// `BPF_LD | BPF_IMM | BPF_DW`, the one instruction of two halves.
    pub(crate) const LOAD_IMMEDIATE: u8 = 0x18;
    /// `BPF_JMP | BPF_CALL`.
    pub(crate) const CALL: u8 = 0x85;
    /// `BPF_PSEUDO_*`, in the instruction's second register: what its immediate is.
    pub(crate) const MAP: u8 = 1;
    pub(crate) const MAP_VALUE: u8 = 2;
    pub(crate) const FUNCTION: u8 = 4;
    pub(crate) const CALL_FUNCTION: u8 = 1;
    pub(crate) const CALL_KFUNC: u8 = 2;

    pub(crate) fn immediate([.., a, b, c, d]: Instruction) -> u32 {
        u32::from_le_bytes([a, b, c, d])
    }

    pub(crate) fn is_kfunc_call(instruction: Instruction) -> bool {
        instruction[0] == CALL && instruction[1] >> 4 == CALL_KFUNC
    }

    /// How many bytes an instruction reads from memory or writes to it, at its offset from an address; `None` for one that does neither.
    pub(crate) fn accessed([code, ..]: Instruction) -> Option<u32> {
        /// `BPF_MEM` with `BPF_LDX`, `BPF_ST` and `BPF_STX`.
        const ACCESSES: [u8; 3] = [0x61, 0x62, 0x63];
        /// The bits for the size.
        const SIZE: u8 = 0x18;
        // `BPF_W`, `BPF_H`, `BPF_B`, `BPF_DW`.
        let size = [4, 2, 1, 8][usize::from((code & SIZE) >> 3)];
        ACCESSES.contains(&(code & !SIZE)).then_some(size)
    }
}

impl<'a> Prelinked<'a> {
    /// Reads what an object carries whose [`source`] is this.
    ///
    /// # Errors
    /// It carries nothing, something else, or what was made from another object.
    pub fn of_object(elf: &ElfFile64<'a>, source: &Checksum) -> Result<Prelinked<'a>, Unusable> {
        let section = elf.section_by_name(SECTION).ok_or(Unusable::Absent)?;
        let outside = |error: object::Error| Unusable::Damaged { offset: 0, reason: error.to_string() };
        let prelinked = Prelinked::parse(section.data().map_err(outside)?)?;
        match *source == prelinked.source {
            true => Ok(prelinked),
            false => Err(Unusable::OtherObject),
        }
    }

    /// Reads the section.
    ///
    /// # Errors
    /// It is of another version, or contradicts itself.
    pub fn parse(bytes: &'a [u8]) -> Result<Prelinked<'a>, Unusable> {
        let mut reader = Reader { whole: bytes.len(), rest: bytes };
        let header = reader.one::<Header>()?;
        if header.magic != MAGIC {
            return Err(reader.damaged("it does not begin as such a section does"));
        }
        if header.version.get() != VERSION {
            return Err(Unusable::Version { found: header.version.get() });
        }
        if header.size.get() as usize != bytes.len() {
            return Err(reader.damaged(format!("it has {} bytes instead of {}", bytes.len(), header.size)));
        }
        let btf = reader.list::<u8>()?;
        let extent = Extent::of(btf).map_err(|error| reader.damaged(format!("in its type information, {error}")))?;
        let license = CStr::from_bytes_with_nul(reader.list()?).map_err(|error| reader.damaged(error))?;
        let ops = reader.name(KERNEL_NAME_MAX, "")?;
        let mut maps = Vec::new();
        for _ in 0..reader.count()? {
            maps.push(reader.map(extent.types)?);
        }
        let mut kfuncs = Vec::new();
        for _ in 0..reader.count()? {
            let weak = match reader.one::<u8>()? {
                0 => false,
                1 => true,
                other => return Err(reader.damaged(format!("a kfunc is neither weak nor not: {other}"))),
            };
            kfuncs.push(Kfunc { weak, name: reader.name(Kfunc::NAME_MAX, "")? });
        }
        let mut programs = Vec::new();
        for _ in 0..reader.count()? {
            programs.push(reader.program(&extent, &maps, kfuncs.len())?);
        }
        if !reader.rest.is_empty() {
            return Err(reader.damaged("something follows its last part"));
        }
        Ok(Prelinked { source: header.source, btf, license, ops, maps, kfuncs, programs })
    }

    /// What [`Prelinked::parse`] reads.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header { magic: MAGIC, version: VERSION.into(), size: 0.into(), source: self.source };
        let mut bytes = header.as_bytes().to_vec();
        put(&mut bytes, self.btf);
        put(&mut bytes, self.license.to_bytes_with_nul());
        put(&mut bytes, self.ops.as_bytes());
        put_count(&mut bytes, self.maps.len());
        for map in &self.maps {
            put(&mut bytes, map.name.as_bytes());
            bytes.extend_from_slice(map.attributes.as_bytes());
            put(&mut bytes, map.contents);
        }
        put_count(&mut bytes, self.kfuncs.len());
        for kfunc in &self.kfuncs {
            bytes.push(kfunc.weak.into());
            put(&mut bytes, kfunc.name.as_bytes());
        }
        put_count(&mut bytes, self.programs.len());
        for program in &self.programs {
            put(&mut bytes, program.name.as_bytes());
            put(&mut bytes, program.section.as_bytes());
            put(&mut bytes, program.instructions);
            put(&mut bytes, program.functions);
            put(&mut bytes, program.relocations);
            put(&mut bytes, program.references);
        }
        let size = U32::new(bytes.len() as u32);
        let at = std::mem::offset_of!(Header, size);
        bytes[at..at + size_of::<U32>()].copy_from_slice(size.as_bytes());
        bytes
    }

    /// The program of a name.
    pub fn program(&self, name: &str) -> Option<&Program<'a>> {
        self.programs.iter().find(|program| program.name == name)
    }
}

impl Kfunc<'_> {
    /// The characters that a kfunc's name may have: what the syscall program that looks them up has room for.
    pub const NAME_MAX: usize = 31;
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
}

fn put<T: IntoBytes + Immutable>(bytes: &mut Vec<u8>, list: &[T]) {
    put_count(bytes, list.len());
    bytes.extend_from_slice(list.as_bytes());
}
