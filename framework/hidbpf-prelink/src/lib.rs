//! What a loader does with an object before it asks the kernel anything, done when the object is built.
//!
//! libbpf reads an object, puts functions behind the programs that call them, looks up the kernel's types and tries out what the
//! kernel can do, each time that a driver is attached. All of that but the kernel's own part is the same every time. [`link()`] does it
//! once; what comes out is put into the object as the section [`SECTION`], from which [`Prelinked`] reads it. What is left for the
//! loader are numbers: of maps, of the kernel's functions and types, and of where it has members of its structs.
//!
//! This crate knows neither devices nor the running kernel.

mod btf;
mod format;
pub mod limits;
mod link;

pub use format::{
    Checksum, CoreRelocation, FunctionInfo, INSTRUCTION_SIZE, Instruction, KERNEL_NAME_MAX, Kfunc, MAX_INSTRUCTIONS,
    MEMBERS, Map, MapAttributes, Member, Prelinked, Program, Reference, ReferenceKind, SECTION, Unusable, VERSION,
    is_source, source,
};
pub use link::{NotPrelinked, link};
