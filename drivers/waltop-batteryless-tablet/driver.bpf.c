// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The WALTOP Batteryless Tablet, also sold under other names, has a pen with two buttons and tilt.
 *
 * It has no bit for the second button. When that button is pressed, tip and first button appear in the same report.
 * Nobody can press both at once by hand, so the driver recognises the second button by this. The driver adds the
 * button's usage to the descriptor and replaces the two bits with the button's.
 *
 * The tilt is -60 to 60 degrees, but the descriptor declares -127 to 127. The lower half of the force of a hand gives a
 * pressure of 0 to 100 of 2047. Above that the pressure doubles again and again. The driver takes the logarithm, which
 * makes it even.
 */
#define DESCRIPTOR_SIZE 335

#define PEN_ID 16
#define PEN_SIZE 10
#define PEN_FLAGS 1
#define FLAG_TIP 0x01
#define FLAG_FIRST_BUTTON 0x02
#define FLAG_SECOND_BUTTON 0x20
#define TIP_AND_BUTTON (FLAG_TIP | FLAG_FIRST_BUTTON)
/* A 16-bit number. */
#define PEN_PRESSURE 6
#define PRESSURE_MAXIMUM 2047

/* A report of bytes with unknown meaning. */
#define RAW_STYLUS(id, bytes)                                                                                          \
	Usage(Digitizers, Stylus), Collection(Physical, ReportId(id), Usage8(0x00), LogicalRange16(0, 255),            \
					      ReportSize(8), ReportCount(bytes), Input(Data, Var, Abs))

HIDBPF_DESCRIPTOR(tablet,
	UsagePage(GenericDesktop),
	Usage(GenericDesktop, Mouse),
	Collection(Application,
		Usage(GenericDesktop, Pointer),
		Collection(Physical,
			ReportId(1),
			UsagePage(Button),
			Buttons(1, 5),
			LogicalRange8(0, 1),
			ReportSize(1),
			ReportCount(5),
			Input(Data, Var, Abs),
			Padding(3),
			UsagePage(GenericDesktop),
			Usage(GenericDesktop, X),
			Usage(GenericDesktop, Y),
			Usage(GenericDesktop, Wheel),
			LogicalRange8(-127, 127),
			ReportSize(8),
			ReportCount(3),
			Input(Data, Var, Rel),
			UsagePage(Consumer),
			Usage(Consumer, ACPan),
			ReportCount(1),
			Input(Data, Var, Rel))),
	UsagePage(Digitizers),
	Usage(Digitizers, Pen),
	Collection(Application,
		Usage(Digitizers, Stylus),
		Collection(Physical,
			ReportId(2),
			Usage8(0x00),
			LogicalRange16(0, 255),
			ReportSize(8),
			ReportCount(9),
			Input(Data, Var, Abs),
			Usage(Digitizers, Azimuth),
			Usage(Digitizers, Altitude),
			ReportCount(2),
			Feature(Data, Var, Abs)),
		RAW_STYLUS(5, 7),
		RAW_STYLUS(10, 7),
		Usage(Digitizers, Stylus),
		Collection(Physical,
			ReportId(PEN_ID),
			Usage(Digitizers, TipSwitch),
			Usage(Digitizers, BarrelSwitch),
			Usage(Digitizers, Invert),
			Usage(Digitizers, Eraser),
			Usage(Digitizers, InRange),
			Usage(Digitizers, SecondaryBarrelSwitch),
			LogicalRange8(0, 1),
			ReportSize(1),
			ReportCount(6),
			Input(Data, Var, Abs),
			Padding(2),
			UsagePage(GenericDesktop),
			Usage(GenericDesktop, X),
			LogicalRange16(0, 32000),
			ReportSize(16),
			Input(Data, Var, Abs),
			Usage(GenericDesktop, Y),
			LogicalRange16(0, 20000),
			Input(Data, Var, Abs),
			UsagePage(Digitizers),
			Usage(Digitizers, TipPressure),
			LogicalRange16(0, PRESSURE_MAXIMUM),
			Input(Data, Var, Abs),
			Usage(Digitizers, XTilt),
			Usage(Digitizers, YTilt),
			LogicalRange8(-60, 60),
			ReportSize(8),
			ReportCount(2),
			Input(Data, Var, Abs))),
	UsagePage(GenericDesktop),
	Usage(GenericDesktop, Keyboard),
	Collection(Application,
		ReportId(13),
		UsagePage(Keyboard),
		UsageMinimum(Keyboard, LeftControl),
		UsageMaximum(Keyboard, RightGui),
		LogicalRange8(0, 1),
		ReportSize(1),
		ReportCount(8),
		Input(Data, Var, Abs),
		Padding(8),
		UsageMinimum8(0x00),
		UsageMaximum8(0x65),
		LogicalRange8(0, 0x65),
		ReportSize(8),
		ReportCount(5),
		Input(Data, Array, Abs)),
	UsagePage(Consumer),
	Usage(Consumer, ConsumerControl),
	Collection(Application,
		ReportId(12),
		Usage(Consumer, VolumeIncrement),
		Usage(Consumer, VolumeDecrement),
		Usage(Consumer, Mute),
		LogicalRange8(0, 1),
		ReportSize(1),
		ReportCount(3),
		Input(Data, Var, Rel),
		Padding(5)));

HIDBPF_RDESC_FIXUP(ctx)
{
	return ctx->size == DESCRIPTOR_SIZE ? hidbpf_replace(ctx, tablet) : 0;
}

/* Up to this value the driver multiplies the pressure by twelve. Above it the driver uses the logarithm. */
#define LINEAR_MAXIMUM 102
#define LINEAR_FACTOR 12

/*
 * The logarithm to base 2 of PRESSURE_MAXIMUM + 1. The table has the logarithm of the numbers from 64 on, rounded down.
 * Its index is the number divided by 64.
 */
#define LOGARITHM_MAXIMUM 11
static const __u8 whole_logarithm[64] = {
	[1] = 6, [2 ... 3] = 7, [4 ... 7] = 8, [8 ... 15] = 9, [16 ... 31] = 10, [32] = LOGARITHM_MAXIMUM,
};

static __always_inline __u16 even_pressure(__u32 pressure)
{
	__u32 whole, part;

	if (pressure <= LINEAR_MAXIMUM)
		return (__u16)(pressure * LINEAR_FACTOR);
	if (pressure > PRESSURE_MAXIMUM)
		pressure = PRESSURE_MAXIMUM;
	pressure++;
	/* Both are multiplied by 2048. Between two powers of 2 a straight line approximates the logarithm. */
	whole = whole_logarithm[pressure >> 6 & 63];
	part = (pressure << 11 >> whole) - 2048;
	return (__u16)(((whole << 11) + part) * PRESSURE_MAXIMUM / LOGARITHM_MAXIMUM >> 11);
}

/* The flags of the previous report, as the driver sent them. */
static __u8 flags_were;

HIDBPF_INPUT_REPORT(ctx, report, PEN_SIZE)
{
	__u8 flags = report[PEN_FLAGS];

	if (report[0] != PEN_ID)
		return 0;
	if ((flags & TIP_AND_BUTTON) == TIP_AND_BUTTON && !(flags_were & TIP_AND_BUTTON))
		flags ^= TIP_AND_BUTTON | FLAG_SECOND_BUTTON;
	flags_were = report[PEN_FLAGS] = flags;
	hidbpf_put_le16(report + PEN_PRESSURE, even_pressure(hidbpf_le16(report + PEN_PRESSURE)));
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
