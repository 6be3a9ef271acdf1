//! What an object needs of the kernel: the hooks of its programs, and the kernel functions that they call.

use std::fmt;
use std::path::Path;

use hidbpf_prelink::btf::essential_name;
use hidbpf_prelink::parts::Parts;
use hidbpf_prelink::section::{SectionRole, section_role};

use crate::error::BuildError;
use crate::place;

/// A version of Linux: 6 and 11.
type Version = (u32, u32);

/// The first kernel with HID-BPF.
const FIRST: Version = (6, 3);

/// The first kernel that takes struct_ops programs, and no FMOD_RET programs.
const STRUCT_OPS: Version = (6, 11);

/// A kernel function that programs for HID-BPF call.
struct Function {
    name: &'static str,
    /// The first kernel whose syscall programs may call it.
    since: Version,
    /// The first kernel whose hooks may call it.
    in_hooks: Version,
    /// The first kernel that no longer has it.
    until: Option<Version>,
}

const fn function(name: &'static str, since: Version, in_hooks: Version) -> Function {
    Function { name, since, in_hooks, until: None }
}

/// The kernel functions, from drivers/hid/bpf/hid_bpf_dispatch.c and kernel/bpf/helpers.c of Linux 6.6, 6.12 and 7.3.
const FUNCTIONS: [Function; 18] = [
    function("hid_bpf_get_data", FIRST, FIRST),
    function("hid_bpf_allocate_context", FIRST, STRUCT_OPS),
    function("hid_bpf_release_context", FIRST, STRUCT_OPS),
    function("hid_bpf_hw_request", FIRST, STRUCT_OPS),
    function("hid_bpf_hw_output_report", (6, 10), STRUCT_OPS),
    function("hid_bpf_input_report", (6, 10), STRUCT_OPS),
    function("hid_bpf_try_input_report", STRUCT_OPS, STRUCT_OPS),
    function("bpf_wq_init", (6, 10), STRUCT_OPS),
    function("bpf_wq_start", (6, 10), STRUCT_OPS),
    Function { name: "bpf_wq_set_callback_impl", since: (6, 10), in_hooks: STRUCT_OPS, until: Some((7, 0)) },
    function("bpf_wq_set_callback", (7, 0), (7, 0)),
    function("bpf_iter_num_new", (6, 4), (6, 4)),
    function("bpf_iter_num_next", (6, 4), (6, 4)),
    function("bpf_iter_num_destroy", (6, 4), (6, 4)),
    function("bpf_rcu_read_lock", FIRST, FIRST),
    function("bpf_rcu_read_unlock", FIRST, FIRST),
    function("bpf_preempt_disable", (6, 12), (6, 12)),
    function("bpf_preempt_enable", (6, 12), (6, 12)),
];

/// The two functions that set the callback of a work item. A program may call the one that the kernel has.
const CALLBACKS: [&str; 2] = ["bpf_wq_set_callback_impl", "bpf_wq_set_callback"];

/// The prefix of HID-BPF's own functions, which are all known.
const HID_BPF: &str = "hid_bpf_";

/// Something that only some kernels have, and the place in the source that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// `x.bpf.c:33`.
    place: String,
    /// `` `bpf_wq_init()` ``.
    what: String,
    since: Version,
    until: Option<Version>,
    is_known: bool,
}

impl Need {
    /// Returns whether no kernel that takes FMOD_RET programs has it.
    pub(super) fn is_beyond_fmod_ret(&self) -> bool {
        self.is_known && self.since >= STRUCT_OPS
    }

    /// Returns a warning if it keeps the object from some of the kernels that take struct_ops programs.
    pub(super) fn warning(&self) -> Option<String> {
        let Need { place, what, .. } = self;
        match self {
            Need { is_known: false, .. } => {
                Some(format!("{place}: warning: hidbpf does not know the kernel function {what}"))
            }
            Need { until: Some((major, minor)), .. } => {
                Some(format!("{place}: warning: {what} is missing since Linux {major}.{minor}"))
            }
            Need { since, .. } if *since > STRUCT_OPS => Some(self.to_string()),
            Need { .. } => None,
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.since;
        write!(f, "{}: {} needs Linux {major}.{minor}", self.place, self.what)
    }
}

/// Returns what an object needs, each need once, with the first place that has it.
pub(super) fn of(source: &Path, parts: &Parts<'_>) -> Result<Vec<Need>, BuildError> {
    let mut needs: Vec<Need> = Vec::new();
    let mut add = |need: Need| {
        if !needs.iter().any(|known| known.what == need.what) {
            needs.push(need);
        }
    };
    for (section, code) in parts.code.iter().enumerate() {
        let role = section_role(code.name);
        let start = || place::of(source, parts, section, 0);
        if let Some(SectionRole::Program(_, hook)) = role
            && hook.row().function.is_none()
        {
            add(Need {
                place: start(),
                what: format!("the {hook} hook"),
                since: STRUCT_OPS,
                until: None,
                is_known: true,
            });
        }
        if role.is_none() && code.name.contains('/') {
            let problem = format!("the section `{}` is not a hook of HID-BPF", code.name);
            return Err(BuildError::at(start(), problem, Some("the hooks are the members of `struct hid_bpf_ops`")));
        }
    }
    for (section, instruction, symbol) in place::externs(parts) {
        let section_name = parts.code.get(section).map_or("", |code| code.name);
        let in_hook = matches!(section_role(section_name), Some(SectionRole::Program(..)));
        // libbpf ignores what follows three underscores.
        let name = essential_name(symbol.name);
        let place = || place::of(source, parts, section, instruction);
        match FUNCTIONS.iter().find(|function| function.name == name) {
            Some(function) => {
                let since = if in_hook { function.in_hooks } else { function.since };
                add(Need { place: place(), what: call_of(name), since, until: function.until, is_known: true });
            }
            None if name.starts_with(HID_BPF) && !symbol.is_weak => {
                let hint = "Documentation/hid/hid-bpf.rst of the kernel lists the functions";
                return Err(BuildError::at(place(), format!("no kernel has the function `{name}`"), Some(hint)));
            }
            None => add(Need { place: place(), what: call_of(name), since: FIRST, until: None, is_known: false }),
        }
    }
    let is_callback = |need: &Need| CALLBACKS.iter().any(|name| need.what == call_of(name));
    if needs.iter().filter(|need| is_callback(need)).count() == CALLBACKS.len() {
        for need in needs.iter_mut().filter(|need| is_callback(need)) {
            (need.since, need.until) = (STRUCT_OPS, None);
        }
    }
    Ok(needs)
}

/// Returns a function as messages name it.
fn call_of(name: &str) -> String {
    format!("`{name}()`")
}
