//! Logical ranges whose numbers have the wrong sign, or the wrong order.

use super::view::Seen;
use super::{Certainty, Finding, Repair, rules};

/// Finds a range whose minimum is above its maximum, both of the same size: the two numbers are exchanged.
pub(super) fn exchanged(seen: &Seen<'_>) -> Option<Finding> {
    let (minimum, maximum) = (seen.logical_minimum?, seen.logical_maximum?);
    let (from, to) = (i64::from(minimum.signed()), i64::from(maximum.signed()));
    if from <= 0 || to >= 0 || (from + to).abs() > 1 {
        return None;
    }
    let what = format!("the logical range begins at {from} and ends at {to}");
    let finding = Finding::in_field(&rules::EXCHANGED, Certainty::Likely, seen, what).at(minimum.offset);
    Some(finding.with(Repair::value(minimum, to)).with(Repair::value(maximum, from)))
}

/// Finds maximums that are negative by the specification. The kernel reads them without a sign if the minimum is not negative.
pub(super) fn maximum(seen: &Seen<'_>) -> Option<Finding> {
    let item = seen.logical_maximum?;
    let minimum = seen.logical_minimum.map_or(0, |item| item.signed());
    if item.signed() >= 0 || minimum < 0 || item.data().len() == 4 {
        return None;
    }
    let value = i64::from(item.unsigned());
    let (rule, what) = match seen.field.logical.maximum == value {
        true => (
            &rules::MAXIMUM_SIGN,
            format!("Logical Maximum ({}) is below the minimum {minimum}: {value} needs another byte", item.signed()),
        ),
        // It comes before its minimum.
        false => (
            &rules::NEGATIVE,
            format!(
                "Logical Maximum ({}) has the sign of the minimum before it: {value} needs another byte",
                item.signed()
            ),
        ),
    };
    let finding = Finding::in_field(rule, Certainty::Certain, seen, what).at(item.offset);
    Some(finding.with(Repair::value(item, value)))
}

/// Finds ranges from the lowest number of their bits to -1. The maker wrote the maximum without a sign.
pub(super) fn negative(seen: &Seen<'_>) -> Option<Finding> {
    let (field, item) = (seen.field, seen.logical_maximum?);
    let highest = (1_i64 << field.size.clamp(1, 32).saturating_sub(1)) - 1;
    let is_lowest = [-highest, -highest - 1].contains(&field.logical.minimum);
    if field.size < 8 || field.size > 32 || !is_lowest || field.logical.maximum != -1 {
        return None;
    }
    let what = format!("the logical range {} has no positive values", field.logical);
    let finding = Finding::in_field(&rules::NEGATIVE, Certainty::Likely, seen, what).at(item.offset);
    Some(finding.with(Repair::value(item, highest)))
}

#[cfg(test)]
mod tests {
    use crate::interpret::diagnose::tests::{found, repaired};

    fn mouse(range: &str) -> String {
        format!("05 01 09 02 a1 01 09 30 09 31 {range} 75 08 95 02 81 06 c0")
    }

    #[test]
    fn ranges_that_are_exchanged_are_repaired() {
        repaired(&mouse("15 7f 25 81"), "logical-range-exchanged likely 10", &mouse("15 81 25 7f"));
        assert_eq!(found(&mouse("15 7f 25 81")).len(), 1);
    }

    #[test]
    fn a_maximum_in_front_of_its_minimum_has_another_sign() {
        let axis = |range: &str| format!("05 01 09 04 a1 01 15 81 25 7f {range} 09 30 75 08 95 01 81 02 c0");
        repaired(&axis("25 ff 15 00"), "maximum-negative certain 10", &axis("26 ff 00 15 00"));
        let behind = axis("15 00 25 ff");
        assert_eq!(found(&behind), ["maximum-sign certain 12"]);
    }

    #[test]
    fn ranges_without_positive_values_are_repaired() {
        repaired(&mouse("15 80 25 ff"), "maximum-negative likely 12", &mouse("15 80 25 7f"));
        let wide = |maximum: &str| mouse(&format!("16 01 80 26 {maximum}")).replace("75 08", "75 10");
        repaired(&wide("ff ff"), "maximum-negative likely 13", &wide("ff 7f"));
        assert!(found(&wide("ff 7f")).is_empty());
    }
}
