//! The loader of the commands: the fast loader, with the libbpf loader as fallback.
//!
//! The fast loader costs a tenth of what libbpf costs, because it reads no types. It only loads prelinked objects, and
//! only on kernels whose numbers it can determine. Otherwise it fails with [`ErrorKind::NotFast`] and leaves the device
//! unchanged.

use std::cell::RefCell;
use std::rc::Rc;

use hidbpf_core::load::fast::{Fast, FastLoaded};
use hidbpf_core::load::id_cache;
use hidbpf_prelink::driver::FixupRecord;

use crate::device::Device;
use crate::error::{Error, ErrorKind, Result};
use crate::ids::HidId;
use crate::kernel::Generation;
use crate::loader::{AttachedLink, Libbpf, Loaded, LoadedObject, Loader, LoaderKind, Part, Steps, StoredDescriptor};
use crate::object::ObjectFile;
use crate::system::System;
use crate::text::Printable;

/// The environment variable that chooses a loader by hand: `libbpf`, to find out whether a fault is the fast loader's.
pub const CHOICE: &str = "HIDBPF_LOADER";

/// The fast loader, with the libbpf loader as fallback.
pub struct AnyLoader {
    system: System,
    fast: Fast,
    libbpf: Fallback,
    /// Whether [`CHOICE`] says `libbpf`.
    is_skipped: bool,
}

impl AnyLoader {
    fn fast(&self) -> Result<&Fast> {
        match self.is_skipped {
            true => Err(Error::new(ErrorKind::NotFast, format!("{CHOICE} is `libbpf`"))),
            false => Ok(&self.fast),
        }
    }
}

/// The reason why libbpf was needed, if it was.
#[derive(Clone, Debug, Default)]
struct Fallback(Rc<RefCell<Option<String>>>);

impl Fallback {
    /// Retries with libbpf if the fast loader can't handle the object or kernel. Other errors of the fast loader are
    /// final.
    fn or<T>(&self, fast: Result<T>, act: impl FnOnce(&Libbpf) -> Result<T>) -> Result<T> {
        match fast {
            Err(error) if error.kind() == ErrorKind::NotFast => {
                tracing::debug!("through libbpf: {error}");
                let why_not_fast = error.to_string();
                self.0.replace(Some(why_not_fast.clone()));
                act(&Libbpf { why_not_fast })
            }
            done => done,
        }
    }
}

impl From<&System> for AnyLoader {
    fn from(system: &System) -> AnyLoader {
        let fast = Fast::new(system, id_cache::read(system).as_deref());
        let choice = std::env::var_os(CHOICE).unwrap_or_default();
        let is_skipped = choice == "libbpf";
        if !is_skipped && !choice.is_empty() {
            let choice = choice.to_string_lossy();
            tracing::warn!("ignored {CHOICE}=`{}`: expected `libbpf`", Printable(&choice));
        }
        AnyLoader { system: system.clone(), fast, libbpf: Fallback::default(), is_skipped }
    }
}

impl Drop for AnyLoader {
    fn drop(&mut self) {
        id_cache::write(&self.system, &self.fast.cache_update());
    }
}

impl Loader for AnyLoader {
    type Loaded<'a> = AnyLoaded<'a>;

    fn kind(&self) -> LoaderKind {
        self.libbpf.0.borrow().clone().map_or(LoaderKind::Fast, |why| LoaderKind::Libbpf { why })
    }

    fn generation(&self, system: &System) -> Result<Generation> {
        self.libbpf.or(self.fast().and_then(|fast| fast.generation(system)), |libbpf| libbpf.generation(system))
    }

    fn descriptor(&self, device: HidId, stored: StoredDescriptor) -> Result<Option<Vec<u8>>> {
        self.libbpf.or(self.fast().and_then(|fast| fast.descriptor(device, stored)), |libbpf| {
            libbpf.descriptor(device, stored)
        })
    }

    fn probe(&self, driver: &ObjectFile, device: &Device) -> Result<()> {
        self.libbpf.or(self.fast().and_then(|fast| fast.probe(driver, device)), |libbpf| libbpf.probe(driver, device))
    }

    fn load<'a>(
        &self,
        driver: &'a ObjectFile,
        generation: Generation,
        device: &Device,
        steps: Steps,
    ) -> Result<AnyLoaded<'a>> {
        let fast = self.fast().and_then(|fast| fast.load(driver, generation, device, steps));
        let programs = self.libbpf.or(fast.map(Programs::Fast), |libbpf| {
            Ok(Programs::Libbpf(libbpf.load(driver, generation, device, steps)?))
        })?;
        Ok(AnyLoaded {
            programs: RefCell::new(programs),
            reload: (driver, generation, device.clone(), steps),
            fallback: self.libbpf.clone(),
        })
    }
}

/// A driver whose programs one of the two has loaded.
pub struct AnyLoaded<'a> {
    programs: RefCell<Programs<'a>>,
    reload: (&'a ObjectFile, Generation, Device, Steps),
    fallback: Fallback,
}

enum Programs<'a> {
    Fast(FastLoaded<'a>),
    Libbpf(LoadedObject<'a>),
}

impl Loaded for AnyLoaded<'_> {
    fn attach(&self, hid: HidId, part: Part) -> Result<Vec<AttachedLink>> {
        let fast = match &*self.programs.borrow() {
            Programs::Libbpf(loaded) => return loaded.attach(hid, part),
            Programs::Fast(loaded) => loaded.attach(hid, part),
        };
        // Both parts of a driver share its variables, so one loader attaches both.
        if part == Part::Rest {
            return fast.map_err(|error| match error.kind() {
                ErrorKind::NotFast => Error::because(ErrorKind::Attach, "failed to attach the other hooks", error),
                _ => error,
            });
        }
        let (driver, generation, device, steps) = &self.reload;
        self.fallback.or(fast, |libbpf| {
            let loaded = libbpf.load(driver, *generation, device, *steps)?;
            let links = loaded.attach(hid, part)?;
            self.programs.replace(Programs::Libbpf(loaded));
            Ok(links)
        })
    }

    fn fixup_record(&self) -> Result<Option<FixupRecord>> {
        match &*self.programs.borrow() {
            Programs::Fast(loaded) => loaded.fixup_record(),
            Programs::Libbpf(loaded) => loaded.fixup_record(),
        }
    }
}
