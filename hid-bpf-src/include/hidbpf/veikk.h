/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tablets by Veikk, after output reports with the id 9 have switched them: pen (09 01 04), and buttons (09 02 02). The
 * interface whose descriptor has 36 bytes then sends all reports, with the id 9. The size is a value of the match rule,
 * because no such tablet tells it.
 *
 * Reports, byte 0 is the id 9:
 *   1: 41     pen. 2 flags: bits 0 tip, 1 and 2 buttons, a0 to a7 in range, c0 away. Older tablets, 9 bytes: 3 X, 5 Y,
 *             7 pressure. Newer ones, 13 bytes: 3 X and 6 Y of 24 bits, 9 pressure, 11 and 12 tilt, whose sign is not
 *             known.
 *   1: 42     2: 01 a button: 3 whether it is down, 4 and 5 its bit. 2: 03 a wheel: 4 bit 1 a step on, bit 0 back.
 *   1: 43     gesture pad. Dropped.
 */
#ifndef HIDBPF_VEIKK_H
#define HIDBPF_VEIKK_H

#include <hidbpf/tablet.h>

HIDBPF_RULE_VALUES(struct hidbpf_tablet);

/* The mode switch reads it too. */
HIDBPF_OPTION_BOOL(raw_mode);

#define VEIKK_ID 9
#define VEIKK_KIND 1
#define VEIKK_PEN 0x41
#define VEIKK_PAD 0x42
#define VEIKK_BUTTON 1
#define VEIKK_WHEEL 3
#define VEIKK_PEN_FLAGS 0x27

#define VEIKK_OLDER_SIZE 9
#define VEIKK_NEWER_SIZE 13

/* The buttons that are down. A report names one of them. */
static __u16 veikk_held;

static __always_inline int veikk_pad(__u8 *report)
{
	const __u16 button = hidbpf_le16(report + 4);
	__u8 turn;

	switch (report[2]) {
	case VEIKK_BUTTON:
		veikk_held = report[3] & 1 ? veikk_held | button : veikk_held & (__u16)~button;
		return hidbpf_tablet_buttons(report, veikk_held, 0, 0);
	case VEIKK_WHEEL:
		turn = (report[4] >> 1 & 1) - (report[4] & 1);
		return hidbpf_tablet_dial(report, turn, 0);
	}
	return -EINVAL;
}

static __always_inline int veikk_pen(__u8 *report, _Bool is_newer)
{
	const __u32 flags = report[2] & VEIKK_PEN_FLAGS;
	const __u32 x = is_newer ? hidbpf_le32(report + 3) & 0xffffff : hidbpf_le16(report + 3);
	const __u32 y = is_newer ? hidbpf_le32(report + 6) & 0xffffff : hidbpf_le16(report + 5);
	const __u32 pressure = is_newer ? hidbpf_le16(report + 9) : hidbpf_le16(report + 7);

	return hidbpf_tablet_pen(report, flags, x, y, pressure, 0, 0);
}

/* VEIKK_TABLET(): the whole driver. */
#define VEIKK_TABLET()                                                                                                 \
	HIDBPF_RDESC_FIXUP(ctx)                                                                                        \
	{                                                                                                              \
		const struct hidbpf_tablet *model = hidbpf_rule_values();                                              \
                                                                                                                       \
		return option_raw_mode && model->x ? hidbpf_tablet_fixup(ctx, model, 1) : 0;                           \
	}                                                                                                              \
                                                                                                                       \
	HIDBPF_INPUT_EVENT(ctx)                                                                                        \
	{                                                                                                              \
		__u8 *report = hid_bpf_get_data(ctx, 0, VEIKK_NEWER_SIZE);                                             \
                                                                                                                       \
		if (!report || ctx->size < VEIKK_OLDER_SIZE || report[0] != VEIKK_ID)                                  \
			return 0;                                                                                      \
		if (report[VEIKK_KIND] == VEIKK_PEN)                                                                   \
			return veikk_pen(report, ctx->size >= VEIKK_NEWER_SIZE);                                       \
		if (report[VEIKK_KIND] == VEIKK_PAD)                                                                   \
			return veikk_pad(report);                                                                      \
		return -EINVAL;                                                                                        \
	}                                                                                                              \
                                                                                                                       \
	HIDBPF_DRIVER(rdesc_fixup, device_event)

#endif
