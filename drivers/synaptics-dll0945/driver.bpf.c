// SPDX-License-Identifier: GPL-2.0-only
#include <hidbpf/touchpad.h>

/*
 * The Synaptics touchpad of the Dell XPS 9310 and Latitude 5406 has the defect of the Dell DELL0A78. When several
 * fingers lift at once, it reports fewer fingers and does not report which of them lifted. Its report has a different
 * id, and its contacts have different flags.
 */
#define REPORT_ID 3
/* A contact's identifier, 0 to 5, is in bits 2 to 4 of its flags. */
#define ID_SHIFT 2
#define ID_MASK 0x07

HIDBPF_TOUCHPAD_EVENT(REPORT_ID, ID_SHIFT, ID_MASK)

HIDBPF_DRIVER(device_event);
