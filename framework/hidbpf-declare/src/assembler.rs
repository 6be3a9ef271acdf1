//! Instructions of BPF programs, with labels and with references to what a loader places.
//!
//! The encoding is that of Documentation/bpf/standardization/instruction-set.rst, version 3.

use hidbpf_prelink::{INSTRUCTION_SIZE, Instruction};

use crate::mistake::Mistake;

/// A register. Calls keep 6 to 9, and 10 is the frame pointer.
pub(crate) type Register = u8;

/// The frame pointer.
pub(crate) const FRAME: Register = 10;

/// A position that jumps lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label(usize);

/// What an instruction refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    /// A variable of the object: its address is loaded.
    Variable(String),
    /// A kernel function: it is called.
    Kfunc(&'static str),
    /// A member of `struct hid_bpf_ctx`: the access gets its offset.
    Member(Member),
}

/// A member of `struct hid_bpf_ctx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// The size of the report or descriptor in bytes.
    Size,
    /// The type of the report, on kernels of the FMOD_RET generation.
    ReportType,
}

/// The size of an access in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    One = 1,
    Two = 2,
    Four = 4,
    Eight = 8,
}

impl Width {
    pub const ALL: [Width; 4] = [Width::One, Width::Two, Width::Four, Width::Eight];

    pub fn bytes(self) -> u32 {
        self as u32
    }

    pub fn bits(self) -> u32 {
        self as u32 * 8
    }

    /// `BPF_B`, `BPF_H`, `BPF_W`, `BPF_DW`.
    fn code(self) -> u8 {
        match self {
            Width::One => 0x10,
            Width::Two => 0x08,
            Width::Four => 0x00,
            Width::Eight => 0x18,
        }
    }
}

/// A calculation, `BPF_ADD` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alu {
    Add = 0x00,
    Multiply = 0x20,
    Divide = 0x30,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Negate = 0x80,
    Xor = 0xa0,
    ArithmeticShiftRight = 0xc0,
    Move = 0xb0,
}

/// A comparison, `BPF_JEQ` and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    Equal = 0x10,
    AnyBit = 0x40,
    NotEqual = 0x50,
    SignedAbove = 0x60,
    SignedAtLeast = 0x70,
    SignedBelow = 0xc0,
    SignedAtMost = 0xd0,
}

const ALU64: u8 = 0x07;
const ALU32: u8 = 0x04;
const JUMP64: u8 = 0x05;
const JUMP32: u8 = 0x06;
/// The second operand is a register.
const BY_REGISTER: u8 = 0x08;
const LOAD: u8 = 0x61;
const STORE: u8 = 0x63;
const STORE_IMMEDIATE: u8 = 0x62;
const LOAD_WIDE: u8 = 0x18;
const GOTO: u8 = 0x05;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// The register field of a call that a relocation completes: `BPF_PSEUDO_CALL`.
const PSEUDO_CALL: u8 = 1;

/// The instructions of a program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    pub instructions: Vec<Instruction>,
    /// What instructions refer to, by their index.
    pub references: Vec<(usize, Reference)>,
    /// The byte of the manifest from which the instructions from an index on come.
    pub lines: Vec<(usize, usize)>,
    /// The places of labels.
    labels: Vec<Option<usize>>,
    jumps: Vec<(usize, Label)>,
}

impl Code {
    /// Says that the following instructions come from a byte of the manifest.
    pub fn line(&mut self, byte: usize) {
        let at = self.instructions.len();
        match self.lines.last_mut() {
            Some((last, of)) if *last == at => *of = byte,
            Some((_, of)) if *of == byte => {}
            _ => self.lines.push((at, byte)),
        }
    }

    /// Returns a label, to be placed with [`Code::place`].
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    /// Places a label before the next instruction.
    pub fn place(&mut self, label: Label) {
        self.labels[label.0] = Some(self.instructions.len());
    }

    /// Returns whether any jump leads to a label.
    pub fn is_used(&self, label: Label) -> bool {
        self.jumps.iter().any(|(_, to)| *to == label)
    }

    fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        let [low, high] = offset.to_le_bytes();
        let [a, b, c, d] = immediate.to_le_bytes();
        self.instructions.push([code, to | from << 4, low, high, a, b, c, d]);
    }

    /// Sets a register to a number.
    pub fn set(&mut self, to: Register, number: i64) {
        match (i32::try_from(number), u32::try_from(number)) {
            // Moves of 32 bits clear the upper half.
            (_, Ok(number)) => self.push(ALU32 | Alu::Move as u8, to, 0, 0, number as i32),
            (Ok(number), _) => self.push(ALU64 | Alu::Move as u8, to, 0, 0, number),
            _ => {
                self.push(LOAD_WIDE, to, 0, 0, number as i32);
                self.push(0, 0, 0, 0, (number >> 32) as i32);
            }
        }
    }

    /// Calculates with a number.
    pub fn calculate(&mut self, what: Alu, to: Register, number: i32) {
        self.push(ALU64 | what as u8, to, 0, 0, number);
    }

    /// Calculates with a register.
    pub fn calculate_with(&mut self, what: Alu, to: Register, from: Register) {
        self.push(ALU64 | BY_REGISTER | what as u8, to, from, 0, 0);
    }

    /// Shifts the lower half of a register left, and clears the upper half.
    pub fn shift_left_32(&mut self, to: Register, bits: i32) {
        self.push(ALU32 | Alu::ShiftLeft as u8, to, 0, 0, bits);
    }

    /// Clears the upper half of a register.
    pub fn keep_lower_half(&mut self, register: Register) {
        self.push(ALU32 | BY_REGISTER | Alu::Move as u8, register, register, 0, 0);
    }

    /// Divides the lower half of a register by that of another, without signs.
    pub fn divide_32_by(&mut self, to: Register, by: Register) {
        self.push(ALU32 | BY_REGISTER | Alu::Divide as u8, to, by, 0, 0);
    }

    pub fn load(&mut self, width: Width, to: Register, base: Register, offset: i16) {
        self.push(LOAD | width.code(), to, base, offset, 0);
    }

    pub fn store(&mut self, width: Width, base: Register, offset: i16, from: Register) {
        self.push(STORE | width.code(), base, from, offset, 0);
    }

    pub fn store_number(&mut self, width: Width, base: Register, offset: i16, number: i32) {
        self.push(STORE_IMMEDIATE | width.code(), base, 0, offset, number);
    }

    /// Loads a member of the context.
    pub fn load_member(&mut self, to: Register, base: Register, member: Member) {
        self.references.push((self.instructions.len(), Reference::Member(member)));
        self.push(LOAD, to, base, member.offset(), 0);
    }

    /// Loads the address of a variable.
    pub fn address(&mut self, to: Register, variable: impl Into<String>) {
        self.references.push((self.instructions.len(), Reference::Variable(variable.into())));
        self.push(LOAD_WIDE, to, 0, 0, 0);
        self.push(0, 0, 0, 0, 0);
    }

    /// Jumps to a label if a register passes a test against a number.
    pub fn jump_if(&mut self, test: Test, register: Register, number: i32, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP64 | test as u8, register, 0, 0, number);
    }

    /// The same with the lower half of the register.
    pub fn jump_if_32(&mut self, test: Test, register: Register, number: i32, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP32 | test as u8, register, 0, 0, number);
    }

    /// Jumps to a label if a register passes a test against another.
    pub fn jump_if_with(&mut self, test: Test, register: Register, other: Register, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(JUMP64 | BY_REGISTER | test as u8, register, other, 0, 0);
    }

    pub fn jump(&mut self, to: Label) {
        self.jumps.push((self.instructions.len(), to));
        self.push(GOTO, 0, 0, 0, 0);
    }

    /// Calls a helper by its number, `enum bpf_func_id`.
    pub fn call_helper(&mut self, number: i32) {
        self.push(CALL, 0, 0, 0, number);
    }

    pub fn call_kfunc(&mut self, name: &'static str) {
        self.references.push((self.instructions.len(), Reference::Kfunc(name)));
        self.push(CALL, 0, PSEUDO_CALL, 0, -1);
    }

    pub fn exit(&mut self) {
        self.push(EXIT, 0, 0, 0, 0);
    }

    /// Resolves the jumps.
    pub fn finish(mut self) -> Result<Code, Mistake> {
        for (at, label) in &self.jumps {
            let to = self.labels.get(label.0).copied().flatten();
            let distance = to.and_then(|to| i16::try_from(to as i64 - *at as i64 - 1).ok());
            let too_far = || Mistake::general("the repair is too long: it has more than 32767 instructions");
            let distance = distance.ok_or_else(too_far)?;
            if let Some(instruction) = self.instructions.get_mut(*at) {
                instruction[2..4].copy_from_slice(&distance.to_le_bytes());
            }
        }
        let last = self.instructions.len();
        self.lines.retain(|(at, _)| *at < last);
        Ok(self)
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> usize {
        self.instructions.len() * INSTRUCTION_SIZE
    }
}

impl Member {
    /// Returns the offset in the types that the object declares. See `btf::context`.
    pub fn offset(self) -> i16 {
        match self {
            Member::Size => 16,
            Member::ReportType => 12,
        }
    }

    /// Returns the path to the member, as CO-RE has it.
    pub fn access(self) -> &'static str {
        match self {
            Member::Size => "0:3:1",
            Member::ReportType => "0:2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_count_from_the_next_instruction() {
        let mut code = Code::default();
        let end = code.label();
        code.jump_if(Test::Equal, 1, 5, end);
        code.set(0, 1 << 40);
        code.place(end);
        code.exit();
        let code = code.finish().unwrap_or_default();
        assert_eq!(code.instructions[0], [0x15, 1, 2, 0, 5, 0, 0, 0]);
        assert_eq!(code.instructions[1], [0x18, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(code.instructions[2], [0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(code.instructions[3], [0x95, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn numbers_keep_their_signs() {
        let mut code = Code::default();
        code.set(1, -22);
        code.set(2, 0xffff_ffff);
        assert_eq!(code.instructions, [[0xb7, 1, 0, 0, 0xea, 0xff, 0xff, 0xff], [0xb4, 2, 0, 0, 255, 255, 255, 255]]);
    }
}
