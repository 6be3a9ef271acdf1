//! Starts a program with fewer rights than root, under a tracer, or with a socket: `vm-guest shim [WORD...] -- PROGRAM...`.
//!
//! The guest runs itself for this, so that no code has to run between fork and exec.

use std::env::set_current_dir;
use std::ffi::{OsStr, OsString};
use std::os::fd::IntoRawFd;
use std::os::unix::fs::chroot;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, id};

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
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

/// Gives it udev's control socket, as systemd-udevd-control.socket does (sd_listen_fds(3)).
///
/// Its `PassCredentials=yes` counts: a socket that udevd makes itself has no credentials for a request that arrives between udevd's
/// accept() and its setsockopt(SO_PASSCRED), and udevd ignores that request ("Invalid sender uid 65534"). Since Linux 6.16 a connection
/// has the setting of the socket that listens.
pub const WITH_CONTROL_SOCKET: &str = "with-control-socket";

/// The first file descriptor that a service gets from systemd (`SD_LISTEN_FDS_START`).
const FIRST_PASSED: i32 = 3;
const CONTROL_SOCKET: &str = "/run/udev/control";

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
    let mut passed = Vec::new();
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
        } else if word == OsStr::new(WITH_CONTROL_SOCKET) {
            pass_control_socket()?;
            passed = vec![("LISTEN_FDS", "1".to_owned()), ("LISTEN_PID", id().to_string())];
        } else {
            bail!("unknown word `{}`", word.display());
        }
    }
    let mut command = Command::new(arguments.next().context("no program")?);
    command.args(arguments).envs(passed);
    Ok(command)
}

/// Makes the socket, open in the program that this process becomes.
fn pass_control_socket() -> Result<()> {
    let make = || -> rustix::io::Result<i32> {
        let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None)?;
        set_socket_passcred(&socket, true)?;
        bind(&socket, &SocketAddrUnix::new(CONTROL_SOCKET)?)?;
        listen(&socket, 128)?;
        Ok(socket.into_raw_fd())
    };
    let number = make().with_context(|| format!("failed to make `{CONTROL_SOCKET}`"))?;
    ensure!(number == FIRST_PASSED, "`{CONTROL_SOCKET}` got file descriptor {number}, not {FIRST_PASSED}");
    Ok(())
}
