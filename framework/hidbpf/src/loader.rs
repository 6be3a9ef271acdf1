//! The libbpf loader: loads an object's programs and attaches them to a device.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hid_bpf_src::{
    ATTACH_OBJECT, ATTACH_PROGRAM, AttachProgArgs, DESCRIPTOR_OBJECT, DESCRIPTOR_PROGRAM, DescriptorArgs,
};
use hidbpf_prelink::btf::{self, Btf, Type};
use hidbpf_prelink::driver::{FixupRecord, PROBE_PROGRAM, SETUP_PROGRAM};
use hidbpf_prelink::elf;
use hidbpf_prelink::hook::OPS;
use hidbpf_prelink::section::SHARED_DATA;
use libbpf_rs::{
    MapCore, MapFlags, MapType, ObjectBuilder, OpenObject, PrintLevel, ProgramInput, RingBuffer, RingBufferBuilder,
};
use object::{Object as _, ObjectSection as _};
use zerocopy::{FromBytes, IntoBytes};

use crate::descriptor::packed;
use crate::device::Device;
use crate::error::{Error, ErrorKind, Result, Step};
use crate::ids::HidId;
use crate::kernel::{self, Generation};
use crate::object::{FIXUP_RECORD, Global, Hook, ObjectFile, SectionRole, section_role};
use crate::ops::OpsMap;
use crate::order::Order;
use crate::refusal::{self, Refusal};
use crate::system::System;
use crate::{libbpf, running, sys, verifier};

use hidbpf_core::load::loader::{
    KEPT_SECTIONS, Setting, copy_descriptor, no_descriptor, probe_answer, probe_args, settings,
};

pub use hidbpf_core::load::loader::{AttachedLink, Loaded, Loader, LoaderKind, Part, Steps, StoredDescriptor};

/// libbpf, which parses an object and the kernel's BTF on each load.
#[derive(Clone, Debug)]
pub struct Libbpf {
    /// The reason why the fast loader isn't used.
    pub why_not_fast: String,
}

impl Default for Libbpf {
    fn default() -> Libbpf {
        Libbpf { why_not_fast: "it was loaded by hand".to_owned() }
    }
}

impl Loader for Libbpf {
    type Loaded<'a> = LoadedObject<'a>;

    fn kind(&self) -> LoaderKind {
        LoaderKind::Libbpf { why: self.why_not_fast.clone() }
    }

    fn generation(&self, system: &System) -> Result<Generation> {
        kernel::detect(system)?.generation()
    }

    fn descriptor(&self, device: HidId, stored: StoredDescriptor) -> Result<Option<Vec<u8>>> {
        descriptor(device, stored)
    }

    fn probe(&self, driver: &ObjectFile, device: &Device) -> Result<()> {
        probe(driver, device)
    }

    fn load<'a>(
        &self,
        driver: &'a ObjectFile,
        generation: Generation,
        device: &Device,
        steps: Steps,
    ) -> Result<LoadedObject<'a>> {
        let loaded = load(driver, generation, device, driver.order)?;
        Ok(LoadedObject { steps, ..loaded })
    }
}

/// A struct_ops map is attached by a link (include/uapi/linux/bpf.h).
const BPF_F_LINK: u32 = 1 << 13;

/// libbpf's messages since [`Log::start`].
struct Log(#[expect(dead_code, reason = "held so that only one log is written at a time")] MutexGuard<'static, ()>);

static LOG: Mutex<String> = Mutex::new(String::new());
static LOG_OWNER: Mutex<()> = Mutex::new(());

fn locked<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    fn start() -> Log {
        let owner = locked(&LOG_OWNER);
        locked(&LOG).clear();
        libbpf_rs::set_print(Some((PrintLevel::Info, |_, line| {
            // libbpf is expected to skip hidbpf's own sections.
            if !line.contains("skipping unrecognized data section") {
                locked(&LOG).push_str(&line);
            }
        })));
        Log(owner)
    }

    fn text(&self) -> String {
        locked(&LOG).clone()
    }
}

/// An object with the loaded programs of one generation.
pub struct LoadedObject<'a> {
    driver: &'a ObjectFile,
    object: libbpf_rs::Object,
    generation: Generation,
    order: Order,
    steps: Steps,
}

fn open(driver: &ObjectFile, log: &Log) -> Result<OpenObject> {
    libbpf::check()?;
    let mut builder = ObjectBuilder::default();
    builder
        .name(&driver.name)
        .and_then(|builder| builder.open_memory(driver.bytes()))
        .map_err(|error| failed(ErrorKind::BadObject, "open the object of", driver, error, log))
}

fn failed(kind: ErrorKind, verb: &str, driver: &ObjectFile, error: libbpf_rs::Error, log: &Log) -> Error {
    let what = format!("failed to {verb} the driver `{}` ({})", driver.name, driver.path.display());
    let log = log.text();
    let refused = refused_by_kernel(kind, what.clone(), &error);
    let explanation = verifier::explain(&log, driver).filter(|_| refused.kind() != ErrorKind::Kernel);
    let error = match explanation {
        Some(explanation) => Error::because(kind, what, io_error(&error)).with_hint(explanation),
        None => refused,
    };
    with_log(error, log)
}

/// Turns a libbpf error into ours. Adds the cause of the kernel's errno if it is known not to be the program's fault.
fn refused_by_kernel(kind: ErrorKind, what: String, error: &libbpf_rs::Error) -> Error {
    let text = io_error(error);
    let Some(errno) = refusal::errno_of_text(&text) else { return Error::because(kind, what, text) };
    // libbpf-rs doesn't return the number, and the C library lacks a text for some.
    let words = refusal::words(&io::Error::from_raw_os_error(errno));
    let text = text.rsplit_once(": ").map_or_else(|| words.clone(), |(context, _)| format!("{context}: {words}"));
    match Refusal::of(&System::default(), errno) {
        Some(Refusal { kind, cause, hint }) => Error::because(kind, what, format!("{text}: {cause}")).with_hint(hint),
        None => Error::because(kind, what, text),
    }
}

/// Adds the messages of libbpf and the kernel, and an excerpt of the important ones.
fn with_log(error: Error, log: String) -> Error {
    let excerpt = verifier::excerpt(&log);
    let error = error.with_log(log);
    match excerpt {
        Some(excerpt) => error.with_excerpt(excerpt),
        None => error,
    }
}

/// Returns the whole chain of a libbpf-rs error as text. `{:#}` prints the chain.
fn io_error(error: &libbpf_rs::Error) -> String {
    format!("{error:#}")
}

/// Sets the driver's variables. This must happen before loading, which freezes `.rodata`.
fn set_variables(driver: &ObjectFile, object: &mut OpenObject, device: &Device) -> Result<()> {
    let parsed = driver.globals.get_key_value(packed::VARIABLE).filter(|(_, global)| global.size == packed::SIZE);
    let parsed = parsed.map(|(name, global)| {
        let bytes = packed::bytes(device.original_or_current());
        Setting { name, global, bytes }
    });
    for Setting { name, global, bytes } in settings(driver, device).into_iter().chain(parsed) {
        let mut map = object
            .maps_mut()
            .find(|map| map.name().to_string_lossy().ends_with(&global.section))
            .ok_or_else(|| misplaced(driver, name))?;
        map.initial_value_mut()
            .and_then(|data| data.get_mut(global.offset..global.offset.checked_add(global.size)?))
            .ok_or_else(|| misplaced(driver, name))?
            .copy_from_slice(&bytes);
    }
    Ok(())
}

fn misplaced(driver: &ObjectFile, global: &str) -> Error {
    Error::new(
        ErrorKind::BadObject,
        format!("the driver `{}` has its global `{global}` outside of its section", driver.name),
    )
}

fn descriptor(device: HidId, stored: StoredDescriptor) -> Result<Option<Vec<u8>>> {
    let log = Log::start();
    let failed = |error: libbpf_rs::Error| {
        let what = format!("failed to load the syscall program `{DESCRIPTOR_PROGRAM}`");
        let kind = match error.kind() {
            libbpf_rs::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => ErrorKind::Load,
        };
        Error::because(kind, what, io_error(&error)).with_log(log.text())
    };
    libbpf::check()?;
    let mut object = ObjectBuilder::default()
        .name("hidbpf_desc")
        .and_then(|builder| builder.open_memory(DESCRIPTOR_OBJECT))
        .map_err(failed)?;
    for mut program in object.progs_mut() {
        program.set_autoload(true);
    }
    let object = object.load().map_err(failed)?;
    let program = object.progs_mut().find(|program| program.name() == DESCRIPTOR_PROGRAM).ok_or_else(|| {
        let what = format!("there is no syscall program `{DESCRIPTOR_PROGRAM}` in this build of hidbpf");
        Error::new(ErrorKind::Load, what)
    })?;
    let run = |args: &mut DescriptorArgs| {
        let input = ProgramInput { context_in: Some(args.as_mut_bytes()), ..ProgramInput::default() };
        program.test_run(input).map(drop).map_err(|error| io::Error::other(io_error(&error)))
    };
    copy_descriptor(device, stored, run).map_err(no_descriptor)
}

fn probe(driver: &ObjectFile, device: &Device) -> Result<()> {
    // The probe program of a foreign object shares variables with its hooks, so `load` runs it.
    if !driver.has_probe || driver.origin.is_foreign() {
        return Ok(());
    }
    let log = Log::start();
    let mut object = open(driver, &log)?;
    set_variables(driver, &mut object, device)?;
    for mut map in object.maps_mut() {
        if map.map_type() == MapType::StructOps {
            map.set_autocreate(false)
                .map_err(|error| failed(ErrorKind::Load, "prepare the probe program of", driver, error, &log))?;
        }
    }
    for mut program in object.progs_mut() {
        let wanted = program.name() == PROBE_PROGRAM;
        program.set_autoload(wanted);
    }
    let object =
        object.load().map_err(|error| failed(ErrorKind::Load, "load the probe program of", driver, error, &log))?;
    run_probe(driver, &object, device, &log)
}

fn run_probe(driver: &ObjectFile, object: &libbpf_rs::Object, device: &Device, log: &Log) -> Result<()> {
    let program = object
        .progs_mut()
        .find(|program| program.name() == PROBE_PROGRAM)
        .ok_or_else(|| misplaced(driver, PROBE_PROGRAM))?;
    let mut args = probe_args(device);
    program
        .test_run(ProgramInput { context_in: Some(args.as_mut_bytes()), ..ProgramInput::default() })
        .map_err(|error| failed(ErrorKind::Load, "run the probe program of", driver, error, log))?;
    probe_answer(driver, device, &args)
}

/// Loads the programs of one generation. For struct_ops the device is set here.
///
/// # Errors
/// libbpf or the kernel's verifier refused. The error includes their log. Or the probe program of a foreign object
/// refused the device.
pub(crate) fn load<'a>(
    driver: &'a ObjectFile,
    generation: Generation,
    device: &Device,
    order: Order,
) -> Result<LoadedObject<'a>> {
    let log = Log::start();
    let mut object = open(driver, &log)?;
    set_variables(driver, &mut object, device)?;
    let load_failed = |error| failed(ErrorKind::Load, "load the programs of", driver, error, &log);
    for mut program in object.progs_mut() {
        let role = program.section().to_str().and_then(section_role);
        let wanted = match role {
            Some(SectionRole::Program(of, _)) => of == generation,
            Some(SectionRole::Syscall) if driver.origin.is_foreign() => true,
            Some(SectionRole::Syscall) => program.name() == SETUP_PROGRAM,
            Some(SectionRole::StructOps) | None => false,
        };
        program.set_autoload(wanted);
    }
    for mut map in object.maps_mut() {
        if let Some(shared) = device.shared().filter(|_| map.name().to_string_lossy().ends_with(SHARED_DATA)) {
            map.reuse_fd(shared).map_err(load_failed)?;
        }
        if map.map_type() == MapType::StructOps {
            map.set_autocreate(generation == Generation::StructOps).map_err(load_failed)?;
            if generation == Generation::StructOps {
                // libbpf sets the flag for `.struct_ops.link` alone. Without it, attaching gives no link to pin.
                map.set_map_flags(map.map_flags() | BPF_F_LINK).map_err(load_failed)?;
                let members = ["hid_id", "flags"];
                let values = [device.name.id().0, order.struct_ops_flags()];
                let offsets = ops_member_offsets(driver, members)?;
                for ((member, value), offset) in members.into_iter().zip(values).zip(offsets) {
                    let initial = map
                        .initial_value_mut()
                        .and_then(|initial| initial.get_mut(offset..offset + size_of::<u32>()))
                        .ok_or_else(|| misplaced(driver, member))?;
                    // A foreign object may have flags of its own.
                    if value != 0 {
                        initial.copy_from_slice(&value.to_ne_bytes());
                    }
                }
            }
        }
    }
    let object = object.load().map_err(load_failed)?;
    if driver.has_probe && driver.origin.is_foreign() {
        run_probe(driver, &object, device, &log).map_err(|error| error.during(Step::Probe))?;
    }
    Ok(LoadedObject { driver, object, generation, order, steps: Steps::One })
}

/// Makes the kernel verify all programs of a generation, including the driver's probe and setup, and unloads them.
/// `data` is the driver's data by section name.
///
/// # Errors
/// libbpf or the kernel's verifier refused. The error includes their log.
pub(crate) fn verify(driver: &ObjectFile, generation: Generation, data: &[(String, Vec<u8>)]) -> Result<()> {
    let log = Log::start();
    let mut object = open(driver, &log)?;
    for (section, bytes) in data {
        let mut map = object.maps_mut().find(|map| map.name().to_string_lossy().ends_with(section));
        // A section that no program reads has no map.
        if let Some(initial) = map.as_mut().and_then(|map| map.initial_value_mut()) {
            initial.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
    }
    let load_failed = |error| failed(ErrorKind::Load, "verify the programs of", driver, error, &log);
    for mut program in object.progs_mut() {
        let role = program.section().to_str().and_then(section_role);
        program.set_autoload(match role {
            Some(SectionRole::Program(of, _)) => of == generation,
            Some(SectionRole::Syscall) => true,
            Some(SectionRole::StructOps) | None => false,
        });
    }
    for mut map in object.maps_mut().filter(|map| map.map_type() == MapType::StructOps) {
        map.set_autocreate(generation == Generation::StructOps).map_err(load_failed)?;
    }
    object.load().map(drop).map_err(load_failed)
}

/// Returns the offsets of members in the driver's own `struct hid_bpf_ops`, in bytes. libbpf maps them to the kernel's
/// struct by name.
fn ops_member_offsets<const N: usize>(driver: &ObjectFile, names: [&str; N]) -> Result<[usize; N]> {
    let unreadable = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::BadObject, format!("failed to read the types of the driver `{}`: {error}", driver.name))
    };
    let elf = elf::open(driver.bytes()).map_err(|error| unreadable(&error))?;
    let types = elf.section_by_name(btf::SECTION).ok_or_else(|| unreadable(&"it has none"))?;
    let types = types.data().map_err(|error| unreadable(&error))?;
    let types = Btf::parse(types).map_err(|error| unreadable(&error))?;
    let members = types.ids().find_map(|id| match types.get(id) {
        Type::Record { name: OPS, is_struct: true, members, .. } => Some(members),
        _ => None,
    });
    let members = members.ok_or_else(|| unreadable(&format!("it has no `struct {OPS}`")))?;
    let mut offsets = [0; N];
    for (to, name) in offsets.iter_mut().zip(names) {
        let member = members.iter().find(|member| member.name == name && member.bit_size == 0);
        let member = member.ok_or_else(|| unreadable(&format!("its `struct {OPS}` has no `{name}`")))?;
        *to = member.bit_offset as usize / 8;
    }
    Ok(offsets)
}

impl Loaded for LoadedObject<'_> {
    fn attach(&self, hid: HidId, part: Part) -> Result<Vec<AttachedLink>> {
        let mut links = match self.generation {
            Generation::FmodRet => self.attach_fmod_ret(hid, part),
            Generation::StructOps if part == Part::Whole => self.attach_struct_ops(),
            Generation::StructOps => self.attach_struct_ops_part(hid, part),
        }?;
        if !part.is_last() {
            return Ok(links);
        }
        links.append(&mut self.own_maps()?);
        for program in
            self.object.progs_mut().filter(|program| self.driver.has_setup && program.name() == SETUP_PROGRAM)
        {
            let link = program.as_fd().try_clone_to_owned().map_err(|error| self.refused(SETUP_PROGRAM, error))?;
            links.push(AttachedLink { name: SETUP_PROGRAM.to_owned(), link });
        }
        Ok(links)
    }

    fn fixup_record(&self) -> Result<Option<FixupRecord>> {
        self.global(FIXUP_RECORD)
    }
}

impl LoadedObject<'_> {
    /// Returns the maps that the driver's source defines, to keep with the links. If only programs hold a map, the
    /// kernel cancels its timers and work items and refuses new ones (`array_map_free_timers_wq()`,
    /// `__bpf_async_init()`).
    fn own_maps(&self) -> Result<Vec<AttachedLink>> {
        let mut maps = Vec::new();
        for map in self.object.maps().filter(|map| map.map_type() != MapType::StructOps) {
            let name = map.name().to_string_lossy().into_owned();
            // libbpf names the map of a data section after the section, with its dot.
            if name.contains('.') && !KEPT_SECTIONS.contains(&name.as_str()) {
                continue;
            }
            let link = map.as_fd().try_clone_to_owned().map_err(|error| self.refused(&name, error))?;
            maps.push(AttachedLink { name, link });
        }
        Ok(maps)
    }

    /// Builds the error for a refused attachment. The kernel returns two errnos if another program already fixes the
    /// device's descriptor. Both also have other causes, so they only determine the hint.
    fn refused(&self, name: &str, error: io::Error) -> Error {
        let what = format!("the kernel refused to attach `{name}` of the driver `{}`", self.driver.name);
        if let Some(Refusal { kind, cause, hint }) = Refusal::of_error(&System::default(), &error) {
            return Error::because(kind, what, format!("{}: {cause}", refusal::words(&error))).with_hint(hint);
        }
        let hint = match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
            Some(rustix::io::Errno::INVAL | rustix::io::Errno::TOOBIG) if self.driver.fixes_descriptor() => {
                "the device is gone, or another program already fixes its descriptor; `hidbpf status` shows ours"
            }
            _ => "`hidbpf doctor` looks for what this kernel lacks",
        };
        Error::because(ErrorKind::Attach, what, error).with_hint(hint)
    }

    fn attach_struct_ops(&self) -> Result<Vec<AttachedLink>> {
        let log = Log::start();
        let mut links = Vec::new();
        for map in self.object.maps().filter(|map| map.map_type() == MapType::StructOps) {
            let name = map.name().to_string_lossy().into_owned();
            let link =
                sys::attach_struct_ops(&map).map_err(|error| with_log(self.refused(&name, error), log.text()))?;
            links.push(AttachedLink { name, link });
        }
        Ok(links)
    }

    /// The object has one map with all hooks, which libbpf creates and which stays unattached. The maps of the parts
    /// have the same programs.
    fn attach_struct_ops_part(&self, hid: HidId, part: Part) -> Result<Vec<AttachedLink>> {
        let ops = running::ops(&System::default())?.ok_or_else(|| misplaced(self.driver, OPS))?;
        let programs: Vec<_> = self
            .object
            .progs()
            .filter_map(|program| match section_role(program.section().to_str()?)? {
                SectionRole::Program(Generation::StructOps, hook) if part.has(hook) => Some((hook, program)),
                _ => None,
            })
            .collect();
        let programs: Vec<_> = programs.iter().map(|(hook, program)| (*hook, program.as_fd())).collect();
        let mut links = Vec::new();
        for map in self.object.maps().filter(|map| map.map_type() == MapType::StructOps) {
            let name = map.name().to_string_lossy();
            for (_, name) in self.steps.maps(&name).into_iter().filter(|(of, _)| *of == part) {
                let link = OpsMap::new(&name, &ops, None, hid, self.order, &programs)
                    .and_then(|map| map.attach())
                    .map_err(|error| self.refused(&name, error))?;
                links.push(AttachedLink { name, link });
            }
        }
        Ok(links)
    }

    fn attach_fmod_ret(&self, hid: HidId, part: Part) -> Result<Vec<AttachedLink>> {
        if self.driver.hooks.get(&Generation::FmodRet).is_none_or(|hooks| hooks.is_empty()) {
            return Ok(Vec::new());
        }
        let log = Log::start();
        let attach_failed = |verb: &str, error: libbpf_rs::Error| {
            let what = format!("failed to {verb} the syscall program `{ATTACH_PROGRAM}`");
            with_log(refused_by_kernel(ErrorKind::Attach, what, &error), log.text())
        };
        let mut attacher = ObjectBuilder::default()
            .name("hidbpf_attach")
            .and_then(|builder| builder.open_memory(ATTACH_OBJECT))
            .map_err(|error| attach_failed("open", error))?;
        for mut program in attacher.progs_mut() {
            program.set_autoload(true);
        }
        let attacher = attacher.load().map_err(|error| attach_failed("load", error))?;
        let attach = attacher.progs_mut().find(|program| program.name() == ATTACH_PROGRAM).ok_or_else(|| {
            Error::new(
                ErrorKind::Attach,
                format!("there is no syscall program `{ATTACH_PROGRAM}` in this build of hidbpf"),
            )
        })?;
        let mut programs: Vec<_> = self
            .object
            .progs_mut()
            .filter_map(|program| match section_role(program.section().to_str()?)? {
                SectionRole::Program(Generation::FmodRet, hook) if part.has(hook) => Some((hook, program)),
                _ => None,
            })
            .collect();
        // Attach event hooks before the descriptor hook: attaching the latter makes the kernel probe the device again.
        // From then on each report must fit the fixed descriptor.
        programs.sort_by_key(|(hook, _)| *hook == Hook::RdescFixup);
        let mut links = Vec::new();
        for (_, program) in programs {
            let name = program.name().to_string_lossy().into_owned();
            let prog_fd = program.as_fd().as_raw_fd();
            let flags = self.order.fmod_ret_flags();
            let mut args = AttachProgArgs { prog_fd, hid: hid.0, flags, retval: -1 };
            attach
                .test_run(ProgramInput { context_in: Some(args.as_mut_bytes()), ..ProgramInput::default() })
                .map_err(|error| attach_failed("run", error))?;
            let link = sys::take_link(args.retval).map_err(|error| self.refused(&name, error))?;
            links.push(AttachedLink { name, link });
        }
        Ok(links)
    }

    /// Registers `callback` for the entries of a ring buffer.
    ///
    /// # Errors
    /// The object has no such map, or libbpf refuses.
    pub(crate) fn ring_buffer<F: FnMut(&[u8]) -> i32 + 'static>(
        &self,
        name: &str,
        callback: F,
    ) -> Result<RingBuffer<'static>> {
        let map = self.object.maps().find(|map| map.name() == name).ok_or_else(|| misplaced(self.driver, name))?;
        let mut builder = RingBufferBuilder::new();
        let added = builder.add(&map, callback).map(drop);
        added.and_then(|()| builder.build()).map_err(|error| {
            Error::because(ErrorKind::Io, format!("failed to read the ring buffer `{name}`"), io_error(&error))
        })
    }

    /// Reads a global variable. `None` if the object has none of that name.
    ///
    /// # Errors
    /// The map of globals can't be read.
    pub(crate) fn global<T: FromBytes>(&self, name: &str) -> Result<Option<T>> {
        let Some(Global { section, offset, .. }) = self.driver.globals.get(name) else { return Ok(None) };
        let map = self
            .object
            .maps()
            .find(|map| map.name().to_string_lossy().ends_with(section))
            .ok_or_else(|| misplaced(self.driver, name))?;
        let value = map
            .lookup(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| {
                Error::because(
                    ErrorKind::Io,
                    format!("failed to read the globals of the driver `{}`", self.driver.name),
                    io_error(&error),
                )
            })?
            .unwrap_or_default();
        value
            .get(*offset..)
            .and_then(|bytes| T::read_from_prefix(bytes).ok())
            .map(|(value, _)| Some(value))
            .ok_or_else(|| misplaced(self.driver, name))
    }
}
