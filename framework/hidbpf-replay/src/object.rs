//! Parses a driver's object file: its functions, data, maps and relocations.
//!
//! Accepts objects from clang and from libbpf's static linker. clang's objects have no offsets in the type information
//! of sections yet, so the offsets come from the symbols.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use object::read::elf::{ElfFile64, FileHeader as _};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget};
use object::{SectionFlags, SectionIndex, SectionKind, SymbolIndex, SymbolKind};

use crate::btf::{Btf, BtfExt, Type, TypeId, essential_name};
use crate::error::ObjectError;
use crate::insn::{self, Raw};
use hidbpf_prelink::driver::{PROPERTY_PREFIX, SETUP_PROGRAM};
use hidbpf_prelink::hook::{HOOKS, Hook, OPS};
use hidbpf_prelink::section::{self, MAPS, READ_ONLY_DATA, SectionRole, plain_name, section_role};
use hidbpf_prelink::{Generation, limits};

/// The maximum number of instructions, the kernel's limit for one program (`BPF_COMPLEXITY_LIMIT_INSNS`). No driver has
/// as many.
const MAX_INSTRUCTIONS: usize = 1_000_000;

/// The maximum size of the data, in bytes. No driver has as much.
const MAX_DATA: u64 = 16 << 20;

/// The maximum number of maps, and of variables in the struct_ops map's section. No driver has as many.
const MAX_MAPS: usize = 256;

/// A driver's object.
#[derive(Clone, Debug)]
pub struct Object {
    pub(crate) btf: Btf,
    pub(crate) ext: BtfExt,
    pub(crate) code: Vec<CodeSection>,
    pub(crate) functions: Vec<Function>,
    pub(crate) data: Vec<DataSection>,
    pub(crate) maps: Vec<MapDefinition>,
    pub(crate) externs: Vec<Extern>,
    globals: HashMap<String, Global>,
    fmod_ret: Hooks,
    struct_ops: Hooks,
    /// Indices of `functions`.
    pub(crate) syscalls: Vec<usize>,
}

/// The programs for a generation's hooks, as indices of [`Object::functions`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooks([Vec<usize>; Hook::COUNT]);

impl Hooks {
    /// Returns the programs for a hook, in file order.
    pub(crate) fn of(&self, hook: Hook) -> &[usize] {
        &self.0[hook.index()]
    }

    fn add(&mut self, hook: Hook, function: usize) {
        self.0[hook.index()].push(function);
    }
}

/// A section of instructions.
#[derive(Clone, Debug)]
pub(crate) struct CodeSection {
    pub(crate) name: String,
    pub(crate) instructions: Vec<Raw>,
    /// The targets that instructions refer to.
    pub(crate) references: BTreeMap<usize, Reference>,
}

/// A function: a program, or a function that programs call.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// An index of [`Object::code`].
    pub(crate) section: usize,
    /// In instructions from the start of the section.
    pub(crate) start: usize,
    pub(crate) len: usize,
    /// Whether the program may sleep.
    pub(crate) sleepable: bool,
}

/// The target that an instruction refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A byte of a data section.
    Data {
        section: usize,
        offset: u32,
    },
    Map(usize),
    Function(usize),
    Extern(usize),
    /// An unusable target, with the reason.
    Nowhere(String),
}

/// A data section.
#[derive(Clone, Debug)]
pub(crate) struct DataSection {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) writable: bool,
}

/// A map as the object defines it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MapDefinition {
    pub(crate) name: String,
    /// `enum bpf_map_type`.
    pub(crate) kind: u32,
    pub(crate) key_size: u32,
    pub(crate) value_size: u32,
    pub(crate) max_entries: u32,
}

/// A kernel symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extern {
    pub(crate) name: String,
    pub(crate) weak: bool,
}

/// The declared type of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Declared {
    /// A Boolean.
    Bool,
    /// An integer.
    Integer {
        /// Its size in bytes.
        size: u32,
        /// Whether it is signed.
        signed: bool,
    },
    /// An enumeration, with its constants and their values.
    Enumeration(Vec<(String, u64)>),
    /// Anything else.
    Other,
}

/// A variable of a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Global {
    pub(crate) section: usize,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

/// The BPF relocation types that loaders process.
const R_BPF_64_64: u32 = 1;
const R_BPF_64_ABS64: u32 = 2;
const R_BPF_64_32: u32 = 10;

type Elf<'a> = ElfFile64<'a, Endianness>;

/// Where a section of the ELF file is stored in the object.
#[derive(Clone, Copy)]
enum Place {
    Code(usize),
    Data(usize),
    Maps,
}

impl Object {
    /// Parses an object. Faults in its programs only show when they run.
    ///
    /// # Errors
    /// The bytes are not a BPF object, or the object is damaged.
    pub fn parse(bytes: &[u8]) -> Result<Object, ObjectError> {
        let elf = Elf::parse(bytes).map_err(|error| ObjectError::Elf(error.to_string()))?;
        let machine = elf.elf_header().e_machine(elf.endian());
        if machine != object::elf::EM_BPF || elf.endianness() != object::Endianness::Little {
            let order = if elf.is_little_endian() { "little" } else { "big" };
            return Err(ObjectError::NotBpf(format!("{order}-endian, machine {}", machine.0)));
        }
        limits::check(&elf).map_err(ObjectError::Damaged)?;
        let section = |name| elf.section_by_name(name).and_then(|section| section.data().ok());
        let btf = section(".BTF").map_or_else(|| Ok(Btf::default()), Btf::parse)?;
        let ext = section(".BTF.ext").map_or_else(|| Ok(BtfExt::default()), |bytes| BtfExt::parse(bytes, &btf))?;
        let mut loader = Loader::new(btf, ext);
        loader.sections(&elf)?;
        loader.functions(&elf)?;
        loader.maps(&elf)?;
        loader.references(&elf)?;
        loader.hooks(&elf)?;
        let mut object = loader.object;
        for hooks in [&object.fmod_ret, &object.struct_ops] {
            let fixups = hooks.of(Hook::RdescFixup);
            if fixups.len() > 1 {
                return Err(ObjectError::TwoFixups { count: fixups.len() });
            }
        }
        object.syscalls.sort_unstable();
        Ok(object)
    }

    /// Creates an object from named functions alone.
    #[cfg(test)]
    pub(crate) fn of_functions(functions: &[(&str, &[Raw])]) -> Object {
        let mut object = Loader::new(Btf::default(), BtfExt::default()).object;
        for (index, (name, instructions)) in functions.iter().enumerate() {
            let section = CodeSection {
                name: ".text".to_owned(),
                instructions: instructions.to_vec(),
                references: BTreeMap::new(),
            };
            object.code.push(section);
            let len = instructions.len();
            object.functions.push(Function {
                name: (*name).to_owned(),
                section: index,
                start: 0,
                len,
                sleepable: false,
            });
        }
        object
    }

    pub(crate) fn hooks(&self, generation: Generation) -> &Hooks {
        match generation {
            Generation::FmodRet => &self.fmod_ret,
            Generation::StructOps => &self.struct_ops,
        }
    }

    /// Returns the generations that the object has programs for. An object with only syscall programs supports all.
    pub fn generations(&self) -> Vec<Generation> {
        let has_hooks = |generation: &Generation| *self.hooks(*generation) != Hooks::default();
        let all = [Generation::FmodRet, Generation::StructOps];
        if self.syscall(SETUP_PROGRAM).is_some() && !all.iter().any(has_hooks) {
            return all.to_vec();
        }
        all.into_iter().filter(has_hooks).collect()
    }

    /// Iterates over the names of the syscall programs.
    pub fn syscall_programs(&self) -> impl Iterator<Item = &str> {
        self.syscalls.iter().filter_map(|index| self.functions.get(*index)).map(|function| function.name.as_str())
    }

    /// Iterates over the names of the udev properties that the driver asks for.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        self.globals.keys().filter_map(|name| name.strip_prefix(PROPERTY_PREFIX))
    }

    /// Returns the declared type of a variable, if it exists.
    pub fn declared(&self, variable: &str) -> Option<Declared> {
        let ty = self.btf.resolve(self.btf.variable(variable)?);
        Some(match self.btf.get(ty) {
            Type::Int { name, .. } if name == "_Bool" => Declared::Bool,
            Type::Int { size, signed, .. } => Declared::Integer { size: *size, signed: *signed },
            Type::Enum { values, .. } => Declared::Enumeration(values.clone()),
            _ => Declared::Other,
        })
    }

    /// Returns the variables that are smaller than their types. clang splits a static struct into its members, shrinks
    /// a static number that only has two values, and keeps the original types. The kernel refuses such type information
    /// (`btf_datasec_resolve()`, kernel/bpf/btf.c).
    pub fn shrunk_variables(&self) -> Vec<&str> {
        let of_section = |section: usize| match self.btf.get(TypeId(section as u32)) {
            Type::Section { variables, .. } => variables.as_slice(),
            _ => &[],
        };
        let placed = (0..self.btf.len()).flat_map(of_section);
        let split = placed.filter_map(|placed| match self.btf.get(placed.ty) {
            Type::Variable { name, ty } if self.btf.size_of(*ty).is_some_and(|size| size > placed.size) => Some(name),
            _ => None,
        });
        // clang names the parts after the struct, with a number.
        split.map(|name| name.split_once('.').map_or(name.as_str(), |(name, _)| name)).collect()
    }

    pub(crate) fn global(&self, name: &str) -> Option<Global> {
        self.globals.get(name).copied()
    }

    /// Returns the syscall program with a name.
    pub(crate) fn syscall(&self, name: &str) -> Option<usize> {
        self.syscalls
            .iter()
            .copied()
            .find(|index| self.functions.get(*index).is_some_and(|function| function.name == name))
    }
}

struct Loader {
    object: Object,
    places: HashMap<SectionIndex, Place>,
    /// Functions by section and first instruction.
    starts: HashMap<(usize, usize), usize>,
    /// Maps by their offset in `.maps`.
    map_offsets: HashMap<u64, usize>,
    externs: HashMap<String, usize>,
}

/// A symbol, with the data that relocations need.
struct Symbol<'a> {
    name: &'a str,
    section: Option<SectionIndex>,
    address: u64,
    weak: bool,
}

impl<'a> Symbol<'a> {
    fn of(elf: &Elf<'a>, index: SymbolIndex) -> Option<Symbol<'a>> {
        let symbol = elf.symbol_by_index(index).ok()?;
        Some(Symbol {
            name: symbol.name().unwrap_or_default(),
            section: symbol.section_index(),
            address: symbol.address(),
            weak: symbol.is_weak(),
        })
    }
}

fn relocation_type(flags: RelocationFlags) -> Option<u32> {
    match flags {
        RelocationFlags::Elf { r_type } => Some(r_type.0),
        _ => None,
    }
}

impl Loader {
    fn new(btf: Btf, ext: BtfExt) -> Loader {
        let object = Object {
            btf,
            ext,
            code: Vec::new(),
            functions: Vec::new(),
            data: Vec::new(),
            maps: Vec::new(),
            externs: Vec::new(),
            globals: HashMap::new(),
            fmod_ret: Hooks::default(),
            struct_ops: Hooks::default(),
            syscalls: Vec::new(),
        };
        Loader {
            object,
            places: HashMap::new(),
            starts: HashMap::new(),
            map_offsets: HashMap::new(),
            externs: HashMap::new(),
        }
    }

    fn sections(&mut self, elf: &Elf<'_>) -> Result<(), ObjectError> {
        let (mut instructions, mut data_size) = (0, 0u64);
        for section in elf.sections() {
            let damaged = |error: object::Error| ObjectError::Damaged(error.to_string());
            let name = section.name().map_err(damaged)?;
            let executable = match section.flags() {
                SectionFlags::Elf { sh_flags, .. } => sh_flags.contains(object::elf::SHF_EXECINSTR),
                _ => false,
            };
            let place = if executable && section.size() > 0 {
                let bytes = section.data().map_err(damaged)?;
                let (words, rest) = bytes.as_chunks::<{ insn::SIZE }>();
                if !rest.is_empty() {
                    return Err(ObjectError::Damaged(format!(
                        "the section `{name}` ends in the middle of an instruction"
                    )));
                }
                instructions += words.len();
                if instructions > MAX_INSTRUCTIONS {
                    return Err(ObjectError::TooLarge(format!("more than {MAX_INSTRUCTIONS} instructions")));
                }
                if self.object.code.iter().any(|section| section.name == name) {
                    return Err(ObjectError::Damaged(format!("it has more than one section `{name}`")));
                }
                let words = words.iter().map(|word| Raw::read(*word)).collect();
                self.object.code.push(CodeSection {
                    name: name.to_owned(),
                    instructions: words,
                    references: BTreeMap::new(),
                });
                Place::Code(self.object.code.len() - 1)
            } else if section::is_data(name) {
                data_size = data_size.saturating_add(section.size());
                if data_size > MAX_DATA {
                    return Err(ObjectError::TooLarge(format!("more than {MAX_DATA} bytes of data")));
                }
                let zeros = section.kind() == SectionKind::UninitializedData;
                let bytes =
                    if zeros { vec![0; section.size() as usize] } else { section.data().map_err(damaged)?.to_vec() };
                let writable = !section::is_or_below(name, READ_ONLY_DATA);
                self.object.data.push(DataSection { name: name.to_owned(), bytes, writable });
                Place::Data(self.object.data.len() - 1)
            } else if name == MAPS {
                Place::Maps
            } else {
                continue;
            };
            self.places.insert(section.index(), place);
        }
        Ok(())
    }

    fn functions(&mut self, elf: &Elf<'_>) -> Result<(), ObjectError> {
        let mut instructions = 0;
        for symbol in elf.symbols() {
            let Some(place) = symbol.section_index().and_then(|index| self.places.get(&index)) else { continue };
            let Ok(name) = symbol.name() else { continue };
            match (*place, symbol.kind()) {
                (Place::Data(section), SymbolKind::Data) => {
                    let global = u32::try_from(symbol.address()).ok().zip(u32::try_from(symbol.size()).ok());
                    if let Some((offset, size)) = global {
                        self.object.globals.insert(name.to_owned(), Global { section, offset, size });
                    }
                }
                (Place::Code(section), SymbolKind::Text) => {
                    let code = self.object.code.get(section);
                    let (start, len) = (symbol.address() / insn::SIZE as u64, symbol.size() / insn::SIZE as u64);
                    let whole = (symbol.address() | symbol.size()) % insn::SIZE as u64 == 0;
                    let inside = code.is_some_and(|code| {
                        start.checked_add(len).is_some_and(|end| end <= code.instructions.len() as u64)
                    });
                    if !whole || !inside || len == 0 {
                        return Err(ObjectError::Damaged(format!("the function `{name}` lies outside of its section")));
                    }
                    let (start, len) = (start as usize, len as usize);
                    instructions += len;
                    if instructions > MAX_INSTRUCTIONS {
                        return Err(ObjectError::TooLarge(format!("more than {MAX_INSTRUCTIONS} instructions")));
                    }
                    // Ignores a second name for the same function.
                    if let Entry::Vacant(vacant) = self.starts.entry((section, start)) {
                        vacant.insert(self.object.functions.len());
                        let sleepable = code.is_some_and(|code| section::may_sleep(&code.name));
                        self.object.functions.push(Function { name: name.to_owned(), section, start, len, sleepable });
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn maps(&mut self, elf: &Elf<'_>) -> Result<(), ObjectError> {
        for symbol in elf.symbols() {
            let place = symbol.section_index().and_then(|index| self.places.get(&index));
            if !matches!(place, Some(Place::Maps)) || !matches!(symbol.kind(), SymbolKind::Data) {
                continue;
            }
            let name = symbol.name().unwrap_or_default();
            if self.object.maps.len() == MAX_MAPS {
                return Err(ObjectError::TooLarge(format!("more than {MAX_MAPS} maps")));
            }
            let definition = self.map(name).map_err(|reason| ObjectError::Map { map: name.to_owned(), reason })?;
            self.map_offsets.insert(symbol.address(), self.object.maps.len());
            self.object.maps.push(definition);
        }
        Ok(())
    }

    /// Parses a map definition, a struct whose member types encode the values.
    fn map(&self, name: &str) -> Result<MapDefinition, String> {
        let btf = &self.object.btf;
        let ty = btf.variable(name).ok_or("has no type information")?;
        let Type::Record { members, .. } = btf.get(btf.resolve(ty)) else {
            return Err("is not a struct".to_owned());
        };
        let pointed = |name: &str| {
            let member = members.iter().find(|member| member.name == name)?;
            match btf.get(btf.resolve(member.ty)) {
                Type::Pointer(ty) => Some(btf.resolve(*ty)),
                _ => None,
            }
        };
        let number = |name: &str| match btf.get(pointed(name)?) {
            Type::Array { count, .. } => Some(*count),
            _ => None,
        };
        let size =
            |of: &str, given: &str| pointed(of).and_then(|ty| btf.size_of(ty)).or_else(|| number(given)).unwrap_or(0);
        Ok(MapDefinition {
            name: name.to_owned(),
            kind: number("type").ok_or("has no type")?,
            key_size: size("key", "key_size"),
            value_size: size("value", "value_size"),
            max_entries: number("max_entries").unwrap_or(0),
        })
    }

    fn references(&mut self, elf: &Elf<'_>) -> Result<(), ObjectError> {
        for section in elf.sections() {
            let Some(Place::Code(code)) = self.places.get(&section.index()).copied() else { continue };
            for (offset, relocation) in section.relocations() {
                let kind = relocation_type(relocation.flags());
                let RelocationTarget::Symbol(index) = relocation.target() else { continue };
                let name = || section.name().unwrap_or_default();
                let at = usize::try_from(offset / insn::SIZE as u64).unwrap_or(usize::MAX);
                let instruction = self.object.code.get(code).and_then(|code| code.instructions.get(at));
                let (Some(instruction), 0, Some(symbol)) =
                    (instruction, offset % insn::SIZE as u64, Symbol::of(elf, index))
                else {
                    return Err(ObjectError::Damaged(format!(
                        "a relocation of the section `{}` lies outside of it",
                        name()
                    )));
                };
                let reference = self.reference(*instruction, kind, &symbol);
                if let Some(code) = self.object.code.get_mut(code) {
                    code.references.insert(at, reference);
                }
            }
        }
        Ok(())
    }

    fn reference(&mut self, instruction: Raw, kind: Option<u32>, symbol: &Symbol<'_>) -> Reference {
        let is_call = instruction.opcode == insn::CALL && kind == Some(R_BPF_64_32);
        let is_load = instruction.opcode == insn::LOAD_IMMEDIATE && kind == Some(R_BPF_64_64);
        if !is_call && !is_load {
            return Reference::Nowhere("its relocation is of a kind that loaders don't know".to_owned());
        }
        let Some(section) = symbol.section else {
            let next = self.externs.len();
            let index = *self.externs.entry(symbol.name.to_owned()).or_insert(next);
            if index == next {
                self.object.externs.push(Extern { name: symbol.name.to_owned(), weak: symbol.weak });
            }
            return Reference::Extern(index);
        };
        // A call's immediate counts instructions from the next one. A load's immediate counts bytes.
        let addend = i64::from(instruction.immediate);
        let addend = if is_call { addend.saturating_add(1).saturating_mul(insn::SIZE as i64) } else { addend };
        let offset = symbol.address.saturating_add_signed(addend);
        let nowhere =
            |what: &str| Reference::Nowhere(format!("it refers to {what} at `{}`", symbol.name.escape_debug()));
        match (self.places.get(&section), is_call) {
            (Some(Place::Code(section)), _) => {
                let start = usize::try_from(offset / insn::SIZE as u64).unwrap_or(usize::MAX);
                match self.starts.get(&(*section, start)) {
                    Some(function) if offset % insn::SIZE as u64 == 0 => Reference::Function(*function),
                    _ => nowhere("the middle of a function"),
                }
            }
            (Some(Place::Data(section)), false) => match u32::try_from(offset) {
                Ok(offset) => Reference::Data { section: *section, offset },
                Err(_) => nowhere("something outside of its section"),
            },
            (Some(Place::Maps), false) => match self.map_offsets.get(&offset) {
                Some(map) => Reference::Map(*map),
                None => nowhere("the middle of a map"),
            },
            _ => nowhere("a section that is not loaded,"),
        }
    }

    fn hooks(&mut self, elf: &Elf<'_>) -> Result<(), ObjectError> {
        let mut struct_ops_by_section = Hooks::default();
        for (index, function) in self.object.functions.iter().enumerate() {
            let Some(section) = self.object.code.get(function.section) else { continue };
            match section_role(&section.name) {
                Some(SectionRole::Syscall) => self.object.syscalls.push(index),
                Some(SectionRole::Program(Generation::FmodRet, hook)) => self.object.fmod_ret.add(hook, index),
                Some(SectionRole::Program(Generation::StructOps, hook)) => struct_ops_by_section.add(hook, index),
                Some(SectionRole::StructOps) => {}
                None => {
                    if let Some(unknown) = section::hook_name(&section.name) {
                        return Err(ObjectError::UnknownHook(unknown.to_owned()));
                    }
                }
            }
        }
        // The kernel only reads the map. Its members determine the program for each hook.
        let maps = self.ops_maps(elf)?;
        self.object.struct_ops = if maps == Hooks::default() { struct_ops_by_section } else { maps };
        Ok(())
    }

    fn ops_maps(&self, elf: &Elf<'_>) -> Result<Hooks, ObjectError> {
        let mut hooks = Hooks::default();
        let btf = &self.object.btf;
        for section in elf.sections() {
            if ![".struct_ops", ".struct_ops.link"].contains(&plain_name(section.name().unwrap_or_default())) {
                continue;
            }
            let variables: Vec<_> = elf
                .symbols()
                .filter(|symbol| symbol.section_index() == Some(section.index()) && symbol.kind() == SymbolKind::Data)
                .collect();
            if variables.len() > MAX_MAPS {
                return Err(ObjectError::TooLarge(format!("more than {MAX_MAPS} struct_ops maps")));
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
                    let start = usize::try_from(symbol.address.wrapping_add(addend) / insn::SIZE as u64).ok()?;
                    self.starts.get(&(*code, start)).copied()
                });
                let member = variables.iter().find_map(|variable| {
                    let within = offset.checked_sub(variable.address()).filter(|within| *within < variable.size())?;
                    let ty = btf.resolve(btf.variable(variable.name().ok()?)?);
                    match btf.get(ty) {
                        Type::Record { name, members, .. } if essential_name(name) == OPS => {
                            members.iter().find(|member| u64::from(member.bit_offset) == within.saturating_mul(8))
                        }
                        _ => None,
                    }
                });
                if let (Some(member), Some(function)) = (member, function) {
                    let row = HOOKS.iter().find(|row| row.member == member.name);
                    let hook = row.ok_or_else(|| ObjectError::UnknownHook(member.name.clone()))?.hook;
                    hooks.add(hook, function);
                }
            }
        }
        Ok(hooks)
    }
}
