//! Drivers without C. One goes from a posted dump to an event: docs/fixing-without-code.md in a machine that has no compiler. The case's
//! time is that of all hidbpf's steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use hidbpf::recording::Recording;

use super::configuration::Files;
use super::fixtures::{Fixture, fixture};
use super::sdk_events::expect_reports;
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HIDBPF, plain_mouse};
use crate::process::{Run, command};
use crate::uhid::Spec;
use crate::walkthrough::{FIXING_WITHOUT_CODE, Place, Step, steps};

pub const CASES: &[Case] = &[
    case("declared-driver-from-a-dump", WITH_HID_BPF, from_a_dump),
    case("declared-clicks", STRUCT_OPS, clicks),
    case("declared-rules-and-properties", WITH_HID_BPF, rules_and_properties).each_generation(),
];

const LATCHING: Fixture = fixture!("example-latching-switch");
const BY_RULE: Fixture = fixture!("example-by-rule");

const DRIVER: &str = "example-posted-mouse";
const DESK: &str = "/tmp/desk";

/// The fourth button and none, and a notch towards the user.
const REPORTS: [([u8; 4], &str); 3] =
    [([0x08, 0, 0, 0], "BTN_SIDE 1"), ([0, 0, 0, 0], "BTN_SIDE 0"), ([0, 0, 0, 0x0f], "REL_WHEEL -1")];

fn from_a_dump(bench: &mut Bench) -> Result<()> {
    let _files = Files::new()?;
    fs::create_dir_all(DESK).with_context(|| format!("failed to create `{DESK}`"))?;
    for step in steps(FIXING_WITHOUT_CODE)? {
        match step {
            Step::Edit(edit) => edit.apply(Path::new(DESK))?,
            Step::Command(typed) if typed.place == Place::Here => {
                // The machine has no shell. The page's other commands are done here.
                if let Some((name, text)) = typed.here_document() {
                    fs::write(Path::new(DESK).join(name), text).with_context(|| format!("failed to write `{name}`"))?;
                } else if typed.text.starts_with("sed ") {
                    expect(Path::new(DESK))?;
                } else if let Some(arguments) = typed.text.strip_prefix("hidbpf ") {
                    let run = Run::of(command(HIDBPF).current_dir(DESK).args(arguments.split(' ')))?;
                    // `diagnose` exits with 1 if it finds something.
                    run.expect(i32::from(typed.output.trim_end().ends_with("[exit 1]")))?;
                }
            }
            Step::Command(_) => {}
        }
    }
    let folder = Path::new(DESK).join(DRIVER);
    let recording = Recording::read(&folder.join("recordings/wheel.hid"))?;
    let spec = recordings::spec(recording.devices.first().context("the recording has no device")?);
    bench.hidbpf(&["install", &folder.display().to_string()])?.expect(0)?;
    let mouse = bench.plug(&spec)?;
    ensure!(mouse.pinned_drivers()? == [DRIVER], "pinned: {:?}", mouse.pinned_drivers()?);
    let mut node = mouse.only_node()?;
    for (report, expected) in REPORTS {
        mouse.device.send(&report).context("failed to send a report")?;
        let seen = node.events()?;
        ensure!(seen.split(", ").any(|event| event == expected), "expected {expected}, got {seen}");
    }
    bench.hidbpf(&["uninstall", DRIVER])?.expect(0)?;
    bench.reload()?;
    fs::remove_dir_all(DESK).with_context(|| format!("failed to remove `{DESK}`"))?;
    bench.unplug(mouse)
}

/// Writes the expected result, as the page's `sed` does.
fn expect(desk: &Path) -> Result<()> {
    let recordings = desk.join(DRIVER).join("recordings");
    let text = fs::read_to_string(recordings.join("wheel.hid")).context("failed to read the recording")?;
    let text = text.replace("29 03 15", "29 05 15").replace("00 0f\n", "00 ff\n");
    fs::write(recordings.join("wheel.expected.hid"), text).context("failed to write the expected result")
}

/// The press comes before the report itself, with each loader.
fn clicks(bench: &mut Bench) -> Result<()> {
    for libbpf in [false, true] {
        let mouse = bench.plug(&plain_mouse())?;
        bench.load(&LATCHING.file()?, &mouse.name(), libbpf)?;
        bench.settle()?;
        for (report, expected) in [
            ([5, 5, 0xfe], &["05 05 fe", "01 05 fe"] as &[&str]),
            ([4, 1, 0], &["00 01 00"]),
            ([1, 0, 0], &["03 00 00", "01 00 00"]),
            ([0, 0, 0], &["00 00 00"]),
        ] {
            expect_reports(&mouse, &report, expected, Duration::ZERO)?;
        }
        bench.unplug(mouse)?;
    }
    Ok(())
}

/// Two devices with the same descriptor get the changes of their match rules, and those of their properties.
fn rules_and_properties(bench: &mut Bench) -> Result<()> {
    let vendor_mode = [("PLAIN_MODE", "vendor 2")];
    for (product, properties, reports, last_button) in [
        (0x0104, &[] as &[(&str, &str)], "01 fb fe", 3),
        (0x0105, &[], "01 05 02", 3),
        (0x0105, &vendor_mode, "01 00 00", 6),
    ] {
        for libbpf in [false, true] {
            let mouse = bench.plug_with(&Spec { product, ..plain_mouse() }, properties, BTreeMap::new())?;
            bench.load(&BY_RULE.file()?, &mouse.name(), libbpf)?;
            bench.settle()?;
            let descriptor = mouse.descriptor()?;
            ensure!(descriptor.get(15) == Some(&last_button), "the descriptor is {descriptor:x?}");
            expect_reports(&mouse, &[1, 5, 0xfe], &[reports], Duration::ZERO)?;
            bench.unplug(mouse)?;
        }
    }
    Ok(())
}
