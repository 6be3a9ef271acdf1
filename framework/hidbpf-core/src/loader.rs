//! What the phases of [`crate::attach`] ask of whatever brings a driver's programs into the kernel.

use std::io;
use std::os::fd::OwnedFd;

use hid_bpf_src::{DescriptorArgs, FixupRecord, Ids, ProbeArgs};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zerocopy::{FromZeros, IntoBytes};

use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::exports;
use crate::ids::HidId;
use crate::kernel::Generation;
use crate::manifest::MAX_DESCRIPTOR_SIZE;
use crate::object::{Global, Hook, IDS, ObjectFile, PROPERTY_PREFIX};
use crate::options;
use crate::system::System;

/// Which way a driver's programs went into the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "kebab-case")]
pub enum Way {
    /// Prelinked, by bpf() calls of hidbpf's own.
    Fast,
    /// Through libbpf, which reads the object and the kernel's types anew.
    Libbpf {
        /// Why the fast way was not taken.
        #[serde(rename = "why-not-fast")]
        why: String,
    },
}

/// A way to bring a driver's programs into the kernel.
pub trait Loader {
    /// A driver whose programs are loaded. Dropping it unloads what is not attached.
    type Loaded<'a>: Loaded;

    /// Which way that is, or was for what it has loaded last.
    fn way(&self) -> Way;

    /// Whether another loader is tried after [`ErrorKind::NotFast`], in a process of its own.
    fn has_successor(&self) -> bool {
        false
    }

    /// The generation of the running kernel.
    ///
    /// # Errors
    /// It has no HID-BPF, or what says so can't be read.
    fn generation(&self, system: &System) -> Result<Generation>;

    /// Reads a descriptor that the kernel keeps of a device and sysfs does not show. Nothing happens to the device. `None` for a fixed one
    /// that this kernel does not keep.
    ///
    /// # Errors
    /// The device has gone, or the kernel refused the program that reads.
    fn descriptor(&self, device: HidId, kept: Kept) -> Result<Option<Vec<u8>>>;

    /// Runs the driver's own probe program, if it has one.
    ///
    /// # Errors
    /// The program refused the device, or could not be run.
    fn probe(&self, driver: &ObjectFile, device: &Device) -> Result<()>;

    /// Loads the programs of one generation, for a device.
    ///
    /// # Errors
    /// The loader or the kernel's verifier refused; the error has their log.
    fn load<'a>(
        &self,
        driver: &'a ObjectFile,
        generation: Generation,
        device: &Device,
        steps: Steps,
    ) -> Result<Self::Loaded<'a>>;
}

/// In how many steps a driver's hooks are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// All hooks at once: [`Part::Whole`].
    One,
    /// [`Part::Descriptor`], and [`Part::Rest`] when the kernel has bound a kernel driver with the fixed descriptor.
    ///
    /// The kernel sizes the buffer of an event hook by the reports that it has parsed. A device whose descriptor it refuses has none. If an
    /// event hook is attached to it, the kernel writes past the buffer later (`__hid_bpf_allocate_data()`,
    /// drivers/hid/bpf/hid_bpf_dispatch.c).
    Two,
}

impl Steps {
    /// The part that is attached first.
    pub fn first(self) -> Part {
        match self {
            Steps::One => Part::Whole,
            Steps::Two => Part::Descriptor,
        }
    }

    /// The parts of a driver whose struct_ops map has this name, each with the name of a map of its own.
    pub fn maps(self, name: &str) -> Vec<(Part, String)> {
        match self {
            Steps::One => vec![(Part::Whole, name.to_owned())],
            Steps::Two => vec![(Part::Descriptor, format!("{name}_rdesc")), (Part::Rest, name.to_owned())],
        }
    }
}

/// The hooks that are attached in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All hooks.
    Whole,
    /// The descriptor hook.
    Descriptor,
    /// All but the descriptor hook.
    Rest,
}

impl Part {
    /// Whether it has this hook.
    pub fn has(self, hook: Hook) -> bool {
        match self {
            Part::Whole => true,
            Part::Descriptor => hook == Hook::RdescFixup,
            Part::Rest => hook != Hook::RdescFixup,
        }
    }

    /// Whether it is the last part, with which come the driver's own maps and its setup.
    pub fn is_last(self) -> bool {
        self != Part::Descriptor
    }
}

/// A descriptor that the kernel keeps of a device (`hid_device_probe()`, drivers/hid/hid-core.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The original descriptor: what the device sent.
    Original,
    /// The fixed descriptor: what the descriptor hook made of it, or the original one where there is no hook. Since Linux 6.13.
    Fixed,
}

/// Has a syscall program ([`hid_bpf_src::DESCRIPTOR_PROGRAM`]) copy a descriptor, part by part; `run` runs it.
///
/// # Errors
/// `run` fails, or the device has gone.
pub fn copy_descriptor(
    device: HidId,
    kept: Kept,
    mut run: impl FnMut(&mut DescriptorArgs) -> io::Result<()>,
) -> io::Result<Option<Vec<u8>>> {
    let which = match kept {
        Kept::Original => DescriptorArgs::ORIGINAL,
        Kept::Fixed => DescriptorArgs::FIXED,
    };
    let mut descriptor = Vec::new();
    loop {
        let mut args = DescriptorArgs { hid: device.0, which, ..DescriptorArgs::new_zeroed() };
        args.offset = descriptor.len() as u32;
        run(&mut args)?;
        let size = match usize::try_from(args.size) {
            Ok(size) => size.min(MAX_DESCRIPTOR_SIZE as usize),
            Err(_) if -args.size == Errno::OPNOTSUPP.raw_os_error() => return Ok(None),
            Err(_) => return Err(io::Error::from_raw_os_error(-args.size)),
        };
        let part = size.saturating_sub(descriptor.len()).min(args.part.len());
        descriptor.extend_from_slice(&args.part[..part]);
        if descriptor.len() >= size {
            descriptor.truncate(size);
            return Ok(Some(descriptor));
        }
    }
}

/// The error of [`Loader::descriptor`] for a device, where the program that reads can be loaded.
pub fn no_descriptor(error: io::Error) -> Error {
    let kind = match Errno::from_io_error(&error) {
        Some(Errno::NODEV) => ErrorKind::Gone,
        _ => ErrorKind::Io,
    };
    Error::permission_or(kind, "failed to read the device's descriptor from the kernel", error)
}

/// A driver whose programs are loaded.
pub trait Loaded {
    /// Attaches hooks that were loaded to the device. Dropping a link detaches it. With the last part come the driver's own maps and its
    /// program `setup` ([`hid_bpf_src::SETUP_PROGRAM`]), which are among the links under their names.
    ///
    /// # Errors
    /// The kernel refused; what this call has attached is detached again.
    fn attach(&self, hid: HidId, part: Part) -> Result<Vec<AttachedLink>>;

    /// Reads what the SDK wrote down of the descriptor hook; `None` for an object without the record.
    ///
    /// # Errors
    /// The map of globals can't be read.
    fn fixup_record(&self) -> Result<Option<FixupRecord>>;
}

/// A program or map that is attached to the device for as long as this is open, a map that such a program needs, or the set-up.
#[derive(Debug)]
pub struct AttachedLink {
    /// What is attached: the name of the program, or of the map.
    pub name: String,
    /// The link, or the map or the program itself.
    pub link: OwnedFd,
}

/// The sections of data whose maps are kept with the links: what is set while the driver is at work, and what it finds out meanwhile.
pub const KEPT_SECTIONS: [&str; 2] = [options::SECTION, exports::SECTION];

/// What a variable of a driver's is set to before its programs are loaded.
pub struct Setting<'a> {
    /// The variable's name.
    pub name: &'a str,
    /// Where it is.
    pub global: &'a Global,
    /// All of its bytes.
    pub bytes: Vec<u8>,
}

/// The variables that a device's udev properties are written to, for the properties that it has, those of the driver's options and
/// fields, and the one with the device's ids.
pub fn settings<'a>(driver: &'a ObjectFile, device: &Device) -> Vec<Setting<'a>> {
    let setting = |(name, global): (&'a String, &'a Global)| {
        if let Some(bytes) = device.variables().get(name).filter(|bytes| bytes.len() == global.size) {
            return Some(Setting { name, global, bytes: bytes.clone() });
        }
        let mut bytes = if name == IDS {
            ids(device).as_bytes().to_vec()
        } else {
            let mut value = device.property(name.strip_prefix(PROPERTY_PREFIX)?)?.into_bytes();
            // The last byte stays NUL: the program reads a C string.
            value.truncate(global.size.saturating_sub(1));
            value
        };
        bytes.resize(global.size, 0);
        Some(Setting { name, global, bytes })
    };
    driver.globals.iter().filter_map(setting).collect()
}

fn ids(device: &Device) -> Ids {
    Ids { hid: device.name.id().0, vendor: device.modalias.vendor.0, product: device.modalias.product.0 }
}

/// What a driver's probe program is asked.
pub fn probe_args(device: &Device) -> ProbeArgs {
    let mut args = ProbeArgs::new_zeroed();
    args.hid = device.name.id().0;
    let original = device.original_or_current();
    args.rdesc_size = original.len() as u32;
    args.rdesc.iter_mut().zip(original).for_each(|(to, from)| *to = *from);
    args
}

/// What a driver's probe program has answered.
///
/// # Errors
/// It refuses the device.
pub fn probe_answer(driver: &ObjectFile, device: &Device, args: &ProbeArgs) -> Result<()> {
    if args.retval >= 0 {
        return Ok(());
    }
    Err(Error::because(
        ErrorKind::Refused,
        format!("the probe program of the driver `{}` refused the device `{}`", driver.name, device.name),
        io::Error::from_raw_os_error(args.retval.wrapping_neg()),
    )
    .with_hint("the driver is not for this model or mode of the device"))
}
