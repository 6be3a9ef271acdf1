//! Cases about the kernel and the harness itself: where they fail, no other failure means anything.

use anyhow::{Context, Result, ensure};

use super::{ALL, Case, case};
use crate::guest::bench::Bench;
use crate::protocol::Generation;
use crate::uhid::{Event, Spec};

pub const CASES: &[Case] = &[
    case("kernel-offers-what-was-announced", ALL, kernel_offers_what_was_announced),
    case("virtual-mouse-works-without-hidbpf", ALL, virtual_mouse_works),
];

/// The names are looked for in the raw type information, independently of how hidbpf finds them.
fn kernel_offers_what_was_announced(bench: &mut Bench) -> Result<()> {
    let btf = std::fs::read("/sys/kernel/btf/vmlinux").context("failed to read the kernel's type information")?;
    let has = |name: &str| {
        let name = format!("\0{name}\0");
        btf.windows(name.len()).any(|window| window == name.as_bytes())
    };
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

/// A three-button mouse with two axes of 8 bits and no report number.
const MOUSE: &[u8] = &[
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00, 0x25,
    0x01, 0x95, 0x03, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x05, 0x81, 0x01, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31,
    0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0, 0xc0,
];

fn virtual_mouse_works(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug(&Spec {
        bus: 3,
        vendor: 0x1d6b,
        product: 0x0104,
        name: "Plain Mouse".to_owned(),
        phys: "bench/input0".to_owned(),
        uniq: "mouse".to_owned(),
        descriptor: MOUSE.to_vec(),
    })?;
    ensure!(mouse.descriptor()? == MOUSE, "the kernel has another descriptor than the device");
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
