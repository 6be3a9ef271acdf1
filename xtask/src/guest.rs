//! The contents of the virtual machine besides the kernel: the test program as the first process, hidbpf with its drivers, this machine's
//! udev, and the shared libraries of all of them.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::initramfs::Tree;
use hidbpf_lab::kernels::{Kernel, Modules};
use hidbpf_lab::modules;
use hidbpf_lab::paths::{Paths, files_below, fresh_folder};
use hidbpf_lab::process;
use hidbpf_lab::protocol::{JOB_PATH, Job};

use crate::artifacts::Artifacts;
use crate::udev_hid_bpf::UdevHidBpf;

/// The paths of hidbpf and its drivers in a package.
pub const HIDBPF: &str = "/usr/bin/hidbpf";
const HELPER: &str = "/usr/lib/udev/hidbpf-udev";
pub const DRIVERS: &str = "/usr/lib/hidbpf/drivers";
const RULES: &str = "/usr/lib/udev/rules.d";
const HWDB: &str = "usr/lib/udev/hwdb.d";

/// udev's rules that make an input device what it is on a desktop. Rules for disks, networks and seats are left out.
const UDEV_RULES: [&str; 8] = [
    "50-udev-default.rules",
    "60-evdev.rules",
    "60-input-id.rules",
    "60-persistent-input.rules",
    "70-joystick.rules",
    "70-mouse.rules",
    "70-touchpad.rules",
    "80-drivers.rules",
];

/// The entries of udev's hwdb that the rules above look up.
///
/// Entries for evdev and keyboards, which override the kernel's axes and keys, are left out. They differ between versions, and some are for
/// other devices with the same ids.
const UDEV_HWDB: [&str; 5] =
    ["60-input-id.hwdb", "70-joystick.hwdb", "70-mouse.hwdb", "70-pointingstick.hwdb", "70-touchpad.hwdb"];

/// The folders of udev, the old one last.
const UDEV_FOLDERS: [&str; 2] = ["/usr/lib/udev", "/lib/udev"];

/// The paths of udev's daemon, the old one last.
const UDEV_DAEMONS: [&str; 2] = ["/usr/lib/systemd/systemd-udevd", "/lib/systemd/systemd-udevd"];

/// Programs of this machine that the guest runs.
const PROGRAMS: [&str; 4] = ["kmod", "strace", "systemd-hwdb", "udevadm"];

/// The names of kmod's commands.
const KMOD_NAMES: [&str; 6] = ["depmod", "insmod", "lsmod", "modinfo", "modprobe", "rmmod"];

/// Libraries that newer udev and kmod load at run time, so that no list shows them.
const LOADED_LATER: [&str; 5] = ["libkmod.so.2", "liblzma.so.5", "libzstd.so.1", "libz.so.1", "libcrypto.so.3"];

/// Debian's folders of shared libraries.
const LIBRARIES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"];

/// The same for arm64, and its dynamic linker.
const ARM64_LIBRARIES: &str = "usr/lib/aarch64-linux-gnu";
const ARM64_LINKER: &str = "usr/lib/ld-linux-aarch64.so.1";

/// The users and groups in udev's rules, with Debian's numbers if those are fixed.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\ndisk:x:6:\nlp:x:7:\nkmem:x:15:\ndialout:x:20:\ncdrom:x:24:\ntape:x:26:\naudio:x:29:\n\
video:x:44:\nplugdev:x:46:\nusers:x:100:\ninput:x:995:\nsgx:x:994:\nkvm:x:993:\nrender:x:992:\nnogroup:x:65534:\n";

/// An optional folder beside the checkout with report descriptors of real devices. If it is missing, the cases that read it are skipped.
const DESCRIPTORS: &str = "../shared/descriptors";

/// Sources for udev-hid-bpf or the kernel tree: those for tests only, and the variable that names a folder with more.
const FOREIGN_FIXTURES: &str = "framework/hidbpf-build/tests/foreign";
const FOREIGN_SOURCES: &str = "HIDBPF_FOREIGN_SOURCES";

/// The source of the guest's udev and shared libraries.
#[derive(Clone, Copy, Debug)]
pub enum Userland<'a> {
    /// This machine.
    Own {
        /// The package udev-hid-bpf, to pack besides.
        udev_hid_bpf: Option<&'a UdevHidBpf>,
    },
    /// Debian's packages for arm64.
    Unpacked {
        /// The folder with the unpacked packages.
        root: &'a Path,
        /// This machine's command, which makes the hwdb.
        hidbpf: &'a Path,
    },
}

impl Userland<'_> {
    fn architecture(self) -> Architecture {
        match self {
            Self::Own { .. } => Architecture::Amd64,
            Self::Unpacked { .. } => Architecture::Arm64,
        }
    }
}

/// Packs the parts that are the same for every kernel, once.
#[derive(Debug)]
pub struct Packer<'a> {
    paths: &'a Paths,
    modules: Modules,
    base: PathBuf,
}

impl<'a> Packer<'a> {
    /// Packs the first archive from the results of cargo and of `userland`.
    ///
    /// # Errors
    /// A part is missing.
    pub fn new(paths: &'a Paths, modules: Modules, artifacts: &Artifacts, userland: Userland<'_>) -> Result<Self> {
        let folder = paths.vm.join("initramfs");
        let base = folder.join(format!("base-{}.cpio", userland.architecture().debian()));
        let mut tree = Tree::root();
        tree.add_text(PASSWD, "/etc/passwd");
        tree.add_text(GROUP, "/etc/group");
        tree.add_text("passwd: files\ngroup: files\n", "/etc/nsswitch.conf");
        let stage = paths.vm.join("stage/base");
        fresh_folder(&stage)?;
        let hidbpf = match userland {
            Userland::Own { udev_hid_bpf } => {
                add_udev(&mut tree)?;
                if let Some(udev_hid_bpf) = udev_hid_bpf {
                    udev_hid_bpf.pack(&mut tree)?;
                }
                &artifacts.hidbpf
            }
            Userland::Unpacked { root, hidbpf } => {
                add_unpacked_udev(&mut tree, root)?;
                hidbpf
            }
        };
        add_hidbpf(&mut tree, paths, artifacts, userland, &stage)?;
        let fixtures = paths.root.join(FOREIGN_FIXTURES);
        add_foreign(&mut tree, hidbpf, &fixtures, &stage.join("foreign"), "/foreign/fixtures")?;
        if let Some(sources) = env::var_os(FOREIGN_SOURCES) {
            add_foreign(&mut tree, hidbpf, Path::new(&sources), &stage.join("sources"), "/foreign/sources")?;
        }
        compile_hwdb(&mut tree, hidbpf, &artifacts.objects, &stage)?;
        tree.write_file(None, &base)?;
        Ok(Self { paths, modules, base })
    }

    /// Packs a tree in addition to the common parts, as the archive `name`.
    ///
    /// # Errors
    /// A file can't be read or written.
    pub fn with(self, tree: &Tree, name: &str) -> Result<Self> {
        let base = self.paths.vm.join("initramfs").join(format!("base-{name}.cpio"));
        tree.write_file(Some(&self.base), &base)?;
        Ok(Self { base, ..self })
    }

    /// Packs the archive `name` for one kernel and one job, and returns its path.
    ///
    /// # Errors
    /// The kernel lacks a module, or a file can't be written.
    pub fn pack(&self, kernel: &Kernel, name: &str, job: &Job) -> Result<PathBuf> {
        let stage = self.paths.vm.join("stage").join(name);
        modules::stage(kernel, &self.modules, &stage)?;
        let mut tree = Tree::default();
        tree.add_folder(&stage, "", &|_| true)?;
        tree.add_text(serde_json::to_string(job).context("failed to write the job")?, JOB_PATH);
        let path = self.paths.vm.join("initramfs").join(format!("{name}.cpio"));
        tree.write_file(Some(&self.base), &path)?;
        Ok(path)
    }
}

/// Packs this machine's udev and the programs that it runs.
fn add_udev(tree: &mut Tree) -> Result<()> {
    for name in PROGRAMS {
        let path = process::find(name).ok_or_else(|| anyhow!("failed to pack `{name}`: it is not installed"))?;
        add_program(tree, &path, &format!("/usr/bin/{name}"))?;
    }
    add_program(tree, first_file(&UDEV_DAEMONS)?, UDEV_DAEMONS[0])?;
    for name in KMOD_NAMES {
        tree.add_link("../bin/kmod", &format!("/usr/sbin/{name}"));
    }
    for name in LOADED_LATER {
        if let Some(path) = LIBRARIES.map(|folder| Path::new(folder).join(name)).into_iter().find(|path| path.is_file())
        {
            add_program(tree, &path, &path.to_string_lossy())?;
        }
    }
    let folder = UDEV_FOLDERS.into_iter().map(Path::new).find(|folder| folder.join("rules.d").is_dir());
    let rules = folder.ok_or_else(|| anyhow!("udev's rules are not at `{}`", UDEV_FOLDERS[0]))?.join("rules.d");
    for name in UDEV_RULES {
        if rules.join(name).is_file() {
            tree.add_file(&rules.join(name), &format!("{RULES}/{name}"))?;
        }
    }
    Ok(())
}

/// Packs udev and its programs from Debian's packages, with all shared libraries, because this machine can't find out which are needed.
fn add_unpacked_udev(tree: &mut Tree, root: &Path) -> Result<()> {
    for name in PROGRAMS {
        tree.add_file(&root.join("usr/bin").join(name), &format!("/usr/bin/{name}"))?;
    }
    tree.add_file(&root.join("usr/bin/udevadm"), UDEV_DAEMONS[0])?;
    for name in KMOD_NAMES {
        tree.add_link("../bin/kmod", &format!("/usr/sbin/{name}"));
    }
    tree.add_file(&root.join(ARM64_LINKER), ARM64_LINKER)?;
    tree.add_folder(&root.join(ARM64_LIBRARIES), ARM64_LIBRARIES, &|path| {
        let name = path.to_string_lossy();
        path.is_file() && (name.contains(".so.") || name.contains("/libsystemd-"))
    })?;
    for name in UDEV_RULES {
        let path = root.join("usr/lib/udev/rules.d").join(name);
        if path.is_file() {
            tree.add_file(&path, &format!("{RULES}/{name}"))?;
        }
    }
    Ok(())
}

/// Packs the results of this workspace.
fn add_hidbpf(
    tree: &mut Tree,
    paths: &Paths,
    artifacts: &Artifacts,
    userland: Userland<'_>,
    stage: &Path,
) -> Result<()> {
    for (program, to) in [(&artifacts.guest, "/init"), (&artifacts.hidbpf, HIDBPF), (&artifacts.helper, HELPER)] {
        let name = program.file_name().ok_or_else(|| anyhow!("`{}` is not a file", program.display()))?;
        let stripped = stage.join(name);
        strip(userland.architecture(), program, &stripped)?;
        match userland {
            // The helper is linked statically and needs no libraries.
            Userland::Own { .. } if to != HELPER => add_program(tree, &stripped, to)?,
            _ => tree.add_file(&stripped, to)?,
        }
    }
    tree.add_folder(&artifacts.objects, DRIVERS, &|path| path.to_string_lossy().ends_with(".bpf.o"))?;
    tree.add_folder(&paths.root.join("udev-rules"), RULES, &|path| path.extension().is_some_and(|end| end == "rules"))?;
    add_recordings(tree, paths)?;
    let descriptors = paths.root.join(DESCRIPTORS);
    if descriptors.is_dir() {
        tree.add_folder(&descriptors, "/descriptors", &|_| true)?;
    }
    Ok(())
}

/// Writes `program` to `to` without debugging information. It would make the program many times as large, and the guest has to unpack it.
///
/// # Errors
/// It can't be written.
pub fn strip(architecture: Architecture, program: &Path, to: &Path) -> Result<()> {
    let strip = match architecture {
        Architecture::Amd64 => "strip",
        Architecture::Arm64 => "aarch64-linux-gnu-strip",
    };
    process::output(process::command(strip).arg("--strip-debug").arg("-o").arg(to).arg(program)).map(drop)
}

/// Packs the recordings of all drivers.
///
/// # Errors
/// A folder can't be read.
pub fn add_recordings(tree: &mut Tree, paths: &Paths) -> Result<()> {
    let drivers = paths.root.join("drivers");
    for entry in fs::read_dir(&drivers).with_context(|| format!("failed to read `{}`", drivers.display()))? {
        let driver = entry.with_context(|| format!("failed to read `{}`", drivers.display()))?;
        let recordings = driver.path().join("recordings");
        if recordings.is_dir() {
            let to = format!("/recordings/{}", driver.file_name().to_string_lossy());
            tree.add_folder(&recordings, &to, &|path| {
                path.extension().is_some_and(|end| end == "hid" || end == "nodes")
            })?;
        }
    }
    Ok(())
}

/// Compiles the foreign sources in a folder with the command `hidbpf`, and packs their objects and recordings.
fn add_foreign(tree: &mut Tree, hidbpf: &Path, sources: &Path, stage: &Path, to: &str) -> Result<()> {
    let copies = stage.join("sources");
    fs::create_dir_all(&copies).with_context(|| format!("failed to create `{}`", copies.display()))?;
    for path in files_below(sources, &["c"])?.iter().filter(|path| path.to_string_lossy().ends_with(".bpf.c")) {
        // A copy, so that neither recordings nor headers are beside it.
        let copy = copies.join(path.file_name().unwrap_or_default());
        fs::copy(path, &copy).with_context(|| format!("failed to copy `{}`", path.display()))?;
        process::output(process::command(hidbpf).arg("build").arg(&copy).arg("--output").arg(stage.join("objects")))?;
    }
    tree.add_folder(&stage.join("objects"), to, &|_| true)?;
    tree.add_folder(sources, to, &|path| path.extension().is_some_and(|end| end == "hid"))
}

/// Compiles the hwdb from udev's entries and those that hidbpf writes for its drivers.
fn compile_hwdb(tree: &mut Tree, hidbpf: &Path, objects: &Path, stage: &Path) -> Result<()> {
    let root = stage.join("root");
    let sources = root.join(HWDB);
    fs::create_dir_all(&sources).with_context(|| format!("failed to create `{}`", sources.display()))?;
    for name in UDEV_HWDB {
        let Some(from) =
            UDEV_FOLDERS.map(|folder| Path::new(folder).join("hwdb.d").join(name)).into_iter().find(|p| p.exists())
        else {
            continue;
        };
        fs::copy(&from, sources.join(name)).with_context(|| format!("failed to copy `{}`", from.display()))?;
    }
    let text = process::output(process::command(hidbpf).arg("hwdb").arg("--drivers").arg(objects))?;
    let own = sources.join("81-hidbpf.hwdb");
    fs::write(&own, text).with_context(|| format!("failed to write `{}`", own.display()))?;
    // Debian's program looks below /lib, which is a link to /usr/lib on every Debian machine.
    let link = root.join("lib");
    std::os::unix::fs::symlink("usr/lib", &link).with_context(|| format!("failed to create `{}`", link.display()))?;
    process::output(
        process::command("systemd-hwdb").arg("--strict").arg("--usr").arg("--root").arg(&root).arg("update"),
    )?;
    let compiled = root.join("usr/lib/udev/hwdb.bin");
    ensure!(compiled.exists(), "systemd-hwdb made no `{}`", compiled.display());
    tree.add_folder(&root.join("usr"), "/usr", &|_| true)
}

/// Packs a program or a library, with all shared libraries that it needs.
fn add_program(tree: &mut Tree, from: &Path, to: &str) -> Result<()> {
    tree.add_file(from, to)?;
    for library in libraries(from)? {
        let place = library.to_string_lossy();
        if !tree.has(&place) {
            tree.add_file(&library, &place)?;
        }
    }
    Ok(())
}

/// Asks the dynamic linker for the shared libraries of `program`, and for its own path.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let listed = process::output(process::command("ldd").arg(program))?;
    parse_libraries(&listed).with_context(|| format!("failed to find the libraries of `{}`", program.display()))
}

/// Parses lines `name => path (address)` and `path (address)`. The kernel's `linux-vdso` has no path.
fn parse_libraries(listed: &str) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for line in listed.lines() {
        if line.contains("=> not found") {
            bail!("{} is not installed", line.trim());
        }
        let path = line.rsplit("=>").next().unwrap_or(line).trim().split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            found.insert(PathBuf::from(path));
        }
    }
    Ok(found)
}

fn first_file(paths: &'static [&'static str; 2]) -> Result<&'static Path> {
    let found = paths.iter().map(Path::new).find(|path| path.is_file());
    found.with_context(|| format!("failed to pack `{}`: there is no such file", paths[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_the_linker_lists() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffc0)\n\
                      \tlibelf.so.1 => /lib/x86_64-linux-gnu/libelf.so.1 (0x00007f0a)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f0b)\n";
        let found = parse_libraries(listed).unwrap();
        let expected = ["/lib/x86_64-linux-gnu/libelf.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(found, expected.map(PathBuf::from).into());
        assert!(parse_libraries("\tstatically linked\n").unwrap().is_empty());
        assert!(parse_libraries("\tlibx.so => not found\n").is_err());
    }
}
