//! Huion's and Gaomon's tablets in vendor mode, which tell their firmware and their parameters.

use std::collections::BTreeSet;

use hidbpf::matching::Verdict;
use hidbpf::recording::judge;
use serde_json::Value;

use super::{Fields, drivers, fields, number, recording, rows, run, served, text, value};

const DRIVER: [&str; 1] = ["huion-tablets"];
/// The interface that everything comes from in vendor mode.
const DESCRIPTOR: [u8; 18] = [0x06, 0, 0xff, 0x09, 1, 0xa1, 1, 0x85, 8, 0x75, 0x58, 0x95, 1, 0x09, 1, 0x81, 2, 0xc0];

const X: (u8, u16, u16) = (2, 1, 0x30);
const Y: (u8, u16, u16) = (2, 1, 0x31);
const PRESSURE: (u8, u16, u16) = (2, 0x0d, 0x30);
const TILT: [(u8, u16, u16); 2] = [(2, 0x0d, 0x3d), (2, 0x0d, 0x3e)];
/// Tip, both buttons, and in range.
const FLAGS: [u16; 4] = [0x42, 0x44, 0x5a, 0x32];
const DIAL: (u8, u16, u16) = (4, 1, 0x38);
const RING: (u8, u16, u16) = (5, 1, 0x38);
const STRIP: (u8, u16, u16) = (5, 1, 0x33);

/// The positions of the rings and strips whose number is known, by firmware.
const RINGS: [(&str, i32); 5] =
    [("HUION_T194", 12), ("HUION_T227", 12), ("OEM02_T183", 12), ("GM001_T223", 12), ("OEM02_T19n", 13)];
const STRIPS: [(&str, i32); 4] = [("HUION_T191", 8), ("HUION_T19c", 8), ("HUION_T19h", 8), ("HUION_T19k", 8)];

/// A tablet as a row of the table describes it, with one of its firmwares.
struct Tablet<'r> {
    name: &'r str,
    product: &'r str,
    firmware: String,
    x: u32,
    y: u32,
    width: f64,
    pressure: u32,
    buttons: u32,
    has_tilt: bool,
    dials: u32,
    ring: i32,
    strip: i32,
}

/// Returns names of firmwares that fit a pattern of the table, which has at most one choice.
fn firmwares(pattern: &str) -> Vec<String> {
    let name = pattern.trim_matches(['^', '$']).replace("_\\d{6}", "");
    let name = name.trim_end_matches('_');
    let dated = |name: &str| format!("{name}_200101");
    match name.split_once('(').and_then(|(start, rest)| Some((start, rest.split_once(')')?))) {
        Some((start, (choices, end))) => {
            choices.split('|').map(|choice| dated(&format!("{start}{choice}{end}"))).collect()
        }
        None => vec![dated(name)],
    }
}

impl<'r> Tablet<'r> {
    fn of(row: &'r Value, firmware: &str) -> Option<Tablet<'r>> {
        let among = |table: &[(&str, i32)]| {
            table.iter().find(|(start, _)| firmware.starts_with(start)).map_or(0, |(_, steps)| *steps)
        };
        let (ring, strip) = (among(&RINGS), among(&STRIPS));
        Some(Tablet {
            name: text(row, "name"),
            product: text(row, "product"),
            firmware: firmware.to_owned(),
            x: number(row, "max_x")?,
            y: number(row, "max_y")?,
            width: row["width_mm"].as_f64()?,
            pressure: number(row, "max_pressure")?,
            buttons: number(row, "pad_buttons").unwrap_or_default(),
            has_tilt: row["tilt"] == "yes",
            dials: if ring + strip > 0 { 0 } else { number(row, "dials").unwrap_or_default() },
            ring,
            strip,
        })
    }

    /// Returns its string descriptor 200, in hex.
    fn parameters(&self) -> String {
        let le24 = |value: u32| [value as u8, (value >> 8) as u8, (value >> 16) as u8];
        let touch = u8::from(self.ring + self.strip > 0);
        let (pressure, tilt) = (self.pressure as u16, if self.has_tilt { 60 } else { 0 });
        let bytes = [
            &[0x13, 3][..],
            &le24(self.x),
            &le24(self.y),
            &pressure.to_le_bytes(),
            &5080_u16.to_le_bytes(),
            &[3, self.buttons as u8 + touch, 0, touch | if self.dials > 0 { 0x80 } else { 0 }, 4, tilt, 0x40],
        ];
        bytes.concat().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns a report of the pen. The tilt is as HID has it: to the right, and towards the user.
    fn pen(&self, flags: u8, (x, y): (u32, u32), pressure: u32, tilt: (i8, i8)) -> Vec<u8> {
        let (x, y, pressure) = (x.to_le_bytes(), y.to_le_bytes(), pressure.to_le_bytes());
        vec![8, flags, x[0], x[1], y[0], y[1], pressure[0], pressure[1], x[2], y[2], tilt.0 as u8, -tilt.1 as u8]
    }

    fn pad(&self, flags: u8, rest: [u8; 5]) -> Vec<u8> {
        [&[8, flags][..], &rest, &[0; 5]].concat()
    }

    /// Checks the tablet with the parameters that it tells, or with none: then the driver's row must be enough.
    fn check(&self, tells: bool) {
        let parameters = self.parameters();
        let mut properties = vec![("HUION_FIRMWARE_ID", self.firmware.as_str())];
        properties.extend(tells.then_some(("HUION_MAGIC_BYTES", parameters.as_str())));
        let name = format!("{} ({}, told {tells})", self.name, self.firmware);
        let middle = (self.x / 2, self.y / 2);
        let pens = [
            (0x80, (0, 0), 0, (0, 0), [0, 0, 0, 1]),
            (0x81, (self.x, self.y), self.pressure, (60, -60), [1, 0, 0, 1]),
            (0x86, middle, 1, (-60, 60), [0, 1, 1, 1]),
            (0x00, middle, 0, (0, 0), [0, 0, 0, 0]),
        ];
        let mut reports: Vec<_> =
            pens.iter().map(|(flags, place, pressure, tilt, _)| self.pen(*flags, *place, *pressure, *tilt)).collect();
        let buttons = self.buttons.min(16);
        let bits = |button: u32| (1_u32 << button).to_le_bytes();
        reports.extend((0..buttons).map(|button| {
            let [a, b, c, _] = bits(button);
            self.pad(0xe0, [1, 1, a, b, c])
        }));
        let dials = reports.len();
        for dial in 1..=self.dials as u8 {
            reports.extend([1, 2].map(|direction| self.pad(0xf1, [dial, dial, 0, direction, 0])));
        }
        let touches = reports.len();
        reports.extend((0..=self.ring + self.strip).map(|position| self.pad(0xf0, [1, 1, 0, position as u8, 0])));
        reports.truncate(if self.ring + self.strip > 0 { reports.len() } else { touches });
        let recording = recording(self.name, ("256c", self.product), &DESCRIPTOR, &properties, &reports);
        let [(driver, manifest)] = &drivers(&DRIVER)[..] else { panic!("there is one driver") };
        let device = &recording.devices[0];
        let verdict = judge(manifest, device, &device.properties);
        let Verdict::Matches { rule } = verdict else { panic!("{name}: {verdict:?}") };
        let model = self.name.split(" (").next().unwrap_or_default().to_lowercase();
        assert!(rule.to_lowercase().starts_with(&model), "{name}: {rule}");
        let (descriptor, fixed) = run(driver, &recording);
        assert_eq!(fixed.len(), reports.len(), "{name}: reports are lost");
        assert_eq!(hidbpf::descriptor::invalid::check(&descriptor), Ok(()), "{name}");
        let fields = fields(&descriptor);
        assert_eq!((fields[&X].1, fields[&Y].1), (self.x as i32, self.y as i32), "{name}");
        let width = f64::from(fields[&X].2) * 25.4 / 1000.0;
        assert!((width - self.width).abs() < 1.5, "{name}: {width} mm, expected {} mm", self.width);
        assert_eq!(fields[&PRESSURE].1, self.pressure as i32, "{name}");
        assert_eq!(TILT.map(|axis| fields.contains_key(&axis)), [self.has_tilt; 2], "{name}");
        assert_eq!(descriptor[3], 1, "{name}: a tablet is indirect");
        for ((_, place, pressure, tilt, flags), fixed) in pens.iter().zip(&fixed) {
            let get = |key: (u8, u16, u16)| value(fixed, &fields[&key].0);
            assert_eq!((get(X), get(Y), get(PRESSURE)), (place.0, place.1, *pressure), "{name}: {fixed:02x?}");
            assert_eq!((fixed[10] as i8, fixed[11] as i8), *tilt, "{name}: {fixed:02x?}");
            assert_eq!(FLAGS.map(|usage| get((2, 0x0d, usage))), *flags, "{name}: {fixed:02x?}");
        }
        // The kernel has two ranges of buttons for pads, and both count from 1.
        assert_eq!(fields.range((3, 9, 0)..(3, 10, 0)).count() as u32, buttons.min(10), "{name}");
        for (button, report) in (0..buttons).zip(&fixed[pens.len()..dials]) {
            assert_eq!(value(report, &(32..48)), 1 << button, "{name}: button {button}");
        }
        assert_eq!(fields.contains_key(&DIAL), self.dials > 0, "{name}");
        for (index, report) in fixed[dials..touches].iter().enumerate() {
            assert_eq!(value(report, &fields[&DIAL].0), [1, 0xff][index % 2], "{name}");
        }
        self.check_touch(&name, &fields, &fixed[touches..]);
    }

    /// Checks a finger at all positions of the ring or strip. First it is not there.
    fn check_touch(&self, name: &str, fields: &Fields, fixed: &[Vec<u8>]) {
        for (axis, steps) in [(RING, self.ring), (STRIP, self.strip)] {
            assert_eq!(fields.get(&axis).map(|(_, maximum, _)| maximum + 1), (steps > 0).then_some(steps), "{name}");
            let Some((bits, ..)) = fields.get(&axis) else { continue };
            let found: Vec<_> = fixed.iter().map(|report| (value(report, bits) as i32, report[2])).collect();
            assert_eq!(found[0], (0, 0), "{name}");
            assert!(found[1..].iter().all(|(_, touched)| *touched == 15), "{name}: {found:?}");
            let places: BTreeSet<i32> = found[1..].iter().map(|(place, _)| *place).collect();
            assert_eq!(places, (0..steps).collect(), "{name}: a position is missing");
            let step = if axis == RING { steps - 1 } else { 1 };
            let follows = |pair: &[(i32, u8)]| pair[1].0 == (pair[0].0 + step) % steps;
            assert!(found[1..].windows(2).all(follows), "{name}: positions are out of order: {found:?}");
        }
    }
}

#[test]
fn each_huion_tablet_works_as_the_facts_say() {
    let Some(rows) = rows("each_huion_tablet_works_as_the_facts_say") else { return };
    let [(_, manifest)] = &drivers(&DRIVER)[..] else { panic!("there is one driver") };
    let served = served(&rows);
    let (mut tried, mut names) = (0, BTreeSet::new());
    for row in rows.iter().filter(|row| row["family"] == "huion-v2" && row["bus"] == "usb" && row["vendor"] == "256c") {
        let product = u32::from_str_radix(text(row, "product"), 16).expect("a product is a number");
        let (name, id) = (text(row, "name"), (text(row, "vendor"), text(row, "product")));
        let own = manifest.matches.iter().filter(|rule| rule.product.is_some_and(|own| own.0 == product)).count();
        if served.contains(&id) {
            assert_eq!(own, 0, "{name} is served by the kernel, or by another driver");
            continue;
        }
        assert!(own > 0, "{name} ({product:04x})");
        if row["id_certain"] != true {
            continue;
        }
        names.insert(name);
        let patterns = row["firmware"].as_str().map(firmwares);
        for firmware in patterns.unwrap_or_else(|| vec!["HUION_T999_200101".to_owned()]) {
            let Some(tablet) = Tablet::of(row, &firmware) else { continue };
            tablet.check(true);
            tablet.check(false);
            tried += 1;
        }
    }
    assert!(names.len() >= 38 && tried >= 45, "{} tablets, {tried} with measures: {names:?}", names.len());
}

/// A firmware that no row knows: the tablet's own parameters are enough. Parameters that no tablet has: the row's are taken, or the tablet
/// can at least be used.
#[test]
fn unknown_and_absurd_tablets_stay_usable() {
    let [(driver, manifest)] = &drivers(&DRIVER)[..] else { panic!("there is one driver") };
    let record = |firmware: &str, parameters: Option<&str>| {
        let mut properties = vec![("HUION_FIRMWARE_ID", firmware)];
        properties.extend(parameters.map(|parameters| ("HUION_MAGIC_BYTES", parameters)));
        let report = vec![8, 0x81, 1, 0, 2, 0, 3, 0, 0, 0, 0, 0];
        recording("unknown", ("256c", "0064"), &DESCRIPTOR, &properties, &[report])
    };
    let maxima = |firmware: &str, parameters: Option<&str>| {
        let (descriptor, _) = run(driver, &record(firmware, parameters));
        assert_eq!(hidbpf::descriptor::invalid::check(&descriptor), Ok(()), "{parameters:?}");
        let fields = fields(&descriptor);
        (descriptor != DESCRIPTOR).then(|| [X, Y, PRESSURE].map(|key| fields[&key].1))
    };
    let good = "1403201101ac9900ff3fd81305080080083c4010";
    let unknown = record("HUION_M99z_250101", Some(good));
    let verdict = judge(manifest, &unknown.devices[0], &unknown.devices[0].properties);
    assert!(matches!(&verdict, Verdict::Matches { rule } if rule.contains("unknown firmware")), "{verdict:?}");
    let (descriptor, _) = run(driver, &unknown);
    assert_eq!(descriptor[3], 2, "a display is direct");
    assert_eq!(maxima("HUION_M99z_250101", Some(good)), Some([0x11120, 0x99ac, 16383]));
    // Nothing is known of it.
    assert_eq!(maxima("HUION_T999_250101", None), None);
    for absurd in [
        "1303000000204e00ff1fd81303060000040040",
        "1303007d00000000ff1fd81303060000040040",
        "1303ffffffffffffffffffffffffffffffffff",
        "130300000000000000000000000000000000",
        "0e03409ca8610300ff07a00f0800",
        "1303",
        "13",
        "zzzz",
        "1303007d00204e000000000003ff00ff04ff40",
    ] {
        let found = maxima("HUION_T203_250101", Some(absurd)).expect("the row knows the tablet");
        assert!(found.iter().all(|maximum| *maximum > 0), "{absurd}: {found:?}");
        let found = maxima("HUION_T999_250101", Some(absurd));
        assert!(found.is_none_or(|found| found.iter().all(|maximum| *maximum > 0)), "{absurd}: {found:?}");
    }
    // The row's measures, where the tablet tells nothing sensible.
    assert_eq!(maxima("HUION_T203_250101", Some("0e03409ca8610300ff07a00f0800")), Some([32000, 20000, 8191]));
}
