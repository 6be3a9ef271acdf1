//! Chooses how machines run: under KVM if a kernel has booted under it, otherwise under emulation.
//!
//! `/dev/kvm` alone proves nothing. On virtual machines it often opens, creates a machine, and then runs no kernel: QEMU exits, stops the
//! machine, or hangs. So this module tries KVM with each kernel and keeps the result in a file for a day.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::paths::Paths;

/// The environment variable that overrides the choice.
pub const VARIABLE: &str = "HIDBPF_ACCEL";

/// How long a result stays valid.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// A number that changes with each boot of this machine. Its KVM may be different after a reboot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The kind of processor that the guest gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's processor.
    Kvm,
    /// An emulated processor.
    Tcg,
    /// An emulated processor on which each instruction takes one nanosecond of the guest's time.
    CountedTcg,
}

/// The choices that a user has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// KVM if it runs the kernel.
    #[default]
    Auto,
    /// KVM, or a failure.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Choice {
    /// Reads the environment variable [`VARIABLE`].
    ///
    /// # Errors
    /// [`Fault::Usage`]: its value is not one of the allowed ones.
    pub fn from_environment() -> Result<Self> {
        Self::parse(std::env::var_os(VARIABLE).as_deref())
    }

    /// Checks the choice for a command that needs emulated machines. `why` gives the reason.
    ///
    /// # Errors
    /// [`Fault::Usage`]: as [`Choice::from_environment`], or the user asked for KVM.
    pub fn emulation_only(why: &str) -> Result<()> {
        match Self::from_environment()? {
            Self::Auto | Self::Tcg => Ok(()),
            Self::Kvm => {
                Err(Fault::Usage(format!("invalid value \"kvm\" in {VARIABLE}: {why}, which needs emulation")).into())
            }
        }
    }

    fn parse(value: Option<&OsStr>) -> Result<Self> {
        match value.map(|value| value.to_string_lossy()).as_deref() {
            None | Some("" | "auto") => Ok(Self::Auto),
            Some("kvm") => Ok(Self::Kvm),
            Some("tcg") => Ok(Self::Tcg),
            Some(other) => {
                Err(Fault::Usage(format!("invalid value \"{other}\" in {VARIABLE}: expected auto, kvm or tcg")).into())
            }
        }
    }
}

/// Chooses an accelerator for each machine, and learns from the results. All machines of a run share one.
#[derive(Debug)]
pub struct Accelerators {
    rule: Rule,
    known: Mutex<Known>,
}

/// The rule for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// KVM, until it fails.
    Try,
    /// KVM, even if it fails.
    Kvm,
    /// This kind of emulation.
    Emulate(Accelerator),
}

impl Accelerators {
    /// Reads the user's choice and the results of earlier runs.
    ///
    /// # Errors
    /// [`VARIABLE`] has an invalid value: [`Fault::Usage`]. Or the user asked for KVM, and `/dev/kvm` can't be opened.
    pub fn open(paths: &Paths) -> Result<Self> {
        let device = || File::options().read(true).write(true).open("/dev/kvm");
        let rule = match Choice::from_environment()? {
            Choice::Auto if device().is_ok() => Rule::Try,
            Choice::Auto | Choice::Tcg => Rule::Emulate(Accelerator::Tcg),
            Choice::Kvm => {
                device()
                    .with_context(|| format!("failed to use KVM, as {VARIABLE} asks: failed to open `/dev/kvm`"))?;
                Rule::Kvm
            }
        };
        Ok(Self::with(rule, &paths.vm.join("kvm.json")))
    }

    /// Returns an instance that emulates every machine in this way.
    pub fn emulation(kind: Accelerator) -> Self {
        Self { rule: Rule::Emulate(kind), known: Mutex::default() }
    }

    /// Returns an instance that follows a rule, with the results in `file`.
    pub fn with(rule: Rule, file: &Path) -> Self {
        Self { rule, known: Mutex::new(Known::read(file)) }
    }

    /// Returns the accelerator for a machine with this kernel.
    pub fn choose(&self, image: &Path) -> Accelerator {
        match self.rule {
            Rule::Kvm => Accelerator::Kvm,
            Rule::Emulate(kind) => kind,
            Rule::Try => match self.known().result(image) {
                Some(Found { works: false, .. }) => Accelerator::Tcg,
                _ => Accelerator::Kvm,
            },
        }
    }

    /// Returns true if emulation may replace KVM when KVM does not run a machine.
    pub fn may_switch(&self) -> bool {
        self.rule == Rule::Try
    }

    /// Records that KVM runs this kernel.
    ///
    /// # Errors
    /// The result can't be written.
    pub fn works(&self, image: &Path) -> Result<()> {
        self.known().put(image, true, None).map(drop)
    }

    /// Records that KVM does not run this kernel, and why. Returns true if that is new.
    ///
    /// # Errors
    /// The result can't be written.
    pub fn fails(&self, image: &Path, why: &str) -> Result<bool> {
        self.known().put(image, false, Some(why))
    }

    /// Locks the results. A thread that panicked while it held the lock has left complete results.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The results and their file.
#[derive(Debug, Default)]
struct Known {
    file: Option<PathBuf>,
    results: Results,
}

/// The contents of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Results {
    /// The boot of this machine during which the results were found.
    boot: String,
    /// The results by kernel image.
    kernels: BTreeMap<String, Found>,
}

/// Whether KVM runs a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    works: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The time of the result, in seconds since 1970.
    at: u64,
}

impl Known {
    /// Reads the file. A file that is missing, damaged or from another boot has no results, so KVM is tried.
    fn read(file: &Path) -> Self {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let kept = fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<Results>(&text).ok());
        let results = kept.filter(|kept| kept.boot == boot);
        Self { file: Some(file.to_owned()), results: results.unwrap_or_else(|| Results { boot, ..Results::default() }) }
    }

    /// Returns the result for a kernel, unless it is too old.
    fn result(&self, image: &Path) -> Option<&Found> {
        let found = self.results.kernels.get(&name_of(image))?;
        now().checked_sub(found.at).is_some_and(|age| age < BELIEVED.as_secs()).then_some(found)
    }

    fn put(&mut self, image: &Path, works: bool, why: Option<&str>) -> Result<bool> {
        // The time of the first success stays, so that KVM is tried again a day after it.
        if self.result(image).is_some_and(|found| found.works == works) {
            return Ok(false);
        }
        let found = Found { works, why: why.map(str::to_owned), at: now() };
        self.results.kernels.insert(name_of(image), found);
        self.write()?;
        Ok(true)
    }

    fn write(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let text = serde_json::to_string_pretty(&self.results).context("failed to write what KVM runs as JSON")?;
        let partial = file.with_extension("partial");
        fs::write(&partial, text).with_context(|| format!("failed to write `{}`", partial.display()))?;
        fs::rename(&partial, file).with_context(|| format!("failed to write `{}`", file.display()))
    }
}

/// Names an image by its path, size and time, so that a rebuilt kernel gets a new name.
fn name_of(image: &Path) -> String {
    let (size, time) = fs::metadata(image).map(|metadata| (metadata.len(), metadata.mtime())).unwrap_or_default();
    format!("{} {size} {time}", image.display())
}

/// Returns the time in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs()).unwrap_or_default()
}

/// Returns an error that describes how KVM failed to run the kernel `release`.
///
/// # Errors
/// Always.
pub fn refuse(release: &str, why: &str) -> Result<()> {
    bail!("failed to boot Linux {release} under KVM, as {VARIABLE} asks: {why}\nhint: {VARIABLE}=tcg emulates machines")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_allowed_values_are_taken() {
        let parse = |value: Option<&str>| Choice::parse(value.map(OsStr::new));
        for (value, choice) in [
            (None, Choice::Auto),
            (Some(""), Choice::Auto),
            (Some("auto"), Choice::Auto),
            (Some("kvm"), Choice::Kvm),
            (Some("tcg"), Choice::Tcg),
        ] {
            assert_eq!(parse(value).unwrap(), choice, "{value:?}");
        }
        let error = parse(Some("KVM")).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(Fault::Usage(_))), "{error:#}");
        assert_eq!(error.to_string(), "invalid value \"KVM\" in HIDBPF_ACCEL: expected auto, kvm or tcg");
    }
}
