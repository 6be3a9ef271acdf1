//! Every parser of what comes from outside is fed truncations, single wrong bytes and random bytes: each ends in an answer or an
//! error, never in a panic, and what is damaged is never taken for whole. The programs in `fuzz/` look for such bytes at length.

use std::fs;
use std::path::Path;

use hidbpf::error::ErrorKind;
use hidbpf::ids::HidName;
use hidbpf::manifest::Embedded;
use hidbpf::object::DriverObject;
use hidbpf::state::DeviceState;
use hidbpf::system::System;
use hidbpf_tests::fuzz::TARGETS;
use hidbpf_tests::random::Random;

/// How many random changes each text or file gets.
const ROUNDS: usize = 2000;

fn objects() -> Vec<(String, Vec<u8>)> {
    let dir = fs::read_dir(hidbpf_drivers::objects_dir()).expect("the drivers are built");
    let objects: Vec<_> = dir
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.to_string_lossy().ends_with(".bpf.o"))
        .map(|path| (path.display().to_string(), fs::read(&path).expect("the object can be read")))
        .collect();
    assert!(objects.len() >= 4, "{} objects", objects.len());
    objects
}

#[test]
fn a_truncated_object_is_refused() {
    for (path, whole) in objects() {
        DriverObject::parse(Path::new(&path), whole.clone()).expect("the object is whole");
        let step = (whole.len() / 500).max(1);
        for end in (0..whole.len()).step_by(step) {
            let error = DriverObject::parse(Path::new(&path), whole[..end].to_vec()).err();
            assert!(error.is_some_and(|error| error.kind() == ErrorKind::BadObject), "{path} cut to {end} bytes");
        }
    }
}

#[test]
fn an_object_with_wrong_bytes_is_refused_or_the_same() {
    let mut random = Random::new(1);
    for (path, whole) in objects() {
        let good = DriverObject::parse(Path::new(&path), whole.clone()).expect("the object is whole");
        for _ in 0..ROUNDS / 10 {
            let mut bytes = whole.clone();
            for _ in 0..=random.below(4) {
                let place = random.below(bytes.len());
                bytes[place] = random.byte();
            }
            // Padding and parts of headers that nobody reads are all that may differ.
            if let Ok(driver) = DriverObject::parse(Path::new(&path), bytes) {
                assert_eq!(
                    (&driver.name, &driver.manifest, &driver.hooks),
                    (&good.name, &good.manifest, &good.hooks),
                    "{path}"
                );
            }
        }
    }
}

#[test]
fn random_bytes_are_no_object() {
    let mut random = Random::new(2);
    for _ in 0..ROUNDS {
        let mut bytes = random.bytes(600);
        if random.below(2) == 0 && bytes.len() > 4 {
            bytes[..4].copy_from_slice(b"\x7fELF");
        }
        DriverObject::parse(Path::new("random.bpf.o"), bytes).expect_err("random bytes are no driver");
    }
}

#[test]
fn random_bytes_are_no_manifest() {
    let mut random = Random::new(3);
    for _ in 0..ROUNDS {
        let bytes = random.bytes(200);
        Embedded::from_section(Path::new("x.bpf.o"), &bytes).expect_err("random bytes are no manifest");
    }
}

#[test]
fn every_target_ends_with_damaged_and_with_random_bytes() {
    let mut random = Random::new(4);
    for target in TARGETS {
        let seeds = (target.seeds)().expect("the seeds can be read");
        assert!(!seeds.is_empty(), "{} has no seeds", target.name);
        for seed in &seeds {
            (target.run)(seed);
            for _ in 0..ROUNDS / seeds.len() {
                (target.run)(&random.change(seed));
            }
        }
        for _ in 0..ROUNDS {
            (target.run)(&random.bytes(60));
        }
    }
}

#[test]
fn a_damaged_state_file_counts_as_none() {
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let system = System { run: root.path().to_owned(), ..System::default() };
    let device: HidName = "0003:11C0:5606.0001".parse().expect("the name is one");
    fs::create_dir(system.states()).expect("the directory can be made");
    let good = r#"{"version":1,"device":"0003:11C0:5606.0001","hid-name":"x","modalias":"hid:b0003g0001v000011C0p00005606",
        "rdesc":"05 01","drivers":[],"taken-off":["mouse-invert-y"],"failures":[]}"#;
    fs::write(system.state(&device), good).expect("the file can be written");
    assert!(DeviceState::read(&system, &device).is_ok_and(|state| state.is_some()));
    let mut random = Random::new(5);
    for _ in 0..ROUNDS / 4 {
        let changed = random.change(good.as_bytes());
        fs::write(system.state(&device), &changed).expect("the file can be written");
        DeviceState::read(&system, &device).expect("a damaged file is no error");
    }
}
