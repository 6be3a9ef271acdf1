//! UGEE's tablets in raw mode, which tell their parameters.

use hidbpf::manifest::Manifest;
use hidbpf::matching::Verdict;
use hidbpf::object::DriverObject;
use hidbpf::recording::{Recording, judge};
use serde_json::Value;

use super::{drivers, fields, number, recording, rows, run, text, value};

/// The drivers of UGEE's tablets in raw mode.
const UGEE: [&str; 2] = ["ugee-tablets", "ugee-displays"];

/// A tablet as a row of the table describes it.
struct Tablet<'r> {
    name: &'r str,
    product: &'r str,
    x: u32,
    y: u32,
    width: f64,
    pressure: u32,
    density: u32,
    buttons: u32,
    has_dial: bool,
    /// The size of its reports, in bytes.
    size: usize,
}

impl<'r> Tablet<'r> {
    /// Returns `None` for a row without measures.
    fn of(row: &'r Value) -> Option<Tablet<'r>> {
        let (x, width) = (number(row, "max_x")?, row["width_mm"].as_f64()?);
        Some(Tablet {
            name: text(row, "name"),
            product: text(row, "product"),
            x,
            y: number(row, "max_y")?,
            width,
            pressure: number(row, "max_pressure")?,
            // Maker's measures are rounded, and the steps per inch are not.
            density: if f64::from(x) / width > 150.0 { 5080 } else { 2540 },
            buttons: number(row, "pad_buttons").unwrap_or_default(),
            has_dial: number(row, "dials").unwrap_or_default() > 0,
            size: number(row, "input_report_length")? as usize,
        })
    }

    /// Returns its string descriptor 100, in hex.
    fn parameters(&self) -> String {
        let le16 = |value: u32| [value as u8, (value >> 8) as u8];
        let (x, y, pressure, density) = (le16(self.x), le16(self.y), le16(self.pressure), le16(self.density));
        let bytes = [
            &[14, 3][..],
            &x,
            &y,
            &[self.buttons as u8, u8::from(self.has_dial)],
            &pressure,
            &density,
            &[(self.x >> 16) as u8, 0],
        ];
        bytes.concat().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns a report of the pen.
    fn pen(&self, flags: u8, (x, y): (u32, u32), pressure: u32, tilt: (i8, i8)) -> Vec<u8> {
        let mut report = vec![2, flags, x as u8, (x >> 8) as u8, y as u8, (y >> 8) as u8];
        report.extend([pressure as u8, (pressure >> 8) as u8, tilt.0 as u8, tilt.1 as u8]);
        report.extend([(x >> 16) as u8, (y >> 16) as u8]);
        report.resize(self.size, 0);
        report
    }

    /// Returns a report of the pad.
    fn pad(&self, buttons: u32, dial: u8) -> Vec<u8> {
        let mut report = vec![2, 0xf0, buttons as u8, (buttons >> 8) as u8, (buttons >> 16) as u8, 0, 0, dial];
        report.resize(self.size, 0);
        report
    }

    /// Returns a recording of these reports.
    fn recording(&self, reports: &[Vec<u8>]) -> Recording {
        let size = (self.size - 1) as u8;
        let mut descriptor =
            vec![0x06, 0x0a, 0xff, 0x09, 1, 0xa1, 1, 0x85, 2, 0x09, 2, 0x75, 8, 0x95, size, 0x15, 0, 0x26];
        descriptor.extend([0xff, 0, 0x81, 2, 0x09, 3, 0x75, 8, 0x95, 9, 0x15, 0, 0x26, 0xff, 0, 0x91, 2, 0xc0]);
        let ids = ("28bd", self.product);
        recording(self.name, ids, &descriptor, &[("UGEE_STRING_100", &self.parameters())], reports)
    }
}

#[test]
fn each_ugee_tablet_works_as_the_facts_say() {
    const X: (u8, u16, u16) = (2, 1, 0x30);
    const Y: (u8, u16, u16) = (2, 1, 0x31);
    const PRESSURE: (u8, u16, u16) = (2, 0x0d, 0x30);
    const FLAGS: [u16; 6] = [0x42, 0x44, 0x5a, 0x3c, 0x45, 0x32];
    const MOST_BUTTONS: u32 = 16;
    let Some(rows) = rows("each_ugee_tablet_works_as_the_facts_say") else { return };
    let drivers = drivers(&UGEE);
    let served = |row: &Value| !row["kernel"].is_null() || !row["hidbpf"].is_null();
    let served: Vec<_> = rows.iter().filter(|row| served(row)).map(|row| (&row["vendor"], &row["product"])).collect();
    let (mut tried, mut names) = (0, std::collections::BTreeSet::new());
    for row in rows.iter().filter(|row| row["family"] == "ugee-v2" && row["bus"] == "usb" && row["vendor"] == "28bd") {
        let product = u32::from_str_radix(text(row, "product"), 16).expect("a product is a number");
        let rules = drivers.iter().flat_map(|(_, manifest)| &manifest.matches);
        let own = rules.filter(|rule| rule.product.is_some_and(|own| own.0 == product)).count();
        let name = text(row, "name");
        if served.contains(&(&row["vendor"], &row["product"])) {
            assert_eq!(own, 0, "{name} is served by the kernel, or by another driver");
            continue;
        }
        assert_eq!(own, 1, "{name} ({product:04x})");
        names.insert(name);
        let Some(tablet) = Tablet::of(row) else { continue };
        tried += 1;
        let middle = (tablet.x / 2, tablet.y / 2);
        let last = tablet.buttons.min(MOST_BUTTONS);
        let mut reports = vec![
            tablet.pen(0xa0, (0, 0), 0, (0, 0)),
            tablet.pen(0xa1, (tablet.x, tablet.y), tablet.pressure, (60, -60)),
            tablet.pen(0xa6, middle, 0, (-60, 60)),
            tablet.pen(0xa9, middle, 1, (0, 0)),
            tablet.pen(0xc0, middle, 0, (0, 0)),
        ];
        let flags = [[0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 1], [0, 1, 1, 0, 0, 1], [0, 0, 0, 1, 1, 1], [0; 6]];
        let pens = reports.len();
        reports.extend((0..last).map(|button| tablet.pad(1 << button, 0)));
        reports.extend(tablet.has_dial.then(|| [tablet.pad(0, 1), tablet.pad(0, 2)]).into_iter().flatten());
        let recording = tablet.recording(&reports);
        let device = &recording.devices[0];
        let is_for = |(_, manifest): &&(DriverObject, Manifest)| {
            matches!(judge(manifest, device, &device.properties), Verdict::Matches { .. })
        };
        let (driver, _) = drivers.iter().find(is_for).unwrap_or_else(|| panic!("no rule is for {name}"));
        let (descriptor, fixed) = run(driver, &recording);
        let fields = fields(&descriptor);
        assert_eq!(fixed.len(), reports.len(), "{name}: reports are lost");

        let (_, x_maximum, x_length) = &fields[&X];
        assert_eq!((*x_maximum, fields[&Y].1), (tablet.x as i32, tablet.y as i32), "{name}");
        let width = f64::from(*x_length) * 25.4 / 1000.0;
        assert!((width - tablet.width).abs() < 1.5, "{name}: {width} mm, expected {} mm", tablet.width);
        assert_eq!(fields[&PRESSURE].1, tablet.pressure as i32, "{name}");
        let is_display = ["Artist", "Innovator", "U1200", "U1600", "UE16"].iter().any(|word| name.contains(word));
        assert_eq!(descriptor[3], if is_display { 2 } else { 1 }, "{name}: direct, or indirect");

        for (index, (sent, fixed)) in reports.iter().zip(&fixed).take(pens).enumerate() {
            let get = |key: (u8, u16, u16)| value(fixed, &fields[&key].0);
            let x = u32::from(sent[2]) | u32::from(sent[3]) << 8;
            let x = x | if tablet.size >= 12 { u32::from(sent[10]) << 16 } else { 0 };
            let (y, pressure) = (u16::from_le_bytes([sent[4], sent[5]]), u16::from_le_bytes([sent[6], sent[7]]));
            assert_eq!((get(X), get(Y), get(PRESSURE)), (x, y.into(), pressure.into()), "{name}: report {index}");
            let tilt = (get((2, 0x0d, 0x3d)) as u8, get((2, 0x0d, 0x3e)) as u8);
            assert_eq!(tilt, (sent[8], sent[9]), "{name}: report {index}");
            assert_eq!(FLAGS.map(|usage| get((2, 0x0d, usage))), flags[index], "{name}: report {index}");
        }
        let buttons: Vec<_> = fields.range((3, 9, 0)..(3, 10, 0)).collect();
        // The kernel has two ranges of buttons for pads, and both count from 1.
        assert_eq!(buttons.len() as u32, last.min(10), "{name}");
        for (button, report) in (0..last).zip(&fixed[pens..]) {
            assert_eq!(value(report, &(32..56)), 1 << button, "{name}: button {button}");
        }
        if tablet.has_dial {
            let (bits, ..) = &fields[&(3, 1, 0x38)];
            let turns: Vec<u8> = fixed[fixed.len() - 2..].iter().map(|report| value(report, bits) as u8).collect();
            assert_eq!(turns, [1, 0xff], "{name}");
        } else {
            assert!(!fields.contains_key(&(3, 1, 0x38)), "{name} has no dial");
        }
    }
    assert!(names.len() >= 45 && tried >= 50, "{} tablets, {tried} with measures", names.len());
}

/// Parameters that no tablet has: the driver leaves the descriptor alone, or makes one that the kernel takes.
#[test]
fn absurd_parameters_leave_a_usable_tablet() {
    let (driver, _) = &drivers(&UGEE)[0];
    let tablet = Tablet {
        name: "absurd",
        product: "0928",
        x: 35560,
        y: 22219,
        width: 177.8,
        pressure: 8191,
        density: 5080,
        buttons: 8,
        has_dial: false,
        size: 12,
    };
    let good = tablet.parameters();
    let recording = |parameters: &str| {
        let mut recording = tablet.recording(&[tablet.pen(0xa1, (1, 2), 3, (0, 0)), tablet.pad(1, 0)]);
        recording.devices[0].properties.insert("UGEE_STRING_100".to_owned(), parameters.to_owned());
        recording
    };
    for parameters in [
        "0e03000000000800ff1fd8130000",
        "0e03e88a00000800ff1fd8130000",
        "0e03e88acb56080000000000ffff",
        "0e03ffffffffffffffffffffffff",
        "0e03e88acb56ff01ffff0100ffff",
        "000000000000000000000000",
        "0e03",
        "0",
        "zzzz",
        "",
    ] {
        let (descriptor, _) = run(driver, &recording(parameters));
        let is_original = descriptor == recording(&good).devices[0].descriptor;
        assert_eq!(hidbpf::descriptor::invalid::check(&descriptor), Ok(()), "{parameters}");
        if is_original {
            continue;
        }
        let fields = fields(&descriptor);
        let maxima = [fields[&(2, 1, 0x30)].1, fields[&(2, 1, 0x31)].1, fields[&(2, 0x0d, 0x30)].1];
        assert!(maxima.iter().all(|maximum| *maximum > 0), "{parameters}: {maxima:?}");
    }
}
