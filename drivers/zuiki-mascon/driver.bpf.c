// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Zuiki Mascon is a controller for train games: a lever and buttons. Its reports have no id and begin with a byte
 * that is 0. The driver treats the following bytes as three axes of 16 bits (README.md says why that is a guess). The
 * lever is the high byte of the second axis. The rest of the axes makes games see a stick that is held to the left.
 *
 * The driver sets all of the three axes except the lever to 0.
 */
#define REPORT_FIRST 0
#define REPORT_X 1
#define REPORT_Y 3
#define REPORT_Z 5
#define REPORT_END 7
#define LEVER_MASK 0xff00

HIDBPF_INPUT_REPORT(ctx, report, REPORT_END)
{
	if (report[REPORT_FIRST] != 0)
		return 0;
	hidbpf_put_le16(report + REPORT_X, 0);
	hidbpf_put_le16(report + REPORT_Y, hidbpf_le16(report + REPORT_Y) & LEVER_MASK);
	hidbpf_put_le16(report + REPORT_Z, 0);
	return 0;
}

HIDBPF_DRIVER(device_event);
