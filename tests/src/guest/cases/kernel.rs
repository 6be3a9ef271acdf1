//! Cases about the kernel and the harness itself. If they fail, no other failure means anything.

use anyhow::{Context, Result, ensure};

use super::{ALL, Case, case};
use crate::guest::bench::{Bench, plain_mouse};
use crate::protocol::Generation;
use crate::uhid::Event;

pub const CASES: &[Case] = &[
    case("kernel-offers-what-was-announced", ALL, kernel_offers_what_was_announced),
    case("virtual-mouse-works-without-hidbpf", ALL, virtual_mouse_works),
];

/// The search for the names in the raw type information is independent of hidbpf's own.
fn kernel_offers_what_was_announced(bench: &mut Bench) -> Result<()> {
    let btf = std::fs::read("/sys/kernel/btf/vmlinux").context("failed to read the kernel's type information")?;
    let has = |name: &str| btf.split(|byte| *byte == 0).any(|word| word == name.as_bytes());
    let seen = if has("bpf_struct_ops_hid_bpf_ops") {
        Generation::StructOps
    } else if has("hid_bpf_attach_prog") {
        Generation::FmodRet
    } else {
        Generation::None
    };
    ensure!(seen == bench.generation, "expected {:?}, the kernel has {seen:?}", bench.generation);
    Ok(())
}

fn virtual_mouse_works(bench: &mut Bench) -> Result<()> {
    let spec = plain_mouse();
    let mouse = bench.plug(&spec)?;
    ensure!(mouse.descriptor()? == spec.descriptor, "the kernel has another descriptor than the device");
    mouse.expect_nodes(
        "Plain Mouse
           key: BTN_LEFT..BTN_MIDDLE
           rel: REL_X REL_Y",
    )?;
    let mut node = mouse.node("Plain Mouse")?;
    let mut hidraw = mouse.hidraw()?;
    mouse.device.send(&[1, 5, 0xfe])?;
    let (events, reports) = (node.events()?, hidraw.reports()?);
    ensure!(events == "BTN_LEFT 1, REL_X 5, REL_Y -2", "events: {events}");
    ensure!(reports == [[1, 5, 0xfe]], "reports: {reports:?}");
    ensure!(mouse.device.events().starts_with(&[Event::Start, Event::Open]), "uhid: {:?}", mouse.device.events());
    bench.unplug(mouse)
}
