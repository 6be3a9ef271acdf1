//! The places of fields in their report: fields without bits, and padding that is missing.

use crate::hex::HexBytes;

use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let inputs = || view.fields.iter().filter(|seen| seen.is_input());
    let mut findings: Vec<Finding> = inputs().filter_map(no_bits).collect();
    findings.extend(inputs().filter_map(|seen| no_padding(view, seen)));
    findings
}

/// Finds controls that have no bits.
fn no_bits(seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    if field.is_padding() || field.flags.is_constant() || field.bits() > 0 {
        return None;
    }
    let what = format!("the field has {} values of {} bits", field.count, field.size);
    Some(Finding::in_field(&rules::NO_BITS, Certainty::Certain, seen, what))
}

/// Finds numbers of whole bytes right behind buttons that don't fill their byte, in a report whose end is in a byte too.
fn no_padding(view: &View<'_>, seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    let missing = 8 - field.first_bit % 8;
    let is_number =
        !field.is_padding() && !field.flags.is_constant() && field.size >= 8 && field.size.is_multiple_of(8);
    // A report that ends with its last byte is packed.
    if !is_number || missing == 8 || seen.report.bits % 8 != field.first_bit % 8 {
        return None;
    }
    let is_in_front = |other: &&Seen<'_>| {
        let end = other.field.first_bit + other.field.bits();
        std::ptr::eq(other.report, seen.report) && other.field.size == 1 && end == field.first_bit
    };
    let buttons = view.fields.iter().find(is_in_front).filter(|buttons| !buttons.field.is_padding())?;
    let what = format!(
        "{} begins at bit {} of byte {}: {missing} bits of padding are missing behind {}",
        seen.name(),
        field.first_bit % 8,
        field.first_bit / 8,
        buttons.name()
    );
    let after = buttons.main.offset + buttons.main.bytes.len();
    // The size of the padding is the number's own: bits have another. Its count may be that of the buttons.
    let mut new = vec![0x75, missing as u8, 0x95, 1, 0x81, 3];
    let is_inherited = seen.report_count.is_none_or(|item| item.offset < after);
    let repair = u8::try_from(field.count).ok().map(|count| {
        if is_inherited {
            new.extend([0x95, count]);
        }
        Repair::Insert { offset: after, new: HexBytes(new) }
    });
    Some(Finding::in_field(&rules::NO_PADDING, Certainty::Likely, seen, what).with(repair))
}

#[cfg(test)]
mod tests {
    use crate::interpret::diagnose::tests::{found, repaired};

    #[test]
    fn controls_have_bits() {
        let mouse = |size: &str| format!("05 01 09 02 a1 01 05 09 19 01 29 08 15 00 25 01 75 {size} 95 08 81 02 c0");
        assert_eq!(found(&mouse("00")), ["field-without-bits certain 20"]);
        assert!(found(&mouse("01")).is_empty());
    }

    #[test]
    fn numbers_begin_with_a_byte() {
        let mouse = |padding: &str, count: &str| {
            format!(
                "05 01 09 02 a1 01 05 09 19 01 29 03 15 00 25 01 75 01 95 03 81 02 {padding}05 01 09 30 09 31 09 38 15 81 25 7f 75 08{count} 81 06 c0"
            )
        };
        repaired(&mouse("", " 95 03"), "padding-missing likely 38", &mouse("75 05 95 01 81 03 ", " 95 03"));
        repaired(&mouse("", ""), "padding-missing likely 36", &mouse("75 05 95 01 81 03 95 03 ", ""));
        // Three buttons, a number, and five buttons.
        let packed =
            mouse("", " 95 03").replace("81 06 c0", "81 06 05 09 19 04 29 08 15 00 25 01 75 01 95 05 81 02 c0");
        assert!(found(&packed).is_empty(), "{:?}", found(&packed));
    }
}
