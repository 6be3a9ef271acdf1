//! Checks that udev runs, and knows the rules and the drivers.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Finding, Grade};
use crate::catalog::Catalog;
use crate::compiled;
use crate::config::Config;
use crate::hwdb::{self, Entries};
use crate::system::System;
use crate::udev_files;

/// The hint to update /etc for the drivers and the configuration, and to compile the hwdb if necessary.
const RENEW: &str = "run `hidbpf config --apply` as root";

pub(super) fn rules(system: &System) -> Finding {
    const CHECK: &str = "rules";
    let files = udev_files::all(system, udev_files::RULES);
    let [first, hidden @ ..] = &files[..] else {
        let message = "udev has no 81-hidbpf.rules, so only `hidbpf load` attaches drivers";
        let hint = "install the package of hidbpf again: the file belongs into /usr/lib/udev/rules.d";
        return Finding::not_good(CHECK, Grade::Bad, message, hint);
    };
    let path = first.display();
    if udev_files::is_mask(first) {
        let message = format!("`{path}` masks the rules: udev attaches nothing");
        return Finding::not_good(CHECK, Grade::Warning, message, format!("remove `{path}`"));
    }
    if let [packages, ..] = hidden {
        let message = format!("`{path}` hides `{}`, which updates of hidbpf change", packages.display());
        let hint = format!("run `rm {path} && udevadm control --reload` as root");
        return Finding::not_good(CHECK, Grade::Warning, message, hint);
    }
    Finding::good(CHECK, path.to_string())
}

pub(super) fn udev(system: &System) -> Finding {
    if system.root.join("run/udev/control").exists() {
        Finding::good("udev", "running")
    } else {
        Finding::not_good("udev", Grade::Bad, "udev is not running", "start systemd-udevd")
    }
}

/// Checks that the effective hwdb files match the drivers and the configuration.
pub(super) fn hwdb_files(system: &System, catalog: &Catalog, config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut not_good = |grade, message: String, hint: String| {
        findings.push(Finding::not_good("hwdb", grade, message, hint));
    };
    for name in udev_files::hwdb_names(system) {
        let files = udev_files::all(system, Path::new("hwdb.d").join(&name));
        if let Some((path, hides)) = hiding(system, &name, &files) {
            let message =
                format!("`{}` hides {hides}: udev does not learn of drivers that a package adds", path.display());
            not_good(Grade::Warning, message, format!("run `rm {} && hidbpf config --apply` as root", path.display()));
        }
    }
    let mut said = Vec::new();
    for path in udev_files::hwdb_sources(system) {
        match fs::read_to_string(&path) {
            Ok(text) => said.push((path, Entries::of_text(&text))),
            Err(error) => {
                let message = format!("failed to read `{}`: {error}", path.display());
                not_good(Grade::Bad, message, "correct its owner and permissions".to_owned());
            }
        }
    }
    let all: BTreeSet<_> = said.iter().flat_map(|(_, entries)| entries.pairs()).collect();
    let lacking = |wanted: &Entries| -> BTreeSet<String> {
        wanted.pairs().filter(|pair| !all.contains(pair)).map(|(driver, _)| driver.to_owned()).collect()
    };
    let local = lacking(&Entries::local(system, catalog, config));
    let packaged = &lacking(&Entries::automatic(&catalog.drivers)) - &local;
    if !local.is_empty() {
        let message = format!("no hwdb file has this machine's entries for {}", list(&local));
        not_good(Grade::Warning, message, RENEW.to_owned());
    }
    if !packaged.is_empty() {
        let message = format!("no hwdb file has the entries for the packaged drivers {}", list(&packaged));
        let grade = if all.is_empty() { Grade::Bad } else { Grade::Warning };
        not_good(grade, message, "install the package that has them again".to_owned());
    }
    for (path, entries) in &said {
        let is_gone = |name: &str| !catalog.drivers.iter().any(|driver| driver.name.as_str() == name);
        let stale: BTreeSet<String> =
            entries.pairs().map(|(driver, _)| driver).filter(|name| is_gone(name)).map(str::to_owned).collect();
        if !stale.is_empty() {
            let message =
                format!("`{}` has entries for drivers that are not installed: {}", path.display(), list(&stale));
            let hint = match path.ends_with(hwdb::LOCAL_FILE) {
                true => RENEW,
                false => "remove the file, or install the drivers' package again",
            };
            not_good(Grade::Warning, message, hint.to_owned());
        }
    }
    if findings.is_empty() {
        let paths: Vec<String> = said.iter().map(|(path, _)| path.display().to_string()).collect();
        let message = if paths.is_empty() { "none is needed".to_owned() } else { paths.join(", ") };
        findings.push(Finding::good("hwdb", message));
    }
    findings
}

/// Returns an administrator's file that replaces a package's, and the file that it hides.
fn hiding(system: &System, name: &str, files: &[PathBuf]) -> Option<(PathBuf, String)> {
    let [first, hidden @ ..] = files else { return None };
    match hidden {
        _ if name == hwdb::LOCAL_FILE => None,
        [packages, ..] => Some((first.clone(), format!("`{}`", packages.display()))),
        // Its name is the one in the drivers' package.
        [] if name == hwdb::FILE && first.starts_with(system.root.join("etc")) => {
            Some((first.clone(), "the file of the drivers' package".to_owned()))
        }
        [] => None,
    }
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Queries the compiled hwdb for each driver, as udev does.
pub(super) fn compiled_hwdb(system: &System, catalog: &Catalog, config: &Config) -> Finding {
    const CHECK: &str = "compiled hwdb";
    let Some(path) = compiled::path(system) else {
        let message = "there is none, so udev attaches nothing";
        // If udev finds no hwdb at its start, it doesn't check again.
        let hint = format!("{RENEW}, then `systemctl restart systemd-udevd`");
        return Finding::not_good(CHECK, Grade::Bad, message, hint);
    };
    let path = path.display();
    if let Some(outdated) = compiled::outdated(system) {
        let message = format!("`{}` hides a newer one in /usr", outdated.display());
        return Finding::not_good(CHECK, Grade::Warning, message, RENEW);
    }
    let wanted = Entries::automatic(&catalog.drivers).and(Entries::local(system, catalog, config));
    match compiled::unknown(&wanted) {
        Ok(unknown) if unknown.is_empty() => {
            Finding::good(CHECK, format!("`{path}` knows every installed driver that udev attaches"))
        }
        Ok(unknown) => {
            let unknown = unknown.into_iter().map(str::to_owned).collect();
            let message = format!("`{path}` does not know {}", list(&unknown));
            Finding::not_good(CHECK, Grade::Bad, message, RENEW)
        }
        Err(error) => {
            let message = format!("failed to open `{path}`: {error}");
            Finding::not_good(CHECK, Grade::Bad, message, RENEW)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::tests::machine;
    use super::*;

    const ETC: &str = "etc/udev/hwdb.d/81-hidbpf.hwdb";
    const USR: &str = "usr/lib/udev/hwdb.d/81-hidbpf.hwdb";

    fn of_files(files: &[(&str, &str)]) -> Vec<Finding> {
        let (_root, system) = machine(files);
        hwdb_files(&system, &Catalog::default(), &Config::default())
    }

    #[test]
    fn a_file_that_hides_a_packages_is_found() {
        for (files, hides) in [
            (&[(ETC, ""), (USR, "")][..], "usr/lib/udev/hwdb.d/81-hidbpf.hwdb`: udev does not learn"),
            (&[(ETC, "")], "hides the file of the drivers' package"),
            (
                &[("etc/udev/hwdb.d/81-hidbpf-x.hwdb", ""), ("usr/lib/udev/hwdb.d/81-hidbpf-x.hwdb", "")],
                "81-hidbpf-x.hwdb` hides",
            ),
        ] {
            let findings = of_files(files);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert_eq!(finding.grade, Grade::Warning);
            assert!(finding.message.contains(hides), "{}", finding.message);
            let remedy = finding.remedy.as_deref().unwrap();
            assert!(
                remedy.contains("etc/udev/hwdb.d/81-hidbpf") && remedy.contains("hidbpf config --apply"),
                "{remedy}"
            );
        }
        for files in [&[(USR, "")][..], &[("etc/udev/hwdb.d/82-hidbpf-local.hwdb", ""), (USR, "")], &[]] {
            let findings = of_files(files);
            assert!(findings.iter().all(|finding| finding.grade == Grade::Good), "{findings:?}");
        }
    }

    #[test]
    fn entries_for_drivers_that_are_gone_are_found() {
        let text = "hidbpf:hid:b0003g*v1p2\n HIDBPF=1\n HIDBPF_DRIVER_GONE=gone\n";
        for (path, remedy) in
            [(USR, "remove the file, or"), ("etc/udev/hwdb.d/82-hidbpf-local.hwdb", "`hidbpf config --apply`")]
        {
            let findings = of_files(&[(path, text)]);
            let [finding] = &findings[..] else { panic!("{findings:?}") };
            assert!(finding.message.ends_with("not installed: `gone`"), "{}", finding.message);
            assert!(finding.remedy.as_deref().unwrap().contains(remedy), "{finding:?}");
        }
    }

    #[test]
    fn a_machine_without_a_compiled_hwdb_is_not_well() {
        let (_root, system) = machine(&[(USR, "")]);
        let finding = compiled_hwdb(&system, &Catalog::default(), &Config::default());
        assert_eq!((finding.grade, finding.message.as_str()), (Grade::Bad, "there is none, so udev attaches nothing"));
        assert!(finding.remedy.as_deref().unwrap().starts_with(RENEW), "{finding:?}");
    }

    #[test]
    fn rules_that_are_missing_masked_or_hidden_are_found() {
        const IN_ETC: &str = "etc/udev/rules.d/81-hidbpf.rules";
        const IN_USR: &str = "usr/lib/udev/rules.d/81-hidbpf.rules";
        for (files, grade, words) in [
            (&[][..], Grade::Bad, "udev has no 81-hidbpf.rules"),
            (&[(IN_USR, "")], Grade::Good, IN_USR),
            (&[(IN_ETC, "")], Grade::Good, IN_ETC),
            (&[(IN_ETC, ""), (IN_USR, "")], Grade::Warning, "usr/lib/udev/rules.d/81-hidbpf.rules`, which updates"),
        ] {
            let (_root, system) = machine(files);
            let finding = rules(&system);
            assert_eq!(finding.grade, grade);
            assert!(finding.message.contains(words), "{}", finding.message);
        }
        let (root, system) = machine(&[(IN_USR, ""), ("etc/udev/rules.d/x", "")]);
        symlink("/dev/null", root.path().join(IN_ETC)).unwrap();
        assert!(rules(&system).message.contains("masks the rules"));
    }
}
