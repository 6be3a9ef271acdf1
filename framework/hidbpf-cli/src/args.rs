//! The command line: commands, arguments and their help.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hidbpf::descriptor::{HexBytes, InvalidHexBytes};
use hidbpf::ids::{Bus, ProductId, VendorId};
use hidbpf::names::DriverName;
use hidbpf::recording::Feature;

const EXIT_CODES: &str = "\
Exit status:
  0  done
  1  failed
  2  bad usage
  3  nothing matched
  4  not supported by this kernel";

const INSPECT_EXAMPLES: &str = "\
Examples:
  hidbpf inspect /dev/hidraw3
  hidbpf inspect /dev/hidraw3 --descriptor original
  hidbpf inspect --items '05 01 09 02 a1 01 ...'
  hidbpf inspect mouse.hid --diff my-mouse --svg mouse.svg";

/// The forms of files that describe devices.
const FORMS: &str = "\
A file is read in the form in which people post it. A line on standard error says what it was taken for:
  a recording of hid-recorder, also copied from a terminal or a mail
  hex with any separators and prefixes, hex dumps of xxd, hexdump and od, base64, binary
  arrays of C, Rust, Python, JSON and other languages, with comments
  usbhid-dump, lsusb -v, win-hid-dump, mac-hid-dump, hidapi's hidtest, hid-decode, hidrd-convert
  /sys/kernel/debug/hid/*/rdesc and events, lines of the kernel log, libinput record
  BlueZ's files, gatttool, bluetoothctl, btmon, sdptool, ioreg
  usbmon's text, and USB captures of Wireshark and USBPcap (pcap, pcapng)";

const REQUEST_EXAMPLES: &str = "\
Examples:
  hidbpf request /dev/hidraw3 get feature 5
  hidbpf request /dev/hidraw3 set feature 5 00 02
  hidbpf request /dev/hidraw3 send 0x10 ff 81 02 00 00 00";

/// Repairs HID devices (mice, tablets, keyboards, game controllers) with small BPF programs in the kernel's HID core
#[derive(Debug, Parser)]
#[command(name = "hidbpf", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Args {
    /// Look for drivers in DIR, not in /etc/hidbpf/drivers, /usr/local/lib/hidbpf/drivers and /usr/lib/hidbpf/drivers.
    /// Repeat it for several directories: the first one that has a driver wins
    #[arg(long, value_name = "DIR", global = true)]
    pub drivers: Vec<PathBuf>,

    /// Read the configuration from DIR, not from /etc/hidbpf
    #[arg(long, value_name = "DIR", global = true)]
    pub config: Option<PathBuf>,

    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// Print more to standard error, such as the whole log of the kernel's verifier
    #[arg(short, long, global = true)]
    pub verbose: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach a driver to a device, or to all devices that it matches
    ///
    /// Does nothing if the driver is already attached from the same object. `hidbpf reload` replaces one from another object.
    #[command(after_help = "Examples:\n  hidbpf load hp-elite-presenter\n  hidbpf load ./my-mouse.bpf.o /dev/hidraw3")]
    Load {
        /// A driver's name, or the path of its object (with a `/`, or ending in `.bpf.o`)
        driver: String,
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node such as /dev/hidraw3 or /dev/input/event5.
        /// Default: all devices that the driver matches
        device: Option<String>,
        /// Attach to the named device even if the driver does not match it
        #[arg(long, requires = "device")]
        force: bool,
    },
    /// Detach a driver from a device
    ///
    /// The kernel then binds the device again without the fix. The command waits up to 5 s for that, and warns if the device needs longer.
    Unload {
        /// A driver's name, or a device. A device alone means all of its drivers
        #[arg(required_unless_present = "all")]
        what: Option<String>,
        /// The device. Default: all devices that the driver is attached to
        #[arg(requires = "what")]
        device: Option<String>,
        /// Detach all drivers from all devices
        #[arg(long, conflicts_with_all = ["what", "device"])]
        all: bool,
        /// Exit as soon as the driver is detached, without waiting for the device
        #[arg(long)]
        no_wait: bool,
    },
    /// Reattach drivers from the objects that are installed now
    ///
    /// An attached driver is replaced by a newer version only by this command, or when its device is plugged in again.
    #[command(after_help = "Examples:\n  hidbpf reload\n  hidbpf reload ./my-mouse/build/my-mouse.bpf.o /dev/hidraw3")]
    Reload {
        /// A driver's name, or the path of its object. Default: all attached drivers
        driver: Option<String>,
        /// The device. Default: all devices that the driver is attached to
        device: Option<String>,
    },
    /// Have udev attach a driver, from now on and after the next boot
    ///
    /// From then on udev attaches a preference driver or an example to the devices that it matches. A choice for one device takes precedence over
    /// a choice for all. Writes 90-hidbpf.toml in /etc/hidbpf/hidbpf.toml.d.
    #[command(
        after_help = "Examples:\n  hidbpf enable mouse-invert-y\n  hidbpf enable mouse-invert-y /dev/hidraw3 --force"
    )]
    Enable {
        /// A driver's name
        #[arg(value_parser = |name: &str| DriverName::new(name))]
        driver: DriverName,
        #[command(flatten)]
        device: OneDevice,
        /// Bind the driver to the named device even if the driver does not match it
        #[arg(long, requires = "device")]
        force: bool,
    },
    /// Detach a driver, and keep udev from attaching it, from now on and after the next boot
    #[command(
        after_help = "Examples:\n  hidbpf disable huion-dial-2\n  hidbpf disable huion-dial-2 /dev/hidraw3 --port"
    )]
    Disable {
        /// A driver's name
        #[arg(value_parser = |name: &str| DriverName::new(name))]
        driver: DriverName,
        #[command(flatten)]
        device: OneDevice,
    },
    /// Install a driver on this machine, and attach it to connected devices
    ///
    /// Copies the object to /etc/hidbpf/drivers and renews udev's hwdb. If a step fails, the steps before it are undone. A folder is built
    /// first, and the driver run over its recordings. Does not write to /usr. The driver overrides one of the same name from a package,
    /// until `hidbpf uninstall`.
    ///
    /// With `--from-udev-hid-bpf`, takes over from udev-hid-bpf: copies its objects for devices that hidbpf has no driver for, hides its udev
    /// rules, and attaches drivers to the devices that it had fixed. `hidbpf uninstall --from-udev-hid-bpf` undoes that.
    #[command(after_help = "Examples:\n  hidbpf install ./my-mouse.bpf.o\n  hidbpf install ./my-mouse --dry-run\n  \
        hidbpf install --from-udev-hid-bpf --dry-run")]
    Install {
        /// A driver's object, or a driver's folder
        #[arg(value_name = "FILE|FOLDER", required_unless_present = "from_udev_hid_bpf")]
        what: Option<PathBuf>,
        /// Take over everything that this machine has of udev-hid-bpf
        #[arg(long, conflicts_with = "what")]
        from_udev_hid_bpf: bool,
        /// Print what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Detach and remove a driver that `hidbpf install` has installed
    Uninstall {
        /// The driver's name
        #[arg(value_parser = |name: &str| DriverName::new(name), required_unless_present = "from_udev_hid_bpf")]
        driver: Option<DriverName>,
        /// Return all devices to udev-hid-bpf, as they were before `hidbpf install --from-udev-hid-bpf`
        #[arg(long, conflicts_with = "driver")]
        from_udev_hid_bpf: bool,
        /// Print what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Set options of an attached driver, until its device is plugged in again
    ///
    /// `hidbpf get` shows the options. Most take effect at the next report. Changing an option that affects the descriptor reattaches the driver,
    /// and the kernel binds the device again. `KEY=` undoes an earlier `KEY=VALUE`.
    #[command(
        after_help = "Examples:\n  hidbpf set mouse-invert-y axis=both\n  hidbpf set mouse-invert-y /dev/hidraw3 axis=x --save"
    )]
    Set {
        /// A driver's name
        driver: String,
        /// The device, as for `hidbpf load`, and options such as `axis=both`. Without a device: all devices that the driver is attached to
        #[arg(value_name = "[DEVICE] KEY=VALUE", required = true)]
        what: Vec<String>,
        /// Save the options to 90-hidbpf.toml in /etc/hidbpf/hidbpf.toml.d, for the device by its ids and serial number, or for all devices
        #[arg(long)]
        save: bool,
        /// Save them for the device by its ids and its port, not by its serial number
        #[arg(long, requires = "save")]
        port: bool,
    },
    /// Show the options of drivers: the value, where it comes from, and the possible values
    Get {
        /// A driver's name. Default: all drivers with options
        driver: Option<String>,
        /// The device. Default: all devices that the driver is attached to; the values for all devices if it is not attached
        device: Option<String>,
    },
    /// Show the configuration in force, with the file and line of each value
    Config {
        /// Update udev's hwdb and the drivers of connected devices to match the configuration
        #[arg(long)]
        apply: bool,
    },
    /// Show attached drivers and failures
    Status,
    /// Show HID devices, and the drivers that match, or almost match, each one
    Devices {
        /// Show only this device
        device: Option<String>,
    },
    /// Show installed drivers: what each changes, and the connected devices that it matches
    Drivers {
        /// Show only this driver, with its match rules
        driver: Option<String>,
    },
    /// Run a driver over a recording in user space, and show the fixed descriptor and reports
    ///
    /// Needs neither the device, nor root, nor a kernel with HID-BPF. Runs the same object that the kernel would load.
    #[command(after_help = "Examples:\n  hidbpf replay huion-inspiroy-2-s pad.hid\n  \
        hidbpf replay ./my-mouse.bpf.o my-mouse.hid --expect my-mouse.expected.hid")]
    Replay {
        /// A driver's name, or the path of its object (with a `/`, or ending in `.bpf.o`)
        driver: String,
        /// A recording by `hidbpf record` or hid-recorder, or a file in another form: `hidbpf help inspect` lists them
        recording: PathBuf,
        #[command(flatten)]
        choice: Choice,
        /// Compare the result with the recording in FILE. Print differences, and exit with 1 if there are any
        #[arg(long, value_name = "FILE", conflicts_with = "decode")]
        expect: Option<PathBuf>,
        /// Show each report field by field, before and after, and mark the changes
        #[arg(long)]
        decode: bool,
        /// Run the programs for this generation of kernels. Default: the newest that the driver has
        #[arg(long, value_name = "GENERATION")]
        generation: Option<Hooks>,
        /// Give the device this udev property
        #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
        property: Vec<(String, String)>,
        /// Set an option of the driver
        #[arg(long, value_name = "KEY=VALUE", value_parser = property)]
        option: Vec<(String, String)>,
        /// Answer the driver's requests for a feature report with this: `5=05 00 01`
        #[arg(long, value_name = "ID=HEX")]
        feature: Vec<Feature>,
    },
    /// Send a request to a device: get, set or send a report
    ///
    /// The current descriptor must declare the report. Warning: a request that the vendor's own tool would not send may damage the device.
    #[command(after_help = REQUEST_EXAMPLES)]
    Request {
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev
        device: String,
        #[command(subcommand)]
        ask: Ask,
    },
    /// Show a report descriptor, or the content of a driver's object
    #[command(after_help = INSPECT_EXAMPLES, after_long_help = format!("{INSPECT_EXAMPLES}\n\n{FORMS}"))]
    Inspect(Inspect),
    /// Find defects in a report descriptor or a recording, and propose repairs
    ///
    /// Each finding says how sure it is: certain, likely or possible. It says where the defect is, what you notice, why it is a defect,
    /// and which bytes to change. docs/findings.md explains each. Exits with 1 if there are findings.
    #[command(
        after_help = "Examples:\n  hidbpf diagnose /dev/hidraw3\n  hidbpf diagnose mouse.hid\n  hidbpf diagnose posted.txt --interface 1"
    )]
    Diagnose {
        /// Devices, and files in any form that `hidbpf help inspect` lists. `-` reads standard input
        #[arg(value_name = "DEVICE|FILE", required = true)]
        what: Vec<String>,
        #[command(flatten)]
        choice: Choice,
    },
    /// Write a page about a device, to attach to a bug report
    ///
    /// The page is one HTML file: findings, descriptor, the bits of each report with how often each changed, values over time, and all reports. With a
    /// driver, it shows them before and after. It loads nothing from elsewhere. Key values and serial numbers are removed from it unless you ask
    /// for them. A page about a device has no reports: record the device first.
    #[command(
        after_help = "Examples:\n  hidbpf report mouse.hid -o mouse.html\n  hidbpf report mouse.hid --driver my-mouse -o mouse.html\n  \
        hidbpf report keyboard.hid --show-keys -o keyboard.html"
    )]
    Report {
        /// Recordings and descriptors in any form that `hidbpf help inspect` lists, and devices. `-` reads standard input
        #[arg(value_name = "DEVICE|FILE", required = true)]
        what: Vec<String>,
        /// Write the page to FILE
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
        #[command(flatten)]
        choice: Choice,
        /// Show what this driver makes of the descriptor and the reports: a driver's name, or the path of its object
        #[arg(long)]
        driver: Option<String>,
        /// Show which keys were typed. By default, the page has zeros in their place, and in everything else that can hold a key
        #[arg(long)]
        show_keys: bool,
        /// Show serial numbers, and the addresses of Bluetooth devices
        #[arg(long)]
        show_serials: bool,
    },
    /// Record a device for a driver author, until it is unplugged or you press Ctrl-C
    ///
    /// Writes hid-recorder's format. The recording has the original descriptor and the reports as the device sent them, even if a driver is
    /// attached.
    #[command(after_help = "Example:\n  hidbpf record /dev/hidraw3 -o my-mouse.hid")]
    Record {
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev
        device: String,
        /// Write to FILE, which must not exist, not to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write zeros in place of keys and of everything else that can hold a key, and no serial numbers
        #[arg(long)]
        hide_keys: bool,
    },
    /// Show reports of a device live: as sent, as fixed by its drivers, and the input events
    ///
    /// `sent` is a report as the device sent it, read by the original descriptor. `fixed` is the same report as the drivers left it, read
    /// by the current descriptor. A `*` marks a field that a driver changed. `same` means that the drivers let the report pass unchanged,
    /// `dropped` that one dropped it. `input` is an input event that the kernel made of it. Only fields that changed since the previous report with
    /// that ID are shown. If more than 20 reports arrive in a second, the others are counted. Exits when the device is unplugged, or on Ctrl-C.
    Monitor {
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev
        device: String,
        /// Show every report, even at a thousand a second
        #[arg(long)]
        all: bool,
    },
    /// Create a driver's folder from a recording or a device
    ///
    /// The driver matches exactly that device. It builds, and its test passes. Without `--repair` it is in C and changes nothing yet: its
    /// source has the descriptor, item by item, and the place of each field in the reports. With `--repair` it needs no C, and with
    /// `--repair --c` the source has the repaired descriptor.
    #[command(
        after_help = "Examples:\n  hidbpf new logitech-m90 --from m90.hid\n  hidbpf new logitech-m90 --from /dev/hidraw3\n  \
            hidbpf new my-ups --from descriptor.txt --id usb:3746:ffff\n  hidbpf new my-mouse --from mouse.hid --repair\n  \
            hidbpf new my-mouse --from mouse.hid --repair --c\n  hidbpf new my-mouse-in-c --from my-mouse --c"
    )]
    New {
        /// The driver's name, such as `logitech-m90`. The folder of that name is created in the current directory
        #[arg(value_parser = |name: &str| DriverName::new(name))]
        name: DriverName,
        /// A recording or a descriptor in any form that `hidbpf help inspect` lists, or a device: its name in /sys/bus/hid/devices, a path in
        /// sysfs, or a node in /dev. Repeat it for other interfaces of the device
        #[arg(long, value_name = "FILE|DEVICE", required = true)]
        from: Vec<String>,
        /// Bus, vendor and product of a device whose file does not have them: `usb:058f:9410`, or as in its name in
        /// /sys/bus/hid/devices
        #[arg(long = "id", alias = "ids", value_name = "BUS:VENDOR:PRODUCT", value_parser = ids)]
        ids: Option<(Bus, VendorId, ProductId)>,
        /// Create a driver without C: the manifest declares the repairs of these findings of `hidbpf diagnose`. Without a FINDING, of all
        /// that are certain or likely
        #[arg(long, value_name = "FINDING", num_args = 0..)]
        repair: Option<Vec<String>>,
        /// Write the repair as C, to go on from. FILE may also be the folder of a driver without C, whose repair becomes C
        #[arg(long)]
        c: bool,
        #[command(flatten)]
        choice: Choice,
    },
    /// Compile a driver's folder or a foreign source, and run it over its recordings
    ///
    /// Needs clang, but neither the device, nor root, nor a kernel with HID-BPF. Writes a folder's object to its `build`, with the headers
    /// that it was compiled with. A driver whose manifest declares the repair, without a `driver.bpf.c`, needs no clang either.
    ///
    /// A foreign source is a single file that is written for udev-hid-bpf or for the kernel tree. Its object is for Linux 6.11 and later. If
    /// it suits Linux 6.3 to 6.10, it gets a second object, with the next lower number. Headers beside the source are preferred to
    /// hidbpf's. Its recording is NAME.hid beside NAME.bpf.c, with the expected result in NAME.expected.hid.
    #[command(
        after_help = "Examples:\n  hidbpf build my-mouse\n  sudo hidbpf build my-mouse --watch --device /dev/hidraw3\n  hidbpf build 0010-Huion__Dial-2.bpf.c"
    )]
    Build {
        /// The driver's folder, or a foreign source
        #[arg(default_value = ".", value_name = "FOLDER|FILE.bpf.c")]
        what: PathBuf,
        /// Write to DIR, not to the folder's `build` or the source's directory. A foreign source's object may also have a name of its own
        #[arg(short, long, value_name = "DIR|FILE.bpf.o")]
        output: Option<PathBuf>,
        /// Attach the new object to this device, in place of the previous one
        #[arg(long)]
        device: Option<String>,
        /// Repeat whenever a file of the folder, or beside the source, is saved, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Write a driver as one source in the kernel tree's form, to send it upstream
    ///
    /// The source has a match table, and a probe made from the driver's match rules. `hidbpf build` compiles it. A driver with options, a
    /// setup or match rules that a probe can't check is refused.
    #[command(after_help = "Example:\n  hidbpf export drivers/hp-elite-presenter -o HP__Elite-Presenter.bpf.c")]
    Export {
        /// The driver's folder
        #[arg(value_name = "FOLDER")]
        folder: PathBuf,
        /// Write to FILE, not to standard output
        #[arg(short, long, value_name = "FILE.bpf.c")]
        output: Option<PathBuf>,
    },
    /// Find out why devices, or one device, are not fixed on this machine
    Doctor {
        /// Show the drivers for this device, and why each is attached or not
        ///
        /// If the kernel makes no HID device of a USB interface, name it as in /sys/bus/usb/devices.
        device: Option<String>,
    },
    /// Print udev's hwdb entries for the installed drivers, for packages
    ///
    /// A package of drivers installs them as a file of its own in /usr/lib/udev/hwdb.d, with `hidbpf` in its name. On a machine, `hidbpf
    /// config --apply` writes the entries that no package has.
    #[command(after_help = "Example:\n  hidbpf --drivers build hwdb > 81-hidbpf-example.hwdb")]
    Hwdb,
    /// Handle an event of udev. The udev rules call this
    Udev {
        #[command(subcommand)]
        event: UdevEvent,
    },
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the headers that foreign sources include
    #[command(hide = true)]
    Headers {
        /// The directory to write to
        dir: PathBuf,
    },
    /// Write the catalogue of installed drivers as Markdown: a page for each driver, and an index
    #[command(hide = true)]
    Pages {
        /// The directory to write to
        dir: PathBuf,
        /// Where the drivers' folders are, for links to them: a URL, or a path from DIR
        #[arg(long, value_name = "URL")]
        sources: Option<String>,
    },
    /// Write the man pages, one for each command
    #[command(hide = true)]
    Man {
        /// The directory to write to. Default: print the page of `hidbpf` to standard output
        dir: Option<PathBuf>,
    },
}

/// A request to a device.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Get a report (GET_REPORT), and show it
    Get {
        /// The report's type
        report: ReportKind,
        /// The report's ID, decimal or hex after 0x. 0 if the device doesn't number its reports
        #[arg(value_parser = report_id)]
        id: u8,
    },
    /// Set a report (SET_REPORT)
    Set {
        /// The report's type
        report: ReportKind,
        /// The report's ID, decimal or hex after 0x. 0 if the device doesn't number its reports
        #[arg(value_parser = report_id)]
        id: u8,
        /// The bytes of the report after its ID, in hex. Missing bytes at the end are 0
        #[arg(required = true, value_parser = hex)]
        bytes: Vec<Vec<u8>>,
    },
    /// Send an output report on the device's channel for those. Linux 6.11 and later
    Send {
        /// The report's ID, decimal or hex after 0x. 0 if the device doesn't number its reports
        #[arg(value_parser = report_id)]
        id: u8,
        /// The bytes of the report after its ID, in hex. Missing bytes at the end are 0
        #[arg(required = true, value_parser = hex)]
        bytes: Vec<Vec<u8>>,
    },
}

/// A type of reports.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReportKind {
    /// A report that can be read and set
    Feature,
    /// A report that the device sends by itself
    Input,
    /// A report that is sent to the device
    Output,
}

/// Bus, vendor and product: `usb:046d:c077`, or as the kernel's names of devices have them: `0003:046D:C077`.
fn ids(text: &str) -> Result<(Bus, VendorId, ProductId), String> {
    let number = |part: &str| {
        let is_hex = part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        u16::from_str_radix(part, 16).ok().filter(|_| is_hex)
    };
    let ids = || {
        let mut parts = text.split(':');
        let bus = parts.next()?;
        let bus = Bus::named(bus).or_else(|| number(bus).map(Bus))?;
        let (vendor, product) = (number(parts.next()?)?, number(parts.next()?)?);
        parts.next().is_none().then_some((bus, VendorId(vendor.into()), ProductId(product.into())))
    };
    ids().ok_or_else(|| {
        "expected a bus (usb, bluetooth, i2c, virtual) and two numbers of four hex digits, as in `usb:046d:c077`"
            .to_owned()
    })
}

fn report_id(text: &str) -> Result<u8, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|error| format!("expected 0 to 255, or 0x00 to 0xff: {error}"))
}

fn hex(text: &str) -> Result<Vec<u8>, InvalidHexBytes> {
    text.parse().map(|HexBytes(bytes)| bytes)
}

/// A generation of kernels, by how drivers are attached.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Hooks {
    /// Linux 6.3 to 6.10
    FmodRet,
    /// Since Linux 6.11
    StructOps,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `NAME=VALUE`")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Which device of a file with several.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Take only this USB interface of the devices in the file
    #[arg(long, value_name = "NUMBER")]
    pub interface: Option<u32>,
    /// Take only this device of the file: its number, counted from 0, a part of its name, or its ids as in `046d:c077`
    #[arg(long = "device", value_name = "NUMBER|NAME")]
    pub device: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct OneDevice {
    /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev. hidbpf remembers it by its ids, and its serial
    /// number if it has one. Default: all devices
    pub device: Option<String>,
    /// Remember the device by its ids and its port, not by its serial number
    #[arg(long, requires = "device")]
    pub port: bool,
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// A device, a recording (`mouse.hid`), a driver's name, the path of its object, or a descriptor: a file in any of the forms below, or
    /// hex on the command line. `-` reads any of these files from standard input
    pub what: String,
    #[command(flatten)]
    pub choice: Choice,
    /// Show the descriptor item by item, with offsets and bytes
    #[arg(long)]
    pub items: bool,
    /// Show the declared reports with their fields. This is the default without --items
    #[arg(long)]
    pub reports: bool,
    /// Show this descriptor of a device. Default: the current one, or the original if there is no current one
    #[arg(long, value_name = "WHICH", conflicts_with = "diff")]
    pub descriptor: Option<WhichDescriptor>,
    /// Show the difference between the original descriptor and the one that DRIVER returns, run in user space. Without DRIVER: between a
    /// device's original and current descriptor
    #[arg(long, value_name = "DRIVER")]
    pub diff: Option<Option<String>>,
    /// Show the instructions of a driver's programs, with the lines of its source
    #[arg(long, conflicts_with_all = ["items", "reports", "descriptor", "diff", "svg"])]
    pub disassembly: bool,
    /// Draw the bits of each report to FILE, as SVG. With --diff: before and after
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// One of a device's descriptors.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WhichDescriptor {
    /// What the device sent
    Original,
    /// What the descriptor hook of the attached driver returned
    Fixed,
    /// What the kernel parsed, after the hook and after the kernel driver's own changes
    Current,
}

#[derive(Debug, Subcommand)]
pub enum UdevEvent {
    /// Attach drivers: a device appeared, a kernel driver was bound to it, or one of its nodes has a udev property that drivers read
    Add {
        /// The sysfs path of the device, or a path below it
        syspath: PathBuf,
        /// Why the helper leaves the work to this command
        #[arg(long, value_name = "REASON", hide = true)]
        not_fast: Option<String>,
    },
    /// Run setups again: the machine woke up, or a kernel driver was bound to a device
    Resume {
        /// The sysfs path of the device. Default: all devices with a setup
        syspath: Option<PathBuf>,
    },
    /// Clean up after a device is gone
    Remove {
        /// The sysfs path that the device had
        syspath: PathBuf,
    },
}
