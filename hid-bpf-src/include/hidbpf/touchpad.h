/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Touchpads that do not report that a finger was lifted.
 *
 * A Windows Precision touchpad must report each contact once more when it ends, with its tip switch off. Some omit that
 * report if several fingers are down and some of them lift. The kernel then sees a finger that rests on the pad
 * forever. This header adds the missing contacts from the previous report.
 */
#ifndef HIDBPF_TOUCHPAD_H
#define HIDBPF_TOUCHPAD_H

#include <hidbpf/driver.h>

#define HIDBPF_CONTACTS 5

/* A contact's flags. The place of the contact's identifier depends on the device. */
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
	/* The number of valid contacts. */
	__u8 count;
	__u8 buttons;
};
_Static_assert(sizeof(struct hidbpf_contact_report) == 30, "no holes");

/*
 * The previous report, including the added contacts. It is aligned like the kernel's buffer, so clang copies it in
 * words.
 */
static struct hidbpf_contact_report hidbpf_before __attribute__((aligned(8)));

/*
 * Returns 1 if a contact is down, else 0. A contact that is not down ends if the touchpad is confident of it. The
 * function uses no comparisons, because the verifier follows both paths of each comparison for each contact.
 */
_Static_assert(HIDBPF_CONTACT_CONFIDENT == 1 && HIDBPF_CONTACT_TIP == 2, "the two lowest bits");
static __always_inline __u32 hidbpf_contact_is_down(__u32 flags)
{
	return flags & flags >> 1 & 1;
}

/*
 * Adds the lost contacts to the report, after its own contacts: those that were down in the previous report and that
 * this report does not mention. They are added as lifted at their last position. `id_shift` and `id_mask` locate the
 * identifier in a contact's flags.
 */
static __always_inline void hidbpf_lift_lost_contacts(struct hidbpf_contact_report *report, const int id_shift,
						      const __u8 id_mask)
{
	__u32 count = report->count;
	/*
	 * `ended` counts the contacts that the previous report ended. `down` and `known` have a bit for the identifier
	 * of each contact that was down before, and that this report mentions.
	 */
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

		/*
		 * The volatile read gives the verifier the same knowledge of the count in each round, however many
		 * contacts were added.
		 */
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
 * Defines the event hook of such a touchpad. It adds the lost contacts to reports with this id.
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
