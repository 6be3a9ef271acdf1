//! Formats messages like bpf_printk() and bpf_snprintf(). `bpf_bprintf_prepare()` (kernel/bpf/helpers.c) defines the
//! conversions.

/// Reads the text at an address argument, up to its end.
pub(crate) trait Text {
    fn text_at(&self, address: u64) -> String;
}

/// Formats arguments. Conversions that the kernel would refuse are left unchanged.
pub(crate) fn format(format: &str, arguments: &[u64], memory: &impl Text) -> String {
    let mut output = String::new();
    let mut arguments = arguments.iter().copied();
    let mut rest = format;
    while let Some(start) = rest.find('%') {
        output.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let specification = Specification::read(rest);
        match specification {
            Some((Specification { conversion: '%', .. }, used)) => {
                output.push('%');
                rest = &rest[used..];
            }
            Some((specification, used)) => {
                output.push_str(&specification.apply(arguments.next().unwrap_or(0), memory));
                rest = &rest[used..];
            }
            None => output.push('%'),
        }
    }
    output.push_str(rest);
    output
}

struct Specification {
    left: bool,
    zero: bool,
    sign: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    /// 8, 16, 32 or 64.
    bits: u32,
    conversion: char,
}

/// The maximum field width: wider than any message, and small enough for memory.
const MAX_WIDTH: usize = 512;

impl Specification {
    /// Parses the text after a `%`, and returns the conversion and its length in bytes.
    fn read(text: &str) -> Option<(Specification, usize)> {
        let mut specification = Specification {
            left: false,
            zero: false,
            sign: false,
            alternate: false,
            width: 0,
            precision: None,
            bits: 32,
            conversion: ' ',
        };
        let mut chars = text.char_indices().peekable();
        while let Some((_, flag)) = chars.next_if(|(_, c)| "-0+ #".contains(*c)) {
            match flag {
                '-' => specification.left = true,
                '0' => specification.zero = true,
                '+' => specification.sign = true,
                '#' => specification.alternate = true,
                _ => {}
            }
        }
        let number = |chars: &mut std::iter::Peekable<std::str::CharIndices<'_>>| {
            let mut value = 0usize;
            while let Some((_, digit)) = chars.next_if(|(_, c)| c.is_ascii_digit()) {
                value = (value * 10 + digit.to_digit(10).unwrap_or(0) as usize).min(MAX_WIDTH);
            }
            value
        };
        specification.width = number(&mut chars);
        if chars.next_if(|(_, c)| *c == '.').is_some() {
            specification.precision = Some(number(&mut chars));
        }
        let (mut longs, mut shorts) = (0, 0);
        while let Some((_, length)) = chars.next_if(|(_, c)| "lhz".contains(*c)) {
            if length == 'h' { shorts += 1 } else { longs += 1 }
        }
        specification.bits = match (longs, shorts) {
            (0, 0) => 32,
            (0, 1) => 16,
            (0, _) => 8,
            _ => 64,
        };
        let (at, conversion) = chars.next()?;
        specification.conversion = conversion;
        let mut used = at + conversion.len_utf8();
        if conversion == 'p' {
            // Each of these counts as one conversion.
            let forms = ["ks", "us", "K", "x", "s", "S", "B"];
            used += forms.iter().find(|form| text[used..].starts_with(**form)).map_or(0, |form| form.len());
        }
        "diuxXcsp%".contains(conversion).then_some((specification, used))
    }

    fn apply(&self, argument: u64, memory: &impl Text) -> String {
        let mask = u64::MAX >> (64 - self.bits);
        let unsigned = argument & mask;
        let shift = 64 - self.bits;
        let signed = ((argument << shift) as i64) >> shift;
        let (sign, digits) = match self.conversion {
            'd' | 'i' if signed < 0 => ("-", signed.unsigned_abs().to_string()),
            'd' | 'i' => (if self.sign { "+" } else { "" }, signed.to_string()),
            'u' => ("", unsigned.to_string()),
            'x' => (if self.alternate { "0x" } else { "" }, format!("{unsigned:x}")),
            'X' => (if self.alternate { "0X" } else { "" }, format!("{unsigned:X}")),
            'c' => ("", char::from(argument as u8).to_string()),
            'p' => ("", format!("{argument:016x}")),
            _ => {
                let text = memory.text_at(argument);
                let text = self.precision.map_or_else(|| text.clone(), |most| text.chars().take(most).collect());
                return if self.left {
                    format!("{text:<w$}", w = self.width)
                } else {
                    format!("{text:>w$}", w = self.width)
                };
            }
        };
        let padding = self.width.saturating_sub(sign.len() + digits.len());
        match (self.left, self.zero && self.conversion != 'c') {
            (true, _) => format!("{sign}{digits}{:padding$}", ""),
            (false, true) => format!("{sign}{}{digits}", "0".repeat(padding)),
            (false, false) => format!("{:padding$}{sign}{digits}", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Abc;

    impl Text for Abc {
        fn text_at(&self, _address: u64) -> String {
            "abc".to_owned()
        }
    }

    #[test]
    fn formats_come_out_as_c_has_them() {
        let minus = -5i64 as u64;
        for (text, arguments, expected) in [
            ("", &[][..], ""),
            ("100%% of %d", &[minus], "100% of -5"),
            ("%u %x %#x", &[minus, minus, 255], "4294967291 fffffffb 0xff"),
            ("%lld %llu %lx", &[minus, minus, 16], "-5 18446744073709551611 10"),
            ("%02x %02x|%4d|%-4d|%04d|%+d", &[5, 0xff, minus, minus, minus, 5], "05 ff|  -5|-5  |-005|+5"),
            ("%hhd %hu %hhx", &[0xff, 0x1_0002, 0x1ff], "-1 2 ff"),
            ("%s|%5s|%-5s|%.2s|%c", &[1, 1, 1, 1, 65], "abc|  abc|abc  |ab|A"),
            ("%p %pK", &[1, 2], "0000000000000001 0000000000000002"),
            ("%d %d", &[1], "1 0"),
            ("%y %", &[1], "%y %"),
            ("%999999999999999999999d", &[1], &format!("{:>512}", 1)),
        ] {
            assert_eq!(format(text, arguments, &Abc), expected, "{text}");
        }
    }
}
