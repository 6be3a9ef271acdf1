// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Rapoo M50 Plus Silent has five buttons, and sends them as five bits in report 1. The descriptor declares five
 * fields of one bit but names only the first three buttons, so the two side buttons do nothing.
 *
 * The driver extends the range of buttons to the fifth.
 */
#define DESCRIPTOR_SIZE 186
/* The value of the buttons' Usage Maximum (29 03). */
#define LAST_BUTTON 17

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == DESCRIPTOR_SIZE)
		hidbpf_patch_byte(ctx, LAST_BUTTON, 3, 5);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
