/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Drawing tablets by parameters: one descriptor and one set of reports for all models of a family.
 *
 * A driver fills in struct hidbpf_tablet from what the tablet tells of itself, or from the values of its match rule. The
 * descriptor hook is then hidbpf_tablet_fixup(). The event hook takes the device's report apart, and returns one of
 * hidbpf_tablet_pen(), hidbpf_tablet_buttons(), hidbpf_tablet_dial() and hidbpf_tablet_touch(), which write the report
 * that the descriptor declares. Each kind has a report id of its own, so that no hook needs to remember another kind's
 * state.
 */
#ifndef HIDBPF_TABLET_H
#define HIDBPF_TABLET_H

#include <hidbpf/driver.h>
#include <hidbpf/values.h>

/* Also the values of match rules: `pen-buttons` of driver.toml is pen_buttons here. */
struct hidbpf_tablet {
	/* Maximum of X and Y. */
	__u32 x, y;
	/* The size, as steps per inch, or else as width and height in thousandths of an inch. If all are 0, it is unknown. */
	__u32 density, width, height;
	/* Maximum of the pressure. */
	__u32 pressure;
	/* The number of buttons of the pad, HIDBPF_TABLET_BUTTONS at most. */
	__u32 buttons;
	/* The number of dials, which turn without end: 0 to 2. */
	__u32 dials;
	/* The number of positions of a touch ring or of a touch strip. 0: there is none. */
	__u32 ring, strip;
	/* The number of buttons of the pen: 3 for a third one. Else it has two. */
	__u32 pen_buttons;
	/* Whether the pen has tilt and an eraser end, and whether the tablet is a display. */
	__u32 tilt, eraser, display;
};

/* Report ids. */
#define HIDBPF_TABLET_PEN_ID 2
#define HIDBPF_TABLET_BUTTONS_ID 3
/* Dials, if the device reports their steps without its buttons. The kernel takes a dial from one report only. */
#define HIDBPF_TABLET_DIAL_ID 4
#define HIDBPF_TABLET_TOUCH_ID 5

/* The longest report that any hook reads or writes, and the longest that a tablet sends, in bytes. */
#define HIDBPF_TABLET_SIZE 12
#define HIDBPF_TABLET_LONGEST 16

/*
 * Buttons that a pad can have for libinput: BTN_0 to BTN_9, then BTN_A and up (pad_init_buttons_from_kernel(), libinput,
 * evdev-tablet-pad.c). The kernel makes BTN_A and up of the buttons of a gamepad.
 */
#define HIDBPF_TABLET_FIRST_BUTTONS 10
#define HIDBPF_TABLET_MORE_BUTTONS 6
#define HIDBPF_TABLET_BUTTONS (HIDBPF_TABLET_FIRST_BUTTONS + HIDBPF_TABLET_MORE_BUTTONS)

/* ---- The descriptor ---------------------------------------------------------------------------------------------- */

/*
 * The descriptor of a tablet that has everything, in parts. Each part ends with a byte, or a value of four bytes, that
 * the hook overwrites: a place is the size of the parts before it. A field that a tablet does not have becomes a
 * constant, and the kernel ignores constants.
 */
#define HID__TABLET_OPEN 0x7fffffff
#define HID__TABLET_KIND UsagePage(Digitizers), Usage(Digitizers, Digitizer)
#define HID__TABLET_ERASER                                                                                             \
	HID__TABLET_KIND, CollectionBegin(Application), ReportId(HIDBPF_TABLET_PEN_ID), Usage(Digitizers, Stylus),     \
		CollectionBegin(Physical), Usage(Digitizers, TipSwitch), Usage(Digitizers, BarrelSwitch),              \
		Usage(Digitizers, SecondaryBarrelSwitch), LogicalRange8(0, 1), ReportSize(1), ReportCount(3),          \
		Input(Data, Var, Abs), Usage(Digitizers, Invert), Usage(Digitizers, Eraser), ReportCount(2),           \
		Input(Data, Var, Abs)
/* The usage of page Button that the kernel maps to BTN_STYLUS3. The Digitizers page has no third barrel switch. */
#define HID__TABLET_STYLUS3                                                                                            \
	HID__TABLET_ERASER, Usage(Digitizers, InRange), ReportCount(1), Input(Data, Var, Abs), UsagePage(Button),      \
		Usage8(0x4a), Input(Data, Var, Abs)
#define HID__TABLET_X                                                                                                  \
	HID__TABLET_STYLUS3, Padding(1), UsagePage(GenericDesktop), ReportSize(24), Push(), Unit(Inch),                \
		UnitExponent(-3), Usage(GenericDesktop, X), LogicalMaximum32(HID__TABLET_OPEN)
#define HID__TABLET_WIDTH HID__TABLET_X, PhysicalMaximum32(HID__TABLET_OPEN)
#define HID__TABLET_Y                                                                                                  \
	HID__TABLET_WIDTH, Input(Data, Var, Abs), Usage(GenericDesktop, Y), LogicalMaximum32(HID__TABLET_OPEN)
#define HID__TABLET_HEIGHT HID__TABLET_Y, PhysicalMaximum32(HID__TABLET_OPEN)
#define HID__TABLET_PRESSURE                                                                                           \
	HID__TABLET_HEIGHT, Input(Data, Var, Abs), Pop(), UsagePage(Digitizers), Usage(Digitizers, TipPressure),       \
		LogicalMaximum32(HID__TABLET_OPEN)
#define HID__TABLET_TILT                                                                                               \
	HID__TABLET_PRESSURE, ReportSize(16), Input(Data, Var, Abs), Usage(Digitizers, XTilt),                         \
		Usage(Digitizers, YTilt), LogicalRange8(-60, 60), PhysicalRange8(-60, 60), Unit(Degrees),              \
		ReportSize(8), ReportCount(2), Input(Data, Var, Abs)
/* The kernel's buffers stay as long as the device's reports. */
#define HID__TABLET_PEN                                                                                                \
	HID__TABLET_TILT, CollectionEnd(), UsagePage16(0xffff), Usage8(0x01),                                          \
		Collection(Physical, HIDBPF_SILENT_FIELD(HIDBPF_TABLET_LONGEST)), CollectionEnd()

#define HID__TABLET_LAST_BUTTON                                                                                        \
	HID__TABLET_PEN, UsagePage(GenericDesktop), Usage(GenericDesktop, Keypad), CollectionBegin(Application),       \
		UsagePage(Digitizers), Usage(Digitizers, TabletFunctionKeys), CollectionBegin(Physical),               \
		ReportId(HIDBPF_TABLET_BUTTONS_ID), Unit(None), PhysicalRange8(0, 0), TabletPadMarks(),                \
		UsagePage(Button), Buttons(1, HIDBPF_TABLET_FIRST_BUTTONS)
#define HID__TABLET_COUNT HID__TABLET_LAST_BUTTON, ReportSize(1), ReportCount(HIDBPF_TABLET_FIRST_BUTTONS)
#define HID__TABLET_FIRST HID__TABLET_COUNT, Input(Data, Var, Abs)
#define HID__TABLET_REST HID__TABLET_FIRST, ReportCount(0)
#define HID__TABLET_MORE_LAST                                                                                          \
	HID__TABLET_REST, Input(Const, Var, Abs), UsagePage(GenericDesktop), Usage(GenericDesktop, Gamepad),           \
		CollectionBegin(Physical), UsagePage(Button), Buttons(1, HIDBPF_TABLET_MORE_BUTTONS)
#define HID__TABLET_MORE_COUNT HID__TABLET_MORE_LAST, ReportCount(HIDBPF_TABLET_MORE_BUTTONS)
#define HID__TABLET_MORE HID__TABLET_MORE_COUNT, Input(Data, Var, Abs)
#define HID__TABLET_MORE_REST HID__TABLET_MORE, ReportCount(0)
#define HID__TABLET_DIAL                                                                                               \
	HID__TABLET_MORE_REST, Input(Const, Var, Abs), CollectionEnd(), UsagePage(GenericDesktop),                     \
		Usage(GenericDesktop, Wheel), LogicalRange8(-1, 1), ReportSize(8), ReportCount(1),                     \
		Input(Data, Var, Rel)
#define HID__TABLET_SECOND_DIAL HID__TABLET_DIAL, UsagePage(Consumer), Usage(Consumer, ACPan), Input(Data, Var, Rel)
#define HID__TABLET_LONE_DIAL                                                                                          \
	HID__TABLET_SECOND_DIAL, ReportId(HIDBPF_TABLET_DIAL_ID), UsagePage(GenericDesktop),                           \
		Usage(GenericDesktop, Wheel), Input(Data, Var, Rel)
#define HID__TABLET_SECOND_LONE_DIAL                                                                                   \
	HID__TABLET_LONE_DIAL, UsagePage(Consumer), Usage(Consumer, ACPan), Input(Data, Var, Rel)
#define HID__TABLET_TOUCH_USAGE                                                                                        \
	HID__TABLET_SECOND_LONE_DIAL, ReportId(HIDBPF_TABLET_TOUCH_ID), UsagePage(GenericDesktop),                     \
		Usage(GenericDesktop, Wheel)
#define HID__TABLET_TOUCH_LAST HID__TABLET_TOUCH_USAGE, LogicalRange8(0, 127)
#define HID__TABLET_TOUCH HID__TABLET_TOUCH_LAST, Input(Data, Var, Abs)
/*
 * Whether a finger touches it. The kernel has no code for this usage and makes it ABS_MISC. That tells libinput when the
 * finger has gone (pad_process_absolute(), evdev-tablet-pad.c).
 */
#define HID__TABLET_TOUCHED                                                                                            \
	HID__TABLET_TOUCH, UsagePage(Digitizers), Usage(Digitizers, TabletFunctionKeys), LogicalRange8(0, 15),         \
		Input(Data, Var, Abs)
#define HID__TABLET HID__TABLET_TOUCHED, CollectionEnd(), CollectionEnd()

#define HID__TABLET_SIZE_OF(...) sizeof((const unsigned char[]){__VA_ARGS__})
/* The places of the last byte, and of the last four bytes, of a part. */
#define HID__TABLET_BYTE(part) (HID__TABLET_SIZE_OF(part) - 1)
#define HID__TABLET_WORD(part) (HID__TABLET_SIZE_OF(part) - 4)

HIDBPF_DESCRIPTOR(hidbpf_tablet_descriptor, HID__TABLET);

/* The fewest steps per inch that a tablet has. */
#define HIDBPF_TABLET_LEAST_DENSITY 100

/* A length in thousandths of an inch: `known`, or that of `maximum` steps, or 0. */
static __always_inline __u32 hidbpf_tablet_length(__u32 known, __u32 maximum, __u32 density)
{
	if (known)
		return known;
	return density < HIDBPF_TABLET_LEAST_DENSITY ? 0 : (__u32)((__u64)maximum * 1000 / density);
}

static __always_inline void hidbpf_tablet_put(__u8 *bytes, __u32 value)
{
	bytes[0] = (__u8)value;
	bytes[1] = (__u8)(value >> 8);
	bytes[2] = (__u8)(value >> 16);
	bytes[3] = (__u8)(value >> 24);
}

#define HID__CONST 0x01

/*
 * Replaces the descriptor by that of a tablet with these parameters, and returns the hook's result. Absurd values, which
 * no tablet has, become such that the tablet can be used: positions of any tablet, of an unknown size. `are_dials_alone`:
 * the event hook reports dials with hidbpf_tablet_dial(), not with hidbpf_tablet_buttons().
 */
static __always_inline int hidbpf_tablet_fixup(struct hid_bpf_ctx *ctx, const struct hidbpf_tablet *tablet,
					       const _Bool are_dials_alone)
{
	const _Bool is_known = tablet->x && tablet->y;
	const __u32 x = is_known ? tablet->x : 0xffff, y = is_known ? tablet->y : 0xffff;
	const __u32 density = is_known ? tablet->density : 0;
	const __u32 buttons = tablet->buttons < HIDBPF_TABLET_BUTTONS ? tablet->buttons : HIDBPF_TABLET_BUTTONS;
	const __u32 first = buttons < HIDBPF_TABLET_FIRST_BUTTONS ? buttons : HIDBPF_TABLET_FIRST_BUTTONS;
	const __u32 more = buttons - first, touch = tablet->ring ? tablet->ring : tablet->strip;
	const int size = hidbpf_change(ctx, HIDBPF_REPLACED(hidbpf_tablet_descriptor));
	__u8 *bytes = hid_bpf_get_data(ctx, 0, HIDBPF_CHANGE_SIZE);

	if (size <= 0 || !bytes)
		return size;
	if (tablet->display)
		bytes[HID__TABLET_BYTE(HID__TABLET_KIND)] = 0x02;
	if (!tablet->eraser)
		bytes[HID__TABLET_BYTE(HID__TABLET_ERASER)] |= HID__CONST;
	if (tablet->pen_buttons < 3)
		bytes[HID__TABLET_BYTE(HID__TABLET_STYLUS3)] |= HID__CONST;
	if (!tablet->tilt)
		bytes[HID__TABLET_BYTE(HID__TABLET_TILT)] |= HID__CONST;
	hidbpf_tablet_put(&bytes[HID__TABLET_WORD(HID__TABLET_X)], x);
	hidbpf_tablet_put(&bytes[HID__TABLET_WORD(HID__TABLET_WIDTH)], hidbpf_tablet_length(tablet->width, x, density));
	hidbpf_tablet_put(&bytes[HID__TABLET_WORD(HID__TABLET_Y)], y);
	hidbpf_tablet_put(&bytes[HID__TABLET_WORD(HID__TABLET_HEIGHT)],
			  hidbpf_tablet_length(tablet->height, y, density));
	hidbpf_tablet_put(&bytes[HID__TABLET_WORD(HID__TABLET_PRESSURE)], tablet->pressure ? tablet->pressure : 0x1fff);
	if (!buttons && !tablet->dials && !touch)
		return HID__TABLET_SIZE_OF(HID__TABLET_PEN);
	if (first) {
		bytes[HID__TABLET_BYTE(HID__TABLET_LAST_BUTTON)] = (__u8)first;
		bytes[HID__TABLET_BYTE(HID__TABLET_COUNT)] = (__u8)first;
		bytes[HID__TABLET_BYTE(HID__TABLET_REST)] = (__u8)(HIDBPF_TABLET_FIRST_BUTTONS - first);
	} else {
		bytes[HID__TABLET_BYTE(HID__TABLET_FIRST)] |= HID__CONST;
	}
	if (more) {
		bytes[HID__TABLET_BYTE(HID__TABLET_MORE_LAST)] = (__u8)more;
		bytes[HID__TABLET_BYTE(HID__TABLET_MORE_COUNT)] = (__u8)more;
		bytes[HID__TABLET_BYTE(HID__TABLET_MORE_REST)] = (__u8)(HIDBPF_TABLET_MORE_BUTTONS - more);
	} else {
		bytes[HID__TABLET_BYTE(HID__TABLET_MORE)] |= HID__CONST;
	}
	if (!tablet->dials || are_dials_alone)
		bytes[HID__TABLET_BYTE(HID__TABLET_DIAL)] |= HID__CONST;
	if (tablet->dials < 2 || are_dials_alone)
		bytes[HID__TABLET_BYTE(HID__TABLET_SECOND_DIAL)] |= HID__CONST;
	if (!tablet->dials || !are_dials_alone)
		bytes[HID__TABLET_BYTE(HID__TABLET_LONE_DIAL)] |= HID__CONST;
	if (tablet->dials < 2 || !are_dials_alone)
		bytes[HID__TABLET_BYTE(HID__TABLET_SECOND_LONE_DIAL)] |= HID__CONST;
	if (touch) {
		/* Wheel is ABS_WHEEL, libinput's ring. Rx is ABS_RX, its strip. */
		if (!tablet->ring)
			bytes[HID__TABLET_BYTE(HID__TABLET_TOUCH_USAGE)] = 0x33;
		bytes[HID__TABLET_BYTE(HID__TABLET_TOUCH_LAST)] = (__u8)(touch - 1) & 0x7f;
	} else {
		bytes[HID__TABLET_BYTE(HID__TABLET_TOUCH)] |= HID__CONST;
		bytes[HID__TABLET_BYTE(HID__TABLET_TOUCHED)] |= HID__CONST;
	}
	return size;
}

/* ---- Reports ----------------------------------------------------------------------------------------------------- */

/* Flags of hidbpf_tablet_pen(). */
#define HIDBPF_TABLET_TIP 0x01
#define HIDBPF_TABLET_BUTTON 0x02
#define HIDBPF_TABLET_SECOND_BUTTON 0x04
#define HIDBPF_TABLET_INVERTED 0x08
#define HIDBPF_TABLET_ERASER 0x10
#define HIDBPF_TABLET_NEAR 0x20
#define HIDBPF_TABLET_THIRD_BUTTON 0x40

/*
 * Each writes a report of HIDBPF_TABLET_SIZE bytes at most, and returns the hook's result. Read what you need from the
 * device's report first.
 *
 * The pen: X and Y of 24 bits, pressure of 16 bits, tilt in degrees, to the right and to the user.
 */
static __always_inline int hidbpf_tablet_pen(__u8 *report, __u32 flags, __u32 x, __u32 y, __u32 pressure, __u32 x_tilt,
					     __u32 y_tilt)
{
	__u32 *words = (__u32 *)report;

	words[0] = HIDBPF_TABLET_PEN_ID | flags << 8 | x << 16;
	words[1] = x >> 16 | y << 8;
	words[2] = pressure | x_tilt << 16 | y_tilt << 24;
	return HIDBPF_TABLET_SIZE;
}

/* The buttons that are down, a bit for each from the lowest on, and the steps of the dials. */
static __always_inline int hidbpf_tablet_buttons(__u8 *report, __u32 buttons, __u8 first_dial, __u8 second_dial)
{
	__u32 *words = (__u32 *)report;

	words[0] = HIDBPF_TABLET_BUTTONS_ID;
	words[1] = (buttons & 0xffff) | (__u32)first_dial << 16 | (__u32)second_dial << 24;
	return 8;
}

/* A step of a dial, in a report that does not tell which buttons are down: 1 is clockwise, 0xff the other way. */
static __always_inline int hidbpf_tablet_dial(__u8 *report, __u8 first_dial, __u8 second_dial)
{
	report[0] = HIDBPF_TABLET_DIAL_ID;
	report[1] = first_dial;
	report[2] = second_dial;
	return 3;
}

/*
 * A finger at a position of the ring or strip, counted from 0, or no finger. As tablets by Wacom do, a finger that goes
 * leaves position 0.
 */
static __always_inline int hidbpf_tablet_touch(__u8 *report, __u8 position, _Bool is_touched)
{
	report[0] = HIDBPF_TABLET_TOUCH_ID;
	report[1] = position;
	report[2] = is_touched ? 15 : 0;
	return 3;
}

#endif
