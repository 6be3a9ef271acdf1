//! `cargo xtask packages`: tests the Debian packages on a separate Debian system that boots with its own systemd and udev.
//!
//! mmdebstrap makes the system from Debian's archive. The system makes its own initramfs, and boots from a disk.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;
use clap::Args;
use hidbpf_lab::accelerator::{Accelerators, Choice};
use hidbpf_lab::apt::Suite;
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::initramfs::Tree;
use hidbpf_lab::kernels::{self, Kernel};
use hidbpf_lab::modules;
use hidbpf_lab::paths::{Paths, fresh_folder, remove_folder};
use hidbpf_lab::process;
use hidbpf_lab::protocol::{JOB_PATH, Job, Outcome, PACKAGES_PATH, Task};
use hidbpf_lab::qemu::{Limits, Logs, Machine};
use hidbpf_lab::report::{Part, Report, show_case};
use hidbpf_lab::screen;
use hidbpf_lab::transcript::Tally;
use hidbpf_lab::wanted::{KernelOptions, Wanted};

use crate::artifacts::{self, Artifacts, Profile};
use crate::boot;
use crate::deb::{self, Made};
use crate::dist;
use crate::guest;
use crate::libbpf::Libbpf;
use crate::setup::{self, Need};

/// The options of `cargo xtask packages`.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Test packages as they are published, which takes long to build
    #[arg(long)]
    release: bool,

    #[command(flatten)]
    kernels: KernelOptions,
}

/// The name in reports.
const NAME: &str = "packages";

/// The suite of the system. A program runs on systems that are at least as new as the one that it was built on.
const SUITE: &str = "trixie";

/// The system's packages besides the essential ones: systemd and udev, tools that make an initramfs, and the libraries that hidbpf's
/// package depends on.
const SYSTEM: &str = "dracut-core,initramfs-tools,kmod,libelf1t64,libudev1,systemd-sysv,udev,zlib1g";

/// The unit that starts the guest.
const UNIT: &str = "[Unit]
Description=The test of hidbpf's packages
After=multi-user.target

[Service]
ExecStart=/guest --job
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console

[Install]
WantedBy=multi-user.target
";
const UNIT_PATH: &str = "/etc/systemd/system/guest.service";

/// Builds, makes the packages, and tests them, by default on the newest kernel.
///
/// # Errors
/// The machinery fails before anything could be tested, or the code does not compile.
pub fn run(options: &Options) -> Result<Report> {
    Choice::from_environment()?;
    let mut asked = options.kernels.clone();
    if asked.only.is_empty() && asked.user.is_empty() {
        asked.only.push("newest".to_owned());
    }
    let wanted = Wanted::with_hid_bpf(&asked)?;
    setup::install(&[Need::Build, Need::Machines, Need::Packages, Need::Checks])?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let profile = if options.release { Profile::Release } else { Profile::Dev };
    let artifacts = artifacts::build(&paths.root, profile)?.artifacts()?;
    let mut report = Report::default();
    for kernel in wanted {
        report.parts.push(test(&paths, &artifacts, &kernel));
    }
    report.parts.push(builds(&paths, profile));
    Ok(report)
}

/// Tests the other ways to build packages. They keep the usual programs in place.
fn builds(paths: &Paths, profile: Profile) -> Part {
    const NAME: &str = "builds";
    let started = Instant::now();
    let mut part = Part::new(NAME);
    let mut case = |name: &str, result: Result<()>| {
        let outcome = match result {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed { why: format!("{error:#}") },
        };
        part.tally.count(&outcome);
        show_case(NAME, name, &outcome, 0);
    };
    case("the-systems-libbpf-is-linked-where-it-is-asked-for", with_system_libbpf(paths, profile));
    if profile == Profile::Release {
        case("another-folder-gives-the-same-bytes", in_another_folder(paths));
    }
    part.took = started.elapsed();
    part
}

/// Checks that the command works with an external libbpf, and that everything else is the same.
fn with_system_libbpf(paths: &Paths, profile: Profile) -> Result<()> {
    let folder = paths.packages.join("libbpf");
    let libbpf = Libbpf::find_in(&make_libbpf(&folder)?)?;
    let product = artifacts::build_with(&paths.root, profile, Some(&libbpf))?.product()?;
    let other = dist::lay_out_anew(&paths.root, &product, &folder.join("dist"))?;

    let mut ldd = process::command("ldd");
    libbpf.run_with(&mut ldd)?;
    let listed = process::output(ldd.arg(&product.hidbpf))?;
    let expected = format!("libbpf.so.1 => {}", folder.join("lib/libbpf.so.1").display());
    ensure!(listed.contains(&expected), "`ldd` does not say `{expected}`:\n{listed}");

    // libbpf makes the object, and the command itself then runs the object's programs over the recordings.
    let mut build = product.command()?;
    libbpf.build_with(&mut build)?;
    build
        .arg("build")
        .arg(paths.root.join("drivers").join(PACKAGED_DRIVER))
        .arg("--output")
        .arg(folder.join("objects"));
    process::output(&mut build)?;

    // The programs of this build have the same place.
    let own = artifacts::build(&paths.root, profile)?.product()?;
    let usual = dist::lay_out_anew(&paths.root, &own, &folder.join("usual"))?;
    let differing = dist::differing(&usual, &other);
    let unexpected: Vec<_> = differing.iter().filter(|path| !dist::PROGRAMS.map(Path::new).contains(path)).collect();
    ensure!(unexpected.is_empty(), "other files than with the own libbpf: {unexpected:?}");
    Ok(())
}

/// Builds a libbpf in `folder` from the sources of libbpf-sys, because Debian's is too old. Returns the folder for pkg-config.
fn make_libbpf(folder: &Path) -> Result<PathBuf> {
    let metadata = MetadataCommand::new().exec().context("failed to ask cargo for the packages")?;
    let bindings = metadata.packages.iter().find(|package| package.name == "libbpf-sys");
    let bindings = bindings.context("failed to find the package `libbpf-sys`: cargo does not know it")?;
    let sources = bindings.manifest_path.with_file_name("libbpf").join("src");
    fresh_folder(folder)?;
    let objects = folder.join("build");
    let variable = |name: &str, value: &Path| format!("{name}={}", value.display());
    let mut make = process::command("make");
    make.arg("--directory").arg(sources).arg(variable("OBJDIR", &objects)).arg(variable("PREFIX", folder));
    make.arg(variable("LIBDIR", &folder.join("lib"))).args(["CFLAGS=-O2", "install"]);
    process::output(&mut make)?;
    Ok(folder.join("lib/pkgconfig"))
}

/// Checks that the installed files do not depend on the folder of the build.
fn in_another_folder(paths: &Paths) -> Result<()> {
    let scratch = paths.packages.join("elsewhere");
    fresh_folder(&scratch)?;
    let copy = scratch.join("sources");
    copy_sources(&paths.root, &copy)?;
    let mut trees = Vec::new();
    for (root, to) in [(&paths.root, "first"), (&copy, "second")] {
        let product = artifacts::build(root, Profile::Package)?.product()?;
        trees.push(dist::lay_out_anew(root, &product, &scratch.join(to))?);
    }
    let [first, second] = &trees[..] else { bail!("there are no two builds") };
    let differing = dist::differing(first, second);
    ensure!(differing.is_empty(), "not the same in `{}`: {differing:?}", copy.display());
    Ok(())
}

/// Copies everything in a checkout except the build results.
fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("failed to create `{}`", to.display()))?;
    let made = ["target", ".git"];
    for path in dist::files(from)?.iter().filter(|path| !made.iter().any(|name| path.ends_with(name))) {
        process::output(process::command("cp").args(["--recursive", "--target-directory"]).arg(to).arg(path))?;
    }
    Ok(())
}

/// Makes packages from the build, and tests them on one kernel.
pub fn test(paths: &Paths, artifacts: &Artifacts, wanted: &Wanted) -> Part {
    let started = Instant::now();
    let mut part = try_test(paths, artifacts, wanted).unwrap_or_else(|error| Part::broken(NAME, &error));
    part.took = started.elapsed();
    part
}

fn try_test(paths: &Paths, artifacts: &Artifacts, wanted: &Wanted) -> Result<Part> {
    let made = deb::build(paths, &artifacts.product(), &[])?;
    let mut tally = Tally::default();
    let outcome =
        if deb::lint(&made)? { Outcome::Passed } else { Outcome::Failed { why: "it finds errors".to_owned() } };
    tally.count(&outcome);
    show_case(NAME, "lintian-finds-no-error", &outcome, 0);
    let outcome = match deb::check_scripts(&paths.root)? {
        true => Outcome::Passed,
        false => Outcome::Failed { why: "it finds mistakes".to_owned() },
    };
    tally.count(&outcome);
    show_case(NAME, "shellcheck-finds-nothing", &outcome, 0);

    let kernel = wanted.get(paths)?;
    let lab = Lab { paths, artifacts, made: &made, kernel: &kernel, system: System::make(paths)? };
    lab.furnish()?;
    let plain = lab.initramfs_tools("plain")?;
    let untouched = lab.system.disk("untouched")?;
    lab.install()?;
    let early = lab.initramfs_tools("early")?;
    let dracut = lab.dracut()?;
    let installed = lab.system.disk("installed")?;

    let mut part = Part { tally, ..Part::new(NAME) };
    let accelerators = Accelerators::open(paths)?;
    let boots = [
        ("install", Task::Install, &plain, &untouched),
        ("early", Task::Early, &early, &installed),
        ("again", Task::Again, &plain, &installed),
        ("dracut", Task::Dracut, &dracut, &installed),
    ];
    for (boot, task, initramfs, disk) in boots {
        let machine = Machine {
            qemu: kernel.architecture.qemu().into(),
            image: kernel.image.clone(),
            initramfs: lab.told(&task, initramfs)?,
            disk: Some(disk.clone()),
            architecture: kernel.architecture,
            is_checked: false,
            limits: limits(),
            logs: Logs::create(&paths.logs(), &format!("{NAME}-{boot}"))?,
        };
        let (booted, _) = boot::watch(NAME, NAME, &kernel, &|hear| boot::boot(&kernel, &machine, &accelerators, hear));
        part.tally += booted.tally;
        part.note = booted.note;
        part.broken = booted.broken;
        // The next machine boots from the result of this one.
        if part.broken.is_some() {
            break;
        }
    }
    Ok(part)
}

/// Returns the time limits. systemd on a disk needs longer to start the guest.
fn limits() -> Limits {
    let usual = Limits::default();
    Limits { boot: 2 * usual.boot, ..usual }
}

/// The parts of the machines.
struct Lab<'a> {
    paths: &'a Paths,
    artifacts: &'a Artifacts,
    made: &'a Made,
    kernel: &'a Kernel,
    system: System,
}

impl Lab<'_> {
    /// Adds the test's parts to the system: the kernel's modules, the guest, and the packages, which are not installed yet.
    fn furnish(&self) -> Result<()> {
        let stage = self.paths.vm.join("stage").join(NAME);
        let mut wanted = kernels::list()?.modules;
        wanted.needed.extend(DISK_MODULES.map(str::to_owned));
        modules::stage(self.kernel, &wanted, &stage)?;
        if self.kernel.modules.is_none() {
            // The tools that build an initramfs need a kernel's directory even then.
            modules::stage_none(self.kernel, &stage)?;
        }
        self.system.take(&stage.join("lib/modules"), "/usr/lib/modules")?;
        let guest = stage.join("guest");
        guest::strip(Architecture::Amd64, &self.artifacts.guest, &guest)?;
        self.system.take(&guest, "/guest")?;
        for driver in [EARLY_DRIVER, THIRD_PARTY_DRIVER, PACKAGED_DRIVER] {
            let recordings = self.paths.root.join("drivers").join(driver).join("recordings");
            self.system.take(&recordings, &format!("/recordings/{driver}"))?;
        }
        for package in self.made.packages() {
            let name = package.file_name().unwrap_or_default().to_string_lossy();
            self.system.take(package, &format!("{PACKAGES_PATH}/{name}"))?;
        }
        let object = format!("{THIRD_PARTY_DRIVER}.bpf.o");
        self.system.take(&self.artifacts.objects.join(&object), &format!("{PACKAGES_PATH}/{object}"))?;
        self.system.run(LATER)?;
        for (path, text) in FILES {
            let path = self.system.root.join(relative(path));
            write(&path, text)?;
            let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
                .with_context(|| format!("failed to set the permissions of `{}`", path.display()))?;
        }
        self.system.run("systemctl enable --quiet guest.service").map(drop)
    }

    /// Installs the packages as image builders do: without a running udev or systemd.
    fn install(&self) -> Result<()> {
        self.system.run(&format!("dpkg --install {PACKAGES_PATH}/*.deb"))?;
        write(&self.system.root.join("etc/initramfs-tools/conf.d/hidbpf"), "HIDBPF=y\n")
    }

    /// Makes an initramfs in the system with Debian's initramfs-tools.
    fn initramfs_tools(&self, name: &str) -> Result<PathBuf> {
        self.initramfs(name, &format!("mkinitramfs -o /initrd {}", self.kernel.release))
    }

    /// Makes an initramfs in the system with dracut, as Fedora and others do.
    fn dracut(&self) -> Result<PathBuf> {
        let release = &self.kernel.release;
        let drivers = DISK_MODULES.join(" ");
        self.initramfs(
            "dracut",
            &format!(
                "dracut --quiet --kver {release} --no-hostonly --add 'hidbpf guest' --force-drivers 'uhid evdev {drivers}' /initrd"
            ),
        )
    }

    /// Returns the file that `line` wrote to /initrd.
    fn initramfs(&self, name: &str, line: &str) -> Result<PathBuf> {
        self.system.run(line)?;
        let path = self.system.folder.join(format!("{name}.initrd"));
        let from = self.system.root.join("initrd");
        fs::copy(&from, &path).with_context(|| format!("failed to write `{}`", path.display()))?;
        fs::remove_file(&from).with_context(|| format!("failed to remove `{}`", from.display()))?;
        Ok(path)
    }

    /// Adds the guest's task to the initramfs.
    fn told(&self, task: &Task, initramfs: &Path) -> Result<PathBuf> {
        let job = Job { kernel: self.kernel.name.clone(), generation: self.kernel.generation, task: task.clone() };
        let mut tree = Tree::default();
        tree.add_text(serde_json::to_string(&job).context("failed to write the job")?, JOB_PATH);
        let path = self.paths.vm.join("initramfs").join(format!("{NAME}.cpio"));
        tree.write_file(Some(initramfs), &path)?;
        Ok(path)
    }
}

/// The modules for the root's disk.
const DISK_MODULES: [&str; 3] = ["virtio_pci", "virtio_blk", "ext4"];

/// The drivers of the devices that the guest plugs in: in the initramfs; without a package; with one.
const EARLY_DRIVER: &str = "mistel-md770";
const THIRD_PARTY_DRIVER: &str = "dell-dell0a78";
const PACKAGED_DRIVER: &str = "frtec-raptor-mach-2";

/// Makes packages of a later version.
const LATER: &str = "mkdir /packages/later
for package in /packages/*.deb; do
    dpkg-deb --raw-extract $package /unpacked
    sed -i -E 's/^(Version: .*)/\\1+later/; s/(hidbpf \\(= [^)]*)/\\1+later/' /unpacked/DEBIAN/control
    dpkg-deb --build /unpacked /packages/later
    rm -r /unpacked
done";

/// The files that start the guest: scripts in both kinds of initramfs, and a service.
const FILES: [(&str, &str); 6] = [
    (UNIT_PATH, UNIT),
    ("/etc/initramfs-tools/modules", "uhid\nevdev\nvirtio_pci\nvirtio_blk\next4\n"),
    (
        "/etc/initramfs-tools/hooks/guest",
        "#!/bin/sh\nset -e\n[ \"$1\" = prereqs ] && exit 0\n. /usr/share/initramfs-tools/hook-functions\n\
         copy_exec /guest /guest\ncp -r /recordings \"$DESTDIR/\"\n",
    ),
    (
        "/etc/initramfs-tools/scripts/init-premount/guest",
        "#!/bin/sh\n[ \"$1\" = prereqs ] && exit 0\nexec /guest --early\n",
    ),
    (
        "/usr/lib/dracut/modules.d/99guest/module-setup.sh",
        "#!/bin/bash\ncheck() { return 255; }\ninstall() {\n    inst /guest\n    inst_hook pre-mount 50 \"$moddir/guest.sh\"\n\
         \x20   for file in /recordings/*/*; do inst_simple \"$file\"; done\n}\n",
    ),
    ("/usr/lib/dracut/modules.d/99guest/guest.sh", "#!/bin/sh\n/guest --early\n"),
];

fn relative(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).with_context(|| format!("failed to create `{}`", parent.display()))?;
    fs::write(path, text).with_context(|| format!("failed to write `{}`", path.display()))
}

/// A Debian system in a folder.
#[derive(Debug)]
struct System {
    folder: PathBuf,
    root: PathBuf,
}

impl System {
    /// Makes a system, or reuses the one that was made from apt's current lists.
    fn make(paths: &Paths) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("only root can make a Debian system to install packages in");
        }
        let step = screen::step(NAME, "looking for the packages of a Debian system");
        let suite = Suite::open(&paths.vm.join("apt"), SUITE, Architecture::Amd64, &step)?;
        let folder = paths.vm.join("debian");
        fs::create_dir_all(&folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        let (plain, stamp) = (folder.join("plain"), folder.join("made"));
        if suite.is_newer_than(&stamp) {
            remove_folder(&plain)?;
            step.say("making a Debian system");
            let mut command = process::command("mmdebstrap");
            command.args(["--quiet", "--mode=root", "--variant=minbase", "--skip=cleanup/reproducible"]);
            process::output(command.arg(format!("--include={SYSTEM}")).arg(SUITE).arg(&plain).arg(suite.sources()))?;
            fs::write(&stamp, "").with_context(|| format!("failed to write `{}`", stamp.display()))?;
        }
        let root = folder.join("root");
        remove_folder(&root)?;
        process::output(process::command("cp").arg("--archive").arg(&plain).arg(&root))?;
        Ok(Self { folder, root })
    }

    /// Copies a file or folder into it.
    fn take(&self, from: &Path, to: &str) -> Result<()> {
        let to = self.root.join(relative(to));
        let parent = to.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).with_context(|| format!("failed to create `{}`", parent.display()))?;
        process::output(process::command("cp").args(["--recursive", "--no-target-directory"]).arg(from).arg(&to))
            .map(drop)
    }

    /// Runs a line of shell in it, and returns the output.
    fn run(&self, line: &str) -> Result<String> {
        // Image builders mount proc, which systemd-hwdb needs. The mount ends with the namespace.
        let inside = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" sh -euc \"$1\"";
        let mut command = process::command("unshare");
        command.args(["--mount", "--", "sh", "-c", inside]).arg(&self.root).arg(line);
        process::output(command.env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// Makes a disk of its current state.
    fn disk(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.disk"));
        remove_file(&path)?;
        let mut command = process::command("mke2fs");
        command.args(["-q", "-t", "ext4", "-d"]).arg(&self.root).arg(&path).arg(DISK_SIZE);
        process::output(&mut command)?;
        Ok(path)
    }
}

/// Most of the disk is never written.
const DISK_SIZE: &str = "1G";

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
