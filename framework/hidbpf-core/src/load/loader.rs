//! The interface between the phases of [`crate::attach`] and the loaders.

use std::io;
use std::os::fd::OwnedFd;

use hid_bpf_src::DescriptorArgs;
use hidbpf_descriptor::{MAX_DESCRIPTOR, field_table};
use hidbpf_prelink::driver::{FixupRecord, Ids, ProbeArgs};
use hidbpf_prelink::section::SHARED_DATA;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zerocopy::{FromZeros, IntoBytes};

use crate::device::Device;
use crate::driver::object::{Global, Hook, IDS, ObjectFile, PROPERTY_PREFIX};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::HidId;
use crate::kernel::Generation;
use crate::manifest::exports;
use crate::manifest::options;
use crate::names::FIRST_STEP_SUFFIX;
use crate::system::System;

/// The loader that brought a driver's programs into the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "kebab-case")]
pub enum LoaderKind {
    /// The fast loader: prelinked, with hidbpf's own bpf() calls.
    Fast,
    /// The libbpf loader, which parses the object and the kernel's types each time.
    Libbpf {
        /// Why the fast loader was not used.
        #[serde(rename = "why-not-fast")]
        why: String,
    },
}

/// Brings a driver's programs into the kernel.
pub trait Loader {
    /// A driver whose programs are loaded. Dropping it unloads the programs that are not attached.
    type Loaded<'a>: Loaded;

    /// Returns the kind of loader that this is, or that it used for its last driver.
    fn kind(&self) -> LoaderKind;

    /// Returns whether another loader, in its own process, is tried after [`ErrorKind::NotFast`].
    fn has_successor(&self) -> bool {
        false
    }

    /// Returns the generation of the running kernel.
    ///
    /// # Errors
    /// The kernel has no HID-BPF, or its types can't be read.
    fn generation(&self, system: &System) -> Result<Generation>;

    /// Reads a descriptor that the kernel keeps but sysfs does not show.
    ///
    /// The device is not affected. Returns `None` for a fixed descriptor if this kernel does not keep it.
    ///
    /// # Errors
    /// The device is gone, or the kernel refused the program that reads the descriptor.
    fn descriptor(&self, device: HidId, stored: StoredDescriptor) -> Result<Option<Vec<u8>>>;

    /// Runs the driver's own probe program, if it has one.
    ///
    /// # Errors
    /// The program refused the device, or could not be run.
    fn probe(&self, driver: &ObjectFile, device: &Device) -> Result<()>;

    /// Loads a driver's programs of one generation, for a device.
    ///
    /// # Errors
    /// The loader or the kernel's verifier refused them. The error includes their log.
    fn load<'a>(
        &self,
        driver: &'a ObjectFile,
        generation: Generation,
        device: &Device,
        steps: Steps,
    ) -> Result<Self::Loaded<'a>>;
}

/// The number of steps in which a driver's hooks are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// All hooks at once: [`Part::Whole`].
    One,
    /// [`Part::Descriptor`] first, then [`Part::Rest`].
    ///
    /// The rest follows when the kernel has bound a kernel driver with the fixed descriptor. The kernel sizes the
    /// buffer of an event hook by the reports that it has parsed. A device whose descriptor it refuses has none. With
    /// an event hook attached to such a device, the kernel later writes past the buffer (`__hid_bpf_allocate_data()`,
    /// drivers/hid/bpf/hid_bpf_dispatch.c).
    Two,
}

impl Steps {
    /// Returns the part that is attached first.
    pub fn first(self) -> Part {
        match self {
            Steps::One => Part::Whole,
            Steps::Two => Part::Descriptor,
        }
    }

    /// Returns the parts of a driver whose struct_ops map has this name, each with the name of its own map.
    pub fn maps(self, name: &str) -> Vec<(Part, String)> {
        match self {
            Steps::One => vec![(Part::Whole, name.to_owned())],
            Steps::Two => vec![(Part::Descriptor, format!("{name}{FIRST_STEP_SUFFIX}")), (Part::Rest, name.to_owned())],
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
    /// All hooks except the descriptor hook.
    Rest,
}

impl Part {
    /// Returns whether the part contains this hook.
    pub fn has(self, hook: Hook) -> bool {
        match self {
            Part::Whole => true,
            Part::Descriptor => hook == Hook::RdescFixup,
            Part::Rest => hook != Hook::RdescFixup,
        }
    }

    /// Returns whether it is the last part. The driver's own maps and its setup come with that part.
    pub fn is_last(self) -> bool {
        self != Part::Descriptor
    }
}

/// A descriptor that the kernel keeps for a device (`hid_device_probe()`, drivers/hid/hid-core.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredDescriptor {
    /// The original descriptor: the one that the device sent.
    Original,
    /// The fixed descriptor: the result of the descriptor hook, or the original descriptor if there is no hook.
    ///
    /// Since Linux 6.13.
    Fixed,
}

/// Copies a descriptor in parts, with a syscall program ([`hid_bpf_src::DESCRIPTOR_PROGRAM`]) that `run` runs.
///
/// # Errors
/// `run` failed, or the device is gone.
pub fn copy_descriptor(
    device: HidId,
    stored: StoredDescriptor,
    mut run: impl FnMut(&mut DescriptorArgs) -> io::Result<()>,
) -> io::Result<Option<Vec<u8>>> {
    let which = match stored {
        StoredDescriptor::Original => DescriptorArgs::ORIGINAL,
        StoredDescriptor::Fixed => DescriptorArgs::FIXED,
    };
    let mut descriptor = Vec::new();
    loop {
        let mut args = DescriptorArgs { hid: device.0, which, ..DescriptorArgs::new_zeroed() };
        args.offset = descriptor.len() as u32;
        run(&mut args)?;
        let size = match usize::try_from(args.size) {
            Ok(size) => size.min(MAX_DESCRIPTOR),
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

/// Returns the error for [`Loader::descriptor`] when the program that reads was loaded but failed.
pub fn no_descriptor(error: io::Error) -> Error {
    let kind = match Errno::from_io_error(&error) {
        Some(Errno::NODEV) => ErrorKind::Gone,
        _ => ErrorKind::Io,
    };
    Error::permission_or(kind, "failed to read the device's descriptor from the kernel", error)
}

/// A driver whose programs are loaded.
pub trait Loaded {
    /// Attaches loaded hooks to the device.
    ///
    /// Dropping a link detaches it. The last part adds the driver's own maps and its program `setup`
    /// ([`hidbpf_prelink::driver::SETUP_PROGRAM`]) to the links, under their names.
    ///
    /// # Errors
    /// The kernel refused. Everything that this call attached is detached again.
    fn attach(&self, hid: HidId, part: Part) -> Result<Vec<AttachedLink>>;

    /// Reads the SDK's record of the descriptor hook. Returns `None` for an object without the record.
    ///
    /// # Errors
    /// The map of globals can't be read.
    fn fixup_record(&self) -> Result<Option<FixupRecord>>;
}

/// An open link, map or setup program of a driver. A link stays attached to the device as long as this is open.
#[derive(Debug)]
pub struct AttachedLink {
    /// The name of the program or map.
    pub name: String,
    /// The link, or the map or the program itself.
    pub link: OwnedFd,
}

/// The data sections whose maps are pinned with the links.
///
/// Users set the options while the driver runs, the driver sets the exports, and drivers of other interfaces share state.
pub const KEPT_SECTIONS: [&str; 3] = [options::SECTION, exports::SECTION, SHARED_DATA];

/// The value of a driver's variable, set before its programs are loaded.
pub struct Setting<'a> {
    /// The variable's name.
    pub name: &'a str,
    /// Its place in the object's data.
    pub global: &'a Global,
    /// The complete value.
    pub bytes: Vec<u8>,
}

/// Returns the variables to set for a device.
///
/// Those are its udev properties, the driver's options and fields, the table of all fields, and the device's ids.
/// Variables of properties that the device lacks are omitted.
pub fn settings<'a>(driver: &'a ObjectFile, device: &Device) -> Vec<Setting<'a>> {
    let setting = |(name, global): (&'a String, &'a Global)| {
        if let Some(bytes) = device.variables().get(name).filter(|bytes| bytes.len() == global.size) {
            return Some(Setting { name, global, bytes: bytes.clone() });
        }
        let mut bytes = if name == IDS {
            ids(device).as_bytes().to_vec()
        } else if name == field_table::VARIABLE {
            field_table::bytes(device.original_or_current(), global.size)
        } else {
            let mut value = device.property(name.strip_prefix(PROPERTY_PREFIX)?)?.into_bytes();
            // The last byte stays NUL, because the program reads a C string.
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

/// Returns the arguments for a driver's probe program.
pub fn probe_args(device: &Device) -> ProbeArgs {
    let mut args = ProbeArgs::new_zeroed();
    args.hid = device.name.id().0;
    let original = device.original_or_current();
    args.rdesc_size = original.len() as u32;
    args.rdesc.iter_mut().zip(original).for_each(|(to, from)| *to = *from);
    args
}

/// Checks the result of a driver's probe program.
///
/// # Errors
/// The program refused the device.
pub fn probe_answer(driver: &ObjectFile, device: &Device, args: &ProbeArgs) -> Result<()> {
    let cause = match args.retval {
        0 => return Ok(()),
        errno @ ..0 => io::Error::from_raw_os_error(errno.wrapping_neg()),
        other => io::Error::other(format!("it returned {other}, expected 0 or a negative errno")),
    };
    Err(Error::because(
        ErrorKind::Refused,
        format!("the probe program of the driver `{}` refused the device `{}`", driver.name, device.name),
        cause,
    )
    .with_hint("the driver is not for this model or mode of the device"))
}
