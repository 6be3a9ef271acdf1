/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Code that the drivers for the Huion Keydial K20 share, for its cable and for Bluetooth. The device sends its 18 keys
 * as a keyboard, its wheel as a mouse, and the button in the wheel as Play/Pause. The drivers turn the three into one
 * tablet pad. All of its buttons can be down at once.
 */
#ifndef HIDBPF_HUION_KEYDIAL_H
#define HIDBPF_HUION_KEYDIAL_H

#include <hidbpf/huion.h>

/* The report that the driver sends instead. */
struct keydial_report {
	/* The report id in the lowest byte. The bytes above it are TabletPadMarks(), which are never set. */
	__u32 id;
	/* A bit for each button, from the lowest byte on: little-endian. */
	__u32 buttons;
	__s8 wheel;
};
/* The struct without the compiler's padding after the wheel. */
#define KEYDIAL_SIZE 9

/*
 * The descriptor of struct keydial_report. Linux has no name for an eleventh button after BTN_0 to BTN_9, so the other
 * buttons begin at BTN_SOUTH.
 */
#define KEYDIAL_PAD(id, bytes)                                                                                         \
	HUION_PAD(id, bytes, HUION_PAD_BUTTONS(1, 10), HUION_PAD_BUTTONS(49, 57), Padding(13), HUION_PAD_WHEEL())

/*
 * The bit of each key, by its usage. The bits follow the keys' positions on the device: 12 keys from the top left on,
 * three that are modifiers, three more, and the button in the wheel.
 */
static const __u32 keydial_keys[256] = {
	[0x0e] = 1 << 0,  [0x0a] = 1 << 1,  [0x0f] = 1 << 2,  [0x4c] = 1 << 3,  [0x0c] = 1 << 4,
	[0x07] = 1 << 5,  [0x05] = 1 << 6,  [0x08] = 1 << 7,  [0x16] = 1 << 8,  [0x1d] = 1 << 9,
	[0x06] = 1 << 10, [0x19] = 1 << 11, [0x28] = 1 << 15, [0x2c] = 1 << 16, [0x11] = 1 << 17,
};
#define KEYDIAL_LEFT_CONTROL 0x01
#define KEYDIAL_LEFT_SHIFT 0x02
#define KEYDIAL_LEFT_ALT 0x04
#define KEYDIAL_CONTROL_BUTTON (1 << 12)
#define KEYDIAL_ALT_BUTTON (1 << 13)
#define KEYDIAL_SHIFT_BUTTON (1 << 14)
#define KEYDIAL_WHEEL_BUTTON (1 << 18)

/* The number of keys in a keyboard report, and the offset of its modifiers. */
#define KEYDIAL_KEYS 6
#define KEYDIAL_MODIFIERS 1

/* The report of the wheel's button: one 16-bit usage of the consumer page. Its low byte is enough to recognise it. */
#define KEYDIAL_CONSUMER_SIZE 3
#define KEYDIAL_CONSUMER_USAGE 1
#define KEYDIAL_PLAY_PAUSE 0xcd

/* The report of the wheel: a mouse report with buttons, X and Y that stay 0. */
#define KEYDIAL_MOUSE_SIZE 7
#define KEYDIAL_MOUSE_WHEEL 6

/* The buttons that are down. A report that does not mention a button leaves it unchanged. */
static __u32 keydial_buttons;

/* Longer than any report, and not longer than the kernel's shortest buffer. */
#define KEYDIAL_REPORT_SIZE 16

/*
 * Returns a report of any kind, or NULL. ctx->size may be less than KEYDIAL_REPORT_SIZE: one request serves both
 * reading the report and writing the new one. The first byte of an empty report is left over from an earlier report.
 * The size checks of the functions below reject such a report.
 */
static __always_inline __u8 *keydial_report(struct hid_bpf_ctx *ctx)
{
	return __builtin_assume_aligned(hid_bpf_get_data(ctx, 0, KEYDIAL_REPORT_SIZE), 8);
}

/* The result of the functions below if a report is too short. It is not a turn of the wheel. */
#define KEYDIAL_NOTHING 0x100

/* Writes buttons and wheel as a struct keydial_report. Returns the hook's result. */
static __always_inline int keydial_write(__u8 *report, __u8 id, int turn)
{
	if (turn == KEYDIAL_NOTHING)
		return 0;
	*(struct keydial_report *)report = (struct keydial_report){
		.id = id,
		.buttons = keydial_buttons,
		.wheel = (__s8)turn,
	};
	return KEYDIAL_SIZE;
}

/* Handles the keyboard report. `first` is the offset of the first key, 2 or 3. */
static __always_inline int keydial_keyboard_event(int size, const __u8 *report, const unsigned int first)
{
	__u32 modifiers = report[KEYDIAL_MODIFIERS];
	__u32 buttons = keydial_buttons & KEYDIAL_WHEEL_BUTTON;
	__u64 keys = *(const __u64 *)report >> 8 * first;

	if (size < (int)(first + KEYDIAL_KEYS))
		return KEYDIAL_NOTHING;
	if (first + KEYDIAL_KEYS > sizeof(keys))
		keys |= (__u64)report[sizeof(keys)] << 8 * (KEYDIAL_KEYS - 1);
	/* No branches here: the verifier would follow both paths of each. */
	buttons |= (modifiers & KEYDIAL_LEFT_CONTROL) * (KEYDIAL_CONTROL_BUTTON / KEYDIAL_LEFT_CONTROL);
	buttons |= (modifiers & KEYDIAL_LEFT_ALT) * (KEYDIAL_ALT_BUTTON / KEYDIAL_LEFT_ALT);
	buttons |= (modifiers & KEYDIAL_LEFT_SHIFT) * (KEYDIAL_SHIFT_BUTTON / KEYDIAL_LEFT_SHIFT);
#pragma clang loop unroll(disable)
	for (; keys; keys >>= 8)
		buttons |= keydial_keys[(__u8)keys];
	keydial_buttons = buttons;
	return 0;
}

static __always_inline int keydial_consumer_event(int size, const __u8 *report)
{
	__u32 buttons = keydial_buttons & ~KEYDIAL_WHEEL_BUTTON;

	if (size < KEYDIAL_CONSUMER_SIZE)
		return KEYDIAL_NOTHING;
	if (report[KEYDIAL_CONSUMER_USAGE] == KEYDIAL_PLAY_PAUSE)
		buttons |= KEYDIAL_WHEEL_BUTTON;
	keydial_buttons = buttons;
	return 0;
}

static __always_inline int keydial_mouse_event(int size, const __u8 *report)
{
	return size < KEYDIAL_MOUSE_SIZE ? KEYDIAL_NOTHING : (__s8)report[KEYDIAL_MOUSE_WHEEL];
}

/* The ids of the three reports, and the offset of the keyboard report's first key. */
struct keydial_ids {
	__u8 keyboard, consumer, mouse;
	unsigned int first_key;
};

/* Returns how far any of the three reports turned the wheel; KEYDIAL_NOTHING for other reports. */
static __always_inline int keydial_event(int size, const __u8 *report, const struct keydial_ids ids)
{
	if (report[0] == ids.keyboard)
		return keydial_keyboard_event(size, report, ids.first_key);
	if (report[0] == ids.consumer)
		return keydial_consumer_event(size, report);
	return report[0] == ids.mouse ? keydial_mouse_event(size, report) : KEYDIAL_NOTHING;
}

#endif
