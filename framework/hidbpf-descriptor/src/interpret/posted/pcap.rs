//! USB captures of Wireshark, tcpdump and USBPcap: pcap and pcapng files.
//!
//! Formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng, the headers of usbmon (Documentation/usb/usbmon.rst) and the
//! description of USBPcap's capture format.

use std::time::Duration;

use super::Unreadable;
use super::draft::Reading;
use super::usb::Capture;

const LINKTYPE_USB_LINUX: u32 = 189;
const LINKTYPE_USB_LINUX_MMAPPED: u32 = 220;
const LINKTYPE_USBPCAP: u32 = 249;

/// The order of bytes in a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self == Order::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self == Order::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    }
}

/// A packet of a file.
struct Packet<'a> {
    order: Order,
    link: u32,
    time: Duration,
    data: &'a [u8],
}

pub(super) fn read(content: &[u8]) -> Option<Result<Reading, Unreadable>> {
    let (packets, is_cut) = match content.get(..4)? {
        [0xd4, 0xc3, 0xb2, 0xa1] => pcap(content, Order::Little, 1000),
        [0xa1, 0xb2, 0xc3, 0xd4] => pcap(content, Order::Big, 1000),
        [0x4d, 0x3c, 0xb2, 0xa1] => pcap(content, Order::Little, 1),
        [0xa1, 0xb2, 0x3c, 0x4d] => pcap(content, Order::Big, 1),
        [0x0a, 0x0d, 0x0d, 0x0a] => pcapng(content),
        _ => return None,
    };
    let mut capture = Capture::default();
    let mut other_link = None;
    for packet in &packets {
        match packet.link {
            LINKTYPE_USB_LINUX => drop(linux(&mut capture, packet, 48)),
            LINKTYPE_USB_LINUX_MMAPPED => drop(linux(&mut capture, packet, 64)),
            LINKTYPE_USBPCAP => drop(usbpcap(&mut capture, packet)),
            link => other_link = Some(link),
        }
    }
    let mut reading = capture.finish();
    if is_cut {
        reading.notes.push("the capture ends in the middle of a packet".to_owned());
    }
    let reason = match other_link {
        _ if !reading.is_empty() => return Some(Ok(reading)),
        Some(link) => format!("the capture has packets of link type {link}: expected USB (189, 220 or 249)"),
        None => "the capture has no report descriptor and no interrupt transfer: capture while plugging the device in"
            .to_owned(),
    };
    Some(Err(Unreadable::new(reason)))
}

/// Returns the packets of a pcap file, and whether it ends early. `unit` is that of fractions of a second, in ns.
fn pcap(content: &[u8], order: Order, unit: u32) -> (Vec<Packet<'_>>, bool) {
    let mut packets = Vec::new();
    let link = order.u32(content, 20).unwrap_or_default() & 0x0fff_ffff;
    let mut at = 24;
    while at < content.len() {
        let packet = (|| {
            let (seconds, fraction) = (order.u32(content, at)?, order.u32(content, at + 4)?);
            let length = order.u32(content, at + 8)? as usize;
            let data = content.get(at + 16..(at + 16).checked_add(length)?)?;
            let time =
                Duration::from_secs(seconds.into()) + Duration::from_nanos(u64::from(fraction) * u64::from(unit));
            Some(Packet { order, link, time: micros(time), data })
        })();
        let Some(packet) = packet else { return (packets, true) };
        at += 16 + packet.data.len();
        packets.push(packet);
    }
    (packets, false)
}

/// Recordings have whole microseconds.
fn micros(time: Duration) -> Duration {
    Duration::new(time.as_secs(), time.subsec_micros() * 1000)
}

/// An interface of a pcapng file: link type, and units of time a second.
type Interface = (u32, u64);

fn pcapng(content: &[u8]) -> (Vec<Packet<'_>>, bool) {
    let (mut packets, mut interfaces) = (Vec::new(), Vec::<Interface>::new());
    let mut order = Order::Little;
    let mut at = 0;
    while at < content.len() {
        let block = (|| {
            let kind = order.u32(content, at)?;
            // The section header has the same type in both orders.
            if kind == 0x0a0d_0d0a {
                order =
                    if content.get(at + 8..at + 12)? == [0x4d, 0x3c, 0x2b, 0x1a] { Order::Little } else { Order::Big };
                interfaces.clear();
            }
            let length = order.u32(content, at + 4)? as usize;
            let body = content.get(at + 8..at.checked_add(length.max(12))?.checked_sub(4)?)?;
            Some((kind, length.max(12), body))
        })();
        let Some((kind, length, body)) = block else { return (packets, true) };
        match kind {
            1 => interfaces.push((u32::from(order.u16(body, 0).unwrap_or_default()), units(order, body))),
            6 => packets.extend(enhanced(order, body, &interfaces)),
            3 => {
                let link = interfaces.first().map_or(0, |(link, _)| *link);
                packets.push(Packet { order, link, time: Duration::ZERO, data: body.get(4..).unwrap_or_default() });
            }
            _ => {}
        }
        at += length.next_multiple_of(4);
    }
    (packets, false)
}

/// Returns the units of time a second, from the option `if_tsresol`.
fn units(order: Order, body: &[u8]) -> u64 {
    const MICROSECONDS: u64 = 1_000_000;
    let mut at = 8;
    while let (Some(code), Some(length)) = (order.u16(body, at), order.u16(body, at + 2)) {
        match (code, body.get(at + 4)) {
            (0, _) => break,
            (9, Some(resolution)) => {
                let exponent = u32::from(resolution & 0x7f);
                let base: u64 = if resolution & 0x80 == 0 { 10 } else { 2 };
                return base.checked_pow(exponent).unwrap_or(MICROSECONDS);
            }
            _ => at += 4 + usize::from(length).next_multiple_of(4),
        }
    }
    MICROSECONDS
}

fn enhanced<'a>(order: Order, body: &'a [u8], interfaces: &[Interface]) -> Option<Packet<'a>> {
    let (link, units) = *interfaces.get(order.u32(body, 0)? as usize)?;
    let time = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
    let data = body.get(20..20_usize.checked_add(order.u32(body, 12)? as usize)?)?;
    let nanos = u128::from(time % units) * 1_000_000_000 / u128::from(units);
    Some(Packet { order, link, time: micros(Duration::new(time / units, nanos as u32)), data })
}

/// Reads a packet of usbmon's binary interface. The header has 48 or 64 bytes.
fn linux(capture: &mut Capture, packet: &Packet<'_>, header: usize) -> Option<()> {
    let Packet { order, data, time, .. } = packet;
    let (event, transfer, endpoint, device) = (*data.get(8)?, *data.get(9)?, *data.get(10)?, *data.get(11)?);
    let place = (u32::from(order.u16(data, 12)?), u32::from(device));
    let (has_setup, length) = (*data.get(14)? == 0, order.u32(data, 32)? as usize);
    let payload = data.get(header..)?;
    match (event, transfer) {
        (b'S', 2) if has_setup => capture.setup(place, data.get(40..48)?.try_into().ok()?),
        (b'C', 2) => capture.answer(place, payload, length, 0),
        (b'C', 1) => capture.interrupt(place, endpoint, *time, (payload, length), 0),
        _ => {}
    }
    Some(())
}

/// Reads a packet of USBPcap, whose header has the least significant byte first.
fn usbpcap(capture: &mut Capture, packet: &Packet<'_>) -> Option<()> {
    let Packet { data, time, .. } = packet;
    let header = usize::from(Order::Little.u16(data, 0)?);
    let is_completion = data.get(16)? & 1 == 1;
    let place = (u32::from(Order::Little.u16(data, 17)?), u32::from(Order::Little.u16(data, 19)?));
    let (endpoint, transfer) = (*data.get(21)?, *data.get(22)?);
    let length = Order::Little.u32(data, 23)? as usize;
    let payload = data.get(header..)?;
    match (transfer, data.get(27)) {
        (2, Some(0)) if header > 27 => capture.setup(place, payload.get(..8)?.try_into().ok()?),
        (2, Some(1 | 3)) if header > 27 => capture.answer(place, payload, length, 0),
        (1, _) if is_completion => capture.interrupt(place, endpoint, *time, (payload, length), 0),
        _ => {}
    }
    Some(())
}
