//! The instructions of the descriptor hook.
//!
//! The hook compares the size and all expected bytes before it writes anything: a descriptor gets all changes, or none.

use hidbpf_core::manifest::Manifest;

use crate::assembler::{Alu, Code, FRAME, Label, Member, Register, Test, Width};
use crate::condition::{self, load_option};
use crate::elf::{GET_DATA, Object};
use crate::mistake::Mistake;
use crate::plan::{OptionNumber, Plan, Splice, Variant, least, result};
use crate::value;

/// `enum bpf_func_id` (include/uapi/linux/bpf.h).
const DYNPTR_FROM_MEM: i32 = 197;
const DYNPTR_READ: i32 = 201;
const DYNPTR_WRITE: i32 = 202;

/// The place of the kernel's record of memory to copy from, on the stack.
const DYNPTR: i32 = -16;

/// The number of bytes from which on the kernel copies them. Each four bytes are an instruction otherwise, and a copy
/// takes 14.
const COPIED: usize = 56;

/// The bytes that the kernel's buffer has: `HID_MAX_DESCRIPTOR_SIZE` (include/linux/hid.h).
const BUFFER: u32 = 4096;

const DATA: Register = 0;
/// Registers that calls keep.
const SIZE: Register = 7;
const KEPT_DATA: Register = 8;
const TEMPORARY: Register = 1;
const OTHER: Register = 2;

pub(crate) fn generate(plan: &Plan, manifest: &Manifest, object: &mut Object<'_>) -> Result<Code, Mistake> {
    let mut code = Code::default();
    let (unchanged, changed) = (code.label(), code.label());
    let reach = plan.variants.iter().map(reach).max().unwrap_or(1).clamp(1, BUFFER);
    code.line(plan.variants.first().map_or(0, |variant| variant.byte));
    code.load(Width::Eight, TEMPORARY, 1, 0);
    let one = match plan.variants.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    // The size alone refuses most other descriptors.
    let is_shared = |first: &&Variant| {
        one.is_some() || !first.sizes.is_empty() && plan.variants.iter().all(|variant| variant.sizes == first.sizes)
    };
    let sized = plan.variants.first().filter(is_shared);
    match sized {
        Some(variant) => {
            let needs_size = !variant.sizes.is_empty() || least(variant).is_some();
            if needs_size {
                code.load_member(OTHER, TEMPORARY, Member::Size);
                test_size(&mut code, OTHER, variant, unchanged);
            }
        }
        None => code.load_member(SIZE, TEMPORARY, Member::Size),
    }
    code.set(2, 0);
    code.set(3, reach.into());
    code.call_kfunc(GET_DATA);
    code.jump_if(Test::Equal, DATA, 0, unchanged);
    for variant in &plan.variants {
        let next = if one.is_some() { unchanged } else { code.label() };
        code.line(variant.byte);
        if sized.is_none() {
            test_size(&mut code, SIZE, variant, next);
        }
        for test in &variant.tests {
            condition::test(&mut code, manifest, object, test, [TEMPORARY, OTHER], next)?;
        }
        check(&mut code, variant, next);
        apply(&mut code, variant, manifest, object)?;
        match (result(variant), one) {
            (None, Some(_)) => {}
            (None, None) => code.jump(unchanged),
            (Some(size), _) => {
                code.set(0, size.into());
                code.jump(changed);
            }
        }
        if one.is_none() {
            code.place(next);
        }
    }
    finish(&mut code, unchanged, changed, object);
    code.finish()
}

/// Records that the hook ran, and returns: 0 at one label, the size in register 0 at the other.
fn finish(code: &mut Code, unchanged: Label, changed: Label, object: &mut Object<'_>) {
    let record = object.fixup_record();
    code.place(unchanged);
    code.address(TEMPORARY, record);
    code.store_number(Width::Eight, TEMPORARY, 0, 1);
    code.set(0, 0);
    code.exit();
    code.place(changed);
    if code.is_used(changed) {
        code.address(TEMPORARY, record);
        code.store_number(Width::Four, TEMPORARY, 0, 1);
        code.store(Width::Four, TEMPORARY, 4, 0);
        code.exit();
    }
}

/// Returns the byte after the last one that the changes read or write.
fn reach(variant: &Variant) -> u32 {
    let of = |splice: &Splice| if splice.is_whole() { 0 } else { splice.end() };
    // What follows a change of the size is moved, up to the descriptor's end.
    let moved = variant.sizes.first().copied().filter(|_| !variant.keeps_size());
    variant.splices.iter().map(of).chain(result(variant)).chain(moved).max().unwrap_or(0)
}

fn test_size(code: &mut Code, size: Register, variant: &Variant, otherwise: Label) {
    match variant.sizes.as_slice() {
        [] => {
            if let Some(least) = least(variant) {
                code.jump_if_32(Test::SignedBelow, size, least as i32, otherwise);
            }
        }
        [others @ .., last] => {
            let fits = code.label();
            others.iter().for_each(|other| code.jump_if_32(Test::Equal, size, *other as i32, fits));
            code.jump_if_32(Test::NotEqual, size, *last as i32, otherwise);
            code.place(fits);
        }
    }
}

/// Compares the expected bytes.
fn check(code: &mut Code, variant: &Variant, otherwise: Label) {
    for splice in &variant.splices {
        code.line(splice.span.start);
        let old = splice.old.as_deref().unwrap_or_default();
        value::pieces(splice.at, old, &Width::ALL[..3], |width, at, number| {
            code.load(width, TEMPORARY, DATA, at);
            code.jump_if_32(Test::NotEqual, TEMPORARY, number as i32, otherwise);
        });
    }
}

fn apply(code: &mut Code, variant: &Variant, manifest: &Manifest, object: &mut Object<'_>) -> Result<(), Mistake> {
    let moves = variant.splices.iter().position(|splice| !splice.keeps_size() && !splice.is_whole());
    let copies = |splice: &Splice| splice.new.len() >= COPIED;
    let calls = moves.is_some_and(|first| tail(variant, first) > 0) || variant.splices.iter().any(copies);
    let data = if calls {
        code.calculate_with(Alu::Move, KEPT_DATA, DATA);
        KEPT_DATA
    } else {
        DATA
    };
    if let Some(first) = moves {
        move_tail(code, variant, first, object);
    }
    let mut shift = 0_i64;
    for splice in &variant.splices {
        code.line(splice.span.start);
        let at = (i64::from(splice.at) + shift) as u32;
        if copies(splice) {
            copy(code, at, &splice.new, object);
        } else {
            write_changed(code, data, at, splice);
        }
        if let Some(number) = &splice.option {
            write_option(code, data, at, number, manifest, object)?;
        }
        if !splice.is_whole() {
            shift += splice.new.len() as i64 - i64::from(splice.len);
        }
    }
    Ok(())
}

/// Writes the new bytes, except those that the check has found already.
fn write_changed(code: &mut Code, data: Register, at: u32, splice: &Splice) {
    let new = &splice.new;
    let same = |old: &Vec<u8>| old.len() == new.len();
    let Some(old) = splice.old.as_ref().filter(|old| same(old)) else {
        return value::write_bytes(code, data, at, new);
    };
    let changes: Vec<usize> = (0..new.len()).filter(|index| old.get(*index) != new.get(*index)).collect();
    if let (Some(first), Some(last)) = (changes.first(), changes.last()) {
        let part = new.get(*first..=*last).unwrap_or_default();
        value::write_bytes(code, data, at + *first as u32, part);
    }
}

/// Has the kernel copy bytes of the object into the descriptor.
fn copy(code: &mut Code, at: u32, bytes: &[u8], object: &mut Object<'_>) {
    let variable = object.data(bytes);
    dynptr(code, &variable, bytes.len() as u32);
    read(code, at, bytes.len() as u32, 0);
}

/// Points the kernel's record at a variable.
fn dynptr(code: &mut Code, variable: &str, size: u32) {
    code.address(1, variable);
    code.set(2, size.into());
    code.set(3, 0);
    code.calculate_with(Alu::Move, 4, FRAME);
    code.calculate(Alu::Add, 4, DYNPTR);
    code.call_helper(DYNPTR_FROM_MEM);
}

/// Copies from the memory of the record into the descriptor.
fn read(code: &mut Code, to: u32, size: u32, from: u32) {
    code.calculate_with(Alu::Move, 1, KEPT_DATA);
    if to > 0 {
        code.calculate(Alu::Add, 1, to as i32);
    }
    code.set(2, size.into());
    code.calculate_with(Alu::Move, 3, FRAME);
    code.calculate(Alu::Add, 3, DYNPTR);
    code.set(4, from.into());
    code.set(5, 0);
    code.call_helper(DYNPTR_READ);
}

/// Returns the number of bytes after the first change of the size.
fn tail(variant: &Variant, first: usize) -> u32 {
    let size = variant.sizes.first().copied().unwrap_or(0);
    variant.splices.get(first).map_or(0, |splice| size.saturating_sub(splice.end()))
}

/// Moves what follows the first change of the size, in parts between the changes. The kernel copies it to another place
/// and back, because its source and target may overlap.
fn move_tail(code: &mut Code, variant: &Variant, first: usize, object: &mut Object<'_>) {
    let (length, size) = (tail(variant, first), variant.sizes.first().copied().unwrap_or(0));
    let Some(start) = variant.splices.get(first).map(Splice::end).filter(|_| length > 0) else { return };
    let scratch = object.scratch(length as usize);
    dynptr(code, &scratch, length);
    code.calculate_with(Alu::Move, 1, FRAME);
    code.calculate(Alu::Add, 1, DYNPTR);
    code.set(2, 0);
    code.calculate_with(Alu::Move, 3, KEPT_DATA);
    code.calculate(Alu::Add, 3, start as i32);
    code.set(4, length.into());
    code.set(5, 0);
    code.call_helper(DYNPTR_WRITE);
    let mut shift = 0_i64;
    let rest = variant.splices.get(first..).unwrap_or_default();
    for (index, splice) in rest.iter().enumerate() {
        shift += splice.new.len() as i64 - i64::from(splice.len);
        let from = splice.end();
        let to = rest.get(index + 1).map_or(size, |next| next.at);
        if to > from {
            read(code, (i64::from(from) + shift) as u32, to - from, from - start);
        }
    }
}

/// Writes a number that an option decides.
fn write_option(
    code: &mut Code,
    data: Register,
    at: u32,
    number: &OptionNumber,
    manifest: &Manifest,
    object: &mut Object<'_>,
) -> Result<(), Mistake> {
    let OptionNumber { at: within, bytes, option, dividend } = number;
    load_option(code, manifest, object, option, OTHER)?;
    let value = match dividend {
        Some(dividend) => {
            code.set(TEMPORARY, (*dividend).into());
            code.divide_32_by(TEMPORARY, OTHER);
            TEMPORARY
        }
        None => OTHER,
    };
    value::store_pieces(code, data, at + within, *bytes, value);
    Ok(())
}
