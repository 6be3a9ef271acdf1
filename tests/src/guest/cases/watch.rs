//! Cases about inspecting a device: the output of `hidbpf record`, `hidbpf monitor` and `hidbpf inspect` while a driver is attached.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::drivers::{RAPTOR, raptor_report};
use super::fixtures::PROBE;
use super::{Case, WITH_HID_BPF, case, drivers, recordings};
use crate::guest::bench::{Bench, HIDBPF, Plugged, plain_mouse};
use crate::process::{Started, command};
use crate::uhid::Spec;
use hidbpf::recording::Recording;
use hidbpf::text::Hex;

pub const CASES: &[Case] = &[
    case("record-has-what-the-device-sent", WITH_HID_BPF, record_has_what_was_sent).newest_only(),
    case("record-hides-keys", WITH_HID_BPF, record_hides_keys).newest_only(),
    case("monitor-shows-before-and-behind", WITH_HID_BPF, monitor_shows_both),
    case("monitor-puts-reports-into-words", WITH_HID_BPF, monitor_in_words).newest_only(),
    case("inspect-shows-own-and-fixed-descriptor", WITH_HID_BPF, inspect_shows_both).newest_only(),
];

/// The hat to the right: the joystick's report, and the driver's.
const HAT: usize = 33;
const SENT: u8 = 60;
const FIXED: u8 = 2;

/// The hat at rest, in the same way.
const CENTRE: u8 = 240;
const CENTRE_FIXED: u8 = 8;

/// The time for a tool to start, or to write its output.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a file that another process writes contains a text.
pub fn wait_for(path: &str, text: &str) -> Result<String> {
    let start = Instant::now();
    loop {
        let content = fs::read_to_string(path).unwrap_or_default();
        if content.contains(text) {
            return Ok(content);
        }
        ensure!(start.elapsed() < PATIENCE, "`{path}` still has no `{text}`: {content}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Unplugs the joystick and checks that the pins are unchanged: a tap leaves nothing behind.
fn unplug_clean(bench: &mut Bench, joystick: Plugged) -> Result<()> {
    ensure!(joystick.pinned_drivers()? == [RAPTOR.0], "pinned: {:?}", joystick.pinned_drivers()?);
    bench.unplug(joystick)
}

fn record_has_what_was_sent(bench: &mut Bench) -> Result<()> {
    const OUTPUT: &str = "/tmp/joystick.hid";
    let joystick = drivers::plug_fixed(RAPTOR, bench)?;
    let fixed = joystick.descriptor()?;
    let recorder = Started::new(command(HIDBPF).args(["record", &joystick.name(), "--output", OUTPUT]))?;
    wait_for(OUTPUT, "I: ")?;
    joystick.device.send(&raptor_report(SENT, 0))?;
    let text = wait_for(OUTPUT, "E: ")?;
    unplug_clean(bench, joystick)?;
    recorder.finish()?.expect(0)?.says("unplugged")?;
    let recording = Recording::parse(OUTPUT.as_ref(), text.as_bytes())?;
    fs::remove_file(OUTPUT).with_context(|| format!("failed to remove `{OUTPUT}`"))?;
    let own = recording.devices.first().context("the recording has no device")?.descriptor.clone();
    ensure!(own.len() == RAPTOR.1 && own != fixed, "the descriptor is the fixed one");
    let seen: Vec<u8> = recording.events.iter().map(|event| event.report[HAT]).collect();
    ensure!(seen == [SENT], "recorded the hat {seen:?}, sent {SENT}");
    Ok(())
}

/// A keyboard types, and neither its keys nor its serial number are in the recording.
fn record_hides_keys(bench: &mut Bench) -> Result<()> {
    const OUTPUT: &str = "/tmp/keyboard.hid";
    const ADDRESS: &str = "e4:5f:01:aa:bb:cc";
    const KEYBOARD: [u8; 43] = [
        0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01,
        0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x03, 0x95, 0x06, 0x75, 0x08, 0x25, 0x65, 0x05, 0x07,
        0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xc0,
    ];
    let keyboard = bench.plug(&Spec {
        name: format!("Keyboard {ADDRESS}"),
        phys: ADDRESS.to_owned(),
        descriptor: KEYBOARD.to_vec(),
        ..plain_mouse()
    })?;
    let recorder = Started::new(command(HIDBPF).args(["record", "--hide-keys", &keyboard.name(), "--output", OUTPUT]))?;
    wait_for(OUTPUT, "I: ")?;
    keyboard.device.send(&[0x02, 0x31, 0x0b, 0x08, 0x0f, 0, 0, 0])?;
    let text = wait_for(OUTPUT, "E: ")?;
    bench.unplug(keyboard)?;
    recorder.finish()?.expect(0)?.says("unplugged")?;
    fs::remove_file(OUTPUT).with_context(|| format!("failed to remove `{OUTPUT}`"))?;
    ensure!(text.contains(" 8 00 00 00 00 00 00 00 00\n"), "a key is in the recording: {text}");
    ensure!(
        !text.contains("e4:5f") && text.contains("N: Keyboard (hidden)\n"),
        "an address is in the recording: {text}"
    );
    Ok(())
}

fn monitor_shows_both(bench: &mut Bench) -> Result<()> {
    const OUTPUT: &str = "/tmp/monitor.json";
    let joystick = drivers::plug_fixed(RAPTOR, bench)?;
    let output = fs::File::create(OUTPUT).with_context(|| format!("failed to create `{OUTPUT}`"))?;
    let mut monitor = command(HIDBPF).args(["monitor", "--json", &joystick.name()]).stdout(output).spawn()?;
    // The hat moves until the tool has shown that it watches everything.
    let start = Instant::now();
    let text = loop {
        let text = fs::read_to_string(OUTPUT).with_context(|| format!("failed to read `{OUTPUT}`"))?;
        if ["left", "ABS_HAT0X 1"].iter().all(|word| text.contains(word)) {
            break text;
        }
        ensure!(start.elapsed() < PATIENCE, "the monitor does not show all: {text}");
        for hat in [CENTRE, SENT] {
            joystick.device.send(&raptor_report(hat, 0))?;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    unplug_clean(bench, joystick)?;
    let status = monitor.wait().context("failed to wait for the monitor")?;
    ensure!(status.success(), "the monitor ended with {status}");
    fs::remove_file(OUTPUT).with_context(|| format!("failed to remove `{OUTPUT}`"))?;
    let hats = |key: &str| -> Vec<u8> {
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let bytes = lines.filter_map(|line| Some(line.get(key)?.as_str()?.split(' ').nth(HAT)?.to_owned()));
        bytes.filter_map(|byte| u8::from_str_radix(&byte, 16).ok()).collect()
    };
    let (sent, left) = (hats("sent"), hats("left"));
    ensure!(sent.contains(&SENT) && sent.iter().all(|hat| [CENTRE, SENT].contains(hat)), "sent {sent:?}");
    ensure!(left.contains(&FIXED) && left.iter().all(|hat| [CENTRE_FIXED, FIXED].contains(hat)), "left {left:?}");
    // The device's reports are decoded with the original descriptor, and the driver's with the fixed one. The centre is out of range there,
    // and so `null`.
    for (key, content, hat) in [("sent", "number", SENT), ("left", "number", FIXED), ("left", "null", CENTRE_FIXED)] {
        let named = serde_json::json!({ "name": "Hat Switch", content: hat });
        let is_so = |line: &Value| {
            line.get(key).is_some() && line["decoded"].as_array().is_some_and(|fields| fields.contains(&named))
        };
        let found = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).any(|line| is_so(&line));
        ensure!(found, "no `{key}` with {named}: {text}");
    }
    Ok(())
}

/// The fixture negates X and drops the report with all buttons.
fn monitor_in_words(bench: &mut Bench) -> Result<()> {
    const OUTPUT: &str = "/tmp/monitor.txt";
    let mouse = bench.plug(&plain_mouse())?;
    bench.hidbpf(&["load", &PROBE.file()?, &mouse.name()])?.expect(0)?;
    bench.settle()?;
    let output = fs::File::create(OUTPUT).with_context(|| format!("failed to create `{OUTPUT}`"))?;
    let mut monitor = command(HIDBPF).args(["monitor", "--all", &mouse.name()]).stdout(output).spawn()?;
    let start = Instant::now();
    while !fs::read_to_string(OUTPUT).unwrap_or_default().contains("REL_X") {
        ensure!(start.elapsed() < PATIENCE, "the monitor does not show what the mouse sends");
        mouse.device.send(&[0, 5, 1])?;
        std::thread::sleep(Duration::from_millis(100));
    }
    mouse.device.send(&[7, 1, 1])?;
    let text = wait_for(OUTPUT, "dropped\n")?;
    kill_process(Pid::from_child(&monitor), Signal::INT).context("failed to interrupt the monitor")?;
    let status = monitor.wait().context("failed to wait for the monitor")?;
    ensure!(status.success(), "the monitor ended with {status}");
    fs::remove_file(OUTPUT).with_context(|| format!("failed to remove `{OUTPUT}`"))?;
    bench.unload(&["bench-probe"], &[])?;
    bench.unplug(mouse)?;
    let mut lines = text.lines();
    // In this order, with any text in between.
    for words in [
        "sent   00 05 01  X: 5, Y: 1",
        "fixed  00 fb 01  *X: -5, Y: 1",
        " REL_X -5",
        "sent   07 01 01  Button 1: 1, Button 2: 1, Button 3: 1, X: 1",
        "dropped",
    ] {
        ensure!(lines.any(|line| line.ends_with(words)), "no `{words}` in its place: {text}");
    }
    Ok(())
}

/// Returns all names of a device for users: its name, its directories in sysfs, its nodes.
fn names(device: &Plugged) -> Result<Vec<String>> {
    let mut names = vec![device.name(), device.path(), format!("/sys/bus/hid/devices/{}", device.name())];
    names.push(device.hidraw()?.path().display().to_string());
    names.extend(device.nodes()?.iter().map(|node| node.path.display().to_string()));
    Ok(names)
}

/// Runs `hidbpf inspect`, and expects these descriptors: the shown one, and the one beside it with its description.
fn expect_inspected(bench: &Bench, arguments: &[&str], shown: &[u8], beside: Option<(&str, &[u8])>) -> Result<()> {
    let run = bench.hidbpf(&[&["--json", "inspect"], arguments].concat())?.expect(0)?;
    let answer: Value = serde_json::from_str(&run.stdout).with_context(|| format!("the answer is not JSON\n{run}"))?;
    let device = &answer["device"];
    let hex = |bytes: &[u8]| Value::from(Hex(bytes).to_string());
    let difference = &device["difference"];
    let found = (&device["descriptor"], &difference["change"], &difference["after"]["descriptor"]);
    let (change, after) = beside.map_or((Value::Null, Value::Null), |(change, after)| (change.into(), hex(after)));
    let expected = (&hex(shown), &change, &after);
    ensure!(found == expected, "`inspect {}`: expected {expected:?}, found {found:?}", arguments.join(" "));
    Ok(())
}

fn inspect_shows_both(bench: &mut Bench) -> Result<()> {
    let own = recordings::device(RAPTOR.0, RAPTOR.1)?.descriptor;
    let joystick = drivers::plug_fixed(RAPTOR, bench)?;
    let fixed = joystick.descriptor()?;
    ensure!(fixed != own, "the descriptor is not fixed");
    let by_driver = format!("fixed by `{}`", RAPTOR.0);
    for name in names(&joystick)? {
        expect_inspected(bench, &[&name], &fixed, None)?;
        expect_inspected(
            bench,
            &[&name, "--diff"],
            &own,
            Some(("as it was sent and as the kernel parsed it", &fixed)),
        )?;
        expect_inspected(bench, &[&name, "--diff", RAPTOR.0], &own, Some((&by_driver, &fixed)))?;
        for (which, expected) in [("original", &own), ("fixed", &fixed), ("current", &fixed)] {
            expect_inspected(bench, &[&name, "--descriptor", which], expected, None)?;
        }
    }
    bench.hidbpf(&["inspect", &joystick.name()])?.expect(0)?.answers("differs from the current one: `--diff` shows")?;
    bench.unload(&[RAPTOR.0], &[&joystick])?;
    let name = joystick.name();
    expect_inspected(bench, &[&name], &own, None)?;
    bench.hidbpf(&["inspect", &name, "--descriptor", "fixed"])?.expect(1)?.says("has no fixed descriptor")?;
    expect_inspected(bench, &[&name, "--diff"], &own, Some(("the current descriptor is the original one", &own)))?;
    expect_inspected(bench, &[&name, "--diff", RAPTOR.0], &own, Some((&by_driver, &fixed)))?;
    bench.unplug(joystick)
}
