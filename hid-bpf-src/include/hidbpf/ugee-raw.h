/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw mode of tablets by UGEE, including XP-Pen's: one driver for a whole family of models.
 *
 * The driver's mode switch reads the string descriptor 100, the tablet's parameters, and sends the report 02 b0 04. The
 * interface whose descriptor has 36 bytes then sends all reports, with the id 2. The other interfaces fall silent. The
 * parameters are the udev property UGEE_STRING_100, in hex. From it the descriptor hook builds the descriptor, so that
 * a model needs only a match rule.
 *
 * Parameters, as bytes of the string descriptor (hid-uclogic-params.c). Those at 2, 4, 8 and 10 have 16 bits:
 *   2         maximum of X.
 *   4         maximum of Y.
 *   6         number of buttons.
 *   7         what else the pad has: 0 nothing, 1 a dial, 2 a dial for the mouse.
 *   8         maximum of the pressure.
 *   10        steps per inch.
 *   12        bits 16 and up of the maximum of X, if the descriptor has 14 bytes
 *
 * Reports, byte 0 is the id 2, byte 1 the flags:
 *   a0 to af  pen: bits 0 tip, 1 and 2 buttons, 3 eraser, 5 in range. 2 X, 4 Y, 6 pressure, 8 X tilt, 9 Y tilt in
 *             degrees. Reports of 12 bytes and more: 10 bits 16 and up of X, 11 those of Y.
 *   c0, 80    the pen is away
 *   f0        pad: 2 to 4 a bit for each button that is down. 7, bits 0 and 1: a step of the dial, right and left.
 *   f2, f8    battery of a wireless tablet, and that it was connected. Dropped.
 */
#ifndef HIDBPF_UGEE_RAW_H
#define HIDBPF_UGEE_RAW_H

#include <hidbpf/driver.h>

HIDBPF_UDEV_PROPERTY(UGEE_STRING_100);

/* The mode switch reads it too: without raw mode there are no parameters, unless another tool has set them. */
HIDBPF_OPTION_BOOL(raw_mode);

#define UGEE_RAW_ID 2
#define UGEE_RAW_FLAGS 1
#define UGEE_RAW_KIND 0xf0
#define UGEE_RAW_OF_PEN 0xa0
#define UGEE_RAW_OF_PAD 0xf0
#define UGEE_RAW_TIP 0x01
#define UGEE_RAW_ERASER_END 0x08
/* The tip of the eraser end, where the driver puts it. */
#define UGEE_RAW_ERASER 0x10
/* Buttons, eraser end and in range. */
#define UGEE_RAW_KEPT 0x2e

/* The shortest report that a tablet sends, and those that the driver makes of it. */
#define UGEE_RAW_SIZE 10
#define UGEE_RAW_LONG 12
#define UGEE_RAW_PEN_SIZE 12
#define UGEE_RAW_PAD_SIZE 8
#define UGEE_RAW_PAD_ID 3

/*
 * Buttons that a pad can have for libinput: BTN_0 to BTN_9, then BTN_A and up (pad_init_buttons_from_kernel(), libinput,
 * evdev-tablet-pad.c).
 */
#define UGEE_RAW_FIRST_BUTTONS 10
#define UGEE_RAW_MORE_BUTTONS 6

/* ---- Descriptors ------------------------------------------------------------------------------------------------- */

/* Places of the values that the hook writes. UgeeRawPen() begins at byte 0, and the pad follows it. */
#define UGEE_RAW_X_MAXIMUM 54
#define UGEE_RAW_WIDTH 59
#define UGEE_RAW_Y_MAXIMUM 68
#define UGEE_RAW_HEIGHT 73
#define UGEE_RAW_PRESSURE 85
#define UGEE_RAW_PEN_END 117
#define UGEE_RAW_LAST_BUTTON (UGEE_RAW_PEN_END + 51)
#define UGEE_RAW_BUTTONS (UGEE_RAW_PEN_END + 55)
#define UGEE_RAW_NO_BUTTONS (UGEE_RAW_PEN_END + 59)
#define UGEE_RAW_LAST_MORE (UGEE_RAW_PEN_END + 73)
#define UGEE_RAW_MORE (UGEE_RAW_PEN_END + 75)
#define UGEE_RAW_NO_MORE (UGEE_RAW_PEN_END + 79)

/* A value that the hook replaces. */
#define UGEE_RAW_OPEN 0x7fffffff

/*
 * 12 bytes: flags, X and Y of 24 bits, pressure of 16 bits, tilt. The kind is Pen on a display and Digitizer on a tablet
 * without one. The length of X and Y is in thousandths of an inch.
 */
#define UgeeRawPen(kind)                                                                                               \
	UsagePage(Digitizers), Usage(Digitizers, kind),                                                                \
		Collection(Application, ReportId(UGEE_RAW_ID), Usage(Digitizers, Stylus),                              \
			   Collection(Physical, Usage(Digitizers, TipSwitch), Usage(Digitizers, BarrelSwitch),         \
				      Usage(Digitizers, SecondaryBarrelSwitch), Usage(Digitizers, Invert),             \
				      Usage(Digitizers, Eraser), Usage(Digitizers, InRange), LogicalRange8(0, 1),      \
				      ReportSize(1), ReportCount(6), Input(Data, Var, Abs), Padding(2),                \
				      UsagePage(GenericDesktop), ReportSize(24), ReportCount(1), Push(), Unit(Inch),   \
				      UnitExponent(-3), Usage(GenericDesktop, X), LogicalMaximum32(UGEE_RAW_OPEN),     \
				      PhysicalMaximum32(UGEE_RAW_OPEN), Input(Data, Var, Abs),                         \
				      Usage(GenericDesktop, Y), LogicalMaximum32(UGEE_RAW_OPEN),                       \
				      PhysicalMaximum32(UGEE_RAW_OPEN), Input(Data, Var, Abs), Pop(),                  \
				      UsagePage(Digitizers), Usage(Digitizers, TipPressure),                           \
				      LogicalMaximum32(UGEE_RAW_OPEN), ReportSize(16), Input(Data, Var, Abs), Push(),  \
				      Usage(Digitizers, XTilt), Usage(Digitizers, YTilt), LogicalRange8(-60, 60),      \
				      PhysicalRange8(-60, 60), Unit(Degrees), ReportSize(8), ReportCount(2),           \
				      Input(Data, Var, Abs), Pop()))

/* 8 bytes: the marks, 24 bits of buttons, and a byte for the dial or for nothing. */
#define UgeeRawPad(...)                                                                                                \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Keypad),                                                      \
		Collection(Application, UsagePage(Digitizers), Usage(Digitizers, TabletFunctionKeys),                  \
			   Collection(Physical, ReportId(UGEE_RAW_PAD_ID), TabletPadMarks(), UsagePage(Button),        \
				      Buttons(1, UGEE_RAW_FIRST_BUTTONS), ReportSize(1),                               \
				      ReportCount(UGEE_RAW_FIRST_BUTTONS), Input(Data, Var, Abs), ReportCount(0),      \
				      Input(Const, Var, Abs), __VA_ARGS__))

/* The kernel makes BTN_A and up of the buttons of a gamepad. */
#define UgeeRawMoreButtons()                                                                                           \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Gamepad),                                                     \
		Collection(Physical, UsagePage(Button), Buttons(1, UGEE_RAW_MORE_BUTTONS),                             \
			   ReportCount(UGEE_RAW_MORE_BUTTONS), Input(Data, Var, Abs), ReportCount(0),                  \
			   Input(Const, Var, Abs)),                                                                    \
		Padding(8)
#define UgeeRawNoMoreButtons() Padding(14)
#define UgeeRawDial()                                                                                                  \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Wheel), LogicalRange8(-1, 1), ReportSize(8), ReportCount(1),  \
		Input(Data, Var, Rel)
#define UgeeRawNoDial() Padding(8)

/* ---- The parameters ---------------------------------------------------------------------------------------------- */

static __always_inline __u32 ugee_raw_digit(const unsigned int index)
{
	const __u32 character = (__u8)UDEV_PROP_UGEE_STRING_100[index];

	/* Any other character, and what is behind the end, has some value of 0 to 15. */
	return (character >= 'a' ? character - 'a' + 10 : character - '0') & 0x0f;
}

static __always_inline __u32 ugee_raw_byte(const unsigned int index)
{
	return ugee_raw_digit(2 * index) << 4 | ugee_raw_digit(2 * index + 1);
}

static __always_inline __u32 ugee_raw_le16(const unsigned int index)
{
	return ugee_raw_byte(index) | ugee_raw_byte(index + 1) << 8;
}

static __always_inline void ugee_raw_put(__u8 *bytes, __u32 value)
{
	bytes[0] = (__u8)value;
	bytes[1] = (__u8)(value >> 8);
	bytes[2] = (__u8)(value >> 16);
	bytes[3] = (__u8)(value >> 24);
}

struct ugee_raw_parameters {
	__u32 x, y, buttons, dial, pressure, density;
};

/*
 * Absurd values, which no known tablet has, become such that the tablet can be used: positions of any tablet, of an
 * unknown size.
 */
static __always_inline struct ugee_raw_parameters ugee_raw_parameters(void)
{
	struct ugee_raw_parameters found = {
		.x = ugee_raw_le16(2),
		.y = ugee_raw_le16(4),
		.buttons = ugee_raw_byte(6),
		.dial = ugee_raw_byte(7) == 1 || ugee_raw_byte(7) == 2,
		.pressure = ugee_raw_le16(8),
		.density = ugee_raw_le16(10),
	};

	/* A descriptor of 14 bytes: "0e". */
	if (ugee_raw_byte(0) >= 14)
		found.x |= ugee_raw_byte(12) << 16;
	if (!found.x || !found.y) {
		found.x = 0xffff;
		found.y = 0xffff;
		found.density = 0;
	}
	if (!found.pressure)
		found.pressure = 0x1fff;
	if (found.buttons > UGEE_RAW_FIRST_BUTTONS + UGEE_RAW_MORE_BUTTONS)
		found.buttons = UGEE_RAW_FIRST_BUTTONS + UGEE_RAW_MORE_BUTTONS;
	return found;
}

/* The fewest steps per inch that a tablet has. */
#define UGEE_RAW_LEAST_DENSITY 100

/* A length in thousandths of an inch, or 0 if it is not known. */
static __always_inline __u32 ugee_raw_length(__u32 maximum, __u32 density)
{
	return density < UGEE_RAW_LEAST_DENSITY ? 0 : (__u32)((__u64)maximum * 1000 / density);
}

/* ---- Hooks ------------------------------------------------------------------------------------------------------- */

/* Tablets set bit 13 of the pressure on top, if they have no more bits than that (the high byte of 1fff is 1f). */
#define UGEE_RAW_HIGH_BYTE_OF_MAXIMUM 9

static __always_inline __u8 ugee_raw_pressure_mask(void)
{
	return UDEV_PROP_UGEE_STRING_100[2 * UGEE_RAW_HIGH_BYTE_OF_MAXIMUM] > '1' ? 0x3f : 0x1f;
}

static __always_inline int ugee_raw_pen(__u8 *report, _Bool is_long)
{
	const __u8 flags = report[UGEE_RAW_FLAGS], x_high = is_long ? report[10] : 0, y_high = is_long ? report[11] : 0;
	const __u8 y_low = report[4], y_middle = report[5], pressure_low = report[6], pressure_high = report[7];
	const __u8 x_tilt = report[8], y_tilt = report[9];
	__u8 tip = flags & UGEE_RAW_TIP;

	if (flags & UGEE_RAW_ERASER_END)
		tip *= UGEE_RAW_ERASER;
	report[UGEE_RAW_FLAGS] = (flags & UGEE_RAW_KEPT) | tip;
	report[4] = x_high;
	report[5] = y_low;
	report[6] = y_middle;
	report[7] = y_high;
	report[8] = pressure_low;
	report[9] = pressure_high & ugee_raw_pressure_mask();
	report[10] = x_tilt;
	report[11] = y_tilt;
	return UGEE_RAW_PEN_SIZE;
}

static __always_inline int ugee_raw_pad(__u8 *report)
{
	const __u8 right = report[7] & 1, left = report[7] >> 1 & 1;
	const __u8 first = report[2], second = report[3], third = report[4];

	report[0] = UGEE_RAW_PAD_ID;
	report[1] = 0;
	report[2] = 0;
	report[3] = 0;
	report[4] = first;
	report[5] = second;
	report[6] = third;
	report[7] = right - left;
	return UGEE_RAW_PAD_SIZE;
}

/* UGEE_RAW_MODE(kind): the whole driver. */
#define UGEE_RAW_MODE(kind)                                                                                            \
	HIDBPF_DESCRIPTOR(ugee_raw_no_pad, UgeeRawPen(kind));                                                          \
	HIDBPF_DESCRIPTOR(ugee_raw_buttons, UgeeRawPen(kind), UgeeRawPad(UgeeRawNoMoreButtons(), UgeeRawNoDial()));    \
	HIDBPF_DESCRIPTOR(ugee_raw_dial, UgeeRawPen(kind), UgeeRawPad(UgeeRawNoMoreButtons(), UgeeRawDial()));         \
	HIDBPF_DESCRIPTOR(ugee_raw_many, UgeeRawPen(kind), UgeeRawPad(UgeeRawMoreButtons(), UgeeRawNoDial()));         \
	HIDBPF_DESCRIPTOR(ugee_raw_many_and_dial, UgeeRawPen(kind), UgeeRawPad(UgeeRawMoreButtons(), UgeeRawDial()));  \
	_Static_assert(sizeof(ugee_raw_no_pad) == UGEE_RAW_PEN_END, "the places are others");                          \
	_Static_assert(sizeof(ugee_raw_dial) >= UGEE_RAW_NO_BUTTONS, "the places are others");                         \
                                                                                                                       \
	static __always_inline struct hidbpf_change ugee_raw_change(const struct ugee_raw_parameters *found)           \
	{                                                                                                              \
		const _Bool is_many = found->buttons > UGEE_RAW_FIRST_BUTTONS;                                         \
                                                                                                                       \
		if (!found->buttons && !found->dial)                                                                   \
			return HIDBPF_REPLACED(ugee_raw_no_pad);                                                       \
		if (is_many)                                                                                           \
			return found->dial ? HIDBPF_REPLACED(ugee_raw_many_and_dial) : HIDBPF_REPLACED(ugee_raw_many); \
		return found->dial ? HIDBPF_REPLACED(ugee_raw_dial) : HIDBPF_REPLACED(ugee_raw_buttons);               \
	}                                                                                                              \
                                                                                                                       \
	HIDBPF_RDESC_FIXUP(ctx)                                                                                        \
	{                                                                                                              \
		struct ugee_raw_parameters found;                                                                      \
		__u32 first, more;                                                                                     \
		__u8 *bytes;                                                                                           \
		int size;                                                                                              \
                                                                                                                       \
		/* Without parameters the tablet is in firmware mode. */                                               \
		if (!option_raw_mode || UDEV_PROP_UGEE_STRING_100[0] != '0')                                           \
			return 0;                                                                                      \
		found = ugee_raw_parameters();                                                                         \
		size = hidbpf_change(ctx, ugee_raw_change(&found));                                                    \
		bytes = hid_bpf_get_data(ctx, 0, HIDBPF_CHANGE_SIZE);                                                  \
		if (size <= 0 || !bytes)                                                                               \
			return size;                                                                                   \
		ugee_raw_put(&bytes[UGEE_RAW_X_MAXIMUM], found.x);                                                     \
		ugee_raw_put(&bytes[UGEE_RAW_WIDTH], ugee_raw_length(found.x, found.density));                         \
		ugee_raw_put(&bytes[UGEE_RAW_Y_MAXIMUM], found.y);                                                     \
		ugee_raw_put(&bytes[UGEE_RAW_HEIGHT], ugee_raw_length(found.y, found.density));                        \
		ugee_raw_put(&bytes[UGEE_RAW_PRESSURE], found.pressure);                                               \
		if (size == UGEE_RAW_PEN_END)                                                                          \
			return size;                                                                                   \
		first = found.buttons < UGEE_RAW_FIRST_BUTTONS ? found.buttons : UGEE_RAW_FIRST_BUTTONS;               \
		bytes[UGEE_RAW_LAST_BUTTON] = (__u8)first;                                                             \
		bytes[UGEE_RAW_BUTTONS] = (__u8)first;                                                                 \
		bytes[UGEE_RAW_NO_BUTTONS] = (__u8)(UGEE_RAW_FIRST_BUTTONS - first);                                   \
		more = found.buttons - first;                                                                          \
		if (!more)                                                                                             \
			return size;                                                                                   \
		bytes[UGEE_RAW_LAST_MORE] = (__u8)more;                                                                \
		bytes[UGEE_RAW_MORE] = (__u8)more;                                                                     \
		bytes[UGEE_RAW_NO_MORE] = (__u8)(UGEE_RAW_MORE_BUTTONS - more);                                        \
		return size;                                                                                           \
	}                                                                                                              \
                                                                                                                       \
	HIDBPF_INPUT_EVENT(ctx)                                                                                        \
	{                                                                                                              \
		__u8 *report = hid_bpf_get_data(ctx, 0, UGEE_RAW_PEN_SIZE);                                            \
                                                                                                                       \
		if (!report || ctx->size < UGEE_RAW_SIZE || report[0] != UGEE_RAW_ID)                                  \
			return 0;                                                                                      \
		if (report[UGEE_RAW_FLAGS] == UGEE_RAW_OF_PAD)                                                         \
			return ugee_raw_pad(report);                                                                   \
		if ((report[UGEE_RAW_FLAGS] & UGEE_RAW_KIND) == UGEE_RAW_OF_PAD)                                       \
			return -EINVAL;                                                                                \
		return ugee_raw_pen(report, ctx->size >= UGEE_RAW_LONG);                                               \
	}                                                                                                              \
                                                                                                                       \
	HIDBPF_DRIVER(rdesc_fixup, device_event)

#endif
