//! Type information as the kernel reads it (Documentation/bpf/btf.rst): its extent, and a pruned copy.
//!
//! It consists of 32-bit numbers, three for each type and more for some kinds, so a type is a slice of numbers.

use std::collections::HashMap;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::limits::MAX_NAME;

/// `struct btf_header`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    magic: U16,
    version: u8,
    flags: u8,
    length: U32,
    types_at: U32,
    types_length: U32,
    strings_at: U32,
    strings_length: U32,
}

pub(crate) const MAGIC: u16 = 0xeb9f;

/// The numbers at the start of every type: its name, its kind and number of parts, and its size or the type that it
/// refers to.
const HEAD: usize = 3;
const NAME: usize = 0;
const INFO: usize = 1;
const REFERRED: usize = 2;

/// The `BTF_KIND_*` that need separate treatment.
pub(crate) const PTR: u32 = 2;
pub(crate) const ARRAY: u32 = 3;
pub(crate) const STRUCT: u32 = 4;
pub(crate) const UNION: u32 = 5;
pub(crate) const TYPEDEF: u32 = 8;
pub(crate) const FUNC: u32 = 12;
pub(crate) const VAR: u32 = 14;
pub(crate) const DATASEC: u32 = 15;
const DECL_TAG: u32 = 17;

/// The layout after a type's head.
struct Shape {
    /// The number of parts that follow.
    parts: usize,
    /// The numbers per part.
    size: usize,
    /// The index of a part's name, if it has one.
    name: Option<usize>,
    /// The indices of a part's types.
    types: &'static [usize],
    /// Whether the last number of the head is a type.
    refers: bool,
}

impl Shape {
    fn of(kind: u32, count: usize) -> Option<Shape> {
        let shape = |parts, size, name, types, refers| Some(Shape { parts, size, name, types, refers });
        match kind {
            // INT
            1 => shape(1, 1, None, &[], false),
            ARRAY => shape(1, 3, None, &[0, 1], false),
            STRUCT | UNION => shape(count, 3, Some(0), &[1], false),
            // ENUM
            6 => shape(count, 2, Some(0), &[], false),
            // FWD, FLOAT
            7 | 16 => shape(0, 0, None, &[], false),
            // PTR, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, TYPE_TAG
            PTR | TYPEDEF | 9..=11 | FUNC | 18 => shape(0, 0, None, &[], true),
            // FUNC_PROTO
            13 => shape(count, 2, Some(0), &[1], true),
            VAR | DECL_TAG => shape(1, 1, None, &[], true),
            DATASEC => shape(count, 3, None, &[0], false),
            // ENUM64
            19 => shape(count, 3, Some(0), &[], false),
            _ => None,
        }
    }
}

/// The numbers of a type.
#[derive(Clone, Copy)]
pub(crate) struct Type<'a>(&'a [U32]);

impl<'a> Type<'a> {
    /// Splits off the first type.
    fn split(words: &'a [U32]) -> Result<(Type<'a>, &'a [U32]), String> {
        let info = words.get(INFO).ok_or("its types end in the middle of one")?.get();
        let kind = info >> 24 & 0x1f;
        let shape = Shape::of(kind, (info & 0xffff) as usize).ok_or_else(|| format!("it has a type of kind {kind}"))?;
        let length = HEAD + shape.parts * shape.size;
        let (ty, rest) = words.split_at_checked(length).ok_or("its types end in the middle of one")?;
        Ok((Type(ty), rest))
    }

    fn word(self, at: usize) -> u32 {
        self.0.get(at).map_or(0, |word| word.get())
    }

    pub(crate) fn kind(self) -> u32 {
        self.word(INFO) >> 24 & 0x1f
    }

    /// Returns the number of parts. For a function, returns its linkage, `enum btf_func_linkage`.
    fn count(self) -> usize {
        (self.word(INFO) & 0xffff) as usize
    }

    pub(crate) fn referred(self) -> u32 {
        self.word(REFERRED)
    }

    /// Returns the number of elements of an array.
    pub(crate) fn elements(self) -> u32 {
        self.word(HEAD + 2)
    }

    /// Iterates over the name and type of each member of a struct.
    pub(crate) fn members(self) -> impl Iterator<Item = (u32, u32)> + use<'a> {
        (0..self.count()).map(move |index| (self.word(HEAD + index * 3), self.word(HEAD + index * 3 + 1)))
    }

    /// Iterates over the types of a data section's variables.
    pub(crate) fn variables(self) -> impl Iterator<Item = u32> + use<'a> {
        (0..self.count()).map(move |index| self.word(HEAD + index * 3))
    }

    /// Returns the indices of type numbers and of names in the type.
    fn places(self) -> (Vec<usize>, Vec<usize>) {
        let (mut types, mut names) = (Vec::new(), vec![NAME]);
        if let Some(shape) = Shape::of(self.kind(), self.count()) {
            types.extend(shape.refers.then_some(REFERRED));
            for part in (0..shape.parts).map(|part| HEAD + part * shape.size) {
                types.extend(shape.types.iter().map(|at| part + at));
                names.extend(shape.name.map(|at| part + at));
            }
        }
        (types, names)
    }
}

/// Returns the types and the strings.
fn parts(bytes: &[u8]) -> Result<(&[U32], &[u8]), String> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| "it is shorter than its header")?;
    if header.magic.get() != MAGIC || header.version != 1 {
        return Err(format!("its magic is {:#06x} and its version {}", header.magic, header.version));
    }
    let part = |at: U32, length: U32| {
        let start = (header.length.get() as usize).checked_add(at.get() as usize)?;
        bytes.get(start..start.checked_add(length.get() as usize)?)
    };
    let outside = "its header points outside of it";
    let types = part(header.types_at, header.types_length).ok_or(outside)?;
    let strings = part(header.strings_at, header.strings_length).ok_or(outside)?;
    let types = <[U32]>::ref_from_bytes(types).map_err(|_| "its types end in the middle of a number")?;
    Ok((types, strings))
}

/// The extent of type information.
pub(crate) struct Extent {
    /// The number of types, void included. All type numbers are below it.
    pub(crate) types: u32,
    /// The size of the strings in bytes.
    pub(crate) strings: u32,
}

impl Extent {
    /// Returns the extent of type information.
    ///
    /// # Errors
    /// The bytes are not valid type information. The text is the reason.
    pub(crate) fn of(bytes: &[u8]) -> Result<Extent, String> {
        let (mut words, strings) = parts(bytes)?;
        let mut types = 1;
        while !words.is_empty() {
            (_, words) = Type::split(words)?;
            types += 1;
        }
        if strings.last() != Some(&0) {
            return Err("its strings have no end".to_owned());
        }
        Ok(Extent { types, strings: strings.len() as u32 })
    }
}

/// The types of an object, by number. 0 is void.
pub(crate) struct Btf<'a> {
    types: Vec<Type<'a>>,
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    /// Parses type information.
    ///
    /// # Errors
    /// The bytes are not valid type information. The text is the reason.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Btf<'a>, String> {
        let (mut words, strings) = parts(bytes)?;
        let mut btf = Btf { types: vec![Type(&[])], strings };
        while !words.is_empty() {
            let (ty, rest) = Type::split(words)?;
            for at in ty.places().1 {
                btf.name_at(ty.word(at))?;
            }
            btf.types.push(ty);
            words = rest;
        }
        Ok(btf)
    }

    /// Returns a type, or void if there is none with the number.
    pub(crate) fn get(&self, id: u32) -> Type<'a> {
        self.types.get(id as usize).copied().unwrap_or(Type(&[]))
    }

    /// Returns the name at an offset of the strings, or `""` if there is none.
    ///
    /// # Errors
    /// The name is longer than the kernel accepts. Names may overlap, so short type information could contain any
    /// number of long ones.
    pub(crate) fn name_at(&self, offset: u32) -> Result<&'a str, String> {
        let bytes = self.strings.get(offset as usize..).unwrap_or_default();
        let bytes = bytes.get(..=MAX_NAME).unwrap_or(bytes);
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => Ok(std::str::from_utf8(&bytes[..end]).unwrap_or_default()),
            None if bytes.len() > MAX_NAME => Err(format!("it has a name of more than {MAX_NAME} bytes")),
            None => Ok(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }

    /// Does the same for names of types, which [`Btf::parse`] has checked.
    pub(crate) fn string(&self, offset: u32) -> &'a str {
        self.name_at(offset).unwrap_or_default()
    }

    pub(crate) fn name(&self, id: u32) -> &'a str {
        self.string(self.get(id).word(NAME))
    }

    /// Returns the first type of a kind with a name.
    pub(crate) fn named(&self, kind: u32, name: &str) -> Option<u32> {
        (0..self.types.len() as u32).find(|id| self.get(*id).kind() == kind && self.name(*id) == name)
    }

    /// Returns the size of a type in bytes, for the kinds that maps need.
    pub(crate) fn size_of(&self, id: u32) -> Option<u32> {
        // No real type needs more levels, and recursive types end here.
        self.size_within(id, 32)
    }

    fn size_within(&self, id: u32, depth: u32) -> Option<u32> {
        let (ty, depth) = (self.get(id), depth.checked_sub(1)?);
        match ty.kind() {
            1 | STRUCT | UNION | 6 | 19 => Some(ty.referred()),
            PTR => Some(8),
            TYPEDEF | 9..=11 | 18 => self.size_within(ty.referred(), depth),
            ARRAY => self.size_within(ty.word(HEAD), depth)?.checked_mul(ty.elements()),
            _ => None,
        }
    }
}

/// A copy of some types and of all that they refer to.
pub(crate) struct Pruned<'a> {
    btf: &'a Btf<'a>,
    /// The new numbers, by the old ones. 0 for omitted types.
    numbers: Vec<u32>,
    kept: Vec<u32>,
    strings: Vec<u8>,
    offsets: HashMap<String, u32>,
}

impl<'a> Pruned<'a> {
    pub(crate) fn new(btf: &'a Btf<'a>, roots: impl IntoIterator<Item = u32>) -> Pruned<'a> {
        let mut keep = vec![false; btf.types.len()];
        let mark = |keep: &mut Vec<bool>, root| {
            let mut pending = vec![root];
            while let Some(id) = pending.pop() {
                match keep.get_mut(id as usize) {
                    Some(kept) if id != 0 && !*kept => *kept = true,
                    _ => continue,
                }
                let ty = btf.get(id);
                pending.extend(ty.places().0.into_iter().map(|at| ty.word(at)));
            }
        };
        roots.into_iter().for_each(|root| mark(&mut keep, root));
        // Tags refer to the type that they annotate, and not the other way round.
        for id in 0..btf.types.len() as u32 {
            let ty = btf.get(id);
            if ty.kind() == DECL_TAG && keep.get(ty.referred() as usize) == Some(&true) {
                mark(&mut keep, id);
            }
        }
        let kept: Vec<u32> = (0..btf.types.len() as u32).filter(|id| keep[*id as usize]).collect();
        let mut numbers = vec![0; btf.types.len()];
        for (index, id) in kept.iter().enumerate() {
            numbers[*id as usize] = index as u32 + 1;
        }
        Pruned { btf, numbers, kept, strings: vec![0], offsets: HashMap::from([(String::new(), 0)]) }
    }

    /// Returns the new number of a type in the copy.
    pub(crate) fn number(&self, id: u32) -> u32 {
        self.numbers.get(id as usize).copied().unwrap_or(0)
    }

    /// Returns the offset of a string, and adds it to the copy if necessary.
    pub(crate) fn string(&mut self, text: &str) -> u32 {
        if let Some(offset) = self.offsets.get(text) {
            return *offset;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        self.offsets.insert(text.to_owned(), offset);
        offset
    }

    /// Returns the copy. `is_static` tells by a function's old number whether no other object may call it.
    pub(crate) fn bytes(mut self, is_static: impl Fn(u32) -> bool) -> Vec<u8> {
        let mut words: Vec<U32> = Vec::new();
        for id in self.kept.clone() {
            let ty = self.btf.get(id);
            let start = words.len();
            words.extend_from_slice(ty.0);
            let (types, names) = ty.places();
            for at in types {
                words[start + at] = self.number(ty.word(at)).into();
            }
            for at in names {
                words[start + at] = self.string(self.btf.string(ty.word(at))).into();
            }
            if ty.kind() == FUNC && is_static(id) {
                words[start + INFO] = (ty.word(INFO) & !0xffff).into();
            }
        }
        let types_length = U32::new((words.len() * 4) as u32);
        let header = Header {
            magic: MAGIC.into(),
            version: 1,
            flags: 0,
            length: (size_of::<Header>() as u32).into(),
            types_at: 0.into(),
            types_length,
            strings_at: types_length,
            strings_length: (self.strings.len() as u32).into(),
        };
        [header.as_bytes(), words.as_bytes(), &self.strings].concat()
    }
}
