// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Surface Dial is a knob that can be turned and pressed. Its descriptor declares a dial of up to 3600 steps a turn,
 * and a position on the screen. Linux reports it as REL_DIAL, which most programs ignore.
 *
 * The driver turns the dial into a wheel. Linux then selects the finest steps by itself. The driver declares how many
 * of the 3600 steps are one click of a wheel: 120, which makes 30 clicks a turn, unless the option `clicks-per-turn`
 * has another value. The driver removes the fields that would keep Linux from treating the device as a mouse. The touch
 * bit becomes padding, and the position becomes a movement, which is always 0. The driver patches single bytes, so that
 * the rest stays, above all the vendor's reports.
 *
 * Whenever the Dial is pressed, it also sends the wake-up key and never sends its release. The driver drops such
 * reports.
 */
static const struct hidbpf_byte patches[] = {
	/* Touch: Input (81 02) to constant. */
	{35, 0x02, 0x03},
	/* Usage (09 37), dial to wheel. */
	{45, 0x37, 0x38},
	/* Physical Maximum of the resolution multiplier (46 10 0e), 3600 to 120. */
	{61, 0x10, 0x78},
	{62, 0x0e, 0x00},
	/* X and Y: Input (81 42), absolute with null state, to relative. */
	{88, 0x42, 0x06},
	{98, 0x42, 0x06},
};

/* The Physical Maximum's value, and the steps of a turn. */
#define STEPS_PER_CLICK 61
#define STEPS_PER_TURN 3600

HIDBPF_OPTION_INTEGER(clicks_per_turn);

HIDBPF_RDESC_FIXUP(ctx)
{
	__s32 clicks = option_clicks_per_turn;
	__u8 *descriptor;

	if (!hidbpf_patch_all(ctx, patches))
		return -EINVAL;
	descriptor = hid_bpf_get_data(ctx, 0, STEPS_PER_CLICK + 2);
	if (descriptor && clicks > 0)
		hidbpf_put_le16(descriptor + STEPS_PER_CLICK, (__u16)(STEPS_PER_TURN / (__u32)clicks));
	return 0;
}

/* System Control has one byte of keys: Sleep is bit 0, and the wake-up key is bit 1. */
#define SYSTEM_ID 50
#define SYSTEM_SIZE 2
#define SYSTEM_KEYS 1
#define WAKE_UP 0x02

HIDBPF_INPUT_REPORT(ctx, report, SYSTEM_SIZE)
{
	return report[0] == SYSTEM_ID && report[SYSTEM_KEYS] & WAKE_UP ? -EINVAL : 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
