//! Usages: the functions of a device's controls. The crate `hut` provides the names from the HID Usage Tables.

use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

/// A usage: the page in the upper 16 bits, the ID on that page in the lower.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Usage(pub u32);

impl Usage {
    /// Returns a usage of a page.
    pub fn new(page: u16, id: u16) -> Usage {
        Usage(u32::from(page) << 16 | u32::from(id))
    }

    /// Returns the page.
    pub fn page(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Returns the ID on the page.
    pub fn id(self) -> u16 {
        self.0 as u16
    }

    /// Returns the name: `Button 3`, or `Generic Desktop 0x2f` for one that is not in the tables.
    pub fn name(self) -> String {
        hut::Usage::try_from(self.0)
            .map_or_else(|_| format!("{} {:#04x}", page_name(self.page()), self.id()), |usage| usage.name())
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.name())
    }
}

impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut usage = serializer.serialize_struct("Usage", 3)?;
        usage.serialize_field("page", &self.page())?;
        usage.serialize_field("id", &self.id())?;
        usage.serialize_field("name", &self.name())?;
        usage.end()
    }
}

/// Returns the name of a usage page: `Generic Desktop`.
pub fn page_name(page: u16) -> String {
    match page {
        0 => "Undefined".to_owned(),
        _ => hut::UsagePage::try_from(page).map_or_else(|_| format!("Usage Page {page:#04x}"), |page| page.name()),
    }
}

/// Consecutive usages: a single one, or those from a Usage Minimum to a Usage Maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first usage.
    pub first: Usage,
    /// The number of usages, at least 1.
    pub count: u32,
    /// Whether IDs continue into the next page, as 32-bit items permit. Otherwise they wrap to 0.
    pub(crate) crosses_pages: bool,
}

impl Span {
    /// Returns the usage at an index below `count`.
    pub fn get(&self, index: u32) -> Usage {
        let usage = self.first.0.wrapping_add(index);
        if self.crosses_pages { Usage(usage) } else { Usage(self.first.0 & 0xffff_0000 | usage & 0xffff) }
    }

    /// Returns the last usage.
    pub fn last(&self) -> Usage {
        self.get(self.count - 1)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            1 => write!(f, "{}", self.first),
            _ => write!(f, "{} .. {}", self.first, self.last()),
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut span = serializer.serialize_struct("Span", 2)?;
        span.serialize_field("first", &self.first)?;
        span.serialize_field("last", &self.last())?;
        span.end()
    }
}

/// The usages of a field, in descriptor order.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct Usages(pub(crate) Vec<Span>);

impl Usages {
    /// Returns the spans.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// Returns whether there are no usages, as for padding.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of usages.
    pub fn len(&self) -> u32 {
        self.0.iter().map(|span| span.count).sum()
    }

    /// Returns the usage at an index.
    pub fn get(&self, index: u32) -> Option<Usage> {
        let mut left = index;
        for span in &self.0 {
            if left < span.count {
                return Some(span.get(left));
            }
            left -= span.count;
        }
        None
    }

    /// Iterates over the usages in order.
    pub fn iter(&self) -> impl Iterator<Item = Usage> + '_ {
        self.0.iter().flat_map(|span| (0..span.count).map(|index| span.get(index)))
    }

    /// Returns the last usage. All remaining values of a field with more values than usages belong to it.
    pub fn last(&self) -> Option<Usage> {
        self.0.last().map(Span::last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usages_have_the_names_of_the_tables() {
        for (usage, name) in [
            (0x0001_0030, "X"),
            (0x0009_0003, "Button 3"),
            (0x0007_0004, "Keyboard A"),
            (0x000d_0042, "Tip Switch"),
            (0xff00_0020, "Vendor Usage 0x20"),
            (0x0001_ffff, "Generic Desktop 0xffff"),
            (0x0000_0001, "Undefined 0x01"),
        ] {
            assert_eq!(Usage(usage).name(), name);
        }
        assert_eq!(page_name(0xff0d), "Wacom");
    }

    /// Every page, and every usage of the pages that have names.
    #[test]
    fn every_usage_has_a_name() {
        for page in 0..=u16::MAX {
            assert!(!page_name(page).is_empty());
            let step = if page < 0x100 { 7 } else { 0x5555 };
            assert!((0..=u16::MAX).step_by(step).all(|id| !Usage::new(page, id).name().is_empty()), "{page:#x}");
        }
    }

    #[test]
    fn ids_begin_again_unless_they_may_cross_pages() {
        let mut span = Span { first: Usage(0x0009_ffff), count: 2, crosses_pages: false };
        assert_eq!(span.last(), Usage(0x0009_0000));
        span.crosses_pages = true;
        assert_eq!(span.last(), Usage(0x000a_0000));
        let usages = Usages(vec![Span { count: 3, ..span }, Span { first: Usage(1), count: 1, crosses_pages: false }]);
        assert_eq!((usages.len(), usages.get(2), usages.get(3)), (4, Some(Usage(0x000a_0001)), Some(Usage(1))));
        assert_eq!((usages.get(4), usages.last()), (None, Some(Usage(1))));
    }
}
