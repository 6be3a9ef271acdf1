//! A match table and a probe in C, from a manifest's match rules.

use std::fmt::Write;

use hidbpf::manifest::{IdsFrom, Manifest, Match, Sha256};

/// The number of devices that the kernel tree's macro takes.
const MAX_DEVICES: usize = 15;

/// Returns the match table. It has the ids of each rule, once.
pub(super) fn devices(manifest: &Manifest) -> Result<String, String> {
    let mut devices: Vec<String> = Vec::new();
    for rule in &manifest.matches {
        let device = device(rule)?;
        if !devices.contains(&device) {
            devices.push(device);
        }
    }
    match devices.len() {
        0 => Err("it has no match rules".to_owned()),
        1..=MAX_DEVICES => Ok(format!("HID_BPF_CONFIG(\n\t{}\n);\n", devices.join(",\n\t"))),
        count => Err(format!("its match rules have {count} devices, and a match table takes {MAX_DEVICES}")),
    }
}

fn device(rule: &Match) -> Result<String, String> {
    const BUSES: [(u16, &str); 4] =
        [(0x03, "BUS_USB"), (0x05, "BUS_BLUETOOTH"), (0x06, "BUS_VIRTUAL"), (0x18, "BUS_I2C")];
    const GROUPS: [(u16, &str); 4] = [
        (0x0001, "HID_GROUP_GENERIC"),
        (0x0002, "HID_GROUP_MULTITOUCH"),
        (0x0004, "HID_GROUP_MULTITOUCH_WIN_8"),
        (0x0101, "HID_GROUP_WACOM"),
    ];
    let named = |value: Option<u16>, names: &[(u16, &str)], any: &str| match value {
        None => any.to_owned(),
        Some(value) => names
            .iter()
            .find(|(known, _)| *known == value)
            .map_or_else(|| format!("{value:#06x}"), |(_, name)| (*name).to_owned()),
    };
    let bus = named(rule.bus.map(|bus| bus.0), &BUSES, "BUS_ANY");
    let group = named(rule.group.map(|group| group.0), &GROUPS, "HID_GROUP_ANY");
    let vendor = rule.vendor.map_or_else(|| "HID_VID_ANY".to_owned(), |vendor| format!("{:#06x}", vendor.0));
    let product = rule.product.map_or_else(|| "HID_PID_ANY".to_owned(), |product| format!("{:#06x}", product.0));
    let cannot = |what: &str| Err(format!("a probe can't check its match rules: {what}"));
    match rule {
        Match { ids_from: IdsFrom::Name, .. } => cannot("they use the ids in the device's name"),
        Match { kernel_driver, .. } if !kernel_driver.is_empty() => cannot("they name the kernel driver"),
        Match { not_kernel_driver, .. } if !not_kernel_driver.is_empty() => cannot("they exclude a kernel driver"),
        Match { interface: Some(_), .. } => cannot("they have the number of a USB interface"),
        Match { property: Some(_), .. } => cannot("they have a udev property"),
        Match { machine: Some(_), .. } => cannot("they name the machine"),
        Match { name: Some(name), .. } if name.contains(['*', '"', '\\']) => cannot("they have a pattern for the name"),
        _ => Ok(format!("HID_DEVICE({bus}, {group}, {vendor}, {product})")),
    }
}

/// Returns the probe. It tests each rule's conditions that the match table can't express. In place of a hash it compares
/// the descriptor that has the hash, which is one of `descriptors`.
pub(super) fn probe(manifest: &Manifest, descriptors: &[Vec<u8>]) -> Result<String, String> {
    let rules = &manifest.matches;
    let mut arrays = String::new();
    let mut conditions: Vec<Vec<String>> = rules.iter().map(conditions).collect();
    for (rule, conditions) in rules.iter().zip(&mut conditions) {
        let Some(hash) = &rule.rdesc_sha256 else { continue };
        let descriptor = descriptors.iter().find(|descriptor| Sha256::of(descriptor) == *hash).ok_or(
            "a probe can't check its match rules: they have a hash of the descriptor, and no recording has that descriptor",
        )?;
        let name = format!("original_{}", arrays.matches("static const").count());
        let lines: Vec<String> = descriptor
            .chunks(12)
            .map(|line| line.iter().map(|byte| format!("{byte:#04x}")).collect::<Vec<_>>().join(", "))
            .collect();
        let _ = writeln!(arrays, "static const __u8 {name}[] = {{\n\t{},\n}};\n", lines.join(",\n\t"));
        *conditions = vec![
            format!("ctx->rdesc_size == {}", descriptor.len()),
            format!("is_original(ctx, {name}, sizeof({name}))"),
        ];
    }
    let ids = |rule: &Match| (rule.bus.map(|id| id.0), rule.vendor.map(|id| id.0), rule.product.map(|id| id.0));
    // If the conditions are the same for all ids, the match table has already checked the ids.
    let of = |rule: &Match| {
        let same = rules.iter().zip(&conditions).filter(|(other, _)| ids(other) == ids(rule));
        let mut same: Vec<_> = same.map(|(_, conditions)| conditions.clone()).collect();
        same.sort();
        same.dedup();
        same
    };
    let with_ids = rules.iter().any(|rule| of(rule) != of(&rules[0]));
    let with_names = rules.iter().any(|rule| rule.name.is_some());
    let mut tests: Vec<(String, Option<&str>)> = Vec::new();
    for (rule, conditions) in rules.iter().zip(&conditions) {
        let mut all = Vec::new();
        if with_ids {
            let (bus, vendor, product) = ids(rule);
            all.extend(bus.map(|bus| format!("hctx->hid->bus == {bus:#06x}")));
            all.extend(vendor.map(|vendor| format!("hctx->hid->vendor == {vendor:#06x}")));
            all.extend(product.map(|product| format!("hctx->hid->product == {product:#06x}")));
        }
        all.extend(conditions.iter().cloned());
        let test = if all.is_empty() { "1".to_owned() } else { all.join(" &&\n\t    ") };
        if !tests.iter().any(|(known, _)| *known == test) {
            tests.push((test, rule.label.as_deref()));
        }
    }
    let mut source = if arrays.is_empty() { arrays } else { arrays + ORIGINAL };
    if with_names {
        source += NAMED;
    }
    source += "SEC(\"syscall\")\nint probe(struct hid_bpf_probe_args *ctx)\n{\n";
    let with_context = with_ids || with_names;
    if with_context {
        source += "\tstruct hid_bpf_ctx *hctx = hid_bpf_allocate_context(ctx->hid);\n\n";
    }
    source += "\tctx->retval = -EINVAL;\n";
    if with_context {
        source += "\tif (!hctx)\n\t\treturn 0;\n";
    }
    for (test, label) in tests {
        // Writing to a string can't fail.
        if let Some(label) = label {
            let _ = writeln!(source, "\t/* {label} */");
        }
        let _ = writeln!(source, "\tif ({test})\n\t\tctx->retval = 0;");
    }
    if with_context {
        source += "\thid_bpf_release_context(hctx);\n";
    }
    Ok(source + "\treturn 0;\n}\n")
}

/// Compares a device's name. Each byte is read by itself, because the verifier knows the name as an array of bytes.
const NAMED: &str =
    "static __always_inline _Bool is_named(const struct hid_device *hid, const char *name, const unsigned long size)
{
#pragma clang loop unroll(full)
	for (unsigned long i = 0; i < size; i++) {
		if (*(const volatile char *)&hid->name[i] != name[i])
			return 0;
	}
	return 1;
}

";

/// Compares the descriptor, at constant offsets, as the verifier of older kernels needs it.
const ORIGINAL: &str =
    "static __always_inline _Bool is_original(struct hid_bpf_probe_args *ctx, const __u8 *bytes, const unsigned long size)
{
#pragma clang loop unroll(full)
	for (unsigned long i = 0; i < size; i++) {
		if (*(volatile __u8 *)&ctx->rdesc[i] != bytes[i])
			return 0;
	}
	return 1;
}

";

/// Returns the conditions of a rule, without its ids.
fn conditions(rule: &Match) -> Vec<String> {
    let name = rule.name.iter().map(|name| format!("is_named(hctx->hid, \"{name}\", sizeof(\"{name}\"))"));
    let mut conditions: Vec<String> =
        name.chain(rule.rdesc_size.map(|size| format!("ctx->rdesc_size == {size}"))).collect();
    let end = rule.rdesc_bytes.iter().map(|bytes| bytes.offset as usize + bytes.bytes.0.len()).max();
    if let (None, Some(end)) = (rule.rdesc_size, end) {
        conditions.push(format!("ctx->rdesc_size >= {end}"));
    }
    for bytes in &rule.rdesc_bytes {
        let of = |(index, byte): (usize, &u8)| format!("ctx->rdesc[{}] == {byte:#04x}", bytes.offset as usize + index);
        conditions.extend(bytes.bytes.0.iter().enumerate().map(of));
    }
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(rules: &str) -> Manifest {
        let head = "device = \"A\"\nbefore = \"B\"\nafter = \"C\"\nkind = \"fix\"\nstatus = \"testing\"\n";
        Manifest::parse(std::path::Path::new("driver.toml"), &format!("{head}{rules}")).unwrap()
    }

    #[test]
    fn devices_are_named_once() {
        let rule = "[[match]]\nbus = \"usb\"\ngroup = \"generic\"\nvendor = 1\nproduct = 2\n";
        let table = devices(&manifest(&format!("{rule}{rule}rdesc-size = 5\n[[match]]\nvendor = 3\n"))).unwrap();
        let lines = "HID_DEVICE(BUS_USB, HID_GROUP_GENERIC, 0x0001, 0x0002),\n\tHID_DEVICE(BUS_ANY, HID_GROUP_ANY, 0x0003, HID_PID_ANY)";
        assert_eq!(table, format!("HID_BPF_CONFIG(\n\t{lines}\n);\n"));
    }

    #[test]
    fn a_probe_checks_ids_only_if_the_rules_differ() {
        let rules = |second: &str| {
            let one = "[[match]]\nvendor = 1\nproduct = 2\nrdesc-size = 5\n";
            probe(&manifest(&format!("{one}[[match]]\nvendor = 1\nproduct = 3\nrdesc-size = {second}\n")), &[]).unwrap()
        };
        let same = rules("5");
        assert!(same.contains("if (ctx->rdesc_size == 5)") && !same.contains("hctx"), "{same}");
        let other = rules("6");
        assert!(other.contains("hctx->hid->product == 0x0003 &&\n\t    ctx->rdesc_size == 6)"), "{other}");
    }

    #[test]
    fn a_name_is_compared_for_its_own_rule_alone() {
        let rules = "[[match]]\nvendor = 1\nproduct = 2\nname = \"A\"\n[[match]]\nvendor = 1\nproduct = 3\n";
        let probe = probe(&manifest(rules), &[]).unwrap();
        let named = "hctx->hid->product == 0x0002 &&\n\t    is_named(hctx->hid, \"A\", sizeof(\"A\")))";
        assert!(probe.contains(named) && probe.contains("hctx->hid->product == 0x0003)"), "{probe}");
    }

    #[test]
    fn a_hash_is_that_of_a_recorded_descriptor() {
        let rule = format!("[[match]]\nvendor = 1\nrdesc-size = 3\nrdesc-sha256 = \"{}\"\n", Sha256::of(&[5, 1, 9]));
        let known = probe(&manifest(&rule), &[vec![5, 1], vec![5, 1, 9]]).unwrap();
        assert!(known.contains("static const __u8 original_0[] = {\n\t0x05, 0x01, 0x09,\n};"), "{known}");
        let condition = "if (ctx->rdesc_size == 3 &&\n\t    is_original(ctx, original_0, sizeof(original_0)))";
        assert!(known.contains(condition), "{known}");
        let unknown = probe(&manifest(&rule), &[vec![5, 1]]).unwrap_err();
        assert!(unknown.ends_with("no recording has that descriptor"), "{unknown}");
    }

    #[test]
    fn bytes_are_compared_within_the_descriptor() {
        let rule = "[[match]]\nvendor = 1\nrdesc-bytes = [{ offset = 3, bytes = \"09 43\" }]\n";
        let probe = probe(&manifest(rule), &[]).unwrap();
        let condition = "ctx->rdesc_size >= 5 &&\n\t    ctx->rdesc[3] == 0x09 &&\n\t    ctx->rdesc[4] == 0x43";
        assert!(probe.contains(condition), "{probe}");
    }
}
