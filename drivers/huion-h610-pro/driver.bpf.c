// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion.h>

/*
 * The Huion H610 Pro is a tablet of 10 x 6.25 inches with eight buttons on its pad. Its pen has two buttons and no
 * eraser. It shares its ids with many other Huion tablets.
 *
 * In firmware mode it is a keyboard on one interface, and a mouse and a pen of 2048 steps on another. These have no
 * known defects and stay as they are.
 *
 * The tool huion-switcher switches the tablet to vendor mode. The two interfaces are then silent, and a third interface
 * sends pen and pad. Its descriptor declares that the pen can be turned around, and does not declare the pad. The pen's
 * report has a bit that is 0 while the pen is in range. The pad's buttons come in a report of the pen.
 *
 * The driver turns the third interface into pen and pad in one, each with its own report, and inverts the bit. The
 * manifest matches this interface by the tablet's measures in its descriptor. It matches the other two by the measures
 * that huion-switcher stores in the udev property HUION_MAGIC_BYTES.
 */

/* The longest reports of the keyboard and the mouse interface. */
#define KEYBOARD_SIZE 8
#define MOUSE_SIZE 8

/* The report of the third interface. */
#define PEN_ID 7
#define PEN_SIZE 8
#define OUT_OF_RANGE 0x40

/* The report that the driver sends for the pad. */
#define PAD_ID 10
struct pad_report {
	__u8 id;
	__u8 marks[3];
	/* A bit for each button. */
	__u8 buttons;
};

HIDBPF_SILENT_DESCRIPTOR(silent_keyboard, KEYBOARD_SIZE);
HIDBPF_SILENT_DESCRIPTOR(silent_mouse, MOUSE_SIZE);

/* The pen's report, with X and Y in 4000 steps an inch, and struct pad_report. */
HIDBPF_DESCRIPTOR(vendor,
	UsagePage(Digitizers),
	Usage(Digitizers, Digitizer),
	Collection(Application,
		ReportId(PEN_ID),
		Usage(Digitizers, Stylus),
		Collection(Physical,
			HUION_PEN_SWITCHES(),
			Input(Const, Var, Abs),
			HUION_PEN_NEAR(),
			Input(Const, Var, Abs),
			HUION_PEN_AREA(Inch, -3, HUION_PEN_AXIS(X, 32, 40000, 10000), HUION_PEN_AXIS(Y, 16, 25000, 6250)),
			HUION_PEN_PRESSURE(2047))),
	HUION_PAD(PAD_ID, PEN_SIZE, HUION_PAD_BUTTONS(1, 8)));

HUION_RDESC_FIXUP("HVAN", {
	HUION_INTERFACE_SILENCED(92, silent_keyboard);
	HUION_INTERFACE_SILENCED(244, silent_mouse);
	HUION_VENDOR_INTERFACE(179, vendor);
})

HIDBPF_INPUT_REPORT(ctx, report, PEN_SIZE)
{
	if (report[0] != PEN_ID)
		return 0;
	if (huion_of_pad(report)) {
		*(struct pad_report *)report = (struct pad_report){.id = PAD_ID, .buttons = report[HUION_BUTTONS]};
		return sizeof(struct pad_report);
	}
	report[HUION_VENDOR_FLAGS] ^= OUT_OF_RANGE;
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
