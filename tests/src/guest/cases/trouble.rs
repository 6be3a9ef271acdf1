//! Cases with a problem: in the object, the machine, the caller's rights, the kernel, or the moment.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};

use super::attach::{expect_hat_works, expect_untouched};
use super::drivers::{RAPTOR, plug_fixed};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HELPER, HIDBPF, Plugged, write};
use crate::guest::{machine, shim};
use crate::process::{Run, command};
use crate::protocol::Generation;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("corrupt-object", WITH_HID_BPF, corrupt_object).newest_only(),
    case("corrupt-object-among-good-ones", WITH_HID_BPF, corrupt_among_good).newest_only(),
    case("no-bpffs", WITH_HID_BPF, no_bpffs).each_generation(),
    case("read-only-bpffs", WITH_HID_BPF, read_only_bpffs).each_generation(),
    case("not-root", WITH_HID_BPF, not_root).each_generation(),
    case("root-without-cap-sys-admin", &[Generation::FmodRet], without_sys_admin),
    case("kernel-without-hid-bpf", &[Generation::None], kernel_without_hid_bpf),
];

const INSTALLED: &str = "/usr/lib/hidbpf/drivers";

pub fn raptor_object() -> Result<Vec<u8>> {
    let path = format!("{INSTALLED}/{}.bpf.o", RAPTOR.0);
    fs::read(&path).with_context(|| format!("failed to read `{path}`"))
}

/// Plugs in the joystick without udevd seeing it, so that only the case acts on it.
pub fn plug_raptor_unseen(bench: &mut Bench) -> Result<(Plugged, Spec)> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    Ok((bench.plug_unseen(&spec)?, spec))
}

fn corrupt_object(bench: &mut Bench) -> Result<()> {
    let (joystick, spec) = plug_raptor_unseen(bench)?;
    let good = raptor_object()?;
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let without_manifest = changed(&|bytes| {
        let name = b".hidbpf.manifest";
        if let Some(at) = bytes.windows(name.len()).position(|window| window == name) {
            bytes[at + name.len() - 1] = b'x';
        }
    });
    const E_MACHINE: usize = 18;
    const EI_DATA: usize = 5;
    let broken = [
        ("empty", Vec::new()),
        ("text", b"not an object\n".to_vec()),
        ("elf-header-only", good[..64].to_vec()),
        ("first-half", good[..good.len() / 2].to_vec()),
        ("all-but-the-end", good[..good.len() - 1].to_vec()),
        ("no-manifest", without_manifest),
        ("other-machine", changed(&|bytes| bytes[E_MACHINE] = 62)),
        ("other-byte-order", changed(&|bytes| bytes[EI_DATA] = 2)),
        ("this-test-program", fs::read("/proc/self/exe").context("failed to read this program")?),
        (
            "zeros-in-the-middle",
            changed(&|bytes| {
                let middle = bytes.len() / 2;
                bytes[middle - 256..middle + 256].fill(0);
            }),
        ),
    ];
    ensure!(broken[5].1 != good, "the object has no manifest to begin with");
    for (what, bytes) in broken {
        let path = format!("/tmp/{what}.bpf.o");
        write(Path::new(&path), &bytes)?;
        let run = bench.hidbpf(&["load", &path, &joystick.name()]).with_context(|| what.to_owned())?;
        let run = run.expect(1).with_context(|| what.to_owned())?.says(&path)?;
        ensure!(!run.stderr.contains("panicked"), "{what}: {run}");
        expect_untouched(&joystick, &spec).with_context(|| what.to_owned())?;
    }
    // The name is for users; only the file's contents count.
    write(Path::new("/tmp/driver.o"), &good)?;
    bench.hidbpf(&["load", "driver.o"])?.expect(1)?.says("there is no driver `driver.o`")?;
    bench.hidbpf(&["load", "/tmp/no-such.bpf.o"])?.expect(1)?.says("/tmp/no-such.bpf.o")?;
    expect_untouched(&joystick, &spec)?;
    bench.hidbpf(&["load", "/tmp/driver.o", &joystick.name()])?.expect(0)?;
    expect_hat_works(&joystick)?;
    bench.release()?;
    bench.unplug(joystick)
}

/// One bad file must not keep the other drivers from working.
fn corrupt_among_good(bench: &mut Bench) -> Result<()> {
    let path = Path::new("/etc/hidbpf/drivers/half-a-driver.bpf.o");
    let good = raptor_object()?;
    write(path, &good[..good.len() / 2])?;
    let result = (|| {
        let joystick = plug_fixed(RAPTOR, bench)?;
        expect_hat_works(&joystick)?;
        bench.hidbpf(&["drivers"])?.answers(RAPTOR.0)?.says("half-a-driver")?;
        bench.hidbpf(&["devices"])?.answers(RAPTOR.0)?;
        // Without udev's properties all installed drivers are read.
        let (second, _) = plug_raptor_unseen(bench)?;
        Run::of(command(HELPER).args(["add", &second.path()]))?;
        ensure!(second.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", second.pinned_drivers()?);
        bench.release()?;
        bench.unplug(second)?;
        bench.unplug(joystick)
    })();
    fs::remove_file(path).context("failed to remove a file")?;
    result
}

fn no_bpffs(bench: &mut Bench) -> Result<()> {
    let (joystick, spec) = plug_raptor_unseen(bench)?;
    unmount(machine::BPFFS, UnmountFlags::empty()).context("failed to unmount bpffs")?;
    let result = (|| {
        bench.hidbpf(&["load", RAPTOR.0])?.expect(1)?.says("bpffs")?.says(machine::BPFFS)?;
        expect_untouched(&joystick, &spec)?;
        bench.hidbpf(&["doctor"])?.expect(1)?.answers("bpffs")?;
        bench.hidbpf(&["status"])?.expect(0)?;
        bench.release()?;
        expect_untouched(&joystick, &spec)
    })();
    machine::mount_bpffs()?;
    result?;
    // After the repair of the machine the device can be fixed.
    bench.hidbpf(&["load", RAPTOR.0])?.expect(0)?;
    bench.settle()?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn read_only_bpffs(bench: &mut Bench) -> Result<()> {
    let (joystick, spec) = plug_raptor_unseen(bench)?;
    let remount =
        |flags| mount_remount(machine::BPFFS, MountFlags::NOSUID | flags, "").context("failed to remount bpffs");
    remount(MountFlags::RDONLY)?;
    let result = (|| {
        bench.hidbpf(&["load", RAPTOR.0])?.expect(1)?.says(machine::BPFFS)?;
        expect_untouched(&joystick, &spec)?;
        bench.hidbpf(&["doctor"])?.expect(1)?.answers("bpffs")?;
        bench.release()?;
        expect_untouched(&joystick, &spec)
    })();
    remount(MountFlags::empty())?;
    result?;
    bench.hidbpf(&["load", RAPTOR.0])?.expect(0)?;
    bench.settle()?;
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

fn not_root(bench: &mut Bench) -> Result<()> {
    const NOBODY: u32 = 65534;
    let as_nobody = |arguments: &[&str]| Run::of(command(HIDBPF).args(arguments).uid(NOBODY).gid(NOBODY));
    let (joystick, spec) = plug_raptor_unseen(bench)?;
    let path = joystick.path();
    let helper_as_nobody = |action: &str| Run::of(command(HELPER).args([action, &path]).uid(NOBODY).gid(NOBODY));
    as_nobody(&["load", RAPTOR.0])?.expect(1)?.says("root")?;
    as_nobody(&["udev", "add", &joystick.path()])?.expect(1)?;
    helper_as_nobody("add")?.expect(1)?;
    expect_untouched(&joystick, &spec)?;
    bench.release()?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    as_nobody(&["unload", RAPTOR.0])?.expect(1)?.says("root")?;
    as_nobody(&["udev", "remove", &joystick.path()])?.expect(1)?;
    helper_as_nobody("remove")?.expect(1)?;
    expect_hat_works(&joystick)?;
    // Every user may inspect.
    as_nobody(&["status"])?.expect(0)?.answers(RAPTOR.0)?;
    as_nobody(&["devices"])?.expect(0)?.answers(RAPTOR.0)?;
    as_nobody(&["drivers"])?.expect(0)?.answers(RAPTOR.0)?;
    bench.unplug(joystick)
}

/// Kernels of this generation oops if a process without CAP_SYS_ADMIN gets as far as attaching.
fn without_sys_admin(bench: &mut Bench) -> Result<()> {
    let (joystick, spec) = plug_raptor_unseen(bench)?;
    let run = Run::of(shim::start(&[shim::WITHOUT_SYS_ADMIN], HIDBPF).args(["load", RAPTOR.0]))?;
    run.expect(1)?.says("CAP_SYS_ADMIN")?;
    expect_untouched(&joystick, &spec)?;
    bench.release()?;
    bench.unplug(joystick)
}

fn kernel_without_hid_bpf(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    // The rules match, and the helper runs without doing harm.
    let joystick = bench.plug(&spec)?;
    expect_untouched(&joystick, &spec)?;
    ensure!(!joystick.state().exists(), "`{}` was written", joystick.state().display());
    for (program, words) in [(HIDBPF, &["udev", "add"][..]), (HELPER, &["add"])] {
        Run::of(command(program).args(words).arg(joystick.path()))?.expect(4)?.says("CONFIG_HID_BPF")?;
    }
    bench.hidbpf(&["load", RAPTOR.0])?.expect(4)?.says("CONFIG_HID_BPF")?;
    bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(4)?.says("CONFIG_HID_BPF")?;
    bench.hidbpf(&["doctor"])?.expect(1)?.answers("CONFIG_HID_BPF")?;
    bench.hidbpf(&["status"])?.expect(0)?;
    bench.hidbpf(&["devices"])?.expect(0)?.answers(RAPTOR.0)?;
    expect_untouched(&joystick, &spec)?;
    bench.unplug(joystick)
}
