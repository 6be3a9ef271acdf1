// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Simagic SimTransfer connects pedals to USB. Report 1 begins with three axes of 12 bits in 16, which are 0 while a
 * pedal is at rest. That is the low end of the axis, and games treat it as a stick that is held to one side. Games
 * expect a pedal to rest in the middle.
 *
 * The driver halves each axis and moves it to the upper half.
 */
#define REPORT_ID 1
#define REPORT_SIZE 14
#define REPORT_FIRST 1
#define REPORT_SECOND 3
#define REPORT_THIRD 5
#define MIDDLE 0x800

static __always_inline void raise(__u8 *axis)
{
	hidbpf_put_le16(axis, hidbpf_le16(axis) >> 1 | MIDDLE);
}

HIDBPF_INPUT_REPORT(ctx, report, REPORT_SIZE)
{
	if (report[0] == REPORT_ID) {
		raise(report + REPORT_FIRST);
		raise(report + REPORT_SECOND);
		raise(report + REPORT_THIRD);
	}
	return 0;
}

HIDBPF_DRIVER(device_event);
