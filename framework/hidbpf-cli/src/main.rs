//! The command `hidbpf`: parse, call the library, print. What it can do, a user of the library can do.

mod args;
mod commands;
mod log;
mod output;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Args;
use crate::output::{Failure, Failures};

fn main() -> ExitCode {
    let args = Args::parse();
    log::start(&args);
    let verbose = args.verbose;
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failures(failures)) => {
            failures.iter().for_each(|failure| output::complain(failure, verbose));
            // Of several failures the first decides, so that one device among many that failed is not hidden by the others.
            failures.first().map_or(ExitCode::FAILURE, Failure::exit)
        }
    }
}
