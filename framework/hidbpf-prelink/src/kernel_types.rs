//! Finds a few of a kernel's types by name, and the places of their members.
//!
//! A kernel has more than 100,000 types. [`Btf`](crate::btf::Btf) copies and checks all of them. This module reads the
//! head of each type once, and copies nothing.

use memchr::memmem;

use crate::btf::{HEAD, INFO, Malformed, Parts, TypeId, Words, length, unreadable};
use crate::btf_kind::{ARRAY, ENUM, ENUM64, FLOAT, FUNC, INT, PTR, RESTRICT, STRUCT, TYPE_TAG, TYPEDEF, UNION};

/// The distance of two types in [`KernelTypes::starts`]. To find a type by its number, as many heads are read.
const STEP: usize = 64;

/// The maximum number of types that a member's type may lead through.
const MAX_DEPTH: usize = 32;

/// The types of a kernel, and those that were found by name.
pub struct KernelTypes<'a> {
    types: Parts<'a>,
    /// The index of the first number of the types 1, 1 + [`STEP`] and so on, as far as the search went.
    starts: Vec<u32>,
    found: Vec<Found<'a>>,
}

/// What to search for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Names<'a> {
    /// Texts. Each name contains one of them. Searching for what several names have in common is faster.
    pub parts: &'a [&'a str],
    /// The names of structs and unions.
    pub records: &'a [&'a str],
    /// The names of functions.
    pub functions: &'a [&'a str],
}

/// A struct, union or function, which the kernel may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found<'a> {
    /// The offset of the name.
    at: u32,
    name: &'a [u8],
    is_function: bool,
    /// 0 until it is found.
    id: u32,
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
    /// Finds the first type with each of some names.
    ///
    /// # Errors
    /// The bytes are not valid type information.
    pub fn find(bytes: &'a [u8], names: &Names<'_>) -> Result<KernelTypes<'a>, Malformed> {
        let types = Parts::of(bytes)?;
        let mut found = names.in_strings(types.strings);
        // One for all names whose offsets have the same lowest bits. Nearly all types fail this test.
        let mut may_be = [false; 1024];
        found.iter().for_each(|found| may_be[found.at as usize % 1024] = true);
        let words = types.types;
        let mut starts = Vec::with_capacity(words.len() / STEP / 4);
        let (mut at, mut id, mut missing) = (0, 0, found.len());
        // Linux 7.0 and later sort their types by name, so that many of them come after those that are searched for.
        while missing > 0 && at < words.len() {
            starts.push(at as u32);
            let last = id + STEP as u32;
            while id < last && at < words.len() {
                id += 1;
                let fault = |info| Malformed::new(types.types_at + at * size_of::<u32>(), unreadable(info));
                let Some([name, info, _]) = words.get(at..at + HEAD) else { return Err(fault(0)) };
                let (name, info) = (name.get(), info.get());
                if may_be[name as usize % may_be.len()] {
                    let kind = info >> 24 & 0x1f;
                    let is_kind =
                        |is_function| if is_function { kind == FUNC } else { kind == STRUCT || kind == UNION };
                    let new = found.iter_mut().find(|new| new.at == name && new.id == 0 && is_kind(new.is_function));
                    if let Some(new) = new {
                        new.id = id;
                        missing -= 1;
                    }
                }
                let next = at + length(info);
                if next > words.len() {
                    return Err(fault(info));
                }
                at = next;
            }
        }
        Ok(KernelTypes { types, starts, found })
    }

    /// Returns the first struct or union with a name of [`Names::records`].
    pub fn record(&self, name: &str) -> Option<TypeId> {
        self.named(name, false)
    }

    /// Returns the first function with a name of [`Names::functions`].
    pub fn function(&self, name: &str) -> Option<TypeId> {
        self.named(name, true)
    }

    fn named(&self, name: &str, is_function: bool) -> Option<TypeId> {
        let mut found = self.found.iter().filter(|found| found.is_function == is_function && found.id != 0);
        found.find(|found| found.name == name.as_bytes()).map(|found| TypeId(found.id))
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

    /// Returns the numbers of a type. `None` if it is void or does not exist.
    fn words(&self, TypeId(id): TypeId) -> Option<Words<'a>> {
        let index = id.checked_sub(1)? as usize;
        let step = (index / STEP).min(self.starts.len().checked_sub(1)?);
        let length_at = |at: usize| self.types.types.get(at + INFO).map(|info| length(info.get()));
        let mut at = *self.starts.get(step)? as usize;
        for _ in step * STEP..index {
            at += length_at(at)?;
        }
        self.types.types.get(at..at + length_at(at)?).map(Words)
    }
}

impl Names<'_> {
    /// Returns the names that are among the strings, in the order of their offsets.
    fn in_strings<'a>(&self, strings: &'a [u8]) -> Vec<Found<'a>> {
        let mut found = Vec::new();
        for (at, name) in self.parts.iter().flat_map(|part| names_with(strings, part)) {
            for (names, is_function) in [(self.records, false), (self.functions, true)] {
                if names.iter().any(|wanted| wanted.as_bytes() == name) {
                    found.push(Found { at, name, is_function, id: 0 });
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
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

    const PARTS: [&str; 2] = ["input_", "bpf_prog"];

    const NAMES_OF_A: Names<'_> = Names { parts: &["a_"], records: &["a_one", "a_two"], functions: &["a_two"] };

    #[test]
    fn the_running_kernels_types_are_as_in_a_full_index() {
        let Ok(bytes) = fs::read(KERNEL) else {
            println!("skipped: this kernel has no {KERNEL}");
            return;
        };
        let all = Btf::parse(&bytes).unwrap();
        let of_kind = |is_kind: fn(&Type<'_>) -> bool| -> Vec<&str> {
            let ids = all.ids().filter(|id| is_kind(&all.get(*id)));
            ids.map(|id| all.name(id)).filter(|name| PARTS.iter().any(|part| name.contains(part))).collect()
        };
        let records = of_kind(|ty| matches!(ty, Type::Record { .. }));
        let functions = of_kind(|ty| matches!(ty, Type::Function { .. }));
        let names = Names { parts: &PARTS, records: &records, functions: &functions };
        let some = KernelTypes::find(&bytes, &names).unwrap();
        let (mut records, mut members, mut functions) = (0, 0, 0);
        for id in all.ids() {
            let name = all.name(id);
            if !PARTS.iter().any(|part| name.contains(part)) {
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
        let types = KernelTypes::find(&bytes, &NAMES_OF_A).unwrap();
        let one = types.record("a_one").unwrap();
        assert_eq!((one, types.function("a_two"), types.record("a_two")), (TypeId(3), Some(TypeId(4)), None));
        assert_eq!(types.member(one, "size"), Some(Place { offset: 8, size: 4, ty: TypeId(1) }));
        assert_eq!(types.member(one, "a_one"), None);
        assert_eq!((types.size(one), types.size(TypeId(0)), types.size(TypeId(5))), (Some(16), None, None));
    }

    #[test]
    fn malformed_types_are_errors_and_endless_ones_end() {
        for words in [&[0, 1 << 24][..], &[0, 1 << 24, 4], &[0, 31 << 24, 0], &[0, 4 << 24 | 9, 0]] {
            assert!(KernelTypes::find(&types(words), &NAMES_OF_A).is_err(), "{words:?}");
        }
        // A typedef and a record without a name that contain themselves.
        let bytes = types(&[0, 8 << 24, 1, ONE, 4 << 24 | 1, 4, 0, 2, 0]);
        let types = KernelTypes::find(&bytes, &NAMES_OF_A).unwrap();
        assert_eq!((types.size(TypeId(1)), types.member(TypeId(2), "size")), (None, None));
    }
}
