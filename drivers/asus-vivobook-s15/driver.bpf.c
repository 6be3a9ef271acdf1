// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/driver.h>
#include <hidbpf/setup.h>
#include <hidbpf/work.h>

/*
 * The keyboard of the ASUS Vivobook S15 sends the special keys of its top row in a vendor report, 0x5A, with ASUS's own
 * key numbers. Linux does not know these numbers. Two of the keys change the screen's brightness. The driver forwards
 * them as the consumer report 0x37, which the keyboard has as well. The other two keys are for the keyboard itself, and
 * it expects the system to carry them out with feature reports. One selects the next of four levels of light. The other
 * switches the top row between special keys and F1 to F12.
 *
 * The keyboard needs a greeting from the system once. The driver cannot read the light and the lock from the keyboard.
 * It assumes that both are off until the driver or another program sets them.
 */
#define VENDOR_ID 0x5a
#define VENDOR_SIZE 6
#define VENDOR_KEY 1
#define KEY_BRIGHTNESS_DOWN 0x10
#define KEY_BRIGHTNESS_UP 0x20
#define KEY_FN_LOCK 0x4e
#define KEY_LIGHT 0xc7
#define KEY_NONE 0x00

/* Consumer page, Brightness Increment and Decrement. */
#define CONSUMER_ID 0x37
#define BRIGHTNESS_INCREMENT 0x6f
#define BRIGHTNESS_DECREMENT 0x70
struct consumer_report {
	__u8 id;
	__u8 usage[2];
};

/* Feature reports. The value to set follows the bytes that select what to set. */
#define FEATURE_SIZE 64
#define LIGHT_LEVEL 4
#define LIGHT_LEVELS 4
#define LOCK_STATE 3
#define LIGHT VENDOR_ID, 0xba, 0xc5, 0xc4
#define LOCK VENDOR_ID, 0xd0, 0x4e

static __u8 light;
static __u8 fn_lock;
static _Bool brightness_is_down;

static __always_inline int set(struct hid_bpf_ctx *ctx, __u8 *feature)
{
	return hid_bpf_hw_request(ctx, feature, FEATURE_SIZE, HID_FEATURE_REPORT, HID_REQ_SET_REPORT);
}

/* The greeting, sent request by request at the start. */
static __u8 greeting[][FEATURE_SIZE] = {
	{VENDOR_ID, 0x05, 0x20, 0x31, 0x00, 0x08},
	{VENDOR_ID, 0xd0, 0x8f, 0x01},
};

HIDBPF_SETUP(device)
{
#pragma clang loop unroll(disable)
	for (unsigned long i = 0; i < sizeof(greeting) / sizeof(greeting[0]); i++) {
		int result = hidbpf_set_feature(device, greeting[i], FEATURE_SIZE);

		if (result < 0)
			return result;
	}
	return 0;
}

static __u8 light_feature[FEATURE_SIZE] = {LIGHT};
static __u8 lock_feature[FEATURE_SIZE] = {LOCK};
static _Bool light_is_due;
static _Bool lock_is_due;

HIDBPF_WORK(set_due, ctx)
{
	if (light_is_due) {
		light_is_due = 0;
		light_feature[LIGHT_LEVEL] = light;
		set(ctx, light_feature);
	}
	if (lock_is_due) {
		lock_is_due = 0;
		lock_feature[LOCK_STATE] = fn_lock;
		set(ctx, lock_feature);
	}
	return 0;
}

static __always_inline int brightness_event(__u8 *report, __u8 usage)
{
	brightness_is_down = usage != 0;
	*(struct consumer_report *)report = (struct consumer_report){.id = CONSUMER_ID, .usage = {usage}};
	return sizeof(struct consumer_report);
}

HIDBPF_INPUT_REPORT(ctx, report, VENDOR_SIZE)
{
	if (report[0] != VENDOR_ID)
		return 0;
	switch (report[VENDOR_KEY]) {
	case KEY_BRIGHTNESS_DOWN:
		return brightness_event(report, BRIGHTNESS_DECREMENT);
	case KEY_BRIGHTNESS_UP:
		return brightness_event(report, BRIGHTNESS_INCREMENT);
	case KEY_NONE:
		return brightness_is_down ? brightness_event(report, 0) : 0;
	case KEY_LIGHT:
		light = (light + 1) % LIGHT_LEVELS;
		light_is_due = 1;
		break;
	case KEY_FN_LOCK:
		fn_lock = !fn_lock;
		lock_is_due = 1;
		break;
	default:
		return 0;
	}
	hidbpf_run(set_due);
	return 0;
}

/*
 * Remembers the values that other programs set, so that the next key continues from them. The driver's own requests
 * pass here as well and change nothing.
 */
HIDBPF_HW_REQUEST(ctx, request)
{
	static const __u8 light_is[] = {LIGHT}, lock_is[] = {LOCK};
	__u8 *feature = hidbpf_report_with_id(ctx, VENDOR_ID, FEATURE_SIZE);

	if (!feature || request.type != HID_FEATURE_REPORT || request.request != HID_REQ_SET_REPORT)
		return 0;
	if (feature[1] == light_is[1] && feature[2] == light_is[2] && feature[3] == light_is[3])
		light = feature[LIGHT_LEVEL] % LIGHT_LEVELS;
	else if (feature[1] == lock_is[1] && feature[2] == lock_is[2])
		fn_lock = feature[LOCK_STATE] != 0;
	return 0;
}

HIDBPF_DRIVER(device_event, hw_request);
