//! The Debian packages that building, testing and packaging need, in one list, and their installation.

use anyhow::{Result, bail};
use hidbpf_lab::apt;
use hidbpf_lab::process;
use hidbpf_lab::screen::{self, Step};

/// The purpose of the packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// To compile hidbpf and its drivers.
    Build,
    /// To check the sources.
    Checks,
    /// To look at pages that hidbpf writes.
    Browser,
    /// To boot virtual machines with them.
    Machines,
    /// To make packages.
    Packages,
    /// To run the kernel's own tests.
    Selftests,
    /// To build for arm64, and to boot such a machine.
    Arm64,
}

/// The packages that a Debian machine may lack, the purpose of each, and the reason.
const PACKAGES: [(&str, Need, &str); 26] = [
    ("binutils", Need::Machines, "makes the programs small before they go into a virtual machine"),
    ("chromium", Need::Browser, "opens the pages of `hidbpf report`"),
    ("clang", Need::Build, "compiles the drivers"),
    ("clang-format", Need::Checks, "looks at the layout of the drivers' sources"),
    ("codespell", Need::Checks, "looks for misspelt words"),
    ("debian-archive-keyring", Need::Machines, "the keys that the kernels from Debian's archive are verified with"),
    ("debhelper", Need::Packages, "makes Debian packages"),
    ("dpkg-dev", Need::Packages, "makes Debian packages"),
    ("e2fsprogs", Need::Packages, "makes the disk of a Debian system"),
    ("gcc-aarch64-linux-gnu", Need::Arm64, "compiles libbpf for arm64, and links"),
    ("gcc", Need::Build, "compiles libbpf, and links"),
    ("kmod", Need::Machines, "chooses modules, and loads them in the virtual machine"),
    ("libc6-dev", Need::Build, "headers for libbpf"),
    ("libelf-dev", Need::Build, "libbpf reads objects with it"),
    ("libudev-dev", Need::Build, "hidbpf asks udev for devices with it"),
    ("lintian", Need::Packages, "looks for mistakes in Debian packages"),
    ("make", Need::Build, "builds libbpf"),
    ("mmdebstrap", Need::Packages, "makes a Debian system to install packages in"),
    ("pkg-config", Need::Build, "finds the libraries above"),
    ("python3-pip", Need::Selftests, "fetches Python modules of the kernel's tests"),
    ("qemu-system-arm", Need::Arm64, "runs the virtual machines for arm64"),
    ("qemu-system-x86", Need::Machines, "runs the virtual machines"),
    ("shellcheck", Need::Checks, "looks for mistakes in the packages' scripts"),
    ("strace", Need::Machines, "counts system calls in the virtual machine"),
    ("udev", Need::Build, "runs in the virtual machine, and compiles the hwdb"),
    ("zlib1g-dev", Need::Build, "libelf needs it"),
];

/// Installs the missing packages for building and testing, after listing them.
///
/// # Errors
/// This is not a Debian machine, or packages are missing and this process is not root, or apt fails.
pub fn run() -> Result<()> {
    install(&[Need::Build, Need::Checks, Need::Machines])
}

/// Installs the missing packages for `needs`, after listing them.
///
/// # Errors
/// This is not a Debian machine, or packages are missing and this process is not root, or apt fails.
pub fn install(needs: &[Need]) -> Result<()> {
    if process::find("dpkg-query").is_none() || process::find("apt-get").is_none() {
        bail!("this machine has no dpkg and apt: the tests and the demo take their kernels and tools from Debian");
    }
    let missing = missing(needs)?;
    if missing.is_empty() {
        return Ok(());
    }
    screen::line("These Debian packages are missing:");
    for (name, _, purpose) in PACKAGES.iter().filter(|(name, ..)| missing.contains(name)) {
        screen::line(&format!("  {name:<24}{purpose}"));
    }
    let install = format!("apt-get install --no-install-recommends {}", missing.join(" "));
    if !rustix::process::geteuid().is_root() {
        bail!("only root can install packages. Run this, then try again:\n    sudo {install}");
    }
    let step = screen::step("packages", &install);
    // Images of machines often lack the archive's lists. Old lists name packages that are gone.
    apt_get(&["update"], &step)?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(&missing);
    apt_get(&arguments, &step)?;
    step.done(&install);
    Ok(())
}

fn missing(needs: &[Need]) -> Result<Vec<&'static str>> {
    // dpkg-query fails if it does not know one of the packages, and still lists the others.
    let names: Vec<_> = PACKAGES.iter().filter(|(_, need, _)| needs.contains(need)).map(|(name, ..)| *name).collect();
    let query = ["--show", "--showformat=${binary:Package} ${db:Status-Status}\n"];
    let listed = match process::command("dpkg-query").args(query).args(&names).output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => bail!("failed to start `dpkg-query`: {error}"),
    };
    let installed = parse_installed(&listed);
    Ok(names.into_iter().filter(|name| !installed.contains(name)).collect())
}

/// Parses lines `package[:architecture] status`.
fn parse_installed(listed: &str) -> Vec<&str> {
    let lines = listed.lines().filter_map(|line| line.split_once(' '));
    let installed = lines.filter(|(_, status)| *status == "installed");
    installed.map(|(name, _)| name.split(':').next().unwrap_or(name)).collect()
}

fn apt_get(arguments: &[&str], step: &Step) -> Result<()> {
    let mut command = process::command("apt-get");
    // Without its own terminal dpkg draws no progress into logs.
    command.args(["--quiet", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    apt::follow(&mut command, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let listed = "clang installed\nlibelf-dev:amd64 installed\nstrace config-files\nudev not-installed\n";
        assert_eq!(parse_installed(listed), ["clang", "libelf-dev"]);
        assert!(parse_installed("").is_empty());
    }
}
