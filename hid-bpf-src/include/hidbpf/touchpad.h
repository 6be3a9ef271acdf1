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

/* The report before, with what was put in. */
static struct hidbpf_contact hidbpf_contacts_before[HIDBPF_CONTACTS];
static __u8 hidbpf_count_before;

/* A bit for the identifier of each contact whose flags, under `mask`, are `wanted`. */
static __always_inline __u32 hidbpf_contact_ids(const struct hidbpf_contact *contacts, __u8 mask, __u8 wanted,
						const int id_shift, const __u8 id_mask)
{
	__u32 ids = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < HIDBPF_CONTACTS; i++)
		ids |= (__u32)((contacts[i].flags & mask) == wanted) << (contacts[i].flags >> id_shift & id_mask);
	return ids;
}

/* How many contacts of the report before were said to end there. */
static __always_inline __u32 hidbpf_contacts_ended(void)
{
	__u32 ended = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < HIDBPF_CONTACTS; i++)
		ended += (hidbpf_contacts_before[i].flags & (HIDBPF_CONTACT_CONFIDENT | HIDBPF_CONTACT_TIP)) ==
			 HIDBPF_CONTACT_CONFIDENT;
	return ended;
}

/*
 * Adds to the report, behind its contacts, those of the report before that were down and of which it says nothing, as lifted where
 * they were. `id_shift` and `id_mask` tell where a contact's flags have its identifier.
 */
static __always_inline void hidbpf_lift_lost_contacts(struct hidbpf_contact_report *report, const int id_shift,
						      const __u8 id_mask)
{
	const __u8 down = HIDBPF_CONTACT_CONFIDENT | HIDBPF_CONTACT_TIP;
	__u32 count = report->count;
	__u32 lost;

	if (count < hidbpf_count_before && count + hidbpf_contacts_ended() != hidbpf_count_before) {
		lost = hidbpf_contact_ids(hidbpf_contacts_before, down, down, id_shift, id_mask);
		lost &= ~hidbpf_contact_ids(report->contacts, HIDBPF_CONTACT_CONFIDENT, HIDBPF_CONTACT_CONFIDENT, id_shift,
					    id_mask);
		for (int i = 0; i < HIDBPF_CONTACTS; i++) {
			const struct hidbpf_contact *before = &hidbpf_contacts_before[i];

			if ((before->flags & down) != down || !(lost >> (before->flags >> id_shift & id_mask) & 1) ||
			    count >= HIDBPF_CONTACTS)
				continue;
			report->contacts[count] = *before;
			report->contacts[count].flags &= (__u8)~HIDBPF_CONTACT_TIP;
			count++;
		}
		report->count = (__u8)count;
	}
	__builtin_memcpy(hidbpf_contacts_before, report->contacts, sizeof(hidbpf_contacts_before));
	hidbpf_count_before = (__u8)count;
}

/*
 * HIDBPF_TOUCHPAD_EVENT(report_id, id_shift, id_mask)
 *
 * The device event hook of such a touchpad: its reports with this id get the contacts that they lack.
 */
#define HIDBPF_TOUCHPAD_EVENT(report_id, id_shift, id_mask)                                                            \
	HIDBPF_INPUT_EVENT(ctx)                                                                                        \
	{                                                                                                              \
		struct hidbpf_contact_report *report =                                                                 \
			hidbpf_report_with_id(ctx, report_id, sizeof(struct hidbpf_contact_report));                   \
                                                                                                                       \
		if (report)                                                                                            \
			hidbpf_lift_lost_contacts(report, id_shift, id_mask);                                          \
		return 0;                                                                                              \
	}

#endif
