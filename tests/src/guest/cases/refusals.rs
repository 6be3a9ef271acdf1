//! Cases in which the kernel refuses to load programs: its verifier reaches its limit, it can't compile them, or a security policy forbids
//! it. Commands and udev's events report who refuses, and what to do.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use libbpf_rs::{Link, ObjectBuilder};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::attach::{expect_hat_works, expect_untouched};
use super::drivers::RAPTOR;
use super::fixtures::ENDLESS;
use super::helper::told;
use super::trouble::plug_raptor_unseen;
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, plain_mouse, write};
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("verifier-gives-up", WITH_HID_BPF, verifier_gives_up),
    case("jit-compiler-is-off", WITH_HID_BPF, jit_is_off),
    case("bpf-lsm-forbids-programs", STRUCT_OPS, lsm_forbids),
];

/// The line limit of a message for users, including the kernel's own text.
const FEW: usize = 20;

/// Only the important lines of the verifier's hundred thousand are shown, and all of them on request.
fn verifier_gives_up(bench: &mut Bench) -> Result<()> {
    const PLACE: &str = "bench-endless/driver.bpf.c:1";
    const COUNTS: &str = "| processed ";
    let spec = Spec { product: 0x0106, ..plain_mouse() };
    let mouse = bench.plug(&spec)?;
    let file = ENDLESS.file()?;
    let short = bench.hidbpf(&["load", &file])?.expect(1)?;
    let short =
        short.says("the verifier stopped")?.says("too complex")?.says("hidbpf_walk()")?.says(PLACE)?.says(COUNTS)?;
    let lines = short.stderr.lines().count();
    ensure!(lines < FEW, "{lines} lines\n{short}");
    let long = bench.hidbpf(&["load", "--verbose", &file])?.expect(1)?.says(COUNTS)?;
    let (all, more) = (long.stderr.lines().count(), "more lines with --verbose");
    ensure!(all > 10_000 && !long.stderr.contains(more), "all of it are {all} lines");
    short.says(more)?;
    expect_untouched(&mouse, &spec)?;
    bench.unplug(mouse)?;
    // The journal gets no more either.
    ENDLESS.installed(bench, |bench| {
        let mut mouse = None;
        let entries = told(|| {
            mouse = Some(bench.plug(&spec)?);
            Ok(())
        })?;
        let is_failure = |entry: &&String| entry.contains("the verifier stopped") && entry.contains("processed ");
        let failure = entries.iter().find(is_failure).with_context(|| format!("the journal was told {entries:?}"))?;
        let lines = failure.lines().count();
        ensure!(lines < FEW + 10, "the journal was told {lines} lines: {failure}");
        mouse.map_or(Ok(()), |mouse| bench.unplug(mouse))
    })
}

fn jit_is_off(bench: &mut Bench) -> Result<()> {
    let set = |value: &str| write(Path::new("/proc/sys/net/core/bpf_jit_enable"), value.as_bytes());
    let said = ["ENOTSUPP (os error 524)", "net.core.bpf_jit_enable=0", "sysctl net.core.bpf_jit_enable=1"];
    expect_refused(bench, 4, &said, &said[1..], |run| {
        set("0")?;
        let result = run();
        set("1")?;
        result
    })
}

fn lsm_forbids(bench: &mut Bench) -> Result<()> {
    let said = ["Operation not permitted", "this process has the capabilities", "BPF LSM", "bpftool prog list"];
    expect_refused(bench, 1, &said, &said, |run| {
        // systemd mounts it if it exists.
        const SECURITYFS: &str = "/sys/kernel/security";
        mount("securityfs", SECURITYFS, "securityfs", MountFlags::NOSUID, None)
            .context("failed to mount securityfs")?;
        let result = deny_programs().and_then(|policy| {
            let result = run();
            drop(policy);
            result
        });
        unmount(SECURITYFS, UnmountFlags::empty()).context("failed to unmount securityfs")?;
        result
    })
}

/// Forbids everyone to load BPF programs, as long as the result is kept.
fn deny_programs() -> Result<Link> {
    const OBJECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/deny.bpf.o"));
    let object = ObjectBuilder::default().open_memory(OBJECT).context("failed to open the policy")?;
    let object = object.load().context("failed to load the policy")?;
    let policy = object.progs_mut().next().context("the policy has no program")?;
    policy.attach_lsm().context("failed to attach the policy")
}

/// While `refusing` is active no driver is attached, and `load`, `doctor` and `status` say why. Afterwards everything works.
fn expect_refused(
    bench: &mut Bench,
    code: i32,
    said: &[&str],
    found: &[&str],
    refusing: impl FnOnce(&mut dyn FnMut() -> Result<()>) -> Result<()>,
) -> Result<()> {
    let (joystick, spec) = plug_raptor_unseen(bench)?;
    refusing(&mut || {
        let load = bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(code)?;
        said.iter().try_fold(load, |run, words| run.says(words))?;
        let doctor = bench.hidbpf(&["doctor"])?.expect(1)?;
        found.iter().try_fold(doctor, |run, words| run.answers(words))?;
        bench.release()?;
        expect_untouched(&joystick, &spec)?;
        let status = bench.hidbpf(&["status"])?.expect(0)?.answers("failed")?;
        said.iter().try_fold(status, |run, words| run.answers(words)).map(drop)
    })?;
    bench.hidbpf(&["doctor"])?.answers("the kernel loads programs, and compiles them")?;
    bench.trigger("add", &joystick)?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}
