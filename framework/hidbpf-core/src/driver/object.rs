//! Parses a driver's object file without a kernel: its manifest, its hooks, and the variables that user space sets.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use hidbpf_prelink::driver::{NO_RULE, PROBE_PROGRAM, RULE, SETUP_PROGRAM};
use hidbpf_prelink::elf::{self, Elf, NotBpf};
use hidbpf_prelink::section::{self, MAPS, is_data};
use hidbpf_prelink::{Checksum, NotPrelinked, Prelinked, Unusable, match_table};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};
use xxhash_rust::xxh3::Xxh3;

use crate::driver::foreign::{self, Origin};
use crate::error::{Error, ErrorKind, Result};
use crate::kernel::Generation;
use crate::manifest::exports::{self, Export, Exported};
use crate::manifest::options;
use crate::manifest::order::Order;
use crate::manifest::{self, Digest, Embedded, Fingerprint, Manifest, Requirement};
use crate::names::{DriverName, ForeignName};
use crate::trusted;

pub use hidbpf_prelink::driver::{FIXUP_RECORD, IDS, PROPERTY_PREFIX, SOURCE_ROOT};
pub use hidbpf_prelink::section::{SectionRole, section_role};
pub use hidbpf_prelink::{Hook, limits};

/// A global variable of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Global {
    /// The section that contains it: `.bss`, `.data`, `.rodata`.
    pub section: String,
    /// Its offset in the section, in bytes.
    pub offset: usize,
    /// Its size, in bytes.
    pub size: usize,
}

/// The size of an instruction in bytes, for sizes and offsets of an ELF file.
pub const INSTRUCTION_SIZE: u64 = hidbpf_prelink::INSTRUCTION_SIZE as u64;

/// An object with HID-BPF programs, of a driver or of hidbpf itself.
#[derive(Clone)]
pub struct ObjectFile {
    /// The name for libbpf and for messages.
    pub name: String,
    /// The file, or a stand-in for messages.
    pub path: PathBuf,
    /// The hooks, by generation, with the number of 8-byte instructions of each. Called functions are not counted.
    pub hooks: BTreeMap<Generation, BTreeMap<Hook, u64>>,
    /// Whether it has a probe program, which may refuse a device.
    pub has_probe: bool,
    /// Whether it has a setup program, which sends requests to the device after attaching.
    pub has_setup: bool,
    /// Global variables by name.
    pub globals: BTreeMap<String, Global>,
    /// The maps that the source defines, by name.
    pub maps: BTreeSet<String>,
    /// Who the object was written for.
    pub origin: Origin,
    /// The position of its hooks among those of other drivers.
    pub order: Order,
    bytes: Cow<'static, [u8]>,
    /// [`hidbpf_prelink::source`] of the bytes, if computed.
    source: Option<Checksum>,
    /// The prelinked programs of a foreign object, which has none of its own. Linked when first needed.
    linked: OnceLock<std::result::Result<Vec<u8>, NotPrelinked>>,
}

/// A driver's object.
#[derive(Clone)]
pub struct DriverObject {
    /// The driver's name, from the manifest. A copy under another file name is the same driver.
    pub name: DriverName,
    /// The manifest.
    pub manifest: Manifest,
    /// The checksum of its object. Each version of the driver has a different one.
    pub fingerprint: Fingerprint,
    /// The programs.
    pub file: ObjectFile,
    /// The same driver for other kernels, the newest first. Only foreign drivers have any.
    pub versions: Vec<DriverObject>,
}

impl std::ops::Deref for DriverObject {
    type Target = ObjectFile;

    fn deref(&self) -> &ObjectFile {
        &self.file
    }
}

impl fmt::Debug for DriverObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverObject").field("path", &self.path).field("name", &self.name).finish_non_exhaustive()
    }
}

impl DriverObject {
    /// The largest object file that is accepted, in bytes. The largest drivers have some 100 KiB.
    const MAX_SIZE: u64 = 8 << 20;

    /// Reads an object from a file.
    ///
    /// # Errors
    /// The file can't be read or is not a driver.
    pub fn read(path: &Path) -> Result<DriverObject> {
        DriverObject::read_from(path, fs::File::open(path))
    }

    /// Reads an object, as udev's events do, from a file that only root can have written.
    ///
    /// # Errors
    /// As for [`DriverObject::read`], and also if other users could write the file or a directory above it.
    pub fn read_trusted(path: &Path) -> Result<DriverObject> {
        DriverObject::read_from(path, trusted::open(path))
    }

    /// Checks that udev's events may read the object: only root can have written it.
    ///
    /// # Errors
    /// Other users could write the file or a directory above it, or it can't be opened.
    pub fn check_trusted(path: &Path) -> Result<()> {
        trusted::open(path).map(drop).map_err(|error| unreadable(path, error))
    }

    fn read_from(path: &Path, file: std::io::Result<fs::File>) -> Result<DriverObject> {
        use std::io::Read;
        let fail = |error| unreadable(path, error);
        let file = file.map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len().min(DriverObject::MAX_SIZE);
        // The extra byte lets `read_to_end` reach the end of the file without another allocation.
        let mut bytes = Vec::with_capacity(size as usize + 1);
        file.take(DriverObject::MAX_SIZE + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > DriverObject::MAX_SIZE {
            return Err(bad(path, format!("it is larger than {} MiB", DriverObject::MAX_SIZE >> 20)));
        }
        DriverObject::parse(path, bytes)
    }

    /// Parses an object from memory. `path` is its origin.
    ///
    /// # Errors
    /// The bytes are not a driver: not an ELF file, truncated, not for BPF, without a manifest and a match table, or
    /// without a hook.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<DriverObject> {
        let elf = elf(path, &bytes)?;
        limits::check(&elf).map_err(|why| bad(path, why))?;
        let Some(section) = elf.section_by_name(manifest::SECTION) else {
            let devices = match_table::read(&elf).map_err(|why| bad(path, why))?.ok_or_else(|| {
                let (manifest, table) = (manifest::SECTION, match_table::SECTION);
                bad(
                    path,
                    format!("it has neither a manifest (the ELF section `{manifest}`) nor a match table (`{table}`)"),
                )
            })?;
            return DriverObject::foreign(path, &devices, sums(path, &elf, &Fingerprint::UNSET)?, bytes);
        };
        let section = section.data().map_err(|error| damaged(path, "the section of its manifest", error))?;
        let Embedded { name, fingerprint, driver: manifest, .. } = Embedded::from_section(path, section)
            .map_err(|error| Error::because(ErrorKind::BadObject, "failed to read the driver's manifest", error))?;
        let sums = sums(path, &elf, &fingerprint)?;
        if fingerprint != sums.whole {
            return Err(Error::new(
                ErrorKind::BadObject,
                format!("`{}` is damaged: its content is not what was built", path.display()),
            )
            .with_hint("install the driver again, or rebuild it"));
        }
        let file = ObjectFile::parse(name.as_str(), path, bytes.into())?;
        let file = ObjectFile { source: Some(sums.source), order: manifest.order, ..file };
        Ok(DriverObject { name, manifest, fingerprint, file, versions: Vec::new() })
    }

    /// Parses a foreign object, which gets its name from its file.
    fn foreign(path: &Path, devices: &[match_table::DeviceIds], sums: Sums, bytes: Vec<u8>) -> Result<DriverObject> {
        let file_name = ForeignName::of(path).and_then(|file_name| Some((file_name.driver()?, file_name)));
        let (name, file_name) = file_name.ok_or_else(|| {
            bad(path, "its file name has no name for a driver".to_owned())
                .with_hint("rename the file after the device, such as `Maker__Model.bpf.o`")
        })?;
        let origin = Origin::Foreign { number: file_name.number };
        let file = ObjectFile::parse_as(name.as_str(), path, bytes.into(), origin)?;
        let manifest = foreign::manifest(&file_name, devices);
        let file = ObjectFile { source: Some(sums.source), ..file };
        Ok(DriverObject { name, manifest, fingerprint: sums.whole, file, versions: Vec::new() })
    }

    /// Adds another version of the same driver, and returns the newest with all others.
    #[must_use]
    pub fn and_version(mut self, mut other: DriverObject) -> DriverObject {
        let mut versions = std::mem::take(&mut self.versions);
        versions.append(&mut other.versions);
        versions.extend([self, other]);
        let number = |version: &DriverObject| match version.origin {
            Origin::Hidbpf => u32::MAX,
            Origin::Foreign { number } => number,
        };
        versions.sort_by_key(|version| std::cmp::Reverse(number(version)));
        let mut newest = versions.remove(0);
        newest.versions = versions;
        newest
    }

    /// Returns this version and all others, the newest first.
    pub fn into_versions(mut self) -> impl Iterator<Item = DriverObject> {
        let versions = std::mem::take(&mut self.versions);
        std::iter::once(self).chain(versions)
    }

    /// Iterates over this version and all others, the newest first.
    pub fn all_versions(&self) -> impl Iterator<Item = &DriverObject> {
        std::iter::once(self).chain(&self.versions)
    }

    /// Returns the version with this checksum.
    pub(crate) fn version(&self, fingerprint: &Fingerprint) -> Option<&DriverObject> {
        self.all_versions().find(|version| version.fingerprint == *fingerprint)
    }

    /// Returns the generations that the driver has programs for, in any version.
    pub fn generations(&self) -> BTreeSet<Generation> {
        self.all_versions().flat_map(|version| version.hooks.keys().copied()).collect()
    }

    /// Returns the versions that have programs for a kernel of this generation, the newest first.
    ///
    /// # Errors
    /// None has: the driver needs a feature that this generation lacks.
    pub fn for_kernel(&self, generation: Generation) -> Result<Vec<&DriverObject>> {
        let fitting: Vec<_> = self.all_versions().filter(|version| version.own_hooks(generation).is_some()).collect();
        if fitting.is_empty() { Err(self.unsupported(generation)) } else { Ok(fitting) }
    }

    /// Returns the udev properties that the driver's programs and match rules read, each once.
    pub fn properties(&self) -> BTreeSet<&str> {
        let ruled = self.manifest.matches.iter().filter_map(|rule| Some(rule.property.as_ref()?.name.as_str()));
        self.file.properties().chain(ruled).collect()
    }

    /// Returns the properties of [`DriverObject::properties`], and those that set the driver's options.
    pub fn all_properties(&self) -> BTreeSet<String> {
        let options = self.manifest.options.iter().map(|option| option.property(self.name.as_str()));
        self.properties().into_iter().map(str::to_owned).chain(options).collect()
    }

    /// Returns the offset and the size, in bytes, of each option variable in its section.
    pub fn option_places(&self) -> BTreeMap<String, (usize, usize)> {
        let globals = self.globals.iter().filter(|(_, global)| global.section == options::SECTION);
        globals.map(|(name, global)| (name.clone(), (global.offset, global.size))).collect()
    }

    /// Returns the offset and the size, in bytes, of each variable that it shares with drivers of other interfaces.
    pub fn shared_places(&self) -> BTreeMap<String, (usize, usize)> {
        let globals = self.globals.iter().filter(|(_, global)| global.section == section::SHARED_DATA);
        globals.map(|(name, global)| (name.clone(), (global.offset, global.size))).collect()
    }

    /// Returns the variable that tells the programs which match rule applied, and its bytes, if they read it.
    ///
    /// `rule` is the rule's label, or its number.
    pub fn rule_variable(&self, rule: Option<&str>) -> Option<(String, Vec<u8>)> {
        let index = self.manifest.rule_index(rule).unwrap_or(NO_RULE);
        self.globals.contains_key(RULE).then(|| (RULE.to_owned(), index.to_le_bytes().to_vec()))
    }

    /// Returns the udev properties that it sets on a device, with their variables' places.
    ///
    /// The build checked that all variables exist.
    pub fn exports(&self) -> Vec<Exported> {
        let exported = |export: &Export| {
            let offset = self.globals.get(&export.variable())?.offset;
            Some(Exported { export: export.clone(), offset, map: None, value: None })
        };
        let own = self.manifest.exports.iter().filter_map(exported);
        let foreign = self.origin.is_foreign().then(|| exports::of_maps(&self.maps, PROPERTY_PREFIX));
        own.chain(foreign.into_iter().flatten()).collect()
    }

    /// Returns the hooks that the driver uses on a kernel of this generation.
    ///
    /// # Errors
    /// The driver needs a feature that this generation lacks.
    pub fn hooks_for(&self, generation: Generation) -> Result<&BTreeMap<Hook, u64>> {
        let hooks = self.all_versions().find_map(|version| version.own_hooks(generation));
        hooks.ok_or_else(|| self.unsupported(generation))
    }

    /// Returns the hooks of this version.
    fn own_hooks(&self, generation: Generation) -> Option<&BTreeMap<Hook, u64>> {
        let too_old = generation == Generation::FmodRet && self.manifest.requires.contains(&Requirement::StructOps);
        self.hooks.get(&generation).filter(|_| !too_old)
    }

    fn unsupported(&self, generation: Generation) -> Error {
        let what = format!("the driver `{}` has no programs for a kernel with {generation} hooks", self.name);
        let is_foreign = self.origin.is_foreign();
        Error::new(ErrorKind::Kernel, what).with_hint(match generation {
            Generation::FmodRet => "it needs Linux 6.11 or later",
            Generation::StructOps if is_foreign => "it was built for Linux 6.3 to 6.10; install its newer version",
            Generation::StructOps => "rebuild the driver from its source",
        })
    }
}

/// Writes the checksum of an object into its manifest, which [`DriverObject::parse`] checks. The last step of a build.
///
/// # Errors
/// The object has no manifest that contains [`Fingerprint::UNSET`], or can't be read.
pub fn write_fingerprint(path: &Path, bytes: &mut [u8]) -> Result<()> {
    let (place, sum) = {
        let elf = elf(path, bytes)?;
        let place = elf
            .section_by_name(manifest::SECTION)
            .and_then(|section| {
                let (start, _) = section.file_range()?;
                let fingerprint = place_of(&Fingerprint::UNSET, section.data().ok()?)?;
                let start = usize::try_from(start).ok()?;
                Some(start.checked_add(fingerprint.start)?..start.checked_add(fingerprint.end)?)
            })
            .ok_or_else(|| bad(path, "it has no manifest with a place for its fingerprint".to_owned()))?;
        (place, sums(path, &elf, &Fingerprint::UNSET)?.whole)
    };
    bytes[place].copy_from_slice(sum.to_string().as_bytes());
    Ok(())
}

/// The checksums of an object's sections.
struct Sums {
    /// The checksum of all sections, as they were before the fingerprint was written.
    whole: Fingerprint,
    /// The checksum of the prelinked sections: [`hidbpf_prelink::source`].
    source: Checksum,
}

/// Computes the checksums of an object whose manifest has this fingerprint.
///
/// The whole checksum includes the source checksum, so that no byte is hashed twice.
fn sums(path: &Path, elf: &Elf<'_>, fingerprint: &Fingerprint) -> Result<Sums> {
    let source = hidbpf_prelink::source(elf).map_err(|error| damaged(path, "a section", error))?;
    let mut whole = Xxh3::new();
    whole.update(&source);
    for section in elf.sections() {
        let name = section.name_bytes().map_err(|error| damaged(path, "the name of a section", error))?;
        let fail = |error| damaged(path, &format!("the section `{}`", name.escape_ascii()), error);
        if hidbpf_prelink::is_source(&section).map_err(fail)? {
            continue;
        }
        let data = section.data().map_err(fail)?;
        whole.update(&(name.len() as u64).to_le_bytes());
        whole.update(name);
        whole.update(&(data.len() as u64).to_le_bytes());
        let fingerprint = if name == manifest::SECTION.as_bytes() { place_of(fingerprint, data) } else { None };
        match fingerprint {
            Some(fingerprint) => {
                whole.update(&data[..fingerprint.start]);
                whole.update(Fingerprint::UNSET.to_string().as_bytes());
                whole.update(&data[fingerprint.end..]);
            }
            None => whole.update(data),
        }
        whole.update(&section.size().to_le_bytes());
    }
    Ok(Sums { whole: Digest(whole.digest128().to_le_bytes()), source })
}

/// Returns the place of a fingerprint in the text of a manifest.
fn place_of(fingerprint: &Fingerprint, manifest: &[u8]) -> Option<Range<usize>> {
    let fingerprint = fingerprint.to_string();
    let start = std::str::from_utf8(manifest).ok()?.find(&fingerprint)?;
    Some(start..start + fingerprint.len())
}

impl ObjectFile {
    /// Parses an object from memory.
    ///
    /// # Errors
    /// The bytes are not an object for BPF, or have neither a program for any hook nor a setup.
    pub fn parse(name: &str, path: &Path, bytes: Cow<'static, [u8]>) -> Result<ObjectFile> {
        ObjectFile::parse_as(name, path, bytes, Origin::Hidbpf)
    }

    fn parse_as(name: &str, path: &Path, bytes: Cow<'static, [u8]>, origin: Origin) -> Result<ObjectFile> {
        let elf = elf(path, &bytes)?;
        let mut hooks: BTreeMap<Generation, BTreeMap<Hook, u64>> = BTreeMap::new();
        let mut struct_ops = 0;
        let mut names = Vec::new();
        // Sections for programs in which none was found so far, and whether they have code.
        let mut without_program = BTreeMap::new();
        for section in elf.sections() {
            let name = section.name().map_err(|error| damaged(path, "the name of a section", error))?;
            names.push((section.index(), name));
            match section_role(name) {
                Some(SectionRole::Program(generation, hook)) => {
                    without_program.insert(name, elf::is_code(&section));
                    hooks.entry(generation).or_default().insert(hook, section.size() / INSTRUCTION_SIZE);
                }
                Some(SectionRole::StructOps) => struct_ops += 1,
                None if section::hook_name(name).is_some() => {
                    let why =
                        format!("it has a program in the section `{name}`, for a hook that this hidbpf doesn't know");
                    return Err(bad(path, why).with_hint(match origin {
                        Origin::Hidbpf => "it was built for a newer hidbpf: update this one",
                        Origin::Foreign { .. } => "only programs for the hooks of `struct hid_bpf_ops` can be attached",
                    }));
                }
                Some(SectionRole::Syscall) | None => {}
            }
        }
        if hooks.contains_key(&Generation::StructOps) && struct_ops != 1 {
            return Err(bad(path, format!("it has {struct_ops} sections with a struct_ops map, expected 1")));
        }
        if origin.is_foreign() && struct_ops > 0 {
            foreign::check_ops(&elf).map_err(|why| bad(path, why))?;
        }
        let (mut globals, mut maps) = (BTreeMap::new(), BTreeSet::new());
        let (mut has_probe, mut has_setup) = (false, false);
        for symbol in elf.symbols() {
            let of_section = |(index, name)| (symbol.section_index() == Some(index)).then_some(name);
            let (Some(section), Ok(name)) = (names.iter().copied().find_map(of_section), symbol.name()) else {
                continue;
            };
            match section_role(section) {
                Some(SectionRole::Syscall) => {
                    has_probe |= name == PROBE_PROGRAM;
                    has_setup |= name == SETUP_PROGRAM && !origin.is_foreign();
                }
                Some(_) if symbol.kind() == SymbolKind::Text && without_program.get(section) == Some(&true) => {
                    without_program.remove(section);
                }
                Some(_) => {}
                None if section == MAPS && !name.is_empty() => {
                    maps.insert(name.to_owned());
                }
                None if is_data(section) && !name.is_empty() => {
                    let (Ok(offset), Ok(size)) = (symbol.address().try_into(), symbol.size().try_into()) else {
                        continue;
                    };
                    globals.insert(name.to_owned(), Global { section: (*section).to_owned(), offset, size });
                }
                None => {}
            }
        }
        if origin.is_foreign() {
            foreign::check_pins(&maps).map_err(|why| bad(path, why))?;
            if let Some(section) = without_program.keys().next() {
                return Err(bad(path, format!("its section `{section}` has no program: it has no function with code")));
            }
        }
        if hooks.is_empty() {
            if !(has_setup || has_probe && origin.is_foreign()) {
                return Err(bad(path, "it has no program for any hook of the HID core, and no setup".to_owned()));
            }
            hooks = [Generation::FmodRet, Generation::StructOps].map(|generation| (generation, BTreeMap::new())).into();
        }
        Ok(ObjectFile {
            name: name.to_owned(),
            path: path.to_owned(),
            hooks,
            has_probe,
            has_setup,
            globals,
            maps,
            origin,
            order: Order::Last,
            bytes,
            source: None,
            linked: OnceLock::new(),
        })
    }

    /// Returns the file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the data for loading the object without libbpf. Links a foreign object first.
    ///
    /// # Errors
    /// The object has no such data, or it is unusable. The error says why.
    pub fn prelinked(&self) -> std::result::Result<Prelinked<'_>, Unusable> {
        let damaged = |error: object::Error| Unusable::Damaged { offset: 0, reason: error.to_string() };
        if self.origin.is_foreign() {
            let linked = self.linked.get_or_init(|| hidbpf_prelink::link(&self.bytes));
            return Prelinked::parse(linked.as_ref().map_err(|why| Unusable::NotLinked(why.to_string()))?);
        }
        let elf = Elf::parse(&*self.bytes).map_err(damaged)?;
        let source = self.source.map_or_else(|| hidbpf_prelink::source(&elf), Ok).map_err(damaged)?;
        Prelinked::of_object(&elf, &source)
    }

    /// Returns the udev properties that it reads: `HUION_FIRMWARE_ID`.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        self.globals.keys().filter_map(|global| global.strip_prefix(PROPERTY_PREFIX))
    }

    /// Returns whether it has a descriptor hook. The kernel accepts one for each device.
    pub fn fixes_descriptor(&self) -> bool {
        self.hooks.values().any(|hooks| hooks.contains_key(&Hook::RdescFixup))
    }
}

/// Opens the object as an ELF file for BPF.
fn elf<'data>(path: &Path, bytes: &'data [u8]) -> Result<Elf<'data>> {
    elf::open(bytes).map_err(|error| match error {
        NotBpf::Elf(error) => {
            let found = match bytes.get(..4) {
                None => "it is empty or truncated",
                Some(b"\x7fELF") => "the ELF file is damaged or truncated",
                Some(_) => "it is not an ELF file",
            };
            Error::because(ErrorKind::BadObject, format!("`{}` is not a driver: {found}", path.display()), error)
                .with_hint("a driver is a `.bpf.o` file made by hidbpf's build")
        }
        NotBpf::Machine { machine } => {
            let expected = object::elf::EM_BPF.0;
            bad(path, format!("it is for another architecture (ELF machine {machine}, expected {expected}, BPF)"))
        }
        NotBpf::BigEndian => bad(path, "it was built for a machine of the other byte order".to_owned()),
        other => bad(path, other.to_string()),
    })
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    let what = format!("failed to read the driver `{}`", path.display());
    let hint = trusted::hint(&error);
    let error = match error.kind() {
        std::io::ErrorKind::NotFound => Error::because(ErrorKind::NoDriver, what, error),
        _ => Error::permission_or(ErrorKind::Io, what, error),
    };
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

fn bad(path: &Path, why: String) -> Error {
    Error::new(ErrorKind::BadObject, format!("`{}` is not a driver: {why}", path.display()))
        .with_hint("a driver is a `.bpf.o` file made by hidbpf's build")
}

fn damaged(path: &Path, what: &str, error: object::read::Error) -> Error {
    Error::because(ErrorKind::BadObject, format!("`{}` is damaged: failed to read {what}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_object_is_named() {
        let parse = |bytes: &[u8]| DriverObject::parse(Path::new("x.bpf.o"), bytes.to_vec()).unwrap_err();
        assert!(parse(b"").to_string().contains("empty or truncated"));
        assert!(parse(b"hello, world").to_string().contains("not an ELF file"));
        assert!(parse(b"\x7fELF\x02\x01\x01").to_string().contains("damaged or truncated"));
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(parse(&own).to_string().contains("another architecture"));
        for error in [parse(b""), parse(&own)] {
            assert_eq!(error.kind(), ErrorKind::BadObject);
        }
    }
}
