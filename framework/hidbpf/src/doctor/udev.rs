//! Whether udev runs, and knows the rules and the drivers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Finding, Grade};
use crate::catalog::Catalog;
use crate::config::Config;
use crate::hwdb::{self, Entries};
use crate::system::System;

/// Where a file of udev's is looked for, the first wins: udev(7), hwdb(7).
fn udev_files<'a>(system: &'a System, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    ["etc/udev", "run/udev", "usr/local/lib/udev", "usr/lib/udev", "lib/udev"]
        .into_iter()
        .map(move |dir| system.root.join(dir).join(name))
        .filter(|path| path.exists())
}

pub(super) fn rules(system: &System) -> Finding {
    match udev_files(system, "rules.d/81-hidbpf.rules").next() {
        // A link to /dev/null is how an administrator turns a rules file off.
        Some(path) if fs::read_link(&path).is_ok_and(|target| target == Path::new("/dev/null")) => Finding::not_good(
            "rules",
            Grade::Warning,
            format!("`{}` masks the rules: udev attaches nothing", path.display()),
            format!("remove `{}`", path.display()),
        ),
        Some(path) => Finding::good("rules", path.display().to_string()),
        None => Finding::not_good(
            "rules",
            Grade::Bad,
            "udev has no 81-hidbpf.rules, so that devices are fixed only by `hidbpf load`",
            "install udev-rules/81-hidbpf.rules to /etc/udev/rules.d and run `udevadm control --reload`",
        ),
    }
}

pub(super) fn udev(system: &System) -> Finding {
    if system.root.join("run/udev/control").exists() {
        Finding::good("udev", "running")
    } else {
        Finding::not_good("udev", Grade::Bad, "udev is not running", "start systemd-udevd")
    }
}

const MAKE_HWDB: &str = "run `hidbpf hwdb > /etc/udev/hwdb.d/81-hidbpf.hwdb && systemd-hwdb update` as root";

/// How the file of what this machine has beside the package is made.
const MAKE_LOCAL_HWDB: &str = "run `hidbpf config --apply` as root";

pub(super) fn hwdb_text(system: &System, catalog: &Catalog, config: &Config) -> Finding {
    let not_good = |grade, message, remedy| Finding::not_good("hwdb", grade, message, remedy);
    let mut there = Entries::default();
    let mut paths = Vec::new();
    for name in [hwdb::FILE, hwdb::LOCAL_FILE] {
        let Some(path) = udev_files(system, &format!("hwdb.d/{name}")).next() else { continue };
        match fs::read_to_string(&path) {
            Ok(text) => there = there.and(Entries::of_text(&text)),
            Err(error) => {
                return not_good(Grade::Bad, format!("failed to read `{}`: {error}", path.display()), MAKE_HWDB);
            }
        }
        paths.push(path.display().to_string());
    }
    let there: BTreeSet<_> = there.pairs().collect();
    let knows = |pair| there.contains(&pair);
    let (local, all) = (Entries::local(system, catalog, config), Entries::automatic(&catalog.drivers));
    if let Some((driver, _)) = local.pairs().find(|pair| !knows(*pair)) {
        let message = format!("udev has no entry, or an old one, for the driver `{driver}` of this machine");
        return not_good(Grade::Warning, message, MAKE_LOCAL_HWDB);
    }
    if paths.is_empty() {
        return not_good(Grade::Bad, format!("udev has no {}", hwdb::FILE), MAKE_HWDB);
    }
    let is_gone = |name: &str| !catalog.drivers.iter().any(|driver| driver.name.as_str() == name);
    let stale = there.iter().any(|(driver, _)| is_gone(driver));
    if stale || !all.pairs().all(knows) {
        let message = format!("`{}` is not the one of the installed drivers", paths.join("` and `"));
        return not_good(Grade::Warning, message, MAKE_HWDB);
    }
    Finding::good("hwdb", paths.join(", "))
}

/// Asks the compiled database for each driver, as udev will.
pub(super) fn compiled_hwdb(system: &System, catalog: &Catalog, config: &Config) -> Finding {
    let database = match ::udev::Hwdb::new() {
        Ok(database) => database,
        Err(error) => {
            let message = format!("failed to open udev's compiled hwdb: {error}");
            return Finding::not_good("compiled hwdb", Grade::Bad, message, MAKE_HWDB);
        }
    };
    let wanted = Entries::automatic(&catalog.drivers).and(Entries::local(system, catalog, config));
    let is_unknown = |&(driver, pattern): &(&str, &str)| {
        let query = format!("{}{}", hwdb::PREFIX, hwdb::example(pattern));
        !database.query(query).any(|entry| entry.value().to_str() == Some(driver))
    };
    let unknown: BTreeSet<&str> = wanted.pairs().filter(is_unknown).map(|(driver, _)| driver).collect();
    if unknown.is_empty() {
        Finding::good("compiled hwdb", "knows every installed driver that udev attaches")
    } else {
        let unknown = Vec::from_iter(unknown).join(", ");
        let message = format!("udev's compiled hwdb does not know {unknown}");
        Finding::not_good("compiled hwdb", Grade::Bad, message, "run `systemd-hwdb update` as root")
    }
}
