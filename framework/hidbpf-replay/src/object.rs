//! A driver's object, as a replay needs it: its functions, data, maps and hooks.

use std::collections::{BTreeMap, HashMap};

use hidbpf_prelink::btf::{Btf, Type};
use hidbpf_prelink::btf_ext::BtfExt;
use hidbpf_prelink::driver::{PROPERTY_PREFIX, SETUP_PROGRAM};
use hidbpf_prelink::elf;
use hidbpf_prelink::map_definition;
use hidbpf_prelink::parts::{self, Parts, Target};
use hidbpf_prelink::section::{self, READ_ONLY_DATA, SectionRole, section_role};
use hidbpf_prelink::{Generation, Hook, limits};

use crate::error::ObjectError;
#[cfg(test)]
use crate::insn;
use crate::insn::Raw;

/// A driver's object.
#[derive(Clone, Debug, Default)]
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
    /// What instructions refer to, by their index. Sections, functions, maps and externs have the same indices here.
    pub(crate) targets: BTreeMap<usize, Target>,
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
    /// An array of integers.
    Numbers {
        /// The size of one in bytes.
        size: u32,
        /// Whether they are signed.
        signed: bool,
    },
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

impl Object {
    /// Parses an object. Faults in its programs only show when they run.
    ///
    /// # Errors
    /// The bytes are not a BPF object, or the object is damaged.
    pub fn parse(bytes: &[u8]) -> Result<Object, ObjectError> {
        let elf = elf::open(bytes)?;
        limits::check(&elf).map_err(ObjectError::Damaged)?;
        let parts = Parts::read(&elf)?;
        let maps = parts.maps.iter().map(|name| MapDefinition::read(&parts.btf, name));
        let mut object = Object {
            maps: maps.collect::<Result<_, _>>()?,
            code: parts.code.iter().map(CodeSection::of).collect(),
            functions: parts.functions.iter().map(|function| Function::of(function, &parts)).collect(),
            data: parts.data.iter().map(DataSection::of).collect(),
            externs: parts.externs.iter().map(Extern::of).collect(),
            globals: parts.globals.iter().map(|global| (global.name.to_owned(), Global::of(global))).collect(),
            ..Object::default()
        };
        object.find_hooks(&parts)?;
        object.btf = parts.btf;
        object.ext = parts.ext;
        for hooks in [&object.fmod_ret, &object.struct_ops] {
            let fixups = hooks.of(Hook::RdescFixup);
            if fixups.len() > 1 {
                return Err(ObjectError::TwoFixups { count: fixups.len() });
            }
        }
        Ok(object)
    }

    /// Finds the programs for hooks, and the syscall programs.
    fn find_hooks(&mut self, parts: &Parts<'_>) -> Result<(), ObjectError> {
        let mut by_section = Hooks::default();
        for (index, function) in self.functions.iter().enumerate() {
            let Some(section) = self.code.get(function.section) else { continue };
            match section_role(&section.name) {
                Some(SectionRole::Syscall) => self.syscalls.push(index),
                Some(SectionRole::Program(Generation::FmodRet, hook)) => self.fmod_ret.add(hook, index),
                Some(SectionRole::Program(Generation::StructOps, hook)) => by_section.add(hook, index),
                Some(SectionRole::StructOps) => {}
                None => {
                    if let Some(unknown) = section::hook_name(&section.name) {
                        return Err(ObjectError::UnknownHook(unknown.to_owned()));
                    }
                }
            }
        }
        // The kernel only reads the map. Its members determine the program for each hook.
        parts.ops.iter().for_each(|(hook, function)| self.struct_ops.add(*hook, *function));
        if self.struct_ops == Hooks::default() {
            self.struct_ops = by_section;
        }
        Ok(())
    }

    /// Creates an object from named functions alone.
    #[cfg(test)]
    pub(crate) fn of_functions(functions: &[(&str, &[Raw])]) -> Object {
        let mut object = Object::default();
        for (index, (name, instructions)) in functions.iter().enumerate() {
            let section =
                CodeSection { name: ".text".to_owned(), instructions: instructions.to_vec(), targets: BTreeMap::new() };
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
        object.find_calls();
        object
    }

    /// Finds what calls without relocations refer to.
    #[cfg(test)]
    pub(crate) fn find_calls(&mut self) {
        for (section, code) in self.code.iter_mut().enumerate() {
            let starts_at = |start| self.functions.iter().position(|it| (it.section, it.start) == (section, start));
            let calls = code.instructions.iter().enumerate();
            let calls = calls.filter(|(_, raw)| raw.opcode == insn::CALL && raw.src == insn::CALL_FUNCTION);
            code.targets = calls.map(|(at, raw)| (at, Target::of_call(at, raw.immediate, starts_at))).collect();
        }
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
            Type::Int { name: "_Bool", .. } => Declared::Bool,
            Type::Int { size, signed, .. } => Declared::Integer { size, signed },
            Type::Enum { values, .. } => {
                Declared::Enumeration(values.iter().map(|(name, value)| (name.to_owned(), value)).collect())
            }
            Type::Array { element, .. } => match self.btf.get(self.btf.resolve(element)) {
                Type::Int { size, signed, .. } => Declared::Numbers { size, signed },
                _ => Declared::Other,
            },
            _ => Declared::Other,
        })
    }

    /// Returns the names of the maps that the source defines.
    pub fn map_names(&self) -> impl Iterator<Item = &str> {
        self.maps.iter().map(|map| map.name.as_str())
    }

    /// Returns the variables that are smaller than their types. clang splits a static struct into its members, shrinks
    /// a static number that only has two values, and keeps the original types. The kernel refuses such type information
    /// (`btf_datasec_resolve()`, kernel/bpf/btf.c).
    pub fn shrunk_variables(&self) -> Vec<&str> {
        let of_section = |id| match self.btf.get(id) {
            Type::Section { variables, .. } => Some(variables.iter()),
            _ => None,
        };
        let placed = self.btf.ids().filter_map(of_section).flatten();
        let split = placed.filter_map(|placed| match self.btf.get(placed.ty) {
            Type::Variable { name, ty } if self.btf.size_of(ty).is_some_and(|size| size > placed.size) => Some(name),
            _ => None,
        });
        // clang names the parts after the struct, with a number.
        split.map(|name| name.split_once('.').map_or(name, |(name, _)| name)).collect()
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

impl CodeSection {
    fn of(code: &parts::Code<'_>) -> CodeSection {
        CodeSection {
            name: code.name.to_owned(),
            instructions: code.instructions.iter().map(|instruction| Raw::read(*instruction)).collect(),
            targets: code.targets.clone(),
        }
    }
}

impl Function {
    fn of(function: &parts::Function<'_>, parts: &Parts<'_>) -> Function {
        let parts::Function { name, code: section, start, len, .. } = *function;
        let sleepable = parts.code.get(section).is_some_and(|code| section::may_sleep(code.name));
        Function { name: name.to_owned(), section, start, len, sleepable }
    }
}

impl DataSection {
    fn of(data: &parts::Data<'_>) -> DataSection {
        let mut bytes = data.contents.to_vec();
        bytes.resize(data.size, 0);
        let writable = !section::is_or_below(data.name, READ_ONLY_DATA);
        DataSection { name: data.name.to_owned(), bytes, writable }
    }
}

impl MapDefinition {
    /// Reads a map's definition. The replay needs neither types nor flags, and ignores members that it doesn't know.
    fn read(btf: &Btf, name: &str) -> Result<MapDefinition, ObjectError> {
        let fail = |reason: String| ObjectError::Map { map: name.to_owned(), reason };
        let map = map_definition::read(btf, name).map_err(fail)?;
        Ok(MapDefinition {
            name: name.to_owned(),
            kind: map.kind.ok_or_else(|| fail("has no type".to_owned()))?,
            key_size: map.key.size.unwrap_or(0),
            value_size: map.value.size.unwrap_or(0),
            max_entries: map.max_entries,
        })
    }
}

impl Extern {
    fn of(found: &parts::Extern<'_>) -> Extern {
        Extern { name: found.name.to_owned(), weak: found.is_weak }
    }
}

impl Global {
    fn of(global: &parts::Global<'_>) -> Global {
        Global { section: global.section, offset: global.offset, size: global.size }
    }
}
