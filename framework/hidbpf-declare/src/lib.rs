//! Drivers without C: reads the repairs that a driver's manifest declares, and makes the driver's object of them.
//!
//! No compiler is involved. The programs are generated for the declaration: only the bytes that it names are read,
//! compared and written. The object is like those that clang makes: programs for both generations, types, and the
//! lines of the manifest that instructions come from.
//!
//! | module | answers for |
//! |---|---|
//! | [`language`] | what a manifest can say |
//! | `address` | which bits of a report, or which item of a descriptor, the words of a manifest mean |
//! | `recorded` | the devices of the driver's recordings |
//! | `plan` | the bytes that change in each descriptor, and whether the declared changes fit it |
//! | `condition` | what conditions compare |
//! | `fixup`, `event` | the instructions of the two hooks |
//! | `click` | the reports of a press and a release |
//! | `assembler` | instructions, labels and references |
//! | `btf`, `elf` | the object around them |
//! | `source` | the same driver as C |

mod address;
mod assembler;
mod btf;
mod bytes;
mod click;
mod condition;
mod elf;
mod event;
mod fixup;
pub mod language;
mod mistake;
mod plan;
mod recorded;
mod source;
mod value;

use std::path::Path;

use hidbpf_core::manifest::options::Type;
use hidbpf_core::manifest::{Manifest, ManifestError};

pub use language::Declaration;
pub use recorded::Recorded;

use elf::{Object, Program};
use mistake::Mistake;

/// Reads the repairs that a manifest declares. `path` is used only in errors.
///
/// # Errors
/// The text is not valid TOML, or a repair is not valid. The error has line and column.
pub fn read(path: &Path, text: &str) -> Result<Declaration, ManifestError> {
    Declaration::parse(text).map_err(|mistake| mistake.into_error(path, text))
}

/// Makes the object of a driver from its declaration. `text` is that of the manifest, and `file` its name in the lines
/// that the object's instructions come from.
///
/// # Errors
/// A repair does not fit a recorded device, names an option or label that does not exist, or cannot be generated. The
/// error has line and column.
pub fn object(
    path: &Path,
    text: &str,
    file: &str,
    manifest: &Manifest,
    declaration: &Declaration,
    recorded: &[Recorded],
) -> Result<Vec<u8>, ManifestError> {
    generate(text, file, manifest, declaration, recorded).map_err(|mistake| mistake.into_error(path, text))
}

/// Returns a declared driver as C with the SDK's macros. `text` is that of the manifest.
///
/// # Errors
/// As for [`object()`]. Or the repair moves bytes of the descriptor, which the SDK has no macro for.
pub fn source(
    path: &Path,
    text: &str,
    manifest: &Manifest,
    declaration: &Declaration,
    recorded: &[Recorded],
) -> Result<String, ManifestError> {
    source::source(manifest, text, declaration, recorded).map_err(|mistake| mistake.into_error(path, text))
}

fn generate(
    text: &str,
    file: &str,
    manifest: &Manifest,
    declaration: &Declaration,
    recorded: &[Recorded],
) -> Result<Vec<u8>, Mistake> {
    use hidbpf_prelink::{Generation, Hook};
    if let Some(option) = manifest.options.iter().find(|option| matches!(option.kind, Type::Table | Type::Text)) {
        let kind = if option.kind == Type::Table { "table" } else { "text" };
        let message =
            format!("the option `{}` is a {kind}, which a declared driver can't read: write it in C", option.name);
        return Err(Mistake::general(message));
    }
    let is_old_enough = !manifest.requires.contains(&hidbpf_core::manifest::Requirement::StructOps);
    let mut object = Object::new(manifest, text, file);
    if !declaration.descriptor.is_empty() {
        let plan = plan::Plan::of(manifest, &declaration.descriptor, recorded)?;
        for generation in [Generation::FmodRet, Generation::StructOps] {
            if generation == Generation::StructOps || is_old_enough {
                let code = fixup::generate(&plan, manifest, &mut object)?;
                object.add(Program { generation, hook: Hook::RdescFixup, code });
            }
        }
    }
    if !declaration.report.is_empty() {
        let rules = event::Rules::of(manifest, &declaration.report, recorded)?;
        for generation in [Generation::FmodRet, Generation::StructOps] {
            if generation == Generation::StructOps || is_old_enough {
                let code = event::generate(&rules, generation, manifest, &mut object)?;
                object.add(Program { generation, hook: Hook::DeviceEvent, code });
            }
        }
    }
    object.write()
}
