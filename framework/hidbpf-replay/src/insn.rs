//! Decodes instructions once, so that running them needs few checks.
//!
//! Supports all of eBPF versions 1 to 4 (RFC 9669, plus load-acquire and store-release of Linux 6.15). Exceptions are
//! instructions that only the kernel's own rewriting creates, legacy packet access and arenas. Invalid instructions
//! become [`Op::Bad`]. A program may contain them as long as it never reaches them.

use hidbpf_prelink::{INSTRUCTION_SIZE, Instruction};

/// The operation of an instruction. `64` and `32` are register widths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[rustfmt::skip]
pub(crate) enum Op {
    Add64, Sub64, Mul64, Div64, SDiv64, Mod64, SMod64, Or64, And64, Xor64, Lsh64, Rsh64, Arsh64, Mov64, Neg64,
    Add32, Sub32, Mul32, Div32, SDiv32, Mod32, SMod32, Or32, And32, Xor32, Lsh32, Rsh32, Arsh32, Mov32, Neg32,
    Movsx64From8, Movsx64From16, Movsx64From32, Movsx32From8, Movsx32From16,
    ToLe16, ToLe32, ToLe64, Swap16, Swap32, Swap64,
    Jump,
    Jeq64, Jne64, Jgt64, Jge64, Jlt64, Jle64, Jsgt64, Jsge64, Jslt64, Jsle64, Jset64,
    Jeq32, Jne32, Jgt32, Jge32, Jlt32, Jle32, Jsgt32, Jsge32, Jslt32, Jsle32, Jset32,
    MayGoto,
    Load8, Load16, Load32, Load64, LoadSx8, LoadSx16, LoadSx32,
    Store8, Store16, Store32, Store64,
    Atomic8, Atomic16, Atomic32, Atomic64,
    LoadImmediate,
    CallHelper, CallFunction, CallKfunc,
    Exit,
    /// Not an instruction. The immediate is one of [`Bad`].
    Bad,
}

/// The reason why an instruction can't be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bad {
    /// An unknown operation or register.
    Unknown,
    /// The second half of a double instruction.
    SecondHalf,
    /// The first half of a double instruction, without the second.
    NoSecondHalf,
    /// A jump out of the function, or into the middle of an instruction.
    Jump,
    /// The end of a function, after its last instruction. Not in the file.
    End,
    /// An unresolved relocation, with the index of a text in the image.
    Unresolved(u32),
}

impl Bad {
    const UNRESOLVED: u64 = 16;

    pub(crate) fn to_immediate(self) -> u64 {
        match self {
            Bad::Unknown => 0,
            Bad::SecondHalf => 1,
            Bad::NoSecondHalf => 2,
            Bad::Jump => 3,
            Bad::End => 4,
            Bad::Unresolved(text) => Bad::UNRESOLVED + u64::from(text),
        }
    }

    pub(crate) fn from_immediate(immediate: u64) -> Bad {
        match immediate {
            1 => Bad::SecondHalf,
            2 => Bad::NoSecondHalf,
            3 => Bad::Jump,
            4 => Bad::End,
            _ => match immediate.checked_sub(Bad::UNRESOLVED).map(u32::try_from) {
                Some(Ok(text)) => Bad::Unresolved(text),
                _ => Bad::Unknown,
            },
        }
    }
}

/// The source register number that stands for the immediate.
pub(crate) const IMMEDIATE: u8 = 15;

/// A decoded instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Insn {
    pub(crate) op: Op,
    /// The destination register, 0 to 10.
    pub(crate) dst: u8,
    /// The source register, 0 to 10, or [`IMMEDIATE`].
    pub(crate) src: u8,
    /// The offset of a load or store, or the target of a jump as an index of the code.
    pub(crate) offset: i32,
    /// The immediate, sign-extended.
    pub(crate) immediate: u64,
}

impl Insn {
    pub(crate) fn bad(reason: Bad) -> Insn {
        Insn { op: Op::Bad, dst: 0, src: IMMEDIATE, offset: 0, immediate: reason.to_immediate() }
    }
}

/// The frame pointer, r10. The other registers are r0 to r9.
pub(crate) const FRAME_POINTER: u8 = 10;

/// An instruction as in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) opcode: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

/// `BPF_LD | BPF_IMM | BPF_DW`, the only double instruction.
pub(crate) const LOAD_IMMEDIATE: u8 = 0x18;

/// `BPF_JMP | BPF_CALL`.
pub(crate) const CALL: u8 = 0x85;

/// Call types, in the source register. This one calls a helper.
pub(crate) const CALL_HELPER: u8 = 0;
/// Calls a function of the object.
pub(crate) const CALL_FUNCTION: u8 = 1;
/// Calls a kernel function, which a relocation names.
pub(crate) const CALL_KFUNC: u8 = 2;

impl Raw {
    pub(crate) fn read(bytes: Instruction) -> Raw {
        let [opcode, registers, o0, o1, i0, i1, i2, i3] = bytes;
        Raw {
            opcode,
            dst: registers & 15,
            src: registers >> 4,
            offset: i16::from_le_bytes([o0, o1]),
            immediate: i32::from_le_bytes([i0, i1, i2, i3]),
        }
    }

    #[cfg(test)]
    pub(crate) fn bytes(self) -> Instruction {
        let ([o0, o1], [i0, i1, i2, i3]) = (self.offset.to_le_bytes(), self.immediate.to_le_bytes());
        [self.opcode, self.dst | self.src << 4, o0, o1, i0, i1, i2, i3]
    }
}

/// Decodes a function. `base` is the index of its first instruction in the code. The result has a [`Bad::End`] at its
/// end.
pub(crate) fn decode(raw: &[Raw], base: usize) -> Vec<Insn> {
    let mut code = Vec::with_capacity(raw.len() + 1);
    while let Some(insn) = raw.get(code.len()) {
        if insn.opcode != LOAD_IMMEDIATE {
            code.push(decode_one(*insn));
            continue;
        }
        match raw.get(code.len() + 1) {
            Some(second) if *second == (Raw { immediate: second.immediate, ..Raw::read([0; INSTRUCTION_SIZE]) }) => {
                let immediate = u64::from(second.immediate as u32) << 32 | u64::from(insn.immediate as u32);
                let known = insn.src == 0 && insn.offset == 0 && insn.dst < FRAME_POINTER;
                code.push(match known {
                    true => Insn { op: Op::LoadImmediate, dst: insn.dst, src: IMMEDIATE, offset: 0, immediate },
                    false => Insn::bad(Bad::Unknown),
                });
                code.push(Insn::bad(Bad::SecondHalf));
            }
            _ => code.push(Insn::bad(Bad::NoSecondHalf)),
        }
    }
    for index in 0..code.len() {
        if (Op::Jump as u8..=Op::MayGoto as u8).contains(&(code[index].op as u8)) {
            let target = i64::try_from(index).unwrap_or(i64::MAX).saturating_add(1 + i64::from(code[index].offset));
            let lands = usize::try_from(target)
                .ok()
                .filter(|target| code.get(*target).is_some_and(|insn| *insn != Insn::bad(Bad::SecondHalf)));
            match lands.and_then(|target| i32::try_from(base + target).ok()) {
                Some(target) => code[index].offset = target,
                None => code[index] = Insn::bad(Bad::Jump),
            }
        }
    }
    code.push(Insn::bad(Bad::End));
    code
}

fn decode_one(raw: Raw) -> Insn {
    let Raw { opcode, dst, src, offset, immediate } = raw;
    let from_register = opcode & 0x08 != 0;
    let insn = match opcode & 7 {
        1..=3 => memory(raw).map(|(op, src)| Insn {
            op,
            dst,
            src,
            offset: offset.into(),
            immediate: immediate as i64 as u64,
        }),
        4 | 7 => {
            let used = if from_register { src } else { IMMEDIATE };
            let clean = if from_register { immediate == 0 } else { src == 0 };
            match opcode >> 4 {
                0xd => byte_order(opcode, immediate).filter(|_| src == 0 && offset == 0).map(|op| Insn {
                    op,
                    dst,
                    src: IMMEDIATE,
                    offset: 0,
                    immediate: 0,
                }),
                _ => arithmetic(raw).filter(|_| clean).map(|op| Insn {
                    op,
                    dst,
                    src: used,
                    offset: 0,
                    immediate: immediate as i64 as u64,
                }),
            }
            .filter(|_| dst < FRAME_POINTER)
        }
        _ => control(raw),
    };
    match insn {
        Some(insn) if insn.dst <= FRAME_POINTER && (insn.src <= FRAME_POINTER || insn.src == IMMEDIATE) => insn,
        _ => Insn::bad(Bad::Unknown),
    }
}

/// Returns the operation of a load or store, and the stored register or immediate.
fn memory(raw: Raw) -> Option<(Op, u8)> {
    let (mode, size) = (raw.opcode & 0xe0, (raw.opcode >> 3) & 3);
    let by_size = |ops: [Op; 4]| ops.get(usize::from(size)).copied();
    let write_frame_pointer = raw.opcode & 7 == 1 && raw.dst >= FRAME_POINTER;
    if write_frame_pointer {
        return None;
    }
    match (raw.opcode & 7, mode) {
        // Size codes are in the order word, half, byte, double.
        (1, 0x60) => Some((by_size([Op::Load32, Op::Load16, Op::Load8, Op::Load64])?, raw.src)),
        (1, 0x80) if size < 3 => Some((by_size([Op::LoadSx32, Op::LoadSx16, Op::LoadSx8, Op::Bad])?, raw.src)),
        (2, 0x60) if raw.src == 0 => Some((by_size([Op::Store32, Op::Store16, Op::Store8, Op::Store64])?, IMMEDIATE)),
        (3, 0x60) => Some((by_size([Op::Store32, Op::Store16, Op::Store8, Op::Store64])?, raw.src)),
        (3, 0xc0) if atomic_is_known(raw.immediate, size) => {
            Some((by_size([Op::Atomic32, Op::Atomic16, Op::Atomic8, Op::Atomic64])?, raw.src))
        }
        _ => None,
    }
}

/// With this bit, an atomic operation returns the old value in the source register.
pub(crate) const FETCH: u64 = 0x01;
pub(crate) const ATOMIC_ADD: u64 = 0x00;
pub(crate) const ATOMIC_OR: u64 = 0x40;
pub(crate) const ATOMIC_AND: u64 = 0x50;
pub(crate) const ATOMIC_XOR: u64 = 0xa0;
pub(crate) const ATOMIC_EXCHANGE: u64 = 0xe0 | FETCH;
pub(crate) const ATOMIC_COMPARE_EXCHANGE: u64 = 0xf0 | FETCH;
pub(crate) const ATOMIC_LOAD: u64 = 0x100;
pub(crate) const ATOMIC_STORE: u64 = 0x110;

fn atomic_is_known(immediate: i32, size: u8) -> bool {
    let operation = immediate as i64 as u64;
    let whole_words = size == 0 || size == 3;
    match operation {
        ATOMIC_LOAD | ATOMIC_STORE => true,
        ATOMIC_EXCHANGE | ATOMIC_COMPARE_EXCHANGE => whole_words,
        _ => whole_words && [ATOMIC_ADD, ATOMIC_OR, ATOMIC_AND, ATOMIC_XOR].contains(&(operation & !FETCH)),
    }
}

fn byte_order(opcode: u8, width: i32) -> Option<Op> {
    let by_width = |ops: [Op; 3]| match width {
        16 => Some(ops[0]),
        32 => Some(ops[1]),
        64 => Some(ops[2]),
        _ => None,
    };
    match opcode {
        0xd4 => by_width([Op::ToLe16, Op::ToLe32, Op::ToLe64]),
        0xdc | 0xd7 => by_width([Op::Swap16, Op::Swap32, Op::Swap64]),
        _ => None,
    }
}

#[rustfmt::skip]
fn arithmetic(raw: Raw) -> Option<Op> {
    const WIDE: [[Option<Op>; 2]; 13] = [
        [Some(Op::Add64), None], [Some(Op::Sub64), None], [Some(Op::Mul64), None], [Some(Op::Div64), Some(Op::SDiv64)],
        [Some(Op::Or64), None], [Some(Op::And64), None], [Some(Op::Lsh64), None], [Some(Op::Rsh64), None],
        [Some(Op::Neg64), None], [Some(Op::Mod64), Some(Op::SMod64)], [Some(Op::Xor64), None], [Some(Op::Mov64), None],
        [Some(Op::Arsh64), None],
    ];
    const NARROW: [[Option<Op>; 2]; 13] = [
        [Some(Op::Add32), None], [Some(Op::Sub32), None], [Some(Op::Mul32), None], [Some(Op::Div32), Some(Op::SDiv32)],
        [Some(Op::Or32), None], [Some(Op::And32), None], [Some(Op::Lsh32), None], [Some(Op::Rsh32), None],
        [Some(Op::Neg32), None], [Some(Op::Mod32), Some(Op::SMod32)], [Some(Op::Xor32), None], [Some(Op::Mov32), None],
        [Some(Op::Arsh32), None],
    ];
    let (code, wide) = (raw.opcode >> 4, raw.opcode & 7 == 7);
    match (code, raw.offset) {
        // Negation has no operand.
        (0x8, _) if raw.opcode & 8 != 0 || raw.immediate != 0 => None,
        (0xb, 8) if raw.opcode & 8 != 0 => Some(if wide { Op::Movsx64From8 } else { Op::Movsx32From8 }),
        (0xb, 16) if raw.opcode & 8 != 0 => Some(if wide { Op::Movsx64From16 } else { Op::Movsx32From16 }),
        (0xb, 32) if raw.opcode & 8 != 0 && wide => Some(Op::Movsx64From32),
        (_, 0 | 1) => {
            let table = if wide { &WIDE } else { &NARROW };
            *table.get(usize::from(code))?.get(usize::try_from(raw.offset).ok()?)?
        }
        _ => None,
    }
}

#[rustfmt::skip]
fn control(raw: Raw) -> Option<Insn> {
    const WIDE: [Op; 14] = [
        Op::Bad, Op::Jeq64, Op::Jgt64, Op::Jge64, Op::Jset64, Op::Jne64, Op::Jsgt64, Op::Jsge64, Op::Bad, Op::Bad, Op::Jlt64,
        Op::Jle64, Op::Jslt64, Op::Jsle64,
    ];
    const NARROW: [Op; 14] = [
        Op::Bad, Op::Jeq32, Op::Jgt32, Op::Jge32, Op::Jset32, Op::Jne32, Op::Jsgt32, Op::Jsge32, Op::Bad, Op::Bad, Op::Jlt32,
        Op::Jle32, Op::Jslt32, Op::Jsle32,
    ];
    let Raw { opcode, dst, src, offset, immediate } = raw;
    let plain = |op, offset, immediate| Some(Insn { op, dst: 0, src: IMMEDIATE, offset, immediate });
    let (no_registers, no_offset, no_immediate) = (dst == 0 && src == 0, offset == 0, immediate == 0);
    match opcode {
        0x05 if no_registers && no_immediate => plain(Op::Jump, offset.into(), 0),
        0x06 if no_registers && no_offset => plain(Op::Jump, immediate, 0),
        0xe5 if no_registers && no_immediate => plain(Op::MayGoto, offset.into(), 0),
        0x95 if no_registers && no_immediate && no_offset => plain(Op::Exit, 0, 0),
        CALL if dst == 0 && no_offset => match src {
            CALL_HELPER => plain(Op::CallHelper, 0, immediate as u32 as u64),
            CALL_FUNCTION => plain(Op::CallFunction, 0, immediate as u32 as u64),
            CALL_KFUNC => plain(Op::CallKfunc, 0, immediate as u32 as u64),
            _ => None,
        },
        _ => {
            let table = match opcode & 7 {
                5 => &WIDE,
                6 => &NARROW,
                _ => return None,
            };
            let op = *table.get(usize::from(opcode >> 4)).filter(|op| **op != Op::Bad)?;
            let from_register = opcode & 8 != 0;
            let clean = if from_register { no_immediate } else { src == 0 };
            let src = if from_register { src } else { IMMEDIATE };
            clean.then_some(Insn { op, dst, src, offset: offset.into(), immediate: immediate as i64 as u64 })
        }
    }
}
