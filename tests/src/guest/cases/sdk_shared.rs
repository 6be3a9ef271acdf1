//! Cases about state that the interfaces of one physical device share, however hidbpf finds that they are one.

use std::time::Duration;

use anyhow::Result;

use super::fixtures::{Fixture, fixture};
use super::sdk_events::expect_reports;
use super::{Case, WITH_HID_BPF, case};
use crate::guest::bench::{Bench, Plugged, plain_mouse};
use crate::transport::Transport;
use crate::uhid::Spec;
use crate::usb;

pub const CASES: &[Case] = &[
    case("interfaces-share-state", WITH_HID_BPF, by_path).each_generation(),
    case("interfaces-share-state-by-serial-number", WITH_HID_BPF, by_serial_number).each_generation(),
    case("interfaces-share-state-by-usb-device", WITH_HID_BPF, by_usb_device).each_generation(),
];

const SHARED: Fixture = fixture!("example-shared-key");

/// The ids of the example's mouse.
const VENDOR: u16 = 0x1209;
const PRODUCT: u16 = 0x0006;

/// The descriptor of its button: an interface with one input report of a byte.
const BUTTON: [u8; 21] = [
    0x06, 0x00, 0xff, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x02, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x01, 0x81,
    0x02, 0xc0,
];

/// The loaders of the first driver and of the second: whether they use libbpf.
const LOADERS: [[bool; 2]; 4] = [[false, false], [true, true], [false, true], [true, false]];

fn mouse(phys: &str, uniq: &str) -> Spec {
    let (vendor, product) = (VENDOR.into(), PRODUCT.into());
    Spec { vendor, product, phys: phys.to_owned(), uniq: uniq.to_owned(), ..plain_mouse() }
}

fn button(phys: &str, uniq: &str) -> Spec {
    Spec { descriptor: BUTTON.to_vec(), ..mouse(phys, uniq) }
}

/// The part of the physical path before the number of the input names the device.
fn by_path(bench: &mut Bench) -> Result<()> {
    of_uhid(bench, [button("bench-1/input1", ""), mouse("bench-1/input0", ""), mouse("bench-2/input0", "")])
}

/// Bluetooth devices have the address of the adapter as their path, and their own address as their serial number.
fn by_serial_number(bench: &mut Bench) -> Result<()> {
    let adapter = "00:11:22:33:44:55";
    let [one, other] = ["00:aa:bb:cc:dd:01", "00:aa:bb:cc:dd:02"];
    of_uhid(bench, [button(adapter, one), mouse(adapter, one), mouse(adapter, other)])
}

fn of_uhid(bench: &mut Bench, [button, mouse, other]: [Spec; 3]) -> Result<()> {
    for libbpf in LOADERS {
        let devices = [bench.plug(&button)?, bench.plug(&mouse)?, bench.plug(&other)?];
        expect_shared(bench, [&devices[0], &devices[1], &devices[2]], libbpf)?;
        for device in devices {
            bench.unplug(device)?;
        }
    }
    Ok(())
}

/// Both interfaces belong to one USB device. Another device of the kind is not affected.
fn by_usb_device(bench: &mut Bench) -> Result<()> {
    let interface = |number, descriptor: &[u8]| usb::InterfaceSpec {
        number,
        descriptor: descriptor.to_vec(),
        ..Default::default()
    };
    let interfaces = vec![interface(0, &plain_mouse().descriptor), interface(1, &BUTTON)];
    let spec = usb::Spec { vendor: VENDOR, product: PRODUCT, interfaces, ..usb::Spec::default() };
    for libbpf in LOADERS {
        let (one, other) = (bench.plug_usb(&spec)?, bench.plug_usb(&spec)?);
        expect_shared(bench, [one.interface(1)?, one.interface(0)?, other.interface(0)?], libbpf)?;
        bench.unplug_usb(one)?;
        bench.unplug_usb(other)?;
    }
    Ok(())
}

/// A key of one interface changes what the other sends, whichever is attached first, and by both loaders. Another mouse is not affected.
/// The state outlives the driver of one interface.
fn expect_shared<D: Transport>(bench: &mut Bench, devices: [&Plugged<D>; 3], libbpf: [bool; 2]) -> Result<()> {
    let [button, mouse, other] = devices;
    let file = SHARED.file()?;
    for (device, libbpf) in [(button, libbpf[0]), (mouse, libbpf[1]), (other, false)] {
        bench.load(&file, &device.name(), libbpf)?;
    }
    bench.settle()?;
    expect_reports(mouse, &[0, 8, 0xf8], &["00 08 f8"], Duration::ZERO)?;
    expect_reports(button, &[1], &["01"], Duration::ZERO)?;
    expect_reports(mouse, &[0, 8, 0xf8], &["00 02 fe"], Duration::ZERO)?;
    expect_reports(other, &[0, 8, 0xf8], &["00 08 f8"], Duration::ZERO)?;
    bench.hidbpf(&["reload", &file, &mouse.name()])?.expect(0)?;
    bench.settle()?;
    expect_reports(mouse, &[0, 8, 0xf8], &["00 02 fe"], Duration::ZERO)
}
