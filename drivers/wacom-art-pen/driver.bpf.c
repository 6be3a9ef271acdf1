// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Wacom Art Pen, on an Intuos Pro M (PTH-660), measures its pressure half as often as the tablet reports it. Each
 * value comes twice, and lines get steps. The driver changes the first report of each pair to the average of the last
 * pair's pressure and its own. Other pens on the tablet have no defect and are left alone.
 */
#define REPORT_ID 16
#define REPORT_SIZE 27
#define REPORT_FLAGS 1
#define FLAG_TIP 0x01
/* 16-bit numbers. */
#define REPORT_PRESSURE 8
#define REPORT_TOOL 25
#define TOOL_ART_PEN 0x0804

/* The pressure of the previous report, and whether that report was the first of its pair. */
static __u16 pressure_was;
static _Bool in_pair;

HIDBPF_INPUT_REPORT(ctx, report, REPORT_SIZE)
{
	__u16 pressure;

	if (report[0] != REPORT_ID || hidbpf_le16(report + REPORT_TOOL) != TOOL_ART_PEN)
		return 0;
	if (!(report[REPORT_FLAGS] & FLAG_TIP)) {
		pressure_was = 0;
		in_pair = 0;
		return 0;
	}
	pressure = hidbpf_le16(report + REPORT_PRESSURE);
	if (!in_pair) {
		pressure = (__u16)((pressure + pressure_was) / 2);
		hidbpf_put_le16(report + REPORT_PRESSURE, pressure);
	}
	pressure_was = pressure;
	in_pair = !in_pair;
	return 0;
}

HIDBPF_DRIVER(device_event);
