//! Fields of the wrong kind: a list of keys that is variable, movements that are absolute, directions that are two axes.

use super::applications::{GAMEPAD, JOYSTICK, MOUSE};
use super::usages::PAGE_KEYBOARD;
use super::view::{Seen, View};
use super::{Certainty, Finding, Repair, rules};

const X: u32 = 0x0001_0030;
const Y: u32 = 0x0001_0031;
const WHEEL: u32 = 0x0001_0038;
/// AC Pan of the page Consumer: the second wheel.
const PAN: u32 = 0x000c_0238;

pub(super) fn check(view: &View<'_>) -> Vec<Finding> {
    let fields = || view.fields.iter().filter(|seen| seen.is_input() && !seen.field.is_padding() && is_data(seen));
    fields().flat_map(|seen| [codes(seen), movement(seen), directions(seen)]).flatten().collect()
}

fn is_data(seen: &Seen<'_>) -> bool {
    seen.field.flags.is_variable() && !seen.field.flags.is_constant()
}

/// Finds bytes with the numbers of keys that are declared as one key each.
fn codes(seen: &Seen<'_>) -> Option<Finding> {
    const VARIABLE: u8 = 2;
    let field = seen.field;
    let first = field.usages.get(0)?;
    // A list of keys names all keys that there can be, and has room for a few.
    if first.page() != PAGE_KEYBOARD || field.size < 8 || field.usages.len() < 16 || field.usages.len() <= field.count {
        return None;
    }
    let what = format!(
        "{} values of {} bits for {} keys are declared variable, so the first keys get the numbers of all",
        field.count,
        field.size,
        field.usages.len()
    );
    let finding = Finding::in_field(&rules::CODES, Certainty::Likely, seen, what);
    Some(finding.with(Repair::flags(seen.main, VARIABLE, 0)))
}

/// Finds a mouse whose movements are declared as positions: their range is small and has its middle at 0.
fn movement(seen: &Seen<'_>) -> Option<Finding> {
    const RELATIVE: u8 = 4;
    let field = seen.field;
    let is_position = field.usages.iter().take(2).any(|usage| [X, Y, WHEEL, PAN].contains(&usage.0));
    let is_around_zero = field.logical.minimum < 0 && (field.logical.minimum + field.logical.maximum).abs() <= 1;
    if seen.application() != MOUSE || field.flags.is_relative() || !is_position || !is_around_zero || field.size > 16 {
        return None;
    }
    let what = format!("movements of a mouse with the range {} are declared as positions", field.logical);
    let finding = Finding::in_field(&rules::MOVEMENT, Certainty::Likely, seen, what);
    Some(finding.with(Repair::flags(seen.main, 0, RELATIVE)))
}

/// Finds a direction pad that is declared as two axes with three positions each.
fn directions(seen: &Seen<'_>) -> Option<Finding> {
    let field = seen.field;
    let is_axis = field.usages.iter().take(2).any(|usage| [X, Y].contains(&usage.0));
    let positions = field.logical.maximum - field.logical.minimum + 1;
    if ![JOYSTICK, GAMEPAD].contains(&seen.application())
        || !is_axis
        || positions != 3
        || field.logical.minimum.abs() > 1
    {
        return None;
    }
    let what = "X and Y have three positions each: a direction pad is declared as a stick";
    Some(Finding::in_field(&rules::DIRECTIONS, Certainty::Possible, seen, what))
}

#[cfg(test)]
mod tests {
    use crate::interpret::diagnose::{Repair, descriptor};

    fn found(hex: &str) -> Vec<String> {
        let bytes: crate::hex::HexBytes = hex.parse().unwrap();
        descriptor(&bytes.0).iter().map(|finding| format!("{} {}", finding.rule.id, finding.certainty)).collect()
    }

    #[test]
    fn a_list_of_keys_is_an_array() {
        let keys = "05 01 09 06 a1 01 05 07 19 00 29 65 15 00 25 65 75 08 95 06 81 02 c0";
        assert_eq!(found(keys), ["keys-variable likely"]);
        assert!(found(&keys.replace("81 02", "81 00")).is_empty());
        let bytes: crate::hex::HexBytes = keys.parse().unwrap();
        let repaired = Repair::apply(&descriptor(&bytes.0)[0].repairs, &bytes.0).unwrap();
        assert!(descriptor(&repaired).is_empty());
        // A key for each bit, and the pressure of each of four keys.
        assert!(
            found("05 01 09 06 a1 01 05 07 19 00 29 65 15 00 25 01 75 01 95 66 81 02 75 02 95 01 81 03 c0").is_empty()
        );
        assert!(found("05 01 09 06 a1 01 05 07 19 04 29 07 15 00 26 ff 00 75 08 95 04 81 02 c0").is_empty());
    }

    #[test]
    fn mice_move() {
        let mouse = "05 01 09 02 a1 01 09 30 09 31 15 81 25 7f 75 08 95 02 81 02 c0";
        assert_eq!(found(mouse), ["movement-absolute likely"]);
        assert!(found(&mouse.replace("81 02", "81 06")).is_empty());
        // The pointer of a virtual machine is a mouse with positions.
        assert!(found("05 01 09 02 a1 01 09 30 09 31 15 00 26 ff 7f 75 10 95 02 81 02 c0").is_empty());
    }

    #[test]
    fn three_positions_are_a_direction_pad() {
        let pad = "05 01 09 05 a1 01 09 30 09 31 15 00 25 02 75 02 95 02 81 02 75 04 95 01 81 03 c0";
        assert_eq!(found(pad), ["directions-are-axes possible"]);
        assert!(found(&pad.replace("25 02 75 02", "25 03 75 02")).is_empty());
    }
}
