//! Units of measurement: HID 1.11, section 6.2.2.7.

use std::fmt;

/// The value of a Unit item: the unit system in the lowest four bits, then the powers of the quantities, four bits
/// each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(into = "String")]
pub struct Unit(pub u32);

/// The units of length, mass, time, temperature, current and luminous intensity. In a rotational system, the first is
/// the unit of angle.
type System = [&'static str; 6];

impl Unit {
    /// The systems 1 to 4: SI and English, each linear and rotational. Others are reserved or the vendor's.
    const SYSTEMS: [System; 4] = [
        ["cm", "g", "s", "K", "A", "cd"],
        ["rad", "g", "s", "K", "A", "cd"],
        ["in", "slug", "s", "F", "A", "cd"],
        ["deg", "slug", "s", "F", "A", "cd"],
    ];

    /// Returns whether there is no unit.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Returns the system, unless it has no names or the reserved highest four bits are set.
    fn system(self) -> Option<&'static System> {
        let number = (self.0 & 0xf).checked_sub(1).filter(|_| self.0 >> 28 == 0)?;
        Unit::SYSTEMS.get(number as usize)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = self.system().into_iter().flatten().zip(1..).filter_map(|(unit, place)| {
            // A signed number of four bits.
            match (self.0 >> (4 * place) & 0xf) as i32 {
                0 => None,
                1 => Some((*unit).to_owned()),
                power @ 2..8 => Some(format!("{unit}{}", Superscript(power))),
                power => Some(format!("{unit}{}", Superscript(power - 16))),
            }
        });
        let units: Vec<String> = units.collect();
        match (units.as_slice(), self.0) {
            ([], 0) => f.pad("none"),
            ([], bits) => f.pad(&format!("{bits:#x}")),
            (units, _) => f.pad(&units.join("·")),
        }
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> String {
        unit.to_string()
    }
}

/// A unit after its power of ten: `10⁻² cm`.
pub struct Scaled(pub Unit, pub i32);

impl fmt::Display for Scaled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.is_none(), self.1) {
            (true, 0) => Ok(()),
            (true, power) => write!(f, "10{}", Superscript(power)),
            (false, 0) => write!(f, "{}", self.0),
            (false, power) => write!(f, "10{} {}", Superscript(power), self.0),
        }
    }
}

/// A number in superscript.
struct Superscript(i32);

impl fmt::Display for Superscript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
        for c in self.0.to_string().chars() {
            let digit = c.to_digit(10).and_then(|digit| DIGITS.get(digit as usize));
            fmt::Write::write_char(f, *digit.unwrap_or(&'⁻'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_written_as_people_write_them() {
        for (unit, words) in [
            (0x00, "none"),
            (0x11, "cm"),
            (0x12, "rad"),
            (0x13, "in"),
            (0x14, "deg"),
            (0x33, "in³"),
            (0xe111, "cm·g·s⁻²"),
            (0x1001, "s"),
            (0x0001_0003, "F"),
            (0x0010_0001, "A"),
            (0x0100_0001, "cd"),
            (0xf1, "cm⁻¹"),
            (0x01, "0x1"),
            (0x1f, "0x1f"),
            (0x15, "0x15"),
            (0x1000_0011, "0x10000011"),
        ] {
            assert_eq!(Unit(unit).to_string(), words, "{unit:#x}");
        }
        assert_eq!(Scaled(Unit(0x11), -2).to_string(), "10⁻² cm");
        assert_eq!(Scaled(Unit(0), 10).to_string(), "10¹⁰");
        assert_eq!(Scaled(Unit(0x13), 0).to_string(), "in");
    }

    /// All powers of one quantity and of neighbours, in each system.
    #[test]
    fn hidreport_writes_every_unit_the_same() {
        for system in 1..=4 {
            for (pair, shift) in (0..=0xff).flat_map(|pair| [4, 8, 12, 16, 20].map(|shift| (pair, shift))) {
                let bits = pair << shift | system;
                let theirs = hidreport::Unit::from(bits).units().unwrap_or_default();
                let theirs: Vec<String> = theirs.iter().map(ToString::to_string).collect();
                let expected = if theirs.is_empty() { format!("{bits:#x}") } else { theirs.join("·") };
                assert_eq!(Unit(bits).to_string(), expected, "{bits:#x}");
            }
        }
    }

    #[test]
    fn every_unit_can_be_written() {
        for low in 0..=0xffffu32 {
            let _ = (Unit(low).to_string(), Unit(low << 16 | 0x11).to_string());
        }
    }
}
