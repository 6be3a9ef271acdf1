// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * An example to copy: inverts the vertical axis of one mouse, a Holtek gaming mouse (04D9:A09F). The mouse has no
 * defect.
 *
 * Its reports have no id. Byte 0 has the buttons, bytes 1 and 2 the movement in X, bytes 3 and 4 that in Y, signed and
 * little-endian. The wheels follow. The driver negates Y in place, so that neither descriptor nor report size changes.
 * The option `axis` selects X or both axes instead.
 */
#define REPORT_X 1
#define REPORT_Y 3
#define REPORT_Y_END 5

HIDBPF_OPTION_CHOICE(axis, AXIS_Y, AXIS_X, AXIS_BOTH);

HIDBPF_INPUT_REPORT(ctx, report, REPORT_Y_END)
{
	__u32 axis = option_axis;

	if (axis != AXIS_X)
		hidbpf_negate_le16(report + REPORT_Y);
	if (axis != AXIS_Y)
		hidbpf_negate_le16(report + REPORT_X);
	return 0;
}

HIDBPF_DRIVER(device_event);
