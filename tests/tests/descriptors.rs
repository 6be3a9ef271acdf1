//! The parsing of real descriptors: those of `../shared/descriptors`, one test each, and those of the drivers' recordings.
//!
//! Each is parsed completely or refused, and the result is consistent and agrees with the crate hidreport.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::LazyLock;

use hidbpf::descriptor::{
    Anatomy, Content, Descriptor, DiffKind, Field, ItemKind, Report, ReportLengths, ReportType, Undecodable, Usage,
    decoded_difference, items_difference, picture, picture_of_difference, reports_difference,
};
use hidbpf::fields::DriverField;
use hidbpf::ids::{Bus, Group, HidId, ProductId, VendorId};
use hidbpf::recording::Recording;
use hidbpf::replay::{Driver, Fixed, Generation, Object, ReplayDevice, Settings};
use hidbpf_prelink::driver::FieldPlace;
use hidbpf_tests::random::Random;
use hidbpf_tests::walked::{longest, walked};
use libtest_mimic::{Arguments, Failed, Trial};

/// How many times each descriptor is damaged.
const ROUNDS: usize = 10;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let recordings = recordings(&root.join("drivers"));
    let real = real(&root.join("../shared/descriptors"));
    let mut trials = Vec::new();
    let mut descriptors = Vec::new();
    for (title, path) in recordings {
        let recording = Recording::read(&path);
        if let Ok(recording) = &recording {
            descriptors.extend(recording.devices.iter().map(|device| device.descriptor.clone()));
        }
        trials.push(Trial::test(format!("recording/{title}"), move || check_recording(&recording?)));
    }
    match real {
        Ok(real) => {
            for (title, path) in real {
                let bytes = fs::read(&path);
                descriptors.extend(bytes.as_ref().ok().filter(|bytes| !bytes.is_empty()).cloned());
                trials.push(Trial::test(format!("real/{title}"), move || check_real(&bytes?)));
            }
        }
        Err(error) => {
            eprintln!("skipped: real/*: ../shared/descriptors can't be read: {error}");
            trials.push(Trial::test("real/*", || Ok(())).with_ignored_flag(true));
        }
    }
    trials.push(Trial::test("longest", || check_walk(&longest())));
    trials.push(Trial::test("damaged", move || check_damaged(&descriptors)));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Returns the descriptors in a folder, by name.
fn real(folder: &Path) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".hid.bin") {
            found.insert(name.to_owned(), path);
        }
    }
    Ok(found)
}

/// Returns the recordings of all drivers, and their expected results, by name.
fn recordings(drivers: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let folders = fs::read_dir(drivers).into_iter().flatten().flatten().map(|driver| driver.path());
    for folder in folders {
        for recording in fs::read_dir(folder.join("recordings")).into_iter().flatten().flatten() {
            let path = recording.path();
            if path.extension().is_none_or(|extension| extension != "hid") {
                continue;
            }
            let title = path.strip_prefix(drivers).unwrap_or(&path).display().to_string().replace("recordings/", "");
            found.insert(title, path);
        }
    }
    found
}

fn check_real(bytes: &[u8]) -> Result<(), Failed> {
    match Descriptor::parse(bytes) {
        // sysfs shows no bytes for a device that no kernel driver has opened.
        Err(refused) if bytes.is_empty() => equal("the refusal", &refused.offset, &0),
        Err(refused) => Err(refused.into()),
        Ok(descriptor) => {
            check_walk(bytes)?;
            check_descriptor(&descriptor)
        }
    }
}

/// Checks that the SDK's walk over the items reaches each of them, as in a driver on kernels of both generations.
fn check_walk(bytes: &[u8]) -> Result<(), Failed> {
    const WALK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/fixtures/bench-walk.bpf.o"));
    static OBJECT: LazyLock<Object> = LazyLock::new(|| Object::parse(WALK).expect("the fixture is an object"));
    let device = ReplayDevice {
        id: HidId(1),
        bus: Bus::USB,
        group: Group::GENERIC,
        vendor: VendorId(0x1d6b),
        product: ProductId(0x0107),
        name: String::new(),
        phys: String::new(),
        uniq: String::new(),
        descriptor: bytes.to_vec(),
    };
    for generation in [Generation::FmodRet, Generation::StructOps] {
        let mut driver = Driver::new(&OBJECT, generation, &device, &Settings::default())?;
        let fixed = match driver.fix_descriptor(bytes)? {
            Fixed::Changed(fixed) => fixed,
            Fixed::Unchanged | Fixed::Refused(_) => bytes.to_vec(),
        };
        equal("the descriptor after the walk", &fixed, &walked(bytes))?;
    }
    Ok(())
}

fn check_recording(recording: &Recording) -> Result<(), Failed> {
    for (index, device) in recording.devices.iter().enumerate() {
        let descriptor = match Descriptor::parse(&device.descriptor) {
            Ok(descriptor) => descriptor,
            // Its driver repairs it.
            Err(fault) => {
                equal("refusals", &Anatomy::of(&device.descriptor).fault, &Some(fault))?;
                check_walk(&device.descriptor)?;
                continue;
            }
        };
        check_descriptor(&descriptor)?;
        for event in recording.events_of(index) {
            match descriptor.decode(ReportType::Input, &event.report) {
                Ok(decoded) if decoded.missing > 0 => {
                    let missing = decoded.values.iter().any(|value| value.content == Content::Missing);
                    equal("whether something is missing", &missing, &true)?;
                }
                Ok(decoded) => {
                    let same = decoded_difference(&decoded, &decoded.clone());
                    equal("values", &same.len(), &decoded.values.len())?;
                }
                // Some devices send more than they declare.
                Err(Undecodable::Undeclared { .. }) => {}
                Err(empty) => return Err(empty.into()),
            }
        }
    }
    Ok(())
}

/// Checks the properties of every descriptor that the kernel accepts.
fn check_descriptor(descriptor: &Descriptor) -> Result<(), Failed> {
    let mut offset = 0;
    for item in &descriptor.items {
        equal("an item's offset", &item.offset, &offset)?;
        equal("an item's bytes", &item.bytes.as_slice(), &&descriptor.bytes[offset..offset + item.bytes.len()])?;
        offset += item.bytes.len();
    }
    equal("the bytes of all items", &offset, &descriptor.bytes.len())?;
    for report in &descriptor.reports {
        check_report(descriptor, report)
            .map_err(|failed| format!("{report}: {}", failed.message().unwrap_or_default()))?;
    }
    agrees_with_replay(descriptor)?;
    agrees_with_hidreport(descriptor)?;
    agrees_with_fields(descriptor)?;
    let anatomy = Anatomy::of(&descriptor.bytes);
    let same = items_difference(&anatomy, &anatomy);
    equal("items that differ from themselves", &same.iter().any(|item| item.change != DiffKind::Same), &false)?;
    check_pictures(descriptor)
}

fn check_report(descriptor: &Descriptor, report: &Report) -> Result<(), Failed> {
    let mut bit = if report.numbered { 8 } else { 0 };
    for field in &report.fields {
        equal("a field's first bit", &field.first_bit, &bit)?;
        let parts = field.parts();
        equal("a field's parts in bits", &parts.iter().map(|part| part.bits()).sum(), &field.bits())?;
        equal("a field's rows in bits", &field.rows().iter().map(|row| row.size * row.count).sum(), &field.bits())?;
        bit += field.bits();
    }
    equal("all fields in bits", &report.bits, &bit)?;
    for fill in [0x00, 0xff, 0x55] {
        let mut bytes = vec![fill; report.bytes()];
        if let (true, Some(first)) = (report.numbered, bytes.first_mut()) {
            *first = report.id.unwrap_or(0);
        }
        if bytes.is_empty() {
            continue;
        }
        let decoded = descriptor.decode(report.kind, &bytes)?;
        equal("what is missing", &(decoded.missing, decoded.excess.0.len()), &(0, 0))?;
        equal("missing values", &decoded.values.iter().any(|value| value.content == Content::Missing), &false)?;
        equal(
            "values in bits",
            &decoded.values.iter().map(|value| value.part.bits()).sum(),
            &report.fields.iter().map(Field::bits).sum::<u32>(),
        )?;
        let _ = decoded.to_string();
        // A byte too few, and a byte too many.
        let cut = descriptor.report_of(report.kind, &bytes)?.decode(&bytes[..bytes.len() - 1]);
        equal("what is missing", &cut.missing, &1)?;
        bytes.push(7);
        equal("what is too much", &descriptor.decode(report.kind, &bytes)?.excess.0, &vec![7])?;
    }
    Ok(())
}

/// Checks the fields that a driver reads: the first field with its usage counts, in any report.
fn agrees_with_fields(descriptor: &Descriptor) -> Result<(), Failed> {
    for kind in [ReportType::Input, ReportType::Output, ReportType::Feature] {
        let mut fields: Vec<(&Report, &Field)> = Vec::new();
        for report in descriptor.reports.iter().filter(|report| report.kind == kind) {
            fields.extend(report.fields.iter().filter(|field| field.flags.is_variable()).map(|field| (report, field)));
        }
        fields.sort_by_key(|(_, field)| field.offset);
        let mut first: BTreeMap<Usage, Option<FieldPlace>> = BTreeMap::new();
        for (report, field) in fields {
            let id = if report.numbered { 0 } else { 8 };
            for (index, usage) in (0..field.count).zip(field.usages.iter()) {
                let fits = (1..=32).contains(&field.size);
                first.entry(usage).or_insert_with(|| {
                    fits.then_some(FieldPlace {
                        report_id: report.id.unwrap_or(0),
                        kind: kind.number() as u8,
                        size: field.size as u16,
                        offset: id + field.first_bit + index * field.size,
                    })
                });
            }
        }
        for (usage, place) in first {
            let found = field_of(kind, usage).find(&descriptor.bytes);
            equal(&format!("the {kind} field of {usage}"), &found, &place)?;
        }
        equal("a field that is not there", &field_of(kind, NOWHERE).find(&descriptor.bytes), &None)?;
    }
    Ok(())
}

/// A usage that no descriptor has.
const NOWHERE: Usage = Usage(0x00fe_1234);

fn field_of(report: ReportType, usage: Usage) -> DriverField {
    DriverField { name: "field".to_owned(), report, usage_page: usage.page(), usage: usage.id() }
}

/// Checks that a replay uses the same lengths of reports as the kernel's `hid_report_len()`.
fn agrees_with_replay(descriptor: &Descriptor) -> Result<(), Failed> {
    let counted = ReportLengths::parse(&descriptor.bytes)?;
    for report in &descriptor.reports {
        let has_id = usize::from(report.numbered && report.id.is_none());
        let length = counted.length(report.kind, report.id.unwrap_or(0)).map(|length| length + has_id);
        equal("a report's length", &Some(report.bytes()), &length)?;
    }
    equal("reports", &descriptor.reports.len(), &counted.iter().count())
}

/// Checks that hidreport parses the same bytes to the same result, except for known differences.
fn agrees_with_hidreport(descriptor: &Descriptor) -> Result<(), Failed> {
    let theirs = hidreport::ReportDescriptor::try_from(&descriptor.bytes)?;
    same_reports(descriptor, ReportType::Input, theirs.input_reports())?;
    same_reports(descriptor, ReportType::Output, theirs.output_reports())?;
    same_reports(descriptor, ReportType::Feature, theirs.feature_reports())
}

fn same_reports(descriptor: &Descriptor, kind: ReportType, theirs: &[impl hidreport::Report]) -> Result<(), Failed> {
    // hidreport ignores reports without a bit.
    let ours = descriptor.reports.iter().filter(|report| report.kind == kind);
    let ours: Vec<_> = ours.filter(|report| report.fields.iter().any(|field| field.bits() > 0)).collect();
    equal("reports", &ours.len(), &theirs.len())?;
    // With Pop, hidreport restores local items as well.
    let pops = descriptor.items.iter().any(|item| item.kind == ItemKind::Pop);
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        equal("ids", &ours.id, &theirs.report_id().map(u8::from))?;
        equal("bits", &(ours.bits as usize), &theirs.size_in_bits())?;
        let values = ours.fields.iter().flat_map(|field| {
            // hidreport has one field for each value of a variable field, and one for any other field.
            let count = if field.flags.is_variable() && !field.flags.is_constant() { field.count } else { 1 };
            let size = field.bits() / count.max(1);
            (0..if size > 0 { count } else { 0 }).map(move |index| (field, index, field.first_bit + index * size, size))
        });
        let values: Vec<_> = values.collect();
        equal("fields", &values.len(), &theirs.fields().len())?;
        for ((field, index, first_bit, size), theirs) in values.into_iter().zip(theirs.fields()) {
            same_field(field, (first_bit as usize, size as usize), theirs)?;
            if !pops {
                same_usages(field, index, theirs)?;
            }
        }
    }
    Ok(())
}

fn same_field(field: &Field, bits: (usize, usize), theirs: &hidreport::Field) -> Result<(), Failed> {
    use hidreport::Field as Theirs;
    let (range, limits) = match theirs {
        Theirs::Variable(theirs) => (&theirs.bits, Some((theirs.logical_minimum, theirs.logical_maximum))),
        Theirs::Array(theirs) => (&theirs.bits, Some((theirs.logical_minimum, theirs.logical_maximum))),
        Theirs::Constant(theirs) => (&theirs.bits, None),
    };
    equal("a field's bits", &bits, &(range.start, range.len()))?;
    let Some((minimum, maximum)) = limits else { return equal("a constant", &field.flags.is_constant(), &true) };
    equal("the logical minimum", &field.logical.minimum, &i32::from(minimum).into())?;
    // hidreport treats a maximum with its highest bit set as negative, for any minimum.
    if i32::from(maximum) >= 0 || field.is_signed() {
        equal("the logical maximum", &field.logical.maximum, &i32::from(maximum).into())?;
    }
    Ok(())
}

fn same_usages(field: &Field, index: u32, theirs: &hidreport::Field) -> Result<(), Failed> {
    let (ours, theirs): (Vec<_>, _) = match theirs {
        hidreport::Field::Variable(theirs) => {
            (field.usages.get(index).or(field.usages.last()).into_iter().collect(), vec![theirs.usage])
        }
        hidreport::Field::Array(theirs) => (field.usages.iter().collect(), theirs.usages().to_vec()),
        hidreport::Field::Constant(_) => return Ok(()),
    };
    // Next to a range of usages hidreport drops the others, and it applies the last page to all.
    match field.usages.spans() {
        [_] => equal("usages", &ours, &theirs.into_iter().map(|usage| Usage(u32::from(usage))).collect()),
        _ => Ok(()),
    }
}

/// Checks that pictures are well-formed and contain every part of every report.
fn check_pictures(descriptor: &Descriptor) -> Result<(), Failed> {
    let svg = picture("a <device> & \"its\" reports", &descriptor.reports);
    let document = roxmltree::Document::parse(&svg)?;
    let tips: Vec<_> =
        document.descendants().filter(|node| node.has_tag_name("title")).filter_map(|it| it.text()).collect();
    equal("the title", &tips.first().copied(), &Some("a <device> & \"its\" reports"))?;
    let drawn: BTreeSet<&str> = tips.iter().filter_map(|tip| tip.rsplit_once(": ")).map(|(name, _)| name).collect();
    for part in descriptor.reports.iter().flat_map(|report| &report.fields).flat_map(Field::parts) {
        equal(&format!("whether `{}` is drawn", part.name), &drawn.contains(part.name.as_str()), &true)?;
    }
    let same = reports_difference(descriptor, descriptor);
    equal("reports that differ from themselves", &same.iter().any(|report| report.change() != DiffKind::Same), &false)?;
    roxmltree::Document::parse(&picture_of_difference("before and after", &same))?;
    Ok(())
}

/// Checks that damaged descriptors are parsed or refused, and that no later operation panics.
fn check_damaged(descriptors: &[Vec<u8>]) -> Result<(), Failed> {
    let mut random = Random::new(6);
    for whole in descriptors {
        for _ in 0..ROUNDS {
            let bytes = random.change(whole);
            let _ = field_of(ReportType::Feature, NOWHERE).find(&bytes);
            let anatomy = Anatomy::of(&bytes);
            check_walk(&bytes)?;
            equal("the bytes of all items", &anatomy.items.iter().map(|item| item.bytes.len()).sum(), &bytes.len())?;
            let read = Descriptor::parse(&bytes);
            equal("refusals", &read.as_ref().err(), &anatomy.fault.as_ref())?;
            if let Ok(descriptor) = read {
                check_read(&descriptor, &mut random)?;
            }
        }
        let (before, after) = (Anatomy::of(whole), Anatomy::of(&random.change(whole)));
        let difference = items_difference(&before, &after);
        let side: Vec<_> = difference.iter().filter_map(|item| item.before.clone()).collect();
        equal("items before", &side, &before.items)?;
        let side: Vec<_> = difference.iter().filter_map(|item| item.after.clone()).collect();
        equal("items after", &side, &after.items)?;
    }
    for _ in 0..20_000 {
        if let Ok(descriptor) = Descriptor::parse(&random.bytes(60)) {
            check_read(&descriptor, &mut random)?;
        }
    }
    Ok(())
}

/// Runs all operations on a parsed descriptor.
fn check_read(descriptor: &Descriptor, random: &mut Random) -> Result<(), Failed> {
    agrees_with_replay(descriptor)?;
    for kind in [ReportType::Input, ReportType::Output, ReportType::Feature] {
        let (one, other) = (random.bytes(40), random.bytes(40));
        if let (Ok(one), Ok(other)) = (descriptor.decode(kind, &one), descriptor.decode(kind, &other)) {
            let _ = (one.to_string(), decoded_difference(&one, &other));
        }
    }
    if random.below(8) == 0 {
        roxmltree::Document::parse(&picture("damaged", &descriptor.reports))?;
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, expected: &T) -> Result<(), Failed> {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: {found:?}, expected {expected:?}").into()),
    }
}
