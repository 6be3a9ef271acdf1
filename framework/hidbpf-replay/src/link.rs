//! Lists what a driver's linked instructions refer to, for comparison with another linker.

use std::collections::BTreeMap;

use hidbpf_prelink::INSTRUCTION_SIZE;
use hidbpf_prelink::btf_ext::AccessRelocation;
use hidbpf_prelink::parts::Target;

use crate::driver::Driver;
use crate::insn::Op;
use crate::memory::Kind;
use crate::object::{Function, Object};

/// The target of a linked instruction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Link {
    /// A byte of a data section.
    Data {
        /// The section's name.
        section: String,
        /// The offset in bytes.
        offset: u32,
    },
    /// A map that the source defines.
    Map(String),
    /// A function of the object, which the instruction calls.
    Call(String),
    /// The address of a function of the object.
    Callback(String),
    /// A function of the kernel, which the instruction calls.
    KernelCall(String),
    /// The address of a function of the kernel, or 0 if the kernel doesn't have it.
    KernelAddress(String),
    /// The kernel's value for an access or a type (CO-RE).
    Access {
        /// The name of the type.
        ty: String,
        /// The names of the members that the access leads through, or the index of the constant.
        path: String,
        /// `enum bpf_core_relo_kind`.
        kind: u32,
    },
    /// Nothing, with the reason.
    Unresolved(String),
}

/// The targets of a function's instructions, by their index in the function.
pub type Links = BTreeMap<usize, Vec<Link>>;

impl Driver {
    /// Returns what the instructions refer to, by the name of the function. Leaves out instructions that refer to
    /// nothing.
    pub fn links(&self) -> BTreeMap<String, Links> {
        let object = self.object();
        let functions = object.functions.iter().enumerate();
        functions.map(|(index, function)| (function.name.clone(), self.links_of(object, index, function))).collect()
    }

    fn links_of(&self, object: &Object, index: usize, function: &Function) -> Links {
        let mut links = Links::new();
        let Some(code) = object.code.get(function.section) else { return links };
        let end = function.start + function.len;
        for (at, target) in code.targets.range(function.start..end) {
            let at = at - function.start;
            links.entry(at).or_default().push(self.linked(object, index, at, target));
        }
        let bytes = |at: usize| (at * INSTRUCTION_SIZE) as u32;
        for relocation in object.ext.relocations(&code.name, bytes(function.start)..bytes(end)) {
            let at = relocation.offset as usize / INSTRUCTION_SIZE - function.start;
            links.entry(at).or_default().push(access(object, relocation));
        }
        links
    }

    /// Returns the target that the linker has written into an instruction. `target` is the one that the object names.
    fn linked(&self, object: &Object, function: usize, at: usize, target: &Target) -> Link {
        let image = &self.machine.image;
        let placed = image.functions.get(function);
        let Some(instruction) = placed.and_then(|placed| image.code.get(placed.start + at)) else {
            return Link::Unresolved("it is in no function of the image".to_owned());
        };
        let called = |start: u64| {
            let function = image.functions.iter().find(|function| function.start as u64 == start);
            function.map_or_else(|| format!("instruction {start}"), |function| function.name.clone())
        };
        match (instruction.op, target) {
            (Op::CallFunction, _) => Link::Call(called(instruction.immediate)),
            (Op::CallKfunc, _) => {
                let kfunc = image.kfuncs.get(instruction.immediate as usize);
                Link::KernelCall(kfunc.map(|kfunc| kfunc.name.clone()).unwrap_or_default())
            }
            (Op::LoadImmediate, Target::Extern(index)) if instruction.immediate == 0 => {
                Link::KernelAddress(object.externs.get(*index).map(|found| found.name.clone()).unwrap_or_default())
            }
            (Op::LoadImmediate, _) => match self.machine.memory.locate(instruction.immediate) {
                Some((_, Kind::Section(index), offset)) => {
                    Link::Data { section: image.section_name(index).to_owned(), offset }
                }
                Some((_, Kind::Map(index), 0)) => Link::Map(image.map_name(index).to_owned()),
                Some((_, Kind::Code, start)) => Link::Callback(called(start.into())),
                Some((_, Kind::Kfunc(index), 0)) => {
                    let kfunc = image.kfuncs.get(index as usize);
                    Link::KernelAddress(kfunc.map(|kfunc| kfunc.name.clone()).unwrap_or_default())
                }
                _ => Link::Unresolved(format!("the number {:#x}", instruction.immediate)),
            },
            (Op::Bad, _) => Link::Unresolved(image.why_bad(instruction.immediate).to_string()),
            (op, _) => Link::Unresolved(format!("the operation {op:?}")),
        }
    }
}

fn access(object: &Object, relocation: &AccessRelocation) -> Link {
    let AccessRelocation { ty, access, kind, .. } = relocation;
    Link::Access { ty: object.btf.name(*ty).to_owned(), path: object.btf.path(*ty, access), kind: *kind }
}
