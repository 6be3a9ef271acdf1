//! The kernel functions that drivers call (kfuncs), and the programs and kernels that allow them.
//!
//! The sets at the end of drivers/hid/bpf/hid_bpf_dispatch.c define the permissions, and kernel/bpf/helpers.c does for
//! functions outside HID-BPF. A call that the verifier would refuse is a fault here too.

use hidbpf_prelink::Generation;
use hidbpf_prelink::btf::essential_name;

/// A kernel function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kfunc {
    GetData,
    AllocateContext,
    ReleaseContext,
    HwRequest,
    HwOutputReport,
    InputReport,
    TryInputReport,
    WorkInit,
    WorkSetCallback,
    WorkStart,
    NumbersNew,
    NumbersNext,
    NumbersDestroy,
    /// Has no effect in a replay.
    Nothing,
}

struct Known {
    name: &'static str,
    kfunc: Kfunc,
    /// Whether kernels of the first generation have it.
    older: bool,
    /// Whether it sleeps.
    sleeps: bool,
}

const fn known(name: &'static str, kfunc: Kfunc, older: bool, sleeps: bool) -> Known {
    Known { name, kfunc, older, sleeps }
}

const KFUNCS: [Known; 18] = [
    known("hid_bpf_get_data", Kfunc::GetData, true, false),
    known("hid_bpf_allocate_context", Kfunc::AllocateContext, true, true),
    known("hid_bpf_release_context", Kfunc::ReleaseContext, true, true),
    known("hid_bpf_hw_request", Kfunc::HwRequest, true, true),
    known("hid_bpf_hw_output_report", Kfunc::HwOutputReport, false, true),
    known("hid_bpf_input_report", Kfunc::InputReport, false, true),
    known("hid_bpf_try_input_report", Kfunc::TryInputReport, false, false),
    known("bpf_wq_init", Kfunc::WorkInit, false, false),
    known("bpf_wq_set_callback", Kfunc::WorkSetCallback, false, false),
    known("bpf_wq_set_callback_impl", Kfunc::WorkSetCallback, false, false),
    known("bpf_wq_start", Kfunc::WorkStart, false, false),
    known("bpf_iter_num_new", Kfunc::NumbersNew, true, false),
    known("bpf_iter_num_next", Kfunc::NumbersNext, true, false),
    known("bpf_iter_num_destroy", Kfunc::NumbersDestroy, true, false),
    known("bpf_rcu_read_lock", Kfunc::Nothing, true, false),
    known("bpf_rcu_read_unlock", Kfunc::Nothing, true, false),
    known("bpf_preempt_disable", Kfunc::Nothing, false, false),
    known("bpf_preempt_enable", Kfunc::Nothing, false, false),
];

/// Returns whether kernels of either generation have a function that replays support.
pub(crate) fn is_known(name: &str) -> bool {
    let name = essential_name(name);
    KFUNCS.iter().any(|known| known.name == name)
}

impl Kfunc {
    /// Returns the function with a name, if kernels of a generation have it and replays support it.
    pub(crate) fn find(name: &str, generation: Generation) -> Option<Kfunc> {
        // libbpf allows flavours of function names, as for types.
        let name = essential_name(name);
        let known = KFUNCS.iter().find(|known| known.name == name)?;
        (known.older || generation == Generation::StructOps).then_some(known.kfunc)
    }

    /// Returns whether it sleeps.
    pub(crate) fn sleeps(self) -> bool {
        KFUNCS.iter().any(|known| known.kfunc == self && known.sleeps)
    }
}
