//! Looks up the ids and offsets that programs need, in the kernel's types.

use std::collections::BTreeSet;
use std::path::Path;

use hidbpf_prelink::MEMBERS;
use hidbpf_prelink::hook::ATTACH_KFUNC;
use hidbpf_prelink::kernel_types::KernelTypes;

use super::ids::{is_near, is_sane};
use super::{LoadFailure, ResolvedIds};
use crate::running::{HID_BPF, KernelBtf, ResolvedMember, ResolvedOps};

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

/// Determines the kernel's generation, the offsets of the members that drivers access, and the ids of functions.
///
/// `struct hid_bpf_ops` distinguishes the generations. Linux 6.6 has a different struct of that name, so the test is
/// whether struct_ops maps can hold it.
///
/// # Errors
/// The kernel has no types or no HID-BPF, or an unknown form of them.
pub(super) fn look_up(btf: &Path, functions: &BTreeSet<&str>) -> Result<ResolvedIds, LoadFailure> {
    let btf = KernelBtf::open(btf).map_err(LoadFailure::Types)?;
    let parts: Vec<&str> = [HID_BPF].into_iter().chain(functions.iter().copied().filter_map(unusual)).collect();
    let types = btf.find(&parts).map_err(LoadFailure::Types)?;
    let ops = ResolvedOps::of(&types);
    if !ops.as_ref().is_none_or(is_sane) {
        return Err(LoadFailure::UnknownOps);
    }
    if ops.is_none() && types.function(ATTACH_KFUNC).is_none() {
        return Err(LoadFailure::NoHidBpf);
    }
    // An unreachable member counts as missing.
    let members = MEMBERS.map(|member| {
        let place = types.record(member.of).and_then(|record| types.member(record, member.name));
        place.map(ResolvedMember::from).filter(is_near).unwrap_or_default()
    });
    let mut ids = ResolvedIds { ops, members, ..ResolvedIds::default() };
    add(&mut ids, &types, USUAL.iter().copied().chain(functions.iter().copied()));
    Ok(ids)
}

/// Adds the ids of functions that are not resolved yet.
///
/// # Errors
/// The kernel's types can't be read.
pub(super) fn functions(ids: &mut ResolvedIds, btf: &Path, names: &BTreeSet<&str>) -> Result<(), LoadFailure> {
    let missing: Vec<&str> = names.iter().copied().filter(|name| !ids.functions.contains_key(*name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let btf = KernelBtf::open(btf).map_err(LoadFailure::Types)?;
    let parts: Vec<&str> = missing.iter().map(|name| unusual(name).unwrap_or(HID_BPF)).collect();
    add(ids, &btf.find(&parts).map_err(LoadFailure::Types)?, missing.into_iter());
    Ok(())
}

/// Returns what to search for a function that [`HID_BPF`] does not find.
fn unusual(name: &str) -> Option<&str> {
    (!name.contains(HID_BPF)).then(|| public(name).unwrap_or(name))
}

/// Returns the name of the function that `name` is the implementation of.
fn public(name: &str) -> Option<&str> {
    name.strip_suffix("_impl")
}

fn add<'a>(ids: &mut ResolvedIds, types: &KernelTypes<'_>, names: impl Iterator<Item = &'a str>) {
    for name in names {
        // From Linux 7.0 on, the kernel hides some arguments of a kfunc from programs. It then also has an `_impl`
        // function with all arguments, which is not for programs. Older kernels give programs a function of that name.
        // libbpf distinguishes them by the arguments' types.
        let is_hidden = public(name).is_some_and(|public| types.function(public).is_some());
        let id = types.function(name).filter(|_| !is_hidden);
        ids.functions.insert(name.to_owned(), id.map_or(0, |id| id.0));
    }
}
