// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The HP Elite Presenter Mouse is a mouse and a laser pointer in one. Its descriptor has five application collections.
 * Two are mice, with the report ids 1 and 2. The others are a keypad, id 5, and two consumer controls, ids 6 and 3.
 * Linux makes one input device of two mice on one interface, and only the laser pointer's half of it works.
 *
 * The driver changes the second mouse to a pointer, so that it becomes a separate input device. Reports stay as they
 * are.
 */
#define DESCRIPTOR_SIZE 264
/* The usage of the second application collection. */
#define SECOND_USAGE 79
#define MOUSE 0x02
#define POINTER 0x01

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == DESCRIPTOR_SIZE)
		hidbpf_patch_byte(ctx, SECOND_USAGE, MOUSE, POINTER);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
