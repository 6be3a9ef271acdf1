// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion-keydial.h>

/*
 * The Huion Keydial K20 on its cable is a pad of 18 keys and a wheel that can be pressed. It has the two modes of
 * Huion's tablets (see hidbpf/huion.h).
 *
 * In firmware mode the pad interface is a keyboard, consumer control and mouse (see hidbpf/huion-keydial.h), and the
 * driver turns it into one tablet pad. The puck interface is a dial, which Linux does not support, and stays as it is.
 * In vendor mode both are silent. The vendor interface sends everything, and the driver turns it into the same kind of
 * pad.
 */

/* The reports of each interface in firmware mode. */
#define PAD_SIZE 8
#define PUCK_SIZE 9
#define KEYBOARD_ID 3
#define KEYBOARD_FIRST 2
#define CONSUMER_ID 4
#define MOUSE_ID 5

#define VENDOR_SIZE 12

/* The id of the reports that the driver sends in both modes. */
#define PAD_ID HUION_VENDOR_ID

HIDBPF_SILENT_DESCRIPTOR(silent_pad, PAD_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_puck, PUCK_SIZE);
HIDBPF_DESCRIPTOR(firmware_pad, KEYDIAL_PAD(PAD_ID, PAD_SIZE));
HIDBPF_DESCRIPTOR(vendor, KEYDIAL_PAD(PAD_ID, VENDOR_SIZE));

HUION_RDESC_FIXUP("HUION_T21h_", {
	HUION_INTERFACE(135, silent_pad, firmware_pad);
	HUION_INTERFACE_SILENCED(108, silent_puck);
	HUION_VENDOR_INTERFACE(18, vendor);
})

/* Three bytes of buttons. */
#define VENDOR_BUTTONS_SIZE 3
#define VENDOR_BUTTONS_MASK 0xffffff

static __always_inline int vendor_event(int size, const __u8 *report)
{
	if (size < HUION_BUTTONS + VENDOR_BUTTONS_SIZE)
		return KEYDIAL_NOTHING;
	if (report[HUION_VENDOR_FLAGS] != HUION_TURN)
		keydial_buttons = hidbpf_le32(report + HUION_BUTTONS) & VENDOR_BUTTONS_MASK;
	return huion_turn(report);
}

HIDBPF_INPUT_EVENT(ctx)
{
	const int size = ctx->size;
	__u8 *report = keydial_report(ctx);
	const struct keydial_ids ids = {KEYBOARD_ID, CONSUMER_ID, MOUSE_ID, KEYBOARD_FIRST};
	int turn;

	if (!report)
		return 0;
	if (report[0] == HUION_VENDOR_ID)
		turn = vendor_event(size, report);
	else
		turn = keydial_event(size, report, ids);
	return keydial_write(report, PAD_ID, turn);
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
