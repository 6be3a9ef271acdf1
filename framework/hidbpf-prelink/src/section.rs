//! The names of an object's sections, which say what each section is for.
//!
//! They are read as libbpf does (`section_defs`, tools/lib/bpf/libbpf.c).

use crate::generation::Generation;
use crate::hook::{HOOKS, Hook, Sleep};

/// The section of functions that programs call.
pub const FUNCTIONS: &str = ".text";

/// The section of the maps that the source defines.
pub const MAPS: &str = ".maps";

/// The section of the struct_ops map, as the SDK names it.
pub const OPS_MAP: &str = "?.struct_ops.link";

/// The section of struct_ops maps that libbpf attaches without a link (`bpf_map__attach_struct_ops()`,
/// tools/lib/bpf/libbpf.c). hidbpf attaches these by links, too.
pub const LINKLESS_OPS_MAP: &str = ".struct_ops";

/// The section of syscall programs, as the SDK names it.
pub const SYSCALL: &str = "?syscall";

/// The data that a driver shares with the drivers of other interfaces of the same physical device, and nothing else.
pub const SHARED_DATA: &str = ".data.shared";

/// The section of data that programs only read.
pub const READ_ONLY_DATA: &str = ".rodata";

/// The sections of data. Sections whose names begin with one of these and a dot are data, too.
const DATA: [&str; 3] = [READ_ONLY_DATA, ".data", ".bss"];

/// The role of a section that hidbpf uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionRole {
    /// A program for a hook, of one generation.
    Program(Generation, Hook),
    /// Syscall programs.
    Syscall,
    /// The struct_ops map.
    StructOps,
}

/// Returns a section's name without the leading `?`, which means "not loaded unless asked for".
pub fn plain_name(section: &str) -> &str {
    section.strip_prefix('?').unwrap_or(section)
}

/// Splits the name of a section of programs into the kind, whether the programs may sleep (`.s`), and the target.
fn split(section: &str) -> Option<(&str, bool, &str)> {
    let (kind, target) = plain_name(section).split_once('/')?;
    Some(match kind.strip_suffix(".s") {
        Some(kind) => (kind, true, target),
        None => (kind, false, target),
    })
}

/// Returns the role of a section.
pub fn section_role(section: &str) -> Option<SectionRole> {
    match plain_name(section) {
        "syscall" => return Some(SectionRole::Syscall),
        ".struct_ops.link" | LINKLESS_OPS_MAP => return Some(SectionRole::StructOps),
        _ => {}
    }
    let (kind, _, target) = split(section)?;
    HOOKS.iter().find_map(|row| match kind {
        "fmod_ret" if row.function == Some(target) => Some(SectionRole::Program(Generation::FmodRet, row.hook)),
        "struct_ops" if row.member == target => Some(SectionRole::Program(Generation::StructOps, row.hook)),
        _ => None,
    })
}

/// Returns the kernel's name for the hook of a section of programs, whether the hook is known or not.
pub fn hook_name(section: &str) -> Option<&str> {
    let (kind, _, target) = split(section)?;
    ["fmod_ret", "struct_ops"].contains(&kind).then_some(target)
}

/// Returns whether the programs of a section may sleep.
pub fn may_sleep(section: &str) -> bool {
    plain_name(section) == "syscall" || split(section).is_some_and(|(_, sleeps, _)| sleeps)
}

/// Returns whether a section is `.data` or begins with `.data.`, for the prefix `.data`. `.database` does not match.
pub fn is_or_below(section: &str, prefix: &str) -> bool {
    section.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Returns whether a section contains variables.
pub fn is_data(section: &str) -> bool {
    DATA.iter().any(|prefix| is_or_below(section, prefix))
}

/// Returns the section of a hook's programs that don't sleep. `None` if the generation does not have the hook.
pub fn of_program(hook: Hook, generation: Generation) -> Option<String> {
    let row = hook.row();
    match generation {
        Generation::FmodRet => row.function.map(|function| format!("?fmod_ret/{function}")),
        Generation::StructOps => Some(format!("?struct_ops/{}", row.member)),
    }
}

/// Returns the sections that the SDK puts a hook's programs into.
pub fn of_hook(hook: Hook) -> Vec<String> {
    let row = hook.row();
    let generations = [Generation::FmodRet, Generation::StructOps];
    let mut sections: Vec<String> =
        generations.into_iter().filter_map(|generation| of_program(hook, generation)).collect();
    if row.sleep != Sleep::Never {
        sections.push(format!("?struct_ops.s/{}", row.member));
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_as_libbpf_reads_them() {
        use Generation::{FmodRet, StructOps};
        for (name, role) in [
            ("?fmod_ret/hid_bpf_device_event", Some(SectionRole::Program(FmodRet, Hook::DeviceEvent))),
            ("fmod_ret/hid_bpf_rdesc_fixup", Some(SectionRole::Program(FmodRet, Hook::RdescFixup))),
            ("?struct_ops/hid_device_event", Some(SectionRole::Program(StructOps, Hook::DeviceEvent))),
            ("?struct_ops.s/hid_rdesc_fixup", Some(SectionRole::Program(StructOps, Hook::RdescFixup))),
            ("?struct_ops.s/hid_hw_request", Some(SectionRole::Program(StructOps, Hook::HwRequest))),
            ("?struct_ops/hid_hw_output_report", Some(SectionRole::Program(StructOps, Hook::HwOutputReport))),
            ("?syscall", Some(SectionRole::Syscall)),
            ("?.struct_ops.link", Some(SectionRole::StructOps)),
            (".struct_ops", Some(SectionRole::StructOps)),
            ("fmod_ret/hid_hw_request", None),
            ("fmod_ret/security_file_open", None),
            (".text", None),
            ("", None),
        ] {
            assert_eq!(section_role(name), role, "{name}");
        }
        assert!(is_data(".rodata.str1.1") && is_data(".bss") && !is_data(".bssx") && !is_data(".text"));
        assert_eq!(hook_name("?struct_ops.s/hid_something"), Some("hid_something"));
        assert_eq!((hook_name("?syscall"), hook_name("tp/x")), (None, None));
        assert!(may_sleep("?syscall") && may_sleep("struct_ops.s/x") && !may_sleep("?struct_ops/x"));
    }

    #[test]
    fn the_sections_of_a_hook_have_its_role() {
        for row in HOOKS {
            for section in of_hook(row.hook) {
                let role = section_role(&section);
                assert!(matches!(role, Some(SectionRole::Program(_, hook)) if hook == row.hook), "{section}: {role:?}");
            }
        }
    }
}
