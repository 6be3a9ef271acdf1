/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fields of reports that a driver finds by purpose, wherever a device has them. A `[[field]]` of driver.toml names the
 * type of report and the usage. User space finds the fields in the original descriptor and fills in their places before
 * it loads the programs. The verifier then treats the places as constants. A driver is attached only to devices that
 * have all of its fields.
 */
#ifndef HIDBPF_FIELD_H
#define HIDBPF_FIELD_H

#include <hidbpf/kernel.h>

/* The place of a field. User space relies on these offsets. */
struct hidbpf_field {
	/* The report's id, or 0 if the device does not number its reports. */
	__u8 report_id;
	/* enum hid_report_type */
	__u8 type;
	/* In bits: 1 to 32. */
	__u16 size;
	/* In bits, from the start of the report. Byte 0 of the report is its id, or 0. */
	__u32 offset;
};

/*
 * HIDBPF_FIELD(name); declares the variable `field_name` for the `[[field]]` of driver.toml with this name. Write `_`
 * for `-`.
 */
#define HIDBPF_FIELD(name) const volatile struct hidbpf_field field_##name

#endif
