//! The one error type of the library: what failed, at which step, why, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{HidName, NoHidDevice};
use crate::names::DriverName;

/// A result of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something failed, in kinds that a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The named device does not exist or is no HID device.
    NoDevice,
    /// The device was there and has gone while it was worked on.
    Gone,
    /// The device is not in a state in which the driver may be attached, for example without a kernel driver.
    NotReady,
    /// No driver of that name, or no such file.
    NoDriver,
    /// The driver is not for the device, or for no device that is there.
    NoMatch,
    /// The object is damaged, is no driver, or is for something else than BPF.
    BadObject,
    /// The driver's own probe program refused the device.
    Refused,
    /// Another driver has or wants what only one can have.
    Conflict,
    /// The driver is attached to the device already.
    AlreadyAttached,
    /// The driver is not attached.
    NotAttached,
    /// This kernel lacks what is needed.
    Kernel,
    /// The process lacks a privilege.
    Permission,
    /// bpffs is not mounted or can't be written.
    Bpffs,
    /// The kernel's verifier, or libbpf before it, would not load the programs.
    Load,
    /// The kernel would not attach the programs.
    Attach,
    /// All steps succeeded and yet the device is not fixed.
    NotFixed,
    /// The same, since the kernel did not run the driver's descriptor hook.
    Skipped,
    /// The device did not do what it was told, or did not answer.
    NotSetUp,
    /// Another process holds the device's lock.
    Busy,
    /// The fast way of loading could not be taken; another one may do.
    NotFast,
    /// A configuration file is broken, or says what can't be.
    Config,
    /// A program that is needed is not installed.
    NoProgram,
    /// Reading or writing failed.
    Io,
}

/// A step on the way of a driver to a device, or from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Reading the drivers, and which of them are for the device.
    Choose,
    /// Waiting until no other process works on the device, and looking at it.
    Lock,
    /// Keeping in /run/hidbpf what is being done.
    Remember,
    /// Checking what can be known without loading anything.
    Prepare,
    /// Asking the driver's own probe program.
    Probe,
    /// Loading the programs: the verifier's work.
    Load,
    /// Attaching them to the device.
    Attach,
    /// Looking whether the device is fixed.
    Verify,
    /// Having the driver talk to its device.
    SetUp,
    /// Pinning the links in bpffs.
    Pin,
    /// Taking a driver off.
    Detach,
    /// Removing what is left of a device that has gone.
    CleanUp,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Step::Choose => "choose",
            Step::Lock => "lock",
            Step::Remember => "remember",
            Step::Prepare => "prepare",
            Step::Probe => "probe",
            Step::Load => "load",
            Step::Attach => "attach",
            Step::Verify => "verify",
            Step::SetUp => "set up",
            Step::Pin => "pin",
            Step::Detach => "detach",
            Step::CleanUp => "clean up",
        })
    }
}

/// Where something failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The device.
    pub device: Option<HidName>,
    /// The driver.
    pub driver: Option<DriverName>,
    /// The step.
    pub step: Option<Step>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.as_ref().map(|device| format!("device {device}"));
        let driver = self.driver.as_ref().map(|driver| format!("driver {driver}"));
        let step = self.step.map(|step| format!("step {step}"));
        f.write_str(&[device, driver, step].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// What failed, at which step, why, and what to do about it.
///
/// `{}` prints the failure and its causes in one line. [`Error::place`], [`Error::hint`] and [`Error::log`] are printed apart.
//
// In a box: what is seldom there is not to be moved about by all that could fail.
pub struct Error(Box<Failure>);

struct Failure {
    kind: ErrorKind,
    what: String,
    hint: Option<String>,
    log: Option<String>,
    excerpt: Option<String>,
    place: Place,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause below it. `what` reads "failed to attach `x` to `y`".
    #[cold]
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Error {
        let failure = Failure {
            kind,
            what: what.into(),
            hint: None,
            log: None,
            excerpt: None,
            place: Place::default(),
            source: None,
        };
        Error(Box::new(failure))
    }

    /// An error that another one caused.
    #[cold]
    pub fn because(
        kind: ErrorKind,
        what: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Error {
        let mut error = Error::new(kind, what);
        error.0.source = Some(source.into());
        error
    }

    /// An error of the system's: [`ErrorKind::Permission`] if it denied permission, else of this kind.
    #[cold]
    pub fn permission_or(kind: ErrorKind, what: impl Into<String>, source: std::io::Error) -> Error {
        let kind = match source.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => kind,
        };
        Error::because(kind, what, source)
    }

    /// Makes it one of another kind.
    #[cold]
    #[must_use]
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    /// Adds the way out.
    #[cold]
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds what libbpf and the kernel's verifier said.
    #[cold]
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Error {
        let log = log.into();
        self.0.log = (!log.trim().is_empty()).then_some(log);
        self
    }

    /// Adds the lines of the log that matter, where not all do.
    #[cold]
    #[must_use]
    pub fn with_excerpt(mut self, excerpt: impl Into<String>) -> Error {
        self.0.excerpt = Some(excerpt.into());
        self
    }

    /// Adds the step, unless a more exact one is known.
    #[cold]
    #[must_use]
    pub fn during(mut self, step: Step) -> Error {
        self.0.place.step.get_or_insert(step);
        self
    }

    /// Adds the device, unless it is known.
    #[cold]
    #[must_use]
    pub fn on(mut self, device: &HidName) -> Error {
        self.0.place.device.get_or_insert_with(|| device.clone());
        self
    }

    /// Adds the driver, unless it is known.
    #[cold]
    #[must_use]
    pub fn of(mut self, driver: &DriverName) -> Error {
        self.0.place.driver.get_or_insert_with(|| driver.clone());
        self
    }

    /// Where it failed, as far as is known.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do about it, as a sentence or command.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// What libbpf and the kernel's verifier said, the lines that matter: the verifier's own log has a hundred thousand at times.
    pub fn log(&self) -> Option<&str> {
        self.0.excerpt.as_deref().or(self.whole_log())
    }

    /// All that libbpf and the kernel's verifier said.
    pub fn whole_log(&self) -> Option<&str> {
        self.0.log.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        let mut source = self.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        if let Some(hint) = &self.0.hint {
            write!(f, " ({hint})")?;
        }
        if let Some(log) = self.log() {
            write!(f, "\n{log}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
impl From<NoHidDevice> for Error {
    fn from(error: NoHidDevice) -> Error {
        Error::new(ErrorKind::NoDevice, error.to_string())
    }
}
