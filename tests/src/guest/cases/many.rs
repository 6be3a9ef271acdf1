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

/// How many devices in a round, and how many in the most rounds.
const AT_ONCE: usize = 12;
const MOST_AT_ONCE: usize = 64;
/// How many plugs in a round.
const CYCLES: usize = 24;

/// How many programs, maps and links the kernel has.
#[derive(Debug)]
pub struct Kept {
    programs: usize,
    maps: usize,
    /// Of all kinds.
    pub links: usize,
    /// Open files, of all processes.
    files: u64,
    /// Memory of the kernel's own that it can't give back, in KiB.
    memory: u64,
}

/// Open files that come and go: those of udevd's workers.
const FILES_MARGIN: u64 = 64;

/// What the kernel keeps for speed, and what udev's database and the log of the tests take, in KiB. A program and its maps left by each
/// of a hundred devices would be more.
const MEMORY_MARGIN: u64 = 2048;

/// Files that are open, of all processes: the first number of /proc/sys/fs/file-nr.
fn open_files() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(u64::MAX)
}

/// The sum of what /proc/meminfo says of memory that the kernel can't give back, in KiB.
fn kernel_memory() -> u64 {
    const KINDS: [&str; 3] = ["SUnreclaim", "VmallocUsed", "Percpu"];
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let value = |line: &str| {
        let (kind, rest) = line.split_once(':')?;
        KINDS.contains(&kind).then(|| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).flatten()
    };
    let values: Vec<u64> = text.lines().filter_map(value).collect();
    if values.len() == KINDS.len() { values.iter().sum() } else { u64::MAX }
}

impl Kept {
    /// What it has now.
    pub fn now() -> Kept {
        Kept {
            programs: ProgInfoIter::default().count(),
            maps: MapInfoIter::default().count(),
            links: LinkInfoIter::default().count(),
            files: open_files(),
            memory: kernel_memory(),
        }
    }

    /// Fails where there is more now. The kernel frees what nobody has any more from work queues, a while later.
    pub fn expect_no_more(&self) -> Result<()> {
        const LOOKS: usize = 100;
        let mut now = Kept::now();
        for _ in 0..LOOKS {
            let is_no_more = now.programs <= self.programs
                && now.maps <= self.maps
                && now.links <= self.links
                && now.files <= self.files + FILES_MARGIN
                && now.memory <= self.memory + MEMORY_MARGIN;
            if is_no_more {
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
    all_at_once(bench)?;
    // So many devices at once make the kernel's own caches larger, once.
    Kept { memory: u64::MAX - MEMORY_MARGIN, ..before }.expect_no_more()?;
    let before = Kept::now();
    all_at_once(bench)?;
    before.expect_no_more()
}

fn all_at_once(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let count = MOST_AT_ONCE.min(AT_ONCE * bench.rounds);
    // udevd gets to see them all in one go, and starts a helper for each.
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
    let mut before = first(bench)?;
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    for cycle in 0..CYCLES * bench.rounds {
        if cycle == CYCLES / 2 {
            before.expect_no_more()?;
            before = Kept::now();
        }
        let joystick = bench.plug(&spec)?;
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "cycle {cycle}: {:?}", joystick.pinned_drivers()?);
        bench.unplug(joystick)?;
    }
    before.expect_no_more()
}
