// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/ugee.h>

/*
 * The XP-Pen Deco 01 V3 is a tablet with eight buttons on its pad. It has an interface for the pad and one for the pen, told apart by
 * the size of their descriptors.
 *
 * The pad is a keyboard: its buttons type letters and Ctrl+S. It becomes a tablet pad. The pen is right but for the range of its
 * tilt, which is -60 to 60 degrees and declared as -127 to 127, so that the pen seems half as tilted as it is.
 */
#define PAD_DESCRIPTOR_SIZE 102
#define PEN_DESCRIPTOR_SIZE 109

#define PAD_ID 6
#define PAD_BUTTONS 8

/* Logical Minimum (15 81) and Logical Maximum (25 7f) of each tilt in the pen's descriptor: the values. */
static const struct hidbpf_byte tilt_ranges[] = {
	{90, (__u8)-127, (__u8)-60},
	{92, 127, 60},
	{102, (__u8)-127, (__u8)-60},
	{104, 127, 60},
};

HIDBPF_DESCRIPTOR(pad, UgeePad(PAD_ID, PAD_BUTTONS, UgeeNoDial(PAD_BUTTONS)));

HIDBPF_RDESC_FIXUP(ctx)
{
	switch (ctx->size) {
	case PAD_DESCRIPTOR_SIZE:
		return hidbpf_replace(ctx, pad);
	case PEN_DESCRIPTOR_SIZE:
		hidbpf_patch_all(ctx, tilt_ranges);
		break;
	}
	return 0;
}

UGEE_PAD_EVENT(PAD_ID, ugee_alt_pad_keys, UGEE_ALT_PAD_ALT)

HIDBPF_DRIVER(rdesc_fixup, device_event);
