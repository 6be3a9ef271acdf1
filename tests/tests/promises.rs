//! The promises of docs/versions.md: its numbers are those of the code, exit codes keep their meaning, and JSON answers keep their keys.

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use hidbpf::manifest::{self, Embedded};
use hidbpf::recording::Recording;
use serde_json::Value;

use common::machine::Machine;
use common::{check, object, stderr, stdout, with_drivers};

const PAGE: &str = include_str!("../../docs/versions.md");

/// The keys of all answers, one a line: the answer, then the keys from the outside to the inside. `[]` is a list.
const KEYS: &str = include_str!("../fixtures/json-keys.txt");

/// A driver that injects reports from work, and the folder of its sources.
const INJECTING: &str = concat!(env!("OUT_DIR"), "/fixtures/example-delayed-clicks");
const CLICKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/drivers/example-delayed-clicks");

/// Returns the cells of a row of the page's first table.
fn row(begin: &str) -> Vec<&'static str> {
    let line = PAGE.lines().find(|line| line.starts_with(&format!("| {begin}")));
    line.unwrap_or_else(|| panic!("the page has no row `{begin}`")).split('|').map(str::trim).collect()
}

fn number(begin: &str) -> u64 {
    row(begin)[2].parse().unwrap_or_else(|error| panic!("`{begin}`: {error}"))
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", stdout(output), stderr(output)))
}

#[test]
fn the_numbers_are_those_of_the_code() {
    assert_eq!(number("manifest in an object"), u64::from(manifest::FORMAT));
    assert_eq!(number("prelinked programs in an object"), u64::from(hidbpf_prelink::VERSION));
    assert_eq!(json(&with_drivers(&["--json", "drivers", "mouse-invert-y"]))["version"], number("JSON answers"));
    // The oldest format is named in the error about another one.
    let error = Embedded::from_section(Path::new("x.bpf.o"), br#"{"format":99}"#).unwrap_err().to_string();
    let formats = PAGE.split("This version reads the formats ").nth(1).expect("the page names the formats");
    let formats = formats.split(['.', ':']).next().unwrap_or_default();
    assert!(error.contains(&format!("reads formats {formats}")), "{error}");
}

/// Each code is provoked. Those that need a device run on a machine of their own.
#[test]
fn exit_codes_keep_their_meaning() {
    let promised = row("exit codes")[3].split(". ").next().unwrap_or_default();
    let meanings =
        ["0 done", "1 failed", "2 bad usage", "3 nothing matched", "4 not supported by this kernel"].join(", ");
    assert_eq!(promised, meanings);
    let help = stdout(&with_drivers(&["--help"]));
    for meaning in meanings.split(", ") {
        let (code, meaning) = meaning.split_once(' ').expect("a code and its meaning");
        assert!(help.contains(&format!("  {code}  {meaning}")), "{code} {meaning}: {help}");
    }

    check(&with_drivers(&["drivers", "mouse-invert-y"]), 0, &[]);
    check(&with_drivers(&["drivers", "no-such-driver"]), 1, &["no-such-driver"]);
    check(&with_drivers(&["drivers", "--no-such-option"]), 2, &["Usage"]);
    let Some(machine) = joystick("exit_codes_keep_their_meaning") else { return };
    machine.forget();
    let run = |arguments: &[&str]| machine.run(arguments).expect("mounts are allowed");
    check(&run(&["unload", "--all"]), 3, &["no driver is attached"]);
    // Its sysfs has no type information, which HID-BPF needs.
    check(&run(&["load", "mouse-invert-y", Machine::DEVICE]), 4, &["CONFIG_DEBUG_INFO_BTF"]);
}

/// Returns a machine with a joystick whose driver was attached, or `None` if mounts are not allowed.
fn joystick(test: &str) -> Option<Machine> {
    let recording = Recording::read(Path::new(&recording("joystick.hid"))).expect("it is a recording");
    let descriptor = &recording.devices[0].descriptor;
    let machine = Machine::new(descriptor, descriptor);
    if machine.run(&["drivers"]).is_none() {
        eprintln!("skipped: {test}: this machine lets nobody mount");
        return None;
    }
    Some(machine)
}

fn recording(name: &str) -> String {
    format!("{}/../drivers/frtec-raptor-mach-2/recordings/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Adds the keys of `value` below `path`.
fn collect(path: &str, value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            keys.insert(path.to_owned());
            object.iter().for_each(|(key, value)| collect(&format!("{path}.{key}"), value, keys));
        }
        Value::Array(values) => {
            keys.insert(path.to_owned());
            values.iter().for_each(|value| collect(&format!("{path}[]"), value, keys));
        }
        _ => {
            keys.insert(path.to_owned());
        }
    }
}

/// A removed key breaks scripts, so it needs another version. An added one needs a line in the list, so that it is not removed later.
///
/// Answers about attached drivers need a kernel: the cases in virtual machines hold those.
#[test]
fn answers_keep_their_keys() {
    let Some(machine) = joystick("answers_keep_their_keys") else { return };
    let (driver, joystick) = (object("xppen-ack05"), recording("joystick.hid"));
    let driver = driver.to_str().expect("the path is text");
    let (injecting, clicks) = (format!("{INJECTING}.bpf.o"), format!("{CLICKS}/recordings/clicks.hid"));
    let mut keys = BTreeSet::new();
    let with_state = [
        &["devices"][..],
        &["status"],
        &["inspect", "--items", "--reports", Machine::DEVICE, "--diff", "frtec-raptor-mach-2"],
    ];
    let without = [
        &["drivers", "xppen-ack05"][..],
        &["drivers", "mouse-invert-y"],
        &["status"],
        &["doctor"],
        &["get", "mouse-invert-y"],
        &["config"],
        &["config", "--apply"],
        &["hwdb"],
        &["load", "mouse-invert-y", Machine::DEVICE],
        &["inspect", driver],
        &["inspect", "--items", "--reports", &joystick],
        &["replay", "frtec-raptor-mach-2", &joystick],
        &["replay", &injecting, &clicks],
        &["diagnose", &joystick],
        &["new", "new-driver", "--from", &joystick],
        &["build", "new-driver"],
    ];
    for (number, arguments) in with_state.iter().chain(&without).enumerate() {
        if number == with_state.len() {
            machine.forget();
        }
        let answer = machine.run(&[&["--json"], *arguments].concat()).expect("mounts are allowed");
        let document = json(&answer);
        assert_eq!(document["version"], self::number("JSON answers"), "{arguments:?}");
        let parts = document.as_object().expect("the answer is an object");
        assert_eq!(parts.len(), 2, "{arguments:?}: {} {}", stdout(&answer), stderr(&answer));
        let (name, value) = parts.iter().find(|(name, _)| *name != "version").expect("the answer has a name");
        collect(name, value, &mut keys);
    }
    let listed: BTreeSet<String> = KEYS.lines().map(str::to_owned).collect();
    let removed: Vec<_> = listed.difference(&keys).collect();
    assert!(removed.is_empty(), "removed: raise JSON_VERSION and docs/versions.md, or put back: {removed:#?}");
    let added: Vec<_> = keys.difference(&listed).collect();
    assert!(added.is_empty(), "add to tests/fixtures/json-keys.txt: {added:#?}");
}
