//! Determines the subject of `inspect` from its argument.

use std::io;
use std::path::Path;

use hidbpf::descriptor::HexBytes;
use hidbpf::descriptor::diagnose::{self, Finding};
use hidbpf::descriptor::posted::{self, Origin};
use hidbpf::descriptors::{self, NoCurrent, Which};
use hidbpf::device::Device;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::ids::HidName;
use hidbpf::manager::Manager;
use hidbpf::names::DriverName;
use hidbpf::object::DriverObject;
use hidbpf::recording;
use hidbpf::replay;
use hidbpf::text::Printable;
use serde_json::{Value, json};

use crate::args::Choice;
use crate::commands::{Context, is_object_path, source};

/// The subject.
pub enum Subject {
    /// A driver.
    Driver(Box<DriverObject>),
    /// Descriptors with their JSON name: those of a recording, one device, or bytes.
    Sheets(Vec<Sheet>, &'static str),
}

/// A descriptor, with the data of its device.
#[derive(Clone)]
pub struct Sheet {
    /// The heading.
    pub title: String,
    /// Further lines of text.
    pub lines: Vec<String>,
    /// The same for JSON.
    pub about: Value,
    /// The device to run a driver on.
    pub subject: replay::ReplayDevice,
    /// The settings for the driver.
    pub settings: replay::Settings,
    /// The device, if it is connected to this machine.
    pub device: Option<Device>,
    /// The kind of descriptor.
    pub which: Option<Which>,
    /// The findings in descriptor and reports, if it comes from a recording.
    pub findings: Option<Vec<Finding>>,
    /// The recorded device, if it comes from a recording.
    pub recorded: Option<Box<recording::RecordedDevice>>,
}

impl Subject {
    /// Finds the subject, first by the form of its name, then by what exists.
    pub fn find(context: &Context, what: &str, choice: &Choice, which: Option<Which>) -> Result<Subject, Error> {
        let found = Subject::find_any(context, what, choice, which)?;
        match (&found, which) {
            (Subject::Sheets(sheets, _), Some(which @ (Which::Fixed | Which::Current)))
                if sheets.iter().any(|sheet| sheet.device.is_none()) =>
            {
                let what = format!("`{}` is not a device, and has no {which} descriptor", Printable(what));
                let hint = "`--diff DRIVER` shows what a driver makes of it";
                Err(Error::new(ErrorKind::NoDevice, what).with_hint(hint))
            }
            _ => Ok(found),
        }
    }

    fn find_any(context: &Context, what: &str, choice: &Choice, which: Option<Which>) -> Result<Subject, Error> {
        let path = Path::new(what);
        if what == "-" {
            let name = "standard input";
            return Subject::read(name, Path::new("-"), source::content(name, io::stdin().lock())?, choice);
        }
        if what.parse::<HidName>().is_ok() {
            return Subject::device(context, Device::find(&context.system, what)?, which);
        }
        // A name can be both a driver's and a file's in the current directory.
        let name = DriverName::new(what).ok();
        let is_installed = |name: &DriverName| context.system.find_driver(name).is_some();
        if path.is_file() && !name.as_ref().is_some_and(is_installed) {
            return Subject::read(what, path, source::file(path)?, choice);
        }
        if is_object_path(what) && what.ends_with(hidbpf::names::OBJECT_SUFFIX) {
            return Ok(Subject::Driver(Box::new(context.driver(what)?)));
        }
        if what.contains('/') {
            return Subject::device(context, Device::find(&context.system, what)?, which);
        }
        let driver = match name {
            Some(_) => context.driver(what),
            None => Err(Error::new(ErrorKind::NoDriver, "no driver has such a name")),
        };
        match (driver, hex(what)) {
            (Ok(driver), _) => Ok(Subject::Driver(Box::new(driver))),
            (Err(error), _) if error.kind() != ErrorKind::NoDriver => Err(error),
            (Err(_), Some(bytes)) => Ok(Subject::bytes("hex from the command line", bytes)),
            (Err(error), None) => {
                let what = format!("`{}` is not a driver, device, file or descriptor in hex", Printable(what));
                Err(Error::because(ErrorKind::NoDriver, what, error))
            }
        }
    }

    /// Returns its JSON name.
    pub fn json_name(&self) -> &'static str {
        match self {
            Subject::Driver(_) => "driver",
            Subject::Sheets(_, name) => name,
        }
    }

    /// Reads a file of any supported kind: an object, or what people post.
    fn read(name: &str, path: &Path, content: Vec<u8>, choice: &Choice) -> Result<Subject, Error> {
        if content.starts_with(b"\x7fELF") || name.ends_with(hidbpf::names::OBJECT_SUFFIX) {
            return Ok(Subject::Driver(Box::new(DriverObject::parse(path, content)?)));
        }
        let posted = source::parse(name, &content, choice)?;
        let mut sheets = Vec::new();
        for (index, device) in posted.recording.devices.iter().enumerate() {
            if device.descriptor.is_empty() {
                let count = posted.recording.events_of(index).count();
                let what = source::called(&posted, index);
                tracing::warn!("{}: {what} has {count} reports and no report descriptor", Printable(name));
            } else if source::is_bare(&posted) {
                return Ok(Subject::bytes(name, device.descriptor.clone()));
            } else {
                sheets.push(Sheet::of_recorded(
                    device,
                    &posted.origins[index],
                    diagnose::recording(&posted.recording, index),
                ));
            }
        }
        if sheets.is_empty() {
            return Err(source::no_descriptor(name, &posted));
        }
        Ok(Subject::Sheets(sheets, "recording"))
    }

    fn device(context: &Context, device: Device, which: Option<Which>) -> Result<Subject, Error> {
        let system = &context.system;
        let mut sheet = Sheet::of_device(&device);
        let shown = match which {
            Some(which) => which,
            None => match NoCurrent::of(system, &device)? {
                None => Which::Current,
                Some(why) => {
                    sheet.lines.push(format!("no current descriptor: {why}"));
                    Which::Original
                }
            },
        };
        let descriptor = descriptors::read(system, &device, shown)?;
        if which.is_none() && shown == Which::Current {
            let read = Manager::new(system).with_original_if_possible(device.clone())?;
            if read.original().is_some_and(|original| original != descriptor) {
                sheet
                    .lines
                    .push("the original descriptor differs from the current one: `--diff` shows both".to_owned());
            }
        }
        sheet.device = Some(device);
        Ok(Subject::Sheets(vec![sheet.with(shown, descriptor)], "device"))
    }

    fn bytes(name: &str, descriptor: Vec<u8>) -> Subject {
        let subject = replay::ReplayDevice::of_descriptor(descriptor);
        let sheet = Sheet {
            title: name.to_owned(),
            lines: Vec::new(),
            about: json!({ "name": name }),
            subject,
            settings: replay::Settings::default(),
            device: None,
            which: None,
            findings: None,
            recorded: None,
        };
        Subject::Sheets(vec![sheet], "descriptor")
    }
}

impl Sheet {
    /// Returns the sheet with another descriptor of the device.
    pub fn with(mut self, which: Which, descriptor: Vec<u8>) -> Sheet {
        self.which = Some(which);
        self.subject.descriptor = descriptor;
        self
    }

    /// Returns the name of the descriptor.
    pub fn what(&self) -> String {
        self.which.map_or_else(|| "report descriptor".to_owned(), |which| format!("{which} report descriptor"))
    }

    fn of_recorded(device: &recording::RecordedDevice, origin: &Origin, findings: Vec<Finding>) -> Sheet {
        let ids = format!("{}, vendor {}, product {}", device.bus, device.vendor, device.product);
        let ids = origin.has_ids.then_some(ids);
        let phys = (!device.phys.is_empty()).then(|| format!("physical path: {}", Printable(&device.phys)));
        let interface = origin.interface.map(|number| format!("interface {number}"));
        let title = [&device.name, &origin.title].into_iter().find(|title| !title.is_empty()).cloned();
        let title = title.or_else(|| interface.clone()).unwrap_or_else(|| format!("device {}", device.number));
        Sheet {
            title,
            lines: ids.into_iter().chain(phys).collect(),
            about: json!({
                "number": device.number,
                "hid-name": device.name,
                "bus": device.bus,
                "vendor": device.vendor,
                "product": device.product,
                "phys": device.phys,
            }),
            subject: device.into(),
            settings: replay::Settings::of(device),
            device: None,
            which: None,
            findings: Some(findings),
            // Without IDs there is nothing to match.
            recorded: origin.has_ids.then(|| Box::new(device.clone())),
        }
    }

    fn of_device(device: &Device) -> Sheet {
        let ids = &device.modalias;
        let mut lines = vec![
            format!("{}, {}, vendor {}, product {}", ids.bus, ids.group, ids.vendor, ids.product),
            format!("kernel driver: {}", device.driver.as_deref().unwrap_or("none")),
        ];
        for (what, text) in [("physical path", &device.phys), ("serial number", &device.uniq)] {
            if !text.is_empty() {
                lines.push(format!("{what}: {}", Printable(text)));
            }
        }
        lines.extend(device.nodes().iter().map(|node| format!("node: {}", node.display())));
        Sheet {
            title: format!("{}: {}", device.name, device.hid_name),
            lines,
            about: json!({
                "device": device.name,
                "hid-name": device.hid_name,
                "modalias": device.modalias.to_string(),
                "phys": device.phys,
                "uniq": device.uniq,
                "kernel-driver": device.driver,
                "interface": device.interface,
                "nodes": device.nodes(),
            }),
            subject: replay::device_of(device),
            settings: replay::Settings::default(),
            device: None,
            which: None,
            findings: None,
            recorded: None,
        }
    }
}

/// Returns the bytes of hex from the command line.
fn hex(text: &str) -> Option<Vec<u8>> {
    let bytes = match text.parse::<HexBytes>() {
        Ok(HexBytes(bytes)) => bytes,
        Err(_) => posted::read(text.as_bytes()).ok()?.recording.devices.first()?.descriptor.clone(),
    };
    Some(bytes).filter(|bytes| bytes.len() > 1)
}
