// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/ugee.h>

/*
 * The XP-Pen Deco 02 is a tablet of 254 x 142.9 mm with six buttons and a dial on its pad. Pen and pad are one
 * interface.
 *
 * The pen's part of the descriptor declares 22.352 x 13.97 inches, because it treats the steps of X and Y as
 * thousandths of an inch. The pad is a keyboard: buttons and dial send shortcuts such as Ctrl+Plus. The driver turns it
 * into a tablet pad, and corrects the pen's size. The interface also declares a touch configuration and 32 consumer
 * buttons, which the tablet lacks.
 */
#define DESCRIPTOR_SIZE 188

/* In thousandths of an inch. */
#define WIDTH 10000
#define HEIGHT 5626

#define PAD_ID 3
#define PAD_BUTTONS 6

/* The number of wheel steps for one step of the dial, and its maximum. */
#define MOST_STEPS 10
HIDBPF_OPTION_INTEGER(dial_steps);

/* Modifiers go down and up together with the keys and carry no more information. */
static const __u16 meaning_of_key[256] = {
	[0x05] = UGEE_BUTTON(1),      [0x2c] = UGEE_BUTTON(2),
	[0x08] = UGEE_BUTTON(3),      [0x0c] = UGEE_BUTTON(4),
	[0x1d] = UGEE_BUTTON(5),      [0x16] = UGEE_BUTTON(6),
	[0x2e] = UGEE_DIAL_CLOCKWISE, [0x2d] = UGEE_DIAL_COUNTERCLOCKWISE,
};

HIDBPF_DESCRIPTOR(pen_and_pad,
	UgeePen(Pen,
		Usage(Digitizers, TipSwitch),
		Usage(Digitizers, BarrelSwitch),
		Usage(Digitizers, Eraser),
		Usage(Digitizers, Invert),
		Usage(Digitizers, InRange),
		LogicalRange8(0, 1),
		ReportSize(1),
		ReportCount(5),
		Input(Data, Var, Abs),
		Padding(3),
		UgeePosition(22352, 13970, WIDTH, HEIGHT),
		UgeePressure(16, 8191, Data, Var, Abs)),
	UgeePad(PAD_ID, PAD_BUTTONS, UgeeDial(PAD_BUTTONS, MOST_STEPS)));

HIDBPF_RDESC_FIXUP(ctx)
{
	return ctx->size == DESCRIPTOR_SIZE ? hidbpf_replace(ctx, pen_and_pad) : 0;
}

HIDBPF_INPUT_REPORT(ctx, report, UGEE_KEYS_SIZE)
{
	return ugee_pad_event(report, PAD_ID, meaning_of_key, 0, option_dial_steps);
}

HIDBPF_DRIVER(rdesc_fixup, device_event);
