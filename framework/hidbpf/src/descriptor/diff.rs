//! What differs between two descriptors, and between what two reports say.

use serde::{Serialize, Serializer};

use super::decode::{Decoded, Value};
use super::item::Item;
use super::report::{Report, Row};
use super::{Anatomy, Descriptor};
use crate::replay::reports::ReportType;

/// What became of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// It is the same.
    Same,
    /// It is there before and after, and not the same.
    Changed,
    /// It is there before.
    Removed,
    /// It is there after.
    Inserted,
}

impl Change {
    /// The sign for it at the start of a line, as `diff` has them.
    pub fn sign(self) -> char {
        match self {
            Change::Same => ' ',
            Change::Changed => '~',
            Change::Removed => '-',
            Change::Inserted => '+',
        }
    }
}

/// A thing before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<T> {
    /// What became of it.
    pub change: Change,
    /// How it was.
    pub before: Option<T>,
    /// How it is.
    pub after: Option<T>,
}

impl<T: Serialize> Serialize for Difference<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a, T> {
            change: Change,
            #[serde(skip_serializing_if = "Option::is_none")]
            before: &'a Option<T>,
            #[serde(skip_serializing_if = "Option::is_none")]
            after: &'a Option<T>,
        }
        // What is the same is there once.
        let before = if self.change == Change::Same { &None } else { &self.before };
        Fields { change: self.change, before, after: &self.after }.serialize(serializer)
    }
}

/// The items of two descriptors, side by side.
pub fn items_difference(before: &Anatomy, after: &Anatomy) -> Vec<Difference<Item>> {
    let is_same = |one: &Item, other: &Item| one.bytes == other.bytes && one.kind == other.kind;
    align(&before.items, &after.items, is_same, |one, other| one.kind.name() == other.kind.name())
}

/// The lines of two tables of fields, side by side.
pub fn rows_difference(before: &[Row], after: &[Row]) -> Vec<Difference<Row>> {
    let place = |row: &Row| (row.first_bit, row.size, row.count);
    align(before, after, Row::eq, |one, other| one.what == other.what || place(one) == place(other))
}

/// What two reports say, side by side. A value that has moved and says the same is the same.
pub fn decoded_difference(before: &Decoded, after: &Decoded) -> Vec<Difference<Value>> {
    let is_like = |one: &Value, other: &Value| one.part.name == other.part.name;
    let is_same = |one: &Value, other: &Value| is_like(one, other) && one.content == other.content;
    align(&before.values, &after.values, is_same, is_like)
}

/// A report that one of two descriptors declares, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportDifference {
    /// Its type.
    pub kind: ReportType,
    /// Its id.
    pub id: Option<u8>,
    /// How it was.
    pub before: Option<Report>,
    /// How it is.
    pub after: Option<Report>,
    /// The lines of both tables of fields.
    pub rows: Vec<Difference<Row>>,
}

impl ReportDifference {
    /// What became of it.
    pub fn change(&self) -> Change {
        match (&self.before, &self.after) {
            (Some(_), None) => Change::Removed,
            (None, Some(_)) => Change::Inserted,
            (Some(before), Some(after)) if before.application != after.application => Change::Changed,
            _ if self.rows.iter().all(|row| row.change == Change::Same) => Change::Same,
            _ => Change::Changed,
        }
    }
}

impl Serialize for ReportDifference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            change: Change,
            kind: String,
            id: Option<u8>,
            rows: &'a [Difference<Row>],
        }
        Fields { change: self.change(), kind: self.kind.to_string(), id: self.id, rows: &self.rows }
            .serialize(serializer)
    }
}

/// The reports of two descriptors, side by side: those of the first in their order, then those that only the second has.
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

/// What it costs to remove or insert a thing, and to change it. A change is dearer than either, and cheaper than both.
const MOVE: u16 = 2;
const CHANGE: u16 = 3;

/// How many pairs of things are compared at the most; with more, what is between the common start and end counts as replaced.
const MAX_PAIRS: usize = 1 << 25;

/// Puts two lists side by side so that little differs: things that are the same, or at least alike, are paired in order.
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
    let removed = |one: &T| Difference { change: Change::Removed, before: Some(one.clone()), after: None };
    let inserted = |one: &T| Difference { change: Change::Inserted, before: None, after: Some(one.clone()) };
    let equal = |one: &[T], other: &[T]| -> Vec<Difference<T>> {
        one.iter().zip(other).map(|(one, other)| paired(Change::Same, one, other)).collect()
    };

    let mut all = equal(head, after_head);
    let width = after.len() + 1;
    if (before.len() + 1).saturating_mul(width) > MAX_PAIRS {
        all.extend(before.iter().map(removed).chain(after.iter().map(inserted)));
    } else {
        // cost[i * width + j]: what it takes to make before[i..] into after[j..].
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
                    all.push(paired(if pair == 0 { Change::Same } else { Change::Changed }, one, other));
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

    /// Letters are alike when they are the same in lower case.
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
        let mut random = crate::replay::random::Random::new(5);
        let mut text = || -> String { (0..random.below(12)).map(|_| b"abcABC"[random.below(6)] as char).collect() };
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
