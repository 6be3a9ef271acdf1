//! Runs decoded instructions. A program can't access anything outside its [`Memory`](crate::memory::Memory), and every
//! run ends.

use std::sync::Arc;

use crate::error::{AccessKind, Fault, Reason};
use crate::image::Image;
use crate::insn::{self, FRAME_POINTER, IMMEDIATE, Insn, Op};
use crate::memory::Violation;

use super::problem::Problem;
use super::{FRAME_SIZE, MAX_CALLS, MAX_LOOPS, Machine};

/// The state to restore when a called function returns.
#[derive(Clone, Copy, Default)]
struct Caller {
    at: usize,
    /// r6 to r9, which calls preserve.
    saved: [u64; 4],
}

fn sign_extend_8(value: u64) -> u64 {
    value as u8 as i8 as i64 as u64
}

fn sign_extend_16(value: u64) -> u64 {
    value as u16 as i16 as i64 as u64
}

fn sign_extend_32(value: u64) -> u64 {
    value as u32 as i32 as i64 as u64
}

impl Machine {
    /// Runs the function at an index of the code with r1 to r5, and returns its r0.
    pub(crate) fn run(&mut self, entry: usize, arguments: [u64; 5]) -> Result<u64, Box<Fault>> {
        let image = Arc::clone(&self.image);
        let base = self.depth;
        let outer = std::mem::take(&mut self.path);
        let result = self.interpret(&image, entry, arguments);
        let path = std::mem::replace(&mut self.path, outer);
        if path.jumps > self.longest_path.jumps {
            self.longest_path = path;
        }
        self.depth = base;
        result
    }

    /// Enters a function's frame. `None` if calls are nested too deeply.
    fn enter(&mut self) -> Option<u64> {
        let frame = *self.frames.get(self.depth).filter(|_| self.depth < self.max_depth)?;
        self.depth += 1;
        self.memory.bytes_mut(frame).fill(0);
        Some(frame.pointer(FRAME_SIZE))
    }

    fn interpret(&mut self, image: &Image, entry: usize, arguments: [u64; 5]) -> Result<u64, Box<Fault>> {
        let code = image.code.as_slice();
        let mut registers = [0u64; 16];
        registers[1..6].copy_from_slice(&arguments);
        let mut callers = [Caller::default(); MAX_CALLS];
        let mut calls = 0;
        let mut at = entry;
        let mut left = self.instructions_left;
        let mut loops = 0;
        let Some(frame) = self.enter() else { return Err(image.fault(at, Reason::CallDepth(MAX_CALLS))) };
        registers[usize::from(FRAME_POINTER)] = frame;

        macro_rules! stop {
            ($reason:expr) => {{
                self.instructions_left = left;
                return Err(image.fault(at.wrapping_sub(1), $reason));
            }};
        }
        macro_rules! register {
            ($number:expr) => {
                registers[usize::from($number & 15)]
            };
        }
        macro_rules! wide {
            ($insn:ident, |$d:ident, $s:ident| $result:expr) => {{
                let ($d, $s) = (register!($insn.dst), register!($insn.src));
                register!($insn.dst) = $result;
            }};
        }
        macro_rules! narrow {
            ($insn:ident, |$d:ident, $s:ident| $result:expr) => {{
                let ($d, $s) = (register!($insn.dst) as u32, register!($insn.src) as u32);
                register!($insn.dst) = u64::from($result);
            }};
        }
        macro_rules! go {
            ($to:expr) => {{
                let to = $to;
                if to < at {
                    self.path.jump_back(at - 1, to);
                }
                at = to;
            }};
        }
        macro_rules! jump {
            ($insn:ident, $ty:ty, |$d:ident, $s:ident| $taken:expr) => {{
                let ($d, $s) = (register!($insn.dst) as $ty, register!($insn.src) as $ty);
                self.path.jumps += 1;
                if $taken {
                    go!($insn.offset as usize);
                }
            }};
        }
        macro_rules! load {
            ($insn:ident, $size:literal, |$bytes:ident| $result:expr) => {{
                let address = register!($insn.src).wrapping_add(i64::from($insn.offset) as u64);
                match self.memory.load::<$size>(address) {
                    Some($bytes) => register!($insn.dst) = $result,
                    None => stop!(self.bad_access(AccessKind::Read, address, $size)),
                }
            }};
        }
        macro_rules! store {
            ($insn:ident, $size:literal, $ty:ty) => {{
                let address = register!($insn.dst).wrapping_add(i64::from($insn.offset) as u64);
                let value = register!($insn.src) as $ty;
                if self.memory.store::<$size>(address, value.to_le_bytes()).is_none() {
                    stop!(self.bad_access(AccessKind::Write, address, $size));
                }
            }};
        }
        macro_rules! atomic {
            ($insn:ident, $size:literal, $ty:ty) => {
                match self.atomic(
                    $insn,
                    &mut registers,
                    |bytes| <$ty>::from_le_bytes(bytes).into(),
                    |value| (value as $ty).to_le_bytes(),
                ) {
                    Ok(()) => {}
                    Err(reason) => stop!(reason),
                }
            };
        }
        macro_rules! called {
            ($result:expr) => {{
                self.instructions_left = left;
                let result = $result;
                left = self.instructions_left;
                match result {
                    Ok(value) => registers[0] = value,
                    Err(Problem::Here(reason)) => stop!(reason),
                    Err(Problem::Deeper(fault)) => return Err(fault),
                }
            }};
        }
        macro_rules! arguments {
            () => {
                [registers[1], registers[2], registers[3], registers[4], registers[5]]
            };
        }

        loop {
            let Some(insn) = code.get(at) else { stop!(Reason::PastTheEnd) };
            at += 1;
            if left == 0 {
                stop!(Reason::Endless(self.instruction_limit));
            }
            left -= 1;
            registers[usize::from(IMMEDIATE)] = insn.immediate;
            match insn.op {
                Op::Add64 => wide!(insn, |d, s| d.wrapping_add(s)),
                Op::Sub64 => wide!(insn, |d, s| d.wrapping_sub(s)),
                Op::Mul64 => wide!(insn, |d, s| d.wrapping_mul(s)),
                Op::Div64 => wide!(insn, |d, s| d.checked_div(s).unwrap_or(0)),
                Op::SDiv64 => wide!(insn, |d, s| if s == 0 { 0 } else { (d as i64).wrapping_div(s as i64) as u64 }),
                Op::Mod64 => wide!(insn, |d, s| d.checked_rem(s).unwrap_or(d)),
                Op::SMod64 => wide!(insn, |d, s| if s == 0 { d } else { (d as i64).wrapping_rem(s as i64) as u64 }),
                Op::Or64 => wide!(insn, |d, s| d | s),
                Op::And64 => wide!(insn, |d, s| d & s),
                Op::Xor64 => wide!(insn, |d, s| d ^ s),
                Op::Lsh64 => wide!(insn, |d, s| d << (s & 63)),
                Op::Rsh64 => wide!(insn, |d, s| d >> (s & 63)),
                Op::Arsh64 => wide!(insn, |d, s| ((d as i64) >> (s & 63)) as u64),
                Op::Mov64 => register!(insn.dst) = register!(insn.src),
                Op::Neg64 => register!(insn.dst) = register!(insn.dst).wrapping_neg(),

                Op::Add32 => narrow!(insn, |d, s| d.wrapping_add(s)),
                Op::Sub32 => narrow!(insn, |d, s| d.wrapping_sub(s)),
                Op::Mul32 => narrow!(insn, |d, s| d.wrapping_mul(s)),
                Op::Div32 => narrow!(insn, |d, s| d.checked_div(s).unwrap_or(0)),
                Op::SDiv32 => narrow!(insn, |d, s| if s == 0 { 0 } else { (d as i32).wrapping_div(s as i32) as u32 }),
                Op::Mod32 => narrow!(insn, |d, s| d.checked_rem(s).unwrap_or(d)),
                Op::SMod32 => narrow!(insn, |d, s| if s == 0 { d } else { (d as i32).wrapping_rem(s as i32) as u32 }),
                Op::Or32 => narrow!(insn, |d, s| d | s),
                Op::And32 => narrow!(insn, |d, s| d & s),
                Op::Xor32 => narrow!(insn, |d, s| d ^ s),
                Op::Lsh32 => narrow!(insn, |d, s| d << (s & 31)),
                Op::Rsh32 => narrow!(insn, |d, s| d >> (s & 31)),
                Op::Arsh32 => narrow!(insn, |d, s| ((d as i32) >> (s & 31)) as u32),
                Op::Mov32 => register!(insn.dst) = u64::from(register!(insn.src) as u32),
                Op::Neg32 => register!(insn.dst) = u64::from((register!(insn.dst) as u32).wrapping_neg()),

                Op::Movsx64From8 => register!(insn.dst) = sign_extend_8(register!(insn.src)),
                Op::Movsx64From16 => register!(insn.dst) = sign_extend_16(register!(insn.src)),
                Op::Movsx64From32 => register!(insn.dst) = sign_extend_32(register!(insn.src)),
                Op::Movsx32From8 => register!(insn.dst) = u64::from(sign_extend_8(register!(insn.src)) as u32),
                Op::Movsx32From16 => register!(insn.dst) = u64::from(sign_extend_16(register!(insn.src)) as u32),

                Op::ToLe16 => register!(insn.dst) &= 0xffff,
                Op::ToLe32 => register!(insn.dst) &= 0xffff_ffff,
                Op::ToLe64 => {}
                Op::Swap16 => register!(insn.dst) = u64::from((register!(insn.dst) as u16).swap_bytes()),
                Op::Swap32 => register!(insn.dst) = u64::from((register!(insn.dst) as u32).swap_bytes()),
                Op::Swap64 => register!(insn.dst) = register!(insn.dst).swap_bytes(),

                Op::Jump => go!(insn.offset as usize),
                Op::Jeq64 => jump!(insn, u64, |d, s| d == s),
                Op::Jne64 => jump!(insn, u64, |d, s| d != s),
                Op::Jgt64 => jump!(insn, u64, |d, s| d > s),
                Op::Jge64 => jump!(insn, u64, |d, s| d >= s),
                Op::Jlt64 => jump!(insn, u64, |d, s| d < s),
                Op::Jle64 => jump!(insn, u64, |d, s| d <= s),
                Op::Jsgt64 => jump!(insn, i64, |d, s| d > s),
                Op::Jsge64 => jump!(insn, i64, |d, s| d >= s),
                Op::Jslt64 => jump!(insn, i64, |d, s| d < s),
                Op::Jsle64 => jump!(insn, i64, |d, s| d <= s),
                Op::Jset64 => jump!(insn, u64, |d, s| d & s != 0),
                Op::Jeq32 => jump!(insn, u32, |d, s| d == s),
                Op::Jne32 => jump!(insn, u32, |d, s| d != s),
                Op::Jgt32 => jump!(insn, u32, |d, s| d > s),
                Op::Jge32 => jump!(insn, u32, |d, s| d >= s),
                Op::Jlt32 => jump!(insn, u32, |d, s| d < s),
                Op::Jle32 => jump!(insn, u32, |d, s| d <= s),
                Op::Jsgt32 => jump!(insn, i32, |d, s| d > s),
                Op::Jsge32 => jump!(insn, i32, |d, s| d >= s),
                Op::Jslt32 => jump!(insn, i32, |d, s| d < s),
                Op::Jsle32 => jump!(insn, i32, |d, s| d <= s),
                Op::Jset32 => jump!(insn, u32, |d, s| d & s != 0),
                Op::MayGoto => {
                    loops += 1;
                    if loops > MAX_LOOPS {
                        at = insn.offset as usize;
                    }
                }

                Op::Load8 => load!(insn, 1, |bytes| bytes[0].into()),
                Op::Load16 => load!(insn, 2, |bytes| u16::from_le_bytes(bytes).into()),
                Op::Load32 => load!(insn, 4, |bytes| u32::from_le_bytes(bytes).into()),
                Op::Load64 => load!(insn, 8, |bytes| u64::from_le_bytes(bytes)),
                Op::LoadSx8 => load!(insn, 1, |bytes| sign_extend_8(bytes[0].into())),
                Op::LoadSx16 => load!(insn, 2, |bytes| sign_extend_16(u16::from_le_bytes(bytes).into())),
                Op::LoadSx32 => load!(insn, 4, |bytes| sign_extend_32(u32::from_le_bytes(bytes).into())),
                Op::Store8 => store!(insn, 1, u8),
                Op::Store16 => store!(insn, 2, u16),
                Op::Store32 => store!(insn, 4, u32),
                Op::Store64 => store!(insn, 8, u64),
                Op::Atomic8 => atomic!(insn, 1, u8),
                Op::Atomic16 => atomic!(insn, 2, u16),
                Op::Atomic32 => atomic!(insn, 4, u32),
                Op::Atomic64 => atomic!(insn, 8, u64),
                Op::LoadImmediate => {
                    register!(insn.dst) = insn.immediate;
                    at += 1;
                }

                Op::CallHelper => called!(self.call_helper(insn.immediate as u32, arguments!())),
                Op::CallKfunc => called!(self.call_kfunc(image, insn.immediate as usize, arguments!())),
                Op::CallFunction => {
                    let Some(caller) = callers.get_mut(calls) else { stop!(Reason::CallDepth(MAX_CALLS)) };
                    let saved = [registers[6], registers[7], registers[8], registers[9]];
                    *caller = Caller { at, saved };
                    calls += 1;
                    let Some(frame) = self.enter() else { stop!(Reason::CallDepth(MAX_CALLS)) };
                    registers[usize::from(FRAME_POINTER)] = frame;
                    at = insn.immediate as usize;
                }
                Op::Exit => {
                    let caller = calls.checked_sub(1).and_then(|last| callers.get(last));
                    let Some(Caller { at: back, saved }) = caller.copied() else {
                        self.instructions_left = left;
                        return Ok(registers[0]);
                    };
                    calls -= 1;
                    self.depth -= 1;
                    registers[6..10].copy_from_slice(&saved);
                    let frame = self.depth.checked_sub(1).and_then(|depth| self.frames.get(depth));
                    registers[usize::from(FRAME_POINTER)] = frame.map_or(0, |frame| frame.pointer(FRAME_SIZE));
                    at = back;
                }
                Op::Bad => stop!(image.why_bad(insn.immediate)),
            }
        }
    }

    /// Performs an atomic operation on `N` bytes. A replay has one CPU, so nothing else is needed.
    fn atomic<const N: usize>(
        &mut self,
        insn: &Insn,
        registers: &mut [u64; 16],
        number: impl Fn([u8; N]) -> u64,
        bytes: impl Fn(u64) -> [u8; N],
    ) -> Result<(), Reason> {
        let (dst, src) = (usize::from(insn.dst & 15), usize::from(insn.src & 15));
        let base = if insn.immediate == insn::ATOMIC_LOAD { registers[src] } else { registers[dst] };
        let address = base.wrapping_add(i64::from(insn.offset) as u64);
        let size = N as u32;
        let mut old = 0;
        if insn.immediate != insn::ATOMIC_STORE {
            let loaded = self.memory.load::<N>(address);
            old = number(loaded.ok_or_else(|| self.bad_access(AccessKind::Read, address, size))?);
        }
        let operand = registers[src];
        let new = match insn.immediate {
            insn::ATOMIC_LOAD => {
                registers[dst] = old;
                return Ok(());
            }
            insn::ATOMIC_STORE | insn::ATOMIC_EXCHANGE => operand,
            insn::ATOMIC_COMPARE_EXCHANGE if old == number(bytes(registers[0])) => operand,
            insn::ATOMIC_COMPARE_EXCHANGE => old,
            operation => match operation & !insn::FETCH {
                insn::ATOMIC_ADD => old.wrapping_add(operand),
                insn::ATOMIC_OR => old | operand,
                insn::ATOMIC_AND => old & operand,
                _ => old ^ operand,
            },
        };
        self.memory.store::<N>(address, bytes(new)).ok_or_else(|| self.bad_access(AccessKind::Write, address, size))?;
        match insn.immediate {
            insn::ATOMIC_STORE => {}
            insn::ATOMIC_COMPARE_EXCHANGE => registers[0] = old,
            operation if operation & insn::FETCH != 0 => registers[src] = old,
            _ => {}
        }
        Ok(())
    }

    /// Returns why an access was refused.
    #[cold]
    pub(crate) fn bad_access(&self, access: AccessKind, address: u64, size: u32) -> Reason {
        match self.memory.violation(address, access == AccessKind::Write) {
            Violation::Wild => Reason::BadPointer { access, size, address },
            Violation::Released => Reason::Released { access, size },
            Violation::Outside(kind, offset, length) => {
                Reason::OutOfBounds { access, size, offset, place: self.describe(kind), length }
            }
            Violation::NotWritable(kind, offset) => Reason::NotWritable { size, offset, place: self.describe(kind) },
        }
    }
}
