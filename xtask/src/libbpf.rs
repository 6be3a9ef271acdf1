//! The system's libbpf, for linking hidbpf if the user asks for it. pkg-config finds it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use hidbpf_lab::process;

/// The oldest usable version, which is the one that libbpf-sys is made for.
const OLDEST: (u32, u32) = (1, 7);

/// The hint if it is missing.
const HINT: &str = "without --system-libbpf hidbpf has a copy in it";

/// A libbpf that hidbpf can be linked with.
#[derive(Clone, Debug, Default)]
pub struct Libbpf {
    /// The folders of its headers, unless every compiler searches them.
    includes: Vec<PathBuf>,
    /// The folders of the library, unless every linker searches them.
    folders: Vec<PathBuf>,
}

impl Libbpf {
    /// Asks pkg-config, which searches the folders of PKG_CONFIG_PATH first.
    ///
    /// # Errors
    /// It is missing or too old.
    pub fn find() -> Result<Self> {
        Self::ask(&|| process::command("pkg-config"))
    }

    /// Asks pkg-config for the libbpf whose `libbpf.pc` is in `folder`.
    ///
    /// # Errors
    /// It is missing or too old.
    pub fn find_in(folder: &Path) -> Result<Self> {
        Self::ask(&|| {
            let mut command = process::command("pkg-config");
            command.env("PKG_CONFIG_PATH", folder);
            command
        })
    }

    fn ask(pkg_config: &dyn Fn() -> Command) -> Result<Self> {
        let ask = |what: &str| process::output(pkg_config().arg(what).arg("libbpf"));
        let version = ask("--modversion").with_context(|| {
            format!(
                "failed to find the system's libbpf: install libbpf-dev (Debian), libbpf-devel (Fedora) or libbpf (Arch); {HINT}"
            )
        })?;
        check(version.trim())?;
        Ok(Self { includes: folders(&ask("--cflags-only-I")?, "-I"), folders: folders(&ask("--libs-only-L")?, "-L") })
    }

    /// Makes cargo, and the build scripts that it runs, find the library.
    pub fn build_with(&self, command: &mut Command) -> Result<()> {
        set(command, "C_INCLUDE_PATH", &self.includes)?;
        set(command, "LIBBPF_SYS_LIBRARY_PATH", &self.folders)?;
        self.run_with(command)
    }

    /// Makes a program find the library if the dynamic linker does not.
    pub fn run_with(&self, command: &mut Command) -> Result<()> {
        set(command, "LD_LIBRARY_PATH", &self.folders)
    }
}

fn set(command: &mut Command, variable: &str, folders: &[PathBuf]) -> Result<()> {
    if !folders.is_empty() {
        let joined = std::env::join_paths(folders).with_context(|| format!("failed to set {variable}"))?;
        command.env(variable, joined);
    }
    Ok(())
}

/// Returns the folders in the output of pkg-config.
fn folders(said: &str, option: &str) -> Vec<PathBuf> {
    said.split_whitespace().filter_map(|word| word.strip_prefix(option)).map(PathBuf::from).collect()
}

fn check(version: &str) -> Result<()> {
    let (major, minor) = OLDEST;
    let mut numbers = version.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(found)), Some(Ok(then))) if (found, then) >= OLDEST => Ok(()),
        (Some(Ok(_)), Some(Ok(_))) => {
            bail!("the system's libbpf is {version}, and hidbpf needs {major}.{minor} or later; {HINT}")
        }
        _ => bail!("failed to read the version of the system's libbpf: invalid version `{version}`"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_older_libbpf_is_refused_by_name_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let pc = |version: &str| {
            let text = format!(
                "libdir=/opt/x/lib\nName: libbpf\nDescription: x\nVersion: {version}\nLibs: -L${{libdir}} -lbpf\nCflags: -I/opt/x/include\n"
            );
            fs::write(folder.path().join("libbpf.pc"), text).unwrap();
            Libbpf::find_in(folder.path())
        };
        let error = pc("1.5.1").unwrap_err().to_string();
        assert!(error.starts_with("the system's libbpf is 1.5.1, and hidbpf needs 1.7 or later"), "{error}");
        let found = pc("1.10.0").unwrap();
        assert_eq!(found.includes, [PathBuf::from("/opt/x/include")]);
        assert_eq!(found.folders, [PathBuf::from("/opt/x/lib")]);
        let error = pc("one").unwrap_err().to_string();
        assert!(error.contains("`one`"), "{error}");
    }

    #[test]
    fn the_oldest_is_the_one_that_the_bindings_are_made_for() {
        let lock = include_str!("../../Cargo.lock");
        let (_, after) = lock.split_once("name = \"libbpf-sys\"\nversion = \"").unwrap();
        assert!(after.starts_with(&format!("{}.{}.", OLDEST.0, OLDEST.1)));
    }
}
