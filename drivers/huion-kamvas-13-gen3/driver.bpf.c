// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion-kamvas.h>

/*
 * The Huion Kamvas 13 (Gen 3) (GS1333) is a pen display of 293.8 x 165.2 mm. Its pad has five buttons and two wheels
 * that can be pressed. Its pen has three buttons. It has the two modes of Huion's tablets (see hidbpf/huion.h).
 *
 * In firmware mode the tablet interface is a pen, a touch screen (which the display lacks) and a keyboard for the five
 * buttons. The pen's part of the descriptor has several defects. It declares the second button as a second tip and the
 * third as a switch that turns the pen around. It also declares a size of 2048 cubic inches and tilt up to 90 degrees.
 * The driver repairs these. The wheel interface is a dial that Linux ignores, for both wheels and both of their
 * buttons. They cannot be told apart and stay as they are.
 *
 * In vendor mode the vendor interface sends everything, and the driver turns it into pen and pad in one. Y tilt has the
 * wrong sign there.
 */
#define WIDTH 2938
#define HEIGHT 1652

KAMVAS_FIRMWARE_PEN(firmware_pen, WIDTH, HEIGHT);

/* The pen's vendor mode report, unchanged. Then the pad's report as huion_wheels_event() writes it. */
HIDBPF_DESCRIPTOR(vendor,
	HUION_PEN(HUION_VENDOR_ID,
		KAMVAS_PEN_FIELDS(HUION_PEN_AXIS(X, 32, 58760, WIDTH), HUION_PEN_AXIS(Y, 32, 33040, HEIGHT)),
		Padding(16),
		HUION_PEN_TILT()),
	KAMVAS_PAD(HUION_PAD_BUTTONS(1, 7), Padding(1)));

HUION_RDESC_FIXUP("HUION_M22c_", {
	HUION_INTERFACE_PATCHED(368, kamvas_silent_tablet, firmware_pen);
	HUION_INTERFACE_SILENCED(108, kamvas_silent_wheel);
	HUION_VENDOR_INTERFACE(36, vendor);
})

KAMVAS_INPUT_EVENT(kamvas_pen_event)

HIDBPF_DRIVER(rdesc_fixup, device_event);
