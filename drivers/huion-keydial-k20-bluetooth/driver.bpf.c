// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion-keydial.h>

/*
 * The Huion Keydial K20 is a pad of 18 keys and a wheel that can be pressed. Over Bluetooth its name is Keydial mini,
 * and it has two HID devices. One is a keyboard, consumer control and mouse (see hidbpf/huion-keydial.h). The driver
 * turns it into one tablet pad. The other is a dial that sends nothing, and the driver silences it.
 *
 * Over Bluetooth the Inspiroy Frego M has the same ids. The sizes of the descriptors tell the two apart.
 */
#define PAD_DESCRIPTOR_SIZE 160
#define PUCK_DESCRIPTOR_SIZE 114

/* The keyboard's report. An unused byte follows the modifiers. */
#define KEYBOARD_ID 1
#define KEYBOARD_FIRST 3
#define CONSUMER_ID 2
#define MOUSE_ID 5

/* The longest reports of both devices. */
#define PAD_SIZE 9
#define PUCK_SIZE 10

/* The id of the reports that the driver sends. The device itself has no report 11. */
#define PAD_ID 11

HIDBPF_SILENT_DESCRIPTOR(silent_puck, PUCK_SIZE);
HIDBPF_DESCRIPTOR(pad, KEYDIAL_PAD(PAD_ID, PAD_SIZE));

HIDBPF_RDESC_FIXUP(ctx)
{
	struct hidbpf_change change = HIDBPF_UNCHANGED();

	switch (ctx->size) {
	case PAD_DESCRIPTOR_SIZE:
		change = HIDBPF_REPLACED(pad);
		break;
	case PUCK_DESCRIPTOR_SIZE:
		change = HIDBPF_REPLACED(silent_puck);
		break;
	}
	return hidbpf_change(ctx, change);
}

HIDBPF_INPUT_EVENT(ctx)
{
	const int size = ctx->size;
	__u8 *report = keydial_report(ctx);
	const struct keydial_ids ids = {KEYBOARD_ID, CONSUMER_ID, MOUSE_ID, KEYBOARD_FIRST};

	return report ? keydial_write(report, PAD_ID, keydial_event(size, report, ids)) : 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
