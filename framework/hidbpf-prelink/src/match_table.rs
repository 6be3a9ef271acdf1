//! The match table of objects that are written for udev-hid-bpf or for the kernel tree: the ids of their devices.
//!
//! The table is a variable in the section [`SECTION`]. Nobody reads its bytes: the values are in its type. It is a union
//! or a struct with one struct for each device. The members `bus`, `group`, `vid` and `pid` of that struct are pointers
//! to arrays, and the number of elements of an array is the value. 0 means any (`HID_BPF_CONFIG()` and `HID_DEVICE()`,
//! drivers/hid/bpf/progs/hid_bpf_helpers.h).

use object::{Object as _, ObjectSection as _};

use crate::btf::{self, Btf, Type, TypeId};
use crate::elf::Elf;

/// The ELF section of the match table.
pub const SECTION: &str = ".hid_bpf_config";

/// The maximum number of devices in a table. The macros of udev-hid-bpf allow 15.
pub const MAX_DEVICES: usize = 256;

/// The ids of one device in a match table. 0 means any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceIds {
    /// `BUS_*` (include/uapi/linux/input.h).
    pub bus: u32,
    /// `HID_GROUP_*` (include/linux/hid.h).
    pub group: u32,
    /// The vendor.
    pub vendor: u32,
    /// The product.
    pub product: u32,
}

/// Reads an object's match table. Returns `None` if the object has none.
///
/// # Errors
/// The table's type is missing or damaged, or there are two tables, or more devices than [`MAX_DEVICES`]. The text says
/// which.
pub fn read(elf: &Elf<'_>) -> Result<Option<Vec<DeviceIds>>, String> {
    let mut sections = elf.sections().filter(|section| section.name() == Ok(SECTION));
    if sections.next().is_none() {
        return Ok(None);
    }
    if sections.next().is_some() {
        return Err(format!("it has two sections `{SECTION}`"));
    }
    let types = elf.section_by_name(btf::SECTION);
    let types = types.ok_or_else(|| format!("it has no type information (the ELF section `{}`)", btf::SECTION))?;
    let is_damaged = |why: &dyn std::fmt::Display| format!("the section `{}` is damaged: {why}", btf::SECTION);
    let types = types.data().map_err(|error| is_damaged(&error))?;
    devices(&Btf::parse(types).map_err(|error| is_damaged(&error))?).map(Some)
}

/// Reads the match table from the types of an object that has one.
///
/// # Errors
/// As for [`read`].
pub fn devices(types: &Btf) -> Result<Vec<DeviceIds>, String> {
    let variables = types.section(SECTION).ok_or_else(|| format!("the section `{SECTION}` has no type"))?;
    let mut tables = variables.iter();
    let (table, second) = (tables.next(), tables.next());
    let table = match (table, second) {
        (Some(table), None) => table,
        (None, _) => return Err(format!("the section `{SECTION}` is empty")),
        (Some(_), Some(_)) => return Err(format!("it has two match tables in the section `{SECTION}`")),
    };
    let table = match types.get(table.ty) {
        Type::Variable { ty, .. } => types.get(ty),
        _ => Type::Void,
    };
    let Type::Record { members, .. } = table else {
        return Err("its match table is neither a union nor a struct".to_owned());
    };
    let mut devices = Vec::new();
    for (number, member) in members.iter().enumerate() {
        if number == MAX_DEVICES {
            return Err(format!("its match table has more than {MAX_DEVICES} devices"));
        }
        let device = device(types, member.ty);
        devices.push(device.map_err(|why| format!("device {} of its match table {why}", number + 1))?);
    }
    match devices.is_empty() {
        true => Err("its match table has no device".to_owned()),
        false => Ok(devices),
    }
}

fn device(types: &Btf, ty: TypeId) -> Result<DeviceIds, String> {
    let Type::Record { is_struct: true, members, .. } = types.get(ty) else {
        return Err("is not a struct".to_owned());
    };
    let value = |name: &str| -> Result<u32, String> {
        let member = members.iter().find(|member| member.name == name).ok_or_else(|| format!("has no `{name}`"))?;
        let number = types.encoded_number(member.ty);
        number.ok_or_else(|| format!("has a `{name}` that is not a pointer to an array"))
    };
    Ok(DeviceIds { bus: value("bus")?, group: value("group")?, vendor: value("vid")?, product: value("pid")? })
}

#[cfg(test)]
mod tests {
    use zerocopy::IntoBytes as _;

    use super::*;

    const STRINGS: &[u8] = b"\0bus\0group\0vid\0pid\0.hid_bpf_config\0ids\0";
    const NAMES: [u32; 4] = [1, 5, 11, 15];
    const SECTION_NAME: u32 = 19;
    const VARIABLE_NAME: u32 = 35;

    /// Returns type information with an array of 3 (type 1), a pointer to it (2), a struct of these members of type 2
    /// (3), a union of so many of these structs (4), a variable of the type `ty` (5), and the section of so many such
    /// variables (6).
    fn types(members: &[u32], devices: u32, ty: u32, variables: u32) -> Vec<u8> {
        let mut words: Vec<u32> = vec![0, 3 << 24, 0, 0, 0, 3, 0, 2 << 24, 1];
        words.extend([0, 4 << 24 | members.len() as u32, 32]);
        members.iter().for_each(|name| words.extend([*name, 2, 0]));
        words.extend([0, 5 << 24 | devices, 32]);
        (0..devices).for_each(|_| words.extend([0, 3, 0]));
        words.extend([VARIABLE_NAME, 14 << 24, ty, 1]);
        words.extend([SECTION_NAME, 15 << 24 | variables, 32]);
        (0..variables).for_each(|_| words.extend([5, 0, 32]));
        let length = words.len() as u32 * 4;
        let header = [u32::from(btf::MAGIC) | 1 << 16, 24, 0, length, length, STRINGS.len() as u32];
        [header.as_bytes(), words.as_bytes(), STRINGS].concat()
    }

    fn read(types: &[u8]) -> Result<Vec<DeviceIds>, String> {
        devices(&Btf::parse(types).unwrap())
    }

    #[test]
    fn the_values_are_the_lengths_of_the_arrays() {
        let three = DeviceIds { bus: 3, group: 3, vendor: 3, product: 3 };
        assert_eq!(read(&types(&NAMES, 1, 4, 1)), Ok(vec![three]));
        assert_eq!(read(&types(&NAMES, 2, 4, 1)), Ok(vec![three; 2]));
    }

    #[test]
    fn absurd_tables_are_refused() {
        for (types, why) in [
            (types(&NAMES, 10_000, 4, 1), "more than 256 devices"),
            (types(&NAMES, 0, 4, 1), "has no device"),
            (types(&NAMES, 1, 4, 0), "is empty"),
            (types(&NAMES, 1, 4, 2), "two match tables"),
            (types(&NAMES, 1, 2, 1), "neither a union nor a struct"),
            (types(&NAMES, 1, 99, 1), "neither a union nor a struct"),
            (types(&NAMES[..3], 1, 4, 1), "device 1 of its match table has no `pid`"),
            // Its members are pointers and not structs.
            (types(&NAMES, 1, 3, 1), "device 1 of its match table is not a struct"),
        ] {
            let error = read(&types).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
