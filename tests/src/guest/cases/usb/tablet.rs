//! A tablet with three interfaces, each with a descriptor that one driver fixes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::guest::bench::{Bench, PINS, STATE, entries};
use crate::guest::cases::recordings::{self, Session};
use crate::guest::usb::{UsbInterface, UsbPlugged};
use crate::usb::{self, Behaviour, Spec};

/// Its driver.
pub const DRIVER: &str = "huion-inspiroy-2-s";
/// The interfaces for the pad, for the pen and for the reports of vendor mode.
pub const INTERFACES: [u8; 3] = [0, 1, 2];

/// A tablet that is plugged in.
pub struct Tablet {
    /// The device.
    pub plugged: UsbPlugged,
    /// The recordings of each interface.
    sessions: Vec<(u8, Session<'static>)>,
}

/// Returns the tablet's descriptors.
///
/// # Errors
/// A recording can't be read.
pub fn spec() -> Result<Spec> {
    let mut specs = sessions()?.iter().map(|(_, session)| session.usb_spec()).collect::<Result<Vec<_>>>()?;
    let interfaces = specs.iter().flat_map(|spec| spec.interfaces.clone()).collect();
    let spec = specs.pop().with_context(|| format!("`{DRIVER}` has no recordings"))?;
    Ok(Spec { interfaces, ..spec })
}

/// Returns them in the order of the interfaces.
fn sessions() -> Result<Vec<(u8, Session<'static>)>> {
    let mut sessions = Vec::new();
    for session in recordings::named(DRIVER, "firmware-mode")? {
        let interface = session.usb_spec()?.interfaces.first().context("a recording without an interface")?.number;
        sessions.push((interface, session));
    }
    sessions.sort_by_key(|(interface, _)| *interface);
    let numbers: Vec<u8> = sessions.iter().map(|(interface, _)| *interface).collect();
    ensure!(numbers == INTERFACES, "the recordings of `{DRIVER}` are of the interfaces {numbers:?}");
    Ok(sessions)
}

impl Tablet {
    /// Plugs it in.
    ///
    /// # Errors
    /// The kernel or udevd doesn't take it.
    pub fn plug(bench: &mut Bench) -> Result<Tablet> {
        Tablet::plug_with(bench, &spec()?, usb::usual())
    }

    /// Plugs in a tablet with its own behaviour.
    ///
    /// # Errors
    /// The kernel or udevd does not accept it.
    pub fn plug_with(bench: &mut Bench, spec: &Spec, behaviour: Box<Behaviour>) -> Result<Tablet> {
        Ok(Tablet { plugged: bench.plug_usb_with(spec, &[], behaviour)?, sessions: sessions()? })
    }

    /// Returns the names of its HID devices.
    pub fn names(&self) -> Vec<String> {
        self.plugged.interfaces.iter().map(|interface| interface.name()).collect()
    }

    /// Checks that all interfaces are fixed, that hidbpf reports that, and that it keeps nothing of any other device.
    ///
    /// # Errors
    /// One is not, or there is more.
    pub fn expect_fixed(&mut self, bench: &Bench) -> Result<()> {
        self.expect_fixed_but(&[], bench)
    }

    /// Checks that all interfaces are fixed except those of these numbers, which have no HID device.
    ///
    /// # Errors
    /// One is not, or there is more.
    pub fn expect_fixed_but(&mut self, missing: &[u8], bench: &Bench) -> Result<()> {
        self.plugged.look()?;
        let present: Vec<u8> = self.plugged.interfaces.iter().map(|interface| interface.device.number()).collect();
        let expected: Vec<u8> = INTERFACES.into_iter().filter(|number| !missing.contains(number)).collect();
        ensure!(present == expected, "expected HID devices of the interfaces {expected:?}, found {present:?}");
        let status = bench.hidbpf(&["status"])?.expect(0)?;
        ensure!(!status.stdout.contains("failed"), "something failed\n{status}");
        for (number, session) in self.sessions.iter().filter(|(number, _)| !missing.contains(number)) {
            let interface = self.plugged.interface(*number)?;
            let pinned = interface.pinned_drivers()?;
            ensure!(pinned == [DRIVER], "interface {number} has {pinned:?}");
            session.expect_fixed(interface).with_context(|| format!("interface {number}"))?;
        }
        let of_all = |path: fn(&UsbInterface) -> PathBuf| self.plugged.interfaces.iter().map(path).collect();
        let kept: BTreeSet<PathBuf> = entries(Path::new(PINS))?.into_iter().chain(entries(Path::new(STATE))?).collect();
        let expected: BTreeSet<PathBuf> = [of_all(UsbInterface::pins), of_all(UsbInterface::state)]
            .into_iter()
            .flat_map(|paths: Vec<_>| paths)
            .collect();
        ensure!(kept == expected, "hidbpf keeps {kept:?}, expected {expected:?}");
        Ok(())
    }
}
