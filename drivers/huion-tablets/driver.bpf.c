// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/tablet.h>

/*
 * Huion's and Gaomon's tablets in vendor mode. The driver's mode switch reads the strings 201, the firmware's name, and
 * 200, the parameters. From then on everything comes from the first interface, in reports with the id 8. The other
 * interfaces fall silent.
 *
 * These are the parameters, as bytes of the string descriptor (hid-uclogic-params.c).
 *   2 to 4    maximum of X.
 *   5 to 7    maximum of Y.
 *   8, 9      maximum of the pressure.
 *   10, 11    steps per inch.
 *   13        number of buttons. A ring or strip counts as one.
 *   15        bit 0: a ring or strip. Bit 7: dials.
 *   17        the most tilt in degrees. Some tablets say 0 and tilt.
 *
 * In the reports, byte 0 is the id 8. Byte 1 has the flags.
 *   80 to 8f  pen: bits 0 tip, 1 and 2 buttons, 7 in range. 2 X, 4 Y, 6 pressure. 8 and 9 bits 16 and up of X and Y,
 *             10 X tilt, 11 Y tilt in degrees, which grows away from the user.
 *   00        the pen is away.
 *   e0, e3    pad: 4 to 6 a bit for each button that is down. e3 has the buttons of a group.
 *   f0        ring or strip: 5 the position from 1 on, 0 if there is no finger. A ring counts counter-clockwise.
 *   f1        dial: 3 which one, 1 or 2. 5 the direction, 1 clockwise, 2 back.
 *   others    junk. A report that begins 08 78 was seen.
 */
HIDBPF_UDEV_PROPERTY(HUION_FIRMWARE_ID);
HIDBPF_UDEV_PROPERTY(HUION_MAGIC_BYTES);

/* The mode switch reads it too. */
HIDBPF_OPTION_BOOL(vendor_mode);
HIDBPF_OPTION_INTEGER(ring_steps);
HIDBPF_OPTION_INTEGER(strip_steps);

HIDBPF_RULE_VALUES(struct hidbpf_tablet);

#define ID 8
#define FLAGS 1
#define OF_PAD 0x60
#define PEN_FLAGS 0x07
#define IN_RANGE 0x80

#define BUTTONS 0xe0
#define GROUP_BUTTONS 0xe3
#define TOUCH 0xf0
#define DIAL 0xf1

#define BLOCK(index) HIDBPF_PROPERTY_BYTE(HUION_MAGIC_BYTES, index)
#define BLOCK16(index) (BLOCK(index) | BLOCK((index) + 1) << 8)
#define BLOCK24(index) (BLOCK16(index) | BLOCK((index) + 2) << 16)
/* The shortest parameters of this family. Older tablets have 12 to 14 bytes with another layout. */
#define BLOCK_SIZE 18

/* The place of the letter behind the maker in HUION_M174: tablets have T, displays M. */
#define KIND 6

/* The value of an option, or that of the model. */
static __always_inline __u32 steps(__u32 option, __u32 model)
{
	return option ? option : model;
}

static __always_inline struct hidbpf_tablet parameters(void)
{
	const struct hidbpf_tablet *model = hidbpf_rule_values();
	struct hidbpf_tablet found = *model;
	const _Bool is_told = BLOCK(0) >= BLOCK_SIZE && BLOCK(1) == 3;

	found.ring = steps((__u32)option_ring_steps, model->ring);
	found.strip = steps((__u32)option_strip_steps, model->strip);
	if (UDEV_PROP_HUION_FIRMWARE_ID[KIND] == 'M')
		found.display = 1;
	if (!is_told || !BLOCK24(2) || !BLOCK24(5))
		return found;
	found.x = BLOCK24(2);
	found.y = BLOCK24(5);
	found.density = BLOCK16(10);
	if (BLOCK16(8))
		found.pressure = BLOCK16(8);
	found.tilt |= BLOCK(17);
	if (!model->buttons)
		found.buttons = BLOCK(13) - (BLOCK(13) ? BLOCK(15) & 1 : 0);
	/* No tablet without a row is known to have dials, so it is not known how many. */
	if (!model->x && BLOCK(15) & 0x80)
		found.dials = 2;
	return found;
}

HIDBPF_RDESC_FIXUP(ctx)
{
	struct hidbpf_tablet found;

	if (!option_vendor_mode)
		return 0;
	found = parameters();
	/* The tablet has told nothing, and no row knows it: it is in firmware mode. */
	if (!found.x && UDEV_PROP_HUION_MAGIC_BYTES[0] == 0)
		return 0;
	return hidbpf_tablet_fixup(ctx, &found, 1);
}

static __always_inline int touch_event(__u8 *report)
{
	const struct hidbpf_tablet *model = hidbpf_rule_values();
	const __u32 ring = steps((__u32)option_ring_steps, model->ring), position = report[5];
	__u32 turned;

	if (!position)
		return hidbpf_tablet_touch(report, 0, 0);
	if (!ring)
		return hidbpf_tablet_touch(report, (__u8)(position - 1), 1);
	/* Half of the ring is before position 1, counted clockwise from the left as Wacom's rings are. */
	turned = ring / 2 + 1 + ring - position;
	return hidbpf_tablet_touch(report, (__u8)(turned >= ring ? turned - ring : turned), 1);
}

static __always_inline int dial_event(__u8 *report)
{
	const __u8 turn = report[5] == 2 ? 0xff : report[5] == 1;

	return report[3] == 2 ? hidbpf_tablet_dial(report, 0, turn) : hidbpf_tablet_dial(report, turn, 0);
}

static __always_inline int pen_event(__u8 *report)
{
	const __u8 flags = report[FLAGS];
	const __u32 x = hidbpf_le16(report + 2) | (__u32)report[8] << 16;
	const __u32 y = hidbpf_le16(report + 4) | (__u32)report[9] << 16;
	const __u32 pressure = hidbpf_le16(report + 6), x_tilt = report[10];

	return hidbpf_tablet_pen(report, (flags & PEN_FLAGS) | (flags & IN_RANGE ? HIDBPF_TABLET_NEAR : 0), x, y,
				 pressure, x_tilt, (__u8)-report[11]);
}

HIDBPF_INPUT_REPORT(ctx, report, HIDBPF_TABLET_SIZE)
{
	if (report[0] != ID)
		return 0;
	if ((report[FLAGS] & OF_PAD) == 0)
		return pen_event(report);
	switch (report[FLAGS]) {
	case BUTTONS:
	case GROUP_BUTTONS:
		return hidbpf_tablet_buttons(report, hidbpf_le32(report + 4), 0, 0);
	case TOUCH:
		return touch_event(report);
	case DIAL:
		return dial_event(report);
	}
	return -EINVAL;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
