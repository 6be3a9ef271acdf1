// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion.h>

/*
 * The Huion Inspiroy Dial 2 (Q630M) is a tablet of 266 x 166 mm with six buttons and two dials that can be pressed. Its
 * pen has two buttons and tilt. It has the interfaces and the two modes of Huion's tablets (see hidbpf/huion.h).
 *
 * In firmware mode the pad interface is a keyboard and a dial of the kind that Windows supports. The buttons send
 * shortcuts. Both of the tablet's dials send the same dial reports and cannot be told apart. The pen's descriptor
 * declares the second button as an eraser, a size of 2048 cubic inches, and a tilt range of 127.
 *
 * The driver turns the pad into a tablet pad with six buttons, a seventh for the dials, and a wheel, and corrects the
 * pen. It turns the vendor interface into pen and pad in one, with eight buttons and both dials: a wheel and a
 * horizontal wheel.
 */
/* The longest reports of the pad and the vendor interface. */
#define PAD_SIZE 9
#define VENDOR_SIZE 12

/*
 * The dial's report in firmware mode: whether it is pressed, and, in the upper half of the first four bytes, how far it
 * turned.
 */
#define DIAL_ID 0x11
#define DIAL_PRESSED 1
#define DIAL_TURN 2

#define PAD_ID HUION_KEYS_ID
#define DIAL_BUTTON 0x40

/* Modifiers, key, and the bit of the button that sends them. */
static const struct hidbpf_shortcut shortcuts[HIDBPF_SHORTCUTS] = {
	HIDBPF_SHORTCUT(0x00, 0x05, 0x01), HIDBPF_SHORTCUT(0x00, 0x08, 0x02), HIDBPF_SHORTCUT(0x00, 0x0c, 0x04),
	HIDBPF_SHORTCUT(0x01, 0x16, 0x08), HIDBPF_SHORTCUT(0x00, 0x2c, 0x10), HIDBPF_SHORTCUT(0x05, 0x1d, 0x20),
};
/* The tablet sends the modifiers as keys, before the key itself. */
#define SHORTCUT_KEYS 3
#define FIRST_MODIFIER 0xe0

HIDBPF_SILENT_DESCRIPTOR(silent_pad, PAD_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_pen, HUION_PEN_SIZE);

#define WIDTH_MM 266
#define HEIGHT_MM 166

/* A byte of the wheel, and one of the buttons. */
HIDBPF_DESCRIPTOR(firmware_pad,
	HUION_PAD(PAD_ID, PAD_SIZE, HUION_PAD_WHEEL(), LogicalRange8(0, 1), HUION_PAD_BUTTONS(1, 7), Padding(1)));

HIDBPF_DESCRIPTOR(firmware_pen, HUION_FIRMWARE_PEN(WIDTH_MM, HEIGHT_MM, HUION_PEN_TILT()));

/*
 * The pen's vendor mode report, unchanged, with two unused bytes before the tilt. Then the pad's report as
 * huion_wheels_event() writes it.
 */
HIDBPF_DESCRIPTOR(vendor,
	HUION_VENDOR_PEN(HUION_PEN_AXIS(X, 32, 53340, WIDTH_MM), HUION_PEN_AXIS(Y, 32, 33340, HEIGHT_MM),
		HUION_PEN_PRESSURE(8191),
		Padding(16),
		HUION_PEN_TILT()),
	HUION_PAD(PAD_ID, VENDOR_SIZE, HUION_PAD_BUTTONS(1, 8), HUION_PAD_WHEELS()));

HUION_RDESC_FIXUP("HUION_T216_", {
	HUION_INTERFACE(148, silent_pad, firmware_pad);
	HUION_INTERFACE(93, silent_pen, firmware_pen);
	HUION_VENDOR_INTERFACE(18, vendor);
})

/* The buttons that are down. No report contains all of them. */
static __u8 buttons;

static __always_inline int write_firmware_pad(__u8 *report, __s8 wheel)
{
	return huion_write(report, PAD_ID, (__u8)wheel | (__u32)buttons << 8, 2);
}

static __always_inline int firmware_keys_event(__u8 *report)
{
	__u8 modifiers = report[HUION_KEYS_MODIFIERS];
	__u8 key = 0;

#pragma clang loop unroll(disable)
	for (int i = 0; i < SHORTCUT_KEYS; i++) {
		__u8 pressed = report[HUION_KEYS_FIRST + i];

		if (pressed >= FIRST_MODIFIER)
			modifiers |= (__u8)(1 << (pressed & 7));
		else if (pressed)
			key = pressed;
	}
	buttons = (__u8)((buttons & DIAL_BUTTON) | hidbpf_shortcut_button(shortcuts, modifiers, key));
	return write_firmware_pad(report, 0);
}

static __always_inline int firmware_dial_event(__u8 *report)
{
	const __s32 turn = (__s32)hidbpf_le32(report) >> 8 * DIAL_TURN;

	buttons = (__u8)((buttons & ~DIAL_BUTTON) | (report[DIAL_PRESSED] ? DIAL_BUTTON : 0));
	/* The sign: -1, 0 or 1. */
	return write_firmware_pad(report, (__s8)(turn >> 31 | (int)((__u32)-turn >> 31)));
}

static __always_inline int vendor_event(__u8 *report)
{
	if (!huion_of_pad(report))
		return 0;
	if (report[HUION_VENDOR_FLAGS] != HUION_TURN)
		buttons = report[HUION_BUTTONS];
	return huion_wheels_event(report, PAD_ID, buttons);
}

HIDBPF_INPUT_REPORT(ctx, report, HUION_KEYS_SIZE)
{
	/* In vendor mode all reports have this id, so it comes first. */
	switch (__builtin_expect(report[0], HUION_VENDOR_ID)) {
	case HUION_VENDOR_ID:
		return vendor_event(report);
	case HUION_KEYS_ID:
		return firmware_keys_event(report);
	case DIAL_ID:
		return firmware_dial_event(report);
	}
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
