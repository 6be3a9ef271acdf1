//! Checks that manifest and source agree on fields, exports and maps, and that clang hasn't split or shrunk any variable.

use hidbpf::manifest::Manifest;
use hidbpf::{exports, fields};
use hidbpf_prelink::driver::SETUP_PROGRAM;
use hidbpf_prelink::elf::{self, Variable};
use hidbpf_prelink::section::READ_ONLY_DATA;
use object::{Object, ObjectSymbol, SymbolKind};

use crate::object::open;

/// The section of the constants that user space sets before it loads the programs.
const CONSTANTS: &str = READ_ONLY_DATA;

/// Refuses an object whose fields or exports differ from the manifest's.
pub(crate) fn check(object: &[u8], manifest: &Manifest) -> Result<(), String> {
    let parsed = hidbpf::replay::Object::parse(object).map_err(|error| error.to_string())?;
    if let Some(shrunk) = parsed.shrunk_variables().first() {
        return Err(format!(
            "clang has made the variable `{shrunk}` smaller than its type, which the kernel refuses: declare it `volatile`, or without `static`"
        ));
    }
    let file = open(object)?;
    let variables: Vec<Variable<'_>> = elf::variables(&file).filter(|variable| variable.is_global).collect();
    let is_there = |name: &str, section: &str, size: usize| {
        let is_it = |variable: &Variable<'_>| variable.name == name && variable.section_name == section;
        variables.iter().any(|variable| is_it(variable) && variable.size == size as u64)
    };
    for field in &manifest.fields {
        let name = field.variable();
        if !is_there(&name, CONSTANTS, fields::SIZE) {
            let macro_name = name.strip_prefix(fields::PREFIX).unwrap_or(&name);
            return Err(format!(
                "driver.toml has the field `{}`, and the source has no `HIDBPF_FIELD({macro_name});`",
                field.name
            ));
        }
    }
    for variable in variables.iter().filter(|variable| variable.section_name == CONSTANTS) {
        let Some(field) = variable.name.strip_prefix(fields::PREFIX) else { continue };
        if !manifest.fields.iter().any(|known| known.variable() == variable.name) {
            let field = field.replace('_', "-");
            return Err(format!("it has the field `{field}`, and driver.toml has no `[[field]]` of that name"));
        }
    }
    for export in &manifest.exports {
        let property = &export.property;
        if !is_there(&export.variable(), exports::SECTION, exports::SIZE) {
            return Err(format!(
                "driver.toml has the export `{property}`, and the source has no `HIDBPF_EXPORT({property});`"
            ));
        }
    }
    for Variable { name, section_name, .. } in &variables {
        if *section_name == exports::SECTION && !manifest.exports.iter().any(|export| export.variable() == *name) {
            let property = name.strip_prefix(exports::PREFIX).unwrap_or(name);
            return Err(format!(
                "it has the export `{property}`, and driver.toml has no `[[export]]` of that property"
            ));
        }
    }
    for map in &manifest.maps {
        if !parsed.map_names().any(|name| name == map.name) {
            return Err(format!(
                "driver.toml has the map `{}`, and the source has no map of that name, as by HIDBPF_ARRAY of hidbpf/map.h",
                map.name
            ));
        }
    }
    let has_setup =
        file.symbols().any(|symbol| symbol.kind() == SymbolKind::Text && symbol.name() == Ok(SETUP_PROGRAM));
    match manifest.exports.first() {
        Some(export) if !has_setup => Err(format!(
            "driver.toml has the export `{}`, and the source has no `HIDBPF_SETUP` that could write it",
            export.property
        )),
        _ => Ok(()),
    }
}
