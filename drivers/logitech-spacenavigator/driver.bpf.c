// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The SpaceNavigator is a knob that can be pushed and turned in six directions. It sends how far, in report 1 for the three directions
 * and in report 2 for the three turns, and its descriptor says that these are movements: relative axes. An axis that stays where it is
 * then has no meaning, and programs that expect a joystick don't get one.
 *
 * The axes become absolute. Linux has a repair of its own for the same, which knows the first models only: later ones give a unit,
 * and their items are four bytes further on.
 */
/* The Input items of both reports, without and with the units. */
#define DIRECTIONS 32
#define TURNS 49
#define DIRECTIONS_BEHIND_UNITS 36
#define TURNS_BEHIND_UNITS 53
/* Data, variable, and: */
#define RELATIVE 0x06
#define ABSOLUTE 0x02

HIDBPF_RDESC_FIXUP(ctx)
{
	hidbpf_patch_input(ctx, DIRECTIONS, RELATIVE, ABSOLUTE);
	hidbpf_patch_input(ctx, TURNS, RELATIVE, ABSOLUTE);
	hidbpf_patch_input(ctx, DIRECTIONS_BEHIND_UNITS, RELATIVE, ABSOLUTE);
	hidbpf_patch_input(ctx, TURNS_BEHIND_UNITS, RELATIVE, ABSOLUTE);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup);
