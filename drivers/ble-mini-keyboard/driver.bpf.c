// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * Small Bluetooth LE keyboards often identify themselves as an Apple keyboard, 05AC:022C. The descriptor of one of them
 * limits key numbers to 0x65, the menu key. Its firmware also sends higher numbers, which Linux drops.
 *
 * The driver raises both limits of the six keys, Logical and Usage Maximum, to 255. An Apple keyboard has a different
 * descriptor and is left alone.
 */
#define DESCRIPTOR_SIZE 140
#define LAST_KEY 0x65
#define EVERY_KEY 0xff

static const struct hidbpf_byte limits[] = {
	{103, LAST_KEY, EVERY_KEY},
	{109, LAST_KEY, EVERY_KEY},
};

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == DESCRIPTOR_SIZE)
		hidbpf_patch_all(ctx, limits);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
