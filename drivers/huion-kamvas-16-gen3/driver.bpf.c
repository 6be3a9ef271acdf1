// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion-kamvas.h>

/*
 * The Huion Kamvas 16 (Gen 3) (GS1563) is a pen display of 349.6 x 196.7 mm with buttons and two wheels that can be pressed on its
 * pad, and a pen with three buttons. It has two modes, as Huion's tablets do (see hidbpf/huion.h).
 *
 * In firmware mode the tablet interface is pen and touch screen, which the display doesn't have. What is wrong with the pen's part is
 * what is wrong with that of the Kamvas 13, and is mended. The wheel interface is a dial and a keyboard, for wheels and buttons, and
 * stays as it is: the wheels can't be told apart.
 *
 * In vendor mode the vendor interface has it all, and becomes pen and pad in one. Tilt along Y comes the wrong way round there, and X,
 * which needs 17 bits, in two pieces: its highest byte is after the pressure. It is moved to where it belongs.
 */
#define WIDTH 3496
#define HEIGHT 1967

KAMVAS_FIRMWARE_PEN(firmware_pen, WIDTH, HEIGHT);

/* The pen's report in vendor mode once X is in one piece, and what huion_wheels_event() makes of the pad's. */
HIDBPF_DESCRIPTOR(vendor,
	HUION_PEN(HUION_VENDOR_ID,
		KAMVAS_PEN_FIELDS(ReportSize(24), HUION_PEN_AXIS(X, 32, 69920, WIDTH),
				  ReportSize(16), HUION_PEN_AXIS(Y, 32, 39340, HEIGHT)),
		Padding(8),
		HUION_PEN_TILT()),
	KAMVAS_PAD(HUION_PAD_BUTTONS(1, 8)));

HUION_RDESC_FIXUP("HUION_M22d_",
	HUION_INTERFACE_PATCHED(328, kamvas_silent_tablet, firmware_pen);
	HUION_INTERFACE_SILENCED(200, kamvas_silent_wheel);
	HUION_VENDOR_INTERFACE(36, vendor);
)

/* Where Y and pressure come, and X's highest byte after them; in front of them is where it belongs. */
#define Y_LOW 4
#define PRESSURE_HIGH 7
#define X_HIGHEST 8

static __always_inline int pen_event(__u8 *report)
{
	__u8 x_highest = report[X_HIGHEST];

#pragma clang loop unroll(full)
	for (int i = PRESSURE_HIGH; i >= Y_LOW; i--)
		report[i + 1] = report[i];
	report[Y_LOW] = x_highest;
	return kamvas_pen_event(report);
}

KAMVAS_INPUT_EVENT(pen_event)

HIDBPF_DRIVER(rdesc_fixup, device_event);
