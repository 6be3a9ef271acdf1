//! Links an object's programs as libbpf does when it loads them (`bpf_object__relocate()`, tools/lib/bpf/libbpf.c). It
//! produces the same instructions in the same order, so that both loaders pass the same programs to the kernel.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CStr;

use object::{Object as _, ObjectSection as _};

use crate::btf::{Btf, Type, TypeId};
use crate::btf_ext::AccessRelocation;
use crate::elf::{self, Elf};
use crate::format::{
    CoreRelocation, FunctionInfo, INSTRUCTION_SIZE, Instruction, KERNEL_NAME_MAX, Kfunc, MAX_INSTRUCTIONS, MEMBERS,
    Map, MapAttributes, Prelinked, Program, Reference, ReferenceKind, opcode, source,
};
use crate::generation::Generation;
use crate::limits;
use crate::map_definition::{self, Element};
use crate::parts::{Extern, Parts, Target};
use crate::prune::Pruned;
use crate::section::{FUNCTIONS, READ_ONLY_DATA, SectionRole, plain_name, section_role};
use crate::struct_ops;

/// The reason why an object can't be prelinked. libbpf can still load it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotPrelinked(String);

impl From<String> for NotPrelinked {
    fn from(why: String) -> NotPrelinked {
        NotPrelinked(why)
    }
}

impl From<&str> for NotPrelinked {
    fn from(why: &str) -> NotPrelinked {
        NotPrelinked(why.to_owned())
    }
}

impl From<object::Error> for NotPrelinked {
    fn from(error: object::Error) -> NotPrelinked {
        NotPrelinked(format!("the object is damaged: {error}"))
    }
}

type Result<T> = std::result::Result<T, NotPrelinked>;

/// The map types that need no more than [`MapAttributes`]: HASH, ARRAY, PERCPU_HASH, PERCPU_ARRAY, LRU_HASH of
/// `enum bpf_map_type`.
const SIMPLE_MAPS: [u32; 5] = [1, ARRAY, 5, 6, 9];
const ARRAY: u32 = 2;

/// The maximum number of maps and kfuncs of an object, and the maximum depth of calls. These are the kernel's limits
/// for one program (`MAX_USED_MAPS`, `MAX_KFUNC_DESCS` and `MAX_CALL_FRAMES`, include/linux/bpf_verifier.h and
/// kernel/bpf/verifier.c).
const MAX_MAPS: usize = 64;
const MAX_KFUNCS: usize = 256;
const MAX_CALLS: usize = 8;

/// Creates the content of the section [`crate::SECTION`] from an object that was compiled and processed by libbpf's
/// static linker.
///
/// # Errors
/// The object needs a feature of libbpf that this crate doesn't have.
pub fn link(object: &[u8]) -> std::result::Result<Vec<u8>, NotPrelinked> {
    let elf = elf::open(object).map_err(|error| error.to_string())?;
    limits::check(&elf)?;
    let parts = Parts::read(&elf).map_err(|error| error.to_string())?;
    let license = elf.section_by_name("license").ok_or("the object has no section `license`")?;
    let license = CStr::from_bytes_with_nul(license.data()?)
        .map_err(|_| NotPrelinked::from("the section `license` is not a C string"))?;
    let mut linker = Linker {
        parts: &parts,
        types: vec![TypeId(0); parts.functions.len()],
        total: 0,
        maps: Vec::new(),
        map_places: HashMap::new(),
        kfuncs: Vec::new(),
    };
    let mut linked = Vec::new();
    for index in 0..parts.functions.len() {
        if linker.section(index) != FUNCTIONS {
            linked.push(linker.program(index)?);
        }
    }

    // From here on the types have their new numbers.
    let mut roots: Vec<TypeId> = Vec::new();
    for program in &linked {
        roots.extend(program.functions.iter().map(|info| TypeId(info.ty.get())));
        roots.extend(program.relocations.iter().map(|relocation| relocation.ty));
    }
    for map in &linker.maps {
        roots.extend([map.attributes.key_type, map.attributes.value_type].map(|ty| TypeId(ty.get())));
    }
    let mut pruned = Pruned::new(&parts.btf, roots);
    let mut relocations = Vec::new();
    for program in &mut linked {
        for info in &mut program.functions {
            info.ty = pruned.number(TypeId(info.ty.get())).into();
        }
        let moved = |relocation: &AccessRelocation| CoreRelocation {
            offset: relocation.offset.into(),
            ty: pruned.number(relocation.ty).into(),
            access: pruned.string(&relocation.access).into(),
            kind: relocation.kind.into(),
        };
        relocations.push(program.relocations.iter().map(moved).collect::<Vec<_>>());
    }
    for map in &mut linker.maps {
        map.attributes.key_type = pruned.number(TypeId(map.attributes.key_type.get())).into();
        map.attributes.value_type = pruned.number(TypeId(map.attributes.value_type.get())).into();
    }
    let hidden = parts.functions.iter().zip(&linker.types).filter(|(function, _)| function.is_hidden);
    let hidden: Vec<TypeId> = hidden.map(|(_, ty)| *ty).collect();
    let programs = linked.iter().zip(&relocations).map(|(program, relocations)| Program {
        name: program.name,
        section: program.section,
        instructions: &program.instructions,
        functions: &program.functions,
        relocations,
        references: &program.references,
    });
    let prelinked = Prelinked {
        source: source(&elf)?,
        btf: &pruned.bytes(|ty| hidden.contains(&ty)),
        license,
        ops: ops(&elf, &parts)?,
        maps: linker.maps,
        kfuncs: linker.kfuncs,
        programs: programs.collect(),
    };
    let bytes = prelinked.to_bytes();
    // Fail now if the section can't be read. Otherwise nobody would notice that it is never used.
    match Prelinked::parse(&bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(error.to_string().into()),
    }
}

/// Returns the name of the struct_ops map. The programs' sections determine its members, so they must be those that the
/// map points to.
fn ops<'a>(elf: &Elf<'a>, parts: &Parts<'a>) -> Result<&'a str> {
    for section in elf.sections().filter(|section| section.name().is_ok_and(struct_ops::is_section)) {
        if section.data()?.iter().any(|byte| *byte != 0) {
            return Err("its struct_ops map has values besides its programs".into());
        }
    }
    let maps = struct_ops::maps(elf, &parts.btf)?;
    let name = match maps.as_slice() {
        [] => return Ok(""),
        [map] => map.name,
        _ => return Err("it has more than one struct_ops map, which only libbpf can attach".into()),
    };
    let by_section = parts.functions.iter().enumerate().filter_map(|(index, function)| {
        match section_role(parts.code[function.code].name) {
            Some(SectionRole::Program(Generation::StructOps, hook)) => Some((hook, index)),
            _ => None,
        }
    });
    let by_section: BTreeSet<_> = by_section.collect();
    if by_section != parts.ops.iter().copied().collect() {
        return Err("its struct_ops map does not point to all of its programs".into());
    }
    Ok(name)
}

/// A program that is being linked.
struct Linked<'a> {
    name: &'a str,
    section: &'a str,
    instructions: Vec<Instruction>,
    functions: Vec<FunctionInfo>,
    /// Their offsets are in bytes from the start of the program.
    relocations: Vec<AccessRelocation>,
    references: Vec<Reference>,
    /// The positions of the linked functions, by index.
    placed: HashMap<usize, usize>,
    /// The current depth of nested calls.
    depth: usize,
}

struct Linker<'a, 'o> {
    parts: &'o Parts<'a>,
    /// The types of the functions, by index. Void for those that no program includes yet.
    types: Vec<TypeId>,
    /// The total number of instructions so far.
    total: usize,
    maps: Vec<Map<'a>>,
    map_places: HashMap<MapPlace, usize>,
    kfuncs: Vec<Kfunc<'a>>,
}

/// What a map was made from, by its index in [`Parts`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum MapPlace {
    Data(usize),
    Defined(usize),
}

impl<'a> Linker<'a, '_> {
    /// Returns the name of a function's section.
    fn section(&self, index: usize) -> &'a str {
        self.parts.code[self.parts.functions[index].code].name
    }

    fn program(&mut self, index: usize) -> Result<Linked<'a>> {
        let mut program = Linked {
            name: self.parts.functions[index].name,
            section: plain_name(self.section(index)),
            instructions: Vec::new(),
            functions: Vec::new(),
            relocations: Vec::new(),
            references: Vec::new(),
            placed: HashMap::new(),
            depth: 0,
        };
        self.append(&mut program, index)?;
        Ok(program)
    }

    /// Appends a function to a program, followed by the called functions that it doesn't include yet.
    fn append(&mut self, program: &mut Linked<'a>, index: usize) -> Result<()> {
        let Parts { btf, ext, code, functions, .. } = self.parts;
        let (function, name) = (functions[index], functions[index].name);
        let code = &code[function.code];
        let base = program.instructions.len();
        self.total += function.len;
        if self.total > MAX_INSTRUCTIONS {
            return Err(format!(
                "its programs, each with the functions that it calls, have more than {MAX_INSTRUCTIONS} instructions"
            )
            .into());
        }
        let bytes = |instructions: usize| (instructions * INSTRUCTION_SIZE) as u32;
        let (start, end) = (bytes(function.start), bytes(function.start + function.len));
        let ty = ext.function(code.name, start).ok_or_else(|| format!("the function `{name}` has no type"))?;
        self.types[index] = ty;
        program.placed.insert(index, base);
        program.instructions.extend_from_slice(&code.instructions[function.start..function.start + function.len]);
        program.functions.push(FunctionInfo { instruction: (base as u32).into(), ty: ty.0.into() });
        for relocation in ext.relocations(code.name, start..end) {
            let offset = relocation.offset - start + bytes(base);
            let relocation = AccessRelocation { offset, ..relocation.clone() };
            if !refer_to_member(program, btf, &relocation) {
                program.relocations.push(relocation);
            }
        }
        let mut skip = false;
        for at in 0..function.len {
            if std::mem::take(&mut skip) {
                continue;
            }
            let instruction = program.instructions[base + at];
            skip = instruction[0] == opcode::LOAD_IMMEDIATE;
            let result = match (instruction[0], code.targets.get(&(function.start + at))) {
                (_, Some(Target::Nowhere(why))) => Err(why.as_str().into()),
                (opcode::CALL, Some(target)) => self.call(program, base + at, target),
                // A helper, by its number.
                (opcode::CALL, None) if instruction[1] >> 4 == 0 => Ok(()),
                (opcode::CALL, None) => Err("a call has no relocation".into()),
                (opcode::LOAD_IMMEDIATE, Some(target)) => self.load(program, base + at, target),
                (opcode::LOAD_IMMEDIATE, None) if instruction[1] >> 4 == 0 => Ok(()),
                (opcode::LOAD_IMMEDIATE, None) => Err("an address has no relocation".into()),
                (_, _) => Ok(()),
            };
            result.map_err(|NotPrelinked(why)| format!("in the function `{name}`, {why}"))?;
        }
        Ok(())
    }

    fn call(&mut self, program: &mut Linked<'a>, at: usize, target: &Target) -> Result<()> {
        match target {
            Target::Function(index) => {
                let called = self.place(program, *index)?;
                set_immediate(&mut program.instructions[at], called as i64 - at as i64 - 1);
                Ok(())
            }
            Target::Extern(index) => {
                let index = self.kfunc(self.parts.externs[*index])?;
                program.instructions[at] = [opcode::CALL, opcode::CALL_KFUNC << 4, 0, 0, 0, 0, 0, 0];
                program.references.push(Reference::new(at, ReferenceKind::KfuncCall, index));
                Ok(())
            }
            Target::Data { .. } | Target::Map(_) | Target::Nowhere(_) => Err("a call is not to a function".into()),
        }
    }

    fn load(&mut self, program: &mut Linked<'a>, at: usize, target: &Target) -> Result<()> {
        let refer = |program: &mut Linked<'a>, kind, register: u8, index| {
            program.instructions[at][1] = program.instructions[at][1] & 15 | register << 4;
            set_immediate(&mut program.instructions[at], 0);
            program.references.push(Reference::new(at, kind, index));
        };
        match target {
            Target::Extern(index) => {
                let index = self.kfunc(self.parts.externs[*index])?;
                refer(program, ReferenceKind::KfuncAddress, 0, index);
            }
            Target::Function(index) => {
                let called = self.place(program, *index)?;
                program.instructions[at][1] = program.instructions[at][1] & 15 | opcode::FUNCTION << 4;
                set_immediate(&mut program.instructions[at], called as i64 - at as i64 - 1);
            }
            Target::Map(index) => {
                let index = self.defined_map(*index)?;
                refer(program, ReferenceKind::Map, opcode::MAP, index);
            }
            Target::Data { section, offset } => {
                let index = self.data(*section)?;
                refer(program, ReferenceKind::MapValue, opcode::MAP_VALUE, index);
                let second = program.instructions.get_mut(at + 1).ok_or("an address has no second half")?;
                set_immediate(second, i64::from(*offset));
            }
            Target::Nowhere(why) => return Err(why.as_str().into()),
        }
        Ok(())
    }

    /// Returns the position of a function in the program, and appends the function if necessary.
    fn place(&mut self, program: &mut Linked<'a>, index: usize) -> Result<usize> {
        if self.section(index) != FUNCTIONS {
            return Err(format!("a call is to the program `{}`", self.parts.functions[index].name).into());
        }
        match program.placed.get(&index) {
            Some(place) => Ok(*place),
            None => {
                if program.depth == MAX_CALLS {
                    return Err(format!("functions call each other more than {MAX_CALLS} deep").into());
                }
                let place = program.instructions.len();
                program.depth += 1;
                self.append(program, index)?;
                program.depth -= 1;
                Ok(place)
            }
        }
    }

    fn kfunc(&mut self, Extern { name, is_weak, .. }: Extern<'a>) -> Result<usize> {
        if let Some(index) = self.kfuncs.iter().position(|kfunc| kfunc.name == name) {
            return Ok(index);
        }
        if !self.parts.btf.has_function(name) {
            return Err(format!("the kernel's symbol `{name}` is not a function, and only libbpf can link it").into());
        }
        if name.len() > Kfunc::NAME_MAX {
            return Err(format!("the kfunc's name `{name}` is longer than {} characters", Kfunc::NAME_MAX).into());
        }
        if self.kfuncs.len() == MAX_KFUNCS {
            return Err(format!("the object calls more than {MAX_KFUNCS} kfuncs").into());
        }
        self.kfuncs.push(Kfunc { name, weak: is_weak });
        Ok(self.kfuncs.len() - 1)
    }

    /// Returns the map of a data section.
    fn data(&mut self, index: usize) -> Result<usize> {
        if let Some(index) = self.map_places.get(&MapPlace::Data(index)) {
            return Ok(*index);
        }
        let section = self.parts.data[index];
        let name = section.name;
        if name.len() > KERNEL_NAME_MAX {
            return Err(format!(
                "the section's name `{name}` is longer than the {KERNEL_NAME_MAX} characters that the kernel keeps"
            )
            .into());
        }
        let size = u32::try_from(section.size).map_err(|_| format!("the section `{name}` is too large"))?;
        let attributes = MapAttributes {
            kind: ARRAY.into(),
            key_size: 4.into(),
            value_size: size.into(),
            max_entries: 1.into(),
            flags: if name.starts_with(READ_ONLY_DATA) { MapAttributes::READ_ONLY } else { 0 }.into(),
            key_type: 0.into(),
            value_type: 0.into(),
        };
        self.map(MapPlace::Data(index), Map { name, attributes, contents: section.contents })
    }

    /// Returns a map that the source defines.
    fn defined_map(&mut self, index: usize) -> Result<usize> {
        if let Some(index) = self.map_places.get(&MapPlace::Defined(index)) {
            return Ok(*index);
        }
        let name = self.parts.maps[index];
        let attributes = map_attributes(&self.parts.btf, name).map_err(|why| format!("the map `{name}` {why}"))?;
        self.map(MapPlace::Defined(index), Map { name, attributes, contents: &[] })
    }

    fn map(&mut self, place: MapPlace, map: Map<'a>) -> Result<usize> {
        if self.maps.len() == MAX_MAPS {
            return Err(format!("the object has more than {MAX_MAPS} maps").into());
        }
        self.map_places.insert(place, self.maps.len());
        self.maps.push(map);
        Ok(self.maps.len() - 1)
    }
}

/// Returns the attributes of a map that the source defines.
fn map_attributes(types: &Btf, name: &str) -> std::result::Result<MapAttributes, String> {
    let map = map_definition::read(types, name)?;
    if let Some(unknown) = map.unknown {
        return Err(format!("has the member `{unknown}`, which only libbpf knows"));
    }
    let kind = map.kind.unwrap_or(0);
    if !SIMPLE_MAPS.contains(&kind) {
        return Err(format!("is of the type {kind}, which only libbpf can create"));
    }
    let size = |element: Element| element.size.ok_or("holds a type without a size");
    Ok(MapAttributes {
        kind: kind.into(),
        key_size: size(map.key)?.into(),
        value_size: size(map.value)?.into(),
        max_entries: map.max_entries.into(),
        flags: map.flags.into(),
        key_type: map.key.ty.0.into(),
        value_type: map.value.ty.0.into(),
    })
}

/// Turns a relocation into a reference if it is for an access to one of [`MEMBERS`]. Returns whether it was. The kernel
/// resolves relocations that only need an offset as a number: loaders use these to find the members' positions, so they
/// must not depend on references.
fn refer_to_member(program: &mut Linked<'_>, types: &Btf, relocation: &AccessRelocation) -> bool {
    /// `BPF_CORE_FIELD_BYTE_OFFSET`.
    const BYTE_OFFSET: u32 = 0;
    let (at, part) = (relocation.offset as usize / INSTRUCTION_SIZE, relocation.offset as usize % INSTRUCTION_SIZE);
    let (Some(index), Some(instruction)) = (member(types, relocation), program.instructions.get_mut(at)) else {
        return false;
    };
    let is_access = opcode::accessed(*instruction) == Some(MEMBERS[index].size);
    if relocation.kind != BYTE_OFFSET || part != 0 || !is_access {
        return false;
    }
    instruction[2..4].fill(0);
    program.references.push(Reference::new(at, ReferenceKind::Member, index));
    true
}

/// Returns which of [`MEMBERS`] a relocation's text leads to. For example, `0:3:1` is the second member of the fourth
/// member of the struct that a pointer points to. The fourth member is an unnamed union.
fn member(types: &Btf, relocation: &AccessRelocation) -> Option<usize> {
    let (of, path) = (types.name(relocation.ty), relocation.access.strip_prefix("0:")?);
    let (mut name, mut found) = ("", relocation.ty);
    for index in path.split(':') {
        let Type::Record { members, .. } = types.get(found) else { return None };
        let member = members.get(index.parse().ok()?).filter(|_| name.is_empty())?;
        (name, found) = (member.name, member.ty);
    }
    let size = types.size_of(found);
    MEMBERS.iter().position(|known| (known.of, known.name, Some(known.size)) == (of, name, size))
}

fn set_immediate(instruction: &mut Instruction, immediate: i64) {
    instruction[4..].copy_from_slice(&(immediate as i32).to_le_bytes());
}
