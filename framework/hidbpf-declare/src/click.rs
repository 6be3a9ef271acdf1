//! Clicks: a change of a value becomes the press and the release of a button.
//!
//! One report can't show both. The hook sends a copy of the report with the press, and then lets the report itself pass
//! with the release.

use crate::address::Field;
use crate::assembler::{Alu, Code, FRAME, Label, Register, Test, Width};
use crate::elf::{INPUT_REPORT, Object};
use crate::language::Edge;
use crate::value;

/// `HID_INPUT_REPORT` (include/linux/hid.h).
const INPUT: i64 = 0;

/// The flags of the clicks of this report, on the stack.
const FLAGS: i16 = -8;

const VALUE: Register = 1;
const OTHER: Register = 2;
const NOW: Register = 3;
const BEFORE: Register = 4;
/// Registers that calls keep. The register of the report's size is used too.
const RESULT: Register = 7;
const DATA: Register = 8;
const CONTEXT: Register = 9;

/// Keeps the context, and jumps to the end for reports that a program sent, such as those of clicks. `arguments` has the
/// address of the hook's arguments.
pub(crate) fn begin(code: &mut Code, arguments: Register, end: Label) {
    code.load(Width::Eight, CONTEXT, arguments, 0);
    code.load(Width::Eight, BEFORE, arguments, 16);
    code.jump_if(Test::NotEqual, BEFORE, 0, end);
    code.store_number(Width::Eight, FRAME, FLAGS, 0);
}

/// Presses a field if register 1, the value, has changed since the last report, and releases it otherwise. `number` is the
/// click's, counted from 0. Returns the end of the data that it touches.
pub(crate) fn press(
    code: &mut Code,
    object: &mut Object<'_>,
    data: Register,
    number: usize,
    (field, to): (&Field, i64),
    on: Edge,
) -> u32 {
    let (is_zero, released, done) = (code.label(), code.label(), code.label());
    code.set(NOW, 0);
    code.jump_if(Test::Equal, VALUE, 0, is_zero);
    code.set(NOW, 1);
    code.place(is_zero);
    let states = object.click_states();
    code.address(OTHER, states);
    code.load(Width::One, BEFORE, OTHER, number as i16);
    code.store(Width::One, OTHER, number as i16, NOW);
    code.jump_if_with(Test::Equal, NOW, BEFORE, released);
    match on {
        Edge::Rise => code.jump_if(Test::Equal, NOW, 0, released),
        Edge::Fall => code.jump_if(Test::NotEqual, NOW, 0, released),
        Edge::Both => {}
    }
    code.load(Width::Eight, VALUE, FRAME, FLAGS);
    code.calculate(Alu::Or, VALUE, 1 << number);
    code.store(Width::Eight, FRAME, FLAGS, VALUE);
    let end = value::store_constant(code, data, field, to, OTHER);
    code.jump(done);
    code.place(released);
    value::store_constant(code, data, field, 0, OTHER);
    code.place(done);
    end
}

/// The end of the rules: sends the presses, releases the fields, and returns.
pub(crate) struct Finish<'a> {
    /// The registers of the report's data and its size.
    pub data: Register,
    pub size: Register,
    /// The number of bytes of the buffer that the sent report may overwrite.
    pub kept: u32,
    /// The field of each click.
    pub fields: &'a [Field],
    /// The place for reports that keep their size.
    pub unchanged: Label,
    /// The place for reports that got another size with [`resize`].
    pub resized: Label,
}

/// Keeps the size that the hook returns.
pub(crate) fn resize(code: &mut Code, length: u32, resized: Label) {
    code.set(RESULT, length.into());
    code.jump(resized);
}

impl Finish<'_> {
    pub fn generate(&self, code: &mut Code, object: &mut Object<'_>) {
        let Finish { data, size, kept, fields, unchanged, resized } = *self;
        let (release, done) = (code.label(), code.label());
        code.place(unchanged);
        code.set(RESULT, 0);
        code.place(resized);
        code.load(Width::Eight, VALUE, FRAME, FLAGS);
        code.jump_if(Test::Equal, VALUE, 0, done);
        code.calculate_with(Alu::Move, DATA, data);
        // The sent report goes through the same buffer, and the rest of a longer one would be lost.
        code.jump_if_32(Test::SignedAbove, size, kept as i32, release);
        let copy = object.click_report(kept as usize);
        let words = 0..(kept / 8) as i16;
        code.address(NOW, copy.as_str());
        for at in words.clone().map(|word| word * 8) {
            code.load(Width::Eight, BEFORE, DATA, at);
            code.store(Width::Eight, NOW, at, BEFORE);
        }
        code.calculate_with(Alu::Move, 1, CONTEXT);
        code.set(2, INPUT);
        code.set(4, kept.into());
        code.call_kfunc(INPUT_REPORT);
        code.address(NOW, copy);
        for at in words.map(|word| word * 8) {
            code.load(Width::Eight, BEFORE, NOW, at);
            code.store(Width::Eight, DATA, at, BEFORE);
        }
        code.place(release);
        code.load(Width::Eight, VALUE, FRAME, FLAGS);
        for (number, field) in fields.iter().enumerate() {
            let (pressed, next) = (code.label(), code.label());
            code.jump_if(Test::AnyBit, VALUE, 1 << number, pressed);
            code.jump(next);
            code.place(pressed);
            value::store_constant(code, DATA, field, 0, OTHER);
            code.place(next);
        }
        code.place(done);
        code.calculate_with(Alu::Move, 0, RESULT);
        code.exit();
    }
}
