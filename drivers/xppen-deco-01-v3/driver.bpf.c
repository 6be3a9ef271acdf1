// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/ugee.h>

/*
 * The XP-Pen Deco 01 V3 is a tablet with eight buttons on its pad. It has an interface for the pad and one for the pen,
 * which differ in the size of their descriptors.
 *
 * The pad is a keyboard: its buttons type letters and Ctrl+S. The driver turns it into a tablet pad. The pen is correct
 * except for the range of its tilt. The tilt is -60 to 60 degrees, but the descriptor declares -127 to 127, so the pen
 * appears half as tilted as it is.
 */
#define PAD_DESCRIPTOR_SIZE 102
#define PEN_DESCRIPTOR_SIZE 109

#define PAD_ID 6
#define PAD_BUTTONS 8

HIDBPF_DESCRIPTOR(pad, UgeePad(PAD_ID, PAD_BUTTONS, UgeeNoDial(PAD_BUTTONS)));

/* The part of the pen's descriptor from the range of X tilt, after its usage, to the range of Y tilt. */
#define TILT_RANGES 89
HIDBPF_DESCRIPTOR(tilt_ranges,
	LogicalRange8(-60, 60),
	ReportSize(8),
	ReportCount(1),
	Input(Data, Var, Abs),
	Usage(Digitizers, YTilt),
	LogicalRange8(-60, 60));

HIDBPF_RDESC_FIXUP(ctx)
{
	struct hidbpf_change change = HIDBPF_UNCHANGED();

	switch (ctx->size) {
	case PAD_DESCRIPTOR_SIZE:
		change = HIDBPF_REPLACED(pad);
		break;
	case PEN_DESCRIPTOR_SIZE:
		change = HIDBPF_OVERWRITTEN(TILT_RANGES, tilt_ranges);
		break;
	}
	return hidbpf_change(ctx, change);
}

UGEE_PAD_EVENT(PAD_ID, ugee_alt_pad_keys, UGEE_ALT_PAD_ALT)

HIDBPF_DRIVER(rdesc_fixup, device_event);
