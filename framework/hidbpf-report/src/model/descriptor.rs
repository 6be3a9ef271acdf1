//! A descriptor as items, and as a tree of collections.

use hidbpf_descriptor::{Anatomy, Descriptor, DiffKind, Difference, Item, items_difference};

/// An item before and after the driver.
pub struct ItemRow {
    pub change: DiffKind,
    pub before: Option<Item>,
    pub after: Option<Item>,
}

/// Returns the items of a descriptor, side by side with those of another one.
pub fn items(before: &[u8], after: Option<&[u8]>) -> Vec<ItemRow> {
    let before = Anatomy::of(before);
    match after {
        None => before
            .items
            .into_iter()
            .map(|item| ItemRow { change: DiffKind::Same, before: Some(item), after: None })
            .collect(),
        Some(after) => items_difference(&before, &Anatomy::of(after))
            .into_iter()
            .map(|Difference { change, before, after }| ItemRow { change, before, after })
            .collect(),
    }
}

/// A collection with what is in it, or a run of bits of a report.
pub enum Node {
    Collection { label: String, inner: Vec<Node> },
    Field { report: String, place: String, what: String, detail: String },
}

/// Returns the outermost collections of a descriptor.
pub fn tree(descriptor: &Descriptor) -> Vec<Node> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); descriptor.collections.len()];
    let mut roots = Vec::new();
    for (index, collection) in descriptor.collections.iter().enumerate() {
        match collection.parent.and_then(|parent| children.get_mut(parent)) {
            Some(siblings) => siblings.push(index),
            None => roots.push(index),
        }
    }
    roots.iter().map(|root| collection(descriptor, &children, *root)).collect()
}

/// The depth of collections is bounded by the kernel's parser, so this ends.
fn collection(descriptor: &Descriptor, children: &[Vec<usize>], index: usize) -> Node {
    let mut inner: Vec<Node> = Vec::new();
    for report in &descriptor.reports {
        for field in report.fields.iter().filter(|field| field.collection == Some(index) && !field.is_padding()) {
            inner.extend(field.rows().into_iter().map(|row| {
                let (byte, bit) = row.place();
                let bits = if row.count > 1 { format!("{} × {}", row.count, row.size) } else { row.size.to_string() };
                let range = row.logical.map(|range| format!(", {range}")).unwrap_or_default();
                Node::Field {
                    report: report.to_string(),
                    place: format!("{byte}.{bit}"),
                    what: row.what,
                    detail: format!("{bits} bit{range}, {}", row.kind),
                }
            }));
        }
    }
    inner.extend(children.get(index).into_iter().flatten().map(|child| collection(descriptor, children, *child)));
    let label = descriptor
        .collections
        .get(index)
        .map_or_else(String::new, |collection| format!("{} ({})", collection.usage, collection.kind));
    Node::Collection { label, inner }
}
