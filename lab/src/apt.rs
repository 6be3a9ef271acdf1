//! Gets packages from Debian's archive through apt, without changing the apt state of this machine.
//!
//! The packages come from another suite than the machine's own. Each suite therefore gets its own apt under `target/vm/apt`, with its own
//! sources, lists and cache, and an empty list of installed packages. The archive's address, proxies and credentials come from the
//! machine's apt configuration. apt verifies the downloads against Debian's keyring.

mod sources;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};

use crate::architecture::Architecture;
use crate::process;
use crate::screen::{self, Step};

/// How long the lists of a suite stay valid.
const LISTS_FRESH: Duration = Duration::from_secs(12 * 60 * 60);

/// The number of attempts to reach the network, and the wait before the second one. The wait doubles each time.
const ATTEMPTS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_secs(4);

/// Debian's keys, from the package debian-archive-keyring. Newer releases use the second name.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

/// An apt that has only one suite of Debian.
#[derive(Debug)]
pub struct Suite {
    name: String,
    architecture: Architecture,
    folder: PathBuf,
}

impl Suite {
    /// Opens the suite `name`, with its packages for one architecture and its lists in a folder of `aptdir`.
    ///
    /// Fetches the lists if they are missing or old. If that fails, old lists stay in use, with a warning.
    ///
    /// # Errors
    /// There are no lists, and this machine's apt names no Debian archive, its keys are missing, or the archive can't be reached.
    pub fn open(aptdir: &Path, name: &str, architecture: Architecture, step: &Step) -> Result<Self> {
        let folder = aptdir.join(format!("{name}-{}", architecture.debian()));
        let suite = Self { name: name.to_owned(), architecture, folder };
        if !suite.is_fresh()
            && let Err(error) = suite.update(step)
        {
            // Old lists let earlier users continue without a network. Without any lists there is nothing to continue with.
            if !suite.stamp().is_file() {
                return Err(error);
            }
            step.note(&format!("going on with old lists of `{name}`: {error:#}"));
        }
        Ok(suite)
    }

    /// Returns the suite's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file that names the archive, in the format of sources.list(5).
    pub fn sources(&self) -> PathBuf {
        self.folder.join("sources.list")
    }

    /// Returns the names of all packages that begin with `prefix`.
    ///
    /// # Errors
    /// Apt fails.
    pub fn package_names(&self, prefix: &str) -> Result<Vec<String>> {
        let listed = process::output(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Returns the version of `package`.
    ///
    /// # Errors
    /// Apt fails, or does not know the package.
    pub fn version(&self, package: &str) -> Result<String> {
        let record = self.record(package)?;
        let version = record.lines().find_map(|line| line.strip_prefix("Version:"));
        version.map(|version| version.trim().to_owned()).with_context(|| format!("`{package}` has no version"))
    }

    /// Returns the archive's record of `package`, one field a line.
    fn record(&self, package: &str) -> Result<String> {
        process::output(self.apt("apt-cache").args(["show", "--no-all-versions", package]))
    }

    /// Returns the names of the packages that `package` depends on, including alternatives.
    ///
    /// # Errors
    /// Apt fails, or does not know the package.
    pub fn dependencies(&self, package: &str) -> Result<Vec<String>> {
        let record = self.record(package)?;
        let depends = record.lines().find_map(|line| line.strip_prefix("Depends:")).unwrap_or_default();
        let names = depends.split([',', '|']).filter_map(|term| term.split_whitespace().next());
        Ok(names.map(|name| name.split(':').next().unwrap_or(name).to_owned()).collect())
    }

    /// Downloads `packages` into `folder`, and returns the paths of the files.
    ///
    /// # Errors
    /// The archive can't be reached, or a download does not match Debian's signature.
    pub fn download(&self, packages: &[String], folder: &Path, step: &Step) -> Result<Vec<PathBuf>> {
        let attempt = || follow(self.apt("apt-get").arg("download").args(packages).current_dir(folder), step);
        with_retries(
            &format!("failed to download {} from `{}`", packages.join(", "), self.name),
            FIRST_WAIT,
            |tried| {
                // If the archive lacks a package, the list is out of date.
                if tried > 0 {
                    self.refresh(step)?;
                }
                attempt()
            },
        )?;
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).with_context(|| format!("failed to read `{}`", folder.display()))? {
            let path = entry.with_context(|| format!("failed to read `{}`", folder.display()))?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                files.push(path);
            }
        }
        if files.len() != packages.len() {
            bail!("apt was asked for {} packages and left {} in `{}`", packages.len(), files.len(), folder.display());
        }
        Ok(files)
    }

    fn is_fresh(&self) -> bool {
        let stamp = fs::metadata(self.stamp()).and_then(|metadata| metadata.modified());
        stamp.is_ok_and(|time| SystemTime::now().duration_since(time).is_ok_and(|age| age < LISTS_FRESH))
    }

    /// Returns true if `made` is missing or older than the lists. `made` is the last file written of something made from packages.
    pub fn is_newer_than(&self, made: &Path) -> bool {
        let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        time(made).is_none_or(|made| time(&self.stamp()).is_some_and(|updated| updated > made))
    }

    /// The file that is written once the lists are complete. Its time is their age.
    fn stamp(&self) -> PathBuf {
        self.folder.join("updated")
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("apt.conf")
    }

    /// Returns an apt command that reads this suite's configuration last, so that it overrides the machine's.
    fn apt(&self, program: &str) -> Command {
        let mut command = process::command(program);
        command.arg("-c").arg(self.configuration()).env("LC_ALL", "C.UTF-8");
        command
    }

    fn refresh(&self, step: &Step) -> Result<()> {
        step.say(&format!("fetching the lists of `{}`", self.name));
        follow(self.apt("apt-get").arg("update"), step)
    }

    /// Writes the configuration and fetches the lists, from the first of the machine's archives that has the suite.
    fn update(&self, step: &Step) -> Result<()> {
        let keyring = KEYRINGS.into_iter().find(|path| Path::new(path).is_file()).ok_or_else(|| {
            anyhow!("Debian's keys are not at `{}`: install the package debian-archive-keyring", KEYRINGS[0])
        })?;
        let archives = sources::debian_archives(Path::new("/etc/apt"))?;
        for folder in ["lists/partial", "cache/archives/partial"] {
            let folder = self.folder.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        }
        self.write("status", "")?;
        self.write("apt.conf", &private_configuration(&self.folder, self.architecture))?;
        let mut failures = String::new();
        for archive in &archives {
            self.write(
                "sources.list",
                &format!(
                    "deb [target=Packages arch={} signed-by={keyring}] {archive} {} main\n",
                    self.architecture.debian(),
                    self.name
                ),
            )?;
            match with_retries(
                &format!("failed to fetch the lists of `{}` from {archive}", self.name),
                FIRST_WAIT,
                |_| self.refresh(step),
            ) {
                Ok(()) => return self.write("updated", ""),
                Err(error) => failures.push_str(&format!("\n  {error:#}")),
            }
        }
        bail!("no archive that this machine's apt knows has given the suite `{}`:{failures}", self.name)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("failed to write `{}`", path.display()))
    }
}

/// Runs an apt command and shows its progress.
///
/// # Errors
/// It can't be started, or it fails.
pub fn follow(command: &mut Command, step: &Step) -> Result<()> {
    command.args(["-o", "APT::Status-Fd=1"]);
    process::follow(command, &mut |line| {
        if let Some((percent, what)) = parse_status(line) {
            step.at_percent(percent, what);
        }
    })
}

/// Parses a line of apt's output for programs.
///
/// The line is `dlstatus:` or `pmstatus:`, a number or a package, the percentage done, and text for users. See README.progress-reporting of
/// apt.
fn parse_status(line: &str) -> Option<(f64, &str)> {
    let rest = line.strip_prefix("dlstatus:").or_else(|| line.strip_prefix("pmstatus:"))?;
    // A package's name can be followed by a colon and its architecture.
    let (before, what) = rest.rsplit_once(':')?;
    let (_, percent) = before.rsplit_once(':')?;
    Some((percent.parse().ok()?, what))
}

/// Returns the configuration of an apt that keeps its state in `folder`.
fn private_configuration(folder: &Path, architecture: Architecture) -> String {
    let (folder, architecture) = (folder.display(), architecture.debian());
    // The hooks belong to the machine: they clean its cache and refresh its catalogues. With `Error-Mode`, a list that apt can't fetch is
    // an error instead of a warning.
    format!(
        r#"Dir::Etc::SourceList "{folder}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{folder}";
Dir::State::Lists "{folder}/lists";
Dir::State::Status "{folder}/status";
Dir::Cache "{folder}/cache";
Dir::Cache::Archives "{folder}/cache/archives";
Dir::Cache::PkgCache "{folder}/cache/pkgcache.bin";
Dir::Cache::SrcPkgCache "";
APT::Architecture "{architecture}";
#clear APT::Architectures;
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"#
    )
}

/// Calls `what` until it succeeds, a few times at most. `what` gets the number of earlier attempts.
fn with_retries<T>(failure: &str, mut wait: Duration, mut what: impl FnMut(u32) -> Result<T>) -> Result<T> {
    for tried in 0.. {
        match what(tried) {
            Ok(done) => return Ok(done),
            Err(error) if tried + 1 == ATTEMPTS => return Err(error.context(format!("{failure}, {ATTEMPTS} times"))),
            Err(error) => {
                screen::line(&format!("{failure}, trying again in {} s: {error:#}", wait.as_secs()));
                sleep(wait);
                wait *= 2;
            }
        }
    }
    unreachable!("the loop above has no end of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_success_is_a_success() {
        let mut tries = Vec::new();
        let result = with_retries("failed to count", Duration::ZERO, |tried| {
            tries.push(tried);
            if tried < 1 { bail!("too early") } else { Ok(7) }
        });
        assert_eq!(result.unwrap(), 7);
        assert_eq!(tries, [0, 1]);
    }

    #[test]
    fn the_progress_of_apt_is_read() {
        for (line, status) in [
            ("dlstatus:1:12.5:Retrieving file 1 of 2", Some((12.5, "Retrieving file 1 of 2"))),
            ("pmstatus:libelf1:amd64:40.0000:Unpacking libelf1 (amd64)", Some((40.0, "Unpacking libelf1 (amd64)"))),
            ("Get:1 http://mirror.example/debian trixie InRelease", None),
            ("pmstatus:clang", None),
            ("dlstatus:1:x:y", None),
        ] {
            assert_eq!(parse_status(line), status, "{line}");
        }
    }

    #[test]
    fn hooks_of_the_machine_are_cleared_and_paths_are_private() {
        let text = private_configuration(Path::new("/x y/apt"), Architecture::Amd64);
        assert!(text.contains("#clear APT::Update::Post-Invoke;"));
        assert!(text.contains(r#"Dir::State::Lists "/x y/apt/lists";"#));
        assert!(!text.contains("/var/lib"));
    }
}
