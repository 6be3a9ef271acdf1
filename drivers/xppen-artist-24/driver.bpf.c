// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/ugee.h>

/*
 * The XP-Pen Artist 24 and Artist 24 Pro are pen displays. Their pen has two buttons and no eraser.
 *
 * The descriptor declares the second button as an eraser, so pressing it turns the pen around. The driver declares it
 * as the second button.
 *
 * The firmware also treats the button as an eraser. If the button changes while the pen is in range, the firmware lets
 * the pen leave and come back. With the tip down, one report says that tip and pen are gone. The next says that tip and
 * button changed together. A hand can do neither, so the driver drops both reports and the pen stays where it is.
 *
 * Users who want an eraser set the option `second-button`. Descriptor and reports then stay as they are.
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

/* Flags of the last report with the pen in range. */
static __u8 last;

HIDBPF_INPUT_REPORT(ctx, report, UGEE_PEN_SIZE)
{
	__u8 flags = report[UGEE_PEN_FLAGS] & (UGEE_IN_RANGE | UGEE_TIP | UGEE_SECOND_BUTTON), was = last;

	/* The most frequent case. */
	if (flags == was)
		return 0;
	if (report[0] != UGEE_PEN_ID || option_second_button == SECOND_BUTTON_ERASER)
		return 0;
	if (!(flags & UGEE_IN_RANGE))
		return was & UGEE_TIP ? -EINVAL : 0;
	last = flags;
	return (was ^ flags) == (UGEE_TIP | UGEE_SECOND_BUTTON) ? -EINVAL : 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
