// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The PCsensor FootSwitch is a keyboard with one key, "b" by default. Report 1 has its modifiers and keys, and is all
 * zero when the pedal is released.
 *
 * The driver turns any key that the device sends into Ctrl+C. For another shortcut, change the two numbers.
 */
#define MODIFIERS 0x01 /* Left control. */
#define KEY 0x06       /* Keyboard page, C. */

#define KEYBOARD_ID 1
struct keyboard_report {
	__u8 id;
	__u8 modifiers;
	__u8 reserved;
	__u8 keys[6];
};

HIDBPF_INPUT_EVENT(ctx)
{
	struct keyboard_report *report = hidbpf_report_with_id(ctx, KEYBOARD_ID, sizeof(*report));
	__u8 pressed = 0;

	if (!report)
		return 0;
#pragma clang loop unroll(full)
	for (unsigned long i = 1; i < sizeof(*report); i++)
		pressed |= ((__u8 *)report)[i];
	if (pressed)
		*report = (struct keyboard_report){.id = KEYBOARD_ID, .modifiers = MODIFIERS, .keys = {KEY}};
	return 0;
}

HIDBPF_DRIVER(device_event);
