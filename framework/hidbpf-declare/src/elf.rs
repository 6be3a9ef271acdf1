//! The object around the programs: sections, symbols, relocations and types, as clang and libbpf's linker make them.

use std::collections::BTreeMap;

use hidbpf_core::driver::object::{FIXUP_RECORD, SOURCE_ROOT};
use hidbpf_core::manifest::Manifest;
use hidbpf_core::manifest::options::{self, DriverOption, Type};
use hidbpf_prelink::driver::{PROPERTY_PREFIX, PROPERTY_SIZE, RULE};
use hidbpf_prelink::hook::HOOKS;
use hidbpf_prelink::section::{self, OPS_MAP, READ_ONLY_DATA};
use hidbpf_prelink::{Generation, Hook};
use object::Endianness;
use object::build::ByteString;
use object::build::elf::{Builder, Relocation, Section, SectionData, SectionId, SymbolId};
use object::elf::{
    EM_BPF, ET_REL, R_BPF_64_32, R_BPF_64_64, RelocationType, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_NOBITS,
    SHT_PROGBITS, SHT_REL, SHT_STRTAB, SHT_SYMTAB, STB_GLOBAL, STB_WEAK, STT_FUNC, STT_NOTYPE, STT_OBJECT,
    SectionFlags, SymbolInfo,
};

use crate::assembler::{Code, Reference};
use crate::btf::{Function, Id, Lines, Types};
use crate::mistake::Mistake;

/// The kernel function that programs get their data from.
pub(crate) const GET_DATA: &str = "hid_bpf_get_data";

/// `R_BPF_64_ABS64`: a pointer in data.
const R_BPF_64_ABS64: RelocationType = RelocationType(2);

/// The kernel function that sends a further report from an event hook.
pub(crate) const INPUT_REPORT: &str = "hid_bpf_try_input_report";

/// The number of clicks that a driver can have: their flags are the bits of a positive 32-bit number.
pub(crate) const MOST_CLICKS: usize = 31;

const LICENSE: &[u8] = b"GPL\0";
const BSS: &str = ".bss";
const DATA: &str = ".data";

/// A program of a hook.
pub(crate) struct Program {
    pub generation: Generation,
    pub hook: Hook,
    pub code: Code,
}

impl Program {
    /// Returns the name that the SDK's macros give to it.
    fn name(&self) -> &'static str {
        match (self.hook, self.generation) {
            (Hook::RdescFixup, Generation::FmodRet) => "fixup_fmod",
            (Hook::RdescFixup, _) => "fixup_ops",
            (_, Generation::FmodRet) => "event_fmod",
            (_, _) => "event_ops",
        }
    }

    fn section(&self) -> String {
        // Both hooks have programs on both generations.
        section::of_program(self.hook, self.generation).unwrap_or_default()
    }
}

/// A variable.
struct Variable {
    section: &'static str,
    kind: Kind,
    offset: usize,
    size: usize,
}

/// The type of a variable.
enum Kind {
    /// Numbers of these many bytes each: 1, 4 or 8.
    Numbers(usize),
    /// A text with a zero at its end.
    Text,
    Option(Type, Vec<String>),
}

/// An object that is being made.
pub(crate) struct Object<'a> {
    text: &'a str,
    file: String,
    programs: Vec<Program>,
    variables: BTreeMap<String, Variable>,
    sections: BTreeMap<&'static str, Vec<u8>>,
}

impl<'a> Object<'a> {
    pub fn new(manifest: &Manifest, text: &'a str, file: &str) -> Object<'a> {
        let mut object = Object {
            text,
            file: format!("{SOURCE_ROOT}/{file}"),
            programs: Vec::new(),
            variables: BTreeMap::new(),
            sections: BTreeMap::new(),
        };
        for option in &manifest.options {
            let kind = Kind::Option(option.kind, constants(option));
            object.add_variable(option.variable(), options::SECTION, kind, &vec![0; option.size()], option.size());
        }
        object
    }

    pub fn add(&mut self, program: Program) {
        self.programs.push(program);
    }

    fn add_variable(&mut self, name: String, section: &'static str, kind: Kind, contents: &[u8], align: usize) {
        let bytes = self.sections.entry(section).or_default();
        let size = bytes.len().next_multiple_of(align);
        bytes.resize(size, 0);
        bytes.extend_from_slice(contents);
        self.variables.insert(name, Variable { section, kind, offset: size, size: contents.len() });
    }

    /// Returns the record by which user space knows that the descriptor hook ran.
    pub fn fixup_record(&mut self) -> &'static str {
        if !self.variables.contains_key(FIXUP_RECORD) {
            self.add_variable(FIXUP_RECORD.to_owned(), BSS, Kind::Numbers(4), &[0; 8], 8);
        }
        FIXUP_RECORD
    }

    /// Returns the variable of a held value: 8 bytes, 0 at first.
    pub fn held(&mut self, name: &str) -> String {
        let variable = format!("held_{}", name.replace('-', "_"));
        if !self.variables.contains_key(&variable) {
            self.add_variable(variable.clone(), BSS, Kind::Numbers(8), &[0; 8], 8);
        }
        variable
    }

    /// Returns the variable that user space sets to a udev property of the device.
    pub fn property(&mut self, name: &str) -> String {
        let variable = format!("{PROPERTY_PREFIX}{name}");
        if !self.variables.contains_key(&variable) {
            self.add_variable(variable.clone(), READ_ONLY_DATA, Kind::Text, &[0; PROPERTY_SIZE], 8);
        }
        variable
    }

    /// Returns the variable that user space sets to the index of the match rule that chose the driver.
    pub fn rule(&mut self) -> String {
        if !self.variables.contains_key(RULE) {
            self.add_variable(RULE.to_owned(), READ_ONLY_DATA, Kind::Numbers(4), &[0; 4], 8);
        }
        RULE.to_owned()
    }

    /// Returns the variable with what clicks wait for: a byte for each, 1 if the value was not 0.
    pub fn click_states(&mut self) -> String {
        self.zeros("hidbpf_click_states", MOST_CLICKS)
    }

    /// Returns the variable for the copy of a report that shows a press.
    pub fn click_report(&mut self, size: usize) -> String {
        self.zeros("hidbpf_click_report", size)
    }

    /// Returns a variable of this many bytes that programs can write to, which are 0 at first.
    fn zeros(&mut self, name: &str, size: usize) -> String {
        if !self.variables.contains_key(name) {
            self.add_variable(name.to_owned(), BSS, Kind::Numbers(1), &vec![0; size], 8);
        }
        name.to_owned()
    }

    /// Returns a variable of this many bytes that programs can write to.
    pub fn scratch(&mut self, size: usize) -> String {
        let name = "hidbpf_scratch";
        let enough = self.variables.get(name).is_some_and(|variable| variable.size >= size);
        if !enough {
            // A new place for a longer one. The shorter one stays unused, and descriptors are short.
            self.add_variable(name.to_owned(), BSS, Kind::Numbers(1), &vec![0; size], 8);
        }
        name.to_owned()
    }

    /// Returns a variable with these bytes that the kernel can copy from.
    pub fn data(&mut self, bytes: &[u8]) -> String {
        self.constant("hidbpf_data", DATA, Kind::Numbers(1), bytes)
    }

    /// Returns a table of 32-bit numbers that programs only read.
    pub fn table(&mut self, numbers: &[u32]) -> String {
        let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.constant("hidbpf_table", READ_ONLY_DATA, Kind::Numbers(4), &bytes)
    }

    fn constant(&mut self, prefix: &str, section: &'static str, kind: Kind, bytes: &[u8]) -> String {
        let contents = self.sections.get(section).map(Vec::as_slice).unwrap_or_default();
        let is_same = |(name, variable): &(&String, &Variable)| {
            let place = variable.offset..variable.offset + variable.size;
            variable.section == section && name.starts_with(prefix) && contents.get(place) == Some(bytes)
        };
        if let Some((name, _)) = self.variables.iter().find(is_same) {
            return name.clone();
        }
        let name = format!("{prefix}_{}", self.variables.values().filter(|known| known.section == section).count());
        self.add_variable(name.clone(), section, kind, bytes, 8);
        name
    }

    /// Returns the name of an option's variable, or `None` if the manifest has no such option.
    pub fn option(&self, name: &str) -> Option<String> {
        let name = format!("{}{}", options::PREFIX, name.replace('-', "_"));
        self.variables.contains_key(&name).then_some(name)
    }

    /// Refuses options that no program reads.
    fn check_options(&self) -> Result<(), Mistake> {
        let reads = |name: &String| {
            let mut references = self.programs.iter().flat_map(|program| &program.code.references);
            references.any(|(_, reference)| matches!(reference, Reference::Variable(read) if read == name))
        };
        let is_option = |(_, variable): &(&String, &Variable)| variable.section == options::SECTION;
        match self.variables.iter().filter(is_option).find(|(name, _)| !reads(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let name = name.strip_prefix(options::PREFIX).unwrap_or(name).replace('_', "-");
                let at = self.text.find(&format!("\"{name}\"")).map(|at| at..at + name.len());
                Err(Mistake { span: at, message: format!("no repair reads the option `{name}`: use it, or remove it") })
            }
        }
    }

    /// Writes the object.
    pub fn write(&self) -> Result<Vec<u8>, Mistake> {
        self.check_options()?;
        let mut types = Types::default();
        let mut writer = Writer::default();
        let mut ids = Vec::new();
        for program in &self.programs {
            let id = types.program(program.name());
            ids.push(id);
            let code = &program.code;
            let section = writer.section(&program.section(), SHF_ALLOC | SHF_EXECINSTR, &code.instructions.concat(), 8);
            writer.symbol(program.name(), STB_GLOBAL | STT_FUNC, Some(section), 0, code.size());
        }
        let calls = |name: &str| {
            let mut references = self.programs.iter().flat_map(|program| &program.code.references);
            references.any(|(_, reference)| matches!(reference, Reference::Kfunc(known) if *known == name))
        };
        let mut functions = vec![(GET_DATA, types.get_data(GET_DATA))];
        if calls(INPUT_REPORT) {
            functions.push((INPUT_REPORT, types.input_report(INPUT_REPORT)));
        }
        let placed: Vec<(Id, u32, u32)> = functions.iter().map(|(_, ty)| (*ty, 0, 0)).collect();
        types.section(".ksyms", 0, &placed);
        for (name, _) in functions {
            writer.symbol(name, STB_WEAK | STT_NOTYPE, None, 0, 0);
        }
        self.write_variables(&mut types, &mut writer);
        self.write_ops(&mut types, &mut writer);
        let license = writer.section("license", SHF_ALLOC | SHF_WRITE, LICENSE, 1);
        writer.symbol("hidbpf_license", STB_GLOBAL | STT_OBJECT, Some(license), 0, LICENSE.len());
        let text = types.text(LICENSE.len() as u32);
        let variable = types.variable("hidbpf_license", text);
        types.section("license", LICENSE.len() as u32, &[(variable, 0, LICENSE.len() as u32)]);

        let sections: Vec<String> = self.programs.iter().map(Program::section).collect();
        let functions: Vec<Function<'_>> = self
            .programs
            .iter()
            .zip(&ids)
            .zip(&sections)
            .map(|((program, ty), section)| Function { section, ty: *ty, code: &program.code })
            .collect();
        let extension = types.extension(&functions, &Lines { file: &self.file, text: self.text });
        writer.section(hidbpf_prelink::btf::SECTION, SectionFlags(0), &types.bytes(), 8);
        writer.section(hidbpf_prelink::btf_ext::SECTION, SectionFlags(0), &extension, 8);
        for program in &self.programs {
            let relocations = program.code.references.iter().filter_map(|(at, reference)| {
                let (symbol, kind) = match reference {
                    Reference::Variable(name) => (name.as_str(), R_BPF_64_64),
                    Reference::Kfunc(name) => (*name, R_BPF_64_32),
                    Reference::Member(_) => return None,
                };
                Some((*at as u64 * 8, symbol.to_owned(), kind))
            });
            writer.relocations(&program.section(), relocations.collect());
        }
        writer.finish().map_err(Mistake::general)
    }

    fn write_variables(&self, types: &mut Types, writer: &mut Writer) {
        for (section, contents) in &self.sections {
            let flags = if *section == READ_ONLY_DATA { SHF_ALLOC } else { SHF_ALLOC | SHF_WRITE };
            let id = match *section {
                BSS => writer.zeros(section, contents.len()),
                _ => writer.section(section, flags, contents, 8),
            };
            let mut own: Vec<_> = self.variables.iter().filter(|(_, variable)| variable.section == *section).collect();
            own.sort_by_key(|(_, variable)| variable.offset);
            let mut placed = Vec::new();
            for (name, variable) in own {
                writer.symbol(name, STB_GLOBAL | STT_OBJECT, Some(id), variable.offset, variable.size);
                let ty = variable.ty(name, types);
                placed.push((types.variable(name, ty), variable.offset as u32, variable.size as u32));
            }
            types.section(section, contents.len() as u32, &placed);
        }
    }

    /// Writes the struct_ops map.
    fn write_ops(&self, types: &mut Types, writer: &mut Writer) {
        const MAP: &str = "hidbpf_ops";
        let newer = |hook: &Hook| {
            self.programs.iter().find(|program| program.generation == Generation::StructOps && program.hook == *hook)
        };
        let programs: Vec<&Program> = HOOKS.iter().filter_map(|row| newer(&row.hook)).collect();
        let members: Vec<&str> = programs.iter().map(|program| program.hook.row().member).collect();
        let (ops, size) = types.ops(&members);
        let variable = types.variable(MAP, ops);
        types.section(OPS_MAP, size, &[(variable, 0, size)]);
        let section = writer.section(OPS_MAP, SHF_ALLOC | SHF_WRITE, &vec![0; size as usize], 8);
        writer.symbol(MAP, STB_GLOBAL | STT_OBJECT, Some(section), 0, size as usize);
        let pointers =
            programs.iter().zip(1..).map(|(program, place)| (place * 8, program.name().to_owned(), R_BPF_64_ABS64));
        writer.relocations(OPS_MAP, pointers.collect());
    }
}

impl Variable {
    fn ty(&self, name: &str, types: &mut Types) -> Id {
        let of_size = |types: &mut Types, size| match size {
            1 => types.byte(),
            8 => types.long(),
            _ => types.unsigned(),
        };
        match &self.kind {
            Kind::Numbers(size) if *size == self.size => of_size(types, *size),
            Kind::Numbers(size) => {
                let element = of_size(types, *size);
                types.array(element, (self.size / size) as u32)
            }
            Kind::Text => types.text(self.size as u32),
            Kind::Option(Type::Bool, _) => types.bool(),
            // [`crate::generate`] has refused them.
            Kind::Option(Type::Table | Type::Text, _) => types.int(),
            Kind::Option(Type::Integer, _) => types.int(),
            Kind::Option(Type::Choice, constants) => types.enumeration(&format!("hidbpf_{name}"), constants),
        }
    }
}

/// Returns the constants of a choice, as the SDK names them.
pub(crate) fn constants(option: &DriverOption) -> Vec<String> {
    let constant = |value: &String| format!("{}_{value}", option.name).to_uppercase().replace('-', "_");
    option.values.iter().map(constant).collect()
}

/// The offset of a relocation, its symbol, and its type.
type Place = (u64, String, RelocationType);

/// An ELF file that is being written.
#[derive(Default)]
struct Writer {
    sections: Vec<(String, SectionFlags, Vec<u8>, usize)>,
    /// The size of the section of zeros, and its place among the sections.
    zeros: Option<(usize, usize)>,
    symbols: Vec<(String, SymbolInfo, Option<usize>, usize, usize)>,
    relocations: Vec<(String, Vec<Place>)>,
}

impl Writer {
    fn section(&mut self, name: &str, flags: SectionFlags, contents: &[u8], align: usize) -> usize {
        self.sections.push((name.to_owned(), flags, contents.to_vec(), align));
        self.sections.len() - 1
    }

    fn zeros(&mut self, name: &str, size: usize) -> usize {
        let id = self.section(name, SHF_ALLOC | SHF_WRITE, &[], 8);
        self.zeros = Some((id, size));
        id
    }

    fn symbol(&mut self, name: &str, info: SymbolInfo, section: Option<usize>, value: usize, size: usize) {
        self.symbols.push((name.to_owned(), info, section, value, size));
    }

    fn relocations(&mut self, section: &str, relocations: Vec<Place>) {
        if !relocations.is_empty() {
            self.relocations.push((section.to_owned(), relocations));
        }
    }

    fn finish(self) -> Result<Vec<u8>, String> {
        const HEADER: usize = 64;
        /// `Elf64_Rel`.
        const RELOCATION_SIZE: u64 = 16;
        let mut builder = Builder::new(Endianness::Little, true);
        builder.header.e_type = ET_REL;
        builder.header.e_machine = EM_BPF;
        let mut ids: Vec<SectionId> = Vec::new();
        let mut offset = HEADER;
        for (index, (name, flags, contents, align)) in self.sections.iter().enumerate() {
            let section: &mut Section<'_> = builder.sections.add();
            section.name = ByteString::from(name.as_bytes());
            section.sh_flags = *flags;
            section.sh_addralign = *align as u64;
            offset = offset.next_multiple_of(*align);
            section.sh_offset = offset as u64;
            match self.zeros.filter(|(zeros, _)| *zeros == index) {
                Some((_, size)) => {
                    section.sh_type = SHT_NOBITS;
                    section.data = SectionData::UninitializedData(size as u64);
                }
                None => {
                    section.sh_type = SHT_PROGBITS;
                    section.data = SectionData::Data(contents.as_slice().into());
                    offset += contents.len();
                }
            }
            ids.push(section.id());
        }
        let mut symbols: BTreeMap<&str, SymbolId> = BTreeMap::new();
        for (name, info, section, value, size) in &self.symbols {
            let symbol = builder.symbols.add();
            symbol.name = ByteString::from(name.as_bytes());
            symbol.st_info = *info;
            symbol.section = section.and_then(|section| ids.get(section).copied());
            symbol.st_value = *value as u64;
            symbol.st_size = *size as u64;
            symbols.insert(name, symbol.id());
        }
        let add = |builder: &mut Builder<'_>, name: &'static str, kind, data| {
            let section = builder.sections.add();
            section.name = ByteString::from(name.as_bytes());
            section.sh_type = kind;
            section.sh_addralign = 1;
            section.data = data;
            section.id()
        };
        let strings = add(&mut builder, ".strtab", SHT_STRTAB, SectionData::String);
        add(&mut builder, ".shstrtab", SHT_STRTAB, SectionData::SectionString);
        let table = add(&mut builder, ".symtab", SHT_SYMTAB, SectionData::Symbol);
        builder.sections.get_mut(table).sh_link_section = Some(strings);
        builder.sections.get_mut(table).sh_addralign = 8;
        for (target, relocations) in &self.relocations {
            let place = self.sections.iter().position(|(name, ..)| name == target);
            let target_id = place.and_then(|place| ids.get(place).copied());
            let entries = relocations.iter().map(|(at, symbol, kind)| Relocation {
                r_offset: *at,
                symbol: symbols.get(symbol.as_str()).copied(),
                r_type: *kind,
                r_addend: 0,
            });
            let section = builder.sections.add();
            section.name = ByteString::from(format!(".rel{target}").into_bytes());
            section.sh_type = SHT_REL;
            section.sh_flags = object::elf::SHF_INFO_LINK;
            section.sh_link_section = Some(table);
            section.sh_info_section = target_id;
            section.sh_addralign = 8;
            section.sh_entsize = RELOCATION_SIZE;
            section.data = SectionData::Relocation(entries.collect());
        }
        let mut bytes = Vec::new();
        builder.write(&mut bytes).map_err(|error| format!("failed to write the object: {error}"))?;
        Ok(bytes)
    }
}
