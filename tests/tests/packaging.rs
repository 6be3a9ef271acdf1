//! The files of packaging/ for package managers and init systems.
//!
//! Each script runs in every way in which it is called, in a separate tree, with stand-ins for the programs that it calls.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

fn packaging(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("failed to read `{}`: {error}", path.display()))
}

/// A tree in place of the root directory, and a folder with all programs that a script finds.
struct Machine {
    root: TempDir,
    udev: Option<UnixListener>,
}

/// The programs that behave normally.
const USUAL: [&str; 6] = ["cat", "env", "ls", "mkdir", "rm", "sh"];

impl Machine {
    /// Returns a machine on which udev runs, the hwdb is compiled in /usr, and hidbpf has handled a device.
    fn new() -> Machine {
        let mut machine = Machine { root: tempfile::tempdir().expect("a temporary directory can be made"), udev: None };
        let bin = machine.path("bin");
        fs::create_dir(&bin).expect("the directory can be made");
        for name in USUAL {
            let place = ["/usr/bin", "/bin"].map(|place| Path::new(place).join(name));
            let place = place.iter().find(|place| place.exists()).unwrap_or_else(|| panic!("there is no `{name}`"));
            std::os::unix::fs::symlink(place, bin.join(name)).expect("the link can be made");
        }
        for name in ["systemd-hwdb", "udevadm"] {
            machine.stand_in(&format!("bin/{name}"), 0);
        }
        machine.stand_in("bin/hidbpf", 0);
        for path in
            ["usr/lib/udev/hwdb.bin", "run/hidbpf/devices/0003:1:2.0001.json", "sys/fs/bpf/hidbpf/device/driver/link"]
        {
            machine.file(path);
        }
        machine.file("run/udev/x");
        machine.udev = Some(UnixListener::bind(machine.path("run/udev/control")).expect("the socket can be made"));
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn file(&self, path: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is in a directory")).expect("the directory can be made");
        fs::write(path, "").expect("the file can be written");
    }

    fn remove(&self, path: &str) {
        let path = self.path(path);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.unwrap_or_else(|error| panic!("failed to remove `{}`: {error}", path.display()));
    }

    fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// Adds a program that records its arguments, and ends with this code.
    fn stand_in(&self, path: &str, code: u8) {
        let name = Path::new(path).file_name().expect("it has a name").to_string_lossy().into_owned();
        let calls = self.path("calls");
        self.file(path);
        let text = format!("#!/bin/sh\necho \"{name} $*\" >> {}\nexit {code}\n", calls.display());
        fs::write(self.path(path), text).expect("the file can be written");
        fs::set_permissions(self.path(path), Permissions::from_mode(0o755)).expect("the mode can be set");
    }

    /// Runs a script followed by more code in the same shell.
    fn run(&self, script: &str, more: &str, arguments: &[&str]) -> Output {
        // It does not exist before the first run.
        let _ = fs::remove_file(self.path("calls"));
        let root = self.root.path().display();
        let mut text = script.to_owned();
        for top in ["/etc/", "/run/", "/sys/", "/usr/"] {
            text = text.replace(top, &format!("{root}{top}"));
        }
        let output = Command::new("sh")
            .args(["-c", &format!("{text}\n{more}"), "script"])
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .output();
        output.expect("a shell can be started")
    }

    /// Runs a script that must succeed without output, and returns the programs that it called.
    fn calls(&self, script: &str, more: &str, arguments: &[&str]) -> Vec<String> {
        self.calls_and_words(script, more, arguments, "")
    }

    /// The same for a script with this output.
    fn calls_and_words(&self, script: &str, more: &str, arguments: &[&str], words: &str) -> Vec<String> {
        let output = self.run(script, more, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{more} {arguments:?}: {}, {said}", output.status);
        assert!(if words.is_empty() { said.is_empty() } else { said.contains(words) }, "{more} {arguments:?}: {said}");
        self.noted()
    }

    /// Returns the programs that were called since the last start of a script.
    fn noted(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.path("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

const COMPILE: &str = "systemd-hwdb update --usr";
const RELOAD: &str = "udevadm control --reload";
const LOOK: &str = "udevadm trigger --action=add --subsystem-match=hid";
const UNLOAD: &str = "hidbpf unload --all";
const UPDATE_INITRAMFS: &str = "update-initramfs -u";

#[test]
fn debians_scripts_do_nothing_in_transitions_that_change_nothing() {
    let machine = Machine::new();
    for (script, ways) in [
        (
            "postinst",
            &[&["abort-upgrade", "2"][..], &["abort-deconfigure", "in-favour", "x", "1"], &["abort-deconfigure"]][..],
        ),
        (
            "prerm",
            &[
                &["upgrade", "2"],
                &["failed-upgrade", "1", "2"],
                &["deconfigure", "in-favour", "x", "1"],
                &["deconfigure", "in-favour", "x", "1", "removing", "y", "1"],
            ],
        ),
        (
            "postrm",
            &[
                &["upgrade", "2"],
                &["failed-upgrade", "1"],
                &["failed-upgrade", "1", "2"],
                &["abort-install"],
                &["abort-install", "1"],
                &["abort-upgrade", "1"],
                &["disappear", "x", "1"],
            ],
        ),
    ] {
        for way in ways {
            let calls = machine.calls(&packaging(&format!("debian/hidbpf.{script}")), "", way);
            assert!(calls.is_empty(), "{script} {way:?}: {calls:?}");
        }
    }
    assert!(
        machine.has("run/hidbpf/devices/0003:1:2.0001.json") && machine.has("sys/fs/bpf/hidbpf/device/driver/link")
    );
}

#[test]
fn debians_postinst_has_udev_look_at_devices() {
    let postinst = packaging("debian/hidbpf.postinst");
    for way in [&["configure"][..], &["configure", "0.1"], &["triggered", "/usr/lib/hidbpf/drivers"]] {
        let machine = Machine::new();
        assert_eq!(machine.calls(&postinst, "", way), [COMPILE, RELOAD, LOOK], "{way:?}");
        // Attached drivers and the state files stay.
        assert!(machine.has("run/hidbpf/devices/0003:1:2.0001.json"));

        machine.file("etc/udev/hwdb.bin");
        machine.file("etc/initramfs-tools/conf.d/hidbpf");
        machine.stand_in("bin/update-initramfs", 0);
        let all = ["systemd-hwdb update", COMPILE, RELOAD, LOOK, UPDATE_INITRAMFS];
        assert_eq!(machine.calls(&postinst, "", way), all, "{way:?}");

        // No udev runs while an image is made.
        machine.remove("run/udev/control");
        machine.remove("etc/udev/hwdb.bin");
        machine.remove("bin/update-initramfs");
        assert!(machine.calls(&postinst, "", way).is_empty(), "{way:?}");
    }
}

#[test]
fn debians_postinst_outlives_what_fails() {
    let postinst = packaging("debian/hidbpf.postinst");
    let machine = Machine::new();
    machine.stand_in("bin/systemd-hwdb", 1);
    machine.stand_in("bin/udevadm", 1);
    let calls = machine.calls_and_words(&postinst, "", &["configure"], "run \"systemd-hwdb update --usr\"");
    assert_eq!(calls, [COMPILE, RELOAD, LOOK]);
    // A udev without systemd.
    machine.remove("bin/systemd-hwdb");
    machine.stand_in("bin/udevadm", 0);
    assert_eq!(machine.calls(&postinst, "", &["configure"]), ["udevadm hwdb --update --usr", RELOAD, LOOK]);
}

#[test]
fn a_removal_that_debian_calls_off_leaves_devices_fixed() {
    let machine = Machine::new();
    assert_eq!(machine.calls(&packaging("debian/hidbpf.prerm"), "", &["remove"]), [UNLOAD]);
    let postinst = packaging("debian/hidbpf.postinst");
    // A driver that could not be detached is still attached, and so keeps its state.
    assert_eq!(machine.calls(&postinst, "", &["abort-remove"]), [COMPILE, RELOAD, LOOK]);
    assert!(machine.has("run/hidbpf/devices"));
    machine.remove("sys/fs/bpf/hidbpf/device");
    assert_eq!(machine.calls(&postinst, "", &["abort-remove", "in-favour", "x", "1"]), [COMPILE, RELOAD, LOOK]);
    assert!(!machine.has("run/hidbpf/devices"), "that drivers were taken off is still known");
}

/// The calls of a package manager for removing the package.
struct Removal {
    manager: &'static str,
    script: String,
    /// The function to call before the files are removed, and its arguments.
    before: (&'static str, &'static str),
    /// The same for afterwards.
    after: (&'static str, &'static str),
}

impl Removal {
    fn all() -> [Removal; 3] {
        let spec = packaging("hidbpf.spec");
        let section = |name: &str| {
            let start = spec.find(&format!("\n%{name}\n")).unwrap_or_else(|| panic!("the spec has no %{name}"));
            let text = &spec[start + name.len() + 3..];
            format!("{name}() {{\n{}\n}}\n", &text[..text.find("\n%").expect("something follows")])
        };
        let debian = |name: &str| format!("{name}() {{\n{}\n}}\n", packaging(&format!("debian/hidbpf.{name}")));
        [
            Removal {
                manager: "dpkg",
                script: debian("prerm") + &debian("postrm"),
                before: ("prerm", "remove"),
                after: ("postrm", "remove"),
            },
            Removal {
                manager: "pacman",
                script: packaging("hidbpf.install"),
                before: ("pre_remove", "0.1.0-1"),
                after: ("post_remove", "0.1.0-1"),
            },
            Removal {
                manager: "rpm",
                script: section("preun") + &section("postun"),
                before: ("preun", "0"),
                after: ("postun", "0"),
            },
        ]
    }

    fn run(&self, machine: &Machine, (function, argument): (&str, &str), words: &str) -> Vec<String> {
        machine.calls_and_words(&self.script, &format!("{function} {argument}"), &[], words)
    }
}

#[test]
fn removing_a_package_leaves_nothing_behind_whatever_unload_says() {
    for removal in Removal::all() {
        let manager = removal.manager;
        for code in [0, 3, 1, 127] {
            let machine = Machine::new();
            match code {
                // The command itself is damaged.
                127 => machine.remove("bin/hidbpf"),
                _ => machine.stand_in("bin/hidbpf", code),
            }
            let words = if [0, 3].contains(&code) { "" } else { "failed to detach all drivers in order" };
            let calls = removal.run(&machine, removal.before, words);
            assert_eq!(calls, if code == 127 { &[][..] } else { &[UNLOAD] }, "{manager}, {code}");
            assert!(removal.run(&machine, removal.after, "").is_empty(), "{manager}");
            assert!(!machine.has("run/hidbpf") && !machine.has("sys/fs/bpf/hidbpf"), "{manager}: something is left");
            // Once more, as after an interrupted removal.
            assert!(removal.run(&machine, removal.after, "").is_empty(), "{manager}");
        }
    }
}

#[test]
fn in_a_chroot_the_pins_of_the_system_around_it_stay() {
    for removal in Removal::all() {
        let manager = removal.manager;
        let machine = Machine::new();
        machine.remove("run/hidbpf/devices");
        assert!(removal.run(&machine, removal.before, "").is_empty(), "{manager}");
        assert!(removal.run(&machine, removal.after, "").is_empty(), "{manager}");
        assert!(machine.has("sys/fs/bpf/hidbpf/device/driver/link") && !machine.has("run/hidbpf"), "{manager}");
    }
}

#[test]
fn an_upgrade_with_rpm_or_pacman_leaves_drivers_attached() {
    let [_, pacman, rpm] = Removal::all();
    let machine = Machine::new();
    for scriptlet in [("preun", "1"), ("postun", "1")] {
        assert!(rpm.run(&machine, scriptlet, "").is_empty());
    }
    for scriptlet in [("post_install", "0.1.0-1"), ("post_upgrade", "0.2.0-1 0.1.0-1")] {
        assert_eq!(pacman.run(&machine, scriptlet, ""), ["systemd-hwdb --usr update", RELOAD, LOOK]);
    }
    assert!(
        machine.has("run/hidbpf/devices/0003:1:2.0001.json") && machine.has("sys/fs/bpf/hidbpf/device/driver/link")
    );
}

#[test]
fn debians_postrm_purges_what_the_administrator_had_written() {
    let postrm = packaging("debian/hidbpf.postrm");
    const LOCAL: &str = "etc/udev/hwdb.d/82-hidbpf-local.hwdb";
    let machine = Machine::new();
    machine.file("etc/hidbpf/hidbpf.toml");
    machine.file(LOCAL);
    machine.file("etc/udev/hwdb.bin");
    machine.file("etc/udev/hwdb.d/README");
    assert!(machine.calls(&postrm, "", &["purge"]).is_empty());
    for path in ["etc/hidbpf", LOCAL, "etc/udev/hwdb.bin"] {
        assert!(!machine.has(path), "`{path}` is left");
    }
    // There is nothing to purge.
    machine.remove("etc/udev");
    assert!(machine.calls(&postrm, "", &["purge"]).is_empty());
    // Other entries keep it.
    machine.file("etc/udev/hwdb.bin");
    machine.file("etc/udev/hwdb.d/70-keyboard.hwdb");
    assert_eq!(machine.calls(&postrm, "", &["purge"]), ["systemd-hwdb update"]);
    machine.stand_in("bin/systemd-hwdb", 1);
    machine.calls_and_words(&postrm, "", &["purge"], "failed to compile");
    assert!(machine.has("etc/udev/hwdb.bin"));
}

#[test]
fn an_initramfs_with_drivers_is_made_again_when_the_package_goes() {
    let machine = Machine::new();
    machine.file("etc/initramfs-tools/conf.d/hidbpf");
    machine.stand_in("bin/update-initramfs", 0);
    assert_eq!(machine.calls(&packaging("debian/hidbpf.postrm"), "", &["remove"]), [UPDATE_INITRAMFS]);
}

#[test]
fn the_sleep_hook_acts_when_the_machine_has_woken_up() {
    const RESUME: &str = "hidbpf udev resume";
    let hook = packaging("system-sleep");
    for (init, before, after) in [
        ("systemd", &["pre", "suspend"][..], &["post", "suspend"][..]),
        ("systemd", &["pre", "suspend-then-hibernate"], &["post", "suspend-then-hibernate"]),
        ("elogind", &["pre", "suspend"], &["post", "suspend"]),
        ("elogind", &["pre", "hybrid-sleep"], &["post", "hybrid-sleep"]),
        ("pm-utils", &["suspend", "suspend"], &["resume", "suspend"]),
        ("pm-utils", &["hibernate", "hibernate"], &["thaw", "hibernate"]),
    ] {
        let machine = Machine::new();
        machine.stand_in("usr/bin/hidbpf", 0);
        if init == "systemd" {
            machine.file("run/systemd/system/x");
        }
        for words in [before, after] {
            assert!(machine.calls(&hook, "", words).is_empty(), "{init} {words:?}: no device is set up");
        }
        machine.file("run/hidbpf/setup/0003:1:2.0001");
        assert!(machine.calls(&hook, "", before).is_empty(), "{init} {before:?}");
        let mut calls = machine.calls(&hook, "", after);
        if init != "systemd" {
            // It continues in the background.
            let start = Instant::now();
            while calls.is_empty() && start.elapsed() < Duration::from_secs(60) {
                sleep(Duration::from_millis(10));
                calls = machine.noted();
            }
        }
        assert_eq!(calls, [RESUME], "{init} {after:?}");
    }
}

/// Drivers are compiled for little-endian machines, and tested on two architectures.
#[test]
fn packages_are_for_the_machines_that_drivers_are_tried_on() {
    let control = packaging("debian/control");
    let lists: Vec<&str> = control.lines().filter_map(|line| line.strip_prefix("Architecture: ")).collect();
    assert_eq!(lists, ["amd64 arm64", "amd64 arm64", "all"]);
    assert!(packaging("PKGBUILD").contains("arch=(x86_64 aarch64)\n"));
    assert!(packaging("hidbpf.spec").contains("ExclusiveArch:  x86_64 aarch64\n"));
}
