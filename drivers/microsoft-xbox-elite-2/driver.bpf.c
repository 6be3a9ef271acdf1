// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>

/*
 * The Xbox Elite Controller Series 2 has four paddles on its back. Over Bluetooth they are the low half of a byte, one
 * bit each. The descriptor declares them as a number of the Consumer page, "Assign Selection", and Linux makes one key
 * of them, KEY_UNKNOWN.
 *
 * The driver replaces that part of the descriptor. The new part ends the consumer control, begins a game pad, and
 * declares the four bits as buttons 21 to 24. Linux maps these to BTN_TRIGGER_HAPPY5 to 8. It has as many bytes as the
 * original part, and no bit of the report moves.
 */
#define DESCRIPTOR_SIZE 464
#define PART 211
#define PART_SIZE 38

/* Four bits of the triggers' setting, four unused bits, and the paddles. */
HIDBPF_DESCRIPTOR(part,
	Usage(Consumer, MediaSelectSecurity),
	LogicalMinimum8(0),
	LogicalMaximum16(255),
	ReportCount(1),
	ReportSize(4),
	Input(Data, Var, Abs),
	LogicalRange8(0, 1),
	ReportCount(4),
	ReportSize(1),
	Input(Const, Var, Abs),
	CollectionEnd(),
	UsagePage(GenericDesktop),
	Usage(GenericDesktop, Gamepad),
	CollectionBegin(Application),
	UsagePage(Button),
	Buttons(21, 24),
	Input(Data, Var, Abs));
_Static_assert(sizeof(part) == PART_SIZE, "what follows must stay where it is");

HIDBPF_RDESC_FIXUP(ctx)
{
	return ctx->size == DESCRIPTOR_SIZE ? hidbpf_overwrite(ctx, PART, part) : 0;
}

HIDBPF_DRIVER(rdesc_fixup);
