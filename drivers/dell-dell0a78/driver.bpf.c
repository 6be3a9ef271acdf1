// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/touchpad.h>

/*
 * The Goodix touchpad of some Dell laptops, DELL0A78, reports up to five fingers, each in five bytes: flags, X, Y. When
 * several fingers lift at once, it reports fewer fingers and never reports which of them lifted. Linux waits for that,
 * and users see a jumping pointer or a two-finger scroll that does not end.
 *
 * The driver reports fingers that were down and are no longer mentioned as lifted, once, at their last position.
 */
#define REPORT_ID 4
/* A contact's identifier is in bits 4 to 7 of its flags. */
#define ID_SHIFT 4
#define ID_MASK 0x0f

HIDBPF_TOUCHPAD_EVENT(REPORT_ID, ID_SHIFT, ID_MASK)

HIDBPF_DRIVER(device_event);
