//! Puts devices and reports together from the transfers of a USB capture.
//!
//! The answer to GET_DESCRIPTOR(Report) has a descriptor (HID 1.11, section 7.1.1), and interrupt IN transfers have the
//! reports. Which endpoint belongs to which interface is in the configuration descriptor (USB 2.0, section 9.6).

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::{Bus, ProductId, VendorId};

use super::draft::{Draft, Reading};

/// Bus and address of a device.
pub(super) type Place = (u32, u32);

/// The class of an interface: HID 1.11, section 4.1.
const CLASS_HID: u8 = 3;

/// The most reports that are read from a capture.
const MOST_REPORTS: usize = 1 << 20;

/// A request that waits for its data.
#[derive(Clone, Copy)]
struct Setup {
    request_type: u8,
    request: u8,
    value: u16,
    index: u16,
}

/// An interrupt IN transfer.
struct Transfer {
    place: Place,
    endpoint: u8,
    time: Duration,
    data: Vec<u8>,
    line: usize,
}

/// The descriptor of an interface.
struct Answer {
    bytes: Vec<u8>,
    /// Its length, if the capture has less of it.
    declared: Option<usize>,
    line: usize,
}

/// A capture while it is being read.
#[derive(Default)]
pub(super) struct Capture {
    setups: BTreeMap<Place, Setup>,
    ids: BTreeMap<Place, (u16, u16)>,
    /// Interface and class by endpoint.
    endpoints: BTreeMap<(Place, u8), (u8, u8)>,
    descriptors: BTreeMap<(Place, u32), Answer>,
    transfers: Vec<Transfer>,
    is_too_long: bool,
    /// Whether reports have more bytes than the capture.
    is_cut: bool,
}

impl Capture {
    /// Notes a request.
    pub fn setup(&mut self, place: Place, setup: [u8; 8]) {
        let [request_type, request, value_low, value_high, index_low, index_high, ..] = setup;
        let (value, index) = (u16::from_le_bytes([value_low, value_high]), u16::from_le_bytes([index_low, index_high]));
        self.setups.insert(place, Setup { request_type, request, value, index });
    }

    /// Notes the answer to the last request. `length` is that of the transfer. `data` can have fewer bytes.
    pub fn answer(&mut self, place: Place, data: &[u8], length: usize, line: usize) {
        const GET_DESCRIPTOR: u8 = 6;
        let Some(setup) = self.setups.remove(&place) else { return };
        if setup.request != GET_DESCRIPTOR || setup.request_type & 0x80 == 0 || data.is_empty() {
            return;
        }
        match (setup.value >> 8, data) {
            (0x22, _) if setup.request_type & 0x1f == 1 => {
                let declared = (length > data.len()).then_some(length);
                let key = (place, setup.index.into());
                // Programs ask for the first bytes alone at times.
                if self.descriptors.get(&key).is_none_or(|known| known.bytes.len() < data.len()) {
                    self.descriptors.insert(key, Answer { bytes: data.to_vec(), declared, line });
                }
            }
            (1, [_, 1, _, _, _, _, _, _, vendor_low, vendor_high, product_low, product_high, ..]) => {
                let vendor = u16::from_le_bytes([*vendor_low, *vendor_high]);
                self.ids.insert(place, (vendor, u16::from_le_bytes([*product_low, *product_high])));
            }
            (2, _) => self.configuration(place, data),
            _ => {}
        }
    }

    fn configuration(&mut self, place: Place, mut rest: &[u8]) {
        let mut interface = (0, 0);
        while let Some(descriptor) = rest.first().and_then(|length| rest.get(..usize::from(*length).max(1))) {
            match descriptor {
                [_, 4, number, _, _, class, ..] => interface = (*number, *class),
                [_, 5, endpoint, ..] => {
                    self.endpoints.insert((place, *endpoint), interface);
                }
                _ => {}
            }
            rest = &rest[descriptor.len()..];
        }
    }

    /// Notes a report.
    ///
    /// `length` is that of the transfer. `data` can have fewer bytes.
    pub fn interrupt(
        &mut self,
        place: Place,
        endpoint: u8,
        time: Duration,
        (data, length): (&[u8], usize),
        line: usize,
    ) {
        if data.is_empty() || endpoint & 0x80 == 0 {
            return;
        }
        self.is_cut |= data.len() < length;
        match self.transfers.len() < MOST_REPORTS {
            true => self.transfers.push(Transfer { place, endpoint, time, data: data.to_vec(), line }),
            false => self.is_too_long = true,
        }
    }

    pub fn finish(self) -> Reading {
        let mut reading = Reading::default();
        let mut notes = Vec::new();
        let mut places: Vec<Place> = self.descriptors.keys().map(|(place, _)| *place).collect();
        places.extend(self.transfers.iter().map(|transfer| transfer.place));
        places.sort_unstable();
        places.dedup();
        let title = |place: Place| match places.len() {
            1 => String::new(),
            _ => format!("device {:03}:{:03}", place.0, place.1),
        };
        let ids = |place: Place| {
            let (vendor, product) = *self.ids.get(&place)?;
            Some((Bus::USB, VendorId(vendor.into()), ProductId(product.into())))
        };
        for ((place, interface), answer) in self.descriptors {
            reading.drafts.push(Draft {
                key: format!("{place:?} interface {interface}"),
                title: title(place),
                interface: Some(interface),
                ids: ids(place),
                descriptor: answer.bytes,
                declared: answer.declared,
                line: answer.line,
                ..Draft::default()
            });
        }
        let mut guessed = BTreeMap::new();
        for place in &places {
            let guesses = guess(*place, &self.transfers, &self.endpoints, &reading);
            if guesses.len() > 1 {
                notes.push(
                    "the capture does not say which endpoint belongs to which interface: taken in their order"
                        .to_owned(),
                );
            }
            guessed.extend(guesses);
        }
        for Transfer { place, endpoint, time, data, line } in self.transfers {
            let interface = match self.endpoints.get(&(place, endpoint)) {
                // Hubs and network adapters send interrupts too.
                Some((_, class)) if *class != CLASS_HID => continue,
                Some((interface, _)) => Some(u32::from(*interface)),
                None => guessed.get(&(place, endpoint)).copied(),
            };
            let key = match interface {
                Some(interface) => format!("{place:?} interface {interface}"),
                None => format!("{place:?} endpoint {endpoint:#04x}"),
            };
            let title = match interface {
                Some(_) => title(place),
                None => [title(place), format!("endpoint {endpoint:#04x}")].join(" ").trim().to_owned(),
            };
            let new = || Draft { title, interface, ids: ids(place), line, ..Draft::default() };
            let device = reading.draft(&key, new);
            reading.event(device, time, data, line);
        }
        notes.dedup();
        if self.is_cut {
            notes.push("the capture has only the first bytes of long reports".to_owned());
        }
        if self.is_too_long {
            notes.push(format!("the capture has more than {MOST_REPORTS} reports: the rest was skipped"));
        }
        reading.notes = notes;
        reading.begun_at_zero()
    }
}

/// Guesses the interfaces of a device's endpoints if the capture began after the device was plugged in.
fn guess(
    place: Place,
    transfers: &[Transfer],
    known: &BTreeMap<(Place, u8), (u8, u8)>,
    reading: &Reading,
) -> BTreeMap<(Place, u8), u32> {
    let mut endpoints: Vec<u8> =
        transfers.iter().filter(|transfer| transfer.place == place).map(|transfer| transfer.endpoint).collect();
    endpoints.retain(|endpoint| !known.contains_key(&(place, *endpoint)));
    endpoints.sort_unstable();
    endpoints.dedup();
    let prefix = format!("{place:?} interface ");
    let drafts = reading.drafts.iter().filter(|draft| draft.key.starts_with(&prefix));
    let interfaces: Vec<u32> = drafts.filter_map(|draft| draft.interface).collect();
    if interfaces.len() != endpoints.len() {
        return BTreeMap::new();
    }
    endpoints.into_iter().map(|endpoint| (place, endpoint)).zip(interfaces).collect()
}
