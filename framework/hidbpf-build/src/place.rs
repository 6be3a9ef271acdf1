//! Finds the place in a source that an instruction of an object comes from.

use std::path::Path;

use hidbpf_prelink::INSTRUCTION_SIZE;
use hidbpf_prelink::parts::{Extern, Parts, Target};

/// Returns the place of an instruction: `x.bpf.c:33`. If the instruction comes from a header, this is the nearest place
/// before it in the source. Without line information it is the source.
///
/// `section` is the index in [`Parts::code`], and `instruction` the one in the section.
pub(crate) fn of(source: &Path, parts: &Parts<'_>, section: usize, instruction: usize) -> String {
    let file = source.file_name().unwrap_or_default().to_string_lossy();
    let function = parts.functions.iter().find(|function| {
        function.code == section && (function.start..function.start + function.len).contains(&instruction)
    });
    let bytes = |instruction: usize| u32::try_from(instruction * INSTRUCTION_SIZE).ok();
    let line = |start: usize, instruction: usize| {
        parts.ext.line(&parts.btf, parts.code.get(section)?.name, bytes(start)?, bytes(instruction)?)
    };
    let lines = function.into_iter().flat_map(|function| {
        (function.start..=instruction).rev().filter_map(|instruction| line(function.start, instruction))
    });
    let mut lines = lines.peekable();
    let exact = lines.peek().cloned();
    match (lines.find(|line| line.file.ends_with(&*file)), exact) {
        (Some(line), _) => format!("{}:{}", source.display(), line.line),
        (None, Some(exact)) => format!("{}:{}", exact.file, exact.line),
        (None, None) => source.display().to_string(),
    }
}

/// Iterates over the instructions that refer to symbols outside the object: section and instruction as for [`of`], and
/// symbol.
pub(crate) fn externs<'a>(parts: &'a Parts<'_>) -> impl Iterator<Item = (usize, usize, Extern<'a>)> {
    parts.code.iter().enumerate().flat_map(move |(section, code)| {
        code.targets.iter().filter_map(move |(instruction, target)| match target {
            Target::Extern(index) => Some((section, *instruction, *parts.externs.get(*index)?)),
            _ => None,
        })
    })
}
