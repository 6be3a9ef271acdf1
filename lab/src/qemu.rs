//! Runs one virtual machine in QEMU, and reports how it ended.
//!
//! The first serial port is the kernel's console, the second carries the guest's messages. QEMU writes both to files under
//! `target/vm/logs`. This module reads them as they grow, and they stay there for inspection. The module `watch` decides when a machine
//! has ended.

mod monitor;
mod tail;
mod watch;

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::accelerator::Accelerator;
use crate::architecture::Architecture;
use crate::process;
use crate::protocol::Message;
use crate::transcript::Tally;
use monitor::Monitor;
use watch::{Health, Watch};

/// How often the machine is checked.
const TICK: Duration = Duration::from_millis(20);

/// The kernel's command line.
///
/// A panic ends the machine at once (`panic=-1` reboots, and QEMU does not reboot), and every oops and warning is a panic. The guest's time
/// continues while its processor waits for one of the host's, so only a long stall counts as one. The SpaceNavigator has its own kernel
/// driver, which refuses virtual devices. The quirk HID_QUIRK_IGNORE_SPECIAL_DRIVER gives the device to hid-generic.
const COMMAND_LINE: &str = "loglevel=5 panic=-1 oops=panic panic_on_warn=1 \
                            rcupdate.rcu_cpu_stall_timeout=60 watchdog_thresh=30 \
                            usbhid.quirks=0x046d:0xc626:0x400000";

/// The additional command line under emulation: programs are at the same addresses each time that they run.
///
/// QEMU translates code by its virtual address. With random addresses it translates a program again at each start: four long cases took
/// 83 s instead of 49 s.
const EMULATED: &str = "norandmaps";

/// The additional command line for tests.
///
/// The kernel checks its slab caches at each allocation and each free, with guard zones around the objects, and counts the objects exactly:
/// Documentation/mm/slub.rst, in newer kernels Documentation/admin-guide/mm/slab.rst.
const CHECKS: &str = "slub_debug=FZ";

/// The time limits of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Under KVM and before the guest's first message: the longest time without a line on the kernel's console.
    pub quiet: Duration,
    /// Until the guest's first message.
    pub boot: Duration,
    /// From one message to the next.
    pub silence: Duration,
    /// In total.
    pub whole: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(20),
            // Under emulation it takes 10 s on an idle host.
            boot: Duration::from_secs(3 * 60),
            silence: Duration::from_secs(10 * 60),
            whole: Duration::from_secs(45 * 60),
        }
    }
}

/// A machine to run.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The program that runs it.
    pub qemu: PathBuf,
    /// The kernel's image.
    pub image: PathBuf,
    /// The first root.
    pub initramfs: PathBuf,
    /// The architecture of its kernel.
    pub architecture: Architecture,
    /// A writable disk with the root that follows the first one.
    pub disk: Option<PathBuf>,
    /// Whether the kernel checks its memory at each step, which takes time.
    pub is_checked: bool,
    /// Its time limits.
    pub limits: Limits,
    /// The files of its logs.
    pub logs: Logs,
}

/// The files that a machine writes.
#[derive(Clone, Debug)]
pub struct Logs {
    /// The kernel's console.
    pub console: PathBuf,
    /// The guest's messages.
    pub protocol: PathBuf,
    /// QEMU's own output.
    pub qemu: PathBuf,
}

impl Logs {
    /// Creates empty logs for the machine `name`.
    ///
    /// # Errors
    /// They can't be written.
    pub fn create(folder: &Path, name: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        let log = |kind: &str| -> Result<PathBuf> {
            let path = folder.join(format!("{name}.{kind}.log"));
            File::create(&path).with_context(|| format!("failed to create `{}`", path.display()))?;
            Ok(path)
        };
        Ok(Self { console: log("console")?, protocol: log("protocol")?, qemu: log("qemu")? })
    }

    /// Empties the logs.
    fn clear(&self) -> Result<()> {
        for path in [&self.console, &self.protocol, &self.qemu] {
            File::create(path).with_context(|| format!("failed to empty `{}`", path.display()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "logs: {} and {}", self.console.display(), self.protocol.display())
    }
}

/// How a machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The guest gave a valid verdict.
    Verdict(Tally),
    /// The kernel crashed under the guest.
    Crashed {
        /// The symptom.
        why: String,
        /// The case that was running.
        case: Option<String>,
        /// The end of the console.
        console: String,
    },
    /// The run says nothing about the tested code.
    Broken {
        /// The symptom.
        why: String,
        /// The end of the console, or QEMU's own output.
        console: String,
    },
}

/// How a machine ended, unless KVM ended it.
pub type Ended = std::result::Result<End, KvmFailure>;

/// A failure of KVM to run a machine that emulation may run: the symptom, and QEMU's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvmFailure(pub String);

/// A running QEMU, which is killed when this goes out of scope.
#[derive(Debug)]
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already, and then nothing is left to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Machine {
    /// Runs the machine to its end and calls `heard` with each message.
    ///
    /// # Errors
    /// QEMU can't be started or its logs can't be read.
    pub fn run(&self, accelerator: Accelerator, heard: &mut dyn FnMut(&Message)) -> Result<Ended> {
        self.logs.clear()?;
        let name = self.qemu.display();
        let mut running =
            Running(self.command(accelerator)?.spawn().with_context(|| format!("failed to start `{name}`"))?);
        let mut monitor = Monitor::connect(&mut running.0)?;
        let mut watch = Watch::open(self, accelerator)?;
        loop {
            // The status comes before the logs: if QEMU has ended, the logs are complete.
            let status = running.0.try_wait().with_context(|| format!("failed to wait for `{name}`"))?;
            let health = Health { exited: status, stopped: monitor.stopped() };
            if let Some(end) = watch.look(&health, heard)? {
                return Ok(end);
            }
            sleep(TICK);
        }
    }

    fn command(&self, accelerator: Accelerator) -> Result<Command> {
        let console = match self.architecture {
            Architecture::Amd64 => "ttyS0",
            Architecture::Arm64 => "ttyAMA0",
        };
        let (first, second) = (self.logs.console.display(), self.logs.protocol.display());
        // Linux kills it if this program dies first, by any cause.
        let mut command = process::command("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(&self.qemu);
        command.args(["-no-user-config", "-nodefaults", "-display", "none"]);
        command.args(["-chardev", "stdio,id=monitor", "-mon", "chardev=monitor,mode=control"]);
        command.arg("-serial").arg(format!("file:{first}"));
        match self.architecture {
            Architecture::Amd64 => command.args(["-M", "q35"]).arg("-serial").arg(format!("file:{second}")),
            Architecture::Arm64 => command
                .args(["-M", "virt", "-cpu", "cortex-a72", "-device", "pci-serial,chardev=second"])
                .arg("-chardev")
                .arg(format!("file,id=second,path={second}")),
        };
        command.args(["-m", "1024", "-smp", "1", "-no-reboot"]).args(arguments(accelerator));
        // A mouse on USB, for the case that loads the module of the host controller.
        command.args(["-device", "qemu-xhci", "-device", "usb-mouse"]);
        command.arg("-kernel").arg(&self.image).arg("-initrd").arg(&self.initramfs);
        let mut line = format!("console={console} {COMMAND_LINE}");
        if accelerator != Accelerator::Kvm {
            line = format!("{line} {EMULATED}");
        }
        if self.is_checked {
            line = format!("{line} {CHECKS}");
        }
        if let Some(disk) = &self.disk {
            // A comma separates options, and two commas are one comma.
            let disk = disk.to_string_lossy().replace(',', ",,");
            command.arg("-drive").arg(format!("file={disk},format=raw,if=virtio,cache=unsafe"));
            line.push_str(" root=/dev/vda rw");
        }
        command.args(["-append", &line]);
        let path = &self.logs.qemu;
        let log = File::options().append(true).open(path);
        let log = log.with_context(|| format!("failed to open `{}`", path.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        Ok(command)
    }
}

fn arguments(accelerator: Accelerator) -> &'static [&'static str] {
    match accelerator {
        Accelerator::Kvm => &["-accel", "kvm", "-cpu", "host"],
        // One CPU: with two, newer kernels crash under emulation while they patch their own code.
        Accelerator::Tcg => &["-accel", "tcg"],
        Accelerator::CountedTcg => &["-accel", "tcg", "-icount", "shift=0,sleep=off"],
    }
}
