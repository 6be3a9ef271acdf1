//! Cases about the three descriptors of a device: what it sent, what a driver makes of that, and what the kernel has parsed.

use anyhow::{Context, Result, ensure};
use hidbpf::fast::Fast;
use hidbpf::ids::{HidId, HidName};
use hidbpf::loader::{Kept, Libbpf, Loader};
use hidbpf::system::System;
use hidbpf::text::Hex;

use super::drivers::{RAPTOR, plug_fixed};
use super::{Case, WITH_HID_BPF, case, recordings};
use crate::guest::bench::{Bench, Plugged, plain_mouse};
use crate::protocol::Generation;
use crate::uhid::Spec;

pub const CASES: &[Case] = &[case("original-descriptor-is-read", WITH_HID_BPF, original_is_read)];

/// The same descriptor by both loaders.
fn read(id: HidId, kept: Kept) -> Result<Option<Vec<u8>>> {
    let fast = Fast::new(&System::default(), None).descriptor(id, kept)?;
    let libbpf = Libbpf::default().descriptor(id, kept)?;
    ensure!(fast == libbpf, "the loaders read different descriptors, {fast:02x?} and {libbpf:02x?}");
    Ok(fast)
}

fn id(device: &Plugged) -> Result<HidId> {
    Ok(device.name().parse::<HidName>()?.id())
}

/// Bytes that are no two descriptors' alike, and that the kernel refuses at the first.
fn refused(size: usize) -> Vec<u8> {
    std::iter::once(0xc0).chain((1..size).map(|index| (index * 7 + index / 256) as u8)).collect()
}

/// Whatever the kernel made of it, and whatever its size.
fn original_is_read(bench: &mut Bench) -> Result<()> {
    for descriptor in
        [plain_mouse().descriptor].into_iter().chain([1, 7, 8, 127, 128, 129, 511, 512, 513, 4096].map(refused))
    {
        let device = bench.plug_any(&Spec { descriptor: descriptor.clone(), ..plain_mouse() })?;
        let size = descriptor.len();
        let original = read(id(&device)?, Kept::Original)?.context("there is no original descriptor")?;
        ensure!(original == descriptor, "of {size} bytes the kernel has {}", Hex(&original));
        bench.unplug(device)?;
    }
    let joystick = plug_fixed(RAPTOR, bench)?;
    let sent = recordings::device(RAPTOR.0, RAPTOR.1)?.descriptor;
    let (original, fixed) = (read(id(&joystick)?, Kept::Original)?, read(id(&joystick)?, Kept::Fixed)?);
    ensure!(original.as_ref() == Some(&sent), "the original is {original:02x?}");
    let current = joystick.descriptor()?;
    ensure!(current != sent, "the descriptor is not fixed");
    match bench.generation {
        Generation::StructOps => ensure!(fixed == Some(current), "the fixed one is {fixed:02x?}"),
        _ => ensure!(fixed.is_none(), "the fixed one is {fixed:02x?}"),
    }
    let gone = id(&joystick)?;
    bench.unplug(joystick)?;
    let system = System::default();
    let errors =
        [Fast::new(&system, None).descriptor(gone, Kept::Original), Libbpf::default().descriptor(gone, Kept::Original)];
    for error in errors {
        let error = error.err().context("a device that has gone was read")?;
        ensure!(error.kind() == hidbpf::error::ErrorKind::Gone, "the error is {error:?}");
    }
    Ok(())
}
