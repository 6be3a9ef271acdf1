//! Checks that manifest and source agree on options, and writes the manifest's defaults into the object.

use hidbpf::manifest::Manifest;
use hidbpf::options::{DriverOption, PREFIX, SECTION, Type};
use hidbpf::replay::{self, Declared};
use hidbpf_prelink::elf::{self, Elf, Variable};
use hidbpf_prelink::section::{FUNCTIONS, SectionRole, section_role};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

use crate::object::open;

/// Returns whether a section's programs only run while the driver is being attached, if they are programs.
fn runs_at_attach(section: &str) -> bool {
    match section_role(section) {
        Some(SectionRole::Program(_, hook)) => hook.row().runs_at_probe,
        Some(SectionRole::Syscall) => true,
        Some(SectionRole::StructOps) | None => false,
    }
}

/// Refuses an object whose options differ from the manifest's, and writes the manifest's defaults into it.
pub(crate) fn fill(object: &mut [u8], manifest: &Manifest) -> Result<(), String> {
    let mut places = Vec::new();
    {
        let file = open(object)?;
        let section = file.section_by_name(SECTION);
        let is_option = |variable: &Variable<'_>| variable.section_name == SECTION && variable.size > 0;
        let variables: Vec<Variable<'_>> = elf::variables(&file).filter(is_option).collect();
        if let Some(extra) = variables.iter().find(|variable| {
            !variable.name.starts_with(PREFIX)
                || !manifest.options.iter().any(|option| option.variable() == variable.name)
        }) {
            let option = extra.name.strip_prefix(PREFIX).unwrap_or(extra.name).replace('_', "-");
            return Err(format!("it has the option `{option}`, and driver.toml has no `[[option]]` of that name"));
        }
        let types = replay::Object::parse(object).map_err(|error| error.to_string())?;
        for option in &manifest.options {
            let name = option.variable();
            let Some(variable) = variables.iter().find(|variable| variable.name == name) else {
                let line = declaration(option);
                return Err(format!("driver.toml has the option `{}`, and the source has no `{line}`", option.name));
            };
            check_type(option, variable, types.declared(&name))?;
            check_readers(&file, option)?;
            let start = section.as_ref().and_then(|section| section.file_range()).map(|(start, _)| start);
            let start = start.ok_or_else(|| format!("its section `{SECTION}` is empty"))? + variable.offset;
            places.push((start, option.encode(&option.default)?));
        }
    }
    for (start, bytes) in places {
        let start = usize::try_from(start).map_err(|error| error.to_string())?;
        object
            .get_mut(start..start + bytes.len())
            .ok_or_else(|| format!("its section `{SECTION}` is damaged"))?
            .copy_from_slice(&bytes);
    }
    Ok(())
}

/// Returns the source line that declares an option.
fn declaration(option: &DriverOption) -> String {
    let name = option.name.replace('-', "_");
    match option.kind {
        Type::Bool => format!("HIDBPF_OPTION_BOOL({name});"),
        Type::Integer => format!("HIDBPF_OPTION_INTEGER({name});"),
        Type::Choice => format!("HIDBPF_OPTION_CHOICE({name}, {});", constants(option).join(", ")),
        Type::Table => format!("HIDBPF_OPTION_TABLE({name}, {});", option.size.unwrap_or(0)),
        Type::Text => format!("HIDBPF_OPTION_TEXT({name}, {});", option.max_length.unwrap_or(0)),
    }
}

/// Returns the constants of a choice, in the order of driver.toml.
fn constants(option: &DriverOption) -> Vec<String> {
    let constant = |value: &String| format!("{}_{value}", option.name).to_uppercase().replace('-', "_");
    option.values.iter().map(constant).collect()
}

fn check_type(option: &DriverOption, variable: &Variable<'_>, declared: Option<Declared>) -> Result<(), String> {
    let fits = variable.size == option.size() as u64
        && match (option.kind, declared) {
            (Type::Bool, Some(Declared::Bool)) => true,
            (Type::Integer, Some(Declared::Integer { size: 4, signed: true })) => true,
            (Type::Choice, Some(Declared::Enumeration(found))) => {
                found.into_iter().eq(constants(option).into_iter().zip(0..))
            }
            (Type::Table, Some(Declared::Numbers { size: 4, signed: true })) => true,
            (Type::Text, Some(Declared::Numbers { size: 1, .. })) => true,
            _ => false,
        };
    if fits {
        return Ok(());
    }
    Err(format!(
        "the option `{}` is another one in the source, where it should be `{}`",
        option.name,
        declaration(option)
    ))
}

/// Checks that an option that is read during attaching says so. Otherwise a new value would only apply after
/// reattaching.
fn check_readers(file: &Elf<'_>, option: &DriverOption) -> Result<(), String> {
    if option.reattach {
        return Ok(());
    }
    let is_probed = |name: &str| runs_at_attach(name) && section_role(name) != Some(SectionRole::Syscall);
    let is_probed = file.sections().any(|section| section.name().is_ok_and(is_probed));
    let variable = option.variable();
    for section in file.sections() {
        let Ok(name) = section.name() else { continue };
        // Any program may call the functions.
        let is_early = runs_at_attach(name) || is_probed && name == FUNCTIONS;
        let reads = || {
            section.relocations().any(|(_, relocation)| match relocation.target() {
                RelocationTarget::Symbol(index) => {
                    file.symbol_by_index(index).is_ok_and(|symbol| symbol.name().is_ok_and(|name| name == variable))
                }
                _ => false,
            })
        };
        if is_early && reads() {
            return Err(format!(
                "the option `{}` is read when the driver is attached (in the section `{name}`): say `reattach = true` in driver.toml",
                option.name
            ));
        }
    }
    Ok(())
}
