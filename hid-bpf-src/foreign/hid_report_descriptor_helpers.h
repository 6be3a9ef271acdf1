/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parsed report descriptor that a loader passes to a program, for sources that are written for udev-hid-bpf or for
 * the kernel tree.
 *
 * A program gets it if it has this variable:
 *
 *   struct hid_rdesc_descriptor HID_REPORT_DESCRIPTOR;
 *
 * The records are packed. Numbers are little-endian, and bits count from the report's first bit. If reports are
 * numbered, the report ID takes the first 8 bits. hid_bpf_helpers.h has loops over the records.
 */
#ifndef __HID_REPORT_DESCRIPTOR_HELPERS_H
#define __HID_REPORT_DESCRIPTOR_HELPERS_H

#include <vmlinux.h>

#ifndef __packed
#define __packed __attribute__((packed))
#endif

#ifndef __maybe_unused
#define __maybe_unused __attribute__((unused))
#endif

/* The sizes of the arrays. What is beyond is left out. */
#define HID_MAX_COLLECTIONS 32
#define HID_MAX_FIELDS 64
#define HID_MAX_REPORTS 16

enum hid_rdesc_field_type {
	/* One control. `usage_id` is its usage. */
	HID_FIELD_VARIABLE = 0,
	/* The field's value is one of many usages: `usage_minimum` to `usage_maximum`. */
	HID_FIELD_ARRAY = 1,
	/* Padding. */
	HID_FIELD_CONSTANT = 2,
};

struct hid_rdesc_collection {
	__u16 usage_page;
	__u16 usage_id;
	__u8 collection_type;
} __packed;

struct hid_rdesc_field {
	/* enum hid_rdesc_field_type */
	__u8 field_type;
	__u8 num_collections;
	/* The first bit, and the one after the last. */
	__u16 bits_start;
	__u16 bits_end;
	__u16 usage_page;
	union {
		__u16 usage_id;
		struct {
			__u16 usage_minimum;
			__u16 usage_maximum;
		} __packed;
	};
	__s32 logical_minimum;
	__s32 logical_maximum;
	/* The bits of the Input, Output or Feature item from bit 2 on: HID 1.11, section 6.2.2.5. */
	struct {
		__u8 is_relative : 1;
		__u8 wraps : 1;
		__u8 is_nonlinear : 1;
		__u8 has_no_preferred_state : 1;
		__u8 has_null_state : 1;
		/* Always 0. */
		__u8 is_volatile : 1;
		__u8 is_buffered_bytes : 1;
		__u8 reserved : 1;
	} flags;
	struct hid_rdesc_collection collections[HID_MAX_COLLECTIONS];
} __packed;

struct hid_rdesc_report {
	/* 0 if reports are not numbered. */
	__u8 report_id;
	__u16 size_in_bits;
	__u8 num_fields;
	struct hid_rdesc_field fields[HID_MAX_FIELDS];
} __packed;

struct hid_rdesc_descriptor {
	__u8 num_input_reports;
	__u8 num_output_reports;
	__u8 num_feature_reports;
	struct hid_rdesc_report input_reports[HID_MAX_REPORTS];
	struct hid_rdesc_report output_reports[HID_MAX_REPORTS];
	struct hid_rdesc_report feature_reports[HID_MAX_REPORTS];
} __packed;

#endif
