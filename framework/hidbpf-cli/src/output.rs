//! Prints results and failures: results on standard output as text or JSON, messages on standard error.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use hidbpf::error::{Error, ErrorKind};
use hidbpf::text::Printable;
use serde::Serialize;

/// The version of the JSON output. It increases if a key is removed or changes its meaning, but not if one is added.
const JSON_VERSION: u32 = 2;

/// The reason why a command did not do everything that was requested.
#[derive(Debug)]
pub enum Failure {
    /// An error of the library.
    Library(Error),
    /// Standard output is closed or full.
    Output(io::Error),
    /// The result itself is the failure, and has already been printed.
    Told,
}

/// The result of a command. With several devices, each can fail separately.
pub type Outcome = Result<(), Failures>;

/// One or more failures.
#[derive(Debug)]
pub struct Failures(pub Vec<Failure>);

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Library(error)
    }
}

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Failures {
        Failures(vec![failure])
    }
}

impl From<Error> for Failures {
    fn from(error: Error) -> Failures {
        Failures(vec![error.into()])
    }
}

impl From<Vec<Error>> for Failures {
    fn from(errors: Vec<Error>) -> Failures {
        Failures(errors.into_iter().map(Failure::from).collect())
    }
}

impl Failure {
    const FAILED: u8 = 1;
    const NOTHING_MATCHED: u8 = 3;
    const KERNEL_CANNOT: u8 = 4;

    fn code(&self) -> u8 {
        match self {
            Failure::Library(error) => match error.kind() {
                ErrorKind::NoMatch => Failure::NOTHING_MATCHED,
                ErrorKind::Kernel => Failure::KERNEL_CANNOT,
                _ => Failure::FAILED,
            },
            Failure::Output(_) | Failure::Told => Failure::FAILED,
        }
    }

    /// Returns the exit status.
    pub fn exit(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

/// Prints a failure on standard error. `verbose` selects all of the kernel's messages instead of the important ones.
pub fn complain(failure: &Failure, verbose: bool) {
    // A verifier's log can have a hundred thousand lines.
    let mut stderr = io::BufWriter::new(io::stderr().lock());
    // Nothing can be done if standard error is closed.
    let _ = match failure {
        Failure::Library(error) => write_error(&mut stderr, error, verbose),
        Failure::Output(error) => writeln!(stderr, "hidbpf: failed to write the answer: {error}"),
        Failure::Told => Ok(()),
    }
    .and_then(|()| stderr.flush());
}

/// Prints a line on standard error that explains the result, and is no warning.
pub fn say(line: &str) {
    // The result matters more than its explanation.
    let _ = writeln!(io::stderr().lock(), "{}", Printable(line));
}

fn write_error(to: &mut impl Write, error: &Error, verbose: bool) -> io::Result<()> {
    writeln!(to, "hidbpf: {error}")?;
    let place = error.place().to_string();
    if !place.is_empty() {
        writeln!(to, "  {place}")?;
    }
    if let Some(hint) = error.hint() {
        writeln!(to, "  {hint}")?;
    }
    let (shown, whole) = (error.log().unwrap_or_default(), error.whole_log().unwrap_or_default());
    let shown = if verbose { whole } else { shown };
    for line in shown.lines() {
        writeln!(to, "  | {line}")?;
    }
    match whole.lines().count().saturating_sub(shown.lines().count()) {
        0 => Ok(()),
        more => writeln!(to, "  | ({more} more lines with --verbose)"),
    }
}

/// Prints a result as text.
pub fn text(answer: impl fmt::Display) -> Outcome {
    write(|stdout| write!(stdout, "{answer}"))
}

/// Prints a result as JSON: an object with `version`, and the result under its own name.
pub fn json(name: &'static str, answer: &impl Serialize) -> Outcome {
    let document = serde_json::json!({ "version": JSON_VERSION, name: answer });
    write(|stdout| {
        serde_json::to_writer_pretty(&mut *stdout, &document)?;
        writeln!(stdout)
    })
}

/// Writes to standard output. A closed pipe (`| head`) is not a failure.
pub fn write(what: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome {
    let mut stdout = anstream::stdout().lock();
    let result = what(&mut stdout).and_then(|()| stdout.flush());
    has_reader(result).map(drop)
}

/// Writes a part of a longer result, and returns whether it still has a reader.
pub fn stream(to: &mut dyn Write, text: &str) -> Result<bool, Failures> {
    has_reader(to.write_all(text.as_bytes()).and_then(|()| to.flush()))
}

fn has_reader(result: io::Result<()>) -> Result<bool, Failures> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Output(error).into()),
    }
}
