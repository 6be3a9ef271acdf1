/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that drivers for tablets by UGEE share, including XP-Pen's: the pen's report, and pads that send keyboard
 * reports.
 *
 * Include it after driver.h. Offsets and sizes are in bytes and count the report id as byte 0.
 */
#ifndef HIDBPF_UGEE_H
#define HIDBPF_UGEE_H

#include <hidbpf/descriptor.h>
#include <hidbpf/report.h>

/* ---- Pens -------------------------------------------------------------------------------------------------------- */

/* The report that most pens send. Pens without tilt send less, or meaningless values in the last two bytes. */
#define UGEE_PEN_ID 7
#define UGEE_PEN_SIZE 10
#define UGEE_PEN_FLAGS 1
#define UGEE_PEN_X 2
#define UGEE_PEN_Y 4
#define UGEE_PEN_PRESSURE 6
#define UGEE_PEN_X_TILT 8
#define UGEE_PEN_Y_TILT 9

/* Bits of UGEE_PEN_FLAGS. */
#define UGEE_TIP 0x01
#define UGEE_FIRST_BUTTON 0x02
#define UGEE_SECOND_BUTTON 0x04
#define UGEE_INVERT 0x08
#define UGEE_IN_RANGE 0x20

/*
 * UgeePen(kind, item, ...): a pen's report. The kind is Pen on a pen display and Digitizer on a tablet without a
 * display.
 */
#define UgeePen(kind, ...)                                                                                             \
	UsagePage(Digitizers), Usage(Digitizers, kind),                                                                \
		Collection(Application, ReportId(UGEE_PEN_ID), Usage(Digitizers, Stylus),                              \
			   Collection(Physical, __VA_ARGS__))

/*
 * X and Y, each with 16 bits and its length in thousandths of an inch. Push and Pop confine the unit to these fields.
 */
#define UgeePosition(x_maximum, y_maximum, width, height)                                                              \
	UsagePage(GenericDesktop), ReportSize(16), ReportCount(1), Push(), Unit(Inch), UnitExponent(-3),               \
		Usage(GenericDesktop, X), LogicalRange16(0, x_maximum), PhysicalRange16(0, width),                     \
		Input(Data, Var, Abs), Usage(GenericDesktop, Y), LogicalRange16(0, y_maximum),                         \
		PhysicalRange16(0, height), Input(Data, Var, Abs), Pop()

/* The pressure, with flags as for Input(). Leaves UsagePage Digitizers and fields of `bits` bits. */
#define UgeePressure(bits, maximum, ...)                                                                               \
	UsagePage(Digitizers), Usage(Digitizers, TipPressure), LogicalRange16(0, maximum), ReportSize(bits),           \
		ReportCount(1), Input(__VA_ARGS__)

/* ---- Pads that are keyboards ------------------------------------------------------------------------------------- */

/* A keyboard report: id, modifiers, and six keys. Keyboards do not use the byte of the first key; these pads do. */
#define UGEE_KEYS_SIZE 8
#define UGEE_KEYS_MODIFIERS 1
#define UGEE_KEYS_FIRST 2
#define UGEE_KEYS_LEFT_ALT 0x04

/* The meaning of a key: button `number`, counted from 1, or one step of the dial. */
#define UGEE_BUTTON(number) (1 << (number) >> 1)
#define UGEE_DIAL_CLOCKWISE 0x100
#define UGEE_DIAL_COUNTERCLOCKWISE 0x200

/* The report that the driver sends instead. It is as long as the keyboard report. */
struct ugee_pad_report {
	/* The report id in the lowest byte. The bytes above it are TabletPadMarks(), which are never set. */
	__u32 id;
	/* A bit for each button. */
	__u8 buttons;
	/* 1 for a clockwise step, -1 for a counterclockwise step. */
	__s8 dial;
	__u16 unused;
};
_Static_assert(sizeof(struct ugee_pad_report) == UGEE_KEYS_SIZE, "the report's size stays");

/*
 * UgeePad(id, buttons, item, ...) declares struct ugee_pad_report with that many buttons. The items follow the buttons'
 * bits: either UgeeNoDial(buttons), or UgeeDial(buttons, most) for a dial that reports up to `most` steps at once.
 */
#define UgeePad(id, buttons, ...)                                                                                      \
	UsagePage(GenericDesktop), Usage(GenericDesktop, Keypad),                                                      \
		Collection(Application, UsagePage(Digitizers), Usage(Digitizers, TabletFunctionKeys),                  \
			   Collection(Physical, ReportId(id), TabletPadMarks(), UsagePage(Button),                     \
				      Buttons(1, buttons), ReportSize(1), ReportCount(buttons), Input(Data, Var, Abs), \
				      __VA_ARGS__))
#define UgeeNoDial(buttons) Padding(32 - (buttons))
#define UgeeDial(buttons, most)                                                                                        \
	Padding(8 - (buttons)), UsagePage(GenericDesktop), Usage(GenericDesktop, Wheel), LogicalRange8(-(most), most), \
		ReportSize(8), ReportCount(1), Input(Data, Var, Rel), Padding(16)

/*
 * For HIDBPF_INPUT_REPORT of UGEE_KEYS_SIZE bytes. Turns the keyboard report `id` into struct ugee_pad_report. The
 * table gives a meaning to each of the 256 usages of the keyboard page; 0 means nothing. `left_alt` is the meaning of
 * that modifier, and `dial_steps` is the value of one step of the dial. Returns the hook's result.
 */
static __always_inline int ugee_pad_event(__u8 *report, __u8 id, const __u16 *meaning_of_key, __u16 left_alt,
					  __s32 dial_steps)
{
	__u64 keys;
	__u32 down;

	if (report[0] != id)
		return 0;
	down = report[UGEE_KEYS_MODIFIERS] & UGEE_KEYS_LEFT_ALT ? left_alt : 0;
	/* The keys after the last pressed one are 0, which means nothing. */
#pragma clang loop unroll(disable)
	for (keys = *(const __u64 *)report >> 8 * UGEE_KEYS_FIRST; keys; keys >>= 8)
		down |= meaning_of_key[(__u8)keys];
	*(struct ugee_pad_report *)report = (struct ugee_pad_report){
		.id = id,
		.buttons = (__u8)down,
		.dial = (__s8)((!!(down & UGEE_DIAL_CLOCKWISE) - !!(down & UGEE_DIAL_COUNTERCLOCKWISE)) * dial_steps),
	};
	return sizeof(struct ugee_pad_report);
}

/* The event hook of a driver that only has a pad. */
#define UGEE_PAD_EVENT(id, meaning_of_key, left_alt)                                                                   \
	HIDBPF_INPUT_REPORT(ugee_ctx, ugee_report, UGEE_KEYS_SIZE)                                                     \
	{                                                                                                              \
		return ugee_pad_event(ugee_report, (id), (meaning_of_key), (left_alt), 1);                             \
	}

/* The keys of pads whose third button sends the left Alt. Pads with fewer than eight buttons lack the last ones. */
static const __u16 ugee_alt_pad_keys[256] __attribute__((unused)) = {
	[0x05] = UGEE_BUTTON(1), [0x08] = UGEE_BUTTON(2), [0x2c] = UGEE_BUTTON(4), [0x16] = UGEE_BUTTON(5),
	[0x1d] = UGEE_BUTTON(6), [0x57] = UGEE_BUTTON(7), [0x56] = UGEE_BUTTON(8),
};
#define UGEE_ALT_PAD_ALT UGEE_BUTTON(3)

#endif
