// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/huion.h>

/*
 * The Huion Kamvas Pro 19 (GT1902) and Pro 27 (GT2701) are pen displays with touch. Their pen has three buttons and an
 * eraser at its other end. The descriptor has no usage for a third button. It declares the second button as a second
 * tip and the third as Invert, which turns the pen around and makes it an eraser.
 *
 * In the descriptor the driver declares the second button as the second barrel switch, and a padding bit as the third
 * button. The event hook moves the third button to that bit, unless the pen came into range with Invert set. The pen is
 * then really turned around until it leaves.
 */

/* The pen's report. */
#define FLAGS 1
#define INVERT 0x08
#define ERASER 0x10
#define THIRD_BUTTON 0x20
#define IN_RANGE 0x40

/*
 * The pen's switches, in as many bytes as in the device's descriptor, and their offset there. The logical minimum is 0
 * by default at a descriptor's start.
 */
#define SWITCHES_AT 12
#define SWITCHES_SIZE 30
HIDBPF_DESCRIPTOR(switches,
	Usage(Digitizers, TipSwitch),
	Usage(Digitizers, BarrelSwitch),
	Usage(Digitizers, SecondaryBarrelSwitch),
	Usage(Digitizers, Invert),
	Usage(Digitizers, Eraser),
	UsageOnPage(0x09, HUION_STYLUS3),
	Usage(Digitizers, InRange),
	LogicalMaximum16(1),
	ReportSize(1),
	ReportCount(7),
	Input(Data, Var, Abs),
	ReportCount(1),
	Input(Const, Var, Abs));
_Static_assert(sizeof(switches) == SWITCHES_SIZE, "what follows must stay where it is");

HIDBPF_RDESC_FIXUP(ctx)
{
	return hidbpf_overwrite(ctx, SWITCHES_AT, switches);
}

/* The flags with which the pen came into range; 0 while it is out of range. */
static __u8 came_with;

HIDBPF_INPUT_REPORT(ctx, report, HUION_PEN_SIZE)
{
	__u8 *came = hidbpf_address(came_with);
	__u8 flags = report[FLAGS];

	if (report[0] != HUION_PEN_ID)
		return 0;
	if (!(flags & IN_RANGE)) {
		*came = 0;
		return 0;
	}
	if (!*came)
		*came = flags;
	if (flags & INVERT && !(*came & (INVERT | ERASER)))
		report[FLAGS] = flags ^ (INVERT | THIRD_BUTTON);
	return 0;
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
