/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers for frequent work on reports and descriptors. They access bytes with every length checked, patch, replace and
 * negate, and look up which pad button sent a keyboard shortcut.
 *
 * Offsets and sizes are in bytes and count the report id as byte 0. Sizes must be constants, because the kernel
 * requires it.
 */
#ifndef HIDBPF_REPORT_H
#define HIDBPF_REPORT_H

#include <hidbpf/kernel.h>

/*
 * Returns the first `size` bytes of a report, or NULL if the report is shorter. Drivers thus leave a report alone that
 * the device cut short. The kernel's buffer is aligned to 8, so clang can read and write several bytes at once.
 */
static __always_inline void *hidbpf_report(struct hid_bpf_ctx *ctx, const unsigned long size)
{
	return ctx->size >= (int)size ? __builtin_assume_aligned(hid_bpf_get_data(ctx, 0, size), 8) : NULL;
}

/* The same for HIDBPF_INPUT_REPORT: also returns NULL for all reports that are not input reports. */
static __always_inline void *hidbpf_report_of_type(struct hid_bpf_ctx *ctx, enum hid_report_type type,
						   const unsigned long size)
{
	/*
	 * The other types produce an offset beyond the end of any buffer, where hid_bpf_get_data() returns NULL. This
	 * saves a branch: one instruction for each report, of 6 to 124 in the drivers.
	 */
	return ctx->size >= (int)size ?
		       __builtin_assume_aligned(hid_bpf_get_data(ctx, (unsigned int)type << 16, size), 8) :
		       NULL;
}

/* The same for a numbered report whose first byte is `id`; NULL for reports with another id. */
static __always_inline void *hidbpf_report_with_id(struct hid_bpf_ctx *ctx, __u8 id, const unsigned long size)
{
	__u8 *report = hidbpf_report(ctx, size);

	return report && report[0] == id ? report : NULL;
}

/* Returns the id of a numbered report, for drivers that handle several; -1 if the report is empty. */
static __always_inline int hidbpf_report_id(struct hid_bpf_ctx *ctx)
{
	__u8 *report = hidbpf_report(ctx, 1);

	return report ? report[0] : -1;
}

/* Reads a 16-bit little-endian number. `bytes` needs no alignment. */
static __always_inline __u16 hidbpf_le16(const __u8 *bytes)
{
	return (__u16)(bytes[0] | bytes[1] << 8);
}

static __always_inline void hidbpf_put_le16(__u8 *bytes, __u16 value)
{
	bytes[0] = (__u8)value;
	bytes[1] = (__u8)(value >> 8);
}

/*
 * Reads a 32-bit little-endian number. `bytes` must be aligned to 4. In reports, offsets that are multiples of 4 are
 * aligned.
 */
static __always_inline __u32 hidbpf_le32(const void *bytes)
{
	return *(const __u32 *)bytes;
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers of 32 bits are read as they are");

/*
 * Negates a signed 16-bit little-endian axis. -32768 becomes 32767: its opposite does not fit into 16 bits and would
 * wrap to -32768 again.
 */
static __always_inline void hidbpf_negate_le16(__u8 *bytes)
{
	int value = -(int)(__s16)hidbpf_le16(bytes);

	hidbpf_put_le16(bytes, (__u16)(value > 32767 ? 32767 : value));
}

/* The same for 8 bits: -128 becomes 127. */
static __always_inline void hidbpf_negate_s8(__u8 *byte)
{
	int value = -(int)(__s8)*byte;

	*byte = (__u8)(value > 127 ? 127 : value);
}

/*
 * For descriptor hooks. Writes `to` over the byte at `offset` if it is `from`. Returns true if it was. A vendor may
 * have repaired the descriptor in newer devices, and the check keeps such a descriptor.
 *
 * The kernel's buffer is 0 from the descriptor's end up to its own end (call_hid_bpf_rdesc_fixup(),
 * drivers/hid/bpf/hid_bpf_dispatch.c). A `from` that is not 0 is therefore only found within the descriptor.
 */
static __always_inline _Bool hidbpf_patch_byte(struct hid_bpf_ctx *ctx, const unsigned int offset, __u8 from, __u8 to)
{
	__u8 *byte = from || ctx->size > (int)offset ? hid_bpf_get_data(ctx, offset, 1) : NULL;

	if (!byte || *byte != from)
		return 0;
	*byte = to;
	return 1;
}

/*
 * The same for the flags of an Input item at `offset`: 81 03, constant, becomes 81 02, data. It also checks the item's
 * first byte.
 */
static __always_inline _Bool hidbpf_patch_input(struct hid_bpf_ctx *ctx, const unsigned int offset, __u8 from, __u8 to)
{
	__u8 *item = from || ctx->size > (int)offset + 1 ? hid_bpf_get_data(ctx, offset, 2) : NULL;

	if (!item || item[0] != 0x81 || item[1] != from)
		return 0;
	item[1] = to;
	return 1;
}

/* One byte for hidbpf_patch_all(). */
struct hidbpf_byte {
	unsigned int offset;
	__u8 from;
	__u8 to;
};

/*
 * For descriptor hooks. Patches every byte of a table of struct hidbpf_byte, or none if one byte differs from its
 * `from`. Returns true if it did. The table must be a static const array.
 */
#define hidbpf_patch_all(ctx, table) hidbpf_patch_table((ctx), (table), sizeof(table) / sizeof((table)[0]))

static __always_inline _Bool hidbpf_patch_table(struct hid_bpf_ctx *ctx, const struct hidbpf_byte *table,
						const unsigned long count)
{
	unsigned int end = 0;
	__u8 *data;

	/* Unrolled, the table becomes constants in the code. */
#pragma clang loop unroll(full)
	for (unsigned long i = 0; i < count; i++)
		if (table[i].offset >= end)
			end = table[i].offset + 1;
	data = ctx->size >= (int)end ? hid_bpf_get_data(ctx, 0, end) : NULL;
	if (!data)
		return 0;
#pragma clang loop unroll(full)
	for (unsigned long i = 0; i < count; i++)
		if (data[table[i].offset] != table[i].from)
			return 0;
#pragma clang loop unroll(full)
	for (unsigned long i = 0; i < count; i++)
		data[table[i].offset] = table[i].to;
	return 1;
}

/*
 * Copies an array of HIDBPF_DESCRIPTOR into the `room` bytes of the descriptor that start at `offset`. The copy starts
 * `at` bytes after `offset`. Returns true if it did.
 *
 * The kernel does the copying, because the verifier's time grows with the program's length. Copying word by word would
 * take the verifier longer than the rest of most drivers.
 */
static __always_inline _Bool hidbpf_put(struct hid_bpf_ctx *ctx, const unsigned int offset, const unsigned long room,
					unsigned long at, __u8 *from, unsigned long size)
{
	struct bpf_dynptr source;
	__u8 *data;

	/* Neither this call nor the read fails if the length fits. */
	bpf_dynptr_from_mem(from, size, 0, &source);
	data = hid_bpf_get_data(ctx, offset, room);
	if (!data)
		return 0;
	bpf_dynptr_read(data + at, size, &source, 0, 0);
	return 1;
}

/*
 * An array that hidbpf_put() can copy from: the array itself, or a copy of it if it is const. The kernel copies only
 * from memory that programs may write to (bpf_dynptr_from_mem()). It copies from other memory only into such memory
 * (bpf_dynptr_write()). Arrays of HIDBPF_DESCRIPTOR need no copy.
 */
/* Versions of clang-format disagree about _Generic. */
/* clang-format off */
#define HIDBPF__WRITABLE(array)                                                                                        \
	({                                                                                                             \
		static __u8 hidbpf_copy[_Generic(&(array)[0], const __u8 *: sizeof(array), default: 1)]                \
			__attribute__((unused));                                                                       \
		_Generic(&(array)[0],                                                                                  \
			const __u8 *: hidbpf_copied(hidbpf_copy, (array), sizeof(array)),                              \
			default: (array));                                                                             \
	})
/* clang-format on */

static __always_inline __u8 *hidbpf_copied(__u8 *copy, const __u8 *from, unsigned long size)
{
	struct bpf_dynptr into;

	bpf_dynptr_from_mem(copy, size, 0, &into);
	bpf_dynptr_write(&into, 0, (void *)from, size, 0);
	return copy;
}

/*
 * For descriptor hooks. Replaces the device's descriptor with an array of HIDBPF_DESCRIPTOR. Returns the hook's result.
 */
#define hidbpf_replace(ctx, descriptor) hidbpf_replace_with((ctx), HIDBPF__WRITABLE(descriptor), sizeof(descriptor))

static __always_inline int hidbpf_replace_with(struct hid_bpf_ctx *ctx, __u8 *descriptor, const unsigned long size)
{
	return hidbpf_put(ctx, 0, size, 0, descriptor, size) ? (int)size : -EIO;
}

/*
 * For descriptor hooks. Overwrites the device's descriptor, from `offset` on, with an array of HIDBPF_DESCRIPTOR.
 * Returns the hook's result. The size stays the same.
 */
#define hidbpf_overwrite(ctx, offset, part) hidbpf_overwrite_with((ctx), (offset), HIDBPF__WRITABLE(part), sizeof(part))

static __always_inline int hidbpf_overwrite_with(struct hid_bpf_ctx *ctx, const unsigned int offset, __u8 *part,
						 const unsigned long size)
{
	return ctx->size >= (int)(offset + size) && hidbpf_put(ctx, offset, size, 0, part, size) ? 0 : -EINVAL;
}

/*
 * For descriptor hooks. Appends an array of HIDBPF_DESCRIPTOR to the device's descriptor, which must have `size` bytes.
 * Returns the hook's result.
 */
#define hidbpf_append(ctx, size, descriptor)                                                                           \
	hidbpf_append_to((ctx), (size), HIDBPF__WRITABLE(descriptor), sizeof(descriptor))

static __always_inline int hidbpf_append_to(struct hid_bpf_ctx *ctx, const unsigned long size, __u8 *descriptor,
					    const unsigned long added)
{
	if (ctx->size != (int)size || !hidbpf_put(ctx, size, added, 0, descriptor, added))
		return -EIO;
	return (int)(size + added);
}

/*
 * For descriptor hooks. Moves `count` bytes of the data from offset `from` to offset `to`. The two places may overlap. All
 * three numbers are constants, and both places are within the bytes that the hook asked hid_bpf_get_data() for.
 */
static __always_inline void hidbpf_move(__u8 *data, const unsigned int to, const unsigned int from,
					const unsigned int count)
{
	unsigned int i;

#pragma clang loop unroll(disable)
	for (i = 0; i < count; i++) {
		unsigned int index = to > from ? count - 1 - i : i;

		/* Without this, clang makes the loop a call of memmove(), which BPF doesn't have. */
		asm("" : "+r"(index));
		data[to + index] = data[from + index];
	}
}

/*
 * A change to a descriptor, for drivers that choose one of several. The driver chooses first, and then one copy serves
 * all choices. `bytes` is NULL if the descriptor stays as it is.
 */
struct hidbpf_change {
	__u8 *bytes;
	unsigned long size;
	/* The place of the bytes in the descriptor. */
	unsigned long offset;
	/* The hook's result. It is as wide as `size`, so that clang sees where both are the same. */
	unsigned long result;
};

/* The longest descriptor that a struct hidbpf_change can produce. */
#define HIDBPF_CHANGE_SIZE 512

/*
 * A new descriptor; a part that overwrites the bytes from `offset` on; a part that follows a descriptor of
 * `descriptor_size` bytes; no change.
 */
#define HIDBPF_REPLACED(descriptor) HIDBPF__CHANGE(descriptor, 0, sizeof(descriptor))
#define HIDBPF_OVERWRITTEN(offset, part) HIDBPF__CHANGE(part, offset, 0)
#define HIDBPF_APPENDED(descriptor_size, part) HIDBPF__CHANGE(part, descriptor_size, (descriptor_size) + sizeof(part))
#define HIDBPF_UNCHANGED() ((struct hidbpf_change){})
#define HIDBPF__CHANGE(array, at, answer)                                                                              \
	({                                                                                                             \
		_Static_assert((at) + sizeof(array) <= HIDBPF_CHANGE_SIZE, "too long for a choice");                   \
		(struct hidbpf_change){                                                                                \
			.bytes = HIDBPF__WRITABLE(array), .size = sizeof(array), .offset = (at), .result = (answer)};  \
	})

/*
 * For descriptor hooks. Applies the change and returns the hook's result. The driver knows how long the device's
 * descriptor is.
 */
static __always_inline int hidbpf_change(struct hid_bpf_ctx *ctx, struct hidbpf_change change)
{
	if (!change.bytes)
		return 0;
	if (!hidbpf_put(ctx, 0, HIDBPF_CHANGE_SIZE, change.offset, change.bytes, change.size))
		return -EIO;
	return (int)change.result;
}

/* A keyboard shortcut that a tablet's firmware sends for one of its buttons. */
struct hidbpf_shortcut {
	/* The modifiers in the upper byte, the key in the lower. */
	__u16 pressed;
	/* The table's value for the shortcut: a button's number or bit, as the driver defines it. */
	__u16 button;
};

/*
 * A table of shortcuts:
 *
 *   static const struct hidbpf_shortcut table[HIDBPF_SHORTCUTS] = {HIDBPF_SHORTCUT(modifiers, key, button), ...};
 *
 * Modifiers are left control 0x01, shift 0x02, alt 0x04, gui 0x08; the right ones are 0x10 to 0x80. A key is a usage of
 * the keyboard page. Modifiers and key determine a shortcut's place in the table, so the lookup needs no search. If two
 * shortcuts have the same place, clang warns that the second overrides the first.
 */
#define HIDBPF_SHORTCUTS 64
#define HIDBPF_SHORTCUT(modifiers, key, its_button)                                                                    \
	[HIDBPF__SHORTCUT_PLACE(modifiers, key)] = {.pressed = (modifiers) << 8 | (key), .button = (its_button)}
#define HIDBPF__SHORTCUT_PLACE(modifiers, key) (((key) + ((modifiers) << 4)) & (HIDBPF_SHORTCUTS - 1))

/* Returns the `button` of the entry that has these modifiers and this key, or 0. */
static __always_inline __u32 hidbpf_shortcut_button(const struct hidbpf_shortcut table[HIDBPF_SHORTCUTS],
						    __u32 modifiers, __u32 key)
{
	const struct hidbpf_shortcut *shortcut = &table[HIDBPF__SHORTCUT_PLACE(modifiers, key)];

	return shortcut->pressed == (modifiers << 8 | key) ? shortcut->button : 0;
}

#endif
