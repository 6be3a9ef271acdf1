//! Links an object's programs as libbpf does when it loads them (`bpf_object__relocate()`, tools/lib/bpf/libbpf.c). It
//! produces the same instructions in the same order, so that both loaders pass the same programs to the kernel.

use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::ops::Range;

use object::read::elf::ElfFile64;
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget, SectionFlags, SectionIndex,
    SymbolIndex, SymbolKind,
};

use crate::btf::{self, Btf, Pruned};
use crate::format::{
    CoreRelocation, FunctionInfo, INSTRUCTION_SIZE, Instruction, KERNEL_NAME_MAX, Kfunc, MAX_INSTRUCTIONS, MEMBERS,
    Map, MapAttributes, Prelinked, Program, Reference, ReferenceKind, opcode, source,
};
use crate::limits;
use crate::section::{self, FUNCTIONS, MAPS, OPS_MAP, READ_ONLY_DATA};

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
type Elf<'a> = ElfFile64<'a>;

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
    let elf = Elf::parse(object)?;
    limits::check(&elf)?;
    let section = |name: &str| elf.section_by_name(name).ok_or_else(|| format!("the object has no section `{name}`"));
    let types =
        Btf::parse(section(".BTF")?.data()?).map_err(|error| format!("the section `.BTF` is damaged: {error}"))?;
    let about = About::parse(section(".BTF.ext")?.data()?, &types)?;
    let license = CStr::from_bytes_with_nul(section("license")?.data()?)
        .map_err(|_| NotPrelinked::from("the section `license` is not a C string"))?;
    let functions = functions(&elf)?;
    let mut starts = HashMap::new();
    for (index, function) in functions.iter().enumerate() {
        // If a function has several names, the first counts.
        starts.entry((function.section, function.start)).or_insert(index);
    }
    let mut linker = Linker {
        elf: &elf,
        types: &types,
        about: &about,
        functions,
        starts,
        total: 0,
        references: references(&elf)?,
        maps: Vec::new(),
        map_places: HashMap::new(),
        kfuncs: Vec::new(),
    };
    let mut linked = Vec::new();
    for index in 0..linker.functions.len() {
        if linker.functions[index].section_name != FUNCTIONS {
            linked.push(linker.program(index)?);
        }
    }

    // From here on the types have their new numbers.
    let mut roots: Vec<u32> = Vec::new();
    for program in &linked {
        roots.extend(program.functions.iter().map(|info| info.ty.get()));
        roots.extend(program.relocations.iter().map(|relocation| relocation.ty));
    }
    for map in &linker.maps {
        roots.extend([map.attributes.key_type.get(), map.attributes.value_type.get()]);
    }
    let mut pruned = Pruned::new(&types, roots);
    let mut relocations = Vec::new();
    for program in &mut linked {
        for info in &mut program.functions {
            info.ty = pruned.number(info.ty.get()).into();
        }
        let moved = |relocation: &AboutRelocation| CoreRelocation {
            offset: relocation.offset.into(),
            ty: pruned.number(relocation.ty).into(),
            access: pruned.string(relocation.access).into(),
            kind: relocation.kind.into(),
        };
        relocations.push(program.relocations.iter().map(moved).collect::<Vec<_>>());
    }
    for map in &mut linker.maps {
        map.attributes.key_type = pruned.number(map.attributes.key_type.get()).into();
        map.attributes.value_type = pruned.number(map.attributes.value_type.get()).into();
    }
    let hidden: Vec<u32> =
        linker.functions.iter().filter(|function| function.hidden).map(|function| function.ty).collect();
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
        ops: ops(&elf)?,
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

/// A relocation of `.BTF.ext`, with its text.
#[derive(Clone, Copy)]
struct AboutRelocation<'a> {
    /// In bytes from the start of the section, and later of the program.
    offset: u32,
    ty: u32,
    access: &'a str,
    kind: u32,
}

/// The content of `.BTF.ext`, by section name.
struct About<'a> {
    /// The types of functions, by section and offset in bytes.
    functions: BTreeMap<(&'a str, u32), u32>,
    relocations: HashMap<&'a str, Vec<AboutRelocation<'a>>>,
}

impl<'a> About<'a> {
    fn parse(bytes: &[u8], types: &Btf<'a>) -> Result<About<'a>> {
        let word = |at: usize| -> Result<u32> {
            let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
            bytes.map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(|| "the section `.BTF.ext` ends too early".into())
        };
        if word(0)? & 0xffff != btf::MAGIC.into() || word(0)? >> 16 & 0xff != 1 {
            return Err("the section `.BTF.ext` is of a version that is not known".into());
        }
        let header = word(4)? as usize;
        // `at` is the part's place in the header: functions, lines, or relocations. `least` is the number of bytes to
        // read of each record.
        let part = |at: usize, least: usize| -> Result<Vec<(&'a str, [u32; 4])>> {
            let mut records = Vec::new();
            let start = header.saturating_add(word(at)? as usize);
            let end = start.saturating_add(word(at + 4)? as usize);
            if start == end {
                return Ok(records);
            }
            if end > bytes.len() {
                return Err("the header of the section `.BTF.ext` points outside of it".into());
            }
            let size = word(start)? as usize;
            if size < least || !size.is_multiple_of(4) {
                return Err(format!("the section `.BTF.ext` has records of {size} bytes").into());
            }
            let mut place = start + 4;
            while place < end {
                let (section, count) = (types.name_at(word(place)?)?, word(place + 4)? as usize);
                place += 8;
                if count > end.saturating_sub(place) / size {
                    return Err(
                        format!("the section `.BTF.ext` ends before the {count} records that it announces").into()
                    );
                }
                for _ in 0..count {
                    let mut record = [0; 4];
                    for (index, to) in record.iter_mut().enumerate().take(size / 4) {
                        *to = word(place + index * 4)?;
                    }
                    records.push((section, record));
                    place += size;
                }
            }
            Ok(records)
        };
        let functions = part(8, 8)?.into_iter().map(|(section, [offset, ty, ..])| ((section, offset), ty)).collect();
        let mut relocations: HashMap<_, Vec<AboutRelocation<'_>>> = HashMap::new();
        for (section, [offset, ty, access, kind]) in if header >= 32 { part(24, 16)? } else { Vec::new() } {
            let access = types.name_at(access)?;
            relocations.entry(section).or_default().push(AboutRelocation { offset, ty, access, kind });
        }
        // Sort by offset, so that a function's relocations are found quickly. Like libbpf, keep the order of those with
        // the same offset.
        relocations.values_mut().for_each(|of_section| of_section.sort_by_key(|relocation| relocation.offset));
        Ok(About { functions, relocations })
    }

    /// Returns the relocations of a part of a section.
    fn relocations(&self, section: &str, part: Range<u32>) -> &[AboutRelocation<'a>] {
        let all = self.relocations.get(section).map(Vec::as_slice).unwrap_or_default();
        let before = |end: u32| all.partition_point(|relocation| relocation.offset < end);
        all.get(before(part.start)..before(part.end)).unwrap_or_default()
    }
}

/// A function: a program, or a function that programs call.
struct Function<'a> {
    name: &'a str,
    section: SectionIndex,
    /// As in the file, with its `?`.
    section_name: &'a str,
    /// In bytes from the start of the section.
    start: u64,
    instructions: Vec<Instruction>,
    /// Its type, 0 if unknown.
    ty: u32,
    /// Whether its symbol is hidden. The kernel should treat such a function as static.
    hidden: bool,
}

fn functions<'a>(elf: &Elf<'a>) -> Result<Vec<Function<'a>>> {
    let mut functions: Vec<Function<'a>> = Vec::new();
    let mut total = 0;
    for symbol in elf.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let (Some(section), name) = (symbol.section_index(), symbol.name()?) else { continue };
        let in_section = elf.section_by_index(section)?;
        let start = symbol.address();
        let code = in_section.data_range(start, symbol.size())?;
        let (instructions, []) = code.unwrap_or_default().as_chunks::<INSTRUCTION_SIZE>() else {
            return Err(format!("the function `{name}` ends in the middle of an instruction").into());
        };
        if instructions.is_empty() {
            return Err(format!("the function `{name}` has no instructions").into());
        }
        // Functions can share the same instructions.
        total += instructions.len();
        if total > MAX_INSTRUCTIONS {
            return Err(too_many_instructions("its functions have"));
        }
        let visibility = symbol.elf_symbol().st_other.visibility();
        let hidden = [object::elf::STV_HIDDEN, object::elf::STV_INTERNAL].contains(&visibility);
        functions.push(Function {
            name,
            section,
            section_name: in_section.name()?,
            start,
            instructions: instructions.to_vec(),
            ty: 0,
            hidden,
        });
    }
    Ok(functions)
}

fn too_many_instructions(what: &str) -> NotPrelinked {
    format!("{what} more than {MAX_INSTRUCTIONS} instructions").into()
}

/// The target of an instruction's relocation.
#[derive(Clone, Copy)]
struct Target<'a> {
    name: &'a str,
    section: Option<SectionIndex>,
    address: u64,
    weak: bool,
}

type References<'a> = HashMap<(SectionIndex, u64), Target<'a>>;

fn references<'a>(elf: &Elf<'a>) -> Result<References<'a>> {
    /// The BPF relocation types that loaders process in code.
    const R_BPF_64_64: u32 = 1;
    const R_BPF_64_32: u32 = 10;
    let mut references = HashMap::new();
    for section in elf.sections() {
        let executable = matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(object::elf::SHF_EXECINSTR));
        for (offset, relocation) in section.relocations().filter(|_| executable) {
            let known = matches!(relocation.flags(), RelocationFlags::Elf { r_type } if [R_BPF_64_64, R_BPF_64_32].contains(&r_type.0));
            let (true, RelocationTarget::Symbol(index)) = (known, relocation.target()) else {
                return Err(format!("the section `{}` has a relocation of an unknown kind", section.name()?).into());
            };
            references.insert((section.index(), offset), target(elf, index)?);
        }
    }
    Ok(references)
}

fn target<'a>(elf: &Elf<'a>, index: SymbolIndex) -> Result<Target<'a>> {
    let symbol = elf.symbol_by_index(index)?;
    Ok(Target {
        name: symbol.name()?,
        section: symbol.section_index(),
        address: symbol.address(),
        weak: symbol.is_weak(),
    })
}

/// Returns the name of the struct_ops map. The programs' sections determine its members.
fn ops<'a>(elf: &Elf<'a>) -> Result<&'a str> {
    let Some(section) = elf.section_by_name(OPS_MAP) else { return Ok("") };
    let map = elf
        .symbols()
        .find(|symbol| symbol.section_index() == Some(section.index()) && symbol.kind() == SymbolKind::Data);
    if section.data()?.iter().any(|byte| *byte != 0) {
        return Err("its struct_ops map has values besides its programs".into());
    }
    Ok(map.ok_or("its struct_ops map has no name")?.name()?)
}

/// A program that is being linked.
struct Linked<'a> {
    name: &'a str,
    section: &'a str,
    instructions: Vec<Instruction>,
    functions: Vec<FunctionInfo>,
    relocations: Vec<AboutRelocation<'a>>,
    references: Vec<Reference>,
    /// The positions of the linked functions, by index.
    placed: HashMap<usize, usize>,
    /// The current depth of nested calls.
    depth: usize,
}

struct Linker<'a, 'o> {
    elf: &'o Elf<'a>,
    types: &'o Btf<'a>,
    about: &'o About<'a>,
    functions: Vec<Function<'a>>,
    /// Functions by section and offset in bytes.
    starts: HashMap<(SectionIndex, u64), usize>,
    /// The total number of instructions so far.
    total: usize,
    references: References<'a>,
    maps: Vec<Map<'a>>,
    /// By section. Maps that the source defines also by their offset in it.
    map_places: HashMap<(SectionIndex, Option<u64>), usize>,
    kfuncs: Vec<Kfunc<'a>>,
}

impl<'a> Linker<'a, '_> {
    fn program(&mut self, index: usize) -> Result<Linked<'a>> {
        let Function { name, section_name, .. } = self.functions[index];
        let mut program = Linked {
            name,
            section: section::plain_name(section_name),
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
        let function = &mut self.functions[index];
        let place = (function.section_name, function.start as u32);
        let (name, section, start, length) =
            (function.name, function.section, function.start, function.instructions.len());
        let base = program.instructions.len();
        self.total += length;
        if self.total > MAX_INSTRUCTIONS {
            return Err(too_many_instructions("its programs, each with the functions that it calls, have"));
        }
        function.ty = *self.about.functions.get(&place).ok_or_else(|| format!("the function `{name}` has no type"))?;
        program.placed.insert(index, base);
        program.instructions.extend_from_slice(&function.instructions);
        program.functions.push(FunctionInfo { instruction: (base as u32).into(), ty: function.ty.into() });
        let end = start as u32 + (length * INSTRUCTION_SIZE) as u32;
        for relocation in self.about.relocations(place.0, place.1..end) {
            let offset = relocation.offset - place.1 + (base * INSTRUCTION_SIZE) as u32;
            let relocation = AboutRelocation { offset, ..*relocation };
            if !refer_to_member(program, self.types, &relocation) {
                program.relocations.push(relocation);
            }
        }
        let mut skip = false;
        for at in 0..length {
            if std::mem::take(&mut skip) {
                continue;
            }
            let offset = start + (at * INSTRUCTION_SIZE) as u64;
            let target = self.references.get(&(section, offset)).copied();
            let instruction = program.instructions[base + at];
            skip = instruction[0] == opcode::LOAD_IMMEDIATE;
            let result = match (instruction[0], target) {
                (opcode::CALL, _) => self.call(program, base + at, (section, offset), target),
                (opcode::LOAD_IMMEDIATE, Some(target)) => self.load(program, base + at, target),
                (opcode::LOAD_IMMEDIATE, None) if instruction[1] >> 4 == 0 => Ok(()),
                (opcode::LOAD_IMMEDIATE, None) => Err("an address has no relocation".into()),
                (_, Some(_)) => Err("an instruction that is neither a call nor an address has a relocation".into()),
                (_, None) => Ok(()),
            };
            result.map_err(|NotPrelinked(why)| format!("in the function `{name}`, {why}"))?;
        }
        Ok(())
    }

    fn call(
        &mut self,
        program: &mut Linked<'a>,
        at: usize,
        (section, offset): (SectionIndex, u64),
        target: Option<Target<'a>>,
    ) -> Result<()> {
        let instruction = program.instructions[at];
        let immediate = i64::from(opcode::immediate(instruction) as i32);
        let behind = |address: u64| address.wrapping_add_signed((immediate + 1) * INSTRUCTION_SIZE as i64);
        let (section, address) = match (target, instruction[1] >> 4) {
            (Some(Target { section: None, name, weak, .. }), _) => {
                let index = self.kfunc(name, weak)?;
                program.instructions[at] = [opcode::CALL, opcode::CALL_KFUNC << 4, 0, 0, 0, 0, 0, 0];
                program.references.push(Reference::new(at, ReferenceKind::KfuncCall, index));
                return Ok(());
            }
            (Some(Target { section: Some(section), address, .. }), _) => (section, behind(address)),
            (None, opcode::CALL_FUNCTION) => (section, behind(offset)),
            // A helper, by its number.
            (None, 0) => return Ok(()),
            (None, _) => return Err("a call has no relocation".into()),
        };
        let called = self.place(program, section, address)?;
        set_immediate(&mut program.instructions[at], called as i64 - at as i64 - 1);
        Ok(())
    }

    fn load(&mut self, program: &mut Linked<'a>, at: usize, target: Target<'a>) -> Result<()> {
        let refer = |program: &mut Linked<'a>, kind, register: u8, index| {
            program.instructions[at][1] = program.instructions[at][1] & 15 | register << 4;
            set_immediate(&mut program.instructions[at], 0);
            program.references.push(Reference::new(at, kind, index));
        };
        let Some(section) = target.section else {
            let index = self.kfunc(target.name, target.weak)?;
            refer(program, ReferenceKind::KfuncAddress, 0, index);
            return Ok(());
        };
        let name = self.elf.section_by_index(section)?.name()?;
        let addend = opcode::immediate(program.instructions[at]);
        let address = target.address.wrapping_add(addend.into());
        if name == FUNCTIONS {
            let called = self.place(program, section, address)?;
            program.instructions[at][1] = program.instructions[at][1] & 15 | opcode::FUNCTION << 4;
            set_immediate(&mut program.instructions[at], called as i64 - at as i64 - 1);
        } else if name == MAPS {
            let index = self.defined_map(section, address)?;
            refer(program, ReferenceKind::Map, opcode::MAP, index);
        } else if section::is_data(name) {
            let index = self.data(section, name)?;
            refer(program, ReferenceKind::MapValue, opcode::MAP_VALUE, index);
            let second = program.instructions.get_mut(at + 1).ok_or("an address has no second half")?;
            set_immediate(second, address as i64);
        } else {
            return Err(format!("`{}` is in the section `{name}`, which only libbpf can link", target.name).into());
        }
        Ok(())
    }

    /// Returns the position of a function in the program, and appends the function if necessary.
    fn place(&mut self, program: &mut Linked<'a>, section: SectionIndex, address: u64) -> Result<usize> {
        let index = *self.starts.get(&(section, address)).ok_or("a call is to the middle of a function")?;
        if self.functions[index].section_name != FUNCTIONS {
            return Err(format!("a call is to the program `{}`", self.functions[index].name).into());
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

    fn kfunc(&mut self, name: &'a str, weak: bool) -> Result<usize> {
        if let Some(index) = self.kfuncs.iter().position(|kfunc| kfunc.name == name) {
            return Ok(index);
        }
        if self.types.named(btf::FUNC, name).is_none() {
            return Err(format!("`{name}` is of the kernel's and no function, which only libbpf can link").into());
        }
        if name.len() > Kfunc::NAME_MAX {
            return Err(format!("the kfunc's name `{name}` is longer than {} characters", Kfunc::NAME_MAX).into());
        }
        if self.kfuncs.len() == MAX_KFUNCS {
            return Err(format!("the object calls more than {MAX_KFUNCS} kfuncs").into());
        }
        self.kfuncs.push(Kfunc { name, weak });
        Ok(self.kfuncs.len() - 1)
    }

    /// Returns the map of a data section.
    fn data(&mut self, section: SectionIndex, name: &'a str) -> Result<usize> {
        if let Some(index) = self.map_places.get(&(section, None)) {
            return Ok(*index);
        }
        if name.len() > KERNEL_NAME_MAX {
            return Err(format!(
                "the section's name `{name}` is longer than the {KERNEL_NAME_MAX} characters that the kernel keeps"
            )
            .into());
        }
        let section = self.elf.section_by_index(section)?;
        let size = u32::try_from(section.size()).map_err(|_| format!("the section `{name}` is too large"))?;
        let attributes = MapAttributes {
            kind: ARRAY.into(),
            key_size: 4.into(),
            value_size: size.into(),
            max_entries: 1.into(),
            flags: if name.starts_with(READ_ONLY_DATA) { MapAttributes::READ_ONLY } else { 0 }.into(),
            key_type: 0.into(),
            value_type: 0.into(),
        };
        self.map((section.index(), None), Map { name, attributes, contents: section.data()? })
    }

    /// Returns a map that the source defines.
    fn defined_map(&mut self, section: SectionIndex, address: u64) -> Result<usize> {
        if let Some(index) = self.map_places.get(&(section, Some(address))) {
            return Ok(*index);
        }
        let is_it = |symbol: &object::read::elf::ElfSymbol64<'a, '_>| {
            symbol.section_index() == Some(section) && symbol.address() == address && symbol.kind() == SymbolKind::Data
        };
        let name = self.elf.symbols().find(is_it).ok_or("an address is that of the middle of a map")?.name()?;
        let attributes = self.map_attributes(name).map_err(|why| format!("the map `{name}` {why}"))?;
        self.map((section, Some(address)), Map { name, attributes, contents: &[] })
    }

    fn map(&mut self, place: (SectionIndex, Option<u64>), map: Map<'a>) -> Result<usize> {
        if self.maps.len() == MAX_MAPS {
            return Err(format!("the object has more than {MAX_MAPS} maps").into());
        }
        self.map_places.insert(place, self.maps.len());
        self.maps.push(map);
        Ok(self.maps.len() - 1)
    }

    /// Parses a map definition, a struct whose member types encode the values.
    fn map_attributes(&self, name: &str) -> std::result::Result<MapAttributes, String> {
        let types = self.types;
        let of_maps = types.named(btf::DATASEC, MAPS).into_iter().flat_map(|section| types.get(section).variables());
        let variable = { of_maps }.find(|variable| types.name(*variable) == name);
        let definition = variable.map(|variable| types.get(types.get(variable).referred())).ok_or("has no type")?;
        let (mut kind, mut entries, mut flags) = (0, 0, 0);
        let (mut key, mut value) = ((0, 0), (0, 0));
        for (member, ty) in definition.members() {
            let pointed = types.get(ty).referred();
            let number = types.get(pointed).elements();
            let sized = || Ok::<_, String>((types.size_of(pointed).ok_or("holds a type without a size")?, pointed));
            match types.string(member) {
                "type" => kind = number,
                "max_entries" => entries = number,
                "map_flags" => flags = number,
                "key_size" => key = (number, 0),
                "value_size" => value = (number, 0),
                "key" => key = sized()?,
                "value" => value = sized()?,
                other => return Err(format!("says `{other}`, which only libbpf knows")),
            }
        }
        if !SIMPLE_MAPS.contains(&kind) {
            return Err(format!("is of the type {kind}, which only libbpf can create"));
        }
        Ok(MapAttributes {
            kind: kind.into(),
            key_size: key.0.into(),
            value_size: value.0.into(),
            max_entries: entries.into(),
            flags: flags.into(),
            key_type: key.1.into(),
            value_type: value.1.into(),
        })
    }
}

/// Turns a relocation into a reference if it is for an access to one of [`MEMBERS`]. Returns whether it was. The kernel
/// resolves relocations that only need an offset as a number: loaders use these to find the members' positions, so they
/// must not depend on references.
fn refer_to_member(program: &mut Linked<'_>, types: &Btf<'_>, relocation: &AboutRelocation<'_>) -> bool {
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
fn member(types: &Btf<'_>, relocation: &AboutRelocation<'_>) -> Option<usize> {
    let (of, path) = (types.name(relocation.ty), relocation.access.strip_prefix("0:")?);
    let (mut name, mut found) = ("", relocation.ty);
    for index in path.split(':') {
        let is_through = name.is_empty() && [btf::STRUCT, btf::UNION].contains(&types.get(found).kind());
        let (label, inner) = types.get(found).members().nth(index.parse().ok()?).filter(|_| is_through)?;
        (name, found) = (types.string(label), inner);
    }
    let size = types.size_of(found);
    MEMBERS.iter().position(|known| (known.of, known.name, Some(known.size)) == (of, name, size))
}

fn set_immediate(instruction: &mut Instruction, immediate: i64) {
    instruction[4..].copy_from_slice(&(immediate as i32).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    /// Returns type information with these strings and without types.
    fn types(strings: &[u8]) -> Vec<u8> {
        let header = [u32::from(btf::MAGIC) | 1 << 16, 24, 0, 0, 0, strings.len() as u32];
        [header.as_bytes(), strings].concat()
    }

    /// Returns a `.BTF.ext` whose functions or relocations are these numbers.
    fn about(is_relocations: bool, part: &[u32]) -> Vec<u8> {
        let length = part.len() as u32 * 4;
        let (functions, relocations) = if is_relocations { (0, length) } else { (length, 0) };
        let header = [u32::from(btf::MAGIC) | 1 << 16, 32, 0, functions, 0, 0, 0, relocations];
        [header.as_bytes(), part.as_bytes()].concat()
    }

    #[test]
    fn counts_and_sizes_of_records_are_checked_before_anything_is_read() {
        let bytes = types(b"\0.text\0");
        let types = Btf::parse(&bytes).unwrap();
        let parse = |is_relocations, part: &[u32]| About::parse(&about(is_relocations, part), &types).map(drop);
        assert_eq!(parse(false, &[8, 1, 1, 0, 5]), Ok(()));
        assert_eq!(parse(true, &[16, 1, 1, 0, 5, 1, 0]), Ok(()));
        for (is_relocations, part) in [
            // Records that are empty, or shorter than what is read of them. Reading these would never reach the end.
            (false, &[0, 1, u32::MAX][..]),
            (false, &[4, 1, u32::MAX, 0, 0]),
            (true, &[0, 1, u32::MAX]),
            (true, &[8, 1, 2, 0, 0, 0, 0]),
            (false, &[9, 1, 1, 0, 0, 0]),
            (false, &[u32::MAX, 1, 1, 0, 0]),
            // More records than there are.
            (false, &[8, 1, 2, 0, 5]),
            (true, &[16, 1, u32::MAX, 0, 5, 1, 0]),
        ] {
            let error = parse(is_relocations, part).unwrap_err().to_string();
            assert!(error.contains(".BTF.ext"), "{part:?}: {error}");
        }
        let mut outside = about(false, &[8, 1, 1, 0, 5]);
        outside[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(About::parse(&outside, &types).is_err());
    }

    #[test]
    fn names_that_overlap_are_short() {
        let long = [b"\0", vec![b'x'; 600].as_slice(), b"\0"].concat();
        let bytes = types(&long);
        let error = About::parse(&about(false, &[8, 1, 0]), &Btf::parse(&bytes).unwrap()).map(drop).unwrap_err();
        assert!(error.to_string().contains("511 bytes"), "{error}");
        // FWD, with the long name.
        let ty = [1u32, 7 << 24, 0];
        let header = [u32::from(btf::MAGIC) | 1 << 16, 24, 0, 12, 12, long.len() as u32];
        let bytes = [header.as_bytes(), ty.as_bytes(), &long].concat();
        assert!(Btf::parse(&bytes).is_err_and(|why| why.contains("511 bytes")));
    }
}
