// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The thumb wheel of the Logitech MX Master 3S scrolls sideways, and some users want the opposite direction. Through
 * the Bolt receiver it is byte 8 of report 2: id, buttons, X, Y (16 bits each), wheel, horizontal wheel.
 *
 * The driver negates it for every mouse at the receiver.
 */
#define REPORT_ID 2
#define REPORT_PAN 8

HIDBPF_INPUT_REPORT(ctx, report, REPORT_PAN + 1)
{
	if (report[0] == REPORT_ID)
		hidbpf_negate_s8(report + REPORT_PAN);
	return 0;
}

HIDBPF_DRIVER(device_event);
