//! Explains that a driver is run on a device that it doesn't match.

use hidbpf::matching::{Miss, Verdict};
use hidbpf::object::DriverObject;

/// Returns one line with the reason why the driver would not be attached. `None` if it would be.
pub fn mismatch(driver: &DriverObject, verdict: &Verdict) -> Option<String> {
    let why = match verdict {
        Verdict::Matches { .. } => return None,
        Verdict::Undecided { rule, lacks } => format!("by {rule}, {lacks}"),
        Verdict::NearMiss { rules } => {
            let miss = |Miss { rule, reasons }: &Miss| format!("{rule}: {}", reasons.join("; "));
            rules.iter().map(miss).collect::<Vec<_>>().join(", ")
        }
        Verdict::No => {
            let mut ids: Vec<String> = driver.manifest.matches.iter().map(|rule| rule.ids()).collect();
            ids.dedup();
            format!("they are for {}", ids.join(", "))
        }
    };
    Some(format!("the match rules of the driver `{}` do not take it: {why}", driver.name))
}
