//! `hidbpf request`: devices that answer, refuse, never answer, or have no such report.

use anyhow::{Result, ensure};

use super::{Case, WITH_HID_BPF, case, setup};
use crate::guest::bench::Bench;
use crate::protocol::Generation;
use crate::uhid::Mood;

pub const CASES: &[Case] = &[case("request-by-hand", WITH_HID_BPF, by_hand)];

fn by_hand(bench: &mut Bench) -> Result<()> {
    let mouse = bench.plug_with(&setup::mouse(), &[], [(5, vec![5, 0x20, 0x30])].into())?;
    let name = mouse.name();
    let request = |arguments: &[&str]| bench.hidbpf(&[&["request", &name], arguments].concat());
    let run = request(&["get", "feature", "5"])?.expect(0)?;
    run.answers("05 20 30\n")?.answers("Vendor Usage 0x00: 32 48")?;
    request(&["--json", "get", "feature", "0x05"])?.expect(0)?.answers("\"answer\": \"05 20 30\"")?;
    request(&["set", "feature", "5", "aa", "bb"])?.expect(0)?.answers("took it: set feature 05 aa bb")?;
    // Missing bytes are 0.
    request(&["set", "output", "6", "aa"])?.expect(0)?;
    let sent = request(&["send", "6", "aabb"])?;
    let mut expected = vec!["get feature 05", "get feature 05", "set feature 05 aa bb", "set output 06 aa 00"];
    match bench.generation {
        Generation::FmodRet => drop(sent.expect(1)?.says("not supported")?),
        Generation::StructOps | Generation::None => {
            sent.expect(0)?;
            expected.push("send output 06 aa bb");
        }
    }
    let seen: Vec<String> = mouse.device.asked().iter().map(ToString::to_string).collect();
    ensure!(seen == expected, "expected {expected:?}, got {seen:?}");

    request(&["get", "feature", "9"])?
        .expect(3)?
        .says("declares no feature report 9")?
        .says("its feature reports are 5")?;
    request(&["set", "feature", "5", "01 02 03"])?.expect(3)?.says("has 2 bytes and 3 are given")?;
    request(&["get", "feature", "256"])?.expect(2)?;
    request(&["set", "feature", "5"])?.expect(2)?;
    mouse.device.set_mood(Mood::Refusing);
    request(&["get", "feature", "5"])?.expect(1)?.says("Input/output error")?.says("refused, or did not answer")?;
    mouse.device.set_mood(Mood::Silent);
    request(&["set", "feature", "5", "01"])?.expect(1)?.says("did not answer")?;
    bench.unplug(mouse)
}
