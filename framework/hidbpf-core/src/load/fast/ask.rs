//! Asks the kernel for the ids and layouts of its types, with a syscall program.
//!
//! Linux 7.0 and later sort their types by name, so that `bpf_btf_find_by_name_kind()` finds one in some twenty steps.
//! `bpf_snprintf_btf()` prints a struct with the names of its members. It prints from memory in which each word has its
//! own offset, so the text has the layout. A pass over the types (`hidbpf_prelink::kernel_types`) finds the same, and
//! takes nine times as many instructions.

use std::collections::BTreeMap;
use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use hidbpf_prelink::btf_kind;
use hidbpf_prelink::hook::HOOKS;
use hidbpf_prelink::{Instruction, MapAttributes};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::kernel::running::{ResolvedMember, ResolvedOps};
use crate::sys::{self, Map, ProgramSpec, Role};

/// The first version of Linux that sorts its types.
const FIRST: u32 = 7;

/// The layout of a struct: the places of its members. The name of a member of a member has both names and a dot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layout(BTreeMap<String, ResolvedMember>);

/// Returns whether the running kernel finds a type by its name in a few steps.
pub(super) fn is_fast() -> bool {
    let uname = rustix::system::uname();
    let major = uname.release().to_bytes().split(|byte| !byte.is_ascii_digit()).next();
    let major = major.and_then(|digits| str::from_utf8(digits).ok()?.parse::<u32>().ok());
    major.is_some_and(|major| major >= FIRST)
}

/// Asks about types, one by one.
pub(super) struct Questions {
    program: OwnedFd,
    /// What is printed, and the text.
    memory: Map,
}

impl Questions {
    /// The size of the largest struct that can be printed, in bytes.
    const PRINTED: usize = 512;
    /// The size of a text in bytes. That of `struct hid_bpf_ops` has some 25 lines of 30 bytes.
    const TEXT: usize = 1536;

    /// Loads the program.
    ///
    /// # Errors
    /// As for bpf(2).
    pub(super) fn new() -> io::Result<Questions> {
        let mut bytes: Vec<u8> =
            (0..Questions::PRINTED as u32).step_by(4).flat_map(|at| (MARK | at).to_ne_bytes()).collect();
        bytes.resize(Questions::PRINTED + Questions::TEXT, 0);
        let attributes = MapAttributes {
            kind: sys::ARRAY.into(),
            key_size: (size_of::<u32>() as u32).into(),
            value_size: (bytes.len() as u32).into(),
            max_entries: 1.into(),
            flags: 0.into(),
            key_type: 0.into(),
            value_type: 0.into(),
        };
        let memory = Map::create("hidbpf_types", &attributes, None)?;
        memory.write(&bytes)?;
        let program = sys::load_program(&ProgramSpec {
            name: "hidbpf_types",
            role: Role::Syscall,
            sleepable: true,
            license: c"GPL",
            instructions: &program(memory.as_fd().as_raw_fd()),
            btf: None,
            functions: &[],
            relocations: &[],
        })?;
        Ok(Questions { program, memory })
    }

    /// Asks for the id of a type of a kind ([`btf_kind`]). Returns 0 if the kernel does not have it.
    ///
    /// # Errors
    /// As for bpf(2).
    pub(super) fn id(&self, name: &str, kind: u32) -> io::Result<u32> {
        self.ask(name, kind, false)
    }

    /// Asks for the id and the layout of a struct.
    ///
    /// # Errors
    /// As for bpf(2).
    pub(super) fn layout(&self, name: &str) -> io::Result<(u32, Layout)> {
        let id = self.ask(name, btf_kind::STRUCT, true)?;
        let memory = self.memory.read()?;
        let text = memory.get(Questions::PRINTED..).unwrap_or_default();
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        let text = str::from_utf8(&text[..end]).unwrap_or_default();
        Ok((id, if id == 0 { Layout::default() } else { Layout::parse(text) }))
    }

    fn ask(&self, name: &str, kind: u32, printed: bool) -> io::Result<u32> {
        let mut question = Question { kind, printed: printed.into(), ..Question::new_zeroed() };
        // The kernel wants a NUL at the end.
        let Some(to) = question.name.get_mut(..name.len()).filter(|_| name.len() < NAME_SIZE) else { return Ok(0) };
        to.copy_from_slice(name.as_bytes());
        sys::run(self.program.as_fd(), question.as_mut_bytes())?;
        match (question.answer, question.answer >> 32) {
            (..=0, _) => Ok(0),
            (id, 0) => Ok(id as u32),
            // A module has it. The kernel opened the module's types for this process.
            (_, file) => sys::take(file as i32).map(|_| 0),
        }
    }
}

/// The size of the name in [`Question`]. Names of functions have up to 127 bytes (`KSYM_NAME_LEN` of older kernels).
const NAME_SIZE: usize = 128;

/// What the program reads and writes.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Question {
    name: [u8; NAME_SIZE],
    /// The kind of the type.
    kind: u32,
    /// Whether to print it.
    printed: u32,
    /// The id, with the number of a file descriptor in the upper half if a module has the type. Or a negative errno.
    answer: i64,
}

/// Returns the program for a map.
///
/// It is run for each question. A program for all of them would be seven instructions longer for each, and the verifier
/// takes some 25,000 of its own for one.
fn program(map: i32) -> [Instruction; 23] {
    use code::{ADD, CALL, COPY, EXIT, LOAD_WORD, SET, SKIP_IF_ZERO, STORE, STORE_WORD, WIDE, ZERO};
    const FIND: i32 = 167;
    const PRINT: i32 = 149;
    /// `BTF_F_PTR_RAW` and `BTF_F_ZERO`.
    const FLAGS: i32 = 1 << 2 | 1 << 3;
    /// `BPF_PSEUDO_MAP_VALUE`.
    const MAP_VALUE: u8 = 2;
    /// `struct btf_ptr`: the address of the struct, the id of its type, and zeros.
    const STRUCT: i16 = -16;
    const KIND: i16 = offset_of!(Question, kind) as i16;
    const PRINTED: i16 = offset_of!(Question, printed) as i16;
    const ANSWER: i16 = offset_of!(Question, answer) as i16;
    [
        // Register 1 has the address of the question, and so of the name. Register 10 has that of the stack's end.
        instruction(COPY, 6, 1, 0, 0),
        instruction(SET, 2, 0, 0, NAME_SIZE as i32),
        instruction(LOAD_WORD, 3, 6, KIND, 0),
        instruction(SET, 4, 0, 0, 0),
        instruction(CALL, 0, 0, 0, FIND),
        instruction(STORE, 6, 0, ANSWER, 0),
        instruction(LOAD_WORD, 1, 6, PRINTED, 0),
        instruction(SKIP_IF_ZERO, 1, 0, 13, 0),
        instruction(ZERO, 10, 0, STRUCT + 8, 0),
        instruction(STORE_WORD, 10, 0, STRUCT + 8, 0),
        instruction(WIDE, 1, MAP_VALUE, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(STORE, 10, 1, STRUCT, 0),
        instruction(WIDE, 1, MAP_VALUE, 0, map),
        instruction(0, 0, 0, 0, Questions::PRINTED as i32),
        instruction(SET, 2, 0, 0, Questions::TEXT as i32),
        instruction(COPY, 3, 10, 0, 0),
        instruction(ADD, 3, 0, 0, STRUCT as i32),
        instruction(SET, 4, 0, 0, 16),
        instruction(SET, 5, 0, 0, FLAGS),
        instruction(CALL, 0, 0, 0, PRINT),
        instruction(SET, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// The codes of instructions (Documentation/bpf/standardization/instruction-set.rst).
mod code {
    pub(super) const WIDE: u8 = 0x18;
    pub(super) const COPY: u8 = 0xbf;
    pub(super) const ADD: u8 = 0x07;
    pub(super) const SET: u8 = 0xb7;
    pub(super) const SKIP_IF_ZERO: u8 = 0x15;
    /// Of 4 bytes, as [`STORE_WORD`]. The others are of 8.
    pub(super) const LOAD_WORD: u8 = 0x61;
    pub(super) const STORE: u8 = 0x7b;
    pub(super) const STORE_WORD: u8 = 0x63;
    pub(super) const ZERO: u8 = 0x7a;
    pub(super) const CALL: u8 = 0x85;
    pub(super) const EXIT: u8 = 0x95;
}

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    let ([a, b], [c, d, e, f]) = (offset.to_le_bytes(), immediate.to_le_bytes());
    [code, to | from << 4, a, b, c, d, e, f]
}

/// The upper half of each word that is printed. The lower half is the offset.
const MARK: u32 = 0x4b00_0000;

/// Returns the place that a printed number stands for.
fn place(number: u64) -> Option<ResolvedMember> {
    let offset = |word: u32| (word & !0xffff == MARK).then_some(word & 0xffff);
    let (low, high) = (offset(number as u32)?, (number >> 32) as u32);
    match high {
        0 => Some(ResolvedMember { offset: low, size: 4 }),
        _ => (offset(high)? == low + 4).then_some(ResolvedMember { offset: low, size: 8 }),
    }
}

impl Layout {
    /// Parses what the kernel printed: a line for each member (`btf_show_name()`, kernel/bpf/btf.c).
    fn parse(text: &str) -> Layout {
        let mut members = BTreeMap::new();
        let mut path: Vec<&str> = Vec::new();
        for line in text.lines().map(str::trim) {
            let name = line.strip_prefix('.').and_then(|line| line.split(' ').next()).unwrap_or_default();
            if line.starts_with('}') {
                path.pop();
            } else if line.ends_with('{') {
                path.push(name);
            } else {
                let number = line.trim_end_matches(',').rsplit(')').next().unwrap_or_default();
                let number = match number.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                let names = path.iter().chain([&name]).filter(|name| !name.is_empty());
                let whole = names.copied().collect::<Vec<_>>().join(".");
                members.extend(number.ok().and_then(place).map(|place| (whole, place)));
            }
        }
        Layout(members)
    }

    /// Returns the place of a member of 4 or 8 bytes. `None` if there is none.
    pub(super) fn member(&self, name: &str) -> Option<ResolvedMember> {
        self.0.get(name).copied()
    }

    /// Returns the layout of `struct hid_bpf_ops`, if this is that of the map value that it is in.
    ///
    /// The struct in it is aligned to a cache line (`struct bpf_struct_ops_value`, include/linux/bpf.h), and so is the
    /// value's size.
    pub(super) fn ops(&self, value_type: u32, ops_type: u32) -> Option<ResolvedOps> {
        let place = |name: &str| Some(self.member(&format!("data.{name}"))?.offset);
        let hid_id = place("hid_id")?;
        let data = self.0.iter().filter(|(name, _)| name.starts_with("data."));
        let start = data.map(|(_, member)| member.offset).min()?;
        let end = self.0.values().map(|member| member.offset + member.size).max()?;
        Some(ResolvedOps {
            ops_type,
            value_type,
            value_size: start.is_power_of_two().then(|| end.next_multiple_of(start))?,
            hid_id,
            flags: place("flags")?,
            hooks: HOOKS.map(|row| place(row.member).unwrap_or(0)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_numbers_with_marks() {
        assert_eq!(place(0x4b00_0010), Some(ResolvedMember { offset: 16, size: 4 }));
        assert_eq!(place(0x4b00_0014_4b00_0010), Some(ResolvedMember { offset: 16, size: 8 }));
        for number in [0, 0x10, 0x4b01_0010, 0x4b00_0018_4b00_0010, 0x4b00_0010_0000_0000, u64::MAX] {
            assert_eq!(place(number), None, "{number:#x}");
        }
    }

    #[test]
    fn members_have_the_names_of_all_structs_around_them() {
        // As btf_show_name() in kernel/bpf/btf.c forms it; the numbers are the marks in decimal.
        let lines = [
            "(struct outer){",
            " .first = (int)1258291200,",
            " .inner = (struct inner){",
            "  .hook = ( *)0x4b00000c4b000008,",
            "  (union){",
            "   .one = (__s32)1258291216,",
            "   .other = (__s32)1258291216,",
            "  },",
            "  .byte = (u8)20,",
            "  .next = (struct outer *)0x0,",
            " },",
            "}",
        ];
        let layout = Layout::parse(&lines.join("\n"));
        let expected = [("first", 0, 4), ("inner.hook", 8, 8), ("inner.one", 16, 4), ("inner.other", 16, 4)];
        let expected = expected.map(|(name, offset, size)| (name.to_owned(), ResolvedMember { offset, size }));
        assert_eq!(layout.0, expected.into());
        for text in ["", "}\n}\n", ".a\n", "{{{", ".a = ()0x,", "\u{1}) \n."] {
            assert_eq!(Layout::parse(text), Layout::default(), "{text:?}");
        }
    }
}
