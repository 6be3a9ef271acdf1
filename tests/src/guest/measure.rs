//! The counts of `cargo xtask bench`: instructions, system calls and memory of attaching drivers with one program, in a freshly booted machine.
//!
//! QEMU counts one nanosecond an instruction. The processor time of a process is therefore the number of instructions that it, and the
//! kernel on its behalf, have executed. Each attachment uses its own device, and only the processes that udev would start are counted.

mod foreign;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use libbpf_rs::query::ProgInfoIter;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use super::bench::{Bench, HIDBPF, Plugged, helper, helper_through_libbpf, installed};
use super::cases::configuration::Files;
use super::cases::recordings::{self, Recorded};
use super::port::Port;
use super::shim;
use super::udev_hid_bpf::UdevHidBpf;
use crate::process::{Run, Started, command};
use crate::protocol::{Attacher, Generation, Message};
use crate::trace::Traced;
use crate::uhid::Spec;

/// The driver whose attachments are followed from the first of the boot on, and the size of its device's descriptor.
const MAIN: (&str, usize) = ("rapoo-m50-plus-silent", 186);

/// A driver that names its devices by their descriptors.
const NAMED_BY_DESCRIPTOR: &str = "frtec-raptor-mach-2";

/// A valid descriptor that the driver does not match: a joystick with one axis of 8 bits (HID 1.11, section 6.2.2).
const OTHER_JOYSTICK: [u8; 19] =
    [0x05, 0x01, 0x09, 0x04, 0xa1, 0x01, 0x15, 0x00, 0x25, 0x01, 0x75, 0x08, 0x95, 0x01, 0x09, 0x30, 0x81, 0x02, 0xc0];

/// An item End Collection. The kernel refuses a descriptor with one too many (`close_collection()`, drivers/hid/hid-core.c).
const END_COLLECTION: u8 = 0xc0;

/// The number of attachments for the share of user space. The kernel finds that share by checking at each tick what runs.
const REPEATED: u32 = 24;

/// The number of devices that are plugged in at once.
const MANY: usize = 32;

/// `BPF_PROG_LOAD`, of `enum bpf_cmd` (include/uapi/linux/bpf.h).
const PROG_LOAD: u64 = 5;

/// Counts, and sends the figures.
///
/// # Errors
/// Attaching fails.
pub fn run(attacher: Attacher, bench: &mut Bench, port: &mut Port) -> Result<()> {
    let spec = recordings::device(MAIN.0, MAIN.1)?;
    let other = (attacher == Attacher::UdevHidBpf).then(|| UdevHidBpf::install(bench)).transpose()?;
    let mut meter = Meter { attacher, other, bench, port };
    let first = meter.count(MAIN.0, &spec)?;
    meter.figure("first", "instructions", first.attach.total)?;
    // The second fills the caches that the first did not.
    meter.count(MAIN.0, &spec)?;
    let (mut attach, mut remove) = (Spent::default(), Spent::default());
    for _ in 0..REPEATED {
        let cost = meter.count(MAIN.0, &spec)?;
        (attach, remove) = (attach + cost.attach, remove + cost.remove);
    }
    meter.figure("warm", "instructions", attach.total / u64::from(REPEATED))?;
    meter.figure("warm", "user", attach.user / u64::from(REPEATED))?;
    meter.figure("removed", "instructions", remove.total / u64::from(REPEATED))?;
    meter.foreign(&spec)?;
    meter.commands(&spec)?;
    meter.reading()?;
    meter.trace(&spec)?;
    meter.many(&spec)?;
    meter.drivers()
}

/// Processor time in nanoseconds, which equals instructions.
#[derive(Clone, Copy, Debug, Default)]
struct Spent {
    total: u64,
    user: u64,
}

impl std::ops::Add for Spent {
    type Output = Spent;

    fn add(self, other: Spent) -> Spent {
        Spent { total: self.total + other.total, user: self.user + other.user }
    }
}

impl Spent {
    /// Returns the time of all children that have ended and were waited for.
    fn by_children() -> Result<Spent> {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("failed to read the processor time of children")?;
        let nanos = |time: TimeVal| u64::try_from(time.num_nanoseconds()).context("a negative time");
        let (user, system) = (nanos(usage.user_time())?, nanos(usage.system_time())?);
        Ok(Spent { total: user + system, user })
    }

    fn since(self, before: Spent) -> Spent {
        Spent { total: self.total - before.total, user: self.user - before.user }
    }
}

struct Cost {
    attach: Spent,
    remove: Spent,
}

struct Meter<'a> {
    attacher: Attacher,
    /// The program to measure instead of hidbpf.
    other: Option<UdevHidBpf>,
    bench: &'a mut Bench,
    port: &'a mut Port,
}

impl Meter<'_> {
    fn figure(&mut self, name: &str, quantity: &str, value: u64) -> Result<()> {
        self.port.send(&Message::Figure { name: name.to_owned(), quantity: quantity.to_owned(), value })
    }

    /// Attaches and removes once, as udev would, and counts the instructions of both.
    fn count(&mut self, driver: &str, spec: &Spec) -> Result<Cost> {
        let device = self.bench.plug_unseen(spec)?;
        let attach = spent_by(&mut self.add(&[], driver, &device)?)?;
        self.expect_attached(driver, &device)?;
        let path = device.path();
        device.device.unplug().context("failed to unplug a virtual device")?;
        let remove = spent_by(&mut self.remove(&path))?;
        self.bench.release()?;
        Ok(Cost { attach, remove })
    }

    fn expect_attached(&self, driver: &str, device: &Plugged) -> Result<()> {
        let found = match &self.other {
            Some(other) => !other.pinned(device)?.is_empty(),
            None => device.pinned_drivers()? == [driver],
        };
        ensure!(found, "`{driver}` was not attached");
        if self.other.is_none() {
            let state = fs::read_to_string(device.state()).context("failed to read the device's state")?;
            let state: serde_json::Value =
                serde_json::from_str(&state).context("failed to parse the device's state")?;
            let loader = &state["drivers"][0]["loaded"]["way"];
            let expected = if self.attacher == Attacher::Fast { "fast" } else { "libbpf" };
            ensure!(loader == expected, "another loader attached `{driver}`: {}", state["drivers"][0]["loaded"]);
        }
        Ok(())
    }

    /// Returns the command that udev's rules start for a new device, in udev's environment, after the words of [`shim`], if any.
    fn add(&self, words: &[&str], driver: &str, device: &Plugged) -> Result<Command> {
        Ok(match (&self.other, self.attacher) {
            (Some(other), _) => {
                let mut command = other.program(words, &["add", &device.path()]);
                command.envs(other.properties(device)?);
                command
            }
            (None, Attacher::Fast) => helper(words, "add", driver, &device.path()),
            (None, _) => helper_through_libbpf(words, "add", driver, &device.path()),
        })
    }

    /// Returns the command that udev's rules start for a removed device.
    fn remove(&self, path: &str) -> Command {
        match (&self.other, self.attacher) {
            (Some(other), _) => other.program(&[], &["remove", path]),
            (None, Attacher::Fast) => helper(&[], "remove", MAIN.0, path),
            (None, _) => helper_through_libbpf(&[], "remove", MAIN.0, path),
        }
    }

    /// Counts the commands that users run most: attaching a driver by hand, and looking for what is wrong.
    fn commands(&mut self, spec: &Spec) -> Result<()> {
        if self.other.is_some() {
            return Ok(());
        }
        let mut spent = BTreeMap::new();
        // The first round fills the caches.
        for _ in 0..2 {
            let device = self.bench.plug_unseen(spec)?;
            for (name, words) in [("load", &["load", MAIN.0, &device.name()][..]), ("doctor", &["doctor"])] {
                let mut command = command(HIDBPF);
                command.args(words);
                if self.attacher != Attacher::Fast {
                    command.env(hidbpf::any_loader::CHOICE, "libbpf");
                }
                let before = Spent::by_children()?;
                let run = Run::of(&mut command)?;
                spent.insert(name, Spent::by_children()?.since(before).total);
                ensure!(run.status.code().is_some_and(|code| code <= 1), "{run:?}");
            }
            self.expect_attached(MAIN.0, &device)?;
            self.unplug(device)?;
            self.bench.release()?;
        }
        spent.into_iter().try_for_each(|(name, instructions)| self.figure(name, "instructions", instructions))
    }

    /// Counts reading an original descriptor from the kernel. The helper leaves two devices alone. For the one whose
    /// descriptor the kernel refuses, it has to read the descriptor first, because sysfs does not have it.
    fn reading(&mut self) -> Result<()> {
        if self.other.is_some() {
            return Ok(());
        }
        let mut valid = recordings::any_device(NAMED_BY_DESCRIPTOR)?;
        valid.descriptor = OTHER_JOYSTICK.to_vec();
        let mut refused = valid.clone();
        refused.descriptor.push(END_COLLECTION);
        let mut spent = [0; 2];
        // The first round fills the caches.
        for _ in 0..2 {
            for (spent, spec) in spent.iter_mut().zip([&valid, &refused]) {
                let device = self.bench.plug_unseen(spec)?;
                *spent = spent_by(&mut self.add(&[], NAMED_BY_DESCRIPTOR, &device)?)?.total;
                ensure!(device.pinned_drivers()?.is_empty(), "a driver was attached to a device of another descriptor");
                self.unplug(device)?;
                self.bench.release()?;
            }
        }
        let [without, with] = spent;
        self.figure("reading", "instructions", with.saturating_sub(without))
    }

    /// Attaches under a tracer for bpf() calls and memory, and once more for all system calls.
    fn trace(&mut self, spec: &Spec) -> Result<()> {
        let device = self.bench.plug_unseen(spec)?;
        let mut traced = Traced::new(&mut self.add(&[shim::TRACED], MAIN.0, &device)?)?;
        let mut calls = 0;
        while traced.next_call()?.is_some() {
            calls += 1;
        }
        let (run, peak) = traced.finish()?;
        run.expect(0)?;
        self.unplug(device)?;
        self.bench.release()?;
        self.figure("warm", "bpf-calls", calls)?;
        self.figure("warm", "peak-kib", peak)?;
        let device = self.bench.plug_unseen(spec)?;
        let traced = Traced::new(&mut self.add(&[shim::TRACED], MAIN.0, &device)?)?;
        let (run, calls) = traced.count_calls()?;
        run.expect(0)?;
        self.unplug(device)?;
        self.bench.release()?;
        self.figure("warm", "system-calls", calls)
    }

    /// Attaches to many devices at once.
    fn many(&mut self, spec: &Spec) -> Result<()> {
        let devices: Vec<Plugged> = (0..MANY).map(|_| self.bench.plug_unseen(spec)).collect::<Result<_>>()?;
        let mut commands: Vec<Command> =
            devices.iter().map(|device| self.add(&[], MAIN.0, device)).collect::<Result<_>>()?;
        let before = Spent::by_children()?;
        let started = Instant::now();
        let helpers: Vec<Started> = commands.iter_mut().map(Started::new).collect::<Result<_>>()?;
        for helper in helpers {
            helper.finish()?.expect(0)?;
        }
        let took = u64::try_from(started.elapsed().as_nanos()).context("a long time")?;
        let spent = Spent::by_children()?.since(before);
        devices.iter().try_for_each(|device| self.expect_attached(MAIN.0, device))?;
        for device in devices {
            self.unplug(device)?;
        }
        self.bench.release()?;
        self.figure("at-once", "instructions", spent.total / MANY as u64)?;
        self.figure("at-once", "until-done", took)
    }

    /// Attaches each driver that this program has, and counts the cost of verifying its programs and of running them for an event.
    fn drivers(&mut self) -> Result<()> {
        fs::write("/proc/sys/kernel/bpf_stats_enabled", "1")
            .context("failed to have the kernel count runs of programs")?;
        for &Recorded { driver, newer_only, .. } in recordings::DRIVERS {
            if newer_only && self.bench.generation != Generation::StructOps {
                continue;
            }
            let cost = self.cost_of(driver).with_context(|| format!("the driver `{driver}`"))?;
            // A driver that udev's events leave alone has been attached nowhere.
            if cost.attach > 0 {
                self.figure(driver, "attach", cost.attach)?;
                self.figure(driver, "load", cost.load)?;
            }
            let foreign = if self.attacher == Attacher::Fast { self.foreign_of(driver)? } else { None };
            if let Some(attach) = foreign {
                self.figure(driver, "foreign", attach)?;
            }
            if cost.runs > 0 {
                self.figure(driver, "runs", cost.runs)?;
                self.figure(driver, "instructions-in-runs", cost.time)?;
            }
        }
        Ok(())
    }

    fn cost_of(&mut self, driver: &str) -> Result<DriverCost> {
        let files = Files::new()?;
        if self.other.is_none() && !installed(driver)?.manifest.is_automatic() {
            // The machine's owner has to enable a preference driver.
            files.write("hidbpf.toml.d/50-preference.toml", &format!("[driver.{driver}]\nenabled = true\n"))?;
        }
        let mut cost = DriverCost::default();
        recordings::for_each(driver, |session| self.driver(driver, &session, &mut cost))?;
        Ok(cost)
    }

    fn driver(&mut self, driver: &str, session: &recordings::Session<'_>, cost: &mut DriverCost) -> Result<()> {
        // Makes udevd load the module of the device's kernel driver.
        let device = self.bench.plug_any(&session.spec()?)?;
        self.bench.unplug(device)?;
        let device = session.plug_unseen(self.bench)?;
        let before: BTreeSet<u32> = ProgInfoIter::default().map(|program| program.id).collect();
        let attach = spent_by(&mut self.add(&[], driver, &device)?)?.total;
        let ours = || ProgInfoIter::default().filter(|program| !before.contains(&program.id));
        let is_attached = ours().next().is_some();
        if is_attached {
            session.send_all(&device)?;
            for program in ours() {
                let name = program.name.to_string_lossy().into_owned();
                // The cost of attaching includes the programs that run during it.
                if !["fixup", "rdesc", "probe", "setup"].iter().any(|once| name.contains(once)) {
                    (cost.runs, cost.time) = (cost.runs + program.run_cnt, cost.time + program.run_time_ns);
                }
            }
        }
        self.unplug(device)?;
        self.bench.release()?;
        if !is_attached {
            return Ok(());
        }
        let device = session.plug_unseen(self.bench)?;
        let mut traced = Traced::new(&mut self.add(&[shim::TRACED], driver, &device)?)?;
        let mut load = 0;
        while let Some(call) = traced.next_call()? {
            if call.argument == PROG_LOAD {
                load += u64::try_from(traced.spent_in_call()?.as_nanos()).context("a long time")?;
            }
        }
        // A setup runs in its own thread, which is not followed, so it fails. By then everything is loaded.
        traced.finish()?;
        (cost.attach, cost.load) = (attach.max(cost.attach), load.max(cost.load));
        self.unplug(device)?;
        self.bench.release()
    }

    fn unplug(&mut self, device: Plugged) -> Result<()> {
        let path = device.path();
        device.device.unplug().context("failed to unplug a virtual device")?;
        Run::of(&mut self.remove(&path))?.expect(0).map(drop)
    }
}

/// The costs of a driver on the most expensive of its recorded devices: attaching, the kernel's share for verifying and compiling the
/// programs, and the number and total time of the programs' runs for events.
#[derive(Debug, Default)]
struct DriverCost {
    attach: u64,
    load: u64,
    runs: u64,
    time: u64,
}

/// Returns the processor time of one process.
fn spent_by(command: &mut Command) -> Result<Spent> {
    let before = Spent::by_children()?;
    Run::of(command)?.expect(0)?;
    Ok(Spent::by_children()?.since(before))
}
