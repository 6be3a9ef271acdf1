//! Maps: the data that drivers keep between reports, apart from their variables.

use std::collections::HashMap;

use crate::memory::{Access, Full, Kind, Memory, RegionId};
use crate::object::MapDefinition;

/// How a map stores its entries.
#[derive(Debug)]
enum Store {
    /// By number. Memory is allocated on first access.
    Array(HashMap<u32, RegionId>),
    /// By any key.
    Hash { slots: Vec<Option<Slot>>, by_key: HashMap<Vec<u8>, u32>, evicts: bool },
    /// A map type that replays don't support. Unused maps of such a type do no harm.
    Other,
}

#[derive(Debug)]
struct Slot {
    key: Vec<u8>,
    value: RegionId,
}

/// A map and its content.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) definition: MapDefinition,
    /// The handle that programs use.
    pub(crate) handle: RegionId,
    index: u32,
    store: Store,
}

/// The result of a map operation: success or a negative errno.
pub(crate) type Answer = Result<(), i32>;

/// The maximum size of a hash key in bytes (`htab_map_alloc_check()`, kernel/bpf/hashtab.c). Keys don't count as the
/// program's memory.
const MAX_KEY: u32 = 512;

const ENOENT: i32 = 2;
const E2BIG: i32 = 7;
const EEXIST: i32 = 17;
const EINVAL: i32 = 22;

const NO_EXIST: u64 = 1;
const EXIST: u64 = 2;
/// The flag to take the value's spin lock, which makes no difference in a replay.
const LOCK: u64 = 4;

impl Map {
    pub(crate) fn new(definition: MapDefinition, index: u32, memory: &mut Memory) -> Result<Map, Full> {
        let hash = |evicts| Store::Hash { slots: Vec::new(), by_key: HashMap::new(), evicts };
        // A replay has one CPU, so per-CPU maps have one value.
        let store = match definition.kind {
            1 | 5 | 9 | 10 if definition.key_size > MAX_KEY => Store::Other,
            1 | 5 => hash(false),
            9 | 10 => hash(true),
            2 | 6 if definition.key_size == 4 => Store::Array(HashMap::new()),
            _ => Store::Other,
        };
        Ok(Map { handle: memory.handle(Kind::Map(index))?, definition, index, store })
    }

    /// Returns whether programs can use the map in a replay.
    pub(crate) fn is_usable(&self) -> bool {
        !matches!(self.store, Store::Other)
    }

    /// Looks up the value of a key.
    pub(crate) fn lookup(&mut self, key: &[u8], memory: &mut Memory) -> Result<Option<RegionId>, Full> {
        let Map { definition, index, store, .. } = self;
        match store {
            Store::Array(values) => {
                let Some(number) = array_index(key).filter(|number| *number < definition.max_entries) else {
                    return Ok(None);
                };
                if let Some(value) = values.get(&number) {
                    return Ok(Some(*value));
                }
                let kind = Kind::Value { map: *index, slot: number };
                let value = memory.allocate(definition.value_size as usize, kind, Access::ReadWrite)?;
                values.insert(number, value);
                Ok(Some(value))
            }
            Store::Hash { slots, by_key, .. } => {
                let slot = by_key.get(key).and_then(|slot| slots.get(*slot as usize)?.as_ref());
                Ok(slot.map(|slot| slot.value))
            }
            Store::Other => Ok(None),
        }
    }

    /// Stores a value. Adds replaced values to `removed`.
    pub(crate) fn update(
        &mut self,
        key: &[u8],
        value: &[u8],
        flags: u64,
        memory: &mut Memory,
        removed: &mut Vec<RegionId>,
    ) -> Result<Answer, Full> {
        let wanted = flags & !LOCK;
        if wanted > EXIST {
            return Ok(Err(-EINVAL));
        }
        let known = self.lookup(key, memory)?;
        match (&self.store, known, wanted) {
            (Store::Other, _, _) => return Ok(Err(-EINVAL)),
            (Store::Array(_), None, _) => return Ok(Err(-E2BIG)),
            (_, Some(_), NO_EXIST) => return Ok(Err(-EEXIST)),
            (_, None, EXIST) => return Ok(Err(-ENOENT)),
            _ => {}
        }
        let region = match known {
            Some(region) => region,
            None => match self.insert(key, memory, removed)? {
                Some(region) => region,
                None => return Ok(Err(-E2BIG)),
            },
        };
        let into = memory.bytes_mut(region);
        if into.len() == value.len() {
            into.copy_from_slice(value);
        }
        Ok(Ok(()))
    }

    fn insert(
        &mut self,
        key: &[u8],
        memory: &mut Memory,
        removed: &mut Vec<RegionId>,
    ) -> Result<Option<RegionId>, Full> {
        let Map { definition, index, store, .. } = self;
        let Store::Hash { slots, by_key, evicts } = store else { return Ok(None) };
        if by_key.len() >= definition.max_entries as usize {
            // The kernel's choice is hard to predict. A replay evicts the first slot.
            let victim = slots.iter_mut().find(|slot| slot.is_some()).filter(|_| *evicts).and_then(Option::take);
            let Some(victim) = victim else { return Ok(None) };
            by_key.remove(&victim.key);
            removed.push(victim.value);
        }
        let free = slots.iter().position(Option::is_none).unwrap_or(slots.len());
        let slot = u32::try_from(free).map_err(|_| Full::Regions)?;
        let kind = Kind::Value { map: *index, slot };
        let value = memory.allocate(definition.value_size as usize, kind, Access::ReadWrite)?;
        if free == slots.len() {
            slots.push(None);
        }
        slots[free] = Some(Slot { key: key.to_vec(), value });
        by_key.insert(key.to_vec(), slot);
        Ok(Some(value))
    }

    /// Deletes a key. Adds its value to `removed`.
    pub(crate) fn delete(&mut self, key: &[u8], removed: &mut Vec<RegionId>) -> Answer {
        let Store::Hash { slots, by_key, .. } = &mut self.store else { return Err(-EINVAL) };
        let slot = by_key.remove(key).ok_or(-ENOENT)?;
        let taken = slots.get_mut(slot as usize).and_then(Option::take).ok_or(-ENOENT)?;
        removed.push(taken.value);
        Ok(())
    }

    /// Returns the key in a slot. A region of [`Kind::Value`] has the slot's number.
    pub(crate) fn key_of(&self, slot: u32) -> Vec<u8> {
        match &self.store {
            Store::Array(_) => slot.to_le_bytes().to_vec(),
            Store::Hash { slots, .. } => {
                slots.get(slot as usize).and_then(Option::as_ref).map(|slot| slot.key.clone()).unwrap_or_default()
            }
            Store::Other => Vec::new(),
        }
    }

    /// Returns the number of slots to search for a free or a used one.
    pub(crate) fn slots(&self) -> usize {
        match &self.store {
            Store::Hash { slots, .. } => slots.len(),
            Store::Array(_) | Store::Other => 0,
        }
    }

    /// Returns the first used slot from a number on. All slots of an array are used.
    pub(crate) fn slot_from(&self, from: u32) -> Option<u32> {
        match &self.store {
            Store::Array(_) => Some(from).filter(|slot| *slot < self.definition.max_entries),
            Store::Hash { slots, .. } => {
                let used = slots.iter().enumerate().skip(from as usize).find(|(_, slot)| slot.is_some());
                used.and_then(|(index, _)| u32::try_from(index).ok())
            }
            Store::Other => None,
        }
    }
}

fn array_index(key: &[u8]) -> Option<u32> {
    key.try_into().ok().map(u32::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(kind: u32, max_entries: u32) -> (Map, Memory) {
        let mut memory = Memory::new(1 << 20);
        let definition = MapDefinition { name: "m".to_owned(), kind, key_size: 4, value_size: 2, max_entries };
        (Map::new(definition, 0, &mut memory).unwrap(), memory)
    }

    #[test]
    fn an_array_has_all_its_entries_from_the_start() {
        let (mut map, mut memory) = map(2, 2);
        let value = map.lookup(&[1, 0, 0, 0], &mut memory).unwrap().unwrap();
        assert_eq!(memory.bytes(value), [0, 0]);
        assert_eq!(map.lookup(&[1, 0, 0, 0], &mut memory), Ok(Some(value)));
        assert_eq!(map.lookup(&[2, 0, 0, 0], &mut memory), Ok(None));
        let mut removed = Vec::new();
        assert_eq!(map.update(&[1, 0, 0, 0], &[5, 6], 0, &mut memory, &mut removed), Ok(Ok(())));
        assert_eq!(memory.bytes(value), [5, 6]);
        assert_eq!(map.update(&[1, 0, 0, 0], &[5, 6], NO_EXIST, &mut memory, &mut removed), Ok(Err(-EEXIST)));
        assert_eq!(map.update(&[2, 0, 0, 0], &[5, 6], 0, &mut memory, &mut removed), Ok(Err(-E2BIG)));
        assert_eq!(map.update(&[1, 0, 0, 0], &[5, 6], 9, &mut memory, &mut removed), Ok(Err(-EINVAL)));
        assert_eq!(map.delete(&[1, 0, 0, 0], &mut removed), Err(-EINVAL));
        assert!(removed.is_empty());
    }

    #[test]
    fn a_hash_grows_to_its_limit_and_forgets_what_is_deleted() {
        let (mut map, mut memory) = map(1, 2);
        let mut removed = Vec::new();
        assert_eq!(map.lookup(b"aaaa", &mut memory), Ok(None));
        assert_eq!(map.update(b"aaaa", &[1, 1], EXIST, &mut memory, &mut removed), Ok(Err(-ENOENT)));
        assert_eq!(map.update(b"aaaa", &[1, 1], NO_EXIST, &mut memory, &mut removed), Ok(Ok(())));
        assert_eq!(map.update(b"bbbb", &[2, 2], 0, &mut memory, &mut removed), Ok(Ok(())));
        assert_eq!(map.update(b"cccc", &[3, 3], 0, &mut memory, &mut removed), Ok(Err(-E2BIG)));
        assert_eq!((map.slot_from(1), map.slot_from(2), map.key_of(1)), (Some(1), None, b"bbbb".to_vec()));
        assert_eq!(map.delete(b"aaaa", &mut removed), Ok(()));
        assert_eq!(map.delete(b"aaaa", &mut removed), Err(-ENOENT));
        assert_eq!(removed.len(), 1);
        assert_eq!(map.update(b"cccc", &[3, 3], 0, &mut memory, &mut removed), Ok(Ok(())));
        assert_eq!((map.slot_from(0), map.key_of(0)), (Some(0), b"cccc".to_vec()));
    }

    #[test]
    fn keys_are_as_short_as_the_kernel_wants_them() {
        for (key_size, usable) in [(MAX_KEY, true), (MAX_KEY + 1, false), (u32::MAX, false)] {
            let definition = MapDefinition { name: "m".to_owned(), kind: 1, key_size, value_size: 2, max_entries: 2 };
            assert_eq!(Map::new(definition, 0, &mut Memory::new(1 << 20)).unwrap().is_usable(), usable, "{key_size}");
        }
    }

    #[test]
    fn a_map_that_evicts_always_has_room() {
        let (mut map, mut memory) = map(9, 1);
        let mut removed = Vec::new();
        for key in [b"aaaa", b"bbbb", b"cccc"] {
            assert_eq!(map.update(key, &[1, 1], 0, &mut memory, &mut removed), Ok(Ok(())));
        }
        assert_eq!(removed.len(), 2);
        assert!(map.lookup(b"cccc", &mut memory).unwrap().is_some());
    }
}
