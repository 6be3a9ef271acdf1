//! Cases about hooks for requests and output reports, and about what the kernel offers that the SDK might lack.

use std::collections::BTreeSet;
use std::fs::File;

use anyhow::{Context, Result, bail, ensure};
use hidbpf::text::Hex;
use libbpf_rs::btf::types::{DeclTag, Func, Struct};
use libbpf_rs::{
    ReferencesType as _,
    btf::{Btf, TypeId},
};

use super::fixtures::{Fixture, fixture};
use super::sdk_events::{expect_fast, expect_reports};
use super::{Case, STRUCT_OPS, case};
use crate::guest::bench::{Bench, plain_mouse};
use crate::sys::feature_report;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("requests-are-forwarded-by-hooks", STRUCT_OPS, forwarded),
    case("output-reports-are-changed", STRUCT_OPS, swapped),
    case("sdk-has-what-the-kernel-offers", STRUCT_OPS, offered),
];

const REQUESTS: Fixture = fixture!("bench-requests");
const LIGHTS: Fixture = fixture!("example-swapped-leds");

/// The descriptor of the example's recording.
const KEYBOARD: &str = include_str!("../../../fixtures/drivers/example-swapped-leds/recordings/keyboard.hid");

/// The page with everything that the kernel offers, and the SDK's declarations of the kernel's functions.
const PAGE: &str = include_str!("../../../../docs/kernel-interface.md");
const DECLARATIONS: &str = include_str!("../../../../hid-bpf-src/include/hidbpf/kernel.h");

/// Sleepable hooks send requests of their own, change the answers, and refuse. What they send does not come back to them for ever. The
/// setup sends an input report.
fn forwarded(bench: &mut Bench) -> Result<()> {
    let more = [
        0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x85, 0x05, 0x09, 0x02, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08,
        0x95, 0x02, 0xb1, 0x02, 0x85, 0x07, 0x09, 0x03, 0x95, 0x01, 0x91, 0x02, 0xc0,
    ];
    let mut descriptor = plain_mouse().descriptor;
    // Report Id (1), behind the first collection's usage.
    descriptor.splice(6..6, [0x85, 0x01]);
    descriptor.extend(more);
    let spec = Spec { product: 0x0108, descriptor, ..plain_mouse() };
    for libbpf in [false, true] {
        let mouse = bench.plug_with(&spec, &[], [(5, vec![5, 0x20, 0x30])].into())?;
        let mut hidraw = mouse.hidraw()?;
        bench.load(&REQUESTS.file()?, &mouse.name(), libbpf)?;
        let moved = hidraw.reports()?;
        ensure!(moved == [[1, 0, 5, 0xfb]], "the setup sent {moved:02x?}");
        let path = hidraw.path().to_owned();
        let node = File::options().read(true).write(true).open(&path);
        let node = node.with_context(|| format!("failed to open `{}`", path.display()))?;
        let mut report = [5, 0, 0];
        let count = feature_report(&node, &mut report, false).context("failed to get a feature report")?;
        ensure!((count, report) == (3, [5, 0x21, 0x30]), "got {count} bytes: {}", Hex(&report));
        let refused = feature_report(&node, &mut [5, 1, 1], true);
        ensure!(refused.is_err(), "the hook let a request pass that it refuses");
        // A program's request reaches the hook like the hook's own, and the hook may not send another.
        bench.hidbpf(&["request", &mouse.name(), "get", "feature", "5"])?.expect(0)?.answers("05 20 30")?;
        for value in [9, 0xff] {
            let sent = rustix::io::write(&node, &[7, value]);
            ensure!(sent.is_ok() == (value == 9), "sending {value}: {sent:?}");
        }
        let asked: Vec<String> = mouse.device.asked().iter().map(ToString::to_string).collect();
        let expected = ["get feature 05", "get feature 05", "send output 07 0a"];
        ensure!(asked == expected, "expected {expected:?}, the device got {asked:?}");
        bench.unplug(mouse)?;
    }
    Ok(())
}

/// Hooks that must not sleep change output reports on their way to the device, on both channels.
fn swapped(bench: &mut Bench) -> Result<()> {
    let recording = hidbpf::recording::Recording::parse("recording".as_ref(), KEYBOARD.as_bytes())?;
    let descriptor = recording.devices.first().context("there is no device")?.descriptor.clone();
    let spec = Spec { vendor: 0x1209, product: 0x0008, descriptor, ..plain_mouse() };
    let keyboard = bench.plug(&spec)?;
    bench.hidbpf(&["load", &LIGHTS.file()?, &keyboard.name()])?.expect(0)?;
    bench.settle()?;
    expect_fast(bench)?;
    let before = keyboard.device.asked().len();
    let request = |words: &[&str]| bench.hidbpf(&[&["request", &keyboard.name()], words].concat());
    // Linux 6.16 forgets the byte in place of the ID when a program sends a report.
    let first = request(&["send", "0", "01"])?;
    if first.stderr.contains("the kernel sent 1 of 2 bytes") {
        first.expect(1)?;
        return bench.unplug(keyboard);
    }
    first.expect(0)?;
    for lights in ["02", "05"] {
        request(&["send", "0", lights])?.expect(0)?;
    }
    request(&["set", "output", "0", "02"])?.expect(0)?;
    let asked: Vec<String> = keyboard.device.asked()[before..].iter().map(ToString::to_string).collect();
    let expected = ["send output 00 02", "send output 00 01", "send output 00 06", "set output 00 01"];
    ensure!(asked == expected, "expected {expected:?}, the device got {asked:?}");
    expect_reports(&keyboard, &[0, 0, 0x53, 0, 0, 0, 0, 0], &["00 00 53 00 00 00 00 00"], std::time::Duration::ZERO)?;
    bench.unplug(keyboard)
}

/// The running kernel has no function and no hook for HID-BPF that the SDK doesn't declare and the page doesn't name.
fn offered(_: &mut Bench) -> Result<()> {
    let types = Btf::from_vmlinux().context("failed to read the kernel's types")?;
    let mut functions = BTreeSet::new();
    // pahole marks the functions that programs may call.
    for id in 1..u32::try_from(types.len()).unwrap_or(u32::MAX) {
        let Some(tag) = types.type_by_id::<DeclTag<'_>>(TypeId::from(id)) else { continue };
        if tag.name().is_some_and(|name| name == "bpf_kfunc")
            && let Ok(function) = Func::try_from(tag.referenced_type())
        {
            let name = function.name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            functions.extend(Some(name).filter(|name| name.starts_with("hid_bpf_")));
        }
    }
    if functions.is_empty() {
        bail!("the kernel's types mark no function of HID-BPF");
    }
    for name in &functions {
        ensure!(DECLARATIONS.contains(&format!("{name}(")), "the SDK does not declare `{name}()`");
        ensure!(PAGE.contains(&format!("`{name}`")), "docs/kernel-interface.md lacks `{name}`");
    }
    let ops: Struct<'_> = types.type_by_name("hid_bpf_ops").context("the kernel has no `struct hid_bpf_ops`")?;
    let mut members = 0;
    for member in ops.iter() {
        let name = member.name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // `list` and `hdev` are the kernel's own.
        if !["list", "hdev"].contains(&name.as_str()) {
            ensure!(DECLARATIONS.contains(&name), "the SDK's `struct hid_bpf_ops` lacks `{name}`");
            ensure!(PAGE.contains(&format!("`{name}`")), "docs/kernel-interface.md lacks `{name}`");
            members += 1;
        }
    }
    ensure!(functions.len() >= 7 && members >= 6, "found only {functions:?} and {members} members");
    Ok(())
}
