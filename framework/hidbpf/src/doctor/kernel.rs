//! Checks the running kernel's features, and this process's permissions to use them.

use std::fs;

use super::{Finding, Grade, built};
use crate::error::Error;
use crate::kernel::{self, Generation, Support};
use crate::refusal::{self, Jit, Refusal};
use crate::system::System;

pub(super) fn kernel(system: &System, findings: &mut Vec<Finding>) -> Option<Generation> {
    let kernel = match kernel::detect(system) {
        Ok(kernel) => kernel,
        Err(error) => {
            findings.push(Finding::not_good("kernel", Grade::Bad, error.to_string(), "boot another kernel"));
            return None;
        }
    };
    if let Support::Present(generation) = kernel.support {
        findings.push(Finding::good("kernel", format!("{} has HID-BPF with {generation} hooks", kernel.release)));
        return Some(generation);
    }
    if let Err(error) = kernel.generation() {
        let message = match (version(&kernel.release), built::missing(system, &kernel.release)) {
            (Some(version), _) if version < (6, 3) => {
                format!("the running kernel, {}, is older than HID-BPF, which came with Linux 6.3", kernel.release)
            }
            (_, Some(missing)) if !missing.is_empty() => {
                format!("{error}; its configuration does not set {}", missing.join(" and "))
            }
            _ => error.to_string(),
        };
        findings.push(Finding::not_good("kernel", Grade::Bad, message, better_kernel(system, &kernel.release, &error)));
    }
    None
}

/// Names a better kernel to boot: an installed one, if its configuration shows the needed options.
fn better_kernel(system: &System, running: &str, error: &Error) -> String {
    let installed: Vec<String> = built::with_hid_bpf(system, running).into_iter().collect();
    match &installed[..] {
        [] => error.hint().unwrap_or("boot another kernel").to_owned(),
        [one] => format!("boot the installed kernel {one}, which was built with HID-BPF"),
        several => format!("boot one of the installed kernels that were built with HID-BPF: {}", several.join(", ")),
    }
}

/// Returns the major and minor version of a release such as `7.3.4+deb13-amd64`. Only for messages: the kernel's BTF
/// shows its features.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(super) fn privileges(generation: Generation) -> Finding {
    match kernel::missing_capabilities(generation) {
        Ok(missing) if missing.is_empty() => Finding::good("privileges", "this process may attach drivers"),
        Ok(missing) => Finding::not_good(
            "privileges",
            Grade::Warning,
            format!("this process lacks {}, and can attach nothing", missing.join(", ")),
            "run hidbpf as root, for example with sudo; udev does so",
        ),
        Err(error) => Finding::not_good("privileges", Grade::Warning, error.to_string(), "run hidbpf as root"),
    }
}

/// Checks that the kernel accepts programs and compiles them. Only a process that may load programs can try.
pub(super) fn programs(system: &System, generation: Generation) -> Finding {
    const CHECK: &str = "programs";
    let bad = |refusal: Refusal| Finding::not_good(CHECK, Grade::Bad, refusal.cause, refusal.hint);
    let jit = Jit::of(system).refusal();
    if !kernel::missing_capabilities(generation).is_ok_and(|missing| missing.is_empty()) {
        return jit.map_or_else(|| Finding::good(CHECK, "the kernel's BPF JIT compiler is on"), bad);
    }
    match (refusal::try_program(), jit) {
        (Ok(true), _) => Finding::good(CHECK, "the kernel loads programs, and compiles them"),
        (Ok(false), Some(refusal)) => bad(refusal),
        (Ok(false), None) => {
            let message = "the kernel loads programs, and does not compile them, without which drivers can't run";
            Finding::not_good(CHECK, Grade::Bad, message, "boot a kernel with CONFIG_BPF_JIT=y")
        }
        (Err(error), _) => {
            let what = format!("failed to load a program that does nothing: {}", refusal::words(&error));
            match Refusal::of_error(system, &error) {
                Some(refusal) => {
                    Finding::not_good(CHECK, Grade::Bad, format!("{what}: {}", refusal.cause), refusal.hint)
                }
                None => Finding::not_good(CHECK, Grade::Bad, what, "look for it in the kernel's log: `journalctl -k`"),
            }
        }
    }
}

/// Reports the kernel's lockdown mode, if any. HID-BPF works in all modes.
pub(super) fn lockdown(system: &System) -> Option<Finding> {
    let text = fs::read_to_string(system.sysfs.join("kernel/security/lockdown")).ok()?;
    let mode = text.split_once('[')?.1.split_once(']')?.0;
    let why = if mode == "none" {
        ""
    } else {
        "; that keeps off programs that read the kernel's memory, which drivers don't"
    };
    Some(Finding::good("lockdown", format!("{mode}{why}")))
}

pub(super) fn hid_core(system: &System) -> Finding {
    if system.hid_devices().is_dir() {
        Finding::good("hid", "the HID core is there")
    } else {
        Finding::not_good(
            "hid",
            Grade::Warning,
            "the HID core is not loaded, or sysfs not mounted",
            "run `modprobe hid` as root",
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;
    use crate::kernel::Kernel;

    #[test]
    fn releases_are_read_for_what_is_said_of_them() {
        assert_eq!(version("7.3.4+deb13-amd64"), Some((7, 3)));
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert_eq!(version("6"), None);
        assert_eq!(version("next"), None);
    }

    #[test]
    fn an_installed_kernel_that_can_is_named() {
        const CONFIG: &str = "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_HID_BPF=y\n";
        let error = Kernel { release: "1".to_owned(), support: Support::NoHidBpf }.generation().unwrap_err();
        let hint = |files: &[(&str, &str)]| better_kernel(&machine(files).1, "1", &error);
        assert!(hint(&[]).contains("CONFIG_HID_BPF and CONFIG_DEBUG_INFO_BTF"), "{}", hint(&[]));
        assert_eq!(hint(&[("boot/config-2", CONFIG)]), "boot the installed kernel 2, which was built with HID-BPF");
        assert!(hint(&[("boot/config-2", CONFIG), ("lib/modules/3/config", CONFIG)]).ends_with(": 2, 3"));
    }

    #[test]
    fn lockdown_is_shown_where_the_kernel_has_it() {
        const FILE: &str = "sys/kernel/security/lockdown";
        let (_root, locked) = machine(&[(FILE, "none [integrity] confidentiality\n")]);
        let finding = lockdown(&locked).unwrap();
        assert_eq!(finding.grade, Grade::Good);
        assert!(finding.message.starts_with("integrity; "), "{}", finding.message);
        let (_root, open) = machine(&[(FILE, "[none] integrity confidentiality\n")]);
        assert_eq!(lockdown(&open).unwrap().message, "none");
        assert_eq!(lockdown(&machine(&[]).1), None);
    }
}
