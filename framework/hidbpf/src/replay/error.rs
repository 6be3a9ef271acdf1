//! What can go wrong when an object is opened or run, and where in the driver's source.

use std::fmt;

use super::Generation;
use super::reports::InvalidDescriptor;
use crate::fields::DriverField;

/// Why an object can't be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// No ELF file, or a damaged one.
    #[error("the file is not an ELF object: {0}")]
    Elf(String),
    /// An ELF file for something else.
    #[error("the file is an ELF object, and not one of BPF programs (expected little-endian, machine 247; found {0})")]
    NotBpf(String),
    /// Type information that can't be read.
    #[error("the section `{section}` is damaged at byte {offset}: {reason}")]
    Btf {
        /// `.BTF` or `.BTF.ext`.
        section: &'static str,
        /// Where.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// Something in the object that contradicts something else in it.
    #[error("the object is damaged: {0}")]
    Damaged(String),
    /// A map that can't be made.
    #[error("the map `{map}` {reason}")]
    Map {
        /// The map's name.
        map: String,
        /// Why not.
        reason: String,
    },
    /// A hook that kernels don't have, or those that a replay knows of.
    #[error("the object has a program for `{0}`, a hook that a replay does not know")]
    UnknownHook(String),
    /// A hook that can have one program only.
    #[error("the object has {count} programs for descriptors, and the kernel takes one")]
    TwoFixups {
        /// How many there are.
        count: usize,
    },
    /// More than a driver could need.
    #[error("the object is too large: {0}")]
    TooLarge(String),
}

/// A line of a driver's source, from the object's line information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLine {
    /// The file, as clang was told it.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The column, counted from 1.
    pub column: u32,
    /// The line's text, where the object has it.
    pub text: String,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Where and why a program stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The program or function.
    pub program: String,
    /// The instruction, counted from 0 at the function's first one, in units of 8 bytes as disassemblers do.
    pub instruction: usize,
    /// The line of the source, where the object says it.
    pub source: Option<SourceLine>,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}: ")?;
        }
        write!(f, "`{}` stops at instruction {}: {}", self.program, self.instruction, self.reason)
    }
}

impl std::error::Error for Fault {}

/// Whether an access reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

impl fmt::Display for AccessKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccessKind::Read => "reads",
            AccessKind::Write => "writes",
        })
    }
}

/// Why a program stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// An access outside of what the pointer is for.
    #[error("it {access} {size} bytes at offset {offset} of {place}, which has {length} bytes")]
    OutOfBounds {
        /// Which way.
        access: AccessKind,
        /// How many bytes.
        size: u32,
        /// Where the first one is.
        offset: i64,
        /// What the pointer is for.
        place: String,
        /// How many bytes that has.
        length: u32,
    },
    /// A write to what programs can only read.
    #[error("it writes {size} bytes at offset {offset} of {place}, which programs can't write there")]
    NotWritable {
        /// How many bytes.
        size: u32,
        /// Where the first one is.
        offset: i64,
        /// What the pointer is for.
        place: String,
    },
    /// An access through a number that is no pointer.
    #[error("it {access} {size} bytes through {}, which is not a pointer", if *.address == 0 { "NULL".to_owned() } else { format!("{:#x}", .address) })]
    BadPointer {
        /// Which way.
        access: AccessKind,
        /// How many bytes.
        size: u32,
        /// The number.
        address: u64,
    },
    /// An access through a pointer to what has been given back.
    #[error("it {access} {size} bytes of memory that has been given back")]
    Released {
        /// Which way.
        access: AccessKind,
        /// How many bytes.
        size: u32,
    },
    /// More instructions than any driver that the kernel takes would need.
    #[error("it has run {0} instructions without an end; is there an endless loop?")]
    Endless(u64),
    /// Calls that nest too deep.
    #[error("its calls nest more than {0} deep")]
    CallDepth(usize),
    /// Bytes that are no instruction.
    #[error("there is no instruction that can be run")]
    BadInstruction,
    /// A jump out of the function.
    #[error("it jumps out of its function or into the middle of an instruction")]
    BadJump,
    /// A function without an end.
    #[error("it runs past its last instruction")]
    PastTheEnd,
    /// A relocation that has no answer on kernels of the generation.
    #[error("{0}")]
    Unresolved(String),
    /// A helper that a replay doesn't know.
    #[error("it calls {}, which a replay does not have", .name.map_or_else(|| format!("helper {number} of the kernel"), |name| format!("the helper {name} (number {number})")))]
    UnknownHelper {
        /// Its number: `enum bpf_func_id`.
        number: u32,
        /// Its name, if it is one of those that drivers may want.
        name: Option<&'static str>,
    },
    /// A function of the kernel that isn't there for this kind of program, or isn't known.
    #[error("it calls `{name}`: {reason}")]
    Kfunc {
        /// Its name.
        name: String,
        /// Why it can't.
        reason: String,
    },
    /// A helper or function of the kernel that was called with what the verifier would not let through.
    #[error("it calls `{function}` with {problem}")]
    Argument {
        /// The helper or function.
        function: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// Memory has run out.
    #[error("{0}")]
    Memory(String),
    /// A result that is longer than the buffer.
    #[error("it returns {result} as the new size, and the buffer has {buffer} bytes")]
    ResultTooLong {
        /// The result.
        result: i64,
        /// The buffer's size.
        buffer: usize,
    },
}

/// Why a driver could not be run over a device's descriptor or reports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The object can't be opened.
    #[error("failed to open the object: {0}")]
    Object(#[from] ObjectError),
    /// The object has nothing for kernels of the generation.
    #[error("the object has no program for {0} kernels")]
    NoPrograms(Generation),
    /// A program stopped.
    #[error(transparent)]
    Fault(Box<Fault>),
    /// The descriptor that the device has, or that the driver made, is not one that the kernel would take.
    #[error("{}: {invalid}", if *.fixed { "the driver made a descriptor that the kernel would refuse" } else { "the kernel would refuse the device" })]
    Descriptor {
        /// Whether it is the driver's.
        fixed: bool,
        /// What is wrong with it.
        invalid: InvalidDescriptor,
    },
    /// A descriptor without a report. Kernels can crash when an event hook is attached to such a device.
    #[error("the descriptor declares no report, so that a driver must not be attached for reports")]
    NoReports,
    /// A report that the kernel would write past the end of its buffer.
    #[error(
        "the report has {length} bytes, and the kernel's buffer for the driver has {buffer}: a kernel would write past its end"
    )]
    ReportTooLong {
        /// The report's length.
        length: usize,
        /// The buffer's.
        buffer: usize,
    },
    /// A device without a field that the driver reads.
    #[error("the device does not have {0}, which the driver reads")]
    NoField(DriverField),
    /// An option that the object doesn't have, or a value that doesn't fit it.
    #[error("the option `{name}` {reason}")]
    Option {
        /// The option's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Memory has run out.
    #[error("{0}")]
    Memory(String),
    /// A syscall program that the object doesn't have.
    #[error("the object has no syscall program `{0}`")]
    NoSyscallProgram(String),
}

impl From<Fault> for ReplayError {
    fn from(fault: Fault) -> ReplayError {
        ReplayError::Fault(Box::new(fault))
    }
}
