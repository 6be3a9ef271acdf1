//! Tests the decision with a table, and with invariants over all combinations of facts.

use std::path::Path;
use std::sync::LazyLock;

use super::*;
use crate::config::{Config, Problem, Source};
use crate::driver::matching::Miss;
use crate::ids::HidName;

static SOURCE: LazyLock<Source> =
    LazyLock::new(|| Source { path: "/etc/hidbpf/hidbpf.toml".into(), line: 5, column: 1 });
static PROBLEM: LazyLock<Problem> =
    LazyLock::new(|| Config::of_text(Path::new("/etc/hidbpf/hidbpf.toml"), "broken").problems.remove(0));
static NAMES: LazyLock<[DriverName; 3]> =
    LazyLock::new(|| ["tested", "other", "third"].map(|name| DriverName::new(name).unwrap()));
static SKIPPED: LazyLock<RecordedFailure> = LazyLock::new(|| failure(RecordedFailure::MAX_TRIES - 1));
static GIVEN_UP: LazyLock<RecordedFailure> = LazyLock::new(|| failure(RecordedFailure::MAX_TRIES));
static REFUSED: LazyLock<RecordedFailure> = LazyLock::new(|| failure(0));

fn failure(skipped: u32) -> RecordedFailure {
    let (drivers, message) = (vec![NAMES[0].clone()], "it did not work".to_owned());
    RecordedFailure { drivers, message, hint: None, step: None, skipped }
}

fn near() -> Verdict {
    let miss = Miss { rule: "rule 1".to_owned(), reasons: vec!["its bus is usb, expected i2c".to_owned()] };
    Verdict::NearMiss { rules: vec![miss] }
}

fn undecided(lacks: Lack) -> Verdict {
    Verdict::Undecided { rule: "rule 1".to_owned(), lacks }
}

fn matches() -> Verdict {
    Verdict::Matches { rule: "rule 1".to_owned() }
}

fn theirs() -> Exclusion {
    Exclusion::UdevHidBpf(vec!["Their__Program".to_owned()])
}

/// A fix for a bound device, without configuration and history.
fn plain(name: &'static DriverName) -> DriverFacts<'static> {
    DriverFacts {
        name,
        made_for: "a mouse",
        asked: Asked::No,
        verdict: matches(),
        enablement: Enablement::Unset,
        is_automatic: true,
        fixes_descriptor: false,
        needs_binding: false,
        unsupported: None,
        standing: Standing::Off,
        unloaded: false,
        failure: None,
    }
}

fn bound() -> DeviceFacts {
    DeviceFacts { is_bound: true, ..DeviceFacts::default() }
}

fn unsupported() -> (String, String) {
    ("it has no programs".to_owned(), "boot another kernel".to_owned())
}

/// Returns the decision in a few words.
fn word(decision: &Decision) -> String {
    let Decision::Leave(reason) = decision else {
        let Decision::Attach { rule } = decision else { return String::new() };
        return format!("attach by {}", rule.as_deref().unwrap_or("force"));
    };
    match reason {
        Reason::NotForIt { misses, .. } if misses.is_empty() => "not for it",
        Reason::NotForIt { .. } => "nearly for it",
        Reason::Undecided { lacks: Lack::KernelDriver, .. } => "not bound yet",
        Reason::Undecided { lacks: Lack::OriginalDescriptor, .. } => "not read",
        Reason::Disabled(_) => "disabled",
        Reason::ConfigUnreadable(_) => "unreadable",
        Reason::Excluded(Exclusion::CommandLine) => "command line",
        Reason::Excluded(Exclusion::Property(..)) => "property",
        Reason::Excluded(Exclusion::UdevHidBpf(_)) => "udev-hid-bpf",
        Reason::Attached => "attached",
        Reason::OnRequest => "on request",
        Reason::Unloaded => "unloaded",
        Reason::Unsupported { .. } => "unsupported",
        Reason::Failed(_) => "failed",
        Reason::NotBound => "not bound",
        Reason::FixedBy(_) => "fixed by another",
        Reason::Rivals(_) => "rivals",
    }
    .to_owned()
}

type Change = fn(&mut DeviceFacts, &mut DriverFacts<'static>);

/// A change to a plain driver, and the decisions if no user asks, and if the user enables it, loads it, and forces it.
const TABLE: &[(Change, [&str; 4])] = &[
    (|_, _| {}, ["attach by rule 1"; 4]),
    (|_, driver| driver.verdict = Verdict::No, ["not for it", "not for it", "not for it", "attach by force"]),
    (|_, driver| driver.verdict = near(), ["nearly for it", "nearly for it", "nearly for it", "attach by force"]),
    // A fact that the kernel can provide is read before anything else is decided. A fact that only time brings is
    // checked last.
    (
        |_, driver| driver.verdict = undecided(Lack::OriginalDescriptor),
        ["not read", "not read", "not read", "attach by force"],
    ),
    (
        |_, driver| {
            (driver.verdict, driver.enablement) = (undecided(Lack::OriginalDescriptor), Enablement::Disabled(&SOURCE))
        },
        ["not read", "not read", "not read", "attach by force"],
    ),
    (
        |_, driver| {
            (driver.verdict, driver.unsupported) = (undecided(Lack::OriginalDescriptor), Some(unsupported()));
        },
        ["unsupported"; 4],
    ),
    (
        |_, driver| driver.verdict = undecided(Lack::KernelDriver),
        ["not bound yet", "not bound yet", "not bound yet", "attach by force"],
    ),
    (
        |_, driver| {
            (driver.verdict, driver.enablement) = (undecided(Lack::KernelDriver), Enablement::Disabled(&SOURCE))
        },
        ["disabled", "disabled", "not bound yet", "attach by force"],
    ),
    (
        |_, driver| (driver.verdict, driver.enablement) = (undecided(Lack::KernelDriver), Enablement::Bound(&SOURCE)),
        ["attach by /etc/hidbpf/hidbpf.toml:5"; 4],
    ),
    (
        |_, driver| driver.enablement = Enablement::Disabled(&SOURCE),
        ["disabled", "disabled", "attach by rule 1", "attach by rule 1"],
    ),
    (
        |_, driver| driver.enablement = Enablement::Unreadable(&PROBLEM),
        ["unreadable", "unreadable", "attach by rule 1", "attach by rule 1"],
    ),
    // The configuration binds it to a device that its manifest does not match.
    (
        |_, driver| (driver.verdict, driver.enablement) = (near(), Enablement::Bound(&SOURCE)),
        ["attach by /etc/hidbpf/hidbpf.toml:5"; 4],
    ),
    (|_, driver| driver.enablement = Enablement::Enabled(&SOURCE), ["attach by rule 1"; 4]),
    (|_, driver| driver.is_automatic = false, ["on request", "on request", "attach by rule 1", "attach by rule 1"]),
    (
        |_, driver| (driver.is_automatic, driver.enablement) = (false, Enablement::Enabled(&SOURCE)),
        ["attach by rule 1"; 4],
    ),
    // The user overrides the machine's settings, but not another tool.
    (
        |device, _| device.exclusion = Some(Exclusion::CommandLine),
        ["command line", "command line", "attach by rule 1", "attach by rule 1"],
    ),
    (
        |device, _| device.exclusion = Some(Exclusion::Property("HIDBPF_IGNORE", "1".to_owned())),
        ["property", "property", "attach by rule 1", "attach by rule 1"],
    ),
    (
        |device, _| device.exclusion = Some(theirs()),
        ["udev-hid-bpf", "udev-hid-bpf", "udev-hid-bpf", "attach by rule 1"],
    ),
    (
        |device, driver| (device.exclusion, driver.verdict) = (Some(theirs()), near()),
        ["nearly for it", "nearly for it", "nearly for it", "attach by force"],
    ),
    (
        |device, driver| (device.exclusion, driver.verdict) = (Some(theirs()), Verdict::No),
        ["not for it", "not for it", "not for it", "attach by force"],
    ),
    (|_, driver| driver.standing = Standing::Attached, ["attached"; 4]),
    // The configuration detaches it, unless the user loads it.
    (
        |_, driver| (driver.standing, driver.enablement) = (Standing::Attached, Enablement::Disabled(&SOURCE)),
        ["disabled", "disabled", "attached", "attached"],
    ),
    // An attached driver stays: also if it does not match, if another tool uses the device, or if it is attached only
    // on request.
    (|_, driver| (driver.standing, driver.verdict) = (Standing::Attached, Verdict::No), ["attached"; 4]),
    (|device, driver| (device.exclusion, driver.standing) = (Some(theirs()), Standing::Attached), ["attached"; 4]),
    (|_, driver| (driver.standing, driver.is_automatic) = (Standing::Attached, false), ["attached"; 4]),
    // It is reattached if the device's properties have changed, by the match rule that applies now.
    (
        |_, driver| driver.standing = Standing::Outdated,
        ["attach by rule 1", "attach by rule 1", "attached", "attached"],
    ),
    (
        |_, driver| (driver.standing, driver.verdict) = (Standing::Outdated, near()),
        ["nearly for it", "nearly for it", "attached", "attached"],
    ),
    (|_, driver| driver.unloaded = true, ["unloaded", "attach by rule 1", "attach by rule 1", "attach by rule 1"]),
    (|_, driver| driver.unsupported = Some(unsupported()), ["unsupported"; 4]),
    (|device, driver| (device.is_bound, driver.needs_binding) = (false, true), ["not bound"; 4]),
    (|device, _| device.is_bound = false, ["attach by rule 1"; 4]),
    // A failed driver is tried again when the device is plugged in. At a bind event, it is tried again only if the
    // binding may have been the cause.
    (|_, driver| driver.failure = Some(&GIVEN_UP), ["attach by rule 1"; 4]),
    (|device, driver| (device.just_bound, driver.failure) = (true, Some(&*SKIPPED)), ["attach by rule 1"; 4]),
    (|device, driver| (device.just_bound, driver.failure) = (true, Some(&*GIVEN_UP)), ["failed"; 4]),
    (|device, driver| (device.just_bound, driver.failure) = (true, Some(&*REFUSED)), ["failed"; 4]),
    // The kernel accepts one descriptor hook for each device.
    (
        |device, driver| (device.holder, driver.fixes_descriptor) = (Some(NAMES[1].clone()), true),
        ["fixed by another"; 4],
    ),
    (|device, _| device.holder = Some(NAMES[1].clone()), ["attach by rule 1"; 4]),
    (
        |device, driver| {
            (device.holder, driver.fixes_descriptor) = (Some(NAMES[0].clone()), true);
            driver.standing = Standing::Outdated;
        },
        ["attach by rule 1", "attach by rule 1", "attached", "attached"],
    ),
];

const ASKED: [Asked; 4] = [Asked::No, Asked::Enabled, Asked::Loaded, Asked::Forced];

#[test]
fn each_fact_has_its_answer() {
    for (index, (change, expected)) in TABLE.iter().enumerate() {
        for (asked, expected) in ASKED.into_iter().zip(expected) {
            let (mut device, mut driver) = (bound(), DriverFacts { asked, ..plain(&NAMES[0]) });
            change(&mut device, &mut driver);
            let decisions = decide(&device, std::slice::from_ref(&driver));
            assert_eq!(word(&decisions[0]), *expected, "row {index}, {device:?}, {driver:?}");
        }
    }
}

#[test]
fn of_rivals_for_the_descriptor_none_is_attached() {
    let fixer = |name| DriverFacts { fixes_descriptor: true, ..plain(name) };
    let [first, second, third] = [&NAMES[0], &NAMES[1], &NAMES[2]];
    let words = |device: &DeviceFacts, drivers: &[DriverFacts<'_>]| {
        decide(device, drivers).iter().map(word).collect::<Vec<_>>().join(", ")
    };
    let event = plain(third);
    assert_eq!(words(&bound(), &[fixer(first), fixer(second), event.clone()]), "rivals, rivals, attach by rule 1");
    // Also if the user enables one of them.
    let enabled = DriverFacts { asked: Asked::Enabled, ..fixer(first) };
    assert_eq!(words(&bound(), &[enabled, fixer(second)]), "rivals, rivals");
    // A driver that is not attached for another reason is not a rival.
    for (other, expected) in [
        (DriverFacts { enablement: Enablement::Disabled(&SOURCE), ..fixer(second) }, "attach by rule 1, disabled"),
        (DriverFacts { is_automatic: false, ..fixer(second) }, "attach by rule 1, on request"),
        (DriverFacts { verdict: near(), ..fixer(second) }, "attach by rule 1, nearly for it"),
        (DriverFacts { unloaded: true, ..fixer(second) }, "attach by rule 1, unloaded"),
        (DriverFacts { unsupported: Some(unsupported()), ..fixer(second) }, "attach by rule 1, unsupported"),
    ] {
        assert_eq!(words(&bound(), &[fixer(first), other]), expected);
    }
    // The driver that holds the descriptor hook keeps it, even while it is reattached.
    let device = DeviceFacts { holder: Some(first.clone()), ..bound() };
    for (standing, expected) in
        [(Standing::Attached, "attached, fixed by another"), (Standing::Outdated, "attach by rule 1, fixed by another")]
    {
        assert_eq!(words(&device, &[DriverFacts { standing, ..fixer(first) }, fixer(second)]), expected);
    }
}

/// Calls `check` with every combination of facts about one driver.
fn all_combinations(mut check: impl FnMut(&DeviceFacts, &DriverFacts<'static>, &Decision)) {
    let exclusions = [
        None,
        Some(Exclusion::CommandLine),
        Some(Exclusion::Property("HIDBPF_IGNORE", "1".to_owned())),
        Some(theirs()),
    ];
    let enablements = [
        Enablement::Unset,
        Enablement::Enabled(&SOURCE),
        Enablement::Bound(&SOURCE),
        Enablement::Disabled(&SOURCE),
        Enablement::Unreadable(&PROBLEM),
    ];
    let standings = [Standing::Off, Standing::Attached, Standing::Outdated];
    let holders = [None, Some(NAMES[0].clone()), Some(NAMES[1].clone())];
    let failures = [None, Some(&*SKIPPED), Some(&*GIVEN_UP), Some(&*REFUSED)];
    let verdicts = [Verdict::No, near(), undecided(Lack::KernelDriver), undecided(Lack::OriginalDescriptor), matches()];
    // Each bit sets one boolean fact.
    for bits in 0u32..1 << 7 {
        let bit = |number: u32| bits & 1 << number != 0;
        for (exclusion, holder) in
            exclusions.iter().flat_map(|exclusion| holders.iter().map(move |holder| (exclusion, holder)))
        {
            let device = DeviceFacts {
                exclusion: exclusion.clone(),
                is_bound: bit(0),
                holder: holder.clone(),
                just_bound: bit(1),
            };
            for (enablement, standing) in
                enablements.iter().flat_map(|enablement| standings.iter().map(move |standing| (enablement, standing)))
            {
                for (verdict, failure) in
                    verdicts.iter().flat_map(|verdict| failures.iter().map(move |failure| (verdict, failure)))
                {
                    for asked in ASKED {
                        let driver = DriverFacts {
                            asked,
                            verdict: verdict.clone(),
                            enablement: *enablement,
                            is_automatic: bit(2),
                            fixes_descriptor: bit(3),
                            needs_binding: bit(4),
                            unsupported: bit(5).then(unsupported),
                            standing: *standing,
                            unloaded: bit(6),
                            failure: *failure,
                            ..plain(&NAMES[0])
                        };
                        let decisions = decide(&device, std::slice::from_ref(&driver));
                        check(&device, &driver, &decisions[0]);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_attached_is_wanted_possible_and_for_the_device() {
    all_combinations(|device, driver, decision| {
        let is_for_it = driver.verdict == matches() || matches!(driver.enablement, Enablement::Bound(_));
        let is_said = matches!(driver.enablement, Enablement::Enabled(_) | Enablement::Bound(_));
        let is_wanted = is_said || driver.enablement == Enablement::Unset && driver.is_automatic;
        let is_possible = driver.unsupported.is_none()
            && (device.is_bound || !driver.needs_binding)
            && !(driver.fixes_descriptor && device.holder.as_ref().is_some_and(|holder| holder != driver.name))
            && driver.failure.is_none_or(|failure| !device.just_bound || failure.may_be_tried_again());
        let is_expected = is_possible
            && match driver.asked {
                Asked::No | Asked::Enabled => {
                    let is_kept_off = driver.unloaded && driver.asked == Asked::No;
                    is_for_it
                        && is_wanted
                        && device.exclusion.is_none()
                        && driver.standing != Standing::Attached
                        && !is_kept_off
                }
                Asked::Loaded => is_for_it && device.exclusion != Some(theirs()) && driver.standing == Standing::Off,
                Asked::Forced => driver.standing == Standing::Off,
            };
        let is_attached = matches!(decision, Decision::Attach { .. });
        assert_eq!(is_attached, is_expected, "{decision:?} of {device:?}, {driver:?}");
    });
}

#[test]
fn each_reason_is_true_and_has_a_hint() {
    let device_name: HidName = "0003:0001:0001.0001".parse().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    all_combinations(|device, driver, decision| {
        let Decision::Leave(reason) = decision else { return };
        let is_true = match reason {
            Reason::NotForIt { .. } => [Verdict::No, near()].contains(&driver.verdict),
            Reason::Undecided { lacks, .. } => driver.verdict == undecided(*lacks),
            Reason::Disabled(_) => matches!(driver.enablement, Enablement::Disabled(_)),
            Reason::ConfigUnreadable(_) => matches!(driver.enablement, Enablement::Unreadable(_)),
            Reason::Excluded(exclusion) => device.exclusion.as_ref() == Some(exclusion),
            Reason::Attached => driver.standing != Standing::Off,
            Reason::OnRequest => !driver.is_automatic,
            Reason::Unloaded => driver.unloaded,
            Reason::Unsupported { .. } => driver.unsupported.is_some(),
            Reason::Failed(_) => driver.failure.is_some() && device.just_bound,
            Reason::NotBound => !device.is_bound,
            Reason::FixedBy(holder) => device.holder.as_ref() == Some(holder) && holder != driver.name,
            // A single driver has no rivals.
            Reason::Rivals(_) => false,
        };
        assert!(is_true, "{reason:?} of {device:?}, {driver:?}");
        if seen.insert(word(decision)) {
            let hint = reason.hint(driver.name, &device_name);
            assert!(hint.len() > 10 && !reason.to_string().is_empty(), "{reason}: {hint}");
            assert_eq!(reason.error(driver.name, &device_name).hint(), Some(&*hint));
        }
    });
    let expected = "attached, command line, disabled, failed, fixed by another, nearly for it, not bound, not bound yet, not for it, \
                    not read, on request, property, udev-hid-bpf, unloaded, unreadable, unsupported";
    assert_eq!(Vec::from_iter(seen).join(", "), expected);
}
