//! The kernels to boot: those of `kernels.toml`, fetched from Debian's archive, and those that the user names.

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::apt::Suite;
use crate::architecture::Architecture;
use crate::paths::{Paths, remove_folder};
use crate::process;
use crate::protocol::Generation;
use crate::screen::{self, Step};

/// The list of kernels.
const LIST: &str = include_str!("../kernels.toml");

/// The part before the release in the package names of kernels for ordinary PCs.
const IMAGE_PREFIX: &str = "linux-image-";

/// The names of files of a fetched kernel, in its folder.
const IMAGE: &str = "vmlinuz";
const CONFIG: &str = "config";
const MODULES: &str = "modules";

/// The prefix of folders in which a kernel is being assembled.
const PARTIAL: &str = ".partial-";

/// A kernel that is available and can be booted.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The name in reports.
    pub name: String,
    /// The output of `uname -r`.
    pub release: String,
    /// The bzImage.
    pub image: PathBuf,
    /// The folder with the modules of this release (it has `modules.builtin` and `kernel/`). `None` if everything is built in.
    pub modules: Option<PathBuf>,
    /// The generation that it must offer.
    pub generation: Generation,
    /// Whether all cases run on it, even if the user did not ask for all.
    pub everything: bool,
    /// Whether cases may be skipped on it.
    pub may_skip: bool,
    /// Its architecture.
    pub architecture: Architecture,
}

/// `kernels.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// Debian's kernels.
    #[serde(rename = "kernel")]
    pub kernels: Vec<Entry>,
    /// The modules that the guest needs.
    pub modules: Modules,
}

/// Names of modules.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modules {
    /// Required modules.
    pub needed: Vec<String>,
    /// Modules that are packed if the kernel has them.
    pub welcome: Vec<String>,
}

/// One of Debian's kernels, before it is looked up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Entry {
    /// The name in reports.
    pub name: String,
    /// The suite that has it.
    pub suite: String,
    /// The choice among the suite's kernels.
    pub pick: Pick,
    /// The lowest version to choose.
    pub since: Option<String>,
    /// The generation that it must offer.
    pub generation: Generation,
    /// Whether all cases run on it, even if the user did not ask for all.
    #[serde(default)]
    pub everything: bool,
    /// Whether cases may be skipped on it.
    #[serde(default = "yes")]
    pub may_skip: bool,
    /// Its architecture. The kernels of the list are for x86-64.
    #[serde(skip)]
    pub architecture: Architecture,
}

fn yes() -> bool {
    true
}

/// The choice among a suite's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pick {
    /// The highest version.
    Newest,
    /// The lowest version.
    Oldest,
}

/// Parses `kernels.toml`.
///
/// # Errors
/// It has a mistake.
pub fn list() -> Result<List> {
    toml::from_str(LIST).context("failed to read `lab/kernels.toml`")
}

impl Entry {
    /// Returns the name of this entry's image package among `packages`, and its release.
    fn resolve(&self, packages: &[String]) -> Result<String> {
        let since = self.since.as_deref().map(Version::parse).unwrap_or_default();
        let releases = packages.iter().filter_map(|package| package.strip_prefix(IMAGE_PREFIX));
        let mut found: Vec<(Version, &str)> = releases
            .filter_map(|release| Some((Version::of_plain_kernel(release, self.architecture)?, release)))
            .filter(|(version, _)| *version >= since)
            .collect();
        found.sort();
        let chosen = match self.pick {
            Pick::Newest => found.last(),
            Pick::Oldest => found.first(),
        };
        match chosen {
            Some((_, release)) => Ok((*release).to_owned()),
            None => bail!(
                "the suite `{}` has no kernel{} for the entry `{}` of `lab/kernels.toml`",
                self.suite,
                self.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default(),
                self.name
            ),
        }
    }

    /// Finds the kernel in Debian's archive, and fetches it unless it is here.
    ///
    /// # Errors
    /// The archive can't be reached, has no such kernel, or the kernel is not built as the entry requires.
    pub fn fetch(&self, paths: &Paths) -> Result<Kernel> {
        let step = screen::step(&self.name, "looking for the kernel");
        let suite = Suite::open(&paths.vm.join("apt"), &self.suite, self.architecture, &step)?;
        let release = self.resolve(&suite.package_names(IMAGE_PREFIX)?)?;
        let folder = paths.vm.join("kernels").join(&release);
        if !folder.is_dir() {
            step.say(&format!("fetching Linux {release} from {}", suite.name()));
            unpack(&suite, &release, &folder, &step)?;
            step.note(&format!("Linux {release} is fetched from {}", suite.name()));
        }
        let config = folder.join(CONFIG);
        let text = fs::read_to_string(&config).with_context(|| format!("failed to read `{}`", config.display()))?;
        let has_hid_bpf = text.lines().any(|line| line == "CONFIG_HID_BPF=y");
        if has_hid_bpf != (self.generation != Generation::None) {
            bail!(
                "Linux {release} has CONFIG_HID_BPF {}, the entry `{}` of `lab/kernels.toml` says otherwise",
                if has_hid_bpf { "on" } else { "off" },
                self.name
            );
        }
        Ok(Kernel {
            name: self.name.clone(),
            image: folder.join(IMAGE),
            modules: Some(folder.join(MODULES)),
            release,
            generation: self.generation,
            everything: self.everything,
            may_skip: self.may_skip,
            architecture: self.architecture,
        })
    }
}

/// Downloads the packages of the kernel `release` and puts the needed files into `folder`, completely or not at all.
fn unpack(suite: &Suite, release: &str, folder: &Path, step: &Step) -> Result<()> {
    let image = format!("{IMAGE_PREFIX}{release}");
    // Since 6.19 the image package is empty and depends on other packages of the same release that hold the parts.
    let mut packages: Vec<String> = suite.dependencies(&image)?;
    packages.retain(|name| name.starts_with("linux-") && name.ends_with(&format!("-{release}")));
    packages.push(image);
    packages.sort();
    packages.dedup();

    let kernels = folder.parent().unwrap_or(folder);
    remove_left_overs(kernels)?;
    let partial = kernels.join(format!("{PARTIAL}{}", std::process::id()));
    let (debs, root, done) = (partial.join("debs"), partial.join("root"), partial.join("done"));
    for folder in [&debs, &root, &done] {
        fs::create_dir_all(folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
    }
    let debs = suite.download(&packages, &debs, step)?;
    step.say(&format!("unpacking Linux {release}"));
    for deb in debs {
        process::output(process::command("dpkg-deb").arg("--extract").arg(&deb).arg(&root))?;
    }
    let modules = first_that_is_there(
        &[root.join("usr/lib/modules").join(release), root.join("lib/modules").join(release)],
        "modules",
        release,
    )?;
    for (name, boot) in [(IMAGE, format!("boot/vmlinuz-{release}")), (CONFIG, format!("boot/config-{release}"))] {
        let from = first_that_is_there(&[modules.join(name), root.join(boot)], name, release)?;
        rename(&from, &done.join(name))?;
    }
    rename(&modules, &done.join(MODULES))?;
    rename(&done, folder)?;
    remove_folder(&partial)
}

/// Removes the remains of killed runs, as far as possible.
///
/// A process of such a run may still be writing. Its files are then removed next time.
fn remove_left_overs(kernels: &Path) -> Result<()> {
    fs::create_dir_all(kernels).with_context(|| format!("failed to create `{}`", kernels.display()))?;
    for entry in fs::read_dir(kernels).with_context(|| format!("failed to read `{}`", kernels.display()))?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(PARTIAL) {
            let _ = remove_folder(&entry.path());
        }
    }
    Ok(())
}

fn first_that_is_there(paths: &[PathBuf], what: &str, release: &str) -> Result<PathBuf> {
    let found = paths.iter().find(|path| path.exists()).cloned();
    found.ok_or_else(|| anyhow!("the packages of Linux {release} hold no {what} where Debian puts it"))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("failed to move `{}` to `{}`", from.display(), to.display()))
}

/// A kernel that the user names: `PATH[,modules=DIR][,generation=none|fmod-ret|struct-ops][,name=NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKernel {
    /// The bzImage.
    pub image: PathBuf,
    /// The folder of its modules, if it has any.
    pub modules: Option<PathBuf>,
    /// The generation that it offers. Default: the usual one of its version.
    pub generation: Option<Generation>,
    /// The name in reports. Default: its release.
    pub name: Option<String>,
}

impl std::str::FromStr for UserKernel {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(',');
        let image = parts.next().filter(|path| !path.is_empty()).context("expected the path of a kernel image")?;
        let mut kernel = Self { image: image.into(), modules: None, generation: None, name: None };
        for part in parts {
            match part.split_once('=') {
                Some(("modules", folder)) => kernel.modules = Some(folder.into()),
                Some(("name", name)) => kernel.name = Some(name.to_owned()),
                Some(("generation", word)) => {
                    let word = serde_json::Value::String(word.to_owned());
                    let known = serde_json::from_value(word).ok().context("expected none, fmod-ret or struct-ops")?;
                    kernel.generation = Some(known);
                }
                _ => bail!("expected modules=DIR, generation=WORD or name=NAME, found `{part}`"),
            }
        }
        Ok(kernel)
    }
}

impl UserKernel {
    /// Parses several kernels, separated by colons.
    ///
    /// # Errors
    /// One of them is misspelt.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let items = text.split(':').filter(|item| !item.trim().is_empty());
        items.map(|item| item.trim().parse().with_context(|| format!("failed to read `{item}`"))).collect()
    }

    /// Checks the files that the user named.
    ///
    /// # Errors
    /// The image is invalid, or the modules are not those of its release.
    pub fn look(&self) -> Result<Kernel> {
        let image = &self.image;
        let bytes = fs::read(image).with_context(|| format!("failed to read the kernel `{}`", image.display()))?;
        let release = release_of(&bytes)
            .ok_or_else(|| anyhow!("`{}` is not an x86 kernel image (bzImage)", image.display()))?
            .to_owned();
        let modules = match &self.modules {
            None => None,
            Some(folder) => {
                let places = ["", "lib/modules", "usr/lib/modules"]
                    .map(|place| if place.is_empty() { folder.clone() } else { folder.join(place).join(&release) });
                let found = places.into_iter().find(|place| place.join("modules.builtin").is_file());
                Some(found.ok_or_else(|| {
                    anyhow!("no modules of Linux {release} in `{}`: there is no `modules.builtin`", folder.display())
                })?)
            }
        };
        Ok(Kernel {
            name: self.name.clone().unwrap_or_else(|| release.clone()),
            generation: self.generation.unwrap_or_else(|| usual_generation(&Version::parse(&release))),
            image: image.clone(),
            release,
            modules,
            everything: false,
            may_skip: true,
            architecture: Architecture::Amd64,
        })
    }
}

/// Returns the release in a bzImage, see Documentation/arch/x86/boot.rst: a magic at 0x202, and the place of the text at 0x20e.
fn release_of(image: &[u8]) -> Option<&str> {
    if image.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let place = usize::from(u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text = image.get(place..)?.split(|byte| *byte == 0 || *byte == b' ').next()?;
    std::str::from_utf8(text).ok().filter(|release| !release.is_empty())
}

/// Returns the generation that a kernel of this version offers if it is built with CONFIG_HID_BPF.
fn usual_generation(version: &Version) -> Generation {
    if *version >= Version::parse("6.11") {
        Generation::StructOps
    } else if *version >= Version::parse("6.3") {
        Generation::FmodRet
    } else {
        Generation::None
    }
}

/// The leading numbers of a release, and Debian's revision of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version(Vec<u32>);

impl Version {
    /// Parses the numbers at the start of `release`.
    pub fn parse(release: &str) -> Self {
        let numbers = release.split(|char: char| !char.is_ascii_digit() && char != '.').next().unwrap_or_default();
        Self(numbers.split('.').map_while(|number| number.parse().ok()).collect())
    }

    /// Parses the release of one of Debian's kernels for ordinary machines, `7.3.4+deb13-amd64`. Returns `None` for any other flavour.
    fn of_plain_kernel(release: &str, architecture: Architecture) -> Option<Self> {
        let flavour = release.strip_suffix(architecture.debian())?.strip_suffix('-')?;
        let (numbers, debian) = flavour.split_once("+deb")?;
        let is_plain = |text: &str| !text.is_empty() && text.chars().all(|char| char.is_ascii_digit() || char == '.');
        (is_plain(numbers) && is_plain(debian)).then(|| Self::parse(numbers))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Vec<String> {
        [
            "linux-image-6.12.107+deb13-amd64",
            "linux-image-6.16.12+deb13-amd64",
            "linux-image-6.16.3+deb13-amd64",
            "linux-image-6.16.3+deb13-cloud-amd64",
            "linux-image-7.10.1+deb13-amd64",
            "linux-image-7.3.4+deb13-amd64",
            "linux-image-7.11.0+deb13-amd64-unsigned",
            "linux-image-7.11.0+deb13-amd64-dbg",
            "linux-image-7.11.0+deb13-rt-amd64",
            "linux-image-7.11.0+deb13-cloud-amd64",
            "linux-image-amd64",
            "linux-image-7.11.0+deb13-arm64",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn entry(pick: Pick, since: Option<&str>) -> Entry {
        Entry {
            name: "it".into(),
            suite: "trixie".into(),
            pick,
            since: since.map(str::to_owned),
            generation: Generation::StructOps,
            everything: false,
            may_skip: true,
            architecture: Architecture::Amd64,
        }
    }

    #[test]
    fn versions_are_compared_as_numbers_and_other_flavours_passed_over() {
        assert_eq!(entry(Pick::Newest, None).resolve(&packages()).unwrap(), "7.10.1+deb13-amd64");
        assert_eq!(entry(Pick::Oldest, None).resolve(&packages()).unwrap(), "6.12.107+deb13-amd64");
        assert_eq!(entry(Pick::Oldest, Some("6.16")).resolve(&packages()).unwrap(), "6.16.3+deb13-amd64");
    }

    #[test]
    fn nothing_to_choose_from_is_an_error() {
        let error = entry(Pick::Newest, Some("8")).resolve(&packages()).unwrap_err().to_string();
        assert_eq!(error, "the suite `trixie` has no kernel since 8 for the entry `it` of `lab/kernels.toml`");
    }

    #[test]
    fn the_list_reads_and_names_are_unique() {
        let list = list().unwrap();
        let mut names: Vec<&str> = list.kernels.iter().map(|entry| entry.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), list.kernels.len());
        assert!(!list.modules.needed.is_empty());
    }

    #[test]
    fn a_users_kernel_is_spelt_out() {
        let kernel: UserKernel = "/k/bzImage,modules=/m,generation=fmod-ret,name=mine".parse().unwrap();
        assert_eq!(kernel.image, Path::new("/k/bzImage"));
        assert_eq!(kernel.modules.as_deref(), Some(Path::new("/m")));
        assert_eq!(kernel.generation, Some(Generation::FmodRet));
        assert_eq!(kernel.name.as_deref(), Some("mine"));
        let two = UserKernel::parse_list("/a:/b,modules=/c:").unwrap();
        assert_eq!(two.len(), 2);
        assert!(UserKernel::parse_list("").unwrap().is_empty());
        for wrong in ["", ",modules=/m", "/k,generation=7", "/k,speed=1", "/k,modules"] {
            assert!(wrong.parse::<UserKernel>().is_err(), "{wrong}");
        }
    }

    fn image(release: &str) -> Vec<u8> {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
        image[0x300..0x300 + release.len()].copy_from_slice(release.as_bytes());
        image
    }

    #[test]
    fn the_release_is_read_from_an_image() {
        assert_eq!(release_of(&image("6.6.150 (me@here) #1 SMP")), Some("6.6.150"));
        assert_eq!(release_of(&image("")), None);
        assert_eq!(release_of(b"ELF"), None);
        let whole = image("6.6.150 (me@here)");
        for end in 0..whole.len() {
            release_of(&whole[..end]);
        }
    }

    #[test]
    fn a_version_tells_what_a_kernel_offers() {
        for (release, generation) in [
            ("6.2.16", Generation::None),
            ("6.3.0-rc1", Generation::FmodRet),
            ("6.10.14", Generation::FmodRet),
            ("6.11.0", Generation::StructOps),
            ("7.3.4+deb13-amd64", Generation::StructOps),
        ] {
            assert_eq!(usual_generation(&Version::parse(release)), generation, "{release}");
        }
    }
}
