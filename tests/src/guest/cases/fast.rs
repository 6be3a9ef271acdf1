//! Cases about loading drivers without libbpf: the kernel gets the same programs, and the device is fixed as well.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, anyhow, bail, ensure};
use hidbpf::attach::Plan;
use hidbpf::config::Config;
use hidbpf::device::Device;
use hidbpf::effect::DescriptorEffect;
use hidbpf::fast::{self, CacheUpdate, Fast, KernelIdentity, ResolvedIds, ResolvedMember, ResolvedOps};
use hidbpf::fields;
use hidbpf::loader::{Libbpf, Loader, Steps};
use hidbpf::manager::Manager;
use hidbpf::matching::{Verdict, judge};
use hidbpf::object::DriverObject;
use hidbpf::state::{DeviceLock, DeviceState};
use hidbpf::system::System;
use hidbpf::{options, resolve};
use libbpf_rs::ProgramType;
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};

use super::helper::loaded_way;
use super::recordings::{self, Recorded, Session};
use super::{Case, STRUCT_OPS, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, Plugged, entries, installed};
use crate::protocol::Generation;

pub const CASES: &[Case] = &[
    case("both-ways-load-the-same", WITH_HID_BPF, both_ways_load_the_same),
    case("both-ways-attach-the-same", WITH_HID_BPF, both_ways_attach_the_same).each_generation(),
    case("wrong-numbers-are-looked-up-again", WITH_HID_BPF, wrong_numbers_are_looked_up_again),
    case("wrong-members-are-looked-up-again", STRUCT_OPS, wrong_members_are_looked_up_again),
    case("kernel-answers-what-its-types-say", WITH_HID_BPF, kernel_answers_what_its_types_say),
];

/// A program as the kernel has it.
#[derive(Debug, PartialEq, Eq)]
struct Program {
    name: String,
    kind: ProgramType,
    verified: u32,
    /// Two numbers for each instruction: everything except its immediate, and its immediate.
    instructions: Vec<(u32, i32)>,
}

fn programs() -> Vec<(u32, Program)> {
    let options = ProgInfoQueryOptions::default().include_xlated_prog_insns(true);
    ProgInfoIter::with_query_opts(options)
        .map(|info| {
            let program = Program {
                name: info.name.to_string_lossy().into_owned(),
                kind: info.ty,
                verified: info.verified_insns,
                instructions: comparable(&info.xlated_prog_insns),
            };
            (info.id, program)
        })
        .collect()
}

/// Returns the instructions without the values that differ between loads: the ids of maps, and kernel addresses.
fn comparable(bytes: &[u8]) -> Vec<(u32, i32)> {
    const LOAD_IMMEDIATE: u8 = 0x18;
    const MAP: [u8; 2] = [1, 2];
    let (words, _) = bytes.as_chunks::<8>();
    let split =
        |[a, b, c, d, e, f, g, h]: [u8; 8]| (u32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]));
    let mut instructions: Vec<_> = words.iter().map(|word| split(*word)).collect();
    for at in 0..words.len() {
        if words[at][0] != LOAD_IMMEDIATE || at + 1 == words.len() {
            continue;
        }
        if MAP.contains(&(words[at][1] >> 4)) {
            instructions[at].1 = 0;
        } else if instructions[at + 1].1 != 0 {
            (instructions[at].1, instructions[at + 1].1) = (0, -1);
        }
    }
    instructions
}

/// Returns the programs that a loader loads for a device. They are unloaded again.
fn loaded<L: Loader>(loader: &L, driver: &DriverObject, device: &Device) -> Result<Vec<Program>> {
    let generation = loader.generation(&System::default())?;
    let before: BTreeSet<u32> = programs().into_iter().map(|(id, _)| id).collect();
    loader.probe(driver, device)?;
    let loaded = loader.load(driver, generation, device, Steps::One)?;
    let mut programs: Vec<Program> = programs()
        .into_iter()
        // Of the syscall programs, only those that stay with the driver count. The others are the loaders' own.
        .filter(|(_, program)| program.kind != ProgramType::Syscall || program.name == "setup")
        .filter(|(id, _)| !before.contains(id))
        .map(|(_, program)| program)
        .collect();
    drop(loaded);
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    ensure!(!programs.is_empty(), "nothing was loaded");
    Ok(programs)
}

fn opened(device: &Plugged) -> Result<Device> {
    let system = System::default();
    Ok(Manager::new(&system).unfixed(Device::open(&system, &device.name().parse()?)?))
}

/// Calls `act` for each driver that the kernel can run, with one of its recordings. The cases about recordings use all of them.
fn for_each(bench: &mut Bench, mut act: impl FnMut(&mut Bench, &Session<'_>) -> Result<()>) -> Result<()> {
    let struct_ops = bench.generation == Generation::StructOps;
    for &Recorded { driver, newer_only, .. } in recordings::DRIVERS {
        if struct_ops || !newer_only {
            recordings::first(driver, |session| act(bench, &session)).with_context(|| format!("driver `{driver}`"))?;
        }
    }
    Ok(())
}

fn both_ways_load_the_same(bench: &mut Bench) -> Result<()> {
    let system = System::default();
    for_each(bench, |bench, session| {
        let plugged = session.plug(bench)?;
        let (driver, device) = (installed(session.driver)?, opened(&plugged)?);
        let fast = loaded(&Fast::new(&system, None), &driver, &device)?;
        let libbpf = loaded(&Libbpf::default(), &driver, &device)?;
        if fast != libbpf {
            let first = fast.iter().zip(&libbpf).find(|(fast, libbpf)| fast != libbpf);
            bail!("loaded without libbpf and with it: {first:?}");
        }
        bench.unplug(plugged)
    })
}

fn both_ways_attach_the_same(bench: &mut Bench) -> Result<()> {
    let system = System::default();
    // As for the second and later devices.
    let mut kept = None;
    for_each(bench, |bench, session| {
        let plugged = session.plug(bench)?;
        let driver = installed(session.driver)?;
        if loaded_way(bench, &plugged)?["way"] == "fast" {
            bench.hidbpf(&["unload", session.driver, &plugged.name()])?.expect(0)?;
            bench.settle()?;
            bench.hidbpf_with_libbpf(&["load", session.driver, &plugged.name()])?.expect(0)?;
            bench.settle()?;
        }
        let way = loaded_way(bench, &plugged)?;
        ensure!(way["way"] == "libbpf", "the driver was loaded {way}");
        let pins = |plugged: &Plugged| entries(&plugged.pins().join(session.driver));
        let (pinned, descriptor) = (pins(&plugged)?, plugged.descriptor()?);
        bench.hidbpf(&["unload", session.driver, &plugged.name()])?.expect(0)?;
        bench.settle()?;
        let device = opened(&plugged)?;
        let (options, _) = resolve::options(&driver, Some(&device), &Config::read(&system), &options::Values::new());
        let original = device.original().context("the original descriptor is not known")?;
        let fields = fields::variables(&driver.manifest.fields, original);
        let mut variables = fields.map_err(|missing| anyhow!("the device does not have {missing}"))?;
        variables.extend(resolve::variables(&options));
        let Verdict::Matches { rule } = judge(&driver.manifest, &device) else { bail!("no rule matches") };
        variables.extend(driver.rule_variable(Some(&rule)));
        let device = device.with_variables(variables);
        let fast = Fast::new(&system, kept.as_deref());
        let generation = fast.generation(&system)?;
        let recorded = {
            let lock = DeviceLock::take(&system, &device.name)?;
            let state = DeviceState::read(&system, &device.name);
            state.unwrap_or_else(|| DeviceState::new(&device)).write(&system, &lock)?
        };
        let (fixup, _) = Plan::new(&fast, &system, generation, &driver, &device)?
            .probe()?
            .load()?
            .attach()?
            .verify()?
            .set_up()?
            .pin(&recorded)?;
        bench.settle()?;
        ensure!((fixup.change == DescriptorEffect::Fixed) == (device.current != descriptor), "{fixup:?}");
        ensure!(plugged.descriptor()? == descriptor, "another descriptor is current than with libbpf");
        ensure!(pins(&plugged)? == pinned, "pinned without libbpf {:?}, with it {pinned:?}", pins(&plugged)?);
        match fast.cache_update() {
            CacheUpdate::Replace(bytes) => kept = Some(bytes),
            CacheUpdate::Unchanged => {}
            CacheUpdate::Remove => bail!("nothing is to be kept, yet nothing has failed"),
        }
        session.compare_events(&plugged, bench)?;
        bench.unplug(plugged)
    })
}

/// Returns the ids that a loader keeps after loading a driver.
fn kept(fast: &Fast, name: &str, device: &Device) -> Result<CacheUpdate> {
    let driver = installed(name)?;
    loaded(fast, &driver, device)?;
    Ok(fast.cache_update())
}

/// A change that makes ids wrong, and its name.
type Wrong<'a, T> = (&'a str, &'a dyn Fn(&mut T));

/// A change of the members' places.
type Changes = fn(&mut ResolvedOps);

/// Checks that a driver loads even if `wrong` has changed the ids, and that the loader then keeps the right ids.
fn expect_second_look(bench: &mut Bench, wrong: &[Wrong<'_, ResolvedIds>], name: &str, size: usize) -> Result<()> {
    let system = System::default();
    let plugged = bench.plug_unseen(&recordings::device(name, size)?)?;
    let device = opened(&plugged)?;
    let kernel = KernelIdentity::of(&system).context("the kernel has no identity")?;
    let CacheUpdate::Replace(right) = kept(&Fast::new(&system, None), name, &device)? else {
        bail!("nothing is to be kept of what was looked up");
    };
    ensure!(
        kept(&Fast::new(&system, Some(&right)), name, &device)? == CacheUpdate::Unchanged,
        "numbers that were kept are not good"
    );
    for (what, make_wrong) in wrong {
        let mut ids = ResolvedIds::from_bytes(&right, &kernel).context("what was written can't be read")?;
        make_wrong(&mut ids);
        let fast = Fast::new(&system, Some(&ids.to_bytes(&kernel)));
        let again = kept(&fast, name, &device).with_context(|| (*what).to_owned())?;
        ensure!(again == CacheUpdate::Replace(right.clone()), "{what}: {again:?}");
    }
    // From another boot.
    let mut other = right.clone();
    other[20] ^= 1;
    ensure!(
        kept(&Fast::new(&system, Some(&other)), name, &device)? == CacheUpdate::Replace(right),
        "damaged numbers were good"
    );
    bench.release()?;
    bench.unplug(plugged)
}

fn wrong_numbers_are_looked_up_again(bench: &mut Bench) -> Result<()> {
    let change = |name: &'static str, by: u32| {
        move |ids: &mut ResolvedIds| {
            ids.functions.entry(name.to_owned()).and_modify(|id| *id = id.wrapping_add(by));
        }
    };
    let missing = |ids: &mut ResolvedIds| {
        ids.functions.insert("hid_bpf_get_data".to_owned(), 0);
    };
    let far = change("hid_bpf_get_data", 1 << 30);
    let next = change("hid_bpf_get_data", 1);
    let mut wrong: Vec<Wrong<'_, ResolvedIds>> =
        vec![("a function that is not there", &missing), ("no function", &far), ("another function", &next)];
    // All members that the driver accesses.
    let each = |change: fn(&mut ResolvedMember)| move |ids: &mut ResolvedIds| ids.members.iter_mut().for_each(change);
    let no_members = each(|member| *member = ResolvedMember::default());
    let smaller = each(|member| member.size /= 2);
    let outside = each(|member| member.offset += 16 << 10);
    wrong.extend([
        ("no members", &no_members as &dyn Fn(&mut ResolvedIds)),
        ("members of another size", &smaller),
        ("members outside of their structs", &outside),
    ]);
    let hook = change("hid_bpf_rdesc_fixup", 1);
    if bench.generation == Generation::FmodRet {
        wrong.push(("another hook", &hook));
    }
    let (name, size) = super::drivers::RAPTOR;
    expect_second_look(bench, &wrong, name, size)
}

/// Linux 7.0 and later sort their types, and are asked for their ids.
fn kernel_answers_what_its_types_say(_: &mut Bench) -> Result<()> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").context("failed to read the kernel's version")?;
    let major: u32 = release.split('.').next().unwrap_or_default().parse().context("the version has no number")?;
    let answers = fast::ids_from_answers();
    ensure!(answers.is_some() == (major >= 7), "Linux {release} answered {answers:?}");
    let Some(answers) = answers else { return Ok(()) };
    let types = fast::ids_from_types(&System::default())?;
    ensure!(answers == types, "{answers:?}\n{types:?}");
    Ok(())
}

fn wrong_members_are_looked_up_again(bench: &mut Bench) -> Result<()> {
    let (name, size) = super::drivers::RAPTOR;
    let changes: [(&str, Changes); 4] = [
        ("another struct", |ops| ops.ops_type += 1),
        ("another value", |ops| ops.value_type += 1),
        ("a smaller value", |ops| ops.value_size -= 8),
        ("hooks one further", |ops| {
            for hook in &mut ops.hooks {
                *hook += 8;
            }
        }),
    ];
    let changes =
        changes.map(|(what, change)| (what, move |ids: &mut ResolvedIds| ids.ops.iter_mut().for_each(change)));
    let wrong: Vec<_> = changes.iter().map(|(what, change)| (*what, change as &dyn Fn(&mut ResolvedIds))).collect();
    expect_second_look(bench, &wrong, name, size)
}
