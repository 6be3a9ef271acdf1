/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fields of reports that a driver finds by what they are for, wherever a device has them: by type of report and usage, as a
 * `[[field]]` of driver.toml says. User space looks them up in the original descriptor and fills in where they are before the
 * programs are loaded; the verifier then takes that for a constant. A driver is attached only to devices that have all of its fields.
 */
#ifndef HIDBPF_FIELD_H
#define HIDBPF_FIELD_H

#include <hidbpf/kernel.h>

/* Where a field is. User space knows these offsets. */
struct hidbpf_field {
	/* The report's id, 0 where the device doesn't number its reports. */
	__u8 report_id;
	/* enum hid_report_type */
	__u8 type;
	/* In bits: 1 to 32. */
	__u16 size;
	/* In bits, in a report of which byte 0 is its id, or 0. */
	__u32 offset;
};

/* HIDBPF_FIELD(name); asks for the `[[field]]` of driver.toml with this name, with `_` for `-`: the variable `field_name`. */
#define HIDBPF_FIELD(name) const volatile struct hidbpf_field field_##name

#endif
