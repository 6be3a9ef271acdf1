//! The data about instructions in `.BTF.ext` (Documentation/bpf/btf.rst): types of functions, source lines and CO-RE
//! relocations.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use crate::btf::{Btf, MAGIC, Malformed, TypeId};
use crate::driver::SOURCE_ROOT;

/// The ELF section.
pub const SECTION: &str = ".BTF.ext";

/// A relocation that clang leaves to the loader: `struct bpf_core_relo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRelocation {
    /// The offset of the instruction in the section, in bytes.
    pub offset: u32,
    /// The type that the access begins at.
    pub ty: TypeId,
    /// Member indices, such as `0:1:2`. The first is for an array of such types.
    pub access: String,
    /// `enum bpf_core_relo_kind`.
    pub kind: u32,
}

/// A line of a driver's source.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceLine {
    /// The file name as passed to clang, without [`SOURCE_ROOT`].
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// The column, counted from 1.
    pub column: u32,
    /// The line's text, if the object contains it.
    pub text: String,
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The source line of the instructions from an offset on. Numbers are offsets of the strings of [`Btf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LineInfo {
    offset: u32,
    file: u32,
    text: u32,
    /// The line, and in the lower ten bits the column.
    place: u32,
}

/// The data about a section's instructions.
#[derive(Clone, Debug, Default)]
struct About {
    /// The types of functions, by their offsets in bytes.
    functions: HashMap<u32, TypeId>,
    /// Sorted by offset.
    lines: Vec<LineInfo>,
    /// Sorted by offset. Those with the same offset are in file order, like in libbpf.
    relocations: Vec<AccessRelocation>,
}

/// The content of `.BTF.ext`, by section name.
#[derive(Clone, Debug, Default)]
pub struct BtfExt {
    sections: HashMap<String, About>,
}

/// The records of a part about a section: the first four numbers of each. Shorter records end with zeros.
type Records = (String, Vec<[u32; 4]>);

/// Reads numbers of the section.
struct Reader<'a> {
    bytes: &'a [u8],
    btf: &'a Btf,
}

impl Reader<'_> {
    fn word(&self, at: usize) -> Result<u32, Malformed> {
        let bytes = self.bytes.get(at..).and_then(|bytes| bytes.first_chunk::<4>());
        bytes.map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(|| Malformed::new(at, "it ends too early"))
    }

    fn name(&self, at: usize, offset: u32) -> Result<String, Malformed> {
        self.btf.checked_name(offset).map(str::to_owned).map_err(|reason| Malformed::new(at, reason))
    }

    /// Reads a part: the size of its records, then for each section its name, the number of records, and the records.
    ///
    /// `at` is the part's place in the header, which has `header` bytes. `least` is the number of bytes to read of each
    /// record.
    fn part(&self, header: usize, at: usize, least: usize) -> Result<Vec<Records>, Malformed> {
        let mut sections = Vec::new();
        let start = header.saturating_add(self.word(at)? as usize);
        let end = start.saturating_add(self.word(at + 4)? as usize);
        if start == end {
            return Ok(sections);
        }
        if end > self.bytes.len() {
            return Err(Malformed::new(at, "its header points outside of it"));
        }
        let size = self.word(start)? as usize;
        if size < least || !size.is_multiple_of(4) {
            return Err(Malformed::new(start, format!("it has records of {size} bytes")));
        }
        let mut place = start + 4;
        while place < end {
            let section = self.name(place, self.word(place)?)?;
            let count = self.word(place + 4)? as usize;
            place += 8;
            if count > end.saturating_sub(place) / size {
                return Err(Malformed::new(place, format!("it ends before the {count} records that it announces")));
            }
            let mut records = Vec::with_capacity(count);
            for _ in 0..count {
                let mut record = [0; 4];
                for (index, to) in record.iter_mut().enumerate().take(size / 4) {
                    *to = self.word(place + index * 4)?;
                }
                records.push(record);
                place += size;
            }
            sections.push((section, records));
        }
        Ok(sections)
    }
}

impl BtfExt {
    /// Parses `.BTF.ext`. `btf` has its strings.
    ///
    /// # Errors
    /// The bytes are not valid, or contradict `btf`.
    pub fn parse(bytes: &[u8], btf: &Btf) -> Result<BtfExt, Malformed> {
        let reader = Reader { bytes, btf };
        let first = reader.word(0)?;
        if first as u16 != MAGIC || first >> 16 & 0xff != 1 {
            return Err(Malformed::new(0, "it is of a version that is not known"));
        }
        let header = reader.word(4)? as usize;
        let mut ext = BtfExt::default();
        for (section, records) in reader.part(header, 8, 8)? {
            ext.about(section).functions.extend(records.iter().map(|[offset, ty, ..]| (*offset, TypeId(*ty))));
        }
        for (section, records) in reader.part(header, 16, 16)? {
            let line = |[offset, file, text, place]: [u32; 4]| LineInfo { offset, file, text, place };
            ext.about(section).lines.extend(records.into_iter().map(line));
        }
        // Older headers end before the relocations.
        let relocations = if header >= 32 { reader.part(header, 24, 16)? } else { Vec::new() };
        for (section, records) in relocations {
            let relocation = |[offset, ty, access, kind]: [u32; 4]| {
                let access = reader.name(24, access)?;
                Ok(AccessRelocation { offset, ty: TypeId(ty), access, kind })
            };
            let relocations = records.into_iter().map(relocation).collect::<Result<Vec<_>, Malformed>>()?;
            ext.about(section).relocations.extend(relocations);
        }
        for about in ext.sections.values_mut() {
            about.lines.sort_by_key(|line| line.offset);
            about.relocations.sort_by_key(|relocation| relocation.offset);
        }
        Ok(ext)
    }

    fn about(&mut self, section: String) -> &mut About {
        self.sections.entry(section).or_default()
    }

    /// Returns the type of the function at an offset of a section, in bytes.
    pub fn function(&self, section: &str, offset: u32) -> Option<TypeId> {
        self.sections.get(section)?.functions.get(&offset).copied()
    }

    /// Returns the relocations of a part of a section, in bytes.
    pub fn relocations(&self, section: &str, part: Range<u32>) -> &[AccessRelocation] {
        let all = self.sections.get(section).map(|about| about.relocations.as_slice()).unwrap_or_default();
        let before = |end: u32| all.partition_point(|relocation| relocation.offset < end);
        all.get(before(part.start)..before(part.end)).unwrap_or_default()
    }

    /// Returns the source line of an instruction. `offset` is in bytes from the start of the section, and `start` is
    /// the offset of its function.
    pub fn line(&self, btf: &Btf, section: &str, start: u32, offset: u32) -> Option<SourceLine> {
        let lines = &self.sections.get(section)?.lines;
        let after = lines.partition_point(|info| info.offset <= offset);
        let info = lines.get(after.checked_sub(1)?).filter(|info| info.offset >= start)?;
        let (line, column) = (info.place >> 10, info.place & 0x3ff);
        let file = btf.text_at(info.file);
        let file = file.strip_prefix(SOURCE_ROOT).map_or(file.as_str(), |rest| rest.trim_start_matches('/')).to_owned();
        (line > 0).then(|| SourceLine { file, line, column, text: btf.text_at(info.text) })
    }
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    /// Returns type information with these strings and without types.
    fn types(strings: &[u8]) -> Btf {
        let header = [u32::from(MAGIC) | 1 << 16, 24, 0, 0, 0, strings.len() as u32];
        Btf::parse(&[header.as_bytes(), strings].concat()).unwrap()
    }

    /// Returns a `.BTF.ext` whose part at this place in the header is these numbers.
    fn about(place: usize, part: &[u32]) -> Vec<u8> {
        let mut header = [u32::from(MAGIC) | 1 << 16, 32, 0, 0, 0, 0, 0, 0];
        header[place / 4 + 1] = part.len() as u32 * 4;
        [header.as_bytes(), part.as_bytes()].concat()
    }

    const FUNCTIONS: usize = 8;
    const LINES: usize = 16;
    const RELOCATIONS: usize = 24;

    #[test]
    fn counts_and_sizes_of_records_are_checked_before_anything_is_read() {
        let types = types(b"\0.text\0");
        let parse = |place, part: &[u32]| BtfExt::parse(&about(place, part), &types).map(drop);
        assert_eq!(parse(FUNCTIONS, &[8, 1, 1, 0, 5]), Ok(()));
        assert_eq!(parse(LINES, &[16, 1, 1, 0, 0, 0, 5]), Ok(()));
        assert_eq!(parse(RELOCATIONS, &[16, 1, 1, 0, 5, 1, 0]), Ok(()));
        for (place, part) in [
            // Records that are empty, or shorter than what is read of them. Reading these would never reach the end.
            (FUNCTIONS, &[0, 1, u32::MAX][..]),
            (FUNCTIONS, &[4, 1, u32::MAX, 0, 0]),
            (LINES, &[12, 1, 1, 0, 0, 0]),
            (RELOCATIONS, &[0, 1, u32::MAX]),
            (RELOCATIONS, &[8, 1, 2, 0, 0, 0, 0]),
            (FUNCTIONS, &[9, 1, 1, 0, 0, 0]),
            (FUNCTIONS, &[u32::MAX, 1, 1, 0, 0]),
            // More records than there are.
            (FUNCTIONS, &[8, 1, 2, 0, 5]),
            (LINES, &[16, 1, u32::MAX, 0, 0, 0, 5]),
            (RELOCATIONS, &[16, 1, u32::MAX, 0, 5, 1, 0]),
        ] {
            let error = parse(place, part).unwrap_err().to_string();
            assert!(error.contains("records"), "{part:?}: {error}");
        }
        let mut outside = about(FUNCTIONS, &[8, 1, 1, 0, 5]);
        outside[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(BtfExt::parse(&outside, &types).is_err_and(|error| error.reason.contains("points outside")));
    }

    #[test]
    fn names_that_overlap_are_short() {
        let long = [b"\0", vec![b'x'; 600].as_slice(), b"\0"].concat();
        let error = BtfExt::parse(&about(FUNCTIONS, &[8, 1, 0]), &types(&long)).map(drop).unwrap_err();
        assert!(error.to_string().contains("511 bytes"), "{error}");
    }
}
