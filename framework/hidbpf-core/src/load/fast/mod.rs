//! The fast loader: loads and attaches prelinked drivers without libbpf.
//!
//! It makes bpf() calls alone, with the data that the build put into the object. It needs the kernel's own ids and
//! offsets ([`ResolvedIds`]). It asks the kernel for them or reads its BTF, and they are cached until the next boot.
//!
//! Every failure closes everything that was opened, and returns an error of [`ErrorKind::NotFast`] with a [`LoadFailure`]
//! as its cause. libbpf may still attach the driver, and its errors say more. The fast loader requests no log from the
//! verifier.

mod ask;
mod ids;
mod resolve;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use hid_bpf_src::{
    ATTACH_PRELINKED, ATTACH_PROGRAM, AttachProgArgs, DESCRIPTOR_PRELINKED, DESCRIPTOR_PROGRAM, DescriptorArgs,
};
use hidbpf_prelink::driver::{FixupRecord, PROBE_PROGRAM, ProbeArgs, SETUP_PROGRAM};
use hidbpf_prelink::hook::ATTACH_KFUNC;
use hidbpf_prelink::section;
use hidbpf_prelink::{Instruction, MEMBERS, Member, Prelinked, Program, ReferenceKind, Unusable};
use zerocopy::{FromBytes, IntoBytes};

use crate::device::Device;
use crate::driver::foreign;
use crate::driver::object::{FIXUP_RECORD, Hook, ObjectFile, SectionRole, section_role};
use crate::error::{Error, ErrorKind, Result as CoreResult, Step};
use crate::ids::HidId;
use crate::kernel::Generation;
use crate::kernel::refusal::{self, Refusal};
use crate::load::loader::{self, AttachedLink, Loaded, Loader, LoaderKind, Part, Setting, Steps, StoredDescriptor};
use crate::load::ops::OpsMap;
use crate::manifest::order::Order;
use crate::sys::{self, Map, ProgramSpec, Role};
use crate::system::System;

pub use crate::kernel::running::{ResolvedMember, ResolvedOps};
use ids::is_sane;
pub use ids::{KernelIdentity, ResolvedIds};
use resolve::Origin;

/// Why a driver can't be attached without libbpf.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadFailure {
    /// The driver has no usable prelinked programs.
    #[error(transparent)]
    Prelinked(#[from] Unusable),
    /// The prelinked programs differ from the object's programs.
    #[error("its prelinked programs are not those that it has")]
    OtherHooks,
    /// The driver has a variable for the parsed descriptor.
    #[error("its variable `{}` is filled by the libbpf loader alone", foreign::PARSED_DESCRIPTOR)]
    ParsedDescriptor,
    /// The kernel refused a request.
    #[error("the kernel refused to {verb} `{name}`")]
    Refused {
        /// The requested operation.
        verb: &'static str,
        /// The name of the program or map.
        name: String,
        /// The kernel's error.
        source: Errno,
    },
    /// A program needs a function that the kernel lacks.
    #[error("the kernel has no function `{0}` outside of modules")]
    NoFunction(String),
    /// A program accesses a member of a kernel struct that this kernel lacks, or that has another size.
    #[error("the kernel's `struct {}` has no `{}` of {} bytes that can be reached", .0.of, .0.name, .0.size)]
    NoMember(Member),
    /// The kernel's types are of an unknown form.
    #[error("the kernel's `struct hid_bpf_ops` is one that only libbpf can fill")]
    UnknownOps,
    /// The kernel's types can't be read.
    #[error("failed to read the kernel's types")]
    Types(#[source] io::Error),
    /// The kernel has no HID-BPF interface.
    #[error("the kernel has neither `struct hid_bpf_ops` nor `hid_bpf_attach_prog`")]
    NoHidBpf,
}

/// A kernel error, in words.
#[derive(Debug, thiserror::Error)]
#[error("{}", refusal::words(.0))]
pub struct Errno(pub io::Error);

impl LoadFailure {
    fn refused(verb: &'static str, name: &str) -> impl FnOnce(io::Error) -> LoadFailure {
        let name = name.to_owned();
        move |error| LoadFailure::Refused { verb, name, source: Errno(error) }
    }

    /// Converts the failure into an error of a loader that has a successor.
    ///
    /// If a reason behind the kernel's errno stops every loader, adds it as a hint.
    fn not_fast(self, what: String) -> Error {
        let refusal = match &self {
            LoadFailure::Refused { source: Errno(error), .. } => Refusal::of_error(&System::default(), error),
            _ => None,
        };
        let error = Error::because(ErrorKind::NotFast, what, self);
        match refusal {
            Some(Refusal { cause, hint, .. }) => error.with_hint(format!("{cause}; {hint}")),
            None => error,
        }
    }

    /// Returns whether wrong kernel ids may be the cause.
    fn may_be_numbers(&self) -> bool {
        !matches!(self, LoadFailure::Prelinked(_) | LoadFailure::OtherHooks | LoadFailure::ParsedDescriptor)
    }
}

/// Asks the kernel for the ids that drivers usually need. `None` if it gives no usable answers.
pub fn ids_from_answers() -> Option<ResolvedIds> {
    resolve::from_answers(&BTreeSet::new())
}

/// Reads the ids that drivers usually need from the kernel's types.
///
/// # Errors
/// The kernel has no types or no HID-BPF, or an unknown form of them.
pub fn ids_from_types(system: &System) -> Result<ResolvedIds, LoadFailure> {
    resolve::from_types(&system.kernel_btf(), &BTreeSet::new())
}

/// The action for the file of kernel ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheUpdate {
    /// Leave the file as it is.
    Unchanged,
    /// Write these contents to the file.
    Replace(Vec<u8>),
    /// Remove the file, because it may have caused a failure.
    Remove,
}

/// The fast loader.
pub struct Fast {
    /// The file with the kernel's BTF.
    btf: PathBuf,
    kernel: Option<KernelIdentity>,
    ids: RefCell<Option<ResolvedIds>>,
    /// The ids from the file.
    cached: Option<ResolvedIds>,
    /// Where the ids come from.
    origin: Cell<Origin>,
    failed: Rc<Cell<bool>>,
}

impl Fast {
    /// Creates a loader for the running kernel.
    ///
    /// `cached` is an earlier result of [`Fast::cache_update`]. If it is damaged, or belongs to another kernel or boot, it is
    /// ignored.
    pub fn new(system: &System, cached: Option<&[u8]>) -> Fast {
        let kernel = KernelIdentity::of(system);
        let cached = kernel.as_ref().and_then(|kernel| ResolvedIds::from_bytes(cached?, kernel));
        let (ids, origin) = (RefCell::new(cached.clone()), Cell::new(Origin::File));
        Fast { btf: system.kernel_btf(), kernel, ids, cached, origin, failed: Rc::new(Cell::new(false)) }
    }

    /// Records a failure that wrong kernel ids may have caused.
    pub fn doubt(&self) {
        self.failed.set(true);
    }

    /// Returns the ids to cache, for a file that only root can write. Call it last.
    ///
    /// After a failure, ids from the file are looked up again and not just discarded. Otherwise one driver that always
    /// fails would cost all others their cached ids.
    pub fn cache_update(&self) -> CacheUpdate {
        if self.failed.get() && self.origin.get() != Origin::Types && self.ids.borrow().is_some() {
            self.ids.replace(self.read_types(&BTreeSet::new()).ok());
        }
        match (&self.kernel, &*self.ids.borrow(), &self.cached) {
            (Some(_), Some(ids), Some(cached)) if ids == cached => CacheUpdate::Unchanged,
            (Some(kernel), Some(ids), _) => CacheUpdate::Replace(ids.to_bytes(kernel)),
            (_, None, Some(_)) => CacheUpdate::Remove,
            _ => CacheUpdate::Unchanged,
        }
    }

    /// Looks up the ids of these functions, the quickest way.
    fn look_up(&self, functions: &BTreeSet<&str>) -> Result<ResolvedIds, LoadFailure> {
        self.origin.set(Origin::Answers);
        resolve::from_answers(functions).map_or_else(|| self.read_types(functions), Ok)
    }

    /// Looks up the ids of these functions, and of those in the file, in the kernel's types.
    fn read_types(&self, functions: &BTreeSet<&str>) -> Result<ResolvedIds, LoadFailure> {
        self.origin.set(Origin::Types);
        let known = self.cached.iter().flat_map(|cached| cached.functions.keys()).map(String::as_str);
        resolve::from_types(&self.btf, &known.chain(functions.iter().copied()).collect())
    }

    fn not_fast(&self, driver: &ObjectFile, failure: LoadFailure) -> Error {
        self.failed.set(self.failed.get() || failure.may_be_numbers());
        failure.not_fast(format!("the driver `{}` can't be attached without libbpf", driver.name))
    }

    /// Runs `act` with the kernel ids, including those of all `functions`.
    ///
    /// If this fails, reads the kernel's types, unless the ids come from there. If they differ, runs `act` once more.
    fn with_ids<T>(
        &self,
        functions: &BTreeSet<&str>,
        act: impl Fn(&ResolvedIds) -> Result<T, LoadFailure>,
    ) -> Result<T, LoadFailure> {
        let mut ids = self.ids.take().map_or_else(|| self.look_up(functions), Ok)?;
        let result = resolve::functions(&mut ids, &self.btf, functions, self.origin.get()).and_then(|()| act(&ids));
        let is_suspect = matches!(&result, Err(failure) if failure.may_be_numbers());
        if is_suspect && self.origin.get() != Origin::Types {
            let fresh = self.read_types(functions)?;
            let again = if fresh == ids { result } else { act(&fresh) };
            self.ids.replace(Some(fresh));
            return again;
        }
        self.ids.replace(Some(ids));
        result
    }

    fn descriptor_program(&self) -> Result<OwnedFd, LoadFailure> {
        let prelinked = Prelinked::parse(DESCRIPTOR_PRELINKED)?;
        let program = prelinked.program(DESCRIPTOR_PROGRAM).ok_or(Unusable::Absent)?;
        self.with_ids(&kfuncs(&prelinked, &[program]), |ids| tool(DESCRIPTOR_PRELINKED, DESCRIPTOR_PROGRAM, ids))
    }

    fn try_probe(&self, driver: &ObjectFile, device: &Device) -> Result<ProbeArgs, LoadFailure> {
        let prelinked = driver.prelinked()?;
        let program = prelinked.program(PROBE_PROGRAM).ok_or(LoadFailure::OtherHooks)?;
        self.with_ids(&kfuncs(&prelinked, &[program]), |ids| {
            let loading = Loading::new(&prelinked, &[program], loader::settings(driver, device), None, ids)?;
            loading.probe(program, device)
        })
    }

    fn try_load<'a>(
        &self,
        driver: &'a ObjectFile,
        generation: Generation,
        device: &Device,
        steps: Steps,
    ) -> Result<CoreResult<FastLoaded<'a>>, LoadFailure> {
        if driver.origin.is_foreign() && driver.globals.contains_key(foreign::PARSED_DESCRIPTOR) {
            return Err(LoadFailure::ParsedDescriptor);
        }
        let prelinked = driver.prelinked()?;
        let mut hooks = Vec::new();
        for program in &prelinked.programs {
            match section_role(program.section) {
                Some(SectionRole::Program(of, hook)) if of == generation => hooks.push((hook, program)),
                _ => {}
            }
        }
        let expected = driver.hooks.get(&generation).into_iter().flat_map(|hooks| hooks.keys().copied());
        let found: BTreeSet<Hook> = hooks.iter().map(|(hook, _)| *hook).collect();
        let twice = generation == Generation::StructOps && found.len() != hooks.len();
        if found != expected.collect() || twice {
            return Err(LoadFailure::OtherHooks);
        }
        let mut programs: Vec<&Program<'_>> = hooks.iter().map(|(_, program)| *program).collect();
        let setup = prelinked.program(SETUP_PROGRAM);
        if driver.has_setup != setup.is_some() {
            return Err(LoadFailure::OtherHooks);
        }
        programs.extend(setup);
        // The probe program of a foreign object shares variables with its hooks.
        let probe = if driver.origin.is_foreign() { prelinked.program(PROBE_PROGRAM) } else { None };
        programs.extend(probe);
        let mut functions = kfuncs(&prelinked, &programs);
        if generation == Generation::FmodRet {
            functions.insert(ATTACH_KFUNC);
            functions.extend(hooks.iter().filter_map(|(hook, _)| hook.row().function));
        }
        self.with_ids(&functions, |ids| {
            if ids.generation() != generation {
                return Err(LoadFailure::UnknownOps);
            }
            let loading = Loading::new(&prelinked, &programs, loader::settings(driver, device), device.shared(), ids)?;
            if let Some(probe) = probe {
                let args = loading.probe(probe, device)?;
                if let Err(refused) = loader::probe_answer(driver, device, &args) {
                    return Ok(Err(refused.during(Step::Probe)));
                }
            }
            let attach = match ids.ops {
                _ if hooks.is_empty() => Attach::Nothing,
                Some(_) => loading.struct_ops(&hooks, device.name.id(), driver.order, steps)?,
                None => loading.fmod_ret(&hooks)?,
            };
            let setup = setup.map(|program| loading.program(program, Role::Syscall)).transpose()?;
            let maps = loading.into_maps();
            Ok(Ok(FastLoaded { driver, maps, attach, setup, failed: Rc::clone(&self.failed) }))
        })
    }
}

impl Loader for Fast {
    type Loaded<'a> = FastLoaded<'a>;

    fn kind(&self) -> LoaderKind {
        LoaderKind::Fast
    }

    fn has_successor(&self) -> bool {
        true
    }

    fn generation(&self, _: &System) -> CoreResult<Generation> {
        self.with_ids(&BTreeSet::new(), |ids| Ok(ids.generation()))
            .map_err(|failure| failure.not_fast("failed to find out what the kernel offers".to_owned()))
    }

    fn descriptor(&self, device: HidId, stored: StoredDescriptor) -> CoreResult<Option<Vec<u8>>> {
        let program = self.descriptor_program().map_err(|failure| {
            self.failed.set(self.failed.get() || failure.may_be_numbers());
            Error::because(ErrorKind::NotFast, "failed to load the program that reads descriptors", failure)
        })?;
        let run = |args: &mut DescriptorArgs| sys::run(program.as_fd(), args.as_mut_bytes());
        loader::copy_descriptor(device, stored, run).map_err(loader::no_descriptor)
    }

    fn probe(&self, driver: &ObjectFile, device: &Device) -> CoreResult<()> {
        // `load` runs the probe program of a foreign object.
        if !driver.has_probe || driver.origin.is_foreign() {
            return Ok(());
        }
        let args = self.try_probe(driver, device).map_err(|failure| self.not_fast(driver, failure))?;
        loader::probe_answer(driver, device, &args)
    }

    fn load<'a>(
        &self,
        driver: &'a ObjectFile,
        generation: Generation,
        device: &Device,
        steps: Steps,
    ) -> CoreResult<FastLoaded<'a>> {
        self.try_load(driver, generation, device, steps).unwrap_or_else(|failure| Err(self.not_fast(driver, failure)))
    }
}

/// Returns whether the kernel reads types when it loads a program.
///
/// It does so for relocations, and for functions besides the main one.
fn is_typed(program: &Program<'_>) -> bool {
    !program.relocations.is_empty() || program.functions.len() > 1
}

/// Returns the names of the kernel functions that programs refer to.
fn kfuncs<'a>(prelinked: &Prelinked<'a>, programs: &[&Program<'_>]) -> BTreeSet<&'a str> {
    let references = programs.iter().flat_map(|program| program.references);
    references
        .filter(|reference| matches!(reference.kind(), ReferenceKind::KfuncCall | ReferenceKind::KfuncAddress))
        .filter_map(|reference| Some(prelinked.kfuncs.get(reference.index.get() as usize)?.name))
        .collect()
}

/// A map that programs were loaded with.
struct LoadedMap {
    name: String,
    is_data: bool,
    map: Map,
}

/// Programs that are being loaded.
struct Loading<'a, 'i> {
    prelinked: &'a Prelinked<'a>,
    ids: &'i ResolvedIds,
    /// The type information, if the kernel reads it.
    btf: Option<OwnedFd>,
    /// The maps, by their index in the prelinked data. Maps that no program refers to are not created.
    maps: Vec<Option<LoadedMap>>,
}

impl<'a, 'i> Loading<'a, 'i> {
    /// Creates the maps that the programs refer to, except the one of the state that they share if that exists.
    fn new(
        prelinked: &'a Prelinked<'a>,
        programs: &[&Program<'_>],
        settings: Vec<Setting<'_>>,
        shared: Option<BorrowedFd<'_>>,
        ids: &'i ResolvedIds,
    ) -> Result<Loading<'a, 'i>, LoadFailure> {
        for reference in programs.iter().flat_map(|program| program.references) {
            let (ReferenceKind::KfuncCall | ReferenceKind::KfuncAddress) = reference.kind() else { continue };
            let kfunc = prelinked.kfuncs.get(reference.index.get() as usize);
            if let Some(missing) = kfunc.filter(|kfunc| !kfunc.weak && ids.function(kfunc.name) == 0) {
                return Err(LoadFailure::NoFunction(missing.name.to_owned()));
            }
        }
        let mut used = vec![false; prelinked.maps.len()];
        for reference in programs.iter().flat_map(|program| program.references) {
            if let (ReferenceKind::Map | ReferenceKind::MapValue, Some(used)) =
                (reference.kind(), used.get_mut(reference.index.get() as usize))
            {
                *used = true;
            }
        }
        let used = || prelinked.maps.iter().zip(&used).map(|(map, used)| used.then_some(map));
        let is_typed =
            programs.iter().any(|program| is_typed(program)) || used().flatten().any(|map| map.attributes.is_typed());
        let btf = is_typed.then(|| sys::load_btf(prelinked.btf)).transpose();
        let btf = btf.map_err(LoadFailure::refused("take", "the types of the programs"))?;
        let types = btf.as_ref().map(AsFd::as_fd);
        let made = |map: &hidbpf_prelink::Map<'_>| match shared.filter(|_| map.name == section::SHARED_DATA) {
            Some(shared) => LoadedMap::known(map, shared),
            None => LoadedMap::new(map, &settings, types),
        };
        let maps = used().map(|map| map.map(made).transpose());
        let maps = maps.collect::<Result<_, _>>()?;
        Ok(Loading { prelinked, ids, btf, maps })
    }

    fn program(&self, program: &Program<'_>, role: Role) -> Result<OwnedFd, LoadFailure> {
        let map_fd = |index: usize| Some(self.maps.get(index)?.as_ref()?.map.as_fd().as_raw_fd());
        let instructions = patched(self.prelinked, program, self.ids, map_fd)?;
        sys::load_program(&ProgramSpec {
            name: program.name,
            role,
            sleepable: section::may_sleep(program.section),
            license: self.prelinked.license,
            instructions: &instructions,
            btf: self.btf.as_ref().filter(|_| is_typed(program)).map(AsFd::as_fd),
            functions: program.functions,
            relocations: program.relocations,
        })
        .map_err(LoadFailure::refused("load", program.name))
    }

    /// Runs a driver's probe program.
    fn probe(&self, program: &Program<'_>, device: &Device) -> Result<ProbeArgs, LoadFailure> {
        let probe = self.program(program, Role::Syscall)?;
        let mut args = loader::probe_args(device);
        sys::run(probe.as_fd(), args.as_mut_bytes()).map_err(LoadFailure::refused("run", PROBE_PROGRAM))?;
        Ok(args)
    }

    fn struct_ops(
        &self,
        hooks: &[(Hook, &Program<'_>)],
        device: HidId,
        order: Order,
        steps: Steps,
    ) -> Result<Attach, LoadFailure> {
        let ops = self.ids.ops.as_ref().filter(|ops| is_sane(ops)).ok_or(LoadFailure::UnknownOps)?;
        let mut programs = Vec::new();
        for (hook, program) in hooks {
            // The kernel checks that the member's index matches the place of the program's descriptor in the value.
            let member = ids::member(ops, *hook).ok_or(LoadFailure::UnknownOps)?;
            programs.push((*hook, self.program(program, Role::StructOps { ty: ops.ops_type, member })?));
        }
        let map = |(part, name): (Part, String)| {
            let programs = programs.iter().filter(|(hook, _)| part.has(*hook));
            let programs: Vec<_> = programs.map(|(hook, program)| (*hook, program.as_fd())).collect();
            let map = OpsMap::new(&name, ops, self.btf.as_ref().map(AsFd::as_fd), device, order, &programs)
                .map_err(LoadFailure::refused("make the map", &name))?;
            Ok((part, name, map))
        };
        let maps: Result<_, LoadFailure> = steps.maps(self.prelinked.ops).into_iter().map(map).collect();
        Ok(Attach::StructOps { maps: maps? })
    }

    fn fmod_ret(&self, hooks: &[(Hook, &Program<'_>)]) -> Result<Attach, LoadFailure> {
        let mut programs = Vec::new();
        for (hook, program) in hooks {
            let name = hook.row().function.unwrap_or_default();
            let function = self.ids.function(name);
            if function == 0 {
                return Err(LoadFailure::NoFunction(name.to_owned()));
            }
            programs.push((*hook, program.name.to_owned(), self.program(program, Role::FmodRet { function })?));
        }
        // Attach the event hook before the descriptor hook. Attaching the descriptor hook makes the kernel probe the
        // device again. From then on, every report must be rewritten to fit.
        programs.sort_by_key(|(hook, ..)| *hook == Hook::RdescFixup);
        Ok(Attach::FmodRet { attach: tool(ATTACH_PRELINKED, ATTACH_PROGRAM, self.ids)?, programs })
    }

    fn into_maps(self) -> Vec<LoadedMap> {
        self.maps.into_iter().flatten().collect()
    }
}

impl LoadedMap {
    /// Takes a map that exists, with all of its contents.
    fn known(map: &hidbpf_prelink::Map<'_>, known: BorrowedFd<'_>) -> Result<LoadedMap, LoadFailure> {
        let known = known.try_clone_to_owned().and_then(Map::of_data);
        let known = known.map_err(LoadFailure::refused("open the map", map.name))?;
        Ok(LoadedMap { name: map.name.to_owned(), is_data: map.is_data(), map: known })
    }

    fn new(
        map: &hidbpf_prelink::Map<'_>,
        settings: &[Setting<'_>],
        btf: Option<BorrowedFd<'_>>,
    ) -> Result<LoadedMap, LoadFailure> {
        let made =
            Map::create(map.name, &map.attributes, btf).map_err(LoadFailure::refused("make the map", map.name))?;
        if map.is_data() {
            let mut value = vec![0; map.attributes.value_size.get() as usize];
            // The prelink parser checked that the contents are not longer.
            value.iter_mut().zip(map.contents).for_each(|(to, from)| *to = *from);
            for Setting { global, bytes, .. } in settings.iter().filter(|setting| setting.global.section == map.name) {
                let end = global.offset.checked_add(bytes.len());
                let place = end.and_then(|end| value.get_mut(global.offset..end)).ok_or(LoadFailure::OtherHooks)?;
                place.copy_from_slice(bytes);
            }
            if value.iter().any(|byte| *byte != 0) {
                made.write(&value).map_err(LoadFailure::refused("fill the map", map.name))?;
            }
            if map.attributes.is_read_only() {
                made.freeze().map_err(LoadFailure::refused("freeze the map", map.name))?;
            }
        }
        Ok(LoadedMap { name: map.name.to_owned(), is_data: map.is_data(), map: made })
    }
}

/// Returns a program's instructions with all references resolved.
///
/// Those are descriptors of maps, and ids and offsets of the kernel's functions and members. They are encoded as in
/// libbpf (`bpf_object__relocate_data()`, tools/lib/bpf/libbpf.c, and `bpf_core_patch_insn()`,
/// tools/lib/bpf/relo_core.c).
fn patched(
    prelinked: &Prelinked<'_>,
    program: &Program<'_>,
    ids: &ResolvedIds,
    map_fd: impl Fn(usize) -> Option<i32>,
) -> Result<Vec<Instruction>, LoadFailure> {
    /// The source register of an instruction that loads a kernel symbol (`BPF_PSEUDO_BTF_ID`).
    const KERNEL: u8 = 3;
    /// A call that the verifier refuses if it is reachable. libbpf uses the same number.
    const NO_FUNCTION: u32 = 2_002_000_000;
    let mut instructions = program.instructions.to_vec();
    for reference in program.references {
        let index = reference.index.get() as usize;
        let Some(instruction) = instructions.get_mut(reference.at()) else { continue };
        let mut put = |immediate: u32| instruction[4..].copy_from_slice(&immediate.to_le_bytes());
        let kind = reference.kind();
        if let ReferenceKind::Map | ReferenceKind::MapValue = kind {
            put(map_fd(index).unwrap_or(-1) as u32);
            continue;
        }
        if kind == ReferenceKind::Member {
            let Some(member) = MEMBERS.get(index) else { continue };
            let place = ids.members.get(index).filter(|place| place.size == member.size);
            let place =
                place.and_then(|place| u16::try_from(place.offset).ok()).ok_or(LoadFailure::NoMember(*member))?;
            instruction[2..4].copy_from_slice(&place.to_le_bytes());
            continue;
        }
        let Some(kfunc) = prelinked.kfuncs.get(index) else { continue };
        match (kind, ids.function(kfunc.name)) {
            (ReferenceKind::KfuncCall, 0) => {
                put(NO_FUNCTION + index as u32);
                instruction[1] = 0;
            }
            (ReferenceKind::KfuncAddress, 0) => {}
            (ReferenceKind::KfuncAddress, id) => {
                put(id);
                instruction[1] = instruction[1] & 15 | KERNEL << 4;
            }
            (_, id) => put(id),
        }
    }
    Ok(instructions)
}

/// Loads one of hidbpf's own syscall programs.
fn tool(prelinked: &[u8], name: &str, ids: &ResolvedIds) -> Result<OwnedFd, LoadFailure> {
    let prelinked = Prelinked::parse(prelinked)?;
    let program = prelinked.program(name).ok_or(Unusable::Absent)?;
    Loading::new(&prelinked, &[program], Vec::new(), None, ids)?.program(program, Role::Syscall)
}

/// The way in which programs are attached to a device.
enum Attach {
    /// The driver has no hooks, only a setup.
    Nothing,
    /// A named map for each part, which holds the programs and the device's number.
    StructOps { maps: Vec<(Part, String, OpsMap)> },
    /// A syscall program that runs once for each named hook, in this order.
    FmodRet { attach: OwnedFd, programs: Vec<(Hook, String, OwnedFd)> },
}

/// A driver whose programs are loaded.
pub struct FastLoaded<'a> {
    driver: &'a ObjectFile,
    maps: Vec<LoadedMap>,
    attach: Attach,
    setup: Option<OwnedFd>,
    failed: Rc<Cell<bool>>,
}

impl FastLoaded<'_> {
    fn not_fast(&self, failure: LoadFailure) -> Error {
        self.failed.set(true);
        failure.not_fast(format!("the driver `{}` can't be attached without libbpf", self.driver.name))
    }

    fn try_attach(&self, hid: HidId, part: Part) -> Result<Vec<AttachedLink>, LoadFailure> {
        let mut links = Vec::new();
        match &self.attach {
            Attach::Nothing => {}
            Attach::StructOps { maps } => {
                for (_, name, map) in maps.iter().filter(|(of, ..)| *of == part) {
                    let link = map.attach().map_err(LoadFailure::refused("attach", name))?;
                    links.push(AttachedLink { name: name.clone(), link });
                }
            }
            Attach::FmodRet { attach, programs } => {
                for (_, name, program) in programs.iter().filter(|(hook, ..)| part.has(*hook)) {
                    let mut args = AttachProgArgs {
                        prog_fd: program.as_raw_fd(),
                        hid: hid.0,
                        flags: self.driver.order.fmod_ret_flags(),
                        retval: -1,
                    };
                    sys::run(attach.as_fd(), args.as_mut_bytes())
                        .map_err(LoadFailure::refused("run", ATTACH_PROGRAM))?;
                    let link = sys::take(args.retval).map_err(LoadFailure::refused("attach", name))?;
                    links.push(AttachedLink { name: name.clone(), link });
                }
            }
        }
        if !part.is_last() {
            return Ok(links);
        }
        // The kernel cancels timers and work items in a map that only programs hold. So keep the driver's own maps with
        // the links.
        let is_kept = |map: &&LoadedMap| !map.is_data || loader::KEPT_SECTIONS.contains(&map.name.as_str());
        for LoadedMap { name, map, .. } in self.maps.iter().filter(is_kept) {
            let link = map.as_fd().try_clone_to_owned().map_err(LoadFailure::refused("keep", name))?;
            links.push(AttachedLink { name: name.clone(), link });
        }
        if let Some(setup) = &self.setup {
            let link = setup.try_clone().map_err(LoadFailure::refused("keep", SETUP_PROGRAM))?;
            links.push(AttachedLink { name: SETUP_PROGRAM.to_owned(), link });
        }
        Ok(links)
    }
}

impl Loaded for FastLoaded<'_> {
    fn attach(&self, hid: HidId, part: Part) -> CoreResult<Vec<AttachedLink>> {
        self.try_attach(hid, part).map_err(|failure| self.not_fast(failure))
    }

    fn fixup_record(&self) -> CoreResult<Option<FixupRecord>> {
        let Some(global) = self.driver.globals.get(FIXUP_RECORD) else { return Ok(None) };
        // The map exists only if a program refers to it, as a hook that records its runs does.
        let Some(data) = self.maps.iter().find(|map| map.name == global.section) else { return Ok(None) };
        let value =
            data.map.read().map_err(|error| self.not_fast(LoadFailure::refused("read the map", &data.name)(error)))?;
        let record = value.get(global.offset..).and_then(|bytes| FixupRecord::read_from_prefix(bytes).ok());
        record.map(|(record, _)| Some(record)).ok_or_else(|| self.not_fast(LoadFailure::OtherHooks))
    }
}
