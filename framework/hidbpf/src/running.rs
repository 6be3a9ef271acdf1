//! Determines the running kernel's features from its BTF, using libbpf.

use std::path::Path;

use hid_bpf_src::ResolvedOps;
use hidbpf_core::kernel::{Generation, Kernel, Support};
use hidbpf_prelink::hook::{ATTACH_KFUNC, HOOKS, OPS, OPS_VALUE};
use libbpf_rs::btf::{Btf, HasSize as _, types};

use crate::error::{Error, ErrorKind, Result};
use crate::system::System;

/// Detects the running kernel's features.
///
/// # Errors
/// The kernel's BTF exists but can't be read.
pub fn detect(system: &System) -> Result<Kernel> {
    let path = system.kernel_btf();
    Ok(Kernel::running(if path.exists() { support(&path)? } else { Support::NoBtf }))
}

/// Returns the layout of a map of the kernel's `struct hid_bpf_ops`. `None` if the kernel has no such maps.
///
/// # Errors
/// The kernel's BTF exists but can't be read.
pub(crate) fn ops(system: &System) -> Result<Option<ResolvedOps>> {
    let path = system.kernel_btf();
    if !path.exists() {
        return Ok(None);
    }
    let btf = open(&path)?;
    let member = |of: &types::Struct<'_>, wanted: &str| {
        let member = of.iter().find(|member| member.name.is_some_and(|name| name == wanted))?;
        match member.attr {
            types::MemberAttr::Normal { offset } => Some(offset / 8),
            types::MemberAttr::BitField { .. } => None,
        }
    };
    let look_up = || -> Option<ResolvedOps> {
        let value: types::Struct<'_> = btf.type_by_name(OPS_VALUE)?;
        let ops: types::Struct<'_> = btf.type_by_name(OPS)?;
        let data = member(&value, "data")?;
        let place = |name| Some(data + member(&ops, name)?);
        Some(ResolvedOps {
            ops_type: ops.type_id().into(),
            value_type: value.type_id().into(),
            value_size: value.size() as u32,
            hid_id: place("hid_id")?,
            flags: place("flags")?,
            hooks: HOOKS.map(|row| place(row.member).unwrap_or(0)),
        })
    };
    Ok(look_up())
}

fn open(path: &Path) -> Result<Btf<'static>> {
    Btf::from_path(path).map_err(|error| {
        Error::because(ErrorKind::Kernel, format!("failed to read the kernel's BTF `{}`", path.display()), error)
    })
}

fn support(path: &Path) -> Result<Support> {
    let btf = open(path)?;
    Ok(if btf.type_by_name::<types::Struct<'_>>(OPS_VALUE).is_some() {
        Support::Present(Generation::StructOps)
    } else if btf.type_by_name::<types::Func<'_>>(ATTACH_KFUNC).is_some() {
        Support::Present(Generation::FmodRet)
    } else {
        Support::NoHidBpf
    })
}
