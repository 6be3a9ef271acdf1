/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Huion's tablets have in common: two modes on three interfaces, pens, pads, and what the vendor interface sends.
 *
 * In firmware mode, the one that a tablet starts in, pen and pad have an interface each, with descriptors that are more or less wrong,
 * and the pad poses as a keyboard. The vendor interface is silent.
 *
 * In vendor mode, which the tool huion-switcher asks for, all comes from the vendor interface, of which the descriptor says nothing
 * but how many bits there are. The other interfaces are silent. huion-switcher leaves the firmware's name in the udev property
 * HUION_FIRMWARE_ID, by which a driver knows the mode: without it, or with the name of another tablet's firmware, firmware mode it is.
 *
 * A driver therefore mends the interfaces of firmware mode, but makes them silent in vendor mode, so that there aren't two pens and
 * two pads. The vendor interface is mended in both: it does no harm there, and the mode may change while the driver is attached.
 *
 * "Report" below is what the device sends. Byte 0 is its id.
 */
#ifndef HIDBPF_HUION_H
#define HIDBPF_HUION_H

#include <hidbpf/driver.h>

/* ---- The mode, and what becomes of each interface ------------------------------------------------------------------------- */

/*
 * HUION_RDESC_FIXUP("firmware's name", interface; ...) is the descriptor hook of a tablet whose interfaces are told apart by the
 * size of their descriptors: one of the macros below for each, with that size first.
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
		/* A choice for each mode: the verifier looks at one of them alone. */                                 \
		return hidbpf_change(ctx, HIDBPF_PROPERTY_STARTS_WITH(HUION_FIRMWARE_ID, firmware) ?                   \
						  huion_change(ctx->size, 1) :                                         \
						  huion_change(ctx->size, 0));                                         \
	}

/* An interface of firmware mode: another descriptor in each mode. */
#define HUION_INTERFACE(descriptor_size, in_vendor_mode, in_firmware_mode)                                             \
	case (descriptor_size):                                                                                        \
		return huion_vendor_mode ? HIDBPF_REPLACED(in_vendor_mode) : HIDBPF_REPLACED(in_firmware_mode)
/* One of which a part is overwritten, from its first byte on, in firmware mode. */
#define HUION_INTERFACE_PATCHED(descriptor_size, in_vendor_mode, firmware_mode_part)                                   \
	case (descriptor_size):;                                                                                       \
		_Static_assert(sizeof(firmware_mode_part) <= (descriptor_size), "longer than the descriptor");         \
		return huion_vendor_mode ? HIDBPF_REPLACED(in_vendor_mode) : HIDBPF_OVERWRITTEN(0, firmware_mode_part)
/* One that is left alone in firmware mode. */
#define HUION_INTERFACE_SILENCED(descriptor_size, in_vendor_mode)                                                      \
	case (descriptor_size):                                                                                        \
		return huion_vendor_mode ? HIDBPF_REPLACED(in_vendor_mode) : HIDBPF_UNCHANGED()
/* The vendor interface. */
#define HUION_VENDOR_INTERFACE(descriptor_size, in_both_modes)                                                         \
	case (descriptor_size):                                                                                        \
		return HIDBPF_REPLACED(in_both_modes)

/* ---- What pads are made to send ------------------------------------------------------------------------------------------- */

/*
 * Puts a pad's report in the place of one of 8 bytes or more: its id, three bytes of marks that are never set (TabletPadMarks()), and
 * `size` bytes of the number `fields`, from the lowest on. What the hook is to return.
 */
static __always_inline int huion_write(__u8 *report, __u8 id, __u32 fields, const int size)
{
	__u32 *words = (__u32 *)report;

	words[0] = id;
	words[1] = fields;
	return (int)sizeof(words[0]) + size;
}

/* ---- Firmware mode: a pad that poses as a keyboard ------------------------------------------------------------------------ */

/* Its report: a keyboard's. */
#define HUION_KEYS_ID 3
#define HUION_KEYS_SIZE 8
#define HUION_KEYS_MODIFIERS 1
#define HUION_KEYS_FIRST 2

/*
 * What a shortcut of the tablet's table stands for, where it sends one shortcut at a time: a button that is down, or a turn of the
 * wheel. It is what HUION_SHORTCUT_PAD() declares: the wheel, and the number of the button.
 */
#define HUION_WHEEL_UP 0x01
#define HUION_WHEEL_DOWN 0xff
#define HUION_BUTTON(number) ((number) << 8)

/* Turns a report into a pad's, by a table of HIDBPF_SHORTCUTS. What the hook is to return. */
#define huion_shortcut_event(report, shortcuts)                                                                        \
	huion_write((report), HUION_KEYS_ID,                                                                           \
		    hidbpf_shortcut_button((shortcuts), (report)[HUION_KEYS_MODIFIERS], (report)[HUION_KEYS_FIRST]), 2)

/* The descriptor of such a pad, with buttons 1 to `buttons`. */
#define HUION_SHORTCUT_PAD(buttons)                                                                                    \
	HUION_PAD(HUION_KEYS_ID, HUION_KEYS_SIZE, Usage(GenericDesktop, Wheel), LogicalRange8(-1, 1), ReportCount(1),  \
		  Input(Data, Var, Rel), UsagePage(Button), Buttons(1, buttons), LogicalRange8(1, buttons),            \
		  Input(Data, Array, Abs))

/* ---- Firmware mode: the pen ----------------------------------------------------------------------------------------------- */

#define HUION_PEN_ID 10
#define HUION_PEN_SIZE 10
#define HUION_PEN_FLAGS 1

/* ---- Vendor mode ---------------------------------------------------------------------------------------------------------- */

/* The report that pen, buttons and wheels share. It has 12 bytes on older tablets, 14 on newer ones. */
#define HUION_VENDOR_ID 8
#define HUION_VENDOR_FLAGS 1
#define HUION_TIP 0x01
#define HUION_SECOND_BUTTON 0x04
#define HUION_OF_PAD 0x20
#define HUION_IN_RANGE 0x80
/* The flags of a wheel that turns, as a whole. */
#define HUION_TURN 0xf1

/* Where a wheel turns: which one, 1 or 2, and its direction, 1 or 2. */
#define HUION_TURN_WHEEL 3
#define HUION_TURN_WHEELS 3
#define HUION_TURN_DIRECTION 5
#define HUION_BACKWARDS 2

/* In other reports of a pad: a bit for each button. */
#define HUION_BUTTONS 4

/* Whether a report is of pad or wheel. It must be of HUION_VENDOR_ID. */
static __always_inline _Bool huion_of_pad(const __u8 *report)
{
	return (report[HUION_VENDOR_FLAGS] & HUION_OF_PAD) != 0;
}

/* How far a wheel turns: 0 in a report of buttons, which then are in the report. */
static __always_inline __s8 huion_turn(const __u8 *report)
{
	if (report[HUION_VENDOR_FLAGS] != HUION_TURN)
		return 0;
	return report[HUION_TURN_DIRECTION] == HUION_BACKWARDS ? -1 : (__s8)report[HUION_TURN_DIRECTION];
}

/*
 * Turns a pad's report into that of a pad with two wheels: the buttons that are down now, and a byte for each wheel. What the hook is
 * to return. Its descriptor: HUION_PAD_BUTTONS(), padding to 8 bits, HUION_PAD_WHEELS().
 */
static __always_inline int huion_wheels_event(__u8 *report, __u8 id, __u8 buttons)
{
	/* Without asking which wheel, of which there is none in a report of buttons. */
	const int place = 8 * (report[HUION_TURN_WHEEL] & HUION_TURN_WHEELS);

	return huion_write(report, id, buttons | (__u32)(__u8)huion_turn(report) << place, 3);
}

/* ---- Descriptors of pens -------------------------------------------------------------------------------------------------- */

/* The pen of firmware mode: its size in millimetres, and what bytes 8 and 9 are. */
#define HUION_FIRMWARE_PEN(width, height, ...)                                                                         \
	HUION_PEN(HUION_PEN_ID, HUION_PEN_TWO_BUTTONS(),                                                               \
		  HUION_PEN_AREA(Centimeter, -1, HUION_PEN_AXIS(X, 16, 32767, width),                                  \
				 HUION_PEN_AXIS(Y, 16, 32767, height)),                                                \
		  HUION_PEN_PRESSURE(8191), __VA_ARGS__)

/* The pen of vendor mode: its axes in millimetres, and what bytes 6 and up are. */
#define HUION_VENDOR_PEN(x_axis, y_axis, ...)                                                                          \
	HUION_PEN(HUION_VENDOR_ID, HUION_PEN_TWO_BUTTONS(), HUION_PEN_AREA(Centimeter, -1, x_axis, y_axis), __VA_ARGS__)

/* A pen's collection: HUION_PEN(id, fields...). */
#define HUION_PEN(id, ...)                                                                                             \
	UsagePage(Digitizers), Usage(Digitizers, Pen),                                                                 \
		Collection(Application, ReportId(id), Usage(Digitizers, Pen), Collection(Physical, __VA_ARGS__))

/* Byte 1: tip, first and second button, and in bit 7 whether the pen is near. */
#define HUION_PEN_TWO_BUTTONS() HUION_PEN_SWITCHES(), ReportCount(4), Input(Const, Var, Abs), HUION_PEN_NEAR()

/* The same with a third button in bit 3. */
#define HUION_PEN_THREE_BUTTONS()                                                                                      \
	HUION_PEN_SWITCHES(), UsagePage(Button), Usage8(HUION_STYLUS3), ReportCount(1), Input(Data, Var, Abs),         \
		ReportCount(3), Input(Const, Var, Abs), UsagePage(Digitizers), HUION_PEN_NEAR()

/* The usage of page Button that Linux makes BTN_STYLUS3 of. The Digitizers page has no third barrel switch. */
#define HUION_STYLUS3 0x4a

#define HUION_PEN_SWITCHES()                                                                                           \
	UsagePage(Digitizers), Usage(Digitizers, TipSwitch), Usage(Digitizers, BarrelSwitch),                          \
		Usage(Digitizers, SecondaryBarrelSwitch), LogicalRange8(0, 1), ReportSize(1), ReportCount(3),          \
		Input(Data, Var, Abs)
#define HUION_PEN_NEAR() Usage(Digitizers, InRange), ReportCount(1), Input(Data, Var, Abs)

/*
 * X and Y, 16 bits each if the axes don't say otherwise: HUION_PEN_AREA(unit, power of ten, axis, axis). Push and Pop keep the unit
 * from what follows. An axis says how wide the number is that its maximum needs, and its length in that unit.
 */
#define HUION_PEN_AREA(unit, power, ...)                                                                               \
	UsagePage(GenericDesktop), ReportSize(16), Push(), Unit(unit), UnitExponent(power), __VA_ARGS__, Pop()
#define HUION_PEN_AXIS(axis, width, maximum, length)                                                                   \
	Usage(GenericDesktop, axis), LogicalRange##width(0, maximum), PhysicalRange16(0, length), Input(Data, Var, Abs)

/* 16 bits. */
#define HUION_PEN_PRESSURE(maximum)                                                                                    \
	UsagePage(Digitizers), Usage(Digitizers, TipPressure), LogicalRange16(0, maximum), Input(Data, Var, Abs)

/* Two bytes of degrees: X, then Y. */
#define HUION_PEN_TILT()                                                                                               \
	Push(), Usage(Digitizers, XTilt), Usage(Digitizers, YTilt), LogicalRange8(-60, 60), PhysicalRange8(-60, 60),   \
		Unit(Degrees), ReportSize(8), ReportCount(2), Input(Data, Var, Abs), Pop()

/* ---- Descriptors of pads -------------------------------------------------------------------------------------------------- */

/* A pad's collection: HUION_PAD(id, bytes of the longest report that the device sends, fields from byte 4 on...). */
#define HUION_PAD(id, bytes, ...)                                                                                      \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Keypad),                                                      \
		Collection(Application, UsagePage(Digitizers), Usage(Digitizers, TabletFunctionKeys),                  \
			   Collection(Physical, ReportId(id), TabletPadMarks(), __VA_ARGS__), UsagePage(VendorFFFF),   \
			   Usage8(0x01), Collection(Physical, HIDBPF_SILENT_FIELD(bytes)))

/* A bit for each button. */
#define HUION_PAD_BUTTONS(first, last)                                                                                 \
	UsagePage(Button), Buttons(first, last), ReportSize(1), ReportCount((last) - (first) + 1), Input(Data, Var, Abs)

/* A byte for a wheel, and one more for a second. Leaves logical -1 to 1. */
#define HUION_PAD_WHEEL()                                                                                              \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Wheel), LogicalRange8(-1, 1), ReportSize(8), ReportCount(1),  \
		Input(Data, Var, Rel)
#define HUION_PAD_WHEELS() HUION_PAD_WHEEL(), UsagePage(Consumer), Usage(Consumer, ACPan), Input(Data, Var, Rel)

#endif
