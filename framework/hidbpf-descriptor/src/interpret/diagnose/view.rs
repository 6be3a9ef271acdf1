//! The fields of a descriptor, each with the items that made it.

use crate::interpret::descriptor::Anatomy;
use crate::interpret::item::{CollectionKind, Item, ItemKind};
use crate::interpret::report::{Field, Report};
use crate::interpret::usage::Usage;
use crate::report_type::ReportType;

/// A descriptor.
pub(super) struct View<'a> {
    pub fields: Vec<Seen<'a>>,
}

/// A field.
pub(super) struct Seen<'a> {
    pub report: &'a Report,
    pub field: &'a Field,
    /// The Input, Output or Feature item.
    pub main: &'a Item,
    pub logical_minimum: Option<&'a Item>,
    pub logical_maximum: Option<&'a Item>,
    pub usage_page: Option<&'a Item>,
    pub unit: Option<&'a Item>,
    pub report_size: Option<&'a Item>,
    pub report_count: Option<&'a Item>,
    /// The Usage, Usage Minimum and Usage Maximum items.
    pub usages: Vec<&'a Item>,
    /// The usages of the collections around it, from the outside to the inside.
    pub collections: Vec<(CollectionKind, Usage)>,
}

impl Seen<'_> {
    /// Returns the usage of the innermost application collection around it, or 0.
    pub fn application(&self) -> Usage {
        let application = self.collections.iter().rev().find(|(kind, _)| *kind == CollectionKind::APPLICATION);
        application.map_or(Usage(0), |(_, usage)| *usage)
    }

    /// Returns the usage of the innermost physical collection around it, or 0.
    pub fn physical(&self) -> Usage {
        let physical = self.collections.iter().rev().find(|(kind, _)| *kind == CollectionKind::PHYSICAL);
        physical.map_or(Usage(0), |(_, usage)| *usage)
    }

    pub fn is_input(&self) -> bool {
        self.report.kind == ReportType::Input
    }

    /// Returns its usages in words, or an empty text for padding.
    pub fn name(&self) -> String {
        let spans: Vec<String> = self.field.usages.spans().iter().take(3).map(ToString::to_string).collect();
        let more = if self.field.usages.spans().len() > 3 { ", ..." } else { "" };
        spans.join(", ") + more
    }

    /// Returns the item of a single usage.
    pub fn item_of(&self, usage: Usage) -> Option<&Item> {
        self.usages.iter().find(|item| matches!(item.kind, ItemKind::Usage(it) if it == usage)).copied()
    }
}

/// The items that hold the current values.
#[derive(Clone, Copy, Default)]
struct Globals<'a> {
    logical_minimum: Option<&'a Item>,
    logical_maximum: Option<&'a Item>,
    usage_page: Option<&'a Item>,
    unit: Option<&'a Item>,
    report_size: Option<&'a Item>,
    report_count: Option<&'a Item>,
}

impl<'a> View<'a> {
    pub fn of(anatomy: &'a Anatomy) -> View<'a> {
        let (mut globals, mut pushed) = (Globals::default(), Vec::new());
        let (mut usages, mut open, mut fields) = (Vec::new(), Vec::new(), Vec::new());
        let mut made = anatomy
            .reports
            .iter()
            .flat_map(|report| report.fields.iter().map(move |field| (report, field)))
            .collect::<Vec<_>>();
        made.sort_by_key(|(_, field)| field.offset);
        for item in &anatomy.items {
            match item.kind {
                ItemKind::UsagePage(_) => globals.usage_page = Some(item),
                ItemKind::LogicalMinimum(_) => globals.logical_minimum = Some(item),
                ItemKind::LogicalMaximum(_) => globals.logical_maximum = Some(item),
                ItemKind::Unit(_) => globals.unit = Some(item),
                ItemKind::ReportSize(_) => globals.report_size = Some(item),
                ItemKind::ReportCount(_) => globals.report_count = Some(item),
                ItemKind::Push => pushed.push(globals),
                ItemKind::Pop => globals = pushed.pop().unwrap_or(globals),
                ItemKind::Usage(_) | ItemKind::UsageMinimum(_) | ItemKind::UsageMaximum(_) => usages.push(item),
                ItemKind::Collection(kind) => {
                    let usage = usages.first().and_then(|item: &&Item| match item.kind {
                        ItemKind::Usage(usage) | ItemKind::UsageMinimum(usage) => Some(usage),
                        _ => None,
                    });
                    open.push((kind, usage.unwrap_or_default()));
                    usages.clear();
                }
                ItemKind::EndCollection => {
                    open.pop();
                    usages.clear();
                }
                ItemKind::Main(..) => {
                    let found = made.binary_search_by_key(&item.offset, |(_, field)| field.offset);
                    let usages = std::mem::take(&mut usages);
                    let Some((report, field)) = found.ok().and_then(|index| made.get(index)) else { continue };
                    let Globals { logical_minimum, logical_maximum, usage_page, unit, report_size, report_count } =
                        globals;
                    let collections = open.clone();
                    fields.push(Seen {
                        report,
                        field,
                        main: item,
                        logical_minimum,
                        logical_maximum,
                        usage_page,
                        unit,
                        report_size,
                        report_count,
                        usages,
                        collections,
                    });
                }
                _ => {}
            }
        }
        View { fields }
    }

    /// Returns the Report Size of a field if it is that of no other field, padding included.
    pub fn sole_size(&self, seen: &Seen<'a>) -> Option<&'a Item> {
        self.sole(seen, |seen| seen.report_size)
    }

    /// Returns the Report Count of a field if it is that of no other field, padding included.
    pub fn sole_count(&self, seen: &Seen<'a>) -> Option<&'a Item> {
        self.sole(seen, |seen| seen.report_count)
    }

    fn sole(&self, seen: &Seen<'a>, of: fn(&Seen<'a>) -> Option<&'a Item>) -> Option<&'a Item> {
        let item = of(seen)?;
        let users = self.fields.iter().filter(|other| of(other).is_some_and(|other| other.offset == item.offset));
        (users.count() == 1).then_some(item)
    }

    /// Returns a global item if only one field takes its value: a change of it would change the other fields too. Padding
    /// has no use for any.
    pub fn unshared(&self, item: Option<&'a Item>) -> Option<&'a Item> {
        let offset = item?.offset;
        let takes = |seen: &&Seen<'_>| {
            let globals = [seen.logical_minimum, seen.logical_maximum, seen.usage_page, seen.unit];
            globals.into_iter().flatten().any(|global| global.offset == offset)
        };
        item.filter(|_| self.fields.iter().filter(|seen| !seen.field.is_padding()).filter(takes).count() <= 1)
    }
}
