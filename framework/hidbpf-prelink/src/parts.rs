//! The parts of an object that loaders link: functions, data, maps, the kernel's symbols, and what instructions refer
//! to.
//!
//! Both linkers read objects with this module: [`crate::link()`], and the replay's. An object comes from clang or from
//! libbpf's static linker. The type information of sections has no offsets yet in clang's objects, so the offsets come
//! from the symbols.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget, SectionIndex, SectionKind,
    SymbolIndex, SymbolKind,
};

use crate::btf::{self, Btf, Malformed};
use crate::btf_ext::{self, BtfExt};
use crate::elf::{self, Elf};
use crate::format::{INSTRUCTION_SIZE, Instruction, MAX_INSTRUCTIONS, opcode};
use crate::hook::{HOOKS, Hook, OPS};
use crate::section::{self, MAPS};
use crate::struct_ops;

/// The maximum size of the data, in bytes. No driver has as much.
const MAX_DATA: u64 = 16 << 20;

/// The maximum number of maps, and of variables in the struct_ops map's section. No driver has as many.
const MAX_MAPS: usize = 256;

/// The BPF relocation types that loaders process.
const R_BPF_64_64: u32 = 1;
const R_BPF_64_ABS64: u32 = 2;
const R_BPF_64_32: u32 = 10;

/// A section of instructions.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Code<'a> {
    /// The section's name, with its `?`.
    pub name: &'a str,
    /// The instructions as in the file.
    pub instructions: &'a [Instruction],
    /// What instructions refer to, by their index.
    pub targets: BTreeMap<usize, Target>,
}

/// A function: a program, or a function that programs call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// The index of its section in [`Parts::code`].
    pub code: usize,
    /// Its first instruction in the section.
    pub start: usize,
    /// The number of its instructions.
    pub len: usize,
    /// Whether its symbol is hidden. The kernel should treat such a function as static.
    pub is_hidden: bool,
}

/// What an instruction refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A byte of a data section.
    Data {
        /// The index in [`Parts::data`].
        section: usize,
        /// The offset in bytes.
        offset: u32,
    },
    /// A map, by its index in [`Parts::maps`].
    Map(usize),
    /// A function, by its index in `Parts::functions`.
    Function(usize),
    /// A symbol of the kernel, by its index in [`Parts::externs`].
    Extern(usize),
    /// An unusable target, with the reason.
    Nowhere(String),
}

impl Target {
    /// Returns what a call without a relocation refers to. Its immediate counts from the next instruction of the
    /// section. `function` finds the function that begins at an instruction.
    pub fn of_call(at: usize, immediate: i32, function: impl FnOnce(usize) -> Option<usize>) -> Target {
        let start = (at as u64).checked_add_signed(i64::from(immediate) + 1);
        match start.and_then(|start| function(usize::try_from(start).ok()?)) {
            Some(function) => Target::Function(function),
            None => Target::Nowhere("it calls into the middle of a function".to_owned()),
        }
    }
}

/// A data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Data<'a> {
    /// The section's name.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: usize,
    /// The contents, empty for a section of zeros.
    pub contents: &'a [u8],
}

/// A variable of a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Global<'a> {
    /// Its name.
    pub name: &'a str,
    /// The index of its section in [`Parts::data`].
    pub section: usize,
    /// The offset in bytes.
    pub offset: u32,
    /// The size in bytes.
    pub size: u32,
}

/// A symbol of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Extern<'a> {
    /// Its name.
    pub name: &'a str,
    /// Whether to load programs if the kernel doesn't have it.
    pub is_weak: bool,
}

/// The parts of an object.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Parts<'a> {
    /// The types, none if the object has no such section.
    pub btf: Btf,
    /// The data about instructions, none if the object has no such section.
    pub ext: BtfExt,
    /// The sections of instructions.
    pub code: Vec<Code<'a>>,
    /// The functions, each once, in the order of the symbols.
    pub functions: Vec<Function<'a>>,
    /// The data sections.
    pub data: Vec<Data<'a>>,
    /// The names of the maps that the source defines. [`crate::map_definition`] reads their definitions.
    pub maps: Vec<&'a str>,
    /// The kernel's symbols that instructions refer to.
    pub externs: Vec<Extern<'a>>,
    /// The variables of the data sections.
    pub globals: Vec<Global<'a>>,
    /// The programs in the struct_ops map, as indices of `Parts::functions`.
    pub ops: Vec<(Hook, usize)>,
}

/// Parts that are being read.
#[derive(Default)]
struct Reader<'a> {
    parts: Parts<'a>,
    places: HashMap<SectionIndex, Place>,
    /// Functions by code section and first instruction.
    starts: HashMap<(usize, usize), usize>,
    /// Maps by their offset in their section.
    map_offsets: HashMap<u64, usize>,
    extern_names: HashMap<&'a str, usize>,
}

/// Where a section of the ELF file is stored.
#[derive(Clone, Copy, Debug)]
enum Place {
    Code(usize),
    Data(usize),
    Maps,
}

/// Why an object's parts can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartsError {
    /// Invalid type information.
    #[error("the section `{section}` is damaged: {source}")]
    Types {
        /// `.BTF` or `.BTF.ext`.
        section: &'static str,
        /// The cause.
        source: Malformed,
    },
    /// Contradictory parts.
    #[error("the object is damaged: {0}")]
    Damaged(String),
    /// An object larger than any real driver.
    #[error("the object has {0}")]
    TooLarge(String),
    /// A hook that is not in [`HOOKS`].
    #[error("the object has a program for `{0}`, which is not a known hook")]
    UnknownHook(String),
}

fn damaged(error: object::Error) -> PartsError {
    PartsError::Damaged(error.to_string())
}

/// A symbol, with the data that relocations need.
struct Symbol<'a> {
    name: &'a str,
    section: Option<SectionIndex>,
    address: u64,
    is_weak: bool,
}

impl<'a> Symbol<'a> {
    fn of(elf: &Elf<'a>, index: SymbolIndex) -> Option<Symbol<'a>> {
        let symbol = elf.symbol_by_index(index).ok()?;
        Some(Symbol {
            name: symbol.name().unwrap_or_default(),
            section: symbol.section_index(),
            address: symbol.address(),
            is_weak: symbol.is_weak(),
        })
    }
}

fn relocation_type(flags: RelocationFlags) -> Option<u32> {
    match flags {
        RelocationFlags::Elf { r_type } => Some(r_type.0),
        _ => None,
    }
}

impl<'a> Parts<'a> {
    /// Reads an object that passed [`crate::limits::check`].
    ///
    /// # Errors
    /// The object is damaged or too large. A reference that leads nowhere is not an error, but a [`Target`].
    pub fn read(elf: &Elf<'a>) -> Result<Parts<'a>, PartsError> {
        let section = |name| elf.section_by_name(name).and_then(|section| section.data().ok());
        let failed = |section| move |source| PartsError::Types { section, source };
        let mut reader = Reader::default();
        if let Some(bytes) = section(btf::SECTION) {
            reader.parts.btf = Btf::parse(bytes).map_err(failed(btf::SECTION))?;
        }
        if let Some(bytes) = section(btf_ext::SECTION) {
            reader.parts.ext = BtfExt::parse(bytes, &reader.parts.btf).map_err(failed(btf_ext::SECTION))?;
        }
        reader.sections(elf)?;
        reader.functions(elf)?;
        reader.variables(elf)?;
        reader.targets(elf)?;
        reader.ops(elf)?;
        Ok(reader.parts)
    }
}

impl<'a> Reader<'a> {
    fn sections(&mut self, elf: &Elf<'a>) -> Result<(), PartsError> {
        let (mut instructions, mut data_size) = (0, 0u64);
        for section in elf.sections() {
            let name = section.name().map_err(damaged)?;
            let place = if elf::is_code(&section) {
                let (words, rest) = section.data().map_err(damaged)?.as_chunks::<INSTRUCTION_SIZE>();
                if !rest.is_empty() {
                    let why = format!("the section `{name}` ends in the middle of an instruction");
                    return Err(PartsError::Damaged(why));
                }
                instructions += words.len();
                if instructions > MAX_INSTRUCTIONS {
                    return Err(too_many_instructions());
                }
                if self.parts.code.iter().any(|section| section.name == name) {
                    return Err(PartsError::Damaged(format!("it has more than one section `{name}`")));
                }
                self.parts.code.push(Code { name, instructions: words, targets: BTreeMap::new() });
                Place::Code(self.parts.code.len() - 1)
            } else if section::is_data(name) {
                data_size = data_size.saturating_add(section.size());
                if data_size > MAX_DATA {
                    return Err(PartsError::TooLarge(format!("more than {MAX_DATA} bytes of data")));
                }
                let is_zero = section.kind() == SectionKind::UninitializedData;
                let contents = if is_zero { &[] } else { section.data().map_err(damaged)? };
                let size = if is_zero { section.size() as usize } else { contents.len() };
                self.parts.data.push(Data { name, size, contents });
                Place::Data(self.parts.data.len() - 1)
            } else if name == MAPS {
                Place::Maps
            } else {
                continue;
            };
            self.places.insert(section.index(), place);
        }
        Ok(())
    }

    fn functions(&mut self, elf: &Elf<'a>) -> Result<(), PartsError> {
        let mut instructions = 0;
        for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
            let place = symbol.section_index().and_then(|index| self.places.get(&index));
            let (Some(Place::Code(code)), Ok(name)) = (place.copied(), symbol.name()) else { continue };
            let size = INSTRUCTION_SIZE as u64;
            let (start, len) = (symbol.address() / size, symbol.size() / size);
            let is_whole = symbol.address().is_multiple_of(size) && symbol.size().is_multiple_of(size);
            let end = self.parts.code.get(code).map_or(0, |code| code.instructions.len() as u64);
            if !is_whole || len == 0 || start.checked_add(len).is_none_or(|last| last > end) {
                return Err(PartsError::Damaged(format!("the function `{name}` lies outside of its section")));
            }
            let (start, len) = (start as usize, len as usize);
            // Functions can share the same instructions.
            instructions += len;
            if instructions > MAX_INSTRUCTIONS {
                return Err(too_many_instructions());
            }
            let visibility = symbol.elf_symbol().st_other.visibility();
            let is_hidden = [object::elf::STV_HIDDEN, object::elf::STV_INTERNAL].contains(&visibility);
            // If a function has several names, the first counts.
            if let Entry::Vacant(vacant) = self.starts.entry((code, start)) {
                vacant.insert(self.parts.functions.len());
                self.parts.functions.push(Function { name, code, start, len, is_hidden });
            }
        }
        Ok(())
    }

    fn variables(&mut self, elf: &Elf<'a>) -> Result<(), PartsError> {
        for variable in elf::variables(elf) {
            match self.places.get(&variable.section) {
                Some(Place::Data(section)) => {
                    let (Ok(offset), Ok(size)) = (variable.offset.try_into(), variable.size.try_into()) else {
                        continue;
                    };
                    self.parts.globals.push(Global { name: variable.name, section: *section, offset, size });
                }
                Some(Place::Maps) if self.parts.maps.len() == MAX_MAPS => {
                    return Err(PartsError::TooLarge(format!("more than {MAX_MAPS} maps")));
                }
                Some(Place::Maps) => {
                    self.map_offsets.insert(variable.offset, self.parts.maps.len());
                    self.parts.maps.push(variable.name);
                }
                Some(Place::Code(_)) | None => {}
            }
        }
        Ok(())
    }

    fn targets(&mut self, elf: &Elf<'a>) -> Result<(), PartsError> {
        for section in elf.sections() {
            let Some(Place::Code(code)) = self.places.get(&section.index()).copied() else { continue };
            let Some(Code { name, instructions, .. }) = self.parts.code.get(code) else { continue };
            let (name, instructions) = (*name, *instructions);
            let mut targets = BTreeMap::new();
            for (at, instruction) in instructions.iter().enumerate() {
                if instruction[0] == opcode::CALL && instruction[1] >> 4 == opcode::CALL_FUNCTION {
                    let immediate = opcode::immediate(*instruction) as i32;
                    targets
                        .insert(at, Target::of_call(at, immediate, |start| self.starts.get(&(code, start)).copied()));
                }
            }
            for (offset, relocation) in section.relocations() {
                let RelocationTarget::Symbol(index) = relocation.target() else { continue };
                let at = usize::try_from(offset / INSTRUCTION_SIZE as u64).unwrap_or(usize::MAX);
                let instruction = instructions.get(at).filter(|_| offset.is_multiple_of(INSTRUCTION_SIZE as u64));
                let (Some(instruction), Some(symbol)) = (instruction, Symbol::of(elf, index)) else {
                    let why = format!("a relocation of the section `{name}` lies outside of it");
                    return Err(PartsError::Damaged(why));
                };
                targets.insert(at, self.target(*instruction, relocation_type(relocation.flags()), &symbol));
            }
            if let Some(code) = self.parts.code.get_mut(code) {
                code.targets = targets;
            }
        }
        Ok(())
    }

    /// Returns what an instruction with a relocation to a symbol refers to.
    fn target(&mut self, instruction: Instruction, kind: Option<u32>, symbol: &Symbol<'a>) -> Target {
        let is_call = instruction[0] == opcode::CALL && kind == Some(R_BPF_64_32);
        let is_load = instruction[0] == opcode::LOAD_IMMEDIATE && kind == Some(R_BPF_64_64);
        if !is_call && !is_load {
            return Target::Nowhere("its relocation is of a kind that loaders don't know".to_owned());
        }
        let Some(section) = symbol.section else {
            let next = self.parts.externs.len();
            let index = *self.extern_names.entry(symbol.name).or_insert(next);
            if index == next {
                self.parts.externs.push(Extern { name: symbol.name, is_weak: symbol.is_weak });
            }
            return Target::Extern(index);
        };
        // A call's immediate counts instructions from the next one. A load's immediate counts bytes.
        let addend = i64::from(opcode::immediate(instruction) as i32);
        let addend = if is_call { addend.saturating_add(1).saturating_mul(INSTRUCTION_SIZE as i64) } else { addend };
        let offset = symbol.address.saturating_add_signed(addend);
        let nowhere = |what: &str| Target::Nowhere(format!("it refers to {what} at `{}`", symbol.name.escape_debug()));
        match (self.places.get(&section), is_call) {
            (Some(Place::Code(code)), _) => match self.function_at(*code, offset) {
                Some(function) => Target::Function(function),
                None => nowhere("the middle of a function"),
            },
            (Some(Place::Data(section)), false) => match u32::try_from(offset) {
                Ok(offset) => Target::Data { section: *section, offset },
                Err(_) => nowhere("something outside of its section"),
            },
            (Some(Place::Maps), false) => match self.map_offsets.get(&offset) {
                Some(map) => Target::Map(*map),
                None => nowhere("the middle of a map"),
            },
            _ => nowhere("a section that is not loaded,"),
        }
    }

    /// Returns the function that begins at an offset of a code section, in bytes.
    fn function_at(&self, code: usize, offset: u64) -> Option<usize> {
        let start = usize::try_from(offset / INSTRUCTION_SIZE as u64).ok()?;
        self.starts.get(&(code, start)).copied().filter(|_| offset.is_multiple_of(INSTRUCTION_SIZE as u64))
    }

    /// Reads which programs the members of the struct_ops map point to.
    fn ops(&mut self, elf: &Elf<'_>) -> Result<(), PartsError> {
        for section in elf.sections() {
            if !struct_ops::is_section(section.name().unwrap_or_default()) {
                continue;
            }
            let mut maps = Vec::new();
            for map in elf::variables(elf).filter(|map| map.section == section.index()) {
                if maps.len() == MAX_MAPS {
                    return Err(PartsError::TooLarge(format!("more than {MAX_MAPS} struct_ops maps")));
                }
                let ty = self.parts.btf.variable(map.name).map(|ty| self.parts.btf.get(self.parts.btf.resolve(ty)));
                maps.push((map, ty));
            }
            for (offset, relocation) in section.relocations() {
                let RelocationTarget::Symbol(index) = relocation.target() else { continue };
                if relocation_type(relocation.flags()) != Some(R_BPF_64_ABS64) {
                    continue;
                }
                let function = Symbol::of(elf, index).and_then(|symbol| {
                    let Some(Place::Code(code)) = self.places.get(&symbol.section?) else { return None };
                    let addend = section.data_range(offset, 8).ok()??;
                    let addend = u64::from_le_bytes(addend.try_into().ok()?);
                    self.function_at(*code, symbol.address.wrapping_add(addend))
                });
                let member = maps.iter().find_map(|(map, ty)| {
                    let within = offset.checked_sub(map.offset).filter(|within| *within < map.size)?;
                    match ty {
                        Some(btf::Type::Record { name, members, .. }) if btf::essential_name(name) == OPS => {
                            members.iter().find(|member| u64::from(member.bit_offset) == within.saturating_mul(8))
                        }
                        _ => None,
                    }
                });
                if let (Some(member), Some(function)) = (member, function) {
                    let row = HOOKS.iter().find(|row| row.member == member.name);
                    let row = row.ok_or_else(|| PartsError::UnknownHook(member.name.to_owned()))?;
                    self.parts.ops.push((row.hook, function));
                }
            }
        }
        Ok(())
    }
}

fn too_many_instructions() -> PartsError {
    PartsError::TooLarge(format!("more than {MAX_INSTRUCTIONS} instructions"))
}
