/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw mode of tablets by UGEE, including XP-Pen's: one driver for a whole family of models.
 *
 * The driver's mode switch reads the string descriptor 100, the tablet's parameters, and sends the report 02 b0 04. The
 * interface whose descriptor has 36 bytes then sends all reports, with the id 2. The other interfaces fall silent. The
 * parameters are the udev property UGEE_STRING_100, in hex. From it the descriptor hook builds the descriptor. A tablet
 * without that property is described by the values of its match rule.
 *
 * Parameters, as bytes of the string descriptor (hid-uclogic-params.c). Those at 2, 4, 8 and 10 have 16 bits:
 *   2         maximum of X.
 *   4         maximum of Y.
 *   6         number of buttons.
 *   7         what else the pad has: 0 nothing, 1 a dial, 2 a dial for the mouse.
 *   8         maximum of the pressure.
 *   10        steps per inch.
 *   12        bits 16 and up of the maximum of X, if the descriptor has 14 bytes
 *
 * Reports, byte 0 is the id 2, byte 1 the flags:
 *   a0 to af  pen: bits 0 tip, 1 and 2 buttons, 3 eraser, 5 in range. 2 X, 4 Y, 6 pressure. Reports of 10 bytes and
 *             more: 8 X tilt, 9 Y tilt in degrees. Of 12 bytes: 10 bits 16 and up of X, 11 those of Y. Of 14 bytes: 13,
 *             bit 0, is bit 13 of the pressure.
 *   c0, 80    the pen is away
 *   f0        pad: 2 to 4 a bit for each button that is down. 7, bits 0 and 1: a step of the dial, right and left.
 *   f2, f8    battery of a wireless tablet, and that it was connected. Dropped.
 */
#ifndef HIDBPF_UGEE_RAW_H
#define HIDBPF_UGEE_RAW_H

#include <hidbpf/tablet.h>

HIDBPF_UDEV_PROPERTY(UGEE_STRING_100);
HIDBPF_RULE_VALUES(struct hidbpf_tablet);

/* The mode switch reads it too: without raw mode there are no parameters, unless another tool has set them. */
HIDBPF_OPTION_BOOL(raw_mode);

#define UGEE_RAW_ID 2
#define UGEE_RAW_FLAGS 1
#define UGEE_RAW_KIND 0xf0
#define UGEE_RAW_OF_PAD 0xf0
#define UGEE_RAW_TIP 0x01
#define UGEE_RAW_ERASER_END 0x08
/* Buttons, eraser end and in range. */
#define UGEE_RAW_KEPT 0x2e

/* The shortest report that a tablet sends, and the shortest with tilt, the upper bits of X and Y, and those of pressure. */
#define UGEE_RAW_SIZE 8
#define UGEE_RAW_TILTED 10
#define UGEE_RAW_LONG 12
#define UGEE_RAW_LONGEST 14

/* The size of the parameters that have the upper bits of X. */
#define UGEE_RAW_LONG_PARAMETERS 14

#define UGEE_RAW_BYTE(index) HIDBPF_PROPERTY_BYTE(UGEE_STRING_100, index)
#define UGEE_RAW_LE16(index) (UGEE_RAW_BYTE(index) | UGEE_RAW_BYTE((index) + 1) << 8)

static __always_inline _Bool ugee_raw_is_told(void)
{
	return UDEV_PROP_UGEE_STRING_100[0] == '0';
}

static __always_inline struct hidbpf_tablet ugee_raw_parameters(void)
{
	struct hidbpf_tablet found = *hidbpf_rule_values();

	if (!ugee_raw_is_told())
		return found;
	found.x = UGEE_RAW_LE16(2);
	found.y = UGEE_RAW_LE16(4);
	found.buttons = UGEE_RAW_BYTE(6);
	found.dials = UGEE_RAW_BYTE(7) == 1 || UGEE_RAW_BYTE(7) == 2;
	found.pressure = UGEE_RAW_LE16(8);
	found.density = UGEE_RAW_LE16(10);
	if (UGEE_RAW_BYTE(0) >= UGEE_RAW_LONG_PARAMETERS)
		found.x |= UGEE_RAW_BYTE(12) << 16;
	return found;
}

/* Tablets set bit 13 of the pressure on top, if they have no more bits than that (the high byte of 1fff is 1f). */
static __always_inline __u32 ugee_raw_pressure_mask(void)
{
	const _Bool is_long = ugee_raw_is_told() ? UDEV_PROP_UGEE_STRING_100[2 * 9] > '1' :
						   hidbpf_rule_values()->pressure > 0x1fff;

	return is_long ? 0x3fff : 0x1fff;
}

static __always_inline int ugee_raw_pen(__u8 *report, __u32 size)
{
	const __u8 flags = report[UGEE_RAW_FLAGS];
	const __u32 x = hidbpf_le16(report + 2) | (__u32)(size >= UGEE_RAW_LONG ? report[10] : 0) << 16;
	const __u32 y = hidbpf_le16(report + 4) | (__u32)(size >= UGEE_RAW_LONG ? report[11] : 0) << 16;
	const __u32 high = size >= UGEE_RAW_LONGEST ? (report[13] & 1U) << 13 : 0;
	const __u32 pressure = (hidbpf_le16(report + 6) | high) & ugee_raw_pressure_mask();
	const __u32 x_tilt = size >= UGEE_RAW_TILTED ? report[8] : 0, y_tilt = size >= UGEE_RAW_TILTED ? report[9] : 0;
	__u32 tip = flags & UGEE_RAW_TIP;

	if (flags & UGEE_RAW_ERASER_END)
		tip *= HIDBPF_TABLET_ERASER;
	return hidbpf_tablet_pen(report, (flags & UGEE_RAW_KEPT) | tip, x, y, pressure, x_tilt, y_tilt);
}

static __always_inline int ugee_raw_pad(__u8 *report)
{
	const __u8 right = report[7] & 1, left = report[7] >> 1 & 1;

	return hidbpf_tablet_buttons(report, hidbpf_le16(report + 2), right - left, 0);
}

/* UGEE_RAW_MODE(): the whole driver. */
#define UGEE_RAW_MODE()                                                                                                \
	HIDBPF_RDESC_FIXUP(ctx)                                                                                        \
	{                                                                                                              \
		struct hidbpf_tablet found;                                                                            \
                                                                                                                       \
		if (!option_raw_mode)                                                                                  \
			return 0;                                                                                      \
		found = ugee_raw_parameters();                                                                         \
		/* Neither the tablet nor a row of the manifest has told anything: it is in firmware mode. */          \
		if (!found.x && !ugee_raw_is_told())                                                                   \
			return 0;                                                                                      \
		return hidbpf_tablet_fixup(ctx, &found, 0);                                                            \
	}                                                                                                              \
                                                                                                                       \
	HIDBPF_INPUT_EVENT(ctx)                                                                                        \
	{                                                                                                              \
		__u8 *report = hid_bpf_get_data(ctx, 0, UGEE_RAW_LONGEST);                                             \
                                                                                                                       \
		if (!report || ctx->size < UGEE_RAW_SIZE || report[0] != UGEE_RAW_ID)                                  \
			return 0;                                                                                      \
		if (report[UGEE_RAW_FLAGS] == UGEE_RAW_OF_PAD)                                                         \
			return ugee_raw_pad(report);                                                                   \
		if ((report[UGEE_RAW_FLAGS] & UGEE_RAW_KIND) == UGEE_RAW_OF_PAD)                                       \
			return -EINVAL;                                                                                \
		return ugee_raw_pen(report, (__u32)ctx->size);                                                         \
	}                                                                                                              \
                                                                                                                       \
	HIDBPF_DRIVER(rdesc_fixup, device_event)

#endif
