//! Cases about many devices, at once or one after the other: each is fixed, and nothing of them stays in the kernel.

use std::fs::File;

use anyhow::{Context, Result, bail, ensure};
use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};

use super::attach::expect_hat_works;
use super::drivers::RAPTOR;
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged};
use crate::guest::memory::Memory;

pub const CASES: &[Case] = &[
    case("many-devices-at-once", WITH_HID_BPF, at_once).each_generation(),
    case("plugged-in-again-and-again", WITH_HID_BPF, again_and_again),
];

/// The number of devices in a round, and in the largest number of rounds.
const AT_ONCE: usize = 12;
const MOST_AT_ONCE: usize = 64;
/// The number of plugs in a round.
const CYCLES: usize = 24;

/// The numbers of programs, maps and links in the kernel.
#[derive(Debug)]
pub struct Kept {
    programs: usize,
    maps: usize,
    /// Links of all kinds.
    pub links: usize,
    /// Open files, of all processes.
    files: u64,
}

/// Open files that come and go: those of udevd's workers.
const FILES_MARGIN: u64 = 64;

/// Returns the open files of all processes: the first number of /proc/sys/fs/file-nr.
fn open_files() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

impl Kept {
    /// Returns the current numbers.
    pub fn now() -> Kept {
        Kept {
            programs: ProgInfoIter::default().count(),
            maps: MapInfoIter::default().count(),
            links: LinkInfoIter::default().count(),
            files: open_files(),
        }
    }

    /// Fails if there are more now. The kernel frees unused objects from work queues, some time later.
    pub fn expect_no_more(&self) -> Result<()> {
        const LOOKS: usize = 100;
        let mut now = Kept::now();
        for _ in 0..LOOKS {
            let is_no_more = now.programs <= self.programs
                && now.maps <= self.maps
                && now.links <= self.links
                && now.files <= self.files + FILES_MARGIN;
            if is_no_more {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            now = Kept::now();
        }
        bail!("the kernel has {now:?}, and had {self:?}")
    }
}

/// Plugs one device in and out, so that everything exists that is created once.
fn first(bench: &mut Bench) -> Result<Kept> {
    let joystick = bench.plug(&recordings::device(RAPTOR.0, RAPTOR.1)?)?;
    expect_hat_works(&joystick)?;
    let with_one = Kept::now();
    bench.unplug(joystick)?;
    // The driver has two programs. After unplugging there must be fewer programs than before, otherwise counting proves nothing.
    let before = Kept { programs: with_one.programs.saturating_sub(1), ..with_one };
    before.expect_no_more()?;
    Ok(Kept::now())
}

/// Repeats an action with `plugs` devices twice, and expects the same kernel memory after both.
///
/// Even one small object for each plug fails the test.
fn leaves_nothing(bench: &mut Bench, plugs: usize, mut act: impl FnMut(&mut Bench) -> Result<()>) -> Result<()> {
    let before = first(bench)?;
    // The first run creates everything that is created once or grows to the simultaneous need.
    act(bench)?;
    let memory = Memory::at_rest(bench)?;
    let margin = plugs as u64 / 2;
    if memory.is_exact() {
        let held: Vec<File> = (0..plugs).map(|_| File::open("/dev/null")).collect::<Result<_, _>>()?;
        let more = memory.more_now(margin, bench)?;
        ensure!(!more.is_empty(), "{} open files are not seen in what the kernel has", held.len());
    }
    act(bench)?;
    before.expect_no_more()?;
    memory.expect_no_more(margin, bench)
}

fn at_once(bench: &mut Bench) -> Result<()> {
    let count = MOST_AT_ONCE.min(AT_ONCE * bench.rounds);
    leaves_nothing(bench, count, |bench| all_at_once(bench, count))
}

fn all_at_once(bench: &mut Bench, count: usize) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    // udevd sees them all at once, and starts a helper for each.
    let plugged: Vec<Plugged> = (0..count).map(|_| bench.plug_unseen(&spec)).collect::<Result<_>>()?;
    bench.release()?;
    for (number, joystick) in plugged.iter().enumerate() {
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "device {number} has {:?}", joystick.pinned_drivers()?);
        expect_hat_works(joystick).with_context(|| format!("device {number}"))?;
    }
    for joystick in plugged {
        bench.unplug(joystick)?;
    }
    Ok(())
}

fn again_and_again(bench: &mut Bench) -> Result<()> {
    let plugs = CYCLES * bench.rounds / 2;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    leaves_nothing(bench, plugs, |bench| {
        for cycle in 0..plugs {
            let joystick = bench.plug(&spec)?;
            ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "cycle {cycle}: {:?}", joystick.pinned_drivers()?);
            bench.unplug(joystick)?;
        }
        Ok(())
    })
}
