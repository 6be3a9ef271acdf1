//! What a driver's author does with the device at hand: the half of docs/writing-a-driver.md that needs root and the mouse, with the driver
//! that its reader has in the end, and a new driver made from a device.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hidbpf::ids::Group;
use hidbpf::manifest::{Manifest, Sha256};
use hidbpf::recording::Recording;
use rustix::process::{Pid, Signal, kill_process};

use super::drivers::RAPTOR;
use super::fixtures::WHEEL;
use super::recordings::spec;
use super::watch::wait_for;
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, HIDBPF, Plugged};
use crate::process::{Run, command};
use crate::walkthrough::{Command, Step, WRITING_A_DRIVER, steps};

pub const CASES: &[Case] = &[
    case("writing-a-driver", WITH_HID_BPF, writing_a_driver),
    case("new-driver-from-a-device", WITH_HID_BPF, new_from_a_device),
];

/// What the page calls the mouse's node, the driver's object and the recording.
const NODE: &str = "/dev/hidraw3";
const OBJECT: &str = "./example-wheel-mouse/build/example-wheel-mouse.bpf.o";
const OUTPUT: &str = "wheel.hid";

const RECORDING: &str = include_str!("../../../fixtures/drivers/example-wheel-mouse/recordings/wheel.hid");

/// Where the tools that go on until Ctrl-C write.
const WRITTEN: &str = "/tmp/wheel.hid";

/// One notch away from the user, and one towards them.
const NOTCHES: [[u8; 4]; 2] = [[0, 0, 0, 0x01], [0, 0, 0, 0x0f]];
const SCROLLED: [&str; 2] = ["REL_WHEEL 1", "REL_WHEEL -1"];

fn writing_a_driver(bench: &mut Bench) -> Result<()> {
    let recording = Recording::parse(OUTPUT.as_ref(), RECORDING.as_bytes())?;
    let spec = spec(recording.devices.first().context("the recording has no device")?);
    let mouse = bench.plug(&spec)?;
    let mut done = Vec::new();
    for step in steps(WRITING_A_DRIVER)? {
        let Step::Command(command) = step else { continue };
        let Some(typed) = command.as_root() else { continue };
        done.push(run(typed, &mouse, bench).with_context(|| describe(&command))?);
    }
    ensure!(done == ["record", "load", "status", "monitor", "unload", "install"], "the page's commands are {done:?}");
    bench.unplug(mouse)?;
    WHEEL.installed(bench, |bench| {
        let mouse = bench.plug(&spec)?;
        ensure!(mouse.pinned_drivers()? == [WHEEL.name], "pinned: {:?}", mouse.pinned_drivers()?);
        scroll(&mouse)?;
        bench.unplug(mouse)
    })
}

fn describe(command: &Command) -> String {
    format!("docs/writing-a-driver.md:{}: `{}`", command.line, command.text)
}

/// Does what the page says, as its reader would; gives the command of `hidbpf`'s that it was.
fn run(typed: &str, mouse: &Plugged, bench: &mut Bench) -> Result<String> {
    let node = mouse.hidraw()?.path().display().to_string();
    let object = WHEEL.file()?;
    let words: Vec<&str> = typed
        .split(' ')
        .map(|word| match word {
            NODE => &node,
            OBJECT => &object,
            OUTPUT => WRITTEN,
            word => word,
        })
        .collect();
    let ["hidbpf", arguments @ ..] = words.as_slice() else {
        bail!("`{}` is unknown here", words[0]);
    };
    match arguments[0] {
        name @ ("record" | "monitor") => watch(name, arguments, mouse)?,
        "load" => {
            bench.hidbpf(arguments)?.expect(0)?;
            bench.settle()?;
            scroll(mouse)?;
        }
        "install" => {
            bench.hidbpf(arguments)?.expect(0)?;
            bench.settle()?;
            scroll(mouse)?;
            bench.hidbpf(&["uninstall", WHEEL.name])?.expect(0)?.answers("taken off")?;
            bench.reload()?;
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

/// Runs a tool that shows reports until it has shown one, and presses Ctrl-C.
fn watch(name: &str, arguments: &[&str], mouse: &Plugged) -> Result<()> {
    let mut tool = command(HIDBPF);
    tool.args(arguments);
    if name == "monitor" {
        tool.stdout(File::create(WRITTEN).with_context(|| format!("failed to create `{WRITTEN}`"))?);
    }
    let mut tool = tool.spawn().with_context(|| format!("failed to start `{HIDBPF}`"))?;
    wait_for(WRITTEN, "Example Wheel Mouse")?;
    // It says whom it watches before it hears anything.
    while !fs::read_to_string(WRITTEN).is_ok_and(|text| text.contains("00 00 00 0f")) {
        ensure!(tool.try_wait().context("failed to look after the tool")?.is_none(), "it ended early");
        NOTCHES.iter().try_for_each(|notch| mouse.device.send(notch)).context("failed to send a report")?;
        thread::sleep(Duration::from_millis(50));
    }
    kill_process(Pid::from_child(&tool), Signal::INT).context("failed to press Ctrl-C")?;
    let status = tool.wait().context("failed to wait for the tool")?;
    ensure!(status.success(), "it ended with {status}");
    fs::remove_file(WRITTEN).with_context(|| format!("failed to remove `{WRITTEN}`"))
}

fn scroll(mouse: &Plugged) -> Result<()> {
    let mut node = mouse.only_node()?;
    for (notch, expected) in NOTCHES.iter().zip(SCROLLED) {
        mouse.device.send(notch).context("failed to send a report")?;
        let seen = node.events()?;
        ensure!(seen.split(", ").any(|event| event == expected), "expected {expected}, got {seen}");
    }
    Ok(())
}

/// A new driver is for the device as its maker made it, also while another driver is on it.
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
