//! Every parser of data from outside gets truncated input, single wrong bytes and random bytes.
//!
//! Each parser returns an answer or an error. It never panics, and never accepts damaged data as valid. The programs in `fuzz/` search
//! longer for such bytes.

use std::fs;
use std::path::Path;

use hidbpf::error::ErrorKind;
use hidbpf::ids::HidName;
use hidbpf::manifest::Embedded;
use hidbpf::object::{DriverObject, write_fingerprint};
use hidbpf::replay::Object;
use hidbpf::state::DeviceState;
use hidbpf::system::System;
use hidbpf_tests::fuzz::{TARGETS, without_fingerprint};
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
            // Only padding and unused parts of headers may differ.
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

/// Byte offsets in an ELF header and in a section's header (elf(5)).
const SHOFF: usize = 40;
const SHNUM: usize = 60;
const SECTION_HEADER: usize = 64;
const SH_TYPE: usize = 4;
const SH_FLAGS: usize = 8;
const SH_OFFSET: usize = 24;
const SH_SIZE: usize = 32;

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn read<const N: usize>(bytes: &[u8], at: usize) -> usize {
    bytes[at..at + N].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// Returns the positions of an object's section headers.
fn section_headers(object: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let (start, count) = (read::<8>(object, SHOFF), read::<2>(object, SHNUM));
    (0..count).map(move |index| start + index * SECTION_HEADER)
}

/// Checks that every parser of objects refuses it with this reason.
fn expect_refused(object: &[u8], reason: &str) {
    let mut whole = object.to_vec();
    write_fingerprint(Path::new("x.bpf.o"), &mut whole).expect("it has a place for its fingerprint");
    let error = DriverObject::parse(Path::new("x.bpf.o"), whole).expect_err("it is refused");
    assert!(error.kind() == ErrorKind::BadObject && error.to_string().contains(reason), "{error}");
    let error = Object::parse(object).expect_err("it is refused").to_string();
    assert!(error.contains(reason), "{error}");
    let error = hidbpf_prelink::link(object).expect_err("it is refused").to_string();
    assert!(error.contains(reason), "{error}");
}

/// A section may share the bytes of another one, and a name may be the end of a longer one.
///
/// So a file of a few megabytes can contain terabytes of both.
#[test]
fn sections_and_names_of_an_object_are_bounded() {
    const SHT_STRTAB: usize = 3;
    const EXECINSTR: usize = 4;
    let whole = without_fingerprint(&objects().swap_remove(0).1);

    let mut shared = whole.clone();
    for header in section_headers(&whole).filter(|header| read::<8>(&whole, header + SH_FLAGS) & EXECINSTR != 0) {
        put(&mut shared, header + SH_OFFSET, &0u64.to_le_bytes());
        put(&mut shared, header + SH_SIZE, &(whole.len() as u64).to_le_bytes());
    }
    expect_refused(&shared, "sections share bytes");

    let mut long = whole.clone();
    let strings =
        section_headers(&whole).find(|header| read::<4>(&whole, header + SH_TYPE) == SHT_STRTAB).expect("it has names");
    let (start, size) = (read::<8>(&whole, strings + SH_OFFSET), read::<8>(&whole, strings + SH_SIZE));
    let text = [&whole[start..start + size], &[b'x'; 600], b"\0"].concat();
    put(&mut long, strings + SH_OFFSET, &(whole.len() as u64).to_le_bytes());
    put(&mut long, strings + SH_SIZE, &(text.len() as u64).to_le_bytes());
    long.extend(text);
    expect_refused(&long, "a name of more than 511 bytes");

    let mut many = whole.clone();
    let headers: Vec<u8> =
        section_headers(&whole).flat_map(|header| &whole[header..header + SECTION_HEADER]).copied().collect();
    put(&mut many, SHOFF, &(whole.len() as u64).to_le_bytes());
    put(&mut many, SHNUM, &1100u16.to_le_bytes());
    many.extend(&headers);
    many.resize(whole.len() + 1100 * SECTION_HEADER, 0);
    expect_refused(&many, "1100 sections, more than 1024");
}

#[test]
fn random_bytes_are_no_object() {
    let mut random = Random::new(2);
    for _ in 0..ROUNDS {
        let mut bytes = random.bytes(600);
        if random.below(2) == 0 && bytes.len() > 4 {
            bytes[..4].copy_from_slice(b"\x7fELF");
        }
        DriverObject::parse(Path::new("random.bpf.o"), bytes).expect_err("random bytes are not a driver");
    }
}

#[test]
fn random_bytes_are_no_manifest() {
    let mut random = Random::new(3);
    for _ in 0..ROUNDS {
        let bytes = random.bytes(200);
        Embedded::from_section(Path::new("x.bpf.o"), &bytes).expect_err("random bytes are not a manifest");
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
fn a_damaged_state_file_is_no_error() {
    let root = tempfile::tempdir().expect("a temporary directory can be made");
    let system = System { run: root.path().to_owned(), ..System::default() };
    let device: HidName = "0003:11C0:5606.0001".parse().expect("the name is one");
    fs::create_dir(system.states()).expect("the directory can be made");
    let good = r#"{"version":1,"device":"0003:11C0:5606.0001","hid-name":"x","modalias":"hid:b0003g0001v000011C0p00005606",
        "rdesc":"05 01","drivers":[],"taken-off":["mouse-invert-y"],"failures":[]}"#;
    fs::write(system.state(&device), good).expect("the file can be written");
    assert!(DeviceState::read(&system, &device).is_some());
    let mut random = Random::new(5);
    for _ in 0..ROUNDS / 4 {
        let changed = random.change(good.as_bytes());
        fs::write(system.state(&device), &changed).expect("the file can be written");
        assert!(DeviceState::read(&system, &device).is_some());
    }
}
