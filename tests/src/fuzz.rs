//! A function for each parser of bytes from outside: the targets of `fuzz/`, and of tests/robustness.rs.
//!
//! For any bytes, a target ends with an answer or an error. It panics if the answer contradicts itself.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use hidbpf::config::{Config, Source};
use hidbpf::descriptor::{
    Anatomy, Descriptor, HexBytes, ReportType, decoded_difference, diagnose, items_difference, picture,
    picture_of_difference, posted, reports_difference,
};
use hidbpf::device::{Device, has_input_report};
use hidbpf::exclusion::Exclusion;
use hidbpf::fast::{KernelIdentity, ResolvedIds, ResolvedMember, ResolvedOps};
use hidbpf::hwdb;
use hidbpf::ids::{Bus, HidName, Modalias, ProductId, VendorId};
use hidbpf::manifest::{Embedded, Fingerprint, Manifest};
use hidbpf::matching::judge;
use hidbpf::object::{DriverObject, write_fingerprint};
use hidbpf::options::Type;
use hidbpf::recording::{self, Event, Feature, Recording, RequestKind};
use hidbpf::replay::{self, Driver, Object, Settings};
use hidbpf::state::DeviceState;
use hidbpf::system::System;
use hidbpf::text::Printable;
use hidbpf_prelink::btf::Btf;
use hidbpf_prelink::{MEMBERS, Prelinked, match_table};
use object::{Object as _, ObjectSection as _, SectionFlags};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_128;
use zerocopy::FromZeros as _;

/// A parser and its input.
pub struct Target {
    /// Its name, which is also the name of its program in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Runs it on bytes.
    pub run: fn(&[u8]),
    /// The start of a search for other bytes.
    pub seeds: fn() -> io::Result<Vec<Vec<u8>>>,
}

/// All targets.
pub const TARGETS: [Target; 16] = [
    Target { name: "recording", run: recording, seeds: || files("recordings", ".hid") },
    Target { name: "posted", run: posted, seeds: || Ok(POSTED.map(Vec::from).into()) },
    Target { name: "descriptor", run: descriptor, seeds: descriptors },
    Target {
        name: "object",
        run: object,
        seeds: || Ok(objects().iter().map(|object| without_fingerprint(object)).collect()),
    },
    Target { name: "foreign", run: foreign, seeds: foreign_objects },
    Target { name: "match_table", run: match_table, seeds: match_tables },
    Target { name: "link", run: link, seeds: || Ok(objects().to_vec()) },
    Target { name: "program", run: program, seeds: || Ok(programs()) },
    Target { name: "prelinked", run: prelinked, seeds: || sections(hidbpf_prelink::SECTION) },
    Target { name: "manifest", run: manifest, seeds: manifests },
    Target { name: "state", run: state, seeds: || Ok(vec![STATE.into()]) },
    Target { name: "numbers", run: numbers, seeds: || Ok(vec![kept()]) },
    Target { name: "configuration", run: configuration, seeds: || Ok(vec![CONFIGURATION.into()]) },
    Target { name: "device", run: device, seeds: || Ok(DEVICES.map(Vec::from).into()) },
    Target { name: "value", run: value, seeds: || Ok(VALUES.map(Vec::from).into()) },
    Target { name: "text", run: text, seeds: || Ok(TEXTS.map(Vec::from).into()) },
];

/// Runs on a recording in hid-recorder's text format.
///
/// Reads it, writes it, and reads it again: a name can have characters that a line must not have.
pub fn recording(bytes: &[u8]) {
    let path = Path::new("fuzz.hid");
    let Ok(recording) = Recording::parse(path, bytes) else { return };
    for finding in recording.findings() {
        let _ = finding.to_string();
    }
    for device in 0..recording.devices.len() {
        let _ = diagnose::recording(&recording, device);
    }
    let written = recording.to_string();
    let again = Recording::parse(path, written.as_bytes()).expect("what was written can be read");
    assert_eq!(again.to_string(), written);
    assert_eq!((again.devices.len(), &again.events), (recording.devices.len(), &recording.events));
}

/// Runs on a file in one of the forms in which descriptors and recordings are posted.
pub fn posted(bytes: &[u8]) {
    let mut read = match posted::read(bytes) {
        Ok(read) => read,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert!(posted::FORMS.contains(&read.form));
    let count = read.recording.devices.len();
    assert!(count > 0 && count == read.origins.len() && count == read.explain().len());
    assert!(read.recording.events.iter().all(|event| event.device < count));
    // The whole of a file is never larger than what it says by much.
    let total: usize = read.recording.devices.iter().map(|device| device.descriptor.len()).sum();
    assert!(total <= (bytes.len() + 1) << 16, "{total} bytes from {}", bytes.len());
    read.retain(|index, _| index == 0);
    assert_eq!(read.recording.devices.len(), 1);
    assert!(read.recording.events.iter().all(|event| event.device == 0));
}

/// Runs on a report descriptor. The last 16 bytes are also a report.
pub fn descriptor(bytes: &[u8]) {
    let (_, report) = bytes.split_at(bytes.len().saturating_sub(16));
    let anatomy = Anatomy::of(bytes);
    assert_eq!(anatomy.items.iter().map(|item| item.bytes.len()).sum::<usize>(), bytes.len());
    for item in &anatomy.items {
        let _ = (item.kind.name(), item.kind.value());
    }
    for finding in diagnose::descriptor(bytes) {
        assert!(diagnose::Repair::apply(&finding.repairs, bytes).is_some(), "{finding:?}");
    }
    let read = Descriptor::parse(bytes);
    assert_eq!(read.as_ref().err(), anatomy.fault.as_ref());
    let _ = has_input_report(bytes);
    let Ok(descriptor) = read else { return };
    // Pictures and differences take most of the time, and their code has few branches.
    let is_thorough = report[0] < 8;
    for kind in [ReportType::Input, ReportType::Output, ReportType::Feature] {
        let Ok(decoded) = descriptor.decode(kind, report) else { continue };
        let _ = decoded.to_string();
        if is_thorough {
            let idle = descriptor.decode(kind, &vec![report[0]; report.len() / 2 + 1]).expect("the id is the same");
            let _ = decoded_difference(&decoded, &idle);
        }
    }
    // The descriptor without its last byte may be valid as well.
    let cut = &bytes[..bytes.len() - 1];
    let _ = items_difference(&anatomy, &Anatomy::of(cut));
    if is_thorough {
        let _ = picture("fuzz", &descriptor.reports);
        let _ = Descriptor::parse(cut).map(|cut| picture_of_difference("fuzz", &reports_difference(&descriptor, &cut)));
    }
}

/// Runs on a driver's object: its manifest, and its programs over a small recording. Corrects the digest first.
pub fn object(bytes: &[u8]) {
    let path = Path::new("fuzz.bpf.o");
    let mut object = bytes.to_vec();
    if write_fingerprint(path, &mut object).is_ok() {
        let _ = DriverObject::parse(path, object);
    }
    run(bytes);
}

/// Runs on a foreign object: its match table, its struct_ops map, its prelinked programs, and its probe and hooks over a
/// small recording.
pub fn foreign(bytes: &[u8]) {
    let Ok(object) = DriverObject::parse(Path::new("0010-Fuzz__Fuzz.bpf.o"), bytes.to_vec()) else { return };
    if object.origin.is_foreign() {
        assert!(!object.manifest.matches.is_empty(), "a foreign object without devices");
        assert!(object.manifest.matches.len() <= match_table::MAX_DEVICES, "{}", object.manifest.matches.len());
        if let Ok(prelinked) = object.prelinked() {
            assert!(!prelinked.programs.is_empty() || object.hooks.values().all(|hooks| hooks.is_empty()));
        }
        let _ = hwdb::Entries::automatic([&object]).to_text();
    }
    run(bytes);
}

/// Runs on the type information of an object, which has the match table.
pub fn match_table(bytes: &[u8]) {
    if let Ok(types) = Btf::parse(bytes)
        && let Ok(devices) = match_table::devices(&types)
    {
        assert!((1..=match_table::MAX_DEVICES).contains(&devices.len()), "{} devices", devices.len());
    }
}

/// Links an object as the build does. The result must be readable.
pub fn link(bytes: &[u8]) {
    if let Ok(linked) = hidbpf_prelink::link(bytes) {
        Prelinked::parse(&linked).expect("what was linked can be read");
    }
}

/// Runs on instructions. The first two bytes choose a driver and one of its sections, and the rest replaces that section.
pub fn program(bytes: &[u8]) {
    let [driver, section, instructions @ ..] = bytes else { return };
    let objects = objects();
    let mut object = objects[usize::from(*driver) % objects.len()].clone();
    let sections = code(&object);
    let (start, end) = sections[usize::from(*section) % sections.len()];
    let used = instructions.len().min(end - start);
    object[start..start + used].copy_from_slice(&instructions[..used]);
    run(&object);
}

/// Runs on the prelinked programs in an object. The parser must read all bytes, and all positions in the result must be valid.
pub fn prelinked(bytes: &[u8]) {
    let Ok(prelinked) = Prelinked::parse(bytes) else { return };
    assert_eq!(prelinked.to_bytes(), bytes);
    for program in &prelinked.programs {
        for reference in program.references {
            let _ = (program.instructions[reference.at()], reference.kind());
        }
    }
}

/// Runs on a `driver.toml`, and on the manifest in an object.
pub fn manifest(bytes: &[u8]) {
    let (path, text) = (Path::new("driver.toml"), String::from_utf8_lossy(bytes));
    match Manifest::parse(path, &text) {
        Err(error) => assert!(error.to_string().starts_with("driver.toml"), "{error}"),
        Ok(manifest) => declared(path, &text, &manifest),
    }
    if let Ok(embedded) = Embedded::from_section(Path::new("fuzz.bpf.o"), bytes) {
        let written = embedded.to_section().expect("what was read can be written");
        assert_eq!(Embedded::from_section(Path::new("fuzz.bpf.o"), &written).ok(), Some(embedded));
    }
}

/// Makes an object of the repairs that a manifest declares.
fn declared(path: &Path, text: &str, manifest: &Manifest) {
    let Ok(declaration) = hidbpf_declare::read(path, text) else { return };
    let recorded = DECLARED.map(|descriptor| hidbpf_declare::Recorded {
        recording: "mouse.hid".to_owned(),
        rule: 0,
        descriptor: descriptor.to_vec(),
    });
    if let Ok(object) = hidbpf_declare::object(path, text, "driver.toml", manifest, &declaration, &recorded)
        && !declaration.is_empty()
    {
        replay::Object::parse(&object).expect("an object that was made can be read");
        hidbpf_prelink::link(&object).expect("an object that was made can be prelinked");
    }
    // What C can't say is an error.
    let _ = hidbpf_declare::source(path, text, manifest, &declaration, &recorded);
}

/// The descriptor of a mouse for declared repairs.
const DECLARED: [&[u8]; 1] = [&[
    5, 1, 9, 2, 0xa1, 1, 0x85, 1, 5, 9, 0x19, 1, 0x29, 8, 0x15, 0, 0x25, 1, 0x75, 1, 0x95, 8, 0x81, 2, 5, 1, 9, 0x30,
    9, 0x31, 0x16, 1, 0xf8, 0x26, 255, 7, 0x75, 12, 0x95, 2, 0x81, 6, 0xc0,
]];

/// Runs on a state file.
pub fn state(bytes: &[u8]) {
    if let Ok(state) = serde_json::from_slice::<DeviceState>(bytes) {
        let written = serde_json::to_vec(&state).expect("what was read can be written");
        assert_eq!(serde_json::from_slice::<DeviceState>(&written).ok(), Some(state));
    }
}

/// Runs on the kernel's ids as hidbpf keeps them until the next boot. Corrects their checksum first.
pub fn numbers(bytes: &[u8]) {
    let kernel = KernelIdentity::new_zeroed();
    let mut record = bytes.to_vec();
    if let Some((summed, sum)) = record.split_last_chunk_mut::<16>() {
        *sum = xxh3_128(summed).to_le_bytes();
    }
    let Some(ids) = ResolvedIds::from_bytes(&record, &kernel) else { return };
    assert_eq!(ResolvedIds::from_bytes(&ids.to_bytes(&kernel), &kernel), Some(ids));
}

/// Returns the ids of some kernel.
fn kept() -> Vec<u8> {
    let ops = ResolvedOps {
        ops_type: 100,
        value_type: 200,
        value_size: 256,
        hid_id: 128,
        flags: 132,
        hooks: std::array::from_fn(|index| 152 + 8 * index as u32),
    };
    let functions = [("hid_bpf_get_data", 7), ("bpf_wq_set_callback", 0)];
    let functions = functions.map(|(name, id)| (name.to_owned(), id)).into();
    let members = MEMBERS.map(|member| ResolvedMember { offset: 8 * member.size, size: member.size });
    ResolvedIds { ops: Some(ops), members, functions }.to_bytes(&KernelIdentity::new_zeroed())
}

/// Runs on a file of `/etc/hidbpf`. Writing it and reading it again gives the same.
pub fn configuration(bytes: &[u8]) {
    let path = Path::new("hidbpf.toml");
    let config = Config::of_text(path, &String::from_utf8_lossy(bytes));
    for problem in &config.problems {
        assert!(problem.to_string().starts_with("hidbpf.toml"), "{problem}");
        assert!(!problem.to_string().contains('\n'), "{problem}");
        let _ = problem.error().to_string();
    }
    let said = |config: &Config| {
        let mut said: Vec<_> = config.in_force().into_iter().cloned().collect();
        said.iter_mut().for_each(|entry| entry.source = Source { path: path.to_owned(), line: 0, column: 0 });
        said.sort_by_key(|entry| format!("{} {:?} {:?}", entry.driver, entry.device, entry.key));
        said
    };
    let again = Config::of_text(path, &config.to_text());
    assert_eq!(again.problems, [], "{}", config.to_text());
    assert_eq!(said(&again), said(&config));
    PLACE.write(b"HID_NAME=Mouse\nHID_PHYS=usb-1/input0\nHID_UNIQ=A1\n", b"", &[]);
    let device = Device::open(&PLACE.system, &PLACE.name).expect("a device can be read");
    for entry in config.in_force() {
        let _ = entry.device.as_ref().map(ToString::to_string);
        let enablements = [&config, &again].map(|config| mem::discriminant(&config.enablement(&entry.driver, &device)));
        assert_eq!(enablements[0], enablements[1], "{entry:?}");
    }
}

/// Runs on the data of the kernel and udev about a device: the texts of `uevent` and of udev's database, and the descriptor, separated by
/// bytes 0xff.
pub fn device(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == 0xff);
    let [uevent, database, descriptor] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    PLACE.write(uevent, database, descriptor);
    let device = Device::open(&PLACE.system, &PLACE.name).expect("a device can be read");
    assert_eq!(device.current, descriptor);
    assert_eq!(device.modalias.to_string(), Place::MODALIAS);
    for text in [&device.hid_name, &device.phys, &device.uniq] {
        assert!(!Printable(text).to_string().chars().any(char::is_control), "{text:?}");
    }
    // The device's own strings can look like lines of `uevent`, and must not set hidbpf's properties.
    let is_set = database.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"E:HIDBPF_IGNORE="));
    assert_eq!(device.property("HIDBPF_IGNORE").is_some(), is_set);
    let _ = Exclusion::of(&PLACE.system, &device);
    let _ = (device.is_for_input(), device.has_input_report(), device.nodes());
    let device = device.with_original(descriptor.to_vec());
    for manifest in &*MANIFESTS {
        let _ = judge(manifest, &device);
        let properties = manifest.options.iter().map(|option| option.property("mouse-invert-y"));
        let _ = device.properties(properties);
    }
}

/// Runs on the value of an option, as text from a user and as a variable.
pub fn value(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for option in MANIFESTS.iter().flat_map(|manifest| &manifest.options) {
        if let Ok(value) = option.parse(&text) {
            let bytes = option.encode(&value).expect("what was read is one");
            assert_eq!(bytes.len(), option.size());
            let decoded = option.decode(&bytes).expect("what was encoded is one");
            // A curve's table gives other points on the same lines.
            if option.kind != Type::Table {
                assert_eq!(decoded, value);
            }
            // A text is printed with escapes.
            if option.kind != Type::Text {
                assert_eq!(option.parse(&value.to_string()), Ok(value));
            }
        }
        if let Some(value) = option.decode(bytes) {
            let encoded = option.encode(&value);
            // A curve has fewer points than a table has values.
            assert!(encoded == Ok(bytes.to_vec()) || option.kind == Type::Table && encoded.is_err());
        }
    }
    let environment = [("HIDBPF_DRIVER_X".into(), OsString::from_vec(bytes.to_vec()))];
    for name in hwdb::named(environment) {
        assert_eq!(Path::new(name.as_str()).components().count(), 1, "{name}");
    }
    let entries = hwdb::Entries::of_text(&text);
    assert_eq!(hwdb::Entries::of_text(&entries.to_text()).to_text(), entries.to_text());
}

/// Runs on text from users and from the kernel: ids, names, bytes in hex, feature reports.
pub fn text(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(modalias) = text.parse::<Modalias>() {
        assert_eq!(modalias.to_string().parse::<Modalias>(), Ok(modalias));
    }
    if let Ok(name) = text.parse::<HidName>() {
        assert!(!name.pin_name().contains(['.', '/', ':']), "{name}");
        assert_eq!(HidName::from_pin_name(&name.pin_name()), Some(name));
    }
    if let Ok(bytes) = text.parse::<HexBytes>() {
        assert_eq!(bytes.to_string().parse::<HexBytes>(), Ok(bytes));
    }
    if let Ok(feature) = text.parse::<Feature>() {
        assert_eq!(feature.to_string().parse::<Feature>().ok(), Some(feature));
    }
}

/// Runs everything that a replay does with an object. The programs get less time and memory than usual, so that many can be tried.
fn run(object: &[u8]) {
    let Ok(object) = Object::parse(object) else { return };
    let recording = &*RECORDING;
    let settings = |device: &recording::RecordedDevice| Settings {
        instruction_limit: 1 << 15,
        memory_limit: 4 << 20,
        ..Settings::of(device)
    };
    for generation in object.generations() {
        let _ = replay::replay(&object, generation, recording, settings);
        let device = &recording.devices[0];
        let Ok(mut driver) = Driver::new(&object, generation, &device.into(), &settings(device)) else { continue };
        for (kind, report) in [
            (RequestKind::Get, ReportType::Feature),
            (RequestKind::Set, ReportType::Feature),
            (RequestKind::Output, ReportType::Output),
        ] {
            let _ = driver.request(kind, report, &mut vec![3, 1]);
        }
        let _ = (driver.take_messages(), driver.take_requests());
    }
}

/// A mouse with a feature report, and its reports: a normal one, one cut short, and one with another id.
static RECORDING: LazyLock<Recording> = LazyLock::new(|| {
    let descriptor = [
        0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x85, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x08,
        0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, 0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x81,
        0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0xc0, 0x06, 0x00, 0xff, 0x85, 0x03, 0x09, 0x01, 0x15, 0x00,
        0x95, 0x01, 0xb1, 0x02, 0x09, 0x02, 0x91, 0x02, 0xc0,
    ];
    let reports: [&[u8]; 4] = [&[1, 1, 2, 0xfe], &[1, 0], &[9, 9, 9, 9], &[1, 0, 0, 0]];
    let events = reports.iter().zip(1..).map(|(report, time)| Event {
        device: 0,
        time: Duration::from_millis(time),
        report: report.to_vec(),
        line: None,
    });
    let device = recording::RecordedDevice {
        number: 0,
        name: "Maker Mouse".to_owned(),
        phys: "usb-1/input0".to_owned(),
        bus: Bus::USB,
        vendor: VendorId(0x1234),
        product: ProductId(0x5678),
        descriptor: descriptor.to_vec(),
        properties: [("HUION_FIRMWARE_ID".to_owned(), "HUION_T21j_230511".to_owned())].into(),
        features: [(3, vec![3, 0x20])].into(),
        asked: Vec::new(),
        exported: Default::default(),
    };
    Recording { comments: Vec::new(), devices: vec![device], events: events.collect() }
});

/// A machine with one device, for which the test controls the data of the kernel and udev.
struct Place {
    system: System,
    name: HidName,
    device: PathBuf,
    database: PathBuf,
    _root: TempDir,
}

impl Place {
    fn make() -> io::Result<Place> {
        let root = TempDir::new()?;
        let system = System {
            root: root.path().to_owned(),
            sysfs: root.path().join("sys"),
            bpffs: root.path().join("sys/fs/bpf"),
            run: root.path().join("run/hidbpf"),
            driver_dirs: Vec::new(),
            config: root.path().join("etc/hidbpf"),
        };
        let name: HidName = "0003:1234:5678.0001".parse().map_err(io::Error::other)?;
        let device = system.sysfs.join("devices").join(name.as_str());
        for folder in [&system.hid_devices(), &device, &system.udev_database()] {
            fs::create_dir_all(folder)?;
        }
        symlink(&device, system.hid_devices().join(name.as_str()))?;
        symlink(system.sysfs.join("bus/hid"), device.join("subsystem"))?;
        let database = system.udev_database().join(format!("+hid:{name}"));
        Ok(Place { system, name, device, database, _root: root })
    }

    /// The kernel's own data about a device, whatever the device's strings contain.
    const MODALIAS: &str = "hid:b0003g0001v00001234p00005678";

    fn write(&self, uevent: &[u8], database: &[u8], descriptor: &[u8]) {
        let uevent = [uevent, b"\nMODALIAS=", Place::MODALIAS.as_bytes(), b"\n"].concat();
        for (path, bytes) in [
            (&self.device.join("uevent"), uevent.as_slice()),
            (&self.device.join("report_descriptor"), descriptor),
            (&self.database, database),
        ] {
            fs::write(path, bytes).expect("a file can be written");
        }
    }
}

static PLACE: LazyLock<Place> = LazyLock::new(|| Place::make().expect("a device can be made up"));

/// The manifests of the drivers.
static MANIFESTS: LazyLock<Vec<Manifest>> = LazyLock::new(|| {
    let path = Path::new("driver.toml");
    let texts = files("", "driver.toml").expect("the manifests can be read");
    let curve = include_bytes!("../fixtures/drivers/example-pressure-curve/driver.toml").to_vec();
    let texts = texts.into_iter().chain([curve]);
    texts.map(|text| Manifest::parse(path, &String::from_utf8_lossy(&text)).expect("it is good")).collect()
});

/// Returns the drivers' objects, in the order of their names.
fn objects() -> &'static [Vec<u8>] {
    static OBJECTS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
        let mut paths = paths(hidbpf_drivers::objects_dir()).expect("the drivers are built");
        paths.retain(|path| path.to_string_lossy().ends_with(hidbpf::names::OBJECT_SUFFIX));
        paths.iter().map(|path| fs::read(path).expect("an object can be read")).collect()
    });
    &OBJECTS
}

/// Returns the objects of the foreign sources for tests only and, if it is there, those of Debian's udev-hid-bpf.
///
/// # Errors
/// One can't be read.
pub fn foreign_objects() -> io::Result<Vec<Vec<u8>>> {
    let mut folders = vec![PathBuf::from(concat!(env!("OUT_DIR"), "/foreign"))];
    for version in paths(&root().join("target/vm/udev-hid-bpf")).unwrap_or_default() {
        folders.push(version.join("usr/lib/x86_64-linux-gnu/bpf"));
    }
    let mut objects = Vec::new();
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        let paths = paths(&folder)?.into_iter();
        let paths = paths.filter(|path| path.to_string_lossy().ends_with(hidbpf::names::OBJECT_SUFFIX));
        objects.extend(paths.map(fs::read).collect::<io::Result<Vec<_>>>()?);
    }
    Ok(objects)
}

/// Returns the type information of the foreign objects.
fn match_tables() -> io::Result<Vec<Vec<u8>>> {
    let types = |object: &Vec<u8>| {
        let elf = object::File::parse(object.as_slice()).ok()?;
        Some(elf.section_by_name(hidbpf_prelink::btf::SECTION)?.data().ok()?.to_vec())
    };
    Ok(foreign_objects()?.iter().filter_map(types).collect())
}

/// Returns the positions of an object's sections of instructions in its file.
fn code(object: &[u8]) -> Vec<(usize, usize)> {
    let elf = object::File::parse(object).expect("a driver's object is an ELF file");
    let is_code =
        |flags| matches!(flags, SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(object::elf::SHF_EXECINSTR));
    let sections = elf.sections().filter(|section| is_code(section.flags()) && section.size() > 0);
    sections
        .filter_map(|section| section.file_range())
        .map(|(start, size)| (start as usize, (start + size) as usize))
        .collect()
}

/// Returns the input of [`program`] for each unchanged section of each driver.
fn programs() -> Vec<Vec<u8>> {
    let mut programs = Vec::new();
    for (driver, object) in (0..=u8::MAX).zip(objects()) {
        for (section, (start, end)) in (0..=u8::MAX).zip(code(object)) {
            programs.push([&[driver, section], &object[start..end]].concat());
        }
    }
    programs
}

/// Returns an object as it is before its fingerprint is written.
///
/// # Panics
/// It is not a driver's object.
pub fn without_fingerprint(object: &[u8]) -> Vec<u8> {
    let driver = DriverObject::parse(Path::new("seed"), object.to_vec()).expect("a driver's object is whole");
    let fingerprint = object::File::parse(object)
        .ok()
        .and_then(|elf| {
            let section = elf.section_by_name(hidbpf::manifest::SECTION)?;
            Embedded::from_section(Path::new("seed"), section.data().ok()?).ok()
        })
        .expect("a driver has a manifest")
        .fingerprint
        .to_string();
    let place = object.windows(fingerprint.len()).position(|bytes| bytes == fingerprint.as_bytes());
    let place = place.unwrap_or_else(|| panic!("`{}` has no fingerprint", driver.name));
    let mut blank = object.to_vec();
    blank[place..place + fingerprint.len()].copy_from_slice(Fingerprint::UNSET.to_string().as_bytes());
    blank
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the entries of a folder, in the order of their names.
fn paths(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Returns the files with this suffix in all drivers' folders and their subfolders.
fn files(folder: &str, suffix: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut files = Vec::new();
    for driver in paths(&root().join("drivers"))? {
        let folder = driver.join(folder);
        if !folder.is_dir() {
            continue;
        }
        let paths = paths(&folder)?.into_iter().filter(|path| path.to_string_lossy().ends_with(suffix));
        files.extend(paths.map(fs::read).collect::<io::Result<Vec<_>>>()?);
    }
    Ok(files)
}

/// Returns the descriptors of recorded devices and, if available, those of other real devices.
fn descriptors() -> io::Result<Vec<Vec<u8>>> {
    let mut descriptors = Vec::new();
    for text in files("recordings", ".hid")? {
        let recording = Recording::parse(Path::new("a driver's recording"), &text).map_err(io::Error::other)?;
        descriptors.extend(recording.devices.into_iter().map(|device| device.descriptor));
    }
    let real = root().join("../shared/descriptors");
    if real.is_dir() {
        descriptors.extend(paths(&real)?.iter().map(fs::read).collect::<io::Result<Vec<_>>>()?);
    }
    descriptors.retain(|descriptor| !descriptor.is_empty());
    Ok(descriptors)
}

/// Returns the `driver.toml` of each driver, and the manifest in its object.
fn manifests() -> io::Result<Vec<Vec<u8>>> {
    Ok([files("", "driver.toml")?, sections(hidbpf::manifest::SECTION)?].concat())
}

/// Returns a section of each driver's object.
fn sections(name: &str) -> io::Result<Vec<Vec<u8>>> {
    let mut sections = Vec::new();
    for object in objects() {
        let elf = object::File::parse(object.as_slice()).map_err(io::Error::other)?;
        if let Some(section) = elf.section_by_name(name) {
            sections.push(section.data().map_err(io::Error::other)?.to_vec());
        }
    }
    Ok(sections)
}

const STATE: &str = r#"{"version":1,"device":"0003:11C0:5606.0001","hid-name":"x","modalias":"hid:b0003g0001v000011C0p00005606",
    "rdesc":"05 01","drivers":[{"driver":"mouse-invert-y","object":"/x.bpf.o","generation":"struct-ops","hooks":["device-event",
    "rdesc-fixup"],"rule":"mouse","change":"fixed"}],"taken-off":["mouse-invert-y"],"failures":[{"drivers":["mouse-invert-y"],
    "message":"m","hint":"h"}]}"#;

const CONFIGURATION: &str = "[driver.mouse-invert-y]\nenabled = true\noptions.axis = \"x\"\n\n[[device]]\nvendor = 0x1234\nbus = \"usb\"\n\
    uniq = \"A*\"\n[device.driver.mouse-invert-y]\noptions = { axis = \"both\", fast = true, steps = 3 }\n[device.driver.other]\n\
    bind = true\n\n[[device]]\nproduct = 0x5678\nphys = \"usb-*\"\n[device.driver]\nother = { enabled = false }\n";

const DEVICES: [&[u8]; 2] = [
    b"DRIVER=hid-generic\nHID_ID=0003:0000256C:00000066\nHID_NAME=HUION Tablet\nHID_PHYS=usb-0000:00:14.0-1/input1\nHID_UNIQ=\n\
      MODALIAS=hid:b0003g0001v0000256Cp00000066\n\xffI:123\nE:HUION_FIRMWARE_ID=HUION_T21j_230511\nE:HIDBPF=1\n\xff\x05\x01\x09\x02\xa1\x01\
      \x09\x30\x75\x08\x95\x01\x81\x06\xc0",
    b"HID_NAME=two\nHIDBPF_IGNORE=1\nHID_UNIQ=x\n\xffE:HIDBPF_OPTION_MOUSE_INVERT_Y_AXIS=both\n",
];

/// A small file of each family of forms.
const POSTED: [&[u8]; 16] = [
    b"$ hid-recorder\n> R: 7 05 01 09\n02 a1 01 c0\nN: Mouse\nI: 3 46d c077\nE: 000000.000040 4 00 01 00 00\n",
    b"001:005:001:DESCRIPTOR 1709695945.570816\n 05 01 09 02 A1 01 C0\n\n001:005:001:STREAM 1709695946.5\n 00 01\n",
    b"Bus 001 Device 005: ID 046d:c077 M\n bInterfaceNumber 0\n Report Descriptor: (length is 7)\n Item(Global): Usage Page, data= [ 0x01 ] 1\n Item(Main  ): Collection, data= [ 0x01 ] 1\n",
    b"# Name: Mouse\n  hid: [\n 0x05, 0x01,\n 0xc0 ]\n- hid:\n time: [ 0, 12]\n hidraw0: [\n 0x01, 0x00\n ]\n",
    b"+-o A\n | \"VendorID\" = 5\n | \"ReportDescriptor\" = <05010902\na101c0>\n",
    b"<key>ReportDescriptor</key><data>BQEJAqEBwA==</data></dict>",
    b"ffff8f1d 100 S Ci:1:002:0 s 81 06 2200 0001 0007 7 <\nffff8f1d 130 C Ci:1:002:0 0 7 = 05010902 a101c0\nffff8f1d 300 C Ii:1:002:1 0:8 4 = 00010000\n",
    b"258A:0049: A - B\nPATH:\\\\?\\hid#vid_258a&pid_0049&mi_01&col01#7\nDESCRIPTOR:\n  05  01  09  02  A1  01  C1  00\n  (8 bytes)\n",
    b"[Attributes]\n0028=2803:0029:02:05010902a101c0:00002a4b-0000-1000-8000-00805f9b34fb\n0x0001=3608250705010902a101c0\nNotification handle = 0x0024 value: 01 00\n",
    b"==> /sys/kernel/debug/hid/0003:046D:C077.0001/rdesc <==\n05 01 09 02 a1 01 c0\n\n  INPUT(1)[INPUT]\n    Field(0)\n",
    b"<descriptor><usage_page>desktop<!-- a (01h) --></usage_page><COLLECTION type=\"application\"><input><variable/></input><unit><si_linear><centimeter>2</centimeter></si_linear></unit></COLLECTION></descriptor>",
    b"[   12.345678] hid: rdesc: 00000000: 05 01 09 02 a1 01  ......\n[   12.345679] hid: rdesc: 00000006: c0  .\n",
    b"0000000 000405 001011\n*\n0000010 000641 000300\n0000014\n",
    b"const u8 d[] = { 0x05, 0x01, USAGE(1), 0x02, /* x */ 0xa1, 1, 0xc0 }; // y\nd = b'\\x05\\x01\\t\\x02\\xa1\\1'",
    b"Usage Page (Desktop),  ; Generic (01h)\nUsage (Mouse)\nCollection (Application),\nInput (Variable, Relative),\nEnd Collection\n",
    b"\x0a\x0d\x0d\x0a\x1c\0\0\0\x4d\x3c\x2b\x1a\x01\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x1c\0\0\0\x01\0\0\0\x14\0\0\0\xdc\0\0\0\0\0\0\0\x14\0\0\0",
];

const VALUES: [&str; 5] =
    ["true", "both", "-12", "mouse-invert-y", "\n# X\nhidbpf:hid:b0003g*v1p2\n HIDBPF=1\n HIDBPF_DRIVER_X=x\n"];

const TEXTS: [&str; 5] = [
    "hid:b0003g0001v000011C0p00005606",
    "0003:11C0:5606.0001",
    "05 01 09 02 a1 01",
    "0x05, 0x01, /* page */ 0x09, // usage\n { 0x02; }",
    "5=05 00 01",
];
