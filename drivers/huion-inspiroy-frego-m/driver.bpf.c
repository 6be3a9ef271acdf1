// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Huion Inspiroy Frego M (L610) is a tablet with a pen of two side buttons, on a cable or over Bluetooth. Its
 * descriptor declares the second button as a second tip. Linux therefore treats it as a touch.
 *
 * The driver declares it as the second barrel switch. Reports stay as they are.
 *
 * Over Bluetooth the Keydial K20 has the same ids. The size and the first bytes of the descriptor tell the two apart.
 */
#define DESCRIPTOR_SIZE 125
/* The usage of the pen's third switch. */
#define THIRD_SWITCH 17
#define SECONDARY_TIP 0x43
#define SECONDARY_BARREL 0x5a

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == DESCRIPTOR_SIZE)
		hidbpf_patch_byte(ctx, THIRD_SWITCH, SECONDARY_TIP, SECONDARY_BARREL);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
