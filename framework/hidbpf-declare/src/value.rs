//! Reading and writing values: bits of the data.

use crate::address::Field;
use crate::assembler::{Alu, Code, Register, Width};

/// Calls `with` for each piece of bytes: the widest of `widths` that is aligned in the kernel's buffer, which itself is
/// aligned to 8. Passes the piece's offset and its number.
pub(crate) fn pieces(at: u32, bytes: &[u8], widths: &[Width], mut with: impl FnMut(Width, i16, i64)) {
    let (mut at, mut rest) = (at, bytes);
    while !rest.is_empty() {
        let fits = |width: &&Width| at % width.bytes() == 0 && rest.len() >= width.bytes() as usize;
        let width = widths.iter().rev().find(fits).copied().unwrap_or(Width::One);
        let (piece, after) = rest.split_at((width.bytes() as usize).min(rest.len()));
        let number = piece.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        with(width, at as i16, number as i64);
        at += width.bytes();
        rest = after;
    }
}

/// Writes constant bytes.
pub(crate) fn write_bytes(code: &mut Code, data: Register, at: u32, bytes: &[u8]) {
    let (mut at, mut rest) = (at, bytes);
    while !rest.is_empty() {
        // A store has 32 bits of number, which eight bytes take with its sign.
        let number = |width: Width| {
            rest.get(..width.bytes() as usize)
                .map(|piece| piece.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
        };
        let fits = |width: &&Width| {
            at % width.bytes() == 0
                && number(**width).is_some_and(|number| **width != Width::Eight || i32::try_from(number as i64).is_ok())
        };
        let width = Width::ALL.iter().rev().find(fits).copied().unwrap_or(Width::One);
        code.store_number(width, data, at as i16, number(width).unwrap_or(0) as i32);
        at += width.bytes();
        rest = rest.get(width.bytes() as usize..).unwrap_or_default();
    }
}

/// Writes the lowest bytes of a register, which is used up.
pub(crate) fn store_pieces(code: &mut Code, data: Register, at: u32, bytes: u32, value: Register) {
    let (mut at, mut left) = (at, bytes);
    while left > 0 {
        let fits = |width: &&Width| at % width.bytes() == 0 && width.bytes() <= left;
        let width = Width::ALL.iter().rev().find(fits).copied().unwrap_or(Width::One);
        code.store(width, data, at as i16, value);
        at += width.bytes();
        left -= width.bytes();
        if left > 0 {
            code.calculate(Alu::ShiftRight, value, width.bits() as i32);
        }
    }
}

/// The aligned part of the data that has some bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    pub width: Width,
    /// Its offset in bytes.
    pub at: u32,
    /// The bits below.
    pub below: u32,
    /// The bits above.
    pub above: u32,
}

impl Unit {
    /// Returns the smallest one, or `None` if the bits are in two parts of 8 bytes.
    pub fn of(bit: u32, bits: u32) -> Option<Unit> {
        Width::ALL.into_iter().find_map(|width| {
            let at = bit / width.bits() * width.bytes();
            let below = bit - at * 8;
            let above = width.bits().checked_sub(below + bits)?;
            Some(Unit { width, at, below, above })
        })
    }

    pub fn end(&self) -> u32 {
        self.at + self.width.bytes()
    }

    /// Returns the mask of the bits in the unit, if an instruction can hold it.
    pub fn mask(&self, bits: u32) -> Option<i32> {
        i32::try_from(low_bits(bits) << self.below).ok()
    }
}

/// Returns a number with so many bits set, 63 at most.
pub(crate) fn low_bits(bits: u32) -> i64 {
    if bits >= 63 { i64::MAX } else { (1_i64 << bits) - 1 }
}

/// Returns the smallest and the largest value of a field.
pub(crate) fn range(field: &Field) -> Interval {
    match field.signed {
        true => Interval { low: -(1_i64 << (field.bits - 1)), high: low_bits(field.bits - 1) },
        false => Interval { low: 0, high: low_bits(field.bits) },
    }
}

/// The values that a register can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval {
    pub low: i64,
    pub high: i64,
}

impl Interval {
    pub fn of(number: i64) -> Interval {
        Interval { low: number, high: number }
    }

    pub fn contains(&self, other: Interval) -> bool {
        self.low <= other.low && other.high <= self.high
    }

    pub fn with(self, other: Interval) -> Interval {
        Interval { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Returns the results of a calculation whose largest and smallest results are at the ends.
    pub fn combine(self, other: Interval, what: impl Fn(i64, i64) -> i64) -> Interval {
        let ends = [(self.low, other.low), (self.low, other.high), (self.high, other.low), (self.high, other.high)];
        let results = ends.map(|(one, other)| what(one, other));
        Interval { low: results.into_iter().min().unwrap_or(0), high: results.into_iter().max().unwrap_or(0) }
    }
}

/// Loads a field, and returns the end of the data that it reads. `other` is used for fields in two parts.
pub(crate) fn load(code: &mut Code, data: Register, field: &Field, to: Register, other: Register) -> u32 {
    let Some(unit) = Unit::of(field.bit, field.bits) else {
        let first = 64 - field.bit % 64;
        let plain = |bit, bits| Field { bit, bits, signed: false, count: 1 };
        load(code, data, &plain(field.bit, first), to, other);
        let end = load(code, data, &plain(field.bit + first, field.bits - first), other, other);
        code.calculate(Alu::ShiftLeft, other, first as i32);
        code.calculate_with(Alu::Or, to, other);
        if field.signed {
            extend(code, to, field.bits);
        }
        return end;
    };
    code.load(unit.width, to, data, unit.at as i16);
    if field.signed {
        let above = 64 - unit.below - field.bits;
        if above > 0 {
            code.calculate(Alu::ShiftLeft, to, above as i32);
        }
        code.calculate(Alu::ArithmeticShiftRight, to, (64 - field.bits) as i32);
        return unit.end();
    }
    if unit.below > 0 {
        code.calculate(Alu::ShiftRight, to, unit.below as i32);
    }
    if unit.above > 0 {
        match (field.bits, i32::try_from(low_bits(field.bits))) {
            (32, _) => code.keep_lower_half(to),
            (_, Ok(mask)) => code.calculate(Alu::And, to, mask),
            (bits, Err(_)) => {
                code.calculate(Alu::ShiftLeft, to, (64 - bits) as i32);
                code.calculate(Alu::ShiftRight, to, (64 - bits) as i32);
            }
        }
    }
    unit.end()
}

/// Takes the lowest bits of a register as a signed number.
pub(crate) fn extend(code: &mut Code, register: Register, bits: u32) {
    code.calculate(Alu::ShiftLeft, register, (64 - bits) as i32);
    code.calculate(Alu::ArithmeticShiftRight, register, (64 - bits) as i32);
}

/// Stores a register, which is used up, to a field. The value fits the field. Returns the end of the data that it
/// touches. `other` and `third` are used up too.
pub(crate) fn store(
    code: &mut Code,
    data: Register,
    field: &Field,
    value: Register,
    is_signed: bool,
    [other, third]: [Register; 2],
) -> u32 {
    if field.bit.is_multiple_of(8) && field.bits.is_multiple_of(8) {
        store_pieces(code, data, field.bit / 8, field.bits / 8, value);
        return field.end();
    }
    // Bits beside the field keep their values.
    let keep = |code: &mut Code, unit: &Unit, mask: i32, value: Register| {
        code.load(unit.width, other, data, unit.at as i16);
        code.calculate(Alu::And, other, !mask);
        code.calculate_with(Alu::Or, other, value);
        code.store(unit.width, data, unit.at as i16, other);
    };
    if let Some((unit, mask)) = Unit::of(field.bit, field.bits).and_then(|unit| Some((unit, unit.mask(field.bits)?))) {
        if is_signed {
            code.calculate(Alu::And, value, low_bits(field.bits) as i32);
        }
        if unit.below > 0 {
            code.calculate(Alu::ShiftLeft, value, unit.below as i32);
        }
        keep(code, &unit, mask, value);
        return unit.end();
    }
    let (mut bit, mut left) = (field.bit, field.bits);
    while left > 0 {
        let bits = (8 - bit % 8).min(left);
        let unit = Unit { width: Width::One, at: bit / 8, below: bit % 8, above: 8 - bit % 8 - bits };
        let mask = low_bits(bits) as i32;
        code.calculate_with(Alu::Move, third, value);
        code.calculate(Alu::And, third, mask);
        code.calculate(Alu::ShiftLeft, third, unit.below as i32);
        keep(code, &unit, mask << unit.below, third);
        code.calculate(Alu::ShiftRight, value, bits as i32);
        bit += bits;
        left -= bits;
    }
    field.end()
}

/// Sets a field to a number that fits it. Returns the end of the data that it touches.
pub(crate) fn store_constant(code: &mut Code, data: Register, field: &Field, number: i64, other: Register) -> u32 {
    if field.bit.is_multiple_of(8) && field.bits.is_multiple_of(8) {
        let mut bytes = number.to_le_bytes().to_vec();
        let filler = if number < 0 { 0xff } else { 0 };
        bytes.resize((field.bits / 8) as usize, filler);
        write_bytes(code, data, field.bit / 8, &bytes);
        return field.end();
    }
    let (mut bit, mut left, mut number) = (field.bit, field.bits, number);
    let mut end = 0;
    while left > 0 {
        let whole = Unit::of(bit, left).and_then(|unit| Some((unit, left, unit.mask(left)?)));
        let (unit, bits, mask) = whole.unwrap_or_else(|| {
            let bits = (8 - bit % 8).min(left);
            let unit = Unit { width: Width::One, at: bit / 8, below: bit % 8, above: 8 - bit % 8 - bits };
            (unit, bits, (low_bits(bits) as i32) << unit.below)
        });
        let set = ((number << unit.below) as i32) & mask;
        code.load(unit.width, other, data, unit.at as i16);
        if set != mask {
            code.calculate(Alu::And, other, !mask);
        }
        if set != 0 {
            code.calculate(Alu::Or, other, set);
        }
        code.store(unit.width, data, unit.at as i16, other);
        end = unit.end().max(end);
        bit += bits;
        left -= bits;
        number >>= bits;
    }
    end
}
