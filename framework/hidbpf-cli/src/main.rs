//! The command `hidbpf`: parses arguments, calls the library, and prints results. Users of the library can do the same.

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
            // The first failure determines the exit code, so that the failure of one device among many remains visible.
            failures.first().map_or(ExitCode::FAILURE, Failure::exit)
        }
    }
}
