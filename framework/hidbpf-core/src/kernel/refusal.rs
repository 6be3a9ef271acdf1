//! Why the kernel refuses valid BPF programs: it can't compile them, or a security policy forbids them.
//!
//! The errno alone does not say which. ENOTSUPP (524) has no name in user space. The kernel returns it if its JIT
//! compiler is missing or off, because calls of kernel functions must be compiled (`check_kfunc_call()`,
//! kernel/bpf/verifier.c).
//!
//! EPERM with all capabilities comes from a user namespace, a seccomp filter, or a security module with hooks on bpf().
//! That is SELinux, which returns EACCES, or a program of the BPF LSM. Lockdown has no such hook. It hides helpers that
//! read the kernel's memory, which drivers don't call.

use std::fs;
use std::io;
use std::os::fd::AsFd;

use crate::error::ErrorKind;
use crate::kernel::{self, Generation};
use crate::sys::{self, ProgramSpec, Role};
use crate::system::System;

/// `ENOTSUPP` (include/linux/errno.h of the kernel's own headers).
const ENOTSUPP: i32 = 524;

/// The reason why the kernel refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The component that refuses, as far as it is known.
    pub cause: String,
    /// How to resolve it.
    pub hint: String,
}

impl Refusal {
    /// Finds the reason behind an errno of bpf(2). Returns `None` if the errno is about the program itself.
    pub fn of(system: &System, errno: i32) -> Option<Refusal> {
        match errno {
            ENOTSUPP => Jit::of(system).refusal(),
            libc::EPERM | libc::EACCES => forbidden(system, errno),
            _ => None,
        }
    }

    /// Finds the reason behind a system error.
    pub fn of_error(system: &System, error: &io::Error) -> Option<Refusal> {
        Refusal::of(system, error.raw_os_error()?)
    }
}

/// Returns the text of a system error. Adds the name that the standard library lacks: "ENOTSUPP (os error 524)".
pub fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(ENOTSUPP) => format!("ENOTSUPP (os error {ENOTSUPP})"),
        _ => error.to_string(),
    }
}

/// Returns the errno in the text of a system error, "... (os error 524)". Some libraries pass on nothing else.
pub fn errno_of_text(text: &str) -> Option<i32> {
    let (_, number) = text.rsplit_once("(os error ")?;
    number.strip_suffix(')')?.parse().ok()
}

/// The state of the kernel's JIT compiler for BPF programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jit {
    /// It is on.
    On,
    /// It is off.
    Off,
    /// The kernel has none, or does not show it in this network namespace.
    Absent,
}

impl Jit {
    /// Reads `net.core.bpf_jit_enable`, which kernels with `CONFIG_BPF_JIT` have in the first network namespace.
    pub fn of(system: &System) -> Jit {
        match fs::read_to_string(system.root.join("proc/sys/net/core/bpf_jit_enable")) {
            Ok(text) if text.trim() == "0" => Jit::Off,
            Ok(_) => Jit::On,
            Err(_) => Jit::Absent,
        }
    }

    /// Returns the consequence for drivers, or `None` if the compiler is on.
    pub fn refusal(self) -> Option<Refusal> {
        let (cause, hint) = match self {
            Jit::On => return None,
            Jit::Off => (
                "the BPF JIT compiler is off (net.core.bpf_jit_enable=0), and HID-BPF programs only run compiled",
                "run `sysctl net.core.bpf_jit_enable=1` as root, and look in /etc/sysctl.d for the file that turns it off",
            ),
            Jit::Absent => (
                "the kernel has no BPF JIT compiler (there is no net.core.bpf_jit_enable), and HID-BPF programs only run compiled",
                "boot a kernel with CONFIG_BPF_JIT=y",
            ),
        };
        Some(Refusal { kind: ErrorKind::Kernel, cause: cause.to_owned(), hint: hint.to_owned() })
    }
}

/// Finds out which policy forbids a process with all capabilities to load programs.
fn forbidden(system: &System, errno: i32) -> Option<Refusal> {
    // An earlier check reports missing capabilities.
    if !kernel::missing_capabilities(Generation::StructOps).is_ok_and(|missing| missing.is_empty()) {
        return None;
    }
    let (mut causes, mut hints) = (Vec::new(), Vec::new());
    for Suspect { cause, hint, .. } in suspects(system).into_iter().filter(|suspect| suspect.errno == errno) {
        causes.push(cause);
        hints.push(hint);
    }
    // The verifier itself returns EACCES too.
    if errno == libc::EACCES && causes.is_empty() {
        return None;
    }
    let cause = match causes.is_empty() {
        false => format!("this process has the capabilities, so that {} refuses", causes.join(" or ")),
        true => {
            "this process has the capabilities, so that a security policy refuses, and the kernel does not say which"
                .to_owned()
        }
    };
    hints.push("the kernel's log may name it: `journalctl -k`");
    Some(Refusal { kind: ErrorKind::Permission, cause, hint: hints.join("; ") })
}

/// A policy that may refuse bpf() calls.
struct Suspect {
    cause: &'static str,
    hint: &'static str,
    /// The errno that it returns.
    errno: i32,
}

/// Returns the active policies that may refuse bpf() calls, as far as the kernel shows them.
fn suspects(system: &System) -> Vec<Suspect> {
    let read = |path: &str| fs::read_to_string(system.root.join(path)).unwrap_or_default();
    let mut suspects = Vec::new();
    let mut add =
        |is_there: bool, errno, cause, hint| suspects.extend(is_there.then_some(Suspect { cause, hint, errno }));
    let users = read("proc/self/uid_map");
    let users: Vec<&str> = users.split_ascii_whitespace().collect();
    add(
        !users.is_empty() && users != ["0", "0", "4294967295"],
        libc::EPERM,
        "the user namespace that it is in",
        "run hidbpf outside of the container: capabilities of a user namespace do not count for BPF",
    );
    let is_filtered = |line: &str| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2");
    add(
        read("proc/self/status").lines().any(is_filtered),
        libc::EPERM,
        "its seccomp filter",
        "allow bpf(2) in the container's seccomp profile, or in the service's SystemCallFilter=",
    );
    let sysfs = |path: &str| fs::read_to_string(system.sysfs.join(path)).unwrap_or_default();
    add(
        sysfs("kernel/security/lsm").trim().split(',').any(|module| module == "bpf"),
        libc::EPERM,
        "a program of the BPF LSM",
        "`bpftool prog list` shows programs of type lsm, and who has loaded them",
    );
    add(
        sysfs("fs/selinux/enforce").trim() == "1",
        libc::EACCES,
        "SELinux",
        "`ausearch -m avc -ts recent` shows what SELinux has refused",
    );
    suspects
}

/// Loads a program that does nothing, to test whether the kernel loads any. Returns whether it was compiled.
///
/// # Errors
/// As for bpf(2).
pub fn try_program() -> io::Result<bool> {
    /// `r0 = 0` and `exit` (include/uapi/linux/bpf.h).
    const NOTHING: [hidbpf_prelink::Instruction; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];
    let program = sys::load_program(&ProgramSpec {
        name: "hidbpf_nothing",
        role: Role::Syscall,
        sleepable: true,
        license: c"GPL",
        instructions: &NOTHING,
        btf: None,
        functions: &[],
        relocations: &[],
    })?;
    sys::is_compiled(program.as_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let system = System { root: root.path().to_owned(), sysfs: root.path().join("sys"), ..System::default() };
        (root, system)
    }

    #[test]
    fn the_errno_without_a_name_is_named() {
        assert_eq!(words(&io::Error::from_raw_os_error(524)), "ENOTSUPP (os error 524)");
        assert_eq!(words(&io::Error::from_raw_os_error(1)), io::Error::from_raw_os_error(1).to_string());
        assert_eq!(errno_of_text("failed to load object: Unknown error 524 (os error 524)"), Some(524));
        for text in ["", "failed", "(os error )", "(os error 5) and more"] {
            assert_eq!(errno_of_text(text), None, "{text}");
        }
    }

    #[test]
    fn a_kernel_without_a_jit_compiler_is_known_by_its_sysctl() {
        const FILE: &str = "proc/sys/net/core/bpf_jit_enable";
        for (files, jit, cause) in [
            (&[(FILE, "0\n")][..], Jit::Off, "bpf_jit_enable=0"),
            (&[(FILE, "1\n")], Jit::On, ""),
            (&[(FILE, "2\n")], Jit::On, ""),
            (&[], Jit::Absent, "has no BPF JIT compiler"),
        ] {
            let (_root, system) = machine(files);
            assert_eq!(Jit::of(&system), jit);
            let refusal = Refusal::of(&system, 524);
            assert_eq!(refusal.is_none(), jit == Jit::On);
            assert!(refusal.is_none_or(|refusal| refusal.kind == ErrorKind::Kernel && refusal.cause.contains(cause)));
        }
    }

    #[test]
    fn who_may_refuse_is_known_by_what_the_kernel_tells() {
        let causes = |files: &[(&str, &str)], errno| {
            let (_root, system) = machine(files);
            let suspects = suspects(&system).into_iter().filter(|suspect| suspect.errno == errno);
            suspects.map(|suspect| suspect.cause).collect::<Vec<_>>()
        };
        let usual = [
            ("proc/self/uid_map", "         0          0 4294967295\n"),
            ("proc/self/status", "Name:\thidbpf\nSeccomp:\t0\nSeccomp_filters:\t0\n"),
            ("sys/kernel/security/lsm", "lockdown,capability,landlock,yama,apparmor,ipe"),
            ("sys/fs/selinux/enforce", "0"),
        ];
        assert_eq!(causes(&usual, libc::EPERM), Vec::<&str>::new());
        assert_eq!(causes(&usual, libc::EACCES), Vec::<&str>::new());
        assert_eq!(causes(&[], libc::EPERM), Vec::<&str>::new());
        let container =
            [("proc/self/uid_map", "         0     100000      65536\n"), ("proc/self/status", "Seccomp:\t2\n")];
        assert_eq!(causes(&container, libc::EPERM), ["the user namespace that it is in", "its seccomp filter"]);
        let modules = [("sys/kernel/security/lsm", "lockdown,selinux,bpf\n"), ("sys/fs/selinux/enforce", "1")];
        assert_eq!(causes(&modules, libc::EPERM), ["a program of the BPF LSM"]);
        assert_eq!(causes(&modules, libc::EACCES), ["SELinux"]);
    }
}
