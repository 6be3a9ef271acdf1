//! The work of a driver's author with the device: the part of docs/writing-a-driver.md that needs root and the mouse, with the reader's
//! final driver, and a new driver made from a device.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hidbpf::ids::Group;
use hidbpf::manifest::{Manifest, Sha256};
use hidbpf::recording::{RecordedDevice, Recording};
use hidbpf::text::Hex;
use rustix::process::{Pid, Signal, kill_process};

use super::drivers::RAPTOR;
use super::fixtures::{QUIET, WHEEL};
use super::watch::wait_for;
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HIDBPF, Plugged};
use crate::process::{Run, command};
use crate::walkthrough::{Command, Place, Step, WRITING_A_DRIVER, steps};

pub const CASES: &[Case] = &[
    case("writing-a-driver", WITH_HID_BPF, writing_a_driver).newest_only(),
    case("new-driver-from-a-device", WITH_HID_BPF, new_from_a_device).newest_only(),
];

/// The page's names for the mouse's node, the driver's object and the recording.
const NODE: &str = "/dev/hidraw3";
const OBJECT: &str = "./example-wheel-mouse/build/example-wheel-mouse.bpf.o";
/// The node of the mouse that needs a request.
const QUIET_NODE: &str = "/dev/hidraw4";
const QUIET_OBJECT: &str = "./example-quiet-mouse/build/example-quiet-mouse.bpf.o";
const OUTPUT: &str = "wheel.hid";

const RECORDING: &str = include_str!("../../../fixtures/drivers/example-wheel-mouse/recordings/wheel.hid");
const QUIET_RECORDING: &str = include_str!("../../../fixtures/drivers/example-quiet-mouse/recordings/quiet.hid");

/// The place of the recording in this test.
const WRITTEN: &str = "/tmp/wheel.hid";

/// One notch away from the user, and one towards them.
const NOTCHES: [[u8; 4]; 2] = [[0, 0, 0, 0x01], [0, 0, 0, 0x0f]];
const SCROLLED: [&str; 2] = ["REL_WHEEL 1", "REL_WHEEL -1"];
const REVERSED: [&str; 2] = ["REL_WHEEL -1", "REL_WHEEL 1"];

fn recorded(text: &str) -> Result<RecordedDevice> {
    let recording = Recording::parse(OUTPUT.as_ref(), text.as_bytes())?;
    recording.devices.into_iter().next().context("the recording has no device")
}

fn writing_a_driver(bench: &mut Bench) -> Result<()> {
    let spec = recordings::spec(&recorded(RECORDING)?);
    let quiet = recorded(QUIET_RECORDING)?;
    let mouse = bench.plug(&spec)?;
    let quiet = bench.plug_with(&recordings::spec(&quiet), &[], quiet.features)?;
    let mut done = Vec::new();
    for step in steps(WRITING_A_DRIVER)? {
        let Step::Command(command) = step else { continue };
        if command.place == Place::Machine {
            done.push(run(&command, &mouse, &quiet, bench).with_context(|| describe(&command))?);
        }
    }
    let expected = ["record", "load", "status", "monitor", "unload", "install", "set", "request", "request", "load"];
    ensure!(done == expected, "the page's commands are {done:?}");
    bench.unplug(quiet)?;
    bench.unplug(mouse)?;
    WHEEL.installed(bench, |bench| {
        let mouse = bench.plug(&spec)?;
        ensure!(mouse.pinned_drivers()? == [WHEEL.name], "pinned: {:?}", mouse.pinned_drivers()?);
        scroll(&mouse, &SCROLLED)?;
        bench.unplug(mouse)
    })
}

fn describe(command: &Command) -> String {
    format!("docs/writing-a-driver.md:{}: `{}`", command.line, command.text)
}

/// Runs the page's command as its reader would. Returns the `hidbpf` command that it was.
fn run(typed: &Command, mouse: &Plugged, quiet: &Plugged, bench: &mut Bench) -> Result<String> {
    let node = |mouse: &Plugged| Ok::<_, anyhow::Error>(mouse.hidraw()?.path().display().to_string());
    let (node, quiet_node) = (node(mouse)?, node(quiet)?);
    let (object, quiet_object) = (WHEEL.file()?, QUIET.file()?);
    let names: [(&str, &str); 5] =
        [(NODE, &node), (QUIET_NODE, &quiet_node), (OBJECT, &object), (QUIET_OBJECT, &quiet_object), (OUTPUT, WRITTEN)];
    let words: Vec<&str> = typed.as_root().unwrap_or(&typed.text).split(' ').collect();
    let words: Vec<&str> = words
        .into_iter()
        .map(|word| names.iter().find(|(name, _)| *name == word).map_or(word, |(_, here)| here))
        .collect();
    let ["hidbpf", arguments @ ..] = words.as_slice() else {
        bail!("`{}` is unknown here", words[0]);
    };
    match arguments[0] {
        "record" | "monitor" => watch(arguments, mouse, "Example Wheel Mouse", &[&NOTCHES[0], &NOTCHES[1]])?,
        "load" if arguments.contains(&quiet_object.as_str()) => {
            bench.hidbpf(arguments)?.expect(0)?;
            bench.settle()?;
            let asked: Vec<String> = quiet.device.asked().iter().map(ToString::to_string).collect();
            let told = ["get feature 05", "set feature 05 02 01"];
            ensure!(asked.ends_with(&told.map(str::to_owned)), "the mouse was asked {asked:?}");
        }
        "load" => {
            bench.hidbpf(arguments)?.expect(0)?;
            bench.settle()?;
            scroll(mouse, &SCROLLED)?;
        }
        "set" => {
            bench.hidbpf(arguments)?.expect(0)?;
            scroll(mouse, &REVERSED)?;
            bench.hidbpf(&["uninstall", WHEEL.name])?.expect(0)?.answers("detached from")?;
            bench.reload()?;
        }
        "request" => {
            let run = bench.hidbpf(arguments)?.expect(0)?;
            if !typed.output.is_empty() {
                typed.check(&run.stdout)?;
            }
        }
        "install" => {
            bench.hidbpf(arguments)?.expect(0)?;
            bench.settle()?;
            scroll(mouse, &SCROLLED)?;
        }
        "status" => drop(bench.hidbpf(arguments)?.expect(0)?.answers(WHEEL.name)?),
        "unload" => {
            bench.unload(&arguments[1..], &[mouse])?;
            ensure!(mouse.pinned_drivers()?.is_empty(), "pinned: {:?}", mouse.pinned_drivers()?);
        }
        other => bail!("`hidbpf {other}` is unknown here"),
    }
    Ok(arguments[0].to_owned())
}

/// Runs a tool that shows reports until it has shown one, and then presses Ctrl-C.
///
/// The device sends `reports` meanwhile, and the tool shows the last of them, in hex.
pub fn watch(arguments: &[&str], device: &Plugged, name: &str, reports: &[&[u8]]) -> Result<()> {
    let output = arguments.iter().position(|argument| *argument == "-o").and_then(|at| arguments.get(at + 1).copied());
    let written = output.unwrap_or("/tmp/watched");
    let mut tool = command(HIDBPF);
    tool.args(arguments);
    if output.is_none() {
        tool.stdout(File::create(written).with_context(|| format!("failed to create `{written}`"))?);
    }
    let mut tool = tool.spawn().with_context(|| format!("failed to start `{HIDBPF}`"))?;
    wait_for(written, name)?;
    let last = reports.last().map(|report| Hex(report).to_string()).unwrap_or_default();
    // It prints the name of the watched device before any report.
    while !fs::read_to_string(written).is_ok_and(|text| text.contains(&last)) {
        ensure!(tool.try_wait().context("failed to look after the tool")?.is_none(), "it ended early");
        reports.iter().try_for_each(|report| device.device.send(report)).context("failed to send a report")?;
        thread::sleep(Duration::from_millis(50));
    }
    kill_process(Pid::from_child(&tool), Signal::INT).context("failed to press Ctrl-C")?;
    let status = tool.wait().context("failed to wait for the tool")?;
    ensure!(status.success(), "it ended with {status}");
    fs::remove_file(written).with_context(|| format!("failed to remove `{written}`"))
}

fn scroll(mouse: &Plugged, answers: &[&str; 2]) -> Result<()> {
    let mut node = mouse.only_node()?;
    for (notch, expected) in NOTCHES.iter().zip(answers) {
        mouse.device.send(notch).context("failed to send a report")?;
        let seen = node.events()?;
        ensure!(seen.split(", ").any(|event| event == *expected), "expected {expected}, got {seen}");
    }
    Ok(())
}

/// A new driver is made for the original device, even while another driver is attached to it.
fn new_from_a_device(bench: &mut Bench) -> Result<()> {
    let spec = recordings::device(RAPTOR.0, RAPTOR.1)?;
    let joystick = bench.plug(&spec)?;
    ensure!(joystick.descriptor()? != spec.descriptor, "no driver is on the joystick");
    let node = joystick.hidraw()?.path().display().to_string();
    Run::of(command(HIDBPF).current_dir("/tmp").args(["new", "my-joystick", "--from", &node]))?.expect(0)?;
    let folder = Path::new("/tmp/my-joystick");
    let manifest = Manifest::read(&folder.join("driver.toml"))?;
    let [rule] = manifest.matches.as_slice() else { bail!("{} rules, expected one", manifest.matches.len()) };
    ensure!(rule.group == Some(Group::GENERIC), "the group is {:?}", rule.group);
    ensure!(rule.rdesc_sha256 == Some(Sha256::of(&spec.descriptor)), "the rule is for another descriptor");
    let recording = Recording::read(&folder.join("recordings/device.hid"))?;
    ensure!(recording.devices[0].descriptor == spec.descriptor, "the recording has another descriptor");
    fs::remove_dir_all(folder).with_context(|| format!("failed to remove `{}`", folder.display()))?;
    bench.unplug(joystick)
}
