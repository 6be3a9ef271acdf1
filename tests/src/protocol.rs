//! The protocol between the machine that runs QEMU and the machine inside it.
//!
//! To the guest: one file in the initramfs, [`JOB_PATH`], holds a [`Job`] as JSON. From the guest: it writes one [`Message`] as JSON a line
//! to a second serial port, [`PORT`], so that no message of the kernel can get between. The first port is the console. The last message is
//! the one [`Message::Verdict`]. A run without it, or with two, counts as a failure of the infrastructure.

use serde::{Deserialize, Serialize};

/// The path of the guest's [`Job`] in the initramfs.
pub const JOB_PATH: &str = "/job.json";

/// The path of the guest's [`Job`] in the root that follows an initramfs.
pub const LATER_JOB_PATH: &str = "/run/job.json";

/// The path of the packages to install in the guest.
pub const PACKAGES_PATH: &str = "/packages";

/// The root directory for the kernel's own tests, with Python and hidbpf.
pub const SELFTESTS_ROOT: &str = "/selftests";

/// The folder in that root with parts of the kernel's sources. The tests look for BPF drivers there.
pub const SELFTESTS_SOURCES: &str = "/usr/src/linux";

/// The folder in that root with the tests.
pub const SELFTESTS_PATH: &str = "/usr/src/linux/tools/testing/selftests/hid";

/// The folder in that root with the plugins of pytest and the stand-in for udev-hid-bpf. It comes first in the tests' search path.
pub const SELFTESTS_TOOLS: &str = "/usr/lib/hidbpf-selftests";

/// The port for the guest's [`Message`]s. On QEMU's machines for arm64 the console is on another kind of port, which has its own numbers.
pub const PORT: &str = if cfg!(target_arch = "aarch64") { "/dev/ttyS0" } else { "/dev/ttyS1" };

/// The job of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// The kernel's name in the list of kernels, for messages.
    pub kernel: String,
    /// The generation that the kernel must offer. Without it, a kernel that lost its support could pass by skipping.
    pub generation: Generation,
    /// The task.
    pub task: Task,
}

/// The generations of HID-BPF.
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

/// A case of the guest, as `vm-guest --list` prints it, one a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// The kernels that it is for.
    pub generations: Vec<Generation>,
    /// The kernels among those that run it unless the user asks for all.
    pub breadth: Breadth,
    /// The family that it belongs to, if any: the cases that use the kernel in the same way.
    pub family: Option<String>,
    /// Whether it needs the package udev-hid-bpf.
    pub udev_hid_bpf: bool,
}

/// The kernels that run a case by default, among those that it is for. The newest kernel runs all cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Breadth {
    /// Each kernel: the result may differ between kernels.
    EachKernel,
    /// The newest kernel, and those of another generation: the result depends on how the kernel takes programs.
    EachGeneration,
    /// The newest kernel: the case only concerns user space.
    Newest,
    /// The newest kernel. Other kernels run it if it is the first of its family.
    FirstOfFamily,
}

/// The task of a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Run test cases.
    Test {
        /// Their names.
        cases: Vec<String>,
        /// The factor for the repetitions of cases about many devices.
        rounds: usize,
    },
    /// Run the kernel's own tests, in the root at [`SELFTESTS_ROOT`].
    Selftests {
        /// Their names in pytest.
        tests: Vec<String>,
    },
    /// Show a device before and after its driver.
    Demo,
    /// Measure the cost of attaching drivers with one program. Time in the guest is a count of instructions.
    Measure {
        /// The program.
        attacher: Attacher,
    },
    /// In a Debian system without hidbpf: install the packages in [`PACKAGES_PATH`], and remove them.
    Install,
    /// In a system with the packages: a keyboard is fixed in the initramfs, a driver is installed by hand, and the packages are upgraded.
    Early,
    /// The same system, booted again with an initramfs without hidbpf, and with a keyboard that exists before udev.
    Again,
    /// As [`Task::Early`], with the initramfs that dracut makes.
    Dracut,
}

/// The software that attaches drivers to devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attacher {
    /// hidbpf's helper with the fast loader.
    Fast,
    /// hidbpf with the libbpf loader.
    Libbpf,
    /// udev-hid-bpf from Debian.
    UdevHidBpf,
}

/// A line from the guest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Message {
    /// The guest is ready and has read its job.
    Ready {
        /// The kernel's release.
        release: String,
        /// The number of [`Message::Outcome`]s that will follow.
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
        /// Its outcome.
        outcome: Outcome,
        /// Its duration in milliseconds of the guest's time.
        millis: u64,
    },
    /// A line for users: the demo's screens.
    Say {
        /// The line.
        text: String,
    },
    /// A measured figure.
    Figure {
        /// The measured object: `first`, `warm`, `at-once`, or a driver.
        name: String,
        /// The quantity: `instructions`, `bpf-calls`, `peak-kib`.
        ///
        /// For a driver it is a hook and its quantity, such as `device-event/loaded`.
        quantity: String,
        /// The value.
        value: u64,
    },
    /// The guest has done its job. Nothing follows.
    Verdict {
        /// Cases passed.
        passed: usize,
        /// Cases failed.
        failed: usize,
        /// Cases skipped.
        skipped: usize,
    },
}

/// The outcome of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// The result was as expected.
    Passed,
    /// The result was not as expected.
    Failed {
        /// The actual and the expected result.
        why: String,
    },
    /// The case could not run on this kernel.
    Skipped {
        /// The reason.
        why: String,
    },
    /// The host does not have what the case tests, which is not a part of the project.
    NotHere {
        /// What is missing.
        why: String,
    },
}
