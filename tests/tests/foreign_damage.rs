//! Foreign objects that are damaged where a loader looks: headers, names, symbols, types, tables and relocations.
//!
//! Random bytes in a whole object mostly hit code and debug data. Here each change is in a part that decides which devices, hooks and maps
//! the object has. Each object is refused with a reason, or is a driver with a usable match table. Nothing panics.

use std::ops::Range;
use std::path::Path;

use hidbpf::error::ErrorKind;
use hidbpf::object::DriverObject;
use hidbpf_tests::fuzz;
use hidbpf_tests::random::Random;
use object::{Object as _, ObjectSection as _};

/// How many damaged objects are tried, of all objects together.
const ROUNDS: usize = 3000;

const FILE: &str = "0010-Damaged__Mouse.bpf.o";

/// The sizes of an ELF header and of a section's header, and the offset of the place of the latter (elf(5)).
const ELF_HEADER: usize = 64;
const SECTION_HEADER: usize = 64;
const SHOFF: usize = 40;

/// Numbers that are wrong in most places.
const NUMBERS: [u32; 8] = [0, 1, 2, 0x100, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Returns the parts of an object that a loader reads, each as a range of bytes.
fn parts(bytes: &[u8]) -> Vec<Range<usize>> {
    let elf = object::File::parse(bytes).expect("a compiled object is an ELF file");
    let headers = u64::from_le_bytes(bytes[SHOFF..SHOFF + 8].try_into().expect("it has a header")) as usize;
    let mut parts: Vec<Range<usize>> = std::iter::once(0..ELF_HEADER).collect();
    for (index, section) in elf.sections().enumerate() {
        // The first header is that of no section.
        let start = headers + (index + 1) * SECTION_HEADER;
        parts.push(start..start + SECTION_HEADER);
        let name = section.name().expect("a section has a name");
        let is_read = [".BTF", ".BTF.ext", ".symtab", ".strtab", ".maps", ".hid_bpf_config", "license"].contains(&name)
            || [".rel", ".struct_ops"].iter().any(|prefix| name.starts_with(prefix));
        if let Some((start, size)) = section.file_range().filter(|(_, size)| is_read && *size > 0) {
            parts.push(start as usize..(start + size) as usize);
        }
    }
    parts
}

/// Changes one to three places of a part: a number, a byte, or some words that change places.
fn damage(bytes: &mut [u8], part: &Range<usize>, random: &mut Random) {
    let part = &mut bytes[part.clone()];
    for _ in 0..=random.below(3) {
        let word = random.below(part.len() / 4) * 4;
        match random.below(3) {
            0 if part.len() >= 4 => {
                part[word..word + 4].copy_from_slice(&NUMBERS[random.below(NUMBERS.len())].to_le_bytes());
            }
            1 if part.len() >= 8 => {
                let other = random.below(part.len() / 4) * 4;
                (0..4).for_each(|byte| part.swap(word + byte, other + byte));
            }
            _ => part[random.below(part.len())] = random.byte(),
        }
    }
}

#[test]
fn a_damaged_foreign_object_is_refused_or_is_a_driver() {
    let objects = fuzz::foreign_objects().expect("the objects can be read");
    let mut random = Random::new(17);
    let (mut refused, mut accepted) = (0, 0);
    for good in &objects {
        DriverObject::parse(Path::new(FILE), good.clone()).expect("the object is whole");
        let parts = parts(good);
        for _ in 0..ROUNDS / objects.len() {
            let mut bytes = good.clone();
            damage(&mut bytes, &parts[random.below(parts.len())], &mut random);
            match DriverObject::parse(Path::new(FILE), bytes.clone()) {
                Ok(_) => accepted += 1,
                Err(error) => {
                    refused += 1;
                    let text = error.to_string();
                    assert_eq!(error.kind(), ErrorKind::BadObject, "{text}");
                    assert!(text.contains(FILE) && !text.contains(['\n', '\0']), "{text:?}");
                }
            }
            fuzz::foreign(&bytes);
        }
    }
    // Otherwise the damage is too small or too large to find anything.
    assert!(refused > ROUNDS / 10 && accepted > ROUNDS / 10, "{refused} refused, {accepted} accepted");
}
