/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that the drivers for Huion's tablets share: two modes on three interfaces, pens, pads, and the vendor
 * interface's reports.
 *
 * A tablet starts in firmware mode. Pen and pad have an interface each, with more or less wrong descriptors, and the
 * pad sends keyboard reports. The vendor interface is silent.
 *
 * The tool huion-switcher switches the tablet to vendor mode. All reports then come from the vendor interface, whose
 * descriptor gives only the number of bits. The other interfaces are silent. huion-switcher stores the firmware's name
 * in the udev property HUION_FIRMWARE_ID, and drivers know the mode by this property. If it is missing, or has the name
 * of another tablet's firmware, the tablet is in firmware mode.
 *
 * A driver therefore repairs the interfaces of firmware mode, but silences them in vendor mode, so that there are not
 * two pens and two pads. It repairs the vendor interface in both modes: this does no harm, and the mode may change
 * while the driver is attached.
 *
 * "Report" below is what the device sends. Byte 0 is its id.
 */
#ifndef HIDBPF_HUION_H
#define HIDBPF_HUION_H

#include <hidbpf/driver.h>

/* ---- The mode, and the interfaces -------------------------------------------------------------------------------- */

/*
 * HUION_RDESC_FIXUP("firmware's name", { interface; ... }) is the descriptor hook of a tablet whose interfaces differ
 * in the size of their descriptors. Write one of the macros below for each interface, with that size first.
 */
#define HUION_RDESC_FIXUP(firmware, ...)                                                                               \
	HIDBPF_UDEV_PROPERTY(HUION_FIRMWARE_ID);                                                                       \
	static __always_inline struct hidbpf_change huion_change(int descriptor_size, const _Bool huion_vendor_mode)   \
	{                                                                                                              \
		switch (descriptor_size) {                                                                             \
			__VA_ARGS__                                                                                    \
		}                                                                                                      \
		return HIDBPF_UNCHANGED();                                                                             \
	}                                                                                                              \
	HIDBPF_RDESC_FIXUP(ctx)                                                                                        \
	{                                                                                                              \
		/* One choice for each mode: the verifier follows only one of them. */                                 \
		return hidbpf_change(ctx, HIDBPF_PROPERTY_STARTS_WITH(HUION_FIRMWARE_ID, firmware) ?                   \
						  huion_change(ctx->size, 1) :                                         \
						  huion_change(ctx->size, 0));                                         \
	}

/* An interface of firmware mode: a different descriptor in each mode. */
#define HUION_INTERFACE(descriptor_size, in_vendor_mode, in_firmware_mode)                                             \
	case (descriptor_size):                                                                                        \
		return huion_vendor_mode ? HIDBPF_REPLACED(in_vendor_mode) : HIDBPF_REPLACED(in_firmware_mode)
/* An interface that is left alone in firmware mode. */
#define HUION_INTERFACE_SILENCED(descriptor_size, in_vendor_mode)                                                      \
	case (descriptor_size):                                                                                        \
		return huion_vendor_mode ? HIDBPF_REPLACED(in_vendor_mode) : HIDBPF_UNCHANGED()
/* The vendor interface. */
#define HUION_VENDOR_INTERFACE(descriptor_size, in_both_modes)                                                         \
	case (descriptor_size):                                                                                        \
		return HIDBPF_REPLACED(in_both_modes)

/* ---- Reports of pads --------------------------------------------------------------------------------------------- */

/*
 * Replaces a report of 8 bytes or more with a pad's report: its id, three bytes of marks that are never set
 * (TabletPadMarks()), and `size` bytes of the number `fields`, from the lowest on. Returns the hook's result.
 */
static __always_inline int huion_write(__u8 *report, __u8 id, __u32 fields, const int size)
{
	__u32 *words = (__u32 *)report;

	words[0] = id;
	words[1] = fields;
	return (int)sizeof(words[0]) + size;
}

/* ---- Firmware mode: a pad that sends keyboard reports ------------------------------------------------------------ */

/* The pad's report: a keyboard report. */
#define HUION_KEYS_ID 3
#define HUION_KEYS_SIZE 8
#define HUION_KEYS_MODIFIERS 1
#define HUION_KEYS_FIRST 2

/*
 * The meaning of a shortcut of the tablet's table, for pads that send one shortcut at a time: a button that is down, or
 * a turn of the wheel. It is laid out as HUION_SHORTCUT_PAD() declares: the wheel, and the number of the button.
 */
#define HUION_WHEEL_UP 0x01
#define HUION_WHEEL_DOWN 0xff
#define HUION_BUTTON(number) ((number) << 8)

/* Turns a keyboard report into a pad's report, with a table of HIDBPF_SHORTCUTS. Returns the hook's result. */
#define huion_shortcut_event(report, shortcuts)                                                                        \
	huion_write((report), HUION_KEYS_ID,                                                                           \
		    hidbpf_shortcut_button((shortcuts), (report)[HUION_KEYS_MODIFIERS], (report)[HUION_KEYS_FIRST]),   \
		    2)

/* The descriptor of such a pad, with buttons 1 to `buttons`. */
#define HUION_SHORTCUT_PAD(buttons)                                                                                    \
	HUION_PAD(HUION_KEYS_ID, HUION_KEYS_SIZE, Usage(GenericDesktop, Wheel), LogicalRange8(-1, 1), ReportCount(1),  \
		  Input(Data, Var, Rel), UsagePage(Button), Buttons(1, buttons), LogicalRange8(1, buttons),            \
		  Input(Data, Array, Abs))

/* ---- Firmware mode: the pen -------------------------------------------------------------------------------------- */

#define HUION_PEN_ID 10
#define HUION_PEN_SIZE 10
#define HUION_PEN_FLAGS 1

/* ---- Vendor mode ------------------------------------------------------------------------------------------------- */

/* The report that pen, buttons and wheels share. Older tablets send 12 bytes, newer ones 14. */
#define HUION_VENDOR_ID 8
#define HUION_VENDOR_FLAGS 1
#define HUION_TIP 0x01
#define HUION_SECOND_BUTTON 0x04
#define HUION_OF_PAD 0x20
#define HUION_IN_RANGE 0x80
/* The complete flags of a turning wheel. */
#define HUION_TURN 0xf1

/* In a report of a turning wheel: which wheel, 1 or 2, and its direction, 1 or 2. */
#define HUION_TURN_WHEEL 3
#define HUION_TURN_WHEELS 3
#define HUION_TURN_DIRECTION 5
#define HUION_BACKWARDS 2

/* In other reports of a pad: a bit for each button. */
#define HUION_BUTTONS 4

/* Returns true if a report is from the pad or a wheel. The report must have the id HUION_VENDOR_ID. */
static __always_inline _Bool huion_of_pad(const __u8 *report)
{
	return (report[HUION_VENDOR_FLAGS] & HUION_OF_PAD) != 0;
}

/* Returns how far a wheel turns. The result is 0 for a report of buttons. */
static __always_inline __s8 huion_turn(const __u8 *report)
{
	if (report[HUION_VENDOR_FLAGS] != HUION_TURN)
		return 0;
	return report[HUION_TURN_DIRECTION] == HUION_BACKWARDS ? -1 : (__s8)report[HUION_TURN_DIRECTION];
}

/*
 * Turns a pad's report into that of a pad with two wheels: the buttons that are down now, and a byte for each wheel.
 * Returns the hook's result. The descriptor is HUION_PAD_BUTTONS(), padding to 8 bits, HUION_PAD_WHEELS().
 */
static __always_inline int huion_wheels_event(__u8 *report, __u8 id, __u8 buttons)
{
	/* Shifts reports of buttons too, which saves a branch: huion_turn() returns 0 for them. */
	const int place = 8 * (report[HUION_TURN_WHEEL] & HUION_TURN_WHEELS);

	return huion_write(report, id, buttons | (__u32)(__u8)huion_turn(report) << place, 3);
}

/* ---- Descriptors of pens ----------------------------------------------------------------------------------------- */

/* The pen of firmware mode: its size in millimetres, and the fields of bytes 8 and 9. */
#define HUION_FIRMWARE_PEN(width, height, ...)                                                                         \
	HUION_PEN(HUION_PEN_ID, HUION_PEN_TWO_BUTTONS(),                                                               \
		  HUION_PEN_AREA(Centimeter, -1, HUION_PEN_AXIS(X, 16, 32767, width),                                  \
				 HUION_PEN_AXIS(Y, 16, 32767, height)),                                                \
		  HUION_PEN_PRESSURE(8191), __VA_ARGS__)

/* The pen of vendor mode: its axes in millimetres, and the fields from byte 6 on. */
#define HUION_VENDOR_PEN(x_axis, y_axis, ...)                                                                          \
	HUION_PEN(HUION_VENDOR_ID, HUION_PEN_TWO_BUTTONS(), HUION_PEN_AREA(Centimeter, -1, x_axis, y_axis), __VA_ARGS__)

/* A pen's collection: HUION_PEN(id, fields...). */
#define HUION_PEN(id, ...)                                                                                             \
	UsagePage(Digitizers), Usage(Digitizers, Pen),                                                                 \
		Collection(Application, ReportId(id), Usage(Digitizers, Pen), Collection(Physical, __VA_ARGS__))

/* Byte 1: tip, first and second button, and in bit 7 whether the pen is in range. */
#define HUION_PEN_TWO_BUTTONS() HUION_PEN_SWITCHES(), ReportCount(4), Input(Const, Var, Abs), HUION_PEN_NEAR()

#define HUION_PEN_SWITCHES()                                                                                           \
	UsagePage(Digitizers), Usage(Digitizers, TipSwitch), Usage(Digitizers, BarrelSwitch),                          \
		Usage(Digitizers, SecondaryBarrelSwitch), LogicalRange8(0, 1), ReportSize(1), ReportCount(3),          \
		Input(Data, Var, Abs)
#define HUION_PEN_NEAR() Usage(Digitizers, InRange), ReportCount(1), Input(Data, Var, Abs)

/*
 * X and Y, 16 bits each unless the axes differ: HUION_PEN_AREA(unit, power of ten, axis, axis). Push and Pop confine
 * the unit to these fields. An axis gives the width of the number that its maximum needs, and its length in that unit.
 */
#define HUION_PEN_AREA(unit, power, ...)                                                                               \
	UsagePage(GenericDesktop), ReportSize(16), Push(), Unit(unit), UnitExponent(power), __VA_ARGS__, Pop()
#define HUION_PEN_AXIS(axis, width, maximum, length)                                                                   \
	Usage(GenericDesktop, axis), LogicalRange##width(0, maximum), PhysicalRange16(0, length), Input(Data, Var, Abs)

/* 16 bits. */
#define HUION_PEN_PRESSURE(maximum)                                                                                    \
	UsagePage(Digitizers), Usage(Digitizers, TipPressure), LogicalRange16(0, maximum), Input(Data, Var, Abs)

/* Two bytes, in degrees: X, then Y. */
#define HUION_PEN_TILT()                                                                                               \
	Push(), Usage(Digitizers, XTilt), Usage(Digitizers, YTilt), LogicalRange8(-60, 60), PhysicalRange8(-60, 60),   \
		Unit(Degrees), ReportSize(8), ReportCount(2), Input(Data, Var, Abs), Pop()

/* ---- Descriptors of pads ----------------------------------------------------------------------------------------- */

/* A pad's collection: HUION_PAD(id, bytes of the longest report that the device sends, fields from byte 4 on...). */
#define HUION_PAD(id, bytes, ...)                                                                                      \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Keypad),                                                      \
		Collection(Application, UsagePage(Digitizers), Usage(Digitizers, TabletFunctionKeys),                  \
			   Collection(Physical, ReportId(id), TabletPadMarks(), __VA_ARGS__), UsagePage(VendorFFFF),   \
			   Usage8(0x01), Collection(Physical, HIDBPF_SILENT_FIELD(bytes)))

/* A bit for each button. */
#define HUION_PAD_BUTTONS(first, last)                                                                                 \
	UsagePage(Button), Buttons(first, last), ReportSize(1), ReportCount((last) - (first) + 1), Input(Data, Var, Abs)

/* A byte for a wheel, and another for a second wheel. Leaves logical -1 to 1. */
#define HUION_PAD_WHEEL()                                                                                              \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Wheel), LogicalRange8(-1, 1), ReportSize(8), ReportCount(1),  \
		Input(Data, Var, Rel)
#define HUION_PAD_WHEELS() HUION_PAD_WHEEL(), UsagePage(Consumer), Usage(Consumer, ACPan), Input(Data, Var, Rel)

#endif
