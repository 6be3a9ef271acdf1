// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The TCA Yoke Boeing Edition sends two vendor fields, of one and of 32 bytes, after its hat, buttons and six axes. The
 * descriptor declares them as data, and Linux makes an axis of them, ABS_MISC. Programs offer that axis to the user,
 * but nothing moves it.
 *
 * The driver declares both fields as constant.
 */
/* The Input items of the two fields, and their flags for variable and absolute, as data or constant. */
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
