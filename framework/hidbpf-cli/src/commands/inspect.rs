//! `hidbpf inspect`.

mod driver;
mod subject;
mod text;

use std::fs;
use std::path::Path;

use hidbpf::descriptor::{
    Anatomy, Descriptor, Fixup, fixup, items_difference, picture, picture_of_difference, reports_difference,
};
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manager::Manager;
use hidbpf::manifest::HexBytes;
use hidbpf::object::DriverObject;
use hidbpf::text::Printable;
use serde_json::{Value, json};

use self::subject::{Sheet, Subject};
use super::Context;
use crate::args::Inspect;
use crate::output::{self, Failure, Outcome};

/// What is to be shown of each descriptor.
struct Wanted {
    items: bool,
    reports: bool,
}

/// A descriptor, and another one that it is compared with.
struct Shown {
    sheet: Sheet,
    anatomy: Anatomy,
    descriptor: Option<Descriptor>,
    /// How the other one came about, and its bytes, unless they are the same.
    after: Option<(String, Option<Box<Shown>>)>,
}

pub fn run(context: &Context, arguments: &Inspect) -> Outcome {
    let subject = Subject::find(context, &arguments.what)?;
    let wanted = Wanted { items: arguments.items, reports: arguments.reports || !arguments.items };
    let name = subject.json_name();
    let sheets = match subject {
        Subject::Driver(found) if arguments.items || arguments.diff.is_some() || arguments.svg.is_some() => {
            let what = format!("`{}` is a driver, and has no report descriptor of its own", found.name);
            let hint = format!("`hidbpf inspect <recording or device> --diff {}` shows what it does", found.name);
            return Err(Error::new(ErrorKind::NoDevice, what).with_hint(hint).into());
        }
        Subject::Driver(found) => return driver::show(context, &found),
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
            None => Shown::new(with_hint(context, sheet)),
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
    // What the kernel refuses is shown as far as it goes, and is no success.
    if shown.iter().any(|shown| shown.after().anatomy.fault.is_some()) { Err(Failure::Told.into()) } else { Ok(()) }
}

/// Says of a device whose descriptor a driver has fixed how to see that.
fn with_hint(context: &Context, mut sheet: Sheet) -> Sheet {
    // What is remembered of a device is nothing without a driver on it, and may be out of reach.
    let own = sheet.device.clone().and_then(|device| Manager::new(&context.system).own(device).ok());
    if own.is_some_and(|own| own.rdesc != sheet.subject.descriptor) {
        sheet
            .lines
            .push("fixed by a driver: `--diff` shows the device's own descriptor beside the one in force".to_owned());
    }
    sheet
}

/// Puts a descriptor beside what a driver makes of it, or a device's own beside the one in force.
fn compare(context: &Context, mut sheet: Sheet, driver: Option<&DriverObject>) -> Result<Shown, Error> {
    let Some(driver) = driver else {
        let Some(device) = sheet.device.clone() else {
            let what = format!(
                "failed to compare `{}` with the descriptor in force: it is no device",
                Printable(&sheet.title)
            );
            return Err(Error::new(ErrorKind::NoDevice, what).with_hint("name a driver after `--diff`"));
        };
        let in_force = device.rdesc.clone();
        sheet.subject = (&Manager::new(&context.system).own(device)?).into();
        let change = if in_force == sheet.subject.descriptor {
            "the descriptor in force is the device's own"
        } else {
            "as the drivers on the device have it"
        };
        return Ok(Shown::new(sheet).with(change.to_owned(), in_force));
    };
    if let Some(device) = sheet.device.clone() {
        sheet.settings.properties = device.properties(driver.all_properties());
        sheet.subject = (&Manager::new(&context.system).own(device)?).into();
    }
    let settings = sheet.settings.clone().for_driver(driver);
    let own = sheet.subject.descriptor.clone();
    let (change, descriptor) = match fixup(driver, &sheet.subject, &settings)? {
        Fixup::Unchanged => (format!("the driver `{}` leaves the descriptor as it is", driver.name), own),
        Fixup::NotTaken(errno) => (format!("the driver `{}` refuses the device (errno {})", driver.name, -errno), own),
        Fixup::Failed(errno) => {
            (format!("the driver `{}` fails (errno {}), and changes nothing", driver.name, -errno), own)
        }
        Fixup::Changed(descriptor) => (format!("fixed by `{}`", driver.name), descriptor),
    };
    Ok(Shown::new(sheet).with(change, descriptor))
}

fn draw(path: &Path, shown: &[Shown]) -> Result<(), Error> {
    // One picture holds the reports of all descriptors, as a recording can have several.
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
            sheet.subject.descriptor = after;
            Box::new(Shown::new(sheet))
        });
        self.after = Some((change, after));
        self
    }

    /// The descriptor after a change, or the same where there was none.
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

    /// Adds what there is to say of the descriptor.
    fn descriptor_json(&self, mut value: Value, wanted: &Wanted) -> Value {
        let bytes = &self.sheet.subject.descriptor;
        let fault = self.anatomy.fault.as_ref();
        value["descriptor"] = json!(HexBytes(bytes.clone()));
        value["size"] = json!(bytes.len());
        value["refused"] = json!(fault.map(|fault| json!({ "offset": fault.offset, "reason": fault.reason })));
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
