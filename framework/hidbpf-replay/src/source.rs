//! Finds the line of a driver's source that an instruction comes from.

use hidbpf_prelink::INSTRUCTION_SIZE;
use hidbpf_prelink::btf::{self, Btf};
use hidbpf_prelink::btf_ext::{self, BtfExt, SourceLine};
use hidbpf_prelink::elf;
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

/// Returns the source line of an instruction, counted from 0 in its program, as the kernel's verifier counts. `None` if
/// the object has no line information for it.
pub fn source_line(object: &[u8], program: &str, instruction: u64) -> Option<SourceLine> {
    let elf = elf::open(object).ok()?;
    let symbol = elf.symbol_by_name(program)?;
    // libbpf places called functions after the program's own instructions.
    let start = symbol.address();
    let offset = start.checked_add(instruction.checked_mul(INSTRUCTION_SIZE as u64)?)?;
    if offset >= start.checked_add(symbol.size())? {
        return None;
    }
    let section = elf.section_by_index(symbol.section_index()?).ok()?;
    let data = |name| elf.section_by_name(name).and_then(|section| section.data().ok());
    let btf = Btf::parse(data(btf::SECTION)?).ok()?;
    let lines = BtfExt::parse(data(btf_ext::SECTION)?, &btf).ok()?;
    lines.line(&btf, section.name().ok()?, start.try_into().ok()?, offset.try_into().ok()?)
}
