//! Chooses how machines run: by KVM where a kernel has really booted under it, and otherwise by emulation.
//!
//! `/dev/kvm` alone proves nothing. On virtual machines it often opens, creates a machine, and then runs no kernel: QEMU exits,
//! stops the machine, or hangs. So KVM is tried with each kernel, and what came of that is kept in a file for a day.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::Fault;
use crate::paths::Paths;

/// The environment variable that decides by hand.
pub const VARIABLE: &str = "HIDBPF_ACCEL";

/// How long a result is believed.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

/// Another number with each boot of this machine, which may have got another KVM by that.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// How the guest's processor is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// By the host's.
    Kvm,
    /// By emulation.
    Tcg,
    /// By emulation in which each instruction takes one nanosecond of the guest's time.
    CountedTcg,
}

/// What a user can ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// KVM where it runs the kernel.
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
    /// [`Fault::Usage`]: it has another value than the allowed ones.
    pub fn from_environment() -> Result<Self> {
        Self::parse(std::env::var_os(VARIABLE).as_deref())
    }

    /// The same for a command whose machines have to be emulated. `why` says what for.
    ///
    /// # Errors
    /// [`Fault::Usage`]: as [`Choice::from_environment`], or KVM is asked for.
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

/// Chooses an accelerator for each machine, and learns from what comes of it. All machines of a run share one.
#[derive(Debug)]
pub struct Accelerators {
    rule: Rule,
    known: Mutex<Known>,
}

/// What the choice has come to on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// KVM, until it fails.
    Try,
    /// KVM, even if it fails.
    Kvm,
    /// Emulation of this kind.
    Emulate(Accelerator),
}

impl Accelerators {
    /// Takes what the user asks for, with the results of earlier runs.
    ///
    /// # Errors
    /// [`VARIABLE`] has an invalid value: [`Fault::Usage`]. Or KVM is asked for, and `/dev/kvm` can't be opened.
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

    /// Takes emulation of this kind for every machine.
    pub fn emulation(kind: Accelerator) -> Self {
        Self { rule: Rule::Emulate(kind), known: Mutex::default() }
    }

    /// Follows a rule, with the results that are kept in `file`.
    pub fn with(rule: Rule, file: &Path) -> Self {
        Self { rule, known: Mutex::new(Known::read(file)) }
    }

    /// The accelerator for a machine with this kernel.
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

    /// Whether a machine that KVM did not run is to be emulated instead.
    pub fn may_switch(&self) -> bool {
        self.rule == Rule::Try
    }

    /// Keeps that KVM runs this kernel.
    ///
    /// # Errors
    /// The result can't be written.
    pub fn works(&self, image: &Path) -> Result<()> {
        self.known().put(image, true, None).map(drop)
    }

    /// Keeps that KVM does not run this kernel, and why. Returns whether that was not known.
    ///
    /// # Errors
    /// The result can't be written.
    pub fn fails(&self, image: &Path, why: &str) -> Result<bool> {
        self.known().put(image, false, Some(why))
    }

    /// A thread that panicked with the lock in hand has left whole results.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The results, and the file that they are kept in.
#[derive(Debug, Default)]
struct Known {
    file: Option<PathBuf>,
    results: Results,
}

/// What is in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Results {
    /// The boot of this machine in which they were found.
    boot: String,
    /// For each kernel's image.
    kernels: BTreeMap<String, Found>,
}

/// Whether KVM runs a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    works: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// When, in seconds since 1970.
    at: u64,
}

impl Known {
    /// A file that is missing, damaged or of another boot has no results: KVM is then tried.
    fn read(file: &Path) -> Self {
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let kept = fs::read_to_string(file).ok().and_then(|text| serde_json::from_str::<Results>(&text).ok());
        let results = kept.filter(|kept| kept.boot == boot);
        Self { file: Some(file.to_owned()), results: results.unwrap_or_else(|| Results { boot, ..Results::default() }) }
    }

    /// What is known of a kernel, and not too old.
    fn result(&self, image: &Path) -> Option<&Found> {
        let found = self.results.kernels.get(&name_of(image))?;
        now().checked_sub(found.at).is_some_and(|age| age < BELIEVED.as_secs()).then_some(found)
    }

    fn put(&mut self, image: &Path, works: bool, why: Option<&str>) -> Result<bool> {
        // The time of the first success stays, so that it is asked anew a day after that.
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

/// An image by its path, size and time, so that a kernel that was built again is another one.
fn name_of(image: &Path) -> String {
    let (size, time) = fs::metadata(image).map(|metadata| (metadata.len(), metadata.mtime())).unwrap_or_default();
    format!("{} {size} {time}", image.display())
}

/// The time in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|time| time.as_secs()).unwrap_or_default()
}

/// Fails with what KVM did instead of running the kernel `release`.
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
