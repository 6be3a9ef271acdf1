/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the Huion Keydial K20 has in common over its cable and over Bluetooth: 18 keys that pose as a keyboard's, a wheel that poses as
 * a mouse's, and a button in the wheel that poses as Play/Pause. The three make one tablet pad here, with as many buttons down at once
 * as there are.
 */
#ifndef HIDBPF_HUION_KEYDIAL_H
#define HIDBPF_HUION_KEYDIAL_H

#include <hidbpf/huion.h>

/* What it is made to send. */
struct keydial_report {
	/* In the lowest byte, and above it TabletPadMarks(), never set. */
	__u32 id;
	/* A bit for each button, from the lowest byte on: little-endian. */
	__u32 buttons;
	__s8 wheel;
};
/* Without what the compiler puts behind the wheel. */
#define KEYDIAL_SIZE 9

/* The descriptor of that. Linux has no name for an eleventh button of BTN_0 to BTN_9, so that the others begin at BTN_SOUTH. */
#define KEYDIAL_PAD(id, bytes)                                                                                         \
	HUION_PAD(id, bytes, HUION_PAD_BUTTONS(1, 10), HUION_PAD_BUTTONS(49, 57), Padding(13), HUION_PAD_WHEEL())

/*
 * The bit of each key, by its usage, as the keys lie on the device: 12 keys from the top left on, three that are modifiers, three
 * more, and the button in the wheel.
 */
static const __u32 keydial_keys[256] = {
	[0x0e] = 1 << 0, [0x0a] = 1 << 1, [0x0f] = 1 << 2,  [0x4c] = 1 << 3,  [0x0c] = 1 << 4,
	[0x07] = 1 << 5, [0x05] = 1 << 6, [0x08] = 1 << 7,  [0x16] = 1 << 8,  [0x1d] = 1 << 9,
	[0x06] = 1 << 10, [0x19] = 1 << 11, [0x28] = 1 << 15, [0x2c] = 1 << 16, [0x11] = 1 << 17,
};
#define KEYDIAL_LEFT_CONTROL 0x01
#define KEYDIAL_LEFT_SHIFT 0x02
#define KEYDIAL_LEFT_ALT 0x04
#define KEYDIAL_CONTROL_BUTTON (1 << 12)
#define KEYDIAL_ALT_BUTTON (1 << 13)
#define KEYDIAL_SHIFT_BUTTON (1 << 14)
#define KEYDIAL_WHEEL_BUTTON (1 << 18)

/* How many keys a keyboard report holds, and where its modifiers are. */
#define KEYDIAL_KEYS 6
#define KEYDIAL_MODIFIERS 1

/* The report of the wheel's button: one 16-bit usage of the consumer page, of which the low byte tells. */
#define KEYDIAL_CONSUMER_SIZE 3
#define KEYDIAL_CONSUMER_USAGE 1
#define KEYDIAL_PLAY_PAUSE 0xcd

/* The report of the wheel: a mouse's, with buttons, X and Y that stay 0. */
#define KEYDIAL_MOUSE_SIZE 7
#define KEYDIAL_MOUSE_WHEEL 6

/* The buttons that are down. What says nothing of a button leaves it as it is. */
static __u32 keydial_buttons;

/* More than any report has, and no more than the kernel's shortest buffer. */
#define KEYDIAL_REPORT_SIZE 16

/*
 * A report of any kind, of which ctx->size may be less: it is asked for once, also for what is written in its place. Its first byte is
 * of an earlier report where this one has none, which the sizes that the functions below ask for rule out. Or NULL.
 */
static __always_inline __u8 *keydial_report(struct hid_bpf_ctx *ctx)
{
	return __builtin_assume_aligned(hid_bpf_get_data(ctx, 0, KEYDIAL_REPORT_SIZE), 8);
}

/* What the functions below answer where a report is too short: no turn of the wheel. */
#define KEYDIAL_NOTHING 0x100

/* Puts buttons and wheel into a struct keydial_report. What the hook is to return. */
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

/* The keyboard report, of which `first` is the first key, 2 or 3. */
static __always_inline int keydial_keyboard_event(int size, const __u8 *report, const unsigned int first)
{
	__u32 modifiers = report[KEYDIAL_MODIFIERS];
	__u32 buttons = keydial_buttons & KEYDIAL_WHEEL_BUTTON;
	__u64 keys = *(const __u64 *)report >> 8 * first;

	if (size < (int)(first + KEYDIAL_KEYS))
		return KEYDIAL_NOTHING;
	if (first + KEYDIAL_KEYS > sizeof(keys))
		keys |= (__u64)report[sizeof(keys)] << 8 * (KEYDIAL_KEYS - 1);
	/* Without branches, of which the verifier would look at both ways. */
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

/* The ids of the reports of the three, and the first key of the keyboard's. */
struct keydial_ids {
	__u8 keyboard, consumer, mouse;
	unsigned int first_key;
};

/* How far the wheel was turned by any of their reports; KEYDIAL_NOTHING by others. */
static __always_inline int keydial_event(int size, const __u8 *report, const struct keydial_ids ids)
{
	if (report[0] == ids.keyboard)
		return keydial_keyboard_event(size, report, ids.first_key);
	if (report[0] == ids.consumer)
		return keydial_consumer_event(size, report);
	return report[0] == ids.mouse ? keydial_mouse_event(size, report) : KEYDIAL_NOTHING;
}

#endif
