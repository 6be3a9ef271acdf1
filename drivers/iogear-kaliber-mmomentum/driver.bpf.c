// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The IOGEAR Kaliber MMOmentum is a mouse with twelve buttons. Seven of them come from its keyboard interface, in three
 * fields. The descriptor declares all three fields as constant, which means padding, and Linux ignores them.
 *
 * The driver declares the fields as data. Reports stay as they are.
 */
#define DESCRIPTOR_SIZE 213
/* The Input items of the three fields. */
#define FIRST_FIELD 84
#define SECOND_FIELD 112
#define THIRD_FIELD 140
/* Constant or data, variable, absolute. */
#define PADDING 0x03
#define DATA 0x02

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size != DESCRIPTOR_SIZE)
		return 0;
	hidbpf_patch_input(ctx, FIRST_FIELD, PADDING, DATA);
	hidbpf_patch_input(ctx, SECOND_FIELD, PADDING, DATA);
	hidbpf_patch_input(ctx, THIRD_FIELD, PADDING, DATA);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
