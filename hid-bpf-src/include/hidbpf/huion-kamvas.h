/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that the drivers for the third generation of Huion's Kamvas pen displays share: a pen with three buttons, and a
 * pad with two wheels.
 */
#ifndef HIDBPF_HUION_KAMVAS_H
#define HIDBPF_HUION_KAMVAS_H

#include <hidbpf/huion.h>

/*
 * The reports of vendor mode, and the id that the driver gives to the pad's reports. The device itself has no report 9.
 */
#define KAMVAS_VENDOR_SIZE 14
#define KAMVAS_PAD_ID 9
#define KAMVAS_Y_TILT 11

/* The kind of a report: the upper half of its flags. */
#define KAMVAS_KIND(report) ((report)[HUION_VENDOR_FLAGS] >> 4)
#define KAMVAS_PEN_AWAY 0x0
#define KAMVAS_PEN 0x8
#define KAMVAS_BUTTONS 0xe
#define KAMVAS_WHEEL 0xf

/* The tablet and the wheel interface in vendor mode. Each keeps room for its longest report. */
HIDBPF_SILENT_DESCRIPTOR(kamvas_silent_tablet, 28);
HIDBPF_SILENT_DESCRIPTOR(kamvas_silent_wheel, 9);

/* Bytes of the tablet interface's descriptor that describe the pen. They start at byte 0. */
#define KAMVAS_PEN_DESCRIPTOR_SIZE 95

/*
 * The corrected pen part of the tablet interface's descriptor in firmware mode, in as many bytes as the original. The
 * second button is not a second tip, and the third is a button and does not turn the pen around. The size is the
 * display's, and tilt is 60 degrees. Logical minima of 0 are left out, because 0 is the value at a descriptor's start.
 */
/* clang-format takes the items of a macro for an expression. */
/* clang-format off */
#define KAMVAS_FIRMWARE_PEN(name, width, height)                                                                       \
	HIDBPF_DESCRIPTOR(name,                                                                                        \
		UsagePage(Digitizers),                                                                                 \
		Usage(Digitizers, Pen),                                                                                \
		Collection(Application,                                                                                \
			ReportId(HUION_PEN_ID),                                                                        \
			Usage(Digitizers, TipSwitch),                                                                  \
			Usage(Digitizers, BarrelSwitch),                                                               \
			Usage(Digitizers, SecondaryBarrelSwitch),                                                      \
			UsageOnPage(0x09, HUION_STYLUS3),                                                              \
			LogicalMaximum16(1),                                                                           \
			ReportSize(1),                                                                                 \
			ReportCount(4), Input(Data, Var, Abs),                                                         \
			ReportCount(2), Input(Const, Var, Abs),                                                        \
			Usage(Digitizers, InRange), ReportCount(1), Input(Data, Var, Abs), Input(Const, Var, Abs),     \
			ReportSize(16),                                                                                \
			Push(),                                                                                        \
			UsagePage(GenericDesktop),                                                                     \
			UnitExponent(-2),                                                                              \
			Unit(Centimeter),                                                                              \
			Usage(GenericDesktop, X), LogicalMaximum16(32767), PhysicalMaximum16(width), Input(Data, Var, Abs),\
			Usage(GenericDesktop, Y), PhysicalMaximum16(height), Input(Data, Var, Abs),                    \
			Pop(),                                                                                         \
			Usage(Digitizers, TipPressure),                                                                \
			LogicalMaximum16(16383),                                                                       \
			Input(Data, Var, Abs),                                                                         \
			Usage(Digitizers, XTilt),                                                                      \
			Usage(Digitizers, YTilt),                                                                      \
			LogicalRange8(-60, 60),                                                                        \
			PhysicalRange8(-60, 60),                                                                       \
			Unit(Degrees),                                                                                 \
			ReportSize(8),                                                                                 \
			ReportCount(2),                                                                                \
			Input(Data, Var, Abs)));                                                                       \
	_Static_assert(sizeof(name) == KAMVAS_PEN_DESCRIPTOR_SIZE, "the pen's part must keep its size")
/* clang-format on */

/*
 * Parts of the vendor interface's descriptor: the pen from its flags to its pressure, with these axes, and the pad with
 * these buttons.
 */
#define KAMVAS_PEN_FIELDS(...)                                                                                         \
	HUION_PEN_THREE_BUTTONS(), HUION_PEN_AREA(Centimeter, -2, __VA_ARGS__), HUION_PEN_PRESSURE(16383)
#define KAMVAS_PAD(...) HUION_PAD(KAMVAS_PAD_ID, KAMVAS_VENDOR_SIZE, __VA_ARGS__, HUION_PAD_WHEELS())

/*
 * The pad's buttons. The device reports one button at a time. If another button goes down while one is held, the device
 * reports it only after all buttons are up.
 */
static __u8 kamvas_buttons;

/* The device's Y tilt grows away from the user, which is the wrong direction. */
static __always_inline int kamvas_pen_event(__u8 *report)
{
	hidbpf_negate_s8(&report[KAMVAS_Y_TILT]);
	return 0;
}

static __always_inline void kamvas_press(const __u8 *report)
{
	if (!kamvas_buttons || !report[HUION_BUTTONS])
		kamvas_buttons = report[HUION_BUTTONS];
}

/* KAMVAS_INPUT_EVENT(pen_event) is the event hook; `pen_event` changes a pen's report. */
#define KAMVAS_INPUT_EVENT(pen_event)                                                                                  \
	HIDBPF_INPUT_REPORT(ctx, report, KAMVAS_VENDOR_SIZE)                                                           \
	{                                                                                                              \
		if (report[0] != HUION_VENDOR_ID)                                                                      \
			return 0;                                                                                      \
		switch (KAMVAS_KIND(report)) {                                                                         \
		case KAMVAS_PEN_AWAY:                                                                                  \
		case KAMVAS_PEN:                                                                                       \
			return pen_event(report);                                                                      \
		case KAMVAS_BUTTONS:                                                                                   \
			kamvas_press(report);                                                                          \
			__attribute__((fallthrough));                                                                  \
		case KAMVAS_WHEEL:                                                                                     \
			return huion_wheels_event(report, KAMVAS_PAD_ID, kamvas_buttons);                              \
		}                                                                                                      \
		return 0;                                                                                              \
	}

#endif
