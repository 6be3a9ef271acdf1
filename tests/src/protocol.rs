//! What the machine that runs QEMU and the machine inside it say to each other.
//!
//! Down: one file in the initramfs, [`JOB_PATH`], holds a [`Job`] as JSON. Up: the guest writes one [`Message`] as JSON a line to
//! a second serial port, [`PORT`], so that no message of the kernel's can get between; the first port is the console. The
//! last message is the one [`Message::Verdict`]; a run without it, or with two, has failed as infrastructure.

use serde::{Deserialize, Serialize};

/// Where the guest finds its [`Job`], in the initramfs.
pub const JOB_PATH: &str = "/job.json";

/// Where it finds that in the root that comes after an initramfs.
pub const LATER_JOB_PATH: &str = "/run/job.json";

/// Where the guest finds the packages to install.
pub const PACKAGES_PATH: &str = "/packages";

/// The root directory for the kernel's own tests, with Python and hidbpf.
pub const SELFTESTS_ROOT: &str = "/selftests";

/// The folder in that root with parts of the kernel's sources. The tests look for BPF drivers there.
pub const SELFTESTS_SOURCES: &str = "/usr/src/linux";

/// The folder in that root with the tests.
pub const SELFTESTS_PATH: &str = "/usr/src/linux/tools/testing/selftests/hid";

/// The folder in that root with the plugins of pytest and the stand-in for udev-hid-bpf. It comes first in the tests' search path.
pub const SELFTESTS_TOOLS: &str = "/usr/lib/hidbpf-selftests";

/// Where the guest writes its [`Message`]s. QEMU's machines for arm64 have another kind of port for the console, which is counted apart.
pub const PORT: &str = if cfg!(target_arch = "aarch64") { "/dev/ttyS0" } else { "/dev/ttyS1" };

/// What the guest has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The kernel's name in the list of kernels, for messages.
    pub kernel: String,
    /// What the kernel is expected to offer, so that a kernel that lost it can't pass by skipping.
    pub generation: Generation,
    /// What to do.
    pub task: Task,
}

/// What a kernel offers to HID-BPF drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// Nothing: CONFIG_HID_BPF is off.
    None,
    /// 6.3 to 6.10: FMOD_RET programs, attached by a syscall program.
    FmodRet,
    /// Since 6.11: struct_ops.
    StructOps,
}

/// A case that the guest has, as `vm-guest --list` tells, one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The kernels that it is for.
    pub generations: Vec<Generation>,
    /// On which of those it runs unless all are asked for.
    pub breadth: Breadth,
    /// The family that it belongs to, if it does: those cases that ask the kernel for the same things.
    pub family: Option<String>,
    /// Whether it needs the package udev-hid-bpf.
    pub udev_hid_bpf: bool,
}

/// On which kernels a case runs, of those that it is for, unless all are asked for. All cases run on the newest kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breadth {
    /// On each: what it is about can differ from kernel to kernel.
    EachKernel,
    /// On the newest, and on those of another generation: what it is about hangs on how the kernel takes programs.
    EachGeneration,
    /// On the newest: what it is about is all in user space.
    Newest,
    /// On the newest, and on each other one if it is the first of its family.
    FirstOfFamily,
}

/// What a guest is booted for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Run test cases.
    Test {
        /// Their names.
        cases: Vec<String>,
        /// How many times as often as usual the cases repeat themselves that are about many devices.
        rounds: usize,
    },
    /// Run the kernel's own tests, in the root at [`SELFTESTS_ROOT`].
    Selftests {
        /// Their names, as pytest has them.
        tests: Vec<String>,
    },
    /// Show a device before and after its driver.
    Demo,
    /// Measure what it costs to attach drivers, one way; time in the guest is a count of instructions.
    Measure {
        /// Which way.
        way: Way,
    },
    /// In a Debian system that knows nothing of hidbpf: install the packages in [`PACKAGES_PATH`], and remove them.
    Install,
    /// In one with the packages: a keyboard is fixed in the initramfs; a driver is installed by hand; the packages are upgraded.
    Early,
    /// The same one, booted again, with an initramfs that knows nothing of hidbpf, and a keyboard that is there before udev.
    Again,
    /// As [`Task::Early`], with the initramfs that dracut makes.
    Dracut,
}

/// What attaches drivers to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// hidbpf's helper, the fast way.
    Fast,
    /// hidbpf through libbpf.
    Libbpf,
    /// udev-hid-bpf, as Debian has it.
    UdevHidBpf,
}

/// A line from the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// The guest is up and has read its job: `uname -r` and the number of cases to come.
    Ready {
        /// The kernel's release.
        release: String,
        /// How many [`Message::Outcome`]s will follow.
        cases: usize,
    },
    /// A case begins.
    Begin {
        /// Its name.
        case: String,
    },
    /// A case has ended.
    Outcome {
        /// Its name.
        case: String,
        /// How.
        outcome: Outcome,
        /// How long it took, in milliseconds of the guest's time.
        millis: u64,
    },
    /// A line for people: the demo's screens.
    Say {
        /// The line.
        text: String,
    },
    /// A measured figure.
    Figure {
        /// What was measured: `first`, `warm`, `at-once`, or a driver.
        name: String,
        /// Of it: `instructions`, `bpf-calls`, `peak-kib`; of a driver `device-event/loaded`, a hook and what of it.
        quantity: String,
        /// The value.
        value: u64,
    },
    /// The guest has done its job; nothing follows.
    Verdict {
        /// Cases passed.
        passed: usize,
        /// Cases failed.
        failed: usize,
        /// Cases skipped.
        skipped: usize,
    },
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should.
    Failed {
        /// What was seen, and what was expected.
        why: String,
    },
    /// It could not be tried here.
    Skipped {
        /// Why not.
        why: String,
    },
}
