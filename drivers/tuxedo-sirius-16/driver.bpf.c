// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The keyboard controller of the TUXEDO Sirius 16 sends F13 when Fn is pressed, in addition to Fn's own effect. Report
 * 1 has the keys twice: six numbers in bytes 3 to 8, and a bit for each key from byte 9 on.
 *
 * The driver removes F13 from both.
 */
#define REPORT_ID 1
#define REPORT_SIZE 37
#define REPORT_KEYS 3
#define REPORT_KEYS_END 9
/* Keyboard page, F13, and its bit. */
#define F13 0x68
#define REPORT_F13 22
#define F13_BIT 0x01
_Static_assert(REPORT_F13 == REPORT_KEYS_END + F13 / 8 && F13_BIT == 1 << F13 % 8, "the bit of F13");

/* The hook checks no type: no feature report with this id is known. */
HIDBPF_DEVICE_EVENT(ctx, type)
{
	__u8 *report = hidbpf_report_with_id(ctx, REPORT_ID, REPORT_SIZE);

	if (!report)
		return 0;
#pragma clang loop unroll(full)
	for (int i = REPORT_KEYS; i < REPORT_KEYS_END; i++)
		if (report[i] == F13)
			report[i] = 0;
	report[REPORT_F13] &= (__u8)~F13_BIT;
	return 0;
}

HIDBPF_DRIVER(device_event);
