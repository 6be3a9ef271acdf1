//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use hidbpf::manifest::{DriverName, HexBytes, InvalidHex};
use hidbpf::recording::Feature;

const EXIT_CODES: &str = "\
Exit status:
  0  done
  1  failed
  2  bad usage
  3  nothing matched
  4  this kernel can't";

const INSPECT_EXAMPLES: &str = "\
Examples:
  hidbpf inspect /dev/hidraw3
  hidbpf inspect /dev/hidraw3 --descriptor original
  hidbpf inspect --items '05 01 09 02 a1 01 ...'
  hidbpf inspect mouse.hid --diff my-mouse --svg mouse.svg";

const REQUEST_EXAMPLES: &str = "\
Examples:
  hidbpf request /dev/hidraw3 get feature 5
  hidbpf request /dev/hidraw3 set feature 5 00 02
  hidbpf request /dev/hidraw3 send 0x10 ff 81 02 00 00 00";

/// Repairs HID devices (mice, tablets, keyboards, game controllers) with small BPF programs in the kernel's HID core
#[derive(Debug, Parser)]
#[command(name = "hidbpf", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Args {
    /// Look for drivers in DIR instead of /etc/hidbpf/drivers, /usr/local/lib/hidbpf/drivers and /usr/lib/hidbpf/drivers;
    /// may be given more than once, the first that has a driver wins
    #[arg(long, value_name = "DIR", global = true)]
    pub drivers: Vec<PathBuf>,

    /// Read the configuration from DIR instead of /etc/hidbpf
    #[arg(long, value_name = "DIR", global = true)]
    pub config: Option<PathBuf>,

    /// Answer in JSON
    #[arg(long, global = true)]
    pub json: bool,

    /// Say more on standard error; of a driver that the kernel refuses, all that its verifier says
    #[arg(short, long, global = true)]
    pub verbose: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Attach a driver to a device, or to all devices that it is for
    ///
    /// A driver that is attached already, from the same object, is left as it is. `hidbpf reload` replaces one from another object.
    #[command(after_help = "Examples:\n  hidbpf load hp-elite-presenter\n  hidbpf load ./my-mouse.bpf.o /dev/hidraw3")]
    Load {
        /// A driver's name, or the path of its object (with a `/`, or ending in `.bpf.o`)
        driver: String,
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node such as /dev/hidraw3 or /dev/input/event5.
        /// Default: all that the driver is for
        device: Option<String>,
        /// Attach to the named device even though the driver is not for it
        #[arg(long, requires = "device")]
        force: bool,
    },
    /// Take a driver off a device
    ///
    /// The kernel then binds the device again without the fix. The command waits up to 5 s for that, and warns if the device needs longer.
    Unload {
        /// A driver's name, or a device; a device alone means all of its drivers
        #[arg(required_unless_present = "all")]
        what: Option<String>,
        /// The device. Default: all that the driver is attached to
        #[arg(requires = "what")]
        device: Option<String>,
        /// Take all drivers off all devices
        #[arg(long, conflicts_with_all = ["what", "device"])]
        all: bool,
        /// End as soon as the driver is off, and do not wait for the device
        #[arg(long)]
        no_wait: bool,
    },
    /// Attach drivers anew, as they are installed now
    ///
    /// A newer version of a driver takes the place of the attached one only here, or when the device is plugged in again.
    #[command(after_help = "Examples:\n  hidbpf reload\n  hidbpf reload ./my-mouse/build/my-mouse.bpf.o /dev/hidraw3")]
    Reload {
        /// A driver's name, or the path of its object. Default: all that are attached
        driver: Option<String>,
        /// The device. Default: all that it is attached to
        device: Option<String>,
    },
    /// Have udev attach a driver, from now on and after the next boot
    ///
    /// A driver that is a preference or an example is attached by itself from then on, to the devices that it is for. What is said for
    /// a device goes before what is said for all. It is written to 90-hidbpf.toml in /etc/hidbpf/hidbpf.toml.d.
    #[command(
        after_help = "Examples:\n  hidbpf enable mouse-invert-y\n  hidbpf enable mouse-invert-y /dev/hidraw3 --force"
    )]
    Enable {
        /// A driver's name
        #[arg(value_parser = |name: &str| DriverName::new(name))]
        driver: DriverName,
        #[command(flatten)]
        device: OneDevice,
        /// Bind the driver to the named device even though the driver is not for it
        #[arg(long, requires = "device")]
        force: bool,
    },
    /// Keep udev from attaching a driver, from now on and after the next boot, and take it off
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
    /// Install a driver on this machine, and attach it to the devices that are there
    ///
    /// The object is copied to /etc/hidbpf/drivers, and udev's hwdb is made anew: all of it or nothing. A folder is built first, and run over
    /// its recordings. Needs no writable /usr. A driver of the same name that a package brought is overridden, and comes back with
    /// `hidbpf uninstall`.
    #[command(after_help = "Examples:\n  hidbpf install ./my-mouse.bpf.o\n  hidbpf install ./my-mouse --dry-run")]
    Install {
        /// A driver's object, or a driver's folder
        #[arg(value_name = "FILE|FOLDER")]
        what: PathBuf,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove a driver that `hidbpf install` has installed, and take it off
    Uninstall {
        /// The driver's name
        #[arg(value_parser = |name: &str| DriverName::new(name))]
        driver: DriverName,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Set options of a driver that is attached: at once, until the device is plugged in again
    ///
    /// `hidbpf get` shows the options. Most take effect at the next report; for some the driver is attached anew, which the kernel does
    /// with the device too. `KEY=` takes a setting back.
    #[command(
        after_help = "Examples:\n  hidbpf set mouse-invert-y axis=both\n  hidbpf set mouse-invert-y /dev/hidraw3 axis=x --save"
    )]
    Set {
        /// A driver's name
        driver: String,
        /// The device, as for `hidbpf load`, and options: `axis=both`. Without a device all that the driver is attached to
        #[arg(value_name = "[DEVICE] KEY=VALUE", required = true)]
        what: Vec<String>,
        /// Keep it in 90-hidbpf.toml in /etc/hidbpf/hidbpf.toml.d, for the device by its ids and serial number, or for all
        #[arg(long)]
        save: bool,
        /// Keep it for the device by its ids and the port that it is plugged into, not by its serial number
        #[arg(long, requires = "save")]
        port: bool,
    },
    /// Show the options of drivers: what each is, who has set it, what it can be
    Get {
        /// A driver's name. Default: all drivers that have options
        driver: Option<String>,
        /// The device. Default: all that the driver is attached to, or what holds for all
        device: Option<String>,
    },
    /// Show the configuration: what holds, and which line of which file says so
    Config {
        /// Update udev's hwdb and the drivers of connected devices to match it; compile the hwdb if it is out of date
        #[arg(long)]
        apply: bool,
    },
    /// Show which drivers are attached, and what failed
    Status,
    /// Show the HID devices, and for each the drivers that match it or nearly do
    Devices {
        /// Show only this device
        device: Option<String>,
    },
    /// Show the installed drivers: what each changes, and the devices that are there for it
    Drivers {
        /// Show only this driver, with the rules by which it knows a device
        driver: Option<String>,
    },
    /// Run a driver over a recording in user space, and show what becomes of descriptor and reports
    ///
    /// Needs neither the device, nor root, nor a kernel with HID-BPF: the object itself is run, the same bytes that the kernel would load.
    #[command(after_help = "Examples:\n  hidbpf replay huion-inspiroy-2-s pad.hid\n  \
        hidbpf replay ./my-mouse.bpf.o my-mouse.hid --expect my-mouse.expected.hid")]
    Replay {
        /// A driver's name, or the path of its object (with a `/`, or ending in `.bpf.o`)
        driver: String,
        /// The recording, as of `hidbpf record` or hid-recorder
        recording: PathBuf,
        /// Compare with the recording in FILE; a difference is printed and ends with 1
        #[arg(long, value_name = "FILE", conflicts_with = "decode")]
        expect: Option<PathBuf>,
        /// Show the reports field by field, before and after, with what the driver changed marked
        #[arg(long)]
        decode: bool,
        /// Run the programs for this generation of kernels. Default: the newest that the driver has programs for
        #[arg(long, value_name = "GENERATION")]
        generation: Option<Hooks>,
        /// Tell the driver that the device has this udev property
        #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
        property: Vec<(String, String)>,
        /// Set an option of the driver
        #[arg(long, value_name = "KEY=VALUE", value_parser = property)]
        option: Vec<(String, String)>,
        /// What the device answers when the driver asks for a feature report: `5=05 00 01`
        #[arg(long, value_name = "ID=HEX")]
        feature: Vec<Feature>,
    },
    /// Ask a device for a report, or tell it one
    ///
    /// The current descriptor must declare the report. Warning: a request that the vendor's own tool would not send may damage the device.
    #[command(after_help = REQUEST_EXAMPLES)]
    Request {
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev
        device: String,
        #[command(subcommand)]
        ask: Ask,
    },
    /// Show what a report descriptor means, or what is inside a driver's object
    #[command(after_help = INSPECT_EXAMPLES)]
    Inspect(Inspect),
    /// Record what a device sends, as hid-recorder does, until it is unplugged or Ctrl-C is pressed
    ///
    /// The recording has the original descriptor, and the reports as the device sent them, also when a driver is attached.
    #[command(after_help = "Example:\n  hidbpf record /dev/hidraw3 -o my-mouse.hid")]
    Record {
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev
        device: String,
        /// Write to FILE, which must not be there yet, instead of standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show what a device sends, what its drivers make of that, and what input events come of it, as it happens
    ///
    /// `sent` is a report as it came from the device, read by the original descriptor. `fixed` is what the drivers made of it, read
    /// by the current descriptor, with a `*` before what the device did not say so; `same` stands where they let it pass, and `dropped`
    /// where they did not. `input` is an event that came of it. Of the fields, those are named that the report before of the same id
    /// had not so. Of more than 20 reports a second the others are counted. Ends when the device is unplugged, or with Ctrl-C.
    Monitor {
        /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev
        device: String,
        /// Show every report, also when a thousand come in a second
        #[arg(long)]
        all: bool,
    },
    /// Make a new driver's folder from a recording or a device
    ///
    /// The driver is for exactly that device. It builds, its test passes, and it changes nothing yet: its source has the descriptor,
    /// item by item, and where each field is in the reports.
    #[command(
        after_help = "Examples:\n  hidbpf new logitech-m90 --from m90.hid\n  hidbpf new logitech-m90 --from /dev/hidraw3"
    )]
    New {
        /// The driver's name, such as `logitech-m90`; the folder of that name is made in the current directory
        #[arg(value_parser = |name: &str| DriverName::new(name))]
        name: DriverName,
        /// A recording, or a device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev. May be given again for a
        /// device's other interfaces
        #[arg(long, value_name = "RECORDING|DEVICE", required = true)]
        from: Vec<String>,
    },
    /// Compile a driver's folder, and run it over the recordings in it
    ///
    /// Needs clang and nothing else: neither the device, nor root, nor a kernel with HID-BPF. The object is written to the folder's
    /// `build`, with the headers that it was compiled with.
    #[command(
        after_help = "Examples:\n  hidbpf build my-mouse\n  sudo hidbpf build my-mouse --watch --device /dev/hidraw3"
    )]
    Build {
        /// The driver's folder
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Write to DIR instead of the folder's `build`
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Attach the driver to this device when it is built, in place of what it was
        #[arg(long)]
        device: Option<String>,
        /// Do it again whenever a file of the folder is saved, until Ctrl-C
        #[arg(long)]
        watch: bool,
    },
    /// Look for what keeps devices from being fixed on this machine, or one of them
    Doctor {
        /// The device: which drivers there are for it, and why each is on it or is not
        device: Option<String>,
    },
    /// Print udev's hwdb entries for the installed drivers, for packages
    ///
    /// A package of drivers installs them as a file of its own in /usr/lib/udev/hwdb.d, whose name has `hidbpf` in it. On a machine, `hidbpf
    /// config --apply` writes the entries that no package has.
    #[command(after_help = "Example:\n  hidbpf --drivers build hwdb > 81-hidbpf-example.hwdb")]
    Hwdb,
    /// What the udev rules call
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
    /// Write what the installed drivers are for as Markdown, a page a driver and an index
    #[command(hide = true)]
    Pages {
        /// The directory to write to
        dir: PathBuf,
        /// Where the drivers' folders are, for links to them: a URL, or a path from DIR
        #[arg(long, value_name = "URL")]
        sources: Option<String>,
    },
    /// Write the manual pages, a page a command
    #[command(hide = true)]
    Man {
        /// The directory to write to; without it, the page of `hidbpf` goes to standard output
        dir: Option<PathBuf>,
    },
}

/// What a device is asked or told.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Ask for a report (GET_REPORT), and show it
    Get {
        /// The report's type
        report: ReportKind,
        /// The report's id, decimal or after 0x in hex; 0 where the device doesn't number its reports
        #[arg(value_parser = report_id)]
        id: u8,
    },
    /// Set a report (SET_REPORT)
    Set {
        /// The report's type
        report: ReportKind,
        /// The report's id, decimal or after 0x in hex; 0 where the device doesn't number its reports
        #[arg(value_parser = report_id)]
        id: u8,
        /// The report after its id, in hex; what is missing at its end is 0
        #[arg(required = true, value_parser = hex)]
        bytes: Vec<Vec<u8>>,
    },
    /// Send an output report on the device's own channel for those. Linux 6.11 and later
    Send {
        /// The report's id, decimal or after 0x in hex; 0 where the device doesn't number its reports
        #[arg(value_parser = report_id)]
        id: u8,
        /// The report after its id, in hex; what is missing at its end is 0
        #[arg(required = true, value_parser = hex)]
        bytes: Vec<Vec<u8>>,
    },
}

/// A type of reports.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ReportKind {
    /// What can be asked for and set
    Feature,
    /// What the device sends by itself
    Input,
    /// What is sent to the device
    Output,
}

fn report_id(text: &str) -> Result<u8, String> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.map_err(|error| format!("expected 0 to 255, or 0x00 to 0xff: {error}"))
}

fn hex(text: &str) -> Result<Vec<u8>, InvalidHex> {
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

#[derive(Debug, clap::Args)]
pub struct OneDevice {
    /// The device: its name in /sys/bus/hid/devices, a path in sysfs, or a node in /dev. It is known by its ids, and its serial number
    /// where it has one. Default: all devices
    pub device: Option<String>,
    /// Know the device by its ids and the port that it is plugged into, not by its serial number
    #[arg(long, requires = "device")]
    pub port: bool,
}

#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// A device, a recording (`mouse.hid`), a driver's name, the path of a driver's object, a file with a descriptor as bytes or in hex,
    /// the descriptor itself in hex, or `-` for any of the files on standard input
    pub what: String,
    /// Show the descriptor item by item, with offsets and bytes
    #[arg(long)]
    pub items: bool,
    /// Show the reports that the descriptor declares, with the fields of each: the default, unless --items is given
    #[arg(long)]
    pub reports: bool,
    /// Of a device, show this one of its descriptors. Default: the current one, or the original if there is no current one
    #[arg(long, value_name = "WHICH", conflicts_with = "diff")]
    pub descriptor: Option<WhichDescriptor>,
    /// Show what differs between the original descriptor and what DRIVER makes of it, which is run for that in user space; without DRIVER,
    /// between a device's original descriptor and the current one
    #[arg(long, value_name = "DRIVER")]
    pub diff: Option<Option<String>>,
    /// Draw the bits of each report into FILE, as SVG; with --diff, before and after
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
    /// A HID device appeared, a kernel driver was bound to it, or one of its nodes has udev properties that drivers ask for
    Add {
        /// The path of the device in sysfs, or of something below it
        syspath: PathBuf,
        /// Why the program that udev starts leaves the work to this one, which takes longer
        #[arg(long, value_name = "REASON", hide = true)]
        not_fast: Option<String>,
    },
    /// Devices may have forgotten what drivers have told them: the machine woke up, or a kernel driver was bound to one of them
    Resume {
        /// The path of the device in sysfs. Default: all that drivers talk to
        syspath: Option<PathBuf>,
    },
    /// A HID device has gone
    Remove {
        /// The device's path in sysfs, which is there no more
        syspath: PathBuf,
    },
}
