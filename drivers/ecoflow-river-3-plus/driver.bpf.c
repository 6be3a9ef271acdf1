// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/items.h>

/*
 * An example to copy: repairs a descriptor that the kernel refuses, by its items, independent of their offsets.
 *
 * The report descriptor of the power station EcoFlow River 3 Plus (3746:FFFF) is cut off at 376 bytes, within three
 * collections. The kernel refuses a descriptor with unfinished collections (hid_open_report(), drivers/hid/hid-core.c).
 * No kernel driver binds the device, and no program finds the UPS. The driver counts the collections that are open at
 * the end of the descriptor and ends them. It depends on no offset and on no size.
 */

/* More levels than any device nests. Each round of the loop below costs the verifier time. */
#define MOST_OPEN 8

static volatile __u32 open_collections;

HIDBPF_WALK(count, item)
{
	const __u32 open = open_collections;

	if (item->type == HID_ITEM_Collection)
		open_collections = open + 1;
	if (item->type == HID_ITEM_EndCollection && open)
		open_collections = open - 1;
	return 0;
}

HIDBPF_RDESC_FIXUP(ctx)
{
	const __u32 size = ctx->size;
	__u32 open, i;
	int result;

	open_collections = 0;
	result = hidbpf_walk(ctx, count);
	open = open_collections;
	if (result < 0)
		return result;
	if (!open || open > MOST_OPEN)
		return 0;
	for (i = 0; i < MOST_OPEN; i++) {
		__u8 *end;

		if (i == open)
			break;
		end = hid_bpf_get_data(ctx, size + i, 1);
		if (!end)
			return 0;
		*end = HID_ITEM_EndCollection;
	}
	return size + open;
}

HIDBPF_DRIVER(rdesc_fixup);
