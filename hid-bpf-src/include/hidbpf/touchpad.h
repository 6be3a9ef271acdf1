/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touchpads that forget to say that a finger was lifted.
 *
 * A Windows Precision touchpad has to report each contact once more when it ends, with its tip switch off. Some leave that out where
 * several fingers are down and some of them go, and the kernel then sees a finger that rests on the pad for ever. Here what is missing
 * is put in from the report before.
 */
#ifndef HIDBPF_TOUCHPAD_H
#define HIDBPF_TOUCHPAD_H

#include <hidbpf/driver.h>

#define HIDBPF_CONTACTS 5

/* A contact's flags. Where its identifier is, is the device's choice. */
#define HIDBPF_CONTACT_CONFIDENT 0x01
#define HIDBPF_CONTACT_TIP 0x02

struct hidbpf_contact {
	__u8 flags;
	__u8 x[2];
	__u8 y[2];
};

/* The report of a touchpad with five contacts. */
struct hidbpf_contact_report {
	__u8 id;
	struct hidbpf_contact contacts[HIDBPF_CONTACTS];
	__u8 scan_time[2];
	/* How many of the contacts are meant. */
	__u8 count;
	__u8 buttons;
};
_Static_assert(sizeof(struct hidbpf_contact_report) == 30, "no holes");

/* The report before, with what was put in. Aligned as the kernel's buffer is, it is copied in words. */
static struct hidbpf_contact_report hidbpf_before __attribute__((aligned(8)));

/*
 * Whether a contact is down, as 0 or 1; one that is not, and of which the touchpad is confident, ends. Without comparisons, since the
 * verifier follows both ways of each for each contact.
 */
_Static_assert(HIDBPF_CONTACT_CONFIDENT == 1 && HIDBPF_CONTACT_TIP == 2, "the two lowest bits");
static __always_inline __u32 hidbpf_contact_is_down(__u32 flags)
{
	return flags & flags >> 1 & 1;
}

/*
 * Adds to the report, behind its contacts, those of the report before that were down and of which it says nothing, as lifted where
 * they were. `id_shift` and `id_mask` tell where a contact's flags have its identifier.
 */
static __always_inline void hidbpf_lift_lost_contacts(struct hidbpf_contact_report *report, const int id_shift,
						      const __u8 id_mask)
{
	__u32 count = report->count;
	/* How many contacts of the report before were said to end there; a bit for the identifier of each that was down, and that is known. */
	__u32 ended = 0, down = 0, known = 0;

	if (count >= hidbpf_before.count)
		return;
#pragma clang loop unroll(disable)
	for (int i = 0; i < HIDBPF_CONTACTS; i++) {
		__u32 before = hidbpf_before.contacts[i].flags, now = report->contacts[i].flags;

		ended += (before & HIDBPF_CONTACT_CONFIDENT) - hidbpf_contact_is_down(before);
		down |= hidbpf_contact_is_down(before) << (before >> id_shift & id_mask);
		known |= (now & HIDBPF_CONTACT_CONFIDENT) << (now >> id_shift & id_mask);
	}
	if (count + ended == hidbpf_before.count)
		return;
	down &= ~known;
#pragma clang loop unroll(disable)
	for (int i = 0; i < HIDBPF_CONTACTS; i++) {
		const struct hidbpf_contact *before = &hidbpf_before.contacts[i];
		__u32 is_lost = down >> (before->flags >> id_shift & id_mask);

		/* Read anew: what the verifier knows of the count is then the same in each round, however many were added. */
		count = *(volatile __u8 *)&report->count;
		if (!(is_lost & hidbpf_contact_is_down(before->flags)) || count >= HIDBPF_CONTACTS)
			continue;
		report->contacts[count] = *before;
		report->contacts[count].flags &= (__u8)~HIDBPF_CONTACT_TIP;
		report->count = (__u8)(count + 1);
	}
}

/*
 * HIDBPF_TOUCHPAD_EVENT(report_id, id_shift, id_mask)
 *
 * The device event hook of such a touchpad: its reports with this id get the contacts that they lack.
 */
#define HIDBPF_TOUCHPAD_EVENT(report_id, id_shift, id_mask)                                                            \
	HIDBPF_INPUT_REPORT(ctx, bytes, sizeof(struct hidbpf_contact_report))                                          \
	{                                                                                                              \
		struct hidbpf_contact_report *report = (void *)bytes;                                                  \
                                                                                                                       \
		if (report->id != (report_id))                                                                         \
			return 0;                                                                                      \
		hidbpf_lift_lost_contacts(report, id_shift, id_mask);                                                  \
		__builtin_memcpy(&hidbpf_before, report, sizeof(hidbpf_before));                                       \
		return 0;                                                                                              \
	}

#endif
