//! Makes the root directory for the kernel's tests: Debian's Python with the modules that they import, the tests, and two plugins for
//! pytest.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hidbpf_lab::apt::Suite;
use hidbpf_lab::architecture::Architecture;
use hidbpf_lab::paths::{Paths, fresh_folder, remove_folder};
use hidbpf_lab::process;
use hidbpf_lab::protocol::{SELFTESTS_PATH, SELFTESTS_SOURCES, SELFTESTS_TOOLS};
use hidbpf_lab::screen::Step;

use super::NAME;

/// The suite and the packages of the root: Python with the modules that the tests import, the programs that they start, and hidbpf's
/// libraries.
const SUITE: &str = "trixie";
const PACKAGES: &str = "coreutils,dash,kmod,libelf1t64,libevdev2,libudev1,python3,python3-attr,python3-click,python3-packaging,\
                        python3-parse,python3-pyroute2,python3-pytest,python3-pyudev,python3-typing-extensions,python3-yaml,\
                        udev,zlib1g";

/// The modules for pip, in the format of its requirements.
///
/// Debian has no hid-tools. Its libevdev 0.11 has no `INPUT_PROP_PRESSUREPAD` and no way to add it, as test_multitouch.py does.
const REQUIREMENTS: &str = "\
hid-tools==0.12 --hash=sha256:37e56369ac88d0b151f7529a77b53bac2f0dbdc2d0845a5d261b22ff0a524680
libevdev==0.13.1 --hash=sha256:1a15dc796ecb1cba679fc564686f9efab5124efae6e41dba8f4bf377d5a72f4a
";

/// The folder of Python's modules, and the one below it for modules of Debian packages.
const LIBRARIES: &str = "usr/lib";
const MODULES: &str = "usr/lib/python3/dist-packages";

/// Folders that the tests do not need.
const UNNEEDED: [&str; 6] =
    ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/lib/udev/hwdb.d", "var/cache"];

/// Links into `/usr`. The package that makes them is not in the root.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Makes the root, unless it was made since apt's lists were fetched, and copies the tests in `tests` into it.
///
/// # Errors
/// The archive or the index of Python's packages can't be reached, or a file can't be written.
pub fn make_root(paths: &Paths, tests: &Path, step: &Step) -> Result<PathBuf> {
    let root = make_python(paths, step)?;
    for (from, to) in [(tests, SELFTESTS_SOURCES), (&paths.root.join("xtask/selftests"), SELFTESTS_TOOLS)] {
        let to = root.join(to.trim_start_matches('/'));
        fresh_folder(&to)?;
        process::output(process::command("cp").arg("--recursive").arg(from.join(".")).arg(&to))?;
    }
    Ok(root)
}

/// Makes pytest collect the tests, and returns the lines that its plugin `hidbpf_list` writes.
///
/// # Errors
/// pytest fails, for example because a module is missing.
pub fn list_tests(root: &Path) -> Result<String> {
    const LIST: &str = "/tmp/tests";
    let mut command = process::command("chroot");
    command.arg(root).arg("/usr/bin/env").arg(format!("--chdir={SELFTESTS_PATH}"));
    command.args(["/usr/bin/python3", "-m", "pytest", "-p", "hidbpf_list", "-p", "no:cacheprovider"]);
    command.env("PYTHONPATH", SELFTESTS_TOOLS).env("PYTHONDONTWRITEBYTECODE", "1").env("HIDBPF_LIST", LIST);
    process::output(command.args(["--collect-only", "--quiet", "tests"]))
        .context("failed to collect the kernel's tests")?;
    let list = root.join(LIST.trim_start_matches('/'));
    let lines = fs::read_to_string(&list).with_context(|| format!("failed to read `{}`", list.display()))?;
    fs::remove_file(&list).with_context(|| format!("failed to remove `{}`", list.display()))?;
    Ok(lines)
}

/// Makes the root without the tests.
fn make_python(paths: &Paths, step: &Step) -> Result<PathBuf> {
    let suite = Suite::open(&paths.vm.join("apt"), SUITE, Architecture::Amd64, step)?;
    let folder = paths.vm.join(NAME);
    let (root, stamp) = (folder.join("root"), folder.join("root.made"));
    let made_of = format!("{PACKAGES}\n{REQUIREMENTS}");
    if !suite.is_newer_than(&stamp) && fs::read_to_string(&stamp).is_ok_and(|text| text == made_of) {
        return Ok(root);
    }
    step.say("making a root with Python");
    remove_folder(&root)?;
    let mut command = process::command("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=extract"]);
    process::output(command.arg(format!("--include={PACKAGES}")).arg(SUITE).arg(&root).arg(suite.sources()))?;
    for folder in UNNEEDED {
        remove_folder(&root.join(folder))?;
    }
    for name in MERGED {
        let link = root.join(name);
        if fs::symlink_metadata(&link).is_err() {
            symlink(format!("usr/{name}"), &link).with_context(|| format!("failed to create `{}`", link.display()))?;
        }
    }
    let shell = root.join("usr/bin/sh");
    if fs::symlink_metadata(&shell).is_err() {
        symlink("dash", &shell).with_context(|| format!("failed to create `{}`", shell.display()))?;
    }
    step.say("fetching hid-tools and libevdev");
    add_requirements(&folder, &root)?;
    step.say("compiling Python's modules");
    // An emulated machine would take long to compile them.
    let mut compile = process::command("chroot");
    compile.arg(&root).args(["/usr/bin/python3", "-m", "compileall", "-q"]);
    let libraries = root.join(LIBRARIES);
    for entry in fs::read_dir(&libraries).with_context(|| format!("failed to read `{}`", libraries.display()))? {
        let name = entry.with_context(|| format!("failed to read `{}`", libraries.display()))?.file_name();
        if name.to_string_lossy().starts_with("python3") {
            compile.arg(Path::new("/").join(LIBRARIES).join(name));
        }
    }
    process::output(&mut compile)?;
    fs::write(&stamp, made_of).with_context(|| format!("failed to write `{}`", stamp.display()))?;
    Ok(root)
}

/// Makes pip fetch the modules into the root.
fn add_requirements(folder: &Path, root: &Path) -> Result<()> {
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).with_context(|| format!("failed to write `{}`", requirements.display()))?;
    let mut pip = process::command("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]);
    pip.arg("--no-compile").arg("--requirement").arg(&requirements).arg("--target").arg(root.join(MODULES));
    process::output(&mut pip).map(drop).context("failed to fetch the Python modules of the kernel's tests")
}
