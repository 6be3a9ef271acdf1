//! A copy of the type information that prelinked programs need.

use zerocopy::IntoBytes as _;
use zerocopy::little_endian::U32;

use crate::btf::{Btf, Header, INFO, MAGIC, TypeId};
use crate::btf_kind::{DECL_TAG, FUNC};
use crate::btf_strings::Strings;

/// A copy of some types and of all that they refer to.
pub(crate) struct Pruned<'a> {
    btf: &'a Btf,
    /// The new numbers, by the old ones. 0 for omitted types.
    numbers: Vec<u32>,
    kept: Vec<TypeId>,
    strings: Strings,
}

impl<'a> Pruned<'a> {
    pub(crate) fn new(btf: &'a Btf, roots: impl IntoIterator<Item = TypeId>) -> Pruned<'a> {
        let mut keep = vec![false; btf.count() as usize];
        let mark = |keep: &mut Vec<bool>, root| {
            let mut pending = vec![root];
            while let Some(TypeId(id)) = pending.pop() {
                match keep.get_mut(id as usize) {
                    Some(kept) if id != 0 && !*kept => *kept = true,
                    _ => continue,
                }
                let ty = btf.words(TypeId(id));
                pending.extend(ty.places().0.into_iter().map(|at| TypeId(ty.word(at))));
            }
        };
        roots.into_iter().for_each(|root| mark(&mut keep, root));
        // Tags refer to the type that they annotate, and not the other way round.
        for id in btf.ids() {
            let ty = btf.words(id);
            if ty.kind() == DECL_TAG && keep.get(ty.referred().0 as usize) == Some(&true) {
                mark(&mut keep, id);
            }
        }
        let kept: Vec<TypeId> = btf.ids().filter(|id| keep[id.0 as usize]).collect();
        let mut numbers = vec![0; btf.count() as usize];
        for (index, id) in kept.iter().enumerate() {
            numbers[id.0 as usize] = index as u32 + 1;
        }
        Pruned { btf, numbers, kept, strings: Strings::default() }
    }

    /// Returns the new number of a type in the copy.
    pub(crate) fn number(&self, id: TypeId) -> u32 {
        self.numbers.get(id.0 as usize).copied().unwrap_or(0)
    }

    /// Returns the offset of a string, and adds it to the copy if necessary.
    pub(crate) fn string(&mut self, text: &str) -> u32 {
        self.strings.offset(text)
    }

    /// Returns the copy. `is_static` tells by a function's old number whether no other object may call it.
    pub(crate) fn bytes(mut self, is_static: impl Fn(TypeId) -> bool) -> Vec<u8> {
        let mut words: Vec<U32> = Vec::new();
        for id in self.kept.clone() {
            let ty = self.btf.words(id);
            let start = words.len();
            words.extend_from_slice(ty.0);
            let (types, names) = ty.places();
            for at in types {
                words[start + at] = self.number(TypeId(ty.word(at))).into();
            }
            for at in names {
                words[start + at] = self.string(self.btf.name_at(ty.word(at))).into();
            }
            if ty.kind() == FUNC && is_static(id) {
                words[start + INFO] = (ty.word(INFO) & !0xffff).into();
            }
        }
        let types_length = U32::new((words.len() * 4) as u32);
        let header = Header {
            magic: MAGIC.into(),
            version: 1,
            flags: 0,
            length: (size_of::<Header>() as u32).into(),
            types_at: 0.into(),
            types_length,
            strings_at: types_length,
            strings_length: (self.strings.bytes().len() as u32).into(),
        };
        [header.as_bytes(), words.as_bytes(), self.strings.bytes()].concat()
    }
}
