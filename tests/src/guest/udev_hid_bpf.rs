//! The package udev-hid-bpf in the guest: installed as long as a case needs it, with its own libraries.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::bench::{Bench, Plugged, entries, write};
use super::shim;
use crate::process::{Run, command};

/// Its place in the packed guest.
const PACKED: &str = "/opt/udev-hid-bpf";

/// The program's path in Debian's package. The file there looks like the program, and the rule starts the one with its libraries.
const PROGRAM: &str = "/usr/bin/udev-hid-bpf";

const RULES: &str = "/run/udev/rules.d";
const HWDB: &str = "/etc/udev/hwdb.d";

/// The folder in which it pins what it attaches, with a directory for each device.
const PINS: &str = "/sys/fs/bpf/hid";

/// The package, while it is installed.
pub struct UdevHidBpf {
    files: Vec<String>,
}

impl UdevHidBpf {
    /// Returns its program alone, without its rule.
    pub fn program_alone() -> UdevHidBpf {
        UdevHidBpf { files: Vec::new() }
    }

    /// Installs it, as Debian's package does. Its rule applies to the next device.
    ///
    /// # Errors
    /// A file can't be written, or udevd hangs.
    pub fn install(bench: &mut Bench) -> Result<UdevHidBpf> {
        let mut files = vec![PROGRAM.to_owned()];
        fs::copy(format!("{PACKED}/udev-hid-bpf"), PROGRAM).with_context(|| format!("failed to write `{PROGRAM}`"))?;
        for (from, to) in [("rules.d", RULES), ("hwdb.d", HWDB)] {
            for path in entries(&Path::new(PACKED).join(from))? {
                let text = fs::read_to_string(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
                ensure!(from != "rules.d" || text.contains(PROGRAM), "its rule does not start `{PROGRAM}`\n{text}");
                let to = format!("{to}/{}", path.file_name().unwrap_or_default().to_string_lossy());
                write(Path::new(&to), text.replace(PROGRAM, &start()).as_bytes())?;
                files.push(to);
            }
        }
        Run::of(command("systemd-hwdb").arg("update"))?.expect(0)?;
        bench.reload()?;
        Ok(UdevHidBpf { files })
    }

    /// Returns a command for its program with arguments, after the words of [`shim`], if any.
    pub fn program(&self, words: &[&str], arguments: &[&str]) -> Command {
        let start = start();
        let mut program = start.split(' ');
        let linker = program.next().unwrap_or_default();
        let mut command = if words.is_empty() { command(linker) } else { shim::start(words, linker) };
        command.args(program).args(arguments);
        command
    }

    /// Returns the properties that its hwdb entries give to a device. Its rule makes udev pass them to its program.
    ///
    /// # Errors
    /// The hwdb can't be read, or the device has no modalias.
    pub fn properties(&self, device: &Plugged) -> Result<Vec<(String, String)>> {
        let modalias = fs::read_to_string(device.syspath.join("modalias")).context("failed to read a modalias")?;
        let mut query = command("systemd-hwdb");
        let found = Run::of(query.args(["query", &format!("hid-bpf:{}", modalias.trim_end())]))?.expect(0)?.stdout;
        let split = |line: &str| line.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(found.lines().filter_map(split).collect())
    }

    /// Returns the names of its pins for a device.
    ///
    /// # Errors
    /// bpffs can't be read.
    pub fn pinned(&self, device: &Plugged) -> Result<Vec<String>> {
        let pins = entries(&Path::new(PINS).join(device.name().replace([':', '.'], "_")))?;
        Ok(pins.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// Removes it from the machine.
    ///
    /// # Errors
    /// A file can't be removed, or udevd hangs.
    pub fn uninstall(self, bench: &mut Bench) -> Result<()> {
        for file in &self.files {
            fs::remove_file(file).with_context(|| format!("failed to remove `{file}`"))?;
        }
        Run::of(command("systemd-hwdb").arg("update"))?.expect(0)?;
        bench.reload()
    }
}

/// Returns the command that starts its program with its own libraries.
fn start() -> String {
    format!("{PACKED}/ld.so --library-path {PACKED}/lib {PACKED}/udev-hid-bpf")
}
