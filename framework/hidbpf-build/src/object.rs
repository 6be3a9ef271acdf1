//! Checks that an object is a valid driver, and adds sections to it.

use hidbpf::manifest::{Manifest, Requirement, SECTION};
use hidbpf_prelink::driver::{PROBE_PROGRAM, SETUP_PROGRAM};
use hidbpf_prelink::elf::{self, Elf, NotBpf};
use hidbpf_prelink::section::{self, FUNCTIONS, OPS_MAP, SYSCALL, SectionRole, section_role};
use hidbpf_prelink::{Generation, KERNEL_NAME_MAX, btf, btf_ext};
use object::build::ByteString;
use object::build::elf::{Builder, Section, SectionData};
use object::elf::{SHT_PROGBITS, SHT_STRTAB};
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolSection};

/// Returns the role of a program's section, if the SDK's macros make programs in it.
fn role(section: &str) -> Option<SectionRole> {
    section_role(section).filter(|role| match role {
        SectionRole::Program(_, hook) => section::of_hook(*hook).iter().any(|known| known == section),
        SectionRole::Syscall => section == SYSCALL,
        SectionRole::StructOps => false,
    })
}

/// Opens an object that clang made.
pub(crate) fn open(object: &[u8]) -> Result<Elf<'_>, String> {
    elf::open(object).map_err(|error| match error {
        NotBpf::Elf(error) => format!("clang made no 64-bit ELF file: {error}"),
        NotBpf::Machine { .. } => "clang made an object for another machine than BPF".to_owned(),
        NotBpf::BigEndian => "clang made a big-endian object".to_owned(),
        other => format!("clang made no object that can be loaded: {other}"),
    })
}

/// Refuses an object that hidbpf could not load, or that would do less than its source says.
pub(crate) fn check(object: &[u8], manifest: &Manifest) -> Result<(), String> {
    let file = open(object)?;
    let section_name = |symbol: &object::read::elf::ElfSymbol64<'_, '_>| -> Option<String> {
        let SymbolSection::Section(index) = symbol.section() else { return None };
        Some(file.section_by_index(index).ok()?.name().ok()?.to_owned())
    };
    let listed = listed_in_map(&file);
    let mut is_empty = true;
    let mut struct_ops = false;
    for symbol in file.symbols().filter(|symbol| symbol.kind() == object::SymbolKind::Text && symbol.is_global()) {
        let (Ok(name), Some(section)) = (symbol.name(), section_name(&symbol)) else { continue };
        if section == FUNCTIONS {
            continue;
        }
        let Some(role) = role(&section) else {
            return Err(format!(
                "the program `{name}` is in the section `{section}`, which hidbpf doesn't load; use the macros of hidbpf/driver.h"
            ));
        };
        if name.len() > KERNEL_NAME_MAX {
            return Err(format!(
                "the program's name `{name}` is longer than the {KERNEL_NAME_MAX} characters that the kernel keeps"
            ));
        }
        if role == SectionRole::Syscall && ![PROBE_PROGRAM, SETUP_PROGRAM].contains(&name) {
            return Err(format!("nothing would run the syscall program `{name}`; use HIDBPF_PROBE or HIDBPF_SETUP"));
        }
        if name == PROBE_PROGRAM {
            continue;
        }
        if let SectionRole::Program(Generation::StructOps, hook) = role {
            struct_ops = true;
            if !listed.iter().any(|program| program == name) {
                return Err(format!(
                    "the hook `{}` is missing in the line `HIDBPF_DRIVER(...)`, and would never run",
                    hook.row().name
                ));
            }
        }
        is_empty = false;
    }
    if is_empty {
        return Err("it has neither a hook nor a setup; see hidbpf/driver.h".to_owned());
    }
    for section in [btf::SECTION, btf_ext::SECTION] {
        if file.section_by_name(section).is_none() {
            return Err(format!(
                "it has no section `{section}`, which kernels need to load it (was clang given `-g0`?)"
            ));
        }
    }
    if file.section_by_name("license").is_none() {
        return Err("its last line must be `HIDBPF_DRIVER(...)`, which gives the licence too".to_owned());
    }
    let maps = file
        .symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Data && section_name(symbol).as_deref() == Some(OPS_MAP))
        .count();
    match (struct_ops, maps) {
        (true, 1) | (false, 0) => {}
        (true, 0) => {
            return Err("it has hooks and no struct_ops map: its last line must be `HIDBPF_DRIVER(...)`".to_owned());
        }
        (false, _) => {
            return Err(
                "it has no hook for the line `HIDBPF_DRIVER(...)`; is it `HIDBPF_DRIVER_WITHOUT_HOOKS()`?".to_owned()
            );
        }
        (true, _) => return Err(format!("it has {maps} struct_ops maps, and a driver has one")),
    }
    let is_older = |name: &str| matches!(section_role(name), Some(SectionRole::Program(Generation::FmodRet, _)));
    let older = file.sections().any(|section| section.name().is_ok_and(is_older));
    if older && manifest.requires.contains(&Requirement::StructOps) {
        return Err("its manifest says `requires = [\"struct-ops\"]`, yet it has FMOD_RET programs".to_owned());
    }
    Ok(())
}

/// Returns the programs that the struct_ops map points to.
fn listed_in_map(file: &Elf<'_>) -> Vec<String> {
    let Some(map) = file.section_by_name(OPS_MAP) else { return Vec::new() };
    let target = |target| match target {
        RelocationTarget::Symbol(index) => file.symbol_by_index(index).ok()?.name().ok().map(str::to_owned),
        _ => None,
    };
    map.relocations().filter_map(|(_, relocation)| target(relocation.target())).collect()
}

/// Adds the manifest and the prelinked programs to an object, as sections that libbpf ignores.
pub(crate) fn with_sections(object: &[u8], manifest: &[u8], prelinked: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let failed = |error: object::build::Error| format!("its manifest can't be added: {error}");
    let mut builder = Builder::read(object).map_err(failed)?;
    let has_names = builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString));
    let mut add = |name, kind, data| {
        let section: &mut Section<'_> = builder.sections.add();
        section.name = ByteString::from(name);
        section.sh_type = kind;
        section.sh_addralign = 1;
        section.data = data;
    };
    add(SECTION, SHT_PROGBITS, SectionData::Data(manifest.into()));
    if let Some(prelinked) = prelinked {
        add(hidbpf_prelink::SECTION, SHT_PROGBITS, SectionData::Data(prelinked.into()));
    }
    // libbpf's linker puts section names and symbol names into one table, but the builder requires two.
    if !has_names {
        add(".shstrtab", SHT_STRTAB, SectionData::SectionString);
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
