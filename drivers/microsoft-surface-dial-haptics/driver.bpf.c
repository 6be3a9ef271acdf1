// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/setup.h>
#include <hidbpf/work.h>

/*
 * The Surface Dial has a motor that lets the user feel each step of a turn. A feature report sets the number of steps
 * in a turn and the effect at each step. Linux sets the finest steps, 3600, and does not use the motor. The Dial sleeps
 * after some two minutes without reports. It then forgets the effect, and keeps the number of steps.
 *
 * The driver sets as many steps as there are clicks, and a click at each step. It does so when it is attached, when
 * another kernel driver was bound, and at the first report after half a minute without reports. This does no harm if
 * the Dial has not slept. The driver multiplies each step, because the descriptor declares 3600 steps a turn. The
 * driver microsoft-surface-dial decides whether the Dial is a dial or a wheel.
 */
#define STEPS_PER_TURN 3600
#define PAUSE 30000000000ULL /* nanoseconds */

/* Input report: buttons, the turn since the last report (a signed 16-bit number), and the Dial's position. */
#define REPORT_ID 1
#define REPORT_SIZE 9
#define REPORT_TURN 2

/* Feature report: steps of a turn (16 bits), repetitions, waveform, maximum duration, repetition period (16 bits). */
#define FEATURE_ID 1
#define FEATURE_SIZE 8
#define FEATURE_STEPS 1
#define FEATURE_REPETITIONS 3
#define FEATURE_WAVEFORM 4
#define WAVEFORM_CLICK 3

HIDBPF_OPTION_INTEGER(clicks_per_turn);

/* The time of the last report. */
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
