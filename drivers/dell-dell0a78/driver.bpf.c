// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/touchpad.h>

/*
 * The Goodix touchpad of some Dell laptops, DELL0A78, reports up to five fingers, each in five bytes: flags, X, Y. Where several are
 * lifted at once it just reports fewer, and never says of which of them that it was lifted. Linux waits for that, and a pointer that
 * jumps or a two-finger scroll that doesn't end is what people see.
 *
 * Fingers that were down and are not mentioned any more are reported as lifted, once, where they were.
 */
#define REPORT_ID 4
/* A contact's identifier is in bits 4 to 7 of its flags. */
#define ID_SHIFT 4
#define ID_MASK 0x0f

HIDBPF_TOUCHPAD_EVENT(REPORT_ID, ID_SHIFT, ID_MASK)

HIDBPF_DRIVER(device_event);
