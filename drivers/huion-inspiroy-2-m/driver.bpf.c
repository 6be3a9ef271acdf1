// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion.h>

/*
 * The Huion Inspiroy 2 M (H951P) is a tablet of 221 x 138 mm with eight buttons and a wheel on its pad, and a pen with two buttons
 * and no eraser. It has the interfaces and the two modes of Huion's tablets (see hidbpf/huion.h), and what is wrong is what is wrong
 * with the smaller Inspiroy 2 S: in firmware mode buttons and wheel send keyboard shortcuts, and the pen's descriptor calls the second
 * button an eraser, promises eraser and tilt, and gives the size as 2048 cubic inches.
 *
 * Pad and pen are given what they are, and the vendor interface is made pen and pad in one, with several buttons at once.
 */
/* The longest report that comes from the vendor interface. */
#define VENDOR_SIZE 14

/* What the pad is made to send in vendor mode. */
struct vendor_pad_report {
	__u8 id;
	__u8 marks[3];
	/* A bit for each button, the first eight in the first byte. */
	__u8 buttons[2];
	__s8 wheel;
};
#define PAD_ID HUION_KEYS_ID

/* Modifiers, key, and the pad's button or the wheel's turn that they stand for. */
static const struct hidbpf_shortcut shortcuts[] = {
	{0x00, 0x05, 1}, {0x07, 0x11, 2}, {0x00, 0x08, 3}, {0x00, 0x0c, 4}, {0x00, 0x2c, 5},
	{0x01, 0x08, 6}, {0x01, 0x16, 7}, {0x05, 0x1d, 8}, {0x01, 0x2d, HUION_WHEEL_DOWN}, {0x01, 0x2e, HUION_WHEEL_UP},
};

HIDBPF_SILENT_DESCRIPTOR(silent_pad, HUION_KEYS_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_pen, HUION_PEN_SIZE);
HIDBPF_DESCRIPTOR(firmware_pad, HUION_SHORTCUT_PAD(8));

#define WIDTH_MM 221
#define HEIGHT_MM 138

/* The pen's report in firmware mode as it comes; its last two bytes would be a tilt that the pen does not have. */
HIDBPF_DESCRIPTOR(firmware_pen, HUION_FIRMWARE_PEN(WIDTH_MM, HEIGHT_MM, Padding(16)));

/* The pen's report in vendor mode as it comes, and struct vendor_pad_report. */
HIDBPF_DESCRIPTOR(vendor,
	HUION_VENDOR_PEN(HUION_PEN_AXIS(X, 32, 44200, WIDTH_MM), HUION_PEN_AXIS(Y, 16, 27600, HEIGHT_MM),
		HUION_PEN_PRESSURE(8191)),
	HUION_PAD(PAD_ID, VENDOR_SIZE,
		HUION_PAD_BUTTONS(1, 10), HUION_PAD_BUTTONS(49, 49), Padding(5), HUION_PAD_WHEEL()));

HUION_RDESC_FIXUP("HUION_T21k_",
	HUION_INTERFACE(133, silent_pad, firmware_pad);
	HUION_INTERFACE(93, silent_pen, firmware_pen);
	HUION_VENDOR_INTERFACE(36, vendor);
)

/* The buttons that are down, which a turn of the wheel doesn't tell. */
static __u8 held[2];

static __always_inline int vendor_event(__u8 *report)
{
	__s8 turn = huion_turn(report);

	if (!huion_of_pad(report))
		return 0;
	if (report[HUION_VENDOR_FLAGS] != HUION_TURN)
		__builtin_memcpy(held, report + HUION_BUTTONS, sizeof(held));
	*(struct vendor_pad_report *)report = (struct vendor_pad_report){
		.id = PAD_ID,
		.buttons = {held[0], held[1]},
		.wheel = turn,
	};
	return sizeof(struct vendor_pad_report);
}

HIDBPF_INPUT_EVENT(ctx)
{
	__u8 *report = hidbpf_report(ctx, HUION_KEYS_SIZE);

	if (report && report[0] == HUION_KEYS_ID)
		return huion_shortcut_event(report, shortcuts);
	if (report && report[0] == HUION_VENDOR_ID)
		return vendor_event(report);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
