//! Writes type information (Documentation/bpf/btf.rst): the kernel's types that the programs use, and the variables.

use std::collections::HashMap;

use hidbpf_prelink::btf::MAGIC;
use hidbpf_prelink::btf_kind::{ARRAY, DATASEC, ENUM, FUNC, FUNC_PROTO, INT, PTR, STRUCT, UNION, VAR};
use hidbpf_prelink::btf_strings::Strings;

use crate::assembler::{Code, Reference};

/// A type's number. 0 is void.
pub(crate) type Id = u32;

const SIGNED: u32 = 1 << 24;
const BOOL: u32 = 4 << 24;

/// `enum btf_func_linkage` and `BTF_VAR_GLOBAL_ALLOCATED`.
const GLOBAL: u32 = 1;
const EXTERN: u32 = 2;

/// The magic number and the version that begin both sections.
const START: u32 = MAGIC as u32 | 1 << 16;

/// The number of characters of a line that the object keeps. Readers refuse long strings.
const LINE_MAX: usize = 100;

/// Type information that is being written.
#[derive(Default)]
pub(crate) struct Types {
    words: Vec<u32>,
    count: u32,
    strings: Strings,
    named: HashMap<&'static str, Id>,
}

/// A program's place and data, for `.BTF.ext`.
pub(crate) struct Function<'a> {
    pub section: &'a str,
    pub ty: Id,
    pub code: &'a Code,
}

/// The lines of the manifest.
pub(crate) struct Lines<'a> {
    /// The file's name.
    pub file: &'a str,
    pub text: &'a str,
}

impl Types {
    fn add(&mut self, name: &str, kind: u32, count: usize, last: u32, parts: &[u32]) -> Id {
        let name = self.strings.offset(name);
        self.words.extend([name, kind << 24 | count as u32, last]);
        self.words.extend_from_slice(parts);
        self.count += 1;
        self.count
    }

    fn once(&mut self, name: &'static str, make: impl FnOnce(&mut Types) -> Id) -> Id {
        if let Some(id) = self.named.get(name) {
            return *id;
        }
        let id = make(self);
        self.named.insert(name, id);
        id
    }

    fn integer(&mut self, name: &'static str, size: u32, encoding: u32) -> Id {
        self.once(name, |types| types.add(name, INT, 0, size, &[encoding | (size * 8)]))
    }

    pub fn int(&mut self) -> Id {
        self.integer("int", 4, SIGNED)
    }

    pub fn unsigned(&mut self) -> Id {
        self.integer("unsigned int", 4, 0)
    }

    pub fn long(&mut self) -> Id {
        self.integer("long long", 8, SIGNED)
    }

    pub fn byte(&mut self) -> Id {
        self.integer("unsigned char", 1, 0)
    }

    pub fn bool(&mut self) -> Id {
        self.integer("_Bool", 1, BOOL)
    }

    fn char(&mut self) -> Id {
        self.integer("char", 1, SIGNED)
    }

    fn word(&mut self) -> Id {
        self.integer("unsigned long long", 8, 0)
    }

    fn pointer(&mut self, to: Id) -> Id {
        self.add("", PTR, 0, to, &[])
    }

    pub fn array(&mut self, of: Id, count: u32) -> Id {
        let index = self.unsigned();
        self.add("", ARRAY, 0, 0, &[of, index, count])
    }

    /// A text of so many bytes, as the licence is.
    pub fn text(&mut self, size: u32) -> Id {
        let char = self.char();
        self.array(char, size)
    }

    /// A struct or union: each member with its type and its offset in bytes.
    fn record(&mut self, name: &str, kind: u32, size: u32, members: &[(&str, Id, u32)]) -> Id {
        let parts: Vec<u32> =
            members.iter().flat_map(|(name, ty, offset)| [self.strings.offset(name), *ty, offset * 8]).collect();
        self.add(name, kind, members.len(), size, &parts)
    }

    /// An enumeration whose constants count from 0.
    pub fn enumeration(&mut self, name: &str, constants: &[String]) -> Id {
        let parts: Vec<u32> =
            constants.iter().zip(0..).flat_map(|(name, value)| [self.strings.offset(name), value]).collect();
        self.add(name, ENUM, constants.len(), 4, &parts)
    }

    fn prototype(&mut self, result: Id, parameters: &[(&str, Id)]) -> Id {
        let parts: Vec<u32> = parameters.iter().flat_map(|(name, ty)| [self.strings.offset(name), *ty]).collect();
        self.add("", FUNC_PROTO, parameters.len(), result, &parts)
    }

    /// `struct hid_bpf_ctx`, with the members that programs use. The kernel moves each access to its own member.
    /// [`crate::assembler::Member`] has the paths to the members.
    pub fn context(&mut self) -> Id {
        self.once("hid_bpf_ctx", |types| {
            let (int, unsigned) = (types.int(), types.unsigned());
            let device = types.record("hid_device", STRUCT, 4, &[("id", unsigned, 0)]);
            let device = types.pointer(device);
            let kind = types.report_type();
            let sizes = types.record("", UNION, 4, &[("retval", int, 0), ("size", int, 0)]);
            let members =
                [("hid", device, 0), ("allocated_size", unsigned, 8), ("report_type", kind, 12), ("", sizes, 16)];
            types.record("hid_bpf_ctx", STRUCT, 24, &members)
        })
    }

    /// `struct hid_bpf_ops`, with these hooks.
    pub fn ops(&mut self, hooks: &[&str]) -> (Id, u32) {
        let (int, unsigned) = (self.int(), self.unsigned());
        let context = self.context();
        let context = self.pointer(context);
        let callback = self.prototype(int, &[("", context)]);
        let callback = self.pointer(callback);
        let mut members = vec![("hid_id", int, 0), ("flags", unsigned, 4)];
        members.extend(hooks.iter().zip(1..).map(|(hook, place)| (*hook, callback, place * 8)));
        let size = 8 + 8 * hooks.len() as u32;
        (self.record("hid_bpf_ops", STRUCT, size, &members), size)
    }

    /// A program.
    pub fn program(&mut self, name: &str) -> Id {
        let (int, word) = (self.int(), self.word());
        let arguments = self.once("arguments", |types| types.pointer(word));
        let prototype = self.once("program", |types| types.prototype(int, &[("args", arguments)]));
        self.add(name, FUNC, GLOBAL as usize, prototype, &[])
    }

    /// The kernel function `hid_bpf_get_data()`.
    pub fn get_data(&mut self, name: &'static str) -> Id {
        let (byte, unsigned, word) = (self.byte(), self.unsigned(), self.word());
        let context = self.context();
        let (context, bytes) = (self.pointer(context), self.pointer(byte));
        let prototype = self.prototype(bytes, &[("ctx", context), ("offset", unsigned), ("size", word)]);
        self.add(name, FUNC, EXTERN as usize, prototype, &[])
    }

    /// The kernel function `hid_bpf_try_input_report()`.
    pub fn input_report(&mut self, name: &'static str) -> Id {
        let (byte, int, word) = (self.byte(), self.int(), self.word());
        let (context, kind) = (self.context(), self.report_type());
        let (context, bytes) = (self.pointer(context), self.pointer(byte));
        let parameters = [("ctx", context), ("type", kind), ("data", bytes), ("buf__sz", word)];
        let prototype = self.prototype(int, &parameters);
        self.add(name, FUNC, EXTERN as usize, prototype, &[])
    }

    /// `enum hid_report_type`.
    fn report_type(&mut self) -> Id {
        self.once("hid_report_type", |types| {
            let kinds = ["HID_INPUT_REPORT", "HID_OUTPUT_REPORT", "HID_FEATURE_REPORT"].map(str::to_owned);
            types.enumeration("hid_report_type", &kinds)
        })
    }

    pub fn variable(&mut self, name: &str, ty: Id) -> Id {
        self.add(name, VAR, 0, ty, &[GLOBAL])
    }

    /// A section: each variable with its offset and size in bytes.
    pub fn section(&mut self, name: &str, size: u32, variables: &[(Id, u32, u32)]) {
        let parts: Vec<u32> = variables.iter().flat_map(|(ty, offset, size)| [*ty, *offset, *size]).collect();
        self.add(name, DATASEC, variables.len(), size, &parts);
    }

    /// Returns `.BTF`.
    pub fn bytes(&self) -> Vec<u8> {
        let types = self.words.len() as u32 * 4;
        let header = [START, 24, 0, types, types, self.strings.bytes().len() as u32];
        let mut bytes = numbers(header.iter().chain(&self.words));
        bytes.extend_from_slice(self.strings.bytes());
        bytes
    }

    /// Returns `.BTF.ext`. Call it before [`Types::bytes`], because it adds strings.
    pub fn extension(&mut self, functions: &[Function<'_>], lines: &Lines<'_>) -> Vec<u8> {
        let (mut infos, mut sources, mut accesses) = (vec![8], vec![16], vec![16]);
        let file = self.strings.offset(lines.file);
        let context = self.context();
        for Function { section, ty, code } in functions {
            let section = self.strings.offset(section);
            infos.extend([section, 1, 0, *ty]);
            // libbpf refuses a section without records. A program that only has the core copy reports has no lines.
            if !code.lines.is_empty() {
                sources.extend([section, code.lines.len() as u32]);
            }
            for (at, byte) in &code.lines {
                let (line, column) = hidbpf_core::manifest::position(lines.text, *byte);
                let text = lines.text.lines().nth(line - 1).unwrap_or_default().trim();
                let text: String = text.chars().take(LINE_MAX).collect();
                let text = self.strings.offset(&text);
                sources.extend([*at as u32 * 8, file, text, (line as u32) << 10 | (column as u32).min(0x3ff)]);
            }
            let members = code.references.iter().filter_map(|(at, reference)| match reference {
                Reference::Member(member) => Some((*at, *member)),
                Reference::Variable(_) | Reference::Kfunc(_) => None,
            });
            let members: Vec<_> = members.collect();
            if !members.is_empty() {
                accesses.extend([section, members.len() as u32]);
                for (at, member) in members {
                    // Kind 0: the member's offset in bytes.
                    accesses.extend([at as u32 * 8, context, self.strings.offset(member.access()), 0]);
                }
            }
        }
        // libbpf also refuses a size of records without sections.
        for part in [&mut sources, &mut accesses] {
            if part.len() == 1 {
                part.clear();
            }
        }
        let [a, b, c] = [&infos, &sources, &accesses].map(|part| part.len() as u32 * 4);
        let header = [START, 32, 0, a, a, b, a + b, c];
        numbers(header.iter().chain(&infos).chain(&sources).chain(&accesses))
    }
}

fn numbers<'a>(words: impl Iterator<Item = &'a u32>) -> Vec<u8> {
    words.flat_map(|word| word.to_le_bytes()).collect()
}
