//! Logical ranges that the kernel refuses.

use crate::hex::HexBytes;
use crate::interpret::descriptor::{Anatomy, Descriptor};
use crate::interpret::item::{Item, ItemKind};
use crate::invalid::InvalidDescriptor;

use super::Repair;

/// The most ranges that are repaired.
const MOST: usize = 32;

/// Returns repairs of the logical ranges after which the kernel accepts a descriptor, or none.
pub(super) fn repairs(descriptor: &[u8]) -> Vec<Repair> {
    let (mut bytes, mut repairs) = (descriptor.to_vec(), Vec::new());
    // The kernel stops at the first fault, and a maker repeats it.
    for _ in 0..MOST {
        let Err(fault) = Descriptor::parse(&bytes) else {
            // A range that was changed twice has no old bytes.
            return if Repair::apply(&repairs, descriptor) == Some(bytes) { repairs } else { Vec::new() };
        };
        let Some(changes) = of_fault(&bytes, &fault) else { return Vec::new() };
        let Some(changed) = Repair::apply(&changes, &bytes) else { return Vec::new() };
        // Changes refer to the descriptor before any of them, which has other lengths in front.
        let longer = bytes.len() as isize - descriptor.len() as isize;
        for change in changes {
            let Some(change) = moved(change, longer) else { return Vec::new() };
            repairs.push(change);
        }
        bytes = changed;
    }
    Vec::new()
}

/// Returns the same change at the offset before others in front of it made a descriptor longer.
fn moved(change: Repair, longer: isize) -> Option<Repair> {
    match change {
        Repair::Replace { offset, old, new } => {
            Some(Repair::Replace { offset: offset.checked_add_signed(-longer)?, old, new })
        }
        _ => None,
    }
}

/// Returns the first change of the range before a fault that moves the fault or removes it.
fn of_fault(bytes: &[u8], fault: &InvalidDescriptor) -> Option<Vec<Repair>> {
    let anatomy = Anatomy::of(bytes);
    let before = anatomy.items.iter().filter(|item| item.offset < fault.offset);
    let limits = before.filter(|item| matches!(item.kind, ItemKind::LogicalMinimum(_) | ItemKind::LogicalMaximum(_)));
    let limits: Vec<&Item> = limits.collect();
    let [.., first, last] = limits.as_slice() else { return None };
    let is_repaired = |changes: &Vec<Repair>| {
        let fault_after = Repair::apply(changes, bytes).map(|bytes| Descriptor::parse(&bytes).err());
        // Changes make a descriptor at most two bytes longer for each item.
        fault_after.is_some_and(|after| after.is_none_or(|after| after.offset > fault.offset + 4))
    };
    let has_range = limits.iter().rev().nth(2).is_some_and(|item| matches!(item.kind, ItemKind::LogicalMinimum(_)));
    candidates(first, last, has_range).into_iter().find(is_repaired)
}

/// Returns what makers have meant by the last two items of a range, the likeliest first. `has_range` is whether the first of
/// them ends a range that begins before it.
fn candidates(first: &Item, last: &Item, has_range: bool) -> Vec<Vec<Repair>> {
    const MAXIMUM: u8 = 0x24;
    const SIZE: u8 = 3;
    let is_minimum = |item: &Item| matches!(item.kind, ItemKind::LogicalMinimum(_));
    let to_maximum = |item: &Item| {
        let (prefix, data) = item.bytes.split_first()?;
        let new = [&[MAXIMUM | prefix & SIZE], data].concat();
        Some(Repair::Replace { offset: item.offset, old: HexBytes(item.bytes.clone()), new: HexBytes(new) })
    };
    let signed = |item: &Item| i64::from(item.signed());
    let (minimum, maximum) = if is_minimum(first) { (first, last) } else { (last, first) };
    let mut all: Vec<Option<Vec<Repair>>> = Vec::new();
    // A maximum that is called a minimum.
    if is_minimum(last) && (is_minimum(first) || has_range) {
        all.push(to_maximum(last).map(|change| vec![change]));
    }
    if is_minimum(minimum) && !is_minimum(maximum) {
        // A minimum without its sign.
        if signed(maximum) > 1 && signed(minimum) > signed(maximum) && signed(minimum) < 2 * signed(maximum) {
            all.push(Repair::value(minimum, -signed(minimum)).map(|change| vec![change]));
        }
        // The two numbers are exchanged.
        all.push(
            Repair::value(minimum, signed(maximum))
                .zip(Repair::value(maximum, signed(minimum)))
                .map(|(one, other)| vec![one, other]),
        );
    }
    all.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use crate::interpret::diagnose::tests::repaired;

    #[test]
    fn ranges_that_are_refused_are_repaired() {
        let keys = |range: &str| format!("05 0c 09 01 a1 01 85 02 19 00 2a ff 0f {range} 75 10 95 01 81 00 c0");
        repaired(&keys("15 00 16 ff 0f"), "refused certain 22", &keys("15 00 26 ff 0f"));
        let buttons =
            |range: &str| format!("05 01 09 02 a1 01 05 09 19 01 29 03 {range} 75 01 95 03 81 02 75 05 95 01 81 03 c0");
        repaired(&buttons("15 01 25 00"), "refused certain 20", &buttons("15 00 25 01"));
        let count = |range: &str| format!("05 0d 09 05 a1 01 15 00 25 01 75 08 95 01 {range} 09 55 b1 02 c0");
        repaired(&count("15 05"), "refused certain 18", &count("25 05"));
    }

    #[test]
    fn all_ranges_are_repaired() {
        let axis = |usage: u8, minimum: &str| format!("0a {usage:02x} 04 {minimum} 27 ff ff 07 00 75 20 95 01 81 02");
        let sensor = |minimum: &str| {
            format!("05 20 09 73 a1 00 {} {} {} c0", axis(0x85, minimum), axis(0x86, minimum), axis(0x87, minimum))
        };
        repaired(&sensor("17 40 81 08 00"), "refused certain 23", &sensor("17 c0 7e f7 ff"));
    }
}
