//! What a driver's object and its users agree on, and linking when the object is built.
//!
//! [`hook`] has the table of hooks, and [`section`] the names of sections. [`driver`] has the names and layouts that the
//! SDK's headers declare in C.
//!
//! [`link()`] does a loader's work on an object, up to the first question to the kernel.
//! Each time that libbpf attaches a driver, it reads the object and places functions after the programs that call them.
//! It also looks up the kernel's types and probes the kernel's features. All of this except the kernel's part has the
//! same result every time. [`link()`] does it once. The result goes into the object as the section [`SECTION`], and
//! [`Prelinked`] reads it. The loader only adds numbers: of maps, of the kernel's functions and types, and the
//! positions of its struct members.
//!
//! Everything that reads objects does so with [`elf`], [`parts`], [`map_definition`], [`btf`] and [`btf_ext`].
//!
//! This crate depends neither on devices nor on the running kernel.

pub mod btf;
pub mod btf_ext;
pub mod btf_kind;
pub mod btf_strings;
pub mod driver;
pub mod elf;
mod format;
mod generation;
pub mod hook;
pub mod kernel_types;
pub mod limits;
mod link;
pub mod map_definition;
pub mod match_table;
pub mod not_set_up;
pub mod parts;
mod prune;
pub mod section;
pub mod struct_ops;

pub use format::{
    Checksum, CoreRelocation, FunctionInfo, INSTRUCTION_SIZE, Instruction, KERNEL_NAME_MAX, Kfunc, MAX_INSTRUCTIONS,
    MEMBERS, Map, MapAttributes, Member, Prelinked, Program, Reference, ReferenceKind, SECTION, Unusable, VERSION,
    is_source, source,
};
pub use generation::Generation;
pub use hook::Hook;
pub use link::{NotPrelinked, link};
