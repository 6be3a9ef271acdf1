//! The commands of README and docs that need root and devices, as their reader types them.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::author::watch;
use super::configuration::Files;
use super::drivers::MOUSE;
use super::fixtures::WHEEL;
use super::{Case, WITH_HID_BPF, case, recordings, setup};
use crate::guest::bench::{Bench, HIDBPF, Plugged};
use crate::process::{Run, command};
use crate::walkthrough::{Command, PAGES, Place, Step, steps};

pub const CASES: &[Case] = &[case("documentation", WITH_HID_BPF, documentation).newest_only()];

/// The reader's folder.
const FOLDER: &str = "/tmp/reader";

/// The pages' tablet: the driver, and the size of the descriptor of its pad.
const TABLET: (&str, usize) = ("huion-inspiroy-2-s", 65);

/// The pages' names for the devices that this case plugs in, and their nodes.
const MOUSE_NODE: &str = "/dev/hidraw3";
const TABLET_NODE: &str = "/dev/hidraw4";
const OTHER_NODE: &str = "/dev/hidraw5";
const TABLET_NAME: &str = "0003:256C:0066.0004";

/// Runs page by page, with a mouse, a tablet's pad, and a mouse without a driver that answers requests for a feature report.
fn documentation(bench: &mut Bench) -> Result<()> {
    let mut count = 0;
    for (page, text) in PAGES {
        let commands = steps(text)?.into_iter().filter_map(|step| match step {
            Step::Command(command) if command.place == Place::Machine => Some(command),
            Step::Command(_) | Step::Edit(_) => None,
        });
        let mut commands = commands.peekable();
        if commands.peek().is_none() {
            continue;
        }
        let files = Files::new()?;
        fs::create_dir_all(FOLDER).with_context(|| format!("failed to create `{FOLDER}`"))?;
        fs::copy(WHEEL.file()?, Path::new(FOLDER).join("example-wheel-mouse.bpf.o"))
            .context("failed to copy a driver")?;
        let mouse = bench.plug(&recordings::device(MOUSE.0, MOUSE.1)?)?;
        let tablet = bench.plug(&recordings::device(TABLET.0, TABLET.1)?)?;
        let other = bench.plug_with(&setup::mouse(), &[], [(5, vec![5, 0x20, 0x30])].into())?;
        let node = |device: &Plugged| Ok::<_, anyhow::Error>(device.hidraw()?.path().display().to_string());
        for typed in commands {
            let (mouse_node, tablet_node, other_node) = (node(&mouse)?, node(&tablet)?, node(&other)?);
            let names = [
                (MOUSE_NODE, mouse_node.as_str()),
                (TABLET_NODE, &tablet_node),
                (OTHER_NODE, &other_node),
                (TABLET_NAME, &tablet.name()),
            ];
            let at = format!("{page}:{}: `{}`", typed.line, typed.text);
            run(&typed.with_names(&names), &mouse, bench).with_context(|| at)?;
            count += 1;
        }
        for device in [mouse, tablet, other] {
            bench.unplug(device)?;
        }
        drop(files);
        fs::remove_dir_all(FOLDER).with_context(|| format!("failed to remove `{FOLDER}`"))?;
        bench.renew_hwdb()?;
    }
    ensure!(count > 20, "the pages have {count} commands for a machine");
    Ok(())
}

fn run(typed: &Command, mouse: &Plugged, bench: &mut Bench) -> Result<()> {
    let words: Vec<&str> = typed.as_root().unwrap_or(&typed.text).split(' ').collect();
    let [program, arguments @ ..] = words.as_slice() else { bail!("nothing is typed") };
    let program = if *program == "hidbpf" { HIDBPF } else { program };
    if program == HIDBPF && matches!(arguments.first(), Some(&("monitor" | "record"))) {
        return watch(arguments, mouse, "Mouse", &[&[0, 2, 0, 5, 0, 0, 0]]);
    }
    let run = Run::of(command(program).args(arguments).current_dir(FOLDER))?;
    bench.settle()?;
    let mut printed = run.stdout.clone();
    if !run.status.success() {
        printed += &format!("[exit {}]\n", run.status.code().unwrap_or(-1));
    }
    // If the page shows no output, any output is fine, but the command must succeed.
    ensure!(!typed.output.is_empty() || run.status.success(), "it ended otherwise\n{run}");
    if !typed.output.is_empty() {
        typed.check(&printed)?;
    }
    Ok(())
}
