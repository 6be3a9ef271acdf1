// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/ugee.h>

/*
 * The XP-Pen Artist Pro 14, 16 and 19 of the second generation are pen displays. Their pen has two buttons, an eraser
 * at its other end, and tilt.
 *
 * The descriptor declares the second button as an eraser, and the turned pen (Invert) as one more button. The driver
 * declares a second button, Invert, and an eraser after it, with the size of the model's screen. When the eraser
 * touches, the firmware sends tip and Invert. The driver sends the eraser instead.
 *
 * The position of a tilted pen differs from that of its tip. The screen senses a coil, which is some way up in the pen,
 * and reports the point straight below it. The driver computes the distance to the tip from the tilt and the coil's
 * height.
 */
#define DESCRIPTOR_SIZE 113

/* A bit that the device does not send. The device sends UGEE_TIP and UGEE_INVERT together instead. */
#define ERASER 0x10
#define ERASING (UGEE_TIP | UGEE_INVERT | UGEE_IN_RANGE)

#define X_Y_MAXIMUM 32767

/* The products, and the widths and heights of their screens in thousandths of an inch. */
#define PRO_14 0x095a
#define WIDTH_14 11874
#define HEIGHT_14 7421
#define PRO_16 0x095b
#define WIDTH_16 13567
#define HEIGHT_16 8480
#define PRO_19 0x096a
#define WIDTH_19 16101
#define HEIGHT_19 9057

#define PEN(width, height)                                                                                             \
	UgeePen(Pen, Usage(Digitizers, TipSwitch), Usage(Digitizers, BarrelSwitch),                                    \
		Usage(Digitizers, SecondaryBarrelSwitch), Usage(Digitizers, Invert), Usage(Digitizers, Eraser),        \
		Usage(Digitizers, InRange), LogicalRange8(0, 1), ReportSize(1), ReportCount(6), Input(Data, Var, Abs), \
		Padding(2), UgeePosition(X_Y_MAXIMUM, X_Y_MAXIMUM, width, height),                                     \
		UgeePressure(16, 16383, Data, Var, Abs, Null), Usage(Digitizers, XTilt), Usage(Digitizers, YTilt),     \
		LogicalRange8(-127, 127), ReportSize(8), ReportCount(2), Input(Data, Var, Abs))

HIDBPF_DESCRIPTOR(pen_14, PEN(WIDTH_14, HEIGHT_14));
HIDBPF_DESCRIPTOR(pen_16, PEN(WIDTH_16, HEIGHT_16));
HIDBPF_DESCRIPTOR(pen_19, PEN(WIDTH_19, HEIGHT_19));

/*
 * The coil's height in tenths of a millionth of an inch, and in points of a screen's width or height, times REACH_ONE.
 */
#define COIL 556777LL
#define REACH_ONE 128
#define REACH(length) (int)((COIL * X_Y_MAXIMUM * REACH_ONE + 5000LL * (length)) / (10000LL * (length)))

HIDBPF_RDESC_FIXUP(ctx)
{
	struct hidbpf_change change = HIDBPF_UNCHANGED();

	if (ctx->size != DESCRIPTOR_SIZE)
		return 0;
	switch (hidbpf_ids.product) {
	case PRO_14:
		change = HIDBPF_REPLACED(pen_14);
		break;
	case PRO_16:
		change = HIDBPF_REPLACED(pen_16);
		break;
	case PRO_19:
		change = HIDBPF_REPLACED(pen_19);
		break;
	}
	return hidbpf_change(ctx, change);
}

/*
 * The sine, times 32768, of a tilt in degrees. The index is the tilt's byte: 0 to 127, and then -128 to -1. -128 is not
 * an angle and moves nothing.
 */
#define SINE_ONE 32768
#define REACH_SHIFT 22
_Static_assert(1 << REACH_SHIFT == REACH_ONE * SINE_ONE, "what a reach times a sine is by");
/* 16 angles a line. */
/* clang-format off */
static const __s32 sine[256] = {
	0, 572, 1144, 1715, 2286, 2856, 3425, 3993, 4560, 5126, 5690, 6252, 6813, 7371, 7927, 8481,
	9032, 9580, 10126, 10668, 11207, 11743, 12275, 12803, 13328, 13848, 14365, 14876, 15384, 15886, 16384, 16877,
	17364, 17847, 18324, 18795, 19261, 19720, 20174, 20622, 21063, 21498, 21926, 22348, 22763, 23170, 23571, 23965,
	24351, 24730, 25102, 25466, 25822, 26170, 26510, 26842, 27166, 27482, 27789, 28088, 28378, 28660, 28932, 29197,
	29452, 29698, 29935, 30163, 30382, 30592, 30792, 30983, 31164, 31336, 31499, 31651, 31795, 31928, 32052, 32166,
	32270, 32365, 32449, 32524, 32588, 32643, 32688, 32723, 32748, 32763, 32768, 32763, 32748, 32723, 32688, 32643,
	32588, 32524, 32449, 32365, 32270, 32166, 32052, 31928, 31795, 31651, 31499, 31336, 31164, 30983, 30792, 30592,
	30382, 30163, 29935, 29698, 29452, 29197, 28932, 28660, 28378, 28088, 27789, 27482, 27166, 26842, 26510, 26170,
	0, -26170, -26510, -26842, -27166, -27482, -27789, -28088, -28378, -28660, -28932, -29197, -29452, -29698, -29935, -30163,
	-30382, -30592, -30792, -30983, -31164, -31336, -31499, -31651, -31795, -31928, -32052, -32166, -32270, -32365, -32449, -32524,
	-32588, -32643, -32688, -32723, -32748, -32763, -32768, -32763, -32748, -32723, -32688, -32643, -32588, -32524, -32449, -32365,
	-32270, -32166, -32052, -31928, -31795, -31651, -31499, -31336, -31164, -30983, -30792, -30592, -30382, -30163, -29935, -29698,
	-29452, -29197, -28932, -28660, -28378, -28088, -27789, -27482, -27166, -26842, -26510, -26170, -25822, -25466, -25102, -24730,
	-24351, -23965, -23571, -23170, -22763, -22348, -21926, -21498, -21063, -20622, -20174, -19720, -19261, -18795, -18324, -17847,
	-17364, -16877, -16384, -15886, -15384, -14876, -14365, -13848, -13328, -12803, -12275, -11743, -11207, -10668, -10126, -9580,
	-9032, -8481, -7927, -7371, -6813, -6252, -5690, -5126, -4560, -3993, -3425, -2856, -2286, -1715, -1144, -572,
};
/* clang-format on */

/* Moves X or Y from the point below the coil to the tip. */
static __always_inline void straighten(__u8 *coordinate, __u8 tilt, int reach)
{
	int at = hidbpf_le16(coordinate) - ((reach * sine[tilt] + REACH_ONE * SINE_ONE / 2) >> REACH_SHIFT);

	if (at < 0)
		at = 0;
	if (at > X_Y_MAXIMUM)
		at = X_Y_MAXIMUM;
	hidbpf_put_le16(coordinate, (__u16)at);
}

HIDBPF_INPUT_REPORT(ctx, report, UGEE_PEN_SIZE)
{
	int across = REACH(WIDTH_16), down = REACH(HEIGHT_16);

	if (report[0] != UGEE_PEN_ID)
		return 0;
	switch (hidbpf_ids.product) {
	case PRO_14:
		across = REACH(WIDTH_14);
		down = REACH(HEIGHT_14);
		break;
	case PRO_19:
		across = REACH(WIDTH_19);
		down = REACH(HEIGHT_19);
		break;
	}
	straighten(report + UGEE_PEN_X, report[UGEE_PEN_X_TILT], across);
	straighten(report + UGEE_PEN_Y, report[UGEE_PEN_Y_TILT], down);
	if ((report[UGEE_PEN_FLAGS] & ERASING) == ERASING)
		report[UGEE_PEN_FLAGS] ^= UGEE_TIP | UGEE_INVERT | ERASER;
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
