//! A machine for the command: a tree in place of sysfs, and one in place of /run.

use std::fs;
use std::path::Path;
use std::process::Output;

use hidbpf::descriptor::HexBytes;
use serde_json::json;

use super::{hidbpf, stderr};

/// A tree like sysfs, with one joystick, and a directory like /run. The command sees both in place of the machine's own.
pub struct Machine {
    dir: tempfile::TempDir,
}

impl Machine {
    /// The name of the joystick.
    pub const DEVICE: &str = "0003:11C0:5606.0001";

    /// Makes the machine. The joystick has the descriptor `original`, and `current` after a driver fixed it.
    pub fn new(original: &[u8], current: &[u8]) -> Machine {
        let dir = tempfile::tempdir().expect("a temporary directory can be made");
        let device = dir.path().join("sys/devices/usb").join(Machine::DEVICE);
        let (links, state) = (dir.path().join("sys/bus/hid/devices"), dir.path().join("run/hidbpf/devices"));
        for folder in [&device, &links, &state] {
            fs::create_dir_all(folder).expect("the directory can be made");
        }
        let link = Path::new("../../../devices/usb").join(Machine::DEVICE);
        std::os::unix::fs::symlink(link, links.join(Machine::DEVICE)).expect("the link can be made");
        let state = state.join(format!("{}.json", Machine::DEVICE));
        let modalias = "hid:b0003g0001v000011C0p00005606";
        let remembered = json!({
            "version": 1, "device": Machine::DEVICE, "hid-name": "a joystick", "modalias": modalias,
            "rdesc": HexBytes(original.to_vec()), "taken-off": [], "failures": [],
            "drivers": [{
                "driver": "frtec-raptor-mach-2", "object": "/x", "generation": "struct-ops", "hooks": ["rdesc-fixup"],
                "rule": null, "change": "fixed",
            }],
        });
        for (path, content) in [
            (device.join("uevent"), format!("HID_NAME=a\x1b[2J joystick\nMODALIAS={modalias}\n").as_bytes()),
            (device.join("report_descriptor"), current),
            (state, remembered.to_string().as_bytes()),
        ] {
            fs::write(path, content).expect("the file can be written");
        }
        Machine { dir }
    }

    /// Removes the state files, as if no driver had been attached.
    pub fn forget(&self) {
        let folder = self.dir.path().join("run/hidbpf/devices");
        fs::remove_dir_all(&folder).and_then(|()| fs::create_dir(&folder)).expect("the folder can be made again");
    }

    /// Runs the command on this machine, in a folder of its own. Returns `None` if mounts are not allowed.
    pub fn run(&self, arguments: &[&str]) -> Option<Output> {
        let command = hidbpf();
        let path = |name: &str| self.dir.path().join(name);
        let mut unshare = std::process::Command::new("unshare");
        let root = rustix::process::getuid().is_root();
        unshare.args(if root { &["--mount"][..] } else { &["--mount", "--map-root-user"] });
        let script = "mount --bind \"$1\" /sys && mount --bind \"$2\" /run || exit 77; shift 2; exec \"$@\"";
        unshare.args(["sh", "-c", script, "sh"]).args([path("sys"), path("run")]).arg(command.get_program());
        unshare.arg("--drivers").arg(hidbpf_drivers::objects_dir()).args(arguments);
        let output = unshare.current_dir(self.dir.path()).output().ok()?;
        (output.status.code() != Some(77) && !stderr(&output).starts_with("unshare:")).then_some(output)
    }
}
