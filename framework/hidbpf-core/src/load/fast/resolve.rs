//! Looks up the ids and offsets that programs need, in the kernel's types.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use hidbpf_prelink::MEMBERS;
use hidbpf_prelink::btf_kind::{FUNC, STRUCT};
use hidbpf_prelink::hook::{ATTACH_KFUNC, HOOKS, OPS, OPS_VALUE};
use hidbpf_prelink::kernel_types::{KernelTypes, Names};

use super::ask::{Questions, is_fast};
use super::ids::{is_near, is_sane};
use super::{LoadFailure, ResolvedIds};
use crate::kernel::running::{HID_BPF, KernelBtf, ResolvedMember, ResolvedOps};

/// Where ids and offsets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file of [`crate::load::id_cache`].
    File,
    /// The kernel's answers to a program ([`super::ask`]). Only a kernel of the second generation is asked.
    Answers,
    /// A pass over the kernel's types.
    Types,
}

/// The functions that are looked up before a driver needs them, because one pass over the types finds them all.
const USUAL: [&str; 7] = [
    "hid_bpf_allocate_context",
    "hid_bpf_get_data",
    "hid_bpf_hw_output_report",
    "hid_bpf_hw_request",
    "hid_bpf_input_report",
    "hid_bpf_release_context",
    "hid_bpf_try_input_report",
];

/// Returns the functions that only kernels of the first generation have.
fn of_first<'a>() -> impl Iterator<Item = &'a str> {
    HOOKS.iter().filter_map(|row| row.function).chain([ATTACH_KFUNC])
}

/// Determines the kernel's generation, the offsets of the members that drivers access, and the ids of functions.
///
/// `struct hid_bpf_ops` distinguishes the generations. Linux 6.6 has a different struct of that name, so the test is
/// whether struct_ops maps can hold it.
///
/// # Errors
/// The kernel has no types or no HID-BPF, or an unknown form of them.
pub(super) fn from_types(btf: &Path, functions: &BTreeSet<&str>) -> Result<ResolvedIds, LoadFailure> {
    let functions: BTreeSet<&str> = USUAL.into_iter().chain(of_first()).chain(functions.iter().copied()).collect();
    let records: Vec<&str> = MEMBERS.iter().map(|member| member.of).chain([OPS_VALUE]).collect();
    let ids = search(btf, &records, &functions, |types, functions| {
        // An unreachable member counts as missing.
        let members = MEMBERS.map(|member| {
            let place = types.record(member.of).and_then(|record| types.member(record, member.name));
            place.map(ResolvedMember::from).filter(is_near).unwrap_or_default()
        });
        ResolvedIds { ops: ResolvedOps::of(types), members, functions }
    })?;
    match &ids.ops {
        Some(ops) if !is_sane(ops) => Err(LoadFailure::UnknownOps),
        None if ids.function(ATTACH_KFUNC) == 0 => Err(LoadFailure::NoHidBpf),
        _ => Ok(ids),
    }
}

/// Determines the same by questions to a kernel of the second generation.
///
/// Returns `None` if it gives no usable answers, or would take longer for them than a pass over its types.
pub(super) fn from_answers(functions: &BTreeSet<&str>) -> Option<ResolvedIds> {
    if !is_fast() {
        return None;
    }
    ask(functions)
        .inspect_err(|error| tracing::debug!("failed to ask the kernel for the ids of its types: {error}"))
        .ok()
        .flatten()
}

fn ask(functions: &BTreeSet<&str>) -> io::Result<Option<ResolvedIds>> {
    let questions = Questions::new()?;
    let (value_type, value) = questions.layout(OPS_VALUE)?;
    let Some(ops) = value.ops(value_type, questions.id(OPS, STRUCT)?).filter(is_sane) else { return Ok(None) };
    let mut members = [ResolvedMember::default(); MEMBERS.len()];
    let mut layouts = BTreeMap::new();
    for (place, member) in members.iter_mut().zip(MEMBERS) {
        if !layouts.contains_key(member.of) {
            layouts.insert(member.of, questions.layout(member.of)?.1);
        }
        let found = layouts.get(member.of).and_then(|layout| layout.member(member.name));
        *place = found.filter(is_near).unwrap_or_default();
    }
    let functions: BTreeSet<&str> = USUAL.into_iter().chain(functions.iter().copied()).collect();
    let mut ids = BTreeMap::new();
    for name in with_public(&functions) {
        ids.insert(name, questions.id(name, FUNC)?);
    }
    let mut functions = for_programs(&functions, |name| ids.get(name).copied().filter(|id| *id != 0));
    functions.extend(of_first().map(|name| (name.to_owned(), 0)));
    Ok(Some(ResolvedIds { ops: Some(ops), members, functions }))
}

/// Adds the ids of functions that are not resolved yet, from where the others come.
///
/// # Errors
/// The kernel's types can't be read.
pub(super) fn functions(
    ids: &mut ResolvedIds,
    btf: &Path,
    names: &BTreeSet<&str>,
    origin: Origin,
) -> Result<(), LoadFailure> {
    let missing: BTreeSet<&str> = names.iter().copied().filter(|name| !ids.functions.contains_key(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let answers = (origin != Origin::Types && ids.ops.is_some()).then(|| from_answers(&missing)).flatten();
    let found = match answers {
        Some(answers) => answers.functions,
        None => search(btf, &[], &missing, |_, functions| functions)?,
    };
    ids.functions.extend(found);
    Ok(())
}

/// Searches the kernel's types, and calls `read` with them and the functions' ids.
fn search<T>(
    btf: &Path,
    records: &[&str],
    functions: &BTreeSet<&str>,
    read: impl FnOnce(&KernelTypes<'_>, BTreeMap<String, u32>) -> T,
) -> Result<T, LoadFailure> {
    let names = with_public(functions);
    let mut parts = vec![HID_BPF];
    // A name without `_impl` is a part of the name with it.
    parts.extend(names.iter().filter(|name| !name.contains(HID_BPF) && public(name).is_none()));
    let btf = KernelBtf::open(btf).map_err(LoadFailure::Types)?;
    let types = btf.find(&Names { parts: &parts, records, functions: &names }).map_err(LoadFailure::Types)?;
    Ok(read(&types, for_programs(functions, |name| types.function(name).map(|id| id.0))))
}

/// Returns functions, and for each `_impl` function the one without.
fn with_public<'a>(functions: &BTreeSet<&'a str>) -> Vec<&'a str> {
    functions.iter().flat_map(|name| [Some(*name), public(name)]).flatten().collect()
}

/// Returns the ids of the functions that programs may call. 0 for the others.
///
/// From Linux 7.0 on, the kernel hides some arguments of a kfunc from programs. It then also has an `_impl` function with
/// all arguments, which is not for programs. Older kernels give programs a function of that name. libbpf distinguishes
/// them by the arguments' types.
fn for_programs(functions: &BTreeSet<&str>, id: impl Fn(&str) -> Option<u32>) -> BTreeMap<String, u32> {
    let callable = |name: &str| id(name).filter(|_| public(name).and_then(&id).is_none()).unwrap_or(0);
    functions.iter().map(|name| ((*name).to_owned(), callable(name))).collect()
}

/// Returns the name of the function that `name` is the implementation of.
fn public(name: &str) -> Option<&str> {
    name.strip_suffix("_impl")
}
