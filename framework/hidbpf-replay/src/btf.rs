//! Reads an object's type information: `.BTF`, and the data about instructions in `.BTF.ext`
//! (Documentation/bpf/btf.rst).

use std::collections::HashMap;

use crate::error::{ObjectError, SourceLine};
use hidbpf_prelink::driver::SOURCE_ROOT;
use hidbpf_prelink::limits::MAX_NAME;

/// The number of a type in an object's BTF. 0 is void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TypeId(pub(crate) u32);

/// A member of a struct or union.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) ty: TypeId,
    pub(crate) bit_offset: u32,
    /// 0 except for bit fields.
    pub(crate) bit_size: u32,
}

/// A variable of a data section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) ty: TypeId,
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

/// A type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Void,
    Int {
        name: String,
        size: u32,
        signed: bool,
    },
    Pointer(TypeId),
    Array {
        element: TypeId,
        count: u32,
    },
    /// A struct or union.
    Record {
        name: String,
        size: u32,
        members: Vec<Member>,
    },
    Enum {
        name: String,
        size: u32,
        signed: bool,
        values: Vec<(String, u64)>,
    },
    /// A typedef, const, volatile, restrict or tag: another type with an annotation.
    Alias {
        name: String,
        ty: TypeId,
    },
    Variable {
        name: String,
        ty: TypeId,
    },
    Section {
        name: String,
        variables: Vec<Placed>,
    },
    Function {
        name: String,
    },
    /// A type whose content isn't needed.
    Other {
        name: String,
        size: u32,
    },
}

/// The types of an object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Btf {
    types: Vec<Type>,
    by_name: HashMap<String, Vec<TypeId>>,
    strings: Vec<u8>,
}

/// The maximum number of aliases and arrays to follow. No real type needs as many, and recursive types end here.
const MAX_DEPTH: usize = 32;

/// The maximum number of members to visit in a record, including its nested records.
pub(crate) const MAX_MEMBERS: usize = 1 << 10;

const MAGIC: u16 = 0xeb9f;

/// Reads numbers and tracks the offset.
struct Reader<'a> {
    section: &'static str,
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    fn fail(&self, reason: impl Into<String>) -> ObjectError {
        ObjectError::Btf { section: self.section, offset: self.offset, reason: reason.into() }
    }

    fn u32(&mut self) -> Result<u32, ObjectError> {
        let end = self.offset.saturating_add(4);
        let bytes = self.bytes.get(self.offset..end).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let bytes = bytes.ok_or_else(|| self.fail("it ends in the middle of something"))?;
        self.offset = end;
        Ok(u32::from_le_bytes(bytes))
    }

    fn skip(&mut self, count: usize) -> Result<(), ObjectError> {
        let end = self.offset.checked_add(count).filter(|end| *end <= self.bytes.len());
        self.offset = end.ok_or_else(|| self.fail("it ends in the middle of something"))?;
        Ok(())
    }

    fn at_end(&self) -> bool {
        self.offset >= self.bytes.len()
    }

    /// Returns how many of `count` records of a size can still follow. A damaged header can claim any number.
    fn room_for(&self, count: u32, size: usize) -> Result<usize, ObjectError> {
        let count = count as usize;
        match (self.bytes.len() - self.offset.min(self.bytes.len())) / size {
            room if room >= count => Ok(count),
            _ => Err(self.fail(format!("it says that {count} entries follow, and ends before"))),
        }
    }

    /// Reads the common header of `.BTF` and `.BTF.ext`, and returns its length.
    fn header(&mut self) -> Result<usize, ObjectError> {
        let (first, length) = (self.u32()?, self.u32()?);
        let (magic, version) = (first as u16, (first >> 16) as u8);
        if magic != MAGIC || version != 1 {
            self.offset = 0;
            return Err(
                self.fail(format!("its magic is {magic:#06x} and its version {version}; {MAGIC:#06x} and 1 are known"))
            );
        }
        Ok(length as usize)
    }

    /// Returns the part of the section at an offset from the end of the header.
    fn part(&self, header: usize, offset: u32, length: u32) -> Result<Reader<'a>, ObjectError> {
        let start = header.saturating_add(offset as usize);
        let bytes = self.bytes.get(..start.saturating_add(length as usize)).filter(|bytes| start <= bytes.len());
        let bytes = bytes.ok_or_else(|| self.fail("its header points outside of it"))?;
        Ok(Reader { section: self.section, bytes, offset: start })
    }
}

/// Returns the name at an offset of a string table, or `""` if there is none. Refuses a name longer than any real one:
/// names may overlap, so a short file could contain any number of long names.
fn name(reader: &Reader<'_>, strings: &[u8], offset: u32) -> Result<String, ObjectError> {
    let bytes = strings.get(offset as usize..).unwrap_or_default();
    let bytes = bytes.get(..=MAX_NAME).unwrap_or(bytes);
    match bytes.iter().position(|byte| *byte == 0) {
        None if bytes.len() > MAX_NAME => Err(reader.fail(format!("it has a name of more than {MAX_NAME} bytes"))),
        end => Ok(String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned()),
    }
}

/// Returns the string at an offset of a string table, or `""` if there is none.
fn string(strings: &[u8], offset: u32) -> String {
    let bytes = strings.get(offset as usize..).unwrap_or_default();
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

impl Btf {
    /// Parses `.BTF`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Btf, ObjectError> {
        let mut reader = Reader { section: ".BTF", bytes, offset: 0 };
        let header = reader.header()?;
        let (types_at, types_length) = (reader.u32()?, reader.u32()?);
        let (strings_at, strings_length) = (reader.u32()?, reader.u32()?);
        let strings = reader.part(header, strings_at, strings_length)?;
        let strings = &bytes[strings.offset..strings.bytes.len()];
        let mut types = reader.part(header, types_at, types_length)?;
        let mut btf = Btf { types: vec![Type::Void], by_name: HashMap::new(), strings: strings.to_vec() };
        while !types.at_end() {
            let ty = read_type(&mut types, strings)?;
            let id = TypeId(btf.types.len() as u32);
            if let Some(name) = name_of(&ty) {
                btf.by_name.entry(name.to_owned()).or_default().push(id);
            }
            btf.types.push(ty);
        }
        Ok(btf)
    }

    /// Returns the number of types, void included.
    pub(crate) fn len(&self) -> usize {
        self.types.len()
    }

    pub(crate) fn get(&self, id: TypeId) -> &Type {
        self.types.get(id.0 as usize).unwrap_or(&Type::Void)
    }

    /// Returns the type behind typedefs and qualifiers.
    pub(crate) fn resolve(&self, mut id: TypeId) -> TypeId {
        for _ in 0..MAX_DEPTH {
            match self.get(id) {
                Type::Alias { ty, .. } => id = *ty,
                _ => return id,
            }
        }
        TypeId(0)
    }

    /// Iterates over the types with a name, in file order.
    pub(crate) fn named<'a>(&'a self, name: &str) -> impl Iterator<Item = (TypeId, &'a Type)> + use<'a> {
        self.by_name.get(name).into_iter().flatten().map(|id| (*id, self.get(*id)))
    }

    /// Iterates over the structs and unions with a name, or with a flavour of it: `name___suffix`.
    pub(crate) fn flavours<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (TypeId, &'a [Member], u32)> {
        self.types.iter().enumerate().filter_map(move |(id, ty)| match ty {
            Type::Record { name: of, members, size } if essential_name(of) == name && !members.is_empty() => {
                Some((TypeId(id as u32), members.as_slice(), *size))
            }
            _ => None,
        })
    }

    /// Returns the size of a type in bytes.
    pub(crate) fn size_of(&self, id: TypeId) -> Option<u32> {
        self.size_of_within(id, MAX_DEPTH)
    }

    fn size_of_within(&self, id: TypeId, depth: usize) -> Option<u32> {
        match self.get(self.resolve(id)) {
            Type::Int { size, .. } | Type::Record { size, .. } | Type::Enum { size, .. } | Type::Other { size, .. } => {
                Some(*size)
            }
            Type::Pointer(_) => Some(8),
            Type::Array { element, count } => self.size_of_within(*element, depth.checked_sub(1)?)?.checked_mul(*count),
            _ => None,
        }
    }

    /// Returns the type of a variable in a data section.
    pub(crate) fn variable(&self, name: &str) -> Option<TypeId> {
        self.named(name).find_map(|(_, ty)| match ty {
            Type::Variable { ty, .. } => Some(*ty),
            _ => None,
        })
    }
}

/// Returns a name without its flavour: `hid_bpf_ctx` for `hid_bpf_ctx___old`.
pub(crate) fn essential_name(name: &str) -> &str {
    match name.find("___") {
        Some(end) if end > 0 => &name[..end],
        _ => name,
    }
}

fn name_of(ty: &Type) -> Option<&str> {
    let name = match ty {
        Type::Int { name, .. }
        | Type::Record { name, .. }
        | Type::Enum { name, .. }
        | Type::Alias { name, .. }
        | Type::Variable { name, .. }
        | Type::Section { name, .. }
        | Type::Function { name }
        | Type::Other { name, .. } => name,
        Type::Void | Type::Pointer(_) | Type::Array { .. } => return None,
    };
    Some(name.as_str()).filter(|name| !name.is_empty())
}

fn read_type(reader: &mut Reader<'_>, strings: &[u8]) -> Result<Type, ObjectError> {
    let start = reader.offset;
    let (name_at, info, size_or_type) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let named = |reader: &Reader<'_>, at| name(reader, strings, at);
    let name = named(reader, name_at)?;
    let (kind, count, flag) = (info >> 24 & 0x1f, info & 0xffff, info >> 31 == 1);
    let (size, ty) = (size_or_type, TypeId(size_or_type));
    Ok(match kind {
        1 => {
            let encoding = reader.u32()?;
            Type::Int { name, size, signed: encoding >> 24 & 1 == 1 }
        }
        2 => Type::Pointer(ty),
        3 => {
            let (element, _index, count) = (TypeId(reader.u32()?), reader.u32()?, reader.u32()?);
            Type::Array { element, count }
        }
        4 | 5 => {
            let mut members = Vec::with_capacity(reader.room_for(count, 12)?);
            for _ in 0..count {
                let (name, ty, offset) = (reader.u32()?, TypeId(reader.u32()?), reader.u32()?);
                let (bit_offset, bit_size) = if flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
                members.push(Member { name: named(reader, name)?, ty, bit_offset, bit_size });
            }
            Type::Record { name, size, members }
        }
        6 => {
            let mut values = Vec::with_capacity(reader.room_for(count, 8)?);
            for _ in 0..count {
                let (name, value) = (reader.u32()?, reader.u32()?);
                values.push((named(reader, name)?, if flag { i64::from(value as i32) as u64 } else { value.into() }));
            }
            Type::Enum { name, size, signed: flag, values }
        }
        7 => Type::Other { name, size: 0 },
        8..=11 | 18 => Type::Alias { name, ty },
        12 => Type::Function { name },
        13 => {
            let parameters = reader.room_for(count, 8)?;
            reader.skip(parameters * 8)?;
            Type::Other { name, size: 0 }
        }
        14 => {
            reader.u32()?;
            Type::Variable { name, ty }
        }
        15 => {
            let mut variables = Vec::with_capacity(reader.room_for(count, 12)?);
            for _ in 0..count {
                variables.push(Placed { ty: TypeId(reader.u32()?), offset: reader.u32()?, size: reader.u32()? });
            }
            Type::Section { name, variables }
        }
        16 => Type::Other { name, size },
        17 => {
            reader.u32()?;
            Type::Other { name, size: 0 }
        }
        19 => {
            let mut values = Vec::with_capacity(reader.room_for(count, 12)?);
            for _ in 0..count {
                let (name, low, high) = (reader.u32()?, reader.u32()?, reader.u32()?);
                values.push((named(reader, name)?, u64::from(high) << 32 | u64::from(low)));
            }
            Type::Enum { name, size, signed: flag, values }
        }
        _ => {
            reader.offset = start;
            return Err(reader.fail(format!("kind {kind} is unknown; was the object made for a newer kernel?")));
        }
    })
}

/// A relocation that clang leaves to the loader: `struct bpf_core_relo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoreRelocation {
    /// The offset in the section, in bytes.
    pub(crate) offset: u32,
    pub(crate) ty: TypeId,
    /// Member indices, such as `0:1:2`.
    pub(crate) access: String,
    pub(crate) kind: u32,
}

/// The source line of the instructions from an offset on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LineInfo {
    offset: u32,
    file: u32,
    text: u32,
    line: u32,
    column: u32,
}

/// The content of `.BTF.ext`, by section name.
#[derive(Clone, Debug, Default)]
pub(crate) struct BtfExt {
    lines: HashMap<String, Vec<LineInfo>>,
    relocations: HashMap<String, Vec<CoreRelocation>>,
}

impl BtfExt {
    /// Parses `.BTF.ext`.
    pub(crate) fn parse(bytes: &[u8], btf: &Btf) -> Result<BtfExt, ObjectError> {
        let mut reader = Reader { section: ".BTF.ext", bytes, offset: 0 };
        let header = reader.header()?;
        let (_functions_at, _functions_length) = (reader.u32()?, reader.u32()?);
        let (lines_at, lines_length) = (reader.u32()?, reader.u32()?);
        let mut ext = BtfExt::default();
        let record = |record: &mut Reader<'_>| {
            Ok(LineInfo {
                offset: record.u32()?,
                file: record.u32()?,
                text: record.u32()?,
                line: record.u32()?,
                column: 0,
            })
        };
        for (section, mut lines) in sections(reader.part(header, lines_at, lines_length)?, btf, record)? {
            for info in &mut lines {
                // Line and column share one number.
                (info.line, info.column) = (info.line >> 10, info.line & 0x3ff);
            }
            lines.sort_by_key(|info| info.offset);
            ext.lines.entry(section).or_default().extend(lines);
        }
        // Older headers end before the relocations.
        if header >= 32 {
            let (at, length) = (reader.u32()?, reader.u32()?);
            let record = |record: &mut Reader<'_>| {
                let (offset, ty, access, kind) = (record.u32()?, TypeId(record.u32()?), record.u32()?, record.u32()?);
                Ok(CoreRelocation { offset, ty, access: name(record, &btf.strings, access)?, kind })
            };
            for (section, relocations) in sections(reader.part(header, at, length)?, btf, record)? {
                ext.relocations.entry(section).or_default().extend(relocations);
            }
        }
        Ok(ext)
    }

    /// Returns the relocations of a section.
    pub(crate) fn relocations(&self, section: &str) -> &[CoreRelocation] {
        self.relocations.get(section).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the source line of an instruction. `offset` is in bytes from the start of the section, and `start` is
    /// the offset of its function.
    pub(crate) fn line(&self, btf: &Btf, section: &str, start: u32, offset: u32) -> Option<SourceLine> {
        let lines = self.lines.get(section)?;
        let after = lines.partition_point(|info| info.offset <= offset);
        let info = lines.get(after.checked_sub(1)?).filter(|info| info.offset >= start && info.line > 0)?;
        let file = string(&btf.strings, info.file);
        let file = file.strip_prefix(SOURCE_ROOT).map_or(file.as_str(), |rest| rest.trim_start_matches('/')).to_owned();
        Some(SourceLine { file, line: info.line, column: info.column, text: string(&btf.strings, info.text) })
    }
}

/// Reads a part of `.BTF.ext`: the record size, then for each section its name, the number of records, and the records.
fn sections<T>(
    mut reader: Reader<'_>,
    btf: &Btf,
    read: impl Fn(&mut Reader<'_>) -> Result<T, ObjectError>,
) -> Result<Vec<(String, Vec<T>)>, ObjectError> {
    let mut found = Vec::new();
    if reader.at_end() {
        return Ok(found);
    }
    let size = reader.u32()? as usize;
    if size < 16 {
        return Err(reader.fail(format!("its records have {size} bytes, too few")));
    }
    while !reader.at_end() {
        let (section, count) = (reader.u32()?, reader.u32()?);
        let count = reader.room_for(count, size)?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let next = reader.offset.saturating_add(size);
            records.push(read(&mut reader)?);
            reader.offset = next;
        }
        found.push((name(&reader, &btf.strings, section)?, records));
    }
    Ok(found)
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
        assert!(parse(MAX_NAME + 1).is_err_and(|error| error.to_string().contains("511 bytes")));
    }
}
