//! Checks the rest of the machine: bpffs, a directory for state, libbpf, and other loaders.

use super::{Finding, Grade};
use crate::libbpf;
use crate::pins;
use crate::system::System;
use crate::takeover::{self, Standing};

pub(super) fn bpffs(system: &System) -> Finding {
    if let Err(error) = pins::check_bpffs(system) {
        return Finding::not_good("bpffs", Grade::Bad, error.to_string(), error.hint().unwrap_or_default());
    }
    let flags = rustix::fs::statvfs(&system.bpffs).map(|stat| stat.f_flag);
    if flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::RDONLY)) {
        return Finding::not_good(
            "bpffs",
            Grade::Bad,
            format!("`{}` is mounted read-only", system.bpffs.display()),
            format!("run `mount -o remount,rw {}` as root", system.bpffs.display()),
        );
    }
    Finding::good("bpffs", format!("mounted on {}", system.bpffs.display()))
}

/// Checks that state files can be written. Otherwise nothing is attached.
pub(super) fn run(system: &System) -> Finding {
    const CHECK: &str = "run";
    let there = system.run.ancestors().find(|path| path.exists()).unwrap_or(&system.run);
    let bad = |what: String, remedy: &str| Finding::not_good(CHECK, Grade::Bad, what, remedy);
    match rustix::fs::statvfs(there) {
        Ok(stat) if stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) => {
            let what = format!(
                "`{}` is read-only, so that nothing can be noted in `{}`",
                there.display(),
                system.run.display()
            );
            bad(what, "mount a tmpfs on /run, as systemd does")
        }
        // Some file systems have no limit on bytes or inodes, and report 0 for all counts.
        Ok(stat) if stat.f_blocks > 0 && stat.f_bavail == 0 || stat.f_files > 0 && stat.f_favail == 0 => {
            let what =
                format!("`{}` is full, so that nothing can be noted in `{}`", there.display(), system.run.display());
            bad(
                what,
                "see with `du -x /run` what fills it; then run `udevadm trigger --action=add --subsystem-match=hid`",
            )
        }
        Ok(_) => Finding::good(CHECK, format!("`{}` can be written", system.run.display())),
        Err(error) => bad(format!("failed to look at `{}`: {error}", there.display()), "mount a tmpfs on /run"),
    }
}

/// Checks the libbpf that builds drivers, and loads programs that are not prelinked.
pub(super) fn own_libbpf() -> Finding {
    const CHECK: &str = "libbpf";
    match libbpf::check() {
        Ok(()) => Finding::good(CHECK, libbpf::version().to_string()),
        Err(error) => Finding::not_good(CHECK, Grade::Warning, error.to_string(), error.hint().unwrap_or_default()),
    }
}

/// Checks for the other loader of HID-BPF drivers. Both can be installed: hidbpf leaves devices alone that the other
/// has fixed, unless it has taken over.
pub(super) fn udev_hid_bpf(system: &System) -> Option<Finding> {
    const PLACES: [&str; 2] = ["usr/bin/udev-hid-bpf", "usr/local/bin/udev-hid-bpf"];
    let path = PLACES.iter().map(|place| system.root.join(place)).find(|path| path.exists())?;
    let path = path.display();
    let warning = |message: String, hint: &str| Some(Finding::not_good("udev-hid-bpf", Grade::Warning, message, hint));
    match takeover::standing(system) {
        Ok(Standing::TakenOver) => {
            Some(Finding::good("udev-hid-bpf", format!("`{path}` is installed, and hidbpf has taken over from it")))
        }
        Ok(Standing::Outdated) => warning(
            format!("`{path}` has other objects or udev rules than when hidbpf took over from it"),
            "run `hidbpf install --from-udev-hid-bpf` again",
        ),
        Ok(Standing::Both) => warning(
            format!("`{path}` is installed too: a device gets the driver of whichever comes first"),
            "let hidbpf take over with `hidbpf install --from-udev-hid-bpf`, or remove one of the two packages",
        ),
        Err(error) => warning(error.to_string(), error.hint().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::machine;
    use super::*;

    #[test]
    fn another_loader_is_named() {
        let (_root, both) = machine(&[("usr/bin/udev-hid-bpf", "")]);
        assert!(udev_hid_bpf(&both).unwrap().message.contains("usr/bin/udev-hid-bpf"));
        assert_eq!(udev_hid_bpf(&machine(&[]).1), None);
    }

    #[test]
    fn a_place_that_can_be_written_is_good() {
        let (_root, system) = machine(&[("run/x", "")]);
        assert_eq!(run(&system).grade, Grade::Good);
    }
}
