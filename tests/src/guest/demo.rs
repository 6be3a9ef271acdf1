//! The output of `cargo xtask demo`: a tablet's pad that types letters, and the same pad after udev has attached the driver.

use anyhow::{Context, Result, ensure};

use super::bench::{Bench, HIDBPF, Plugged, entries};
use super::cases::recordings;
use super::port::Port;
use crate::nodes::Node;
use hidbpf::text::Hex;

const DRIVER: &str = "huion-inspiroy-2-s";
/// The size of the descriptor of the tablet's pad, which is one of its three interfaces.
const PAD: usize = 65;

/// The user's actions on the pad, and the report of each.
const GESTURES: [(&str, [u8; 8]); 5] = [
    ("top button", [3, 0, 0x05, 0, 0, 0, 0, 0]),
    ("second button", [3, 0, 0x0c, 0, 0, 0, 0, 0]),
    ("fifth button", [3, 0, 0x2c, 0, 0, 0, 0, 0]),
    ("wheel, downwards", [3, 1, 0x2d, 0, 0, 0, 0, 0]),
    ("wheel, upwards", [3, 1, 0x2e, 0, 0, 0, 0, 0]),
];

/// The report that follows each of them.
const RELEASE: [u8; 8] = [3, 0, 0, 0, 0, 0, 0, 0];

/// Shows the demonstration.
///
/// # Errors
/// A step fails.
pub fn run(bench: &mut Bench, port: &mut Port) -> Result<()> {
    let spec = recordings::device(DRIVER, PAD)?;
    let pad = bench.plug_unseen(&spec)?;
    port.say("A Huion Inspiroy 2 S is plugged in, a drawing tablet with six buttons and a wheel on its pad.")?;
    port.say("No driver has touched it yet. What the kernel makes of the pad:")?;
    port.say("")?;
    let before = show(&pad, port)?;
    ensure!(before.iter().any(|events| events.contains("KEY_B")), "the pad does not type to begin with");
    port.say("")?;
    port.say(
        "It types! Its own descriptor says that it is a keyboard, and so a button writes into your drawing's name.",
    )?;
    port.say("")?;
    port.say("Now udev gets to see the device. A rule finds it in the hwdb and starts hidbpf's helper;")?;
    port.say("nobody types a command.")?;
    bench.release()?;
    ensure!(pad.pinned_drivers()? == [DRIVER], "udev did not attach `{DRIVER}`: {:?}", pad.pinned_drivers()?);
    port.say("")?;
    port.say("$ hidbpf status")?;
    for line in bench.hidbpf(&["status"])?.expect(0)?.stdout.lines() {
        port.say(line)?;
    }
    port.say("")?;
    port.say("The same buttons again:")?;
    port.say("")?;
    let after = show(&pad, port)?;
    ensure!(after.iter().all(|events| !events.contains("KEY_")), "the pad still types: {after:?}");
    ensure!(after[0] == "BTN_0 1" && after[3].contains("REL_WHEEL -1"), "the pad is not fixed: {after:?}");
    port.say("")?;
    port.say("Buttons are buttons and the wheel is a wheel; a drawing program can be told what they do.")?;
    let (pins, state) = (pad.pins(), pad.state());
    bench.unplug(pad)?;
    ensure!(entries(&pins)?.is_empty() && !state.exists(), "`{HIDBPF}` left something behind");
    port.say("The tablet is unplugged, and nothing of the driver is left in the kernel.")
}

/// Makes every gesture, shows the events that programs get, and returns them.
fn show(pad: &Plugged, port: &mut Port) -> Result<Vec<String>> {
    let mut nodes = pad.nodes()?;
    for node in &nodes {
        port.say(&format!("  {}  \"{}\"", node.path.display(), node.name))?;
    }
    let mut seen = Vec::new();
    for (gesture, report) in GESTURES {
        let events = press(pad, &mut nodes, &report)?;
        press(pad, &mut nodes, &RELEASE)?;
        port.say(&format!(
            "    {gesture:<18}{:<26}{}",
            Hex(&report).to_string(),
            if events.is_empty() { "nothing" } else { &events }
        ))?;
        seen.push(events);
    }
    Ok(seen)
}

fn press(pad: &Plugged, nodes: &mut [Node], report: &[u8]) -> Result<String> {
    pad.device.send(report).context("failed to send a report")?;
    let mut events = Vec::new();
    for node in nodes {
        events.push(node.events()?);
    }
    events.retain(|events| !events.is_empty());
    Ok(events.join("; "))
}
