// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The SpaceNavigator is a knob that can be pushed and turned in six directions. It sends absolute deflections: report 1
 * has the three directions, and report 2 the three turns. Its descriptor declares them as movements, which are relative
 * axes. A relative axis that keeps its value has no meaning, and programs that expect a joystick do not find one.
 *
 * The driver declares the axes as absolute. Linux has its own repair for this defect, but only for the first models.
 * Later models declare a unit, and their items are four bytes further on.
 */
/* The Input items of both reports, without and with the units. */
#define DIRECTIONS 32
#define TURNS 49
#define DIRECTIONS_BEHIND_UNITS 36
#define TURNS_BEHIND_UNITS 53
/* Data, variable, and: */
#define RELATIVE 0x06
#define ABSOLUTE 0x02

#define INPUT 0x81

static __always_inline void make_absolute(__u8 *item)
{
	if (item[0] == INPUT && item[1] == RELATIVE)
		item[1] = ABSOLUTE;
}

HIDBPF_RDESC_FIXUP(ctx)
{
	/* The bytes after a shorter descriptor are zeros. */
	__u8 *items = hid_bpf_get_data(ctx, 0, TURNS_BEHIND_UNITS + 2);

	if (!items)
		return 0;
	make_absolute(items + DIRECTIONS);
	make_absolute(items + TURNS);
	make_absolute(items + DIRECTIONS_BEHIND_UNITS);
	make_absolute(items + TURNS_BEHIND_UNITS);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
