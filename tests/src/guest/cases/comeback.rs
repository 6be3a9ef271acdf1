//! Cases in which a device, or the machine, goes and comes back: the fix is there again, and what is said of it is true. A reset of a USB
//! device can't be tried: uhid has none.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::attach::expect_hat_works;
use super::drivers::{RAPTOR, plug_fixed};
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, write};

pub const CASES: &[Case] = &[
    case("suspend-keeps-a-fix", STRUCT_OPS, suspend),
    case("plugged-in-again-at-once", WITH_HID_BPF, again_at_once),
    case("unbound-by-hand-is-told", WITH_HID_BPF, unbound),
];

/// All devices are suspended and resumed, as before and after a sleep; the processor stays awake (Documentation/power/basic-pm-debugging.rst).
fn suspend(bench: &mut Bench) -> Result<()> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    let fixed = joystick.descriptor()?;
    // How long the machine stays in that state, in seconds.
    write(Path::new("/sys/module/suspend/parameters/pm_test_delay"), b"1")?;
    write(Path::new("/sys/power/pm_test"), b"devices")?;
    write(Path::new("/sys/power/state"), b"freeze").context("the kernel did not suspend its devices")?;
    write(Path::new("/sys/power/pm_test"), b"none")?;
    bench.settle()?;
    ensure!(joystick.descriptor()? == fixed, "the descriptor is not the fixed one");
    expect_hat_works(&joystick)?;
    // What systemd starts then.
    bench.hidbpf(&["udev", "resume"])?.expect(0)?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    expect_hat_works(&joystick)?;
    bench.unplug(joystick)
}

/// As with a loose plug: udev has not seen the device go when it is there again.
fn again_at_once(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let mut joystick = bench.plug(&spec)?;
    for _ in 0..3 {
        let (pins, state) = (joystick.pins(), joystick.state());
        joystick.device.unplug().context("failed to unplug a virtual device")?;
        joystick = bench.plug(&spec)?;
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
        expect_hat_works(&joystick)?;
        ensure!(!pins.exists() && !state.exists(), "`{}` or `{}` is still there", pins.display(), state.display());
    }
    bench.unplug(joystick)
}

fn unbound(bench: &mut Bench) -> Result<()> {
    const BUS: &str = "/sys/bus/hid/drivers/hid-generic";
    let joystick = plug_fixed(RAPTOR, bench)?;
    write(format!("{BUS}/unbind").as_ref(), joystick.name().as_bytes())?;
    bench.settle()?;
    bench.hidbpf(&["doctor", &joystick.name()])?.expect(1)?.answers("none is bound to it")?.answers(RAPTOR.0)?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(&joystick.name())?.answers(RAPTOR.0)?;
    write(format!("{BUS}/bind").as_ref(), joystick.name().as_bytes())?;
    bench.settle()?;
    bench
        .hidbpf(&["doctor", &joystick.name()])?
        .expect(0)?
        .answers("the descriptor in force is the one that it fixed")?;
    expect_hat_works(&joystick)?;
    let pins = fs::read_dir(joystick.pins()).context("failed to list the pins")?.count();
    ensure!(pins == 1, "{pins} drivers are pinned");
    bench.unplug(joystick)
}
