//! Descriptors and recordings in the forms in which people post them: files of `../shared/reports`, and a small one for each form.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hidbpf_descriptor::posted::{self, Posted};
use hidbpf_descriptor::{Bus, Hex, ProductId, VendorId};

/// A mouse with three buttons, X, Y and a wheel.
const MOUSE: &str = "05 01 09 02 a1 01 09 01 a1 00 05 09 19 01 29 03 15 00 25 01 95 03 75 01 81 02 95 01 75 05 81 01 \
                     05 01 09 30 09 31 09 38 15 81 25 7f 75 08 95 03 81 06 c0 c0";

/// The smallest one.
const SMALL: &str = "05 01 09 02 a1 01 c0";

fn read(text: &str) -> Posted {
    posted::read(text.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// Returns the descriptors in hex.
fn descriptors(posted: &Posted) -> Vec<String> {
    posted.recording.devices.iter().map(|device| Hex(&device.descriptor).to_string()).collect()
}

fn reports(posted: &Posted) -> Vec<String> {
    posted.recording.events.iter().map(|event| Hex(&event.report).to_string()).collect()
}

/// Reads a file of `../shared/reports`, or says that it is not there.
fn shared(name: &str) -> Option<Posted> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reports").join(name);
    match fs::read(&path) {
        Ok(content) => Some(posted::read(&content).unwrap_or_else(|error| panic!("{name}: {error}"))),
        Err(error) => {
            eprintln!("skipped: {name}: it is not in ../shared/reports: {error}");
            None
        }
    }
}

/// What is expected of each file: form, bytes of each descriptor, reports.
#[test]
fn files_that_people_posted_are_read() {
    let mut faults = Vec::new();
    for (name, form, lengths, count) in [
        ("forms/8bitdo-retro-keyboard.usbhid-dump.txt", "usbhid-dump", &[82, 245][..], 0),
        ("forms/forum-wrapped.hid", "hid-recorder", &[50], 0),
        ("forms/g602.hid-recorder-with-prompt.txt", "hid-recorder", &[169], 1),
        ("forms/honor-tops0102-reports.txt", "hex", &[0], 2),
        ("forms/huion-1060plus.usbhid-dump-stream.txt", "usbhid-dump", &[0], 4),
        ("forms/kernel-style.c.txt", "array", &[7], 0),
        ("forms/lenovo-primax-17ef-609b.rdesc-debugfs.txt", "debugfs rdesc", &[80], 0),
        ("forms/lenovo-primax.usbmon.txt", "usbmon", &[0], 2),
        ("forms/libinput-record-hid.yml.txt", "libinput record", &[7], 0),
        ("forms/logitech-g923-c26e.xxd.txt", "hex dump", &[168], 0),
        ("forms/mouse.hexdump-C.txt", "hex dump", &[52], 0),
        ("forms/mouse.utf8-bom.txt", "hex", &[52], 0),
        ("forms/razer-naga-cut.lsusb-v.txt", "lsusb -v", &[12], 0),
        ("forms/redragon-k641.win-hid-dump.txt", "win-hid-dump or mac-hid-dump", &[50, 36], 0),
        ("forms/xxd-i.c.txt", "array", &[7], 0),
        ("honor-ftsc1000-vendor-collection.txt", "hex", &[18], 0),
        ("honor-tops0102-collections.txt", "hex", &[38], 0),
        ("xbox-one-s-02fd-truncated-307.rdesc-debugfs.txt", "hex", &[307], 0),
        ("xm2w-4k.fragment.txt", "hex", &[16], 0),
        ("xm2w-4k.reports.txt", "hex", &[0], 2),
        ("zenbook-duo-cut.hhd.txt", "hex", &[9], 0),
        ("ps-classic.hid", "recording", &[49], 20),
    ] {
        let Some(posted) = shared(name) else { continue };
        let found: Vec<usize> = posted.recording.devices.iter().map(|device| device.descriptor.len()).collect();
        let found = (posted.form, found.as_slice(), posted.recording.events.len());
        if found != (form, lengths, count) {
            faults.push(format!("{name}: {found:?}, not {:?}: {:?}", (form, lengths, count), posted.notes));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Each form with one descriptor, the smallest or the mouse, and nothing else.
#[test]
fn each_form_has_its_name() {
    let array = SMALL.split(' ').map(|byte| format!("0x{byte}")).collect::<Vec<_>>().join(", ");
    let lsusb = "      bInterfaceNumber        1\n          Report Descriptor: (length is 7)\n\
                 \x20           Item(Global): Usage Page, data= [ 0x01 ] 1\n                            Generic Desktop Controls\n\
                 \x20           Item(Local ): Usage, data= [ 0x02 ] 2\n                            Mouse\n\
                 \x20           Item(Main  ): Collection, data= [ 0x01 ] 1\n                            Application\n\
                 \x20           Item(Main  ): End Collection, data=none\n";
    for (form, text) in [
        ("recording", format!("R: 7 {SMALL}\nN: Mouse\nI: 3 046d c077\n")),
        ("hid-recorder", "$ sudo hid-recorder /dev/hidraw0\nR: 7 05 01 09\n02 a1 01 c0\nN: Mouse\nI: 3 046d c077\n".to_owned()),
        ("hid-recorder", format!("D: 0\nR: 7 {SMALL}\nN: Mouse\n")),
        ("usbhid-dump", format!("001:005:001:DESCRIPTOR         1709695945.570816\n {}\n", SMALL.to_uppercase())),
        ("lsusb -v", lsusb.to_owned()),
        ("libinput record", format!("  hid: [\n    {array}\n  ]\n")),
        ("ioreg", format!("  |   \"ReportDescriptor\" = <{}>\n", SMALL.replace(' ', ""))),
        ("ioreg", "<dict><key>ReportDescriptor</key>\n<data>\nBQEJAqEBwA==\n</data></dict>".to_owned()),
        ("win-hid-dump or mac-hid-dump", format!("046D C077: Maker - Mouse\nDESCRIPTOR:\n  {SMALL}\n  (7 bytes)\n")),
        ("Bluetooth attributes", format!("handle: 0x001b \t value: {SMALL} \n[LE]> char-read-hnd 1b\n")),
        ("Bluetooth attributes", "[ServiceRecords]\n0x00010001=36001e090206351335110822250705010902a101c0\n".to_owned()),
        ("Bluetooth attributes", format!("[CHG] Attribute /org/bluez/hci0/dev_00/service0010/char0011 Value:\n  {SMALL}                             .......\n")),
        ("debugfs rdesc", format!("{SMALL} \n\n  INPUT(1)[INPUT]\n    Field(0)\n")),
        ("hidrd XML", "<?xml version=\"1.0\"?>\n<descriptor>\n  <usage_page>desktop<!-- Generic desktop controls (01h) --></usage_page>\n\
                       <usage>desktop_mouse<!-- Mouse (02h, application collection) --></usage>\n  <COLLECTION type=\"application\">\n  </COLLECTION>\n</descriptor>\n".to_owned()),
        ("kernel log", format!("[   12.345678] hid-generic 0003:046D:C077.0001: rdesc: {SMALL}\n")),
        ("kernel log", format!("Nov 30 10:00:00 host kernel: rdesc: 00000000: {SMALL}   .......\n")),
        ("hex dump", "0000000 005 001  \\t 002 241 001 300\n0000007\n".to_owned()),
        (
            "TinyUSB macros",
            "HID_USAGE_PAGE(HID_USAGE_PAGE_DESKTOP), HID_USAGE(HID_USAGE_DESKTOP_MOUSE),\nHID_COLLECTION(HID_COLLECTION_APPLICATION), HID_COLLECTION_END\n"
                .to_owned(),
        ),
        ("hex dump", "00000000: 0501 0902 a101 c0   .......\n".to_owned()),
        ("hex dump", format!("0000   {SMALL}   .......\n")),
        ("hex dump", "    0  05 01           Usage Page               Generic Desktop\n    2  09 02           Usage                    Mouse\n\
                              \x20   4  a1 01           Collection               Application\n    6  c0              End Collection\n".to_owned()),
        ("array", format!("const RDESC: [u8; 7] = [{array}];")),
        ("array", "uint8_t d[] = { USAGE_PAGE(1), 0x01, USAGE(1), 0x02, COLLECTION(1), 0x01, END_COLLECTION(0) };".to_owned()),
        ("array", "d[] = { HID_RI_USAGE_PAGE(8, 0x01), HID_RI_USAGE(8, 0x02), HID_RI_COLLECTION(8, 0x01), HID_RI_END_COLLECTION(0), };".to_owned()),
        ("array", r#"desc = b"\x05\x01\t\x02\xa1\x01\xc0""#.to_owned()),
        ("hex", SMALL.to_owned()),
        ("hex", format!("Device HID Descriptor:\n{array}")),
        ("hex", "05 01            Usage Page (1)\n09 02            Usage (2)\nA1 01            Collection (Application)\nC0               End Collection\n".to_owned()),
        ("hex", "Usage Page (Generic Desktop)      05 01\nUsage (Mouse)      09 02\nCollection (Application)      A1 01\nEnd Collection      C0\n".to_owned()),
        ("items as text", "Usage Page (Generic Desktop)\n  Usage (Mouse)\n  Collection (Application)\n  End Collection\n".to_owned()),
        ("items as text", "Usage Page (Desktop),               ; Generic desktop controls (01h)\nUsage (Mouse),                      ; Mouse (02h, application collection)\nCollection (Application),\nEnd Collection\n".to_owned()),
        ("base64", "BQEJAqEBwA==\n".to_owned()),
    ] {
        let posted = read(&text);
        assert_eq!((posted.form, descriptors(&posted)), (form, vec![SMALL.to_owned()]), "{text}");
        assert!(posted::FORMS.contains(&form), "{form}");
    }
}

#[test]
fn captures_of_usb_give_descriptors_and_reports() {
    let text = "ffff8f1d 100 S Ci:1:002:0 s 80 06 0100 0000 0012 18 <\nffff8f1d 110 C Ci:1:002:0 0 18 = 12010002 00000008 6d0477c0 00720102 0001\n\
         ffff8f1d 120 S Ci:1:002:0 s 81 06 2200 0001 0007 7 <\nffff8f1d 130 C Ci:1:002:0 0 7 = 05010902 a101c0\n\
         ffff8f1d 3000100 C Ii:1:002:1 0:8 4 = 00010000\nffff8f1d 3000200 S Ii:1:002:1 -115:8 4 <\nffff8f1d 3008100 C Ii:1:002:1 0:8 4 = 0001ff00\n";
    let posted = read(text);
    assert_eq!((posted.form, descriptors(&posted)), ("usbmon", vec![SMALL.to_owned()]));
    let device = &posted.recording.devices[0];
    assert_eq!((device.bus, device.vendor, device.product), (Bus::USB, VendorId(0x46d), ProductId(0xc077)));
    assert_eq!((posted.origins[0].interface, posted.origins[0].has_ids), (Some(1), true));
    assert_eq!(reports(&posted), ["00 01 00 00", "00 01 ff 00"]);
    assert_eq!(posted.recording.events[1].time, Duration::from_micros(8000));
    assert_eq!(posted.explain(), ["read 7 bytes and 2 reports: usbmon, interface 1"]);

    let long = text.replace("0007 7 <", "0034 52 <").replace("0 7 = ", "0 52 = ");
    assert_eq!(read(&long).notes, ["the file declares 52 bytes for the descriptor of interface 1 and has 7"]);
    for capture in [pcap(220), pcap(189), pcapng(220), pcapng(249)] {
        let posted = posted::read(&capture).unwrap();
        assert_eq!((posted.form, descriptors(&posted)), ("USB capture", vec![SMALL.to_owned()]));
        assert_eq!(posted.recording.devices[0].product, ProductId(0xc077));
        assert_eq!(reports(&posted), ["00 01 00 00", "00 01 ff 00"]);
        assert_eq!(posted.recording.events[1].time, Duration::from_micros(8000));
        // A capture that was cut anywhere is read as far as it goes, or refused with a reason.
        for length in 0..capture.len() {
            match posted::read(&capture[..length]) {
                Ok(posted) => assert!(posted.recording.events.len() <= 2),
                Err(error) => assert!(!error.reason.is_empty()),
            }
        }
    }
    let other = posted::read(&pcap(1)).unwrap_err().to_string();
    assert_eq!(other, "the capture has packets of link type 1: expected USB (189, 220 or 249)");
}

const DEVICE: [u8; 18] = [18, 1, 0, 2, 0, 0, 0, 8, 0x6d, 4, 0x77, 0xc0, 0, 0x72, 1, 2, 0, 1];

/// Time in microseconds, whether it is a submission, transfer, endpoint, setup, data.
type Packet = (u64, bool, u8, u8, Option<[u8; 8]>, Vec<u8>);

fn packets() -> Vec<Packet> {
    let small = vec![5, 1, 9, 2, 0xa1, 1, 0xc0];
    // One interface of class HID with one endpoint.
    let mut configuration = vec![9, 2, 34, 0, 1, 1, 0, 0xa0, 50, 9, 4, 0, 0, 1, 3, 1, 2, 0];
    configuration.extend([9, 0x21, 0x11, 1, 0, 1, 0x22, 7, 0, 7, 5, 0x81, 3, 4, 0, 8]);
    vec![
        (100, true, 2, 0x80, Some([0x80, 6, 0, 1, 0, 0, 18, 0]), vec![]),
        (110, false, 2, 0x80, None, DEVICE.to_vec()),
        (120, true, 2, 0x80, Some([0x80, 6, 0, 2, 0, 0, 34, 0]), vec![]),
        (130, false, 2, 0x80, None, configuration),
        (140, true, 2, 0x80, Some([0x81, 6, 0, 0x22, 0, 0, 7, 0]), vec![]),
        (150, false, 2, 0x80, None, small),
        (3_000_100, false, 1, 0x81, None, vec![0, 1, 0, 0]),
        (3_008_100, false, 1, 0x81, None, vec![0, 1, 0xff, 0]),
    ]
}

/// Returns a packet with the header of a link type.
fn packet(link: u32, (_, is_submission, transfer, endpoint, setup, data): &Packet) -> Vec<u8> {
    let length = (data.len() as u32).to_le_bytes();
    let mut bytes = Vec::new();
    if link == 249 {
        let header: u16 = if *transfer == 2 { 28 } else { 27 };
        bytes.extend(header.to_le_bytes());
        bytes.extend([0; 14]);
        bytes.push(u8::from(!is_submission));
        bytes.extend([1, 0, 2, 0, *endpoint, *transfer]);
        let data = setup.map_or(data.clone(), |setup| setup.to_vec());
        bytes.extend((data.len() as u32).to_le_bytes());
        if *transfer == 2 {
            bytes.push(if setup.is_some() { 0 } else { 3 });
        }
        bytes.extend(data);
        return bytes;
    }
    bytes.extend([0; 8]);
    bytes.extend([if *is_submission { b'S' } else { b'C' }, *transfer, *endpoint, 2, 1, 0]);
    bytes.extend([if setup.is_some() { 0 } else { b'-' }, 0]);
    bytes.extend([0; 16]);
    bytes.extend(length);
    bytes.extend(length);
    bytes.extend(setup.unwrap_or_default());
    if link == 220 {
        bytes.extend([0; 16]);
    }
    bytes.extend(data);
    bytes
}

fn pcap(link: u32) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0];
    file.extend(link.to_le_bytes());
    for described in packets() {
        let bytes = packet(link, &described);
        file.extend(((described.0 / 1_000_000) as u32).to_le_bytes());
        file.extend(((described.0 % 1_000_000) as u32).to_le_bytes());
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend((bytes.len() as u32).to_le_bytes());
        file.extend(bytes);
    }
    file
}

fn pcapng(link: u32) -> Vec<u8> {
    let block = |kind: u32, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let length = (body.len() as u32 + 12).to_le_bytes();
        [kind.to_le_bytes().as_slice(), &length, &body, &length].concat()
    };
    let mut file = block(0x0a0d_0d0a, [[0x4d, 0x3c, 0x2b, 0x1a].as_slice(), &[1, 0, 0, 0], &[0xff; 8]].concat());
    // Nanoseconds.
    let options = [9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0];
    file.extend(block(1, [&(link as u16).to_le_bytes()[..], &[0; 6], &options].concat()));
    for described in packets() {
        let bytes = packet(link, &described);
        let time = described.0 * 1000;
        let mut body = vec![0; 4];
        body.extend(((time >> 32) as u32).to_le_bytes());
        body.extend((time as u32).to_le_bytes());
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
        file.extend(block(6, body));
    }
    file
}

#[test]
fn recordings_of_other_programs_have_their_reports() {
    let libinput = "# libinput record\ndevices:\n- node: /dev/input/event5\n  evdev:\n    # Name: Maker Mouse\n    id: [3, 1133, 49271, 273]\n  hid: [\n    0x05, 0x01,\n    0x09, 0x02, 0xa1, 0x01, 0xc0\n  ]\n  events:\n  - hid:\n      time: [  0,    123]\n      hidraw0: [\n        0x01, 0x00\n      ]\n";
    let posted = read(libinput);
    assert_eq!((descriptors(&posted), reports(&posted)), (vec![SMALL.to_owned()], vec!["01 00".to_owned()]));
    assert_eq!(posted.recording.devices[0].name, "Maker Mouse");
    assert_eq!(posted.recording.events[0].time, Duration::from_micros(123));

    let gatt = format!("Characteristic value/descriptor: {SMALL} \nNotification handle = 0x0024 value: 01 00 \n");
    assert_eq!(reports(&read(&gatt)), ["01 00"]);
    let events = "report (size 3) (numbered) =  01 02 03\nKeyboard.00e0 = 0\nreport (size 3) (numbered) =  01 00 00\n";
    assert_eq!(
        (read(events).form, reports(&read(events))),
        ("debugfs events", vec!["01 02 03".to_owned(), "01 00 00".to_owned()])
    );
    let log = format!(
        "[    1.000000] i2c_hid 0018:04F3:0001.0001: rdesc: {SMALL}\n[    1.000100] i2c_hid 0018:04F3:0001.0001: input: 04 00 01\n"
    );
    assert_eq!(reports(&read(&log)), ["04 00 01"]);
}

#[test]
fn what_belongs_to_a_device_is_kept() {
    let bluez = "[General]\nName=Mouse\n[DeviceID]\nSource=1\nVendor=1118\nProduct=2835\n[Attributes]\n0028=2803:0029:02:05010902a101c0:00002a4b-0000-1000-8000-00805f9b34fb\n";
    let device = &read(bluez).recording.devices[0];
    assert_eq!((device.bus, device.vendor, device.product), (Bus::BLUETOOTH, VendorId(1118), ProductId(2835)));
    assert_eq!(device.name, "Mouse");
    let debugfs = format!(
        "==> /sys/kernel/debug/hid/0003:046D:C077.0001/rdesc <==\n{SMALL} \n\n  INPUT[INPUT]\n    Field(0)\n\n==> /sys/kernel/debug/hid/0005:046D:B010.0002/rdesc <==\n{MOUSE} \n\n  INPUT[INPUT]\n    Field(0)\n"
    );
    let posted = read(&debugfs);
    assert_eq!(descriptors(&posted), [SMALL, MOUSE]);
    assert_eq!(posted.recording.devices[1].bus, Bus::BLUETOOTH);
    assert_eq!(posted.origins[0].title, "0003:046D:C077.0001");
    let dump = format!(
        "Bus 001 Device 005: ID 046d:c077 Logitech, Inc. Mouse\n001:005:001:DESCRIPTOR 1709695945.570816\n {SMALL}\n\n001:005:000:DESCRIPTOR 1709695945.570816\n {MOUSE}\n"
    );
    let mut posted = read(&dump);
    assert_eq!(posted.origins.iter().map(|origin| origin.interface).collect::<Vec<_>>(), [Some(0), Some(1)]);
    assert_eq!(posted.explain(), ["read 52 bytes: usbhid-dump, interface 0", "read 7 bytes: usbhid-dump, interface 1"]);
    assert_eq!(posted.recording.devices[0].name, "Logitech, Inc. Mouse");
    posted.retain(|_, origin| origin.interface == Some(1));
    assert_eq!(descriptors(&posted), [SMALL]);
}

/// Programs read at most 22 bytes of an attribute at once, and may read it again.
#[test]
fn long_attributes_are_joined() {
    let (first, second) = MOUSE.split_at(22 * 3);
    let pieces = format!("char-read-hnd 1b\nhandle: 0x001b \t value: {first}\nhandle: 0x001b \t value: {second}\n");
    let posted = read(&format!("{pieces}handle: 0x001c \t value: 01 02\nhandle: 0x001d \t value: {SMALL}\n"));
    assert_eq!(descriptors(&posted), [MOUSE, SMALL]);
}

#[test]
fn flags_have_the_names_of_each_program() {
    let expected = "05 01 09 02 a1 01 81 a2 c0";
    for text in [
        "d[] = { HID_RI_USAGE_PAGE(8, 0x01), HID_RI_USAGE(8, 0x02), HID_RI_COLLECTION(8, 0x01),\n\
         HID_RI_INPUT(8, HID_IOF_DATA | HID_IOF_VARIABLE | HID_IOF_NO_PREFERRED_STATE | HID_IOF_VOLATILE),\n\
         HID_RI_END_COLLECTION(0), };",
        "Usage Page (Desktop),\nUsage (Mouse),\nCollection (Application),\nInput (Variable, No Preferred, Volatile),\nEnd Collection",
        "<descriptor><usage_page>1</usage_page><!-- (01h) --><usage>2<!-- (02h) --></usage><COLLECTION type=\"application\">\
         <input><variable/><no_preferred></no_preferred><volatile/></input></COLLECTION></descriptor>",
    ] {
        assert_eq!(descriptors(&read(text)), [expected], "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    for (text, expected) in [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        (
            "hello, world\n",
            "line 1, column 1: \"hello, world\" is not in a known form: expected a descriptor or reports",
        ),
        ("05 01 09 02 a1 0g c0\n", "line 1, column 16: invalid byte \"0g\": expected two hex digits"),
        (
            "the descriptor:\n  05 01 09 02\n  a1 01 c0 x0\n",
            "line 3, column 12: invalid byte \"x0\": expected two hex digits",
        ),
        (
            "const u8 d[] = {\n 0x05, 0x01, 0x09, 0x02, 0xa1, WHAT };\n",
            "line 2, column 32: invalid byte \"WHAT\": expected two hex digits",
        ),
        (
            "00 00 00 00\n",
            "line 1, column 1: not a report descriptor: byte 0, 0x00, does not begin an item of HID 1.11",
        ),
        (
            "00000000: 0501 0902\n00000010: a101 c000\n",
            "line 1, column 1: the line has 4 bytes, and the next offset says 16",
        ),
        ("R: 3 05 01\n", "line 1: the length says 3 bytes, and 2 follow"),
        (
            "E: 0.000001 0001 0110 0001\t# EV_KEY / BTN_LEFT 1\n",
            "line 1, column 1: evemu records input events, which the kernel makes of reports: record the reports, with \"hidbpf record\" or hid-recorder",
        ),
        (
            "  INPUT(1)[INPUT]\n    Field(0)\n",
            "line 1, column 3: the file has the tree and not the line of bytes in front of it: post the whole file \"rdesc\"",
        ),
        (
            "  bInterfaceNumber  0\n  Report Descriptors: \n    ** UNAVAILABLE **\n",
            "line 3, column 1: lsusb did not get the report descriptor, because a kernel driver has the device: use \"usbhid-dump\"",
        ),
        (
            "Item(Global): (null), data= [ 0x01 ] 1\n",
            "line 1, column 1: \"(null)\" is not the name of an item: lsusb does not show which byte it is",
        ),
    ] {
        let error = posted::read(text.as_bytes()).expect_err(text).to_string();
        assert_eq!(error, expected, "{text}");
    }
    let error = posted::read(&[0, 1, 2, 3]).unwrap_err().to_string();
    assert_eq!(error, "not a report descriptor: byte 0, 0x00, does not begin an item of HID 1.11");
}

/// The forms of posts to projects that work with devices: converted dumps, reconstructed descriptors, code.
#[test]
fn items_are_read_with_other_text_around_them() {
    for text in [
        "001:008:000:DESCRIPTOR         1704472415.004138 --->\n```\n0x05, 0x01,        // Usage Page (Generic Desktop Ctrls)\n\
         0x09, 0x02,        // Usage (Mouse)\n0xA1, 0x01,        // Collection (Application)\n0xC0,              // End\n```\n",
        "\t\t// USAGE_PAGE (Generic Desktop)\n\t\tdesc[size++] = 0x05;\n\t\tdesc[size++] = 0x01;\n\t\t// USAGE (Mouse)\n\
         \t\tdesc[size++] = 0x09;\n\t\tdesc[size++] = 0x02;\n\t\tdesc[size++] = 0xa1;\n\t\tdesc[size++] = 0x01;\n\
         \t\tdesc[size++] = 0xc0;\n",
        "desc[0] = 0x05;\ndesc[1] = 0x01;\ndesc[2] = 0x09;\ndesc[3] = 0x02;\ndesc[4] = 0xa1;\ndesc[5] = 0x01;\ndesc[6] = 0xc0;\n",
    ] {
        assert_eq!(descriptors(&read(text)), [SMALL], "{text}");
    }
    let text = "[INTERFACE 0 HID DESCRIPTOR]\n05 01        (GLOBAL) USAGE_PAGE         0x0001 Generic Desktop Page\n\
                09 02        (LOCAL)  USAGE              0x00010002 Mouse (CA=Application Collection)\n\
                A1 01        (MAIN)   COLLECTION         0x01 Application (Usage=0x00010002: Type=CA)\n\
                46 3B01        (GLOBAL) PHYSICAL_MAXIMUM   0x013B (315)\n\
                47 FFFF0000    (GLOBAL) PHYSICAL_MAXIMUM   0x0000FFFF (65535)\n\
                06 FFFF        (GLOBAL) USAGE_PAGE         0xFFFF Vendor-defined\nC0           (MAIN)   END_COLLECTION\n";
    assert_eq!(descriptors(&read(text)), ["05 01 09 02 a1 01 46 3b 01 47 ff ff 00 00 06 ff ff c0"]);
}

#[test]
fn an_array_with_a_macro_that_is_not_known_is_not_cut_short() {
    let text =
        "const uint8_t report[] = {\n    MY_USAGE_PAGE(DESKTOP),\n    0x05, 0x01, 0x09, 0x02, 0xA1, 0x01, 0xC0\n};\n";
    let error = posted::read(text.as_bytes()).map(|read| descriptors(&read)).unwrap_err();
    assert_eq!((error.line, error.column), (Some(2), Some(5)));
    assert_eq!(error.reason, "unknown macro \"MY_USAGE_PAGE\": expected bytes");
}

/// Kernel logs as people post them: without times, and wrapped by a mail program.
#[test]
fn logs_are_read_without_times_and_with_wrapped_lines() {
    let log = "> i2c_hid_acpi i2c-ELAN06FA:00: i2c_hid_xfer: cmd=05 00 00 08\n\
        > i2c_hid_acpi i2c-ELAN06FA:00: HID Descriptor: 1e 00 00 01 a3 02 02 00 03 00 1f 00\n\
        > i2c_hid_acpi i2c-ELAN06FA:00: Report Descriptor: 05 01 09 02 \n> a1 01 \n> c0\n>\n> the non-working case:\n";
    let read = posted::read(log.as_bytes()).unwrap();
    assert_eq!(read.form, "kernel log");
    assert_eq!(read.recording.devices.len(), 1);
    assert_eq!(read.recording.devices[0].descriptor, [5, 1, 9, 2, 0xa1, 1, 0xc0]);
    assert!(read.recording.events.is_empty());
}

/// A shell session with the files of two devices. The second sends reports.
#[test]
fn events_belong_to_the_device_that_was_asked_for() {
    let session = "/sys/kernel/debug/hid# ls\n0003:093A:2532.002F  0003:1A2C:2124.002D\n\
        /sys/kernel/debug/hid# cat 0003\\:093A\\:2532.002F/events\n\n/sys/kernel/debug/hid# cat 0003\\:1A2C\\:2124.002D/events\n\n\
        report (size 8) (unnumbered) =  00 00 62 00 00 00 00 00\nKeyboard.00e0 = 0\n";
    let read = posted::read(session.as_bytes()).unwrap();
    assert_eq!((read.form, read.recording.events.len()), ("debugfs events", 1));
    assert_eq!(read.origins[0].title, "0003:1A2C:2124.002D");
}

/// The forms of posts on GitHub: btmon with the pieces so far, bluetoothctl with its prompt, and a serial monitor with times.
#[test]
fn output_is_read_with_the_prompts_and_times_around_it() {
    let hex = SMALL.replace(' ', "");
    let (first, rest) = hex.split_at(12);
    let btmon = format!(
        "      ATT: Read Request (0x0a) len 2\n        Handle: 0x0031 Type: Report Map (0x2a4b)\n      ATT: Read Response (0x0b) len 4\n        Value[4]: {first}\n      ATT: Read Blob Response (0x0d) len 3\n        Value[3]: {rest}\n        Long Value[7]: {hex}\n"
    );
    let prompt = "[K380:/service0021/char0022]# ";
    let bluetoothctl = format!(
        "[K380]# gatt.select-attribute /org/bluez/hci0/dev_C6/service0021/char0022\n{prompt}    UUID: 00002a4b-0000-1000-8000-00805f9b34fb\n{prompt}    Value:\n{prompt}  {SMALL}      .......\n{prompt}    Flags: read\n{prompt}[CHG] Attribute /org/bluez/hci0/dev_C6/service0021/char0022 Value:\n{prompt}  {SMALL}      .......\n{prompt}  {SMALL}      .......\n"
    );
    let serial =
        "0000: 05 01 09 02 \n17:26:59.770 -> 0004: a1 01 c0 \n17:26:59.770 -> Usage Page Gen Desktop Ctrls(01)\n";
    let log = "INFO Item count: 4\nINFO Byte Number:    0h (   0d)\n  Data Field: 05 01\n  Mnemonic:  Usage Page\nINFO Byte Number:    2h (   2d)\n  Data Field: 09 02\n  Data Field: A1 01\n  Data Field: C0\n";
    for (text, form) in [
        (btmon.as_str(), "Bluetooth attributes"),
        (&bluetoothctl, "Bluetooth attributes"),
        (serial, "hex dump"),
        (log, "USB-IF compliance log"),
    ] {
        let posted = read(text);
        assert_eq!((posted.form, descriptors(&posted)), (form, vec![SMALL.to_owned()]), "{text}");
    }
}

#[test]
fn dumps_are_read_with_labels_and_words_beside_them() {
    // USB Device Tree Viewer: the bytes, and then the items in words.
    let viewer = "    Report Descriptor:\n      Raw Descriptor (hex)    0000: 05 01 09 02 A1 01 09 01  A1 00 05 09 19 01 29 03  \n      \
                  Raw Descriptor (hex)    0010: 15 00 25 01 95 08 75 01  81 02 C0 C0 \n      Parsed Report Descriptor:   \n        \
                  Usage Page    (Generic Desktop) \n          Usage (Mouse)    \n            Collection (Application)    \n";
    let posted = read(viewer);
    assert_eq!(posted.form, "hex dump");
    assert_eq!(
        descriptors(&posted),
        ["05 01 09 02 a1 01 09 01 a1 00 05 09 19 01 29 03 15 00 25 01 95 08 75 01 81 02 c0 c0"]
    );
    // By hand: an item a line, a space, and what it is.
    let by_hand = "05 01 Usage page Generic Desktop\n09 02 Usage MOUSE\na1 01 \tCollection (application)\n85 06 ?????\n\
                   75 08 Report size (8)\n95 01 Report count (1)\n81 01 INPUT(Const)\nc0 END COLLECTION\n";
    assert_eq!(descriptors(&read(by_hand)), ["05 01 09 02 a1 01 85 06 75 08 95 01 81 01 c0"]);
}

#[test]
fn what_only_looks_like_a_descriptor_is_not_one() {
    // Input events have lines with the letters of a recording.
    let events = "# EVEMU 1.3\nN: Mouse\nI: 0003 046d c52b 0111\nP: 00 00 00 00 00 00 00 00\nB: 00 0b 00 00 00 00 00 00 00\n\
                  E: 0.000001 0004 0004 589825\nE: 0.000001 0000 0000 0000\n";
    let error = posted::read(events.as_bytes()).unwrap_err();
    assert!(error.reason.starts_with("evemu records input events"), "{error}");
    // Short tables of a source beside its descriptor.
    let source = format!(
        "u8 descriptor[] = {{ 0x{} }};\nu8 table[] = {{ 0x05, 0x10, 0xc0, 0x00 }};\n",
        SMALL.replace(' ', ", 0x")
    );
    assert_eq!(descriptors(&read(&source)), [SMALL]);
    // A name in a source that is base64 by chance.
    assert!(posted::read(b"static void asus_quirk(void)\n{\n\tBBBBBBBB = 1;\n}\n").is_err());
}
