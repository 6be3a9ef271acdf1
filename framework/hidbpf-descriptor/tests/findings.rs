//! Findings in real descriptors: those of `../shared/descriptors`, and those of the drivers' recordings before and after the driver.
//!
//! `cargo test -p hidbpf-descriptor --test findings -- --nocapture` prints the tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hidbpf_descriptor::Descriptor;
use hidbpf_descriptor::diagnose::{self, Certainty, Finding, RULES, Repair};
use hidbpf_descriptor::recording::Recording;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(suffix)).collect();
    files.sort();
    files
}

fn is_repaired(finding: &Finding, descriptor: &[u8]) -> Result<(), String> {
    if finding.repairs.is_empty() {
        return Ok(());
    }
    let repaired = Repair::apply(&finding.repairs, descriptor).ok_or("the old bytes differ")?;
    let again = diagnose::descriptor(&repaired);
    let offset = finding.offset.unwrap_or_default();
    let is_there =
        |other: &Finding| other.rule == finding.rule && other.offset.unwrap_or_default().abs_diff(offset) < 2;
    match Descriptor::parse(&repaired) {
        Err(error) if Descriptor::parse(descriptor).is_ok() => {
            Err(format!("the repaired descriptor is refused: {error}"))
        }
        // A repair of one fault may show the next.
        _ if again.iter().any(is_there) && Descriptor::parse(descriptor).is_ok() => Err("it is found again".to_owned()),
        _ => Ok(()),
    }
}

#[test]
fn real_descriptors_are_repaired_by_what_is_proposed() {
    let folder = root().join("../shared/descriptors");
    let files = files(&folder, ".bin");
    if files.is_empty() {
        eprintln!("skipped: the descriptors of {} are not there", folder.display());
    }
    let (mut counts, mut faults, mut with) = (BTreeMap::<(&str, Certainty), usize>::new(), Vec::new(), 0);
    for path in &files {
        let descriptor = fs::read(path).expect("it can be read");
        let findings = diagnose::descriptor(&descriptor);
        with += usize::from(!findings.is_empty());
        for finding in &findings {
            *counts.entry((finding.rule.id, finding.certainty)).or_default() += 1;
            if let Err(error) = is_repaired(finding, &descriptor) {
                faults.push(format!("{}: {}: {error}: {finding:?}", path.display(), finding.rule.id));
            }
            if std::env::var_os("FINDINGS").is_some_and(|id| id == finding.rule.id) {
                eprintln!("{}: {:?} {}", path.display(), finding.offset, finding.what);
            }
        }
    }
    eprintln!("{} descriptors, {with} with findings", files.len());
    for ((id, certainty), count) in counts {
        eprintln!("{id:26} {certainty:8} {count:5}");
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

/// The ids of findings.
type Ids = Vec<(&'static str, Certainty)>;

/// Returns the ids of the findings in a recording, each once.
fn ids(path: &Path) -> Ids {
    let recording = Recording::read(path).expect("it is a recording");
    let all = (0..recording.devices.len()).flat_map(|device| diagnose::recording(&recording, device));
    let mut ids: Vec<_> = all.map(|finding| (finding.rule.id, finding.certainty)).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Returns the ids of the findings in a driver's recordings, as they are and as the driver makes them.
fn before_and_after(driver: &Path) -> (Ids, Ids) {
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for path in files(&driver.join("recordings"), ".hid") {
        match path.to_string_lossy().ends_with(".expected.hid") {
            true => after.extend(ids(&path)),
            false => before.extend(ids(&path)),
        }
    }
    for list in [&mut before, &mut after] {
        list.sort_unstable();
        list.dedup();
    }
    (before, after)
}

/// Prints the findings of each driver's recordings, before and after the driver.
///
/// No driver adds one that is certain, except for a negative maximum, which has no effect on Linux.
#[test]
fn no_driver_adds_a_defect() {
    let mut added = Vec::new();
    let mut drivers = fs::read_dir(root().join("drivers"))
        .expect("the drivers are there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect::<Vec<_>>();
    drivers.sort();
    for driver in drivers {
        let name = driver.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (before, after) = before_and_after(&driver);
        let gone: Vec<_> = before
            .iter()
            .filter(|id| !after.contains(id))
            .map(|(id, certainty)| format!("{id} ({certainty})"))
            .collect();
        let stay: Vec<_> = before.iter().filter(|id| after.contains(id)).map(|(id, _)| *id).collect();
        let new: Vec<_> = after.iter().filter(|id| !before.contains(id)).collect();
        let is_defect = |(id, certainty): &(&str, Certainty)| *certainty == Certainty::Certain && *id != "maximum-sign";
        added.extend(new.iter().filter(|id| is_defect(id)).map(|(id, _)| format!("{name}: {id}")));
        let new: Vec<_> = new.iter().map(|(id, _)| *id).collect();
        if !before.is_empty() || !after.is_empty() {
            eprintln!("{name}: gone: {}; stay: {}; new: {}", gone.join(", "), stay.join(", "), new.join(", "));
        }
    }
    assert!(added.is_empty(), "{}", added.join("\n"));
}

/// What the drivers repair is found before, and not after.
#[test]
fn repairs_of_drivers_are_found_before_and_not_after() {
    for (driver, id) in [
        ("ble-mini-keyboard", "array-value-out-of-range"),
        ("ecoflow-river-3-plus", "collection-not-ended"),
        ("frtec-raptor-mach-2", "hat-positions"),
        ("hp-elite-presenter", "two-of-a-kind"),
        ("huion-dial-2", "eraser-for-button"),
        ("huion-h610-pro", "size-missing"),
        ("huion-h610-pro", "second-tip"),
        ("huion-inspiroy-2-s", "eraser-for-button"),
        ("huion-inspiroy-frego-m", "second-tip"),
        ("huion-kamvas-13-gen3", "second-tip"),
        ("huion-kamvas-16-gen3", "second-tip"),
        ("huion-kamvas-pro-19", "second-tip"),
        ("iogear-kaliber-mmomentum", "constant-with-usages"),
        ("logitech-spacenavigator", "relative-controller"),
        ("mistel-md770", "array-of-bits"),
        ("rapoo-m50-plus-silent", "usages-repeat"),
        ("thrustmaster-tca-yoke-boeing", "vendor-field-is-axis"),
        ("trust-philips-spk6327", "array-of-bits"),
        ("waltop-batteryless-tablet", "eraser-for-button"),
        ("xppen-artist-24", "eraser-for-button"),
        ("xppen-artist-pro-16-gen2", "eraser-for-button"),
        ("xppen-deco-mini-4", "eraser-for-button"),
    ] {
        let (before, after) = before_and_after(&root().join("drivers").join(driver));
        let has = |ids: &[(&str, Certainty)]| ids.iter().any(|(found, _)| *found == id);
        assert!(has(&before), "{driver}: {id} is not found: {before:?}");
        assert!(!has(&after), "{driver}: {id} is found after the driver");
    }
}

#[test]
fn each_rule_has_its_section_in_the_documentation() {
    let page = fs::read_to_string(root().join("docs/findings.md")).expect("the page is there");
    for rule in RULES {
        assert!(page.lines().any(|line| line == format!("## {}", rule.id)), "{}", rule.id);
    }
    let sections = page.lines().filter_map(|line| line.strip_prefix("## "));
    let unknown: Vec<&str> = sections.filter(|section| !RULES.iter().any(|rule| rule.id == *section)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
