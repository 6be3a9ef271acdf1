//! Runs the setup of attached drivers again.

use std::os::fd::AsFd;

use hidbpf_prelink::driver::SETUP_PROGRAM;

use super::{Manager, SetUpReport};
use crate::attach::pins;
use crate::attach::setup;
use crate::error::{ErrorKind, Result};
use crate::ids::HidName;
use crate::load::loader::Loader;

impl<L: Loader> Manager<'_, L> {
    /// Runs the setup of the drivers on a device again.
    ///
    /// The device may have lost the effect of the setup while the machine slept, or when another kernel driver was
    /// bound. `event` is the sequence number of udev's bind event. An event that attaching a driver caused is ignored.
    /// A driver whose setup fails stays attached, and the device's state records the failure.
    ///
    /// # Errors
    /// The device's lock, state or pins are not accessible, or the setup of a driver failed.
    pub fn set_up_again(&self, name: &HidName, event: Option<u64>) -> Result<Vec<SetUpReport>> {
        let mut locked = match self.lock_device(name) {
            Ok(locked) => locked,
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let rdesc_size = locked.device.original_or_current().len();
        let talks = |pinned: &&pins::Pinned| pinned.links.iter().any(|link| link == SETUP_PROGRAM);
        let (mut done, mut failed, mut has_news) = (Vec::new(), None, false);
        for pinned in locked.pinned.iter().filter(talks) {
            let known = locked.state.drivers.iter_mut().find(|known| known.driver == pinned.driver);
            let is_news = known.as_ref().is_none_or(|known| event > known.set_up);
            if event.is_some() && !is_news {
                continue;
            }
            let program = pins::open(self.system, pinned, SETUP_PROGRAM)?;
            let mut result = setup::run_patiently(self.system, program.as_fd(), &pinned.driver, name, rdesc_size);
            if let Some(known) = known {
                known.set_up = Some(self.system.uevent_seqnum().unwrap_or(u64::MAX));
                if result.is_ok() {
                    let before = known.exports.clone();
                    result = pins::read_exports(self.system, pinned, &mut known.exports);
                    has_news |= before != known.exports;
                }
            }
            match result {
                Ok(()) => {
                    locked.state.resolve(std::slice::from_ref(&pinned.driver));
                    done.push(SetUpReport { device: name.clone(), driver: pinned.driver.clone() });
                }
                // The device was unplugged meanwhile: udev removes the rest.
                Err(_) if !locked.device.is_present() => return Ok(done),
                Err(error) => {
                    locked.state.fail(vec![pinned.driver.clone()], &error);
                    failed = Some(error);
                }
            }
        }
        if failed.is_some() || !done.is_empty() {
            locked.write_state()?;
        }
        if has_news {
            locked.device.trigger(self.system, true);
        }
        failed.map_or(Ok(done), Err)
    }
}
