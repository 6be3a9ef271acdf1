//! Looks up the kernel's ids and offsets, with syscall programs.
//!
//! The kernel has its types in memory, but user space would have to read megabytes.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hid_bpf_src::{
    RESOLVE_FMOD_PROGRAM, RESOLVE_FUNCTION_PROGRAM, RESOLVE_OPS_PROGRAM, RESOLVE_PRELINKED, ResolveArgs,
    ResolveFunctionArgs, ResolvedMember,
};
use hidbpf_prelink::hook::ATTACH_KFUNC;
use zerocopy::IntoBytes;

use super::ids::{is_near, is_sane};
use super::{Errno, LoadFailure, ResolvedIds, tool};
use crate::sys;

/// Determines the kernel's generation, and the offsets of the members that drivers access.
///
/// `struct hid_bpf_ops` distinguishes the generations. Linux 6.6 has a different struct of that name, so the test is
/// whether struct_ops maps can hold it.
///
/// # Errors
/// The kernel has no HID-BPF, or an unknown form of it.
pub(super) fn generation() -> Result<ResolvedIds, LoadFailure> {
    let mut ids = ResolvedIds::default();
    let mut args = ResolveArgs::default();
    match tool(RESOLVE_PRELINKED, RESOLVE_OPS_PROGRAM, &ids) {
        Ok(program) => {
            sys::run(program.as_fd(), args.as_mut_bytes()).map_err(LoadFailure::refused("run", RESOLVE_OPS_PROGRAM))?;
            match is_sane(&args.ops) {
                true => ids.ops = Some(args.ops),
                false => return Err(LoadFailure::UnknownOps),
            }
        }
        // The kernel can't resolve the program, so the type does not exist. Without the privilege, it would not have
        // tried.
        Err(LoadFailure::Refused { source: Errno(error), .. }) if error.kind() != io::ErrorKind::PermissionDenied => {
            functions(&mut ids, &BTreeSet::from([ATTACH_KFUNC]))?;
            if ids.function(ATTACH_KFUNC) == 0 {
                return Err(LoadFailure::NoHidBpf);
            }
            let program = tool(RESOLVE_PRELINKED, RESOLVE_FMOD_PROGRAM, &ids)?;
            sys::run(program.as_fd(), args.as_mut_bytes())
                .map_err(LoadFailure::refused("run", RESOLVE_FMOD_PROGRAM))?;
        }
        Err(failure) => return Err(failure),
    }
    // An unreachable member counts as missing.
    ids.members = args.members.map(|member| if is_near(&member) { member } else { ResolvedMember::default() });
    Ok(ids)
}

/// Adds the ids of functions that are not resolved yet.
///
/// # Errors
/// One of the functions is in a module.
pub(super) fn functions(ids: &mut ResolvedIds, names: &BTreeSet<&str>) -> Result<(), LoadFailure> {
    let mut program: Option<OwnedFd> = None;
    for name in names {
        if ids.functions.contains_key(*name) {
            continue;
        }
        let program = match &mut program {
            Some(program) => program,
            none => none.insert(tool(RESOLVE_PRELINKED, RESOLVE_FUNCTION_PROGRAM, ids)?),
        };
        // From Linux 7.0 on, the kernel hides some arguments of a kfunc from programs. It then also has an `_impl`
        // function with all arguments, which is not for programs. Older kernels give programs a function of that name.
        // libbpf distinguishes them by the arguments' types.
        let hidden = match name.strip_suffix("_impl") {
            Some(public) => function(program, public)? != 0,
            None => false,
        };
        let id = if hidden { 0 } else { function(program, name)? };
        ids.functions.insert((*name).to_owned(), id);
    }
    Ok(())
}

fn function(program: &OwnedFd, name: &str) -> Result<u32, LoadFailure> {
    let mut args = ResolveFunctionArgs::default();
    // Leave one byte, because the name must end with NUL.
    let room = args.name.len() - 1;
    args.name[..room].iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    sys::run(program.as_fd(), args.as_mut_bytes()).map_err(LoadFailure::refused("run", RESOLVE_FUNCTION_PROGRAM))?;
    if args.id < 0 {
        return match rustix::io::Errno::from_raw_os_error((-args.id) as i32) {
            rustix::io::Errno::NOENT => Ok(0),
            error => Err(LoadFailure::refused("look up", name)(error.into())),
        };
    }
    let (id, module) = (args.id as u32, (args.id >> 32) as i32);
    if module != 0 {
        // Take ownership of the module's descriptor to close it.
        drop(sys::take(module));
        return Err(LoadFailure::InModule(name.to_owned()));
    }
    Ok(id)
}
