//! The struct_ops maps of an object: which of the kernel's structs each one fills.

use crate::btf::{self, Btf, Type};
use crate::elf::{self, Elf};
use crate::section::{SectionRole, section_role};

/// The maximum number of maps. No object has as many.
const MAX_MAPS: usize = 256;

/// A struct_ops map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpsMap<'a> {
    /// Its name.
    pub name: &'a str,
    /// The kernel's struct that it fills, empty if its type is not a struct.
    pub of: String,
}

/// Returns whether a section has struct_ops maps.
pub fn is_section(name: &str) -> bool {
    section_role(name) == Some(SectionRole::StructOps)
}

/// Returns the struct_ops maps of an object, in the order of its symbols.
///
/// # Errors
/// There are too many.
pub fn maps<'a>(elf: &Elf<'a>, types: &Btf) -> Result<Vec<OpsMap<'a>>, String> {
    let variables = elf::variables(elf).filter(|variable| is_section(variable.section_name));
    let of = |name: &str| match types.variable(name).map(|ty| types.get(types.resolve(ty))) {
        Some(Type::Record { name, is_struct: true, .. }) => btf::essential_name(name).to_owned(),
        _ => String::new(),
    };
    let maps: Vec<_> =
        variables.take(MAX_MAPS + 1).map(|variable| OpsMap { name: variable.name, of: of(variable.name) }).collect();
    match maps.len() {
        0..=MAX_MAPS => Ok(maps),
        _ => Err(format!("it has more than {MAX_MAPS} struct_ops maps")),
    }
}
