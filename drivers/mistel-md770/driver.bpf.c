// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Mistel MD770 keyboard sends six keys on its first interface, like every keyboard, and the others on its second:
 * report 4 there has a bit for each of 232 keys. The descriptor declares these bits as an array, in which each bit
 * would be the number of a key. All keys from the seventh on are lost.
 *
 * The driver declares the field as variables.
 */
#define DESCRIPTOR_SIZE 203
/* The Input item of the bits, and its flags for data and absolute, as an array or as variables. */
#define KEYS 200
#define ARRAY 0x00
#define VARIABLES 0x02

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == DESCRIPTOR_SIZE)
		hidbpf_patch_input(ctx, KEYS, ARRAY, VARIABLES);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
