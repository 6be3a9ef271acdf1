//! Drivers tell their device again what they want of it.

use std::os::fd::AsFd;

use hid_bpf_src::SETUP_PROGRAM;

use super::{Manager, SetUpReport};
use crate::error::{ErrorKind, Result};
use crate::ids::HidName;
use crate::loader::Loader;
use crate::pins;
use crate::setup;

impl<L: Loader> Manager<'_, L> {
    /// Has the drivers on a device tell it again what they want of it, which it may have forgotten while the machine slept or when another
    /// kernel driver was bound to it. `event` is the number of udev's event of a binding: one that attaching a driver has brought about
    /// is passed over. A driver that the device refuses stays attached, and the failure is noted in the device's state.
    ///
    /// # Errors
    /// The device's lock, state or pins are out of reach, or the device did not do what it was told by one of the drivers.
    pub fn set_up_again(&self, name: &HidName, event: Option<u64>) -> Result<Vec<SetUpReport>> {
        let mut held = match self.hold(name) {
            Ok(held) => held,
            Err(error) if matches!(error.kind(), ErrorKind::NoDevice | ErrorKind::Gone) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let rdesc_size = held.device.original_or_current().len();
        let talks = |pinned: &&pins::Pinned| pinned.links.iter().any(|link| link == SETUP_PROGRAM);
        let (mut done, mut failed, mut has_news) = (Vec::new(), None, false);
        for pinned in held.pinned.iter().filter(talks) {
            let known = held.state.drivers.iter_mut().find(|known| known.driver == pinned.driver);
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
                    held.state.resolve(std::slice::from_ref(&pinned.driver));
                    done.push(SetUpReport { device: name.clone(), driver: pinned.driver.clone() });
                }
                // Unplugged meanwhile: its removal is udev's.
                Err(_) if !held.device.is_present() => return Ok(done),
                Err(error) => {
                    held.state.fail(vec![pinned.driver.clone()], &error);
                    failed = Some(error);
                }
            }
        }
        if failed.is_some() || !done.is_empty() {
            held.state.write(self.system)?;
        }
        if has_news {
            held.device.trigger(self.system, true);
        }
        failed.map_or(Ok(done), Err)
    }
}
