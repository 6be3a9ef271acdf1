// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/setup.h>
#include <hidbpf/work.h>

/*
 * The Surface Dial has a motor that makes each step of a turn felt, and a feature report that says how many steps a turn has and what is
 * felt at each. Linux asks for the finest steps there are, 3600, and knows nothing of the motor. When the Dial has slept, as it does when
 * nothing was sent for some two minutes, it has forgotten what is to be felt, and keeps the number of steps.
 *
 * It is told to make as many steps as there shall be clicks, and to click at each: when it is attached, when another kernel driver has
 * been bound, and at the first report after half a minute without one, which does no harm where it has not slept. A step counts as many
 * times as one of 3600 then, which is what the descriptor says: whether the dial is one or a wheel is for others to say
 * (microsoft-surface-dial).
 */
#define STEPS_PER_TURN 3600
#define PAUSE 30000000000ULL /* nanoseconds */

/* Input report: buttons, the turn since the last one (a number of 16 bits with a sign), and where the Dial is. */
#define REPORT_ID 1
#define REPORT_SIZE 9
#define REPORT_TURN 2

/* Feature report: steps of a turn (16 bits), repetitions, the waveform, how long it takes at most, after how long it repeats (16 bits). */
#define FEATURE_ID 1
#define FEATURE_SIZE 8
#define FEATURE_STEPS 1
#define FEATURE_REPETITIONS 3
#define FEATURE_WAVEFORM 4
#define WAVEFORM_CLICK 3

HIDBPF_OPTION_INTEGER(clicks_per_turn);

/* When the last report came. */
static __u64 last;

static __always_inline void click(__u8 *feature)
{
	hidbpf_put_le16(feature + FEATURE_STEPS, (__u16)option_clicks_per_turn);
	feature[FEATURE_REPETITIONS] = 0;
	feature[FEATURE_WAVEFORM] = WAVEFORM_CLICK;
}

HIDBPF_SETUP(device)
{
	__u8 feature[FEATURE_SIZE] = {FEATURE_ID};
	int result = hidbpf_get_feature(device, feature, sizeof(feature));

	if (result < 0)
		return result;
	click(feature);
	return hidbpf_set_feature(device, feature, sizeof(feature));
}

HIDBPF_WORK(click_again, ctx)
{
	__u8 feature[FEATURE_SIZE] = {FEATURE_ID};

	if (hid_bpf_hw_request(ctx, feature, sizeof(feature), HID_FEATURE_REPORT, HID_REQ_GET_REPORT) < 0)
		return 0;
	click(feature);
	hid_bpf_hw_request(ctx, feature, sizeof(feature), HID_FEATURE_REPORT, HID_REQ_SET_REPORT);
	return 0;
}

HIDBPF_INPUT_EVENT(ctx)
{
	__u8 *report = hidbpf_report_with_id(ctx, REPORT_ID, REPORT_SIZE);
	__s32 clicks = option_clicks_per_turn;
	__u64 now = bpf_ktime_get_ns();
	__s32 turn;

	if (last && now - last > PAUSE)
		hidbpf_schedule(click_again, 0);
	last = now;
	if (!report || clicks <= 0)
		return 0;
	turn = (__s16)hidbpf_le16(report + REPORT_TURN) * (__s32)(STEPS_PER_TURN / (__u32)clicks);
	if (turn > 32767)
		turn = 32767;
	else if (turn < -32767)
		turn = -32767;
	hidbpf_put_le16(report + REPORT_TURN, (__u16)turn);
	return 0;
}

HIDBPF_DRIVER(device_event);
