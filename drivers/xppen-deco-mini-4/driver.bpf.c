// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/ugee.h>

/*
 * The XP-Pen Deco mini4 is a small tablet with six buttons on its pad, and a pen with two buttons and no tilt. It has
 * an interface for the pad and one for the pen, which differ in the size of their descriptors. A third interface stays
 * silent until the vendor's software wakes it.
 *
 * The pad is a keyboard: its buttons type letters and Ctrl+S. The driver turns it into a tablet pad.
 *
 * The pen's descriptor declares different ranges than the pen has. The true ranges are in a string that the tablet
 * returns on request: 20320 x 15240 points, 5080 points an inch, which makes 4 x 3 inches, and pressure up to 8191.
 */
#define PAD_DESCRIPTOR_SIZE 177
#define PEN_DESCRIPTOR_SIZE 109

#define PAD_ID 6
#define PAD_BUTTONS 6

HIDBPF_DESCRIPTOR(pad, UgeePad(PAD_ID, PAD_BUTTONS, UgeeNoDial(PAD_BUTTONS)));

HIDBPF_DESCRIPTOR(pen,
	UgeePen(Digitizer,
		Usage(Digitizers, TipSwitch),
		Usage(Digitizers, BarrelSwitch),
		Usage(Digitizers, SecondaryBarrelSwitch),
		LogicalRange8(0, 1),
		ReportSize(1),
		ReportCount(3),
		Input(Data, Var, Abs),
		ReportCount(2),
		Input(Const, Var, Abs),
		Usage(Digitizers, InRange),
		ReportCount(1),
		Input(Data, Var, Abs),
		ReportCount(2),
		Input(Const, Var, Abs),
		UgeePosition(20320, 15240, 4000, 3000),
		UgeePressure(13, 8191, Data, Var, Abs),
		Padding(19)));

HIDBPF_RDESC_FIXUP(ctx)
{
	struct hidbpf_change change = HIDBPF_UNCHANGED();

	switch (ctx->size) {
	case PAD_DESCRIPTOR_SIZE:
		change = HIDBPF_REPLACED(pad);
		break;
	case PEN_DESCRIPTOR_SIZE:
		change = HIDBPF_REPLACED(pen);
		break;
	}
	return hidbpf_change(ctx, change);
}

UGEE_PAD_EVENT(PAD_ID, ugee_alt_pad_keys, UGEE_ALT_PAD_ALT)

HIDBPF_DRIVER(rdesc_fixup, device_event);
