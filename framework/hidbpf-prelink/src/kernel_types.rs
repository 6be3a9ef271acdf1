//! Finds a few of a kernel's types by name, and the places of their members.
//!
//! A kernel has more than 100,000 types. [`Btf`](crate::btf::Btf) copies and checks all of them. This module reads the
//! head of each type once, and copies nothing.

use memchr::memmem;

use crate::btf::{
    ARRAY, CUT, ENUM, ENUM64, FLOAT, FUNC, INFO, INT, Malformed, NAME, PTR, Parts, RESTRICT, STRUCT, TYPE_TAG, TYPEDEF,
    TypeId, UNION, Words, length,
};

/// The distance of two types in [`KernelTypes::starts`]. To find a type by its number, as many heads are read.
const STEP: usize = 64;

/// The maximum number of types that a member's type may lead through.
const MAX_DEPTH: usize = 32;

/// The types of a kernel, of which those with certain names are known.
pub struct KernelTypes<'a> {
    types: Parts<'a>,
    /// The index of the first number of each type whose number is a multiple of [`STEP`].
    starts: Vec<u32>,
    found: Vec<Found<'a>>,
}

/// A type or function that was found.
struct Found<'a> {
    name: &'a [u8],
    kind: u32,
    id: TypeId,
}

/// The place of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The offset of its first byte.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// Its type.
    pub ty: TypeId,
}

impl<'a> KernelTypes<'a> {
    /// Finds all types and functions whose names contain one of `parts`.
    ///
    /// # Errors
    /// The bytes are not valid type information.
    pub fn find(bytes: &'a [u8], parts: &[&str]) -> Result<KernelTypes<'a>, Malformed> {
        let types = Parts::of(bytes)?;
        let mut names: Vec<(u32, &[u8])> = parts.iter().flat_map(|part| names_with(types.strings, part)).collect();
        names.sort_unstable();
        names.dedup();
        let (first, last) = (names.first().map_or(1, |(at, _)| *at), names.last().map_or(0, |(at, _)| *at));
        let mut starts = Vec::with_capacity(types.types.len() / STEP / 4);
        let mut found = Vec::new();
        let (mut at, mut id) = (0, 0);
        while at < types.types.len() {
            id += 1;
            if id % STEP == 0 {
                starts.push(at as u32);
            }
            let fault = |reason: String| Malformed::new(types.types_at + at * size_of::<u32>(), reason);
            let Some(head) = types.types.get(at..at + INFO + 1) else { return Err(fault(CUT.to_owned())) };
            let (name, info) = (head[NAME].get(), head[INFO].get());
            if (first..=last).contains(&name)
                && let Ok(index) = names.binary_search_by_key(&name, |(at, _)| *at)
            {
                found.push(Found { name: names[index].1, kind: info >> 24 & 0x1f, id: TypeId(id as u32) });
            }
            at += length(info).map_err(fault)?;
        }
        if at > types.types.len() {
            return Err(Malformed::new(types.types_at, CUT));
        }
        Ok(KernelTypes { types, starts, found })
    }

    /// Returns the struct or union with a name that contains one of the parts.
    pub fn record(&self, name: &str) -> Option<TypeId> {
        self.named(name, |kind| kind == STRUCT || kind == UNION)
    }

    /// Returns the function with a name that contains one of the parts.
    pub fn function(&self, name: &str) -> Option<TypeId> {
        self.named(name, |kind| kind == FUNC)
    }

    fn named(&self, name: &str, is_kind: impl Fn(u32) -> bool) -> Option<TypeId> {
        let mut found = self.found.iter().filter(|found| is_kind(found.kind));
        found.find(|found| found.name == name.as_bytes()).map(|found| found.id)
    }

    /// Returns the place of a struct's or union's member, which may be inside unnamed ones.
    ///
    /// Returns `None` for a bit field too.
    pub fn member(&self, record: TypeId, name: &str) -> Option<Place> {
        self.member_within(record, name, MAX_DEPTH)
    }

    fn member_within(&self, record: TypeId, name: &str, depth: usize) -> Option<Place> {
        let words = self.words(record).filter(|words| [STRUCT, UNION].contains(&words.kind()))?;
        (0..words.count()).find_map(|index| {
            let [at, ty, place] = [0, 1, 2].map(|number| words.part(index, 3, number));
            let (bits, field) = if words.flag() { (place & 0xff_ffff, place >> 24) } else { (place, 0) };
            let ty = TypeId(ty);
            match name_at(self.types.strings, at) {
                b"" => {
                    let inner = self.member_within(self.resolve(ty)?, name, depth.checked_sub(1)?)?;
                    Some(Place { offset: inner.offset.checked_add(bits / 8)?, ..inner })
                }
                found if found == name.as_bytes() && field == 0 => {
                    Some(Place { offset: bits / 8, size: self.size(ty)?, ty: self.resolve(ty)? })
                }
                _ => None,
            }
        })
    }

    /// Returns the size of a type in bytes. `None` for types without a size.
    pub fn size(&self, ty: TypeId) -> Option<u32> {
        self.size_within(ty, MAX_DEPTH)
    }

    fn size_within(&self, ty: TypeId, depth: usize) -> Option<u32> {
        let words = self.words(self.resolve(ty)?)?;
        match words.kind() {
            INT | STRUCT | UNION | ENUM | ENUM64 | FLOAT => Some(words.referred().0),
            PTR => Some(8),
            ARRAY => {
                let element = self.size_within(TypeId(words.part(0, 3, 0)), depth.checked_sub(1)?)?;
                element.checked_mul(words.part(0, 3, 2))
            }
            _ => None,
        }
    }

    /// Returns the type behind typedefs, qualifiers and tags.
    fn resolve(&self, mut ty: TypeId) -> Option<TypeId> {
        for _ in 0..MAX_DEPTH {
            let words = self.words(ty)?;
            match words.kind() {
                TYPEDEF..=RESTRICT | TYPE_TAG => ty = words.referred(),
                _ => return Some(ty),
            }
        }
        None
    }

    /// Returns the numbers of a type. `None` for void, and if there is no such type.
    fn words(&self, TypeId(id): TypeId) -> Option<Words<'a>> {
        let id = id as usize;
        let (mut at, mut number) = match id / STEP {
            0 => (0, 1),
            step => (*self.starts.get(step - 1)? as usize, step * STEP),
        };
        loop {
            let length = length(self.types.types.get(at + INFO)?.get()).ok()?;
            if number == id {
                return self.types.types.get(at..at + length).map(Words);
            }
            (at, number) = (at + length, number + 1);
            if number > id {
                return None;
            }
        }
    }
}

/// Iterates over the names that contain a text, with their offsets.
fn names_with<'a>(strings: &'a [u8], part: &str) -> impl Iterator<Item = (u32, &'a [u8])> {
    let found: Vec<usize> = memmem::find_iter(strings, part).collect();
    found.into_iter().map(|at| {
        let start = strings[..at].iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
        (start as u32, name_at(strings, start as u32))
    })
}

/// Returns the name at an offset, without its NUL.
fn name_at(strings: &[u8], at: u32) -> &[u8] {
    let name = strings.get(at as usize..).unwrap_or_default();
    let end = memchr::memchr(0, name).unwrap_or(name.len());
    &name[..end]
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::btf::{Btf, Type};

    /// The running kernel's types.
    const KERNEL: &str = "/sys/kernel/btf/vmlinux";

    #[test]
    fn the_running_kernels_types_are_as_in_a_full_index() {
        let Ok(bytes) = fs::read(KERNEL) else {
            println!("skipped: this kernel has no {KERNEL}");
            return;
        };
        let all = Btf::parse(&bytes).unwrap();
        let some = KernelTypes::find(&bytes, &["input_", "bpf_prog"]).unwrap();
        let (mut records, mut members, mut functions) = (0, 0, 0);
        for id in all.ids() {
            let name = all.name(id);
            if !name.contains("input_") && !name.contains("bpf_prog") {
                continue;
            }
            match all.get(id) {
                Type::Function { .. } => {
                    functions += 1;
                    assert!(some.function(name).is_some_and(|first| first.0 <= id.0), "{name}");
                }
                // The first of several with one name is found.
                Type::Record { members: of, size, .. } if some.record(name) == Some(id) => {
                    records += 1;
                    assert_eq!(some.size(id), Some(size), "{name}");
                    for member in of.iter().filter(|member| !member.name.is_empty() && member.bit_size == 0) {
                        members += 1;
                        let place = some.member(id, member.name).unwrap();
                        let expected = (member.bit_offset / 8, all.size_of(member.ty).unwrap());
                        assert_eq!((place.offset, place.size), expected, "{name}.{}", member.name);
                    }
                }
                _ => {}
            }
        }
        assert!(records > 10 && members > 100 && functions > 100, "{records}, {members}, {functions}");
        assert_eq!((some.record("no_such_input_"), some.function("input_")), (None, None));
    }

    /// Returns type information with these numbers, and with the strings of [`names`].
    fn types(words: &[u32]) -> Vec<u8> {
        let length = size_of_val(words) as u32;
        let header = [0x1_eb9f, 24, 0, length, length, NAMES.len() as u32];
        header.iter().chain(words).flat_map(|word| word.to_le_bytes()).chain(NAMES.iter().copied()).collect()
    }

    const NAMES: &[u8] = b"\0a_one\0a_two\0size\0";
    const ONE: u32 = 1;
    const TWO: u32 = 7;
    const SIZE: u32 = 13;

    #[test]
    fn members_of_unnamed_records_have_the_place_in_the_whole() {
        let words = [
            [0, 1 << 24, 4].as_slice(), // 1: int
            &[32],
            &[0, 5 << 24 | 1, 4, SIZE, 1, 0],                // 2: union { int size; }
            &[ONE, 4 << 24 | 2, 16, TWO, 1, 0, 0, 2, 8 * 8], // 3: struct a_one { int a_two; union; }
            &[TWO, 12 << 24, 0],                             // 4: a_two()
        ];
        let bytes = types(&words.concat());
        let types = KernelTypes::find(&bytes, &["a_"]).unwrap();
        let one = types.record("a_one").unwrap();
        assert_eq!((one, types.function("a_two"), types.record("a_two")), (TypeId(3), Some(TypeId(4)), None));
        assert_eq!(types.member(one, "size"), Some(Place { offset: 8, size: 4, ty: TypeId(1) }));
        assert_eq!(types.member(one, "a_one"), None);
        assert_eq!((types.size(one), types.size(TypeId(0)), types.size(TypeId(5))), (Some(16), None, None));
    }

    #[test]
    fn malformed_types_are_errors_and_endless_ones_end() {
        for words in [&[0, 1 << 24][..], &[0, 1 << 24, 4], &[0, 31 << 24, 0], &[0, 4 << 24 | 9, 0]] {
            assert!(KernelTypes::find(&types(words), &["a_"]).is_err(), "{words:?}");
        }
        // A typedef and a record without a name that contain themselves.
        let bytes = types(&[0, 8 << 24, 1, ONE, 4 << 24 | 1, 4, 0, 2, 0]);
        let types = KernelTypes::find(&bytes, &["a_"]).unwrap();
        assert_eq!((types.size(TypeId(1)), types.member(TypeId(2), "size")), (None, None));
    }
}
