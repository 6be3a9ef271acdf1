//! A driver without C, from a posted dump to an event: docs/fixing-without-code.md in a machine that has no compiler. The case's time is
//! that of all hidbpf's steps.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use hidbpf::recording::Recording;

use super::configuration::Files;
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HIDBPF};
use crate::process::{Run, command};
use crate::walkthrough::{FIXING_WITHOUT_CODE, Place, Step, steps};

pub const CASES: &[Case] = &[case("declared-driver-from-a-dump", WITH_HID_BPF, from_a_dump)];

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
