//! Describes regions of memory in the messages of faults.

use crate::memory::Kind;

use super::Machine;

impl Machine {
    /// Describes a region in a message.
    pub(crate) fn describe(&self, kind: Kind) -> String {
        match kind {
            Kind::Free => "memory that has been given back".to_owned(),
            Kind::Stack => "the function's stack frame".to_owned(),
            Kind::Arguments => "the hook's arguments".to_owned(),
            Kind::Context => "the hook's context (struct hid_bpf_ctx)".to_owned(),
            Kind::Device => "the device (struct hid_device)".to_owned(),
            Kind::Data => "the hook's data".to_owned(),
            Kind::View(0) => "the data that it asked hid_bpf_get_data() for".to_owned(),
            Kind::View(offset) => format!("the data that it asked hid_bpf_get_data() for, from byte {offset} on"),
            Kind::SyscallArgument => "the program's argument".to_owned(),
            Kind::Section(index) => format!("the section `{}`", self.image.section_name(index)),
            Kind::Value { map, .. } => format!("a value of the map `{}`", self.image.map_name(map)),
            Kind::Key => "a callback's argument".to_owned(),
            Kind::Map(map) => {
                format!("the map `{}`, which has to be asked for a value first", self.image.map_name(map))
            }
            Kind::Code => "a function's code".to_owned(),
            Kind::Kfunc(_) => "a function of the kernel".to_owned(),
        }
    }
}
