// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Philips SPK6327 keyboard sends its eight modifier keys as one bit each. The descriptor of its second interface
 * declares them as an array, in which a set bit is the number 1. That is the second key of the range, left shift, for
 * every modifier.
 *
 * The driver declares the field as variables. The first interface, of 62 bytes, is correct.
 */
#define DESCRIPTOR_SIZE 169
/* The flags of the modifiers' Input item for data and absolute, as an array or as variables. */
#define MODIFIERS_FLAGS 101
#define ARRAY 0x00
#define VARIABLES 0x02

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == DESCRIPTOR_SIZE)
		hidbpf_patch_byte(ctx, MODIFIERS_FLAGS, ARRAY, VARIABLES);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
