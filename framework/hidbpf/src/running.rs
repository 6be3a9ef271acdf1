//! Determines the running kernel's features from its BTF, using libbpf.

use std::path::Path;

use hid_bpf_src::ResolvedOps;
use hidbpf_core::kernel::{Generation, Kernel, Support};
use libbpf_rs::btf::{Btf, HasSize as _, types};

use crate::error::{Error, ErrorKind, Result};
use crate::system::System;

/// A type that exists only if `struct hid_bpf_ops` is a struct_ops type. 6.6 has a different `struct hid_bpf_ops`.
const STRUCT_OPS_TYPE: &str = "bpf_struct_ops_hid_bpf_ops";

/// The kfunc that exists only in the first generation.
const ATTACH_KFUNC: &str = "hid_bpf_attach_prog";

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
        let value: types::Struct<'_> = btf.type_by_name(STRUCT_OPS_TYPE)?;
        let ops: types::Struct<'_> = btf.type_by_name("hid_bpf_ops")?;
        let data = member(&value, "data")?;
        let place = |name| Some(data + member(&ops, name)?);
        Some(ResolvedOps {
            ops_type: ops.type_id().into(),
            value_type: value.type_id().into(),
            value_size: value.size() as u32,
            hid_id: place("hid_id")?,
            flags: place("flags")?,
            device_event: place("hid_device_event")?,
            rdesc_fixup: place("hid_rdesc_fixup")?,
            hw_request: place("hid_hw_request")?,
            hw_output_report: place("hid_hw_output_report")?,
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
    Ok(if btf.type_by_name::<types::Struct<'_>>(STRUCT_OPS_TYPE).is_some() {
        Support::Present(Generation::StructOps)
    } else if btf.type_by_name::<types::Func<'_>>(ATTACH_KFUNC).is_some() {
        Support::Present(Generation::FmodRet)
    } else {
        Support::NoHidBpf
    })
}
