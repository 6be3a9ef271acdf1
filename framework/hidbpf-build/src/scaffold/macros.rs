//! Writes a report descriptor as C with the macros of hidbpf/descriptor.h, one item per line. Each line has the item's
//! offset and, for fields, their position in the report.
//!
//! The result compiles to the same bytes. An item that no macro produces, for example one of unusual width, is written
//! as bytes.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::LazyLock;

use hidbpf::descriptor::{Anatomy, CollectionKind, Item, ItemKind, Report, ReportType};

use super::layout;

/// The width of a tab.
const TAB: usize = 8;

/// The names in hidbpf/usages.h and hidbpf/descriptor.h, by meaning. The headers are the only source of these names.
struct Names {
    /// By width in bits and number.
    pages: HashMap<(u32, u32), &'static str>,
    /// By page, width in bits and number.
    usages: HashMap<(&'static str, u32, u32), &'static str>,
    /// By width in bits and number.
    units: HashMap<(u32, u32), &'static str>,
}

static NAMES: LazyLock<Names> = LazyLock::new(|| {
    let mut names = Names { pages: HashMap::new(), usages: HashMap::new(), units: HashMap::new() };
    let lines = hid_bpf_src::HEADERS.iter().flat_map(|(_, text)| text.lines());
    for (name, width, number) in lines.filter_map(definition) {
        if let Some(page) = name.strip_prefix("HID_PAGE_") {
            names.pages.entry((width, number)).or_insert(page);
        } else if let Some(unit) = name.strip_prefix("HID_UNIT_") {
            names.units.entry((width, number)).or_insert(unit);
        } else if let Some((page, usage)) = name.strip_prefix("HID_USAGE_").and_then(|rest| rest.split_once('_')) {
            names.usages.entry((page, width, number)).or_insert(usage);
        }
    }
    names
});

/// Parses `#define NAME 8, 0x30`.
fn definition(line: &'static str) -> Option<(&'static str, u32, u32)> {
    let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
    let (width, number) = value.split_once(", 0x")?;
    Some((name, width.parse().ok()?, u32::from_str_radix(number.trim(), 16).ok()?))
}

/// One line of the array.
struct Line {
    depth: usize,
    code: String,
    offset: usize,
    /// A field's position in its report, or the meaning of bytes without a macro.
    comment: String,
}

/// Returns the descriptor as a C array called `name`.
pub(super) fn array(name: &str, descriptor: &Anatomy) -> String {
    let lines = lines(descriptor);
    let width = |line: &Line| (line.depth + 1) * TAB + line.code.len();
    let column = (lines.iter().map(width).max().unwrap_or(0) + 1).next_multiple_of(TAB).min(MOST_COLUMN);
    let digits = descriptor.bytes.len().to_string().len();
    let mut text = format!("HIDBPF_DESCRIPTOR({name},\n");
    for line in &lines {
        let tabs = "\t".repeat(line.depth + 1);
        let blanks = " ".repeat(column.saturating_sub(width(line)).max(1));
        // Writing to a string can't fail.
        let _ = writeln!(text, "{tabs}{}{blanks}/* {:>digits$}{} */", line.code, line.offset, line.comment);
    }
    text + ");\n"
}

/// The last column where comments may begin, unless the code is longer.
const MOST_COLUMN: usize = 72;

fn lines(descriptor: &Anatomy) -> Vec<Line> {
    let mut writer = Writer { descriptor, page: None, lines: Vec::new() };
    let items = &descriptor.items;
    let nested = nested(items);
    let mut index = 0;
    let mut depth = 0;
    while let Some(item) = items.get(index) {
        match item.kind {
            ItemKind::Collection(kind) if nested[index] => {
                writer.push(depth, format!("{},", collection(kind)), item.offset, String::new());
                depth += 1;
            }
            ItemKind::EndCollection if nested[index] => {
                depth -= 1;
                // A macro's last argument has no comma after it.
                writer.close(depth, item.offset);
            }
            _ => {
                let (code, count) = writer.item(&items[index..]);
                let comment = writer.comment(&items[index..index + count]);
                writer.push(depth, format!("{code},"), item.offset, comment);
                index += count - 1;
            }
        }
        index += 1;
    }
    if let Some(last) = writer.lines.last_mut() {
        last.code.pop();
    }
    writer.lines
}

/// Returns for each item whether it begins or ends a collection that can be written as `Collection(type, ...)`.
fn nested(items: &[Item]) -> Vec<bool> {
    let mut nested = vec![false; items.len()];
    let mut open = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match item.kind {
            ItemKind::Collection(kind) => open.push((index, kind, item.bytes.len() == 2)),
            ItemKind::EndCollection => {
                if let Some((begin, kind, usual)) = open.pop() {
                    // `Collection(type)` without content would leave an extra comma.
                    let fits = usual && is_named(kind) && item.bytes.len() == 1 && begin + 1 < index;
                    (nested[begin], nested[index]) = (fits, fits);
                }
            }
            _ => {}
        }
    }
    nested
}

const COLLECTIONS: [&str; 7] =
    ["Physical", "Application", "Logical", "Report", "NamedArray", "UsageSwitch", "UsageModifier"];

fn is_named(kind: CollectionKind) -> bool {
    usize::from(kind.0) < COLLECTIONS.len() || kind.0 >= 0x80
}

/// Returns the beginning of a collection that [`is_named`].
fn collection(kind: CollectionKind) -> String {
    match COLLECTIONS.get(usize::from(kind.0)) {
        Some(name) => format!("Collection({name}"),
        None => format!("CollectionVendor({:#04x}", kind.0),
    }
}

struct Writer<'a> {
    descriptor: &'a Anatomy,
    /// The SDK's name for the current page, if it has one.
    page: Option<&'static str>,
    lines: Vec<Line>,
}

impl Writer<'_> {
    fn push(&mut self, depth: usize, code: String, offset: usize, comment: String) {
        self.lines.push(Line { depth, code, offset, comment });
    }

    fn close(&mut self, depth: usize, offset: usize) {
        if let Some(last) = self.lines.last_mut() {
            last.code.pop();
        }
        self.push(depth, "),".to_owned(), offset, String::new());
    }

    /// Returns the macro for the first of these items, or for the first several, and their number.
    fn item(&mut self, items: &[Item]) -> (String, usize) {
        let (code, count) = together(items).unwrap_or_else(|| {
            let item = &items[0];
            let code = self.single(item).unwrap_or_else(|| {
                let bytes: Vec<String> = item.bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
                bytes.join(", ")
            });
            (code, 1)
        });
        for item in &items[..count] {
            if let (ItemKind::UsagePage(_), Some(value)) = (item.kind, Value::of(item)) {
                self.page = NAMES.pages.get(&(value.bits, value.unsigned)).copied();
            }
        }
        (code, count)
    }

    /// Returns `None` if no macro produces these bytes.
    fn single(&self, item: &Item) -> Option<String> {
        if let ItemKind::Push | ItemKind::Pop = item.kind {
            return (item.bytes.len() == 1).then(|| format!("{}()", item.kind.name()));
        }
        if let ItemKind::Truncated(_) = item.kind {
            return None;
        }
        let value = Value::of(item)?;
        let byte = (value.bits == 8).then_some(value.unsigned);
        Some(match item.kind {
            ItemKind::Main(kind, flags) => {
                let name = match kind {
                    ReportType::Input => "Input",
                    ReportType::Output => "Output",
                    ReportType::Feature => "Feature",
                };
                let buffered = match (value.bits, flags.0 >> 8) {
                    (8, 0) => "",
                    (16, 1) => "BufferedBytes",
                    _ => return None,
                };
                // Bit 7 has no meaning in Input.
                if kind == ReportType::Input && flags.0 & 0x80 != 0 {
                    return None;
                }
                format!("{name}{buffered}({})", FLAGS.words(flags.0))
            }
            ItemKind::UsagePage(_) => match NAMES.pages.get(&(value.bits, value.unsigned)) {
                Some(page) => format!("UsagePage({page})"),
                None => value.hex("UsagePage")?,
            },
            ItemKind::LogicalMinimum(number) => value.decimal("LogicalMinimum", number)?,
            ItemKind::LogicalMaximum(number) => value.decimal("LogicalMaximum", number)?,
            ItemKind::PhysicalMinimum(number) => value.decimal("PhysicalMinimum", number)?,
            ItemKind::PhysicalMaximum(number) => value.decimal("PhysicalMaximum", number)?,
            ItemKind::UnitExponent(power) if byte? <= 0x0f => format!("UnitExponent({power})"),
            ItemKind::Unit(_) => match NAMES.units.get(&(value.bits, value.unsigned)) {
                Some(unit) => format!("Unit({unit})"),
                None => match value.bits {
                    32 => format!("Unit32({:#x})", value.unsigned),
                    _ => value.hex("Unit")?,
                },
            },
            ItemKind::ReportSize(_) if byte? > 0 => format!("ReportSize({})", byte?),
            ItemKind::ReportId(_) if byte? > 0 => format!("ReportId({})", byte?),
            ItemKind::ReportCount(_) => match value.bits {
                8 => format!("ReportCount({})", value.unsigned),
                16 => format!("ReportCount16({})", value.unsigned),
                _ => return None,
            },
            ItemKind::Usage(usage) if value.bits == 32 => {
                format!("UsageOnPage({:#04x}, {:#04x})", usage.page(), usage.id())
            }
            ItemKind::Usage(_) => self.usage("Usage", value)?,
            ItemKind::UsageMinimum(_) => self.usage("UsageMinimum", value)?,
            ItemKind::UsageMaximum(_) => self.usage("UsageMaximum", value)?,
            ItemKind::OtherLocal(name, _) => format!("{}({})", name.replace(' ', ""), byte?),
            ItemKind::Delimiter(0) => byte.map(|_| "Delimiter(Close)".to_owned())?,
            ItemKind::Delimiter(1) => byte.map(|_| "Delimiter(Open)".to_owned())?,
            _ => return None,
        })
    }

    fn usage(&self, name: &str, value: Value) -> Option<String> {
        let known = self.page.and_then(|page| Some((page, NAMES.usages.get(&(page, value.bits, value.unsigned))?)));
        match known {
            Some((page, usage)) => Some(format!("{name}({page}, {usage})")),
            None => value.hex(name),
        }
    }

    /// Returns the comment after the offset.
    fn comment(&self, items: &[Item]) -> String {
        let last = &items[items.len() - 1];
        let field = |report: &Report| {
            let field = report.fields.iter().find(|field| field.offset == last.offset)?;
            Some(layout::places(report, field))
        };
        let comment = match last.kind {
            ItemKind::Main(..) => self.descriptor.reports.iter().find_map(field),
            _ if items.len() == 1 && self.single(last).is_none() => {
                Some(format!("{} {}", last.kind.name(), last.kind.value().unwrap_or_default()))
            }
            _ => None,
        };
        // The text of a comment must not end it.
        comment
            .filter(|text| !text.is_empty())
            .map_or_else(String::new, |text| format!(": {}", text.trim_end().replace("*/", "*")))
    }
}

/// The data of an item that has some.
#[derive(Clone, Copy)]
struct Value {
    bits: u32,
    unsigned: u32,
    signed: i64,
}

impl Value {
    fn of(item: &Item) -> Option<Value> {
        let bits = item.data().len() as u32 * 8;
        [8, 16, 32].contains(&bits).then(|| Value { bits, unsigned: item.unsigned(), signed: item.signed().into() })
    }

    /// Returns a macro of this width with the number in hex. There are none for 32 bits.
    fn hex(self, name: &str) -> Option<String> {
        (self.bits < 32).then(|| format!("{name}{}({:#04x})", self.bits, self.unsigned))
    }

    /// Returns a macro of this width, unless the kernel reads the number differently. The macros' numbers are signed.
    fn decimal(self, name: &str, kernels: i64) -> Option<String> {
        (kernels == self.signed).then(|| format!("{name}{}({kernels})", self.bits))
    }
}

/// The flags of main items with their opposites, as in hidbpf/descriptor.h.
struct FlagNames([(&'static str, &'static str); 8]);

const FLAGS: FlagNames = FlagNames([
    ("Data", "Const"),
    ("Array", "Var"),
    ("Abs", "Rel"),
    ("", "Wrap"),
    ("", "NonLinear"),
    ("", "NoPreferred"),
    ("", "Null"),
    ("", "Volatile"),
]);

impl FlagNames {
    fn words(&self, flags: u32) -> String {
        let words = self.0.iter().zip(0..).map(|((no, yes), bit)| if flags >> bit & 1 == 1 { *yes } else { *no });
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
    }
}

/// Returns one macro for several items.
fn together(items: &[Item]) -> Option<(String, usize)> {
    let value = |index: usize| items.get(index).and_then(Value::of);
    let kind = |index: usize| items.get(index).map(|item| item.kind);
    let (first, second) = (value(0)?, value(1));
    match (kind(0)?, kind(1)?) {
        (ItemKind::LogicalMinimum(low), ItemKind::LogicalMaximum(high)) => range("Logical", first, second?, low, high),
        (ItemKind::PhysicalMinimum(low), ItemKind::PhysicalMaximum(high)) => {
            range("Physical", first, second?, low, high)
        }
        (ItemKind::UsageMinimum(low), ItemKind::UsageMaximum(high))
            if low.page() == BUTTON_PAGE && first.bits == 8 && second?.bits == 8 && low <= high =>
        {
            Some((format!("Buttons({}, {})", low.id(), high.id()), 2))
        }
        (ItemKind::ReportSize(bits @ 1..=255), ItemKind::ReportCount(1)) => {
            let ItemKind::Main(ReportType::Input, flags) = kind(2)? else { return None };
            let usual = first.bits == 8 && second?.bits == 8 && value(2)?.bits == 8 && flags.0 == 3;
            usual.then(|| (format!("Padding({bits})"), 3))
        }
        _ => None,
    }
}

const BUTTON_PAGE: u16 = 9;

fn range(name: &str, first: Value, second: Value, low: i64, high: i64) -> Option<(String, usize)> {
    let usual = first.bits == second.bits && low == first.signed && high == second.signed && low <= high;
    usual.then(|| (format!("{name}Range{}({low}, {high})", first.bits), 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mouse_reads_as_drivers_are_written() {
        let bytes = [
            0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00, 0x05, 0x09, 0x19, 0x01, 0x29, 0x03, 0x15, 0x00,
            0x25, 0x01, 0x75, 0x01, 0x95, 0x03, 0x81, 0x02, 0x75, 0x05, 0x95, 0x01, 0x81, 0x03, 0x05, 0x01, 0x09, 0x30,
            0x09, 0x31, 0x15, 0x81, 0x25, 0x7f, 0x75, 0x08, 0x95, 0x02, 0x81, 0x06, 0x09, 0x38, 0x15, 0x00, 0x25, 0xff,
            0x95, 0x01, 0x81, 0x06, 0xc0, 0xc0,
        ];
        let expected = "\
HIDBPF_DESCRIPTOR(mouse,
	UsagePage(GenericDesktop),               /*  0 */
	Usage(GenericDesktop, Mouse),            /*  2 */
	Collection(Application,                  /*  4 */
		Usage(GenericDesktop, Pointer),  /*  6 */
		Collection(Physical,             /*  8 */
			UsagePage(Button),       /* 10 */
			Buttons(1, 3),           /* 12 */
			LogicalRange8(0, 1),     /* 16 */
			ReportSize(1),           /* 20 */
			ReportCount(3),          /* 22 */
			Input(Data, Var, Abs),   /* 24: byte 0, bits 0 to 2: Button 1 .. Button 3 */
			Padding(5),              /* 26: byte 0, bits 3 to 7: padding */
			UsagePage(GenericDesktop), /* 32 */
			Usage(GenericDesktop, X), /* 34 */
			Usage(GenericDesktop, Y), /* 36 */
			LogicalRange8(-127, 127), /* 38 */
			ReportSize(8),           /* 42 */
			ReportCount(2),          /* 44 */
			Input(Data, Var, Rel),   /* 46: byte 1: X; byte 2: Y */
			Usage(GenericDesktop, Wheel), /* 48 */
			LogicalMinimum8(0),      /* 50 */
			0x25, 0xff,              /* 52: Logical Maximum 255 */
			ReportCount(1),          /* 54 */
			Input(Data, Var, Rel)    /* 56: byte 3: Wheel */
		)                                /* 58 */
	)                                        /* 59 */
);
";
        let text = array("mouse", &Anatomy::of(&bytes));
        assert_eq!(text.lines().map(squeezed).collect::<Vec<_>>(), expected.lines().map(squeezed).collect::<Vec<_>>());
    }

    /// Collapses the blanks in a line, because the column of comments depends on the longest line.
    fn squeezed(line: &str) -> String {
        line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}
