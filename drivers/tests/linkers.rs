//! Compares the two linkers: the fast loader's and the replay's. Both resolve each relocation of each driver to the same
//! map, kernel function, function, byte of data or member.

use std::collections::BTreeMap;
use std::fs;

use hidbpf_prelink::btf::{Btf, TypeId};
use hidbpf_prelink::elf::open;
use hidbpf_prelink::section::{SectionRole, section_role};
use hidbpf_prelink::{INSTRUCTION_SIZE, MEMBERS, Prelinked, Program, ReferenceKind, source};
use hidbpf_replay::{Driver, Link, Links, Object, ReplayDevice, Settings};

/// A relocatable instruction, its register for the kind of its immediate, and its immediate.
const CALL: u8 = 0x85;
const LOAD_IMMEDIATE: u8 = 0x18;
const PSEUDO_CALL: u8 = 1;
const PSEUDO_FUNCTION: u8 = 4;

fn immediate(instruction: &[u8; INSTRUCTION_SIZE]) -> i64 {
    let [.., a, b, c, d] = *instruction;
    i32::from_le_bytes([a, b, c, d]).into()
}

/// Returns the functions of a prelinked program: the first instruction and the name of each, in their order.
fn functions(program: &Program<'_>, types: &Btf) -> Vec<(usize, String)> {
    let function = |info: &hidbpf_prelink::FunctionInfo| {
        (info.instruction.get() as usize, types.name(TypeId(info.ty.get())).to_owned())
    };
    program.functions.iter().map(function).collect()
}

/// Returns what the instructions of a prelinked program refer to, by function.
fn links(prelinked: &Prelinked<'_>, program: &Program<'_>) -> BTreeMap<String, Links> {
    let types = Btf::parse(prelinked.btf).expect("the types are whole");
    let functions = functions(program, &types);
    let name_at = |at: i64| {
        let function = functions.iter().find(|(start, _)| *start as i64 == at);
        function.map(|(_, name)| name.clone()).expect("a call is to the start of a function")
    };
    let mut links: BTreeMap<String, Links> = functions.iter().map(|(_, name)| (name.clone(), Links::new())).collect();
    let mut add = |at: usize, link: Link| {
        let (start, name) = functions.iter().rev().find(|(start, _)| *start <= at).expect("the first begins at 0");
        links.entry(name.clone()).or_default().entry(at - start).or_default().push(link);
    };
    for reference in program.references {
        let (at, index) = (reference.at(), reference.index.get() as usize);
        add(
            at,
            match reference.kind() {
                ReferenceKind::Map => Link::Map(prelinked.maps[index].name.to_owned()),
                ReferenceKind::MapValue => Link::Data {
                    section: prelinked.maps[index].name.to_owned(),
                    offset: immediate(&program.instructions[at + 1]) as u32,
                },
                ReferenceKind::KfuncCall => Link::KernelCall(prelinked.kfuncs[index].name.to_owned()),
                ReferenceKind::KfuncAddress => Link::KernelAddress(prelinked.kfuncs[index].name.to_owned()),
                ReferenceKind::Member => {
                    Link::Access { ty: MEMBERS[index].of.to_owned(), path: MEMBERS[index].name.to_owned(), kind: 0 }
                }
            },
        );
    }
    for relocation in program.relocations {
        let ty = TypeId(relocation.ty.get());
        let path = types.path(ty, types.name_at(relocation.access.get()));
        let kind = relocation.kind.get();
        add(
            relocation.offset.get() as usize / INSTRUCTION_SIZE,
            Link::Access { ty: types.name(ty).to_owned(), path, kind },
        );
    }
    for (at, instruction) in program.instructions.iter().enumerate() {
        let to = at as i64 + 1 + immediate(instruction);
        match (instruction[0], instruction[1] >> 4) {
            (CALL, PSEUDO_CALL) => add(at, Link::Call(name_at(to))),
            (LOAD_IMMEDIATE, PSEUDO_FUNCTION) => add(at, Link::Callback(name_at(to))),
            _ => {}
        }
    }
    links
}

/// Sorts the links of each instruction, whose order doesn't matter.
fn sorted(mut links: Links) -> Links {
    links.values_mut().for_each(|links| links.sort());
    links
}

#[test]
fn both_linkers_resolve_each_relocation_to_the_same() {
    let (mut drivers, mut kinds) = (0, BTreeMap::<&str, usize>::new());
    for entry in fs::read_dir(hidbpf_drivers::objects_dir()).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".bpf.o") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let (object, elf) = (Object::parse(&bytes).unwrap(), open(&bytes).unwrap());
        let prelinked = Prelinked::of_object(&elf, &source(&elf).unwrap()).unwrap();
        let device = ReplayDevice::of_descriptor(Vec::new());
        for generation in object.generations() {
            let driver = Driver::new(&object, generation, &device, &Settings::default()).unwrap();
            let replayed = driver.links();
            for program in &prelinked.programs {
                match section_role(program.section) {
                    Some(SectionRole::Program(of, _)) if of != generation => continue,
                    role => assert!(role.is_some(), "{}", program.section),
                }
                for (function, links) in links(&prelinked, program) {
                    let found = sorted(replayed.get(&function).cloned().unwrap_or_else(|| panic!("no `{function}`")));
                    let expected = sorted(links);
                    let at = path.display();
                    assert_eq!(found, expected, "{at}: `{function}` in `{}` on {generation}", program.name);
                    for link in expected.values().flatten() {
                        *kinds.entry(kind(link)).or_default() += 1;
                    }
                }
            }
        }
        drivers += 1;
    }
    assert!(drivers > 30, "only {drivers} drivers were compared");
    // Without these kinds the comparison would prove little. Calls are missing: drivers inline the functions that they call.
    for kind in ["access", "callback", "data", "kernel address", "kernel call", "map"] {
        assert!(kinds.contains_key(kind), "no driver has this kind of relocation: {kind}");
    }
    println!("{drivers} drivers: {kinds:?}");
}

fn kind(link: &Link) -> &'static str {
    match link {
        Link::Data { .. } => "data",
        Link::Map(_) => "map",
        Link::Call(_) => "call",
        Link::Callback(_) => "callback",
        Link::KernelCall(_) => "kernel call",
        Link::KernelAddress(_) => "kernel address",
        Link::Access { .. } => "access",
        other => panic!("{other:?}"),
    }
}
