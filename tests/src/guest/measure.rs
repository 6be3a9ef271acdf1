//! What `cargo xtask measure` counts: instructions, bpf() calls and memory of one attach by the helper that udev starts.
//!
//! QEMU counts one nanosecond an instruction, so the processor time of a process is the number of instructions that it and the
//! kernel on its behalf have executed. Each attach is to a device of its own.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::bench::{Bench, helper};
use super::cases::recordings;
use super::port::Port;
use super::shim;
use crate::process::Run;
use crate::protocol::Message;
use crate::trace::Traced;
use crate::uhid::Spec;

/// The driver whose attach is followed from the first of the boot, and the size of its device's descriptor.
const MAIN: (&str, usize) = ("frtec-raptor-mach-2", 232);

/// Others, of which only one figure is of interest: how much more or less they need.
const OTHERS: [(&str, usize); 2] = [("hp-elite-presenter", 264), ("huion-inspiroy-2-s", 18)];

/// Counts, and sends the figures.
///
/// # Errors
/// An attach fails.
pub fn run(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let spec = recordings::device(MAIN.0, MAIN.1)?;
    let first = count(MAIN.0, &spec, bench)?;
    figure(port, "load-first", "instructions", first.attach)?;
    // The second warms what the first did not; the third is the figure.
    count(MAIN.0, &spec, bench)?;
    let warm = count(MAIN.0, &spec, bench)?;
    figure(port, "load-warm", "instructions", warm.attach)?;
    let (calls, peak) = trace(MAIN.0, &spec, bench)?;
    figure(port, "load-warm", "bpf-calls", calls)?;
    figure(port, "load-warm", "peak-kib", peak)?;
    figure(port, "remove-warm", "instructions", warm.remove)?;
    for (driver, size) in OTHERS {
        let cost = count(driver, &recordings::device(driver, size)?, bench)?;
        figure(port, &format!("load-{driver}"), "instructions", cost.attach)?;
    }
    Ok(())
}

fn figure(port: &mut Port, name: &str, quantity: &str, value: u64) -> Result<()> {
    port.send(&Message::Figure { name: name.to_owned(), quantity: quantity.to_owned(), value })
}

struct Cost {
    attach: u64,
    remove: u64,
}

/// Attaches and removes once, as udev would, and counts the instructions of both.
fn count(driver: &str, spec: &Spec, bench: &mut Bench) -> Result<Cost> {
    let device = bench.plug_unseen(spec)?;
    let attach = instructions(&mut helper(&[], "add", driver, &device.path()))?;
    ensure!(device.pinned_drivers()? == [driver], "`{driver}` was not attached");
    let path = device.path();
    device.device.unplug().context("failed to unplug a virtual device")?;
    let remove = instructions(&mut helper(&[], "remove", driver, &path))?;
    bench.release()?;
    Ok(Cost { attach, remove })
}

/// Attaches once under the eyes of this process; returns the number of bpf() calls and the peak of the memory in KiB.
fn trace(driver: &str, spec: &Spec, bench: &mut Bench) -> Result<(u64, u64)> {
    let device = bench.plug_unseen(spec)?;
    let mut traced = Traced::new(&mut helper(&[shim::TRACED], "add", driver, &device.path()))?;
    let mut calls = 0;
    while traced.next_call()?.is_some() {
        calls += 1;
    }
    let (run, peak) = traced.finish()?;
    run.expect(0)?;
    bench.release()?;
    bench.unplug(device)?;
    Ok((calls, peak))
}

/// The processor time of one process in nanoseconds, which is its instructions, to the nearest thousand.
fn instructions(command: &mut Command) -> Result<u64> {
    let before = children_micros()?;
    Run::of(command)?.expect(0)?;
    Ok((children_micros()? - before) * 1000)
}

/// The processor time of all children that have ended and been waited for.
fn children_micros() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("failed to read the processor time of children")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    u64::try_from(micros).context("a negative time")
}
