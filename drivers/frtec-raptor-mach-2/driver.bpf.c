// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The FR-TEC Raptor Mach 2 joystick sends its hat switch as an angle in steps of 1.5 degrees. The angle is 0 to 239 in
 * 16 bits, and 240 means centred. Linux supports hats with eight directions and keeps a hat's logical maximum in a
 * signed byte. 239 becomes -17 there, and the hat does nothing.
 *
 * The driver changes the descriptor's range to 0 to 7 and divides the angle by 30: 0 is north, 1 north-east, 7
 * north-west. 240 becomes 8, which is out of range and so still means centred.
 */
#define DESCRIPTOR_SIZE 232
/* The low byte of the hat's Logical Maximum (26 ef 00). */
#define HAT_MAXIMUM 177

#define REPORT_ID 1
/* The low byte of the angle. The high byte is always 0. */
#define REPORT_HAT 33
#define STEPS_PER_DIRECTION 30
/* 4096 divided by the steps, rounded up. A multiplication with it divides every byte exactly, and takes less time. */
#define DIRECTIONS_PER_STEP (4096 / STEPS_PER_DIRECTION + 1)

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == DESCRIPTOR_SIZE)
		hidbpf_patch_byte(ctx, HAT_MAXIMUM, 239, 7);
	return 0;
}

/*
 * The hook checks neither type nor size. No feature report has this id. A report that was cut short has zeros there,
 * which stay zeros.
 */
HIDBPF_DEVICE_EVENT(ctx, type)
{
	__u8 *report = hid_bpf_get_data(ctx, 0, REPORT_HAT + 1);

	if (report && report[0] == REPORT_ID)
		report[REPORT_HAT] = (__u8)(report[REPORT_HAT] * DIRECTIONS_PER_STEP >> 12);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
