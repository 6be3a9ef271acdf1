//! The environment of a case: udevd, virtual devices, the program under test, and the check that nothing is left afterwards.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use hidbpf::descriptor::invalid;
use hidbpf::names::DriverName;
use hidbpf::object::DriverObject;
use hidbpf::system::System;
use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::cases::identity::Compared;
use super::{machine, shim};
use crate::monitor::{Monitor, PATIENCE, Uevent};
use crate::nodes::{self, Hidraw, Node};
use crate::process::{Run, command, poll_readable};
use crate::protocol::Generation;
use crate::uhid::{Answer, Device, Mood, Spec};

/// The program under test, at its place in the package.
pub const HIDBPF: &str = "/usr/bin/hidbpf";

/// The helper, at its place in the package.
pub const HELPER: &str = "/usr/lib/udev/hidbpf-udev";

/// The folder of pinned drivers: a directory for each device.
pub const PINS: &str = "/sys/fs/bpf/hidbpf";

/// The folder of the state files.
pub const STATE: &str = "/run/hidbpf/devices";

/// The folder with hidbpf's marks for devices for which another binding changes nothing.
const SETTLED: &str = "/run/hidbpf/settled";

/// The folders with records of mode switches, and with the answers that udev imports.
const MODE_SWITCHES: &str = "/run/hidbpf/mode-switch";
const ANSWERS: &str = "/run/hidbpf/answers";

/// The folder with a file for each device that has a driver with a setup.
const SET_UP_MARKS: &str = "/run/hidbpf/setup";

const HID_DEVICES: &str = "/sys/bus/hid/devices";
/// The folders of virtual devices: those of uhid, and those of the virtual USB bus.
const VIRTUAL: [&str; 2] = ["/sys/devices/virtual", "/sys/devices/platform/vhci_hcd"];
const UDEVD: &str = "/lib/systemd/systemd-udevd";
const UDEV_RUN: &str = "/run/udev";
const UDEVD_LOG: &str = "/run/udevd.log";

/// The package's entries for udev's hwdb.
const HWDB: &str = "/usr/lib/udev/hwdb.d/81-hidbpf.hwdb";

/// A device that always exists and that no rule uses, for the tests' own events.
const MARKED: &str = "/sys/devices/virtual/mem/null/uevent";

/// A file for each device with additional udev properties, as if another tool's rules had set them on the device or on its hidraw node.
const PROPERTIES: &str = "/run/bench";
const NODE_PROPERTIES: &str = "/run/bench/hidraw";
const PROPERTIES_RULE: &str = "/run/udev/rules.d/70-bench.rules";

/// A running udevd and everything that cases share.
pub struct Bench {
    /// The generation that the kernel must offer.
    pub generation: Generation,
    /// Events whose rules and programs have run.
    pub udev: Monitor,
    /// Events as they leave the kernel.
    pub kernel: Monitor,
    /// How much of the kernel's results agreed with a replay.
    pub compared: Compared,
    /// How devices that are plugged in from now on treat requests.
    pub mood: Mood,
    /// The factor for the repetitions of cases about many devices.
    pub rounds: usize,
    /// `None` if the udevd is the system's own.
    udevd: Option<Child>,
    plugged: u32,
    marks: u32,
    held: bool,
    generic_only: bool,
    log_read: usize,
}

impl Bench {
    /// Starts udevd and waits until it works.
    ///
    /// # Errors
    /// It does not start, or does not answer.
    pub fn start(generation: Generation) -> Result<Bench> {
        fs::create_dir_all(NODE_PROPERTIES).with_context(|| format!("failed to make `{NODE_PROPERTIES}`"))?;
        let rule = |subsystem: &str, folder: &str| {
            let file = format!("\"{folder}/$env{{HID_UNIQ}}\"");
            format!("SUBSYSTEM==\"{subsystem}\", ENV{{HID_UNIQ}}==\"?*\", TEST=={file}, IMPORT{{file}}={file}\n")
        };
        let uniq_of_parent = "SUBSYSTEM==\"hidraw\", IMPORT{parent}=\"HID_UNIQ\"\n";
        let rules = [&rule("hid", PROPERTIES), uniq_of_parent, &rule("hidraw", NODE_PROPERTIES)].concat();
        write(Path::new(PROPERTIES_RULE), rules.as_bytes())?;
        Self::with(generation, Some(start_udevd()?))
    }

    /// Uses the udevd of a running system.
    ///
    /// # Errors
    /// It does not answer.
    pub fn join(generation: Generation) -> Result<Bench> {
        Self::with(generation, None)
    }

    fn with(generation: Generation, udevd: Option<Child>) -> Result<Bench> {
        let (udev, kernel) = (Monitor::of_udevd()?, Monitor::of_kernel()?);
        let mut bench = Bench {
            generation,
            udev,
            kernel,
            compared: Compared::default(),
            mood: Mood::default(),
            rounds: 1,
            udevd,
            plugged: 0,
            marks: 0,
            held: false,
            generic_only: false,
            log_read: 0,
        };
        bench.settle()?;
        Ok(bench)
    }

    /// Plugs in a device and returns when udevd has handled it and all events that follow.
    ///
    /// # Errors
    /// The kernel or udevd does not accept it.
    pub fn plug(&mut self, spec: &Spec) -> Result<Plugged> {
        self.plug_with(spec, &[], BTreeMap::new())
    }

    /// Plugs in a device with additional udev properties that answers requests for feature reports, by their ids.
    ///
    /// # Errors
    /// The kernel or udevd does not accept it.
    pub fn plug_with(
        &mut self,
        spec: &Spec,
        properties: &[(&str, &str)],
        features: BTreeMap<u8, Vec<u8>>,
    ) -> Result<Plugged> {
        self.plug_from(spec, PROPERTIES, properties, features)
    }

    /// Plugs in a device and lets udev set properties on its hidraw node, which happens after udev has handled the device.
    ///
    /// # Errors
    /// The kernel or udevd does not accept it.
    pub fn plug_with_late(&mut self, spec: &Spec, properties: &[(&str, &str)]) -> Result<Plugged> {
        self.plug_from(spec, NODE_PROPERTIES, properties, BTreeMap::new())
    }

    fn plug_from(
        &mut self,
        spec: &Spec,
        folder: &str,
        properties: &[(&str, &str)],
        features: BTreeMap<u8, Vec<u8>>,
    ) -> Result<Plugged> {
        self.udev.forget();
        let (device, uniq) = self.create(spec, (folder, properties), features_of(features))?;
        let added = self.udev.wait_for("udev event for the new device", |event| is_added(event, &uniq))?;
        // The kernel announces a device before it looks for a kernel driver, and udevd may have handled that event long before.
        self.udev.wait_for("udev event of the kernel driver", |event| event.is_hid("bind", &added.syspath))?;
        self.settle()?;
        Ok(Plugged { device, syspath: added.syspath })
    }

    /// Plugs in a device that udevd does not see before [`Bench::release`], and returns when a kernel driver is bound to it.
    ///
    /// # Errors
    /// The kernel does not accept it.
    pub fn plug_unseen(&mut self, spec: &Spec) -> Result<Plugged> {
        self.plug_unseen_with(spec, features_of(BTreeMap::new()))
    }

    /// The same for a device with its own answers to requests.
    ///
    /// # Errors
    /// The kernel does not accept it.
    pub fn plug_unseen_with(&mut self, spec: &Spec, answer: Box<Answer>) -> Result<Plugged> {
        self.hold()?;
        self.kernel.forget();
        let (device, uniq) = self.create(spec, (PROPERTIES, &[]), answer)?;
        let added = self.kernel.wait_for("kernel event for the new device", |event| is_added(event, &uniq))?;
        let plugged = Plugged { device, syspath: added.syspath };
        match invalid::check(&spec.descriptor) {
            Ok(()) => {
                let bound = |event: &Uevent| event.is_hid("bind", &plugged.syspath);
                drop(self.kernel.wait_for("kernel driver for the new device", bound)?);
            }
            Err(_) => wait_for_probe(&plugged),
        }
        Ok(plugged)
    }

    /// Plugs in a device that may get no kernel driver, and returns when udevd has handled all events that follow.
    ///
    /// # Errors
    /// The kernel does not make a HID device, or udevd hangs.
    pub fn plug_any(&mut self, spec: &Spec) -> Result<Plugged> {
        self.plug_any_with(spec, BTreeMap::new())
    }

    /// The same for a device that answers requests for feature reports, by their ids.
    ///
    /// # Errors
    /// As [`Bench::plug_any`].
    pub fn plug_any_with(&mut self, spec: &Spec, features: BTreeMap<u8, Vec<u8>>) -> Result<Plugged> {
        self.udev.forget();
        let (device, uniq) = self.create(spec, (PROPERTIES, &[]), features_of(features))?;
        let added = self.udev.wait_for("udev event for the new device", |event| is_added(event, &uniq))?;
        let plugged = Plugged { device, syspath: added.syspath };
        wait_for_probe(&plugged);
        self.settle()?;
        Ok(plugged)
    }

    fn create(
        &mut self,
        spec: &Spec,
        (folder, properties): (&str, &[(&str, &str)]),
        answer: Box<Answer>,
    ) -> Result<(Device, String)> {
        let uniq = self.next_uniq(&spec.uniq, folder, properties)?;
        let device = Device::plug(&Spec { uniq: uniq.clone(), ..spec.clone() }, answer, self.mood)
            .with_context(|| format!("failed to plug in `{}`", spec.name))?;
        Ok((device, uniq))
    }

    /// Returns a unique id for a device that is about to be plugged in, for which udev sets properties. A case may give an id of its own,
    /// even to several devices one after the other.
    fn next_uniq(&mut self, own: &str, folder: &str, properties: &[(&str, &str)]) -> Result<String> {
        self.plugged += 1;
        let uniq = if own.is_empty() { format!("bench-{}", self.plugged) } else { own.to_owned() };
        if !properties.is_empty() {
            let lines: String = properties.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
            write(&Path::new(folder).join(&uniq), lines.as_bytes())?;
        }
        Ok(uniq)
    }

    /// The same, for a device with a serial number.
    ///
    /// # Errors
    /// The properties can't be written.
    pub fn next_serial(&mut self, properties: &[(&str, &str)]) -> Result<String> {
        self.next_uniq("", PROPERTIES, properties)
    }

    /// Unplugs a device and returns when udevd has handled that.
    ///
    /// # Errors
    /// The device was gone, or udevd hangs.
    pub fn unplug(&mut self, plugged: Plugged) -> Result<()> {
        self.udev.forget();
        plugged.device.unplug().context("failed to unplug a virtual device")?;
        self.udev.wait_for("udev event for the unplugged device", |event| event.is_hid("remove", &plugged.syspath))?;
        self.set_generic_only(false)?;
        self.settle()
    }

    /// Makes the kernel bind hid-generic to all devices.
    ///
    /// The special kernel drivers of some devices refuse a device that is not on USB, or change its reports. [`Bench::unplug`] undoes it.
    ///
    /// # Errors
    /// The kernel has no such parameter.
    pub fn set_generic_only(&mut self, generic_only: bool) -> Result<()> {
        const PARAMETER: &str = "/sys/module/hid/parameters/ignore_special_drivers";
        if self.generic_only != generic_only {
            write(Path::new(PARAMETER), if generic_only { b"1" } else { b"0" })?;
            self.generic_only = generic_only;
        }
        Ok(())
    }

    /// Stops udevd between two events, unless it is stopped already.
    ///
    /// # Errors
    /// udevd does not answer.
    pub fn hold(&mut self) -> Result<()> {
        if self.held {
            return Ok(());
        }
        self.settle()?;
        let udevd = self.udevd()?;
        kill_process(udevd, Signal::STOP).context("failed to stop udevd")?;
        loop {
            match waitpid(Some(udevd), WaitOptions::UNTRACED) {
                Ok(Some((_, status))) if status.stopped() => break,
                Err(rustix::io::Errno::INTR) => {}
                other => bail!("udevd did not stop: {other:?}"),
            }
        }
        self.held = true;
        Ok(())
    }

    /// Lets udevd act on all events, and returns when it has.
    ///
    /// # Errors
    /// udevd does not answer.
    pub fn release(&mut self) -> Result<()> {
        kill_process(self.udevd()?, Signal::CONT).context("failed to let udevd go on")?;
        self.held = false;
        self.settle()
    }

    fn udevd(&self) -> Result<Pid> {
        self.udevd.as_ref().map(Pid::from_child).context("udevd is the system's own")
    }

    /// Returns when udevd has handled all events that the kernel has sent. Only this proves that something does not happen.
    ///
    /// An event of the test shows that udevd has received all events before it. udevd keeps a file until it has handled them.
    ///
    /// # Errors
    /// udevd hangs.
    pub fn settle(&mut self) -> Result<()> {
        ensure!(!self.held, "udevd is held and can't settle");
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).context("failed to make an inotify")?;
        add_watch(&inotify, UDEV_RUN, WatchFlags::DELETE).with_context(|| format!("failed to watch `{UDEV_RUN}`"))?;
        self.marks += 1;
        let mark = format!("00000000-0000-0000-0000-{:012}", self.marks);
        write(Path::new(MARKED), format!("change {mark}").as_bytes())?;
        self.udev.wait_for("mark of our own", |event| event.mark == mark)?;
        let queue = Path::new(UDEV_RUN).join("queue");
        let end = Instant::now() + PATIENCE;
        while queue.exists() {
            let left = end.checked_duration_since(Instant::now()).context("udevd doesn't come to rest")?;
            poll_readable(&inotify, left)?;
            let mut buffer = [const { MaybeUninit::uninit() }; 4096];
            let mut reader = Reader::new(&inotify, &mut buffer);
            while reader.next().is_ok() {}
        }
        Ok(())
    }

    /// Makes the kernel repeat an event of a device, and returns when udevd has handled it.
    ///
    /// # Errors
    /// The device is gone, or udevd hangs.
    pub fn trigger(&mut self, action: &str, device: &Plugged) -> Result<()> {
        self.trigger_path(action, &device.syspath)
    }

    /// The same for any path in sysfs.
    ///
    /// # Errors
    /// It is gone, or udevd hangs.
    pub fn trigger_path(&mut self, action: &str, syspath: &Path) -> Result<()> {
        write(&syspath.join("uevent"), action.as_bytes())?;
        self.settle()
    }

    /// Rebuilds udev's hwdb from the installed drivers, as their package does.
    ///
    /// # Errors
    /// hidbpf or systemd-hwdb fails, or udevd hangs.
    pub fn renew_hwdb(&mut self) -> Result<()> {
        let hwdb = self.hidbpf(&["hwdb"])?.expect(0)?;
        write(Path::new(HWDB), hwdb.stdout.as_bytes())?;
        Run::of(command("systemd-hwdb").args(["update", "--usr"]))?.expect(0)?;
        // The machine's own entries may have needed it.
        if Path::new("/etc/udev/hwdb.bin").exists() {
            Run::of(command("systemd-hwdb").arg("update"))?.expect(0)?;
        }
        self.reload()
    }

    /// Makes udevd read its files again.
    ///
    /// It does so by itself every 3 seconds, and when `udevadm control --reload` requests it, as hidbpf does when it installs a driver.
    ///
    /// # Errors
    /// udevd hangs.
    pub fn reload(&mut self) -> Result<()> {
        kill_process(self.udevd()?, Signal::HUP).context("failed to let udevd reload")?;
        self.settle()
    }

    /// Runs the program under test to its end.
    ///
    /// # Errors
    /// It can't be started, or hangs.
    pub fn hidbpf(&self, arguments: &[&str]) -> Result<Run> {
        Run::of(command(HIDBPF).args(arguments))
    }

    /// Runs `hidbpf` with the libbpf loader alone.
    ///
    /// # Errors
    /// It can't be run.
    pub fn hidbpf_with_libbpf(&self, arguments: &[&str]) -> Result<Run> {
        Run::of(command(HIDBPF).args(arguments).env(hidbpf::any_loader::CHOICE, "libbpf"))
    }

    /// Loads a driver with the fast loader, or with the libbpf loader alone.
    ///
    /// # Errors
    /// It fails.
    pub fn load(&self, driver: &str, device: &str, with_libbpf: bool) -> Result<Run> {
        let load = ["load", driver, device];
        let loaded = if with_libbpf { self.hidbpf_with_libbpf(&load) } else { self.hidbpf(&load) };
        loaded?.expect(0)
    }

    /// Runs `hidbpf unload`, and checks that `devices`, whose descriptors the driver has fixed, have nodes again when the command ends.
    ///
    /// # Errors
    /// It fails, or a device has no nodes yet.
    pub fn unload(&mut self, arguments: &[&str], devices: &[&Plugged]) -> Result<Run> {
        let run = self.hidbpf(&[&["unload"], arguments].concat())?.expect(0)?;
        for device in devices {
            ensure!(!device.nodes()?.is_empty(), "`{}` has no nodes right after the unload", device.name());
        }
        self.settle()?;
        Ok(run)
    }

    /// Returns udevd's log since the last call.
    pub fn take_log(&mut self) -> String {
        let bytes = fs::read(UDEVD_LOG).unwrap_or_default();
        let new = bytes.get(self.log_read..).unwrap_or_default();
        self.log_read = bytes.len();
        String::from_utf8_lossy(new).into_owned()
    }

    /// Fails if a case has left anything behind, and cleans the machine.
    ///
    /// # Errors
    /// Something was left; the message lists it.
    pub fn check_clean(&mut self) -> Result<()> {
        if self.held {
            self.release()?;
        }
        self.set_generic_only(false)?;
        self.settle()?;
        if let Some(udevd) = &self.udevd {
            machine::reap_orphans(udevd.id())?;
        }
        let mut left = Vec::new();
        self.mood = Mood::default();
        for (what, place) in [
            ("device", HID_DEVICES),
            ("pin", PINS),
            ("state", STATE),
            ("mark", SET_UP_MARKS),
            ("mark", SETTLED),
            ("record", MODE_SWITCHES),
            ("answers", ANSWERS),
        ] {
            for path in entries(Path::new(place))? {
                // The machine may have real devices.
                if what == "device" && !path.canonicalize().is_ok_and(|device| is_virtual(&device)) {
                    continue;
                }
                left.push(format!("{what} {}", path.display()));
                if what != "device" {
                    remove(&path)?;
                }
            }
        }
        ensure!(left.is_empty(), "left behind: {}", left.join(", "));
        Ok(())
    }
}

/// A HID device that is plugged in.
#[derive(Debug)]
pub struct Plugged<D = Device> {
    /// The device's end of the wire.
    pub device: D,
    /// Its directory below /sys/devices.
    pub syspath: PathBuf,
}

impl<D> Plugged<D> {
    /// Returns its name, as `0003:11C0:5606.0001`.
    pub fn name(&self) -> String {
        self.syspath.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns its directory as text.
    pub fn path(&self) -> String {
        self.syspath.display().to_string()
    }

    /// Returns the current descriptor.
    ///
    /// # Errors
    /// The device is gone.
    pub fn descriptor(&self) -> Result<Vec<u8>> {
        let path = self.syspath.join("report_descriptor");
        fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))
    }

    /// Returns its evdev nodes.
    ///
    /// # Errors
    /// One can't be opened.
    pub fn nodes(&self) -> Result<Vec<Node>> {
        Node::all_of(&self.syspath)
    }

    /// Fails if the nodes are not exactly these.
    ///
    /// # Errors
    /// They are not; the message shows both sides.
    pub fn expect_nodes(&self, expected: &str) -> Result<()> {
        nodes::compare(&format!("nodes of {}", self.name()), expected, &nodes::describe_all(&self.nodes()?)?)
    }

    /// Returns the only node with this name.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn node(&self, name: &str) -> Result<Node> {
        let mut nodes = self.nodes()?;
        let names = format!("{:?}", nodes.iter().map(|node| &node.name).collect::<Vec<_>>());
        nodes.retain(|node| node.name == name);
        match (nodes.pop(), nodes.is_empty()) {
            (Some(node), true) => Ok(node),
            _ => bail!("expected one node `{name}` among {names}"),
        }
    }

    /// Returns the only node.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub fn only_node(&self) -> Result<Node> {
        let mut nodes = self.nodes()?;
        ensure!(nodes.len() == 1, "expected one node, found {}", nodes.len());
        Ok(nodes.remove(0))
    }

    /// Fails if udev has another value for a property of the device, or of one of its input devices and their nodes. There must be some.
    ///
    /// # Errors
    /// It has, or does not know one of them.
    pub fn expect_property(&self, name: &str, expected: Option<&str>) -> Result<()> {
        let inputs = nodes::inputs(&self.syspath)?;
        ensure!(inputs.len() > 1, "`{}` has no node: {inputs:?}", self.name());
        for path in std::iter::once(&self.syspath).chain(&inputs) {
            let device =
                udev::Device::from_syspath(path).with_context(|| format!("udev doesn't know `{}`", path.display()))?;
            let found = device.property_value(name).map(|value| value.to_string_lossy().into_owned());
            ensure!(
                found.as_deref() == expected,
                "the property {name} of `{}` is {found:?}, expected {expected:?}",
                path.display()
            );
        }
        Ok(())
    }

    /// Returns its hidraw node.
    ///
    /// # Errors
    /// It has none.
    pub fn hidraw(&self) -> Result<Hidraw> {
        Hidraw::of(&self.syspath)
    }

    /// Returns the folder in which its drivers are pinned.
    pub fn pins(&self) -> PathBuf {
        Path::new(PINS).join(self.name().replace([':', '.'], "_"))
    }

    /// Returns the drivers that have pins for it, sorted.
    ///
    /// # Errors
    /// bpffs can't be read.
    pub fn pinned_drivers(&self) -> Result<Vec<String>> {
        Ok(entries(&self.pins())?.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// Returns the mark that another binding changes nothing for it.
    pub fn settled(&self) -> PathBuf {
        Path::new(SETTLED).join(self.name())
    }

    /// Returns its state file.
    pub fn state(&self) -> PathBuf {
        Path::new(STATE).join(format!("{}.json", self.name()))
    }
}

/// Returns a three-button mouse with two axes of 8 bits and no report id, which no driver matches.
pub fn plain_mouse() -> Spec {
    const DESCRIPTOR: [u8; 50] = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00,
        0x25, 0x01, 0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x01, 0x05, 0x01, 0x09, 0x30,
        0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0, 0xc0,
    ];
    Spec {
        bus: 3,
        vendor: 0x1d6b,
        product: 0x0104,
        name: "Plain Mouse".to_owned(),
        phys: "bench/input0".to_owned(),
        uniq: String::new(),
        descriptor: DESCRIPTOR.to_vec(),
    }
}

/// Answers requests for these feature reports, by their ids, and for no others.
pub fn features_of(features: BTreeMap<u8, Vec<u8>>) -> Box<Answer> {
    const FEATURE: u8 = 0;
    Box::new(move |kind, id| features.get(&id).filter(|_| kind == FEATURE).cloned())
}

/// Returns an installed driver.
///
/// # Errors
/// It is not installed, or can't be read.
pub fn installed(driver: &str) -> Result<DriverObject> {
    let path = System::default().find_driver(&DriverName::new(driver)?);
    let path = path.with_context(|| format!("the driver `{driver}` is not installed"))?;
    Ok(DriverObject::read(&path)?)
}

/// Returns the command of udev's rules for the helper, in udev's environment, after the words of [`shim`], if any.
pub fn helper(words: &[&str], action: &str, driver: &str, syspath: &str) -> Command {
    let mut command = if words.is_empty() { command(HELPER) } else { shim::start(words, HELPER) };
    command.args([action, syspath]).envs(named(driver));
    command
}

/// Returns the same for the command with the libbpf loader.
pub fn helper_through_libbpf(words: &[&str], action: &str, driver: &str, syspath: &str) -> Command {
    let mut command = shim::start(words, HIDBPF);
    command.args(["udev", action, syspath]).envs(named(driver)).env(hidbpf::any_loader::CHOICE, "libbpf");
    command
}

/// Returns the properties that the hwdb gives to a device.
fn named(driver: &str) -> [(String, String); 2] {
    let property = format!("HIDBPF_DRIVER_{}", driver.to_uppercase().replace('-', "_"));
    [("HIDBPF".to_owned(), "1".to_owned()), (property, driver.to_owned())]
}

/// Returns when the kernel has probed a device, with or without success.
///
/// Without a kernel driver there is no event. While a kernel driver fails to bind the device, sysfs shows it as bound, and
/// a request to probe does nothing (`bus_rescan_devices_helper()`, drivers/base/bus.c). A request to bind it to that driver
/// waits for the device's lock, and so for the end of the probe (`device_driver_attach()`, drivers/base/dd.c).
fn wait_for_probe(device: &Plugged) {
    let request = if device.syspath.join("driver").exists() { "driver/bind" } else { "subsystem/drivers_probe" };
    // The kernel refuses to bind a device that is bound, and fails as before to bind one that is not.
    let _ = fs::write(device.syspath.join(request), device.name());
}

fn is_virtual(device: &Path) -> bool {
    VIRTUAL.iter().any(|place| device.as_os_str().as_encoded_bytes().starts_with(place.as_bytes()))
}

fn is_added(event: &Uevent, uniq: &str) -> bool {
    event.subsystem == "hid" && event.action == "add" && event.uniq == uniq
}

fn start_udevd() -> Result<Child> {
    const READY: &str = "/run/udevd.ready";
    let socket = UnixDatagram::bind(READY).with_context(|| format!("failed to make `{READY}`"))?;
    socket.set_read_timeout(Some(PATIENCE)).context("failed to set a deadline")?;
    let log = File::create(UDEVD_LOG).with_context(|| format!("failed to make `{UDEVD_LOG}`"))?;
    let child = shim::start(&[shim::WITH_CONTROL_SOCKET], UDEVD)
        .arg("--resolve-names=never")
        .env("NOTIFY_SOCKET", READY)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("failed to copy a file descriptor")?)
        .stderr(log)
        .spawn()
        .with_context(|| format!("failed to start `{UDEVD}`"))?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).with_context(|| {
            format!("udevd didn't say that it is ready; its log: {}", fs::read_to_string(UDEVD_LOG).unwrap_or_default())
        })?;
        if String::from_utf8_lossy(&buffer[..length]).lines().any(|line| line == "READY=1") {
            return Ok(child);
        }
    }
}

/// Returns the contents of a directory, sorted, or nothing if it does not exist.
pub fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let list = match fs::read_dir(directory) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("failed to list `{}`", directory.display())),
    };
    let mut paths = list
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .with_context(|| format!("failed to list `{}`", directory.display()))?;
    paths.sort();
    Ok(paths)
}

/// Writes a file, and makes its parent directories.
///
/// # Errors
/// One can't be made, or the file can't be written.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(parent).with_context(|| format!("failed to make `{}`", parent.display()))?;
    fs::write(path, content).with_context(|| format!("failed to write `{}`", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    removed.with_context(|| format!("failed to remove `{}`", path.display()))
}
