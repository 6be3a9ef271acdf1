//! What the running kernel offers, looked up in its BTF by libbpf.

use std::path::Path;

use libbpf_rs::btf::{Btf, types};

use crate::error::{Error, ErrorKind, Result};
use crate::kernel::{Generation, Kernel, Support};
use crate::system::System;

/// The type that only a kernel with `struct hid_bpf_ops` as struct_ops has; 6.6 has another struct of the shorter name.
pub(crate) const STRUCT_OPS_TYPE: &str = "bpf_struct_ops_hid_bpf_ops";

/// The kfunc that only the first generation has.
const ATTACH_KFUNC: &str = "hid_bpf_attach_prog";

/// Looks at the running kernel.
///
/// # Errors
/// The kernel's BTF is there and can't be read.
pub fn detect(system: &System) -> Result<Kernel> {
    let path = system.kernel_btf();
    Ok(Kernel::running(if path.exists() { support(&path)? } else { Support::NoBtf }))
}

fn support(path: &Path) -> Result<Support> {
    let btf = Btf::from_path(path).map_err(|error| {
        Error::because(ErrorKind::Kernel, format!("failed to read the kernel's BTF `{}`", path.display()), error)
    })?;
    Ok(if btf.type_by_name::<types::Struct<'_>>(STRUCT_OPS_TYPE).is_some() {
        Support::Present(Generation::StructOps)
    } else if btf.type_by_name::<types::Func<'_>>(ATTACH_KFUNC).is_some() {
        Support::Present(Generation::FmodRet)
    } else {
        Support::NoHidBpf
    })
}
