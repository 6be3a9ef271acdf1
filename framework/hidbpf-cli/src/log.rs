//! Where talk goes: standard error, and the journal when udev started us, since udev keeps the output of its helpers to itself.

use std::io::IsTerminal;

use hidbpf::error::Error;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Args, Command};

/// Warns of something that the command can do without, with what to do about it.
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
    // A second subscriber can't be there yet, and without any the talk is lost and the answer is not.
    let _ = tracing_subscriber::registry().with(journal.with_filter(level)).with(stderr.with_filter(level)).try_init();
}
