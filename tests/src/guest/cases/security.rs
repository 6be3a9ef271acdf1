//! Cases about the rights of the helper, and the owners of the objects that it loads: docs/security.md.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::attach::expect_hat_works;
use super::drivers::RAPTOR;
use super::faults::add_traced;
use super::trouble::{plug_raptor_unseen, raptor_object};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, write};
use crate::guest::links::{self, Links, remove};
use crate::protocol::Generation;

pub const CASES: &[Case] = &[
    case("helper-gives-up-privileges", WITH_HID_BPF, gives_up_privileges).each_generation(),
    case("object-that-others-can-write", WITH_HID_BPF, others_can_write).newest_only(),
    case("object-by-way-of-links", WITH_HID_BPF, by_way_of_links).newest_only(),
];

/// Bits of capabilities: include/uapi/linux/capability.h.
const SYS_ADMIN: u64 = 1 << 21;
const PERFMON: u64 = 1 << 38;
const BPF: u64 = 1 << 39;

fn gives_up_privileges(bench: &mut Bench) -> Result<()> {
    let needed = match bench.generation {
        Generation::StructOps => BPF | PERFMON,
        _ => BPF | PERFMON | SYS_ADMIN,
    };
    let (joystick, _) = plug_raptor_unseen(bench)?;
    let mut traced = add_traced(&joystick)?;
    traced.next_call()?.context("the helper made no bpf() call")?;
    for (set, expected) in [("CapEff", needed), ("CapPrm", needed), ("CapInh", 0)] {
        let text = traced.status(set)?;
        let found = u64::from_str_radix(&text, 16).with_context(|| format!("`{text}` are not capabilities"))?;
        ensure!(found == expected, "{set} is {found:#x}, expected {expected:#x}");
    }
    ensure!(traced.status("NoNewPrivs")? == "1", "the helper could gain privileges");
    traced.finish()?.0.expect(0)?;
    expect_hat_works(&joystick)?;
    bench.release()?;
    bench.unplug(joystick)
}

fn others_can_write(bench: &mut Bench) -> Result<()> {
    /// This directory precedes the distribution's, so its object is used.
    const DIRECTORY: &str = "/etc/hidbpf/drivers";
    const ELSEWHERE: &str = "/tmp/elsewhere.bpf.o";
    let path = format!("{DIRECTORY}/{}.bpf.o", RAPTOR.0);
    let object = raptor_object()?;
    let mode = |path: &str, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| format!("failed to share `{path}`"))
    };
    let remove_it = || fs::remove_file(&path).with_context(|| format!("failed to remove `{path}`"));
    write(Path::new(ELSEWHERE), &object)?;
    let link = |target: &str| symlink(target, &path).with_context(|| format!("failed to link `{path}`"));
    let refused = |path: &str, why: &str| format!("`{path}` {why}");
    type Make<'a> = &'a dyn Fn() -> Result<()>;
    let broken: [(String, &str, Make<'_>); 5] = [
        (refused(&path, "can be written by group 0"), "chmod go-w", &|| {
            write(Path::new(&path), &object)?;
            mode(&path, 0o664)
        }),
        (refused(DIRECTORY, "can be written by everybody"), "chmod go-w", &|| {
            write(Path::new(&path), &object)?;
            mode(DIRECTORY, 0o777)
        }),
        (refused(&path, "belongs to user 1000, expected root"), "chown", &|| {
            write(Path::new(&path), &object)?;
            chown(&path, Some(1000), None).with_context(|| format!("failed to give away `{path}`"))
        }),
        // Everybody may write to /tmp.
        (refused("/tmp", "can be written by everybody"), "chmod go-w", &|| link(ELSEWHERE)),
        (refused(&path, "comes after 40 other links"), "correct the link", &|| link(&path)),
    ];
    for (why, hint, make) in broken {
        let why = why.as_str();
        make()?;
        let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
        let result = (|| {
            ensure!(joystick.pinned_drivers()?.is_empty(), "pinned: {:?}", joystick.pinned_drivers()?);
            bench.hidbpf(&["status"])?.expect(0)?.answers(why)?.answers(hint)?;
            bench.hidbpf(&["doctor"])?.answers(hint)?;
            // A user who names it by hand is responsible for it.
            bench.hidbpf(&["load", RAPTOR.0])?.expect(0)?;
            ensure!(!bench.hidbpf(&["status"])?.expect(0)?.stdout.contains(why), "the failure is not resolved");
            Ok(())
        })();
        remove_it()?;
        mode(DIRECTORY, 0o755)?;
        result.with_context(|| why.to_owned())?;
        bench.unplug(joystick)?;
    }
    let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// Image-based systems have /usr/local below /var, by a link with `..` in it.
///
/// NixOS has links in /etc to a store that its builders may add to.
fn by_way_of_links(bench: &mut Bench) -> Result<()> {
    const OBJECT: &str = "frtec-raptor-mach-2.bpf.o";
    let packaged = format!("/usr/lib/hidbpf/drivers/{OBJECT}");
    let object = raptor_object()?;
    let layouts: [(&str, links::Spec<'_>, &str); 2] = [
        ("/usr/local/lib/hidbpf/drivers", &[("/usr/local", "../var/usrlocal")], "/var/usrlocal/lib/hidbpf/drivers"),
        (
            "/etc/hidbpf/drivers",
            &[
                ("/etc/hidbpf/drivers/frtec-raptor-mach-2.bpf.o", "/etc/static/frtec-raptor-mach-2.bpf.o"),
                ("/etc/static", "../nix/store/1-etc"),
            ],
            "/nix/store/1-etc",
        ),
    ];
    fs::remove_file(&packaged).with_context(|| format!("failed to remove `{packaged}`"))?;
    let result = layouts.into_iter().try_for_each(|(seen, links, real)| {
        write(&Path::new(real).join(OBJECT), &object)?;
        if real.starts_with("/nix") {
            fs::set_permissions("/nix/store", fs::Permissions::from_mode(0o1775))
                .context("failed to share the store")?;
            chown("/nix/store", None, Some(30000)).context("failed to share the store")?;
        }
        let _links = Links::make(links)?;
        let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
        expect_hat_works(&joystick).with_context(|| seen.to_owned())?;
        bench.hidbpf(&["--json", "status"])?.expect(0)?.answers(&format!("\"object\": \"{seen}/{OBJECT}\""))?;
        bench.unplug(joystick)?;
        remove(real)
    });
    write(Path::new(&packaged), &object)?;
    result
}
