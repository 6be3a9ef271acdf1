//! Limits that keep a small object from occupying its reader for hours.
//!
//! An ELF file determines where its own parts are. A thousand sections can share the same bytes, and the names of a
//! million symbols can each be the rest of one long text. So these limits are checked before anything is copied or
//! hashed.

use object::read::elf::{ElfFile64, FileHeader as _, SectionHeader as _};
use object::{Object as _, ObjectSection as _};

/// The maximum number of sections in an object. Drivers have about 40.
pub const MAX_SECTIONS: usize = 1024;

/// The maximum length of a section, symbol or type name, in bytes. The kernel accepts no longer ones (`KSYM_NAME_LEN`,
/// include/linux/kallsyms.h).
pub const MAX_NAME: usize = 511;

/// Checks an object's sections and names.
///
/// # Errors
/// There are more sections than [`MAX_SECTIONS`], sections share bytes, or a name is longer than [`MAX_NAME`]. The text
/// says which.
pub fn check(elf: &ElfFile64<'_>) -> Result<(), String> {
    let (endian, header) = (elf.endian(), elf.elf_header());
    let count = elf.elf_section_table().len();
    if count > MAX_SECTIONS {
        return Err(format!("it has {count} sections, more than {MAX_SECTIONS}"));
    }
    let names = header.shstrndx(endian, elf.data()).map_or(usize::MAX, |index| index as usize);
    let mut room = elf.data().len() as u64;
    for section in elf.sections() {
        let Some((start, size)) = section.file_range() else { continue };
        room = room.checked_sub(size).ok_or("its sections share bytes")?;
        let is_text = section.elf_section_header().sh_type(endian) == object::elf::SHT_STRTAB;
        if is_text || section.index().0 == names {
            let text = usize::try_from(start).ok().zip(usize::try_from(size).ok());
            let text = text.and_then(|(start, size)| elf.data().get(start..)?.get(..size));
            if !is_short(text.ok_or("a section lies outside of it")?) {
                return Err(format!("it has a name of more than {MAX_NAME} bytes"));
            }
        }
    }
    Ok(())
}

/// Returns whether every string in a string table is short enough. Searches backwards from the end of the longest
/// allowed string, which visits few bytes.
fn is_short(mut text: &[u8]) -> bool {
    while let Some(longest) = text.get(..=MAX_NAME) {
        match longest.iter().rposition(|byte| *byte == 0) {
            Some(end) => text = &text[end + 1..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_is_one_byte_shorter_than_what_is_refused() {
        let table = |length: usize| [b"\0a\0".as_slice(), &vec![b'x'; length], b"\0b\0"].concat();
        assert!(is_short(&table(MAX_NAME)));
        assert!(!is_short(&table(MAX_NAME + 1)));
        // The last string may lack its zero.
        assert!(is_short(&vec![b'x'; MAX_NAME]) && !is_short(&vec![b'x'; MAX_NAME + 1]));
        assert!(is_short(b"") && is_short(&[0; 5000]));
    }
}
