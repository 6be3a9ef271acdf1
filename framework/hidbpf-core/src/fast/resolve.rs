//! Looks up the ids and offsets that programs need, in the kernel's types.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use hidbpf_prelink::MEMBERS;
use hidbpf_prelink::hook::{ATTACH_KFUNC, HOOKS, OPS_VALUE};
use hidbpf_prelink::kernel_types::{KernelTypes, Names};

use super::ids::{is_near, is_sane};
use super::{LoadFailure, ResolvedIds};
use crate::running::{HID_BPF, KernelBtf, ResolvedMember, ResolvedOps};

/// The functions that are looked up before a driver needs them, because one pass over the types finds them all.
const USUAL: [&str; 8] = [
    ATTACH_KFUNC,
    "hid_bpf_allocate_context",
    "hid_bpf_get_data",
    "hid_bpf_hw_output_report",
    "hid_bpf_hw_request",
    "hid_bpf_input_report",
    "hid_bpf_release_context",
    "hid_bpf_try_input_report",
];

/// Determines the kernel's generation, the offsets of the members that drivers access, and the ids of functions.
///
/// `struct hid_bpf_ops` distinguishes the generations. Linux 6.6 has a different struct of that name, so the test is
/// whether struct_ops maps can hold it.
///
/// # Errors
/// The kernel has no types or no HID-BPF, or an unknown form of them.
pub(super) fn look_up(btf: &Path, functions: &BTreeSet<&str>) -> Result<ResolvedIds, LoadFailure> {
    let of_hooks = HOOKS.iter().filter_map(|row| row.function);
    let functions: BTreeSet<&str> = USUAL.into_iter().chain(of_hooks).chain(functions.iter().copied()).collect();
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

/// Adds the ids of functions that are not resolved yet.
///
/// # Errors
/// The kernel's types can't be read.
pub(super) fn functions(ids: &mut ResolvedIds, btf: &Path, names: &BTreeSet<&str>) -> Result<(), LoadFailure> {
    let missing: BTreeSet<&str> = names.iter().copied().filter(|name| !ids.functions.contains_key(*name)).collect();
    if !missing.is_empty() {
        ids.functions.extend(search(btf, &[], &missing, |_, functions| functions)?);
    }
    Ok(())
}

/// Searches the kernel's types, and calls `read` with them and the functions' ids.
fn search<T>(
    btf: &Path,
    records: &[&str],
    functions: &BTreeSet<&str>,
    read: impl FnOnce(&KernelTypes<'_>, BTreeMap<String, u32>) -> T,
) -> Result<T, LoadFailure> {
    let names: Vec<&str> = functions.iter().flat_map(|name| [Some(*name), public(name)]).flatten().collect();
    let mut parts = vec![HID_BPF];
    // A name without `_impl` is a part of the name with it.
    parts.extend(names.iter().filter(|name| !name.contains(HID_BPF) && public(name).is_none()));
    let btf = KernelBtf::open(btf).map_err(LoadFailure::Types)?;
    let types = btf.find(&Names { parts: &parts, records, functions: &names }).map_err(LoadFailure::Types)?;
    let id = |name: &str| {
        // From Linux 7.0 on, the kernel hides some arguments of a kfunc from programs. It then also has an `_impl`
        // function with all arguments, which is not for programs. Older kernels give programs a function of that name.
        // libbpf distinguishes them by the arguments' types.
        let is_hidden = public(name).is_some_and(|public| types.function(public).is_some());
        types.function(name).filter(|_| !is_hidden).map_or(0, |id| id.0)
    };
    let ids = functions.iter().map(|name| ((*name).to_owned(), id(name))).collect();
    Ok(read(&types, ids))
}

/// Returns the name of the function that `name` is the implementation of.
fn public(name: &str) -> Option<&str> {
    name.strip_suffix("_impl")
}
