// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/touchpad.h>

/*
 * The Synaptics touchpad of the Dell XPS 9310 and Latitude 5406 has the fault of the Dell DELL0A78: when several fingers are lifted
 * at once, it reports fewer and doesn't say which have gone. Its report differs in its number and in its contacts' flags.
 */
#define TOUCH_ID 3
/* A contact's identifier, 0 to 5, is in bits 2 to 4 of its flags. */
#define CONTACT_SHIFT 2
#define CONTACT_MASK 0x07

HIDBPF_INPUT_EVENT(ctx)
{
	struct hidbpf_contact_report *touch = hidbpf_report_with_id(ctx, TOUCH_ID, sizeof(*touch));

	if (touch)
		hidbpf_lift_lost_contacts(touch, CONTACT_SHIFT, CONTACT_MASK);
	return 0;
}

HIDBPF_DRIVER(device_event);
