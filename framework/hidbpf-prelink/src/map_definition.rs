//! The definitions of maps in a source (`parse_btf_map_def()`, tools/lib/bpf/libbpf.c).

use crate::btf::{Btf, Type, TypeId};
use crate::section::MAPS;

/// A map's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Definition<'a> {
    /// `enum bpf_map_type`, if the definition has one.
    pub kind: Option<u32>,
    /// The key.
    pub key: Element,
    /// The value.
    pub value: Element,
    /// The maximum number of entries.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// The first member that this module doesn't know. libbpf may know it.
    pub unknown: Option<&'a str>,
}

/// The key or the value of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Element {
    /// The size in bytes. `None` for a type without a size.
    pub size: Option<u32>,
    /// The type, or void if the definition has only a size.
    pub ty: TypeId,
}

impl Element {
    /// Returns an element that only has a size.
    fn of_size(size: u32) -> Element {
        Element { size: Some(size), ty: TypeId(0) }
    }
}

/// Reads a map's definition, a struct whose member types encode the values.
///
/// # Errors
/// The map has no type, or it is not a struct. The text says which.
pub fn read<'a>(types: &'a Btf, name: &str) -> Result<Definition<'a>, String> {
    let of_maps = types.section(MAPS).into_iter().flat_map(|variables| variables.iter());
    let ty = of_maps.map(|placed| types.get(placed.ty)).find_map(|variable| match variable {
        Type::Variable { name: found, ty } if found == name => Some(types.resolve(ty)),
        _ => None,
    });
    let Type::Record { members, .. } = types.get(ty.ok_or("has no type information")?) else {
        return Err("is not a struct".to_owned());
    };
    let nothing = Element::of_size(0);
    let mut map = Definition { kind: None, key: nothing, value: nothing, max_entries: 0, flags: 0, unknown: None };
    for member in members.iter() {
        let number = types.encoded_number(member.ty);
        let size = Element::of_size(number.unwrap_or(0));
        let pointed = types.pointed(member.ty).unwrap_or(TypeId(0));
        let element = Element { size: types.size_of(pointed), ty: pointed };
        match member.name {
            "type" => map.kind = number,
            "max_entries" => map.max_entries = number.unwrap_or(0),
            "map_flags" => map.flags = number.unwrap_or(0),
            "key_size" => map.key = size,
            "value_size" => map.value = size,
            "key" => map.key = element,
            "value" => map.value = element,
            other => map.unknown = map.unknown.or(Some(other)),
        }
    }
    Ok(map)
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;
    use crate::btf::MAGIC;

    const STRINGS: &[u8] = b"\0type\0key\0value_size\0pinning\0value\0.maps\0m\0";
    const TYPE: u32 = 1;
    const KEY: u32 = 6;
    const VALUE_SIZE: u32 = 10;
    const PINNING: u32 = 21;
    const VALUE: u32 = 29;
    const SECTION: u32 = 35;
    const NAME: u32 = 41;

    /// Returns type information with an integer of 4 bytes (type 1), an array of 3 (2), pointers to these (3 and 4), and
    /// a pointer to void (5). The map `m` is a struct of these members, each with its name and type.
    fn types(members: &[[u32; 2]]) -> Btf {
        let mut words: Vec<u32> = vec![0, 1 << 24, 4, 32, 0, 3 << 24, 0, 1, 1, 3];
        words.extend([0, 2 << 24, 1, 0, 2 << 24, 2, 0, 2 << 24, 0]);
        words.extend([0, 4 << 24 | members.len() as u32, 32]);
        members.iter().for_each(|[name, ty]| words.extend([*name, *ty, 0]));
        words.extend([NAME, 14 << 24, 6, 1]);
        words.extend([SECTION, 15 << 24 | 1, 32, 7, 0, 32]);
        let length = words.len() as u32 * 4;
        let header = [u32::from(MAGIC) | 1 << 16, 24, 0, length, length, STRINGS.len() as u32];
        Btf::parse(&[header.as_bytes(), words.as_bytes(), STRINGS].concat()).unwrap()
    }

    #[test]
    fn members_encode_numbers_and_types() {
        let types = types(&[[TYPE, 4], [KEY, 3], [VALUE_SIZE, 4], [PINNING, 4]]);
        let map = read(&types, "m").unwrap();
        assert_eq!((map.kind, map.max_entries, map.unknown), (Some(3), 0, Some("pinning")));
        assert_eq!(map.key, Element { size: Some(4), ty: TypeId(1) });
        assert_eq!(map.value, Element { size: Some(3), ty: TypeId(0) });
        assert_eq!(read(&types, "other"), Err("has no type information".to_owned()));
    }

    #[test]
    fn an_element_without_a_size_is_told_from_a_missing_one() {
        let (types, none) = (types(&[[VALUE, 5]]), types(&[]));
        assert_eq!(read(&types, "m").unwrap().value.size, None);
        assert_eq!(read(&none, "m").unwrap().value.size, Some(0));
    }
}
