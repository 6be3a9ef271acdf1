/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All fields of the device's report descriptor, for drivers that must look at more than the first field of a usage.
 *
 * User space parses the original descriptor and fills a table before it loads the programs. The verifier treats the
 * table as constant. So it follows a loop over the table with known values, and a field's place needs no check.
 */
#ifndef HIDBPF_FIELDS_H
#define HIDBPF_FIELDS_H

#include <hidbpf/driver.h>

/*
 * A field: one value with a usage of its own, or all values of an array. Padding is left out. User space relies on these
 * offsets.
 */
struct hidbpf_descriptor_field {
	/* Its report, and its place there. An array's size is that of one value; the others follow. */
	struct hidbpf_field place;
	/* Page and usage: HIDBPF_USAGE(GenericDesktop, Wheel). The lowest of an array, whose values are indices. */
	__u32 usage;
	/* The same, or the highest usage of an array. */
	__u32 usage_maximum;
	/* The range of its values in reports. */
	__s32 logical_minimum;
	__s32 logical_maximum;
	/* The same range in the field's unit. The logical range if the descriptor does not say. */
	__s32 physical_minimum;
	__s32 physical_maximum;
	/* The unit's code (HID 1.11, section 6.2.2.7), or 0. */
	__u32 unit;
	/* The usages of the innermost application, physical and logical collection around it; 0 if there is none. */
	__u32 application;
	__u32 physical;
	__u32 logical;
	/* The data of its Input, Output or Feature item: HID_ITEM_CONSTANT and the others of items.h. */
	__u16 flags;
	/* The number of values: more than 1 only for an array. */
	__u16 count;
	/* The number of the innermost collection of any type, from 0 in the descriptor's order; 0xffff if there is none. */
	__u16 collection;
	/* The power of 10 by which the unit is multiplied. */
	__s8 unit_exponent;
	__u8 unused;
};
_Static_assert(sizeof(struct hidbpf_descriptor_field) == 56, "user space fills in 56 bytes");

/*
 * HIDBPF_FIELDS(places); declares the table, with 1 to 256 places: `hidbpf_fields.count` fields in
 * `hidbpf_fields.field`, in the descriptor's order. If the descriptor has more fields, `hidbpf_fields.total` is higher.
 */
#define HIDBPF_FIELDS(places)                                                                                          \
	_Static_assert((places) > 0 && (places) <= 256, "a table of fields has 1 to 256 places");                      \
	const volatile struct {                                                                                        \
		__u32 count;                                                                                           \
		__u32 total;                                                                                           \
		struct hidbpf_descriptor_field field[places];                                                          \
	} hidbpf_fields

/*
 * HIDBPF_USAGE(GenericDesktop, X): page and usage, as in a struct hidbpf_descriptor_field. HIDBPF_USAGE_NUMBER(Button, 1)
 * is for pages whose usages have no names.
 */
#define HIDBPF_USAGE(page, name) HIDBPF_USAGE_NUMBER(page, HIDBPF__SECOND(HID_USAGE_##page##_##name))
#define HIDBPF_USAGE_NUMBER(page, number) ((__u32)HIDBPF__SECOND(HID_PAGE_##page) << 16 | (number))
/* The names of usages.h are a width and a number. */
#define HIDBPF__SECOND(...) HIDBPF__SECOND_OF(__VA_ARGS__)
#define HIDBPF__SECOND_OF(width, number) (number)

/*
 * hidbpf_each_field(field) { ... }
 *
 * A loop over the table; `field` is a const volatile struct hidbpf_descriptor_field *. The verifier follows each round
 * with constants. Branch on the device's reports only after you have found the field: it would follow all combinations.
 *
 * The index counts the rounds, because the verifier does not know the result of comparing two pointers. It is a pointer
 * because a loop declares variables of one type.
 */
#define hidbpf_each_field(name)                                                                                        \
	for (const volatile struct hidbpf_descriptor_field *name = hidbpf_fields.field, *hidbpf_index = 0;             \
	     (unsigned long)hidbpf_index < sizeof(hidbpf_fields.field) / sizeof(hidbpf_fields.field[0]) &&             \
	     (unsigned long)hidbpf_index < hidbpf_fields.count;                                                        \
	     name++, hidbpf_index = (void *)((unsigned long)hidbpf_index + 1))

/*
 * hidbpf_find_field(type, usage, n): the n-th field, counted from 0, with this type of report and this usage, or NULL.
 */
#define hidbpf_find_field(type, usage, n) hidbpf_find_field_in((type), (usage), 0, (n))

/*
 * hidbpf_find_field_in(type, usage, around, n): the same among the fields for which `around` is the usage of the
 * innermost application, physical or logical collection. 0 takes all fields.
 */
#define hidbpf_find_field_in(wanted_type, wanted_usage, wanted_around, n)                                              \
	({                                                                                                             \
		const volatile struct hidbpf_descriptor_field *hidbpf_found = 0;                                       \
		__u32 hidbpf_left = (n);                                                                               \
                                                                                                                       \
		hidbpf_each_field(hidbpf_candidate)                                                                    \
		{                                                                                                      \
			if (!hidbpf_is_field(hidbpf_candidate, (wanted_type), (wanted_usage)) ||                       \
			    !hidbpf_is_in(hidbpf_candidate, (wanted_around)) || hidbpf_left--)                         \
				continue;                                                                              \
			hidbpf_found = hidbpf_candidate;                                                               \
			break;                                                                                         \
		}                                                                                                      \
		hidbpf_found;                                                                                          \
	})

/* True if a field has this type of report, and this usage. An array has all usages of its range. */
static __always_inline _Bool hidbpf_is_field(const volatile struct hidbpf_descriptor_field *field,
					     enum hid_report_type type, __u32 usage)
{
	return field->place.type == type && usage >= field->usage && usage <= field->usage_maximum;
}

/* True if the innermost application, physical or logical collection around a field has this usage, or if it is 0. */
static __always_inline _Bool hidbpf_is_in(const volatile struct hidbpf_descriptor_field *field, __u32 usage)
{
	return !usage || field->application == usage || field->physical == usage || field->logical == usage;
}

/* The bytes of a report in which an event hook can read and write fields. Fields beyond them are left alone. */
#define HIDBPF_REPORT_BYTES 64

/*
 * For event hooks on any device: the bytes of a report of any length. Use hidbpf_has_field() before you read a
 * field. NULL if the kernel has no buffer.
 */
static __always_inline __u8 *hidbpf_whole_report(struct hid_bpf_ctx *ctx)
{
	return hid_bpf_get_data(ctx, 0, HIDBPF_REPORT_BYTES);
}

/* The field's first bit in a report as event hooks see it: without byte 0 if the device does not number its reports. */
static __always_inline __u32 hidbpf_first_bit(const volatile struct hidbpf_field *field)
{
	return field->offset - (field->report_id ? 0 : 8);
}

/* True if `report`, the bytes of hidbpf_whole_report(), has this field: the report's id is the same, and it is not cut short. */
static __always_inline _Bool hidbpf_has_field(struct hid_bpf_ctx *ctx, const __u8 *report,
					      const volatile struct hidbpf_field *field)
{
	if (field->report_id && report[0] != field->report_id)
		return 0;
	return hidbpf_first_bit(field) + field->size <= (__u32)ctx->size * 8;
}

/*
 * Reads a field of at most 32 bits from the report's `size` bytes, a constant: HIDBPF_REPORT_BYTES after
 * hidbpf_whole_report(). Returns 0 for a longer field, and for bits beyond `size`. hidbpf_read_signed_field() extends
 * the field's sign.
 */
static __always_inline __u32 hidbpf_read_field(const __u8 *report, const unsigned long size,
					       const volatile struct hidbpf_field *field)
{
	const __u32 first = hidbpf_first_bit(field), bits = field->size;
	__u64 value = 0;

	if (bits == 0 || bits > 32)
		return 0;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 5; i++) {
		__u32 byte = first / 8 + i;

		/* Keeps the check and the access in one register, for which the verifier then knows the bounds. */
		asm("" : "+r"(byte));
		if (byte < size)
			value |= (__u64)report[byte] << 8 * i;
	}
	return (__u32)(value >> (first & 7) << (64 - bits) >> (64 - bits));
}

static __always_inline __s32 hidbpf_read_signed_field(const __u8 *report, const unsigned long size,
						      const volatile struct hidbpf_field *field)
{
	const __u32 unused = (32 - field->size) & 31;

	return (__s32)(hidbpf_read_field(report, size, field) << unused) >> unused;
}

/* Writes a field of at most 32 bits. Bits beyond `size` bytes, and a longer field, stay as they are. */
static __always_inline void hidbpf_write_field(__u8 *report, const unsigned long size,
					       const volatile struct hidbpf_field *field, __u32 value)
{
	const __u32 first = hidbpf_first_bit(field), bits = field->size;
	__u64 mask, shifted;

	if (bits == 0 || bits > 32)
		return;
	mask = ~0ULL >> (64 - bits) << (first & 7);
	shifted = (__u64)value << (first & 7) & mask;
#pragma clang loop unroll(full)
	for (__u32 i = 0; i < 5; i++) {
		__u32 byte = first / 8 + i;

		asm("" : "+r"(byte));
		if (byte < size)
			report[byte] = (__u8)((report[byte] & ~(mask >> 8 * i)) | shifted >> 8 * i);
	}
}

#endif
