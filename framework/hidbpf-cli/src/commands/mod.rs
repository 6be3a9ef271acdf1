//! One file a command, each with one function that calls the library and prints the answer.

mod devices;
mod doctor;
mod drivers;
mod generate;
mod inspect;
mod load;
mod status;
mod udev;
mod unload;

use std::path::Path;

use hidbpf::catalog::Catalog;
use hidbpf::error::Error;
use hidbpf::object::DriverObject;
use hidbpf::system::{OBJECT_SUFFIX, System};

use crate::args::{Args, Command, UdevEvent};
use crate::output::Outcome;

/// What every command gets.
struct Context {
    system: System,
    json: bool,
}

pub fn run(args: Args) -> Outcome {
    let mut system = System::default();
    if !args.drivers.is_empty() {
        system.driver_dirs = args.drivers;
    }
    let context = Context { system, json: args.json };
    match args.command {
        Command::Load { driver, device, force } => load::run(&context, &driver, device.as_deref(), force),
        Command::Unload { what, device, all: _ } => unload::run(&context, what.as_deref(), device.as_deref()),
        Command::Status => status::run(&context),
        Command::Devices { device } => devices::run(&context, device.as_deref()),
        Command::Drivers { driver } => drivers::run(&context, driver.as_deref()),
        Command::Inspect { what } => inspect::run(&context, &what),
        Command::Doctor => doctor::run(&context),
        Command::Hwdb => generate::hwdb(&context),
        Command::Udev { event: UdevEvent::Add { syspath } } => udev::add(&context, &syspath),
        Command::Udev { event: UdevEvent::Remove { syspath } } => udev::remove(&context, &syspath),
        Command::Completions { shell } => generate::completions(shell),
        Command::Man { dir } => generate::man(dir.as_deref()),
    }
}

impl Context {
    fn catalog(&self) -> Catalog {
        let catalog = Catalog::read(&self.system);
        for problem in &catalog.problems {
            tracing::warn!("{problem}");
        }
        catalog
    }

    /// The driver that was named, or whose object was.
    fn driver(&self, text: &str) -> Result<DriverObject, Error> {
        if is_object_path(text) {
            return DriverObject::read(Path::new(text));
        }
        self.catalog().get(text).cloned()
    }
}

/// A file is told from a driver's name by what a name can't have.
fn is_object_path(text: &str) -> bool {
    text.contains('/') || text.ends_with(OBJECT_SUFFIX)
}
