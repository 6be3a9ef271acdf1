//! Cases of many devices, at once or one after the other: each is fixed, and nothing of them stays in the kernel.

use anyhow::{Context, Result, bail, ensure};
use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};

use super::attach::expect_hat_works;
use super::drivers::RAPTOR;
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged};

pub const CASES: &[Case] = &[
    case("many-devices-at-once", WITH_HID_BPF, at_once),
    case("plugged-in-again-and-again", WITH_HID_BPF, again_and_again),
];

const AT_ONCE: usize = 16;
const CYCLES: usize = 24;

/// How many programs, maps and links the kernel has.
#[derive(Debug)]
struct Kept {
    programs: usize,
    maps: usize,
    links: usize,
}

impl Kept {
    fn now() -> Kept {
        Kept {
            programs: ProgInfoIter::default().count(),
            maps: MapInfoIter::default().count(),
            links: LinkInfoIter::default().count(),
        }
    }

    /// Fails where there is more now. The kernel frees what nobody has any more from work queues, a while later.
    fn expect_no_more(&self) -> Result<()> {
        const LOOKS: usize = 100;
        let mut now = Kept::now();
        for _ in 0..LOOKS {
            if now.programs <= self.programs && now.maps <= self.maps && now.links <= self.links {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            now = Kept::now();
        }
        bail!("the kernel has {now:?}, and had {self:?}")
    }
}

/// Plugs one device in and out, so that what is made once is there.
fn first(bench: &mut Bench) -> Result<Kept> {
    let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    expect_hat_works(&joystick)?;
    let with_one = Kept::now();
    bench.unplug(joystick)?;
    // One driver has two hooks: what it leaves is less than that, or counting shows nothing.
    let before = Kept { programs: with_one.programs.saturating_sub(1), ..with_one };
    before.expect_no_more()?;
    Ok(Kept::now())
}

fn at_once(bench: &mut Bench) -> Result<()> {
    let before = first(bench)?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    // udevd gets to see them all in one go, and starts a helper for each.
    let plugged: Vec<Plugged> = (0..AT_ONCE).map(|_| bench.plug_unseen(&spec)).collect::<Result<_>>()?;
    bench.release()?;
    for (number, joystick) in plugged.iter().enumerate() {
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "device {number} has {:?}", joystick.pinned_drivers()?);
        expect_hat_works(joystick).with_context(|| format!("device {number}"))?;
    }
    for joystick in plugged {
        bench.unplug(joystick)?;
    }
    before.expect_no_more()
}

fn again_and_again(bench: &mut Bench) -> Result<()> {
    let before = first(bench)?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    for cycle in 0..CYCLES {
        let joystick = bench.plug(&spec)?;
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "cycle {cycle}: {:?}", joystick.pinned_drivers()?);
        bench.unplug(joystick)?;
    }
    before.expect_no_more()
}
