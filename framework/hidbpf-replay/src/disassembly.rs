//! The instructions of an object as text, in the form that the kernel's verifier and bpftool print, with the lines of
//! the source.

use std::fmt;

use hidbpf_prelink::INSTRUCTION_SIZE;
use hidbpf_prelink::btf_ext::SourceLine;
use hidbpf_prelink::parts::{Parts, Target};
use hidbpf_prelink::{elf, limits, section};

use crate::error::ObjectError;
use crate::insn::{
    ATOMIC_ADD, ATOMIC_AND, ATOMIC_COMPARE_EXCHANGE, ATOMIC_EXCHANGE, ATOMIC_LOAD, ATOMIC_OR, ATOMIC_STORE, ATOMIC_XOR,
    CALL, FETCH, IMMEDIATE, Insn, LOAD_IMMEDIATE, Op, Raw, decode,
};
use crate::machine::helper_name;

/// A function of an object, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing {
    /// Its section without the `?`: `struct_ops/hid_device_event`, or `.text` for functions that programs call.
    pub section: String,
    /// Its name.
    pub function: String,
    /// Its instructions.
    pub lines: Vec<ListedInstruction>,
}

/// An instruction as text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedInstruction {
    /// Its index in the function. The verifier counts in the same way, up to the first called function.
    pub index: usize,
    /// The text: `r0 = *(u8 *)(r1 + 3)`.
    pub text: String,
    /// The line of the source that it begins, if another one than that of the instruction before it.
    pub source: Option<SourceLine>,
}

/// Returns the functions of an object as text, in the order of its sections.
///
/// # Errors
/// The bytes are not an object of BPF programs, or a damaged one.
pub fn disassemble(object: &[u8]) -> Result<Vec<Listing>, ObjectError> {
    let elf = elf::open(object)?;
    limits::check(&elf).map_err(ObjectError::Damaged)?;
    let parts = Parts::read(&elf)?;
    let mut order: Vec<usize> = (0..parts.functions.len()).collect();
    order.sort_by_key(|index| (parts.functions[*index].code, parts.functions[*index].start));
    Ok(order.into_iter().map(|index| listing(&parts, index)).collect())
}

fn listing(parts: &Parts<'_>, index: usize) -> Listing {
    let function = parts.functions[index];
    let code = &parts.code[function.code];
    let raw: Vec<Raw> = code
        .instructions
        .get(function.start..function.start.saturating_add(function.len))
        .unwrap_or_default()
        .iter()
        .map(|bytes| Raw::read(*bytes))
        .collect();
    let decoded = decode(&raw, 0);
    let (mut lines, mut last, mut is_second) = (Vec::new(), None, false);
    for (at, instruction) in raw.iter().enumerate() {
        if std::mem::take(&mut is_second) {
            continue;
        }
        is_second = instruction.opcode == LOAD_IMMEDIATE;
        let target = code.targets.get(&(function.start + at));
        let text = match (target, decoded.get(at)) {
            (Some(target), _) => with_target(parts, instruction, raw.get(at + 1), target),
            (None, Some(insn)) => text(insn),
            (None, None) => String::new(),
        };
        let bytes = |index: usize| u32::try_from(index * INSTRUCTION_SIZE).ok();
        let line = bytes(function.start)
            .zip(bytes(function.start + at))
            .and_then(|(start, offset)| parts.ext.line(&parts.btf, code.name, start, offset));
        let source = line.clone().filter(|_| line != last);
        last = line.or(last);
        lines.push(ListedInstruction { index: at, text, source });
    }
    Listing { section: section::plain_name(code.name).to_owned(), function: function.name.to_owned(), lines }
}

/// Returns an instruction that refers to a part of the object or to the kernel.
fn with_target(parts: &Parts<'_>, raw: &Raw, second: Option<&Raw>, target: &Target) -> String {
    let name = match target {
        Target::Function(index) => parts.functions.get(*index).map(|function| function.name.to_owned()),
        Target::Map(index) => parts.maps.get(*index).map(|map| format!("map {map}")),
        Target::Extern(index) => parts.externs.get(*index).map(|symbol| format!("{} (kernel)", symbol.name)),
        Target::Data { section, offset } => Some(variable(parts, *section, *offset)),
        Target::Nowhere(why) => Some(format!("nothing: {why}")),
    };
    let name = name.unwrap_or_default();
    match raw.opcode {
        CALL => format!("call {name}"),
        LOAD_IMMEDIATE if second.is_some() => format!("r{} = {name} ll", raw.dst),
        _ => format!("{name} (opcode {:#04x})", raw.opcode),
    }
}

/// Returns the variable at an offset of a data section: `&state+4`.
fn variable(parts: &Parts<'_>, section: usize, offset: u32) -> String {
    let holds = |global: &&hidbpf_prelink::parts::Global<'_>| {
        global.section == section && offset.checked_sub(global.offset).is_some_and(|within| within < global.size.max(1))
    };
    let found = parts.globals.iter().find(holds);
    let data = parts.data.get(section).map_or("", |data| data.name);
    let (name, within) = found.map_or((data, offset), |global| (global.name, offset - global.offset));
    if within == 0 { format!("&{name}") } else { format!("&{name}+{within}") }
}

/// Returns an instruction that refers to nothing. Jumps have the index of their target.
fn text(insn: &Insn) -> String {
    let (dst, offset) = (insn.dst, insn.offset);
    let source = |wide: bool| match insn.src {
        IMMEDIATE => (insn.immediate as i64).to_string(),
        register => format!("{}{register}", if wide { 'r' } else { 'w' }),
    };
    let memory = |register: u8, size: &str| {
        let sign = if offset < 0 { '-' } else { '+' };
        format!("*({size} *)(r{register} {sign} {})", offset.unsigned_abs())
    };
    let is_wide = |op: Op| format!("{op:?}").ends_with("64");
    let register = |op: Op| format!("{}{dst}", if is_wide(op) { 'r' } else { 'w' });
    let binary = |sign: &str| format!("{} {sign} {}", register(insn.op), source(is_wide(insn.op)));
    let jump = |sign: &str| format!("if {} {sign} {} goto {offset}", register(insn.op), source(is_wide(insn.op)));
    match insn.op {
        Op::Add64 | Op::Add32 => binary("+="),
        Op::Sub64 | Op::Sub32 => binary("-="),
        Op::Mul64 | Op::Mul32 => binary("*="),
        Op::Div64 | Op::Div32 => binary("/="),
        Op::SDiv64 | Op::SDiv32 => binary("s/="),
        Op::Mod64 | Op::Mod32 => binary("%="),
        Op::SMod64 | Op::SMod32 => binary("s%="),
        Op::Or64 | Op::Or32 => binary("|="),
        Op::And64 | Op::And32 => binary("&="),
        Op::Xor64 | Op::Xor32 => binary("^="),
        Op::Lsh64 | Op::Lsh32 => binary("<<="),
        Op::Rsh64 | Op::Rsh32 => binary(">>="),
        Op::Arsh64 | Op::Arsh32 => binary("s>>="),
        Op::Mov64 | Op::Mov32 => binary("="),
        Op::Neg64 => format!("r{dst} = -r{dst}"),
        Op::Neg32 => format!("w{dst} = -w{dst}"),
        Op::Movsx64From8 => format!("r{dst} = (s8){}", source(true)),
        Op::Movsx64From16 => format!("r{dst} = (s16){}", source(true)),
        Op::Movsx64From32 => format!("r{dst} = (s32){}", source(true)),
        Op::Movsx32From8 => format!("w{dst} = (s8){}", source(false)),
        Op::Movsx32From16 => format!("w{dst} = (s16){}", source(false)),
        Op::ToLe16 => format!("r{dst} = le16 r{dst}"),
        Op::ToLe32 => format!("r{dst} = le32 r{dst}"),
        Op::ToLe64 => format!("r{dst} = le64 r{dst}"),
        Op::Swap16 => format!("r{dst} = bswap16 r{dst}"),
        Op::Swap32 => format!("r{dst} = bswap32 r{dst}"),
        Op::Swap64 => format!("r{dst} = bswap64 r{dst}"),
        Op::Jump => format!("goto {offset}"),
        Op::MayGoto => format!("may_goto {offset}"),
        Op::Jeq64 | Op::Jeq32 => jump("=="),
        Op::Jne64 | Op::Jne32 => jump("!="),
        Op::Jgt64 | Op::Jgt32 => jump(">"),
        Op::Jge64 | Op::Jge32 => jump(">="),
        Op::Jlt64 | Op::Jlt32 => jump("<"),
        Op::Jle64 | Op::Jle32 => jump("<="),
        Op::Jsgt64 | Op::Jsgt32 => jump("s>"),
        Op::Jsge64 | Op::Jsge32 => jump("s>="),
        Op::Jslt64 | Op::Jslt32 => jump("s<"),
        Op::Jsle64 | Op::Jsle32 => jump("s<="),
        Op::Jset64 | Op::Jset32 => jump("&"),
        Op::Load8 => format!("r{dst} = {}", memory(insn.src, "u8")),
        Op::Load16 => format!("r{dst} = {}", memory(insn.src, "u16")),
        Op::Load32 => format!("r{dst} = {}", memory(insn.src, "u32")),
        Op::Load64 => format!("r{dst} = {}", memory(insn.src, "u64")),
        Op::LoadSx8 => format!("r{dst} = {}", memory(insn.src, "s8")),
        Op::LoadSx16 => format!("r{dst} = {}", memory(insn.src, "s16")),
        Op::LoadSx32 => format!("r{dst} = {}", memory(insn.src, "s32")),
        Op::Store8 => format!("{} = {}", memory(dst, "u8"), source(true)),
        Op::Store16 => format!("{} = {}", memory(dst, "u16"), source(true)),
        Op::Store32 => format!("{} = {}", memory(dst, "u32"), source(true)),
        Op::Store64 => format!("{} = {}", memory(dst, "u64"), source(true)),
        Op::Atomic8 => atomic(insn, &memory(dst, "u8")),
        Op::Atomic16 => atomic(insn, &memory(dst, "u16")),
        Op::Atomic32 => atomic(insn, &memory(dst, "u32")),
        Op::Atomic64 => atomic(insn, &memory(dst, "u64")),
        Op::LoadImmediate => format!("r{dst} = {:#x} ll", insn.immediate),
        Op::CallHelper => {
            let number = insn.immediate as u32;
            helper_name(number).map_or_else(|| format!("call helper {number}"), |name| format!("call {name}"))
        }
        Op::CallFunction => "call a function without a relocation".to_owned(),
        Op::CallKfunc => "call a kernel function without a relocation".to_owned(),
        Op::Exit => "exit".to_owned(),
        Op::Bad => "invalid instruction".to_owned(),
    }
}

fn atomic(insn: &Insn, place: &str) -> String {
    let register = format!("r{}", insn.src);
    let operation = match insn.immediate {
        ATOMIC_LOAD => {
            return format!(
                "r{} = load_acquire {}",
                insn.dst,
                place.replace(&format!("(r{}", insn.dst), &format!("(r{}", insn.src))
            );
        }
        ATOMIC_STORE => return format!("store_release {place} = {register}"),
        ATOMIC_EXCHANGE => return format!("{register} = xchg {place}, {register}"),
        ATOMIC_COMPARE_EXCHANGE => return format!("r0 = cmpxchg {place}, r0, {register}"),
        other => match other & !FETCH {
            ATOMIC_ADD => "+=",
            ATOMIC_OR => "|=",
            ATOMIC_AND => "&=",
            ATOMIC_XOR => "^=",
            _ => return "invalid instruction".to_owned(),
        },
    };
    let fetch = if insn.immediate & FETCH != 0 { "fetch " } else { "" };
    format!("lock {fetch}{place} {operation} {register}")
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}:", self.function, self.section)?;
        for line in &self.lines {
            if let Some(source) = &line.source {
                let text = source.text.trim();
                writeln!(f, "; {source}{}{text}", if text.is_empty() { "" } else { "  " })?;
            }
            writeln!(f, "{:5}: {}", line.index, line.text)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(opcode: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> String {
        let raw = [
            Raw { opcode, dst, src, offset, immediate },
            Raw { opcode: 0x95, dst: 0, src: 0, offset: 0, immediate: 0 },
        ];
        text(&decode(&raw, 0)[0])
    }

    #[test]
    fn instructions_read_as_bpftool_prints_them() {
        for ((opcode, dst, src, offset, immediate), expected) in [
            ((0xb7, 1, 0, 0, -5), "r1 = -5"),
            ((0xbc, 1, 2, 0, 0), "w1 = w2"),
            ((0x07, 3, 0, 0, 8), "r3 += 8"),
            ((0x61, 0, 6, 4, 0), "r0 = *(u32 *)(r6 + 4)"),
            ((0x71, 0, 6, -1, 0), "r0 = *(u8 *)(r6 - 1)"),
            ((0x63, 10, 1, -8, 0), "*(u32 *)(r10 - 8) = r1"),
            ((0x62, 10, 0, -8, 7), "*(u32 *)(r10 - 8) = 7"),
            ((0x15, 1, 0, 0, 3), "if r1 == 3 goto 1"),
            ((0x65, 1, 0, 0, 3), "if r1 s> 3 goto 1"),
            ((0x05, 0, 0, 0, 0), "goto 1"),
            ((0x85, 0, 0, 0, 5), "call bpf_ktime_get_ns"),
            ((0x85, 0, 0, 0, 9999), "call helper 9999"),
            ((0xdb, 1, 2, 0, 1), "lock fetch *(u64 *)(r1 + 0) += r2"),
            ((0xdb, 1, 2, 0, 0xf1), "r0 = cmpxchg *(u64 *)(r1 + 0), r0, r2"),
            ((0x95, 0, 0, 0, 0), "exit"),
            ((0xff, 1, 2, 3, 4), "invalid instruction"),
        ] {
            assert_eq!(listed(opcode, dst, src, offset, immediate), expected);
        }
    }
}
