//! Debian's package udev-hid-bpf, for comparison and for cases about a machine that has it besides hidbpf.
//!
//! It is built for a newer Debian than the guest's, so the guest gets its libraries too, with the dynamic linker. In the guest everything
//! is in a separate folder, where neither udev nor the kernel finds it by itself.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use hidbpf_lab::apt::Suite;
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::initramfs::Tree;
use hidbpf_lab::paths::{Paths, fresh_folder, remove_folder};
use hidbpf_lab::process;
use hidbpf_lab::screen::{self, Step};

/// The package, and the suite that has it.
const PACKAGE: &str = "udev-hid-bpf";
const SUITE: &str = "sid";

/// Its folder in the guest.
const GUEST: &str = "/opt/udev-hid-bpf";

/// Debian's folder of the libraries and their dynamic linker, and the package's folder of BPF objects.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const OBJECTS: &str = "usr/lib/x86_64-linux-gnu/bpf";

/// The unpacked package.
#[derive(Debug)]
pub struct UdevHidBpf {
    version: String,
    folder: PathBuf,
}

impl UdevHidBpf {
    /// Fetches the package and its libraries, unless they are here already. The folder is named after the package's version.
    ///
    /// # Errors
    /// The archive can't be reached, or has no such package.
    pub fn fetch(paths: &Paths) -> Result<Self> {
        let step = screen::step(PACKAGE, "looking for the package");
        let suite = Suite::open(&paths.vm.join("apt"), SUITE, Architecture::Amd64, &step)?;
        let version = suite.version(PACKAGE)?;
        let folder = paths.vm.join(PACKAGE).join(version.replace(':', "_"));
        if !folder.is_dir() {
            step.say(&format!("fetching {PACKAGE} {version} from {}", suite.name()));
            unpack(&suite, &folder, &step)?;
            step.note(&format!("{PACKAGE} {version} is fetched from {}", suite.name()));
        }
        Ok(Self { version, folder })
    }

    /// Returns the package's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Adds the program, its libraries, its BPF objects, its rule and its hwdb to a tree.
    ///
    /// # Errors
    /// A file is not where Debian puts it, or the program can't be started with these libraries.
    pub fn pack(&self, tree: &mut Tree) -> Result<()> {
        let libraries = self.folder.join(LIBRARIES);
        let linker = libraries.join("ld-linux-x86-64.so.2");
        let program = self.folder.join("usr/bin").join(PACKAGE);
        let mut list = process::command(&linker);
        let listed = process::output(list.arg("--library-path").arg(&libraries).arg("--list").arg(&program))?;
        tree.add_file(&linker, &format!("{GUEST}/ld.so"))?;
        tree.add_file(&program, &format!("{GUEST}/{PACKAGE}"))?;
        for line in listed.lines() {
            // `libelf.so.1 => /path/libelf.so.1 (0x00007f0a)`; the linker itself and the kernel's library have no arrow.
            let Some((name, path)) = line.trim().split_once(" => ") else { continue };
            let path = Path::new(path.split(" (").next().unwrap_or(path));
            ensure!(
                path.starts_with(&self.folder),
                "no package of {SUITE} has brought `{name}`, which {PACKAGE} needs"
            );
            tree.add_file(path, &format!("{GUEST}/lib/{name}"))?;
        }
        tree.add_folder(&self.folder.join(OBJECTS), &format!("/{OBJECTS}"), &|_| true)?;
        for folder in ["rules.d", "hwdb.d"] {
            let from = self.folder.join("usr/lib/udev").join(folder);
            tree.add_folder(&from, &format!("{GUEST}/{folder}"), &|_| true)?;
        }
        Ok(())
    }
}

/// Downloads the package and the libraries that it needs, and unpacks them at `folder`, completely or not at all.
fn unpack(suite: &Suite, folder: &Path, step: &Step) -> Result<()> {
    let mut packages = vec![PACKAGE.to_owned()];
    let mut looked_at = 0;
    while let Some(package) = packages.get(looked_at).cloned() {
        for needed in suite.dependencies(&package)? {
            let is_library = needed.starts_with("lib") || needed.starts_with("zlib");
            if is_library && !packages.contains(&needed) {
                packages.push(needed);
            }
        }
        looked_at += 1;
    }
    let partial = folder.with_extension(format!("partial-{}", std::process::id()));
    let (debs, root) = (partial.join("debs"), partial.join("root"));
    for folder in [&debs, &root] {
        fresh_folder(folder)?;
    }
    for deb in suite.download(&packages, &debs, step)? {
        process::output(process::command("dpkg-deb").arg("--extract").arg(&deb).arg(&root))?;
    }
    fs::rename(&root, folder).with_context(|| format!("failed to make `{}`", folder.display()))?;
    remove_folder(&partial)
}
