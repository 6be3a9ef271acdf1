//! The bytes that change in each descriptor, and whether the declared changes fit the recorded descriptors.

use std::collections::BTreeMap;
use std::ops::Range;

use hidbpf_core::manifest::{Manifest, Match};
use hidbpf_descriptor::{Anatomy, Flags, Hex, Item, ItemKind, MAX_DESCRIPTOR};
use toml::Spanned;

use crate::address::Items;
use crate::bytes;
use crate::condition::{self, Given, given};
use crate::language::{Condition, DescriptorChange, ItemValue, Patch};
use crate::mistake::Mistake;
use crate::recorded::Recorded;

/// What the descriptor hook does. The first variant that fits a descriptor is applied, as a whole.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub variants: Vec<Variant>,
}

/// The changes for some descriptors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variant {
    /// The sizes in bytes that a descriptor must have one of. Empty: any.
    pub sizes: Vec<u32>,
    /// The match rules that it belongs to.
    pub rules: Vec<u32>,
    /// The conditions that hold for it.
    pub tests: Vec<Given>,
    /// The changes, by offset.
    pub splices: Vec<Splice>,
    /// The byte of the manifest where the first of them is.
    pub byte: usize,
}

/// Bytes that replace others. Offsets refer to the original descriptor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    pub at: u32,
    /// The number of bytes that it replaces. `u32::MAX`: all from there on.
    pub len: u32,
    /// The expected bytes. `None`: any.
    pub old: Option<Vec<u8>>,
    pub new: Vec<u8>,
    /// The number among the new bytes that an option decides.
    pub option: Option<OptionNumber>,
    /// The place in the manifest.
    pub span: Range<usize>,
}

/// A number that an option decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OptionNumber {
    /// The index of its first byte among the new bytes, and the number of its bytes.
    pub at: u32,
    pub bytes: u32,
    pub option: String,
    pub dividend: Option<u32>,
}

impl Splice {
    /// Returns whether it replaces the whole descriptor, of any size.
    pub fn is_whole(&self) -> bool {
        self.len == u32::MAX
    }

    pub fn keeps_size(&self) -> bool {
        self.growth() == 0
    }

    /// Returns by how many bytes the splice makes the descriptor longer.
    pub fn growth(&self) -> i64 {
        self.new.len() as i64 - i64::from(self.len)
    }

    pub fn end(&self) -> u32 {
        self.at.saturating_add(self.len)
    }
}

impl Variant {
    /// Returns the fixed descriptor with the defaults of options. `Err`: the splice whose expected bytes are others.
    pub fn apply(&self, original: &[u8]) -> Result<Vec<u8>, &Splice> {
        let mut fixed = original.to_vec();
        for splice in self.splices.iter().rev() {
            let start = splice.at as usize;
            let end = if splice.is_whole() { original.len() } else { splice.end() as usize };
            let found = original.get(start..end).ok_or(splice)?;
            if splice.old.as_ref().is_some_and(|old| old != found) {
                return Err(splice);
            }
            fixed.splice(start..end, splice.new.iter().copied());
        }
        Ok(fixed)
    }

    pub fn keeps_size(&self) -> bool {
        self.splices.iter().all(Splice::keeps_size)
    }

    /// Returns whether each descriptor that meets the conditions of one variant meets those of the other. Two variants that
    /// expect bytes at different places are for descriptors that differ.
    fn is_like(&self, other: &Variant) -> bool {
        let sizes_meet =
            self.sizes.is_empty() || other.sizes.is_empty() || self.sizes.iter().any(|size| other.sizes.contains(size));
        let bytes = |variant: &Variant| -> BTreeMap<u32, u8> {
            let expected = variant.splices.iter().flat_map(|splice| (splice.at..).zip(splice.old.iter().flatten()));
            expected.map(|(at, byte)| (at, *byte)).collect()
        };
        let (own, others) = (bytes(self), bytes(other));
        let has_all = |one: &BTreeMap<u32, u8>, other: &BTreeMap<u32, u8>| {
            one.iter().all(|(at, byte)| other.get(at) == Some(byte))
        };
        sizes_meet && (has_all(&own, &others) || has_all(&others, &own))
    }
}

impl Plan {
    pub fn of(
        manifest: &Manifest,
        changes: &[Spanned<DescriptorChange>],
        recorded: &[Recorded],
    ) -> Result<Plan, Mistake> {
        let mut chosen = Vec::new();
        for change in changes {
            chosen.push(condition::rules(manifest, change.get_ref().labels.as_ref())?);
            let DescriptorChange { patch, insert, remove, overwrite, append, replace, .. } = change.get_ref();
            let lists = patch.len() + insert.len() + remove.len() + overwrite.len();
            if lists == 0 && append.is_none() && replace.is_none() {
                let message =
                    "missing change: expected one of `patch`, `insert`, `remove`, `overwrite`, `append` and `replace`";
                return Err(Mistake::at(&change.span(), message));
            }
        }
        let mut plan = Plan::default();
        let any = Match::default();
        let rules: Vec<&Match> =
            if manifest.matches.is_empty() { vec![&any] } else { manifest.matches.iter().collect() };
        for (index, rule) in rules.into_iter().enumerate() {
            let mut own: Vec<(&DescriptorChange, Vec<Given>)> = Vec::new();
            for (change, chosen) in changes.iter().map(Spanned::get_ref).zip(&chosen) {
                if chosen.as_ref().is_none_or(|indexes| indexes.contains(&(index as u32))) {
                    own.push((change, tests(manifest, &change.when)?));
                }
            }
            let mut descriptors: Vec<&Recorded> = Vec::new();
            for device in recorded.iter().filter(|device| device.rule == index) {
                if !descriptors.iter().any(|known| known.descriptor == device.descriptor) {
                    descriptors.push(device);
                }
            }
            // Changes without conditions belong to each variant.
            let mut groups: Vec<&[Given]> = Vec::new();
            for (_, own) in &own {
                if !groups.contains(&own.as_slice()) {
                    groups.push(own);
                }
            }
            groups.sort_by_key(|tests| tests.is_empty());
            for test in groups {
                let is_chosen = |own: &[Given]| own.is_empty() || own == test;
                let chosen: Vec<&DescriptorChange> =
                    own.iter().filter(|(_, own)| is_chosen(own)).map(|(change, _)| *change).collect();
                plan.add_rule(manifest, (rule, index as u32), &chosen, test, &descriptors)?;
            }
        }
        plan.tell_rules_apart();
        Ok(plan)
    }

    /// Lets variants test the match rule if those of different rules fit the same descriptors.
    fn tell_rules_apart(&mut self) {
        let all = &self.variants;
        let is_unclear =
            |variant: &Variant| all.iter().any(|other| other.rules != variant.rules && other.is_like(variant));
        let unclear: Vec<bool> = all.iter().map(is_unclear).collect();
        for (variant, _) in self.variants.iter_mut().zip(unclear).filter(|(_, is_unclear)| *is_unclear) {
            variant.tests.insert(0, Given::Rule(variant.rules.clone()));
        }
    }

    /// Adds the variants of a match rule: one for each recorded descriptor.
    fn add_rule(
        &mut self,
        manifest: &Manifest,
        (rule, index): (&Match, u32),
        changes: &[&DescriptorChange],
        tests: &[Given],
        descriptors: &[&Recorded],
    ) -> Result<(), Mistake> {
        let variant = |device| -> Result<Variant, Mistake> {
            let variant = variant(manifest, rule, changes, tests, device)?;
            Ok(Variant { rules: vec![index], ..variant })
        };
        if descriptors.is_empty() {
            self.add(variant(None)?);
        }
        for device in descriptors {
            let variant = variant(Some(device))?;
            if let Err(splice) = variant.apply(&device.descriptor) {
                let place = device.descriptor.get(splice.at as usize..splice.end() as usize);
                let expected = splice.old.as_deref().unwrap_or_default();
                let message = match place {
                    Some(found) => format!(
                        "the descriptor in {} has {} at byte {}, and the repair expects {}",
                        device.recording,
                        Hex(found),
                        splice.at,
                        Hex(expected)
                    ),
                    None => format!(
                        "the descriptor in {} has {} bytes, and the repair needs byte {}",
                        device.recording,
                        device.descriptor.len(),
                        splice.end() - 1
                    ),
                };
                return Err(Mistake::at(&splice.span, message));
            }
            self.add(variant);
        }
        Ok(())
    }

    /// Adds a variant, together with an equal one for descriptors of other sizes if there is one.
    fn add(&mut self, variant: Variant) {
        if variant.splices.is_empty() {
            return;
        }
        let same = self.variants.iter_mut().find(|known| {
            known.tests == variant.tests
                && same_bytes(known, &variant)
                && known.sizes.is_empty() == variant.sizes.is_empty()
                && (known.keeps_size() || known.sizes == variant.sizes || known.sizes.is_empty())
        });
        match same {
            Some(known) => {
                for rule in variant.rules {
                    if !known.rules.contains(&rule) {
                        known.rules.push(rule);
                    }
                }
                for size in variant.sizes {
                    if !known.sizes.contains(&size) {
                        known.sizes.push(size);
                    }
                }
            }
            None => self.variants.push(variant),
        }
    }
}

fn same_bytes(one: &Variant, other: &Variant) -> bool {
    let plain = |splice: &Splice| Splice { span: 0..0, ..splice.clone() };
    one.splices.iter().map(plain).eq(other.splices.iter().map(plain))
}

/// Returns the conditions of a change, which no report decides.
fn tests(manifest: &Manifest, conditions: &[Spanned<Condition>]) -> Result<Vec<Given>, Mistake> {
    let test = |condition: &Spanned<Condition>| {
        given(manifest, condition)?.ok_or_else(|| {
            let message = "invalid condition of a descriptor: expected `option` or `property`";
            Mistake::at(&condition.span(), message)
        })
    };
    conditions.iter().map(test).collect()
}

/// Returns the changes as bytes, for one recorded descriptor or, without one, for all that the rule matches.
fn variant(
    manifest: &Manifest,
    rule: &Match,
    changes: &[&DescriptorChange],
    tests: &[Given],
    recorded: Option<&Recorded>,
) -> Result<Variant, Mistake> {
    let mut splices: Vec<Splice> = Vec::new();
    let original = recorded.map(|device| device.descriptor.as_slice());
    let known_size = rule.rdesc_size.or(original.map(|descriptor| descriptor.len() as u32));
    let plain = |at, len, old, new: &[u8], span| Splice { at, len, old, new: new.to_vec(), option: None, span };
    let mut by_meaning = false;
    for change in changes {
        for found in &change.patch {
            by_meaning |= found.get_ref().item.is_some();
            splices.push(patch(manifest, found, recorded)?);
        }
        for found in &change.insert {
            let insert = found.get_ref();
            splices.push(plain(insert.at, 0, None, &insert.bytes.0, found.span()));
        }
        for found in &change.remove {
            let remove = found.get_ref();
            splices.push(plain(
                remove.at,
                remove.bytes.0.len() as u32,
                Some(remove.bytes.0.clone()),
                &[],
                found.span(),
            ));
        }
        for found in &change.overwrite {
            let overwrite = found.get_ref();
            splices.push(plain(overwrite.at, overwrite.bytes.0.len() as u32, None, &overwrite.bytes.0, found.span()));
        }
        if let Some(found) = &change.append {
            let size = known_size.ok_or_else(|| {
                let message =
                    "the size of the descriptor is not known: add `rdesc-size` to the match rule, or a recording";
                Mistake::at(&found.span(), message)
            })?;
            splices.push(plain(size, 0, None, &found.get_ref().0, found.span()));
        }
        if let Some(found) = &change.replace {
            splices.push(plain(0, u32::MAX, None, &found.get_ref().0, found.span()));
        }
    }
    // Stable: what is inserted at one place keeps its order.
    splices.sort_by_key(|splice| splice.at);
    for pair in splices.windows(2) {
        if let [one, other] = pair
            && one.end() > other.at
        {
            return Err(Mistake::at(&other.span, format!("two changes overlap at byte {}", other.at)));
        }
    }
    let any_size = splices.iter().all(|splice| splice.keeps_size() || splice.is_whole());
    let sizes: Vec<u32> = match known_size {
        Some(size) if rule.rdesc_size.is_some() || by_meaning || !any_size => vec![size],
        None if !any_size => {
            let span = splices.first().map_or(0..0, |splice| splice.span.clone());
            let message = "a change of the size needs the size of the descriptor: add `rdesc-size` to the match rule, or a recording";
            return Err(Mistake::at(&span, message));
        }
        _ => Vec::new(),
    };
    let variant = Variant {
        sizes,
        rules: Vec::new(),
        tests: tests.to_vec(),
        byte: splices.first().map_or(0, |splice| splice.span.start),
        splices,
    };
    check_length(&variant)?;
    Ok(variant)
}

/// Refuses changes beyond the end of a descriptor, and descriptors that would be too long.
fn check_length(variant: &Variant) -> Result<(), Mistake> {
    let size = variant.sizes.first().copied();
    let mut length = size.unwrap_or(0) as usize;
    for splice in &variant.splices {
        let last = if splice.is_whole() { 0 } else { splice.end() };
        if last as usize > MAX_DESCRIPTOR || size.is_some_and(|size| last > size) {
            let size = size.map_or(MAX_DESCRIPTOR, |size| size as usize);
            return Err(Mistake::at(
                &splice.span,
                format!("byte {} is outside of a descriptor of {size} bytes", last - 1),
            ));
        }
        length = if splice.is_whole() {
            splice.new.len()
        } else {
            length + splice.new.len() - splice.len as usize * usize::from(size.is_some())
        };
        if length > MAX_DESCRIPTOR {
            return Err(Mistake::at(
                &splice.span,
                format!("the descriptor would be longer than {MAX_DESCRIPTOR} bytes"),
            ));
        }
    }
    Ok(())
}

fn patch(manifest: &Manifest, found: &Spanned<Patch>, recorded: Option<&Recorded>) -> Result<Splice, Mistake> {
    let (span, patch) = (found.span(), found.get_ref());
    let missing = |key: &str| Mistake::at(&span, format!("missing `{key}` in a patch"));
    let to = patch.to.as_ref().ok_or_else(|| missing("to"))?;
    match (patch.at, &patch.item) {
        (Some(at), None) => {
            if let Some(of) = &patch.of {
                return Err(Mistake::at(&of.span(), "unexpected `of`: it belongs to `item`"));
            }
            let from = patch.from.as_ref().ok_or_else(|| missing("from"))?;
            let bytes_of = |value: &Spanned<ItemValue>| match value.get_ref() {
                ItemValue::Text(text) => bytes::parse(text).map_err(|why| Mistake::at(&value.span(), why)),
                _ => Err(Mistake::at(
                    &value.span(),
                    "expected bytes in hex such as \"29 05\": with `at`, numbers have no size",
                )),
            };
            let (old, new) = match to.get_ref() {
                ItemValue::Option(value) => {
                    let old = bytes_of(from)?;
                    if ![1, 2, 4].contains(&old.len()) {
                        return Err(Mistake::at(&from.span(), "a number that an option decides has 1, 2 or 4 bytes"));
                    }
                    let number = OptionNumber {
                        at: 0,
                        bytes: old.len() as u32,
                        option: value.option.clone(),
                        dividend: value.dividend,
                    };
                    let new = default_bytes(manifest, &number, &to.span())?;
                    return Ok(Splice { at, len: old.len() as u32, old: Some(old), new, option: Some(number), span });
                }
                _ => (bytes_of(from)?, bytes_of(to)?),
            };
            Ok(Splice { at, len: old.len() as u32, old: Some(old), new, option: None, span })
        }
        (None, Some(item)) => {
            let Some(device) = recorded else {
                let message = "an item is found in the descriptor of a recording, and no recording matches this rule: add one, or use `at`";
                return Err(Mistake::at(&item.span(), message));
            };
            let anatomy = Anatomy::of(&device.descriptor);
            let of = patch.of.as_ref().map(|of| of.get_ref().as_str());
            let found = Items::of(&anatomy)
                .find(item.get_ref(), of, patch.kind, patch.report)
                .map_err(|why| Mistake::at(&item.span(), format!("{why} ({})", device.recording)))?;
            item_patch(manifest, found, patch.from.as_ref(), to, span, &device.recording)
        }
        (Some(_), Some(item)) => Err(Mistake::at(&item.span(), "a patch has `at` or `item`, and not both")),
        (None, None) => Err(Mistake::at(&span, "a patch needs a place: `at`, or `item` with `of`")),
    }
}

/// Returns the change of an item's value.
fn item_patch(
    manifest: &Manifest,
    item: &Item,
    from: Option<&Spanned<ItemValue>>,
    to: &Spanned<ItemValue>,
    span: Range<usize>,
    recording: &str,
) -> Result<Splice, Mistake> {
    let old = item.bytes.clone();
    if let Some(from) = from {
        let expected = item_bytes(item, from)?;
        if expected != old {
            let message = format!(
                "the item \"{}\" at byte {} of {recording} is {}, and the repair expects {}",
                item.kind.name(),
                item.offset,
                Hex(&old),
                Hex(&expected)
            );
            return Err(Mistake::at(&from.span(), message));
        }
    }
    let (new, option) = match to.get_ref() {
        ItemValue::Option(value) => {
            let number = OptionNumber {
                at: 1,
                bytes: old.len() as u32 - 1,
                option: value.option.clone(),
                dividend: value.dividend,
            };
            if number.bytes == 0 {
                return Err(Mistake::at(&to.span(), "the item has no data that an option could decide"));
            }
            let mut new = old.get(..1).unwrap_or_default().to_vec();
            new.extend(default_bytes(manifest, &number, &to.span())?);
            (new, Some(number))
        }
        _ => (item_bytes(item, to)?, None),
    };
    Ok(Splice { at: item.offset as u32, len: old.len() as u32, old: Some(old), new, option, span })
}

/// Returns the bytes of a number with the option's default.
fn default_bytes(manifest: &Manifest, number: &OptionNumber, span: &Range<usize>) -> Result<Vec<u8>, Mistake> {
    let known = manifest.option(&number.option);
    let option = known
        .ok_or_else(|| Mistake::at(span, format!("the manifest has no option \"{}\"", number.option.escape_debug())))?;
    if !option.reattach {
        let message =
            format!("the option `{}` is read when the driver is attached: add `reattach = true` to it", option.name);
        return Err(Mistake::at(span, message));
    }
    if number.dividend.is_some() && option.min.is_none_or(|min| min < 1) {
        return Err(Mistake::at(span, format!("the option `{}` divides: its `min` must be 1 or more", option.name)));
    }
    let default = option.number(&option.default).map_err(|why| Mistake::at(span, why))?;
    let value = number.dividend.map_or(default, |dividend| i64::from(dividend) / default.max(1));
    Ok(value.to_le_bytes()[..number.bytes as usize].to_vec())
}

/// Returns an item with another value, in as many bytes as it has if they are enough.
fn item_bytes(item: &Item, value: &Spanned<ItemValue>) -> Result<Vec<u8>, Mistake> {
    let wrong = |message: String| Mistake::at(&value.span(), message);
    let prefix = item.bytes.first().copied().unwrap_or_default();
    match value.get_ref() {
        ItemValue::Number(number) => {
            let is_signed = matches!(
                item.kind,
                ItemKind::LogicalMinimum(_)
                    | ItemKind::LogicalMaximum(_)
                    | ItemKind::PhysicalMinimum(_)
                    | ItemKind::PhysicalMaximum(_)
            );
            let fits = |size: &usize| {
                let bits = 8 * *size as u32;
                let range = if is_signed { -(1_i64 << (bits - 1))..1_i64 << (bits - 1) } else { 0..1_i64 << bits };
                range.contains(number)
            };
            let least = item.bytes.len().saturating_sub(1).max(1);
            let size = [1, 2, 4].into_iter().filter(|size| *size >= least).find(fits);
            let size = size.ok_or_else(|| wrong(format!("{number} does not fit the item \"{}\"", item.kind.name())))?;
            let code = if size == 4 { 3 } else { size as u8 };
            let mut bytes = vec![prefix & 0xfc | code];
            bytes.extend_from_slice(&number.to_le_bytes()[..size]);
            Ok(bytes)
        }
        ItemValue::Text(text)
            if matches!(item.kind, ItemKind::Main(..))
                && text.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit()) =>
        {
            let flags = flags(text).map_err(wrong)?;
            let mut bytes = item.bytes.clone();
            match bytes.get_mut(1) {
                Some(byte) if flags < 0x100 => *byte = flags as u8,
                _ => return Err(wrong("the flags do not fit the item".to_owned())),
            }
            Ok(bytes)
        }
        ItemValue::Text(text) => bytes::parse(text).map_err(wrong),
        ItemValue::Option(_) => Err(wrong("expected a number or bytes in hex".to_owned())),
    }
}

/// Returns the flags of a main item in words: `Data, Variable, Absolute`.
fn flags(text: &str) -> Result<u32, String> {
    let mut flags = 0;
    for word in text.split(',').map(str::trim) {
        // Each bit has a word for 1, and the first three have one for 0.
        let bit = (0..9).find(|bit| {
            Flags(1 << bit).words().iter().any(|known| known.eq_ignore_ascii_case(word))
                && !Flags(0).words().iter().any(|known| known.eq_ignore_ascii_case(word))
        });
        let is_clear = Flags(0).words().iter().any(|known| known.eq_ignore_ascii_case(word));
        match bit {
            Some(bit) => flags |= 1 << bit,
            None if is_clear => {}
            None => {
                return Err(format!(
                    "invalid flag \"{}\": expected flags such as \"Data, Variable, Absolute\"",
                    word.escape_debug()
                ));
            }
        }
    }
    Ok(flags)
}

/// Returns the size that a descriptor must have at least, if its bytes don't show it. The buffer is 0 behind the
/// descriptor, so expected bytes that are not 0 are found only within it.
pub(crate) fn least(variant: &Variant) -> Option<u32> {
    let is_proof = |splice: &&Splice| splice.old.as_ref().is_none_or(|old| old.iter().all(|byte| *byte == 0));
    let needed = variant.splices.iter().filter(|splice| !splice.is_whole()).filter(is_proof);
    needed.map(Splice::end).max().filter(|least| *least > 0)
}

/// Returns the size that the hook returns, or `None` if it stays the same.
pub(crate) fn result(variant: &Variant) -> Option<u32> {
    if let Some(whole) = variant.splices.iter().find(|splice| splice.is_whole()) {
        return Some(whole.new.len() as u32);
    }
    if variant.keeps_size() {
        return None;
    }
    let size = i64::from(variant.sizes.first().copied().unwrap_or(0));
    u32::try_from(size + variant.splices.iter().map(Splice::growth).sum::<i64>()).ok()
}
