//! Cases about the SDK: kernels accept its code, and give the same results as a replay.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use hidbpf::object::DriverObject;
use hidbpf::replay::Object;
use hidbpf::system::System;
use hidbpf::text::Hex;
use hidbpf::verify::{Verification, verify};

use super::attach::expect_untouched;
use super::drivers::RAPTOR;
use super::fixtures::{ENDLESS, Fixture, WALK};
use super::{Case, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, installed, plain_mouse};
use crate::uhid::Spec;
use crate::walked::{longest, walked};

pub const CASES: &[Case] = &[
    case("items-of-long-descriptors-are-walked", WITH_HID_BPF, items_are_walked),
    case("kernel-verifies-without-attaching", WITH_HID_BPF, verifies),
];

/// The longest descriptors of real devices, if the build had them.
const REAL: &[&[u8]] = include!(concat!(env!("OUT_DIR"), "/long_descriptors.rs"));

/// This kernel's verifier accepts the walk's program.
///
/// The program reaches each item of a short descriptor, of long ones of real devices, and of the longest possible one. The short one also
/// gets a const array appended.
fn items_are_walked(bench: &mut Bench) -> Result<()> {
    let file = WALK.file()?;
    let synthetic = [plain_mouse().descriptor, longest()];
    for descriptor in synthetic.iter().map(Vec::as_slice).chain(REAL.iter().copied()) {
        let spec = Spec { product: 0x0107, descriptor: descriptor.to_vec(), ..plain_mouse() };
        let mouse = bench.plug(&spec)?;
        bench.hidbpf(&["load", &file, &mouse.name()])?.expect(0)?.answers("descriptor fixed")?;
        bench.settle()?;
        let (found, expected) = (mouse.descriptor()?, walked(descriptor));
        ensure!(
            found == expected,
            "of {} bytes: expected\n{}\nfound\n{}",
            descriptor.len(),
            Hex(&expected),
            Hex(&found)
        );
        bench.unplug(mouse)?;
    }
    Ok(())
}

/// As in `hidbpf build`: the kernel accepts a driver or reports its fault, and no device is touched.
fn verifies(bench: &mut Bench) -> Result<()> {
    let spec = plain_mouse();
    let mouse = bench.plug(&spec)?;
    let system = System::default();
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let verified = |driver: &DriverObject| -> Result<_> {
        let object = Object::parse(driver.bytes()).context("failed to read an object")?;
        Ok(verify(&system, driver, &object, &[]))
    };
    for driver in [installed(RAPTOR.0)?, read(&WALK)?] {
        match verified(&driver)? {
            Ok(Verification::Verified { release: by, .. }) => {
                ensure!(by == release, "verified by {by}, not by {release}")
            }
            other => anyhow::bail!("`{}`: {other:?}", driver.name),
        }
    }
    let refused = verified(&read(&ENDLESS)?)?.err().context("the kernel took the driver with the long loop")?;
    let hint = refused.hint().unwrap_or_default();
    ensure!(hint.contains("bench-endless/driver.bpf.c:") && hint.contains("too complex"), "{refused:?}");
    expect_untouched(&mouse, &spec)?;
    bench.unplug(mouse)
}

fn read(fixture: &Fixture) -> Result<DriverObject> {
    DriverObject::read(Path::new(&fixture.file()?)).context("failed to read a fixture")
}
