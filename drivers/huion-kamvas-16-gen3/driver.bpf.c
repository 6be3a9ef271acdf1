// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion-kamvas.h>

/*
 * The Huion Kamvas 16 (Gen 3) (GS1563) is a pen display of 349.6 x 196.7 mm. Its pad has buttons and two wheels that
 * can be pressed. Its pen has three buttons. It has the two modes of Huion's tablets (see hidbpf/huion.h).
 *
 * In firmware mode the tablet interface is a pen and a touch screen, which the display lacks. The pen's part has the
 * defects of the Kamvas 13, and the driver repairs them. The wheel interface is a dial and a keyboard, for wheels and
 * buttons. It stays as it is, because the wheels cannot be told apart.
 *
 * In vendor mode the vendor interface sends everything, and the driver turns it into pen and pad in one. Y tilt has the
 * wrong sign there. X needs 17 bits and comes in two pieces: its highest byte follows the pressure. The driver moves
 * that byte to the rest of X.
 */
#define WIDTH 3496
#define HEIGHT 1967

KAMVAS_FIRMWARE_PEN(firmware_pen, WIDTH, HEIGHT);

/* The pen's vendor mode report, once X is in one piece. Then the pad's report as huion_wheels_event() writes it. */
HIDBPF_DESCRIPTOR(vendor,
	HUION_PEN(HUION_VENDOR_ID,
		KAMVAS_PEN_FIELDS(ReportSize(24), HUION_PEN_AXIS(X, 32, 69920, WIDTH),
				  ReportSize(16), HUION_PEN_AXIS(Y, 32, 39340, HEIGHT)),
		Padding(8),
		HUION_PEN_TILT()),
	KAMVAS_PAD(HUION_PAD_BUTTONS(1, 8)));

HUION_RDESC_FIXUP("HUION_M22d_", {
	HUION_INTERFACE_PATCHED(328, kamvas_silent_tablet, firmware_pen);
	HUION_INTERFACE_SILENCED(200, kamvas_silent_wheel);
	HUION_VENDOR_INTERFACE(36, vendor);
})

/* The device sends Y and the pressure, and then X's highest byte. The driver moves that byte in front of them. */
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
