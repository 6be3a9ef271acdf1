//! Starts a program with fewer rights than root, or under a tracer: `vm-guest shim [WORD...] -- PROGRAM...`.
//!
//! The guest runs itself for this, so that no code has to run between fork and exec.

use std::env::set_current_dir;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::chroot;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use nix::libc;
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

use crate::process::command;
use crate::protocol::{SELFTESTS_PATH, SELFTESTS_ROOT};
use crate::sys::stop_at_calls;
use crate::trace::{FOLDERS, RENAMES};

/// The first argument.
pub const WORD: &str = "shim";

/// Removes CAP_SYS_ADMIN from the bounding set, so that root lacks it after the exec.
pub const WITHOUT_SYS_ADMIN: &str = "without-sys-admin";

/// Lets the parent trace its bpf() calls. The exec then stops with SIGTRAP.
pub const TRACED: &str = "traced";

/// The same, for its bpf() calls and for those that make directories and give files their names.
pub const TRACED_WITH_FILES: &str = "traced-with-files";

/// Changes the root to [`SELFTESTS_ROOT`], and the working directory to [`SELFTESTS_PATH`] in it.
pub const AMONG_SELFTESTS: &str = "among-selftests";

/// Returns a command that starts `program` after `words`.
pub fn start(words: &[&str], program: &str) -> Command {
    let mut command = command("/proc/self/exe");
    command.arg(WORD).args(words).arg("--").arg(program);
    command
}

/// Applies the words and becomes the program.
pub fn run(arguments: &[OsString]) -> ExitCode {
    match prepare(arguments) {
        Ok(mut command) => eprintln!("failed to start a program: {}", command.exec()),
        Err(error) => eprintln!("failed to prepare a program's start: {error:#}"),
    }
    ExitCode::from(126)
}

fn prepare(arguments: &[OsString]) -> Result<Command> {
    let mut arguments = arguments.iter();
    for word in arguments.by_ref().take_while(|word| *word != "--") {
        if word == OsStr::new(WITHOUT_SYS_ADMIN) {
            remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN).context("failed to drop CAP_SYS_ADMIN")?;
        } else if word == OsStr::new(TRACED) || word == OsStr::new(TRACED_WITH_FILES) {
            let files = if word == OsStr::new(TRACED) { Vec::new() } else { [FOLDERS, RENAMES].concat() };
            nix::sys::ptrace::traceme().context("failed to ask to be traced")?;
            stop_at_calls(&[&[libc::SYS_bpf], &files[..]].concat()).context("failed to filter system calls")?;
        } else if word == OsStr::new(AMONG_SELFTESTS) {
            chroot(SELFTESTS_ROOT).with_context(|| format!("failed to make `{SELFTESTS_ROOT}` the root"))?;
            set_current_dir(SELFTESTS_PATH).with_context(|| format!("failed to go to `{SELFTESTS_PATH}`"))?;
        } else {
            bail!("unknown word `{}`", word.display());
        }
    }
    let mut command = Command::new(arguments.next().context("no program")?);
    command.args(arguments);
    Ok(command)
}
