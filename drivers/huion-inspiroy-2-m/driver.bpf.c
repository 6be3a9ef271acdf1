// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion.h>

/*
 * The Huion Inspiroy 2 M (H951P) is a tablet of 221 x 138 mm with eight buttons and a wheel on its pad. Its pen has two
 * buttons and no eraser. It has the interfaces and the two modes of Huion's tablets (see hidbpf/huion.h), and the
 * defects of the smaller Inspiroy 2 S. In firmware mode buttons and wheel send keyboard shortcuts. The pen's descriptor
 * declares the second button as an eraser, an eraser and tilt that the pen lacks, and a size of 2048 cubic inches.
 *
 * The driver corrects pad and pen, and turns the vendor interface into pen and pad in one, with several buttons at
 * once.
 */
/* The longest report of the vendor interface. */
#define VENDOR_SIZE 14

#define PAD_ID HUION_KEYS_ID

/* Modifiers, key, and the button of the pad or the turn of the wheel that sends them. */
static const struct hidbpf_shortcut shortcuts[HIDBPF_SHORTCUTS] = {
	HIDBPF_SHORTCUT(0x00, 0x05, HUION_BUTTON(1)),  HIDBPF_SHORTCUT(0x07, 0x11, HUION_BUTTON(2)),
	HIDBPF_SHORTCUT(0x00, 0x08, HUION_BUTTON(3)),  HIDBPF_SHORTCUT(0x00, 0x0c, HUION_BUTTON(4)),
	HIDBPF_SHORTCUT(0x00, 0x2c, HUION_BUTTON(5)),  HIDBPF_SHORTCUT(0x01, 0x08, HUION_BUTTON(6)),
	HIDBPF_SHORTCUT(0x01, 0x16, HUION_BUTTON(7)),  HIDBPF_SHORTCUT(0x05, 0x1d, HUION_BUTTON(8)),
	HIDBPF_SHORTCUT(0x01, 0x2d, HUION_WHEEL_DOWN), HIDBPF_SHORTCUT(0x01, 0x2e, HUION_WHEEL_UP),
};

HIDBPF_SILENT_DESCRIPTOR(silent_pad, HUION_KEYS_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_pen, HUION_PEN_SIZE);
HIDBPF_DESCRIPTOR(firmware_pad, HUION_SHORTCUT_PAD(8));

#define WIDTH_MM 221
#define HEIGHT_MM 138

/*
 * The pen's firmware mode report, unchanged. The original descriptor declares its last two bytes as a tilt, which the
 * pen does not have.
 */
HIDBPF_DESCRIPTOR(firmware_pen, HUION_FIRMWARE_PEN(WIDTH_MM, HEIGHT_MM, Padding(16)));

/* The pen's vendor mode report, unchanged. Then two bytes of buttons and one of the wheel. */
HIDBPF_DESCRIPTOR(vendor,
	HUION_VENDOR_PEN(HUION_PEN_AXIS(X, 32, 44200, WIDTH_MM), HUION_PEN_AXIS(Y, 16, 27600, HEIGHT_MM),
		HUION_PEN_PRESSURE(8191)),
	HUION_PAD(PAD_ID, VENDOR_SIZE,
		HUION_PAD_BUTTONS(1, 10), HUION_PAD_BUTTONS(49, 49), Padding(5), HUION_PAD_WHEEL()));

HUION_RDESC_FIXUP("HUION_T21k_", {
	HUION_INTERFACE(133, silent_pad, firmware_pad);
	HUION_INTERFACE(93, silent_pen, firmware_pen);
	HUION_VENDOR_INTERFACE(36, vendor);
})

/* The buttons that are down. A report of the wheel does not contain them. */
static __u16 held;

static __always_inline int vendor_event(__u8 *report)
{
	if (!huion_of_pad(report))
		return 0;
	if (report[HUION_VENDOR_FLAGS] != HUION_TURN)
		held = (__u16)hidbpf_le32(report + HUION_BUTTONS);
	return huion_write(report, PAD_ID, held | (__u32)(__u8)huion_turn(report) << 16, 3);
}

HIDBPF_INPUT_REPORT(ctx, report, HUION_KEYS_SIZE)
{
	if (report[0] == HUION_KEYS_ID)
		return huion_shortcut_event(report, shortcuts);
	if (report[0] == HUION_VENDOR_ID)
		return vendor_event(report);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
