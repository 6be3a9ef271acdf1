//! Finds the place in a source that an instruction of an object comes from.

use std::path::Path;

use hidbpf::object::INSTRUCTION_SIZE;
use hidbpf::replay::source_line;
use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, RelocationTarget, SectionIndex, SymbolKind};

/// The number of instructions to search for one of the source. Those before it come from headers.
const SEARCHED: u64 = 4096;

/// Returns the place of an instruction: `x.bpf.c:33`. If the instruction comes from a header, this is the nearest place
/// before it in the source. Without line information it is the source.
pub(crate) fn of(source: &Path, bytes: &[u8], elf: &ElfFile64<'_>, section: SectionIndex, offset: u64) -> String {
    let file = source.file_name().unwrap_or_default().to_string_lossy();
    let line = function_at(elf, section, offset).and_then(|function| {
        let (name, index) = (function.name().ok()?, (offset - function.address()) / INSTRUCTION_SIZE);
        let lines = (index.saturating_sub(SEARCHED)..=index).rev().filter_map(|index| source_line(bytes, name, index));
        let mut lines = lines.peekable();
        let exact = lines.peek().cloned();
        lines.find(|line| line.file.ends_with(&*file)).or(exact)
    });
    match line {
        Some(line) if line.file.ends_with(&*file) => format!("{}:{}", source.display(), line.line),
        Some(line) => line.to_string(),
        None => source.display().to_string(),
    }
}

/// Iterates over the instructions that refer to symbols outside the object: section, offset in bytes, and symbol.
pub(crate) fn undefined<'data, 'file>(
    elf: &'file ElfFile64<'data>,
) -> impl Iterator<Item = (SectionIndex, u64, ElfSymbol64<'data, 'file>)> {
    let code = elf.sections().filter(|section| section.kind() == object::SectionKind::Text);
    code.flat_map(move |section| {
        let index = section.index();
        section.relocations().filter_map(move |(offset, relocation)| {
            let RelocationTarget::Symbol(symbol) = relocation.target() else { return None };
            let symbol = elf.symbol_by_index(symbol).ok().filter(|symbol| symbol.is_undefined())?;
            Some((index, offset, symbol))
        })
    })
}

/// Returns the function that contains an instruction.
fn function_at<'data, 'file>(
    elf: &'file ElfFile64<'data>,
    section: SectionIndex,
    offset: u64,
) -> Option<ElfSymbol64<'data, 'file>> {
    elf.symbols().find(|symbol| {
        symbol.kind() == SymbolKind::Text
            && symbol.section_index() == Some(section)
            && offset.checked_sub(symbol.address()).is_some_and(|inside| inside < symbol.size())
    })
}
