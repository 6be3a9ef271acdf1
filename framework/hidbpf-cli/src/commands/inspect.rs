//! `hidbpf inspect`.

mod driver;
mod subject;
mod text;

use std::fs;
use std::path::Path;

use hidbpf::descriptor::{
    Anatomy, Descriptor, HexBytes, items_difference, picture, picture_of_difference, reports_difference,
};
use hidbpf::descriptors::{self, Which};
use hidbpf::error::{Error, ErrorKind};
use hidbpf::fixup::{Fixup, fixup};
use hidbpf::manager::Manager;
use hidbpf::object::DriverObject;
use hidbpf::recording;
use hidbpf::replay;
use hidbpf::text::Printable;
use serde_json::{Value, json};

use self::subject::{Sheet, Subject};
use super::Context;
use super::mismatch::mismatch;
use crate::args::{Inspect, WhichDescriptor};
use crate::output::{self, Failure, Outcome};

/// The parts to show of each descriptor.
struct Wanted {
    items: bool,
    reports: bool,
}

/// A descriptor, with another one to compare.
struct Shown {
    sheet: Sheet,
    anatomy: Anatomy,
    descriptor: Option<Descriptor>,
    /// The origin of the other descriptor, and the descriptor unless it is the same.
    after: Option<(String, Option<Box<Shown>>)>,
}

pub fn run(context: &Context, arguments: &Inspect) -> Outcome {
    let subject = Subject::find(context, &arguments.what, &arguments.choice, arguments.descriptor.map(Which::from))?;
    let wanted = Wanted { items: arguments.items, reports: arguments.reports || !arguments.items };
    let name = subject.json_name();
    let sheets = match subject {
        Subject::Driver(found)
            if arguments.items
                || arguments.diff.is_some()
                || arguments.svg.is_some()
                || arguments.descriptor.is_some() =>
        {
            let what = format!("`{}` is a driver, and has no report descriptor", found.name);
            let hint = format!("`hidbpf inspect <recording or device> --diff {}` shows what it does", found.name);
            return Err(Error::new(ErrorKind::NoDevice, what).with_hint(hint).into());
        }
        Subject::Driver(found) if arguments.disassembly => return driver::disassembly(context, &found),
        Subject::Driver(found) => return driver::show(context, &found),
        Subject::Sheets(..) if arguments.disassembly => {
            let what = format!("`{}` is not a driver, and has no instructions", Printable(&arguments.what));
            return Err(Error::new(ErrorKind::NoDriver, what)
                .with_hint("name a driver, or the path of its object, which ends in `.bpf.o`")
                .into());
        }
        Subject::Sheets(sheets, _) => sheets,
    };
    let driver = match &arguments.diff {
        Some(Some(driver)) => Some(context.driver(driver)?),
        _ => None,
    };
    let mut shown = Vec::new();
    for sheet in sheets {
        shown.push(match &arguments.diff {
            Some(_) => compare(context, sheet, driver.as_ref())?,
            None => Shown::new(sheet),
        });
    }
    if let Some(path) = &arguments.svg {
        draw(path, &shown)?;
    }
    if context.json {
        let values: Vec<Value> = shown.iter().map(|shown| shown.json(&wanted)).collect();
        match (name, values.as_slice()) {
            ("recording", _) => output::json(name, &json!({ "devices": values })),
            (_, [value]) => output::json(name, value),
            _ => output::json(name, &values),
        }?;
    } else {
        output::write(|stdout| {
            for (index, shown) in shown.iter().enumerate() {
                if index > 0 {
                    writeln!(stdout)?;
                }
                text::write(stdout, shown, &wanted)?;
            }
            Ok(())
        })?;
    }
    // A descriptor that the kernel refuses is shown as far as possible, but the command fails.
    if shown.iter().any(|shown| shown.after().anatomy.fault.is_some()) { Err(Failure::Told.into()) } else { Ok(()) }
}

impl From<WhichDescriptor> for Which {
    fn from(which: WhichDescriptor) -> Which {
        match which {
            WhichDescriptor::Original => Which::Original,
            WhichDescriptor::Fixed => Which::Fixed,
            WhichDescriptor::Current => Which::Current,
        }
    }
}

/// Compares a descriptor with a driver's result, or a device's original with the current one.
fn compare(context: &Context, mut sheet: Sheet, driver: Option<&DriverObject>) -> Result<Shown, Error> {
    let Some(driver) = driver else {
        let Some(device) = sheet.device.clone() else {
            let what = format!(
                "failed to compare `{}` with a current descriptor: it is not a device",
                Printable(&sheet.title)
            );
            return Err(Error::new(ErrorKind::NoDevice, what).with_hint("name a driver after `--diff`"));
        };
        let current = descriptors::read(&context.system, &device, Which::Current)?;
        sheet = sheet.with(Which::Original, descriptors::read(&context.system, &device, Which::Original)?);
        let change = if current == sheet.subject.descriptor {
            "the current descriptor is the original one".to_owned()
        } else {
            "as it was sent and as the kernel parsed it".to_owned()
        };
        return Ok(Shown::new(sheet).with(change, current));
    };
    if let Some(device) = sheet.device.clone() {
        sheet.settings.properties = device.properties(driver.all_properties());
        sheet = sheet.with(Which::Original, descriptors::read(&context.system, &device, Which::Original)?);
    }
    warn_of_mismatch(context, &sheet, driver)?;
    let settings = replay::for_driver(sheet.settings.clone(), driver, &sheet.subject);
    let original = sheet.subject.descriptor.clone();
    let (change, descriptor) = match fixup(driver, &sheet.subject, &settings)? {
        Fixup::Unchanged => (format!("the driver `{}` leaves the descriptor as it is", driver.name), original),
        Fixup::NotTaken(errno) => {
            (format!("the driver `{}` refuses the device (errno {})", driver.name, -errno), original)
        }
        Fixup::Failed(errno) => {
            (format!("the driver `{}` fails (errno {}), and changes nothing", driver.name, -errno), original)
        }
        Fixup::Changed(descriptor) => (format!("fixed by `{}`", driver.name), descriptor),
    };
    Ok(Shown::new(sheet).with(change, descriptor))
}

/// Warns in one line if the driver would not be attached to this device.
fn warn_of_mismatch(context: &Context, sheet: &Sheet, driver: &DriverObject) -> Result<(), Error> {
    let verdict = match (&sheet.device, &sheet.recorded) {
        (Some(device), _) => {
            let manager = Manager::new(&context.system);
            manager.judge(driver, &mut manager.unfixed(device.clone()))
        }
        (None, Some(recorded)) => recording::judge(&driver.manifest, recorded, &sheet.settings.properties),
        // Bytes have no IDs to match.
        (None, None) => return Ok(()),
    };
    if let Some(mismatch) = mismatch(driver, &verdict) {
        tracing::warn!("{}: {mismatch}", Printable(&sheet.title));
    }
    Ok(())
}

fn draw(path: &Path, shown: &[Shown]) -> Result<(), Error> {
    // One picture contains the reports of all descriptors, since a recording can have several.
    let title = shown.iter().map(|shown| shown.sheet.title.as_str()).collect::<Vec<_>>().join(", ");
    let is_difference = shown.iter().any(|shown| shown.after.is_some());
    let svg = if is_difference {
        let differences: Vec<_> = shown.iter().flat_map(Shown::reports_difference).collect();
        picture_of_difference(&title, &differences)
    } else {
        let descriptors = shown.iter().filter_map(|shown| shown.descriptor.as_ref());
        picture(&title, &descriptors.flat_map(|descriptor| descriptor.reports.clone()).collect::<Vec<_>>())
    };
    fs::write(path, svg)
        .map_err(|error| Error::because(ErrorKind::Io, format!("failed to write `{}`", path.display()), error))
}

impl Shown {
    fn new(sheet: Sheet) -> Shown {
        let bytes = &sheet.subject.descriptor;
        Shown { anatomy: Anatomy::of(bytes), descriptor: Descriptor::parse(bytes).ok(), sheet, after: None }
    }

    fn with(mut self, change: String, after: Vec<u8>) -> Shown {
        let after = (after != self.sheet.subject.descriptor).then(|| {
            let mut sheet = self.sheet.clone();
            sheet.which = None;
            sheet.subject.descriptor = after;
            Box::new(Shown::new(sheet))
        });
        self.after = Some((change, after));
        self
    }

    /// Returns the descriptor after the change, or the same one if it is unchanged.
    fn after(&self) -> &Shown {
        self.after.as_ref().and_then(|(_, after)| after.as_deref()).unwrap_or(self)
    }

    fn reports_difference(&self) -> Vec<hidbpf::descriptor::ReportDifference> {
        match (&self.descriptor, &self.after().descriptor) {
            (Some(before), Some(after)) => reports_difference(before, after),
            _ => Vec::new(),
        }
    }

    fn json(&self, wanted: &Wanted) -> Value {
        let mut value = self.descriptor_json(self.sheet.about.clone(), wanted);
        if let Some((change, _)) = &self.after {
            let after = self.after();
            let mut difference = json!({ "change": change, "after": after.descriptor_json(json!({}), wanted) });
            if wanted.items {
                difference["items"] = json!(items_difference(&self.anatomy, &after.anatomy));
            }
            if wanted.reports {
                difference["reports"] = json!(self.reports_difference());
            }
            value["difference"] = difference;
        }
        value
    }

    /// Adds the wanted parts of the descriptor.
    fn descriptor_json(&self, mut value: Value, wanted: &Wanted) -> Value {
        let bytes = &self.sheet.subject.descriptor;
        let fault = self.anatomy.fault.as_ref();
        value["which"] = json!(self.sheet.which);
        value["descriptor"] = json!(HexBytes(bytes.clone()));
        value["size"] = json!(bytes.len());
        value["refused"] = json!(fault.map(|fault| json!({
            "offset": fault.offset,
            "reason": fault.reason,
            "kernel": fault.kernel.to_string(),
        })));
        if wanted.items {
            value["items"] = json!(self.anatomy.items);
        }
        if let Some(descriptor) = self.descriptor.as_ref().filter(|_| wanted.reports) {
            value["reports"] = json!(descriptor.reports);
            value["collections"] = json!(descriptor.collections);
            value["passed-over"] = json!(descriptor.notes);
        }
        value
    }
}
