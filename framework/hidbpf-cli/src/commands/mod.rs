//! The commands: one file each, with a function that calls the library and prints the result.

mod build;
mod config;
mod devices;
mod diagnose;
mod doctor;
mod drivers;
mod enable;
mod export;
mod generate;
mod get;
mod inspect;
mod install;
mod load;
mod mismatch;
mod monitor;
mod new;
mod pages;
mod record;
mod reload;
mod replay;
mod report;
mod request;
mod set;
mod source;
mod status;
mod takeover;
mod udev;
mod unload;
mod words;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hidbpf::catalog::Catalog;
use hidbpf::error::{Error, ErrorKind};
use hidbpf::manager::Wait;
use hidbpf::names::{DriverName, OBJECT_SUFFIX};
use hidbpf::object::DriverObject;
use hidbpf::system::System;

use crate::args::{Args, Command, UdevEvent};
use crate::log;
use crate::output::Outcome;

/// How long to wait for reports before checking whether to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// The context of every command.
struct Context {
    system: System,
    json: bool,
    /// Whether to print all of the kernel's messages.
    verbose: bool,
}

pub fn run(args: Args) -> Outcome {
    let mut system = System::default();
    if !args.drivers.is_empty() {
        system.driver_dirs = args.drivers;
    }
    if let Some(config) = args.config {
        system.config = config;
    }
    let context = Context { system, json: args.json, verbose: args.verbose };
    match args.command {
        Command::Load { driver, device, force } => load::run(&context, &driver, device.as_deref(), force),
        Command::Unload { what, device, all: _, no_wait } => {
            let wait = if no_wait { Wait::No } else { Wait::Shortly };
            unload::run(&context, what.as_deref(), device.as_deref(), wait)
        }
        Command::Reload { driver, device } => reload::run(&context, driver.as_deref(), device.as_deref()),
        Command::Enable { driver, device, force } => enable::enable(&context, &driver, &device, force),
        Command::Disable { driver, device } => enable::disable(&context, &driver, &device),
        Command::Set { driver, what, save, port } => set::run(&context, &driver, &what, save, port),
        Command::Get { driver, device } => get::run(&context, driver.as_deref(), device.as_deref()),
        Command::Install { what: Some(what), dry_run, .. } => install::install(&context, &what, dry_run),
        Command::Install { what: None, dry_run, .. } => takeover::take_over(&context, dry_run),
        Command::Uninstall { driver: Some(driver), dry_run, .. } => install::uninstall(&context, &driver, dry_run),
        Command::Uninstall { driver: None, dry_run, .. } => takeover::give_back(&context, dry_run),
        Command::Config { apply } => config::run(&context, apply),
        Command::Status => status::run(&context),
        Command::Devices { device } => devices::run(&context, device.as_deref()),
        Command::Drivers { driver } => drivers::run(&context, driver.as_deref()),
        Command::Replay { driver, recording, choice, expect, decode, generation, property, option, feature } => {
            let (properties, options, features) = (property, option, feature);
            let request = replay::Request { choice, expect, decode, generation, properties, options, features };
            replay::run(&context, &driver, &recording, &request)
        }
        Command::Request { device, ask } => request::run(&context, &device, &ask),
        Command::Inspect(arguments) => inspect::run(&context, &arguments),
        Command::Diagnose { what, choice } => diagnose::run(&context, &what, &choice),
        Command::Report { what, output, choice, driver, show_keys, show_serials } => {
            report::run(&context, &report::Request { what, output, choice, driver, show_keys, show_serials })
        }
        Command::Record { device, output, hide_keys } => record::run(&context, &device, output.as_deref(), hide_keys),
        Command::Monitor { device, all } => monitor::run(&context, &device, all),
        Command::New { name, from, ids, repair, c, choice } => {
            new::run(&context, &name, &new::New { from: &from, ids, repair, is_c: c, choice: &choice })
        }
        Command::Build { what, output, device, watch } => {
            build::run(&context, &build::Request { what, output, device, watch })
        }
        Command::Export { folder, output } => export::run(&folder, output.as_deref()),
        Command::Doctor { device } => doctor::run(&context, device.as_deref()),
        Command::Hwdb => generate::hwdb(&context),
        Command::Udev { event: UdevEvent::Add { syspath, not_fast } } => udev::add(&context, &syspath, not_fast),
        Command::Udev { event: UdevEvent::Resume { syspath } } => udev::resume(&context, syspath.as_deref()),
        Command::Udev { event: UdevEvent::Remove { syspath } } => udev::remove(&context, &syspath),
        Command::Completions { shell } => generate::completions(shell),
        Command::Headers { dir } => generate::headers(&dir),
        Command::Pages { dir, sources } => pages::run(&context, &dir, sources.as_deref()),
        Command::Man { dir } => generate::man(dir.as_deref()),
    }
}

impl Context {
    fn catalog(&self) -> Catalog {
        let catalog = Catalog::read(&self.system);
        for problem in &catalog.problems {
            log::warn(problem);
        }
        catalog
    }

    /// Returns the driver with this name, or the one in this object file.
    ///
    /// Reads all drivers only if this fails. Then a later directory may have the driver, and the error names similar ones.
    fn driver(&self, text: &str) -> Result<DriverObject, Error> {
        if is_object_path(text) {
            return DriverObject::read(Path::new(text));
        }
        let installed = DriverName::new(text).ok().and_then(|name| Catalog::find(&self.system, &name));
        match installed {
            Some(Ok(driver)) => Ok(driver),
            Some(Err(_)) | None => self.catalog().get(text).cloned(),
        }
    }
}

/// Returns a flag that becomes true on Ctrl-C or a termination signal, so that the command can finish in order.
fn interrupted() -> Result<Arc<AtomicBool>, Error> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&flag);
    ctrlc::set_handler(move || raised.store(true, Ordering::Relaxed))
        .map_err(|error| Error::because(ErrorKind::Io, "failed to prepare for Ctrl-C", error))?;
    Ok(flag)
}

/// Returns whether a text is a path. A driver's name can't contain these characters.
fn is_object_path(text: &str) -> bool {
    text.contains('/') || text.ends_with(OBJECT_SUFFIX)
}
