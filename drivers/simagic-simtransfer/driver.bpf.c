// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Simagic SimTransfer connects pedals to USB. Report 1 begins with three axes of 12 bits in 16, which are 0 while a pedal is at
 * rest. That is the low end of the axis, where games take it for a stick that is held to one side; they expect a pedal to rest in
 * the middle.
 *
 * Each axis is halved and moved to the upper half.
 */
#define REPORT_ID 1
#define REPORT_SIZE 14
#define REPORT_AXES 1
#define AXES 3
/* The middle of the axis. */
#define MIDDLE 0x800

HIDBPF_INPUT_EVENT(ctx)
{
	__u8 *report = hidbpf_report_with_id(ctx, REPORT_ID, REPORT_SIZE);

	if (!report)
		return 0;
#pragma clang loop unroll(full)
	for (int i = 0; i < AXES; i++) {
		__u8 *axis = report + REPORT_AXES + 2 * i;

		hidbpf_put_le16(axis, hidbpf_le16(axis) >> 1 | MIDDLE);
	}
	return 0;
}

HIDBPF_DRIVER(device_event);
