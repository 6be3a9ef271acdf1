//! Sends the log to standard error, and to the journal if udev started the process, because udev discards the output of
//! its programs.

use std::io::IsTerminal;

use hidbpf::error::Error;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Args, Command};

/// Logs a warning about an error that doesn't stop the command, with its hint.
pub fn warn(error: &Error) {
    match error.hint() {
        Some(hint) => tracing::warn!("{error}\n  {hint}"),
        None => tracing::warn!("{error}"),
    }
}

pub fn start(args: &Args) {
    let from_udev = matches!(args.command, Command::Udev { .. });
    let level = match (args.verbose, from_udev) {
        (true, _) => LevelFilter::DEBUG,
        (false, true) => LevelFilter::INFO,
        (false, false) => LevelFilter::WARN,
    };
    let journal = from_udev
        .then(tracing_journald::layer)
        .and_then(Result::ok)
        .map(|layer| layer.with_syslog_identifier("hidbpf".to_owned()).with_field_prefix(Some("HIDBPF".to_owned())));
    let stderr = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false);
    // There can't be another subscriber yet. Without one the log would be lost, but not the result.
    let _ = tracing_subscriber::registry().with(journal.with_filter(level)).with(stderr.with_filter(level)).try_init();
}
