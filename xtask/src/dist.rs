//! `cargo xtask dist`: lays out the files of an installed hidbpf as they are in a system. Packages are made from this tree.
//!
//! The same sources give the same bytes at any place and time. With SOURCE_DATE_EPOCH they also give the same file times.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use hidbpf_lab::paths::Paths;
use hidbpf_lab::process;
use serde::Deserialize;

use crate::artifacts::{self, Product, Profile};
use crate::libbpf::Libbpf;
use crate::setup::{self, Need};

/// The target folder of the files, and the selection.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The directory that stands for `/`; created if it does not exist
    #[arg(long, value_name = "DIR")]
    destdir: PathBuf,

    #[command(flatten)]
    pub choice: Choice,
}

/// The parts of hidbpf to install.
#[derive(Args, Clone, Debug, Default)]
pub struct Choice {
    /// Also install drivers of this status. Stable drivers are always installed
    #[arg(long, value_name = "STATUS")]
    pub with: Vec<Status>,

    /// Link with the system's libbpf, 1.7 or later, instead of a copy of it
    #[arg(long)]
    pub system_libbpf: bool,
}

impl Choice {
    /// Builds for release.
    ///
    /// # Errors
    /// Something does not compile, or the requested libbpf is missing.
    pub fn build(&self, root: &Path) -> Result<Product> {
        let libbpf = self.system_libbpf.then(Libbpf::find).transpose()?;
        artifacts::build_with(root, Profile::Package, libbpf.as_ref())?.product()
    }
}

/// The status of a driver in its manifest.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Works on the device.
    Stable,
    /// Written from facts, not tried on the device.
    Testing,
    /// An example to learn from.
    Example,
}

/// The shells, with each one's folder for the completions of `hidbpf`.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/hidbpf"),
    ("zsh", "usr/share/zsh/site-functions/_hidbpf"),
    ("fish", "usr/share/fish/vendor_completions.d/hidbpf.fish"),
];

/// The files of an initramfs that the administrator enabled, by their place below packaging.
const EARLY: [(&str, &str); 4] = [
    ("initramfs-tools/hook", "usr/share/initramfs-tools/hooks/hidbpf"),
    ("initramfs-tools/init-top", "usr/share/initramfs-tools/scripts/init-top/hidbpf"),
    ("dracut/module-setup.sh", "usr/lib/dracut/modules.d/90hidbpf/module-setup.sh"),
    ("dracut/mount-bpffs.sh", "usr/lib/dracut/modules.d/90hidbpf/mount-bpffs.sh"),
];

const BIN: &str = "usr/bin/hidbpf";
const HELPER: &str = "usr/lib/udev/hidbpf-udev";
/// The programs, which are built for one machine and with one libbpf.
pub const PROGRAMS: [&str; 2] = [BIN, HELPER];

const DRIVERS: &str = "usr/lib/hidbpf/drivers";
const RULES: &str = "usr/lib/udev/rules.d";
const HWDB: &str = "usr/lib/udev/hwdb.d/81-hidbpf.hwdb";
const TMPFILES: &str = "usr/lib/tmpfiles.d/hidbpf.conf";
/// The folders in which systemd, elogind and pm-utils look for programs to run when the machine wakes up.
const SLEEP: [&str; 3] =
    ["usr/lib/systemd/system-sleep/hidbpf", "usr/lib/elogind/system-sleep/hidbpf", "usr/lib/pm-utils/sleep.d/50hidbpf"];
const INCLUDE: &str = "usr/include/hidbpf";
/// The headers for sources that are written for udev-hid-bpf or the kernel tree.
const FOREIGN_INCLUDE: &str = "usr/include/hidbpf/foreign";
const MAN: &str = "usr/share/man/man8";
const DOC: &str = "usr/share/doc/hidbpf";
const LICENSES: &str = "usr/share/licenses/hidbpf";

/// Builds for release and lays out the files.
///
/// # Errors
/// Something does not compile, or a file can't be written.
pub fn run(options: &Options) -> Result<()> {
    setup::install(&[Need::Build])?;
    let paths = Paths::find()?;
    let product = options.choice.build(&paths.root)?;
    let count = lay_out(&paths.root, &product, &options.choice.with, &options.destdir)?;
    println!("hidbpf and {count} drivers are in {}", options.destdir.display());
    Ok(())
}

/// Writes everything below `destdir`, and returns the number of drivers.
///
/// # Errors
/// A file can't be read or written, or there are other drivers.
pub fn lay_out(root: &Path, product: &Product, with: &[Status], destdir: &Path) -> Result<usize> {
    let objects = chosen(root, product, with)?;
    let drivers = destdir.join(DRIVERS);
    refuse_others(&drivers, &objects)?;
    let mut layout = Layout { destdir, time: source_date()?, made: Vec::new() };

    layout.copy(&product.hidbpf, BIN, 0o755)?;
    layout.copy(&product.helper, HELPER, 0o755)?;
    for (name, object) in &objects {
        layout.copy(object, &format!("{DRIVERS}/{name}"), 0o644)?;
    }
    layout.folder(&root.join("udev-rules"), RULES, &["rules"])?;
    layout.copy(&root.join("packaging/tmpfiles.conf"), TMPFILES, 0o644)?;
    for place in SLEEP {
        layout.copy(&root.join("packaging/system-sleep"), place, 0o755)?;
    }
    for (from, to) in EARLY {
        layout.copy(&root.join("packaging").join(from), to, 0o755)?;
    }
    layout.folder(&root.join("hid-bpf-src/include/hidbpf"), INCLUDE, &["h"])?;
    layout.copy(&root.join("README.md"), &format!("{DOC}/README.md"), 0o644)?;
    layout.folder(&root.join("docs"), &format!("{DOC}/docs"), &["md", "png", "svg"])?;
    for name in ["LICENSE-APACHE", "LICENSE-GPL", "LICENSE-MIT"] {
        layout.copy(&root.join(name), &format!("{LICENSES}/{name}"), 0o644)?;
    }

    let hwdb = process::output(product.command()?.arg("--drivers").arg(&drivers).arg("hwdb"))?;
    layout.write(hwdb.as_bytes(), HWDB, 0o644)?;
    for (shell, path) in COMPLETIONS {
        layout.write(process::output(product.command()?.arg("completions").arg(shell))?.as_bytes(), path, 0o644)?;
    }
    for (command, place) in [("man", MAN), ("headers", FOREIGN_INCLUDE)] {
        layout.make(&destdir.join(place))?;
        process::output(product.command()?.arg(command).arg(destdir.join(place)))?;
    }
    layout.finish()?;
    Ok(objects.len())
}

/// Returns the objects of the drivers that are stable or have one of the statuses in `with`, by file name.
fn chosen(root: &Path, product: &Product, with: &[Status]) -> Result<BTreeMap<String, PathBuf>> {
    #[derive(Deserialize)]
    struct Manifest {
        status: Status,
    }
    let mut found = BTreeMap::new();
    for object in files(&product.objects)? {
        let Some((name, driver)) = object.file_name().and_then(|name| {
            let name = name.to_str()?;
            Some((name.to_owned(), name.strip_suffix(".bpf.o")?.to_owned()))
        }) else {
            continue;
        };
        let path = root.join("drivers").join(driver).join("driver.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        let manifest: Manifest =
            toml::from_str(&text).with_context(|| format!("failed to parse `{}`", path.display()))?;
        if manifest.status == Status::Stable || with.contains(&manifest.status) {
            found.insert(name, object);
        }
    }
    ensure!(!found.is_empty(), "there are no drivers in `{}`", product.objects.display());
    Ok(found)
}

/// Refuses drivers of an earlier run. The hwdb is made from all drivers in the folder and would contain them.
fn refuse_others(drivers: &Path, objects: &BTreeMap<String, PathBuf>) -> Result<()> {
    if !drivers.is_dir() {
        return Ok(());
    }
    for path in files(drivers)? {
        if !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| objects.contains_key(name)) {
            bail!("`{}` is not one of the drivers to install: remove it, or choose another directory", path.display());
        }
    }
    Ok(())
}

/// Returns the files and folders in a folder, in order.
///
/// # Errors
/// It can't be read.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let failure = || format!("failed to list `{}`", folder.display());
    let entries = fs::read_dir(folder).with_context(failure)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>().with_context(failure)?;
    paths.sort();
    Ok(paths)
}

/// Returns the time for all files, see reproducible-builds.org/specs/source-date-epoch.
fn source_date() -> Result<Option<SystemTime>> {
    let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(None) };
    let seconds: u64 = text.to_str().and_then(|text| text.parse().ok()).with_context(|| {
        format!("failed to read SOURCE_DATE_EPOCH: `{}` is not a number of seconds", text.to_string_lossy())
    })?;
    Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
}

/// The tree to write.
struct Layout<'a> {
    destdir: &'a Path,
    time: Option<SystemTime>,
    /// The new folders in it, each after its parent.
    made: Vec<PathBuf>,
}

impl Layout<'_> {
    fn copy(&mut self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("failed to read `{}`", from.display()))?;
        self.write(&bytes, to, mode)
    }

    /// Copies the files of a folder, and of its subfolders, whose names have one of these endings.
    fn folder(&mut self, from: &Path, to: &str, endings: &[&str]) -> Result<()> {
        for path in files(from)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let to = format!("{to}/{name}");
            if path.is_dir() {
                self.folder(&path, &to, endings)?;
            } else if endings.iter().any(|ending| path.extension().is_some_and(|found| found == *ending)) {
                self.copy(&path, &to, 0o644)?;
            }
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], to: &str, mode: u32) -> Result<()> {
        let to = self.destdir.join(to);
        self.make(to.parent().unwrap_or(self.destdir))?;
        fs::write(&to, bytes).with_context(|| format!("failed to write `{}`", to.display()))?;
        self.set(&to, mode)
    }

    /// Makes a folder and its parents. Their modes do not depend on the umask.
    fn make(&mut self, folder: &Path) -> Result<()> {
        if folder.as_os_str().is_empty() || folder.is_dir() {
            return Ok(());
        }
        folder.parent().map_or(Ok(()), |parent| self.make(parent))?;
        fs::create_dir(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        self.made.push(folder.to_owned());
        Ok(())
    }

    /// Sets the modes and times of the man pages, which hidbpf itself writes, and of the folders, which are complete by now.
    fn finish(&self) -> Result<()> {
        files(&self.destdir.join(MAN))?.iter().try_for_each(|page| self.set(page, 0o644))?;
        self.made.iter().try_for_each(|folder| self.set(folder, 0o755))
    }

    fn set(&self, path: &Path, mode: u32) -> Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
            .with_context(|| format!("failed to set the permissions of `{}`", path.display()))?;
        let Some(time) = self.time else { return Ok(()) };
        let set = |file: File| file.set_modified(time);
        File::open(path).and_then(set).with_context(|| format!("failed to set the time of `{}`", path.display()))
    }
}

/// Lays out twice, and compares: the check of [`crate::suite`].
///
/// # Errors
/// It can't be laid out.
pub fn is_repeatable(root: &Path, product: &Product, scratch: &Path) -> Result<bool> {
    let first = lay_out_anew(root, product, &scratch.join("first"))?;
    let second = lay_out_anew(root, product, &scratch.join("second"))?;
    let differing = differing(&first, &second);
    for path in &differing {
        println!("not the same twice: {}", path.display());
    }
    let is_same = differing.is_empty();
    if is_same {
        hidbpf_lab::paths::remove_folder(scratch)?;
    }
    Ok(is_same)
}

/// The contents of a folder: the mode of each file and folder, and the bytes of each file, by path.
pub type Files = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// Lays out the default selection into an empty folder, and reads it.
///
/// # Errors
/// It can't be laid out.
pub fn lay_out_anew(root: &Path, product: &Product, destdir: &Path) -> Result<Files> {
    hidbpf_lab::paths::fresh_folder(destdir)?;
    lay_out(root, product, &[], destdir)?;
    let mut tree = Files::new();
    read_tree(destdir, destdir, &mut tree)?;
    Ok(tree)
}

/// Returns the paths that are in only one tree or differ between both.
pub fn differing<'a>(first: &'a Files, second: &'a Files) -> BTreeSet<&'a Path> {
    let paths = first.keys().chain(second.keys());
    paths.filter(|path| first.get(*path) != second.get(*path)).map(PathBuf::as_path).collect()
}

fn read_tree(root: &Path, folder: &Path, tree: &mut Files) -> Result<()> {
    for path in files(folder)? {
        let failure = || format!("failed to read `{}`", path.display());
        let mode = fs::metadata(&path).with_context(failure)?.permissions().mode();
        let mut bytes = Vec::new();
        if path.is_dir() {
            read_tree(root, &path, tree)?;
        } else {
            bytes = fs::read(&path).with_context(failure)?;
        }
        tree.insert(path.strip_prefix(root).unwrap_or(&path).to_owned(), (mode, bytes));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_of_another_run_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let objects = BTreeMap::from([("a.bpf.o".to_owned(), PathBuf::from("x"))]);
        refuse_others(&folder.path().join("none"), &objects).unwrap();
        fs::write(folder.path().join("a.bpf.o"), "").unwrap();
        refuse_others(folder.path(), &objects).unwrap();
        fs::write(folder.path().join("b.bpf.o"), "").unwrap();
        let error = refuse_others(folder.path(), &objects).unwrap_err().to_string();
        assert!(
            error.ends_with("b.bpf.o` is not one of the drivers to install: remove it, or choose another directory")
        );
    }

    #[test]
    fn only_wanted_drivers_are_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let objects = root.join("objects");
        fs::create_dir(&objects).unwrap();
        for status in ["stable", "testing", "example"] {
            fs::create_dir_all(root.join("drivers").join(status)).unwrap();
            fs::write(root.join("drivers").join(status).join("driver.toml"), format!("status = \"{status}\"")).unwrap();
            fs::write(objects.join(format!("{status}.bpf.o")), "").unwrap();
        }
        fs::write(objects.join("stable.d"), "").unwrap();
        let product = Product { hidbpf: PathBuf::new(), helper: PathBuf::new(), objects, libbpf: None };
        let names = |with: &[Status]| chosen(root, &product, with).unwrap().into_keys().collect::<Vec<_>>();
        assert_eq!(names(&[]), ["stable.bpf.o"]);
        assert_eq!(names(&[Status::Testing]), ["stable.bpf.o", "testing.bpf.o"]);
        assert_eq!(names(&[Status::Example, Status::Stable]), ["example.bpf.o", "stable.bpf.o"]);
    }
}
