//! The errors of opening or running an object, with the line in the driver's source.

use std::fmt;

use hidbpf_descriptor::{InvalidDescriptor, WantedField};
use hidbpf_prelink::Generation;
use hidbpf_prelink::btf::Malformed;
use hidbpf_prelink::btf_ext::SourceLine;
use hidbpf_prelink::elf::NotBpf;
use hidbpf_prelink::parts::PartsError;

/// The reason why an object can't be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// Not an ELF file, or a damaged one.
    #[error("the file is not an ELF object: {0}")]
    Elf(String),
    /// An ELF file for another machine.
    #[error("the file is an ELF object, and not one of BPF programs (expected little-endian, machine 247; found {0})")]
    NotBpf(String),
    /// Invalid type information.
    #[error("the section `{section}` is damaged at byte {offset}: {reason}")]
    Btf {
        /// `.BTF` or `.BTF.ext`.
        section: &'static str,
        /// The offset in the section.
        offset: usize,
        /// The cause.
        reason: String,
    },
    /// Contradictory parts of the object.
    #[error("the object is damaged: {0}")]
    Damaged(String),
    /// A map that can't be created.
    #[error("the map `{map}` {reason}")]
    Map {
        /// The map's name.
        map: String,
        /// The cause.
        reason: String,
    },
    /// A hook that kernels or replays don't support.
    #[error("the object has a program for `{0}`, a hook that a replay does not know")]
    UnknownHook(String),
    /// Several programs for a hook that can have only one.
    #[error("the object has {count} programs for descriptors, and the kernel takes one")]
    TwoFixups {
        /// The number of programs.
        count: usize,
    },
    /// An object larger than any real driver.
    #[error("the object is too large: {0}")]
    TooLarge(String),
}

impl From<NotBpf> for ObjectError {
    fn from(error: NotBpf) -> ObjectError {
        match error {
            NotBpf::Elf(error) => ObjectError::Elf(error.to_string()),
            NotBpf::Machine { machine } => ObjectError::NotBpf(format!("machine {machine}")),
            NotBpf::BigEndian => ObjectError::NotBpf("a big-endian one".to_owned()),
            other => ObjectError::NotBpf(other.to_string()),
        }
    }
}

impl From<PartsError> for ObjectError {
    fn from(error: PartsError) -> ObjectError {
        match error {
            PartsError::Types { section, source: Malformed { offset, reason, .. } } => {
                ObjectError::Btf { section, offset, reason }
            }
            PartsError::TooLarge(what) => ObjectError::TooLarge(what),
            PartsError::UnknownHook(hook) => ObjectError::UnknownHook(hook),
            PartsError::Damaged(why) => ObjectError::Damaged(why),
            other => ObjectError::Damaged(other.to_string()),
        }
    }
}

/// A fault that stopped a program.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The program or function.
    pub program: String,
    /// The instruction's index in its function, counted from 0 in units of 8 bytes as in disassemblers.
    pub instruction: usize,
    /// The source line, if the object has line information.
    pub source: Option<SourceLine>,
    /// The reason.
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

/// The reason why a program stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// An access outside the memory that the pointer belongs to.
    #[error("it {access} {size} bytes at offset {offset} of {place}, which has {length} bytes")]
    OutOfBounds {
        /// Whether it is a read or a write.
        access: AccessKind,
        /// The number of bytes.
        size: u32,
        /// The offset of the first byte.
        offset: i64,
        /// The memory that the pointer belongs to.
        place: String,
        /// The size of that memory in bytes.
        length: u32,
    },
    /// A write to read-only memory.
    #[error("it writes {size} bytes at offset {offset} of {place}, which programs can't write there")]
    NotWritable {
        /// The number of bytes.
        size: u32,
        /// The offset of the first byte.
        offset: i64,
        /// The memory that the pointer belongs to.
        place: String,
    },
    /// An access through a number that is not a pointer.
    #[error("it {access} {size} bytes through {}, which is not a pointer", if *.address == 0 { "NULL".to_owned() } else { format!("{:#x}", .address) })]
    BadPointer {
        /// Whether it is a read or a write.
        access: AccessKind,
        /// The number of bytes.
        size: u32,
        /// The number.
        address: u64,
    },
    /// An access to released memory.
    #[error("it {access} {size} bytes of memory that has been given back")]
    Released {
        /// Whether it is a read or a write.
        access: AccessKind,
        /// The number of bytes.
        size: u32,
    },
    /// More instructions than any driver that the kernel accepts would need.
    #[error("it has run {0} instructions without an end; is there an endless loop?")]
    Endless(u64),
    /// Calls nested too deeply.
    #[error("its calls nest more than {0} deep")]
    CallDepth(usize),
    /// An invalid instruction.
    #[error("there is no instruction that can be run")]
    BadInstruction,
    /// A jump out of the function.
    #[error("it jumps out of its function or into the middle of an instruction")]
    BadJump,
    /// A function that continues past its last instruction.
    #[error("it runs past its last instruction")]
    PastTheEnd,
    /// A relocation that kernels of the generation can't resolve.
    #[error("{0}")]
    Unresolved(String),
    /// A helper that replays don't support.
    #[error("it calls {}, which a replay does not have", .name.map_or_else(|| format!("helper {number} of the kernel"), |name| format!("the helper {name} (number {number})")))]
    UnknownHelper {
        /// Its number: `enum bpf_func_id`.
        number: u32,
        /// Its name, if it is a helper that drivers may want.
        name: Option<&'static str>,
    },
    /// A kernel function that this kind of program can't call, or that replays don't support.
    #[error("it calls `{name}`: {reason}")]
    Kfunc {
        /// Its name.
        name: String,
        /// The cause.
        reason: String,
    },
    /// A helper or kernel function called with an argument that the verifier would refuse.
    #[error("it calls `{function}` with {problem}")]
    Argument {
        /// The helper or function.
        function: &'static str,
        /// The cause.
        problem: String,
    },
    /// Out of memory.
    #[error("{0}")]
    Memory(String),
    /// A result larger than the buffer.
    #[error("it returns {result} as the new size, and the buffer has {buffer} bytes")]
    ResultTooLong {
        /// The result.
        result: i64,
        /// The buffer's size.
        buffer: usize,
    },
}

/// The reason why a driver can't be run on a device's descriptor or reports.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The object can't be opened.
    #[error("failed to open the object: {0}")]
    Object(#[from] ObjectError),
    /// The object has no programs for kernels of the generation.
    #[error("the object has no program for {0} kernels")]
    NoPrograms(Generation),
    /// A program stopped with a fault.
    #[error(transparent)]
    Fault(Box<Fault>),
    /// The kernel would refuse the device's descriptor or the driver's.
    #[error("{}: {invalid}", if *.fixed { "the driver made a descriptor that the kernel would refuse" } else { "the kernel would refuse the device" })]
    Descriptor {
        /// Whether it is the driver's descriptor.
        fixed: bool,
        /// The defect.
        invalid: InvalidDescriptor,
    },
    /// A descriptor without a report. Kernels can crash when an event hook is attached to such a device.
    #[error("the descriptor declares no report, so that a driver must not be attached for reports")]
    NoReports,
    /// A report that overflows the kernel's buffer.
    #[error(
        "the report has {length} bytes, and the kernel's buffer for the driver has {buffer}: a kernel would write past its end"
    )]
    ReportTooLong {
        /// The report's length.
        length: usize,
        /// The buffer's size.
        buffer: usize,
    },
    /// A device without a field that the driver reads.
    #[error("the device does not have {0}, which the driver reads")]
    NoField(WantedField),
    /// An option that the object doesn't have, or an invalid value for it.
    #[error("the option `{name}` {reason}")]
    Option {
        /// The option's name.
        name: String,
        /// The cause.
        reason: String,
    },
    /// Out of memory.
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
