//! Type information as the kernel reads it (Documentation/bpf/btf.rst): its extent, and the types.
//!
//! It consists of 32-bit numbers, three for each type and more for some kinds, so a type is a slice of numbers.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::btf_kind::{
    ARRAY, DATASEC, DECL_TAG, ENUM, ENUM64, FLOAT, FUNC, FUNC_PROTO, FWD, INT, PTR, RESTRICT, STRUCT, TYPE_TAG,
    TYPEDEF, UNION, VAR,
};
use crate::limits::MAX_NAME;

/// The ELF section.
pub const SECTION: &str = ".BTF";

/// `struct btf_header`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Header {
    pub(crate) magic: U16,
    pub(crate) version: u8,
    pub(crate) flags: u8,
    pub(crate) length: U32,
    pub(crate) types_at: U32,
    pub(crate) types_length: U32,
    pub(crate) strings_at: U32,
    pub(crate) strings_length: U32,
}

/// The first number of type information, and of what goes along with it.
pub const MAGIC: u16 = 0xeb9f;

/// The numbers at the start of every type: its name, its kind and number of parts, and its size or the type that it
/// refers to.
pub(crate) const HEAD: usize = 3;
pub(crate) const NAME: usize = 0;
pub(crate) const INFO: usize = 1;
const REFERRED: usize = 2;

/// Why type information is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct Malformed {
    /// The offset in the section, in bytes.
    pub offset: usize,
    /// The cause.
    pub reason: String,
}

impl Malformed {
    pub(crate) fn new(offset: usize, reason: impl Into<String>) -> Malformed {
        Malformed { offset, reason: reason.into() }
    }
}

/// The number of a type. 0 is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// The layout after a type's head.
struct Shape {
    /// The parts that follow.
    parts: Count,
    /// The numbers per part.
    size: usize,
    /// The index of a part's name, if it has one.
    name: Option<usize>,
    /// The indices of a part's types.
    types: &'static [usize],
    /// Whether the last number of the head is a type.
    refers: bool,
}

/// How many parts a type has.
enum Count {
    /// Always as many.
    Fixed(usize),
    /// As many as the head says.
    InHead,
}

impl Shape {
    const fn of(kind: u32) -> Option<Shape> {
        use Count::{Fixed, InHead};
        let (parts, size, name, types, refers): (_, _, _, &[usize], _) = match kind {
            INT => (Fixed(1), 1, None, &[], false),
            ARRAY => (Fixed(1), 3, None, &[0, 1], false),
            STRUCT | UNION => (InHead, 3, Some(0), &[1], false),
            ENUM => (InHead, 2, Some(0), &[], false),
            FWD | FLOAT => (Fixed(0), 0, None, &[], false),
            PTR | TYPEDEF..=RESTRICT | FUNC | TYPE_TAG => (Fixed(0), 0, None, &[], true),
            FUNC_PROTO => (InHead, 2, Some(0), &[1], true),
            VAR | DECL_TAG => (Fixed(1), 1, None, &[], true),
            DATASEC => (InHead, 3, None, &[0], false),
            ENUM64 => (InHead, 3, Some(0), &[], false),
            _ => return None,
        };
        Some(Shape { parts, size, name, types, refers })
    }

    fn count(&self, in_head: usize) -> usize {
        match self.parts {
            Count::Fixed(count) => count,
            Count::InHead => in_head,
        }
    }
}

/// The numbers of a type, by its kind: those that all types of the kind have, and those per part that the head counts.
/// More than there can be for a kind that is not known.
const LENGTHS: [(u32, u32); 32] = {
    let mut lengths = [(u32::MAX, 0); 32];
    let mut kind = 0;
    while kind < lengths.len() {
        lengths[kind] = match Shape::of(kind as u32) {
            Some(Shape { parts: Count::Fixed(count), size, .. }) => ((HEAD + count * size) as u32, 0),
            Some(Shape { parts: Count::InHead, size, .. }) => (HEAD as u32, size as u32),
            None => lengths[kind],
        };
        kind += 1;
    }
    lengths
};

/// Returns the numbers of a type whose head has this [`INFO`], more than there can be if its kind is not known.
#[inline]
pub(crate) fn length(info: u32) -> usize {
    let (fixed, per_part) = LENGTHS[(info >> 24 & 0x1f) as usize];
    fixed as usize + (per_part * (info & 0xffff)) as usize
}

/// Returns why a type with this [`INFO`] can't be read.
pub(crate) fn unreadable(info: u32) -> String {
    let kind = info >> 24 & 0x1f;
    match Shape::of(kind) {
        Some(_) => CUT.to_owned(),
        None => format!("it has a type of kind {kind}, which is unknown; was the object made for a newer kernel?"),
    }
}

/// Why a type can't be read.
pub(crate) const CUT: &str = "its types end in the middle of one";

/// The numbers of a type.
#[derive(Clone, Copy)]
pub(crate) struct Words<'a>(pub(crate) &'a [U32]);

impl<'a> Words<'a> {
    /// Splits off the first type.
    fn split(words: &'a [U32]) -> Result<(Words<'a>, &'a [U32]), String> {
        let info = words.get(INFO).ok_or(CUT)?.get();
        let (ty, rest) = words.split_at_checked(length(info)).ok_or_else(|| unreadable(info))?;
        Ok((Words(ty), rest))
    }

    pub(crate) fn word(self, at: usize) -> u32 {
        self.0.get(at).map_or(0, |word| word.get())
    }

    pub(crate) fn kind(self) -> u32 {
        self.word(INFO) >> 24 & 0x1f
    }

    /// Returns the number of parts. For a function, returns its linkage, `enum btf_func_linkage`.
    pub(crate) fn count(self) -> usize {
        (self.word(INFO) & 0xffff) as usize
    }

    /// Returns the flag, whose meaning depends on the kind.
    pub(crate) fn flag(self) -> bool {
        self.word(INFO) >> 31 == 1
    }

    /// Returns the type that a pointer, variable or tag refers to.
    pub(crate) fn referred(self) -> TypeId {
        TypeId(self.word(REFERRED))
    }

    /// Returns the number at `index` of a part that has `size` numbers.
    pub(crate) fn part(self, part: usize, size: usize, index: usize) -> u32 {
        self.word(HEAD + part * size + index)
    }

    /// Returns the indices of type numbers and of names in the type.
    pub(crate) fn places(self) -> (Vec<usize>, Vec<usize>) {
        let (mut types, mut names) = (Vec::new(), vec![NAME]);
        if let Some(shape) = Shape::of(self.kind()) {
            types.extend(shape.refers.then_some(REFERRED));
            for part in (0..shape.count(self.count())).map(|part| HEAD + part * shape.size) {
                types.extend(shape.types.iter().map(|at| part + at));
                names.extend(shape.name.map(|at| part + at));
            }
        }
        (types, names)
    }
}

/// The types and the strings of type information.
pub(crate) struct Parts<'a> {
    /// The offset of the types, in bytes.
    pub(crate) types_at: usize,
    pub(crate) types: &'a [U32],
    pub(crate) strings: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Parts<'a>, Malformed> {
        let at_start = |reason: String| Malformed::new(0, reason);
        let (header, _) =
            Header::ref_from_prefix(bytes).map_err(|_| at_start("it is shorter than its header".to_owned()))?;
        if header.magic.get() != MAGIC || header.version != 1 {
            let found = format!("its magic is {:#06x} and its version {}", header.magic, header.version);
            return Err(at_start(format!("{found}; {MAGIC:#06x} and 1 are known")));
        }
        let part = |at: U32, length: U32| {
            let start = (header.length.get() as usize).checked_add(at.get() as usize)?;
            Some((start, bytes.get(start..start.checked_add(length.get() as usize)?)?))
        };
        let outside = || at_start("its header points outside of it".to_owned());
        let (types_at, types) = part(header.types_at, header.types_length).ok_or_else(outside)?;
        let (_, strings) = part(header.strings_at, header.strings_length).ok_or_else(outside)?;
        let types = <[U32]>::ref_from_bytes(types)
            .map_err(|_| Malformed::new(types_at, "its types end in the middle of a number"))?;
        Ok(Parts { types_at, types, strings })
    }

    /// Calls `with` for each type, with its first number's index.
    fn each(&self, mut with: impl FnMut(usize, Words<'a>) -> Result<(), String>) -> Result<(), Malformed> {
        let mut words = self.types;
        while !words.is_empty() {
            let at = self.types.len() - words.len();
            let split = Words::split(words).and_then(|(ty, rest)| {
                with(at, ty)?;
                Ok(rest)
            });
            words = split.map_err(|reason| Malformed::new(self.types_at + at * size_of::<U32>(), reason))?;
        }
        Ok(())
    }
}

/// The extent of type information.
pub(crate) struct Extent {
    /// The number of types, void included. All type numbers are below it.
    pub(crate) types: u32,
    /// The size of the strings in bytes.
    pub(crate) strings: u32,
}

impl Extent {
    /// Returns the extent of type information. Copies nothing, because each attachment asks for it.
    ///
    /// # Errors
    /// The bytes are not valid type information.
    pub(crate) fn of(bytes: &[u8]) -> Result<Extent, Malformed> {
        let parts = Parts::of(bytes)?;
        let mut types = 1;
        parts.each(|_, _| {
            types += 1;
            Ok(())
        })?;
        if parts.strings.last() != Some(&0) {
            return Err(Malformed::new(0, "its strings have no end"));
        }
        Ok(Extent { types, strings: parts.strings.len() as u32 })
    }
}

/// A type.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Type<'a> {
    /// No type, or no type with this number.
    Void,
    /// An integer or Boolean.
    Int {
        /// Its name.
        name: &'a str,
        /// Its size in bytes.
        size: u32,
        /// Whether it is signed.
        signed: bool,
    },
    /// A pointer to a type.
    Pointer(TypeId),
    /// An array.
    Array {
        /// The type of its elements.
        element: TypeId,
        /// The number of elements.
        count: u32,
    },
    /// A struct or union.
    Record {
        /// Its name, empty for an unnamed one.
        name: &'a str,
        /// Its size in bytes.
        size: u32,
        /// Whether it is a struct.
        is_struct: bool,
        /// Its members.
        members: Members<'a>,
    },
    /// An enumeration.
    Enum {
        /// Its name.
        name: &'a str,
        /// The size of its values in bytes.
        size: u32,
        /// Whether its values are signed.
        signed: bool,
        /// Its constants.
        values: Values<'a>,
    },
    /// A typedef, const, volatile, restrict or tag: another type with an annotation.
    Alias {
        /// Its name, empty except for a typedef.
        name: &'a str,
        /// The other type.
        ty: TypeId,
    },
    /// A variable.
    Variable {
        /// Its name.
        name: &'a str,
        /// Its type.
        ty: TypeId,
    },
    /// A data section.
    Section {
        /// The section's name.
        name: &'a str,
        /// Its variables.
        variables: Variables<'a>,
    },
    /// A function.
    Function {
        /// Its name.
        name: &'a str,
    },
    /// A type whose content nobody needs: a declaration, a function's parameters, or the tag of a member or variable.
    Other {
        /// Its name.
        name: &'a str,
    },
}

/// A member of a struct or union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its name, empty for an unnamed record.
    pub name: &'a str,
    /// Its type.
    pub ty: TypeId,
    /// Its offset in bits.
    pub bit_offset: u32,
    /// Its size in bits for a bit field, otherwise 0.
    pub bit_size: u32,
}

/// A variable in a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its [`Type::Variable`].
    pub ty: TypeId,
    /// Its offset in bytes.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
}

/// The members of a struct or union.
#[derive(Clone, Copy)]
pub struct Members<'a> {
    btf: &'a Btf,
    words: Words<'a>,
}

/// The constants of an enumeration.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    btf: &'a Btf,
    words: Words<'a>,
}

/// The variables of a data section.
#[derive(Clone, Copy)]
pub struct Variables<'a> {
    words: Words<'a>,
}

impl<'a> Members<'a> {
    /// Returns the number of members.
    pub fn count(self) -> usize {
        self.words.count()
    }

    /// Returns the member with an index.
    pub fn get(self, index: usize) -> Option<Member<'a>> {
        let part = |at| self.words.part(index, 3, at);
        (index < self.count()).then(|| {
            let offset = part(2);
            // Records with bit fields share the number.
            let (bit_offset, bit_size) =
                if self.words.flag() { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            Member { name: self.btf.name_at(part(0)), ty: TypeId(part(1)), bit_offset, bit_size }
        })
    }

    /// Iterates over the members in their order.
    pub fn iter(self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        (0..self.count()).filter_map(move |index| self.get(index))
    }
}

impl<'a> Values<'a> {
    /// Returns the name and the value of a constant. A negative value is sign-extended.
    pub fn get(self, index: usize) -> Option<(&'a str, u64)> {
        if index >= self.words.count() {
            return None;
        }
        Some(match self.words.kind() {
            ENUM => {
                let value = self.words.part(index, 2, 1);
                let value = if self.words.flag() { i64::from(value as i32) as u64 } else { value.into() };
                (self.btf.name_at(self.words.part(index, 2, 0)), value)
            }
            _ => {
                let part = |at| self.words.part(index, 3, at);
                (self.btf.name_at(part(0)), u64::from(part(2)) << 32 | u64::from(part(1)))
            }
        })
    }

    /// Iterates over the constants in their order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, u64)> + use<'a> {
        (0..self.words.count()).filter_map(move |index| self.get(index))
    }
}

impl<'a> Variables<'a> {
    /// Iterates over the variables in their order.
    pub fn iter(self) -> impl Iterator<Item = Placed> + use<'a> {
        let words = self.words;
        (0..words.count()).map(move |index| {
            let part = |at| words.part(index, 3, at);
            Placed { ty: TypeId(part(0)), offset: part(1), size: part(2) }
        })
    }
}

impl std::fmt::Debug for Members<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl std::fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl std::fmt::Debug for Variables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The types of an object, by number.
#[derive(Clone, Debug, Default)]
pub struct Btf {
    words: Vec<U32>,
    /// The index of each type's first number. Void has none.
    starts: Vec<u32>,
    strings: Vec<u8>,
}

/// The maximum number of aliases and arrays to follow. No real type needs as many, and recursive types end here.
const MAX_DEPTH: usize = 32;

impl Btf {
    /// Parses type information.
    ///
    /// # Errors
    /// The bytes are not valid type information.
    pub fn parse(bytes: &[u8]) -> Result<Btf, Malformed> {
        let parts = Parts::of(bytes)?;
        let mut btf = Btf { words: parts.types.to_vec(), starts: Vec::new(), strings: parts.strings.to_vec() };
        parts.each(|at, ty| {
            ty.places().1.into_iter().try_for_each(|at| btf.checked_name(ty.word(at)).map(drop))?;
            btf.starts.push(at as u32);
            Ok(())
        })?;
        Ok(btf)
    }

    /// Returns the number of types, void included.
    pub fn count(&self) -> u32 {
        self.starts.len() as u32 + 1
    }

    /// Iterates over the numbers of all types, in file order.
    pub fn ids(&self) -> impl Iterator<Item = TypeId> + use<> {
        (0..self.count()).map(TypeId)
    }

    /// Returns the numbers of a type. Void has none.
    pub(crate) fn words(&self, TypeId(id): TypeId) -> Words<'_> {
        let Some(index) = (id as usize).checked_sub(1) else { return Words(&[]) };
        let end = self.starts.get(index + 1).map_or(self.words.len(), |next| *next as usize);
        Words(self.starts.get(index).and_then(|start| self.words.get(*start as usize..end)).unwrap_or_default())
    }

    /// Returns a type.
    pub fn get(&self, id: TypeId) -> Type<'_> {
        let words = self.words(id);
        let (name, size, ty) = (self.name_at(words.word(NAME)), words.word(REFERRED), words.referred());
        match words.kind() {
            INT => Type::Int { name, size, signed: words.word(HEAD) >> 24 & 1 == 1 },
            PTR => Type::Pointer(ty),
            ARRAY => Type::Array { element: TypeId(words.word(HEAD)), count: words.word(HEAD + 2) },
            kind @ (STRUCT | UNION) => {
                Type::Record { name, size, is_struct: kind == STRUCT, members: Members { btf: self, words } }
            }
            ENUM | ENUM64 => Type::Enum { name, size, signed: words.flag(), values: Values { btf: self, words } },
            TYPEDEF..=RESTRICT | TYPE_TAG => Type::Alias { name, ty },
            FUNC => Type::Function { name },
            VAR => Type::Variable { name, ty },
            DATASEC => Type::Section { name, variables: Variables { words } },
            FWD | FUNC_PROTO | FLOAT | DECL_TAG => Type::Other { name },
            _ => Type::Void,
        }
    }

    /// Returns the name of a type, which may be empty.
    pub fn name(&self, id: TypeId) -> &str {
        self.name_at(self.words(id).word(NAME))
    }

    /// Returns the name at an offset of the strings, or `""` if there is none.
    ///
    /// # Errors
    /// The name is longer than the kernel accepts. Names may overlap, so short type information could contain any
    /// number of long ones.
    pub(crate) fn checked_name(&self, offset: u32) -> Result<&str, String> {
        let bytes = self.strings.get(offset as usize..).unwrap_or_default();
        let bytes = bytes.get(..=MAX_NAME).unwrap_or(bytes);
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => Ok(std::str::from_utf8(&bytes[..end]).unwrap_or_default()),
            None if bytes.len() > MAX_NAME => Err(format!("it has a name of more than {MAX_NAME} bytes")),
            None => Ok(std::str::from_utf8(bytes).unwrap_or_default()),
        }
    }

    /// Returns the name at an offset of the strings, or `""` if there is none or it is too long.
    pub fn name_at(&self, offset: u32) -> &str {
        self.checked_name(offset).unwrap_or_default()
    }

    /// Returns the text at an offset of the strings, of any length. It is a line of a source, or its file's name.
    pub(crate) fn text_at(&self, offset: u32) -> String {
        let bytes = self.strings.get(offset as usize..).unwrap_or_default();
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// Returns the type behind typedefs and qualifiers.
    pub fn resolve(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_DEPTH {
            match self.get(id) {
                Type::Alias { ty, .. } => id = ty,
                _ => return id,
            }
        }
        TypeId(0)
    }

    /// Returns the size of a type in bytes. `None` for types without a size.
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        self.size_within(id, MAX_DEPTH)
    }

    fn size_within(&self, id: TypeId, depth: usize) -> Option<u32> {
        let id = self.resolve(id);
        match self.get(id) {
            Type::Int { size, .. } | Type::Record { size, .. } | Type::Enum { size, .. } => Some(size),
            Type::Pointer(_) => Some(8),
            Type::Array { element, count } => self.size_within(element, depth.checked_sub(1)?)?.checked_mul(count),
            Type::Other { .. } if self.words(id).kind() == FLOAT => Some(self.words(id).word(REFERRED)),
            _ => None,
        }
    }

    /// Iterates over the members and the size in bytes of each struct or union with a name, or with a flavour of it:
    /// `name___suffix`.
    pub fn flavours<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (Members<'a>, u32)> + use<'a> {
        self.ids().filter_map(move |id| match self.get(id) {
            Type::Record { name: of, members, size, .. } if essential_name(of) == name && members.count() > 0 => {
                Some((members, size))
            }
            _ => None,
        })
    }

    /// Returns the first data section with a name.
    pub fn section(&self, name: &str) -> Option<Variables<'_>> {
        self.ids().find_map(|id| match self.get(id) {
            Type::Section { name: found, variables } if found == name => Some(variables),
            _ => None,
        })
    }

    /// Returns whether there is a function with a name.
    pub fn has_function(&self, name: &str) -> bool {
        self.ids().any(|id| matches!(self.get(id), Type::Function { name: found } if found == name))
    }

    /// Returns the type of the first variable with a name.
    pub fn variable(&self, name: &str) -> Option<TypeId> {
        self.ids().find_map(|id| match self.get(id) {
            Type::Variable { name: found, ty } if found == name => Some(ty),
            _ => None,
        })
    }

    /// Returns the names of the members that the indices of a relocation lead through: `size` for `0:3:1`, if the fourth
    /// member of the type is an unnamed union whose second member is `size`. An index that leads to no member stays a
    /// number. The first index is for an array of such types, and left out if it is 0.
    pub fn path(&self, ty: TypeId, indices: &str) -> String {
        let (first, rest) = indices.split_once(':').unwrap_or((indices, ""));
        let mut parts = Vec::from_iter((first != "0").then(|| first.to_owned()));
        let mut ty = self.resolve(ty);
        for index in rest.split(':').filter(|index| !index.is_empty()) {
            let (name, next) = match self.get(ty) {
                Type::Record { members, .. } => match index.parse().ok().and_then(|index| members.get(index)) {
                    Some(member) => (member.name, member.ty),
                    None => (index, TypeId(0)),
                },
                Type::Array { element, .. } => (index, element),
                _ => (index, TypeId(0)),
            };
            parts.extend((!name.is_empty()).then(|| name.to_owned()));
            ty = self.resolve(next);
        }
        parts.join(".")
    }

    /// Returns the type that a pointer leads to. It may be an alias.
    pub fn pointed(&self, id: TypeId) -> Option<TypeId> {
        match self.get(self.resolve(id)) {
            Type::Pointer(ty) => Some(ty),
            _ => None,
        }
    }

    /// Returns the number of elements of the array that a pointer leads to. Maps and match tables encode numbers so.
    pub fn encoded_number(&self, id: TypeId) -> Option<u32> {
        match self.get(self.resolve(self.pointed(id)?)) {
            Type::Array { count, .. } => Some(count),
            _ => None,
        }
    }
}

/// Returns a name without its flavour: `hid_bpf_ctx` for `hid_bpf_ctx___old`.
pub fn essential_name(name: &str) -> &str {
    match name.find("___") {
        Some(end) if end > 0 => &name[..end],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_overlap_are_short() {
        // Two declarations (FWD). Their names are one long text, from its first and from its second byte on.
        let parse = |length: usize| {
            let strings = [b"\0", vec![b'x'; length].as_slice(), b"\0"].concat();
            let numbers = [0x1_eb9f, 24, 0, 24, 24, strings.len() as u32, 1, 7 << 24, 0, 2, 7 << 24, 0];
            let numbers = numbers.iter().flat_map(|number: &u32| number.to_le_bytes());
            Btf::parse(&numbers.chain(strings).collect::<Vec<u8>>())
        };
        assert!(parse(MAX_NAME).is_ok());
        let error = parse(MAX_NAME + 1).unwrap_err();
        assert!(error.to_string().contains("511 bytes"), "{error}");
        assert_eq!(error.offset, 24);
    }

    #[test]
    fn names_lose_their_flavour() {
        for (name, essential) in [("a", "a"), ("a___b", "a"), ("a__b", "a__b"), ("___b", "___b"), ("a___b___c", "a")] {
            assert_eq!(essential_name(name), essential);
        }
    }
}
