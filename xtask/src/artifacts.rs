//! Builds the workspace with cargo, and finds the results in cargo's messages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, anyhow};
use cargo_metadata::{Message, TargetKind};
use hidbpf_lab::fault::Fault;
use hidbpf_lab::process;
use hidbpf_lab::screen::{self, Step};

use crate::cargo;
use crate::libbpf::Libbpf;

/// The results of a build that the virtual machines need.
#[derive(Clone, Debug)]
pub struct Artifacts {
    /// The guest's first process.
    pub guest: PathBuf,
    /// The command line tool.
    pub hidbpf: PathBuf,
    /// The helper `hidbpf-udev`.
    pub helper: PathBuf,
    /// The folder with the drivers' objects.
    pub objects: PathBuf,
}

impl Artifacts {
    /// Returns the part that is installed.
    pub fn product(&self) -> Product {
        let (hidbpf, helper, objects) = (self.hidbpf.clone(), self.helper.clone(), self.objects.clone());
        Product { hidbpf, helper, objects, libbpf: None }
    }
}

/// The results of a build that are installed.
#[derive(Clone, Debug)]
pub struct Product {
    /// The command line tool.
    pub hidbpf: PathBuf,
    /// The helper `hidbpf-udev`.
    pub helper: PathBuf,
    /// The folder with the drivers' objects.
    pub objects: PathBuf,
    /// The libbpf that the command is linked with, if it does not contain a copy.
    pub libbpf: Option<Libbpf>,
}

impl Product {
    /// Returns a command that runs the command line tool.
    ///
    /// # Errors
    /// Its libbpf is in a folder with a colon in its name.
    pub fn command(&self) -> Result<Command> {
        let mut command = process::command(&self.hidbpf);
        self.libbpf.as_ref().map_or(Ok(()), |libbpf| libbpf.run_with(&mut command))?;
        Ok(command)
    }
}

/// The profile for building the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Fast to build.
    Dev,
    /// As in packages, for measurements.
    Release,
    /// For release, only the installed parts.
    Package,
}

/// The results that cargo reported for one build.
#[derive(Debug, Default)]
pub struct Build {
    guest: Option<PathBuf>,
    hidbpf: Option<PathBuf>,
    helper: Option<PathBuf>,
    objects: Option<PathBuf>,
    libbpf: Option<Libbpf>,
    /// The crates that cargo compiled, without those that were up to date.
    pub compiled: Vec<String>,
}

/// The packages with the parts of [`Product`].
const INSTALLED: [&str; 4] = ["--package", "hidbpf-cli", "--package", "hidbpf-drivers"];

/// The package that [`Artifacts`] need in addition.
const TESTS: [&str; 2] = ["--package", "hidbpf-tests"];

/// The helper is built separately and linked statically, because finding and binding shared libraries would be a large part of its cost.
///
/// The other programs can't be linked statically.
const HELPER: [&str; 4] = ["--package", "hidbpf-helper", "--bin", "hidbpf-udev"];
const STATIC: [&str; 3] = ["--", "-C", "target-feature=+crt-static"];

/// Builds the whole workspace at `root`. A release build takes long, so it has only what is installed or goes into the machines.
///
/// # Errors
/// Something does not compile: [`Fault::Failed`]. Or cargo can't be run.
pub fn build(root: &Path, profile: Profile) -> Result<Build> {
    build_with(root, profile, None)
}

/// Builds as [`build`], but links the installed parts with the system's libbpf, if there is one.
///
/// # Errors
/// As [`build`].
pub fn build_with(root: &Path, profile: Profile, libbpf: Option<&Libbpf>) -> Result<Build> {
    let step = screen::step("build", "checking what to build");
    let mut build = Build { libbpf: libbpf.cloned(), ..Build::default() };
    let linked = |mut command: Command| {
        if let Some(libbpf) = libbpf {
            command.arg("--no-default-features");
            libbpf.build_with(&mut command)?;
        }
        anyhow::Ok(command)
    };
    let mut command = cargo::command(root, &["build"]);
    match profile {
        Profile::Dev if libbpf.is_some() => command.args(INSTALLED),
        Profile::Dev => command.args(["--workspace", "--exclude", "hidbpf-helper"]),
        Profile::Release => command.arg("--release").args(INSTALLED).args(TESTS),
        Profile::Package => command.arg("--release").args(INSTALLED),
    };
    build.run(linked(command)?, &step, profile, &[])?;
    let mut command = cargo::command(root, &["rustc"]);
    command.args(HELPER).args((profile != Profile::Dev).then_some("--profile=helper"));
    build.run(linked(command)?, &step, profile, &STATIC)?;
    step.done("hidbpf and its drivers are built");
    Ok(build)
}

/// rustc's name for arm64.
pub const ARM64: &str = "aarch64-unknown-linux-gnu";

/// Builds the parts of a machine for arm64, with the headers and libraries that are unpacked in `system`.
///
/// # Errors
/// Something does not compile: [`Fault::Failed`]. Or cargo can't be run.
pub fn build_for_arm64(root: &Path, system: &Path) -> Result<Build> {
    let step = screen::step("build", "checking what to build for arm64");
    let mut build = Build::default();
    let mut command = cargo::command(root, &["build"]);
    command.args(INSTALLED).args(TESTS);
    build.run(cross(command, system), &step, Profile::Dev, &[])?;
    let mut command = cargo::command(root, &["rustc"]);
    command.args(HELPER);
    build.run(cross(command, system), &step, Profile::Dev, &STATIC)?;
    step.done("hidbpf is built for arm64");
    Ok(build)
}

fn cross(mut command: Command, system: &Path) -> Command {
    const GCC: &str = "aarch64-linux-gnu-gcc";
    let system = system.display();
    command.args(["--target", ARM64]);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", GCC);
    command.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", format!("-C link-arg=--sysroot={system}"));
    command.env("CC_aarch64_unknown_linux_gnu", GCC);
    command.env("CFLAGS_aarch64_unknown_linux_gnu", format!("--sysroot={system}"));
    command.env("PKG_CONFIG_ALLOW_CROSS", "1");
    command.env("PKG_CONFIG_SYSROOT_DIR_aarch64_unknown_linux_gnu", system.to_string());
    let folders = format!("{system}/usr/lib/aarch64-linux-gnu/pkgconfig:{system}/usr/share/pkgconfig");
    command.env("PKG_CONFIG_LIBDIR_aarch64_unknown_linux_gnu", folders);
    command
}

/// Keeps the path of cargo's copies of other crates out of the results, because it differs between machines.
fn without_own_paths() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let remap = |home: PathBuf| format!("build.rustflags=[\"--remap-path-prefix={}=cargo\"]", home.display());
    home.map(remap).into_iter().flat_map(|flags| ["--config".to_owned(), flags]).collect()
}

impl Build {
    fn run(&mut self, mut command: Command, step: &Step, profile: Profile, last: &[&str]) -> Result<()> {
        if profile != Profile::Dev {
            command.args(without_own_paths());
        }
        if cargo::run(command, last, step, &mut |message| self.hear(message))? {
            Ok(())
        } else {
            Err(Fault::Failed("`cargo build` failed".to_owned()).into())
        }
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::CompilerArtifact(artifact) => {
                let is_program = artifact.target.kind.contains(&TargetKind::Bin);
                if let Some(path) = artifact.executable.filter(|_| is_program) {
                    match artifact.target.name.as_str() {
                        "vm-guest" => self.guest = Some(path.into()),
                        "hidbpf" => self.hidbpf = Some(path.into()),
                        "hidbpf-udev" => self.helper = Some(path.into()),
                        _ => {}
                    }
                }
                if !artifact.fresh {
                    self.compiled.push(artifact.target.name);
                }
            }
            Message::BuildScriptExecuted(script) if script.package_id.repr.contains("hidbpf-drivers") => {
                self.objects = Some(script.out_dir.join("objects").into());
            }
            _ => {}
        }
    }

    /// Returns the parts that the virtual machines need.
    ///
    /// # Errors
    /// Cargo has not built one of the parts.
    pub fn artifacts(mut self) -> Result<Artifacts> {
        let guest = part(self.guest.take(), "the program `vm-guest`")?;
        let Product { hidbpf, helper, objects, .. } = self.product()?;
        Ok(Artifacts { guest, hidbpf, helper, objects })
    }

    /// Returns the parts that are installed.
    ///
    /// # Errors
    /// Cargo has not built one of the parts.
    pub fn product(self) -> Result<Product> {
        Ok(Product {
            hidbpf: part(self.hidbpf, "the program `hidbpf`")?,
            helper: part(self.helper, "the program `hidbpf-udev`")?,
            objects: part(self.objects, "the build script of `hidbpf-drivers`")?,
            libbpf: self.libbpf,
        })
    }
}

fn part(path: Option<PathBuf>, what: &str) -> Result<PathBuf> {
    path.ok_or_else(|| anyhow!("`cargo build` has not reported {what}"))
}
