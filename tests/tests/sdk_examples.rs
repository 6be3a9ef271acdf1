//! The example drivers of docs/sdk.md, which only tests have: each does with its recordings what it says.

use std::path::Path;

use hidbpf::object::DriverObject;
use hidbpf::recording::{RecordedDevice, Recording};
use hidbpf::replay::{self, Object, Settings};

#[test]
fn each_example_does_what_its_recordings_expect() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/drivers");
    let mut checked = 0;
    for folder in hidbpf_build::driver_folders(&fixtures).expect("the folders can be listed") {
        let name = folder.file_name().expect("a folder has a name").to_string_lossy().into_owned();
        let path = Path::new(env!("OUT_DIR")).join(format!("fixtures/{name}.bpf.o"));
        let driver = DriverObject::read(&path).expect("a fixture is a driver");
        let object = Object::parse(driver.bytes()).expect("a fixture can be replayed");
        if !folder.join("recordings").is_dir() {
            continue;
        }
        for (recording, expected) in hidbpf_build::recordings(&folder).expect("the recordings can be listed") {
            let (recording, expected) = (Recording::read(&recording), Recording::read(&expected));
            let (recording, expected) =
                (recording.expect("a recording can be read"), expected.expect("a recording can be read"));
            let settings = |device: &RecordedDevice| replay::for_driver(Settings::of(device), &driver, &device.into());
            for generation in object.generations() {
                let replayed = replay::replay(&object, generation, &recording, settings);
                let replayed = replayed.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(replay::difference(&expected, &replayed.recording), "", "{name} on {generation}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 6, "only {checked} replays");
}
