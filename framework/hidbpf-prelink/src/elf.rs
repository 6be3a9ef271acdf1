//! Opens an object as an ELF file, and finds its variables.

use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Endianness, Object as _, ObjectSection, ObjectSymbol as _, SectionFlags, SectionIndex, SymbolKind};

/// An object's ELF file. [`crate::limits::check`] says whether it is small enough to be copied or hashed.
pub type Elf<'a> = ElfFile64<'a, Endianness>;

/// Why a file is not an object of BPF programs that a loader can use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotBpf {
    /// Not a 64-bit ELF file, or a damaged one.
    #[error("it is not an ELF file, or a damaged one: {0}")]
    Elf(object::Error),
    /// A file for another machine.
    #[error("it is for another machine (ELF machine {machine}, expected {}, BPF)", object::elf::EM_BPF)]
    Machine {
        /// `EM_*`.
        machine: u16,
    },
    /// A big-endian file.
    #[error("it is big-endian")]
    BigEndian,
}

/// Opens an object.
///
/// # Errors
/// The bytes are not a little-endian ELF file for BPF.
pub fn open(bytes: &[u8]) -> Result<Elf<'_>, NotBpf> {
    let elf = Elf::parse(bytes).map_err(NotBpf::Elf)?;
    let machine = elf.elf_header().e_machine(elf.endian());
    if machine != object::elf::EM_BPF {
        return Err(NotBpf::Machine { machine: machine.0 });
    }
    if elf.endian() != Endianness::Little {
        return Err(NotBpf::BigEndian);
    }
    Ok(elf)
}

/// A variable of an object, or a map that the source defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variable<'a> {
    /// Its name.
    pub name: &'a str,
    /// The section that contains it.
    pub section: SectionIndex,
    /// The name of that section.
    pub section_name: &'a str,
    /// Its offset in the section, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Whether other objects could refer to it.
    pub is_global: bool,
}

/// Returns whether a section has instructions.
pub fn is_code<'a>(section: &impl ObjectSection<'a>) -> bool {
    let flags = section.flags();
    let is_executable =
        matches!(flags, SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(object::elf::SHF_EXECINSTR));
    is_executable && section.size() > 0
}

/// Iterates over an object's variables, in the order of its symbols.
pub fn variables<'a>(elf: &Elf<'a>) -> impl Iterator<Item = Variable<'a>> {
    elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Data).filter_map(|symbol| {
        let section = symbol.section_index()?;
        Some(Variable {
            name: symbol.name().ok()?,
            section,
            section_name: elf.section_by_index(section).ok()?.name().ok()?,
            offset: symbol.address(),
            size: symbol.size(),
            is_global: symbol.is_global(),
        })
    })
}
