//! Looks up the kernel's numbers, with syscall programs: the kernel has its types in memory, and user space would have to read megabytes.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use hid_bpf_src::{
    RESOLVE_FMOD_PROGRAM, RESOLVE_FUNCTION_PROGRAM, RESOLVE_OPS_PROGRAM, RESOLVE_PRELINKED, ResolveArgs,
    ResolveFunctionArgs, ResolvedMember,
};
use zerocopy::IntoBytes;

use super::ids::{is_near, is_sane};
use super::{Errno, Failure, ResolvedIds, tool};
use crate::sys;

/// The kfunc that only the first generation has.
pub(super) const ATTACH_KFUNC: &str = "hid_bpf_attach_prog";

/// Finds out of which generation the kernel is, and where it has the members that drivers access. `struct hid_bpf_ops` tells the generation;
/// 6.6 has another struct of that name, so that the question is whether struct_ops maps can hold one.
///
/// # Errors
/// The kernel has no HID-BPF, or one that is not known here.
pub(super) fn generation() -> Result<ResolvedIds, Failure> {
    let mut ids = ResolvedIds::default();
    let mut args = ResolveArgs::default();
    match tool(RESOLVE_PRELINKED, RESOLVE_OPS_PROGRAM, &ids) {
        Ok(program) => {
            sys::run(program.as_fd(), args.as_mut_bytes()).map_err(Failure::refused("run", RESOLVE_OPS_PROGRAM))?;
            match is_sane(&args.ops) {
                true => ids.ops = Some(args.ops),
                false => return Err(Failure::UnknownOps),
            }
        }
        // The kernel can't resolve the program: there is no such type. Without the privilege it would not even try.
        Err(Failure::Refused { source: Errno(error), .. }) if error.kind() != io::ErrorKind::PermissionDenied => {
            functions(&mut ids, &BTreeSet::from([ATTACH_KFUNC]))?;
            if ids.function(ATTACH_KFUNC) == 0 {
                return Err(Failure::NoHidBpf);
            }
            let program = tool(RESOLVE_PRELINKED, RESOLVE_FMOD_PROGRAM, &ids)?;
            sys::run(program.as_fd(), args.as_mut_bytes()).map_err(Failure::refused("run", RESOLVE_FMOD_PROGRAM))?;
        }
        Err(failure) => return Err(failure),
    }
    // One that is out of reach is as good as none.
    ids.members = args.members.map(|member| if is_near(&member) { member } else { ResolvedMember::default() });
    Ok(ids)
}

/// Adds the numbers of functions that are not there yet.
///
/// # Errors
/// One of the functions is in a module.
pub(super) fn functions(ids: &mut ResolvedIds, names: &BTreeSet<&str>) -> Result<(), Failure> {
    let mut program: Option<OwnedFd> = None;
    for name in names {
        if ids.functions.contains_key(*name) {
            continue;
        }
        let program = match &mut program {
            Some(program) => program,
            none => none.insert(tool(RESOLVE_PRELINKED, RESOLVE_FUNCTION_PROGRAM, ids)?),
        };
        // From Linux 7.0 on the kernel keeps some arguments of a kfunc to itself. It then also has one `_impl` with all of them, which
        // has the name that older kernels give to programs and is not for programs; libbpf tells by the arguments' types.
        let hidden = match name.strip_suffix("_impl") {
            Some(public) => function(program, public)? != 0,
            None => false,
        };
        let id = if hidden { 0 } else { function(program, name)? };
        ids.functions.insert((*name).to_owned(), id);
    }
    Ok(())
}

fn function(program: &OwnedFd, name: &str) -> Result<u32, Failure> {
    let mut args = ResolveFunctionArgs::default();
    // One byte less than there is room: the name must have an end.
    let room = args.name.len() - 1;
    args.name[..room].iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
    sys::run(program.as_fd(), args.as_mut_bytes()).map_err(Failure::refused("run", RESOLVE_FUNCTION_PROGRAM))?;
    if args.id < 0 {
        return match rustix::io::Errno::from_raw_os_error((-args.id) as i32) {
            rustix::io::Errno::NOENT => Ok(0),
            error => Err(Failure::refused("look up", name)(error.into())),
        };
    }
    let (id, module) = (args.id as u32, (args.id >> 32) as i32);
    if module != 0 {
        // Closed as soon as it is ours.
        drop(sys::take(module));
        return Err(Failure::InModule(name.to_owned()));
    }
    Ok(id)
}
