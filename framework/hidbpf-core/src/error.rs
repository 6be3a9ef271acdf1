//! The error type of this library: what failed, at which step, why, and a hint.

use std::error::Error as StdError;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{HidName, NoHidDevice};
use crate::names::DriverName;

/// A result of this library.
pub type Result<T> = std::result::Result<T, Error>;

/// The kinds of failure that callers may want to distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The named device does not exist or is not a HID device.
    NoDevice,
    /// The device was unplugged during the operation.
    Gone,
    /// The driver can't be attached in the device's present state, for example without a kernel driver.
    NotReady,
    /// No driver has that name, or no such file exists.
    NoDriver,
    /// The driver does not match the device, or any connected device.
    NoMatch,
    /// The object is damaged, is not a driver, or is not for BPF.
    BadObject,
    /// The driver's own probe program refused the device.
    Refused,
    /// Another driver has or wants a resource that only one can have.
    Conflict,
    /// The driver is already attached to the device.
    AlreadyAttached,
    /// The driver is not attached.
    NotAttached,
    /// This kernel lacks a required feature.
    Kernel,
    /// The process lacks a privilege.
    Permission,
    /// bpffs is not mounted or can't be written.
    Bpffs,
    /// The kernel's verifier, or libbpf before it, refused the programs.
    Load,
    /// The kernel refused to attach the programs.
    Attach,
    /// All steps succeeded, but the device is not fixed.
    NotFixed,
    /// The device is not fixed because the kernel did not run the driver's descriptor hook.
    Skipped,
    /// The device refused a request of the setup, or did not answer.
    NotSetUp,
    /// Another process holds the device's lock.
    Busy,
    /// The fast loader can't attach the driver. Another loader may.
    NotFast,
    /// A configuration file is invalid or contains an impossible value.
    Config,
    /// A required program is not installed.
    NoProgram,
    /// Reading or writing failed.
    Io,
}

/// A step of attaching or detaching a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Reading the drivers and matching them against the device.
    Choose,
    /// Waiting for other processes that work on the device, and reading the device.
    Lock,
    /// Writing the state to /run/hidbpf.
    Remember,
    /// Checking all conditions that need no loaded program.
    Prepare,
    /// Switching the mode of the device: [`crate::mode_switch`].
    SwitchMode,
    /// Running the driver's own probe program.
    Probe,
    /// Loading the programs, which the kernel verifies.
    Load,
    /// Attaching the programs to the device.
    Attach,
    /// Checking whether the device is fixed.
    Verify,
    /// Running the driver's setup.
    SetUp,
    /// Pinning the links in bpffs.
    Pin,
    /// Detaching a driver.
    Detach,
    /// Cleaning up after a device was unplugged.
    CleanUp,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Step::Choose => "choose",
            Step::Lock => "lock",
            Step::Remember => "remember",
            Step::Prepare => "prepare",
            Step::SwitchMode => "switch mode",
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

/// The place of a failure.
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

/// An error: what failed, at which step, why, and a hint.
///
/// `{}` prints the failure and its causes in one line. [`Error::place`], [`Error::hint`] and [`Error::log`] are printed
/// separately.
//
// Boxed to keep `Result` small on the success path.
pub struct Error(Box<ErrorData>);

struct ErrorData {
    kind: ErrorKind,
    what: String,
    hint: Option<String>,
    log: Option<String>,
    excerpt: Option<String>,
    place: Place,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Creates an error without a cause. `what` reads "failed to attach `x` to `y`".
    #[cold]
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Error {
        let data = ErrorData {
            kind,
            what: what.into(),
            hint: None,
            log: None,
            excerpt: None,
            place: Place::default(),
            source: None,
        };
        Error(Box::new(data))
    }

    /// Creates an error that another error caused.
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

    /// Creates an error from a system error: [`ErrorKind::Permission`] if permission was denied, else of this kind.
    #[cold]
    pub fn permission_or(kind: ErrorKind, what: impl Into<String>, source: std::io::Error) -> Error {
        let kind = match source.kind() {
            std::io::ErrorKind::PermissionDenied => ErrorKind::Permission,
            _ => kind,
        };
        Error::because(kind, what, source)
    }

    /// Changes the kind.
    #[cold]
    #[must_use]
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Error {
        self.0.kind = kind;
        self
    }

    /// Adds the hint.
    #[cold]
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds the log of libbpf and the kernel's verifier.
    #[cold]
    #[must_use]
    pub fn with_log(mut self, log: impl Into<String>) -> Error {
        let log = log.into();
        self.0.log = (!log.trim().is_empty()).then_some(log);
        self
    }

    /// Adds the relevant lines of the log, if not all are relevant.
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

    /// Returns the place of the failure, as far as it is known.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the hint, as a sentence or command.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Returns the relevant lines of the log of libbpf and the kernel's verifier.
    ///
    /// The whole log can have a hundred thousand lines.
    pub fn log(&self) -> Option<&str> {
        self.0.excerpt.as_deref().or(self.whole_log())
    }

    /// Returns the whole log of libbpf and the kernel's verifier.
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
