//! Cases about Microsoft devices that recordings can't cover: the driver's requests to the device after a pause.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::drivers::expect_answers;
use super::{Case, STRUCT_OPS, case, recordings};
use crate::guest::bench::{Bench, Plugged};
use crate::nodes::unhex;

pub const CASES: &[Case] =
    &[case("microsoft-surface-dial-clicks-again", STRUCT_OPS, dial_clicks_again).each_generation()];

/// The driver of the clicks, the driver that turns the dial into a wheel, and the size of the Dial's descriptor.
const HAPTICS: &str = "microsoft-surface-dial-haptics";
const WHEEL: &str = "microsoft-surface-dial";
const DESCRIPTOR_SIZE: usize = 488;

/// A little more than the time without reports after which the driver assumes that the Dial has slept.
const PAUSE: Duration = Duration::from_secs(31);

/// The time for the kernel to run a work item and to send two requests to the device.
const PATIENCE: Duration = Duration::from_secs(5);

/// The Dial's original feature report, and the one that the driver sets: 3600 steps of a turn without a click, 30 with one.
const ITS_OWN: &str = "01 10 0e 02 01 05 64 00";
const CLICKING: &str = "set feature 01 1e 00 00 03 05 64 00";

const CLICK: &str = "01 00 01 00 00 00 00 00 3a";

/// Returns how often the Dial was set to click.
fn told(dial: &Plugged) -> usize {
    dial.device.asked().iter().filter(|asked| asked.to_string() == CLICKING).count()
}

/// Gives the kernel's worker its time. A worker that never stops would send more requests.
fn expect_told(dial: &Plugged, times: usize, when: &str) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while told(dial) < times && Instant::now() < end {
        thread::sleep(Duration::from_millis(50));
    }
    thread::sleep(Duration::from_millis(300));
    let asked = dial.device.asked();
    ensure!(told(dial) == times, "expected that the Dial is told to click {times} times, the last {when}: {asked:?}");
    Ok(())
}

/// The driver sends its request when it is attached, and when the other driver's attaching made the kernel reset the Dial.
///
/// It also sends it at the first report after a pause.
fn dial_clicks_again(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(HAPTICS, DESCRIPTOR_SIZE)?;
    let dial = bench.plug_with(&spec, &[], [(1, unhex(ITS_OWN)?)].into())?;
    bench.hidbpf(&["load", HAPTICS])?.expect(0)?.answers("device set up")?;
    bench.settle()?;
    expect_told(&dial, 1, "at the attach")?;
    bench.hidbpf(&["load", WHEEL])?.expect(0)?.answers("descriptor fixed")?;
    bench.settle()?;
    expect_told(&dial, 2, "when the kernel had bound the Dial again")?;
    let mut drivers = dial.pinned_drivers()?;
    drivers.sort();
    ensure!(drivers == [WHEEL, HAPTICS], "pinned: {drivers:?}");
    // A felt click is one step of the wheel.
    let mut node = dial.node("Surface Dial System Multi Axis")?;
    expect_answers(&dial, &mut node, &[(CLICK, "REL_WHEEL 1, REL_WHEEL_HI_RES 120")])?;
    expect_told(&dial, 2, "at a report after another")?;
    thread::sleep(PAUSE);
    expect_answers(&dial, &mut node, &[(CLICK, "REL_WHEEL 1, REL_WHEEL_HI_RES 120")])?;
    expect_told(&dial, 3, "after a pause")?;
    bench.hidbpf(&["unload", HAPTICS])?.expect(0)?;
    bench.unplug(dial)
}
