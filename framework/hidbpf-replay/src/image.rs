//! Links an object's functions into one code image, bound to memory and to a generation's kernel.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core_relo::{Kernel, Layout, NoAnswer};
use crate::error::{Fault, Reason};
use crate::insn::{self, Bad, Insn, Raw};
use crate::kfunc::Kfunc;
use crate::maps::Map;
use crate::memory::{Access, Full, Kind, Memory, RegionId};
use crate::object::{Extern, Hooks, Object};
use hidbpf_prelink::btf_ext::SourceLine;
use hidbpf_prelink::parts::Target;
use hidbpf_prelink::{Generation, INSTRUCTION_SIZE};

/// A function in the code.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) name: String,
    /// The index of its first instruction in the code.
    pub(crate) start: usize,
    /// Without the [`Bad::End`] after the last one.
    pub(crate) len: usize,
    /// The section that it comes from, and the index of its first instruction there.
    section: usize,
    section_start: usize,
    pub(crate) sleepable: bool,
}

/// Executable code.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) code: Vec<Insn>,
    /// By the object's function numbers.
    pub(crate) functions: Vec<Placed>,
    pub(crate) kfuncs: Vec<ImageKfunc>,
    /// The texts of [`Bad::Unresolved`].
    texts: Vec<String>,
    object: Arc<Object>,
    pub(crate) generation: Generation,
    pub(crate) context: Layout,
    pub(crate) device: Layout,
}

/// A kernel function that the object refers to.
#[derive(Clone, Debug)]
pub(crate) struct ImageKfunc {
    pub(crate) name: String,
    /// The function, if kernels of the generation have it and replays support it.
    pub(crate) known: Option<Kfunc>,
}

/// An object's memory.
#[derive(Debug)]
pub(crate) struct Data {
    /// By the object's data section numbers.
    pub(crate) sections: Vec<RegionId>,
    pub(crate) maps: Vec<Map>,
    /// The region of [`Kind::Code`].
    pub(crate) code: RegionId,
}

impl Data {
    /// Allocates an object's memory.
    pub(crate) fn new(object: &Object, memory: &mut Memory) -> Result<Data, Full> {
        let mut sections = Vec::with_capacity(object.data.len());
        for (index, section) in object.data.iter().enumerate() {
            let access = if section.writable { Access::ReadWrite } else { Access::ReadOnly };
            let region = memory.allocate(section.bytes.len(), Kind::Section(index as u32), access)?;
            memory.bytes_mut(region).copy_from_slice(&section.bytes);
            sections.push(region);
        }
        let mut maps = Vec::with_capacity(object.maps.len());
        for (index, definition) in object.maps.iter().enumerate() {
            maps.push(Map::new(definition.clone(), index as u32, memory)?);
        }
        Ok(Data { sections, maps, code: memory.handle(Kind::Code)? })
    }
}

struct Linker<'a> {
    object: &'a Object,
    generation: Generation,
    data: &'a Data,
    /// By the object's extern numbers.
    externs: Vec<RegionId>,
    kfuncs: &'a [ImageKfunc],
    /// The starts of the object's functions in the code.
    starts: Vec<usize>,
    texts: Vec<String>,
}

impl Image {
    /// Binds an object's code to its memory and to a kernel.
    pub(crate) fn link(
        object: &Arc<Object>,
        generation: Generation,
        data: &Data,
        memory: &mut Memory,
    ) -> Result<Image, Full> {
        let context = Layout::context(generation);
        let device = Layout::device(&object.btf);
        let kfuncs: Vec<ImageKfunc> = object
            .externs
            .iter()
            .map(|Extern { name, .. }| ImageKfunc { name: name.clone(), known: Kfunc::find(name, generation) })
            .collect();
        let externs =
            (0..kfuncs.len() as u32).map(|index| memory.handle(Kind::Kfunc(index))).collect::<Result<_, _>>()?;
        let mut end = 0;
        let mut start = |len: usize| {
            let start = end;
            end += len + 1;
            start
        };
        let starts = object.functions.iter().map(|function| start(function.len)).collect();
        let mut linker = Linker { object, generation, data, externs, kfuncs: &kfuncs, starts, texts: Vec::new() };
        let sections = linker.sections(&Kernel { btf: &object.btf, generation, context: &context, device: &device });
        let (mut code, mut functions) = (Vec::new(), Vec::new());
        for function in &object.functions {
            let start = code.len();
            let range = function.start..function.start + function.len;
            if let Some((instructions, unresolved)) = sections.get(function.section) {
                code.extend(insn::decode(instructions.get(range.clone()).unwrap_or_default(), start));
                for (at, text) in unresolved.range(range) {
                    if let Some(instruction) = code.get_mut(start + at - function.start) {
                        *instruction = Insn::bad(Bad::Unresolved(*text));
                    }
                }
            }
            functions.push(Placed {
                name: function.name.clone(),
                start,
                len: function.len,
                section: function.section,
                section_start: function.start,
                sleepable: function.sleepable,
            });
        }
        let texts = linker.texts;
        Ok(Image { code, functions, kfuncs, texts, object: Arc::clone(object), generation, context, device })
    }

    /// Returns the function that contains an index of the code.
    fn function_at(&self, at: usize) -> Option<&Placed> {
        let after = self.functions.partition_point(|function| function.start <= at);
        self.functions.get(after.checked_sub(1)?)
    }

    fn source(&self, function: &Placed, instruction: usize) -> Option<SourceLine> {
        let section = self.object.code.get(function.section)?;
        let bytes = |index: usize| u32::try_from(index * INSTRUCTION_SIZE).ok();
        let start = bytes(function.section_start)?;
        let at = bytes(function.section_start + instruction)?;
        self.object.ext.line(&self.object.btf, &section.name, start, at)
    }

    /// Returns the source line of an index of the code.
    pub(crate) fn source_at(&self, at: usize) -> Option<SourceLine> {
        let function = self.function_at(at)?;
        self.source(function, at - function.start)
    }

    /// Returns a fault at an index of the code.
    #[cold]
    pub(crate) fn fault(&self, at: usize, reason: Reason) -> Box<Fault> {
        let function = self.function_at(at);
        let last = |function: &Placed| function.len.saturating_sub(1);
        let instruction = function.map_or(at, |function| (at - function.start).min(last(function)));
        Box::new(Fault {
            program: function.map(|function| function.name.clone()).unwrap_or_default(),
            instruction,
            source: function.and_then(|function| self.source(function, instruction)),
            reason,
        })
    }

    /// Returns why an instruction can't be run.
    #[cold]
    pub(crate) fn why_bad(&self, immediate: u64) -> Reason {
        match Bad::from_immediate(immediate) {
            Bad::Jump => Reason::BadJump,
            Bad::End => Reason::PastTheEnd,
            Bad::Unresolved(text) => Reason::Unresolved(self.texts.get(text as usize).cloned().unwrap_or_default()),
            Bad::Unknown | Bad::SecondHalf | Bad::NoSecondHalf => Reason::BadInstruction,
        }
    }

    /// Returns the programs for the hooks, by the object's function numbers.
    pub(crate) fn hooks(&self) -> &Hooks {
        self.object.hooks(self.generation)
    }

    pub(crate) fn section_name(&self, index: u32) -> &str {
        self.object.data.get(index as usize).map_or("", |section| section.name.as_str())
    }

    pub(crate) fn map_name(&self, index: u32) -> &str {
        self.object.maps.get(index as usize).map_or("", |map| map.name.as_str())
    }
}

/// The instructions of a section, and the text numbers of unresolved ones.
type Section = (Vec<Raw>, BTreeMap<usize, u32>);

impl Linker<'_> {
    fn sections(&mut self, kernel: &Kernel<'_>) -> Vec<Section> {
        let mut sections = Vec::with_capacity(self.object.code.len());
        for section in &self.object.code {
            let mut instructions = section.instructions.clone();
            let mut unresolved = BTreeMap::new();
            for relocation in self.object.ext.relocations(&section.name, 0..u32::MAX) {
                let at = relocation.offset as usize / INSTRUCTION_SIZE;
                let patched = kernel.answer(relocation).and_then(|value| {
                    patch(&mut instructions, at, value)
                        .ok_or_else(|| NoAnswer::Damaged("a relocation does not fit".to_owned()))
                });
                let text = match patched {
                    Ok(()) => continue,
                    Err(NoAnswer::NoMember(member, record)) => {
                        format!("`struct {record}` has no member `{member}` on {} kernels", self.generation)
                    }
                    Err(NoAnswer::Damaged(text)) => text,
                };
                unresolved.insert(at, self.text(text));
            }
            for (at, instruction) in section.instructions.iter().enumerate() {
                let target = section.targets.get(&at);
                match self.bind(*instruction, target) {
                    Bound::Nothing => {}
                    Bound::Address(address) => {
                        // The decoder refuses a load without a second half.
                        let _ = patch(&mut instructions, at, address);
                        if let Some(raw) = instructions.get_mut(at) {
                            raw.src = 0;
                        }
                    }
                    Bound::Call(start) => {
                        if let Some(raw) = instructions.get_mut(at) {
                            raw.immediate = start as i32;
                        }
                    }
                    Bound::Kfunc(index) => {
                        if let Some(raw) = instructions.get_mut(at) {
                            (raw.src, raw.immediate) = (insn::CALL_KFUNC, index as i32);
                        }
                    }
                    Bound::Never(text) => drop(unresolved.insert(at, self.text(text))),
                }
            }
            sections.push((instructions, unresolved));
        }
        sections
    }

    fn text(&mut self, text: String) -> u32 {
        self.texts.push(text);
        (self.texts.len() - 1) as u32
    }

    fn bind(&self, instruction: Raw, target: Option<&Target>) -> Bound {
        let is_load = instruction.opcode == insn::LOAD_IMMEDIATE;
        let is_call = instruction.opcode == insn::CALL;
        if !is_load && !is_call {
            return Bound::Nothing;
        }
        let region = |regions: &[RegionId], index: usize, offset: u32| match regions.get(index) {
            Some(region) => Bound::Address(region.pointer(offset)),
            None => Bound::Nothing,
        };
        match target {
            None if is_call && instruction.src == insn::CALL_KFUNC => {
                Bound::Never("it calls a function of the kernel without saying which".to_owned())
            }
            None => Bound::Nothing,
            Some(Target::Nowhere(text)) => Bound::Never(text.clone()),
            Some(Target::Data { section, offset }) => region(&self.data.sections, *section, *offset),
            Some(Target::Map(index)) => match self.data.maps.get(*index) {
                Some(map) => Bound::Address(map.handle.pointer(0)),
                None => Bound::Nothing,
            },
            Some(Target::Function(index)) => match self.starts.get(*index) {
                Some(start) if is_call => Bound::Call(*start),
                Some(start) => Bound::Address(self.data.code.pointer(*start as u32)),
                None => Bound::Nothing,
            },
            Some(Target::Extern(index)) if is_call => Bound::Kfunc(*index),
            Some(Target::Extern(index)) => {
                let known = self.kfuncs.get(*index).is_some_and(|kfunc| kfunc.known.is_some());
                match self.object.externs.get(*index) {
                    Some(_) if known => region(&self.externs, *index, 0),
                    Some(Extern { weak: true, .. }) => Bound::Address(0),
                    Some(Extern { name, .. }) => Bound::Never(format!(
                        "it needs `{name}`, which {} kernels don't have or a replay doesn't know",
                        self.generation
                    )),
                    None => Bound::Nothing,
                }
            }
        }
    }
}

/// The target of an instruction's reference.
enum Bound {
    Nothing,
    /// The address that an instruction loads.
    Address(u64),
    /// The start of the called function in the code.
    Call(usize),
    /// The called kernel function, by its index.
    Kfunc(usize),
    /// Unresolved, with the reason.
    Never(String),
}

/// Writes an address or the result of a CO-RE relocation into an instruction.
fn patch(instructions: &mut [Raw], at: usize, value: u64) -> Option<()> {
    let (raw, rest) = instructions.get_mut(at..)?.split_first_mut()?;
    match raw.opcode & 7 {
        1..=3 => raw.offset = i16::try_from(value).ok()?,
        4 | 7 => {
            raw.immediate =
                i32::try_from(value as i64).ok().or_else(|| u32::try_from(value).ok().map(|bits| bits as i32))?
        }
        _ if raw.opcode == insn::LOAD_IMMEDIATE => {
            raw.immediate = value as u32 as i32;
            rest.first_mut()?.immediate = (value >> 32) as u32 as i32;
        }
        _ => return None,
    }
    Some(())
}
