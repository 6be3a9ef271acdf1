//! Cases about what udev's helper may do, and whose objects it takes: docs/security.md.

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
use crate::protocol::Generation;

pub const CASES: &[Case] = &[
    case("helper-gives-up-privileges", WITH_HID_BPF, gives_up_privileges),
    case("object-that-others-can-write", WITH_HID_BPF, others_can_write),
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
        let found = u64::from_str_radix(&text, 16).with_context(|| format!("`{text}` are no capabilities"))?;
        ensure!(found == expected, "{set} is {found:#x}, expected {expected:#x}");
    }
    ensure!(traced.status("NoNewPrivs")? == "1", "the helper could gain privileges");
    traced.finish()?.0.expect(0)?;
    expect_hat_works(&joystick)?;
    bench.release()?;
    bench.unplug(joystick)
}

fn others_can_write(bench: &mut Bench) -> Result<()> {
    /// Comes before the distribution's directory, so that its object is the one that counts.
    const DIRECTORY: &str = "/etc/hidbpf/drivers";
    const ELSEWHERE: &str = "/tmp/elsewhere.bpf.o";
    let path = format!("{DIRECTORY}/{}.bpf.o", RAPTOR.0);
    let object = raptor_object()?;
    let mode = |path: &str, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).with_context(|| format!("failed to share `{path}`"))
    };
    let remove = || fs::remove_file(&path).with_context(|| format!("failed to remove `{path}`"));
    write(Path::new(ELSEWHERE), &object)?;
    let broken: [(&str, &dyn Fn() -> Result<()>); 4] = [
        ("can be written by others than root", &|| {
            write(Path::new(&path), &object)?;
            mode(&path, 0o664)
        }),
        ("can be written by others than root", &|| {
            write(Path::new(&path), &object)?;
            mode(DIRECTORY, 0o777)
        }),
        ("belongs to the user 1000", &|| {
            write(Path::new(&path), &object)?;
            chown(&path, Some(1000), None).with_context(|| format!("failed to give away `{path}`"))
        }),
        ("is a link", &|| symlink(ELSEWHERE, &path).with_context(|| format!("failed to link `{path}`"))),
    ];
    for (why, make) in broken {
        make()?;
        let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
        let result = (|| {
            ensure!(joystick.pinned_drivers()?.is_empty(), "pinned: {:?}", joystick.pinned_drivers()?);
            bench.hidbpf(&["status"])?.expect(0)?.answers(why)?.answers("chmod go-w")?;
            // Who names it by hand has seen to it.
            bench.hidbpf(&["load", RAPTOR.0])?.expect(0)?;
            ensure!(!bench.hidbpf(&["status"])?.expect(0)?.stdout.contains(why), "the failure is not resolved");
            Ok(())
        })();
        remove()?;
        mode(DIRECTORY, 0o755)?;
        result.with_context(|| why.to_owned())?;
        bench.unplug(joystick)?;
    }
    let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}
