//! The attach sequence, with one type for each phase.
//!
//! Each phase consumes the one before it: [`Plan`] → [`Probed`] → [`Loaded`] → [`Attached`] → [`Verified`] → [`Ready`]
//! → pinned.
//!
//! A phase that fails drops the results of the earlier phases: the links close, and the kernel detaches their programs.
//! Before [`Ready::pin`] nothing outlives the process.

pub mod original;
pub mod pins;
pub mod setup;
pub(crate) mod shared;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hidbpf_descriptor::MAX_DESCRIPTOR;
use hidbpf_prelink::driver::{FixupRecord, SETUP_PROGRAM};

use crate::attach::pins::Pinned;
use crate::device::Device;
use crate::device::uevents::Uevents;
use crate::driver::object::{DriverObject, Hook};
use crate::error::{Error, ErrorKind, Result, Step};
use crate::kernel::{self, Generation};
use crate::load::loader::{AttachedLink, Loaded as _, Loader, Part, Steps, StoredDescriptor};
use crate::state::StateWritten;
use crate::state::effect::DescriptorEffect;
use crate::system::System;

/// Checks that an event hook can safely be attached to the device. `what` names the owner of the hook.
///
/// # Errors
/// No kernel driver is bound, or the kernel parsed no input report. In both cases the kernel would crash at the first
/// report.
pub fn check_ready(device: &Device, what: &str) -> Result<()> {
    let refuse = |why: &str, hint: String| {
        let what = format!("{what} can't be attached to the device `{}`: {why}", device.name);
        Err(Error::new(ErrorKind::NotReady, what).with_hint(hint))
    };
    if device.driver.is_none() {
        let hint = format!(
            "`hidbpf doctor {}` says why none is bound; udev attaches the driver once one is, after a fix of the descriptor too",
            device.name
        );
        return refuse("no kernel driver is bound to it, and the kernel would crash at its first report", hint);
    }
    if !device.has_input_report() {
        return refuse(
            "its current descriptor declares no input report, and the kernel would crash at its first one",
            "the device is defective in a way that the driver does not know".to_owned(),
        );
    }
    Ok(())
}

/// The result of a driver's descriptor hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixup {
    /// The effect on the descriptor.
    pub change: DescriptorEffect,
    /// Size of the fixed descriptor in bytes, if the kernel driver may have changed it since.
    pub fixed_size: Option<usize>,
}

/// How long the kernel may take to rebind a device after a descriptor hook was detached. It does so from a work queue.
pub(crate) const RESTORE_LIMIT: Duration = Duration::from_secs(5);

/// A driver that is about to be attached to a device. All checks that do not need the loaded driver have passed.
pub struct Plan<'a, L: Loader> {
    loader: &'a L,
    system: &'a System,
    driver: &'a DriverObject,
    device: &'a Device,
    generation: Generation,
    steps: Steps,
}

/// A driver whose probe accepted the device.
pub struct Probed<'a, L: Loader>(Plan<'a, L>);

/// A driver whose programs are in the kernel.
pub struct Loaded<'a, L: Loader> {
    plan: Plan<'a, L>,
    object: L::Loaded<'a>,
}

/// A driver whose programs run for the device as long as this value lives.
pub struct Attached<'a, L: Loader> {
    plan: Plan<'a, L>,
    object: L::Loaded<'a>,
    links: Vec<AttachedLink>,
    /// Whether hooks wait for a kernel driver to be bound: [`Steps::Two`].
    waits: bool,
}

/// A driver whose effect on the device was verified.
pub struct Verified<'a, L: Loader> {
    plan: Plan<'a, L>,
    links: Vec<AttachedLink>,
    /// The result of the descriptor hook.
    pub fixup: Fixup,
}

/// A driver whose setup has run.
pub struct Ready<'a, L: Loader>(Verified<'a, L>);

impl<'a, L: Loader> Plan<'a, L> {
    /// Checks that this process can attach the driver to the device on this kernel.
    ///
    /// If the kernel refuses the device's descriptor, the driver's own descriptor hook is attached first. It makes the
    /// kernel bind a kernel driver and parse the reports.
    ///
    /// # Errors
    /// The driver has no programs for this kernel, or a capability or bpffs is missing. Or the kernel would crash in
    /// the device's present state: an event hook needs a bound kernel driver and a parsed input report.
    pub fn new(
        loader: &'a L,
        system: &'a System,
        generation: Generation,
        driver: &'a DriverObject,
        device: &'a Device,
    ) -> Result<Plan<'a, L>> {
        let hooks = driver.hooks_for(generation)?;
        kernel::check_capabilities(generation)?;
        pins::check_bpffs(system)?;
        // Whatever sysfs shows as bound: an invalid descriptor has no reports that an event hook's buffer could be made for.
        let is_repaired = hooks.contains_key(&Hook::RdescFixup) && device.has_invalid_original();
        let is_more = hooks.keys().any(|hook| *hook != Hook::RdescFixup);
        let steps = if is_repaired && is_more { Steps::Two } else { Steps::One };
        if hooks.contains_key(&Hook::DeviceEvent) && !is_repaired {
            check_ready(device, &format!("the driver `{}`", driver.name))?;
        }
        if driver.has_setup && device.driver.is_none() && !is_repaired {
            let why = "no kernel driver is bound to it, through which it could be talked to";
            let what = format!("the driver `{}` can't be attached to the device `{}`: {why}", driver.name, device.name);
            let hint = format!("`hidbpf doctor {}` says why; udev attaches the driver once one is bound", device.name);
            return Err(Error::new(ErrorKind::NotReady, what).with_hint(hint));
        }
        Ok(Plan { loader, system, driver, device, generation, steps })
    }

    /// Returns the hooks that will be attached.
    pub fn hooks(&self) -> impl Iterator<Item = Hook> + '_ {
        self.driver.hooks.get(&self.generation).into_iter().flat_map(|hooks| hooks.keys().copied())
    }

    /// Runs the driver's own probe, if it has one.
    ///
    /// # Errors
    /// The probe refused the device.
    pub fn probe(self) -> Result<Probed<'a, L>> {
        self.loader.probe(self.driver, self.device).map_err(|error| self.gone_or(error.during(Step::Probe)))?;
        Ok(Probed(self))
    }

    /// Returns [`ErrorKind::Gone`] if the device was unplugged meanwhile, since that can make any step fail in any way.
    fn gone_or(&self, error: Error) -> Error {
        if self.device.is_present() {
            return error;
        }
        Error::because(
            ErrorKind::Gone,
            format!(
                "the device `{}` was unplugged while the driver `{}` was being attached",
                self.device.name, self.driver.name
            ),
            error,
        )
    }
}

impl<'a, L: Loader> Probed<'a, L> {
    /// Loads the driver's programs.
    ///
    /// # Errors
    /// The loader or the kernel's verifier refused them.
    pub fn load(self) -> Result<Loaded<'a, L>> {
        let Probed(plan) = self;
        let object = plan
            .loader
            .load(plan.driver, plan.generation, plan.device, plan.steps)
            .map_err(|error| plan.gone_or(error.during(Step::Load)))?;
        Ok(Loaded { plan, object })
    }
}

impl<'a, L: Loader> Loaded<'a, L> {
    /// Attaches the driver's programs to the device. A descriptor hook makes the kernel probe the device again at once.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn attach(self) -> Result<Attached<'a, L>> {
        let Loaded { plan, object } = self;
        // Checks that the links can be pinned later, before the device changes.
        pins::prepare(plan.system, &plan.device.name).map_err(|error| error.during(Step::Pin))?;
        let links = object.attach(plan.device.name.id(), plan.steps.first()).map_err(|error| {
            pins::discard(plan.system, &plan.device.name);
            plan.gone_or(error.during(Step::Attach))
        })?;
        let waits = plan.steps == Steps::Two;
        Ok(Attached { plan, object, links, waits })
    }
}

impl<'a, L: Loader> Attached<'a, L> {
    /// How long to wait until the device is ready, and until a concurrent reprobe has finished.
    const PATIENCE: Duration = Duration::from_millis(2500);

    /// Longest pause between two checks, and so the longest unnecessary wait for a device that is ready.
    const MAX_PAUSE: Duration = Duration::from_millis(80);

    /// Checks that the kernel ran the descriptor hook, that the hook succeeded, and that the device is ready to use.
    ///
    /// The current descriptor does not prove this, because the kernel driver may have changed it again.
    ///
    /// If another reprobe is already due, the kernel skips this one and reports success (`hid_bpf_reconnect()`,
    /// drivers/hid/bpf/hid_bpf_dispatch.c). The other reprobe may run the hook too. If it began before the hook was
    /// attached, the driver is attached again.
    ///
    /// # Errors
    /// The descriptor hook failed. The kernel refused the hooks that wait for a kernel driver. Or within 2.5 s the
    /// kernel did not run the descriptor hook, or bound no kernel driver to the device with its fixed descriptor. A
    /// device that still has no input device by then only causes a warning.
    pub fn verify(mut self) -> Result<Verified<'a, L>> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(10);
        let last = loop {
            let look = self.look();
            let is_over = started.elapsed() > Attached::<L>::PATIENCE || !self.plan.device.is_present();
            let is_bound = matches!(look, Ok(_) | Err(Unready::WithoutNodes(_))) && (is_over || self.is_connected());
            if self.waits && is_bound {
                match self.attach_rest() {
                    Ok(rest) => self.links.extend(rest),
                    Err(error) => break error.during(Step::Attach),
                }
                self.waits = false;
            }
            let unready = match look {
                Ok(fixup) => {
                    let Attached { plan, links, .. } = self;
                    return Ok(Verified { plan, links, fixup });
                }
                Err(unready) => unready,
            };
            match unready {
                Unready::ForGood(error) => break error,
                Unready::Skipped(error) | Unready::NotYet(error) if is_over => break error,
                Unready::WithoutNodes(fixup) if is_over => {
                    let (driver, device) = (&self.plan.driver.name, &self.plan.device.name);
                    let limit = Attached::<L>::PATIENCE.as_secs_f32();
                    tracing::warn!(
                        "the driver `{driver}` has fixed the device `{device}`, which has no input device after {limit} s"
                    );
                    let Attached { plan, links, .. } = self;
                    return Ok(Verified { plan, links, fixup });
                }
                Unready::Skipped(error) => {
                    tracing::info!("{error}; it is attached again in {} ms", pause.as_millis());
                    std::thread::sleep(pause);
                    // By then the other reprobe may have run the hook.
                    if matches!(self.look(), Err(Unready::Skipped(_))) {
                        self.links.clear();
                        match self.object.attach(self.plan.device.name.id(), self.plan.steps.first()) {
                            Ok(links) => self.links = links,
                            Err(error) => break error,
                        }
                        self.waits = self.plan.steps == Steps::Two;
                    }
                }
                Unready::NotYet(_) | Unready::WithoutNodes(_) => std::thread::sleep(pause),
            }
            pause = (pause * 2).min(Attached::<L>::MAX_PAUSE);
        };
        self.links.clear();
        pins::discard(self.plan.system, &self.plan.device.name);
        Err(self.plan.gone_or(last.during(Step::Verify)))
    }

    /// Returns whether the kernel has made a node for the device, which it does after it has parsed the reports
    /// (`hid_connect()`, drivers/hid/hid-core.c).
    ///
    /// sysfs shows the kernel driver and the current descriptor earlier. An event hook that is attached in between gets
    /// no room for reports, and the kernel crashes at the first one.
    fn is_connected(&self) -> bool {
        ["input", "hidraw"].iter().any(|node| self.plan.device.syspath.join(node).is_dir())
    }

    /// Attaches the hooks that wait for a kernel driver.
    fn attach_rest(&self) -> Result<Vec<AttachedLink>> {
        let Plan { driver, device, .. } = &self.plan;
        if self.plan.hooks().any(|hook| hook == Hook::DeviceEvent) {
            let mut now = (*device).clone();
            now.refresh()?;
            // Waiting does not help, so the error must not be `ErrorKind::NotReady`.
            check_ready(&now, &format!("the driver `{}`", driver.name))
                .map_err(|error| error.of_kind(ErrorKind::NotFixed))?;
        }
        self.object.attach(device.name.id(), Part::Rest)
    }

    fn not_fixed(&self, why: &str) -> Error {
        let Plan { driver, device, .. } = &self.plan;
        Error::new(
            ErrorKind::NotFixed,
            format!(
                "the driver `{}` was attached to the device `{}`, which is not fixed: {why}",
                driver.name, device.name
            ),
        )
        .with_hint("the driver was detached again; unplug the device and plug it in, then run `hidbpf status`")
    }

    fn look(&self) -> std::result::Result<Fixup, Unready> {
        let Plan { device, loader, .. } = self.plan;
        if !self.plan.hooks().any(|hook| hook == Hook::RdescFixup) {
            return Ok(Fixup { change: DescriptorEffect::NotWanted, fixed_size: None });
        }
        let skipped = |why: &str| Err(Unready::Skipped(self.not_fixed(why).of_kind(ErrorKind::Skipped)));
        let not_yet = |why: &str| Err(Unready::NotYet(self.not_fixed(why)));
        let for_good = |why: &str| Err(Unready::ForGood(self.not_fixed(why)));
        let mut now = device.clone();
        now.refresh().map_err(Unready::ForGood)?;
        let is_other = now.current != device.current;
        let original = device.original();
        let fixed_size = match self.object.fixup_record().map_err(Unready::ForGood)? {
            Some(FixupRecord { ran: 0, .. }) => {
                return skipped("the kernel did not run its descriptor hook");
            }
            Some(FixupRecord { result: 0, .. }) => original.map(<[u8]>::len),
            Some(FixupRecord { result, .. }) => match usize::try_from(result) {
                // The kernel uses the original descriptor then (`call_hid_bpf_rdesc_fixup()`,
                // drivers/hid/bpf/hid_bpf_dispatch.c).
                Ok(size) if size > MAX_DESCRIPTOR => {
                    return for_good(&format!(
                        "its descriptor hook returned {size} bytes, and a descriptor has {MAX_DESCRIPTOR} at most"
                    ));
                }
                Ok(size) => Some(size),
                Err(_) => {
                    let error = std::io::Error::from_raw_os_error(-result);
                    return for_good(&format!("its descriptor hook failed: {error}"));
                }
            },
            // Foreign objects have no record. For them only a changed descriptor shows that the hook ran. But they
            // also have hooks that leave the descriptor of an interface unchanged.
            None if is_other || self.plan.driver.origin.is_foreign() => None,
            None => return skipped("its descriptor is the same as before"),
        };
        if now.driver.is_none() {
            return not_yet("no kernel driver took it with its fixed descriptor");
        }
        if now.current.is_empty() {
            return not_yet("the kernel has not parsed its fixed descriptor");
        }
        let is_as_fixed = now.is_taken_as_it_is();
        let is_resized = || original.zip(fixed_size).is_some_and(|(original, size)| original.len() != size);
        // A kernel driver that replaces every descriptor yields the same current descriptor before and after. So
        // compare the fixed descriptor that the kernel keeps.
        let is_kept = || {
            let kept = (!is_as_fixed)
                .then(|| loader.descriptor(device.name.id(), StoredDescriptor::Fixed).ok().flatten())
                .flatten();
            original.zip(kept.as_deref()).is_some_and(|(original, fixed)| original != fixed)
        };
        let change =
            if is_other || is_resized() || is_kept() { DescriptorEffect::Fixed } else { DescriptorEffect::Unchanged };
        let fixup = Fixup { change, fixed_size: fixed_size.filter(|_| !is_as_fixed) };
        // Some kernel drivers create the nodes after their probe, from a work queue.
        let expects_nodes = device.has_input || device.driver.is_none();
        if change == DescriptorEffect::Fixed && expects_nodes && now.is_for_input() && !now.has_nodes() {
            return Err(Unready::WithoutNodes(fixup));
        }
        Ok(fixup)
    }
}

/// Why a device is not ready after a driver was attached to it.
enum Unready {
    /// The kernel skipped the reprobe.
    Skipped(Error),
    /// The missing condition may still be met.
    NotYet(Error),
    /// The device is fixed but has no input device, and may never get one.
    WithoutNodes(Fixup),
    /// Waiting does not help.
    ForGood(Error),
}

impl<'a, L: Loader> Verified<'a, L> {
    /// Runs the driver's setup, if it has one.
    ///
    /// It runs after the kernel has parsed the fixed descriptor, because the kernel lets only reports pass that this
    /// descriptor declares. It runs before the device is reported as ready.
    ///
    /// # Errors
    /// The device refused a request or did not answer in time. The driver is detached again.
    pub fn set_up(self) -> Result<Ready<'a, L>> {
        let Plan { system, device, driver, .. } = &self.plan;
        let Some(setup) = self.links.iter().find(|link| link.name == SETUP_PROGRAM) else { return Ok(Ready(self)) };
        let original_size = device.original_or_current().len();
        match setup::run(system, setup.link.as_fd(), &driver.name, &device.name, original_size) {
            Ok(()) => Ok(Ready(self)),
            Err(error) => {
                pins::discard(system, &device.name);
                let Verified { plan, links, .. } = self;
                // When a descriptor hook is removed, the kernel probes the device again, up to Linux 6.10 from a work
                // queue.
                let probes = plan.hooks().any(|hook| hook == Hook::RdescFixup);
                let uevents = probes.then(Uevents::listen).transpose()?;
                drop(links);
                if let Some(uevents) = uevents {
                    let (system, path) = (plan.system, &plan.device.syspath);
                    match plan.device.driver.is_some() {
                        true => uevents.wait_for_bind(system, path, RESTORE_LIMIT)?,
                        false => uevents.wait_for_unbind(system, path, RESTORE_LIMIT)?,
                    };
                }
                Err(plan.gone_or(error.during(Step::SetUp)))
            }
        }
    }
}

impl<L: Loader> Ready<'_, L> {
    /// Pins the links, so that they outlive this process. `_written` shows that the state file is there.
    ///
    /// # Errors
    /// bpffs refused the pins. The driver is detached again.
    pub fn pin(self, _written: &StateWritten) -> Result<(Fixup, Pinned)> {
        let Ready(Verified { plan, links, fixup }) = &self;
        let Plan { system, device, driver, .. } = plan;
        let pinned = pins::pin(system, &device.name, &driver.name, links, &driver.manifest.maps)
            .map_err(|error| error.during(Step::Pin))?;
        // If the device was unplugged before the pins existed, udev's cleanup has already run or will never run.
        if !device.is_present() {
            pins::unpin_all(system, &device.name)?;
            return Err(plan.gone_or(Error::new(ErrorKind::Gone, "its pins were removed")));
        }
        Ok((*fixup, pinned))
    }
}
