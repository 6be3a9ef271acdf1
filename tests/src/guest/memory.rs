//! The kernel's own memory when the machine is idle: objects of each slab cache, mappings by their creator, per-CPU memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::bench::{Bench, write};

/// The time for the kernel to free memory later: after a grace period, from a work queue, or when a process has ended.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long freed memory, mainly of closed files, may wait for a grace period (RCU) on an idle machine.
const GRACE: Duration = Duration::from_millis(200);

/// The allowed growth of each kind. Processes and the kernel's work queues come and go, and each takes a stack of 16 KiB.
const MARGIN_KIB: u64 = 64;

/// Caches that grow and shrink by themselves: that of DAMON, which watches memory use, and that of ranges for mappings.
///
/// The kernel returns many ranges at a time. The mappings themselves are counted.
const RESTLESS: [&str; 2] = ["damon_region", "vmap_area"];

/// The amount of each kind.
#[derive(Clone, Debug)]
pub struct Memory {
    /// Objects of slab caches, by the caches' names. Empty if the kernel does not count them (CONFIG_SLUB_TINY).
    objects: BTreeMap<String, u64>,
    /// The sizes of everything else, in KiB.
    sizes: BTreeMap<String, u64>,
}

impl Memory {
    /// Returns the current amounts.
    ///
    /// # Errors
    /// The kernel does not report them, or udevd hangs.
    pub fn at_rest(bench: &mut Bench) -> Result<Memory> {
        // Unread events are memory too. udevd ends its idle workers when it reads its files again.
        bench.kernel.forget();
        bench.reload()?;
        bench.kernel.forget();
        bench.udev.forget();
        give_back()?;
        sleep(GRACE);
        let mut memory = Memory { objects: BTreeMap::new(), sizes: BTreeMap::new() };
        if Path::new("/proc/slabinfo").exists() {
            // After two heading lines: name, objects in use, objects, bytes of one, ...
            for line in read("/proc/slabinfo")?.lines().skip(2) {
                let mut words = line.split_whitespace();
                let (name, count) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                let count: u64 = count.parse().with_context(|| format!("/proc/slabinfo says `{line}`"))?;
                if !RESTLESS.contains(&name) {
                    *memory.objects.entry(name.to_owned()).or_default() += count;
                }
            }
        }
        // `0xADDRESS-0xADDRESS SIZE CALLER pages=N ...`
        for line in read("/proc/vmallocinfo")?.lines() {
            let mut words = line.split_whitespace().skip(2);
            let caller = words.next().unwrap_or_default();
            if let Some(pages) = words.find_map(|word| word.strip_prefix("pages=")?.parse::<u64>().ok()) {
                *memory.sizes.entry(format!("mapped by {caller}")).or_default() += 4 * pages;
            }
        }
        // A kernel that does not count objects reports the pages of slab caches.
        let kinds: &[&str] = if memory.objects.is_empty() { &["Percpu", "SUnreclaim"] } else { &["Percpu"] };
        for line in read("/proc/meminfo")?.lines() {
            if let Some((kind, size)) = line.split_once(':').filter(|(kind, _)| kinds.contains(kind)) {
                let size = size.trim().trim_end_matches(" kB");
                let size = size.parse().with_context(|| format!("/proc/meminfo says `{line}`"))?;
                memory.sizes.insert(kind.to_owned(), size);
            }
        }
        Ok(memory)
    }

    /// Returns true if the kernel counts objects, not only pages.
    pub fn is_exact(&self) -> bool {
        !self.objects.is_empty()
    }

    /// Returns the kinds that have grown: a cache by more than `objects` objects, anything else by more than 64 KiB.
    ///
    /// # Errors
    /// As for [`Memory::at_rest`].
    pub fn more_now(&self, objects: u64, bench: &mut Bench) -> Result<Vec<String>> {
        let now = Memory::at_rest(bench)?;
        let objects = growth(&self.objects, &now.objects, objects, "objects");
        let sizes = growth(&self.sizes, &now.sizes, MARGIN_KIB, "KiB");
        Ok([objects, sizes].concat())
    }

    /// Fails if memory has grown and stays so.
    ///
    /// # Errors
    /// It has; the message names the kinds. Or as for [`Memory::at_rest`].
    pub fn expect_no_more(&self, objects: u64, bench: &mut Bench) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let more = self.more_now(objects, bench)?;
            if more.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the kernel has more memory than before: {}", more.join(", "));
            }
            sleep(Duration::from_millis(500));
        }
    }
}

fn growth(before: &BTreeMap<String, u64>, now: &BTreeMap<String, u64>, margin: u64, unit: &str) -> Vec<String> {
    let had = |kind| before.get(kind).copied().unwrap_or(0);
    let more = now.iter().filter(|(kind, count)| **count > had(*kind) + margin);
    more.map(|(kind, count)| format!("{kind} {} -> {count} {unit}", had(kind))).collect()
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("failed to read `{path}`"))
}

/// Makes the kernel release its caches: cached files and directories, and objects for the next allocations.
fn give_back() -> Result<()> {
    const CACHES: &str = "/sys/kernel/slab";
    write(Path::new("/proc/sys/vm/drop_caches"), b"3")?;
    if !Path::new(CACHES).exists() {
        return Ok(());
    }
    for entry in fs::read_dir(CACHES).with_context(|| format!("failed to list `{CACHES}`"))? {
        let path = entry.with_context(|| format!("failed to list `{CACHES}`"))?.path();
        // A link is another name of a cache.
        if !path.is_symlink() {
            write(&path.join("shrink"), b"1")?;
        }
    }
    Ok(())
}
