//! Compares two descriptors, or two decoded reports.

use serde::{Serialize, Serializer};

use crate::interpret::decode::{Decoded, Value};
use crate::interpret::descriptor::{Anatomy, Descriptor};
use crate::interpret::item::Item;
use crate::interpret::report::{Report, Row};
use crate::report_type::ReportType;

/// How an element changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiffKind {
    /// It is unchanged.
    Same,
    /// It is in both, with differences.
    Changed,
    /// It is only in the first.
    Removed,
    /// It is only in the second.
    Inserted,
}

impl DiffKind {
    /// Returns the sign that starts its line, as in `diff`.
    pub fn sign(self) -> char {
        match self {
            DiffKind::Same => ' ',
            DiffKind::Changed => '~',
            DiffKind::Removed => '-',
            DiffKind::Inserted => '+',
        }
    }
}

/// An element before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<T> {
    /// How it changed.
    pub change: DiffKind,
    /// The element before.
    pub before: Option<T>,
    /// The element after.
    pub after: Option<T>,
}

impl<T: Serialize> Serialize for Difference<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a, T> {
            change: DiffKind,
            #[serde(skip_serializing_if = "Option::is_none")]
            before: &'a Option<T>,
            #[serde(skip_serializing_if = "Option::is_none")]
            after: &'a Option<T>,
        }
        // An unchanged element is written once.
        let before = if self.change == DiffKind::Same { &None } else { &self.before };
        Fields { change: self.change, before, after: &self.after }.serialize(serializer)
    }
}

/// Aligns the items of two descriptors.
pub fn items_difference(before: &Anatomy, after: &Anatomy) -> Vec<Difference<Item>> {
    let is_same = |one: &Item, other: &Item| one.bytes == other.bytes && one.kind == other.kind;
    align(&before.items, &after.items, is_same, |one, other| one.kind.name() == other.kind.name())
}

/// Aligns the rows of two field tables.
pub fn rows_difference(before: &[Row], after: &[Row]) -> Vec<Difference<Row>> {
    let place = |row: &Row| (row.first_bit, row.size, row.count);
    align(before, after, Row::eq, |one, other| one.what == other.what || place(one) == place(other))
}

/// Aligns the values of two reports. A value that moved but has the same content counts as unchanged.
pub fn decoded_difference(before: &Decoded, after: &Decoded) -> Vec<Difference<Value>> {
    let is_like = |one: &Value, other: &Value| one.part.name == other.part.name;
    let is_same = |one: &Value, other: &Value| is_like(one, other) && one.content == other.content;
    align(&before.values, &after.values, is_same, is_like)
}

/// A report that at least one of two descriptors declares.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReportDifference {
    /// Its type.
    pub kind: ReportType,
    /// Its ID.
    pub id: Option<u8>,
    /// The report before.
    pub before: Option<Report>,
    /// The report after.
    pub after: Option<Report>,
    /// The aligned rows of both field tables.
    pub rows: Vec<Difference<Row>>,
}

impl ReportDifference {
    /// Returns how the report changed.
    pub fn change(&self) -> DiffKind {
        match (&self.before, &self.after) {
            (Some(_), None) => DiffKind::Removed,
            (None, Some(_)) => DiffKind::Inserted,
            (Some(before), Some(after)) if before.application != after.application => DiffKind::Changed,
            _ if self.rows.iter().all(|row| row.change == DiffKind::Same) => DiffKind::Same,
            _ => DiffKind::Changed,
        }
    }
}

impl Serialize for ReportDifference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            change: DiffKind,
            kind: String,
            id: Option<u8>,
            rows: &'a [Difference<Row>],
        }
        Fields { change: self.change(), kind: self.kind.to_string(), id: self.id, rows: &self.rows }
            .serialize(serializer)
    }
}

/// Aligns the reports of two descriptors: the first descriptor's in their order, then those that only the second has.
pub fn reports_difference(before: &Descriptor, after: &Descriptor) -> Vec<ReportDifference> {
    let key = |report: &Report| (report.kind, report.id);
    let mut keys: Vec<_> = before.reports.iter().map(key).collect();
    keys.extend(after.reports.iter().map(key).filter(|found| before.report(found.0, found.1.unwrap_or(0)).is_none()));
    keys.into_iter()
        .map(|(kind, id)| {
            let find = |descriptor: &Descriptor| descriptor.report(kind, id.unwrap_or(0)).cloned();
            let (before, after) = (find(before), find(after));
            let rows = |report: &Option<Report>| report.as_ref().map(Report::rows).unwrap_or_default();
            ReportDifference { kind, id, rows: rows_difference(&rows(&before), &rows(&after)), before, after }
        })
        .collect()
}

/// The costs of removing or inserting an element, and of changing one. A change costs more than a removal, but less
/// than a removal plus an insertion.
const MOVE: u16 = 2;
const CHANGE: u16 = 3;

/// The maximum number of pairs to compare. Above it, everything between the common start and end counts as replaced.
const MAX_PAIRS: usize = 1 << 25;

/// Aligns two lists at the lowest cost. Pairs equal elements, or else similar ones, in order.
fn align<T: Clone>(
    before: &[T],
    after: &[T],
    is_same: impl Fn(&T, &T) -> bool,
    is_like: impl Fn(&T, &T) -> bool,
) -> Vec<Difference<T>> {
    let same = |(one, other): (&T, &T)| is_same(one, other);
    let start = before.iter().zip(after).take_while(|pair| same(*pair)).count();
    let (head, before) = before.split_at(start);
    let after_head = &after[..start];
    let after = &after[start..];
    let end = before.iter().rev().zip(after.iter().rev()).take_while(|pair| same(*pair)).count();
    let (before, tail) = before.split_at(before.len() - end);
    let (after, after_tail) = after.split_at(after.len() - end);

    let paired =
        |change, one: &T, other: &T| Difference { change, before: Some(one.clone()), after: Some(other.clone()) };
    let removed = |one: &T| Difference { change: DiffKind::Removed, before: Some(one.clone()), after: None };
    let inserted = |one: &T| Difference { change: DiffKind::Inserted, before: None, after: Some(one.clone()) };
    let equal = |one: &[T], other: &[T]| -> Vec<Difference<T>> {
        one.iter().zip(other).map(|(one, other)| paired(DiffKind::Same, one, other)).collect()
    };

    let mut all = equal(head, after_head);
    let width = after.len() + 1;
    if (before.len() + 1).saturating_mul(width) > MAX_PAIRS {
        all.extend(before.iter().map(removed).chain(after.iter().map(inserted)));
    } else {
        // cost[i * width + j]: the cost of turning before[i..] into after[j..].
        let pair_cost = |one: &T, other: &T| match () {
            () if is_same(one, other) => Some(0),
            () if is_like(one, other) => Some(CHANGE),
            () => None,
        };
        let mut cost = vec![0u16; (before.len() + 1) * width];
        for i in (0..=before.len()).rev() {
            for j in (0..=after.len()).rev() {
                let at = |i: usize, j: usize| cost[i * width + j];
                let remove = (i < before.len()).then(|| at(i + 1, j).saturating_add(MOVE));
                let insert = (j < after.len()).then(|| at(i, j + 1).saturating_add(MOVE));
                let pair = before.get(i).zip(after.get(j)).and_then(|(one, other)| pair_cost(one, other));
                let pair = pair.map(|cost| at(i + 1, j + 1).saturating_add(cost));
                cost[i * width + j] = [remove, insert, pair].into_iter().flatten().min().unwrap_or(0);
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < before.len() || j < after.len() {
            let at = |i: usize, j: usize| cost[i * width + j];
            let here = at(i, j);
            let pair =
                before.get(i).zip(after.get(j)).and_then(|(one, other)| Some((pair_cost(one, other)?, one, other)));
            match (pair, before.get(i), after.get(j)) {
                (Some((pair, one, other)), ..) if here == at(i + 1, j + 1).saturating_add(pair) => {
                    all.push(paired(if pair == 0 { DiffKind::Same } else { DiffKind::Changed }, one, other));
                    (i, j) = (i + 1, j + 1);
                }
                (_, Some(one), other) if other.is_none() || here == at(i + 1, j).saturating_add(MOVE) => {
                    all.push(removed(one));
                    i += 1;
                }
                (_, _, Some(other)) => {
                    all.push(inserted(other));
                    j += 1;
                }
                _ => break,
            }
        }
    }
    all.extend(equal(tail, after_tail));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters that differ only in case are similar.
    fn signs(before: &str, after: &str) -> String {
        let (before, after): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
        let differences = align(&before, &after, char::eq, char::eq_ignore_ascii_case);
        differences
            .iter()
            .map(|difference| match (difference.before, difference.after) {
                (Some(one), Some(other)) if one == other => one.to_string(),
                (Some(one), Some(other)) => format!("~{one}{other}"),
                (Some(one), None) => format!("-{one}"),
                (None, Some(other)) => format!("+{other}"),
                (None, None) => unreachable!(),
            })
            .collect()
    }

    #[test]
    fn lists_are_put_side_by_side() {
        for (before, after, expected) in [
            ("", "", ""),
            ("abc", "abc", "abc"),
            ("abc", "", "-a-b-c"),
            ("", "abc", "+a+b+c"),
            ("abcd", "abxd", "ab-c+xd"),
            ("abcd", "abCd", "ab~cCd"),
            ("abcd", "bcd", "-abcd"),
            ("aXbYc", "abc", "a-Xb-Yc"),
            ("abc", "aXbYc", "a+Xb+Yc"),
            ("aBc", "aXbc", "a+X~Bbc"),
        ] {
            assert_eq!(signs(before, after), expected);
        }
    }

    #[test]
    fn both_lists_are_there_in_their_order_whatever_they_are() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut text = || -> String { (0..random.usize(..12)).map(|_| b"abcABC"[random.usize(..6)] as char).collect() };
        for _ in 0..2000 {
            let (before, after) = (text(), text());
            let (b, a): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
            let differences = align(&b, &a, char::eq, char::eq_ignore_ascii_case);
            assert_eq!(differences.iter().filter_map(|difference| difference.before).collect::<String>(), before);
            assert_eq!(differences.iter().filter_map(|difference| difference.after).collect::<String>(), after);
        }
    }

    #[test]
    fn two_long_lists_are_put_side_by_side_as_well() {
        let before: Vec<u32> = (0..7000).collect();
        let after: Vec<u32> = (3..7003).rev().collect();
        let differences = align(&before, &after, u32::eq, |_, _| false);
        assert_eq!(differences.len(), 14000);
    }
}
