// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The TCA Yoke Boeing Edition sends, behind its hat, buttons and six axes, two fields of the maker's own, of one and of 32 bytes. The
 * descriptor calls them data, and Linux makes an axis of them, ABS_MISC, which programs offer to the user and which nothing moves.
 *
 * Both become constant.
 */
/* The Input items of the two fields, and their flags: variable, absolute, and: */
#define FIRST_FIELD 90
#define SECOND_FIELD 103
#define DATA 0x02
#define CONSTANT 0x03

HIDBPF_RDESC_FIXUP(ctx)
{
	hidbpf_patch_input(ctx, FIRST_FIELD, DATA, CONSTANT);
	hidbpf_patch_input(ctx, SECOND_FIELD, DATA, CONSTANT);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
