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

/* The pen's report begins with its id and its flags, here as one number; what is above them is X. */
#define FLAGS(flags) ((flags) << 8 * UGEE_PEN_FLAGS)
#define ID_MASK 0xff
#define NEAR (UGEE_PEN_ID | FLAGS(UGEE_IN_RANGE))
#define NEAR_MASK (ID_MASK | FLAGS(UGEE_IN_RANGE))
#define TIP_AND_BUTTON FLAGS(UGEE_TIP | UGEE_SECOND_BUTTON)
/* These of the last report that had the pen near. */
static __u32 last;

static __always_inline _Bool is_false(__u32 report)
{
	__u32 *last_near = hidbpf_address(last), was = *last_near;
	__u32 now = report & (NEAR_MASK | TIP_AND_BUTTON);

	/* Clang would mask the report twice, and copy it for that. */
	asm("" : "+r"(now));

	/* What comes most often. */
	if (now == was)
		return 0;
	if ((now & NEAR_MASK) != NEAR)
		return was & FLAGS(UGEE_TIP) && (now & ID_MASK) == UGEE_PEN_ID;
	*last_near = now;
	return (was ^ now) == TIP_AND_BUTTON;
}

HIDBPF_INPUT_REPORT(ctx, report, UGEE_PEN_SIZE)
{
	return is_false(hidbpf_le32(report)) && option_second_button != SECOND_BUTTON_ERASER ? -EINVAL : 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
