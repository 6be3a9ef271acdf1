//! Replays objects compiled from C, before and after libbpf's linker, on descriptors and reports.

#![allow(clippy::unwrap_used, reason = "what the tests share is not outside input either")]

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use hidbpf::descriptor::ReportType;
use hidbpf::ids::{Bus, Group, HidId, ProductId, VendorId};
use hidbpf::recording::{Recording, RequestKind};
use hidbpf::replay::{
    Driver, Fixed, Generation, Object, ObjectError, Outcome, Reason, ReplayDevice, ReplayError, Report, Settings,
    Verdict,
};

mod support;

const BOTH: [Generation; 2] = [Generation::FmodRet, Generation::StructOps];

fn device() -> ReplayDevice {
    ReplayDevice {
        id: HidId(7),
        bus: Bus::USB,
        group: Group::GENERIC,
        vendor: VendorId(0x1234),
        product: ProductId(0x5678),
        name: "Maker Mouse".to_owned(),
        phys: "usb-1/input0".to_owned(),
        uniq: String::new(),
        descriptor: support::MOUSE.to_vec(),
    }
}

/// Runs libbpf's static linker on an object, as the build does for every driver.
fn link(object: &[u8]) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from.o"), directory.path().join("to.o"));
    std::fs::write(&from, object).unwrap();
    let mut linker = libbpf_rs::Linker::new(&to).unwrap();
    linker.add_file(&from).unwrap();
    linker.link().unwrap();
    std::fs::read(&to).unwrap()
}

/// Compiles an object for each instruction set version that clang supports, unlinked and linked.
fn variants(name: &'static str) -> Vec<(String, Vec<u8>)> {
    let mut variants = Vec::new();
    for cpu in ["v1", "v2", "v3"] {
        let object = support::compile(name, cpu);
        variants.push((format!("{name}, {cpu}, linked"), link(&object)));
        variants.push((format!("{name}, {cpu}"), object));
    }
    variants
}

fn everything() -> &'static [(String, Vec<u8>)] {
    static VARIANTS: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    VARIANTS.get_or_init(|| variants("everything"))
}

fn faulty() -> &'static Object {
    static OBJECT: OnceLock<Object> = OnceLock::new();
    OBJECT.get_or_init(|| Object::parse(&support::compile("faulty", "v3")).unwrap())
}

fn driver(object: &[u8], generation: Generation, settings: &Settings) -> Driver {
    Driver::new(&Object::parse(object).unwrap(), generation, &device(), settings).unwrap()
}

/// Runs a test on each variant of the `everything` object. The device answers requests for feature report 5.
fn each(generation: Generation, test: impl Fn(&mut Driver, &str)) {
    for (variant, object) in everything() {
        let settings = Settings { features: [(5, vec![5, 0x20])].into(), ..Settings::default() };
        let mut driver = driver(object, generation, &settings);
        test(&mut driver, &format!("{variant}, {generation}"));
    }
}

fn changed(driver: &mut Driver, report: &[u8], context: &str) -> Vec<u8> {
    match driver.event(report) {
        Ok(Outcome { before, report: Report::Changed(report), after, .. }) if before.is_empty() && after.is_empty() => {
            report
        }
        other => panic!("{context}: {other:?}"),
    }
}

/// Returns the result for the report, and asserts that there were no other reports.
fn only(outcome: Result<Outcome, ReplayError>) -> Result<Report, ReplayError> {
    outcome.map(|Outcome { before, report, after, .. }| {
        assert!(before.is_empty() && after.is_empty(), "{before:?} {after:?}");
        report
    })
}

#[test]
fn a_small_driver_does_the_same_in_both_generations() {
    for (variant, object) in variants("mouse") {
        for generation in BOTH {
            let mut driver = driver(&object, generation, &Settings::default());
            assert_eq!(driver.probe(), Ok(Verdict::Takes), "{variant}");
            let mut fixed = support::MOUSE.to_vec();
            fixed[3] = 0x01;
            assert_eq!(driver.fix_descriptor(support::MOUSE), Ok(Fixed::Changed(fixed.clone())), "{variant}");
            // The hook keeps no state: older kernels run it at every open.
            assert_eq!(driver.fix_descriptor(&fixed), Ok(Fixed::Unchanged), "{variant}");
            assert_eq!(only(driver.event(&[1, 2, 3, 4])), Ok(Report::Changed(vec![1, 2, 0xfd, 4])));
            assert_eq!(only(driver.event(&[1, 2, 0, 4])), Ok(Report::Unchanged));
            assert_eq!(only(driver.event(&[1, 2, 3])), Ok(Report::Unchanged));
            assert_eq!(only(driver.event(&[0x80, 2, 1, 4])), Ok(Report::Changed(vec![0x80, 2, 0xff])));
            assert_eq!(only(driver.event(&[0xff, 2, 3, 4])), Ok(Report::Dropped(-22)));
            assert_eq!(driver.variable("reports"), Some(vec![4, 0, 0, 0]));
            assert_eq!(driver.variable("hidbpf_fixup"), Some(vec![2, 0, 0, 0, 0, 0, 0, 0]));
            assert_eq!(driver.variable("nothing"), None);
        }
    }
}

#[test]
fn properties_and_options_reach_the_driver() {
    let object = support::compile("mouse", "v3");
    assert_eq!(Object::parse(&object).unwrap().properties().collect::<Vec<_>>(), ["MOUSE_MODEL"]);
    for generation in BOTH {
        let mut driver = driver(&object, generation, &Settings::default());
        assert!(!driver.set_property("OTHER", "x"));
        assert!(driver.set_property("MOUSE_MODEL", "none of these, and a long text"));
        assert_eq!(driver.variable("UDEV_PROP_MOUSE_MODEL"), Some(b"none of these, \0".to_vec()));
        assert_eq!(driver.fix_descriptor(support::MOUSE), Ok(Fixed::Refused(-19)));
        // The device keeps its original descriptor, so its reports still work.
        assert_eq!(only(driver.event(&[0, 0, 5, 0])), Ok(Report::Changed(vec![0, 0, 0xfb, 0])));
        driver.set_option("scale", &[0xfe]).unwrap();
        assert_eq!(only(driver.event(&[0, 0, 5, 0])), Ok(Report::Changed(vec![0, 0, 10, 0])));
        driver.set_property("MOUSE_MODEL", "long");
        let mut longer = support::MOUSE.to_vec();
        longer.push(0xc0);
        assert_eq!(driver.fix_descriptor(support::MOUSE), Ok(Fixed::Changed(longer)));
        let error = driver.event(&[0, 0, 5, 0]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the driver made a descriptor that the kernel would refuse: the report descriptor is invalid at byte 47: End Collection without a collection"
        );
        for (name, value, words) in [
            ("scale", &[1, 0][..], "has 2 bytes, expected 1"),
            ("scale", &[], "has 0 bytes, expected 1"),
            ("UDEV_PROP_MOUSE_MODEL", &[1], "has 1 bytes, expected 16"),
            ("speed", &[1], "is not one of the driver's"),
        ] {
            let error = driver.set_option(name, value).unwrap_err().to_string();
            assert_eq!(error, format!("the option `{name}` {words}"));
        }
        for value in [i64::MIN, i64::MAX, 0, -1] {
            driver.set_option("wide", &value.to_le_bytes()).unwrap();
            assert_eq!(driver.variable("wide"), Some(value.to_le_bytes().to_vec()));
        }
    }
    let mut other = device();
    other.id = HidId(8);
    let mut driver = Driver::new(&Object::parse(&object).unwrap(), BOTH[0], &other, &Settings::default()).unwrap();
    assert_eq!(driver.probe(), Ok(Verdict::Refuses(-22)));
}

#[test]
fn maps_keep_what_drivers_put_in_them() {
    for generation in BOTH {
        each(generation, |driver, context| {
            // New, counted, and a different one.
            assert_eq!(changed(driver, &[1, 9, 4, 0], context), [1, 0, 4, 0]);
            assert_eq!(changed(driver, &[1, 9, 4, 0], context), [1, 4, 4, 0]);
            assert_eq!(changed(driver, &[1, 9, 4, 0], context), [1, 5, 4, 0]);
            assert_eq!(changed(driver, &[1, 9, 5, 0], context), [1, 0, 5, 0]);
            assert_eq!(changed(driver, &[1, 9, 6, 0], context), [1, 0, 6, 0]);
            // E2BIG until one is deleted.
            assert_eq!(changed(driver, &[1, 9, 7, 0], context), [1, 7, 7, 0]);
            assert_eq!(changed(driver, &[9, 0, 0, 0], context), [9, 3, (4 * 5 + 5 * 3 + 6 * 3) as u8, 0]);
            assert_eq!(changed(driver, &[1, 9, 5, 7], context), [1, 4, 5, 1]);
            assert_eq!(changed(driver, &[1, 9, 7, 0], context), [1, 0, 7, 0]);
        });
    }
}

#[test]
fn helpers_do_what_they_do_in_the_kernel() {
    for generation in BOTH {
        each(generation, |driver, context| {
            let length = "<97>".len() as u8 + 1;
            assert_eq!(changed(driver, &[2, 9, b'a', b'b'], context), [2, 1, length, b'>']);
            assert_eq!(driver.take_messages(), ["97 and 62", "097 hello"], "{context}");
            assert_eq!(driver.take_messages(), [""; 0]);
            assert_eq!(changed(driver, &[2, 9, b'a', b'c'], context)[1], 0);
            let loops = [3, 7, (0..=6).sum::<u8>(), 3 + 4 + 5];
            assert_eq!(changed(driver, &[3, 0, 0, 0], context), loops);
            assert_eq!(changed(driver, &[4, 0, 10, 0], context), [4, 81 + 64, 10, 0]);
            assert_eq!(changed(driver, &[5, 0, 3, 0], context), [5, 5, 0xff, 0]);
            assert_eq!(changed(driver, &[5, 0, 3, 0], context), [5, 8, 0xff, 0]);
            assert_eq!(driver.variable("total"), Some(vec![11, 0, 0, 0]));
            driver.advance(Duration::from_secs(4)).unwrap();
            let second = changed(driver, &[12, 0, 0, 0], context)[1];
            driver.advance(Duration::from_secs(6)).unwrap();
            assert_eq!(changed(driver, &[12, 0, 0, 0], context)[1], second.wrapping_add(2));
        });
    }
}

#[test]
fn the_kernels_records_are_where_that_kernel_has_them() {
    for generation in BOTH {
        each(generation, |driver, context| {
            let name = if generation == Generation::StructOps { b'e' } else { b'a' };
            assert_eq!(changed(driver, &[6, 0, 0, 0], context), [6, 3, 0x34, name], "{context}");
            assert_eq!(changed(driver, &[7, 0, 0, 0], context), [7, b'u', 0x34, 64], "{context}");
            // Only older kernels have report_type and index, only newer ones the other three.
            let exists = if generation == Generation::FmodRet { 0b01_0011 } else { 0b11_1000 };
            let kfuncs = if generation == Generation::FmodRet { 0b001 } else { 0b011 };
            assert_eq!(changed(driver, &[8, 9, 0, 0], context), [8, 0, exists, kfuncs], "{context}");
            let outcome = driver.event_of(ReportType::Feature, &[8, 9, 0, 0]).unwrap();
            assert_eq!(outcome.report, Report::Changed(vec![8, 2, exists, kfuncs]), "{context}");
        });
    }
}

#[test]
fn sizes_are_those_of_the_kernels_buffer() {
    for generation in BOTH {
        each(generation, |driver, context| {
            let mut whole = vec![0; 64];
            (whole[0], whole[63]) = (13, 9);
            assert_eq!(changed(driver, &[13, 0, 0, 0], context), whole);
            assert_eq!(changed(driver, &[14, 0, 0, 0], context), [14, 0, 0]);
            let mut long = whole.clone();
            (long[0], long[63]) = (0, 0);
            assert_eq!(only(driver.event(&long)), Ok(Report::Unchanged));
            long.push(0);
            assert_eq!(driver.event(&long), Err(ReplayError::ReportTooLong { length: 65, buffer: 64 }));
        });
    }
    // Newer kernels use the value that older ones forbid as the new size.
    each(Generation::StructOps, |driver, context| assert_eq!(changed(driver, &[15, 0, 0, 0], context), [15, 0]));
    each(Generation::FmodRet, |driver, _| {
        let error = driver.event(&[15, 0, 0, 0]).unwrap_err().to_string();
        let end = "it writes 4 bytes at offset 24 of the hook's context (struct hid_bpf_ctx), which programs can't write there";
        assert!(error.ends_with(end), "{error}");
    });
}

#[test]
fn timers_and_work_run_in_the_recordings_time() {
    each(Generation::StructOps, |driver, context| {
        let reports = |sent: Vec<(Duration, Vec<u8>)>| {
            sent.into_iter().map(|(time, report)| (time.as_millis(), report)).collect::<Vec<_>>()
        };
        assert_eq!(reports(driver.advance(Duration::from_millis(500)).unwrap()), []);
        assert_eq!(changed(driver, &[10, 9, 9, 0], context), [10, 0, 0, 0]);
        assert_eq!(reports(driver.advance(Duration::from_millis(501)).unwrap()), []);
        // The timer starts the work item, which adds 1 and sends.
        let sent = reports(driver.advance(Duration::from_millis(600)).unwrap());
        assert_eq!(sent, [(502, vec![0xf0, 2, 0, 0])], "{context}");
        // EBUSY: a timer can only be initialised once.
        assert_eq!(changed(driver, &[10, 9, 9, 1], context), [10, 16, 0, 2]);
        assert_eq!(reports(driver.advance(Duration::from_millis(700)).unwrap()), []);
        // A timer that restarts itself, and then stops.
        changed(driver, &[11, 9, 9, 0], context);
        assert_eq!(reports(driver.advance(Duration::from_secs(100)).unwrap()), []);
        assert_eq!(changed(driver, &[12, 0, 0, 0], context)[1], (1000u32 + 100) as u8);
    });
}

#[test]
fn reports_of_the_drivers_own_go_through_its_hooks() {
    each(Generation::StructOps, |driver, context| {
        let outcome = driver.event(&[16, 7, 3, 0]).unwrap();
        assert_eq!(outcome.before, [[4, 5, 3, 0]], "{context}");
        // The kernel has one buffer: the hook continues with the injected report.
        assert_eq!(outcome.report, Report::Changed(vec![4, 0, 3, 0]), "{context}");
        let all: Vec<Vec<u8>> = outcome.reports(&[16, 7, 3, 0]).map(<[u8]>::to_vec).collect();
        assert_eq!(all, [[4, 5, 3, 0], [4, 0, 3, 0]]);
        // EDEADLOCK drops the inner report, and then the outer one.
        assert_eq!(only(driver.event(&[17, 0, 0, 0])), Ok(Report::Dropped(-35)), "{context}");
        assert_eq!(only(driver.event(&[18, 0, 0, 0])), Ok(Report::Changed(vec![18])), "{context}");
    });
}

#[test]
fn requests_are_answered_from_the_recording() {
    let requests = |driver: &mut Driver| {
        let requests = driver.take_requests();
        requests.into_iter().map(|request| (request.kind, request.data, request.answered)).collect::<Vec<_>>()
    };
    let numbered =
        [0x05, 0x01, 0x85, 5, 0x75, 8, 0x95, 2, 0xb1, 2, 0x85, 6, 0xb1, 2, 0x91, 2, 0x85, 7, 0x95, 1, 0x91, 2, 0x81, 2];
    for (variant, object) in everything() {
        let mut device = device();
        device.descriptor = numbered.to_vec();
        let mut settings = Settings { features: [(5, vec![5, 0x21, 3])].into(), ..Settings::default() };
        let object = Object::parse(object).unwrap();
        let mut driver = Driver::new(&object, Generation::StructOps, &device, &settings).unwrap();
        let mut argument = vec![0; 4108];
        argument[0] = 7;
        // EINVAL for a report that the device doesn't have.
        assert_eq!(driver.run_syscall("setup", &mut argument), Ok(-22), "{variant}");
        assert_eq!(argument[4104..], 3i32.to_le_bytes());
        assert_eq!(
            requests(&mut driver),
            [(RequestKind::Get, vec![5], true), (RequestKind::Set, vec![5, 0x22, 1], true)]
        );
        let mut fixed = numbered.to_vec();
        fixed[1] = 22;
        assert_eq!(driver.fix_descriptor(&numbered), Ok(Fixed::Changed(fixed)), "{variant}");
        assert_eq!(requests(&mut driver), []);

        // From user space: forwarded, answered by the hook, refused by it, changed by it.
        let mut data = vec![5, 0, 0];
        assert_eq!(driver.request(RequestKind::Get, ReportType::Feature, &mut data), Ok(3));
        assert_eq!(data, [5, 0x22, 1]);
        let mut data = vec![6, 0, 0];
        assert_eq!(driver.request(RequestKind::Get, ReportType::Feature, &mut data), Ok(2));
        assert_eq!(data, [6, 42]);
        assert_eq!(driver.request(RequestKind::Set, ReportType::Feature, &mut vec![6, 0, 0]), Ok(-1));
        assert_eq!(driver.request(RequestKind::Get, ReportType::Feature, &mut vec![9, 0, 0]), Ok(-5));
        driver.take_requests();
        assert_eq!(driver.request(RequestKind::Output, ReportType::Output, &mut vec![7, 8]), Ok(2));
        assert_eq!(driver.request(RequestKind::Output, ReportType::Output, &mut vec![7, 9]), Ok(2));
        assert_eq!(
            requests(&mut driver),
            [(RequestKind::Output, vec![7, 8], true), (RequestKind::Output, vec![7, 10], true)],
            "{variant}"
        );

        settings.features.clear();
        let mut driver = Driver::new(&object, Generation::StructOps, &device, &settings).unwrap();
        // EIO if the recording has no answer.
        driver.run_syscall("setup", &mut argument).unwrap();
        assert_eq!(argument[4104..], (-5i32).to_le_bytes());
        assert_eq!(requests(&mut driver), [(RequestKind::Get, vec![5], false)]);
        let missing = driver.run_syscall("nothing", &mut argument);
        assert_eq!(missing, Err(ReplayError::NoSyscallProgram("nothing".to_owned())));
    }
}

/// Returns the line of `faulty.bpf.c` with a comment.
fn line_of(comment: &str) -> u32 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects/faulty.bpf.c");
    let source = std::fs::read_to_string(path).unwrap();
    let line = source.lines().position(|line| line.ends_with(&format!("/* {comment} */"))).unwrap();
    line as u32 + 1
}

#[test]
fn each_fault_is_told_with_its_line_and_reason() {
    let settings = Settings { instruction_limit: 100_000, ..Settings::default() };
    for generation in BOTH {
        for (number, words) in [
            (1, "it reads 1 bytes at offset 4 of the data that it asked hid_bpf_get_data() for, which has 4 bytes"),
            (2, "it writes 1 bytes at offset -1 of the data that it asked hid_bpf_get_data() for, which has 4 bytes"),
            (3, "it reads 4 bytes through NULL, which is not a pointer"),
            (4, "it has run 100000 instructions without an end; is there an endless loop?"),
            (5, "its calls nest more than 8 deep"),
            (6, "it writes 4 bytes at offset 0 of the section `.rodata`, which programs can't write there"),
            (7, "it calls the helper bpf_get_current_task (number 35), which a replay does not have"),
            (8, "it calls `no_such_kfunc`: a replay does not know it"),
            (9, "it calls `hid_bpf_hw_request`: it sleeps, and this hook must not; a work item (bpf_wq) may"),
            (11, "which programs can't write there"),
            (14, "it calls `bpf_map_delete_elem` with something that is not a map"),
            (15, "it calls `bpf_loop` with something that is not a function"),
            (
                16,
                "it reads 8 bytes at offset 0 of the map `numbers`, which has to be asked for a value first, which has 0 bytes",
            ),
        ] {
            let mut driver = Driver::new(faulty(), generation, &device(), &settings).unwrap();
            let Err(ReplayError::Fault(fault)) = driver.event(&[number, 0, 0, 0]) else {
                panic!("{number} did not stop");
            };
            let message = fault.to_string();
            assert!(message.ends_with(words), "{number}: {message}");
            let source = fault.source.unwrap();
            assert!(source.file.ends_with("tests/objects/faulty.bpf.c"), "{}", source.file);
            assert_eq!(source.line, line_of(&number.to_string()), "{message}");
            assert!(source.text.contains(&format!("/* {number} */")), "{}", source.text);
            let name = if generation == Generation::FmodRet { "event_fmod" } else { "event_ops" };
            assert_eq!(fault.program, if number == 5 { "forever" } else { name });
            // The next report works normally.
            assert_eq!(only(driver.event(&[0, 0, 0, 0])), Ok(Report::Unchanged));
        }
        let mut driver = Driver::new(faulty(), generation, &device(), &settings).unwrap();
        let Err(ReplayError::Fault(fault)) = driver.event(&[10, 0, 0, 0]) else {
            panic!("a result that is too long is taken")
        };
        assert_eq!(fault.reason, Reason::ResultTooLong { result: 65, buffer: 64 });
        let Err(ReplayError::Fault(fault)) = driver.event(&[12, 0, 0, 0]) else {
            panic!("a member that is not there was read")
        };
        assert_eq!(
            fault.reason.to_string(),
            format!("`struct hid_bpf_ctx` has no member `never` on {generation} kernels")
        );
        assert_eq!(fault.source.unwrap().line, line_of("12"));
        let Err(ReplayError::Fault(fault)) = driver.event(&[13, 0, 0, 0]) else { panic!("a context has an end") };
        let end = if generation == Generation::FmodRet { 32 } else { 16 };
        let words =
            format!("it reads 4 bytes at offset 400 of the hook's context (struct hid_bpf_ctx), which has {end} bytes");
        assert_eq!(fault.reason.to_string(), words);
        let Err(ReplayError::Fault(fault)) = driver.probe() else { panic!("a released context was read") };
        assert_eq!(fault.reason.to_string(), "it reads 4 bytes of memory that has been given back");
        assert_eq!(fault.source.unwrap().line, line_of("probe"));
    }
}

#[test]
fn what_takes_long_or_fills_memory_has_an_end() {
    let fault = |driver: &mut Driver, number: u8| match driver.event(&[number, 0, 0, 0]) {
        Err(ReplayError::Fault(fault)) => fault,
        other => panic!("{number}: {other:?}"),
    };
    for generation in BOTH {
        let settings = Settings { instruction_limit: 100_000, ..Settings::default() };
        let mut driver = Driver::new(faulty(), generation, &device(), &settings).unwrap();
        // Each message costs more than the instructions around it, and is truncated as in the kernel.
        assert_eq!(fault(&mut driver, 17).reason, Reason::Endless(100_000));
        let messages = driver.take_messages();
        assert!((1000..5000).contains(&messages.len()), "{} messages", messages.len());
        assert!(messages.iter().all(|message| message.len() == 1023));

        let mut driver = Driver::new(faulty(), generation, &device(), &Settings::default()).unwrap();
        let again = fault(&mut driver, 19);
        assert_eq!(again.reason.to_string(), "timers or work items ran 10000 times in a row");
        assert_eq!(again.program, "at_once");
        // All callbacks together may take as long as one hook.
        let settings = Settings { instruction_limit: 1000, ..Settings::default() };
        let mut driver = Driver::new(faulty(), generation, &device(), &settings).unwrap();
        let endless = fault(&mut driver, 19);
        assert_eq!((endless.reason, endless.program.as_str()), (Reason::Endless(1000), "at_once"));
    }
    let mut driver = Driver::new(faulty(), Generation::StructOps, &device(), &Settings::default()).unwrap();
    let full = fault(&mut driver, 18);
    assert_eq!(full.reason.to_string(), "it sends more than 10000 reports for one from the device");
    assert_eq!(full.source.unwrap().line, line_of("18"));
}

#[test]
fn what_can_not_be_attached_is_told() {
    let object = support::compile("mouse", "v3");
    for (descriptor, words) in [
        (
            &[0x05, 0x01, 0x09, 0x02][..],
            "the descriptor declares no report, so that a driver must not be attached for reports",
        ),
        (
            &[0x85, 0x00],
            "the kernel would refuse the device: the report descriptor is invalid at byte 0: Report ID (0) is not 1 to 255",
        ),
        (
            &[],
            "the kernel would refuse the device: the report descriptor is invalid at byte 0: it has 0 bytes; 1 to 4096 are possible",
        ),
    ] {
        let mut device = device();
        device.descriptor = descriptor.to_vec();
        let mut driver = Driver::new(&Object::parse(&object).unwrap(), BOTH[0], &device, &Settings::default()).unwrap();
        assert_eq!(driver.event(&[0; 4]).unwrap_err().to_string(), words);
    }
    let error = Object::parse(&support::compile("two_fixups", "v3")).unwrap_err();
    assert_eq!(error, ObjectError::TwoFixups { count: 2 });
    let only_older = Object::parse(&support::compile("faulty", "v3")).unwrap();
    assert_eq!(only_older.generations(), BOTH);
    for (bytes, words) in [
        (&b""[..], "the file is not an ELF object"),
        (b"#!/bin/sh\n", "the file is not an ELF object"),
        (&object[..100], "the file is not an ELF object"),
    ] {
        let error = Object::parse(bytes).unwrap_err().to_string();
        assert!(error.starts_with(words), "{error}");
    }
    let host = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let error = Object::parse(&host).unwrap_err().to_string();
    assert!(error.starts_with("the file is an ELF object, and not one of BPF programs"), "{error}");
}

#[test]
fn a_recording_comes_out_as_the_kernel_would_have_it() {
    let hex: Vec<String> = support::MOUSE.iter().map(|byte| format!("{byte:02x}")).collect();
    let recording = |first: &str, events: &str| {
        let mut hex = hex.clone();
        hex[3] = first.to_owned();
        format!("D: 0\nR: {} {}\nN: Mouse\nP: usb-1\nI: 3 1234 5678\n{events}", hex.len(), hex.join(" "))
    };
    let original = recording(
        "02",
        "E: 000000.000000 4 00 01 02 03\nE: 000000.500000 4 ff 01 02 03\nE: 000001.000001 4 80 00 01 02\n",
    );
    let expected = recording("01", "E: 000000.000000 4 00 01 fe 03\nE: 000001.000001 3 80 00 ff\n");
    let original = Recording::parse(Path::new("mouse.hid"), original.as_bytes()).unwrap();
    let object = Object::parse(&support::compile("mouse", "v3")).unwrap();
    for generation in BOTH {
        let recorded = &original.devices[0];
        let mut driver = Driver::new(&object, generation, &recorded.into(), &Settings::of(recorded)).unwrap();
        let replayed = driver.replay(&original, 0).unwrap();
        assert_eq!(replayed.recording.to_string(), expected);
        let [Some(changed), Some(dropped), Some(shortened)] = replayed.instructions[..] else {
            panic!("{:?}", replayed.instructions)
        };
        assert!(0 < dropped && dropped < changed && dropped < shortened, "{:?}", replayed.instructions);
    }
    let mut driver = Driver::new(faulty(), BOTH[1], &(&original.devices[0]).into(), &Settings::default()).unwrap();
    let mut broken = original.clone();
    broken.events[1].report[0] = 1;
    let error = driver.replay(&broken, 0).unwrap_err().to_string();
    assert!(
        error.starts_with("line 7: ") && error.contains("faulty.bpf.c:") && error.contains("reads 1 bytes at offset 4"),
        "{error}"
    );
}

/// Changes some bytes, preferring values that have a meaning in ELF or BPF.
fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..=random.usize(..6) {
        let at = random.usize(..bytes.len());
        match random.usize(..10) {
            0 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff, 0x85, 0x18, 0x95][random.usize(..8)],
            1 => bytes[at] ^= 1 << random.usize(..8),
            2 => bytes[at] = bytes[at].wrapping_add(8),
            3 => {
                let end = bytes.len().min(at + 1 + random.usize(..8));
                bytes[at..end].fill([0, 0xff][random.usize(..2)]);
            }
            4 => {
                let (from, length) = (random.usize(..bytes.len()), 1 + random.usize(..64));
                let piece = bytes[from..bytes.len().min(from + length)].to_vec();
                let end = bytes.len().min(at + piece.len());
                bytes[at..end].copy_from_slice(&piece[..end - at]);
            }
            5 if random.usize(..20) == 0 => bytes.truncate(at.max(1)),
            _ => bytes[at] = random.u8(..),
        }
    }
}

#[test]
fn no_object_makes_a_replay_panic_or_run_for_ever() {
    let settings = Settings { instruction_limit: 2_000, memory_limit: 4 << 20, ..Settings::default() };
    let mut random = fastrand::Rng::with_seed(11);
    let (mut opened, mut finished) = (0, 0);
    for name in ["mouse", "everything", "faulty"] {
        let raw = support::compile(name, "v3");
        let objects = [link(&raw), raw];
        for round in 0..1_000 {
            let mut bytes = objects[round % 2].clone();
            mutate(&mut bytes, &mut random);
            let Ok(object) = Object::parse(&bytes) else { continue };
            opened += 1;
            let _ = (object.syscall_programs().count(), object.properties().count());
            for generation in BOTH {
                let Ok(mut driver) = Driver::new(&object, generation, &device(), &settings) else { continue };
                let _ = driver.probe();
                let _ = driver.run_syscall("setup", &mut [7, 0, 0, 0, 0, 0, 0, 0]);
                let _ = driver.fix_descriptor(support::MOUSE);
                let _ = driver.request(RequestKind::Get, ReportType::Feature, &mut vec![6, 0, 0]);
                for number in [1, 2, 10, 16, 0x80].into_iter().chain([random.usize(..19) as u8]) {
                    finished += u32::from(driver.event(&[number, 1, 2, 3]).is_ok());
                }
                let _ = driver.advance(Duration::from_secs(1));
            }
        }
    }
    // Most changes affect names and lines and do no harm.
    assert!(opened > 1_500 && finished > 8_000, "{opened} {finished}");
}
