// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion-kamvas.h>

/*
 * The Huion Kamvas 13 (Gen 3) (GS1333) is a pen display of 293.8 x 165.2 mm with five buttons and two wheels that can be pressed on
 * its pad, and a pen with three buttons. It has two modes, as Huion's tablets do (see hidbpf/huion.h).
 *
 * In firmware mode the tablet interface is pen, touch screen (which the display doesn't have) and a keyboard for the five buttons. The
 * pen's part says that the second button is a second tip, that the third turns the pen around, that the display has 2048 cubic inches,
 * and that tilt goes to 90 degrees. That is mended. The wheel interface is a dial of a kind that Linux makes nothing of, for both wheels
 * and both of their buttons: they can't be told apart, and stay as they are.
 *
 * In vendor mode the vendor interface has it all, and becomes pen and pad in one. Tilt along Y comes the wrong way round there.
 */
#define WIDTH 2938
#define HEIGHT 1652

KAMVAS_FIRMWARE_PEN(firmware_pen, WIDTH, HEIGHT);

/* The pen's report in vendor mode as it comes, and what huion_wheels_event() makes of the pad's. */
HIDBPF_DESCRIPTOR(vendor,
	HUION_PEN(HUION_VENDOR_ID,
		KAMVAS_PEN_FIELDS(HUION_PEN_AXIS(X, 32, 58760, WIDTH), HUION_PEN_AXIS(Y, 32, 33040, HEIGHT)),
		Padding(16),
		HUION_PEN_TILT()),
	KAMVAS_PAD(HUION_PAD_BUTTONS(1, 7), Padding(1)));

HUION_RDESC_FIXUP("HUION_M22c_",
	HUION_INTERFACE_PATCHED(368, kamvas_silent_tablet, firmware_pen);
	HUION_INTERFACE_SILENCED(108, kamvas_silent_wheel);
	HUION_VENDOR_INTERFACE(36, vendor);
)

KAMVAS_INPUT_EVENT(kamvas_pen_event)

HIDBPF_DRIVER(rdesc_fixup, device_event);
