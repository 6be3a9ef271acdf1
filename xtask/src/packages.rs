//! `cargo xtask packages`: the Debian packages, on a Debian system of their own that boots with its systemd and its udev.
//!
//! The system is made by mmdebstrap from Debian's archive and packed into an initramfs, which stays its root.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::apt::Suite;
use crate::artifacts::{self, Artifacts, Profile};
use crate::deb::{self, Made};
use crate::guest;
use crate::initramfs::Tree;
use crate::kernels::{self, Kernel};
use crate::modules;
use crate::paths::{Paths, fresh_folder, remove_folder};
use crate::process;
use crate::protocol::{JOB_PATH, Job, Outcome, PACKAGES_PATH, Task};
use crate::qemu::{Accelerator, Limits, Logs, Machine};
use crate::report::{Part, Report, Screen, case_line};
use crate::setup::{self, Need};
use crate::transcript::Tally;
use crate::vm::{self, KernelOptions, Wanted};

/// What `cargo xtask packages` is told.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Test packages as they are published, which takes long to build
    #[arg(long)]
    release: bool,

    #[command(flatten)]
    kernels: KernelOptions,
}

/// What reports call it.
const NAME: &str = "packages";

/// The suite whose system it is. A program runs on systems that are as new as the one that it was built on, or newer.
const SUITE: &str = "trixie";

/// What the system has beside the essential packages: systemd and udev, what makes an initramfs, and the libraries that hidbpf's
/// package depends on.
const SYSTEM: &str = "dracut-core,initramfs-tools,kmod,libelf1t64,libudev1,systemd-sysv,udev,zlib1g";

/// What starts the guest.
const UNIT: &str = "[Unit]
Description=The test of hidbpf's packages
After=multi-user.target

[Service]
ExecStart=/init --job
StandardOutput=tty
StandardError=tty
TTYPath=/dev/console

[Install]
WantedBy=multi-user.target
";
const UNIT_PATH: &str = "/etc/systemd/system/guest.service";
const WANTS_PATH: &str = "/etc/systemd/system/multi-user.target.wants/guest.service";

/// Builds, makes the packages, and tests them on the newest kernel unless told otherwise.
///
/// # Errors
/// The machinery fails before anything could be tested, or the code does not compile.
pub fn run(options: &Options) -> Result<Report> {
    let mut asked = options.kernels.clone();
    if asked.only.is_empty() && asked.user.is_empty() {
        asked.only.push("newest".to_owned());
    }
    let wanted = Wanted::with_hid_bpf(&asked)?;
    setup::install(&[Need::Build, Need::Machines, Need::Packages])?;
    let paths = Paths::find()?;
    let _lock = paths.lock()?;
    let profile = if options.release { Profile::Release } else { Profile::Dev };
    let artifacts = artifacts::build(&paths.root, profile)?.artifacts()?;
    let mut report = Report::default();
    for kernel in wanted {
        report.parts.push(test(&paths, &artifacts, &kernel));
    }
    Ok(report)
}

/// Makes the packages of what was built, and tests them on one kernel.
pub fn test(paths: &Paths, artifacts: &Artifacts, wanted: &Wanted) -> Part {
    let started = Instant::now();
    let mut part = try_test(paths, artifacts, wanted).unwrap_or_else(|error| Part::broken(NAME, &error));
    part.took = started.elapsed();
    part
}

fn try_test(paths: &Paths, artifacts: &Artifacts, wanted: &Wanted) -> Result<Part> {
    let screen = Screen::default();
    let made = deb::build(paths, &artifacts.product(), &[])?;
    let mut tally = Tally::default();
    let outcome =
        if deb::lint(&made)? { Outcome::Passed } else { Outcome::Failed { why: "it finds errors".to_owned() } };
    tally.count(&outcome);
    screen.line(&case_line(NAME, "lintian-finds-no-error", &outcome, 0));

    let kernel = wanted.get(paths, &screen)?;
    let lab = Lab { paths, artifacts, made: &made, kernel: &kernel, system: System::make(paths)? };
    let mut note = String::new();
    let mut broken = None;
    for task in [Task::Install, Task::Boot, Task::Early] {
        lab.stage(&task)?;
        let initramfs = match task {
            Task::Boot => lab.installed()?,
            Task::Early => lab.initramfs()?,
            _ => lab.plain()?,
        };
        let machine = Machine {
            image: kernel.image.clone(),
            initramfs,
            accelerator: Accelerator::probe(),
            is_checked: false,
            limits: Limits::default(),
            logs: Logs::create(&paths.logs(), NAME)?,
        };
        let (part, _) = vm::watch(NAME, &kernel, &screen, &|hear| vm::boot(&kernel, machine.clone(), hear));
        tally += part.tally;
        note = part.note;
        broken = broken.or(part.broken);
    }
    Ok(Part { name: NAME.to_owned(), note, tally, took: Duration::ZERO, broken })
}

/// What the machines are made of.
struct Lab<'a> {
    paths: &'a Paths,
    artifacts: &'a Artifacts,
    made: &'a Made,
    kernel: &'a Kernel,
    system: System,
}

impl Lab<'_> {
    /// Puts what makes the system a test's where the three below take it from.
    fn stage(&self, task: &Task) -> Result<()> {
        let stage = self.staged();
        modules::stage(self.kernel, &kernels::list()?.modules, &stage)?;
        guest::strip(&self.artifacts.guest, &stage.join("init"))?;
        let job = Job { kernel: self.kernel.name.clone(), generation: self.kernel.generation, task: task.clone() };
        write(&stage.join(relative(JOB_PATH)), &serde_json::to_string(&job).context("failed to write the job")?)?;
        let packages = stage.join(relative(PACKAGES_PATH));
        fresh_folder(&packages)?;
        for package in self.made.packages() {
            let to = packages.join(package.file_name().unwrap_or_default());
            fs::copy(package, &to).with_context(|| format!("failed to write `{}`", to.display()))?;
        }
        Ok(())
    }

    fn staged(&self) -> PathBuf {
        self.paths.vm.join("stage").join(NAME)
    }

    /// Packs the system as it is, and after it what makes it a test's.
    fn plain(&self) -> Result<PathBuf> {
        let mut tree = Tree::default();
        tree.add_folder(&self.staged(), "", &|_| true)?;
        guest::add_recordings(&mut tree, self.paths)?;
        tree.add_text(UNIT, UNIT_PATH);
        tree.add_link(UNIT_PATH, WANTS_PATH);
        let base = self.system.pack()?;
        let path = self.paths.vm.join("initramfs").join(format!("{NAME}.cpio"));
        tree.write_file(Some(&base), &path)?;
        Ok(path)
    }

    /// Installs the packages in it, as the image of a system is made: with no udev and no systemd to talk to.
    fn installed(&self) -> Result<PathBuf> {
        self.system.take(&self.staged().join(relative(PACKAGES_PATH)), PACKAGES_PATH)?;
        self.system.run("dpkg --install /packages/*.deb && rm -r /packages")?;
        self.plain()
    }

    /// Has the installed system make its own initramfs, with the drivers in it, and with a script that runs the guest.
    fn initramfs(&self) -> Result<PathBuf> {
        for (from, to) in [("lib/modules", "/usr/lib/modules"), ("init", "/guest"), ("job.json", JOB_PATH)] {
            self.system.take(&self.staged().join(from), to)?;
        }
        let recordings = self.paths.root.join("drivers").join(EARLY_DRIVER).join("recordings");
        self.system.take(&recordings, &format!("/recordings/{EARLY_DRIVER}"))?;
        for (path, text) in EARLY_FILES {
            let path = self.system.root.join(relative(path));
            write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("failed to set the permissions of `{}`", path.display()))?;
        }
        let release = &self.kernel.release;
        self.system.run(&format!("mkinitramfs -o /initrd {release}"))?;
        let listed = self.system.run(&format!(
            "dracut --quiet --kver {release} --no-hostonly --add hidbpf --modules 'base udev-rules hwdb hidbpf' /dracut && lsinitrd /dracut"
        ))?;
        for path in
            ["lib/udev/rules.d/81-hidbpf.rules", "lib/udev/hwdb.bin", "hidbpf/drivers/frtec-raptor-mach-2.bpf.o"]
        {
            ensure!(listed.contains(path), "the initramfs that dracut made has no `{path}`:\n{listed}");
        }
        Ok(self.system.root.join("initrd"))
    }
}

/// The driver of the device that is plugged in in the initramfs.
const EARLY_DRIVER: &str = "frtec-raptor-mach-2";

/// What the administrator writes to have drivers in the initramfs, and what has the guest in it.
const EARLY_FILES: [(&str, &str); 3] = [
    ("/etc/initramfs-tools/conf.d/hidbpf", "HIDBPF=y\n"),
    (
        "/etc/initramfs-tools/hooks/guest",
        "#!/bin/sh\nset -e\n[ \"$1\" = prereqs ] && exit 0\n. /usr/share/initramfs-tools/hook-functions\n\
         copy_exec /guest /guest\ncp -r /job.json /recordings \"$DESTDIR/\"\nmanual_add_modules uhid evdev uinput\n",
    ),
    (
        "/etc/initramfs-tools/scripts/init-premount/guest",
        "#!/bin/sh\n[ \"$1\" = prereqs ] && exit 0\nexec /guest --job\n",
    ),
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
    /// Makes one, or takes the one that was made from the lists that apt has.
    fn make(paths: &Paths) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("only root can make a Debian system to install packages in");
        }
        let suite = Suite::open(&paths.vm.join("apt"), SUITE)?;
        let folder = paths.vm.join("debian");
        fs::create_dir_all(&folder).with_context(|| format!("failed to create `{}`", folder.display()))?;
        let (plain, stamp) = (folder.join("plain"), folder.join("made"));
        let time = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        if time(&stamp).is_none_or(|made| time(&suite.stamp()).is_some_and(|updated| updated > made)) {
            remove_folder(&plain)?;
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

    /// Runs a line of shell in it, and returns what that writes.
    fn run(&self, line: &str) -> Result<String> {
        // What makes images mounts proc, which systemd-hwdb needs. It goes with the namespace.
        let inside = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" sh -euc \"$1\"";
        let mut command = process::command("unshare");
        command.args(["--mount", "--", "sh", "-c", inside]).arg(&self.root).arg(line);
        process::output(command.env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// Packs it as it is now.
    fn pack(&self) -> Result<PathBuf> {
        let path = self.folder.join("root.cpio");
        let list = process::output(process::command("find").arg("-mindepth").arg("1").current_dir(&self.root))?;
        let names = self.folder.join("names");
        fs::write(&names, list).with_context(|| format!("failed to write `{}`", names.display()))?;
        let open = |path: &Path| File::open(path).with_context(|| format!("failed to open `{}`", path.display()));
        let mut command = process::command("cpio");
        command.args(["--create", "--format=newc", "--quiet"]).arg("--file").arg(&path).current_dir(&self.root);
        process::output(command.stdin(open(&names)?))?;
        Ok(path)
    }
}
