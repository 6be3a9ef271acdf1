// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/tablet.h>

/*
 * Xencelabs' pen tablets, after the output report 02 b0 04 has switched them. The size is a value of the match rule.
 *
 * Reports, byte 0 is the id 2, byte 1 the flags:
 *   a0 to af, e0 to ef   pen: bits 0 tip, 1 to 3 buttons, 5 in range, 6 eraser end. 2 X, 4 Y, 6 pressure, 8 X tilt, 9 Y
 *                        tilt in degrees. Bit 5 is clear when the pen is away.
 *   f0 to ff             pad: 2 a bit for each button that is down
 */
HIDBPF_RULE_VALUES(struct hidbpf_tablet);

/* The mode switch reads it too. */
HIDBPF_OPTION_BOOL(raw_mode);

#define ID 2
#define FLAGS 1
#define KIND 0xf0
#define OF_PAD 0xf0
#define SIZE 10

#define TIP 0x01
#define TWO_BUTTONS 0x06
#define THIRD_BUTTON 0x08
#define IN_RANGE 0x20
#define ERASER_END 0x40

HIDBPF_RDESC_FIXUP(ctx)
{
	const struct hidbpf_tablet *model = hidbpf_rule_values();

	return option_raw_mode && model->x ? hidbpf_tablet_fixup(ctx, model, 0) : 0;
}

static __always_inline int pen_event(__u8 *report)
{
	const __u8 flags = report[FLAGS];
	const __u32 x = hidbpf_le16(report + 2), y = hidbpf_le16(report + 4), pressure = hidbpf_le16(report + 6);
	const __u32 x_tilt = report[8], y_tilt = report[9];
	__u32 fixed = (flags & (TWO_BUTTONS | IN_RANGE)) | (flags & THIRD_BUTTON ? HIDBPF_TABLET_THIRD_BUTTON : 0);

	/* A pen that goes away clears bit 5 alone. */
	if (!(flags & IN_RANGE))
		fixed = 0;
	else if (flags & ERASER_END)
		fixed |= HIDBPF_TABLET_INVERTED | (flags & TIP) * HIDBPF_TABLET_ERASER;
	else
		fixed |= flags & TIP;
	return hidbpf_tablet_pen(report, fixed, x, y, pressure, x_tilt, y_tilt);
}

HIDBPF_INPUT_EVENT(ctx)
{
	__u8 *report = hid_bpf_get_data(ctx, 0, HIDBPF_TABLET_SIZE);

	if (!report || ctx->size < SIZE || report[0] != ID)
		return 0;
	if ((report[FLAGS] & KIND) == OF_PAD)
		return hidbpf_tablet_buttons(report, report[2], 0, 0);
	return pen_event(report);
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
