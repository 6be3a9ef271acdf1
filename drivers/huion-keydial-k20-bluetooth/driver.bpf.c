// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion-keydial.h>

/*
 * The Huion Keydial K20 over Bluetooth, where it is called Keydial mini, is a pad of 18 keys and a wheel that can be pressed. It has
 * two HID devices. One is a keyboard, consumer control and mouse (see hidbpf/huion-keydial.h), and becomes one tablet pad. The other is
 * a dial that sends nothing, and falls silent.
 *
 * Over Bluetooth the Inspiroy Frego M has the same ids; the sizes of the descriptors tell the two apart.
 */
#define PAD_DESCRIPTOR_SIZE 160
#define PUCK_DESCRIPTOR_SIZE 114

/* What the keyboard sends. After the modifiers there is a byte of nothing. */
#define KEYBOARD_ID 1
#define KEYBOARD_FIRST 3
#define CONSUMER_ID 2
#define MOUSE_ID 5

/* The longest reports of both. */
#define PAD_SIZE 9
#define PUCK_SIZE 10

/* The id of the pad's own reports: the device itself has no report 11. */
#define PAD_ID 11

HIDBPF_SILENT_DESCRIPTOR(silent_puck, PUCK_SIZE);
HIDBPF_DESCRIPTOR(pad, KEYDIAL_PAD(PAD_ID, PAD_SIZE));

HIDBPF_RDESC_FIXUP(ctx)
{
	if (ctx->size == PAD_DESCRIPTOR_SIZE)
		return hidbpf_replace(ctx, pad);
	if (ctx->size == PUCK_DESCRIPTOR_SIZE)
		return hidbpf_replace(ctx, silent_puck);
	return 0;
}

HIDBPF_INPUT_EVENT(ctx)
{
	int id = hidbpf_report_id(ctx);

	if (id == KEYBOARD_ID)
		return keydial_keyboard_event(ctx, PAD_ID, KEYBOARD_FIRST);
	if (id == CONSUMER_ID)
		return keydial_consumer_event(ctx, PAD_ID);
	return id == MOUSE_ID ? keydial_mouse_event(ctx, PAD_ID) : 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
