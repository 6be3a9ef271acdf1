/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks the items of a report descriptor (HID 1.11, section 6.2.2), for drivers that change an item wherever a device
 * has it.
 *
 * The verifier follows every path through each round of an ordinary loop, and gives up at a loop over a whole
 * descriptor. This walk uses bpf_loop() (since Linux 5.17): the kernel calls a function for each item. The verifier
 * follows that function once, however long the descriptor is.
 */
#ifndef HIDBPF_ITEMS_H
#define HIDBPF_ITEMS_H

#include <hidbpf/driver.h>

struct hidbpf_item {
	/* The offset of the item's first byte in the descriptor. */
	__u32 offset;
	/* HID_ITEM_*: the item's first byte without the size. */
	__u8 type;
	/* Bytes of data: 0, 1, 2 or 4. */
	__u8 size;
	/* The data as an unsigned number; 0 for an item without data, and for a long item. */
	__u32 value;
	/* The descriptor, for hidbpf_set_item(). */
	__u8 *descriptor;
};

/*
 * Types of main, global and local items. The values of Input, Output and Feature are flags. The value of a Collection
 * is its type.
 */
#define HID_ITEM_Input 0x80
#define HID_ITEM_Output 0x90
#define HID_ITEM_Feature 0xb0
#define HID_ITEM_Collection 0xa0
#define HID_ITEM_EndCollection 0xc0
#define HID_ITEM_UsagePage 0x04
#define HID_ITEM_LogicalMinimum 0x14
#define HID_ITEM_LogicalMaximum 0x24
#define HID_ITEM_PhysicalMinimum 0x34
#define HID_ITEM_PhysicalMaximum 0x44
#define HID_ITEM_UnitExponent 0x54
#define HID_ITEM_Unit 0x64
#define HID_ITEM_ReportSize 0x74
#define HID_ITEM_ReportId 0x84
#define HID_ITEM_ReportCount 0x94
#define HID_ITEM_Push 0xa4
#define HID_ITEM_Pop 0xb4
#define HID_ITEM_Usage 0x08
#define HID_ITEM_UsageMinimum 0x18
#define HID_ITEM_UsageMaximum 0x28
/*
 * A long item, which contains its own size (section 6.2.2.3). The kernel treats every first byte from 0xf0 on as a long
 * item (fetch_item(), hid-core.c).
 */
#define HID_ITEM_Long 0xfc

/* The flags of Input, Output and Feature items that drivers repair (section 6.2.2.5). */
#define HID_ITEM_CONSTANT 0x01
#define HID_ITEM_VARIABLE 0x02
#define HID_ITEM_RELATIVE 0x04

/* The longest descriptor: HID_MAX_DESCRIPTOR_SIZE (include/linux/hid.h). */
#define HIDBPF_DESCRIPTOR_SIZE 4096

/*
 * HIDBPF_WALK(name, item) { ... }
 *
 * Defines the action for each item; `item` is a struct hidbpf_item *. Return 0 to continue with the next item, any
 * other value to stop. Keep state for later items, such as the Usage Page, in a `static volatile` variable. The
 * verifier assumes that such a variable may hold any value. It would track the value of a variable on the stack
 * separately in each round.
 */
#define HIDBPF_WALK(name, item)                                                                                        \
	static __always_inline int name(struct hidbpf_item *item);                                                     \
	static long name##_step(__u32 hidbpf_index HIDBPF__UNUSED, void *hidbpf_context)                               \
	{                                                                                                              \
		struct hidbpf_item hidbpf_next;                                                                        \
                                                                                                                       \
		if (!hidbpf_next_item(hidbpf_context, &hidbpf_next))                                                   \
			return 1;                                                                                      \
		hidbpf_walk_result = name(&hidbpf_next);                                                               \
		return hidbpf_walk_result != 0;                                                                        \
	}                                                                                                              \
	static __always_inline int name(struct hidbpf_item *item HIDBPF__UNUSED)

/*
 * hidbpf_walk(ctx, name): for descriptor hooks. Runs the action for each item, from the first to the last. Returns 0,
 * the value that stopped the walk, or -EINVAL if the last item is cut short.
 */
#define hidbpf_walk(ctx, name) hidbpf_walk_with((ctx), name##_step)

/*
 * Writes an item's data, in as many bytes as the item has. Returns false if `value` does not fit. A negative number is
 * written in the item's size: -1 in one byte is 0xff.
 */
static __always_inline _Bool hidbpf_set_item(struct hidbpf_item *item, __u32 value);

/*
 * Returns an item's data as a signed number. The data of Logical and Physical Minimum and Maximum is signed (section
 * 6.2.2.7).
 */
static __always_inline __s32 hidbpf_signed_value(const struct hidbpf_item *item)
{
	const __u32 unused = (32 - 8 * item->size) & 31;

	return (__s32)(item->value << unused) >> unused;
}

/*
 * The start of the next item of a walk, and the result that stopped the walk. The verifier does not track values in
 * memory, so every round looks the same to it. The variables are volatile because clang would otherwise shrink them to
 * their values' size. The kernel refuses type information of a different size.
 */
static volatile __u32 hidbpf_walk_next HIDBPF__UNUSED;
static volatile __s32 hidbpf_walk_result HIDBPF__UNUSED;

/* The descriptor that a walk reads. */
struct hidbpf_walk_context {
	__u8 *descriptor;
	__u32 size;
};

/*
 * Returns a byte of a descriptor. The mask tells the verifier the offset's bounds. The assembly keeps clang from
 * removing the mask if clang knows the bounds by other means.
 */
static __always_inline __u8 *hidbpf_descriptor_byte(__u8 *descriptor, __u32 offset)
{
	asm volatile("%0 &= 4095" : "+r"(offset));
	return descriptor + offset;
}
_Static_assert(HIDBPF_DESCRIPTOR_SIZE == 4096, "the mask is another one");

static __always_inline _Bool hidbpf_next_item(const struct hidbpf_walk_context *context, struct hidbpf_item *item)
{
	__u8 *descriptor = context->descriptor;
	const __u32 size = context->size;
	__u32 at = hidbpf_walk_next, length, prefix;

	hidbpf_walk_result = 0;
	if (at >= size)
		return 0;
	prefix = *hidbpf_descriptor_byte(descriptor, at);
	length = prefix & 3;
	length += length == 3;
	item->offset = at;
	item->type = prefix & 0xfc;
	item->size = length;
	item->descriptor = descriptor;
	item->value =
		(__u32)(*hidbpf_descriptor_byte(descriptor, at + 1) | *hidbpf_descriptor_byte(descriptor, at + 2) << 8 |
			*hidbpf_descriptor_byte(descriptor, at + 3) << 16) |
		(__u32)*hidbpf_descriptor_byte(descriptor, at + 4) << 24;
	item->value &= 0xffffffffULL >> (32 - 8 * length);
	if (prefix >= 0xf0) {
		length = 2 + *hidbpf_descriptor_byte(descriptor, at + 1);
		item->type = HID_ITEM_Long;
		item->value = 0;
		item->size = 0;
	}
	hidbpf_walk_next = at + 1 + length;
	if (at + 1 + length <= size)
		return 1;
	hidbpf_walk_result = -EINVAL;
	return 0;
}

static __always_inline int hidbpf_walk_with(struct hid_bpf_ctx *ctx, long (*step)(__u32 index, void *context))
{
	struct hidbpf_walk_context context = {
		.descriptor = hid_bpf_get_data(ctx, 0, HIDBPF_DESCRIPTOR_SIZE),
		.size = ctx->size,
	};

	if (!context.descriptor)
		return -EIO;
	hidbpf_walk_next = 0;
	hidbpf_walk_result = 0;
	/* An item has at least one byte. */
	bpf_loop(HIDBPF_DESCRIPTOR_SIZE, step, &context, 0);
	return hidbpf_walk_result;
}

static __always_inline _Bool hidbpf_set_item(struct hidbpf_item *item, __u32 value)
{
	const __u32 offset = item->offset + 1, unused = (32 - 8 * item->size) & 31;

	if (!item->size ||
	    ((value << unused) >> unused != value && (__u32)((__s32)(value << unused) >> unused) != value))
		return 0;
	*hidbpf_descriptor_byte(item->descriptor, offset) = (__u8)value;
	if (item->size == 1)
		return 1;
	*hidbpf_descriptor_byte(item->descriptor, offset + 1) = (__u8)(value >> 8);
	if (item->size == 2)
		return 1;
	*hidbpf_descriptor_byte(item->descriptor, offset + 2) = (__u8)(value >> 16);
	*hidbpf_descriptor_byte(item->descriptor, offset + 3) = (__u8)(value >> 24);
	return 1;
}

#endif
