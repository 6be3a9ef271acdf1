// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/ugee.h>

/*
 * The XP-Pen Artist 24 and Artist 24 Pro are screens to draw on. Their pen has two buttons and no eraser.
 *
 * The descriptor calls the second button an eraser, so that pressing it turns the pen around instead. The descriptor is made to say
 * "second button".
 *
 * The firmware believes in the eraser too. When that button is pressed or released while the pen is near, it lets the pen leave and
 * come back: with the tip down a report says that tip and pen are gone, and then one that tip and button changed together. No hand
 * does either, so both are dropped and the pen stays where it is.
 *
 * Who wants an eraser there sets the option `second-button`, and then descriptor and reports stay as they are.
 */
/* The usage of the third bit of the pen's flags, in the descriptor. */
#define SECOND_BUTTON_USAGE 17
#define USAGE_ERASER 0x45
#define USAGE_SECONDARY_BARREL_SWITCH 0x5a

HIDBPF_OPTION_CHOICE(second_button, SECOND_BUTTON_BUTTON, SECOND_BUTTON_ERASER);

HIDBPF_RDESC_FIXUP(ctx)
{
	if (option_second_button == SECOND_BUTTON_ERASER)
		return 0;
	hidbpf_patch_byte(ctx, SECOND_BUTTON_USAGE, USAGE_ERASER, USAGE_SECONDARY_BARREL_SWITCH);
	return 0;
}

/* The flags of the last report that had the pen near and another state than the one before. */
static __u8 flags_were;

HIDBPF_INPUT_EVENT(ctx)
{
	const __u8 tip_and_button = UGEE_TIP | UGEE_SECOND_BUTTON;
	__u8 *report = hidbpf_report_with_id(ctx, UGEE_PEN_ID, UGEE_PEN_SIZE);
	__u8 changed;

	if (!report)
		return 0;
	changed = flags_were ^ report[UGEE_PEN_FLAGS];
	if (!changed || option_second_button == SECOND_BUTTON_ERASER)
		return 0;
	if (!(report[UGEE_PEN_FLAGS] & UGEE_IN_RANGE))
		return flags_were & UGEE_TIP ? -EINVAL : 0;
	flags_were = report[UGEE_PEN_FLAGS];
	return (changed & tip_and_button) == tip_and_button ? -EINVAL : 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
