//! The machine around a job: file systems, modules, orphaned processes, and shutdown.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, mount};
use rustix::process::WaitOptions;
use rustix::system::{RebootCommand, reboot};

use crate::process::{Run, command};

/// The file system in which hidbpf pins everything.
pub const BPFFS: &str = "/sys/fs/bpf";

/// The modules that the cases need. Each may be built in.
const MODULES: [&str; 7] = ["hid", "usbhid", "hid-generic", "hid-multitouch", "uhid", "evdev", "uinput"];

/// Runs `job` and stops the machine, even after a panic.
pub fn run_and_stop(job: fn() -> Result<()>) -> ! {
    match catch_unwind(AssertUnwindSafe(job)) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => eprintln!("the guest gave up: {error:#}"),
        Err(_) => eprintln!("the guest panicked"),
    }
    rustix::fs::sync();
    loop {
        if let Err(error) = reboot(RebootCommand::Restart) {
            eprintln!("failed to stop the machine: {error}");
        }
    }
}

/// Mounts the file systems of a booted system.
///
/// # Errors
/// A file system can't be mounted; its place is in the message.
pub fn mount_all() -> Result<()> {
    const ALL: [(&str, &str); 9] = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
        ("bpf", BPFFS),
        ("debugfs", "/sys/kernel/debug"),
        ("tracefs", "/sys/kernel/tracing"),
        ("cgroup2", "/sys/fs/cgroup"),
    ];
    // The kernel unpacks the initramfs into a world-writable directory, and no system boots with that.
    fs::set_permissions("/", Permissions::from_mode(0o755)).context("failed to set the mode of `/`")?;
    for (kind, place) in ALL {
        let mounted = mount_one(kind, place);
        // A kernel without one of these can still run the cases.
        if !matches!(kind, "debugfs" | "tracefs" | "cgroup2") {
            mounted?;
        }
        if place == "/dev" {
            open_console()?;
        }
    }
    Ok(())
}

/// Mounts bpffs, as systemd does.
///
/// # Errors
/// The kernel refuses.
pub fn mount_bpffs() -> Result<()> {
    mount_one("bpf", BPFFS)
}

fn mount_one(kind: &str, place: &str) -> Result<()> {
    if !Path::new(place).is_dir() {
        fs::create_dir_all(place).with_context(|| format!("failed to make `{place}`"))?;
    }
    let options = if kind == "bpf" { c"mode=700" } else { c"" };
    mount(kind, place, kind, MountFlags::NOSUID, options)
        .with_context(|| format!("failed to mount {kind} on `{place}`"))
}

/// If an initramfs has no console node, the first process has no standard streams.
fn open_console() -> Result<()> {
    let console =
        File::options().read(true).write(true).open("/dev/console").context("failed to open `/dev/console`")?;
    for redirect in [rustix::stdio::dup2_stdin, rustix::stdio::dup2_stdout, rustix::stdio::dup2_stderr] {
        redirect(&console).context("failed to redirect a standard stream")?;
    }
    Ok(())
}

/// Loads the modules that are not built in.
///
/// # Errors
/// The kernel has no uhid.
pub fn load_modules() -> Result<()> {
    let run = Run::of(command("modprobe").args(["--all", "--quiet"]).args(MODULES))?;
    ensure!(Path::new("/dev/uhid").exists(), "this kernel has no uhid, so there is nothing to test with\n{run}");
    Ok(())
}

/// Waits for orphaned processes that have ended. While this runs, nothing else may wait for a child except for `mine`.
///
/// # Errors
/// `mine` has died.
pub fn reap_orphans(mine: u32) -> Result<()> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(()),
            Err(error) => return Err(error).context("failed to take in dead processes"),
            Ok(Some((pid, status))) => {
                ensure!(pid.as_raw_nonzero().get().cast_unsigned() != mine, "udevd has died: {status:?}");
            }
        }
    }
}
