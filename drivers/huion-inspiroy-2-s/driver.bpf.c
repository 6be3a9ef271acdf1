// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion.h>

/*
 * The Huion Inspiroy 2 S (H641P) is a tablet of 160 x 100 mm with six buttons and a wheel on its pad. Its pen has two
 * buttons and no eraser. It has three interfaces, which differ in the size of their descriptors, and two modes.
 *
 * The tablet starts in firmware mode, and the vendor interface is silent. The pad interface is a keyboard: buttons and
 * wheel send shortcuts such as Ctrl+Z. The pen interface declares the second pen button as an eraser, and its size as
 * 2048 cubic inches. It also declares eraser and tilt usages that the pen lacks.
 *
 * The tool huion-switcher switches the tablet to vendor mode. Pad and pen interface are then silent, and the vendor
 * interface sends everything. Its descriptor declares nothing but "88 bits". It has the tablet's full resolution, and
 * several buttons at once. huion-switcher stores the firmware's name in the udev property HUION_FIRMWARE_ID, by which
 * the driver knows the mode.
 *
 * The driver turns the pad into a tablet pad and the pen into a pen of the right size. In vendor mode it silences these
 * two, so that there are not two of each. It always turns the vendor interface into pen and pad in one.
 *
 * In vendor mode the device also reports a lifted tip while the tip is on the tablet. It does so for up to four reports
 * after the second pen button is pressed or released. The driver holds the tip down for that long, or until the device
 * itself reports that it is down.
 */
/* The longest report of the vendor interface. */
#define VENDOR_SIZE 12

#define PAD_ID HUION_KEYS_ID

/* The number of reports in which the device falsely lifts the tip. */
#define FALSE_LIFTS 4

/* Modifiers, key, and the button of the pad or the turn of the wheel that sends them. */
static const struct hidbpf_shortcut shortcuts[HIDBPF_SHORTCUTS] = {
	HIDBPF_SHORTCUT(0x00, 0x05, HUION_BUTTON(1)),  HIDBPF_SHORTCUT(0x00, 0x0c, HUION_BUTTON(2)),
	HIDBPF_SHORTCUT(0x00, 0x08, HUION_BUTTON(3)),  HIDBPF_SHORTCUT(0x01, 0x16, HUION_BUTTON(4)),
	HIDBPF_SHORTCUT(0x00, 0x2c, HUION_BUTTON(5)),  HIDBPF_SHORTCUT(0x05, 0x1d, HUION_BUTTON(6)),
	HIDBPF_SHORTCUT(0x01, 0x2d, HUION_WHEEL_DOWN), HIDBPF_SHORTCUT(0x01, 0x2e, HUION_WHEEL_UP),
};

HIDBPF_SILENT_DESCRIPTOR(silent_pad, HUION_KEYS_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_pen, HUION_PEN_SIZE);

#define WIDTH_MM 160
#define HEIGHT_MM 100

HIDBPF_DESCRIPTOR(firmware_pad, HUION_SHORTCUT_PAD(6));

/*
 * The pen's firmware mode report, unchanged. The original descriptor declares its last two bytes as a tilt, which the
 * pen does not have.
 */
HIDBPF_DESCRIPTOR(firmware_pen, HUION_FIRMWARE_PEN(WIDTH_MM, HEIGHT_MM, Padding(16)));

/* The pen's vendor mode report, unchanged. Then a byte of buttons and one of the wheel. */
HIDBPF_DESCRIPTOR(vendor,
	HUION_VENDOR_PEN(HUION_PEN_AXIS(X, 16, 32000, WIDTH_MM), HUION_PEN_AXIS(Y, 16, 20000, HEIGHT_MM),
		HUION_PEN_PRESSURE(8192)),
	HUION_PAD(PAD_ID, VENDOR_SIZE, HUION_PAD_BUTTONS(1, 6), Padding(2), HUION_PAD_WHEEL()));

HUION_RDESC_FIXUP("HUION_T21j_", {
	HUION_INTERFACE(65, silent_pad, firmware_pad);
	HUION_INTERFACE(93, silent_pen, firmware_pen);
	HUION_VENDOR_INTERFACE(18, vendor);
})

/* State from earlier reports: the pad's buttons while the wheel turns, and the pen. */
static __u8 vendor_buttons;
static struct {
	_Bool tip_was_down;
	__u8 second_button_was;
	__u8 lifts_to_ignore;
} pen;

static __always_inline int vendor_pad_event(__u8 *report)
{
	if (report[HUION_VENDOR_FLAGS] != HUION_TURN)
		vendor_buttons = report[HUION_BUTTONS];
	return huion_write(report, PAD_ID, vendor_buttons | (__u32)(__u8)huion_turn(report) << 8, 2);
}

static __always_inline int vendor_pen_event(__u8 *report)
{
	__u8 flags = report[HUION_VENDOR_FLAGS];
	__u8 second_button = flags & HUION_SECOND_BUTTON;

	if (pen.tip_was_down && second_button != pen.second_button_was)
		/* The false lifts may begin with this report. */
		pen.lifts_to_ignore = 1 + FALSE_LIFTS;
	else if (flags & HUION_TIP)
		pen.lifts_to_ignore = 0;
	if (pen.lifts_to_ignore) {
		pen.lifts_to_ignore--;
		flags |= HUION_TIP;
	}
	pen.tip_was_down = (flags & HUION_TIP) != 0;
	pen.second_button_was = second_button;
	report[HUION_VENDOR_FLAGS] = flags;
	return 0;
}

static __always_inline int pen_left(void)
{
	__builtin_memset(&pen, 0, sizeof(pen));
	return 0;
}

static __always_inline int vendor_event(__u8 *report)
{
	if (huion_of_pad(report))
		return vendor_pad_event(report);
	if (report[HUION_VENDOR_FLAGS] & HUION_IN_RANGE)
		return vendor_pen_event(report);
	return pen_left();
}

HIDBPF_INPUT_REPORT(ctx, report, HUION_KEYS_SIZE)
{
	switch (report[0]) {
	case HUION_KEYS_ID:
		return huion_shortcut_event(report, shortcuts);
	case HUION_VENDOR_ID:
		return vendor_event(report);
	}
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
