//! Edits the configuration: the one file of its directory that only the commands write.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::{ChangeLock, Config, DIRECTORY, DeviceRule, Entry, FILE, Key, OWN_FILE, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::files::{Durability, write_whole};
use crate::manifest::options::Value;
use crate::names::DriverName;
use crate::system::System;

/// A change of one entry in [`OWN_FILE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The driver.
    pub driver: DriverName,
    /// The devices; `None` for all.
    pub device: Option<DeviceRule>,
    /// The key to set.
    pub key: Key,
    /// The new value; `None` removes the entry.
    pub value: Option<Value>,
}

/// The content of [`OWN_FILE`] before an edit. It holds the lock, so no other process changes the file meanwhile.
#[derive(Debug)]
#[must_use]
pub struct Undo {
    path: PathBuf,
    old: Option<Vec<u8>>,
    lock: ChangeLock,
}

impl Undo {
    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the lock. Hold it while you change what depends on the configuration.
    pub fn lock(&self) -> &ChangeLock {
        &self.lock
    }

    /// Restores the file.
    ///
    /// # Errors
    /// It can't be written.
    pub fn run(self) -> Result<()> {
        let result = match &self.old {
            Some(old) => write_whole(&self.path, old, 0o644, Durability::PowerFailure),
            None => fs::remove_file(&self.path),
        };
        match result {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let what = format!("failed to restore `{}`", self.path.display());
                Err(Error::permission_or(ErrorKind::Io, what, error))
            }
            _ => Ok(()),
        }
    }
}

/// Writes [`OWN_FILE`] atomically. Returns its previous content.
///
/// # Errors
/// The file is invalid, a later file overrides an edit, or the file can't be written. Nothing was changed.
pub fn edit(system: &System, edits: &[Edit]) -> Result<Undo> {
    let directory = system.config.join(DIRECTORY);
    let path = directory.join(OWN_FILE);
    let failed = |error: io::Error| {
        Error::permission_or(ErrorKind::Io, format!("failed to write `{}`", path.display()), error)
            .with_hint("/etc must be writable, and this must run as root, for example with sudo")
    };
    let lock = ChangeLock::take(system)?;
    DirBuilder::new().recursive(true).mode(0o755).create(&directory).map_err(failed)?;
    let mut config = Config::read(system);
    if let Some(problem) = config.problems.iter().find(|problem| problem.path == path) {
        return Err(problem.error());
    }
    let old = match fs::read(&path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let mut own: Vec<Entry> = config.entries.iter().filter(|entry| entry.source.path == path).cloned().collect();
    for Edit { driver, device, key, value } in edits {
        own.retain(|entry| (&entry.driver, &entry.device, &entry.key) != (driver, device, key));
        own.extend(value.as_ref().map(|value| Entry {
            driver: driver.clone(),
            device: device.clone(),
            key: key.clone(),
            value: value.clone(),
            source: Source { path: path.clone(), line: 0, column: 0 },
        }));
    }
    config.entries.retain(|entry| entry.source.path != path);
    config.entries.extend(own.iter().cloned());
    let first = system.config.join(FILE);
    config.entries.sort_by_key(|entry| (entry.source.path != first, entry.source.path.clone()));
    for edit in edits.iter().filter(|edit| edit.value.is_some()) {
        let about =
            |entry: &&&Entry| (&entry.driver, &entry.device, &entry.key) == (&edit.driver, &edit.device, &edit.key);
        if let Some(entry) = config.in_force().iter().find(about).filter(|entry| entry.source.path != path) {
            let what = format!(
                "`{}` of the driver `{}` is set by {}, which is read after `{}`",
                edit.key,
                edit.driver,
                entry.source,
                path.display()
            );
            return Err(Error::new(ErrorKind::Config, what).with_hint("change that line, or remove it"));
        }
    }
    if own.is_empty() {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(Undo { path, old, lock }),
        };
    }
    // The file may contain duplicate entries that a user wrote.
    let own = Config { entries: own, ..Config::default() };
    write_whole(&path, own.to_text().as_bytes(), 0o644, Durability::PowerFailure).map_err(failed)?;
    Ok(Undo { path, old, lock })
}

/// Returns the text of a file that contains these entries.
pub(super) fn to_text(entries: &[&Entry]) -> String {
    let mut text = "# Written by `hidbpf enable`, `hidbpf disable` and `hidbpf set --save`, which keep nothing else in it: what you\n\
        # want to say yourself belongs into a file of your own. Later files win.\n"
        .to_owned();
    let quoted = |value: &str| toml::Value::String(value.to_owned()).to_string();
    type ByDriver<'a> = BTreeMap<&'a DriverName, Vec<&'a Entry>>;
    let mut sections: Vec<(Option<&DeviceRule>, ByDriver<'_>)> = Vec::new();
    for entry in entries {
        let device = entry.device.as_ref();
        // If two rules apply to a device, the later one wins. So an entry joins an existing section for devices only if
        // that section is the last one.
        let known = sections.iter().rposition(|(rule, _)| *rule == device);
        let known = known.filter(|known| device.is_none() || known + 1 == sections.len()).unwrap_or_else(|| {
            sections.push((device, BTreeMap::new()));
            sections.len() - 1
        });
        sections[known].1.entry(&entry.driver).or_default().push(entry);
    }
    // TOML allows `driver` tables after `device` tables. Users write them in this order.
    sections.sort_by_key(|(rule, _)| rule.is_some());
    for (rule, drivers) in sections {
        if let Some(rule) = rule {
            // Writing to a String can't fail.
            let _ = writeln!(text, "\n[[device]]");
            if let Some(bus) = rule.bus {
                let _ = match bus.name() {
                    Some(name) => writeln!(text, "bus = \"{name}\""),
                    None => writeln!(text, "bus = {:#06x}", bus.0),
                };
            }
            for (key, id) in [("vendor", rule.vendor.map(|id| id.0)), ("product", rule.product.map(|id| id.0))] {
                if let Some(id) = id {
                    let _ = writeln!(text, "{key} = {id:#06x}");
                }
            }
            for (key, value) in [("uniq", &rule.uniq), ("phys", &rule.phys)] {
                if let Some(value) = value {
                    let _ = writeln!(text, "{key} = {}", quoted(value));
                }
            }
        }
        for (driver, entries) in drivers {
            let _ = writeln!(text, "\n[{}driver.{driver}]", if rule.is_some() { "device." } else { "" });
            for entry in entries {
                let key = match &entry.key {
                    Key::Option(name) => format!("options.{}", quoted(name)),
                    key => key.to_string(),
                };
                let value = match &entry.value {
                    Value::Text(value) => quoted(value),
                    Value::Curve(curve) => curve.to_toml(),
                    value => value.to_string(),
                };
                let _ = writeln!(text, "{key} = {value}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MAIN, MOUSE, device, driver, system};
    use super::*;
    use crate::config::Enablement;
    use crate::manifest::curve::Curve;

    #[test]
    fn what_is_written_says_what_was_read_where_a_thing_was_said_twice() {
        let text = "
[[device]]
vendor = 1
driver.a.enabled = true
driver.b.enabled = true
[[device]]
uniq = \"x\"
driver.a.enabled = true
[[device]]
vendor = 1
driver.a.enabled = false
";
        let config = Config::of_text(Path::new("x.toml"), text);
        let written = Config::of_text(Path::new("x.toml"), &config.to_text());
        assert_eq!(written.problems, [], "{}", config.to_text());
        let device = device(1, "x", "");
        for config in [config, written] {
            assert!(
                matches!(config.enablement(&driver("a"), &device), Enablement::Disabled(_)),
                "{}",
                config.to_text()
            );
            assert!(matches!(config.enablement(&driver("b"), &device), Enablement::Enabled(_)));
        }
    }

    fn say(device: Option<DeviceRule>, key: Key, value: Option<Value>) -> Edit {
        Edit { driver: driver(MOUSE), device, key, value }
    }

    #[test]
    fn commands_write_a_file_of_their_own_that_says_what_they_were_told() {
        let (root, system) = system(&[(FILE, MAIN)]);
        let odd = device(0x12345678, "a\"b\u{7}\\", "usb-0000:00:14.0-1/input0");
        let (by_serial, by_port) = (DeviceRule::of(&odd, false), DeviceRule::of(&odd, true));
        let edits = [
            say(Some(by_serial.clone()), Key::Enabled, Some(Value::Bool(false))),
            say(Some(by_port.clone()), Key::Option("axis".to_owned()), Some(Value::Text("both".to_owned()))),
            say(Some(by_port), Key::Bind, Some(Value::Bool(true))),
            say(None, Key::Option("steps".to_owned()), Some(Value::Integer(-4))),
            say(None, Key::Option("curve".to_owned()), Some(Value::Curve(Curve(vec![(0, -1), (7, 9)])))),
        ];
        let path = edit(&system, &edits).unwrap().path().to_owned();
        let config = Config::read(&system);
        assert_eq!(config.problems, []);
        let own: Vec<_> = config.entries.iter().filter(|entry| entry.source.path == path).collect();
        assert_eq!(own.len(), edits.len());
        for edit in &edits {
            let about = |entry: &&&Entry| (&entry.device, &entry.key) == (&edit.device, &edit.key);
            assert_eq!(own.iter().find(about).map(|entry| &entry.value), edit.value.as_ref(), "{edit:?}");
        }
        assert!(fs::read_to_string(&path).unwrap().contains("vendor = 0x12345678\n"));
        // A repeated entry replaces the earlier one. Without entries the file is removed.
        let undo = edit(&system, &[say(Some(by_serial), Key::Enabled, Some(Value::Bool(true)))]).unwrap();
        assert!(matches!(Config::read(&system).enablement(&driver(MOUSE), &odd), Enablement::Bound(_)));
        undo.run().unwrap();
        assert!(matches!(Config::read(&system).enablement(&driver(MOUSE), &odd), Enablement::Disabled(_)));
        let nothing: Vec<Edit> = edits.into_iter().map(|edit| Edit { value: None, ..edit }).collect();
        let undo = edit(&system, &nothing).unwrap();
        assert!(!path.exists());
        undo.run().unwrap();
        assert!(path.exists());
        assert_eq!(fs::read_to_string(root.path().join(FILE)).unwrap(), MAIN);
    }

    #[test]
    fn what_a_later_file_says_is_not_written_in_vain() {
        let (root, system) = system(&[("hidbpf.toml.d/99.toml", "[driver.mouse-invert-y]\nenabled = true\n")]);
        let error = edit(&system, &[say(None, Key::Enabled, Some(Value::Bool(false)))]).unwrap_err();
        assert!(error.to_string().contains("99.toml:2, which is read after"), "{error}");
        assert!(!root.path().join(DIRECTORY).join(OWN_FILE).exists());
        fs::write(root.path().join(DIRECTORY).join(OWN_FILE), "broken").unwrap();
        let error = edit(&system, &[say(None, Key::Enabled, Some(Value::Bool(true)))]).unwrap_err();
        assert!(error.to_string().contains(OWN_FILE), "{error}");
    }

    #[test]
    fn an_undo_takes_back_its_own_edit_alone() {
        let (_root, system) = system(&[]);
        let option = |name: &str| say(None, Key::Option(name.to_owned()), Some(Value::Integer(1)));
        for round in 0..20 {
            let (failing, kept) = (format!("failing-{round}"), format!("kept-{round}"));
            let (begun, begins) = std::sync::mpsc::channel();
            std::thread::scope(|scope| {
                // Like a command that then fails to rebuild udev's hwdb.
                scope.spawn(|| {
                    let undo = edit(&system, &[option(&failing)]).unwrap();
                    begun.send(()).unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(20));
                    undo.run().unwrap();
                });
                // Like `hidbpf set --save` at the same time.
                begins.recv().unwrap();
                drop(edit(&system, &[option(&kept)]).unwrap());
            });
            let config = Config::read(&system);
            let has = |name: &str| config.find(&driver(MOUSE), None, &Key::Option(name.to_owned())).is_some();
            assert!(has(&kept) && !has(&failing), "round {round}: {:?}", config.entries);
        }
    }
}
