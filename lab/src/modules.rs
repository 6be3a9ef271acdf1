//! Chooses the modules that a guest needs from all modules of a kernel, with their dependencies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::kernels::{Kernel, Modules};
use crate::paths::fresh_folder;
use crate::process;

/// The files beside the modules that `depmod` reads.
const TABLES: [&str; 3] = ["modules.builtin", "modules.builtin.modinfo", "modules.order"];

/// Copies the modules that `kernel` needs into `stage/lib/modules/<release>`, with the tables that `modprobe` reads.
///
/// Does nothing for a kernel without modules.
///
/// # Errors
/// A needed module is missing, or a file can't be copied, or `depmod` fails.
pub fn stage(kernel: &Kernel, wanted: &Modules, stage: &Path) -> Result<()> {
    fresh_folder(stage)?;
    let Some(from) = &kernel.modules else { return Ok(()) };
    let chosen = choose(&Tree::read(from)?, wanted, depends_of)
        .with_context(|| format!("failed to choose modules of Linux {}", kernel.release))?;
    let to = folder(kernel, stage);
    for path in chosen.iter().map(PathBuf::as_path).chain(TABLES.map(Path::new)) {
        let (source, target) = (from.join(path), to.join(path));
        if !source.exists() {
            continue;
        }
        let folder = target.parent().unwrap_or(&to);
        fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        fs::copy(&source, &target)
            .with_context(|| format!("failed to copy `{}` to `{}`", source.display(), target.display()))?;
    }
    depmod(kernel, stage)
}

/// Writes the same tables as [`stage`], but empty, for a kernel whose modules are not needed.
///
/// # Errors
/// A file can't be written, or `depmod` fails.
pub fn stage_none(kernel: &Kernel, stage: &Path) -> Result<()> {
    let to = folder(kernel, stage);
    fs::create_dir_all(&to).with_context(|| format!("failed to create `{}`", to.display()))?;
    for table in TABLES {
        fs::write(to.join(table), "").with_context(|| format!("failed to write `{table}` in `{}`", to.display()))?;
    }
    depmod(kernel, stage)
}

/// Returns the folder of the kernel's modules below `stage`.
fn folder(kernel: &Kernel, stage: &Path) -> PathBuf {
    stage.join("lib/modules").join(&kernel.release)
}

fn depmod(kernel: &Kernel, stage: &Path) -> Result<()> {
    process::output(process::command("depmod").arg("-b").arg(stage).arg(&kernel.release)).map(drop)
}

/// The modules of one kernel by name.
#[derive(Debug, Default)]
struct Tree {
    root: PathBuf,
    /// The path of each module under `root`.
    files: BTreeMap<String, PathBuf>,
    built_in: BTreeSet<String>,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut tree = Self { root: root.to_owned(), ..Self::default() };
        tree.add_folder(Path::new("kernel"))?;
        let path = root.join("modules.builtin");
        let built_in = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
        tree.built_in = built_in.lines().filter_map(|line| module_name(Path::new(line))).collect();
        Ok(tree)
    }

    fn add_folder(&mut self, folder: &Path) -> Result<()> {
        let path = self.root.join(folder);
        let failure = || format!("failed to read `{}`", path.display());
        if !path.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(&path).with_context(failure)? {
            let entry = entry.with_context(failure)?;
            let below = folder.join(entry.file_name());
            if entry.file_type().with_context(failure)?.is_dir() {
                self.add_folder(&below)?;
            } else if let Some(name) = module_name(&below) {
                self.files.insert(name, below);
            }
        }
        Ok(())
    }
}

/// Returns the name of the module in a file: `hid-generic.ko.xz` is `hid_generic`.
fn module_name(path: &Path) -> Option<String> {
    let (name, rest) = path.file_name()?.to_str()?.split_once(".ko")?;
    (rest.is_empty() || rest.starts_with('.')).then(|| canonical(name))
}

/// Replaces `-` with `_`: the kernel treats them as equal in a module's name.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Returns the names of the modules that the module in the file at `path` depends on.
fn depends_of(path: &Path) -> Result<Vec<String>> {
    let listed = process::output(process::command("modinfo").args(["-F", "depends"]).arg(path))?;
    Ok(listed.trim().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Returns the paths, under the tree's root, of all wanted modules and their dependencies.
fn choose(tree: &Tree, wanted: &Modules, depends: impl Fn(&Path) -> Result<Vec<String>>) -> Result<BTreeSet<PathBuf>> {
    let mut chosen = BTreeSet::new();
    let needed = wanted.needed.iter().map(|name| (canonical(name), true));
    let mut open: Vec<(String, bool)> =
        needed.chain(wanted.welcome.iter().map(|name| (canonical(name), false))).collect();
    while let Some((name, is_needed)) = open.pop() {
        match tree.files.get(&name) {
            Some(path) => {
                if chosen.insert(path.clone()) {
                    let below = depends(&tree.root.join(path))?;
                    open.extend(below.iter().map(|name| (canonical(name), true)));
                }
            }
            None if tree.built_in.contains(&name) || !is_needed => {}
            None => bail!("there is no module `{name}` in `{}`, and it is not built in", tree.root.display()),
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let files = ["hid", "hid_generic", "usbhid", "usbcore", "unused"];
        Tree {
            root: "/m".into(),
            files: files.map(|name| (name.to_owned(), PathBuf::from(format!("kernel/{name}.ko.xz")))).into(),
            built_in: ["evdev".to_owned()].into(),
        }
    }

    fn depends(path: &Path) -> Result<Vec<String>> {
        let names: &[&str] = match module_name(path).as_deref() {
            Some("hid_generic") => &["hid"],
            Some("usbhid") => &["hid", "usbcore"],
            _ => &[],
        };
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    fn wanted(needed: &[&str], welcome: &[&str]) -> Modules {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Modules { needed: own(needed), welcome: own(welcome) }
    }

    #[test]
    fn what_a_module_depends_on_comes_with_it() {
        let chosen = choose(&tree(), &wanted(&["hid-generic", "evdev"], &["usbhid", "not-there"]), depends).unwrap();
        let names: Vec<String> = chosen.iter().filter_map(|path| module_name(path)).collect();
        assert_eq!(names, ["hid", "hid_generic", "usbcore", "usbhid"]);
    }

    #[test]
    fn a_needed_module_that_is_nowhere_is_an_error() {
        let error = choose(&tree(), &wanted(&["uhid"], &[]), depends).unwrap_err().to_string();
        assert_eq!(error, "there is no module `uhid` in `/m`, and it is not built in");
    }

    #[test]
    fn only_module_files_have_a_name() {
        assert_eq!(module_name(Path::new("a/hid-generic.ko.zst")).as_deref(), Some("hid_generic"));
        assert_eq!(module_name(Path::new("a/hid.ko")).as_deref(), Some("hid"));
        assert_eq!(module_name(Path::new("a/modules.order")), None);
        assert_eq!(module_name(Path::new("a/x.kofi")), None);
    }
}
