//! The format of the section with the results of [`crate::link()`]: its content, its writer and its reader.
//!
//! Parts follow each other, each list after its length, so there are no pointers. All numbers are little-endian. The
//! reader checks everything that the kernel doesn't check. In particular, every position that a loader uses is within
//! bounds.

use std::ffi::CStr;
use std::fmt;

use object::read::elf::{ElfFile64, ElfSection64};
use object::{Object as _, ObjectSection as _, SectionFlags};
use xxhash_rust::xxh3::Xxh3;
use zerocopy::little_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::btf::{self, Extent};
use crate::btf_ext;

/// The ELF section.
pub const SECTION: &str = ".hidbpf.prelinked";

/// The version of the section's format. A reader supports one.
pub const VERSION: u32 = 3;

/// The first bytes of the section.
const MAGIC: [u8; 4] = *b"HBPL";

/// The size of an instruction in bytes: `struct bpf_insn` (include/uapi/linux/bpf.h).
pub const INSTRUCTION_SIZE: usize = 8;

/// An instruction in its loaded form.
pub type Instruction = [u8; INSTRUCTION_SIZE];

/// The maximum number of instructions of a program, including the functions that it calls: the kernel's limit
/// (`BPF_COMPLEXITY_LIMIT_INSNS`).
pub const MAX_INSTRUCTIONS: usize = 1_000_000;

/// The maximum size of a map's value in bytes. No driver needs more.
const MAX_VALUE: u32 = 16 << 20;

/// The number of characters that the kernel keeps of a name (`BPF_OBJ_NAME_LEN` without the zero).
pub const KERNEL_NAME_MAX: usize = 15;

/// The maximum number of characters of the names of programs and maps. Foreign objects have names that are longer than
/// [`KERNEL_NAME_MAX`], which loaders shorten for the kernel.
const NAME_MAX: usize = 63;

/// A 128-bit XXH3. It detects damaged or mixed-up objects, but not forged ones: an attacker who can write objects needs
/// no forgery.
pub type Checksum = [u8; 16];

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    version: U32,
    /// The size of the section in bytes, header included.
    size: U32,
    /// The [`source`] of the object.
    source: Checksum,
}

/// A map without its content, for `BPF_MAP_CREATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct MapAttributes {
    /// `enum bpf_map_type`.
    pub kind: U32,
    /// The size of a key in bytes.
    pub key_size: U32,
    /// The size of a value in bytes.
    pub value_size: U32,
    /// The maximum number of entries.
    pub max_entries: U32,
    /// `BPF_F_*`.
    pub flags: U32,
    /// The key's type in [`Prelinked::btf`], 0 for none.
    pub key_type: U32,
    /// The value's type in [`Prelinked::btf`], 0 for none.
    pub value_type: U32,
}

impl MapAttributes {
    /// `BPF_F_RDONLY_PROG`: programs only read the map.
    pub const READ_ONLY: u32 = 1 << 7;

    /// Returns whether its value has a type. The kernel uses the type to find its own fields in the value: timers and
    /// work items.
    pub fn is_typed(&self) -> bool {
        self.value_type.get() != 0
    }

    /// Returns whether programs only read it. Such a map is frozen before the programs are loaded.
    pub fn is_read_only(&self) -> bool {
        self.flags.get() & MapAttributes::READ_ONLY != 0
    }
}

/// A map that programs use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map<'a> {
    /// Its name. For a data section, the section's name with its dot.
    pub name: &'a str,
    /// The attributes to create it.
    pub attributes: MapAttributes,
    /// The initial value without the zeros at its end.
    pub contents: &'a [u8],
}

impl Map<'_> {
    /// Returns whether it is a data section. Otherwise the source defines it.
    pub fn is_data(&self) -> bool {
        self.name.starts_with('.')
    }
}

/// A kernel function that programs call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kfunc<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether to load programs if the kernel doesn't have the function.
    pub weak: bool,
}

/// A member of a kernel struct that nearly all programs access. Loaders find its position in the running kernel once
/// per boot.
///
/// For other members each program has a [`CoreRelocation`]. These are slow: the kernel searches all of its types the
/// first time that a struct is requested, which takes longer than loading a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The name of the struct.
    pub of: &'static str,
    /// Its name. It may be in an unnamed union.
    pub name: &'static str,
    /// Its size in bytes. If the kernel's size differs, programs compiled for this size must be changed.
    pub size: u32,
}

/// The members that [`Reference::index`] refers to. The build of hid-bpf-src makes C macros of this list, for the program
/// that finds their places.
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

/// `struct bpf_core_relo`: a value that the kernel writes into an instruction, based on its own types (CO-RE).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct CoreRelocation {
    /// The offset of the instruction, in bytes.
    pub offset: U32,
    /// The type in [`Prelinked::btf`].
    pub ty: U32,
    /// The offset of the path to the member, in the strings of [`Prelinked::btf`].
    pub access: U32,
    /// `enum bpf_core_relo_kind`.
    pub kind: U32,
}

/// An instruction that a loader writes a number into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Reference {
    /// The index of the instruction in the program.
    pub instruction: U32,
    /// One of [`ReferenceKind`].
    kind: U32,
    /// The index of the map, kfunc or member of [`MEMBERS`].
    pub index: U32,
}

/// The kinds of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ReferenceKind {
    /// A map: the instruction's first immediate becomes the map's file descriptor.
    Map = 0,
    /// A byte of a map's value: like [`ReferenceKind::Map`], but the second immediate is the byte's offset.
    MapValue = 1,
    /// A call of a kfunc.
    KfuncCall = 2,
    /// The address of a kfunc, 0 if the kernel doesn't have it.
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

    /// Returns the kind of the reference.
    pub fn kind(&self) -> ReferenceKind {
        // The reader has refused invalid kinds.
        ReferenceKind::of(self.kind.get()).unwrap_or(ReferenceKind::Map)
    }

    /// Returns the index of the instruction.
    pub fn at(&self) -> usize {
        self.instruction.get() as usize
    }
}

/// A program, followed by the functions that it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its original section without the `?`, which determines its purpose: `struct_ops/hid_rdesc_fixup`.
    pub section: &'a str,
    /// The instructions. Those in [`Program::references`] don't have their numbers yet.
    pub instructions: &'a [Instruction],
    /// A record for the program and for each function after it.
    pub functions: &'a [FunctionInfo],
    /// The values that the kernel writes.
    pub relocations: &'a [CoreRelocation],
    /// The numbers that the loader writes.
    pub references: &'a [Reference],
}

/// All data needed to load an object's programs, for kernels of both generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prelinked<'a> {
    /// The [`source`] of the object.
    pub source: Checksum,
    /// The types that the rest refers to, and no others.
    pub btf: &'a [u8],
    /// The programs' licence. It determines which functions the kernel lets them call.
    pub license: &'a CStr,
    /// The name of the struct_ops map, empty if there is none.
    pub ops: &'a str,
    /// The maps that programs refer to.
    pub maps: Vec<Map<'a>>,
    /// The kernel functions that programs refer to.
    pub kfuncs: Vec<Kfunc<'a>>,
    /// The programs.
    pub programs: Vec<Program<'a>>,
}

/// The reason why the prelinked programs can't be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unusable {
    /// The object has no such section.
    #[error("it was built without prelinked programs")]
    Absent,
    /// It has another format version.
    #[error("its prelinked programs are of version {found}, and this hidbpf knows version {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// The object is a foreign one, and can't be linked without libbpf.
    #[error("it can't be linked without libbpf: {0}")]
    NotLinked(String),
    /// They were not created from the programs in this object.
    #[error("its prelinked programs were made from another object")]
    OtherObject,
    /// They are inconsistent.
    #[error("its prelinked programs are damaged at byte {offset}: {reason}")]
    Damaged {
        /// The offset in the section.
        offset: usize,
        /// The cause.
        reason: String,
    },
}

/// Returns the checksum of all parts of an object that [`crate::link()`] reads: the loaded sections, and the types.
///
/// # Errors
/// A section is outside the file.
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

/// Returns whether [`source`] covers a section.
///
/// # Errors
/// Its name is outside the file.
pub fn is_source(section: &ElfSection64<'_, '_>) -> object::Result<bool> {
    let loaded =
        matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(object::elf::SHF_ALLOC));
    Ok(loaded || [btf::SECTION, btf_ext::SECTION].map(str::as_bytes).contains(&section.name_bytes()?))
}

/// The unread part of the section.
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

    /// Reads a name. It may contain the characters that the kernel accepts in names, and for sections a few more.
    fn name(&mut self, most: usize, more: &str) -> Result<&'a str, Unusable> {
        let bytes = self.list::<u8>()?;
        let fits = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_' || more.as_bytes().contains(c);
        match std::str::from_utf8(bytes) {
            Ok(name) if bytes.len() <= most && bytes.iter().all(fits) => Ok(name),
            _ => Err(self.damaged(format!("`{}` can't be a name", bytes.escape_ascii()))),
        }
    }

    fn map(&mut self, types: u32) -> Result<Map<'a>, Unusable> {
        let name = self.name(NAME_MAX, ".")?;
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
        let name = self.name(NAME_MAX, "")?;
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

/// The opcodes of instructions with references.
pub(crate) mod opcode {
    use super::Instruction;

    /// `BPF_LD | BPF_IMM | BPF_DW`, the only double instruction.
    pub(crate) const LOAD_IMMEDIATE: u8 = 0x18;
    /// `BPF_JMP | BPF_CALL`.
    pub(crate) const CALL: u8 = 0x85;
    /// `BPF_PSEUDO_*` in the instruction's second register: the meaning of its immediate.
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

    /// Returns the number of bytes that an instruction reads or writes in memory at its offset. `None` if it does
    /// neither.
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
    /// Reads the section of an object with this [`source`].
    ///
    /// # Errors
    /// There is no section, it is invalid, or it was created from another object.
    pub fn of_object(elf: &ElfFile64<'a>, source: &Checksum) -> Result<Prelinked<'a>, Unusable> {
        let section = elf.section_by_name(SECTION).ok_or(Unusable::Absent)?;
        let outside = |error: object::Error| Unusable::Damaged { offset: 0, reason: error.to_string() };
        let prelinked = Prelinked::parse(section.data().map_err(outside)?)?;
        match *source == prelinked.source {
            true => Ok(prelinked),
            false => Err(Unusable::OtherObject),
        }
    }

    /// Parses the section.
    ///
    /// # Errors
    /// It has another version, or is inconsistent.
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
        let ops = reader.name(NAME_MAX, "")?;
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

    /// Returns the bytes that [`Prelinked::parse`] reads.
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

    /// Returns the program with a name.
    pub fn program(&self, name: &str) -> Option<&Program<'a>> {
        self.programs.iter().find(|program| program.name == name)
    }
}

impl Kfunc<'_> {
    /// The maximum length of a kfunc's name: the size of the field in the syscall program that looks kfuncs up.
    pub const NAME_MAX: usize = 31;
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
}

fn put<T: IntoBytes + Immutable>(bytes: &mut Vec<u8>, list: &[T]) {
    put_count(bytes, list.len());
    bytes.extend_from_slice(list.as_bytes());
}
