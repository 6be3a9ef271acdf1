//! Cases about the state file of a device with a driver: files from another version of hidbpf, and damaged ones.

use std::fs;

use anyhow::{Context, Result, ensure};
use hidbpf::text::Hex;
use serde_json::{Value, json};

use super::attach::{expect_hat_works, expect_untouched};
use super::descriptors::inspected;
use super::drivers::{MOUSE, RAPTOR, plug_fixed};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, entries, write};
use crate::uhid::Spec;

pub const CASES: &[Case] = &[
    case("state-file-of-another-version", WITH_HID_BPF, other_versions).each_generation(),
    case("state-file-that-is-damaged", WITH_HID_BPF, damaged).each_generation(),
    case("state-file-that-can-not-be-read", WITH_HID_BPF, unreadable).newest_only(),
];

/// As after an upgrade and a downgrade of the package with a driver attached.
fn other_versions(bench: &mut Bench) -> Result<()> {
    type Rewrite = fn(&mut Value);
    let rows: [(&str, Rewrite); 4] = [
        ("older", |state| {
            state["version"] = 0.into();
            // Another format for a driver's data.
            state["drivers"] = json!([RAPTOR.0]);
        }),
        ("newer", |state| {
            state["version"] = 2.into();
            state["drivers"] = json!({ RAPTOR.0: { "attached-by": "another way" } });
            state["new-field"] = json!([1, 2]);
        }),
        ("newer, with drivers in the form of this one", |state| state["version"] = 2.into()),
        ("of the same layout with more fields", |state| {
            state["new-field"] = json!({});
            state["drivers"][0]["new-field"] = json!("it");
        }),
    ];
    for (what, rewrite) in rows {
        with_state(bench, |text| {
            let mut state = serde_json::from_slice(text).context("the state file is not JSON")?;
            rewrite(&mut state);
            Ok(serde_json::to_vec(&state)?)
        })
        .with_context(|| format!("a state file that is {what}"))?;
    }
    Ok(())
}

fn damaged(bench: &mut Bench) -> Result<()> {
    let cut_at = |text: &[u8], place: &str| -> Result<Vec<u8>> {
        let place =
            String::from_utf8_lossy(text).find(place).with_context(|| format!("no {place} in the state file"))?;
        Ok(text[..place].to_vec())
    };
    // The list of detached drivers precedes the failures.
    with_state(bench, |text| cut_at(text, "\"failures\"")).context("cut at the failures")?;
    for place in ["\"taken-off\"", "\"original\"", "\"device\""] {
        without_state(bench, |text| cut_at(text, place)).with_context(|| format!("cut at {place}"))?;
    }
    without_state(bench, |_| Ok(Vec::new())).context("empty")?;
    without_state(bench, |text| Ok(vec![0; text.len()])).context("overwritten with zeros")
}

/// Plugs in a joystick with its driver, and with another driver that was unloaded by hand.
fn plug(bench: &mut Bench) -> Result<(Plugged, Spec)> {
    let joystick = plug_fixed(RAPTOR, bench)?;
    bench.hidbpf(&["load", "--force", MOUSE.0, &joystick.name()])?.expect(0)?;
    bench.hidbpf(&["unload", MOUSE.0, &joystick.name()])?.expect(0)?;
    Ok((joystick, recordings::device(RAPTOR.0, RAPTOR.1)?))
}

/// Runs the actions of udev and of users on a device after its state file was changed. A driver that was unloaded by hand stays so.
fn with_state(bench: &mut Bench, change: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let (joystick, spec) = plug(bench)?;
    expect_in_order(bench, &joystick, &spec, change)?;
    bench.hidbpf(&["status"])?.expect(0)?.answers(&format!("{}: unloaded by hand", MOUSE.0))?;
    expect_taken_off(bench, joystick, &spec, &[MOUSE.0, RAPTOR.0])
}

/// The same, for a state file without the list of detached drivers.
fn without_state(bench: &mut Bench, change: impl Fn(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let (joystick, spec) = plug(bench)?;
    expect_in_order(bench, &joystick, &spec, change)?;
    expect_taken_off(bench, joystick, &spec, &[RAPTOR.0])
}

/// Checks that the fixed descriptor does not count as the original one, and that the driver is neither attached twice nor detached.
fn expect_in_order(
    bench: &mut Bench,
    joystick: &Plugged,
    spec: &Spec,
    change: impl Fn(&[u8]) -> Result<Vec<u8>>,
) -> Result<()> {
    let (file, pins) = (joystick.state(), joystick.pins().join(RAPTOR.0));
    let text = fs::read(&file).with_context(|| format!("failed to read `{}`", file.display()))?;
    write(&file, &change(&text)?)?;
    let links = entries(&pins)?;
    for action in ["add", "bind", "change"] {
        bench.trigger(action, joystick)?;
        ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "after `{action}`: {:?}", joystick.pinned_drivers()?);
        ensure!(entries(&pins)? == links, "after `{action}` the pins are other ones");
    }
    ensure!(
        inspected(bench, joystick, "original")? == Hex(&spec.descriptor).to_string(),
        "another original descriptor"
    );
    bench.hidbpf(&["status"])?.expect(0)?.answers(&joystick.name())?.answers(RAPTOR.0)?;
    expect_hat_works(joystick)
}

/// Checks that the driver can be detached and is attached on request. udev leaves off a driver that was unloaded by hand.
fn expect_taken_off(bench: &mut Bench, joystick: Plugged, spec: &Spec, taken_off: &[&str]) -> Result<()> {
    bench.unload(&[RAPTOR.0, &joystick.name()], &[&joystick])?;
    expect_untouched(&joystick, spec)?;
    bench.trigger("add", &joystick)?;
    expect_untouched(&joystick, spec)?;
    let text = fs::read(joystick.state()).context("failed to read the state file")?;
    let state: Value = serde_json::from_slice(&text).context("the state file is not JSON")?;
    ensure!(state["version"] == 1 && state["taken-off"] == json!(taken_off), "{state}");
    bench.hidbpf(&["load", RAPTOR.0, &joystick.name()])?.expect(0)?;
    bench.settle()?;
    expect_hat_works(&joystick)?;
    let (pins, file) = (joystick.pins(), joystick.state());
    bench.unplug(joystick)?;
    ensure!(!pins.exists() && !file.exists(), "`{}` or `{}` is left", pins.display(), file.display());
    Ok(())
}

/// Commands that have to write the file report an error, and everything else works.
fn unreadable(bench: &mut Bench) -> Result<()> {
    let (joystick, spec) = plug(bench)?;
    let file = joystick.state();
    let shown = file.display().to_string();
    fs::remove_file(&file).with_context(|| format!("failed to remove `{shown}`"))?;
    fs::create_dir(&file).with_context(|| format!("failed to create `{shown}`"))?;
    bench.trigger("add", &joystick)?;
    bench.hidbpf(&["status"])?.expect(0)?.says(&shown)?.answers(RAPTOR.0)?;
    bench
        .hidbpf(&["load", "--force", MOUSE.0, &joystick.name()])?
        .expect(1)?
        .says(&format!("failed to write `{shown}`"))?;
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    expect_hat_works(&joystick)?;
    fs::remove_dir(&file).with_context(|| format!("failed to remove `{shown}`"))?;
    expect_taken_off(bench, joystick, &spec, &[RAPTOR.0])
}
